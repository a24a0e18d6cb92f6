"""Figures of notebook 05: gains of every method, what NegRefCOCOg's negation adds, the controls, and WiSE-FT's curve.

Each takes tables of ``negutil.compare.negationclip``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from negutil.compare import negationclip
from negutil.compare.engine import LEVEL, OVER_CLIP
from negutil.plots import figures
from negutil.tasks import ccneg, suite
from negutil.train import recipes

SPREAD = 0.3
_SHOWN = ("", recipes.NEGATIONCLIP, "con-clip", "negclip", "clip-bnl", recipes.NEGFULL, recipes.PLAIN, recipes.NEGCAP)
_COLOURS = (
    *("#000000", figures.VERMILION, figures.GREEN, figures.PURPLE, figures.SKY),
    figures.BLUE,
    "#999999",
    figures.ORANGE,
)
STYLE = {
    negationclip.title_of(name): (colour, marker)
    for name, colour, marker in zip(_SHOWN, _COLOURS, figures.MARKERS, strict=True)
}
"""Colour and marker of CLIP and every method of Table 2, where they share a panel."""

PHRASES = {
    suite.REFERRING: "the phrase",
    suite.BARE: "its negated clause deleted",
    suite.AFFIRMED: "its negation deleted",
}


@figures.or_nothing
def gains(table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], kind: str = OVER_CLIP) -> Figure:
    """Gain in points of every method (rows), a panel per benchmark, a colour per architecture, with 95 % intervals."""
    rows = table[(table["kind"] == kind) & table["method"].isin(methods)]
    figure, axes = plt.subplots(
        1, len(titles), figsize=(2.1 * len(titles) + 1.4, 0.34 * len(methods) + 1.3), sharey=True
    )
    for axis, title in zip(axes, titles, strict=True):
        _dots(axis, rows[rows["title"] == title], methods, scale=100)
        axis.axvline(0, **figures.CHANCE)
        folded = title.replace(", ", ",\n").replace(" zero-shot", "\nzero-shot").replace(" retrieval", "\nretrieval")
        axis.set_title(folded, fontsize=9)
    axes[0].set_yticks(range(len(methods)), [negationclip.title_of(name) for name in methods])
    axes[0].invert_yaxis()
    figure.supxlabel(f"{kind}, points", fontsize=10)
    _legend(figure, figures.names(rows, "base"))
    return figure


@figures.or_nothing
def captions(table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str]) -> Figure:
    """Accuracy of CLIP and of the methods that differ in their captions: means with intervals, seeds as dots."""
    shown = ("", *methods)
    rows = table[(table["kind"] == LEVEL) & table["method"].isin(shown)]
    figure, axes = plt.subplots(1, len(titles), figsize=(3.6 * len(titles) + 1.2, 0.34 * len(shown) + 1.3), sharey=True)
    for axis, title in zip(axes, titles, strict=True):
        own = rows[rows["title"] == title]
        _dots(axis, own[own["seed"].isna()], shown)
        bases, single = figures.names(rows, "base"), own[own["seed"].notna()]
        for index, base in enumerate(bases):
            seeds = single[single["base"] == base]
            places = figures.places(seeds["method"], shown) + SPREAD * (index - (len(bases) - 1) / 2) + 0.12
            axis.plot(seeds["value"], places, linestyle="", marker=".", markersize=3, color=figures.PALETTE[index])
        axis.axvline(0.5, **figures.CHANCE)
        axis.set_title(title)
    axes[0].set_yticks(range(len(shown)), [negationclip.title_of(name) for name in shown])
    axes[0].invert_yaxis()
    figure.supxlabel("accuracy (small points: seeds)", fontsize=10)
    _legend(figure, figures.names(rows, "base"))
    return figure


@figures.or_nothing
def referring(table: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """NegRefCOCOg with the phrases as they are, without their negated clause, and without their negation."""
    shown = ("", *methods)
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna() & table["method"].isin(shown)]
    bases = figures.names(rows, "base")
    figure, axes = plt.subplots(
        1, len(bases), figsize=(4.2 * len(bases) + 0.6, 0.34 * len(shown) + 1.5), sharey=True, squeeze=False
    )
    for axis, base in zip(axes[0], bases, strict=True):
        for index, (title, label) in enumerate(PHRASES.items()):
            own = rows[(rows["base"] == base) & (rows["title"] == title)]
            _interval_dots(axis, own, figures.places(own["method"], shown) + 0.2 * (index - 1), (index, label))
        axis.axvline(0.5, **figures.CHANCE)
        axis.set(title=base, xlabel="accuracy")
        axis.grid(axis="y")
    axes[0][0].set_yticks(range(len(shown)), [negationclip.title_of(name) for name in shown])
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


@figures.or_nothing
def ccneg_both_ways(table: pd.DataFrame, rules: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """CC-Neg as published against CC-Neg with the truth turned round: models as marks, rules as crosses; and closer.

    Whoever goes by the sentences alone is on the falling diagonal; understanding is the upper right corner.
    """
    both = (suite.CCNEG, ccneg.REVERSED)
    if not set(both) <= set(rules["title"]):
        return figures.nothing()
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.4))
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna() & table["title"].isin(both)]
    wide = rows.pivot(index=["base", "method"], columns="title", values="value")
    for axis in axes:
        axis.plot([0, 1], [1, 0], **figures.CHANCE, marker="")
        for (base, method), values in zip(wide.index, wide.to_numpy(), strict=True):
            if method in ("", *methods):
                colour, marker = STYLE[negationclip.title_of(method)]
                fill = colour if figures.names(rows, "base").index(base) else "none"
                axis.plot(*values, marker=marker, markerfacecolor=fill, color=colour, linestyle="")
        axis.set(xlabel="CC-Neg: the negated caption is false", ylabel="truth reversed: it is true")
    known = rules.pivot(index="rule", columns="title", values="value")[[suite.CCNEG, ccneg.REVERSED]]
    axes[0].plot(*known.to_numpy().T, linestyle="", marker="x", color="#444444")
    axes[0].set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    shown = wide[wide.index.get_level_values("method").isin(("", *methods))]
    (left, low), (right, high) = shown.min() - 0.03, shown.max() + 0.03
    axes[1].set(xlim=(left, right), ylim=(low, high), title="closer")
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=title)
        for title, (colour, marker) in STYLE.items()
        if title in map(negationclip.title_of, ("", *methods))
    ]
    handles.append(Line2D([], [], linestyle="", marker="x", color="#444444", label="rule without picture"))
    bases = zip(("open", "filled"), figures.names(rows, "base"), strict=False)
    fills = ", ".join(f"{kind}: {base}" for kind, base in bases)
    figure.legend(handles=handles, loc="outside right center", fontsize=8, title=fills, title_fontsize=8)
    return figure


@figures.or_nothing
def held_out(table: pd.DataFrame, base: str, tasks: Sequence[str]) -> Figure:
    """Gain over plain captions where nouns and phrasings are familiar and where no training set negates them."""
    rows = table[(table["base"] == base) & table["task"].isin(tasks)]
    factors = ("nouns", "phrasings")
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 0.36 * len(tasks) + 1.4), sharey=True)
    for axis, factor in zip(axes, factors, strict=True):
        for index, (flag, label) in enumerate({False: "familiar", True: "held out"}.items()):
            own = rows[(rows["factor"] == factor) & (rows["held_out"] == flag)]
            places = own["task"].map(list(tasks).index).to_numpy(float) + 0.2 * (index - 0.5)
            _interval_dots(axis, own, places, (index, label), scale=100)
        axis.axvline(0, **figures.CHANCE)
        axis.set(title=factor.capitalize(), xlabel="gain over plain captions, points")
        axis.grid(axis="y")
    axes[0].set_yticks(range(len(tasks)), tasks)
    axes[0].invert_yaxis()
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def amounts(noise: pd.DataFrame, amount: pd.DataFrame) -> Figure:
    """Accuracy against the annotators' error rate, and against the share of captions, with 95 % intervals."""
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.3), sharey=True)
    _along(axes[0], noise)
    _along(axes[1], amount)
    axes[0].set(title="Annotators' errors", xlabel="errors of the annotators, per answer (%)", ylabel="accuracy or AUC")
    axes[1].set(title="Amount of data, same steps", xlabel="share of the captions", xscale="log")
    ticks = sorted(amount["at"].unique())
    axes[1].set_xticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    axes[1].minorticks_off()
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@figures.or_nothing
def wise_ft(curve: pd.DataFrame, gained: Sequence[str], kept: Sequence[str]) -> Figure:
    """Negation (left) and general ability (right) along the weights from CLIP (0) to NegationCLIP (1)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
    for axis, titles, name in zip(axes, (gained, kept), ("Negation", "General ability"), strict=True):
        _along(axis, curve[curve["title"].isin(titles)], titles)
        axis.set(title=name, xlabel="share of the fine-tuned weights")
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    axes[0].set_ylabel("accuracy, recall or AUC")
    return figure


@figures.or_nothing
def validation(table: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Validation loss by epoch, a line per seed; ``names`` are the recipes shown and how the legend calls them."""
    figure, axis = plt.subplots(figsize=(5.8, 3.2))
    for index, (recipe, label) in enumerate(names.items()):
        for number, (_, own) in enumerate(table[table["recipe"] == recipe].groupby("model", sort=False)):
            style: dict[str, Any] = {"color": figures.PALETTE[index], "marker": figures.MARKERS[index]}
            shown: dict[str, Any] = {"label": label} if number == 0 else {}
            axis.plot(own["epoch"], own["loss_on_validation"], linewidth=1, **style, **shown)
    axis.set(xlabel="epoch", ylabel="validation loss")
    axis.set_xticks(sorted(table["epoch"].unique()))
    axis.legend(fontsize=8)
    return figure


