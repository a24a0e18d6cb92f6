"""What a reader needs of every figure: names on the axes, and no text upon another one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from negutil.plots import figures


def check_open() -> None:
    """``check`` every figure that is open."""
    for number in plt.get_fignums():
        check(plt.figure(number))


def check(figure: Figure) -> None:
    """Raise AssertionError that names what cannot be read: by the extents that matplotlib draws."""
    if not any(axis.axison for axis in figure.axes):
        return
    assert figure.get_figwidth() <= figures.WIDTH
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = [axis for axis in figure.axes if axis.axison and axis.get_visible() and not axis.images]
    for axis in axes:
        across, up = _shown(axis.get_xticklabels()), _shown(axis.get_yticklabels())
        named = axis.get_title(loc="left") or axis.get_title()
        assert axis.get_xlabel() or figure.get_supxlabel(), f"no name at x: {named}"
        is_numeric = up and all(text.get_text().replace("−", "-").lstrip("-")[:1].isdigit() for text in up)
        assert axis.get_ylabel() or figure.get_supylabel() or not is_numeric, f"no name at y: {named}"
        _apart(across)
        _apart(up)
    _apart(_shown(text for axis in figure.axes for text in (axis.title, axis._left_title)))  # type: ignore[attr-defined]
    for legend, axis in itertools.product(figure.legends, axes):
        assert not Bbox.intersection(legend.get_window_extent(), axis.get_window_extent()), "the legend covers a panel"


def _shown(texts: Iterable[Text]) -> list[Text]:
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def _apart(texts: list[Text]) -> None:
    for one, other in itertools.combinations(texts, 2):
        both = Bbox.intersection(one.get_window_extent(), other.get_window_extent())
        assert both is None or both.width * both.height < 1, f"{one.get_text()!r} covers {other.get_text()!r}"
