"""Captions on disk, whatever they are kept in, as one lazy column of texts.

Parquet, CSV (commas, double quotes), TSV (tabs, no quoting), plain text with one caption per line and JSON lines, all
but the first also compressed (.gz, .zst), of which nothing is read here beyond the schema: polars streams the column
when it is counted. JSON in the layouts of COCO and TIFA, and tar files as webdataset keeps them, are read whole.
"""

import contextlib
import glob
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from negutil import files
from negutil.data._reading import string_list
from negutil.errors import NegutilError

USUAL_COLUMNS = ("text", "caption", "captions", "alt_text", "alt", "alttext", "sentence", "description", "title")
"""Names under which published sets keep their captions, the likeliest first; case does not matter."""

PACKINGS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How gzip and zstd begin, under whatever name."""

TABLES = (".csv", ".tsv")
LINES, JSON, TAR = ".jsonl", ".json", ".tar"
ENDINGS = {kind: (kind,) for kind in (".parquet", JSON, TAR)} | {
    kind: (kind, f"{kind}.gz", f"{kind}.zst") for kind in (*TABLES, ".txt", LINES)
}
"""Formats and the endings of their files."""

GROUPS = ((".parquet",), TABLES, (LINES,), (TAR,), (JSON,), (".txt",))
"""What counts as one kind of file within a folder."""

ABOUT = re.compile(r"(?i)(readme|licen[cs]e|notice|changelog|dataset_infos?|metadata|manifest)\b")
"""Names of files that say something about others in their folder."""

OTHER_SEPARATORS = {".csv": ";|\t", ".tsv": ";|,"}


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The files that the paths name: files as they are, folders with all that is below them, glob patterns.

    Files such as README.txt next to shards are not read. Each file comes once, in the order given, sorted within a
    folder or pattern. Raises NegutilError if a path leads to nothing that can be read, and where a folder holds
    captions in files of several kinds.
    """
    chosen: list[Path] = []
    for path in paths:
        given = Path(path).expanduser()
        if given.is_dir():
            below = sorted(file for file in given.rglob("*") if file.is_file())
            endings = [tuple(ending for kind in group for ending in ENDINGS[kind]) for group in GROUPS]
            pools = [[file for file in below if _is_of(file, names)] for names in endings]
            kinds = [pool for pool in pools if pool]
            if not kinds:
                problem = f"{given} holds no {', '.join(ENDINGS)} file"
                raise NegutilError(f"{problem}: name the folder with the captions.")
            if len(kinds) > 1:
                counts = ", ".join(f"{len(pool)} {kind_of(pool[0])}" for pool in kinds)
                fix = f'name the files that you mean, such as "{given}/**/*{kind_of(kinds[0][0])}"'
                raise NegutilError(f"{given} contains files of several kinds ({counts}): {fix}.")
            matches = kinds[0]
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


def _is_of(file: Path, endings: tuple[str, ...]) -> bool:
    hidden = file.name.startswith((".", "_")) or ABOUT.match(file.name)
    return file.name.lower().endswith(endings) and not hidden


