"""What a model knows about presence, noun by noun: do pictures with a thing score above pictures without it?

For a noun X the score of every picture with "a photo of a X" is compared between pictures with and without X; the area
under the ROC curve (AUC) is the chance that a picture with X scores higher, 1/2 by guessing, ties counted half. The
look at negation asks the same of "a photo with no X": there the pictures *without* X should score higher, so a model
that overlooks "no" gets an AUC near 0 for absence, not 1/2. Design: MiniCLIP has to be good at affirmative language
before a failure on negation is about negation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import statistics
from negutil.errors import NegutilError
from negutil.statistics import Interval
from negutil.tasks import probe

Floats = NDArray[np.float64]
AFFIRMATIVE = "a photo of {article} {noun}"
NEGATED = "a photo with no {noun}"


@dataclass(frozen=True, slots=True)
class Presence:
    """AUC per noun (``table``: noun, auc, low, high, n, positives) and their ``mean`` over the nouns."""

    table: pd.DataFrame
    mean: Interval


def prompts(nouns: Sequence[str], template: str = AFFIRMATIVE) -> list[str]:
    """Fill ``template`` with each noun; ``{article}`` becomes "a" or "an"."""
    return [template.format(noun=noun, article="an" if noun[0] in "aeiou" else "a") for noun in nouns]


def scores(texts: NDArray[np.float32], images: NDArray[np.float32]) -> Floats:
    """Return cosine scores [N, K] of L2-normalised ``images`` [N, D] with ``texts`` [K, D]."""
    return images.astype(float) @ texts.astype(float).T


def presence(
    values: Floats,
    labels: Mapping[str, NDArray[np.bool_]],
    *,
    absence: bool = False,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Presence:
    """Return the AUC of each noun's column of ``values`` [N, K] for ``labels`` (noun: bool [N], in column order).

    With ``absence`` the picture without the noun should score higher, as for :data:`NEGATED`. The interval of the mean
    resamples pictures, which all nouns share, and keeps the nouns as they are.
    Raises NegutilError on empty or non-finite scores, and on a noun that all pictures have or none has.
    """
    truth = np.column_stack(list(labels.values())) if labels else np.zeros((0, 0), bool)
    _check(values, truth, list(labels))
    expected = ~truth if absence else truth
    placed = probe.placements(values, expected)
    *each, mean = statistics.bootstrap_many(_aucs_and_mean, placed, expected, resamples=resamples, seed=seed)
    table = pd.DataFrame(
        {
            "noun": list(labels),
            "auc": [interval.value for interval in each],
            "low": [interval.low for interval in each],
            "high": [interval.high for interval in each],
            "n": len(values),
            "positives": truth.sum(axis=0),
        }
    )
    return Presence(table, mean)


def _aucs_and_mean(placed: Floats, expected: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUC of every column under each row of ``weights`` [R, N], and last their mean: [R, K + 1].

    Resampled through DeLong's placement values, as in ``probe.metrics``; a noun that a resample leaves without
    positives or negatives is undefined there, and the mean is over the others.
    """
    own, others = placed * expected, placed * ~expected
    with np.errstate(invalid="ignore", divide="ignore"):
        found = weights @ own / (weights @ expected) + weights @ others / (weights @ ~expected)
    # Linear in the weights, so a resample may leave the scale that an area has.
    aucs = np.ma.masked_invalid(found - own.sum(axis=0) / expected.sum(axis=0)).clip(0, 1)
    return np.ma.column_stack([aucs, aucs.mean(axis=1)]).filled(np.nan)


def _check(values: Floats, truth: NDArray[np.bool_], nouns: list[str]) -> None:
    if values.size == 0 or truth.shape != values.shape:
        raise NegutilError(
            f"Presence needs a score for each of {truth.shape[0]} pictures and {len(nouns)} nouns, but has "
            f"{list(values.shape)}; give both for the same pictures and nouns."
        )
    if not np.isfinite(values).all():
        noun = nouns[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])]
        raise NegutilError(f"The scores for '{noun}' are not finite; check the model that made them.")
    share = truth.mean(axis=0)
    for noun, having in zip(nouns, share, strict=True):
        if having in (0, 1):
            raise NegutilError(f"{'Every' if having else 'No'} picture has '{noun}', so it has no AUC; leave it out.")
