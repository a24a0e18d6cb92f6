"""The pretraining corpus: pictures of every part of the world, each with web-like alt texts."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from miniworld import alttext, clips, faces, grammar, radiographs, scenes, shapes
from miniworld.alttext import WEB_CUES, Cues
from miniworld.scenes import Scene

Drawer = Callable[[], np.ndarray]
Describer = Callable[[random.Random, Cues], str]


class Pair(NamedTuple):
    """A picture (uint8 [64, 64, 3]), its alt texts and the part of the world that it comes from."""

    picture: np.ndarray
    texts: list[str]
    part: str


def _sample(rng: random.Random, n_things: int | None = None, reserved: bool = False) -> Scene:
    """A scene of the training share, or of the one that is reserved for evaluation."""
    scene = scenes.sample(rng, n_things)
    return scene if scenes.is_reserved(scene) == reserved else _sample(rng, n_things, reserved)


def _scene(rng: random.Random, n_things: int | None = None) -> tuple[Drawer, Describer]:
    scene = _sample(rng, n_things)
    return partial(scenes.draw, scene), lambda source, cues: alttext.web_text(scene, source, cues)


def _face(rng: random.Random) -> tuple[Drawer, Describer]:
    face = faces.sample(rng)
    return partial(faces.draw, face), lambda source, cues: alttext.chatty_text(
        faces.describe(face, source), source, alttext.FACE_CHATTER, cues.elsewhere
    )


def _radiograph(rng: random.Random) -> tuple[Drawer, Describer]:
    item = radiographs.sample(rng)
    return partial(radiographs.draw, item), lambda source, cues: alttext.chatty_text(
        radiographs.describe(item, source), source, alttext.CHEST_CHATTER, cues.elsewhere, dressed=False
    )


def _shape(rng: random.Random) -> tuple[Drawer, Describer]:
    shape = shapes.sample(rng, split="train")
    return partial(shapes.draw, shape), lambda source, cues: alttext.plain_text(
        shapes.describe(shape, source), source, cues.elsewhere
    )


def _clip(rng: random.Random) -> tuple[Drawer, Describer]:
    """One frame of a clip that shows all its things, where there is one, with a caption of the whole clip."""
    clip = clips.sample(rng)
    frames = [frame for frame in clip.frames if frame.nouns == clip.nouns and not scenes.is_reserved(frame)]
    if not frames:
        return _clip(rng)
    return partial(scenes.draw, rng.choice(frames)), lambda source, cues: alttext.plain_text(
        clips.describe(clip, source), source, cues.elsewhere, dressed=False
    )


#: Parts of the corpus and their shares.
MIXTURE: dict[str, tuple[float, Callable[[random.Random], tuple[Drawer, Describer]]]] = {
    "scene": (0.38, _scene),
    "single": (0.22, partial(_scene, n_things=1)),
    "clip": (0.04, _clip),
    "face": (0.26, _face),
    "radiograph": (0.06, _radiograph),
    "shape": (0.04, _shape),
}


SCENES = MIXTURE["scene"][0] + MIXTURE["single"][0]
"""The share of pictures of which something can be denied."""


def pairs(count: int, texts_per_picture: int, seed: int, split: str = "train") -> Iterator[Pair]:
    """``count`` pictures with ``texts_per_picture`` alt texts each.

    Pair i depends on (split, seed, i) alone, so that a shorter corpus is a prefix of a longer one.
    """
    for part, draw, describe, rng in _drawn(count, seed, split):
        yield Pair(draw(), [describe(rng, WEB_CUES) for _ in range(texts_per_picture)], part)


def texts(count: int, texts_per_picture: int, seed: int, cues: Cues) -> Iterator[list[str]]:
    """Other texts of the pictures of ``pairs``, of which ``cues`` says how often they negate."""
    for _, _, describe, rng in _drawn(count, seed, "train"):
        yield [describe(rng, cues) for _ in range(texts_per_picture)]


def _drawn(count: int, seed: int, split: str) -> Iterator[tuple[str, Drawer, Describer, random.Random]]:
    names = tuple(MIXTURE)
    shares = [MIXTURE[name][0] for name in names]
    for index in range(count):
        rng = random.Random(f"corpus/{split}/{seed}/{index}")
        part = rng.choices(names, shares)[0]
        yield part, *MIXTURE[part][1](rng), rng


def held_out(count: int, seed: int) -> Iterator[Pair]:
    """``count`` scenes that the corpus does not have, each with one full affirmative caption: to watch learning by."""
    for index in range(count):
        rng = random.Random(f"corpus/val/{seed}/{index}")
        scene = _sample(rng, reserved=True)
        yield Pair(scenes.draw(scene), [grammar.full_caption(scene, rng)], "scene")
