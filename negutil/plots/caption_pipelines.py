"""Figures of notebook 04: what annotators' errors cost, how natural and plausible captions are, how they negate.

Each takes a table of ``caption_pipelines.Findings``; ``referring`` takes rows of NegRefCOCOg with their pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from negutil.compare import caption_pipelines as pipelines
from negutil.compare.caption_pipelines import Referred
from negutil.plots import figures

SETS = (pipelines.P1, pipelines.RANDOM, pipelines.P2, pipelines.SHAPES, pipelines.NEGCAP)
STYLE = {name: (figures.PALETTE[index], figures.MARKERS[index]) for index, name in enumerate(SETS)}
"""Colour and marker of every set, the same in all figures."""


def errors(quality: pd.DataFrame) -> Figure:
    """Share of true captions, and share of captions kept, against the annotators' error rate, with 95 % intervals."""
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.3), sharex=True)
    panels = {pipelines.TRUE: "True captions", pipelines.KEPT: "Captions and questions kept"}
    for axis, (metric, title) in zip(axes, panels.items(), strict=True):
        for index, (name, (colour, marker)) in enumerate(STYLE.items()):
            own = quality[(quality["metric"] == metric) & (quality["set"] == name)].sort_values("error")
            if own.empty:
                continue
            value, low, high = (100 * own[column].to_numpy() for column in ("value", "low", "high"))
            # A little apart, so that intervals at the same rate do not cover each other.
            at = 100 * own["error"].to_numpy() + 0.25 * (index - 2)
            ends = np.vstack([value - low, high - value]).clip(0)
            axis.errorbar(at, value, yerr=ends, color=colour, marker=marker, label=name, linewidth=1)
        axis.set(title=title, xlabel="errors of the annotators, per answer (%)", ylabel="%")
        axis.grid(visible=True)
    low, high = 100 * quality["error"].min(), 100 * max(quality["error"].max(), 0.01)
    reach = np.linspace(low, high, 2)
    axes[0].plot(reach, 100 - reach, **figures.CHANCE, marker="", label="one error, one false caption")
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def natural(quality: pd.DataFrame) -> Figure:
    """Bits per word under the n-gram model by set: captions before and after, the template, shuffled words."""
    kinds = {
        ", before": "caption before",
        ", template": "template",
        "": "with negation",
        ", shuffled": "words shuffled",
    }
    names = [name for name in STYLE if ((quality["set"] == name) & (quality["metric"] == pipelines.BITS)).any()]
    figure, axis = plt.subplots(figsize=(7.0, 0.5 * len(names) + 1.2))
    for index, (ending, label) in enumerate(kinds.items()):
        rows = quality[quality["metric"] == f"{pipelines.BITS}{ending}"].set_index("set").loc[names]
        figures.dots(axis, rows, np.arange(len(names)) + 0.15 * (index - 1.5), index, label=label)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="bits per word (fewer: more like other captions)", ylim=(len(names) - 0.5, -0.5), xlim=(0, None))
    axis.set_title("How natural the captions are")
    axis.grid(visible=True, axis="x")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plausibility(items: pd.DataFrame) -> Figure:
    """How the plausibility of the absent objects is distributed, set by set, as cumulative shares without errors."""
    figure, axis = plt.subplots(figsize=(5.6, 3.4))
    plain = items[(items["error"] == 0) & items["plausibility"].notna()]
    for name, (colour, _) in STYLE.items():
        ranks = np.sort(plain.loc[plain["set"] == name, "plausibility"].to_numpy())
        if len(ranks):
            axis.plot(ranks, np.arange(1, len(ranks) + 1) / len(ranks), color=colour, marker="", label=name)
    axis.plot([0, 1], [0, 1], **figures.CHANCE, marker="", label="at random")
    axis.set(xlabel="rank among absent objects (1: goes best with the picture)", ylabel="share of captions")
    axis.set(title="How plausible the absent objects are", xlim=(0, 1), ylim=(0, 1))
    axis.legend(fontsize=8)
    return figure


def negations(table: pd.DataFrame) -> Figure:
    """Which cue negates, and where, in every set: stacked shares."""
    names = list(dict.fromkeys(table["set"]))
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 0.36 * len(names) + 1.5), sharey=True)
    for axis, (factor, title) in zip(
        axes, {"cue": "Cue", "position": "Where the negation stands"}.items(), strict=True
    ):
        rows = table[table["factor"] == factor]
        wide = rows.pivot(index="set", columns="level", values="share").reindex(index=names).fillna(0.0)
        wide = wide[wide.sum().sort_values(ascending=False, kind="stable").index]
        left = np.zeros(len(names))
        for index, level in enumerate(wide):
            share = 100 * wide[level].to_numpy()
            axis.barh(names, share, left=left, color=figures.PALETTE[index % 8], label=level, edgecolor="white")
            left += share
        axis.set(title=title, xlabel="% of captions", xlim=(0, 100))
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=5, columnspacing=1)
    axes[0].invert_yaxis()
    return figure


def referring(rows: Sequence[Referred]) -> Figure:
    """Rows of NegRefCOCOg: the picture with both boxes, then both crops; the one that is meant has a solid frame."""
    figure, axes = plt.subplots(3, len(rows), figsize=(2.3 * len(rows), 6.4), squeeze=False)
    for column, row in enumerate(rows):
        top, *crops = axes[:, column]
        top.imshow(row.picture, interpolation="nearest")
        top.set_title(row.phrase, fontsize=8, loc="center", wrap=True)
        # The one that is meant first: the file has them in random order.
        order = [row.correct, 1 - row.correct]
        for axis, place in zip(crops, order, strict=True):
            colour = figures.GREEN if place == row.correct else figures.VERMILION
            x, y, width, height = row.boxes[place]
            frame: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": 2}
            top.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, **frame))
            cut = row.picture[round(y) : round(y + height), round(x) : round(x + width)]
            axis.imshow(cut, interpolation="nearest")
            axis.set_title("meant" if place == row.correct else "other", fontsize=8, loc="center", color=colour)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[["top", "right"]].set_visible(True)
    return figure
