"""The mini world with as few items as its parts take, and everything that negutil builds of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from miniworld import build as world
from miniworld.benchmarks import derived
from miniworld.benchmarks import tifa as tifa_items
from miniworld.benchmarks import valse as valse_items
from negutil import config
from negutil.captions import caption_sets, negbench_files
from negutil.config import Splits
from negutil.data import source
from negutil.train import glasses_sets

SIZES: dict[str, Any] = {
    "scenes": Splits(60, 10, 60),
    "voc": Splits(0, 0, 10),
    "refcocog": Splits(20, 10, 40),
    "phrasecut": Splits(4, 4, 10),
    "imagenet": Splits(0, 80, 0),
    "caltech101": Splits(0, 0, 80),
    "faces": Splits(10, 10, 20),
    "clips": Splits(0, 0, 4),
    "radiographs": Splits(10, 20, 0),
    "shapes": Splits(20, 10, 10),
    "ccneg": Splits(10, 0, 10),
    "alttexts": Splits(300, 0, 0),
}


def settings() -> config.Profile:
    """The quick profile with a world of these sizes."""
    quick = config.load("quick")
    return dataclasses.replace(quick, world=dataclasses.replace(quick.world, **SIZES))


def build(settings: config.Profile) -> list[Path]:
    """Build every part, and all that is made of them; returns their folders."""
    folders = [Path(outcome.folder) for outcome in world.build_all(settings)]
    folders += [caption_sets.build(settings), caption_sets.build(settings, 0.2), source.folder(settings, "negrefcocog")]
    folders += [negbench_files.folder(settings), valse_items.build(settings), tifa_items.build(settings, 10)]
    return [*folders, derived.build_ccneg_reversed(settings), glasses_sets.build_retrieval(settings)]