@figures.or_nothing
def text_tower(table: pd.DataFrame) -> Figure:
    """For every noun how far "no X" is from "X", as cumulative shares of the nouns, a line per model."""
    figure, axis = plt.subplots(figsize=(5.8, 3.4))
    for name, own in table.groupby("model", sort=False):
        found = np.sort(own["value"].to_numpy())
        share = np.arange(1, len(found) + 1) / len(found)
        axis.step(found, share, where="post", marker="", color=STYLE[str(name)][0], label=str(name))
    axis.axvline(1, **figures.CHANCE)
    axis.set(xlabel='distance of "no X" from "X" (1: as far as another noun)', ylabel="share of the nouns", ylim=(0, 1))
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


# --------------------------------------------------------------------------------------------------------------------
# Parts


def _dots(axis: Axes, rows: pd.DataFrame, methods: Sequence[str], scale: float = 1) -> None:
    """A row per method, a colour per architecture."""
    bases = figures.names(rows, "base")
    for index, base in enumerate(bases):
        own = rows[rows["base"] == base]
        shift = SPREAD * (index - (len(bases) - 1) / 2)
        _interval_dots(axis, own, figures.places(own["method"], methods) + shift, (index, base), scale)
    axis.grid(axis="y")


def _interval_dots(
    axis: Axes, rows: pd.DataFrame, places: np.ndarray, style: tuple[int, str], scale: float = 1
) -> None:
    """Values with their intervals at ``places``; ``style`` is the number of the colour and the label."""
    scaled, (number, label) = scale * rows[["value", "low", "high"]].astype(float), style
    look: dict[str, Any] = {"color": figures.PALETTE[number], "fmt": figures.MARKERS[number], "linewidth": 1}
    axis.errorbar(scaled["value"], places, xerr=figures.reach(scaled), label=label, **look)


def _along(axis: Axes, rows: pd.DataFrame, titles: Sequence[str] = ()) -> None:
    """A line with a band per benchmark."""
    for index, title in enumerate(titles or dict.fromkeys(rows["title"])):
        own = rows[rows["title"] == title].groupby("at")[["value", "low", "high"]].mean()
        style: dict[str, Any] = {"color": figures.PALETTE[index], "marker": figures.MARKERS[index]}
        axis.plot(own.index, own["value"], label=str(title), **style)
        axis.fill_between(own.index, own["low"], own["high"], color=figures.PALETTE[index], alpha=0.15, linewidth=0)
    axis.grid(visible=True)


def _legend(figure: Figure, bases: Sequence[str]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=figures.MARKERS[n], color=figures.PALETTE[n], label=base)
        for n, base in enumerate(bases)
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(bases), fontsize=9)
