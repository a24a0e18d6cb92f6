"""Where a profile's data come from: published datasets in the user's folder, the mini world, which draws them, or
Flickr8k's photographs in the place of some of them.

The package ``miniworld`` is reached here alone. ``folder`` finds or builds what is a dataset; ``world`` is for what
only a drawn world has: the truth about its images, the annotator that knows it, and the judge's images.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negutil import paths
from negutil.config import Profile
from negutil.data import built
from negutil.errors import NegutilError

WORLD, DOORS = "miniworld", "doors"
"""The package of the mini world, and its module with everything that it offers. Both are imported by name, so that no
cached result depends on the code that draws, but on what was drawn."""

PHOTOGRAPHS = "negutil.captions.photographs"
"""The module that makes datasets of Flickr8k's photographs, imported by name for the same reason."""

OF_PHOTOGRAPHS = ("coco", "negbench", "ccneg", "laion")
"""What it makes; other datasets of a profile of photographs are the published ones."""

ANNOTATING = ("miniworld.annotator", "miniworld.shapes")
"""Modules with the code that annotates drawn images: captions are written again where it has changed."""

STANDS_FOR = {
    "coco": "MS COCO: instances and captions",
    "voc": "PASCAL VOC 2007",
    "vqa": "VQA v2 questions about the images of coco",
    "refcocog": "RefCOCOg",
    "phrasecut": "PhraseCut",
    "imagenet": "ImageNet validation folders",
    "caltech101": "Caltech101 folders",
    "celeba": "CelebA",
    "msrvtt": "MSR-VTT",
    "chexpert": "CheXpert",
    "shapes": "VQA v2, with the images and questions of easy-VQA",
    "ccneg": "CC-Neg",
    "laion": "LAION-400M: metadata, with a few images",
    "negbench": "NegBench",
    "valse": "VALSE existence",
    "tifa": "TIFA",
    "ccneg-reversed": "CC-Neg with the truth turned round",
    "negrefcocog": "NegRefCOCOg",
    "t2i_prompts": "NegationCLIP's prompts for text to image",
}
"""Every dataset that a profile can have, by the name of its folder."""

WHERE = {
    "negbench": "download its files from the links in NegBench's datasets.md",
    "negrefcocog": "fetch NegRefCOCOg.json from github.com/parkquasar/NegationCLIP",
    "t2i_prompts": "put prompts_with_questions.json there",
}
"""How to get what is published apart from a dataset's usual files."""


@dataclass(frozen=True, slots=True)
class Example:
    """An image (uint8 [height, width, 3]; of a clip, four frames side by side) and a text about it."""

    picture: np.ndarray
    caption: str


def folder(settings: Profile, name: str, where: str = "") -> Path:
    """The folder of a dataset of STANDS_FOR: the published one where the profile wants it, else the mini world's.

    The latter is built if missing, as are the datasets that Flickr8k's photographs replace. ``where`` says how to get
    the published one. Raises NegutilError if that, or Flickr8k, is missing.
    """
    if is_world(settings):
        path: Path = world().build(name, settings)
        return path
    if settings.photographs and name in OF_PHOTOGRAPHS:
        made: Path = importlib.import_module(PHOTOGRAPHS).build(name, settings)
        return made
    own = paths.published() / name
    if own.is_dir() and not is_built(own):
        return own
    wanted = where or WHERE.get(name) or f"put {STANDS_FOR[name]} there in its published layout"
    raise NegutilError(f"{own} has no published data: {wanted}, or set NEGUTIL_DATA to the folder that has it.")


def is_world(settings: Profile) -> bool:
    """Whether a profile's data come from the mini world, and not from the user's folder of published ones."""
    return not settings.published


def has(settings: Profile, name: str) -> bool:
    """Whether a profile can have a dataset of STANDS_FOR at all: VQA has no questions about Flickr8k's photographs."""
    return settings.photographs is None or name != "vqa"


def is_built(folder: Path) -> bool:
    """Whether the data in a folder were made by this project, in its own layout."""
    return built.manifest(folder) is not None


def is_drawn(folder: Path) -> bool:
    """Whether the data in a folder were drawn, so that the truth about them is known."""
    return not (built.manifest(folder) or {PHOTOGRAPHS: True}).get(PHOTOGRAPHS)


def digest(folder: Path) -> str:
    """What identifies the data in a folder: the digest of all files where they were made here, else its path."""
    return str((built.manifest(folder) or {"sha256": folder})["sha256"])


def world(module: str = DOORS) -> Any:
    """The module DOORS of the mini world, for data that were drawn, or another one by its name in WORLD."""
    return importlib.import_module(f"{WORLD}.{module}")
