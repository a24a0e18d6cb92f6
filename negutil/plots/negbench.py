"""Figures of notebook 03: accuracy by type of question, the drop in recall, the affirmation bias, and exclusion.

Each takes tidy tables with a column ``model`` (as ``negutil.tasks`` makes them, one model's below the other's) and
returns a figure; those of single questions and queries take pictures.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from negutil.captions.exclusion import ALONE, BOTH
from negutil.plots import figures
from negutil.tasks.affirmation_bias import DENIES, SAYS
from negutil.tasks.exclusion import ALL, HELD_OUT, TRAINED

PLAIN, NEGATED = "plain", "negated"
BLIND_MARKS = ("x", "+", "1", "|", "2")
"""Markers of the blind baselines, thin ones so that they are not taken for models."""

TYPES = ("total", "macro", "positive", "hybrid", "negative")
"""Types of questions in the order in which they are shown."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A query with its top pictures, best first: whether each is right, what is written below each, and a summary."""

    query: str
    pictures: Sequence[Picture]
    right: Sequence[bool]
    titles: Sequence[str] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A question: its picture, its options with their scores, the index of the right one, and the type of question."""

    picture: Picture
    options: Sequence[str]
    scores: Sequence[float]
    correct: int
    title: str = ""


@figures.or_nothing
def accuracy_by_type(
    table: pd.DataFrame, blind: pd.DataFrame | None = None, chance: float | Mapping[str, float] = 0.25
) -> Figure:
    """Accuracy by type of question, a panel per dataset: models with intervals, blind baselines as thin marks.

    Args:
        table: columns dataset, model, type, value, low, high; types are shown in the order of TYPES, then others.
        blind: columns dataset, baseline, type, value.
        chance: the chance level, or that of each dataset.
    """
    datasets, models = figures.names(table, "dataset"), figures.names(table, "model")
    baselines = figures.names(blind, "baseline") if blind is not None else []
    there = {name: figures.names(table[table["dataset"] == name], "type") for name in datasets}
    kinds = {
        name: [kind for kind in TYPES if kind in found] + [kind for kind in found if kind not in TYPES]
        for name, found in there.items()
    }
    widths = [max(2, len(kinds[name])) for name in datasets]
    size = (0.62 * sum(widths) + 0.5 * len(datasets) + 2.0, 3.4)
    figure, axes = plt.subplots(1, len(datasets), figsize=size, sharey=True, squeeze=False, width_ratios=widths)
    for axis, name in zip(axes[0], datasets, strict=True):
        for index, model in enumerate(models):
            rows = table[(table["dataset"] == name) & (table["model"] == model)]
            figures.dots(
                axis, rows, figures.places(rows["type"], kinds[name]) + _shift(index, len(models)), index, vertical=True
            )
        if blind is not None:
            # At the right of each type, one above the other, so that they cover no model.
            for mark, baseline in zip(BLIND_MARKS, baselines, strict=False):
                rows = blind[(blind["dataset"] == name) & (blind["baseline"] == baseline)]
                at = figures.places(rows["type"], kinds[name]) + 0.36
                axis.plot(at, rows["value"], color="#444444", marker=mark, linestyle="")
        axis.axhline(chance if isinstance(chance, float) else chance[name], **figures.CHANCE)
        axis.set(title=name, ylim=(-0.03, 1.03), xlim=(-0.6, len(kinds[name]) - 0.4))
        axis.set_xticks(range(len(kinds[name])), kinds[name], rotation=30, ha="right", rotation_mode="anchor")
        axis.grid(axis="y")
    axes[0][0].set_ylabel("accuracy")
    blind_handles = [_handle(mark, "#444444", name) for mark, name in zip(BLIND_MARKS, baselines, strict=False)]
    _legend(figure, [*_model_handles(models), *blind_handles, Line2D([], [], **figures.CHANCE, label="chance")])
    return figure


@figures.or_nothing
def recall_drop(table: pd.DataFrame, k: int = 5) -> Figure:
    """Recall@k with plain and with negated captions as dumbbells, a row per dataset and model, with the drop in points.

    table: columns dataset, model, captions (PLAIN or NEGATED), value, low, high.
    """
    models, datasets = figures.names(table, "model"), figures.names(table, "dataset")
    figure, axis = plt.subplots(figsize=(7.2, 0.34 * len(datasets) * len(models) + 0.2 * len(datasets) + 1.0))
    ticks: dict[str, float] = {}
    place = 0.0
    for name in datasets:
        own = table[table["dataset"] == name]
        shown = [model for model in models if (own["model"] == model).any()]
        for model in shown:
            _dumbbell(axis, own[own["model"] == model].set_index("captions"), place, models.index(model))
            place += 1
        ticks[name] = place - (len(shown) + 1) / 2
        place += 0.5
    axis.set_yticks(list(ticks.values()), list(ticks))
    axis.set(xlabel=f"recall@{k}", ylim=(place - 0.9, -0.6))
    axis.set_xlim(right=axis.get_xlim()[1] + 0.1 * np.ptp(axis.get_xlim()))
    axis.grid(axis="x")
    kinds = [_handle("o", "#444444", PLAIN), _handle("o", "#444444", NEGATED, filled=False)]
    _legend(figure, [*_model_handles(models), *kinds])
    return figure


@figures.or_nothing
def affirmation_bias(distributions: pd.DataFrame) -> Figure:
    """Densities of the standardised cosine for pictures with and without X; left sentences that say X, right denials.

    distributions: ``affirmation_bias.distributions`` of every model, with a column model. A model that understood would
    have the two curves change places on the right. Dotted lines are means.
    """
    models, kinds = figures.names(distributions, "model"), (SAYS, DENIES)
    top = 1.06 * float(distributions["density"].max())
    size = (7.6, 1.75 * len(models) + 1.1)
    figure, axes = plt.subplots(len(models), 2, figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, model in zip(axes, models, strict=True):
        for axis, kind in zip(line, kinds, strict=True):
            own = distributions[(distributions["model"] == model) & (distributions["kind"] == kind)]
            for shown, colour, label in _SHOWN:
                part = own[own["shown"] == shown]
                axis.fill_between(part["centre"], part["density"], color=colour, alpha=0.35, linewidth=0)
                axis.plot(part["centre"], part["density"], color=colour, marker="", label=label)
                mean = np.average(part["centre"], weights=part["density"])
                axis.axvline(float(mean), color=colour, linestyle=":", linewidth=1.2)
            axis.set(yticks=[], ylim=(0, top))
            axis.spines["left"].set_visible(False)
        line[0].set_ylabel(model)
    for axis, title in zip(axes[0], ("sentences that say X", "sentences that deny X"), strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("cosine in standard deviations")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@figures.or_nothing
def exclusion(table: pd.DataFrame, metric: str = "AUC", chance: float | None = 0.5) -> Figure:
    """A metric of exclusion by wording with intervals: controls, means, usual wordings, and held-out ones.

    table: ``exclusion.summary`` of every model, with a column model.
    """
    rows = table[table["metric"] == metric]
    groups = _wordings(rows)
    models = figures.names(rows, "model")
    ordered = [(form, 0.7 * number) for number, (_, forms) in enumerate(groups) for form in forms]
    places = {form: place + gap for place, (form, gap) in enumerate(ordered)}
    figure, axis = plt.subplots(figsize=(8.2, 0.27 * len(places) + 0.2 * len(groups) + 1.1))
    for index, model in enumerate(models):
        own = rows[rows["model"] == model]
        at = np.array([places[form] for form in own["form"]])
        figures.dots(axis, own, at + 0.6 * _shift(index, len(models)), index)
    for title, forms in groups:
        axis.text(-0.01, places[forms[0]] - 0.72, title, transform=axis.get_yaxis_transform(), **_HEADING)
    if chance is not None:
        axis.axvline(chance, **figures.CHANCE)
    axis.set_yticks(list(places.values()), list(places), fontsize=8)
    axis.set(xlim=(-0.02, 1.02), ylim=(max(places.values()) + 0.6, -1.1), xlabel=_EXCLUSION_LABELS.get(metric, metric))
    axis.grid(axis="x")
    _legend(figure, [*_model_handles(models), *([Line2D([], [], **figures.CHANCE, label="chance")] if chance else [])])
    return figure


@figures.or_nothing
def retrieved(rows: Sequence[Ranked]) -> Figure:
    """For each query its top pictures, framed green where right and red where wrong, which is written below as well."""
    columns = max(len(row.pictures) for row in rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(1.45 * columns, 1.95 * len(rows)), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        line[0].set_title(f"“{row.query}”" + (f": {row.summary}" if row.summary else ""), fontsize=10)
        titles = row.titles or ("",) * len(row.pictures)
        for axis in line[len(row.pictures) :]:
            axis.set_visible(False)
        for axis, picture, right, title in zip(line, row.pictures, row.right, titles, strict=False):
            axis.imshow(picture, interpolation="nearest")
            colour, word = (figures.GREEN, "right") if right else (figures.VERMILION, "wrong")
            figures.frame(axis, colour)
            below = f"{word}: {title}" if title else word
            axis.set_xlabel(textwrap.fill(below, 21), fontsize=7, color=colour, labelpad=3)
    return figure


@figures.or_nothing
def question_cards(cards: Sequence[Card], width: int = 46) -> Figure:
    """Questions with their pictures and options; bars are scores, the right option is named, the answer is hatched.

    The longest bar is the model's answer; where several share it there is none. ``width`` wraps options, in letters.
    """
    heights = [0.42 * max(4, len(card.options)) + 0.5 for card in cards]
    figure, axes = plt.subplots(
        len(cards),
        2,
        figsize=(9.0, sum(heights)),
        squeeze=False,
        gridspec_kw={"width_ratios": (1, 2.3), "height_ratios": heights},
    )
    for (left, right), card in zip(axes, cards, strict=True):
        left.imshow(card.picture, interpolation="nearest")
        figures.frame(left, "#888888", 1)
        left.set_title(card.title, fontsize=10)
        _options(right, card, width)
    axes[-1][1].set_xlabel("cosine with the picture")
    return figure


@figures.or_nothing
def accuracy_by_cue(table: pd.DataFrame, factor: str = "cue", chance: float | None = 0.25) -> Figure:
    """Accuracy by how the right option negates, most frequent first, with the number of questions.

    table: ``phrasing.shares`` of every model, with a column model; ``factor`` is one of ``phrasing.FACTORS``. The empty
    level (no cue) is shown as "no negation".
    """
    rows = table[table["factor"] == factor]
    counts = rows.groupby("level", sort=False)["n"].max().sort_values(ascending=False, kind="stable")
    levels, models = [str(level) for level in counts.index], figures.names(rows, "model")
    figure, axis = plt.subplots(figsize=(6.8, 0.36 * len(levels) + 1.1))
    for index, model in enumerate(models):
        own = rows[rows["model"] == model]
        figures.dots(axis, own, figures.places(own["level"], levels) + _shift(index, len(models)), index)
    if chance is not None:
        axis.axvline(chance, **figures.CHANCE)
    names = [f"{level or 'no negation'}  (n = {counts[level]})" for level in levels]
    axis.set_yticks(range(len(levels)), names)
    axis.set(xlim=(-0.02, 1.02), ylim=(len(levels) - 0.4, -0.6), xlabel="accuracy")
    axis.grid(axis="x")
    _legend(figure, [*_model_handles(models), *([Line2D([], [], **figures.CHANCE, label="chance")] if chance else [])])
    return figure


@figures.or_nothing
def claims(table: pd.DataFrame, metrics: Sequence[str] = ("AUC", "calibrated accuracy", "same sentence")) -> Figure:
    """Claims true or false by domain: each metric over affirmative, all and negated claims, with intervals.

    table: ``true_false.summary`` of every model and domain, with columns model and domain.
    """
    domains, models, kinds = (
        figures.names(table, "domain"),
        figures.names(table, "model"),
        ("affirmative", "all", "negated"),
    )
    places = {(d, kind): 4 * a + b for a, d in enumerate(domains) for b, kind in enumerate(kinds)}
    size = (2.6 * len(metrics) + 2.2, 0.23 * len(places) + 0.2 * len(domains) + 1.2)
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False)
    for axis, metric in zip(axes[0], metrics, strict=True):
        names = {(metric if kind == "all" else f"{metric} on {kind}"): kind for kind in kinds}
        for index, model in enumerate(models):
            own = table[(table["model"] == model) & table["metric"].isin(list(names))]
            at = [places[d, names[name]] for d, name in zip(own["domain"], own["metric"], strict=True)]
            figures.dots(axis, own, np.array(at) + _shift(index, len(models)), index)
        axis.axvline(0.5, **figures.CHANCE)
        axis.set(title=metric, xlim=(-0.03, 1.03), ylim=(max(places.values()) + 0.7, -0.7))
        axis.grid(axis="x")
    axes[0][0].set_yticks(list(places.values()), [f"{d}, {kind}" for d, kind in places], fontsize=8)
    _legend(figure, [*_model_handles(models), Line2D([], [], **figures.CHANCE, label="chance")])
    return figure


# --------------------------------------------------------------------------------------------------------------------
# Parts of figures

_SHOWN = ((True, figures.BLUE, "pictures with X"), (False, figures.VERMILION, "pictures without X"))
_HEADING: dict[str, Any] = {"fontsize": 8, "fontweight": "bold", "ha": "right", "va": "center"}
_EXCLUSION_LABELS = {"AUC": "AUC of pictures with X alone against pictures with X and Y"}


def _shift(index: int, count: int) -> float:
    """How far series ``index`` of ``count`` lies beside the middle, so that neighbours do not cover each other."""
    return 0.5 * (index - (count - 1) / 2) / max(2, count)


def _dumbbell(axis: Axes, rows: pd.DataFrame, place: float, index: int) -> None:
    """Recall with plain captions (filled) and negated ones (open), joined; the difference in points beside them."""
    colour, marker = figures.PALETTE[index], figures.MARKERS[index]
    before, after = rows["value"].loc[[PLAIN, NEGATED]].tolist()
    axis.plot([before, after], [place, place], color=colour, marker="", linewidth=2, alpha=0.45, zorder=1)
    for kind, face in ((PLAIN, colour), (NEGATED, "white")):
        row = rows.loc[kind]
        style: dict[str, Any] = {"color": colour, "marker": marker, "markerfacecolor": face, "markersize": 6}
        axis.errorbar([row["value"]], [place], xerr=figures.reach(row), capsize=2, elinewidth=1, **style)
    right = float(rows["high"].max())
    label = f"{100 * (after - before):+.1f}".replace("-", "−")
    axis.annotate(label, (right, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)


def _wordings(rows: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Headings and the wordings below each, in order; groups that the table lacks are left out."""
    forms = rows.drop_duplicates("form").set_index("form")
    own = forms[forms["cue"] != ""]
    groups = {
        "controls": [ALONE, BOTH],
        "means": [ALL, TRAINED, HELD_OUT],
        "usual phrasings": list(own.index[~own["held_out"]]),
        "held-out phrasings": list(own.index[own["held_out"]]),
    }
    kept = {title: [form for form in names if form in forms.index] for title, names in groups.items()}
    return [(title, names) for title, names in kept.items() if names]


