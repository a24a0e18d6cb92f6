"""The pretraining corpus: pictures of every part of the world, each with web-like alt texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from miniworld import alttext, clips, faces, grammar, radiographs, scenes, shapes
from miniworld.scenes import Scene

Describer = Callable[[random.Random], str]


class Pair(NamedTuple):
    """A picture (uint8 [64, 64, 3]), its alt texts and the part of the world that it comes from."""

    picture: np.ndarray
    texts: list[str]
    part: str


def _sample(rng: random.Random, n_things: int | None = None, reserved: bool = False) -> Scene:
    """A scene of the training share, or of the one that is reserved for evaluation."""
    scene = scenes.sample(rng, n_things)
    return scene if scenes.is_reserved(scene) == reserved else _sample(rng, n_things, reserved)


def _scene(rng: random.Random, n_things: int | None = None) -> tuple[np.ndarray, Describer]:
    scene = _sample(rng, n_things)
    return scenes.draw(scene), lambda source: alttext.web_text(scene, source)


def _face(rng: random.Random) -> tuple[np.ndarray, Describer]:
    face = faces.sample(rng)
    return faces.draw(face), lambda source: alttext.chatty_text(
        faces.describe(face, source), source, alttext.FACE_CHATTER
    )


def _radiograph(rng: random.Random) -> tuple[np.ndarray, Describer]:
    item = radiographs.sample(rng)
    return radiographs.draw(item), lambda source: alttext.chatty_text(
        radiographs.describe(item, source), source, alttext.CHEST_CHATTER, dressed=False
    )


def _shape(rng: random.Random) -> tuple[np.ndarray, Describer]:
    shape = shapes.sample(rng, split="train")
    return shapes.draw(shape), lambda source: alttext.plain_text(shapes.describe(shape, source), source)


def _clip(rng: random.Random) -> tuple[np.ndarray, Describer]:
    """One frame of a clip that shows all its things, where there is one, with a caption of the whole clip."""
    clip = clips.sample(rng)
    frames = [frame for frame in clip.frames if frame.nouns == clip.nouns and not scenes.is_reserved(frame)]
    if not frames:
        return _clip(rng)
    picture = scenes.draw(rng.choice(frames))
    return picture, lambda source: alttext.plain_text(clips.describe(clip, source), source, dressed=False)


#: Parts of the corpus and their shares.
MIXTURE: dict[str, tuple[float, Callable[[random.Random], tuple[np.ndarray, Describer]]]] = {
    "scene": (0.38, _scene),
    "single": (0.22, partial(_scene, n_things=1)),
    "clip": (0.04, _clip),
    "face": (0.26, _face),
    "radiograph": (0.06, _radiograph),
    "shape": (0.04, _shape),
}


def pairs(count: int, texts_per_picture: int, seed: int, split: str = "train") -> Iterator[Pair]:
    """``count`` pictures with ``texts_per_picture`` alt texts each.

    Pair i depends on (split, seed, i) alone, so that a shorter corpus is a prefix of a longer one.
    """
    names = tuple(MIXTURE)
    shares = [MIXTURE[name][0] for name in names]
    for index in range(count):
        rng = random.Random(f"corpus/{split}/{seed}/{index}")
        part = rng.choices(names, shares)[0]
        picture, describe = MIXTURE[part][1](rng)
        yield Pair(picture, [describe(rng) for _ in range(texts_per_picture)], part)


def held_out(count: int, seed: int) -> Iterator[Pair]:
    """``count`` scenes that the corpus does not have, each with one full affirmative caption: to watch learning by."""
    for index in range(count):
        rng = random.Random(f"corpus/val/{seed}/{index}")
        scene = _sample(rng, reserved=True)
        yield Pair(scenes.draw(scene), [grammar.full_caption(scene, rng)], "scene")
