"""Heat maps of the report as tables of texts with a colour for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_hex

from negutil import tables
from negutil.report import frames

REACH = 0.25
"""A gain over CLIP of this size has the full colour."""

FADED = 0.62
"""How far the colours may leave the middle of the colour map, so that black text can be read on them."""


Numbers = dict[str, list[float]]


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
    by_method = {str(method): _by(own, "title", frames.HEAT[3:]) for method, own in _groups(rows, "method")}
    return Heat(
        name,
        titles,
        [(method, [_gain(own, title) for title in titles]) for method, own in by_method.items()],
    )


def _groups(rows: pd.DataFrame, column: str) -> list[tuple[object, pd.DataFrame]]:
    return list(rows.groupby(column, sort=False))


def _by(own: pd.DataFrame, key: str, columns: Sequence[str]) -> Numbers:
    """The numbers in ``columns`` by what stands in ``key``."""
    values = own[list(columns)].to_numpy(float).tolist()
    return {str(name): row for name, row in zip(own[key], values, strict=True)}


def _gain(own: Numbers, title: str) -> Cell:
    if title not in own:
        return Cell("")
    value, low, high, gain, gain_low, gain_high = own[title]
    said = tables.with_interval(value, low, high)
    if pd.isna(gain):
        return Cell(f"{value:.3f}", "", False, said)
    change = tables.with_interval(gain, gain_low, gain_high)
    return Cell(f"{value:.3f}", _colour(gain), gain_low > 0 or gain_high < 0, f"{said}; over CLIP {change}")


def levels(rows: pd.DataFrame) -> Heat:
    """NegBench's variations by models: the number, coloured by its distance from chance."""
    columns = list(dict.fromkeys(rows["model"]))
    order = [*(name for name in columns if name != frames.PAPER), frames.PAPER]
    shown = [name for name in order if name in columns]
    by_task = {str(task): _by(own, "model", ("value", "low", "high")) for task, own in _groups(rows, "task")}
    return Heat("", shown, [(task, [_level(own, name) for name in shown]) for task, own in by_task.items()])


def _level(own: Numbers, name: str) -> Cell:
    if name not in own:
        return Cell("")
    value, low, high = own[name]
    plain = name in (frames.CHANCE, frames.PAPER)
    colour = "" if plain else _colour(value - own[frames.CHANCE][0])
    return Cell(f"{value:.3f}", colour, False, tables.with_interval(value, low, high))


def _colour(gain: float) -> str:
    """From orange (loss) over white to blue (gain)."""
    share = max(-1.0, min(1.0, gain / REACH))
    return to_hex(mpl.colormaps["RdBu"](0.5 + 0.5 * FADED * share))
