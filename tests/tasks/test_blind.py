from __future__ import annotations

import numpy as np
import pytest

from negutil.errors import NegutilError
from negutil.tasks import blind, mcq

OPTIONS = [
    ["A cat and a dog.", "A bus, but no cat.", "A bus.", "There is no dog."],
    ["No bus here.", "There isn't a cat but a bus.", "A very long bus that is red.", "A dog is absent."],
    ["one cup", "two cup", "no cup", "not a cup"],
]


def at_random(preference: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """The chance [N] that each question is answered rightly if a tie at the top is broken at random."""
    top = preference == preference.max(axis=1, keepdims=True)
    return top[np.arange(len(top)), np.asarray(correct)] / top.sum(axis=1)


def chosen(rule: str, options: list[list[str]]) -> list[int]:
    return mcq.choose(blind.preferences(rule, options)).tolist()


def test_rules_by_hand() -> None:
    assert chosen("without cue", OPTIONS) == [-1, 2, -1]
    assert chosen("shortest", OPTIONS) == [2, 0, 2]
    assert chosen("longest", OPTIONS) == [1, -1, 3]
    assert mcq.choose(blind.preferences("with cue", [["a cat", "no cat"]])).tolist() == [1]


def test_every_rule_works_with_two_options_and_is_judged_like_a_model() -> None:
    options = [["a cat", "no cat"], ["a dog in a park", "no dog"], ["no bus", "a bus"]]
    for rule in blind.RULES:
        table = mcq.items(blind.preferences(rule, options), np.array([0, 0, 1]), ["a", "a", "b"])
        assert len(table) == 3
    assert mcq.accuracy(mcq.items(blind.preferences("without cue", options), [0, 0, 1]))["total"].value == 1.0


def test_ties_broken_at_random() -> None:
    preference = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0], [1.0, 0.0, 0.0, 0.0]])
    assert at_random(preference, np.zeros(4, int)).tolist() == [0.5, 0.0, 0.25, 1.0]


def test_bag_of_words_finds_a_text_prior_and_nothing_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    nouns = np.array(["cat", "dog", "bus", "cup", "key"])
    drawn = nouns[rng.integers(0, 5, (400, 2))]
    correct, pictures = rng.integers(0, 2, 400), np.repeat(np.arange(200), 2)
    told = [[f"a {one}", f"a {two}"] for one, two in drawn]
    giveaway = [
        [f"{text} {'truly' if index == right else 'maybe'}" for index, text in enumerate(texts)]
        for texts, right in zip(told, correct, strict=True)
    ]
    assert (mcq.choose(blind.bag_of_words_preferences(giveaway, correct, pictures)) == correct).mean() == 1.0
    differ = drawn[:, 0] != drawn[:, 1]
    values = blind.bag_of_words_preferences(told, correct, pictures)
    assert at_random(values, correct)[differ].mean() == pytest.approx(0.5, abs=0.08)
    assert (mcq.choose(values)[~differ] == -1).all(), "equal texts are a tie"
    assert np.array_equal(values, blind.bag_of_words_preferences(told, correct, pictures))


def test_bag_of_words_is_never_fitted_on_the_picture_that_it_judges() -> None:
    # Every picture has a word of its own that is always right: only who has seen the picture can know it.
    correct = np.tile([0, 1], 60)
    pictures = np.repeat(np.arange(30), 4)
    options = [
        [f"word{p}" if c == 0 else f"other{p}", f"word{p}" if c == 1 else f"other{p}"]
        for p, c in zip(pictures, correct, strict=True)
    ]
    by_picture = mcq.choose(blind.bag_of_words_preferences(options, correct, pictures))
    assert (by_picture == -1).all()
    by_question = mcq.choose(blind.bag_of_words_preferences(options, correct))
    assert (by_question == correct).mean() > 0.8


def test_halves_share_no_picture() -> None:
    pictures = np.repeat(np.arange(11), 3)
    first = blind.halves(pictures, seed=3)
    assert set(pictures[first]).isdisjoint(pictures[~first])
    assert len(set(pictures[first])) == 5
    assert not np.array_equal(first, blind.halves(pictures, seed=4))


def test_chance_in_retrieval() -> None:
    assert blind.chance_recall(50, 5) == 0.1
    assert blind.chance_recall(3, 5) == 1.0


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(NegutilError, match="no blind rule 'first'; choose among without cue"):
        blind.preferences("first", OPTIONS)
    for wrong in ([], [["a"]], [["a", "b"], ["a", "b", "c"]]):
        with pytest.raises(NegutilError, match="the same number above one"):
            blind.preferences("shortest", wrong)
    with pytest.raises(NegutilError, match="about one image"):
        blind.bag_of_words_preferences(OPTIONS, [0, 0, 0], [5, 5, 5])
