"""Intervals and paired tests for per-item scores (docs/protocols.md#statistics).

Every interval is a 95 % interval and says what it covers: "items", or "clusters" if items share an image or a prompt
and are therefore resampled together.  Only "seeds and items" (or "seeds and clusters") also cover the variation between
models trained from several seeds: seeds and items are resampled independently of each other.

The bootstrap here never loops over resamples: a resample is a row of weights (how often each item was sampled), so a
statistic is computed for many resamples at once by matrix products, in chunks of bounded memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Statistic = Callable[..., Floats]

LEVEL = 0.95
WIDTH = float(2 * stats.norm.ppf((1 + LEVEL) / 2))
"""Standard errors from one end to the other of a normal interval."""
CHUNK = 4_000_000  # weights held at once, 32 MB as float64
RESAMPLES = 2000
SEEDS = "seeds and "
"""How ``over`` begins if an interval also covers training seeds."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value from ``n`` items with its 95 % interval; ``over`` says what that covers ("seeds and items", ...)."""

    value: float
    low: float
    high: float
    n: int
    over: str

    @property
    def error(self) -> float:
        """The standard error of the value, if its interval is that of a normal distribution."""
        return (self.high - self.low) / WIDTH


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
    ``clusters`` [N] names each item's cluster: whole clusters are then resampled.  A resample in which the statistic is
    undefined (NaN) is left out.  Raises ValueError if the arrays differ in length or are empty.
    """
    options: dict[str, Any] = {"clusters": clusters, "resamples": resamples, "seed": seed}
    return bootstrap_many(lambda *given: statistic(*given)[:, None], *arrays, **options)[0]


def bootstrap_many(
    statistic: Statistic,
    *arrays: ArrayLike,
    clusters: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    by_seed: Sequence[ArrayLike] = (),
) -> list[Interval]:
    """``bootstrap`` for several statistics of the same resamples.

    ``statistic(*arrays, weights)`` returns [R, K]; the result has one interval for each of the K. ``by_seed`` has for
    each of them its values [S] with the models of each seed alone, whose mean it is: its interval then also
    covers seeds (``two_way_bootstrap``), unless there is only one.
    """
    items = [np.asarray(array) for array in arrays]
    n = _common_length(items)
    codes, count = _codes(clusters, n)
    values = statistic(*items, np.ones((1, n)))[0]
    drawn = np.concatenate([statistic(*items, counts[:, codes]) for counts in _draws(count, resamples, seed, width=n)])
    if not by_seed:
        return [_interval(float(value), column, n, clusters) for value, column in zip(values, drawn.T, strict=True)]
    found = []
    for value, column, own in zip(values, drawn.T, by_seed, strict=True):
        seeds = np.asarray(own, dtype=float)
        interval = _interval(float(value), _with_seeds(column, float(value), seeds, count, seed), n, clusters)
        found.append(replace(interval, over=SEEDS + interval.over) if len(seeds) > 1 else interval)
    return found


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

    If all answers are alike, so is every resample, and the bootstrap would claim certainty; Wilson's interval does not.
    It then counts each cluster as one answer, so it is rather too wide.
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


def two_way_bootstrap(
    a: ArrayLike,
    b: ArrayLike = 0.0,
    clusters: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of ``a - b`` [S, N] over S trained seeds and N items, with an interval that covers both.

    ``a`` has a row of values for each seed of a model, ``b`` those of another one from the same seeds, or one row
    [N] of a model without seeds (0: no difference). Items, or ``clusters`` [N] of them, are drawn as in ``bootstrap``,
    and as many seeds independently of them. A few seeds say little about how far seeds differ, and drawing from them
    says even less: their deviations are widened by sqrt(S / (S - 1)), and the whole by Student's t over the normal
    quantile, with the degrees of freedom that Welch and Satterthwaite give to the sum of the two variances. With one
    seed it is the bootstrap of the items.
    """
    values = np.atleast_2d(np.asarray(a, dtype=float) - np.asarray(b, dtype=float))
    options: dict[str, Any] = {"clusters": clusters, "resamples": resamples, "seed": seed}

    def mean(items: Floats, weights: Floats) -> Floats:
        return weighted_mean(items, weights)[:, None]

    return bootstrap_many(mean, values.mean(axis=0), by_seed=[values.mean(axis=1)], **options)[0]


def pooled(draws: Sequence[Interval]) -> tuple[Interval, float]:
    """The mean of independent samples of the same size, and the p-value that they differ only by chance.

    Standard errors are read off the draws' intervals, as if these were normal; the p-value is that of Cochran's Q, and
    NaN where a draw's interval has no width. Where intervals cover seeds, all draws are of the same trained models and
    share that error, so pooling narrows nothing: the interval is as wide as a draw's (and rather too wide).
    """
    values, errors = (np.array([getattr(draw, name) for draw in draws]) for name in ("value", "error"))
    shared = draws[0].over.startswith(SEEDS)
    error = errors.mean() if shared else np.sqrt((errors**2).sum()) / len(draws)
    mean, half = float(values.mean()), float(error * WIDTH / 2)
    interval = Interval(mean, mean - half, mean + half, sum(draw.n for draw in draws), draws[0].over)
    if (errors == 0).any():
        return interval, float("nan")
    weights = errors**-2.0
    heterogeneity = (weights * (values - np.average(values, weights=weights)) ** 2).sum()
    return interval, float(stats.chi2.sf(heterogeneity, len(draws) - 1))


def p_value(value: float, low: float, high: float, bound: float) -> float:
    """Two-sided p-value of ``bound`` for a value with its 95 % interval, read as normal; NaN without a width."""
    return float(2 * stats.norm.sf(abs(value - bound) * WIDTH / (high - low))) if high > low else float("nan")


def weighted_mean(values: NDArray[Any], weights: Floats) -> Floats:
    """Mean of ``values`` [N] under each row of ``weights`` [R, N]; NaN where a row's weights are all zero.

    A building block for ``bootstrap``: with values masked by a condition, ``weights * condition`` gives conditional
    rates such as a true positive rate.
    """
    total = weights.sum(axis=1)
    return np.divide(weights @ values.astype(float), total, out=np.full(len(total), np.nan), where=total > 0)


def _with_seeds(drawn: Floats, value: float, by_seed: Floats, units: int, seed: int) -> Floats:
    """The resampled values [R] over ``units`` moved by as many draws of seeds; see ``two_way_bootstrap``."""
    count = len(by_seed)
    if count < 2 or np.isnan(value):  # a number that is not defined stays so
        return drawn
    picks = np.concatenate(list(_draws(count, len(drawn), (seed, count), width=count)))
    moved = drawn + (picks @ by_seed / count - by_seed.mean()) * np.sqrt(count / (count - 1))
    of_items, of_seeds = float(np.nanvar(drawn)), float(by_seed.var(ddof=1)) / count
    if not of_items + of_seeds > 0:
        return moved
    freedom = (of_items + of_seeds) ** 2 / (of_items**2 / max(units - 1, 1) + of_seeds**2 / (count - 1))
    upper = (1 + LEVEL) / 2
    return value + (moved - value) * float(stats.t.ppf(upper, freedom) / stats.norm.ppf(upper))


def _draws(count: int, resamples: int, seed: int | tuple[int, int], width: int) -> Iterator[Floats]:
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
