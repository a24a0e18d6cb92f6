"""Figures of notebook 05: gains of every method, what NegRefCOCOg's negation adds, the controls, and WiSE-FT's curve.

Each takes tables of ``negutil.compare.negationclip``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from negutil.compare.engine import LEVEL, OVER_CLIP
from negutil.compare.negationclip import title_of
from negutil.plots import figures
from negutil.tasks import ccneg, suite

PHRASES = {
    suite.REFERRING: "the phrase",
    suite.BARE: "its negated clause deleted",
    suite.AFFIRMED: "its negation deleted",
}


@figures.or_nothing
def gains(table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], kind: str = OVER_CLIP) -> Figure:
    """Gain in points of every method (rows), a panel per benchmark, a colour per architecture, with 95 % intervals."""
    rows = _of(table[table["kind"] == kind], titles, methods)
    order = [title for title in map(title_of, methods) if (rows["name"] == title).any()]
    look: dict[str, Any] = {"label": f"{kind}, points", "scale": 100}
    return figures.points(rows, "name", "base", "title", order=order, chance=0, **look)


@figures.or_nothing
def captions(table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str]) -> Figure:
    """Accuracy of CLIP and of the methods that differ in their captions: means with intervals, seeds as strokes."""
    rows = _of(table[table["kind"] == LEVEL], titles, ("", *methods))
    order = [title_of(name) for name in ("", *methods)]
    look: dict[str, Any] = {"label": "accuracy (strokes: seeds)", "limits": (0, 1)}
    means, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    if means.empty:
        return figures.nothing()
    known = figures.marks(figures.names(means, "base"))
    figure = figures.points(means, "name", "base", "title", order=order, chance=0.5, **look)
    for axis, title in zip(figure.axes, figures.names(means, "title"), strict=True):
        figures.seeds(axis, seeds[seeds["title"] == title], "name", order, known, hue="base")
    return figure


@figures.or_nothing
def referring(table: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """NegRefCOCOg with the phrases as they are, without their negated clause, and without their negation."""
    rows = _of(table[(table["kind"] == LEVEL) & table["seed"].isna()], list(PHRASES), ("", *methods))
    rows = rows.assign(phrase=rows["title"].map(PHRASES))
    order = [title_of(name) for name in ("", *methods)]
    look: dict[str, Any] = {"label": "accuracy", "limits": (0, 1)}
    return figures.points(rows, "name", "phrase", "base", order=order, chance=0.5, **look)


@figures.or_nothing
def ccneg_both_ways(table: pd.DataFrame, rules: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """CC-Neg as published against CC-Neg with the truth turned round, for models and for rules without images.

    A rule that reads the sentences alone is on the falling diagonal, unless it learned from each test apart as a bag of
    words does; understanding is the upper right corner.
    """
    both = (suite.CCNEG, ccneg.REVERSED)
    if not set(both) <= set(rules["title"]):
        return figures.nothing()
    rows = _of(table[(table["kind"] == LEVEL) & table["seed"].isna()], both, ("", *methods))
    figure = figures.crossed(rows, both)
    axis = figure.axes[0]
    axis.plot([0, 1], [1, 0], **figures.CHANCE, marker="", label="reach of rules that never see the image")
    known = rules.pivot(index="rule", columns="title", values="value")[list(both)].dropna()
    axis.plot(*known.to_numpy().T, linestyle="", marker="x", color=figures.GREY, label="such a rule")
    for name, (across, up) in zip(known.index, known.to_numpy(), strict=True):
        place: dict[str, Any] = {"xytext": (6, 0), "ha": "left"} if across < 0.7 else {"xytext": (-6, 0), "ha": "right"}
        text = f"{name}, learned on each test" if str(name).endswith("bag of words") else str(name)
        axis.annotate(text, (across, up), textcoords="offset points", va="center", fontsize=8, **place)
    axis.legend(*axis.get_legend_handles_labels(), loc="lower left")
    axis.set(xlabel="CC-Neg: the negated caption is false (accuracy)", ylabel="truth reversed: it is true (accuracy)")
    return figure


@figures.or_nothing
def held_out(table: pd.DataFrame, base: str, tasks: Sequence[str]) -> Figure:
    """Gain over plain captions where nouns and phrasings are familiar and where no training set negates them."""
    rows = table[(table["base"] == base) & table["task"].isin(tasks)]
    rows = rows.assign(which=np.where(rows["held_out"], "held out", "familiar"), factor=rows["factor"].str.capitalize())
    look: dict[str, Any] = {"label": "gain over plain captions, points", "scale": 100, "sharex": True}
    return figures.points(rows, "task", "which", "factor", order=tasks, chance=0, **look)


@figures.or_nothing
def noise(table: pd.DataFrame) -> Figure:
    """Every benchmark by the annotators' error rate in percent, with 95 % intervals, if there are several rates."""
    if table["at"].nunique() < 2:
        return figures.nothing()
    rates = {at: f"{at:.0f} % of the answers wrong" for at in sorted(table["at"].unique())}
    rows = figures.ordered(table.assign(rate=table["at"].map(rates)), "rate", list(rates.values()))
    look: dict[str, Any] = {"label": "accuracy or AUC", "limits": (0, 1)}
    return figures.points(rows, "title", "rate", "base", order=figures.names(table, "title"), **look)


