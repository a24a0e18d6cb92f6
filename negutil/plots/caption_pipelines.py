"""Figures of notebook 04: what annotators' errors cost, how natural and plausible captions are, how they negate.

Each takes a table of ``caption_pipelines.Findings``; ``referring`` takes rows of NegRefCOCOg with their images.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from negutil.compare import caption_pipelines as pipelines
from negutil.compare.caption_pipelines import Referred
from negutil.plots import figures

SETS = (pipelines.P1, pipelines.RANDOM, pipelines.P2, pipelines.SHAPES, pipelines.NEGCAP)
NATURAL = {", before": "caption before", ", template": "template", "": "with negation", ", shuffled": "words shuffled"}


def errors(quality: pd.DataFrame) -> Figure:
    """Share of true captions, and share of captions kept, against the annotators' error rate, with 95 % intervals.

    Where no errors were made on purpose there is nothing to show.
    """
    if quality["error"].nunique() < 2:
        return figures.nothing()
    panels = {pipelines.TRUE: "True captions", pipelines.KEPT: "Captions and questions kept"}
    rows = figures.ordered(figures.ordered(quality, "set", SETS), "metric", list(panels))
    rows = rows.assign(panel=rows["metric"].map(panels), error=100 * rows["error"])
    rows[["value", "low", "high"]] *= 100
    labels = ("errors of the annotators, per answer (%)", "share of captions (%)")
    figure = figures.lines(rows, "error", "set", "panel", labels=labels, limits=(0, 103), line="one error, one false")
    end = rows["error"].max()
    figure.axes[0].plot([0, end], [100, 100 - end], **figures.CHANCE, marker="")
    return figure


def natural(quality: pd.DataFrame) -> Figure:
    """Bits per word under the n-gram model by set: captions before and after, the template, shuffled words."""
    kinds = {f"{pipelines.BITS}{ending}": label for ending, label in NATURAL.items()}
    known = quality.loc[quality["metric"] == pipelines.BITS, "set"].unique()
    rows = figures.ordered(quality[quality["set"].isin(known)], "metric", list(kinds))
    rows = rows.assign(kind=rows["metric"].map(kinds))
    label = "bits per word (fewer: more like other captions)"
    order = [name for name in SETS if name in known]
    figure = figures.points(rows, "set", "kind", label=label, order=order)
    figure.axes[0].set_xlim(0, None)
    return figure


def plausibility(items: pd.DataFrame) -> Figure:
    """How the plausibility of the absent objects is distributed, set by set, as cumulative shares without errors."""
    rows = items[(items["error"] == 0) & items["plausibility"].notna() & items["set"].isin(SETS)]
    known = figures.marks([name for name in SETS if (rows["set"] == name).any()])
    label = "rank among absent objects (1: goes best with the image)"
    figure, (axis,) = figures.panels([""], 3.4)
    sns.ecdfplot(rows, x="plausibility", marker="", ax=axis, **figures.look(known, "set"))
    axis.plot([0, 1], [0, 1], **figures.CHANCE, marker="")
    axis.set(xlabel=label, ylabel="share of captions", xlim=(0, 1), ylim=(0, 1))
    axis.grid(visible=True)
    figures.legend(figure, {name: (colour, "") for name, (colour, _) in known.items()}, "at random")
    return figure


def negations(table: pd.DataFrame) -> Figure:
    """Which cue negates, and where, in every set: stacked shares."""
    panels = {"cue": "Cue", "position": "Where the negation stands"}
    figure, axes = figures.panels(list(panels.values()), 0.36 * table["set"].nunique() + 1.7, sharey=True)
    for axis, factor in zip(axes, panels, strict=True):
        rows = table[table["factor"] == factor].assign(percent=lambda own: 100 * own["share"])
        levels = rows.groupby("level")["share"].sum().sort_values(ascending=False, kind="stable").index
        look: dict[str, Any] = {"hue_order": levels[::-1], "palette": figures.PALETTE[: len(levels)][::-1], "alpha": 1}
        look |= {"multiple": "stack", "discrete": True, "shrink": 0.8, "edgecolor": "white"}
        sns.histplot(rows, y="set", weights="percent", hue="level", ax=axis, **look)
        axis.set(xlabel="% of captions", ylabel="", xlim=(0, 100))
        place: dict[str, Any] = {"bbox_to_anchor": (0.5, -0.22), "ncols": 3, "columnspacing": 1, "reverse": True}
        sns.move_legend(axis, "upper center", title="", **place)
    return figure


@figures.or_nothing
def referring(rows: Sequence[Referred]) -> Figure:
    """Rows of NegRefCOCOg: the image with both boxes, then both crops, the one that is meant first."""
    figure, axes = plt.subplots(3, len(rows), figsize=(figures.WIDTH, 22 / len(rows)), squeeze=False)
    for (top, *crops), row in zip(axes.T, rows, strict=True):
        top.imshow(row.picture, interpolation="nearest")
        top.set_title(textwrap.fill(row.phrase, 84 // len(rows)), fontsize=9, loc="center")
        figures.frame(top, figures.BLACK, 1)
        # The file has the two in random order.
        for axis, place, meant in zip(crops, [row.correct, 1 - row.correct], (True, False), strict=True):
            colour, word = (figures.GREEN, "meant") if meant else (figures.VERMILION, "other")
            x, y, width, height = row.boxes[place]
            box = Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, linewidth=2)
            top.add_patch(box)
            cut = row.picture[round(y) : round(y + height), round(x) : round(x + width)]
            axis.imshow(cut, interpolation="nearest")
            axis.set_title(word, fontsize=9, loc="center", color=colour)
            figures.frame(axis, colour, 1)
    return figure
