"""The files of NegBench's 18 task variations, and the plain files beside them, built from the parts of the mini world.

``negutil.captions.negbench_files`` says what they are called. See docs/protocols.md#negbench.
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
from miniworld.benchmarks import hardneg
from negutil.captions import english, negbench
from negutil.captions.english import SUPERCATEGORY
from negutil.captions.negbench import Labelled
from negutil.captions.statements import Grammar
from negutil.config import Profile
from negutil.data import chexpert, coco, msrvtt, voc

FOLDER = "negbench"
PARTS = ("coco", "voc", "msrvtt", "chexpert")
"""Parts of the world that the questions are about."""


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
    """The folder with the files of all variations: `negbench`, or negbench-random for random absent objects."""
    made, seed = sizes or sizes_of(settings), settings.world.seed
    name = FOLDER if made.absent == "plausible" else f"{FOLDER}-{made.absent}"
    parts = {part: world.build(part, settings) for part in PARTS}

    def fill(fresh: Path) -> dict[str, Any]:
        rows = {}
        for make in (_coco, _voc, _msrvtt, _chexpert, _hardneg):
            for file_name, table in make(Make(fresh, parts, made, seed)):
                negbench.write_csv(fresh / file_name, table)
                rows[file_name] = len(table)
        return rows

    return world.benchmark(settings, name, __name__, fill, PARTS, sizes=dataclasses.asdict(made))


@dataclass(frozen=True, slots=True)
class Make:
    """What the files are made of: the new folder, the parts of the world, sizes and seed."""

    fresh: Path
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
    yield f"{stem}_retrieval.csv", negbench.retrieval_table(rows, medium, negated=False)
    yield from _both(
        f"{stem}_retrieval", made.seed, lambda annotator: negbench.retrieval_table(rows, medium, annotator)
    )


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
