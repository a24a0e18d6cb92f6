"""Figures of the report: the verdicts at a glance, every method on every benchmark, and a forest for each claim."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from negutil import tables
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.plots.figures import BLUE, ORANGE, RC, VERMILION
from negutil.report import frames

COLOURS = dict(zip(verdicts.KINDS, (BLUE, VERMILION, ORANGE, "#888888", "#D0D0D0", "#B5A69A", "#F0F0F0"), strict=True))
"""A colour for each verdict; each bar has its number too, and hatches tell what was not tested."""

HATCHES = dict(zip(verdicts.KINDS, ("", "", "", "", "///", "xxx", "..."), strict=True))
REACH = 0.25
"""A gain over CLIP of this size has the full colour."""

FADED = 0.62
"""How far the colours may leave the middle of the colour map, so that black text can be read on them."""

HEADING = 62
"""Characters that a line of a heading in a forest has room for."""

GREY, SHADE = "#555555", "#e7f0f7"
MARKS = {"holds": (BLUE, "o"), "contradicted": (VERMILION, "s"), "open": (GREY, "D")}
"""Colour and marker of an interval in a forest."""


# --------------------------------------------------------------------------------------------------------------------
# Verdicts at a glance


def glance(outcomes: Sequence[Outcome]) -> Figure:
    """How many claims of each work have which verdict, as stacked bars."""
    counted = verdicts.counts(outcomes)[::-1]
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(counted) + 1.6))
    left = np.zeros(len(counted))
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    for kind in verdicts.KINDS:
        width = counted[kind].to_numpy(float)
        if width.any():
            style: dict[str, Any] = {"color": COLOURS[kind], "hatch": HATCHES[kind], "edgecolor": "white"}
            axis.barh(counted.index, width, left=left, label=kind, **style)
            for row in np.flatnonzero(width):
                place, text = left[row] + width[row] / 2, f"{width[row]:.0f}"
                axis.text(place, float(row), text, ha="center", va="center", fontsize=8.5, bbox=box)
        left += width
    axis.set_xlabel("claims")
    axis.legend(loc="upper center", bbox_to_anchor=(0.45, -0.18), ncols=4, fontsize=8.5)
    return figure


# --------------------------------------------------------------------------------------------------------------------
# Heat maps


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text, its background ("" for none), whether it is surely another than CLIP's, and a longer text."""

    text: str
    colour: str = ""
    sure: bool = False
    said: str = ""


@dataclass(frozen=True, slots=True)
class Heat:
    """A table: ``name`` (of the architecture), the names of the columns, and rows of a label and cells."""

    name: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


def gains(rows: pd.DataFrame, name: str) -> Heat:
    """Methods by benchmarks: the number, coloured by its gain over CLIP, marked where the interval leaves out zero."""
    titles = list(dict.fromkeys(rows["title"]))
    heat = Heat(name, titles, [])
    for method, group in rows.groupby("method", sort=False):
        cells = {}
        for row in group.to_dict("records"):
            value, said = f"{row['value']:.3f}", tables.with_interval(row["value"], row["low"], row["high"])
            cells[row["title"]] = Cell(value, said=said)
            if not pd.isna(row["gain"]):
                change = tables.with_interval(row["gain"], row["gain_low"], row["gain_high"])
                sure = row["gain_low"] > 0 or row["gain_high"] < 0
                cells[row["title"]] = Cell(value, _colour(row["gain"]), sure, f"{said}; over CLIP {change}")
        heat.rows.append((str(method), [cells.get(title, Cell("")) for title in titles]))
    return heat


def levels(rows: pd.DataFrame) -> Heat:
    """NegBench's variations by models: the number, coloured by its distance from chance; published numbers last."""
    columns = sorted(dict.fromkeys(rows["model"]), key=lambda name: name == frames.PAPER)
    heat = Heat("", columns, [])
    for task, group in rows.groupby("task", sort=False):
        own = {row["model"]: row for row in group.to_dict("records")}
        cells = []
        for name in columns:
            if name not in own:
                cells.append(Cell(""))
                continue
            value, plain = own[name]["value"], name in (frames.CHANCE, frames.PAPER)
            colour = "" if plain else _colour(value - own[frames.CHANCE]["value"])
            said = tables.with_interval(value, own[name]["low"], own[name]["high"])
            cells.append(Cell(f"{value:.3f}", colour, False, said))
        heat.rows.append((str(task), cells))
    return heat


def _colour(gain: float) -> str:
    """From orange (loss) over white to blue (gain)."""
    share = max(-1.0, min(1.0, gain / REACH))
    return to_hex(mpl.colormaps["RdBu"](0.5 + 0.5 * FADED * share))


