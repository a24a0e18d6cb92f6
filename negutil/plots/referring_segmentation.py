"""Figures of notebook 08: images with marked pixels, overlap by threshold, which object is marked, and gains.

Each takes what ``negutil.compare.referring_segmentation`` gives.
"""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from negutil.compare import referring_segmentation as segmenting
from negutil.compare import segmentation_items as benchmarks
from negutil.compare.engine import LEVEL
from negutil.compare.referring_segmentation import ORIGINAL, TITLES, Example, Findings
from negutil.plots import figures
from negutil.tasks.segmentation import MIOU


def overlays(examples: Sequence[Example]) -> Figure:
    """A row per phrase: the image, what is meant (its outline), and each method's scores over the grey image."""
    methods = list(examples[0].scores)
    size = (figures.WIDTH, 1.25 * len(examples) + 0.5)
    figure, axes = plt.subplots(len(examples), len(methods) + 1, figsize=size, squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        row[0].imshow(example.picture, interpolation="nearest")
        row[0].set_ylabel(fill(example.text, 16), rotation=0, ha="right", va="center", fontsize=9)
        for axis, method in zip(row[1:], methods, strict=True):
            axis.imshow(example.picture.mean(axis=-1), cmap="gray", vmin=-120, vmax=255, interpolation="nearest")
            shown = axis.imshow(
                example.scores[method], cmap="inferno", vmin=0, vmax=1, alpha=0.75, interpolation="nearest"
            )
        for axis in row:
            if example.mask.any() and not example.mask.all():
                axis.contour(example.mask, levels=[0.5], colors=["white"], linewidths=1.0)
                axis.contour(example.mask, levels=[0.5], colors=["black"], linewidths=0.5, linestyles="dotted")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, title in zip(axes[0], ("what is meant", *(TITLES[method] for method in methods)), strict=True):
        axis.set_title(title, fontsize=9)
    figure.colorbar(shown, ax=axes, location="bottom", fraction=0.03, aspect=40, label="score")
    return figure


def by_threshold(curves: pd.DataFrame) -> Figure:
    """mIoU of the test split by threshold: a panel per task, a line per method."""
    rows = curves.assign(name=curves["method"].map(TITLES))
    look: dict[str, Any] = {"limits": (0, None), "markevery": 8}
    return figures.lines(rows, "threshold", "name", "task", labels=("threshold", "mIoU (test split)"), **look)


def instances(found: Findings) -> Figure:
    """How often the object that is meant has the highest score, minus chance: affirmative phrases, negated by cue."""
    table = found.table
    rows = table[(table["metric"] == segmenting.OVER_CHANCE) & (table["kind"] == LEVEL) & table["seed"].isna()]
    rows = figures.ordered(rows[~rows["title"].isin([benchmarks.BARE, benchmarks.AFFIRMED])], "method", list(TITLES))
    rows, order = rows.assign(name=rows["method"].map(TITLES)), [benchmarks.AFFIRMATIVE, *figures.names(rows, "title")]
    label = "share of phrases whose object has the highest score, minus chance"
    return figures.points(rows, "title", "name", label=label, order=list(dict.fromkeys(order)), chance=0)


def gains(found: Findings, metric: str = f"{MIOU}@{segmenting.BEST}") -> Figure:
    """Gain of every method over the original text tower, in points: a panel per task, the paper's beside ours."""
    rows = found.table[(found.table["kind"] == segmenting.OVER_ORIGINAL) & (found.table["metric"] == metric)]
    tasks = (benchmarks.PHRASECUT, benchmarks.AFFIRMATIVE, benchmarks.NEGATED)
    rows = figures.ordered(figures.ordered(rows, "method", list(TITLES)), "title", tasks).assign(by="here")
    printed = {key: value for key, (value, _) in segmenting.PUBLISHED.items()}
    known = [(task, method) for task, method in zip(rows["title"], rows["method"], strict=True)]
    paper = [
        {"title": task, "method": method, "by": "the paper", "value": printed[cell, method] - printed[cell, ORIGINAL]}
        for task, method in known
        if {(cell := f"{task} {metric}", method), (cell, ORIGINAL)} <= set(printed)
    ]
    shown = pd.concat([rows, pd.DataFrame(paper)], ignore_index=True)
    shown = shown.assign(name=shown["method"].map(TITLES))
    label = f"gain in {metric} over the original text tower, points"
    return figures.points(shown, "name", "by", "title", label=label, chance=0, scale=100)
