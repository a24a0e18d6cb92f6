"""Scenes: one to five coloured things in a place. What is in the image is known exactly, so absence is too.

Design: "The mini world"; stands for COCO, VOC2007, Visual7W, VQAv2, RefCOCOg, PhraseCut, CC3M, ImageNet and Caltech101.
"""

import itertools
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from miniworld import drawing
from miniworld.drawing import ACTION_ICONS, HAND, HEAD, ICONS
from negutil.captions.english import ACTIONS, COLOURS, COMPANIONS, HOLDABLE, NOUNS, PLACES, SUPERCATEGORY, WEARABLE

SIZE = drawing.SIZE
Box = tuple[int, int, int, int]
SIDES: dict[str, int] = {"small": 14, "medium": 22, "large": 30}
EXTRA_SIDE: dict[str, int] = {"small": 10, "medium": 14, "large": 18}
STEP = 8  # things stand on a grid of so many pixels, as wide as one patch of MiniCLIP
COUNT_WEIGHTS = (20, 30, 25, 15, 10)
PLACE_NAMES = tuple(PLACES)
AT_HOME, ELSEWHERE, COMPANION = 10.0, 1.0, 25.0
PEOPLE = 3.0
REPEAT, DRESSED, ARMED = 0.18, 0.6, 0.55
MAX_OVERLAP = 0.12


@dataclass(frozen=True, slots=True)
class Extra:
    """A thing worn or held by another; ``box`` is x, y, width, height in pixels."""

    noun: str
    colour: str
    relation: str
    box: Box


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene; ``box`` is x, y, width, height in pixels, outline included."""

    noun: str
    colour: str
    size: str
    box: Box
    action: str | None = None
    extras: tuple[Extra, ...] = ()

    @property
    def icon(self) -> str:
        """Font Awesome name of the image of this thing."""
        return ACTION_ICONS[self.action] if self.action else ICONS[self.noun]

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, x then y, in pixels."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The box of the thing, then those of what it wears and holds."""
        return self.box, *(extra.box for extra in self.extras)


@dataclass(frozen=True, slots=True)
class Scene:
    """A place with its things, drawn in this order (later ones in front)."""

    place: str
    variant: int
    things: tuple[Thing, ...]

    @property
    def nouns(self) -> frozenset[str]:
        """Every noun that can be seen, things worn and held included."""
        return frozenset(noun for noun, _ in self.named())

    @property
    def extras(self) -> tuple[Extra, ...]:
        """Everything that is worn or held, in the order of drawing."""
        return tuple(extra for thing in self.things for extra in thing.extras)

    def named(self) -> Iterator[tuple[str, str]]:
        """(noun, colour) of every thing, worn and held ones included."""
        for thing in self.things:
            yield thing.noun, thing.colour
            for extra in thing.extras:
                yield extra.noun, extra.colour


@cache
def _weights(place: str, previous: str | None) -> tuple[float, ...]:
    """Cumulative weights over NOUNS of the next thing at ``place`` after ``previous``."""
    weights = {noun: AT_HOME if noun in PLACES[place].nouns else ELSEWHERE for noun in NOUNS}
    weights.update({noun: weights[noun] * PEOPLE for noun in NOUNS if SUPERCATEGORY[noun] == "person"})
    for group in COMPANIONS:
        if previous in group:
            weights.update({noun: weights[noun] + COMPANION for noun in group if noun != previous})
    return tuple(itertools.accumulate(weights.values()))


def shared_area(first: Box, second: Box) -> int:
    """How many pixels two boxes have in common."""
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(across, 0) * max(down, 0)


def _footprint(thing: Thing) -> Box:
    """Smallest box around a thing and what it wears and holds."""
    left, top = (min(box[side] for box in thing.boxes) for side in (0, 1))
    right, bottom = (max(box[side] + box[side + 2] for box in thing.boxes) for side in (0, 1))
    return left, top, right - left, bottom - top


