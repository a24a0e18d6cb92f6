"""Your own images, each with a caption that is true of it and one that is false: a CSV file of three columns.

Unlike the loaders of published files this one leaves no line out: its author can fix it, so the first invalid line is
an error.
"""

import re
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


def load(file: Path | str, pictures: Path | str | None = None) -> Dataset:
    """Images with a true and a false caption each.

    Columns: image (its path, with slashes or backslashes, counts from the folder ``pictures``, without it from that of
    the file), file_name (as written), true, false, line (of the file, from 1). An image may be in several lines;
    columns of other names than NAMES are ignored. Raises NegutilError, naming the line, for an empty cell, two equal
    captions, an image that is missing, and a line with too many or too few fields; and for a column that is missing
    or there twice.
    """
    rows = _reading.read_csv(file)
    columns = {}
    for role, spellings in NAMES.items():
        called = [name for name in rows.columns if re.sub(r"[\s_-]+", " ", name).strip().lower() in spellings]
        if len(called) != 1:
            several = f"there are several columns for '{role}': {', '.join(called)}"
            problem = several if called else f"no column is '{role}'"
            fix = f"call one column {' or '.join(spellings[:3])}"
            _reading.fail(file, f"{problem} (columns: {', '.join(rows.columns)})", fix)
        columns[role] = rows.columns[called[0]]
    if rows.left_out:
        _reading.fail(file, rows.left_out[0], "fix that line; a caption with a comma needs quotation marks around it")
    for line, *cells in zip(rows.lines, *columns.values(), strict=True):
        empty = [role for role, text in zip(NAMES, cells, strict=True) if not text.strip()]
        if empty:
            _reading.fail(file, f"line {line}: the cell of '{empty[0]}' is empty", "fill it, or remove that line")
        if cells[1].strip() == cells[2].strip():
            _reading.fail(file, f"line {line}: both captions are the same", "correct one, or remove that line")
    columns = {role: [cell.strip() for cell in cells] for role, cells in columns.items()}
    folder, names = Path(pictures or Path(file).expanduser().parent), columns["image"]
    # An absolute path is taken as it is; None if there is no such file.
    inside = _reading.require_folder(folder).resolve()
    paths = {name: inside / Path(name.replace("\\", "/")).expanduser() for name in set(names)}
    there = {name: str(path) if path.is_file() else None for name, path in paths.items()}
    lost = [(line, name) for line, name in zip(rows.lines, names, strict=True) if there[name] is None]
    if lost and (len(lost) == len(names) or not _reading.drops()):
        count = f"the same in {len(lost)} of {len(names)} lines"
        problem = f"line {lost[0][0]}: the image {lost[0][1]} is not in {folder} ({count})"
        _reading.fail(file, problem, "correct the path, or give the folder of the images")
    filled: dict[str, list[Any]] = {"image": [there[name] for name in names], "file_name": names, "line": rows.lines}
    return _reading.build(file, FEATURES, filled | {role: columns[role] for role in ("true", "false")})
