from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from negutil.errors import NegutilError
from negutil.models import scorer
from negutil.tasks import mcq

# Rows: right; wrong hybrid; wrong affirmation; wrong negation; tie with the right one; tie of two wrong ones.
SCORES = np.array(
    [
        [0.9, 0.1, 0.2, 0.3],
        [0.1, 0.9, 0.2, 0.3],
        [0.1, 0.2, 0.9, 0.3],
        [0.1, 0.2, 0.3, 0.9],
        [0.9, 0.1, 0.9, 0.3],
        [0.1, 0.9, 0.9, 0.3],
    ]
)
TYPES = ["positive", "positive", "negative", "negative", "hybrid", "hybrid"]
FIRST = np.zeros(6, int)
finite_scores = arrays.arrays(np.float64, (7, 4), elements=st.integers(0, 5).map(float))


def scores(options: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Cosines [N, K] of options [N, K, D] with the pictures [N, D]."""
    k, width = options.shape[1:]
    return scorer.paired_cosines(options.reshape(-1, width), images.repeat(k, axis=0)).reshape(-1, k)


def test_hand_worked_items() -> None:
    table = mcq.items(SCORES, FIRST, TYPES)
    assert tuple(table.columns) == mcq.COLUMNS
    assert table["chosen"].tolist() == [0, 1, 2, 3, -1, -1]
    assert table["right"].tolist() == [True, False, False, False, False, False]
    expected = ["correct", "wrong hybrid", "wrong affirmation", "wrong negation", "tie", "tie"]
    assert table["chosen_type"].tolist() == expected
    np.testing.assert_allclose(table["margin"], [0.6, -0.8, -0.8, -0.8, 0.0, -0.8])


def test_confusion_has_a_row_per_type_and_a_column_per_kind() -> None:
    table = mcq.items(SCORES, FIRST, TYPES)
    counts = mcq.confusion(table)
    assert list(counts.columns) == ["correct", "wrong hybrid", "wrong affirmation", "wrong negation", "tie"]
    assert list(counts.index) == ["hybrid", "negative", "positive"]
    assert counts.to_numpy().tolist() == [[0, 0, 0, 0, 2], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]
    np.testing.assert_allclose(mcq.confusion(table, share=True).sum(axis=1), 1)


def test_other_layouts_are_named_by_kinds_or_not_at_all() -> None:
    values, correct = SCORES[:4], np.array([0, 0, 1, 1])
    hard = mcq.items(values, correct, TYPES[:4], kinds=mcq.HARD_NEGATIVES)
    assert hard["chosen_type"].tolist() == ["correct", "wrong hybrid", "wrong hybrid", "wrong negation"]
    assert mcq.confusion(hard).loc["negative", "wrong hybrid"] == 1
    unknown = mcq.items(values, correct, TYPES[:4])
    assert unknown["chosen_type"].tolist() == ["correct", "wrong", "wrong", "wrong"]
    assert mcq.confusion(unknown).columns.tolist() == ["correct", "wrong", "tie"]
    two = mcq.items(SCORES[:, :2], np.array([0, 1, 0, 0, 0, 1]), kinds=("affirmation", "negation"))
    assert two["chosen_type"].tolist()[:3] == ["correct", "correct", "wrong negation"]


def test_a_constant_scorer_gets_nothing_where_the_published_argmax_gives_it_everything() -> None:
    same = np.ones((8, 5), np.float32) / np.sqrt(np.float32(5))
    values = scores(np.repeat(same[:, None], 4, axis=1), same)
    published = (values.argmax(axis=1) == 0).mean()
    assert published == 1.0
    found = mcq.accuracy(mcq.items(values, np.zeros(8, int), ["positive", "hybrid"] * 4))
    assert {name: interval.value for name, interval in found.items()} == dict.fromkeys(found, 0.0)
    assert set(found) == {"total", "positive", "hybrid", "macro"}


def test_who_always_takes_the_first_option_shown_gets_chance() -> None:
    order = mcq.orders(20_000, 4, seed=1)
    assert (order[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(4), (20_000, 1)))
    assert np.array_equal(order, mcq.orders(20_000, 4, seed=1))
    table = mcq.items(np.tile(SCORES, (500, 1)), np.zeros(3000, int))
    assert table["shown_at"].value_counts(normalize=True).to_numpy() == pytest.approx(0.25, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(finite_scores, st.integers(0, 2**31), st.integers(0, 2**31))
def test_the_order_of_the_options_changes_no_answer(values: np.ndarray, seed: int, other: int) -> None:
    correct = np.arange(7) % 4
    columns = ["chosen", "right", "chosen_type", "margin"]
    found = mcq.items(values, correct, order_seed=seed)[columns]
    assert found.equals(mcq.items(values, correct, order_seed=other)[columns])
    assert np.array_equal(found["right"], found["margin"] > 0)


def test_scores_are_cosines_and_equal_options_tie_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    options = rng.normal(size=(30, 5, 37)).astype(np.float32)
    images = rng.normal(size=(30, 37)).astype(np.float32)
    options[:, 4] = options[:, 1]
    found = scores(options, images)
    expected = [
        [float(option.astype(float) @ image.astype(float)) for option in row]
        for row, image in zip(options, images, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert np.array_equal(found[:, 4], found[:, 1])
    monkeypatch.setattr(scorer, "CHUNK", 400)
    assert np.array_equal(scores(options, images), found)


def test_accuracy_in_total_by_type_and_macro() -> None:
    right = np.array([True] * 30 + [False] * 10 + [True] * 5 + [False] * 15)
    values = np.where(right[:, None], [1.0, 0.0], [0.0, 1.0])
    table = mcq.items(values, np.zeros(60, int), ["positive"] * 40 + ["negative"] * 20)
    found = mcq.accuracy(table, resamples=500)
    assert found["total"].value == pytest.approx(35 / 60)
    assert (found["positive"].value, found["negative"].value) == (0.75, 0.25)
    assert (found["positive"].n, found["negative"].n, found["total"].n) == (40, 20, 60)
    assert found["macro"].value == pytest.approx(0.5)
    for interval in found.values():
        assert interval.low < interval.value < interval.high
        assert interval.over == "items"
    # The standard error of the mean of two shares.
    half = 1.96 * np.sqrt(0.75 * 0.25 / 40 + 0.25 * 0.75 / 20) / 2
    assert found["macro"].high - found["macro"].low == pytest.approx(2 * half, rel=0.15)
    assert set(mcq.accuracy(mcq.items(values, np.zeros(60, int)), resamples=10)) == {"total"}


def test_questions_about_one_picture_are_resampled_together() -> None:
    right = np.repeat(np.arange(50) < 20, 4)
    table = mcq.items(
        np.where(right[:, None], [1.0, 0.0], [0.0, 1.0]), np.zeros(200, int), ["positive", "hybrid"] * 100
    )
    alone, together = mcq.accuracy(table), mcq.accuracy(table, np.repeat(np.arange(50), 4))
    for name, interval in together.items():
        assert interval.over == "clusters"
        assert interval.high - interval.low > 1.3 * (alone[name].high - alone[name].low)


def test_difference_of_two_types() -> None:
    right = np.array([True] * 30 + [False] * 10 + [True] * 5 + [False] * 15)
    table = mcq.items(
        np.where(right[:, None], [1.0, 0.0], [0.0, 1.0]), np.zeros(60, int), ["positive"] * 40 + ["negative"] * 20
    )
    found = mcq.difference(table, "positive", "negative")
    assert found.value == pytest.approx(0.5)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 40 + 0.25 * 0.75 / 20)
    assert (found.low, found.high) == (pytest.approx(0.5 - half, abs=0.05), pytest.approx(0.5 + half, abs=0.05))
    with pytest.raises(NegutilError, match="no question of type 'hybrid'; choose among negative, positive"):
        mcq.difference(table, "positive", "hybrid")


def test_bad_input_is_a_sentence() -> None:
    broken = SCORES.copy()
    broken[3, 1] = np.nan
    with pytest.raises(NegutilError, match="Question 3 has a score that is not finite"):
        mcq.items(broken, FIRST)
    for wrong in (FIRST[:5], FIRST + 4, FIRST - 1):
        with pytest.raises(NegutilError, match="must be 6 numbers from 0 to 3"):
            mcq.items(SCORES, wrong)
    with pytest.raises(NegutilError, match="5 types for 6 questions"):
        mcq.items(SCORES, FIRST, TYPES[:5])
    with pytest.raises(NegutilError, match="3 kinds for 4 options"):
        mcq.items(SCORES, FIRST, TYPES, kinds=("a", "b", "c"))
    with pytest.raises(NegutilError, match="two options or more"):
        mcq.items(SCORES[:, :1], FIRST)
    with pytest.raises(NegutilError, match="do not fit"):
        scores(np.ones((3, 4, 8), np.float32), np.ones((4, 8), np.float32))
