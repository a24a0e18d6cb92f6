"""Captions on disk, whatever they are kept in, as one lazy column of texts.

Parquet, CSV (commas, double quotes), TSV (tabs, no quoting), and plain text with one caption per line; the last three
also compressed (.gz, .zst).  Nothing is read here beyond the schema: polars streams the column when it is counted.
"""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from negutil import files
from negutil.errors import NegutilError

# Names under which published sets keep their captions, the likeliest first; case does not matter.
USUAL_COLUMNS = ("text", "caption", "captions", "alt_text", "alt", "alttext", "sentence", "description", "title")
PACKED = ("", ".gz", ".zst")
PACKINGS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # how gzip and zstd begin, under whatever name
HEAD = 4096  # bytes at the start of a file
TABLES = (".csv", ".tsv")
# A folder is read as the first of these kinds that it holds, so that a README.txt beside shards is not counted.
KINDS: tuple[tuple[str, ...], ...] = ((".parquet",), TABLES, (".txt",))


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The files that the paths name: files as they are, folders with all that is below them, glob patterns.

    Each file comes once, in the order given, sorted within a folder or pattern.  Raises NegutilError where a path
    leads to nothing that can be read.
    """
    found = [file for path in paths for file in _resolve(path)]
    files.check_names(found)
    return list(dict.fromkeys(found))


def scan(path: Path, column: str | None = None) -> pl.LazyFrame:
    """A lazy frame with one column, the captions in the file (String, may be null), under its own name.

    ``column`` names it; None takes the only column, or the first of USUAL_COLUMNS.  In a CSV or TSV file a number n
    means the nth column of a file without a header line.  Raises NegutilError where the file cannot be read, or the
    column is missing or does not hold text.
    """
    kind = kind_of(path)
    with reading(path):
        _check_bytes(path, kind)
        frame = _open(path, kind, column)
        schema = frame.collect_schema()
    if kind == ".txt":
        return frame
    chosen = _choose(path, schema.names(), column, _is_position(kind, column))
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


def _check_bytes(path: Path, kind: str) -> None:
    """Raise NegutilError for an empty file, and for text in UTF-16, at which polars panics or guesses."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        raise NegutilError(f"{path} is empty (0 bytes): remove it or fetch it again.")
    if kind != ".parquet" and b"\0" in head and not head.startswith(PACKINGS):
        raise NegutilError(f"{path} is not UTF-8 text (it has zero bytes, as UTF-16 does): save it as UTF-8.")


def kind_of(path: Path) -> str:
    """The format by the file's name (".parquet", ".csv", ".tsv", ".txt"); raises NegutilError for any other name."""
    name = path.name.lower()
    for kind in (kind for group in KINDS for kind in group):
        if name.endswith(tuple(kind + packing for packing in _packings(kind))):
            return kind
    known = ", ".join(kind for group in KINDS for kind in group)
    raise NegutilError(f"{path} has none of the endings {known} (or .gz, .zst after the last three): rename it.")


def _packings(kind: str) -> Sequence[str]:
    return PACKED if kind != ".parquet" else ("",)


def _resolve(path: str | Path) -> list[Path]:
    given = Path(path).expanduser()
    if given.is_dir():
        return _below(given)
    if given.is_file():
        kind_of(given)
        return [given]
    matches = sorted(Path(name) for name in glob.glob(str(given), recursive=True))  # noqa: PTH207 (absolute patterns)
    files = [match for match in matches if match.is_file()]
    if not files:
        raise NegutilError(f"{path} is neither a file, a folder, nor a pattern that matches a file: check the path.")
    for file in files:
        kind_of(file)
    return files


def _below(folder: Path) -> list[Path]:
    for kinds in KINDS:
        endings = tuple(kind + packing for kind in kinds for packing in _packings(kind))
        files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(endings) and path.is_file())
        if files:
            return files
    raise NegutilError(f"{folder} holds no .parquet, .csv, .tsv or .txt file: name the folder with the captions.")


def _open(path: Path, kind: str, column: str | None) -> pl.LazyFrame:
    if kind == ".parquet":
        return pl.scan_parquet(path, glob=False)
    if kind == ".txt":
        return pl.scan_lines(path, name="text", glob=False)
    return pl.scan_csv(
        path,
        separator="," if kind == ".csv" else "\t",
        quote_char='"' if kind == ".csv" else None,
        has_header=not _is_position(kind, column),
        infer_schema=False,
        glob=False,
    )


def _is_position(kind: str, column: str | None) -> bool:
    """Whether ``column`` is the number of a column in a table without a header line."""
    return kind in TABLES and column is not None and column.isdecimal()


def _choose(path: Path, names: Sequence[str], column: str | None, is_position: bool) -> str:
    if column is not None and is_position:
        if 1 <= int(column) <= len(names):
            return names[int(column) - 1]
        raise NegutilError(f"{path} has no column {column}: choose one of 1 to {len(names)}.")
    if column is not None:
        if column in names:
            return column
        raise NegutilError(f"{path} has no column {column!r}: choose one of {', '.join(names)}.")
    if len(names) == 1:
        return names[0]
    lowered = {name.lower(): name for name in reversed(names)}
    for usual in USUAL_COLUMNS:
        if usual in lowered:
            return lowered[usual]
    raise NegutilError(
        f"{path} has no column with a usual name for captions: pass --column, one of {', '.join(names)}."
    )
