"""A small forest plot for a claim, as SVG to stand inside a page: each interval against its bound.

A condition has a heading and a line for each model; the side on which an interval has to lie is shaded. A dot is what
holds, a square what is contradicted, a diamond what is open, so that the picture can be read without colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from html import escape

import pandas as pd
from matplotlib.ticker import MaxNLocator

from negutil.compare import claims
from negutil.compare.verdicts import Outcome
from negutil.plots.figures import BLUE, VERMILION

WIDTH, LEFT, RIGHT = 360, 104, 350
LINE, ROW, GAP, AXIS = 14, 18, 6, 24
HEADING = 52
"""Characters that a line of a heading has room for."""

GREY, SHADE, RULE = "#555555", "#e7f0f7", "#999999"
Place = Callable[[float], float]


def svg(outcome: Outcome, profile: str) -> str:
    """The plot of one claim, or an empty text where it was not tested."""
    if not outcome.rows:
        return ""
    rows = pd.concat([_rows(outcome, row.model, profile) for row in outcome.rows])
    low, high = _limits(rows)
    place = _scale(low, high)
    parts: list[str] = []
    top = 0
    for (task, metric, wanted), own in rows.groupby(["task", "metric", "wanted"], sort=False):
        drawn, top = _condition(f"{task}: {metric} {wanted}", own, place, top)
        parts += [drawn]
    height = top + AXIS
    title = escape(outcome.claim.statement)
    head = f'<svg class="forest" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><title>{title}</title>'
    return "\n".join([head, *parts, _axis(low, high, place, top), "</svg>"])


def _rows(outcome: Outcome, model: str, profile: str) -> pd.DataFrame:
    found = claims.margins(outcome.claim, profile, model)
    return found.assign(shown=model)


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """From the least to the greatest of values, intervals and bounds, with a little room."""
    numbers = pd.concat([rows[name] for name in ("value", "ci_low", "ci_high", "bound")]).dropna()
    low, high = float(numbers.min()), float(numbers.max())
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room


def _scale(low: float, high: float) -> Place:
    return lambda value: LEFT + (RIGHT - LEFT) * (value - low) / (high - low)


def _condition(heading: str, rows: pd.DataFrame, place: Place, top: int) -> tuple[str, int]:
    """A heading and the lines below it; returns where the next condition begins, too."""
    lines = textwrap.wrap(heading, HEADING)
    texts = [
        f'<text x="0" y="{top + LINE * (number + 1) - 3}" font-size="11">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    first = top + LINE * len(lines) + 2
    end = first + ROW * len(rows)
    shade = _shade(rows.iloc[0], place, first, end)
    drawn = [_interval(row, place, first + ROW * number + ROW // 2) for number, row in enumerate(_dicts(rows))]
    return "\n".join([*texts, shade, *drawn]), end + GAP


def _dicts(rows: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _shade(row: pd.Series, place: Place, top: int, end: int) -> str:
    """The side of the bound where an interval has to lie, and the bound as a dashed line."""
    at, reach = float(row["bound"]), float(row["within"])
    sides = {"above": (place(at), RIGHT), "below": (LEFT, place(at)), "equal": (place(at - reach), place(at + reach))}
    left, right = sides[str(row["side"])]
    box = f'x="{left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" height="{end - top}"'
    line = f'x1="{place(at):.1f}" x2="{place(at):.1f}" y1="{top}" y2="{end}"'
    return f'<rect {box} fill="{SHADE}"/><line {line} stroke="{GREY}" stroke-dasharray="3 2"/>'


def _interval(row: dict[str, object], place: Place, middle: int) -> str:
    """One model's name, interval and marker."""
    numbers = {name: float(str(row[name])) for name in ("value", "ci_low", "ci_high", "holds", "contradicted")}
    name = f'<text x="0" y="{middle + 4}" font-size="10" fill="{GREY}">{escape(str(row["shown"])[:20])}</text>'
    colour = BLUE if numbers["holds"] > 0 else VERMILION if numbers["contradicted"] >= 0 else GREY
    ends = [place(numbers[key]) for key in ("ci_low", "ci_high")]
    bar = (
        f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="2"/>'
    )
    bar = "" if pd.isna(numbers["ci_low"]) else bar
    return name + bar + _marker(place(numbers["value"]), middle, colour)


def _marker(x: float, y: int, colour: str) -> str:
    if colour == BLUE:
        return f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y})"' if colour == GREY else ""
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5}" width="7" height="7" fill="{colour}"{turn}/>'


def _axis(low: float, high: float, place: Place, top: int) -> str:
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    marks = [
        f'<line x1="{place(tick):.1f}" x2="{place(tick):.1f}" y1="{top}" y2="{top + 4}" stroke="{RULE}"/>'
        f'<text x="{place(tick):.1f}" y="{top + 16}" font-size="10" text-anchor="middle" fill="{GREY}">{tick:g}</text>'
        for tick in ticks
    ]
    return f'<line x1="{LEFT}" x2="{RIGHT}" y1="{top}" y2="{top}" stroke="{RULE}"/>' + "".join(marks)
