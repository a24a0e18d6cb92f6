"""One look for all figures, the kinds of figure that notebooks share, and saving them as byte-stable PNG and SVG.

Numbers come with their intervals: columns value, low and high (or ci_low and ci_high), which seaborn draws as median
and range of the three. The palette is that of Okabe and Ito (2008), "Color Universal Design".
"""

import functools
import io
import itertools
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from cycler import cycler
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import NDArray

from negutil import config, files, paths
from negutil.plots import pngs

P = ParamSpec("P")
Mark = tuple[str, str]
"""Colour and marker."""

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, BROWN = "#777777", "#8B5A2B"
# Yellow comes last: it is hard to see on white.
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WIDTH = 7.4
"""Inches across every figure: a notebook shows it at its natural size, and its text can be read on a phone."""

CHANCE: dict[str, Any] = {"color": "#666666", "linestyle": "--", "linewidth": 1.0}
OWN_SCALES = "(each panel has a scale of its own)"

SUMMARY: dict[str, Any] = {"estimator": "median", "errorbar": ("pi", 100)}
"""What seaborn makes of an interval's three numbers: the value, from the lowest to the highest."""

METHODS: dict[str, Mark] = {
    "miniclip-s-8": (BLUE, "o"),
    "miniclip-b-8": (VERMILION, "s"),
    "CLIP": (BLACK, "o"),
    "original": (BLACK, "o"),
    "plain captions": (GREY, "X"),
    "CoN-CLIP": (GREEN, "^"),
    "NegCLIP": (PURPLE, "D"),
    "CLIP-bnl": (SKY, "v"),
    "NegCap": (ORANGE, "*"),
    "NegFull": (BLUE, "P"),
    "NegationCLIP": (VERMILION, "s"),
    "fine-tuned on NegBench's captions": (GREY, "D"),
}
"""What every figure marks these models and methods with."""

RC: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=PALETTE, marker=MARKERS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "errorbar.capsize": 3,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.labelsize": 10,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#DDDDDD",
    "image.cmap": "cividis",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.markersize": 5,
    "savefig.dpi": 150,
    "svg.hashsalt": "negutil",
}


def style() -> None:
    """Use the project's look from here on; ``with matplotlib.rc_context(figures.RC)`` does so for one block.

    In a notebook it also makes sure that a figure at the end of a cell is shown as an image: Jupyter does that by
    itself only once pyplot has drawn something.
    """
    mpl.rcParams.update(RC)
    if get_ipython() is not None:
        set_matplotlib_formats("png")


