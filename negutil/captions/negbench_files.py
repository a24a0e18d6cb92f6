"""The files of NegBench's 18 task variations for a profile, and the plain files beside them.

In the mini world they are built from the datasets on disk; the published ones are only looked for. `pictures` says
where the loader of `negutil.data.negbench` finds the pictures and clips that a file names.

See docs/protocols.md#negbench.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from miniworld import build as world
from miniworld import truth
from negutil import code
from negutil.captions import english, hardneg, negbench
from negutil.captions.english import SUPERCATEGORY
from negutil.captions.negbench import Labelled
from negutil.captions.statements import Grammar
from negutil.config import Profile
from negutil.data import chexpert, coco, msrvtt, voc
from negutil.errors import NegutilError

FOLDER = "negbench"
PARTS = ("coco", "voc", "msrvtt", "chexpert")
"""Parts of the world that the questions are about."""


@dataclass(frozen=True, slots=True)
class Variation:
    """One task variation.

    Attributes:
        dataset: as the paper calls it.
        task: "retrieval", "MCQ", "4-choice" or "binary".
        wording: "templated" or "paraphrased"; "affirmation" or "negation" (CheXpert); "plain" (captions as they are).
        file: its file in the mini world.
        part: folder of the pictures, beside that of the files.
        published: its published file, "" where none is known to be public.
    """

    dataset: str
    task: str
    wording: str
    file: str
    part: str
    published: str = ""

    @property
    def title(self) -> str:
        """Such as "COCO MCQ, paraphrased"."""
        return f"{self.dataset} {self.task}, {self.wording}"


_COCO = "COCO_val_negated_retrieval"
VARIATIONS: tuple[Variation, ...] = tuple(
    Variation(*row)
    for row in (
        ("COCO", "retrieval", "templated", "coco_retrieval_template.csv", "coco", f"{_COCO}_template.csv"),
        (
            *("COCO", "retrieval", "paraphrased", "coco_retrieval_paraphrased.csv", "coco"),
            f"{_COCO}_llama3.1_rephrased_affneg_true.csv",
        ),
        ("COCO", "MCQ", "templated", "coco_mcq_template.csv", "coco"),
        ("COCO", "MCQ", "paraphrased", "coco_mcq_paraphrased.csv", "coco", "COCO_val_mcq_llama3.1_rephrased.csv"),
        ("VOC2007", "MCQ", "templated", "voc_mcq_template.csv", "voc", "VOC2007_mcq.csv"),
        ("VOC2007", "MCQ", "paraphrased", "voc_mcq_paraphrased.csv", "voc", "VOC2007_mcq_llama3.1_rephrased.csv"),
        ("MSR-VTT", "retrieval", "templated", "msrvtt_retrieval_template.csv", "msrvtt"),
        (
            *("MSR-VTT", "retrieval", "paraphrased", "msrvtt_retrieval_paraphrased.csv", "msrvtt"),
            "msr_vtt_retrieval_rephrased_llama.csv",
        ),
        ("MSR-VTT", "MCQ", "templated", "msrvtt_mcq_template.csv", "msrvtt", "msr_vtt_mcq_templated.csv"),
        ("MSR-VTT", "MCQ", "paraphrased", "msrvtt_mcq_paraphrased.csv", "msrvtt", "msr_vtt_mcq_rephrased_llama.csv"),
        ("CheXpert", "4-choice", "affirmation", "chexpert_4_choice_affirmation.csv", "chexpert"),
        ("CheXpert", "4-choice", "negation", "chexpert_4_choice_negation.csv", "chexpert"),
        ("CheXpert", "binary", "affirmation", "chexpert_binary_affirmation.csv", "chexpert"),
        ("CheXpert", "binary", "negation", "chexpert_binary_negation.csv", "chexpert"),
        ("HardNeg-Syn", "retrieval", "templated", "hardneg_retrieval_v2_template.csv", FOLDER),
        (
            *("HardNeg-Syn", "retrieval", "paraphrased", "hardneg_retrieval_v2_paraphrased.csv", FOLDER),
            "synthetic_retrieval_v2.csv",
        ),
        ("HardNeg-Syn", "MCQ", "templated", "hardneg_mcq_template.csv", FOLDER),
        (
            *("HardNeg-Syn", "MCQ", "paraphrased", "hardneg_mcq_paraphrased.csv", FOLDER),
            "synthetic_mcq_llama3.1_rephrased.csv",
        ),
    )
)
"""The 18 variations, in the order of the paper's table of them."""

