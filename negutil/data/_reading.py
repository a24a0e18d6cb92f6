"""Reading and checking that every format module shares.

A loader reads its files with `json_columns` or `read_csv`, checks columns with `unique` and `known`, and hands plain
lists to `build`, which finds the images and makes the `datasets.Dataset`. Whatever is wrong is raised as
`negutil.errors.NegutilError` in one sentence: the file, the place in it, and the fix.
"""

import ast
import csv
import gzip
import io
import itertools
import json
import re
import tempfile
import tokenize
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, Image, List, Value

from negutil import files, paths
from negutil.config import Missing
from negutil.errors import NegutilError

Kinds = type | tuple[type, ...]

IN_MEMORY_BYTES = 64 * 2**20
"""Tables above this size are written to the cache folder as Arrow and memory-mapped; smaller ones stay in memory."""

NUMBER = (int, float)
STRING, INTEGER, REAL, FLAG = Value("string"), Value("int64"), Value("float64"), Value("bool")
_TYPES: dict[str, Any] = {"str": STRING, "int": INTEGER, "float": REAL, "bool": FLAG, "int8": Value("int8")}
_GZIP_MAGIC = b"\x1f\x8b"
ADD_OR_DROP = 'add them, or leave their rows out (missing = "drop" in the profile)'
_FETCH_AGAIN = "download the file again"
_PERMISSIONS = "check its permissions and the disk"
_SIDE_BY_SIDE = re.compile(r"""['"]\s+['"]""")
_NOT_CONVERTIBLE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)


@dataclass(frozen=True, slots=True)
class Report:
    """What a loader found in its files, beside the rows it returned.

    `rows` are the rows of the dataset; `left_out` has one line for every malformed row that was kept out, with its line
    number; `missing_pictures` counts rows kept out because `first_missing` and others are not on disk; `counts` holds
    whatever else the format has to tell.
    """

    source: str
    rows: int
    left_out: tuple[str, ...] = ()
    missing_pictures: int = 0
    first_missing: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


_missing: ContextVar[Missing] = ContextVar("missing", default="stop")
_reports: ContextVar[list[Report] | None] = ContextVar("reports", default=None)


@contextmanager
def missing_pictures(rule: Missing) -> Iterator[list[Report]]:
    """While it is entered, every loader does this about images that are not on disk (else: "stop").

    Gives the reports of all that loaders read in the meantime with images or clips, in that order.
    """
    reports: list[Report] = []
    before = _missing.set(rule), _reports.set(reports)
    try:
        yield reports
    finally:
        _missing.reset(before[0])
        _reports.reset(before[1])


def drops() -> bool:
    """Whether `missing_pictures` says that rows without their images are left out."""
    return _missing.get() == "drop"


def report(dataset: Dataset) -> Report:
    """The report that a loader of this package left in `dataset.info.description` (as JSON)."""
    try:
        stored = json.loads(dataset.info.description)
        return Report(**{**stored, "left_out": tuple(stored["left_out"])})
    except (TypeError, KeyError, ValueError) as error:
        fail("this dataset", "it carries no reading report", "load it with a module of negutil.data", error)


def fail(source: object, problem: str, fix: str, cause: BaseException | None = None) -> NoReturn:
    """Raise `NegutilError` with one sentence: the source, the problem, the fix."""
    raise NegutilError(f"{source}: {problem}; {fix}.") from cause


def require_file(path: Path | str, fix: str = "check the path or download the file") -> Path:
    """The path of a file that exists and is not empty."""
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            fail(path, "a file is needed and this is a folder", fix)
        if not path.is_file():
            fail(path, "there is no such file", fix)
        if path.stat().st_size == 0:
            fail(path, "the file is empty", _FETCH_AGAIN)
    except OSError as error:
        fail(path, f"the file cannot be read ({error.strerror})", _PERMISSIONS, error)
    return path


def require_folder(path: Path | str, fix: str = "check the path or unpack the dataset there") -> Path:
    """The path of a folder that exists."""
    path = Path(path).expanduser()
    try:
        if not path.is_dir():
            fail(path, "there is no such folder", fix)
    except OSError as error:
        fail(path, f"the folder cannot be read ({error.strerror})", _PERMISSIONS, error)
    return path


def read_text(path: Path | str) -> str:
    """The UTF-8 text of a file, gunzipped where its first two bytes say so (whatever the file is called)."""
    path = require_file(path)
    try:
        raw = path.read_bytes()
        plain = gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw
        return plain.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        fail(path, "the gzip data is cut short or damaged", _FETCH_AGAIN, error)
    except UnicodeDecodeError as error:
        fail(path, f"byte {error.start} is not UTF-8 text", "save the file as UTF-8", error)
    except OSError as error:
        fail(path, f"the file cannot be read ({error.strerror})", _PERMISSIONS, error)


