"""Figures of notebook 06: what glasses trade, layers of the text tower, lambda by strength, ablations and controls.

Each takes tables of ``negutil.compare.clipglasses``, ``layer_probe`` and ``glasses_parts``.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from negutil.compare import glasses_parts, layer_probe
from negutil.plots import figures

NEGATED, AFFIRMED = figures.VERMILION, figures.BLUE


def two_tests(
    table: pd.DataFrame, titles: tuple[str, str], names: Mapping[str, str], chances: tuple[float, float]
) -> Figure:
    """Every method (a row) on two tests (panels), with 95 % intervals and a mark for each architecture.

    ``names`` maps methods to what their rows are called; ``chances`` are drawn as dashed lines.
    """
    rows = figures.ordered(figures.ordered(table, "method", list(names)), "title", titles)
    rows = rows.assign(name=rows["method"].map(names).map(lambda name: textwrap.fill(name, 28)))
    order, chance = figures.names(rows, "name"), dict(zip(titles, chances, strict=True))
    look: dict[str, Any] = {"label": "accuracy", "limits": (-0.02, 1.02), "order": order, "chance": chance}
    return figures.points(rows, "name", "base", "title", **look)


def layers(table: pd.DataFrame) -> Figure:
    """Accuracy of the probe by layer, with ways to negate that it knows and does not know, and what a negation moves.

    ``table`` is that of ``layer_probe.summary`` with a column ``base``; intervals are over ways to negate.
    """
    panels = {
        layer_probe.SEEN: "Known ways to negate",
        layer_probe.ACCURACY: "An unknown way",
        layer_probe.GAP: "What a negation moves",
    }
    rows = figures.ordered(table[~table["task"].str.contains(" minus ")], "metric", list(panels))
    rows = rows.assign(panel=rows["metric"].map(panels))
    labels = ("accuracy of the probe", "accuracy of the probe", "distance (1: to another noun)")
    label = dict(zip(panels.values(), labels, strict=True))
    chance = {panels[layer_probe.SEEN]: 0.5, panels[layer_probe.ACCURACY]: 0.5}
    return figures.points(rows, "task", "base", "panel", label=label, limits=(0, 1.05), chance=chance)


def tsne(places: pd.DataFrame) -> Figure:
    """t-SNE of some pairs, a panel per layer; a line joins the two sentences of a pair."""
    shown = figures.names(places, "layer")
    figure, axes = figures.panels([layer.capitalize() for layer in shown], 3.6)
    known = {"negated": (NEGATED, "o"), "affirmative": (AFFIRMED, "s")}
    look = figures.look(known, "side", with_markers=True)
    for axis, layer in zip(axes, shown, strict=True):
        own = places[places["layer"] == layer]
        for _, pair in own.groupby("pair"):
            axis.plot(pair["x"], pair["y"], color="#BBBBBB", linewidth=0.8, marker="", zorder=1)
        sides = own.assign(side=np.where(own["negated"], "negated", "affirmative"))
        sns.scatterplot(sides, x="x", y="y", s=34, zorder=2, ax=axis, **look)
        axis.set(xticks=[], yticks=[], xlabel="", ylabel="")
    figure.supxlabel("t-SNE: distances within a panel matter, axes have no unit")
    figures.legend(figure, known)
    return figure


def strengths(lambdas: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Lambda for four strengths of negation: distributions of one model (above), paired differences of all (below).

    ``lambdas`` has a column for each strength, ``table`` is that of ``glasses_parts.lambda_summary`` with ``base``.
    """
    rows = table[table["metric"] == glasses_parts.DIFFERENCE]
    known = figures.marks(figures.names(rows, "base"))
    titles = (f"Distribution of {list(known)[-1]}, lines: quartiles", "Stronger minus weaker")
    figure, axes = figures.panels(titles, 2.3, 1)
    look: dict[str, Any] = {"color": "#C9DDEC", "inner": "quart", "inner_kws": {"marker": ""}, "cut": 0}
    sns.violinplot(lambdas[list(glasses_parts.STRENGTHS)], orient="h", ax=axes[0], **look)
    low, high = axes[0].get_xlim()
    axes[0].set(xlabel=f"lambda (the axis shows {low:.2f} to {high:.2f})", ylabel="")
    axes[0].grid(axis="x")
    figures.dots(axes[1], rows, "task", figures.names(rows, "task"), known, hue="base", scale=1)
    axes[1].axvline(0, **figures.CHANCE)
    axes[1].set(xlabel="difference of lambda, same item")
    figures.legend(figure, known)
    return figure


def margins(table: pd.DataFrame, scale: str) -> Figure:
    """What leaving a component out changes in the margin of CC-Neg, in logits at a ``scale``, with 95 % intervals.

    ``table`` is that of ``clipglasses.margins``; the last architecture is shown.
    """
    rows = table[(table["scale"] == scale) & table["change"].notna()]
    rows = rows[rows["base"] == rows["base"].iloc[-1]] if len(rows) else rows
    rows = rows.assign(value=rows["change"], low=rows["change_low"], high=rows["change_high"])
    label = f"change of the margin, logits at {'CLIP’s own scale' if scale == 'own' else 'a scale of 100'}"
    return figures.points(rows, "method", col="title", label=label, chance=0, sharex=True)


def changes(
    rows: pd.DataFrame,
    titles: Sequence[str],
    names: Mapping[str, str],
    label: str,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Paired differences (points) of variants (rows) on each test (a panel), with 95 % intervals.

    ``rows`` has title, method, value, low, high. ``published`` (title, method, value) has panels of its own, as its
    differences may be far larger.
    """
    parts = []
    for title in titles:
        parts.append(rows[rows["title"] == title].assign(panel=title))
        if published is not None:
            parts.append(published[published["title"] == title].assign(panel=f"{title}: the paper"))
    shown = pd.concat(parts, ignore_index=True)
    shown = shown[shown["method"].isin(names)].assign(name=lambda own: own["method"].map(names))
    look: dict[str, Any] = {"label": f"{label}, points", "scale": 100}
    return figures.points(shown, "name", col="panel", order=list(names.values()), chance=0, **look)