def or_nothing(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A figure function that says so where its first argument is empty: nothing was varied, or data are not here."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        first: Any = args[0] if args else next(iter(kwargs.values()))
        return draw(*args, **kwargs) if len(first) else nothing()

    return drawn


NOTHING = "nothing"
"""The label of a figure that is shown in its notebook and not written."""


def nothing() -> Figure:
    """A small figure that says that there is nothing to show."""
    figure, axis = plt.subplots(figsize=(WIDTH, 0.6), label=NOTHING)
    why = "this profile does not vary it, or the data are not here (see skipped.csv)"
    axis.text(0, 0.5, f"Nothing to show: {why}.", va="center", fontsize=9)
    axis.axis("off")
    return figure


# --------------------------------------------------------------------------------------------------------------------
# Numbers with intervals


def names(table: pd.DataFrame, column: str) -> list[str]:
    """The different values of a column in order of first appearance."""
    return [str(name) for name in dict.fromkeys(table[column])]


def ordered(rows: pd.DataFrame, column: str, order: Sequence[str]) -> pd.DataFrame:
    """The rows whose ``column`` is in ``order``, sorted by it."""
    kept = rows[rows[column].isin(order)]
    return kept.sort_values(column, key=lambda names: names.map(list(order).index), kind="stable")


def marks(shown: Sequence[str]) -> dict[str, Mark]:
    """A colour and a marker for each name, no pair twice: those of METHODS, else colours that nothing else has yet.

    Those of METHODS are in its order, which legends have, and the first.
    """
    shown = sorted(shown, key=lambda name: list(METHODS).index(name) if name in METHODS else len(METHODS))
    known = {name: METHODS[name] for name in shown if name in METHODS}
    taken = {colour for colour, _ in known.values()}
    free = [mark for mark in zip(PALETTE, MARKERS, strict=True) if mark[0] not in taken]
    turned = ((colour, MARKERS[(n + turn) % 8]) for turn in range(3, 8) for n, colour in enumerate(PALETTE))
    rest = (mark for mark in itertools.chain(free, turned) if mark not in known.values())
    return {name: known[name] if name in known else next(rest) for name in shown}


def panels(
    titles: Sequence[str], height: float, across: int = 3, *, left: float = 0.6, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel of ``height`` inches for each title, at most ``across`` beside each other.

    ``left`` is how many inches the labels at the left take, and ``shared`` is for ``plt.subplots``. A title that is
    longer than its panel is broken behind its comma.
    """
    across = min(across, len(titles))
    down = -(-len(titles) // across)
    figure, axes = plt.subplots(down, across, figsize=(WIDTH, down * height + 0.6), squeeze=False, **shared)
    letters = int((WIDTH - left) / across / 0.088)
    for axis, title in itertools.zip_longest(axes.flat, titles):
        if title is None:
            axis.remove()
            continue
        axis.tick_params(labelbottom=True)
        axis.set_title(title if len(title) <= letters else title.replace(", ", ",\n", 1))
    return figure, list(figure.axes)


def points(
    rows: pd.DataFrame,
    y: str,
    hue: str = "",
    col: str = "",
    *,
    label: str | Mapping[str, str] = "",
    order: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    chance: float | Mapping[str, float] | None = None,
    scale: float = 1,
    across: int = 3,
    line: str = "chance",
    **shared: Any,
) -> Figure:
    """Values with intervals along x: a row for each ``y``, a mark for each ``hue``, a panel for each ``col``.

    Args:
        rows: with the columns of an interval; one without an interval is a mark alone.
        label: what the values are, with their unit: for all panels, which says where each has its own scale, or one for
            each.
        order: the values of ``y`` from the top; one without rows is a heading.
        limits: of x in all panels, from 0 to 1 for shares; without them x reaches as far as the intervals.
        chance: where a dashed line is, the same in all panels or for each; the legend calls it ``line``, if not at 0.
        scale: 100 for points.
        across: how many panels stand beside each other; ``shared`` is for ``plt.subplots``.
    """
    if rows.empty:
        return nothing()
    levels, titles = list(order) or names(rows, y), names(rows, col) if col else [""]
    rows, hue, unnamed = (rows, hue, False) if hue else (rows.assign(all=""), "all", True)
    known = marks(names(rows, hue))
    texts = [level.split("\n") for level in levels]
    height = len(levels) * max(0.3, 0.12 * len(known) + 0.06, 0.19 * max(map(len, texts)) + 0.02) + 0.5
    left = 0.085 * max(len(part) for text in texts for part in text)
    figure, axes = panels(titles, height, across, left=left, sharey=True, **shared)
    most = max(3, int(2 * (WIDTH - left) / min(across, len(titles))))
    for axis, title in zip(axes, titles, strict=True):
        dots(axis, rows[rows[col] == title] if col else rows, y, levels, known, hue=hue, scale=scale)
        if limits:
            axis.set_xlim(limits)
        if (at := chance.get(title) if isinstance(chance, Mapping) else chance) is not None:
            axis.axvline(at, **CHANCE, zorder=1)
        axis.set_xlabel("" if isinstance(label, str) else label[title])
        axis.locator_params("x", nbins=most, steps=[1, 2, 5, 10])
    if isinstance(label, str):
        figure.supxlabel(label if limits or len(titles) == 1 or "sharex" in shared else f"{label} {OWN_SCALES}")
    legend(figure, {} if unnamed else known, line if chance else "")
    return figure


def dots(
    axis: Axes, rows: pd.DataFrame, y: str, order: Sequence[str], known: Mapping[str, Mark], *, hue: str, scale: float
) -> None:
    """Draw one panel of ``points``: the values of ``y`` in ``order``, those of ``hue`` with the marks in ``known``.

    Every other row is shaded, so that all marks of a row are seen to belong to it.
    """
    style: dict[str, Any] = {"err_kws": {"linewidth": 1.2, "marker": ""}, "linestyle": "none", "markersize": 5}
    style |= {"dodge": 0.8 * (1 - 1 / len(known)), "markers": [marker for _, marker in known.values()]}
    sns.pointplot(_three(rows, scale), x="number", y=y, order=order, ax=axis, **style, **SUMMARY, **look(known, hue))
    for place in range(0, len(order), 2):
        axis.axhspan(place - 0.5, place + 0.5, color="#F3F3F3", linewidth=0, zorder=0)
    axis.set(xlabel="", ylabel="", ylim=(len(order) - 0.5, -0.5))
    axis.tick_params("y", length=0)
    axis.grid(axis="x")


def seeds(axis: Axes, rows: pd.DataFrame, y: str, order: Sequence[str], known: Mapping[str, Mark], *, hue: str) -> None:
    """Draw the values of single seeds as strokes into a panel of ``points``."""
    stroke: dict[str, Any] = {"marker": "|", "size": 11, "linewidth": 1, "jitter": False, "dodge": len(known) > 1}
    sns.stripplot(rows, x="value", y=y, order=order, ax=axis, **stroke, **look(known, hue))
    axis.set(xlabel="", ylabel="")


def look(known: Mapping[str, Mark], hue: str, *, with_markers: bool = False) -> dict[str, Any]:
    """What seaborn has to know to draw the values of ``hue`` with their marks, without a legend."""
    order, colours, markers = list(known), [c for c, _ in known.values()], [m for _, m in known.values()]
    shapes = {"style": hue, "style_order": order, "markers": markers} if with_markers else {}
    return {"hue": hue, "hue_order": order, "palette": colours, "legend": False, **shapes}


def lines(
    rows: pd.DataFrame,
    x: str,
    hue: str,
    col: str = "",
    *,
    labels: Sequence[str],
    limits: tuple[float, float | None] | None = None,
    line: str = "",
    across: int = 2,
    **style: Any,
) -> Figure:
    """Values against ``x`` with intervals where there are any: a line for each ``hue``, a panel for each ``col``.

    ``labels`` are those of x and y, ``limits`` those of y in all panels; without them every panel has a scale of its
    own, and the label of y says so. ``line`` is what the legend calls dashed lines that the caller draws, and ``style``
    is for ``seaborn.lineplot``.
    """
    if rows.empty:
        return nothing()
    known, titles = marks(names(rows, hue)), names(rows, col) if col else [""]
    figure, axes = panels(titles, 2.1 if len(titles) > 2 else 3.0, across, sharex=True, sharey=limits is not None)
    style = {**SUMMARY, "dashes": False, "err_kws": {"alpha": 0.15}, **style, **look(known, hue, with_markers=True)}
    for axis, title in zip(axes, titles, strict=True):
        shown = _three(rows[rows[col] == title] if col else rows)
        sns.lineplot(shown, x=x, y="number", ax=axis, **style)
        axis.set(xlabel="", ylabel="", ylim=limits)
        axis.grid(visible=True)
    figure.supxlabel(labels[0])
    figure.supylabel(labels[1] if limits or len(titles) == 1 else f"{labels[1]} {OWN_SCALES}")
    legend(figure, known, line, joined=True)
    return figure


def crossed(rows: pd.DataFrame, titles: Sequence[str]) -> Figure:
    """Every method (column name) on two tests at once, from 0 to 1, with both intervals; all but the last base hollow.

    rows: columns base, name, title (of the test), value, low, high; who lacks one of the two is left out.
    """
    both = rows[rows["title"].isin(titles)].set_index(["name", "base", "title"]).sort_index()
    bases, enough = names(rows, "base"), both.groupby(["name", "base"]).size() == len(titles)
    known = marks([name for name in names(rows, "name") if name in enough[enough].index.get_level_values("name")])
    figure, (axis,) = panels([""], 5.6)
    for name, base in ((name, base) for name in known for base in bases if enough.get((name, base), False)):
        (across, up), (colour, marker) = (both.xs((name, base, title)) for title in titles), known[name]
        style: dict[str, Any] = {"xerr": reach(across), "yerr": reach(up), "elinewidth": 0.8, "capsize": 0}
        style |= {"color": colour, "marker": marker, "mfc": colour if base == bases[-1] else "white", "markersize": 7}
        axis.errorbar([across["value"]], [up["value"]], **style)
    axis.set(xlabel=titles[0], ylabel=titles[1], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axis.grid(visible=True)
    legend(figure, known, title="" if len(bases) < 2 else f"filled: {bases[-1]}; hollow: {', '.join(bases[:-1])}")
    return figure


def legend(figure: Figure, known: Mapping[str, Mark], line: str = "", title: str = "", *, joined: bool = False) -> None:
    """One legend for the whole figure, above it, so that it covers nothing and takes no width.

    ``line`` names the dashed lines; marks are ``joined`` where the figure joins them.
    """
    handles = [Line2D([], [], color=c, marker=m, linestyle="-" if joined or not m else "") for c, m in known.values()]
    handles += [Line2D([], [], **CHANCE, marker="")] if line else []
    texts = [*known, *([line] if line else [])]
    if not handles:
        return
    widths = [0.08 * len(text) + 0.6 for text in texts]
    down = 1
    while down < len(texts) and sum(max(widths[at : at + down]) for at in range(0, len(texts), down)) > WIDTH:
        down += 1
    look: dict[str, Any] = {"ncols": -(-len(texts) // down), "columnspacing": 1.2, "handletextpad": 0.5}
    figure.legend(handles, texts, loc="outside upper left", title=title or None, alignment="left", **look)


def _three(rows: pd.DataFrame, scale: float = 1) -> pd.DataFrame:
    """Each row three times, with value, low and high as its ``number``; once where the table has no intervals."""
    named = rows.rename(columns={"ci_low": "low", "ci_high": "high"}).reset_index(drop=True)
    ends = [end for end in ("low", "value", "high") if end in named]
    return pd.concat([named.assign(number=scale * named[end].astype(float)) for end in ends], ignore_index=True)


def reach(rows: pd.DataFrame | pd.Series) -> NDArray[np.float64]:
    """How far intervals reach below and above their values: [2, N], or [2, 1] for a single row."""
    return np.vstack([rows["value"] - rows["low"], rows["high"] - rows["value"]]).clip(0).astype(np.float64)


# --------------------------------------------------------------------------------------------------------------------
# Images


@dataclass(frozen=True, slots=True)
class Ranked:
    """A query with its top images, best first: whether each is right, what is written below each, and a summary.

    Without ``right`` it is not known which are.
    """

    query: str
    pictures: Sequence[NDArray[np.uint8]]
    right: Sequence[bool]
    titles: Sequence[str] = ()
    summary: str = ""


@or_nothing
def retrieved(rows: Sequence[Ranked]) -> Figure:
    """For each query its top images, framed green where right and red where wrong, which is written below as well."""
    lines = []
    for row in rows:
        marks = [(GREEN, "right") if right else (VERMILION, "wrong") for right in row.right]
        marks = marks or [("#888888", "")] * len(row.pictures)
        titles = row.titles or [""] * len(row.pictures)
        below = [
            ": ".join(part for part in (word, title) if part) for (_, word), title in zip(marks, titles, strict=True)
        ]
        heading = f"“{row.query}”" + (f": {row.summary}" if row.summary else "")
        lines.append(Strip(heading, row.pictures, below, [colour for colour, _ in marks]))
    return strips(lines)


class Strip(NamedTuple):
    """Images side by side below a heading, with a text under each of them, in a colour that their frame has too."""

    heading: str
    pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    texts: Sequence[str]
    colours: Sequence[str] = ()


def strips(lines: Sequence[Strip], heads: Sequence[str] = ()) -> Figure:
    """Strips of images below each other; ``heads`` stand above the columns."""
    columns = max(len(line.pictures) for line in lines)
    size = min(WIDTH / columns, 1.5)
    heads, *texts = (
        [textwrap.fill(text, int(13 * size)) for text in each] for each in (heads, *(x.texts for x in lines))
    )
    depths = [max((text.count("\n") + 1 for text in each), default=0) for each in (heads, *texts)]
    heights = [size + 0.4 + 0.16 * depth for depth in depths[1:]]
    heights[0] += 0.16 * depths[0]
    figure = plt.figure(figsize=(size * columns, sum(heights)))
    parts = figure.subfigures(len(lines), squeeze=False, height_ratios=heights)[:, 0]
    for part, line, below in zip(parts, lines, texts, strict=True):
        part.suptitle(line.heading, x=0.01, ha="left", fontsize=11, parse_math=False)
        axes = part.subplots(1, columns, squeeze=False)[0]
        for axis in axes[len(line.pictures) :]:
            axis.set_visible(False)
        colours = line.colours or ["black"] * len(below)
        for axis, picture, text, colour in zip(axes, line.pictures, below, colours, strict=False):
            axis.imshow(picture, interpolation="nearest")
            axis.set_anchor("N")
            frame(axis, colour if line.colours else "#CCCCCC", 3 if line.colours else 0.5)
            axis.set_xlabel(text, fontsize=9 if size > 1 else 8, color=colour, labelpad=3, parse_math=False)
        for axis, head in zip(axes, heads if part is parts[0] else (), strict=False):
            axis.set_title(head, fontsize=9, style="italic")
    return figure


def frame(axis: Axes, colour: str, width: float = 3) -> None:
    """Put a coloured frame around an image, without ticks."""
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color=colour, linewidth=width)


# --------------------------------------------------------------------------------------------------------------------
# Files


def save(figure: Figure, profile: str, experiment: str, name: str) -> Path:
    """Write ``figures/<profile>/<experiment>/<name>.png``, and ``.svg`` unless it shows images; return the first.

    With NEGUTIL_PDF=1 there is a .pdf besides.

    Equal figures give equal bytes: no dates, no program versions, fixed SVG ids. The figure stays open, so that a
    notebook can show it. Nothing is written that shows Flickr8k's photographs, which may not be redistributed, or that
    has nothing to show.
    """
    path = paths.figures(profile) / experiment / f"{name}.png"
    # An SVG would hold the pixels of images in colour once more.
    images = [image for image in figure.findobj(AxesImage) if isinstance(image, AxesImage)]
    in_colour = any(np.asarray(image.get_array()).ndim == 3 for image in images)
    path.with_suffix(".svg").unlink(missing_ok=True)
    if in_colour and profile in config.names() and config.load(profile).photographs:
        return path
    if figure.get_label() == NOTHING:
        path.unlink(missing_ok=True)
        return path
    kinds = ["png"] if in_colour else ["png", "svg"]
    for kind in [*kinds, "pdf"] if os.environ.get("NEGUTIL_PDF") else kinds:
        dates = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}[kind]
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": RC["svg.hashsalt"]}):
            figure.savefig(buffer, format=kind, metadata=dates, bbox_inches="tight")
        data = pngs.compact(buffer.getvalue()) if kind == "png" else buffer.getvalue()
        files.write_bytes(path.with_suffix(f".{kind}"), data)
    return path
