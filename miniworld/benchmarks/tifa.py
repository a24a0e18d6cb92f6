"""TIFA's captions and questions about the mini world, in the published format, with the pictures that they describe.

Captions are affirmative: one or two things in a place, or a face. Everything that a caption says is asked about: what
is there, its colour, what it does or wears, and where it is. The scenes are of the reserved quarter; their own
pictures show what a text-to-image model would score that draws as it is told.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniworld import build as world
from miniworld import faces, judge_pictures, scenes
from miniworld.scenes import Thing
from miniworld.writers import _shared
from negutil.captions import english, picture_facts
from negutil.captions.english import COLOURS, PLACES, SUPERCATEGORY
from negutil.captions.picture_facts import ACTION, COLOUR, FACE, OBJECT, PLACE, WORN, Fact
from negutil.config import Profile
from negutil.data import tifa

FOLDER, PICTURES = "tifa", "pictures.npy"
COUNT = 120
FACES = 0.2
TYPES = {COLOUR: "color", PLACE: "location", ACTION: "activity", WORN: "attribute", FACE: "attribute"}
GROUPS = {"person": "human", "animal": "animal", "food": "food"}
OPTIONS = {
    COLOUR: tuple(COLOURS),
    PLACE: tuple(place.phrase for place in PLACES.values()),
    ACTION: picture_facts.DOING,
}
CHOICES = 4
Described = tuple[str, list[Fact], NDArray[np.uint8]]
"""A caption, what it says, and the picture that it describes."""


def build(settings: Profile, count: int = COUNT) -> Path:
    """The folder ``settings.built/tifa`` with TIFA's two files, and the pictures that its captions describe."""
    fill = partial(write, count=count, seed=settings.world.seed)
    return world.benchmark(settings, FOLDER, __name__, fill, sizes={"test": count})


def write(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Write ``count`` captions with their questions and pictures into ``folder``; return facts about them."""
    drawn = list(described(count, seed))
    named = [(f"mini_{index:04d}", *item) for index, item in enumerate(drawn)]
    _shared.write_json(folder / tifa.TEXTS, [{"id": name, "caption": caption} for name, caption, *_ in named])
    asked = [row for name, caption, facts, _ in named for row in questions(name, caption, facts)]
    _shared.write_json(folder / tifa.QUESTIONS, asked)
    np.save(folder / PICTURES, np.stack([picture for *_, picture in named]))
    return {"captions": count, "questions": len(asked)}


def described(count: int, seed: int) -> Iterator[Described]:
    """``count`` different captions with what they say and their pictures."""
    seen: set[str] = set()
    index = 0
    while len(seen) < count:
        rng = random.Random(f"tifa/{seed}/{index}")
        index += 1
        item = _face(rng) if rng.random() < FACES else _scene(rng)
        if item[0] not in seen:
            seen.add(item[0])
            yield item


def _scene(rng: random.Random) -> Described:
    while True:
        scene = scenes.sample(rng, rng.choice((1, 1, 2)))
        names = ["person" if SUPERCATEGORY[thing.noun] == "person" else thing.noun for thing in scene.things]
        # Were two things called the same, "the dog" would not say which.
        if scenes.is_reserved(scene) and len(set(names)) == len(names):
            break
    told = [_told(thing) for thing in scene.things]
    said = english.enumerate_phrases([phrase for phrase, _ in told])
    facts = [fact for _, own in told for fact in own]
    place = Fact(PLACE, "", scene.place)
    return f"{said} {PLACES[scene.place].phrase}", [*facts, place], scenes.draw(scene)


def _told(thing: Thing) -> tuple[str, list[Fact]]:
    """A thing in words, with its colour, action and first piece of gear, and the facts that these state."""
    phrase, noun = english.with_article(f"{thing.colour} {thing.noun}"), thing.noun
    facts = [Fact(OBJECT, noun), Fact(COLOUR, noun, thing.colour)]
    if thing.action in picture_facts.DOING:
        phrase, facts = f"{phrase} {thing.action}", [*facts, Fact(ACTION, noun, str(thing.action))]
    for extra in thing.extras[:1]:
        gear = Fact(WORN, noun, f"{extra.relation} {extra.noun}")
        if gear in picture_facts.INDEX:
            phrase, facts = f"{phrase} {extra.relation} {english.with_article(extra.noun)}", [*facts, gear]
    return phrase, facts


def _face(rng: random.Random) -> Described:
    face = faces.sample(rng)
    features = sorted(fact for fact in judge_pictures.of_face(face) if fact.kind == FACE)
    if not features:
        return _face(rng)
    chosen = rng.sample(features, min(2, len(features)))
    said = " and ".join(picture_facts.FEATURES[fact.value] for fact in chosen)
    return f"a person {said}", [Fact(OBJECT, "person"), *chosen], faces.draw(face)


def questions(name: str, caption: str, facts: list[Fact]) -> list[dict[str, Any]]:
    """A question in the published format for everything that a caption says."""
    rng = random.Random(f"tifa/questions/{name}/{caption}")
    rows = []
    for fact in facts:
        kind = TYPES.get(fact.kind) or GROUPS.get(SUPERCATEGORY[fact.subject], "object")
        asked: dict[str, Any] = {"question": picture_facts.question(fact), "choices": ["yes", "no"], "answer": "yes"}
        if fact.kind in OPTIONS:
            answer = picture_facts.answer(fact)
            choices = [answer, *rng.sample([option for option in OPTIONS[fact.kind] if option != answer], CHOICES - 1)]
            rng.shuffle(choices)
            asked = {"question": picture_facts.open_question(fact), "choices": choices, "answer": answer}
        about = {"element_type": kind, "element": fact.value or fact.subject}
        rows.append({"id": name, "caption": caption, **asked, **about})
    return rows
