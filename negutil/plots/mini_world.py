"""Figures of notebook 00: the pictures of the world, what goes with what, and what MiniCLIP knows."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from negutil.plots import figures


def cooccurrence(matrix: np.ndarray, nouns: Sequence[str]) -> Figure:
    """Heat map of the share of pictures with the row's noun that also have the column's; ``matrix`` is [n, n]."""
    figure, axis = plt.subplots(figsize=(0.19 * len(nouns) + 1.6, 0.19 * len(nouns) + 0.6))
    image = axis.imshow(matrix, vmin=0, vmax=float(np.nanquantile(matrix, 0.995)), interpolation="nearest")
    axis.set_xticks(range(len(nouns)), nouns, rotation=90, fontsize=6)
    axis.set_yticks(range(len(nouns)), nouns, fontsize=6)
    axis.set_title("Share of pictures with the row's thing that also show the column's")
    figure.colorbar(image, ax=axis, shrink=0.6)
    return figure


def learning_curves(curves: dict[str, pd.DataFrame]) -> Figure:
    """Loss and held-out recall@1 over pictures seen, for each model (columns step, batch, loss, validation_r_at_1)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for index, (model, curve) in enumerate(curves.items()):
        seen = curve["step"] * curve["batch"] / 1000
        left.plot(seen, curve["loss"], marker="", label=model)
        held_out = curve["validation_r_at_1"].notna()
        marker = figures.MARKERS[index]
        right.plot(seen[held_out], curve.loc[held_out, "validation_r_at_1"], marker=marker, label=model)
    left.set(xlabel="thousand pictures seen", ylabel="InfoNCE loss", title="Training loss")
    right.set(xlabel="thousand pictures seen", ylabel="recall@1", title="Held-out text-to-image recall@1", ylim=(0, 1))
    right.legend()
    return figure


def ranking(rows: Sequence[tuple[str, Sequence[np.ndarray], Sequence[bool]]], columns: int = 6) -> Figure:
    """For each query its top pictures; a green frame where the thing asked about is in the picture, red where not.

    Args:
        rows: (query, pictures best first, whether the noun is there).
    """
    figure, axes = plt.subplots(len(rows), columns, figsize=(columns * 1.2, len(rows) * 1.5), squeeze=False)
    for line, (query, pictures, there) in zip(axes, rows, strict=True):
        line[0].set_title(f"“{query}”", fontsize=9)
        for axis, picture, present in zip(line, pictures, there, strict=False):
            axis.imshow(picture, interpolation="nearest")
            colour, label = (figures.GREEN, "there") if present else (figures.VERMILION, "not there")
            figures.frame(axis, colour)
            axis.set_xlabel(label, fontsize=6, color=colour, labelpad=2)
    return figure


def by_noun(frame: pd.DataFrame, value: str, group: str, floor: float, title: str) -> Figure:
    """Dots of ``value`` per noun (column ``noun``) for each ``group`` with the floor or chance level as a line."""
    order = frame.groupby("noun")[value].mean().sort_values().index
    figure, axis = plt.subplots(figsize=(0.135 * len(order) + 1, 3.0))
    for index, (label, part) in enumerate(frame.groupby(group, sort=False)):
        at = order.get_indexer(pd.Index(part["noun"]))
        axis.plot(at, part[value], linestyle="", marker=figures.MARKERS[index], markersize=3.5, label=str(label))
    axis.axhline(floor, **figures.CHANCE)
    axis.set_xticks(range(len(order)), order, rotation=90, fontsize=6)
    axis.set(ylabel=value, title=title, xlim=(-1, len(order)))
    axis.legend(fontsize=8)
    return figure


def two_prompts(frame: pd.DataFrame, chance: float = 0.5) -> Figure:
    """Mean AUC with intervals by form of the sentence (columns form, model, value, ci_low, ci_high, kind)."""
    forms = list(dict.fromkeys(frame["form"]))
    figure, axis = plt.subplots(figsize=(7.5, 0.32 * len(forms) + 1.1))
    for index, (model, part) in enumerate(frame.groupby("model", sort=False)):
        at = np.array([forms.index(form) for form in part["form"]]) + 0.18 * (index - 0.5)
        reach = np.vstack([part["value"] - part["ci_low"], part["ci_high"] - part["value"]])
        axis.errorbar(part["value"], at, xerr=reach, linestyle="", marker=figures.MARKERS[index], label=model)
    axis.axvline(chance, **figures.CHANCE)
    axis.set_yticks(range(len(forms)), forms, fontsize=8)
    axis.set(xlim=(0, 1), xlabel="AUC of the pictures that the sentence is true of")
    axis.invert_yaxis()
    axis.legend(loc="lower right", fontsize=8)
    return figure
