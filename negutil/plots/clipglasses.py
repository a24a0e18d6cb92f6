"""Figures of notebook 06: what glasses trade, layers of the text tower, lambda by strength, ablations and controls.

Each takes tables of ``negutil.compare.clipglasses``, ``layer_probe`` and ``glasses_parts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from negutil.compare import glasses_parts, layer_probe
from negutil.plots import figures

NEGATED, AFFIRMED = figures.VERMILION, figures.BLUE
SPREAD = 0.3


def two_tests(
    table: pd.DataFrame, titles: tuple[str, str], names: Mapping[str, str], chances: tuple[float, float]
) -> Figure:
    """Every method on two tests at once, with 95 % intervals; hollow marks are the first architecture.

    ``names`` maps methods to what the legend calls them; ``chances`` are drawn as dashed lines.
    """
    figure, axis = plt.subplots(figsize=(7.4, 4.6))
    bases = figures.names(table, "base")
    for number, (method, label) in enumerate(names.items()):
        for place, base in enumerate(bases):
            own = table[(table["base"] == base) & (table["method"] == method)].set_index("title")
            if set(titles) <= set(own.index):
                across, up = (own.loc[title] for title in titles)
                face = _mark(number)["color"] if place == len(bases) - 1 else "white"
                shape: dict[str, Any] = {"markerfacecolor": face, "linestyle": "", "elinewidth": 0.8, "capsize": 0}
                shape |= _mark(number) | {"markersize": 6}
                shape |= {"xerr": figures.reach(across), "yerr": figures.reach(up)}
                axis.errorbar([across["value"]], [up["value"]], **shape)
        axis.plot([], [], linestyle="", label=label, **_mark(number))
    axis.axvline(chances[0], **figures.CHANCE)
    axis.axhline(chances[1], **figures.CHANCE)
    axis.set(xlabel=titles[0], ylabel=titles[1])
    fills = "" if len(bases) < 2 else f"filled: {bases[-1]}\nhollow: {bases[0]}"
    figure.legend(loc="outside right center", fontsize=8, title=fills, title_fontsize=8)
    return figure


def layers(table: pd.DataFrame) -> Figure:
    """Accuracy of the probe by layer, with ways to negate that it knows and does not know, and what a negation moves.

    ``table`` is that of ``layer_probe.summary`` with a column ``base``; intervals are over ways to negate.
    """
    panels = {
        layer_probe.SEEN: ("Probe, known ways to negate", "accuracy, unseen nouns"),
        layer_probe.ACCURACY: ("Probe, unknown way to negate", "accuracy, unseen nouns"),
        layer_probe.GAP: ("What a negation moves", "(1: as far as another noun)"),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(12.6, 3.4))
    for axis, (metric, (title, label)) in zip(axes, panels.items(), strict=True):
        rows = table[(table["metric"] == metric) & ~table["task"].str.contains(" minus ")]
        for index, base in enumerate(figures.names(rows, "base")):
            own = rows[(rows["base"] == base) & (rows["task"] != layer_probe.LENGTH)]
            places = np.arange(len(own)) + 0.1 * (index - 0.5)
            figures.dots(axis, own, places, index, vertical=True, label=base)
            axis.plot(places, own["value"], color=figures.PALETTE[index], linewidth=1, marker="")
            axis.set_xticks(range(len(own)), own["task"])
        is_probe = metric != layer_probe.GAP
        axis.set(title=title, ylabel=label, ylim=(0.4, 1.02) if is_probe else (0, None))
        axis.axhline(0.5 if is_probe else 1, **figures.CHANCE)
        alone = rows[rows["task"] == layer_probe.LENGTH]
        if is_probe and len(alone):  # what the number of tokens alone gets
            style: dict[str, Any] = {"color": "#666666", "linestyle": ":", "linewidth": 1}
            axis.axhline(alone["value"].iloc[0], label=layer_probe.LENGTH, **style)
    axes[1].legend(fontsize=8)
    return figure


def tsne(places: pd.DataFrame) -> Figure:
    """t-SNE of some pairs, a panel per layer; a line joins the two sentences of a pair."""
    shown = list(dict.fromkeys(places["layer"]))
    figure, axes = plt.subplots(1, len(shown), figsize=(4.6 * len(shown), 4.0))
    for axis, layer in zip(np.atleast_1d(axes), shown, strict=True):
        own = places[places["layer"] == layer]
        for _, pair in own.groupby("pair"):
            axis.plot(pair["x"], pair["y"], color="#BBBBBB", linewidth=0.8, marker="", zorder=1)
        for is_negated, colour, marker in ((True, NEGATED, "o"), (False, AFFIRMED, "s")):
            side = own[own["negated"] == is_negated]
            axis.scatter(side["x"], side["y"], color=colour, marker=marker, s=26, zorder=2)
        axis.set(title=layer.capitalize(), xticks=[], yticks=[])
    handles = [
        Line2D([], [], linestyle="", marker="o", color=NEGATED, label="negated"),
        Line2D([], [], linestyle="", marker="s", color=AFFIRMED, label="affirmative"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def strengths(lambdas: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Lambda for four strengths of negation: distributions of one model (left), paired differences of all (right).

    ``lambdas`` has a column for each strength, ``table`` is that of ``glasses_parts.lambda_summary`` with ``base``.
    """
    names = list(glasses_parts.STRENGTHS)
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 3.6), width_ratios=(1, 1.1))
    parts = axes[0].violinplot([lambdas[name] for name in names], showmedians=True, widths=0.8)
    for index, body in enumerate(parts["bodies"]):
        body.set(facecolor=figures.PALETTE[index], alpha=0.6)
    axes[0].set_xticks(range(1, len(names) + 1), [name.replace(" ", "\n", 1) for name in names], fontsize=8)
    axes[0].set(ylabel="lambda", title="Distribution")
    rows = table[table["metric"] == glasses_parts.DIFFERENCE]
    steps = list(dict.fromkeys(rows["task"]))
    for index, base in enumerate(figures.names(rows, "base")):
        own = rows[rows["base"] == base]
        places = own["task"].map(steps.index).to_numpy(float) + SPREAD * (index - 0.5)
        figures.dots(axes[1], own, places, index, label=base)
    axes[1].set_yticks(range(len(steps)), [step.replace(" minus ", "\nminus ") for step in steps], fontsize=8)
    axes[1].axvline(0, **figures.CHANCE)
    axes[1].invert_yaxis()
    axes[1].set(xlabel="difference of lambda, same item", title="Stronger minus weaker")
    axes[1].legend(fontsize=8)
    return figure


