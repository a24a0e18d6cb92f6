"""Presence and absence of things: how well one sentence about a thing orders pictures with it and without it.

For "a photo of a dog" the right pictures are those with a dog; for "there is no dog" those without. The AUC over all
pictures needs no threshold and no second prompt, so it is fair to a model that is merely shifted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from negutil import statistics
from negutil.errors import NegutilError
from negutil.statistics import Floats, Interval


def auc_by_thing(scores: np.ndarray, right: np.ndarray, weights: Floats) -> Floats:
    """AUC of every thing under every row of weights.

    Args:
        scores: [N, V], similarity of N pictures to the sentence about each of V things.
        right: [N, V]: 1 where the sentence is true of the picture, 0 where it is false, -1 where it is neither (such a
            picture is left out for this thing).
        weights: [R, N], how often each picture counts.

    Returns:
        [R, V]; ties count half; NaN where a thing has no right or no wrong picture.
    """
    drawn = weights.astype(np.float32)
    columns = [_auc(scores[:, thing], right[:, thing], drawn) for thing in range(scores.shape[1])]
    return np.stack(columns, axis=1).astype(float)


def _auc(scores: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC [R] of one thing, as a product with the matrix of won pairs: cheap, because right pictures are few."""
    better, worse = np.flatnonzero(right == 1), np.flatnonzero(right == 0)
    mine, theirs = scores[better][:, None], scores[worse][None, :]
    won = (mine > theirs).astype(np.float32) + np.float32(0.5) * (mine == theirs)
    first, second = weights[:, better], weights[:, worse]
    few = won.shape[0] <= won.shape[1]
    total = ((first @ won) * second).sum(axis=1) if few else (first * (second @ won.T)).sum(axis=1)
    pairs = first.sum(axis=1) * second.sum(axis=1)
    return np.divide(total, pairs, out=np.full(len(pairs), np.nan, dtype=np.float32), where=pairs > 0)


def mean_auc(scores: np.ndarray, right: np.ndarray, resamples: int, seed: int = 0) -> Interval:
    """Mean over things of the AUC (arguments as in ``auc_by_thing``), with a bootstrap interval over pictures.

    Raises NegutilError where a score is not finite or no thing has both right and wrong pictures.
    """
    check(scores, right)

    def statistic(numbers: np.ndarray, truth: np.ndarray, weights: Floats) -> Floats:
        return np.nanmean(auc_by_thing(numbers, truth, weights), axis=1)

    return statistics.bootstrap(statistic, scores, right, resamples=resamples, seed=seed)


def table(scores: np.ndarray, right: np.ndarray, things: Sequence[str]) -> pd.DataFrame:
    """AUC of each thing with its numbers of right and wrong pictures (columns noun, AUC, right, wrong)."""
    check(scores, right)
    values = auc_by_thing(scores, right, np.ones((1, len(scores))))[0]
    counts = {"right": (right == 1).sum(axis=0), "wrong": (right == 0).sum(axis=0)}
    return pd.DataFrame({"noun": list(things), "AUC": values, **counts})


def check(scores: np.ndarray, right: np.ndarray) -> None:
    """Raise NegutilError where scores and truth do not fit together, are empty or not finite."""
    if scores.shape != right.shape or scores.size == 0:
        raise NegutilError(f"Presence: scores {scores.shape} and truth {right.shape} must be equal and not empty.")
    if not np.isfinite(scores).all():
        picture, thing = np.argwhere(~np.isfinite(scores))[0]
        raise NegutilError(
            f"Presence: the score of picture {picture} for thing {thing} is not finite: encode it again."
        )
    if not ((right == 1).any(axis=0) & (right == 0).any(axis=0)).any():
        raise NegutilError("Presence: no thing has both pictures that are right and pictures that are wrong.")
