"""What a judge of images can be asked: facts about an image of the mini world, their truth, and their wording.

A fact is "there is a dog", "the dog is white", "the person is running", "the person is wearing a hat", "this is on the
beach" or "the person has a mustache". The truth comes from the scene or face that an image was drawn from. The kinds
are those of NegationCLIP's prompts for text to image (docs/protocols.md#neg-score), which ask for objects, attributes,
actions and things worn or held.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from negutil.captions import english
from negutil.captions.english import COLOURS, NOUNS, PLACES
from negutil.errors import NegutilError

OBJECT, PLACE, COLOUR, ACTION, WORN, FACE = KINDS = ("object", "place", "colour", "action", "worn or held", "face")
DOING = english.ACTIONS[1:]
BEARERS = {"wearing": english.WEARERS, "holding": english.HOLDERS}
GEAR = {"wearing": english.WEARABLE, "holding": english.HOLDABLE}
BEARD = "Beard"
_FACES = {name: phrase for name, phrase in english.FACE_PHRASES.items() if name not in ("Wearing_Hat", "No_Beard")}
FEATURES = _FACES | {BEARD: "with a beard"}
"""Features of a face with their phrases; a hat is something worn, and CelebA's No_Beard denies something itself."""

WORN_FEATURES = ("Eyeglasses", "Wearing_Necktie", "Wearing_Necklace", "Wearing_Earrings", "Wearing_Lipstick")
DENIED_FEATURES = (
    *WORN_FEATURES,
    *("Mustache", BEARD, "Goatee", "Smiling", "Bangs", "Rosy_Cheeks", "Bushy_Eyebrows"),
)
"""Features that prompts for text to image deny: those that one would miss in an image."""


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """Something that is true or false of an image; ``kind`` is one of KINDS.

    ``subject`` is the noun that it is about ("person" for features of a face, "" for a place), ``value`` a colour,
    action, "wearing hat", feature or place ("" where the fact is that the subject is there).
    """

    kind: str
    subject: str
    value: str = ""


def worn(relation: str, subject: str, noun: str) -> Fact:
    """The fact that ``subject`` is "wearing" or "holding" something."""
    return Fact(WORN, subject, f"{relation} {noun}")


THERE = tuple(Fact(OBJECT, noun) for noun in NOUNS)
RELATIONS = (
    *(Fact(ACTION, "person", action) for action in DOING),
    *(worn(relation, noun, gear) for relation in GEAR for noun in BEARERS[relation] for gear in GEAR[relation]),
)
OVERALL = (*(Fact(PLACE, "", place) for place in PLACES), *(Fact(FACE, "person", feature) for feature in FEATURES))
COLOURED = tuple(Fact(COLOUR, noun, colour) for noun in NOUNS for colour in COLOURS)
FACTS = (*THERE, *RELATIONS, *OVERALL, *COLOURED)
"""Every fact, in the order in which a judge answers."""

INDEX = {fact: place for place, fact in enumerate(FACTS)}
Truth = frozenset[Fact]


def labels(truths: Iterable[Truth]) -> NDArray[np.bool_]:
    """The truth of every fact about every image, bool [N, len(FACTS)]."""
    rows = [[INDEX[fact] for fact in facts] for facts in truths]
    true = np.zeros((len(rows), len(FACTS)), dtype=bool)
    for row, places in enumerate(rows):
        true[row, places] = True
    return true


def askable(facts: Truth, rng: random.Random) -> list[tuple[Fact, bool]]:
    """For every kind a true fact and a false one that it makes sense to ask about the image, where there are such.

    A colour is asked of something that is there, gear of somebody who could wear or hold it, a feature of a face.
    """
    chosen = []
    there = {fact.subject for fact in facts if fact.kind == OBJECT}
    # Of a portrait nobody asks where it is.
    is_face, hat = not any(fact.kind == PLACE for fact in facts), worn("wearing", "person", "hat")
    for kind in KINDS:
        about = [fact for fact in FACTS if fact.kind == kind]
        if kind not in (OBJECT, PLACE):
            about = [fact for fact in about if fact.subject in there]
        if kind != OBJECT:
            about = [fact for fact in about if (fact.kind == FACE) == is_face or (is_face and fact == hat)]
        true, false = sorted(fact for fact in facts if fact.kind == kind), sorted(set(about) - facts)
        chosen += [(rng.choice(options), answer) for options, answer in ((true, True), (false, False)) if options]
    return chosen


def question(fact: Fact) -> str:
    """The question that is answered with yes where ``fact`` is true."""
    if fact.kind == OBJECT:
        return f"Is there {english.with_article(fact.subject)}?"
    if fact.kind == PLACE:
        return f"Is this {PLACES[fact.value].phrase}?"
    if fact.kind == COLOUR:
        return f"{_be(fact.subject)} the {fact.subject} {fact.value}?"
    if fact.kind == WORN:
        relation, _, noun = fact.value.partition(" ")
        return f"Is the {fact.subject} {relation} {english.with_article(noun)}?"
    if fact.kind == ACTION:
        return f"Is the {fact.subject} {fact.value}?"
    first, _, rest = FEATURES[fact.value].partition(" ")
    return f"Does the person have {rest}?" if first == "with" else f"Is the person {FEATURES[fact.value]}?"


def _be(noun: str) -> str:
    return "Are" if noun in english.PLURAL_ONLY else "Is"


_QUESTIONS = {question(fact): fact for fact in FACTS}


def fact_of(text: str) -> Fact:
    """The fact that a yes/no question is about; raises NegutilError if the judge cannot be asked that."""
    if text not in _QUESTIONS:
        raise NegutilError(f"The judge of the mini world cannot be asked {text!r}: word it as picture_facts does.")
    return _QUESTIONS[text]


def open_question(fact: Fact) -> str:
    """The question to which ``fact`` is the answer: of a colour, a place or an action.

    Raises NegutilError for other kinds.
    """
    if fact.kind == COLOUR:
        return f"What color {_be(fact.subject).lower()} the {fact.subject}?"
    if fact.kind == PLACE:
        return "Where is this?"
    if fact.kind == ACTION:
        return f"What is the {fact.subject} doing?"
    raise NegutilError(f"There is no open question about {fact}: ask it with yes or no.")


def answer(fact: Fact) -> str:
    """How ``fact`` answers its open question: a colour, a place ("on the beach") or an action."""
    return PLACES[fact.value].phrase if fact.kind == PLACE else fact.value


_ANSWERS = {(open_question(fact), answer(fact)): fact for fact in FACTS if fact.kind in (COLOUR, PLACE, ACTION)}


def fact_chosen(text: str, choice: str) -> Fact:
    """The fact that ``choice`` states as an answer to an open question; raises NegutilError if there is none."""
    if (text, choice) not in _ANSWERS:
        raise NegutilError(f"The judge of the mini world knows no answer {choice!r} to {text!r}: fix the question.")
    return _ANSWERS[text, choice]
