"""Your own images, each with a caption that is true of it and one that is false: a CSV file of three columns.

Unlike the loaders of published files this one leaves no line out: its author can fix it, so the first invalid line is
an error.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading

NAMES = {
    "image": ("image", "image path", "image file", "file", "file name", "filename", "filepath", "path", "picture"),
    "true": ("true", "caption", "true caption", "caption true", "positive", "correct", "right"),
    "false": ("false", "foil", "false caption", "caption false", "negative", "incorrect", "wrong"),
}
"""What a column may be called, in any case, with spaces, hyphens or underscores."""

FEATURES = _reading.features("file_name, true, false, line: int")


@dataclass(frozen=True, slots=True)
class OwnRows:
    """Rows of a table that somebody wrote by hand: the cells of each role, stripped, and the line of each row."""

    cells: dict[str, list[str]]
    lines: list[int]


def load(file: Path | str, pictures: Path | str | None = None) -> Dataset:
    """Images with a true and a false caption each.

    Columns: image (its path, with slashes or backslashes, counts from the folder ``pictures``, without it from that of
    the file), file_name (as written), true, false, line (of the file, from 1). An image may be in several lines;
    columns of other names than NAMES are ignored. Raises NegutilError, naming the line, for an empty cell, two equal
    captions, an image that is missing, and a line with too many or too few fields; and for a column that is missing
    or there twice.
    """
    rows = own_rows(file, NAMES)
    for line, true, false in zip(rows.lines, rows.cells["true"], rows.cells["false"], strict=True):
        if true == false:
            _reading.fail(file, f"line {line}: both captions are the same", "correct one, or remove that line")
    found: dict[str, list[Any]] = {"image": own_images(file, rows, pictures), "file_name": rows.cells["image"]}
    captions = {role: rows.cells[role] for role in ("true", "false")}
    return _reading.build(file, FEATURES, found | {"line": rows.lines} | captions)


def own_rows(file: Path | str, names: Mapping[str, Sequence[str]], optional: Collection[str] = ()) -> OwnRows:
    """The rows of a CSV file by role; ``names`` has what the column of each role may be called.

    A role that is ``optional`` may have no column. Raises NegutilError for a column that is missing or there twice,
    and, naming the lines, for rows with too many or too few fields or with an empty cell.
    """
    rows = _reading.read_csv(file)
    columns = {}
    for role, spellings in names.items():
        called = [name for name in rows.columns if re.sub(r"[\s_-]+", " ", name).strip().lower() in spellings]
        if not called and role in optional:
            continue
        if len(called) != 1:
            several = f"there are several columns for '{role}': {', '.join(called)}"
            problem = several if called else f"no column is '{role}'"
            fix = f"call one column {' or '.join(spellings[:3])}"
            _reading.fail(file, f"{problem} (columns: {', '.join(rows.columns)})", fix)
        columns[role] = [cell.strip() for cell in rows.columns[called[0]]]
    if rows.left_out:
        fix = "fix that line; a caption with a comma needs quotation marks around it"
        _reading.fail(file, f"{rows.left_out[0]}{_more(rows.left_out[1:])}", fix)
    for role, cells in columns.items():
        empty = [f"line {line}" for line, cell in zip(rows.lines, cells, strict=True) if not cell]
        if empty:
            problem = f"{empty[0]}: the cell of '{role}' is empty{_more(empty[1:])}"
            _reading.fail(file, problem, "fill it, or remove that line")
    return OwnRows(columns, rows.lines)


def _more(others: Sequence[str]) -> str:
    """Which other lines have such a problem, of many the first five: " (also lines 4, 7)"."""
    numbers = [other.removeprefix("line ").partition(":")[0] for other in others]
    shown = ", ".join(numbers[:5]) + (f", ..., {len(numbers)} in all" if len(numbers) > 5 else "")
    return f" (also line{'s' if len(numbers) > 1 else ''} {shown})" if numbers else ""


def own_images(file: Path | str, rows: OwnRows, folder: Path | str | None) -> list[str | None]:
    """The path of each row's image, which counts from ``folder`` (None: that of the file) unless it is absolute.

    An image that is not there is None where ``_reading.missing_pictures`` drops. Raises NegutilError, naming the line,
    where it does not, and where none is there.
    """
    folder, names = Path(folder or Path(file).expanduser().parent), rows.cells["image"]
    inside = _reading.require_folder(folder).resolve()
    paths = {name: inside / Path(name.replace("\\", "/")).expanduser() for name in set(names)}
    there = {name: str(path) if path.is_file() else None for name, path in paths.items()}
    lost = [(line, name) for line, name in zip(rows.lines, names, strict=True) if there[name] is None]
    if lost and (len(lost) == len(names) or not _reading.drops()):
        count = f"the same in {len(lost)} of {len(names)} lines"
        problem = f"line {lost[0][0]}: the image {lost[0][1]} is not in {folder} ({count})"
        fix = "correct the path, give the folder of the images (--images), or leave such rows out (--partial)"
        _reading.fail(file, problem, fix)
    return [there[name] for name in names]
