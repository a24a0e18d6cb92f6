"""Tables as notebooks show them: at most seven columns, short intervals, the best in bold, published numbers in grey.

What is shown is for reading. Every number with its interval is in the CSV files below ``results/``.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from negutil import tables
from negutil.tables import BOUNDS, pivot, with_interval

__all__ = ["BOUNDS", "MOST", "Table", "pivot", "show", "with_interval"]

MOST = 7
"""Columns of a table."""

PUBLISHED = "published"
"""What columns and groups of rows with printed numbers have in their name."""

RULE = "rule: "
"""How the name of a rule without images begins."""

LOOK = """
{table} td, {table} th, {table} caption {{text-align: left; vertical-align: top}}
{table} .number {{text-align: right}}
{table} .number, {table} .interval, {table} .heading {{white-space: nowrap}}
{table} .grey {{color: #767676}}
"""
NUMBER = r"-?\d[\d,]*\.?\d*"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
ENDS = (("ci_low", "ci_high"), ("low", "high"))


@dataclass(repr=False)
class Table(tables.Table):
    """A frame for display, as ``negutil.tables.Table``, in the form that reads best.

    - Columns with the ends of an interval join the number before them. An interval that is symmetric to a tenth becomes
      ``.361 ± .021``, any other ``.361 [.340, .395]``; pointing at a number shows all digits.
    - Each value of the column ``by``, if it is the first one, becomes a heading above its rows. Published numbers below
      a heading of their own become grey columns if these fit, else they stay grey rows.
    - ``best`` are the columns whose highest number below each heading is bold; a rule that sees no image is no method.
    - Columns after the seventh are left out, and the caption names them.
    """

    best: Sequence[str] = ()
    by: str = "architecture"

    def text(self) -> pd.DataFrame:
        """What is shown, as text: headings are rows with one cell."""
        whole, groups = self._cells()
        short = whole.apply(_shortened).map(lambda cell: cell.replace("\n", "; "))
        parts = []
        for heading, rows in short.groupby(groups, sort=False):
            parts += [pd.DataFrame([[heading]], columns=short.columns[:1])] if heading else []
            parts.append(rows)
        return pd.concat(parts, ignore_index=True).fillna("") if parts else short

    def __repr__(self) -> str:
        return f"{self._caption()}\n{self.text().to_string(index=False)}"

    def _repr_html_(self) -> str:
        whole, groups = self._cells()
        short, classes = whole.apply(_shortened), [self._class(str(name), cells) for name, cells in whole.items()]
        lines = [_line("th", map(str, whole), classes)]
        for heading, rows in short.groupby(groups, sort=False):
            is_printed = str(heading).startswith(PUBLISHED)
            best = set() if is_printed else _highest(whole.loc[rows.index], self.best)
            if heading:
                title = [f"<b>{escape(str(heading))}</b>", *[""] * (len(classes) - 1)]
                lines.append(_line("td", title, ["heading", *classes[1:]]))
            for (row, cells), details in zip(rows.iterrows(), whole.loc[rows.index].to_numpy(), strict=True):
                bold = [(row, name) in best for name in cells.index]
                shown = [
                    f"<b>{escape(cell)}</b>" if top else escape(cell) for cell, top in zip(cells, bold, strict=True)
                ]
                hints = ["" if cell == text else text for cell, text in zip(cells, details, strict=True)]
                is_grey = is_printed or any(cell.endswith(f", {PUBLISHED}") for cell in cells[:2])
                lines.append(_line("td", shown, [f"{name} grey" if is_grey else name for name in classes], hints))
        inside = f"<caption>{escape(self._caption())}</caption>{''.join(lines)}".replace("\n", "<br>")
        style = LOOK.format(table=f"#T_{self.name}")
        return f'<style>{style}</style><div style="overflow-x: auto"><table id="T_{self.name}">{inside}</table></div>'

    def _caption(self) -> str:
        left_out = [str(name) for name in self._columns[0].columns[MOST:]]
        return f"{self.caption} (without: {', '.join(left_out)})" if left_out else self.caption

    def _class(self, name: str, cells: pd.Series) -> str:
        is_number = name in self.frame and pd.api.types.is_numeric_dtype(self.frame[name])
        has_interval = any(INTERVAL.search(cell) for cell in cells)
        kinds = {"interval": has_interval, "number": is_number, "grey": PUBLISHED in name}
        return " ".join(kind for kind, holds in kinds.items() if holds)

    def _cells(self) -> tuple[pd.DataFrame, pd.Series]:
        """The cells that are shown, with whole intervals, and the heading of each row ("" without)."""
        text, groups = self._columns
        return text.iloc[:, :MOST], groups

    @functools.cached_property
    def _columns(self) -> tuple[pd.DataFrame, pd.Series]:
        """All cells as text, with whole intervals, and the heading of each row ("" without)."""
        text = super().text()
        for low, high in ENDS:
            if {low, high} <= set(text):
                value = text.columns[list(text).index(low) - 1]
                ends = zip(text[value], text[low], text[high], strict=True)
                text[value] = [f"{at} [{lower}, {upper}]" if lower else at for at, lower, upper in ends]
                text = text.drop(columns=[low, high])
        if text.shape[1] < 3 or text.columns[0] != self.by:
            return text, pd.Series("", index=text.index)
        text = _beside(text)
        return text.iloc[:, 1:], text.iloc[:, 0]


show = Table


def _line(tag: str, cells: Iterable[str], classes: Iterable[str], hints: Iterable[str] = itertools.repeat("")) -> str:
    """A row of the HTML table; a hint is what pointing at a cell shows."""
    shown = []
    for cell, name, hint in zip(cells, classes, hints, strict=False):
        attributes = [f' {key}="{escape(text)}"' for key, text in (("class", name), ("title", hint)) if text]
        shown.append(f"<{tag}{''.join(attributes)}>{cell}</{tag}>")
    return f"<tr>{''.join(shown)}</tr>"


def _highest(rows: pd.DataFrame, columns: Sequence[str]) -> set[tuple[object, object]]:
    """The cells (index and column) with the highest number of each of ``columns`` that has several."""
    found: set[tuple[object, object]] = set()
    rows = rows[~rows.iloc[:, 0].str.startswith(RULE)]
    for name in rows.columns.intersection(list(columns)):
        numbers = pd.to_numeric(rows[name].str.extract(rf"^({NUMBER})")[0].str.replace(",", ""))
        if numbers.count() > 1:
            found |= {(row, name) for row in numbers.index[numbers == numbers.max()]}
    return found


def _beside(text: pd.DataFrame) -> pd.DataFrame:
    """Published rows as columns beside ours, if there is one group of them, and if it fits."""
    by, model, *titles = text.columns
    is_printed = text[by].str.startswith(PUBLISHED)
    ours, printed = text[~is_printed].reset_index(drop=True), text[is_printed]
    known = [title for title in titles if printed[title].any()]
    fits = model not in known and len(titles) + 1 + len(known) <= MOST
    if printed[by].nunique() != 1 or not fits or not set(printed[model]) <= set(ours[model]):
        return text
    where = printed[by].iloc[0].removeprefix(PUBLISHED).removeprefix(", ")
    for title in known:
        numbers = ours[model].map(dict(zip(printed[model], printed[title], strict=True))).fillna("")
        name = f"{title}, {PUBLISHED}" + (f" ({where})" if where else "")
        ours.insert(int(ours.columns.get_loc(title)) + 1, name, numbers)  # type: ignore[arg-type]
    return ours


def _shortened(column: pd.Series) -> pd.Series:
    """Intervals in their short form, and numbers up to 1 without the zero before the point.

    Where a column of nothing but numbers has negative ones, positive ones have a sign as well.
    """
    cells = column[column != ""]
    leading = cells.str.extract(rf"^({NUMBER})(?: .*)?$")[0].str.replace(",", "")
    is_numeric = bool(len(cells) and leading.notna().all())
    is_share = is_numeric and bool((pd.to_numeric(leading).abs() <= 1).all()) and all("." in cell for cell in cells)
    plus = "+" if is_numeric and leading.str.startswith("-").any() else ""

    def short(cell: str) -> str:
        cell = INTERVAL.sub(_interval, cell)
        cell = _without_zero(cell) if is_share else cell
        cell = re.sub(r"(?<!\w)-(?=[\d.])", "−", cell)
        return plus + cell if plus and cell and cell[0] != "−" else cell

    return column.map(short)


def _interval(match: re.Match[str]) -> str:
    """``0.361 [0.340, 0.382]`` as ``.361 ± .021``, where it is symmetric to a tenth or one in the last digit."""
    value, low, high = (float(text.replace(",", "")) for text in match.groups())
    digits = len(match[1].partition(".")[2])
    half = (high - low) / 2
    is_even = abs(high + low - 2 * value) <= max(1.1 * 10**-digits, 0.1 * half)
    shown = f"{match[1]} ± {half:,.{digits}f}" if is_even else match[0]
    return _without_zero(shown)


def _without_zero(text: str) -> str:
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", text)
