"""Figures of the notebook on methods without training: the idea in a plane, choosing numbers, and the gains."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from negutil.compare import validation
from negutil.models import queries
from negutil.plots import figures

NUMBERS = {queries.SUBTRACTED: "weight of the denied part", queries.CAPS: "threshold", queries.STEERED: "strength"}
"""What the number of each method is."""


def idea(theta: float, weight: float, threshold: float) -> Figure:
    """Affirmed part a and denied part n, ``theta`` degrees apart, with subtraction (left) and caps (right)."""
    denied = np.array([[1, 0]], np.float32)
    affirmed = _vector(theta)
    alpha = np.degrees(np.arccos(threshold))
    moved = {
        f"a − {weight:g} n": queries.subtracted(affirmed, denied, weight),
        f"caps, threshold {threshold:g}": queries.capped(affirmed, denied, threshold),
    }
    figure, axes = figures.panels(list(moved), 3.2)
    for axis, (name, query) in zip(axes, moved.items(), strict=True):
        axis.plot(*_vector(np.linspace(-30, 170, 200)).T, color="#999999", linewidth=0.8, marker="")
        if name.startswith("caps"):
            for centre, colour in ((0.0, figures.VERMILION), (theta, figures.BLUE)):
                axis.add_patch(Wedge((0, 0), 1, centre - alpha, centre + alpha, color=colour, alpha=0.15, linewidth=0))
        arrows = {
            "n: denied": (denied, figures.VERMILION),
            "a: affirmed": (affirmed, figures.BLUE),
            name: (query, "black"),
        }
        for text, (vector, colour) in arrows.items():
            axis.annotate("", vector[0], (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.8})
            axis.annotate(text, vector[0] * 1.06, color=colour, ha="left" if vector[0, 0] > 0 else "right", fontsize=9)
        axis.set(aspect="equal", xlim=(-1.1, 1.9), ylim=(-0.7, 1.35))
        axis.axis("off")
    return figure


def _vector(degrees: float | np.ndarray) -> np.ndarray:
    """Unit vectors [N, 2] at angles from the right."""
    angles = np.radians(np.atleast_1d(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@figures.or_nothing
def choices(table: pd.DataFrame) -> Figure:
    """What each number gets on validation data, a panel per method and a line per measure; the chosen ones are dashed.

    ``table`` is that of ``without_training.numbers``; the last model is shown.
    """
    rows = table[table["model"] == table["model"].iloc[-1]]
    methods, measures = figures.names(rows, "method"), [*validation.MEASURES, "score"]
    figure, axes = figures.panels(methods, 2.9, sharey=True)
    known = figures.marks(measures)
    for axis, method in zip(axes, methods, strict=True):
        own = rows[rows["method"] == method]
        for measure in measures:
            colour, marker = known[measure]
            axis.plot(own["number"], own[measure], color=colour, marker=marker, markersize=4)
        axis.axvline(own.loc[own["chosen"], "number"].iloc[0], **figures.CHANCE)
        axis.set(xlabel=NUMBERS.get(method, "number"), ylim=(0, 1.03))
        axis.locator_params("x", nbins=5)
    axes[0].set_ylabel("value on validation data")
    figures.legend(figure, known, "chosen", joined=True)
    return figure


def gains(table: pd.DataFrame, titles: Sequence[str], names: Mapping[str, str]) -> Figure:
    """Gains over CLIP in points with 95 % intervals: a row per method of ``names``, a panel per benchmark."""
    rows = table[table["title"].isin(titles) & table["method"].isin(names)]
    rows = figures.ordered(rows.assign(name=rows["method"].map(names)), "title", titles)
    label = "gain over CLIP, points"
    return figures.points(rows, "name", "base", "title", order=list(names.values()), label=label, chance=0, scale=100)