def _extra(rng: random.Random, thing: Thing, relation: str) -> Extra | None:
    """Something for ``thing`` to wear or hold, or None if it is small, has no head or hand, or no room is left."""
    wearing = relation == "wearing"
    anchor = (HEAD if wearing else HAND).get(thing.icon)
    if anchor is None or thing.size == "small":
        return None
    noun, colour = rng.choice(WEARABLE if wearing else HOLDABLE), rng.choice(COLOURS)
    if noun == thing.noun or colour == thing.colour:
        return None
    height, width = drawing.sprite(ICONS[noun], EXTRA_SIDE[thing.size], colour).clear.shape[:2]
    x = round(thing.box[0] + anchor[0] * thing.box[2] - width / 2)
    y = round(thing.box[1] + anchor[1] * thing.box[3] - height * (0.75 if wearing else 0.5))
    inside = x >= 0 and y >= 0 and x + width <= SIZE and y + height <= SIZE
    return Extra(noun, colour, relation, (x, y, width, height)) if inside else None


def place_thing(rng: random.Random, noun: str, colour: str, taken: list[Thing], crowd: int) -> Thing | None:
    """A new thing of a random size, dressed at random, where there is room beside ``taken``; None after 16 failures.

    ``crowd`` is how many things are wanted in all: above three, none is large.
    """
    action = rng.choice(ACTIONS) if noun == "person" else None
    others = [_footprint(other) for other in taken]
    for _ in range(16):
        size = rng.choice(("small", "medium", "large") if crowd <= 3 else ("small", "medium"))
        draft = Thing(noun, colour, size, (0, 0, 0, 0), action)
        height, width = drawing.sprite(draft.icon, SIDES[size], colour).clear.shape[:2]
        x, y = (STEP * rng.randint(0, (SIZE - length) // STEP) for length in (width, height))
        thing = replace(draft, box=(x, y, width, height))
        worn = [relation for relation, chance in (("wearing", DRESSED), ("holding", ARMED)) if rng.random() < chance]
        thing = replace(thing, extras=tuple(extra for each in worn if (extra := _extra(rng, thing, each))))
        box = _footprint(thing)
        # Shared area over the smaller area.
        if all(shared_area(box, o) / min(box[2] * box[3], o[2] * o[3]) <= MAX_OVERLAP for o in others):
            return thing
    return None


def sample(rng: random.Random, n_things: int | None = None, place: str | None = None) -> Scene:
    """Make up a scene.

    Args:
        rng: source of all chance; the same state gives the same scene.
        n_things: things besides worn and held ones (1 to 5), by default 1 to 5 with most weight on two and three;
            fewer where the image has no room left.
        place: one of ``english.PLACES``, by default any.
    """
    place = place or rng.choice(PLACE_NAMES)
    wanted = n_things or rng.choices((1, 2, 3, 4, 5), COUNT_WEIGHTS)[0]
    taken: list[Thing] = []
    for _ in range(wanted):
        if taken and rng.random() < REPEAT:
            noun = rng.choice(taken).noun
        else:
            noun = rng.choices(NOUNS, cum_weights=_weights(place, taken[-1].noun if taken else None))[0]
        thing = place_thing(rng, noun, rng.choice(COLOURS), taken, wanted)
        taken += [thing] if thing else []
    return Scene(place, rng.randrange(drawing.VARIANTS), tuple(taken))


def is_reserved(scene: Scene) -> bool:
    """Whether a scene belongs to the quarter that is kept for validation and test.

    The rule depends only on the scene, so neither a training set nor the pretraining corpus ever shares a scene with an
    evaluation set, in whatever order they are drawn.
    """
    return zlib.crc32(repr(scene).encode()) % 4 == 0


def without(scene: Scene, noun: str) -> Scene:
    """The same scene with every ``noun`` taken away, worn and held ones too: an exact hard negative."""
    kept = (thing for thing in scene.things if thing.noun != noun)
    bare = (replace(t, extras=tuple(e for e in t.extras if e.noun != noun)) for t in kept)
    return replace(scene, things=tuple(bare))


def stamps(thing: Thing) -> Iterator[tuple[drawing.Sprite, Box]]:
    """Sprite and box of a thing, then of what it wears and holds, in the order of drawing."""
    yield drawing.sprite(thing.icon, SIDES[thing.size], thing.colour), thing.box
    for extra in thing.extras:
        yield drawing.sprite(ICONS[extra.noun], EXTRA_SIDE[thing.size], extra.colour), extra.box


def draw(scene: Scene) -> np.ndarray:
    """The image of a scene; uint8 [64, 64, 3]."""
    canvas = drawing.background(scene.place, scene.variant).copy()
    for thing in scene.things:
        for stamp, box in stamps(thing):
            drawing.blend(canvas, stamp, box[0], box[1])
    return canvas
