"""Statistics against scipy, scikit-learn and hand-worked values, and their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from negutil import statistics
from negutil.statistics import Interval


def test_wilson_is_that_of_the_textbook() -> None:
    # Hand-worked: k = 8, n = 10, z = 1.959964.
    found = statistics.wilson(8, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.4902, 0.9433)
    assert found.value == 0.8
    assert found.n == 10


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_brackets_the_share_and_stays_within_0_and_1(pair: tuple[int, int]) -> None:
    k, n = pair
    found = statistics.wilson(k, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0


def test_half_widths_of_the_published_sizes() -> None:
    for n, points in ((534, 4.2), (440, 4.6), (5914, 1.2), (40000, 0.5)):
        found = statistics.wilson(round(0.6 * n), n)
        assert 100 * (found.high - found.low) / 2 == pytest.approx(points, abs=0.06)


def test_bootstrap_of_a_mean_agrees_with_scipy_and_with_the_general_form() -> None:
    values = np.random.default_rng(1).normal(2, 3, size=400)
    found = statistics.bootstrap_mean(values, resamples=4000, seed=2)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.03)
    assert found.high == pytest.approx(theirs.high, abs=0.03)
    general = statistics.bootstrap(statistics.weighted_mean, values, resamples=4000, seed=2)
    assert general.low == pytest.approx(found.low)
    assert general.high == pytest.approx(found.high)


def test_same_seed_same_interval_other_seed_other_interval() -> None:
    values = np.random.default_rng(1).random(50)
    first = statistics.bootstrap_mean(values, seed=5)
    assert first == statistics.bootstrap_mean(values, seed=5)
    assert first != statistics.bootstrap_mean(values, seed=6)


def test_chunks_do_not_change_the_number_of_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "CHUNK", 35)
    counts = list(statistics._draws(10, resamples=11, seed=0, width=10))
    assert [chunk.shape for chunk in counts] == [(3, 10), (3, 10), (3, 10), (2, 10)]
    assert all((chunk.sum(axis=1) == 10).all() for chunk in counts)


def test_items_that_repeat_in_clusters_widen_the_interval_as_they_should() -> None:
    values = np.random.default_rng(0).random(200)
    repeated, clusters = np.repeat(values, 5), np.repeat(np.arange(200), 5)
    honest = statistics.bootstrap_mean(repeated, clusters, seed=1)
    alone = statistics.bootstrap_mean(values, seed=1)
    naive = statistics.bootstrap_mean(repeated, seed=1)
    assert (honest.low, honest.high) == pytest.approx((alone.low, alone.high))
    assert (honest.high - honest.low) / (naive.high - naive.low) == pytest.approx(math.sqrt(5), rel=0.1)
    assert (honest.over, naive.over) == ("clusters", "items")


def test_clusters_may_be_names_and_of_any_size() -> None:
    values, clusters = [1.0, 2.0, 3.0, 10.0], ["a", "a", "b", "c"]
    found = statistics.bootstrap_mean(values, clusters, resamples=500)
    general = statistics.bootstrap(statistics.weighted_mean, values, clusters=clusters, resamples=500)
    assert found.value == 4.0
    assert (general.low, general.high) == pytest.approx((found.low, found.high))


def test_coverage_is_about_95_percent() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(300):
        found = statistics.bootstrap_mean(rng.random(100), resamples=400, seed=trial)
        hits += found.low <= 0.5 <= found.high
    assert 0.90 <= hits / 300 <= 0.98


def test_paired_bootstrap_sees_a_difference_that_unpaired_intervals_hide() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.random(300)
    a, b = difficulty + 0.02 + rng.normal(0, 0.01, 300), difficulty
    found = statistics.paired_bootstrap(a, b)
    assert found.value == pytest.approx((a - b).mean())
    assert found.low > 0
    assert statistics.bootstrap_mean(a).low < statistics.bootstrap_mean(b).high


def test_paired_bootstrap_turns_its_sign_with_its_arguments() -> None:
    a, b = np.random.default_rng(0).random((2, 80))
    one, other = statistics.paired_bootstrap(a, b), statistics.paired_bootstrap(b, a)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_a_conditional_rate_by_the_general_bootstrap() -> None:
    truth = np.array([True] * 40 + [False] * 60)
    right = np.array([True] * 30 + [False] * 70)

    def sensitivity(truth: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return statistics.weighted_mean(right, weights * truth)

    found = statistics.bootstrap(sensitivity, truth, right)
    assert found.value == pytest.approx(0.75)
    assert found.low == pytest.approx(0.61, abs=0.03)
    assert found.high == pytest.approx(0.88, abs=0.03)


@pytest.mark.parametrize(
    "call",
    [
        lambda: statistics.bootstrap_mean([]),
        lambda: statistics.paired_bootstrap([1.0], [1.0, 2.0]),
        lambda: statistics.bootstrap_mean([1.0, 2.0], clusters=[1]),
    ],
)
def test_arrays_of_different_length_or_empty_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"length|clusters"):
        call()  # type: ignore[operator]


def test_25000_items_in_5000_clusters_take_little_time_and_memory() -> None:
    values = np.random.default_rng(0).random(25_000)
    found = statistics.bootstrap_mean(values, np.repeat(np.arange(5000), 5), resamples=2000)
    assert found.low < found.value < found.high


def test_bootstrap_many_gives_what_bootstrap_gives_for_each_statistic() -> None:
    values = np.random.default_rng(1).normal(size=(80, 3))
    many = statistics.bootstrap_many(
        lambda table, weights: weights @ table / weights.sum(axis=1, keepdims=True), values, resamples=300, seed=7
    )
    for column, found in zip(values.T, many, strict=True):
        one = statistics.bootstrap(statistics.weighted_mean, column, resamples=300, seed=7)
        assert (found.value, found.low, found.high) == pytest.approx((one.value, one.low, one.high))
        assert (found.n, found.over) == (80, "items")


def test_a_share_of_none_or_all_is_not_certain() -> None:
    none = statistics.bootstrap_share(np.zeros(20, bool))
    limits = statistics.wilson(0, 20)
    assert (none.value, none.low, none.high, none.n) == (0.0, limits.low, limits.high, 20)
    every = statistics.bootstrap_share(np.ones(20, bool), np.repeat(np.arange(5), 4))
    assert (every.value, every.low, every.over) == (1.0, statistics.wilson(5, 5).low, "clusters")
    some = np.arange(20) < 5
    assert statistics.bootstrap_share(some) == statistics.bootstrap_mean(some)


def test_pooling_draws_of_the_same_size_averages_them_and_tests_whether_they_agree() -> None:
    draws = [Interval(value, value - 0.098, value + 0.098, 100, "items") for value in (0.50, 0.55, 0.60)]
    found, agree = statistics.pooled(draws)
    assert (found.value, found.n) == (pytest.approx(0.55), 300)
    assert found.high - found.value == pytest.approx(0.098 / np.sqrt(3))
    assert agree == pytest.approx(stats.chi2.sf(2 * (0.05 / 0.05) ** 2, 2), abs=1e-3)
    assert statistics.pooled([*draws[:2], Interval(0.9, 0.85, 0.95, 100, "items")])[1] < 1e-6
    assert np.isnan(statistics.pooled([*draws, Interval(1.0, 1.0, 1.0, 100, "items")])[1])


def test_p_values_agree_with_the_interval_they_are_read_from() -> None:
    assert statistics.p_value(0.6, 0.5, 0.7, 0.5) == pytest.approx(0.05)
    assert statistics.p_value(0.5, 0.4, 0.6, 0.5) == pytest.approx(1.0)
    assert np.isnan(statistics.p_value(1.0, 1.0, 1.0, 0.5))


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_items", "of_both"), [(5, 0.05, 0.4, 0.3), (3, 0.05, 0.4, 0.3), (5, 0.2, 0.1, 0.1)]
)
def test_two_way_intervals_cover_where_intervals_over_items_do_not(
    seeds: int, of_seeds: float, of_items: float, of_both: float
) -> None:
    rng = np.random.default_rng(1)
    trials, truth, both, alone = 200, 0.3, 0, 0
    for trial in range(trials):
        effects = of_seeds * rng.normal(size=(seeds, 1)) + of_items * rng.normal(size=(1, 100))
        values = truth + effects + of_both * rng.normal(size=(seeds, 100))
        wide = statistics.two_way_bootstrap(values, resamples=200, seed=trial)
        narrow = statistics.bootstrap_mean(values.mean(axis=0), resamples=200, seed=trial)
        both += wide.low <= truth <= wide.high
        alone += narrow.low <= truth <= narrow.high
    assert 0.91 <= both / trials <= 0.995
    assert alone < both - 5


def test_the_width_of_a_two_way_interval_is_that_of_the_known_variances() -> None:
    rng = np.random.default_rng(2)
    seeds, items = 40, 400
    values = 0.1 * rng.normal(size=(seeds, 1)) + 0.3 * rng.normal(size=(1, items))
    found = statistics.two_way_bootstrap(values, resamples=4000)
    expected = np.sqrt(0.1**2 / seeds + 0.3**2 / items)
    assert found.high - found.low == pytest.approx(2 * 1.96 * expected, rel=0.15)
    assert (found.n, found.over) == (items, "seeds and items")


def test_with_one_seed_the_two_way_bootstrap_is_that_of_the_items() -> None:
    values = np.random.default_rng(0).random((1, 90))
    clusters = np.repeat(np.arange(30), 3)
    found = statistics.two_way_bootstrap(values, clusters=clusters)
    items = statistics.bootstrap_mean(values[0], clusters)
    assert (found.value, found.low, found.high) == pytest.approx((items.value, items.low, items.high))
    assert (found.n, found.over) == (items.n, items.over)


def test_seeds_that_agree_add_nothing_but_what_student_asks_for() -> None:
    values = np.random.default_rng(0).random(300)
    same, items = statistics.two_way_bootstrap(np.stack([values] * 4)), statistics.bootstrap_mean(values)
    assert (same.high - same.low) / (items.high - items.low) == pytest.approx(1, abs=0.01)


def test_a_paired_two_way_difference_takes_out_what_two_models_share() -> None:
    rng = np.random.default_rng(3)
    shared = 0.2 * rng.normal(size=(5, 1)) + rng.normal(size=(1, 200))
    a, b = shared + 0.05 + 0.02 * rng.normal(size=(5, 200)), shared
    found = statistics.two_way_bootstrap(a, b)
    assert found.value == pytest.approx((a - b).mean())
    assert found.low > 0
    assert statistics.two_way_bootstrap(a).low < statistics.two_way_bootstrap(b).high
    over_one = statistics.two_way_bootstrap(a, b[0])
    assert over_one.value == pytest.approx((a - b[0]).mean())
    assert over_one.high - over_one.low > found.high - found.low


def test_draws_whose_intervals_cover_the_same_seeds_are_not_pooled_as_if_they_were_independent() -> None:
    draws = [Interval(value, value - 0.1, value + 0.1, 100, "seeds and items") for value in (0.5, 0.55, 0.6)]
    found, _ = statistics.pooled(draws)
    assert (found.value, found.high - found.low) == (pytest.approx(0.55), pytest.approx(0.2))
