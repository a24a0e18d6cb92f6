"""Figures of notebook 03: accuracy by type of question, the drop in recall, the affirmation bias, and exclusion.

Each takes tidy tables with a column ``model`` (as ``negutil.tasks`` makes them, one model's below the other's) and
returns a figure; ``question_cards`` takes images.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from negutil.captions.exclusion import ALONE, BOTH
from negutil.plots import figures
from negutil.tasks.affirmation_bias import DENIES, SAYS
from negutil.tasks.exclusion import ALL, HELD_OUT, TRAINED

PLAIN, NEGATED = "plain", "negated"
TYPES = ("total", "macro", "positive", "hybrid", "negative")
"""Types of questions in the order in which they are shown."""

KINDS = {"affirmative": " on affirmative", "all": "", "negated": " on negated"}
"""Kinds of claims, and what follows a metric on them."""


@dataclass(frozen=True, slots=True)
class Card:
    """A question: its image, its options with their scores, the index of the right one, and the type of question."""

    picture: NDArray[np.uint8]
    options: Sequence[str]
    scores: Sequence[float]
    correct: int
    title: str = ""


@figures.or_nothing
def accuracy_by_type(
    table: pd.DataFrame, blind: pd.DataFrame | None = None, chance: float | Mapping[str, float] = 0.25
) -> Figure:
    """Accuracy by type of question, a panel per dataset: models and blind baselines.

    Args:
        table: columns dataset, model, type, value, low, high; types are shown in the order of TYPES, then others.
        blind: columns dataset, baseline, type, value.
        chance: the chance level, or that of each dataset.
    """
    baselines = [] if blind is None else [blind.assign(model="without images: " + blind["baseline"])]
    rows = pd.concat([table, *baselines], ignore_index=True)
    kinds = figures.names(table, "type")
    order = [kind for kind in TYPES if kind in kinds] + [kind for kind in kinds if kind not in TYPES]
    look: dict[str, Any] = {"label": "accuracy", "limits": (-0.03, 1.03), "width": 2.5}
    return figures.points(rows, "type", "model", "dataset", order=order, chance=chance, **look)


@figures.or_nothing
def recall_drop(table: pd.DataFrame, k: int = 5) -> Figure:
    """Recall@k with plain and with negated captions, a row per dataset and model, with the drop in points.

    table: columns dataset, model, captions (PLAIN or NEGATED), value, low, high.
    """
    wide = table.pivot(index=["dataset", "model"], columns="captions", values="value")
    drop = (100 * (wide[NEGATED] - wide[PLAIN])).map("{:+.1f}".format).str.replace("-", "−")
    keys = zip(table["dataset"], table["model"], strict=True)
    rows = table.assign(row=[f"{name}, {model}: {drop[name, model]}" for name, model in keys])
    label = f"recall@{k} of plain and negated captions (at the names: the difference in points)"
    return figures.points(rows, "row", "captions", label=label, limits=(0, 1.02), width=5)


@figures.or_nothing
def affirmation_bias(distributions: pd.DataFrame) -> Figure:
    """Densities of the standardised cosine for images with and without X; left sentences that say X, right denials.

    distributions: ``affirmation_bias.distributions`` of every model, with a column model. A model that understood would
    have the two curves change places on the right. Dotted lines are means.
    """
    models, kinds = (
        figures.names(distributions, "model"),
        {SAYS: "sentences that say X", DENIES: "sentences that deny X"},
    )
    shown = {True: ("images with X", figures.BLUE), False: ("images without X", figures.VERMILION)}
    top, size = 1.06 * float(distributions["density"].max()), (9.4, 1.75 * len(models) + 0.8)
    figure, axes = plt.subplots(len(models), 2, figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, model in zip(axes, models, strict=True):
        for axis, (kind, title) in zip(line, kinds.items(), strict=True):
            own = distributions[(distributions["model"] == model) & (distributions["kind"] == kind)]
            for there, (label, colour) in shown.items():
                part = own[own["shown"] == there]
                axis.fill_between(part["centre"], part["density"], color=colour, alpha=0.35, linewidth=0)
                axis.plot(part["centre"], part["density"], color=colour, marker="", label=label)
                mean = float(np.average(part["centre"], weights=part["density"]))
                axis.axvline(mean, color=colour, linestyle=":", linewidth=1.2)
            axis.set(yticks=[], ylim=(0, top), title=title if model == models[0] else "")
        line[0].set_ylabel(f"{model}\ndensity")
    figure.supxlabel("cosine, in standard deviations", fontsize=10)
    figures.legend(figure, {label: (colour, "s") for label, colour in shown.values()})
    return figure


@figures.or_nothing
def exclusion(table: pd.DataFrame, metric: str = "AUC", chance: float | None = 0.5) -> Figure:
    """A metric of exclusion by wording with intervals: controls, means, usual wordings, and held-out ones.

    table: ``exclusion.summary`` of every model, with a column model.
    """
    rows = table[table["metric"] == metric]
    forms = rows.drop_duplicates("form").set_index("form")
    worded = forms[forms["cue"] != ""]
    groups = {
        "controls": [ALONE, BOTH],
        "means": [ALL, TRAINED, HELD_OUT],
        "usual phrasings": list(worded.index[~worded["held_out"]]),
        "held-out phrasings": list(worded.index[worded["held_out"]]),
    }
    kept = {title: [form for form in known if form in forms.index] for title, known in groups.items()}
    order = [name for title, known in kept.items() if known for name in (title, *known)]
    label = f"{metric} of images with X alone against images with X and Y" if metric == "AUC" else metric
    figure = figures.points(rows, "form", "model", label=label, order=order, limits=(0, 1), chance=chance, width=5)
    axis = figure.axes[0]
    for tick, name in zip(axis.get_yticklabels(), order, strict=True):
        tick.set(fontweight="bold" if name in kept else "normal", fontsize=9)
    return figure


@figures.or_nothing
def question_cards(cards: Sequence[Card], width: int = 46) -> Figure:
    """Questions with their images and options; bars are scores, the right option is named, the answer is hatched.

    The longest bar is the model's answer; where several share it there is none. All questions have one scale.
    ``width`` wraps options, in letters.
    """
    heights = [0.42 * max(4, len(card.options)) + 0.3 for card in cards]
    look: dict[str, Any] = {"width_ratios": (1, 2.3), "height_ratios": heights}
    figure, axes = plt.subplots(len(cards), 2, figsize=(9.0, sum(heights) + 0.4), squeeze=False, **look)
    everything = np.concatenate([np.asarray(card.scores, dtype=float) for card in cards])
    limits = (min(0.0, 1.1 * everything.min()), 1.45 * max(everything.max(), 0.05))
    for (left, right), card in zip(axes, cards, strict=True):
        left.imshow(card.picture, interpolation="nearest")
        figures.frame(left, "#888888", 1)
        left.set_title(card.title, fontsize=10)
        best = [place for place, score in enumerate(card.scores) if score == max(card.scores)]
        for place, score in enumerate(card.scores):
            is_right, chosen = place == card.correct, best == [place]
            colours = {"color": figures.GREEN, "edgecolor": "white"} if is_right else {"color": "#BBBBBB"}
            right.barh(place, score, height=0.62, hatch="///" if chosen else "", **colours)
            notes = [note for note, there in (("right", is_right), ("chosen", chosen)) if there]
            label = f" {score:.3f}".replace("-", "−") + (f"  ({', '.join(notes)})" if notes else "")
            weight = "bold" if notes else "normal"
            right.text(max(score, 0), place, label, va="center", fontsize=8, fontweight=weight)
        right.set_yticks(range(len(card.options)), [textwrap.fill(text, width) for text in card.options], fontsize=8)
        right.set(xlim=limits, ylim=(len(card.options) - 0.5, -0.5))
        right.axvline(0, color="#666666", linewidth=0.8)
    axes[-1][1].set_xlabel("cosine with the image")
    return figure


@figures.or_nothing
def accuracy_by_cue(table: pd.DataFrame, factor: str = "cue", chance: float | None = 0.25) -> Figure:
    """Accuracy by how the right option negates, most frequent first, with the number of questions.

    table: ``phrasing.shares`` of every model, with a column model; ``factor`` is one of ``phrasing.FACTORS``. The empty
    level (no cue) is shown as "no negation".
    """
    rows = table[table["factor"] == factor]
    counts = rows.groupby("level", sort=False)["n"].max().sort_values(ascending=False, kind="stable")
    named = {level: f"{level or 'no negation'}  (n = {count})" for level, count in counts.items()}
    rows = rows.assign(level=rows["level"].map(named))
    look: dict[str, Any] = {"label": "accuracy", "order": list(named.values()), "limits": (-0.02, 1.02), "width": 4.6}
    return figures.points(rows, "level", "model", chance=chance, **look)


@figures.or_nothing
def claims(table: pd.DataFrame, metrics: Sequence[str] = ("AUC", "calibrated accuracy", "same sentence")) -> Figure:
    """Claims true or false by domain: each metric over affirmative, all and negated claims, with intervals.

    table: ``true_false.summary`` of every model and domain, with columns model and domain.
    """
    known = {metric + ending: (metric, kind) for metric in metrics for kind, ending in KINDS.items()}
    rows = table[table["metric"].isin(known)]
    kinds = rows["metric"].map(lambda metric: known[metric][1])
    rows = rows.assign(row=rows["domain"] + ", " + kinds, panel=rows["metric"].map(lambda metric: known[metric][0]))
    rows = figures.ordered(rows, "panel", metrics)
    order = [f"{domain}, {kind}" for domain in figures.names(table, "domain") for kind in KINDS]
    look: dict[str, Any] = {"label": "AUC, or share of claims", "order": order, "limits": (-0.03, 1.03), "width": 2.8}
    return figures.points(rows, "row", "model", "panel", chance=0.5, **look)
