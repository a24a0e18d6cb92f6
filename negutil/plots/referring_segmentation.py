"""Figures of notebook 08: pictures with marked pixels, overlap by threshold, which thing is marked, and gains.

Each takes what ``negutil.compare.referring_segmentation`` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from negutil.compare import referring_segmentation as segmenting
from negutil.compare import segmentation_items as benchmarks
from negutil.compare.engine import LEVEL
from negutil.compare.referring_segmentation import ORIGINAL, TITLES, Example, Findings
from negutil.plots import figures
from negutil.tasks.segmentation import MIOU

HEAT = "inferno"
_COLOURS = (figures.BLACK, figures.BLUE, figures.GREEN, figures.VERMILION)
STYLE = dict(zip(TITLES, zip(_COLOURS, figures.MARKERS, strict=False), strict=True))
"""Colour and marker of every method."""


def overlays(examples: Sequence[Example]) -> Figure:
    """A row per phrase: the picture, what is meant (its outline), and each method's scores over the grey picture."""
    methods = list(examples[0].scores)
    size = (1.55 * (len(methods) + 1) + 1.9, 1.6 * len(examples) + 0.6)
    figure, axes = plt.subplots(len(examples), len(methods) + 1, figsize=size, squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        row[0].imshow(example.picture, interpolation="nearest")
        row[0].set_ylabel(fill(example.text, 20), rotation=0, ha="right", va="center", fontsize=9)
        for axis, method in zip(row[1:], methods, strict=True):
            axis.imshow(example.picture.mean(axis=-1), cmap="gray", vmin=-120, vmax=255, interpolation="nearest")
            scores = example.scores[method]
            shown = axis.imshow(scores, cmap=HEAT, vmin=0, vmax=1, alpha=0.75, interpolation="nearest")
        for axis in row:
            if example.mask.any() and not example.mask.all():
                axis.contour(example.mask, levels=[0.5], colors=["white"], linewidths=1.0)
                axis.contour(example.mask, levels=[0.5], colors=["black"], linewidths=0.5, linestyles="dotted")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, title in zip(axes[0], ("what is meant", *(TITLES[method] for method in methods)), strict=True):
        axis.set_title(title, fontsize=9)
    figure.colorbar(shown, ax=axes, fraction=0.025, label="score")
    return figure


def by_threshold(curves: pd.DataFrame) -> Figure:
    """mIoU of the test split by threshold: a panel per task, a line per method."""
    tasks = list(dict.fromkeys(curves["task"]))
    figure, axes = plt.subplots(1, len(tasks), figsize=(3.9 * len(tasks) + 0.8, 3.2), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for method in dict.fromkeys(curves["method"]):
            own = curves[(curves["task"] == task) & (curves["method"] == method)]
            colour, marker = STYLE[method]
            axis.plot(own["threshold"], own["value"], label=TITLES[method], color=colour, marker=marker, markevery=8)
        axis.set(title=task, xlabel="threshold", ylim=(0, None))
        axis.grid(visible=True)
    axes[0][0].set_ylabel("mIoU (test split)")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def instances(found: Findings) -> Figure:
    """How often the thing that is meant has the highest score, minus chance: affirmative phrases, negated by cue."""
    table = found.table
    rows = table[(table["metric"] == segmenting.OVER_CHANCE) & (table["kind"] == LEVEL) & table["seed"].isna()]
    rows = rows[rows["method"].isin(TITLES) & ~rows["title"].isin([benchmarks.BARE, benchmarks.AFFIRMED])]
    tasks = list(dict.fromkeys([benchmarks.AFFIRMATIVE, *rows["title"]]))
    figure, axis = plt.subplots(figsize=(7.6, 0.5 * len(tasks) + 1.4))
    methods = [method for method in TITLES if method in set(rows["method"])]
    for place, method in enumerate(methods):
        own = rows[rows["method"] == method]
        at = own["title"].map(tasks.index).to_numpy(float) + 0.17 * (place - (len(methods) - 1) / 2)
        _dots(axis, own, at, method)
    axis.axvline(0, **figures.CHANCE)
    axis.set_yticks(range(len(tasks)), tasks)
    axis.invert_yaxis()
    axis.set_xlabel("share of phrases whose thing has the highest score, minus chance")
    axis.grid(axis="y")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def gains(found: Findings, metric: str = f"{MIOU}@{segmenting.BEST}") -> Figure:
    """Gain of every method over the original text tower, in points: a panel per task, with the paper's as crosses."""
    rows = found.table[(found.table["kind"] == segmenting.OVER_ORIGINAL) & (found.table["metric"] == metric)]
    tasks = [benchmarks.PHRASECUT, benchmarks.AFFIRMATIVE, benchmarks.NEGATED]
    methods = [method for method in TITLES if method in set(rows["method"])]
    figure, axes = plt.subplots(1, len(tasks), figsize=(9.6, 0.42 * len(methods) + 1.5), sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        for place, method in enumerate(methods):
            own = rows[(rows["title"] == task) & (rows["method"] == method)]
            _dots(axis, own, np.array([place], float), method, scale=100)
            printed = [segmenting.PUBLISHED.get((f"{task} {metric}", name)) for name in (method, ORIGINAL)]
            values = [number[0] for number in printed if number]
            if len(values) == len(printed):
                axis.plot([100 * (values[0] - values[1])], [place + 0.25], linestyle="", marker="x", color="#444444")
        axis.axvline(0, **figures.CHANCE)
        axis.set_title(task, fontsize=10)
        axis.grid(axis="y")
    axes[0].set_yticks(range(len(methods)), [TITLES[method] for method in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.supxlabel(f"gain in {metric} over the original text tower, points (cross: the paper)", fontsize=10)
    return figure


def _dots(axis: Axes, rows: pd.DataFrame, at: NDArray[np.float64], method: str, scale: float = 1) -> None:
    scaled = scale * rows[["value", "low", "high"]].astype(float)
    colour, marker = STYLE[method]
    style: dict[str, Any] = {"color": colour, "fmt": marker, "linewidth": 1, "capsize": 2}
    axis.errorbar(scaled["value"], at, xerr=figures.reach(scaled), label=TITLES[method], **style)
