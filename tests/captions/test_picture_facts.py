from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniworld import faces, scenes
from miniworld.judge_pictures import of_face, of_scene
from miniworld.scenes import Extra, Scene, Thing
from negutil.captions import picture_facts
from negutil.captions.picture_facts import ACTION, COLOUR, FACE, OBJECT, PLACE, WORN, Fact
from negutil.errors import NegutilError

BOX = (0, 0, 20, 20)


def test_the_facts_of_a_scene() -> None:
    woman = Thing("woman", "red", "large", BOX, extras=(Extra("hat", "blue", "wearing", BOX),))
    runner = Thing("person", "green", "medium", BOX, action="running")
    assert of_scene(Scene("beach", 0, (woman, runner))) == {
        Fact(PLACE, "", "beach"),
        *(Fact(OBJECT, noun) for noun in ("woman", "person", "hat")),
        *(Fact(COLOUR, *pair) for pair in (("woman", "red"), ("person", "red"), ("hat", "blue"), ("person", "green"))),
        *(Fact(WORN, noun, "wearing hat") for noun in ("woman", "person")),
        Fact(ACTION, "person", "running"),
    }


def test_a_standing_person_does_nothing() -> None:
    standing = Thing("person", "green", "medium", BOX, action="standing")
    assert not any(fact.kind == ACTION for fact in of_scene(Scene("beach", 0, (standing,))))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_face_has_the_features_of_its_labels(seed: int) -> None:
    face = faces.sample(random.Random(seed))
    facts = of_face(face)
    assert Fact(OBJECT, "person") in facts
    assert (Fact(WORN, "person", "wearing hat") in facts) == (face.hat is not None)
    assert {fact.value for fact in facts if fact.kind == FACE} - {picture_facts.BEARD} == {
        name for name in picture_facts.FEATURES if name != picture_facts.BEARD and face.attributes[name]
    }


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_asked_is_answered_by_the_truth(seed: int, is_face: bool) -> None:
    rng = random.Random(seed)
    own = of_face(faces.sample(rng)) if is_face else of_scene(scenes.sample(rng))
    asked = picture_facts.askable(own, rng)
    assert asked
    assert all((fact in own) == answer for fact, answer in asked)
    there = {fact.subject for fact in own if fact.kind == OBJECT}
    assert all(fact.subject in there for fact, _ in asked if fact.kind in (COLOUR, ACTION, WORN, FACE))
    assert {fact.kind for fact, _ in asked} & ({PLACE, ACTION} if is_face else {FACE}) == set()


def test_labels_are_the_facts_in_their_order() -> None:
    rng = random.Random(0)
    truths = [of_scene(scenes.sample(rng)) for _ in range(5)]
    found = picture_facts.labels(truths)
    assert found.shape == (5, len(picture_facts.FACTS))
    for row, own in zip(found, truths, strict=True):
        assert {picture_facts.FACTS[place] for place in np.flatnonzero(row)} == own


def test_every_question_is_about_one_fact() -> None:
    assert all(picture_facts.fact_of(picture_facts.question(fact)) == fact for fact in picture_facts.FACTS)


def test_questions_are_good_english() -> None:
    wanted = {
        Fact(OBJECT, "umbrella"): "Is there an umbrella?",
        Fact(OBJECT, "scissors"): "Is there a pair of scissors?",
        Fact(COLOUR, "scissors", "red"): "Are the scissors red?",
        Fact(PLACE, "", "beach"): "Is this on the beach?",
        Fact(WORN, "dog", "wearing hat"): "Is the dog wearing a hat?",
        Fact(ACTION, "person", "running"): "Is the person running?",
        Fact(FACE, "person", "Mustache"): "Does the person have a mustache?",
        Fact(FACE, "person", "Eyeglasses"): "Is the person wearing glasses?",
    }
    assert {fact: picture_facts.question(fact) for fact in wanted} == wanted


@pytest.mark.parametrize("kind", [COLOUR, PLACE, ACTION])
def test_open_questions_are_answered_by_their_facts(kind: str) -> None:
    for fact in (fact for fact in picture_facts.FACTS if fact.kind == kind):
        assert picture_facts.fact_chosen(picture_facts.open_question(fact), picture_facts.answer(fact)) == fact


def test_unknown_questions_are_errors() -> None:
    with pytest.raises(NegutilError, match=r"cannot be asked 'Is there a unicorn\?'"):
        picture_facts.fact_of("Is there a unicorn?")
    with pytest.raises(NegutilError, match="no answer 'plaid'"):
        picture_facts.fact_chosen("What color is the dog?", "plaid")
    with pytest.raises(NegutilError, match="no open question"):
        picture_facts.open_question(Fact(OBJECT, "dog"))
