"""Captions on disk, whatever they are kept in, as one lazy column of texts.

Parquet, CSV (commas, double quotes), TSV (tabs, no quoting), and plain text with one caption per line; the last three
also compressed (.gz, .zst).  Nothing is read here beyond the schema: polars streams the column when it is counted.
"""

import contextlib
import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from negutil import files
from negutil.errors import NegutilError

USUAL_COLUMNS = ("text", "caption", "captions", "alt_text", "alt", "alttext", "sentence", "description", "title")
"""Names under which published sets keep their captions, the likeliest first; case does not matter."""

PACKINGS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How gzip and zstd begin, under whatever name."""

TABLES = (".csv", ".tsv")
ENDINGS = {".parquet": (".parquet",)} | {kind: (kind, f"{kind}.gz", f"{kind}.zst") for kind in (*TABLES, ".txt")}
"""Formats and the endings of their files."""


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The files that the paths name: files as they are, folders with all that is below them, glob patterns.

    A folder is read as the first of parquet, tables and plain text that it holds, so that a README.txt beside shards is
    not counted. Each file comes once, in the order given, sorted within a folder or pattern. Raises NegutilError where
    a path leads to nothing that can be read.
    """
    chosen: list[Path] = []
    for path in paths:
        given = Path(path).expanduser()
        if given.is_dir():
            below = sorted(file for file in given.rglob("*") if file.is_file())
            groups = ((".parquet",), TABLES, (".txt",))
            endings = [tuple(ending for kind in group for ending in ENDINGS[kind]) for group in groups]
            pools = ([file for file in below if file.name.lower().endswith(names)] for names in endings)
            matches = next(filter(None, pools), [])
            if not matches:
                problem = f"{given} holds no .parquet, .csv, .tsv or .txt file"
                raise NegutilError(f"{problem}: name the folder with the captions.")
        else:
            names = [given] if given.is_file() else glob.glob(str(given), recursive=True)  # noqa: PTH207 (absolute)
            matches = sorted(match for match in map(Path, names) if match.is_file())
            if not matches:
                problem = f"{path} is neither a file, a folder, nor a pattern that matches a file"
                raise NegutilError(f"{problem}: check the path.")
            for match in matches:
                kind_of(match)
        chosen += matches
    files.check_names(chosen)
    return list(dict.fromkeys(chosen))


def scan(path: Path, column: str | None = None) -> pl.LazyFrame:
    """A lazy frame with one column, the captions in the file (String, may be null), under its own name.

    ``column`` names it; None takes the only column, or the first of USUAL_COLUMNS.  In a CSV or TSV file a number n
    means the nth column of a file without a header line.  Raises NegutilError where the file cannot be read, or the
    column is missing or does not hold text.
    """
    kind = kind_of(path)
    # A number of a column in a table without a header line.
    position = int(column) if kind in TABLES and column is not None and column.isdecimal() else None
    with reading(path):
        with path.open("rb") as stream:
            head = stream.read(4096)
        if not head:
            raise NegutilError(f"{path} is empty (0 bytes): remove it or fetch it again.")
        # At UTF-16 polars panics or guesses.
        if kind != ".parquet" and b"\0" in head and not head.startswith(PACKINGS):
            raise NegutilError(f"{path} is not UTF-8 text (it has zero bytes, as UTF-16 does): save it as UTF-8.")
        if kind == ".txt":
            frame = pl.scan_lines(path, name="text", glob=False)
        elif kind == ".parquet":
            frame = pl.scan_parquet(path, glob=False)
        else:
            quoting: dict[str, Any] = {} if kind == ".csv" else {"separator": "\t", "quote_char": None}
            frame = pl.scan_csv(path, has_header=position is None, infer_schema=False, glob=False, **quoting)
        schema = frame.collect_schema()
    if kind == ".txt":
        return frame
    chosen = _choose(path, schema.names(), column, position)
    if schema[chosen] not in (pl.String, pl.Categorical, pl.Null):
        raise NegutilError(f"{path}: the column {chosen!r} holds {schema[chosen]}, not text: name another --column.")
    # A table is read whole: of a single column polars would not notice that some lines have too many fields.
    value = pl.struct(pl.all()).struct.field(chosen) if kind in TABLES else pl.col(chosen)
    # No new name: in polars 2.1 a renamed parquet column makes the reader run far ahead, into twice the memory.
    return frame.select(value.cast(pl.String))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what polars has to say against the file, in this block, into one sentence (NegutilError)."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
        kind = kind_of(path).lstrip(".").replace("txt", "UTF-8 text")
        raise NegutilError(f"{path} cannot be read as {kind} ({reason}): fix it or fetch it again.") from problem


def kind_of(path: Path) -> str:
    """The format by the file's name (".parquet", ".csv", ".tsv", ".txt"); raises NegutilError for any other name."""
    for kind, endings in ENDINGS.items():
        if path.name.lower().endswith(endings):
            return kind
    known = ", ".join(ENDINGS)
    raise NegutilError(f"{path} has none of the endings {known} (or .gz, .zst after the last three): rename it.")


def _choose(path: Path, names: Sequence[str], column: str | None, position: int | None) -> str:
    if position is not None:
        if 1 <= position <= len(names):
            return names[position - 1]
        raise NegutilError(f"{path} has no column {column}: choose one of 1 to {len(names)}.")
    if column is not None:
        if column in names:
            return column
        raise NegutilError(f"{path} has no column {column!r}: choose one of {', '.join(names)}.")
    lowered = {name.lower(): name for name in reversed(names)}
    usual = names[:1] if len(names) == 1 else [lowered[name] for name in USUAL_COLUMNS if name in lowered]
    if not usual:
        problem = f"{path} has no column with a usual name for captions"
        raise NegutilError(f"{problem}: pass --column, one of {', '.join(names)}.")
    return usual[0]
