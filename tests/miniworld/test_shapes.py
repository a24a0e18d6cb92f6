from __future__ import annotations

import random
import re

import easy_vqa
import numpy as np
import pytest

from miniworld import shapes
from negutil.errors import NegutilError

RGB = {"red": (255, 0, 0), "blue": (0, 0, 255), "black": (0, 0, 0), "yellow": (255, 255, 0)}


def test_the_split_is_the_packages() -> None:
    assert [len(shapes.load(split)) for split in shapes.SPLITS] == [4000, 1000]
    questions, answers, ids = easy_vqa.get_test_questions()
    own = [(q, a, s.image_id) for s in shapes.load("test") for q, a in zip(s.questions, s.answers, strict=True)]
    assert sorted(own) == sorted(zip(questions, answers, ids, strict=True))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(NegutilError, match="easy-VQA has no split 'val'"):
        shapes.load("val")


def test_pictures_have_an_answer_to_each_question() -> None:
    for shape in shapes.load("test")[:5]:
        picture = shapes.draw(shape)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert len(shape.answers) == len(shape.questions)


def test_facts_answer_every_yes_no_question_as_the_package_does() -> None:
    checked = 0
    for shape in shapes.load("test"):
        for question, answer in zip(shape.questions, shape.answers, strict=True):
            for values, fact in ((shapes.SHAPES, shape.shape), (shapes.COLOURS, shape.colour)):
                named = [value for value in values if re.search(rf"\b{value}\b", question)]
                if answer in ("yes", "no") and named and fact:
                    there = named[0] == fact
                    negated = re.search(r"\bno\b|\bnot\b", question) is not None
                    assert (answer == "yes") == (there != negated)
                    checked += 1
    assert checked > 5000


def test_facts_are_known_for_nearly_all_pictures() -> None:
    known = [shape.shape is not None and shape.colour is not None for shape in shapes.load("train")]
    assert np.mean(known) > 0.85


@pytest.mark.parametrize("colour", RGB)
def test_the_named_colour_is_in_the_picture(colour: str) -> None:
    for shape in [shape for shape in shapes.load("test") if shape.colour == colour][:10]:
        distance = np.abs(shapes.draw(shape).astype(int) - RGB[colour]).max(axis=2)
        assert (distance < 12).sum() >= 8


def test_captions_are_affirmative_and_true() -> None:
    for number in range(500):
        rng = random.Random(number)
        shape = shapes.sample(rng)
        caption = shapes.describe(shape, rng)
        assert not re.search(r"\b(no|not|without)\b|None", caption)
        named = [value for value in (*shapes.SHAPES, *shapes.COLOURS) if re.search(rf"\b{value}\b", caption)]
        assert set(named) <= {shape.shape, shape.colour}


def test_the_same_seed_gives_the_same_picture_and_caption() -> None:
    first, second = random.Random("shapes/test/0/1"), random.Random("shapes/test/0/1")
    one, other = shapes.sample(first, "test"), shapes.sample(second, "test")
    assert one == other
    assert np.array_equal(shapes.draw(one), shapes.draw(other))
    assert shapes.describe(one, first) == shapes.describe(other, second)
