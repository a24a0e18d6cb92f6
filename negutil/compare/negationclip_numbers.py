"""The numbers of notebook 05: means over items and seeds, and differences of models on the same items.

Every number is a mean over items of a linear combination of models' values, so all of a benchmark are resampled at
once: pictures with all their items (exclusion: pairs; text tower: nouns). Intervals cover items and not seeds, whose
own numbers stand beside them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import statistics
from negutil.compare import negationclip_items as asked
from negutil.compare import text_similarity
from negutil.config import Bootstrap
from negutil.models.trained import MARK
from negutil.statistics import Floats, Interval
from negutil.tasks import ccneg, coco_retrieval, find, negrefcocog, pairwise, suite, valse, zero_shot

Flags = NDArray[np.bool_]
FEWEST = 10
"""A part of a benchmark with fewer items is left out."""

LEVEL = ""
"""The kind of a number that is no difference."""

METRICS = {
    suite.VALSE: pairwise.METRIC,
    suite.REFERRING: negrefcocog.METRIC,
    suite.AFFIRMED: negrefcocog.METRIC,
    suite.BARE: negrefcocog.METRIC,
    asked.CLAUSE: "gain in accuracy",
    asked.NEGATION: "gain in accuracy",
    suite.IMAGENET: zero_shot.TOP_1,
    suite.CALTECH101: zero_shot.TOP_1,
    suite.CCNEG: pairwise.METRIC,
    ccneg.REVERSED: pairwise.METRIC,
    ccneg.BOTH: pairwise.METRIC,
    suite.COCO: f"recall@{coco_retrieval.K}",
    asked.MCQ: "accuracy",
    asked.NEGATED_RETRIEVAL: f"recall@{coco_retrieval.K}",
    asked.EXCLUSION: "AUC",
    asked.TEXT: text_similarity.GAP,
    asked.TEXT_COSINE: text_similarity.NEGATED,
    **{title: find()[title].metric for title in suite.names()},
}
"""Every benchmark and what its mean is called."""

ALL_ITEMS, VALIDATED = (f"{suite.VALSE}, {name}" for name in valse.SETS)
HELD_OUT = (
    ("held_out_noun", "held-out nouns", "familiar nouns"),
    ("held_out_form", "held-out phrasings", "familiar phrasings"),
)
BY_TYPE = (suite.VALSE, asked.MCQ)
SPLIT = (suite.VALSE, asked.MCQ, asked.NEGATED_RETRIEVAL, asked.EXCLUSION, asked.TEXT)
"""Benchmarks that are told apart by type of item, and by what is held out of training."""


@dataclass(frozen=True, slots=True)
class View:
    """Some items of a benchmark: the ``title`` of their mean, its ``metric``, and which ``rows`` they are."""

    title: str
    metric: str
    rows: Flags


@dataclass(frozen=True, slots=True)
class Column:
    """One number per view: the mean of ``plus`` models minus that of ``minus`` models (or the level, without any).

    ``model`` and ``kind`` name it: the kind is LEVEL or such as "gain over CLIP".
    """

    model: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    kind: str = LEVEL


def views(items: pd.DataFrame) -> list[View]:
    """Every benchmark as a whole, by type of item, and by what is held out; small parts are left out."""
    found: list[View] = []
    for task, metric in METRICS.items():
        rows = (items["task"] == task).to_numpy()
        name = ALL_ITEMS if task == suite.VALSE else task
        parts = {name: rows} | _by_type(task, rows, items) | _by_held_out(task, rows, items)
        if task == suite.VALSE:
            parts[VALIDATED] = rows & items["valid"].to_numpy(bool)
        found += [View(title, metric, own) for title, own in parts.items() if own.sum() >= (FEWEST, 1)[own is rows]]
    return found


def _by_type(task: str, rows: Flags, items: pd.DataFrame) -> dict[str, Flags]:
    if task not in BY_TYPE:
        return {}
    kinds = items["type"].to_numpy()
    return {f"{task}, {kind}": rows & (kinds == kind) for kind in sorted(set(kinds[rows])) if kind}


def _by_held_out(task: str, rows: Flags, items: pd.DataFrame) -> dict[str, Flags]:
    """Items that negate a noun, or in a way, that no training set does, and the others that negate something."""
    if task not in SPLIT:
        return {}
    negates = rows & ((items["cue"] != "").to_numpy() | (task == asked.TEXT))
    found: dict[str, Flags] = {}
    for flag, held_out, familiar in HELD_OUT:
        own = items[flag].to_numpy(bool)
        if (negates & own).any():
            found |= {f"{task}, {held_out}": negates & own, f"{task}, {familiar}": negates & ~own}
    return found


def columns(base: str, seeds_of: dict[str, list[str]], over: Sequence[tuple[str, str, str]]) -> list[Column]:
    """The numbers of one architecture: CLIP, every seed, every method's mean over seeds, and differences.

    ``seeds_of`` lists the models of every method. ``over`` are (method, other method, name of the difference), of the
    seeds that both have; every method has its "gain over CLIP" besides.
    """
    found = [Column(base, (base,))]
    for method, models in seeds_of.items():
        mean = f"{base}{MARK}{method}"
        found += [Column(model, (model,)) for model in models if asked.AT not in method]
        found += [Column(mean, tuple(models)), Column(mean, tuple(models), (base,), "gain over CLIP")]
    for method, other, kind in over:
        if method in seeds_of and other in seeds_of:
            found.append(Column(f"{base}{MARK}{method}", *_of_same_seeds(seeds_of[method], seeds_of[other]), kind))
    return found


def _of_same_seeds(first: Sequence[str], second: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models of both lists whose names end in a seed that both have."""
    both = {_seed(name) for name in first} & {_seed(name) for name in second}
    kept = [tuple(name for name in models if _seed(name) in both) for models in (first, second)]
    return kept[0], kept[1]


