"""Figures of notebook 07: grids of generated images, scores by text encoder, and how sure the judge is."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from negutil.compare.engine import LEVEL
from negutil.compare.text_to_image import Shown, title_of
from negutil.plots import figures
from negutil.tasks import picture_judge

CELL, LINE, LETTERS = 1.12, 0.13, 19
"""Inches of an image and of a line of text, and letters that a line has room for."""

FEWEST = 10
"""Bins with fewer answers are not drawn."""


def grid(lines: Sequence[Shown], heads: Sequence[str] = ()) -> Figure:
    """Lines of images with a caption under each; ``heads`` stand above the columns (prompts)."""
    columns = max(len(pictures) for _, pictures, _ in lines)
    below = max(len(textwrap.wrap(text, LETTERS)) for *_, captions in lines for text in captions)
    above = max((len(textwrap.wrap(text, LETTERS)) for text in heads), default=0)
    height = len(lines) * (CELL + LINE * below + 0.3) + LINE * above
    figure, axes = plt.subplots(len(lines), columns, figsize=(columns * CELL + 0.1, height), squeeze=False)
    for row, (title, pictures, captions) in zip(axes, lines, strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, picture, caption in zip(row, pictures, captions, strict=False):
            axis.imshow(picture, interpolation="nearest")
            axis.text(0, picture.shape[0] + 2, textwrap.fill(caption, LETTERS), fontsize=6.5, va="top")
        row[0].set_title(title, fontsize=8.5, fontweight="bold", pad=3)
    for axis, head in zip(axes[0], heads, strict=False):
        axis.text(0, -16, textwrap.fill(head, LETTERS), fontsize=7.5, va="bottom", style="italic")
    return figure


def measures(table: pd.DataFrame, titles: Sequence[str], columns: int = 2) -> Figure:
    """A panel per measure: every way to draw with its 95 % interval, and the seeds of trained encoders as strokes."""
    rows = figures.ordered(table[table["kind"] == LEVEL], "title", titles)
    rows = rows.assign(name=rows["method"].map(title_of), kind="seeds")
    order = figures.names(rows, "name")
    means, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    look: dict[str, Any] = {"order": order, "limits": (-0.02, 1.02), "wrap": columns, "width": 3.6}
    label = "share of images, mean over prompts (strokes: seeds of the fine-tuning)"
    figure = figures.points(means, "name", col="title", label=label, **look)
    for axis, title in zip(figure.axes, figures.names(means, "title"), strict=False):
        figures.seeds(axis, seeds[seeds["title"] == title], "name", order, figures.marks(["seeds"]), hue="kind")
    return figure


def by_kind(table: pd.DataFrame, titles: Sequence[str]) -> Figure:
    """A measure by kind of prompt (``titles``, the kind behind a comma): a mark for every way to draw."""
    rows = figures.ordered(table[(table["kind"] == LEVEL) & table["seed"].isna()], "title", titles)
    rows = rows.assign(kind=rows["title"].str.partition(", ")[2], name=rows["method"].map(title_of))
    label = titles[0].partition(",")[0]
    return figures.points(rows, "kind", "name", label=label, limits=(-0.02, 1.02), width=5)


def trade(table: pd.DataFrame, across: str, up: str) -> Figure:
    """One measure against another: a mark with both intervals for every text encoder that has both."""
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna()]
    rows = rows.assign(name=rows["method"].map(title_of))
    return figures.crossed(rows, (across, up), limits=(0, 1.02))


def reliability(exam: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """How often "yes" is true against how sure the judge is, yes and no asked equally often; a line a condition."""
    table = figures.ordered(picture_judge.reliability(exam).query("n >= @FEWEST"), "condition", conditions)
    labels = ("how sure the judge is of “yes”", "how often that is true")
    rows = table.rename(columns={"true": "value"})
    figure = figures.lines(rows, "sure", "condition", labels=labels, limits=(-0.02, 1.02), line="calibrated")
    figure.axes[0].plot([0, 1], [0, 1], **figures.CHANCE, marker="")
    return figure
