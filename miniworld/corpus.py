"""The pretraining corpus: images of every part of the world, each with web-like alt texts."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from miniworld import alttext, clips, drawing, faces, grammar, radiographs, scenes, shapes
from miniworld.alttext import LIGHTS, WEB_CUES, Cues, Light
from miniworld.scenes import Scene

Drawer = Callable[[], np.ndarray]
Describer = Callable[[random.Random, Cues, Light], str]


class Pair(NamedTuple):
    """An image (uint8 [64, 64, 3]), its alt texts and the part of the world that it comes from."""

    picture: np.ndarray
    texts: list[str]
    part: str


def _sample(rng: random.Random, n_things: int | None = None, reserved: bool = False) -> Scene:
    """A scene of the training share, or of the one that is reserved for evaluation."""
    scene = scenes.sample(rng, n_things)
    return scene if scenes.is_reserved(scene) == reserved else _sample(rng, n_things, reserved)


def _scene(rng: random.Random, n_things: int | None = None) -> tuple[Drawer, Describer]:
    scene = _sample(rng, n_things)
    return partial(scenes.draw, scene), lambda source, cues, light: alttext.web_text(scene, source, cues, light)


def _face(rng: random.Random) -> tuple[Drawer, Describer]:
    face = faces.sample(rng)
    return partial(faces.draw, face), lambda source, cues, light: alttext.plain_text(
        faces.describe(face, source), source, cues.elsewhere, light, chatter=alttext.FACE_CHATTER
    )


def _radiograph(rng: random.Random) -> tuple[Drawer, Describer]:
    item = radiographs.sample(rng)
    return partial(radiographs.draw, item), lambda source, cues, light: alttext.plain_text(
        radiographs.describe(item, source), source, cues.elsewhere, light, chatter=alttext.CHEST_CHATTER, dressed=False
    )


def _shape(rng: random.Random) -> tuple[Drawer, Describer]:
    shape = shapes.sample(rng, split="train")
    return partial(shapes.draw, shape), lambda source, cues, light: alttext.plain_text(
        shapes.describe(shape, source), source, cues.elsewhere, light
    )


def _clip(rng: random.Random) -> tuple[Drawer, Describer]:
    """One frame of a clip that shows all its things, where there is one, with a caption of the whole clip."""
    clip = clips.sample(rng)
    frames = [frame for frame in clip.frames if frame.nouns == clip.nouns and not scenes.is_reserved(frame)]
    if not frames:
        return _clip(rng)
    return partial(scenes.draw, rng.choice(frames)), lambda source, cues, light: alttext.plain_text(
        clips.describe(clip, source), source, cues.elsewhere, light, dressed=False
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
"""The share of images of which something can be denied."""


def pairs(count: int, texts_per_picture: int, seed: int, split: str = "train") -> Iterator[Pair]:
    """``count`` images with ``texts_per_picture`` alt texts each.

    Pair i depends on (split, seed, i) alone, so that a shorter corpus is a prefix of a longer one.
    """
    for part, draw, describe, rng, light in _drawn(count, seed, split):
        captions = [describe(rng, WEB_CUES, light) for _ in range(texts_per_picture)]
        yield Pair(drawing.lit(draw(), light), captions, part)


def texts(count: int, texts_per_picture: int, seed: int, cues: Cues) -> Iterator[list[str]]:
    """Other texts of the images of ``pairs``, of which ``cues`` says how often they negate."""
    for _, _, describe, rng, light in _drawn(count, seed, "train"):
        yield [describe(rng, cues, light) for _ in range(texts_per_picture)]


def _drawn(count: int, seed: int, split: str) -> Iterator[tuple[str, Drawer, Describer, random.Random, Light]]:
    names = tuple(MIXTURE)
    shares = [MIXTURE[name][0] for name in names]
    for index in range(count):
        rng = random.Random(f"corpus/{split}/{seed}/{index}")
        part = rng.choices(names, shares)[0]
        draw, describe = MIXTURE[part][1](rng)
        yield part, draw, describe, rng, rng.choice(LIGHTS)


def held_out(count: int, seed: int) -> Iterator[Pair]:
    """``count`` scenes that the corpus does not have, each with one full affirmative caption: to watch learning by."""
    for index in range(count):
        rng = random.Random(f"corpus/val/{seed}/{index}")
        scene = _sample(rng, reserved=True)
        yield Pair(scenes.draw(scene), [grammar.full_caption(scene, rng)], "scene")
