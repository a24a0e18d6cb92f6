"""Figures of notebook 09: the verdicts at a glance, and every method on every benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from negutil.compare import verdicts
from negutil.compare.verdicts import Outcome
from negutil.plots.figures import BLUE, ORANGE, VERMILION
from negutil.report import heat as report_heat

COLOURS = dict(zip(verdicts.KINDS, (BLUE, VERMILION, ORANGE, "#888888", "#D0D0D0", "#B5A69A", "#F0F0F0"), strict=True))
"""A colour for each verdict; each bar has its number too, and hatches tell what was not tested."""

HATCHES = dict(zip(verdicts.KINDS, ("", "", "", "", "///", "xxx", "..."), strict=True))


def glance(outcomes: Sequence[Outcome]) -> Figure:
    """How many claims of each work have which verdict, as stacked bars."""
    counted = verdicts.counts(outcomes)[::-1]
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(counted) + 1.6))
    left = np.zeros(len(counted))
    for kind in verdicts.KINDS:
        width = counted[kind].to_numpy(float)
        if width.any():
            style: dict[str, Any] = {"color": COLOURS[kind], "hatch": HATCHES[kind], "edgecolor": "white"}
            axis.barh(counted.index, width, left=left, label=kind, **style)
            _numbers(axis, left, width)
        left += width
    axis.set_xlabel("claims")
    axis.legend(loc="upper center", bbox_to_anchor=(0.45, -0.18), ncols=4, fontsize=8.5)
    return figure


def _numbers(axis: Axes, left: np.ndarray, width: np.ndarray) -> None:
    """The number of claims in the middle of each bar."""
    for row, (start, count) in enumerate(zip(left, width, strict=True)):
        if count:
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            axis.text(start + count / 2, row, f"{count:.0f}", ha="center", va="center", fontsize=8.5, bbox=box)


def heat_map(rows: pd.DataFrame, base: str) -> Figure:
    """Every method on every benchmark for one architecture: numbers, coloured by their gain over CLIP.

    ``rows`` are those of ``report_tables.every_method``. Bold: the paired interval leaves out zero.
    """
    heat = report_heat.gains(rows[rows["base"] == base], base)
    height = 0.27 * len(heat.rows) + 1.6
    figure, axis = plt.subplots(figsize=(0.85 * len(heat.columns) + 3.2, height))
    for number, (_, cells) in enumerate(heat.rows):
        for place, cell in enumerate(cells):
            axis.add_patch(plt.Rectangle((place, number), 1, 1, color=cell.colour or "white", linewidth=0))
            weight = "bold" if cell.sure else "normal"
            axis.text(place + 0.5, number + 0.5, cell.text, ha="center", va="center", fontsize=8, weight=weight)
    _frame(axis, heat)
    return figure


def _frame(axis: Axes, heat: report_heat.Heat) -> None:
    axis.set_xlim(0, len(heat.columns))
    axis.set_ylim(len(heat.rows), 0)
    names = [column.replace(", ", ",\n").replace(" ", "\n", 1) for column in heat.columns]
    axis.set_xticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axis.xaxis.tick_top()
    axis.set_yticks(np.arange(len(heat.rows)) + 0.5, [label for label, _ in heat.rows], fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(heat.name, fontsize=10)
