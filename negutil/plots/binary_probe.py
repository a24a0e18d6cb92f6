"""Figures of notebook 02: what a model makes of an attribute and of its negation.

Each takes the tables of ``negutil.tasks.probe`` (``Outcome.table``) with a column ``model`` before them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from negutil.captions.probe_prompts import ALONE, ANTONYM
from negutil.plots import figures
from negutil.tasks.probe import MEAN, MEAN_WITH_ANTONYM

MEASURES = {
    "tpr": "true positive rate",
    "tnr": "true negative rate",
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "affirmative_rate": "affirmative wins",
    "auc_of_absence": "AUC of absence",
}


def by_attribute(table: pd.DataFrame, phrasing: str = "not", metrics: Sequence[str] = ("tpr", "tnr", "auc")) -> Figure:
    """A panel per model, a row per attribute: ``metrics`` with intervals, and chance at one half.

    Attributes are in the order of their mean balanced accuracy over the models, the best first.
    """
    rows = table[(table["phrasing"] == phrasing) & ~table["attribute"].isin((MEAN, MEAN_WITH_ANTONYM))]
    balanced = rows[rows["metric"] == "balanced_accuracy"]
    order = balanced.groupby("attribute")["value"].mean().sort_values(ascending=False, kind="stable").index
    shown = figures.ordered(rows, "metric", metrics)
    shown = shown.assign(attribute=shown["attribute"].map(_named), measure=shown["metric"].map(MEASURES))
    look: dict[str, Any] = {"label": f"rate or AUC, “{phrasing}”", "limits": (-0.02, 1.02)}
    return figures.points(shown, "attribute", "measure", "model", order=list(map(_named, order)), chance=0.5, **look)


def by_phrasing(table: pd.DataFrame, metrics: Sequence[str] = ("balanced_accuracy", "auc")) -> Figure:
    """Means over the attributes with an antonym: each negation, the antonym, and the affirmative prompt alone."""
    means = table[(table["attribute"] == MEAN_WITH_ANTONYM) & ~table["phrasing"].str.contains(" minus ")]
    order = sorted(figures.names(means, "phrasing"), key=lambda name: (name == ALONE, name == ANTONYM))
    shown = figures.ordered(means, "metric", metrics)
    shown = shown.assign(measure=shown["metric"].map(MEASURES))
    look: dict[str, Any] = {"label": "mean over attributes with an antonym", "limits": (-0.02, 1.02)}
    return figures.points(shown, "phrasing", "model", "measure", order=order, chance=0.5, **look)


def preference(table: pd.DataFrame) -> Figure:
    """How often the affirmative prompt wins, a dot per attribute; at 0 or 1 the model always prefers one prompt."""
    rows = table[(table["metric"] == "affirmative_rate") & ~table["attribute"].isin((MEAN, MEAN_WITH_ANTONYM))]
    known = figures.marks(figures.names(rows, "model"))
    figure, (axis,) = figures.panels([""], 0.6 * rows["phrasing"].nunique() + 1.0)
    look: dict[str, Any] = {"dodge": True, "jitter": False, "alpha": 0.55, **figures.look(known, "model")}
    sns.stripplot(rows, x="value", y="phrasing", size=5, ax=axis, **look)
    axis.axvline(0.5, **figures.CHANCE)
    label = "share of faces for which the affirmative prompt scores higher (a dot: an attribute)"
    axis.set(xlabel=label, ylabel="", xlim=(-0.02, 1.02))
    figures.legend(figure, {model: (colour, "o") for model, (colour, _) in known.items()}, "one half")
    return figure


def margins(items: pd.DataFrame, attributes: Sequence[str], phrasing: str = "not") -> Figure:
    """Histograms of s(affirmative) - s(other) for faces with and without each attribute, for one model's items.

    Predictions change at the dashed line: where both histograms lie on one side of it, the model prefers one prompt.
    """
    figure, axes = figures.panels(list(map(_named, attributes)), 2.0, 2, sharex=True)
    known = {"true of the face": (figures.BLUE, "s"), "false": (figures.VERMILION, "s")}
    rows = items[items["phrasing"] == phrasing]
    rows = rows.assign(margin=rows["affirmative"] - rows["other"], truth=np.where(rows["label"], *known))
    for axis, name in zip(axes, attributes, strict=True):
        own = rows[rows["attribute"] == name]
        look: dict[str, Any] = {"stat": "density", "common_norm": False, "linewidth": 0, **figures.look(known, "truth")}
        sns.histplot(own, x="margin", bins=30, ax=axis, **look)
        axis.axvline(0, **figures.CHANCE)
        axis.set(xlabel="", ylabel="", yticks=[])
        axis.locator_params("x", nbins=5)
    figure.supylabel("density of faces")
    figure.supxlabel("cosine with the affirmative prompt minus cosine with the negated one")
    figures.legend(figure, known, "prediction changes")
    return figure


def _named(attribute: str) -> str:
    """A name of CelebA as text: "5 o'clock shadow" for 5_o_Clock_Shadow."""
    return attribute.replace("_", " ").replace("o Clock", "o'clock").capitalize()