PLAIN: tuple[Variation, ...] = (
    Variation("COCO", "retrieval", "plain", "coco_retrieval.csv", "coco", "COCO_val_retrieval.csv"),
    Variation("MSR-VTT", "retrieval", "plain", "msrvtt_retrieval.csv", "msrvtt", "msr_vtt_retrieval.csv"),
    Variation("HardNeg-Syn", "retrieval", "plain", "hardneg_retrieval_v1.csv", FOLDER, "synthetic_retrieval_v1.csv"),
)
"""Retrieval with the captions as they are: what the drop is measured from."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is made.

    Attributes:
        captions: captions of each picture in COCO retrieval.
        questions: multiple-choice questions about each picture or clip.
        pairs: pairs of hard negatives.
        absent: how absent objects are chosen, "plausible" or "random".
    """

    captions: int = 5
    questions: int = 1
    pairs: int = 500
    absent: str = "plausible"


def sizes_of(settings: Profile) -> Sizes:
    """The sizes of a profile: a pair of hard negatives for every four pictures of COCO's test split."""
    return Sizes(pairs=max(2, settings.world.scenes.test // 4))


def build(settings: Profile, sizes: Sizes | None = None) -> Path:
    """The folder with the files of all variations, written first where it is missing or was made otherwise.

    It is `negbench`, or negbench-random for random absent objects. With published data nothing is built: the folder is
    where the published files are expected, and NegutilError is raised where there is none at all.
    """
    sizes = sizes or sizes_of(settings)
    folder = settings.built / (FOLDER if sizes.absent == "plausible" else f"{FOLDER}-{sizes.absent}")
    if settings.published:
        return _published(settings.data / FOLDER)
    parts = {name: world.build(name, settings) for name in PARTS}
    wanted = {
        "part": folder.name,
        "seed": settings.world.seed,
        "sizes": dataclasses.asdict(sizes),
        "code": code.fingerprint(__name__),
        "made_of": {name: (world.manifest(part) or {})["sha256"] for name, part in parts.items()},
    }
    world.keep(folder, wanted, lambda fresh: _fill(fresh, folder.name, parts, sizes, settings.world.seed), "NegBench")
    return folder


def _published(folder: Path) -> Path:
    names = [variation.published for variation in (*VARIATIONS, *PLAIN) if variation.published]
    if not any((folder / name).is_file() for name in names):
        get = "fetch them by the links in NegBench's datasets.md"
        raise NegutilError(f"{folder} has none of NegBench's files ({', '.join(names)}): {get}, or set NEGUTIL_DATA.")
    return folder


def path(settings: Profile, variation: Variation, folder: Path) -> Path | None:
    """The file of a variation in the folder that `build` gave; None for one that is not public."""
    name = variation.published if settings.published else variation.file
    return folder / name if name else None


def pictures(settings: Profile, variation: Variation, folder: Path) -> Path:
    """The folder to give to `negutil.data.negbench.load` for the pictures or clips of a variation."""
    return folder if variation.part == FOLDER else settings.data / variation.part


# --------------------------------------------------------------------------------------------------------------------
# Building


def _fill(fresh: Path, name: str, parts: dict[str, Path], sizes: Sizes, seed: int) -> dict[str, Any]:
    """Write every file into the empty folder `fresh`, which will be called `name`; returns rows by file."""
    rows = {}
    for make in (_coco, _voc, _msrvtt, _chexpert, _hardneg):
        for file_name, table in make(Make(fresh, name, parts, sizes, seed)):
            negbench.write_csv(fresh / file_name, table)
            rows[file_name] = len(table)
    return rows


@dataclass(frozen=True, slots=True)
class Make:
    """What the files are made of: the new folder, its name to be, the parts of the world, sizes and seed."""

    fresh: Path
    name: str
    parts: dict[str, Path]
    sizes: Sizes
    seed: int


Tables = Iterator[tuple[str, pd.DataFrame]]


def _both(stem: str, seed: int, make: Callable[[Grammar | None], pd.DataFrame]) -> Tables:
    """A table by template and the same one paraphrased."""
    yield f"{stem}_template.csv", make(None)
    yield f"{stem}_paraphrased.csv", make(Grammar(seed))


def _mcq(stem: str, items: list[Labelled], made: Make, medium: str = "image") -> Tables:
    sizes = made.sizes
    asked = negbench.questions(items, per_picture=sizes.questions, absent=sizes.absent, medium=medium, seed=made.seed)
    yield from _both(f"{stem}_mcq", made.seed, lambda annotator: negbench.mcq_table(asked, medium, annotator))


def _retrieval(stem: str, items: list[Labelled], captions: int, made: Make, medium: str = "image") -> Tables:
    rows = negbench.queries(items, captions=captions, absent=made.sizes.absent, medium=medium, seed=made.seed)
    yield f"{stem}_retrieval.csv", negbench.plain_table(rows, medium)
    yield from _both(f"{stem}_retrieval", made.seed, lambda annotator: negbench.negated_table(rows, medium, annotator))


def _coco(made: Make) -> Tables:
    folder = made.parts["coco"] / "annotations"
    dataset = coco.load(folder / "captions_test2017.json", folder / "instances_test2017.json")
    items = negbench.from_coco(dataset, "coco/test2017")
    yield from _retrieval("coco", items, made.sizes.captions, made)
    yield from _mcq("coco", items, made)


def _voc(made: Make) -> Tables:
    dataset = voc.load(made.parts["voc"] / "VOCdevkit" / "VOC2007", "test")
    yield from _mcq("voc", negbench.from_voc(dataset, "voc/VOCdevkit/VOC2007/JPEGImages"), made)


def _msrvtt(made: Make) -> Tables:
    """Each clip with one caption, as in the paper; the nouns of all its captions together are what is in it."""
    dataset = msrvtt.load(made.parts["msrvtt"] / "MSRVTT_data.json", split="test")
    named = [frozenset(noun for text in said for noun in english.mentions(text)) for said in dataset["captions"]]
    items = negbench.from_msrvtt(dataset, [_precise(nouns) for nouns in named], "msrvtt/videos/all", seed=made.seed)
    implied = [tuple(sorted(truth.sayable(nouns) - set(_precise(nouns)))) for nouns in named]
    items = [dataclasses.replace(item, implied=also) for item, also in zip(items, implied, strict=True)]
    yield from _retrieval("msrvtt", items, 1, made, "video")
    yield from _mcq("msrvtt", items, made, "video")


def _precise(nouns: frozenset[str]) -> list[str]:
    """The nouns without "person" where it may be but another name for a woman or a baby."""
    other = any(SUPERCATEGORY[noun] == "person" for noun in nouns - {"person"})
    return sorted(nouns - {"person"} if other else nouns)


def _chexpert(made: Make) -> Tables:
    """The published files have one wording; the validation split, which states every finding."""
    dataset = chexpert.load(made.parts["chexpert"] / "CheXpert-v1.0-small" / "valid.csv")
    for stem, make in {"binary": negbench.binary, "4_choice": negbench.four_choice}.items():
        for wording in ("affirmation", "negation"):
            table = make(dataset, negated=wording == "negation", folder="chexpert", seed=made.seed)
            yield f"chexpert_{stem}_{wording}.csv", table


def _hardneg(made: Make) -> Tables:
    drawn = hardneg.pairs(made.sizes.pairs, made.seed, "hardneg")
    hardneg.write_pictures(made.fresh, drawn)
    yield "hardneg_retrieval_v1.csv", hardneg.retrieval_v1(drawn, made.seed)
    yield from _both(
        "hardneg_retrieval_v2", made.seed, lambda annotator: hardneg.retrieval_v2(drawn, made.seed, annotator)
    )
    yield from _both("hardneg_mcq", made.seed, lambda annotator: hardneg.mcq(drawn, annotator))
