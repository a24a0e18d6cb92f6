"""One look for all figures: colour-blind-safe colours with distinct markers, saved as byte-stable PNG and SVG.

The palette is that of Okabe and Ito (2008), "Color Universal Design".
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import NDArray

from negutil import files, paths
from negutil.plots import pngs

P = ParamSpec("P")
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
# Yellow comes last: it is hard to see on white.
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
CHANCE: dict[str, Any] = {"color": "#666666", "linestyle": "--", "linewidth": 1.0}

RC: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=PALETTE, marker=MARKERS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "errorbar.capsize": 3,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#DDDDDD",
    "image.cmap": "cividis",
    "legend.frameon": False,
    "lines.markersize": 5,
    "savefig.dpi": 150,
    "svg.hashsalt": "negutil",
}


def style() -> None:
    """Use the project's look from here on; ``with matplotlib.rc_context(figures.RC)`` does so for one block.

    In a notebook it also makes sure that a figure at the end of a cell is shown as a picture: Jupyter does that by
    itself only once pyplot has drawn something.
    """
    mpl.rcParams.update(RC)
    if get_ipython() is not None:
        set_matplotlib_formats("png")


def or_nothing(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A figure function that says so where its first argument is empty: published data that are not on this machine."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        first: Any = args[0] if args else next(iter(kwargs.values()))
        return draw(*args, **kwargs) if len(first) else nothing()

    return drawn


def nothing() -> Figure:
    """A small figure that says that there is nothing to show."""
    figure, axis = plt.subplots(figsize=(5.2, 0.6))
    axis.text(0, 0.5, "Nothing to show: the data are not here (see skipped.csv).", va="center", fontsize=9)
    axis.axis("off")
    return figure


def names(table: pd.DataFrame, column: str) -> list[str]:
    """The different values of a column in order of first appearance."""
    return [str(name) for name in dict.fromkeys(table[column])]


def places(values: pd.Series, order: Sequence[str]) -> NDArray[np.float64]:
    """The place of each of ``values`` [N] in ``order``."""
    return np.array([list(order).index(str(value)) for value in values], dtype=float)


def reach(rows: pd.DataFrame | pd.Series) -> NDArray[np.float64]:
    """How far intervals reach below and above their values: [2, N], or [2, 1] for a single row."""
    ends: NDArray[np.float64] = np.vstack([rows["value"] - rows["low"], rows["high"] - rows["value"]]).clip(0)
    return ends


def dots(
    axis: Axes,
    rows: pd.DataFrame,
    at: NDArray[np.floating],
    index: int,
    *,
    vertical: bool = False,
    label: str | None = None,
) -> None:
    """Values with intervals (columns value, low, high) at places ``at``, in the style of series ``index``.

    Values lie along x, or along y if ``vertical``; ``label`` is for the legend.
    """
    style: dict[str, Any] = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": "", "label": label}
    style |= {"markersize": 4.5, "capsize": 2, "elinewidth": 1}
    if vertical:
        axis.errorbar(at, rows["value"], yerr=reach(rows), **style)
    else:
        axis.errorbar(rows["value"], at, xerr=reach(rows), **style)


def frame(axis: Axes, colour: str, width: float = 3) -> None:
    """Put a coloured frame around a picture, without ticks."""
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color=colour, linewidth=width)


def save(figure: Figure, profile: str, experiment: str, name: str) -> Path:
    """Write ``figures/<profile>/<experiment>/<name>.png``, and ``.svg`` unless it shows pictures; return the first.

    Equal figures give equal bytes: no dates, no program versions, fixed SVG ids.  The figure stays open, so that a
    notebook can show it.
    """
    path = paths.figures(profile) / experiment / f"{name}.png"
    files.write_bytes(path, pngs.compact(_bytes_of(figure, "png", {"Software": None})))
    drawn = path.with_suffix(".svg")
    # An SVG would hold the pixels of pictures in colour once more.
    images = [image for image in figure.findobj(AxesImage) if isinstance(image, AxesImage)]
    if any(np.asarray(image.get_array()).ndim == 3 for image in images):
        drawn.unlink(missing_ok=True)
    else:
        files.write_bytes(drawn, _bytes_of(figure, "svg", {"Date": None, "Creator": None}))
    return path


def _bytes_of(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": RC["svg.hashsalt"]}):
        figure.savefig(buffer, format=kind, metadata=metadata, bbox_inches="tight")
    return buffer.getvalue()
