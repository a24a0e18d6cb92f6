"""Numbers of methods on benchmarks as wide tables of texts: a row per architecture and method, a column per benchmark.

The numbers are frames with base, method, title (the benchmark), seed, value, low and high, as notebooks 05 and 06 make
them. ``title_of`` says what tables call a method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from negutil import tables

TitleOf = Callable[[str], str]


def wide(
    rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], title_of: TitleOf, digits: int = 3
) -> pd.DataFrame:
    """A number with its interval in each cell."""
    triples = zip(rows["value"], rows["low"], rows["high"], strict=True)
    cells = [tables.with_interval(*triple, digits) for triple in triples]
    return shaped(rows.assign(cell=cells), titles, methods, title_of)


def seeds(rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], title_of: TitleOf) -> pd.DataFrame:
    """The numbers of all seeds, in their order, side by side in each cell."""
    ordered = rows.sort_values("seed", kind="stable")
    cells = ordered.assign(cell=ordered["value"].map("{:.3f}".format))
    joined = cells.groupby(["base", "method", "title"], sort=False)["cell"].agg(" · ".join).reset_index()
    return shaped(joined, titles, methods, title_of)


def shaped(rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], title_of: TitleOf) -> pd.DataFrame:
    """The column ``cell`` by architecture and method (rows) and benchmark (columns), in the given orders."""
    own = rows[rows["title"].isin(titles) & rows["method"].isin(methods)]
    found = own.pivot(index=["base", "method"], columns="title", values="cell").reset_index()
    order = {name: place for place, name in enumerate((*dict.fromkeys(rows["base"]), *methods))}
    found = found.sort_values(["base", "method"], key=lambda column: column.map(order), kind="stable")
    found["method"] = found["method"].map(title_of)
    found = found.rename(columns={"base": "architecture", "method": "model"}).rename_axis(columns=None)
    return found[["architecture", "model", *(title for title in titles if title in found)]].reset_index(drop=True)


def published(
    titles: Sequence[str],
    methods: Sequence[str],
    known: Callable[[str, str], tuple[float, str] | None],
    title_of: TitleOf,
    *,
    architecture: str,
    digits: int = 3,
) -> pd.DataFrame:
    """The printed numbers that ``known`` has for a benchmark and a method, in the same shape, without intervals."""
    found = []
    for method in methods:
        own = {title: known(title, method) for title in titles}
        cells = {title: f"{number[0]:.{digits}f}" for title, number in own.items() if number}
        if cells:
            found.append({"architecture": architecture, "model": title_of(method), **cells})
    return pd.DataFrame(found)
