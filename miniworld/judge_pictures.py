"""Images of the mini world with everything that is true of them: what the judge learns from and is tested on.

Images for training come from scenes of the training share, those for testing from the reserved quarter, so that the
judge is never tested on a scene that it, or any other model, was trained on.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniworld import faces, scenes, truth
from miniworld.faces import Face
from miniworld.scenes import SIZE, Scene
from negutil import progress
from negutil.captions import picture_facts
from negutil.captions.english import COLOURS
from negutil.captions.picture_facts import ACTION, COLOUR, FACE, OBJECT, PLACE, Fact, Truth
from negutil.errors import NegutilError

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
FACES = 0.25
"""Share of faces among the images."""

THINGS = ((1, 2, 3, 4, 5), (35, 35, 15, 10, 5))
"""How many things scenes have, and how often: prompts ask for one or two."""


@dataclass(frozen=True, slots=True)
class Known:
    """Images uint8 [N, 64, 64, 3], what is true of each, and the scene that each shows (None for faces)."""

    pictures: NDArray[np.uint8]
    truths: list[Truth]
    scenes: list[Scene | None]

    def __len__(self) -> int:
        return len(self.pictures)


def sample(count: int, split: str, seed: int = 0) -> Known:
    """``count`` images of a split; image i depends on (split, seed, i) alone. Raises NegutilError for no split."""
    if split not in SPLITS:
        raise NegutilError(f"There is no split {split!r} of the judge's images: choose among {', '.join(SPLITS)}.")
    known = Known(np.empty((count, SIZE, SIZE, 3), dtype=np.uint8), [], [])
    for index in progress.bar("drawing images", range(count), unit="image"):
        rng, scene = random.Random(f"judge/{split}/{seed}/{index}"), None
        if rng.random() < FACES:
            face = faces.sample(rng)
            known.pictures[index], facts = faces.draw(face), of_face(face)
        else:
            while scene is None or scenes.is_reserved(scene) != (split != TRAIN):
                scene = scenes.sample(rng, rng.choices(*THINGS)[0])
            known.pictures[index], facts = scenes.draw(scene), of_scene(scene)
        known.truths.append(facts)
        known.scenes.append(scene)
    return known


def of_scene(scene: Scene) -> Truth:
    """All facts that are true of the image of a scene; a woman or a baby is a person too."""
    found = {Fact(PLACE, "", scene.place)}
    for instance in truth.instances(scene):
        for name in truth.sayable(frozenset({instance.noun})):
            found |= {Fact(OBJECT, name), Fact(COLOUR, name, instance.colour)}
    for thing in scene.things:
        names = truth.sayable(frozenset({thing.noun}))
        found |= {picture_facts.worn(extra.relation, name, extra.noun) for name in names for extra in thing.extras}
        if thing.action in picture_facts.DOING:
            found.add(Fact(ACTION, thing.noun, str(thing.action)))
    return frozenset(found & picture_facts.INDEX.keys())


def of_face(face: Face) -> Truth:
    """All facts that are true of the image of a face, which is that of a person."""
    labels = face.attributes | {picture_facts.BEARD: face.facial_hair == "beard"}
    found = {Fact(FACE, "person", name) for name in picture_facts.FEATURES if labels[name]} | {Fact(OBJECT, "person")}
    return frozenset(found | {picture_facts.worn("wearing", "person", "hat")} if face.hat else found)


def held_out(count: int, seed: int = 0) -> Known:
    """``count`` images on which the judge is examined."""
    return sample(count, TEST, seed)


def spots(known: Known, cells: int) -> NDArray[np.int64]:
    """Where everything is: [K, 4] of image, cell (of ``cells`` in a row, by the middle of the box), noun, colour."""
    nouns = {fact.subject: place for place, fact in enumerate(picture_facts.THERE)}
    colours = {name: place for place, name in enumerate(COLOURS)}
    found = []
    for picture, scene in enumerate(known.scenes):
        for instance in truth.instances(scene) if scene else []:
            column, row = (min(int(at * cells / SIZE), cells - 1) for at in instance.centre)
            found.append((picture, row * cells + column, nouns[instance.noun], colours[instance.colour]))
    return np.array(found, dtype=np.int64).reshape(-1, 4)
