"""Tables in notebooks: fixed ids, rounded numbers, a caption, and the same text on every run."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

BOUNDS = {"low": "ci_low", "high": "ci_high"}
"""The columns of an interval (``negutil.statistics``) as records call them."""


@dataclass(repr=False)
class Table:
    """A pandas frame for display: HTML in a notebook, text elsewhere, both free of addresses and random ids.

    The frame is shown without its index, with a ``caption``, ``name`` as its id, and ``digits`` decimals: one number
    for all columns, or a mapping from column to number (others: 3).
    """

    frame: pd.DataFrame
    caption: str
    name: str
    digits: int | Mapping[str, int] = 3

    def __post_init__(self) -> None:
        self.frame = self.frame.reset_index(drop=True)

    def text(self) -> pd.DataFrame:
        """The frame with every number as rounded text, and missing values as empty text."""
        digits = self.digits if isinstance(self.digits, Mapping) else {}
        default = 3 if isinstance(self.digits, Mapping) else self.digits
        return self.frame.apply(
            lambda column: column.map(lambda value: _text(value, digits.get(str(column.name), default)))
        )

    def _repr_html_(self) -> str:
        text = self.text()
        numeric = [column for column in text if pd.api.types.is_numeric_dtype(self.frame[column])]
        styler = text.style.hide(axis="index").format(escape="html").set_caption(self.caption)
        styler = styler.set_properties(subset=numeric, **{"text-align": "right"})
        return styler.to_html(table_uuid=self.name, cell_ids=False)

    def __repr__(self) -> str:
        return f"{self.caption}\n{self.text().to_string(index=False)}"


show = Table


def with_interval(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """A number with its interval in brackets, such as ``0.710 [0.684, 0.735]``; without one, the number alone."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return _text(value, digits)
    return f"{_text(value, digits)} [{_text(low, digits)}, {_text(high, digits)}]"


def pivot(records: pd.DataFrame, rows: str | list[str], columns: str = "metric", digits: int = 3) -> pd.DataFrame:
    """Records (see ``negutil.results``) as a wide frame of texts: a number with its interval in each cell.

    Rows and columns come in the order in which they first appear in ``records``.
    """
    keys = [rows] if isinstance(rows, str) else list(rows)
    if records.empty:  # published data that are not here
        return pd.DataFrame(columns=keys)
    numbers = zip(records["value"], records["ci_low"], records["ci_high"], strict=True)
    cells = [with_interval(value, low, high, digits) for value, low, high in numbers]
    tall = records[[*keys, columns]].assign(cell=cells)
    wide = tall.pivot(index=keys, columns=columns, values="cell")
    order = tall[keys].drop_duplicates()
    index = pd.MultiIndex.from_frame(order) if len(keys) > 1 else pd.Index(order[keys[0]])
    return wide.reindex(index=index, columns=pd.unique(tall[columns])).reset_index().rename_axis(columns=None)


def _text(value: object, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        rounded = f"{value:,.{digits}f}"
        return rounded.removeprefix("-") if float(rounded.replace(",", "")) == 0 else rounded
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
