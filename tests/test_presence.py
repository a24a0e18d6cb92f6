from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from negutil.errors import NegutilError
from negutil.evaluation import presence


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(2, 50))
def test_equals_scikit_learn_with_ties_and_left_out_pictures(seed, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, size=(40, 3)).astype(float)
    right = rng.integers(-1, 2, size=(40, 3))
    right[:2] = [[0] * 3, [1] * 3]
    values = presence.auc_by_thing(scores, right, np.ones((1, 40)))[0]
    for thing in range(3):
        kept = right[:, thing] >= 0
        assert values[thing] == pytest.approx(roc_auc_score(right[kept, thing], scores[kept, thing]), abs=1e-6)


def test_weights_count_a_picture_as_often_as_they_say():
    rng = np.random.default_rng(0)
    scores, right, counts = rng.normal(size=(30, 2)), rng.integers(0, 2, size=(30, 2)), rng.integers(0, 3, size=30)
    twice = np.repeat(np.arange(30), counts)
    weighted = presence.auc_by_thing(scores, right, counts[None].astype(float))
    repeated = presence.auc_by_thing(scores[twice], right[twice], np.ones((1, len(twice))))
    assert weighted == pytest.approx(repeated, abs=1e-6)


def test_perfect_reversed_and_constant_scores():
    right = np.array([[1], [1], [0], [0], [0]])
    for scores, expected in ((right, 1.0), (-right, 0.0), (right * 0, 0.5)):
        interval = presence.mean_auc(scores.astype(float), right, resamples=50)
        assert interval.value == pytest.approx(expected)
        assert interval.low == pytest.approx(expected)


def test_a_thing_that_is_never_there_is_not_part_of_the_mean():
    right = np.array([[1, 0], [0, 0]])
    scores = np.array([[1.0, 3.0], [0.0, 2.0]])
    assert presence.mean_auc(scores, right, resamples=20).value == 1.0
    assert np.isnan(presence.table(scores, right, ["dog", "cat"])["AUC"][1])


@pytest.mark.parametrize(
    ("scores", "right", "words"),
    [
        (np.array([[np.nan], [0.0]]), np.array([[1], [0]]), "picture 0 for thing 0"),
        (np.zeros((2, 1)), np.zeros((3, 1)), "must be equal"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "not empty"),
        (np.zeros((2, 1)), np.ones((2, 1)), "both pictures"),
    ],
)
def test_bad_input_is_named(scores, right, words):
    with pytest.raises(NegutilError, match=words):
        presence.mean_auc(scores, right, resamples=10)