def read_json(path: Path | str) -> Any:
    """The content of a JSON file, plain or gzip-compressed."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        fail(path, f"the JSON breaks off or is damaged at line {error.lineno} ({error.msg})", _FETCH_AGAIN, error)
    except RecursionError as error:
        fail(path, "the JSON is nested too deeply", _FETCH_AGAIN, error)
    except ValueError as error:
        fail(path, "the JSON has a number of thousands of digits", _FETCH_AGAIN, error)


def section(content: Any, key: str, source: object, kind: type = list) -> Any:
    """`content[key]`, of the wanted kind and not empty."""
    if not isinstance(content, dict) or key not in content:
        fail(source, f'there is no "{key}" at the top level', "check that this is the file that you mean")
    return filled(content[key], f'{source}, "{key}"', kind)


def filled(content: Any, source: object, kind: type = list) -> Any:
    """`content`, of the wanted kind (list or dict) and not empty."""
    if not isinstance(content, kind):
        fail(source, f"a {kind.__name__} is needed and this is a {type(content).__name__}", _FETCH_AGAIN)
    if not content:
        fail(source, "it has no entries", "check that this is the file that you mean")
    return content


def fields(
    records: Sequence[Any], wanted: Mapping[str, Kinds], source: object, optional: Mapping[str, Kinds] | None = None
) -> dict[str, list[Any]]:
    """Columns of a list of JSON objects: one list for every wanted key, each value of the wanted type.

    An optional key that a record lacks, or has as null, becomes None. bool never passes for int.
    """
    columns: dict[str, list[Any]] = {}
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            fail(source, f"entry {index} is a {type(record).__name__}, not an object", "fix or remove that entry")
        if absent := next((key for key in wanted if key not in record), None):
            fail(source, f'entry {index} has no "{absent}"', "fix that entry or download the file again")
    for key, kinds in {**wanted, **(optional or {})}.items():
        allowed = {*(kinds if isinstance(kinds, tuple) else (kinds,)), *([] if key in wanted else [type(None)])}
        columns[key] = [record.get(key) for record in records]
        if not set(map(type, columns[key])) <= allowed:
            index = next(i for i, value in enumerate(columns[key]) if type(value) not in allowed)
            names = " or ".join(sorted(kind.__name__ for kind in allowed if kind is not type(None)))
            kind = type(columns[key][index]).__name__
            fail(source, f'entry {index} has "{key}" of type {kind}, but {names} is needed', "fix that entry")
    return columns


def json_columns(
    path: Path | str,
    wanted: Mapping[str, Kinds],
    optional: Mapping[str, Kinds] | None = None,
    *,
    key: str = "",
    different: str = "",
    content: Any = None,
) -> dict[str, list[Any]]:
    """The `fields` of the objects that a JSON file lists, at its top or under `key`; values of `different` occur once.

    `content` is what the file holds, where it was read before.
    """
    content = read_json(path) if content is None else content
    where = f'{path}, "{key}"' if key else path
    columns = fields(section(content, key, path) if key else filled(content, path), wanted, where, optional)
    if different:
        unique(columns[different], different, where)
    return columns


def features(columns: str) -> dict[str, Any]:
    """The `datasets` types of columns written as in "name, boxes: [[float]], width: int"; a plain name is a text."""
    typed: dict[str, Any] = {}
    for name, _, kind in (column.partition(":") for column in columns.split(",")):
        bare = kind.strip() or "str"
        typed[name.strip()] = _TYPES[bare.strip("[]")]
        for _ in range(bare.count("[")):
            typed[name.strip()] = List(typed[name.strip()])
    return typed


def take(columns: Mapping[str, Sequence[Any]], rows: Iterable[int]) -> dict[str, list[Any]]:
    """The columns with these rows alone."""
    chosen = list(rows)
    return {name: [values[row] for row in chosen] for name, values in columns.items()}


def of_split(columns: dict[str, list[Any]], split: str | None, source: object) -> dict[str, list[Any]]:
    """The rows with this value in "split"; all of them for None. Raises where there are none."""
    if split is None:
        return columns
    if split not in columns["split"]:
        known_splits = ", ".join(sorted(set(columns["split"])))
        fail(source, f"there is no split {split!r}", f"ask for one of {known_splits}")
    return take(columns, (row for row, name in enumerate(columns["split"]) if name == split))


def unique(values: Sequence[Any], name: str, source: object) -> None:
    """Raise unless every value occurs once."""
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if value in seen:
            fail(source, f"entry {index} repeats the {name} {value!r}", "remove or renumber the duplicate")
        seen.add(value)


def known(values: Iterable[Any], allowed: Iterable[Any], name: str, source: object) -> None:
    """Raise unless every value is among the allowed ones (a reference that leads nowhere)."""
    allowed = set(allowed)
    lost = [(index, value) for index, value in enumerate(values) if value not in allowed]
    if lost:
        index, value = lost[0]
        problem = f"{len(lost)} entries refer to an unknown {name}, the first is entry {index} with {value!r}"
        fail(source, problem, "use files that belong together, or remove these entries")


def check_boxes(boxes: Sequence[Any], name: str, source: object) -> None:
    """Raise unless every box is a list of four finite numbers (x, y, width, height in pixels, no size below 0)."""
    for index, box in enumerate(boxes):
        good = isinstance(box, list) and len(box) == 4 and all(type(side) in NUMBER and isfinite(side) for side in box)
        if not good or box[2] < 0 or box[3] < 0:
            fail(source, f'entry {index} has "{name}" {box!r} instead of four numbers', "fix that entry")


@dataclass(frozen=True, slots=True)
class CsvRows:
    """Well-formed rows of a CSV file by column; `lines` has the 1-based line on which each row starts."""

    source: Path
    header: tuple[str, ...]
    lines: list[int]
    columns: dict[str, list[str]]
    left_out: tuple[str, ...]

    def keep(self, problem_of: Callable[[dict[str, str]], str | None]) -> "CsvRows":
        """The rows in which `problem_of` finds nothing; the others are listed in `left_out` with their line."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]
        problems = [problem_of(row) for row in rows]
        good = [i for i, problem in enumerate(problems) if problem is None]
        bad = [f"line {line}: {why}" for line, why in zip(self.lines, problems, strict=True) if why is not None]
        if not good:
            fail(self.source, f"no row can be used, the first problem is {bad[0]!r}", "fix the file")
        lines, left_out = [self.lines[i] for i in good], (*self.left_out, *bad)
        return CsvRows(self.source, self.header, lines, take(self.columns, good), left_out)