def _options(axis: Axes, card: Card, width: int) -> None:
    """The options of a card as bars, the first at the top, with their scores written beside them."""
    scores = np.asarray(card.scores, dtype=float)
    places = range(len(scores))
    answers = scores == scores.max()
    for place, score, answer in zip(places, scores.tolist(), answers, strict=True):
        right = place == card.correct
        colour = figures.GREEN if right else "#BBBBBB"
        chosen = answer and answers.sum() == 1
        hatch = "///" if chosen else ""
        axis.barh(place, score, color=colour, height=0.62, hatch=hatch, edgecolor="white" if right else "#777777")
        notes = [note for note, there in (("right", right), ("chosen", chosen)) if there]
        label = f" {score:.3f}".replace("-", "−") + (f"  ({', '.join(notes)})" if notes else "")
        weight = "bold" if notes else "normal"
        axis.text(max(score, 0), place, label, va="center", fontsize=8, fontweight=weight)
    axis.set_yticks(places, [textwrap.fill(option, width) for option in card.options], fontsize=8)
    axis.set_xlim(min(0.0, 1.1 * float(scores.min())), 1.45 * max(float(scores.max()), 0.05))
    axis.set_ylim(len(scores) - 0.5, -0.5)
    axis.axvline(0, color="#666666", linewidth=0.8)


def _handle(marker: str, colour: str, label: str, filled: bool = True) -> Line2D:
    face = colour if filled else "white"
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linestyle="", label=label)


def _model_handles(models: Sequence[str]) -> list[Line2D]:
    return [_handle(figures.MARKERS[index], figures.PALETTE[index], model) for index, model in enumerate(models)]


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """One legend for the whole figure, below it, so that it covers nothing."""
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(6, len(handles)), fontsize=8)
