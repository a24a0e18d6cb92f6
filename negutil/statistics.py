"""Intervals and paired tests for per-item scores (docs/protocols.md#statistics).

Every interval is a 95 % one and says what it covers: "items", or "clusters" where items share a picture or a prompt and
are therefore resampled together.  None of them covers the variation between trained models; for that, train several.

The bootstrap here never loops over resamples: a resample is a row of weights (how often each item was drawn), so a
statistic is computed for many resamples at once by matrix products, in chunks of bounded memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Statistic = Callable[..., Floats]

LEVEL = 0.95
CHUNK = 4_000_000  # weights held at once, 32 MB as float64
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A value from ``n`` items with its 95 % interval; ``over`` says what that covers ("items" or "clusters")."""

    value: float
    low: float
    high: float
    n: int
    over: str


def wilson(k: int, n: int, over: str = "items") -> Interval:
    """``k`` successes of ``n`` as a share with its Wilson interval, which behaves near 0 and 1."""
    bounds = stats.binomtest(k, n).proportion_ci(LEVEL, method="wilson")
    return Interval(k / n, float(bounds.low), float(bounds.high), n, over)


def bootstrap(
    statistic: Statistic,
    *arrays: ArrayLike,
    clusters: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of any weighted statistic of items.

    ``statistic(*arrays, weights)`` takes the arrays ([N, ...] each) and weights [R, N], and returns [R] values.
    ``clusters`` [N] names each item's cluster: whole clusters are drawn then.  A resample in which the statistic is
    undefined (NaN) is left out.  Raises ValueError where the arrays differ in length or are empty.
    """
    options: dict[str, Any] = {"clusters": clusters, "resamples": resamples, "seed": seed}
    return bootstrap_many(lambda *given: statistic(*given)[:, None], *arrays, **options)[0]


def bootstrap_many(
    statistic: Statistic,
    *arrays: ArrayLike,
    clusters: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """``bootstrap`` for several statistics of the same resamples.

    ``statistic(*arrays, weights)`` returns [R, K]; the result has one interval for each of the K.
    """
    items = [np.asarray(array) for array in arrays]
    n = _common_length(items)
    codes, count = _codes(clusters, n)
    values = statistic(*items, np.ones((1, n)))[0]
    drawn = np.concatenate([statistic(*items, counts[:, codes]) for counts in _draws(count, resamples, seed, width=n)])
    return [_interval(float(value), column, n, clusters) for value, column in zip(values, drawn.T, strict=True)]


def bootstrap_mean(
    values: ArrayLike, clusters: ArrayLike | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of ``values`` [N] with its percentile interval; ``clusters`` [N] as in ``bootstrap``."""
    numbers = np.asarray(values, dtype=float)
    n = _common_length([numbers])
    codes, count = _codes(clusters, n)
    # A mean needs only each cluster's sum and size, so the weights stay [R, clusters].
    sums, sizes = np.bincount(codes, numbers, count), np.bincount(codes, minlength=count).astype(float)
    drawn = [(counts @ sums) / (counts @ sizes) for counts in _draws(count, resamples, seed, width=count)]
    return _interval(float(numbers.mean()), np.concatenate(drawn), n, clusters)


def bootstrap_share(
    right: ArrayLike, clusters: ArrayLike | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Share of ``right`` (boolean [N]) with the interval of ``bootstrap_mean``, and Wilson's for none or all.

    Where all answers are alike, every resample is too, and the bootstrap would claim certainty; Wilson's interval does
    not. It takes each cluster as one answer then, so it is rather too wide.
    """
    answers = np.asarray(right, dtype=bool)
    found = bootstrap_mean(answers, clusters, resamples, seed)
    if answers.any() and not answers.all():
        return found
    _, units = _codes(clusters, len(answers))
    limits = wilson(units if answers.all() else 0, units)
    return Interval(found.value, limits.low, limits.high, found.n, found.over)


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of ``a - b`` over the same items [N]: the difference of two models, with its percentile interval."""
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    _common_length([first, second])
    return bootstrap_mean(first - second, clusters, resamples, seed)


def pooled(draws: Sequence[Interval]) -> tuple[Interval, float]:
    """The mean of independent draws of the same size, and the p-value that they differ no more than chance has it.

    Standard errors are read off the draws' intervals, as if these were normal; the p-value is that of Cochran's Q, and
    NaN where a draw's interval has no width.
    """
    width = 2 * stats.norm.ppf((1 + LEVEL) / 2)
    values = np.array([draw.value for draw in draws])
    errors = np.array([draw.high - draw.low for draw in draws]) / width
    mean, half = float(values.mean()), float(np.sqrt((errors**2).sum()) / len(draws) * width / 2)
    interval = Interval(mean, mean - half, mean + half, sum(draw.n for draw in draws), draws[0].over)
    if (errors == 0).any():
        return interval, float("nan")
    weights = errors**-2.0
    heterogeneity = (weights * (values - np.average(values, weights=weights)) ** 2).sum()
    return interval, float(stats.chi2.sf(heterogeneity, len(draws) - 1))


def p_value(value: float, low: float, high: float, bound: float) -> float:
    """Two-sided p-value of ``bound`` for a value with its 95 % interval, read as normal; NaN without a width."""
    width = 2 * stats.norm.ppf((1 + LEVEL) / 2)
    return float(2 * stats.norm.sf(abs(value - bound) * width / (high - low))) if high > low else float("nan")


def weighted_mean(values: NDArray[Any], weights: Floats) -> Floats:
    """Mean of ``values`` [N] under each row of ``weights`` [R, N]; NaN where a row's weights are all zero.

    A building block for ``bootstrap``: with values masked by a condition, ``weights * condition`` gives conditional
    rates such as a true positive rate.
    """
    total = weights.sum(axis=1)
    return np.divide(weights @ values.astype(float), total, out=np.full(len(total), np.nan), where=total > 0)


def _draws(count: int, resamples: int, seed: int, width: int) -> Iterator[Floats]:
    """Resamples of ``count`` units as multiplicities [r, count], in chunks of at most CHUNK / ``width`` rows."""
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // width)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(0, count, size=(size, count)) + np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(float)


def _codes(clusters: ArrayLike | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Each item's unit of resampling as a number, and how many units there are."""
    if clusters is None:
        return np.arange(n), n
    named, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if codes.shape != (n,):
        raise ValueError(f"clusters has shape {codes.shape}, but there are {n} items")
    return codes, len(named)


def _interval(value: float, drawn: Floats, n: int, clusters: ArrayLike | None) -> Interval:
    known = drawn[~np.isnan(drawn)]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(known, tails) if known.size else (np.nan, np.nan)
    return Interval(value, float(low), float(high), n, "items" if clusters is None else "clusters")


def _common_length(arrays: list[NDArray[Any]]) -> int:
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"arrays must have one common length above 0, not {sorted(lengths)}")
    return lengths.pop()
