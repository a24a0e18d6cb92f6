"""Figures of notebook 01: how rare negation is in captions, which cues there are, and how well the lists find them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from negutil.captions import caption_statistics
from negutil.captions.caption_statistics import Counts
from negutil.captions.web_captions import Judgement
from negutil.plots import figures
from negutil.statistics import Interval


def ratios(counts: Counts) -> Figure:
    """Caption ratio and word ratio in percent by term list, with 95 % intervals and the paper's number as a line."""
    paper = caption_statistics.published()
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 2.6))
    panels = (("caption_ratio", "Captions with a cue"), ("word_ratio", "Cue words among all words"))
    for axis, (metric, title) in zip(axes, panels, strict=True):
        ratio = getattr(caption_statistics, metric)
        _dots(axis, list(counts.lists), [ratio(counts, name) for name in counts.lists], scale=100)
        axis.axvline(100 * paper[metric], **figures.CHANCE, label=f"paper: {100 * paper[metric]:.2f} %")
        axis.set(title=title, xlabel="%", xlim=(0, None))
        axis.legend(fontsize=8)
    axes[1].set_yticklabels([])
    return figure


def cues(table: pd.DataFrame, most: int = 15) -> Figure:
    """The ``most`` frequent cues as bars, coloured by the first list (column of ``caption_statistics.cue_table``)."""
    lists = [str(name) for name in table.columns if name != "cue"]
    shown = table.head(most)
    first = shown[lists].notna().to_numpy().argmax(axis=1)
    figure, axis = plt.subplots(figsize=(6.5, 0.24 * len(shown) + 1.0))
    for index, name in enumerate(lists):
        at = np.flatnonzero(first == index)
        counted = shown[lists[-1]].to_numpy(dtype=float)[at]
        axis.barh(at, counted, color=figures.PALETTE[index], label=f"from {name} on")
    axis.set_yticks(range(len(shown)), shown["cue"])
    axis.set(xlabel="cue words", title="Which cues there are")
    axis.invert_yaxis()
    axis.legend(fontsize=8)
    return figure


def sample(judgements: Sequence[Judgement]) -> Figure:
    """Precision, recall and share about the picture of every list on the labelled sample, with 95 % intervals."""
    figure, axis = plt.subplots(figsize=(7.0, 2.8))
    names = [judged.name for judged in judgements]
    panels = (("precision", "precision"), ("recall", "recall"), ("about_picture", "about the picture, of the flagged"))
    for index, (field, label) in enumerate(panels):
        shares = [getattr(judged, field) for judged in judgements]
        colour, marker = figures.PALETTE[index], figures.MARKERS[index]
        _dots(axis, names, shares, shift=0.2 * (index - 1), colour=colour, marker=marker, label=label)
    axis.set(xlim=(0, 1), xlabel="share of captions", title="The term lists on captions labelled by hand")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _dots(
    axis: Axes,
    names: Sequence[str],
    shares: Sequence[Interval],
    *,
    shift: float = 0.0,
    scale: float = 1.0,
    colour: str = figures.BLUE,
    marker: str = "o",
    label: str | None = None,
) -> None:
    """A dot with its interval for every name, from top to bottom."""
    value, low, high = (scale * np.array([getattr(s, end) for s in shares]) for end in ("value", "low", "high"))
    at = np.arange(len(names)) + shift
    axis.errorbar(value, at, xerr=[value - low, high - value], linestyle="", marker=marker, color=colour, label=label)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
