"""TIFA's captions and questions about the mini world, in the published format, with the images that they describe.

Captions are affirmative: one or two things in a place, or a face. Everything that a caption says is asked about: what
is there, its colour, what it does or wears, and where it is. The scenes are of the reserved quarter; their own
images show what a text-to-image model would score that draws exactly what the caption says.
"""

import itertools
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniworld import build as world
from miniworld import faces, judge_pictures, scenes
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
"""A caption, what it says, and the image that it describes."""


def build(settings: Profile, count: int = COUNT) -> Path:
    """The folder ``settings.built/tifa`` with TIFA's two files, and the images that its captions describe."""
    fill = partial(write, count=count, seed=settings.world.seed)
    return world.benchmark(settings, FOLDER, __name__, fill, sizes={"test": count})


def write(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Write ``count`` captions with their questions and images into ``folder``; return facts about them."""
    texts, rows, pictures = [], [], []
    for index, (caption, facts, picture) in enumerate(described(count, seed)):
        name = f"mini_{index:04d}"
        texts.append({"id": name, "caption": caption})
        rows += questions(name, caption, facts)
        pictures.append(picture)
    _shared.write_json(folder / tifa.TEXTS, texts)
    _shared.write_json(folder / tifa.QUESTIONS, rows)
    np.save(folder / PICTURES, np.stack(pictures))
    return {"captions": count, "questions": len(rows)}


def described(count: int, seed: int) -> list[Described]:
    """``count`` different captions with what they say and their images."""
    different: dict[str, Described] = {}
    for index in itertools.count():
        if len(different) == count:
            break
        rng = random.Random(f"tifa/{seed}/{index}")
        item = _face(rng) if rng.random() < FACES else _scene(rng)
        different.setdefault(item[0], item)
    return list(different.values())


def _scene(rng: random.Random) -> Described:
    while True:
        scene = scenes.sample(rng, rng.choice((1, 1, 2)))
        names = {"person" if SUPERCATEGORY[thing.noun] == "person" else thing.noun for thing in scene.things}
        # Were two things called the same, "the dog" would not say which.
        if scenes.is_reserved(scene) and len(names) == len(scene.things):
            break
    phrases, facts = [], []
    for thing in scene.things:
        # Its colour, its action and the first that it wears or holds.
        phrase, noun = english.with_article(f"{thing.colour} {thing.noun}"), thing.noun
        facts += [Fact(OBJECT, noun), Fact(COLOUR, noun, thing.colour)]
        if thing.action in picture_facts.DOING:
            phrase = f"{phrase} {thing.action}"
            facts.append(Fact(ACTION, noun, str(thing.action)))
        for extra in thing.extras[:1]:
            gear = Fact(WORN, noun, f"{extra.relation} {extra.noun}")
            if gear in picture_facts.INDEX:
                phrase = f"{phrase} {extra.relation} {english.with_article(extra.noun)}"
                facts.append(gear)
        phrases.append(phrase)
    caption = f"{english.enumerate_phrases(phrases)} {PLACES[scene.place].phrase}"
    return caption, [*facts, Fact(PLACE, "", scene.place)], scenes.draw(scene)


def _face(rng: random.Random) -> Described:
    face = faces.sample(rng)
    features = sorted(fact for fact in judge_pictures.of_face(face) if fact.kind == FACE)
    if not features:
        return _face(rng)
    chosen = rng.sample(features, min(2, len(features)))
    named = " and ".join(picture_facts.FEATURES[fact.value] for fact in chosen)
    return f"a person {named}", [Fact(OBJECT, "person"), *chosen], faces.draw(face)


def questions(name: str, caption: str, facts: list[Fact]) -> list[dict[str, Any]]:
    """A question in the published format for everything that a caption says."""
    rng = random.Random(f"tifa/questions/{name}/{caption}")
    rows = []
    for fact in facts:
        kind = TYPES.get(fact.kind) or GROUPS.get(SUPERCATEGORY[fact.subject], "object")
        question, choices, answer = picture_facts.question(fact), ["yes", "no"], "yes"
        if fact.kind in OPTIONS:
            answer = picture_facts.answer(fact)
            choices = [answer, *rng.sample([option for option in OPTIONS[fact.kind] if option != answer], CHOICES - 1)]
            rng.shuffle(choices)
            question = picture_facts.open_question(fact)
        row = {"id": name, "caption": caption, "question": question, "choices": choices, "answer": answer}
        rows.append({**row, "element_type": kind, "element": fact.value or fact.subject})
    return rows