def heat_map(rows: pd.DataFrame, base: str) -> Figure:
    """Every method on every benchmark for one architecture: numbers, coloured by their gain over CLIP.

    ``rows`` are those of ``frames.every_method``. Bold: the paired interval leaves out zero.
    """
    heat = gains(rows[rows["base"] == base], base)
    height = 0.27 * len(heat.rows) + 1.6
    figure, axis = plt.subplots(figsize=(0.85 * len(heat.columns) + 3.2, height))
    for number, (_, cells) in enumerate(heat.rows):
        for place, cell in enumerate(cells):
            axis.add_patch(plt.Rectangle((place, number), 1, 1, color=cell.colour or "white", linewidth=0))
            weight = "bold" if cell.sure else "normal"
            axis.text(place + 0.5, number + 0.5, cell.text, ha="center", va="center", fontsize=8, weight=weight)
    axis.set_xlim(0, len(heat.columns))
    axis.set_ylim(len(heat.rows), 0)
    names = [column.replace(", ", ",\n").replace(" ", "\n", 1) for column in heat.columns]
    axis.set_xticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axis.xaxis.tick_top()
    axis.set_yticks(np.arange(len(heat.rows)) + 0.5, [label for label, _ in heat.rows], fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(heat.name, fontsize=10)
    return figure


# --------------------------------------------------------------------------------------------------------------------
# The forest of a claim


def forest(outcome: Outcome, profile: str) -> str:
    """Each interval of a claim against its bound, as SVG to stand inside a page; "" where the claim was not tested.

    A condition has a heading and a line for each model; the side on which an interval has to lie is shaded. A dot is
    what holds, a square what is contradicted, a diamond what is open, so that it can be read without colours.
    """
    if not outcome.rows:
        return ""
    margins = [claims.margins(outcome.claim, profile, row.model).assign(shown=row.model) for row in outcome.rows]
    rows = pd.concat(margins)
    conditions = [
        (textwrap.wrap(f"{task}: {metric} {wanted}", HEADING), own)
        for (task, metric, wanted), own in rows.groupby(["task", "metric", "wanted"], sort=False)
    ]
    height = sum(0.85 * len(heading) + len(own) + 0.4 for heading, own in conditions)
    numbers = rows[["value", "ci_low", "ci_high", "bound"]].to_numpy(float)
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    room = 0.06 * (high - low) or 0.05
    with mpl.rc_context({**RC, "figure.constrained_layout.use": False}):
        figure = Figure(figsize=(4.6, 0.24 * height + 0.3))
        axis = figure.add_axes((0.28, 0.26 / (0.24 * height + 0.3), 0.7, 0.24 * height / (0.24 * height + 0.3)))
        axis.set(xlim=(low - room, high + room), ylim=(height, 0), yticks=[])
        top = 0.0
        for heading, own in conditions:
            top = _condition(axis, heading, own, top)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.tick_params(labelsize=8, colors=GREY)
        axis.spines[["left", "top", "right"]].set_visible(False)
        return _inline(figure, outcome.claim.id, outcome.claim.statement)


def _condition(axis: Axes, heading: Sequence[str], rows: pd.DataFrame, top: float) -> float:
    """A heading and the lines below it; returns where the next condition begins."""
    left, right = axis.get_xlim()
    for line in heading:
        axis.annotate(line, (-0.39, top + 0.6), xycoords=("axes fraction", "data"), fontsize=8)
        top += 0.85
    end = top + len(rows)
    bound, reach, side = (rows.iloc[0][name] for name in ("bound", "within", "side"))
    start, stop = {"above": (bound, right), "below": (left, bound), "equal": (bound - reach, bound + reach)}[str(side)]
    axis.fill_betweenx((top, end), start, stop, color=SHADE, linewidth=0, clip_on=False)
    axis.vlines(bound, top, end, color=GREY, linestyle="--", linewidth=0.8, clip_on=False)
    for middle, row in enumerate(rows.to_dict("records")):
        kind = "holds" if row["holds"] > 0 else "contradicted" if row["contradicted"] >= 0 else "open"
        colour, marker = MARKS[kind]
        at = top + middle + 0.5
        axis.annotate(row["shown"], (-0.39, at + 0.2), xycoords=("axes fraction", "data"), fontsize=8, color=GREY)
        axis.hlines(at, row["ci_low"], row["ci_high"], color=colour, linewidth=1.6, clip_on=False)
        mark: dict[str, Any] = {"marker": marker, "markersize": 5 if kind == "open" else 6, "linewidth": 0}
        axis.plot(row["value"], at, color=colour, clip_on=False, gid=f"mark {kind}", **mark)
    return end + 0.4


def _inline(figure: Figure, name: str, title: str) -> str:
    """The SVG of a figure for a page that has several: without a head, and without ids that another one has too."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = re.sub(r"<!--.*?-->\s*|<(metadata|style).*?</\1>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="mark (\w+)"', r'<g class="\1"', text)
    text = re.sub(r'<g id="[^"]*"', "<g", text).replace("xlink:href", "href")
    size = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg class="forest" {size[0] if size else ""} role="img" aria-label="{escape(title)}">'
    return f"{head}<title>{escape(title)}</title>{text[text.index('>') + 1 :].rstrip()}"
