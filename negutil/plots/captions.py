"""Figures of notebook 01: how rare negation is in captions, which cues there are, and how well the lists find them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from negutil.captions import caption_statistics
from negutil.captions.caption_statistics import Counts
from negutil.captions.web_captions import Judgement
from negutil.plots import figures


def ratios(counts: Counts) -> Figure:
    """Caption ratio and word ratio in percent by term list, with 95 % intervals and the paper's number as a line."""
    paper, rows = caption_statistics.published(), []
    panels = {"caption_ratio": "Captions with a cue", "word_ratio": "Cue words among all words"}
    titles = {metric: f"{title}, paper: {100 * paper[metric]:.2f} %" for metric, title in panels.items()}
    for metric, title in titles.items():
        ratio = getattr(caption_statistics, metric)
        rows += [{"list": name, "panel": title} | dataclasses.asdict(ratio(counts, name)) for name in counts.lists]
    lines = {title: 100 * paper[metric] for metric, title in titles.items()}
    look: dict[str, Any] = {"label": "share, %", "scale": 100, "line": "the paper"}
    figure = figures.points(pd.DataFrame(rows), "list", col="panel", chance=lines, **look)
    for axis in figure.axes:
        axis.set_xlim(0, None)
    return figure


def cues(table: pd.DataFrame, most: int = 15) -> Figure:
    """The ``most`` frequent cues as bars, coloured by the first list (column of ``caption_statistics.cue_table``)."""
    lists = [str(name) for name in table.columns if name != "cue"]
    shown = table.head(most)
    first = [lists[place] for place in shown[lists].notna().to_numpy().argmax(axis=1)]
    figure, (axis,) = figures.panels([""], 0.25 * len(shown) + 1.0)
    known = {name: (colour, "s") for name, colour in zip(lists, figures.PALETTE, strict=False)}
    sns.barplot(shown.assign(first=first), x=lists[-1], y="cue", saturation=1, ax=axis, **figures.look(known, "first"))
    axis.set(xlabel="cue words in all captions", ylabel="")
    figures.legend(figure, known, title="the first list that has the cue")
    return figure


def sample(judgements: Sequence[Judgement]) -> Figure:
    """Precision, recall and share about the image of every list on the labelled sample, with 95 % intervals."""
    measures = {"precision": "precision", "recall": "recall", "about_picture": "about the image, of the flagged"}
    rows = [
        {"list": judged.name, "measure": label} | dataclasses.asdict(getattr(judged, field))
        for judged in judgements
        for field, label in measures.items()
    ]
    label = "share of the captions labelled by hand"
    return figures.points(pd.DataFrame(rows), "list", "measure", label=label, limits=(0, 1))