def read_csv(path: Path | str, required: Sequence[str] = ()) -> CsvRows:
    """Read a comma-separated file; `required` columns must be there.

    Rows with too many or too few fields are kept out and listed by line in `left_out`. Columns without a name (the
    trailing commas that spreadsheets leave) are not returned, but a row with text in them counts as malformed; a first
    one with numbers is the index that pandas writes.
    """
    path = require_file(path)
    numbered = _numbered_rows(path)
    _, names = next(numbered, (1, ""))
    if not isinstance(names, list) or not any(name.strip() for name in names):
        fail(path, "the first line has no column names", _FETCH_AGAIN)
    missing = [name for name in required if name not in names]
    if missing:
        fail(path, f"no column {missing[0]!r} among {names}", "check that this is the file that you mean")
    unique([name for name in names if name.strip()], "column name", path)
    lines, rows, left_out = [], [], []
    for line, row in numbered:
        if isinstance(row, str):
            left_out.append(f"line {line}: {row}")
        elif row and len(row) != len(names):
            left_out.append(f"line {line}: {len(row)} fields instead of {len(names)}")
        elif any(
            value.strip() and (place or not value.isdecimal())
            for place, (name, value) in enumerate(zip(names, row, strict=False))
            if not name.strip()
        ):
            left_out.append(f"line {line}: text in a column that has no name")
        elif row:
            lines.append(line)
            rows.append(row)
    if not rows:
        fail(path, "there are no usable rows below the header", left_out[0] if left_out else _FETCH_AGAIN)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names) if name.strip()}
    return CsvRows(path, tuple(names), lines, columns, tuple(left_out))


def _numbered_rows(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """The line on which each row starts, and the row or what is wrong with it."""
    csv.field_size_limit(2**31 - 1)  # some captions files have longer fields than the module's 131,072 characters
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row: list[str] | str | None = next(reader, None)
        except csv.Error as error:
            if "end of data" in str(error):
                # An open quotation swallows the rest of the file: that is no single bad row.
                fix = "close the quotation there, or download the file again"
                fail(path, f"the quotation that opens in the row of line {line} never ends", fix, error)
            for lost in range(line, reader.line_num):  # what the open quotation swallowed
                yield lost, f"a quotation that opens in the row of line {line} swallows the next line"
            line, row = reader.line_num, f"broken quotation ({error})"
        if row is None:
            return
        yield line, row


def string_list(text: str) -> list[str] | None:
    """The strings of a Python list literal such as "['dog', 'sofa']", or None if it is something else.

    A list as NumPy prints it, "['dog' 'sofa']", is something else: Python would join the two.
    """
    try:
        if _SIDE_BY_SIDE.search(text) and _has_joined_strings(text.strip()):
            return None
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _has_joined_strings(text: str) -> bool:
    """Whether two string literals stand side by side; raises SyntaxError if this is no Python."""
    try:
        kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    except tokenize.TokenError as problem:
        raise SyntaxError(str(problem)) from problem
    kinds = [kind for kind in kinds if kind != tokenize.NL]
    return any(pair == (tokenize.STRING, tokenize.STRING) for pair in itertools.pairwise(kinds))


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in Path(folder).iterdir())
    except OSError:  # not there, no folder, or not to be read: nothing is found in it
        return frozenset()


