"""Figures of notebook 07: grids of generated pictures, scores by text encoder, and how sure the judge is."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from negutil.compare import text_to_image
from negutil.compare.engine import LEVEL
from negutil.compare.text_to_image import Shown, title_of
from negutil.plots import figures
from negutil.tasks import picture_judge

CELL = 1.12
LINE = 0.13
LETTERS = 19
FEWEST = 10
"""Bins with fewer answers are not drawn."""


def grid(lines: Sequence[Shown], heads: Sequence[str] = ()) -> Figure:
    """Lines of pictures with a caption under each; ``heads`` stand above the columns (prompts)."""
    columns = max(len(pictures) for _, pictures, _ in lines)
    below = max(len(_folded(text)) for *_, captions in lines for text in captions)
    above = max((len(_folded(text)) for text in heads), default=0)
    height = len(lines) * (CELL + LINE * below + 0.3) + LINE * above
    figure, axes = plt.subplots(len(lines), columns, figsize=(columns * CELL + 0.1, height), squeeze=False)
    for row, (title, pictures, captions) in zip(axes, lines, strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, picture, caption in zip(row, pictures, captions, strict=False):
            axis.imshow(picture, interpolation="nearest")
            axis.text(0, picture.shape[0] + 2, "\n".join(_folded(caption)), fontsize=6.5, va="top")
        row[0].set_title(title, fontsize=8.5, fontweight="bold", pad=3)
    for axis, head in zip(axes[0], heads, strict=False):
        axis.text(0, -16, "\n".join(_folded(head)), fontsize=7.5, va="bottom", style="italic")
    return figure


def _folded(text: str) -> list[str]:
    return textwrap.wrap(text, LETTERS)


def measures(table: pd.DataFrame, titles: Sequence[str], columns: int = 2) -> Figure:
    """A panel per measure: every way to draw with its 95 % interval, and the seeds of trained encoders as dots."""
    rows = table[(table["kind"] == LEVEL) & table["title"].isin(titles)]
    named = list(dict.fromkeys(rows["method"]))
    lines = -(-len(titles) // columns)
    size = (3.4 * columns + 1.8, lines * (0.3 * len(named) + 0.8))
    figure, axes = plt.subplots(lines, columns, figsize=size, sharey=True, squeeze=False)
    for axis, title in zip(axes.ravel(), titles, strict=False):
        own = rows[rows["title"] == title]
        for index, method in enumerate(named):
            means = own[own["seed"].isna() & (own["method"] == method)]
            # Controls share a colour of their own, so that encoders stand out.
            last = len(figures.PALETTE) - 2
            colour = last if method in text_to_image.CONTROLS else min(index, last - 1)
            if not means.empty:
                figures.dots(axis, means, figures.places(means["method"], named), colour)
        single = own[own["seed"].notna()]
        axis.plot(
            single["value"], figures.places(single["method"], named) + 0.25, linestyle="", marker=".", color="#888888"
        )
        axis.set_title(title)
        axis.grid(axis="x")
    axes[0][0].set_yticks(range(len(named)), [title_of(name) for name in named])
    axes[0][0].invert_yaxis()
    return figure


def by_kind(table: pd.DataFrame, titles: Sequence[str]) -> Figure:
    """A measure by kind of prompt (``titles``, the kind behind a comma): a colour for every way to draw."""
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna() & table["title"].isin(titles)]
    shown = [title for title in titles if title in set(rows["title"])]
    named = list(dict.fromkeys(rows["method"]))
    figure, axis = plt.subplots(figsize=(7.4, 0.62 * len(shown) + 1.1))
    for index, method in enumerate(named):
        own = rows[rows["method"] == method]
        places = own["title"].map(shown.index).to_numpy(float) + 0.12 * (index - (len(named) - 1) / 2)
        figures.dots(axis, own, places, index, label=title_of(method))
    axis.set_yticks(range(len(shown)), [title.partition(", ")[2] for title in shown])
    axis.invert_yaxis()
    axis.set(xlabel=shown[0].partition(",")[0], xlim=(-0.02, 1.02))
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def trade(table: pd.DataFrame, across: str, up: str) -> Figure:
    """One measure against another: a mark with both intervals for every text encoder that has both."""
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna()]
    both = [rows[rows["title"] == title].set_index("method") for title in (across, up)]
    figure, axis = plt.subplots(figsize=(5.2, 3.4))
    for index, method in enumerate(name for name in both[0].index if name in both[1].index):
        x, y = both[0].loc[method], both[1].loc[method]
        style: dict[str, Any] = {"color": figures.PALETTE[index], "marker": figures.MARKERS[index], "linestyle": ""}
        axis.errorbar(
            x["value"], y["value"], xerr=figures.reach(x), yerr=figures.reach(y), label=title_of(str(method)), **style
        )
    axis.set(xlabel=across, ylabel=up)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def reliability(exam: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """How often "yes" is true against how sure the judge is, yes and no asked equally often; a line a condition."""
    table = picture_judge.reliability(exam).query("n >= @FEWEST")
    figure, axis = plt.subplots(figsize=(4.6, 3.6))
    axis.plot([0, 1], [0, 1], **figures.CHANCE, marker="")
    for index, condition in enumerate(conditions):
        own = table[table["condition"] == condition]
        axis.plot(
            own["sure"], own["true"], label=condition, color=figures.PALETTE[index], marker=figures.MARKERS[index]
        )
    axis.set(xlabel="how sure the judge is of “yes”", ylabel="how often that is true", xlim=(0, 1), ylim=(0, 1))
    axis.legend(fontsize=8)
    return figure
