"""Truth, naturalness, plausibility and diversity of captions with negation, against values worked out by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniworld import scenes
from miniworld.caption_truth import are_true
from miniworld.scenes import Extra, Scene, Thing
from miniworld.shapes import Shape
from negutil.captions import caption_quality, negbench
from negutil.captions.caption_quality import NGrams
from negutil.errors import NegutilError

PERSON = Thing("person", "red", "medium", (0, 0, 20, 20), "running", (Extra("hat", "blue", "wearing", (0, 0, 9, 9)),))
SCENE = Scene("beach", 0, (PERSON, Thing("dog", "green", "medium", (30, 30, 20, 20))))
CIRCLE = Shape("train", 3, "circle", "red", (), ())


def judged(updated: str, absent: str, kind: str = "object", about: str = "", shown: Any = SCENE) -> bool:
    row = {
        "image_id": 1,
        "caption": "a dog",
        "updated_caption": updated,
        "kind": kind,
        "absent": absent,
        "about": about,
    }
    return bool(are_true(pd.DataFrame([row]), {1: shown})[0])


@pytest.mark.parametrize(
    ("updated", "absent", "true"),
    [
        ("a dog, but no cat", "cat", True),
        ("a dog, but no person", "person", False),
        ("a dog, but no hat", "hat", False),
        # The annotator lost the negation, or put it on the wrong thing.
        ("a dog, and there is a cat", "cat", False),
        ("a dog, and there is a hat", "hat", True),
        ("a dog, but no dog", "cat", False),
        ("a dog without a puppy", "dog", False),
    ],
)
def test_the_text_is_judged_and_not_the_intention(updated: str, absent: str, true: bool) -> None:
    assert judged(updated, absent) == true


@pytest.mark.parametrize(
    ("kind", "absent", "about", "true"),
    [
        ("colour", "red", "person", False),
        ("colour", "green", "person", True),
        ("worn", "wearing a hat", "person", False),
        ("worn", "wearing a crown", "person", True),
        ("action", "running", "person", False),
        ("action", "skiing", "person", True),
    ],
)
def test_denials_of_what_things_are_like(kind: str, absent: str, about: str, true: bool) -> None:
    assert judged(f"a dog, and the {about} is not {absent}", absent, kind, about) == true


def test_a_denial_that_nobody_knows_about_is_refused() -> None:
    with pytest.raises(NegutilError, match="the floor is not clean"):
        judged("a dog, and the floor is not clean", "clean", "attribute", "floor")


@pytest.mark.parametrize(
    ("absent", "true"), [("red shape", False), ("circle", False), ("teal shape", True), ("rectangle", True)]
)
def test_shapes_of_easy_vqa(absent: str, true: bool) -> None:
    assert judged(f"a red circle, but no {absent}", absent, "presence", shown=CIRCLE) == true


# n-grams


def test_bigrams_by_hand() -> None:
    model = NGrams(["a b", "a c"], order=2, discount=0.5)
    # Words continue how many contexts: a 1 (<s>), b 1, c 1, end 2; five in all, five words with the unknown one.
    lowest = {word: (count - 0.5) / 5 + 0.5 * 4 / 5 / 5 for word, count in {"a": 1, "b": 1, "c": 1, "</s>": 2}.items()}
    first = (2 - 0.5) / 2 + 0.5 * 1 / 2 * lowest["a"]
    second = (1 - 0.5) / 2 + 0.5 * 2 / 2 * lowest["b"]
    last = (1 - 0.5) / 1 + 0.5 * 1 / 1 * lowest["</s>"]
    expected = -(math.log2(first) + math.log2(second) + math.log2(last)) / 3
    assert model.bits(["a b"])[0] == pytest.approx(expected)


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=6), min_size=1, max_size=8))
def test_probabilities_of_the_next_word_add_up_to_one(texts: list[list[str]]) -> None:
    model = NGrams([" ".join(text) for text in texts])
    known = {word for text in texts for word in text}
    for context in (("<s>", "<s>"), ("<s>", texts[0][0]), ("zz", texts[0][0]), ("zz", "yy")):
        words = [*known, "</s>", "never met"]
        assert sum(model._probability((*context, word)) for word in words) == pytest.approx(1)


def test_texts_like_those_of_training_take_the_fewest_bits() -> None:
    rng = random.Random(0)
    texts = [f"a {rng.choice(['red', 'blue'])} {rng.choice(['cat', 'dog'])} on a mat" for _ in range(50)]
    like, odd, shuffled = NGrams(texts).bits(["a red dog on a mat", "a red dog on a moon", "mat a on red a dog"])
    assert like < odd < shuffled


def test_references_are_of_the_same_captions() -> None:
    rows = pd.DataFrame({"caption": ["a dog"], "updated_caption": ["A dog, but no cat"], "absent": ["cat"]})
    found = caption_quality.references(rows)
    assert found["before"] == ["a dog"]
    assert found["template"] == ["a dog There is no cat in the image."]
    assert sorted(found["shuffled"][0].split()) == sorted(["a", "dog", ",", "but", "no", "cat"])


# Plausibility and diversity


def test_plausibility_is_a_rank_among_absent_objects() -> None:
    counts = negbench.cooccurrence([["cat", "dog"], ["cat", "dog"], ["cat", "fish"], ["bus", "car"]])
    # With a cat come dogs most, then fish; bus and car never do.
    found = caption_quality.plausibility(["dog", "fish", "bus", "cat", "moon"], [["cat"]] * 5, counts)
    assert found[:3] == pytest.approx([1.0, 2 / 3, (0 + 0.5) / 3])
    assert np.isnan(found[3:]).all()


def test_objects_at_random_have_a_plausibility_of_a_half() -> None:
    drawn = [scenes.sample(random.Random(number)) for number in range(400)]
    labels = [sorted(scene.nouns) for scene in drawn]
    counts = negbench.cooccurrence(labels)
    rng = random.Random(0)
    absent = [rng.choice([noun for noun in counts.index if noun not in nouns]) for nouns in labels]
    assert caption_quality.plausibility(absent, labels, counts).mean() == pytest.approx(0.5, abs=0.05)


def test_diversity_of_captions_that_are_alike() -> None:
    rows = pd.DataFrame({"updated_caption": ["no cat here"] * 4, "absent": ["cat"] * 4})
    found = caption_quality.diversity(rows)
    assert found["distinct words"] == pytest.approx(3 / 12)
    assert found["distinct word pairs"] == pytest.approx(2 / 8)
    assert [found[name] for name in ("cue entropy", "position entropy", "object entropy")] == [0, 0, 0]


@given(st.lists(st.sampled_from("abcd"), min_size=1))
def test_entropy_is_at_most_that_of_equal_shares(values: list[str]) -> None:
    assert 0 <= caption_quality.entropy(values) <= math.log2(len(set(values))) + 1e-9


def test_kinds_of_negation_are_shares() -> None:
    rows = pd.DataFrame(
        {"updated_caption": ["a dog, but no cat", "without a cat, a dog", "a dog, but no bus", "a dog"]}
    )
    found = caption_quality.kinds_of_negation(rows).set_index(["factor", "level"])["share"]
    assert found["cue"].to_dict() == {"no": 0.5, "without": 0.25, "none": 0.25}
    assert found["position"].to_dict() == {"last": 0.5, "first": 0.25, "none": 0.25}
