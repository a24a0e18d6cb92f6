"""What MiniSD is pretrained on: pictures of the mini world with affirmative web-like captions, and their pool on disk.

One to three things and faces: pictures about which a prompt can be kept. Design: "MiniSD".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from negutil.errors import NegutilError
from negutil.training.pool import Item, Pool, build_pool, open_pool
from negutil.world import alttext, faces, grammar, scenes
from negutil.world.scenes import Scene

PICTURES = 100_000
CAPTIONS = 4
VALIDATION_PICTURES = 1000
FACES = 0.3  # share of the pictures; the rest are scenes
THINGS, THING_WEIGHTS = (1, 2, 3), (45, 40, 15)
CAPTION_KINDS = (grammar.full_caption, grammar.partial_caption, grammar.naming_caption)
CAPTION_WEIGHTS = (50, 25, 25)  # a picture can follow only what its caption says: fuller ones than the web's


def pairs(count: int, texts_per_picture: int, seed: int, split: str = "train") -> Iterator[Item]:
    """``count`` pictures (uint8 [64, 64, 3]) with ``texts_per_picture`` captions each, none of which negates.

    Pair i depends on (split, seed, i) alone. Scenes that are reserved for evaluation are not among the "train" ones,
    and they are all of the "val" ones.
    """
    for index in range(count):
        rng = random.Random(f"minisd/{split}/{seed}/{index}")
        if rng.random() < FACES:
            yield _face(rng, texts_per_picture)
        else:
            yield _scene(rng, texts_per_picture, reserved=split != "train")


def pool(folder: Path, pictures: int = PICTURES, seed: int = 0) -> Pool:
    """Open the pool in ``folder``, or build it where the folder does not exist.

    Raises NegutilError where the pool in the folder is damaged or has not that many pictures.
    """
    if not folder.exists():
        held_out = min(VALIDATION_PICTURES, pictures)
        validation = pairs(held_out, 1, seed, "val"), held_out
        train = pairs(pictures, CAPTIONS, seed)
        return build_pool(train, folder, pictures, CAPTIONS, seed=seed, validation=validation)
    found = open_pool(folder)
    if len(found) != pictures:
        raise NegutilError(f"The pool {folder} has {len(found)} pictures instead of {pictures}; choose another folder.")
    return found


def _face(rng: random.Random, texts: int) -> tuple[np.ndarray, list[str]]:
    face = faces.sample(rng)
    return faces.draw(face), [alttext.dress(faces.describe(face, rng), rng) for _ in range(texts)]


def _scene(rng: random.Random, texts: int, reserved: bool) -> tuple[np.ndarray, list[str]]:
    scene = _sample(rng, reserved)
    kinds = rng.choices(CAPTION_KINDS, CAPTION_WEIGHTS, k=texts)
    return scenes.draw(scene), [alttext.dress(caption(scene, rng), rng) for caption in kinds]


def _sample(rng: random.Random, reserved: bool) -> Scene:
    while True:
        scene = scenes.sample(rng, rng.choices(THINGS, THING_WEIGHTS)[0])
        if scenes.is_reserved(scene) == reserved:
            return scene
