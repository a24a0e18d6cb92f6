"""Figures of notebook 02: what a model makes of an attribute and of its negation.

Each takes the tables of ``negutil.tasks.probe`` (``Outcome.table``) with a column ``model`` before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from negutil.captions.probe_prompts import ALONE, ANTONYM
from negutil.plots import figures
from negutil.tasks.probe import MEAN, MEAN_WITH_ANTONYM


def _select(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows of ``table`` whose columns have the ``wanted`` values."""
    chosen = np.logical_and.reduce([table[column] == value for column, value in wanted.items()])
    return table[chosen]


def _attributes(table: pd.DataFrame, phrasing: str) -> list[str]:
    """Attributes in the order of their mean balanced accuracy over the models, the best first."""
    rows = _select(table, phrasing=phrasing, metric="balanced_accuracy")
    rows = rows[~rows["attribute"].isin((MEAN, MEAN_WITH_ANTONYM))]
    return list(rows.groupby("attribute")["value"].mean().sort_values(ascending=False, kind="stable").index)


def by_attribute(table: pd.DataFrame, phrasing: str = "not", metrics: Sequence[str] = ("tpr", "tnr", "auc")) -> Figure:
    """One panel per model, one line per attribute: ``metrics`` with intervals, and chance at one half."""
    names, models = _attributes(table, phrasing), list(dict.fromkeys(table["model"]))
    size = (4.4 * len(models) + 1.2, 0.22 * len(names) + 1.0)
    figure, axes = plt.subplots(1, len(models), figsize=size, sharey=True, squeeze=False)
    for axis, model in zip(axes[0], models, strict=True):
        for index, metric in enumerate(metrics):
            rows = _select(table, model=model, phrasing=phrasing, metric=metric).set_index("attribute").loc[names]
            at = np.arange(len(names)) + 0.2 * (index - (len(metrics) - 1) / 2)
            figures.dots(axis, rows, at, index, label=metric)
        axis.axvline(0.5, **figures.CHANCE)
        axis.set(title=model, xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return figure


def by_phrasing(table: pd.DataFrame, metrics: Sequence[str] = ("balanced_accuracy", "auc")) -> Figure:
    """Means over the attributes with an antonym: each negation, the antonym, and the affirmative prompt alone."""
    means = table[table["attribute"] == MEAN_WITH_ANTONYM]
    means = means[~means["phrasing"].str.contains(" minus ")]
    phrasings = [name for name in dict.fromkeys(means["phrasing"]) if name not in (ANTONYM, ALONE)]
    phrasings += [name for name in (ANTONYM, ALONE) if (means["phrasing"] == name).any()]
    figure, axes = plt.subplots(1, len(metrics), figsize=(3.9 * len(metrics) + 0.6, 2.6), sharey=True, squeeze=False)
    for axis, metric in zip(axes[0], metrics, strict=True):
        for index, model in enumerate(dict.fromkeys(means["model"])):
            rows = _select(means, model=model, metric=metric)
            at = np.array([phrasings.index(name) for name in rows["phrasing"]]) + 0.22 * (index - 0.5)
            figures.dots(axis, rows, at, index, label=model)
        axis.axvline(0.5, **figures.CHANCE)
        axis.set(title=metric.replace("_", " "), xlim=(-0.02, 1.02), ylim=(len(phrasings) - 0.5, -0.5))
        axis.set_yticks(range(len(phrasings)), phrasings)
    axes[0][-1].legend(loc="best", fontsize=8)
    return figure


def preference(table: pd.DataFrame) -> Figure:
    """How often the affirmative prompt wins, a dot per attribute; at 0 or 1 the model always prefers one prompt."""
    rows = _select(table, metric="affirmative_rate")
    rows = rows[~rows["attribute"].isin((MEAN, MEAN_WITH_ANTONYM))]
    phrasings = list(dict.fromkeys(rows["phrasing"]))
    models = list(dict.fromkeys(rows["model"]))
    figure, axis = plt.subplots(figsize=(6.4, 0.5 * len(phrasings) + 1.0))
    for index, model in enumerate(models):
        part = rows[rows["model"] == model]
        at = np.array([phrasings.index(name) for name in part["phrasing"]]) + 0.24 * (index - (len(models) - 1) / 2)
        style: dict[str, Any] = {
            "color": figures.PALETTE[index],
            "marker": figures.MARKERS[index],
            "linestyle": "",
            "alpha": 0.55,
        }
        axis.plot(part["value"], at, markersize=4, label=model, **style)
    axis.axvline(0.5, **figures.CHANCE)
    axis.set(xlabel="share of faces for which the affirmative prompt scores higher", xlim=(-0.02, 1.02))
    axis.set_yticks(range(len(phrasings)), phrasings)
    axis.invert_yaxis()
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return figure


def margins(items: pd.DataFrame, attributes: Sequence[str], phrasing: str = "not") -> Figure:
    """Histograms of s(affirmative) - s(other) for faces with and without each attribute, for one model's items.

    Predictions change at the dashed line: where both histograms lie on one side of it, the model prefers one prompt.
    """
    figure, axes = plt.subplots(1, len(attributes), figsize=(2.5 * len(attributes), 2.1), squeeze=False)
    for axis, name in zip(axes[0], attributes, strict=True):
        own = _select(items, attribute=name, phrasing=phrasing)
        margin = (own["affirmative"] - own["other"]).to_numpy()
        bins = np.linspace(min(margin.min(), 0.0), max(margin.max(), 0.0), 31)
        for index, (label, there) in enumerate((("true of the face", True), ("false", False))):
            shown = margin[own["label"].to_numpy() == there]
            axis.hist(shown, bins=bins, color=figures.PALETTE[index], alpha=0.6, label=label, density=True)
        axis.axvline(0, **figures.CHANCE)
        axis.set(title=name.replace("_", " "), xlabel="difference", yticks=[])
    axes[0][0].legend(fontsize=7)
    return figure
