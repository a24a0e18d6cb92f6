"""The files of NegBench's 18 task variations, and the plain files beside them, built from the parts of the mini world.

``negutil.captions.negbench_files`` says what they are called. See docs/protocols.md#negbench.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from miniworld import build as world
from miniworld import truth
from miniworld.benchmarks import hardneg
from negutil.captions import english, negbench
from negutil.captions.english import SUPERCATEGORY
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
        captions: captions of each image in COCO retrieval.
        questions: multiple-choice questions about each image or clip.
        pairs: pairs of hard negatives.
        absent: how absent objects are chosen, "plausible" or "random".
    """

    captions: int = 5
    questions: int = 1
    pairs: int = 500
    absent: str = "plausible"


def sizes_of(settings: Profile) -> Sizes:
    """The sizes of a profile: a pair of hard negatives for every four images of COCO's test split."""
    return Sizes(pairs=max(2, settings.world.scenes.test // 4))


def build(settings: Profile, sizes: Sizes | None = None) -> Path:
    """The folder with the files of all variations: `negbench`, or negbench-random for random absent objects."""
    made, seed = sizes or sizes_of(settings), settings.world.seed
    name = FOLDER if made.absent == "plausible" else f"{FOLDER}-{made.absent}"
    parts = {part: world.build(part, settings) for part in PARTS}

    def fill(fresh: Path) -> dict[str, Any]:
        rows = {}
        for file_name, table in _tables(fresh, parts, made, seed):
            negbench.write_csv(fresh / file_name, table)
            rows[file_name] = len(table)
        return rows

    return world.benchmark(settings, name, __name__, fill, PARTS, sizes=dataclasses.asdict(made))


Tables = Iterator[tuple[str, pd.DataFrame]]


def _both(stem: str, seed: int, make: Callable[[Grammar | None], pd.DataFrame]) -> Tables:
    """A table by template and the same one paraphrased."""
    yield f"{stem}_template.csv", make(None)
    yield f"{stem}_paraphrased.csv", make(Grammar(seed))


def _tables(fresh: Path, parts: dict[str, Path], sizes: Sizes, seed: int) -> Tables:
    """Every file with its table; images of hard negatives go to the folder ``fresh``."""
    root = parts["coco"] / "annotations"
    images = coco.load(root / "captions_test2017.json", root / "instances_test2017.json")
    videos = msrvtt.load(parts["msrvtt"] / "MSRVTT_data.json", split="test")
    # Each clip with one caption, as in the paper; the nouns of all its captions together are what is in it.
    named = [frozenset(noun for text in texts for noun in english.mentions(text)) for texts in videos["captions"]]
    clips = negbench.from_msrvtt(videos, [_precise(nouns) for nouns in named], "msrvtt/videos/all", seed=seed)
    implied = [tuple(sorted(truth.sayable(nouns) - set(_precise(nouns)))) for nouns in named]
    clips = [dataclasses.replace(clip, implied=nouns) for clip, nouns in zip(clips, implied, strict=True)]
    objects = voc.load(parts["voc"] / "VOCdevkit" / "VOC2007", "test")
    for stem, items, captions, medium in (
        ("coco", negbench.from_coco(images, "coco/test2017"), sizes.captions, "image"),
        ("voc", negbench.from_voc(objects, "voc/VOCdevkit/VOC2007/JPEGImages"), 0, "image"),
        ("msrvtt", clips, 1, "video"),
    ):
        options: dict[str, Any] = {"absent": sizes.absent, "medium": medium, "seed": seed}
        if captions:
            queries = negbench.queries(items, captions=captions, **options)
            yield f"{stem}_retrieval.csv", negbench.retrieval_table(queries, medium, negated=False)
            yield from _both(f"{stem}_retrieval", seed, partial(negbench.retrieval_table, queries, medium))
        questions = negbench.questions(items, per_picture=sizes.questions, **options)
        yield from _both(f"{stem}_mcq", seed, partial(negbench.mcq_table, questions, medium))
    # The published files have one wording; the validation split, which states every finding.
    dataset = chexpert.load(parts["chexpert"] / "CheXpert-v1.0-small" / "valid.csv")
    for stem, make in {"binary": negbench.binary, "4_choice": negbench.four_choice}.items():
        for wording in ("affirmation", "negation"):
            table = make(dataset, negated=wording == "negation", folder="chexpert", seed=seed)
            yield f"chexpert_{stem}_{wording}.csv", table
    drawn = hardneg.pairs(sizes.pairs, seed)
    hardneg.write_pictures(fresh, drawn)
    yield "hardneg_retrieval_v1.csv", hardneg.retrieval_v1(drawn, seed)
    yield from _both("hardneg_retrieval_v2", seed, partial(hardneg.retrieval_v2, drawn, seed))
    yield from _both("hardneg_mcq", seed, partial(hardneg.mcq, drawn))


def _precise(nouns: frozenset[str]) -> list[str]:
    """The nouns without "person" where it may be but another name for a woman or a baby."""
    other = any(SUPERCATEGORY[noun] == "person" for noun in nouns - {"person"})
    return sorted(nouns - {"person"} if other else nouns)