@figures.or_nothing
def wise_ft(curve: pd.DataFrame, gained: Sequence[str], kept: Sequence[str]) -> Figure:
    """Negation (left) and general ability (right) along the weights from CLIP (0) to NegationCLIP (1)."""
    rows = curve[curve["title"].isin([*gained, *kept])]
    means = rows.groupby(["title", "at"], sort=False)[["value", "low", "high"]].mean().reset_index()
    means = means.assign(panel=np.where(means["title"].isin(gained), "Negation", "General ability"))
    means = figures.ordered(means, "title", (*gained, *kept))
    labels = ("share of the fine-tuned weights", "accuracy, recall or AUC")
    return figures.lines(means, "at", "title", "panel", labels=labels, limits=(0, 1.02))


@figures.or_nothing
def budgets(curve: pd.DataFrame, titles: Sequence[str]) -> Figure:
    """Every benchmark (a panel) against the number of passes, a line for each method or share, with 95 % intervals.

    ``curve`` is one of ``compare.budgets``; where it is of several architectures, the last one is shown.
    """
    rows = figures.ordered(curve[curve["base"] == curve["base"].iloc[-1]], "title", titles)
    labels = ("passes over the captions", "accuracy, recall or AUC")
    figure = figures.lines(rows, "at", "line", "title", labels=labels)
    shown = sorted(rows["at"].unique())
    for axis in figure.axes:
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks(shown, [f"{at:g}" for at in shown])
        axis.set_xlim(left=-0.3)
        axis.minorticks_off()
    return figure


@figures.or_nothing
def alphas(curve: pd.DataFrame, recall: str, accuracy: str) -> Figure:
    """NegBench's ablation: recall of negated captions against accuracy in multiple choice, a point for each alpha."""
    rows = curve[curve["base"] == curve["base"].iloc[-1]]
    across, up = (rows[rows["title"] == title].set_index("at").sort_index() for title in (recall, accuracy))
    figure, (axis,) = figures.panels([""], 4.2)
    look: dict[str, Any] = {"xerr": figures.reach(across), "yerr": figures.reach(up), "elinewidth": 0.8, "capsize": 0}
    look |= {"color": figures.METHODS["NegFull"][0], "marker": "P", "linestyle": ":"}
    axis.errorbar(across["value"], up["value"], **look)
    for alpha, x, y in zip(across.index, across["value"], up["value"], strict=True):
        axis.annotate(f"α = {alpha:g}", (x, y), textcoords="offset points", xytext=(6, 5), fontsize=9)
    axis.set(xlabel=f"{recall} (recall@5)", ylabel=f"{accuracy} (accuracy)", xlim=(0, 1.1), ylim=(0, 1))
    axis.grid(visible=True)
    return figure


@figures.or_nothing
def validation(table: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Validation loss by epoch, a line per seed; ``names`` are the recipes shown and how the legend calls them."""
    rows = figures.ordered(table, "recipe", list(names)).rename(columns={"loss_on_validation": "value"})
    rows = rows.assign(recipe=rows["recipe"].map(names))
    look: dict[str, Any] = {"estimator": None, "units": "model", "linewidth": 1}
    figure = figures.lines(
        rows, "epoch", "recipe", labels=("epoch", "validation loss (a line: a seed)"), limits=(0, None), **look
    )
    figure.axes[0].set_xticks(sorted(rows["epoch"].unique()))
    return figure


@figures.or_nothing
def text_tower(table: pd.DataFrame) -> Figure:
    """How far "no X" is from "X" for every noun (a dot): a row per model, with the median and the middle half."""
    figure, (axis,) = figures.panels([""], 0.42 * table["model"].nunique() + 1.0)
    sns.stripplot(table, x="value", y="model", color=figures.BLUE, size=3.5, alpha=0.5, ax=axis)
    box: dict[str, Any] = {"fill": False, "showfliers": False, "whis": 0, "showcaps": False, "width": 0.6}
    sns.boxplot(table, x="value", y="model", color="black", linewidth=1.2, ax=axis, **box)
    axis.axvline(1, **figures.CHANCE)
    axis.set(xlabel="distance of “no X” from “X” (a dot: a noun; box: the middle half)", ylabel="", xlim=(0, None))
    axis.grid(axis="x")
    figures.legend(figure, {}, "another noun")
    return figure


def _of(rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """The rows of some benchmarks and methods in that order, with the methods' names in a column ``name``."""
    shown = figures.ordered(figures.ordered(rows, "method", methods), "title", titles)
    return shown.assign(name=shown["method"].map(title_of))