def scan(path: Path, column: str | None = None) -> pl.LazyFrame:
    """A lazy frame with one column, the captions in the file (String, may be null), under its own name.

    ``column`` names it; None takes the only column, or the first of USUAL_COLUMNS.  In a CSV or TSV file a number n
    means the nth column of a file without a header line.  Raises NegutilError if the file cannot be read, or the
    column is missing or does not hold text.
    """
    kind = kind_of(path)
    # A number of a column in a table without a header line.
    position = int(column) if kind in TABLES and column is not None and column.isdecimal() else None
    with reading(path):
        with path.open("rb") as stream:
            head = stream.read(4096)
        if not head:
            raise NegutilError(f"{path} is empty (0 bytes): remove it or download it again.")
        # At UTF-16 polars panics or guesses.
        if kind not in (".parquet", TAR) and b"\0" in head and not head.startswith(PACKINGS):
            raise NegutilError(f"{path} is not UTF-8 text (it has zero bytes, as UTF-16 does): save it as UTF-8.")
        if kind in (JSON, TAR):
            return pl.LazyFrame({"text": _JSON_TEXTS[kind](path, column)}, schema={"text": pl.String})
        if kind == ".txt":
            frame = pl.scan_lines(path, name="text", glob=False)
        elif kind == LINES:
            frame = pl.scan_ndjson(path, infer_schema_length=None)
        elif kind == ".parquet":
            frame = pl.scan_parquet(path, glob=False)
        else:
            quoting: dict[str, Any] = {} if kind == ".csv" else {"separator": "\t", "quote_char": None}
            frame = pl.scan_csv(path, has_header=position is None, infer_schema=False, glob=False, **quoting)
        schema = frame.collect_schema()
    if kind == ".txt":
        return frame
    names = schema.names()
    if len(names) == 1 and (other := next((one for one in OTHER_SEPARATORS.get(kind, "") if one in names[0]), "")):
        wanted = "commas" if kind == ".csv" else "tabs"
        raise NegutilError(f"{path} seems to be separated by {other!r} ({names[0]}): save it with {wanted}.")
    chosen = _choose(path, names, column, position)
    if schema[chosen] == pl.List(pl.String):
        return frame.select(pl.col(chosen).explode())
    if schema[chosen] not in (pl.String, pl.Categorical, pl.Null) and not isinstance(schema[chosen], pl.Enum):
        raise NegutilError(f"{path}: the column {chosen!r} contains {schema[chosen]}, not text: name another --column.")
    # A table is read whole: of a single column polars would not notice that some lines have too many fields.
    value = pl.struct(pl.all()).struct.field(chosen) if kind in TABLES else pl.col(chosen)
    if kind in TABLES and _holds_lists(frame.select(value), path):
        return frame.select(value.map_elements(string_list, pl.List(pl.String)).explode())
    # No new name: in polars 2.1 a renamed parquet column makes the reader run far ahead, into twice the memory.
    return frame.select(value.cast(pl.String))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what polars has to say against the file, in this block, into one sentence (NegutilError)."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
        kind = kind_of(path).lstrip(".").replace("txt", "UTF-8 text")
        if line := _stray_quote(path):
            reason = f"in line {line} a field has a quotation mark inside and none around it"
        raise NegutilError(f"{path} cannot be read as {kind} ({reason}): fix it or download it again.") from problem


def _stray_quote(path: Path) -> int:
    """The first line of a CSV file with a quotation mark in the middle of a field; 0 if there is none."""
    if path.suffix.lower() != ".csv":
        return 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        return next((number for number, line in enumerate(lines, 1) if _STRAY_QUOTE.search(line)), 0)


_STRAY_QUOTE = re.compile(r'(?:^|,)[^",\n]+"')


def _holds_lists(captions: pl.LazyFrame, path: Path) -> bool:
    """Whether the first caption is a Python list of strings, as NegBench's retrieval files have them."""
    with reading(path):
        first = captions.head(1).collect().to_series().to_list()
    return bool(first) and isinstance(first[0], str) and first[0].startswith("[") and bool(string_list(first[0]))


def _of_json(path: Path, column: str | None) -> list[str | None]:
    """The captions of COCO's layout ({"annotations": [{"caption": ...}]}), or of a list or a mapping of records."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise NegutilError(f"{path} is not JSON ({problem}): download it again.") from problem
    rows = content.get("annotations", list(content.values())) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise NegutilError(f"{path} is neither a list of records nor in COCO's layout: give a file with captions.")
    chosen = _choose(path, list(dict.fromkeys(name for row in rows for name in row)), column, None)
    return [value if isinstance(value := row.get(chosen), str) else None for row in rows]


def _of_tar(path: Path, column: str | None) -> list[str | None]:
    """The captions of webdataset's samples: each .txt, or what each .json has under a usual name."""
    from negutil.data.unpack import tar_members  # brings the downloads' libraries

    found: dict[str, str | None] = {}
    for name, content in tar_members(path, (".txt", ".json")):
        sample = name.rpartition(".")[0]
        if name.endswith(".txt") and column is None:
            found[sample] = content.decode("utf-8", "replace").strip()
        elif name.endswith(".json") and found.get(sample) is None:
            record = json.loads(content)
            found[sample] = record.get(_choose(path, list(record), column, None))
    return list(found.values())


_JSON_TEXTS = {JSON: _of_json, TAR: _of_tar}


def kind_of(path: Path) -> str:
    """The format by the file's name (".parquet", ".csv", ".tsv", ".txt"); raises NegutilError for any other name."""
    for kind, endings in ENDINGS.items():
        if path.name.lower().endswith(endings):
            return kind
    known = ", ".join(ENDINGS)
    raise NegutilError(f"{path} has none of the endings {known} (or .gz, .zst after the last four): rename it.")


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
        hint = " (--column 1 where the first line is no header)" if kind_of(path) in TABLES else ""
        raise NegutilError(f"{problem}: pass --column, one of {', '.join(names)}{hint}.")
    return usual[0]
