"""What MiniSD is pretrained on: pictures of the mini world with affirmative web-like captions, and their pool on disk.

Faces, and one or two large things in fixed places: pictures about which a prompt can be kept. Where a thing may be
anywhere, noise hides for most of the training what it is said to look like, and a network this small, trained within
the hour, learns smudges. Design: "MiniSD".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from miniworld import alttext, drawing, faces, grammar, scenes
from miniworld.pretrain.pool import Item, Pool, pool_in
from miniworld.scenes import Scene, Thing
from negutil.captions.english import COLOURS, NOUNS

PICTURES = 60_000
FACES = 0.35  # share of the pictures; the rest are scenes
PLACES = {1: ((16, 16),), 2: ((0, 16), (32, 16))}  # left and top of each thing, in pixels, by their number
SIZE = "large"
TRIES = 1000  # to place a thing so
PEOPLE, PEOPLE_SHARE = ("person", "woman"), 0.2  # they act, wear and hold; otherwise every noun is as frequent
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
            face = faces.sample(rng)
            yield faces.draw(face), [alttext.dress(faces.describe(face, rng), rng) for _ in range(texts_per_picture)]
        else:
            scene = _sample(rng, reserved=split != "train")
            yield scenes.draw(scene), [alttext.dress(_caption(scene, rng), rng) for _ in range(texts_per_picture)]


def pool(folder: Path, pictures: int = PICTURES, seed: int = 0) -> Pool:
    """Open the pool in ``folder``, or build it where the folder does not exist.

    Raises NegutilError where the pool in the folder is damaged or has not that many pictures.
    """
    return pool_in(folder, pictures, seed, pairs, lambda count, seed: pairs(count, 1, seed, "val"))


def _caption(scene: Scene, rng: random.Random) -> str:
    """A caption that, of two things, names the left one first: the order is all that can tell which is where."""
    kind = rng.choices(CAPTION_KINDS, CAPTION_WEIGHTS)[0]
    while True:
        text = kind(scene, rng)
        places_in_text = [text.find(thing.noun) for thing in scene.things]
        if -1 in places_in_text or places_in_text == sorted(places_in_text):
            return text


def _sample(rng: random.Random, reserved: bool) -> Scene:
    """A scene of the training share, or of the reserved one."""
    wanted = rng.choice(tuple(PLACES))
    while True:
        scene = Scene(rng.choice(scenes.PLACE_NAMES), rng.randrange(drawing.VARIANTS), _things(rng, wanted))
        if len(scene.things) == wanted and scenes.is_reserved(scene) == reserved:
            return scene


def _things(rng: random.Random, wanted: int) -> tuple[Thing, ...]:
    """Up to ``wanted`` things of SIZE in their PLACES."""
    taken: list[Thing] = []
    for corner in PLACES[wanted]:
        noun = rng.choice(PEOPLE if rng.random() < PEOPLE_SHARE else NOUNS)
        colour = rng.choice(COLOURS)
        drafts = (scenes.place_thing(rng, noun, colour, taken, wanted) for _ in range(TRIES))
        fitting = (thing for thing in drafts if thing and thing.size == SIZE and thing.box[:2] == corner)
        taken += [thing for thing in (next(fitting, None),) if thing]
    return tuple(taken)