def _seed(model: str) -> str:
    return model.rpartition("/")[2].partition(asked.AT)[0]


def table(items: pd.DataFrame, wanted: Sequence[Column], bootstrap: Bootstrap) -> pd.DataFrame:
    """Every column of every view: title, metric, model, kind, value, low, high, n, over.

    ``items`` are those of ``negationclip_items.values``.
    """
    names = sorted({name for column in wanted for name in (*column.plus, *column.minus)})
    mixing = _mixing(wanted, names)
    values = items[names].to_numpy(float)
    clusters = items["cluster"].to_numpy()
    rows = []
    for view in views(items):
        found = means(values[view.rows] @ mixing, clusters[view.rows], bootstrap)
        for column, interval in zip(wanted, found, strict=True):
            about = {"title": view.title, "metric": view.metric, "model": column.model, "kind": column.kind}
            rows.append(about | dataclasses.asdict(interval))
    return pd.DataFrame(rows)


def _mixing(wanted: Sequence[Column], names: Sequence[str]) -> Floats:
    """Weights [models, columns] of the models in each column."""
    place = {name: row for row, name in enumerate(names)}
    mixing = np.zeros((len(names), len(wanted)))
    for number, column in enumerate(wanted):
        for side, sign in ((column.plus, 1.0), (column.minus, -1.0)):
            for name in side:
                mixing[place[name], number] += sign / len(side)
    return mixing


def means(values: Floats, clusters: NDArray[np.object_], bootstrap: Bootstrap) -> list[Interval]:
    """Mean of each column of ``values`` [N, K] with its interval; clusters are drawn whole.

    Where all values are 1, or all are 0, the interval is that of `statistics.bootstrap_share`.
    """
    named, codes = np.unique(clusters.astype(str), return_inverse=True)
    sizes = np.bincount(codes).astype(float)
    sums = np.stack([np.bincount(codes, column, len(named)) for column in values.T], axis=1)
    arguments = dataclasses.asdict(bootstrap)
    found = statistics.bootstrap_many(_ratio, sums, sizes, **arguments)
    over = "clusters" if len(named) < len(values) else "items"
    found = [dataclasses.replace(each, n=len(values), over=over) for each in found]
    for number, column in enumerate(values.T):
        if (column == 1).all():
            whole = statistics.bootstrap_share(column == 1, clusters.astype(str), **arguments)
            found[number] = dataclasses.replace(whole, over=over)
    return found


def _ratio(sums: Floats, sizes: Floats, weights: Floats) -> Floats:
    return (weights @ sums) / (weights @ sizes)[:, None]
