"""A table of an executed notebook, as it is shown there, for a paper: LaTeX, Markdown or CSV."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from bs4 import BeautifulSoup, Tag

from negutil import paths
from negutil.errors import NegutilError, no_such
from negutil.report import chapters


def read(place: str, profile: str) -> tuple[str, pd.DataFrame]:
    """The caption and the cells, as text, of the table ``place``: notebook and name, as in "05/table-2".

    Raises NegutilError, listing the tables that exist, where there is no such table.
    """
    number, slash, name = place.partition("/")
    if not slash:
        raise NegutilError(f"{place} is not a table: write notebook and name, as in 05/table-2.")
    tables: dict[str, Tag] = {}
    for chapter in chapters.choose(chapters.find(), number):
        for cell in chapters.read(_executed(chapter.path, profile)).cells:
            for output in cell.get("outputs", []):
                html = output.get("data", {}).get("text/html", "")
                found = BeautifulSoup(html, "html.parser").find_all("table", id=True)
                tables |= {str(table["id"]).removeprefix("T_"): table for table in found}
    if name not in tables:
        raise no_such("table", name, tables, f" in notebook {number}")
    rows = [[cell.get_text("; ") for cell in row.find_all(["th", "td"])] for row in tables[name].find_all("tr")]
    caption = tables[name].find("caption")
    return caption.get_text() if caption else "", pd.DataFrame(rows[1:], columns=rows[0])


def markdown(frame: pd.DataFrame) -> str:
    """The table in GitHub's Markdown."""
    cells: list[Iterable[object]] = [list(frame), ["---"] * frame.shape[1], *frame.itertuples(index=False)]
    lines = [" | ".join(str(cell).replace("|", r"\|") for cell in line) for line in cells]
    return "\n".join(f"| {line} |" for line in lines)


def _executed(notebook: Path, profile: str) -> Path:
    """The notebook as that profile executed it: the committed one for mini, which has no copy in results/."""
    own = paths.results(profile) / "notebooks" / notebook.name
    if not own.exists() and profile != "mini":
        raise NegutilError(f"{own} is missing: ./run_all.sh --profile {profile} --only {notebook.stem[:2]} writes it.")
    return own if own.exists() else notebook
