"""Retrieval with true exclusion: does "X but no Y" bring the images with X and without Y to the top?

Two numbers per query, both from the scores of one query with a gallery of which every thing is known:

- average precision (AP) of the images with X and without Y among the whole gallery, the mean of which is mAP. A tie
  is no win: among equal scores the wrong images come first.
- AUC: the chance that an image with X and without Y scores above one with X and Y, ties counted half. A model that
  ignores what follows "but no" has 1/2; one that takes Y for a wish has less.

mAP is reported with the exact expectation of a random ranking, and of a ranking that puts all images with X first and
ignores Y. Intervals resample pairs (X, Y), all wordings of a pair together; they do not cover the choice of the
gallery.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import digamma
from scipy.stats import rankdata

from negutil import statistics
from negutil.captions.exclusion import ALONE, BOTH, ExclusionQuery
from negutil.errors import NegutilError
from negutil.models import scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.tasks import Entry, require_finite

ALL, TRAINED, HELD_OUT = (f"X without Y, {which} phrasings" for which in ("all", "usual", "held-out"))
"""Means over the wordings with a negation: all, those that training sets may have, and those kept for testing."""

CHUNK = 4_000_000  # scores held at once, 16 MB as float32
VALUES = {
    "mAP": "ap",
    "chance of mAP": "ap_chance",
    "mAP over chance": "ap_over_chance",
    "mAP knowing X alone": "ap_knowing_x",
    "mAP of X": "ap_of_x",
    "AUC": "auc",
    "share with AUC below 1/2": "below_half",
}
"""Metrics of ``summary`` and the columns of ``items`` that they are means of."""

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def average_precision(scores: NDArray[np.floating], right: Flags) -> Floats:
    """Average precision [Q] of the ``right`` images by ``scores`` (both [Q, N]); of equal ones the wrong come first.

    NaN where nothing is right.
    """
    wrong_first = np.argsort(right, axis=1, kind="stable")
    order = np.argsort(-np.take_along_axis(scores, wrong_first, axis=1), axis=1, kind="stable")
    hits = np.take_along_axis(np.take_along_axis(right, wrong_first, axis=1), order, axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    with np.errstate(invalid="ignore"):
        return (precision * hits).sum(axis=1) / hits.sum(axis=1)


def expected_average_precision(right: NDArray[np.integer], pictures: NDArray[np.integer]) -> Floats:
    """Exact mean AP of a random ranking of ``pictures`` of which ``right`` are right (arrays of one shape, 1 or more).

    With n images, r of them right, and H the n-th harmonic number it is H/n + (r - 1)(n - H) / (n(n - 1)).
    """
    harmonic = digamma(np.asarray(pictures) + 1.0) + np.euler_gamma
    return harmonic / pictures + (right - 1) * (pictures - harmonic) / (pictures * np.maximum(1, pictures - 1))


def auc(scores: NDArray[np.floating], right: Flags, against: Flags) -> Floats:
    """AUC [Q] of the ``right`` images against those of ``against`` (both bool [Q, N], disjoint) by ``scores`` [Q, N].

    Ties count half; images that are neither are left out. NaN where one of the two is empty.
    """
    counted = right | against
    # What is left out goes below everything, where it shifts every other rank by the same number.
    ranks = rankdata(np.where(counted, scores, -np.inf), axis=1) - (~counted).sum(axis=1, keepdims=True)
    count, others = right.sum(axis=1), against.sum(axis=1)
    above = (ranks * right).sum(axis=1) - count * (count + 1) / 2
    with np.errstate(invalid="ignore"):
        return above / (count * others)


def best(texts: NDArray[np.float32], images: NDArray[np.float32], count: int = 5) -> NDArray[np.int64]:
    """Rows [Q, count] of the images that score highest with each text, best first, the earlier among ties."""
    return np.argsort(-(texts @ images.T), axis=1, kind="stable")[:, :count]


def items(
    queries: Sequence[ExclusionQuery],
    texts: NDArray[np.float32],
    images: NDArray[np.float32],
    there: Mapping[str, Flags],
) -> pd.DataFrame:
    """One row per query: the fields of the query, ``pair``, and

    ap, ap_chance, ap_over_chance, ap_knowing_x (expected of a ranking that knows X and nothing of Y), ap_of_x (AP of
    all images with X), auc, below_half (whether it is), pictures_right (X without Y), pictures_both (X and Y).

    texts [Q, D] and images [N, D] are L2-normalised; ``there`` says for each noun which images show it (bool [N]).
    Raises NegutilError if they do not fit together, and on a feature that is not finite.
    """
    if not queries or len(texts) != len(queries) or len(images) == 0:
        raise NegutilError(
            f"Exclusion has {len(queries)} queries, {len(texts)} texts and {len(images)} images: encode a text for "
            "each query, and at least one image."
        )
    require_finite(texts, "query")
    require_finite(images, "picture")
    _check_labels(queries, len(images), there)
    parts, rows = [], max(1, CHUNK // len(images))
    for start in range(0, len(queries), rows):
        part = queries[start : start + rows]
        scores = texts[start : start + rows] @ images.T
        wanted, excluded = (
            np.stack([there[getattr(query, side)] for query in part]) for side in ("wanted", "excluded")
        )
        right, both = wanted & ~excluded, wanted & excluded
        counts, every = right.sum(axis=1), np.full(len(part), len(images))
        measured = {
            "ap": average_precision(scores, right),
            "ap_chance": expected_average_precision(counts, every),
            "ap_knowing_x": expected_average_precision(counts, wanted.sum(axis=1)),
            "ap_of_x": average_precision(scores, wanted),
            "auc": auc(scores, right, both),
            "pictures_right": counts,
            "pictures_both": both.sum(axis=1),
        }
        parts.append(pd.DataFrame([dataclasses.asdict(query) for query in part]).assign(**measured))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "pair", table["wanted"] + " without " + table["excluded"])
    return table.assign(ap_over_chance=table["ap"] - table["ap_chance"], below_half=table["auc"] < 0.5)


def areas(
    model: LoadedModel | Scorer,
    queries: Sequence[ExclusionQuery],
    images: NDArray[np.float32],
    there: Mapping[str, Flags],
) -> Floats:
    """Return the ``auc`` [Q] of ``items`` by the scores of ``model``: each query is asked of images with X alone.

    ``images`` [N, D] are features of its image tower. Raises NegutilError if the labels do not fit, and on a score
    that is not finite.
    """
    who, texts = scorer.of(model), [query.text for query in queries]
    _check_labels(queries, len(images), there)
    who.remember(texts)
    pairs: dict[tuple[str, str], list[int]] = {}
    for row, query in enumerate(queries):
        pairs.setdefault((query.wanted, query.excluded), []).append(row)
    areas_of = np.full(len(queries), np.nan)
    for (wanted, excluded), rows in pairs.items():
        with_x = np.flatnonzero(there[wanted])
        if len(with_x):
            scores = who.matrix([texts[row] for row in rows], images[with_x])
            require_finite(scores, "query")
            both = np.broadcast_to(there[excluded][with_x], scores.shape)
            areas_of[rows] = auc(scores, ~both, both)
    return areas_of


def summary(items: pd.DataFrame, *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Means over the pairs with intervals: columns form, cue, held_out, metric, value, low, high, n, over.

    ``form`` is every wording, the two controls, and the means ALL, TRAINED and HELD_OUT. Metrics are those of VALUES
    and, for mAP and AUC, the paired differences "minus X alone" and "minus X and Y". ``n`` counts pairs.
    Raises NegutilError if a pair lacks a wording.
    """
    values = items.rename(columns={column: metric for metric, column in VALUES.items()})
    negated = values[values["cue"] != ""]
    groups = (
        *values.groupby("form", sort=False),
        (ALL, negated),
        (TRAINED, negated[~negated["held_out"]]),
        (HELD_OUT, negated[negated["held_out"]]),
    )
    by_pair = {form: part.groupby("pair")[list(VALUES)].mean() for form, part in groups if len(part)}
    columns = {(form, metric): part[metric] for form, part in by_pair.items() for metric in VALUES}
    for control in (name for name in (ALONE, BOTH) if name in by_pair):
        for form, part in by_pair.items():
            gains = {f"{metric} minus {control}": part[metric] - by_pair[control][metric] for metric in ("mAP", "AUC")}
            columns |= {(form, name): gain for name, gain in gains.items() if form != control}
    table = pd.DataFrame(columns)  # a row per pair, a column per (form, metric)
    if table.empty or table.isna().to_numpy().any():
        raise NegutilError("The items of exclusion lack a wording of some pair: evaluate every query of every pair.")

    def means(values: Floats, weights: Floats) -> Floats:
        return weights @ values / weights.sum(axis=1, keepdims=True)

    intervals = statistics.bootstrap_many(
        means, table.to_numpy(float), clusters=np.array(table.index), resamples=resamples, seed=seed
    )
    names = pd.DataFrame(list(table.columns), columns=["form", "metric"])
    about = items.drop_duplicates("form").set_index("form")
    names["cue"] = names["form"].map(about["cue"]).fillna("")
    names["held_out"] = names["form"].map(about["held_out"]).fillna(names["form"] == HELD_OUT).astype(bool)
    numbers = pd.DataFrame([dataclasses.asdict(interval) for interval in intervals])
    return pd.concat([names[["form", "cue", "held_out", "metric"]], numbers], axis=1)


def _check_labels(queries: Sequence[ExclusionQuery], pictures: int, there: Mapping[str, Flags]) -> None:
    if not queries or not pictures:
        raise NegutilError(f"Exclusion has {len(queries)} queries and {pictures} images: give at least one of each.")
    for noun in dict.fromkeys(noun for query in queries for noun in (query.wanted, query.excluded)):
        if noun not in there or len(there[noun]) != pictures:
            raise NegutilError(f"The labels of '{noun}' do not fit the {pictures} images: label the same ones.")


TASKS = (Entry("Exclusion", "AUC", "coco2017", "queries: X but no Y", "1/2"),)