def find_files(names: Sequence[str], folder: Path | str, source: object) -> list[str | None]:
    """Full path of every named file under `folder`; None for what is missing (only where `missing_pictures` drops).

    A name may carry folders of its author's machine ("/home/a/data/coco/val2017/1.jpg"): the longest tail of it that
    exists under `folder` is taken, so equal file names in different folders stay apart. Raises NegutilError if
    nothing is there, and without "drop" where something is not.
    """
    folder = require_folder(folder).resolve()
    inside: dict[str, frozenset[str]] = {}  # names of the files in a folder
    paths: list[str | None] = []
    for name in names:
        # Plain strings: with pathlib this loop takes most of the time of loading 200,000 images.
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        parts = parts[-1:] if ".." in parts else parts
        paths.append(None)
        for start in range(len(parts)):
            parent = "/".join((folder.as_posix(), *parts[start:-1]))
            if parent not in inside:
                inside[parent] = _names_in(parent)
            if parts[-1] in inside[parent]:
                paths[-1] = f"{parent}/{parts[-1]}"
                break
    lost = paths.count(None)
    if lost and (lost == len(paths) or not drops()):
        first = names[paths.index(None)]
        problem = f"{lost} of {len(paths)} images or clips are not in {folder}, the first is {first!r}"
        fail(source, problem, "add them" if lost == len(paths) else ADD_OR_DROP)
    return paths


def build(
    source: object,
    features: Mapping[str, Any],
    columns: Mapping[str, Sequence[Any]],
    *,
    pictures: Path | str | None = None,
    left_out: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
) -> Dataset:
    """A `Dataset` with the columns of `features` that are in `columns`.

    An "image" column comes first: where a folder of `pictures` is given, those that "file_name" names. Rows whose
    "image" or "video" is None are left out and counted. `source` names the files in errors and the report.
    """
    if pictures is not None:
        columns = {**columns, "image": find_files(columns["file_name"], pictures, source)}
    chosen = Features({"image": Image()} if "image" in columns else {})
    chosen.update({name: kind for name, kind in features.items() if name in columns})
    table = pa.table({name: _array(columns[name], name, chosen[name], source) for name in chosen})
    on_disk = next((columns[name] for name in ("image", "video") if name in columns), [])
    lost = [row for row, path in enumerate(on_disk) if path is None]
    if lost:
        table = table.filter(pa.array([path is not None for path in on_disk]))
    if not table.num_rows:
        fail(source, "there is nothing in it", "check the file and your split or filter")
    first = str(columns["file_name"][lost[0]]) if lost else ""
    told = Report(str(source), table.num_rows, tuple(left_out), len(lost), first, dict(counts or {}))
    if on_disk and (reports := _reports.get()) is not None:
        reports.append(told)
    info = DatasetInfo(description=json.dumps(asdict(told), ensure_ascii=False), features=chosen)
    table = table.cast(chosen.arrow_schema)
    if table.nbytes <= IN_MEMORY_BYTES:
        return Dataset(table, info=info)
    folder = paths.cache() / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as sink:
        written = Path(sink.name)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
    # Named after its content: a second load of the same data finds the same bytes, and a changed file never does.
    final = written.replace(folder / f"{files.sha256(written)[:32]}.arrow")
    return Dataset.from_file(str(final), info=info)


def _array(values: Sequence[Any], name: str, kind: Any, source: object) -> pa.Array:
    if isinstance(kind, Image):
        files.check_names(path for path in values if path is not None)
        return kind.cast_storage(pa.array(values, pa.string()))
    target = Features({name: kind}).arrow_schema.field(name).type
    try:
        return pa.array(values, target)
    except _NOT_CONVERTIBLE:
        for index, value in enumerate(values):
            try:
                pa.array([value], target)
            except _NOT_CONVERTIBLE as error:
                problem = f'entry {index} has a "{name}" that is no {target} ({value!r:.80})'
                fail(source, problem, "fix that entry", error)
        raise
