"""Heat maps of the report as tables of texts with a colour for each cell."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_hex

from negutil import report_tables, tables

REACH = 0.25
"""A gain over CLIP of this size has the full colour."""

FADED = 0.62
"""How far the colours may leave the middle of the colour map, so that black text can be read on them."""


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
    by_method = {str(method): own.set_index("title") for method, own in rows.groupby("method", sort=False)}
    return Heat(
        name,
        titles,
        [(method, [_gain(own, title) for title in titles]) for method, own in by_method.items()],
    )


def _gain(own: pd.DataFrame, title: str) -> Cell:
    if title not in own.index:
        return Cell("")
    row = own.loc[title]
    said = tables.with_interval(float(row["value"]), row["low"], row["high"])
    if pd.isna(row["gain"]):
        return Cell(f"{row['value']:.3f}", "", False, said)
    sure = bool(row["gain_low"] > 0 or row["gain_high"] < 0)
    change = tables.with_interval(float(row["gain"]), row["gain_low"], row["gain_high"])
    return Cell(f"{row['value']:.3f}", _colour(float(row["gain"])), sure, f"{said}; over CLIP {change}")


def levels(rows: pd.DataFrame) -> Heat:
    """NegBench's variations by models: the number, coloured by its distance from chance."""
    columns = list(dict.fromkeys(rows["model"]))
    order = [*(name for name in columns if name != report_tables.PAPER), report_tables.PAPER]
    shown = [name for name in order if name in columns]
    by_task = {str(task): own.set_index("model") for task, own in rows.groupby("task", sort=False)}
    return Heat("", shown, [(task, [_level(own, name) for name in shown]) for task, own in by_task.items()])


def _level(own: pd.DataFrame, name: str) -> Cell:
    if name not in own.index:
        return Cell("")
    value = float(own.loc[name, "value"])  # type: ignore[arg-type]
    said = tables.with_interval(value, own.loc[name, "low"], own.loc[name, "high"])  # type: ignore[arg-type]
    plain = name in (report_tables.CHANCE, report_tables.PAPER)
    colour = "" if plain else _colour(value - float(own.loc[report_tables.CHANCE, "value"]))  # type: ignore[arg-type]
    return Cell(f"{value:.3f}", colour, False, said)


def _colour(gain: float) -> str:
    """From orange (loss) over white to blue (gain)."""
    share = max(-1.0, min(1.0, gain / REACH))
    return to_hex(mpl.colormaps["RdBu"](0.5 + 0.5 * FADED * share))
