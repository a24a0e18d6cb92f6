"""Figures of notebook 00: what goes with what in the world's images, and what MiniCLIP knows."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from negutil.plots import figures

LOWEST = 25
"""Nouns that ``by_noun`` shows."""


def cooccurrence(matrix: np.ndarray, nouns: Sequence[str]) -> Figure:
    """Heat map of the share of images with the row's noun that also have the column's; ``matrix`` is [n, n]."""
    figure, axis = plt.subplots(figsize=(figures.WIDTH, figures.WIDTH + 0.6))
    table, top = pd.DataFrame(matrix, list(nouns), list(nouns)), float(np.nanquantile(matrix, 0.995))
    label = "share of the images with the row's noun (top 0.5 %: one colour)"
    bar: dict[str, Any] = {
        "label": label,
        "location": "bottom",
        "fraction": 0.03,
        "pad": 0.01,
        "extend": "max",
        "ticks": MaxNLocator(5),
    }
    sns.heatmap(table, vmin=0, vmax=top, cmap="cividis", square=True, cbar_kws=bar, ax=axis)
    places = np.arange(len(nouns)) + 0.5
    axis.set(xticks=places, yticks=places, xlabel="images that also show ...", ylabel="images with ...")
    axis.set_xticklabels(nouns, fontsize=7, rotation=90)
    axis.set_yticklabels(nouns, fontsize=7)
    return figure


def learning_curves(curves: dict[str, pd.DataFrame]) -> Figure:
    """Loss and held-out recall@1 over images seen, for each model (columns step, batch, loss, validation_r_at_1)."""
    rows = pd.concat([curve.assign(model=model) for model, curve in curves.items()], ignore_index=True)
    rows["seen"] = rows["step"] * rows["batch"] / 1000
    figure, axes = figures.panels(["Training loss", "Held-out text-to-image recall@1"], 3.2)
    known = figures.marks(list(curves))
    sns.lineplot(rows, x="seen", y="loss", ax=axes[0], marker="", **figures.look(known, "model"))
    held_out = rows.dropna(subset="validation_r_at_1")
    look = figures.look(known, "model", with_markers=True)
    sns.lineplot(held_out, x="seen", y="validation_r_at_1", ax=axes[1], dashes=False, **look)
    axes[0].set(ylabel="InfoNCE loss", ylim=(0, None))
    axes[1].set(ylabel="recall@1", ylim=(0, 1.03))
    for axis in axes:
        axis.set(xlabel="thousand images seen", xlim=(0, None))
        axis.grid(visible=True)
    figures.legend(figure, known)
    return figure


def ranking(rows: Sequence[tuple[str, Sequence[np.ndarray], Sequence[bool]]], columns: int = 6) -> Figure:
    """For each query its top images, right where they show the noun, or where they lack it if the query says "no".

    Args:
        rows: (query, images best first, whether the noun is there).
        columns: how many images of each query are shown.
    """
    shown = []
    for query, pictures, there in rows:
        right = [present != (" no " in query) for present in there[:columns]]
        titles = ["shown" if present else "not shown" for present in there[:columns]]
        shown.append(figures.Ranked(query, pictures[:columns], right, titles))
    return figures.retrieved(shown)


def by_noun(frame: pd.DataFrame, value: str, group: str, floor: float, title: str) -> Figure:
    """Marks of ``value`` for each ``group``, for the LOWEST nouns with the lowest mean, and the floor as a line."""
    order = [str(noun) for noun in frame.groupby("noun")[value].mean().sort_values().index]
    heading = f"{title}: the lowest {len(order[:LOWEST])} of {len(order)}"
    rows = frame.assign(value=frame[value], panel=heading)[["noun", group, "value", "panel"]]
    figure = figures.points(
        figures.ordered(rows, "noun", order[:LOWEST]), "noun", group, "panel", chance=floor, line=f"floor: {floor}"
    )
    low, high = figure.axes[0].get_xlim()
    figure.supxlabel(f"{value.upper()} (the axis shows {low:.2f} to {high:.2f})")
    return figure


def two_prompts(frame: pd.DataFrame, chance: float = 0.5) -> Figure:
    """Mean AUC with intervals by form of the sentence (columns form, model, value, ci_low, ci_high)."""
    label = "AUC of the images that the sentence is true of"
    return figures.points(frame, "form", "model", label=label, limits=(0, 1), chance=chance)
