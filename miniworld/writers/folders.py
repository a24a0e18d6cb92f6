"""Class folders of single things: ImageNet's val/<class>/*.JPEG and Caltech101's 101_ObjectCategories.

The folders are named after the nouns of the world. Every class has the same number of images, give or take one; a
thing may wear or hold something, as in the other parts.

See docs/protocols.md#zero-shot.
"""

import random
from functools import partial
from pathlib import Path
from typing import Any

from miniworld import drawing, scenes
from miniworld.scenes import PLACE_NAMES, Scene
from miniworld.truth import Known
from miniworld.writers import _shared
from negutil import progress
from negutil.captions.english import COLOURS, NOUNS
from negutil.config import Splits
from negutil.errors import NegutilError


def single(noun: str, rng: random.Random) -> Scene:
    """One thing called ``noun`` in any place."""
    place, thing = rng.choice(PLACE_NAMES), None
    while thing is None:
        thing = scenes.place_thing(rng, noun, rng.choice(COLOURS), [], 1)
    return Scene(place, rng.randrange(drawing.VARIANTS), (thing,))


def _write(folder: Path, dataset: str, sizes: Splits, seed: int, pattern: str) -> dict[str, Any]:
    """Write the only split that has a size, no two images alike and the classes taking turns.

    ``pattern`` is the path of an image.
    """
    splits = _shared.size_of(sizes)
    if len(splits) != 1 or sum(splits.values()) < len(NOUNS):
        needs = f"needs one split of at least {len(NOUNS)} images, one per class"
        raise NegutilError(f"world.{dataset} is {splits}: {dataset} {needs}, so fix it in the profile.")
    ((split, count),) = splits.items()
    seen: set[bytes] = set()
    entries = []
    for index in progress.bar("drawing images", range(count), unit="image", leave=False):
        noun, rng = NOUNS[index % len(NOUNS)], random.Random(f"{dataset}/{split}/{seed}/{index}")
        problem = f"{dataset}: no new image of a {noun} after {index}; set a smaller {split} size."
        scene, _ = _shared.unseen(rng, partial(single, noun), scenes.draw, seen, problem)
        name = pattern.format(noun=noun, index=index + 1, turn=index // len(NOUNS) + 1)
        entries.append(Known(name, split, index + 1, scene))
    _shared.write_pictures(folder, entries)
    return {"counts": splits, "classes": len(NOUNS)}


def write_imagenet(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write val/<class>/ILSVRC2012_val_<number>.JPEG; return facts for the manifest."""
    return _write(folder, "imagenet", sizes, seed, "val/{noun}/ILSVRC2012_val_{index:08d}.JPEG")


def write_caltech101(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write 101_ObjectCategories/<class>/image_<number>.jpg; return facts for the manifest."""
    return _write(folder, "caltech101", sizes, seed, "101_ObjectCategories/{noun}/image_{turn:04d}.jpg")