def changes(
    rows: pd.DataFrame,
    titles: Sequence[str],
    names: Mapping[str, str],
    label: str,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Paired differences (points) of variants (rows) on each test (a panel), with 95 % intervals.

    ``rows`` has title, method, value, low, high; ``published`` (title, method, value) is drawn as crosses.
    """
    figure, axes = plt.subplots(
        1, len(titles), figsize=(3.0 * len(titles) + 2.2, 0.34 * len(names) + 1.4), sharey=True, squeeze=False
    )
    order = list(names)
    for axis, title in zip(axes[0], titles, strict=True):
        own = rows[(rows["title"] == title) & rows["method"].isin(order)]
        scaled = own.assign(**{column: 100 * own[column] for column in ("value", "low", "high")})
        figures.dots(axis, scaled, own["method"].map(order.index).to_numpy(float), 0)
        if published is not None:
            known = published[(published["title"] == title) & published["method"].isin(order)]
            axis.plot(100 * known["value"], known["method"].map(order.index), "x", color="#444444", label="published")
        axis.axvline(0, **figures.CHANCE)
        axis.set_title(title, fontsize=9)
        axis.grid(axis="y")
    axes[0][0].set_yticks(range(len(order)), list(names.values()))
    axes[0][0].invert_yaxis()
    figure.supxlabel(label, fontsize=10)
    if published is not None:
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", fontsize=8)
    return figure


# --------------------------------------------------------------------------------------------------------------------
# Parts


def _mark(number: int) -> dict[str, Any]:
    """Colour and marker of the method with this number; colours come round again with other markers."""
    colours, markers = figures.PALETTE[:7], figures.MARKERS
    turn, colour = divmod(number, len(colours))
    return {"color": colours[colour], "marker": markers[(number + 3 * turn) % len(markers)]}
