"""Figures of notebook 07: grids of generated images, scores by text encoder, and how sure the judge is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from negutil import statistics
from negutil.compare.engine import LEVEL
from negutil.compare.text_to_image import Shown, title_of
from negutil.plots import figures
from negutil.tasks import picture_judge

FEWEST = 10
"""Bins with fewer answers are not drawn."""


def grid(lines: Sequence[Shown], heads: Sequence[str] = ()) -> Figure:
    """Lines of images with a caption under each; ``heads`` stand above the columns (prompts)."""
    return figures.strips([figures.Strip(title, pictures, texts) for title, pictures, texts in lines], heads)


def measures(table: pd.DataFrame, titles: Sequence[str], columns: int = 2) -> Figure:
    """A panel per measure: every way to draw with its 95 % interval, and the seeds of trained encoders as strokes."""
    rows = figures.ordered(table[table["kind"] == LEVEL], "title", titles)
    rows = rows.assign(name=rows["method"].map(title_of), kind="seeds")
    order = figures.names(rows, "name")
    means, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    look: dict[str, Any] = {"order": order, "limits": (-0.02, 1.02), "across": columns}
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
    return figures.points(rows, "kind", "name", label=label)


def trade(table: pd.DataFrame, across: str, up: str) -> Figure:
    """One measure against another: a mark with both intervals for every text encoder that has both."""
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna()]
    rows = rows.assign(name=rows["method"].map(title_of))
    return figures.crossed(rows, (across, up))


def reliability(exam: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """How often "yes" is true against how sure the judge is, yes and no asked equally often, with 95 % intervals.

    An interval is Wilson's for the bin's share of true answers, weighed as that share is.
    """
    table = figures.ordered(picture_judge.reliability(exam).query("n >= @FEWEST"), "condition", conditions)
    yes = table["condition"].map(exam.groupby("condition")["truth"].mean())
    right = (_weighed(table["true"], 1 - yes) * table["n"]).round().astype(int)
    bounds = [statistics.wilson(k, n) for k, n in zip(right, table["n"], strict=True)]
    low, high = (np.array([getattr(bound, end) for bound in bounds]) for end in ("low", "high"))
    rows = table.assign(value=table["true"], low=_weighed(low, yes), high=_weighed(high, yes))
    labels = ("how sure the judge is of “yes”", "how often that is true")
    look: dict[str, Any] = {"limits": (-0.02, 1.02), "line": "calibrated", "err_style": "bars", "err_kws": {}}
    figure = figures.lines(rows, "sure", "condition", labels=labels, linestyle=":", **look)
    figure.axes[0].plot([0, 1], [0, 1], **figures.CHANCE, marker="")
    return figure


def _weighed(share: Any, yes: Any) -> Any:
    """The share of true answers where ``yes`` of all are true, as it is when true and false ones weigh the same."""
    return share * (1 - yes) / (share * (1 - yes) + (1 - share) * yes)
