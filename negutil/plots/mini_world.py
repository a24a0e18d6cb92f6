"""Figures of notebook 00: what goes with what in the world's images, and what MiniCLIP knows."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from negutil.plots import figures


def cooccurrence(matrix: np.ndarray, nouns: Sequence[str]) -> Figure:
    """Heat map of the share of images with the row's noun that also have the column's; ``matrix`` is [n, n]."""
    figure, axis = plt.subplots(figsize=(0.2 * len(nouns) + 1.8, 0.2 * len(nouns) + 0.6))
    table, top = pd.DataFrame(matrix, list(nouns), list(nouns)), float(np.nanquantile(matrix, 0.995))
    label = "share of images with the row's noun that show the column's (the top 0.5 % share a colour)"
    sns.heatmap(table, vmin=0, vmax=top, cmap="cividis", square=True, cbar_kws={"label": label, "shrink": 0.7}, ax=axis)
    axis.set(xticks=np.arange(len(nouns)) + 0.5, yticks=np.arange(len(nouns)) + 0.5)
    axis.set_xticklabels(nouns, fontsize=7, rotation=90)
    axis.set_yticklabels(nouns, fontsize=7)
    return figure


def learning_curves(curves: dict[str, pd.DataFrame]) -> Figure:
    """Loss and held-out recall@1 over images seen, for each model (columns step, batch, loss, validation_r_at_1)."""
    rows = pd.concat([curve.assign(model=model) for model, curve in curves.items()], ignore_index=True)
    rows["seen"] = rows["step"] * rows["batch"] / 1000
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.2))
    known = figures.marks(list(curves))
    sns.lineplot(rows, x="seen", y="loss", ax=axes[0], marker="", **figures.look(known, "model"))
    held_out = rows.dropna(subset="validation_r_at_1")
    look = figures.look(known, "model", with_markers=True)
    sns.lineplot(held_out, x="seen", y="validation_r_at_1", ax=axes[1], dashes=False, **look)
    axes[0].set(ylabel="InfoNCE loss", title="Training loss", ylim=(0, None))
    axes[1].set(ylabel="recall@1", title="Held-out text-to-image recall@1", ylim=(0, 1.03))
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
    """Marks of ``value`` per noun (column ``noun``) for each ``group``, with the floor or chance level as a line."""
    order = frame.groupby("noun")[value].mean().sort_values().index
    figure, axis = plt.subplots(figsize=(0.135 * len(order) + 2.4, 3.0))
    known = figures.marks(figures.names(frame, group))
    at = frame.assign(place=order.get_indexer(pd.Index(frame["noun"])))
    look = figures.look(known, group, with_markers=True)
    sns.scatterplot(at, x="place", y=value, s=22, ax=axis, **look)
    axis.axhline(floor, **figures.CHANCE)
    axis.set_xticks(range(len(order)), order, rotation=90, fontsize=6)
    axis.set(xlabel="", ylabel=value.upper(), title=title, xlim=(-1, len(order)))
    figures.legend(figure, known, f"floor: {floor}")
    return figure


def two_prompts(frame: pd.DataFrame, chance: float = 0.5) -> Figure:
    """Mean AUC with intervals by form of the sentence (columns form, model, value, ci_low, ci_high)."""
    label = "AUC of the images that the sentence is true of"
    return figures.points(frame, "form", "model", label=label, limits=(0, 1), chance=chance, width=5)
