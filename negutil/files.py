"""Reading settings and tables, hashing, and writing: a file is either whole under its name or not there at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from negutil.errors import NegutilError

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")
UNKNOWN = "unexpected_keyword_argument"
"""What pydantic calls a setting without a field."""


class Settings:
    """Base of the dataclasses that ``checked`` makes of tables: a setting without a field is an error."""

    __slots__ = ()
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by way of a temporary file in the same folder, which a failure leaves nothing of.

    Raises NegutilError if it cannot be written (full disk, no permission, ...).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise NegutilError(f"{path} could not be written ({reason}): free some space or fix the folder.") from problem
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of ``write_bytes`` that killed processes left in ``folder``, where nobody writes now."""
    for leftover in folder.glob(".*.part"):
        leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8 with the same guarantee as ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of the TOML file ``path``; raises NegutilError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise _unreadable(path, "TOML", problem, "fix or restore it") from problem


def checked(kind: type[Kind], table: Any, where: str) -> Kind:
    """The dataclass ``kind`` from a ``table`` of TOML or JSON: every value of its very type, lists where tuples are.

    Raises NegutilError that begins with ``where`` and names the first setting that is wrong, and the fix.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        # As JSON, because pydantic's strict mode takes a list for a tuple there alone.
        made: Kind = TypeAdapter(kind).validate_json(json.dumps(table, default=str), strict=True)
        return made
    except ValidationError as problem:
        # A misspelt setting is unknown, and so the right one is missing: the former is what to correct.
        first = min(problem.errors(), key=lambda error: error["type"] != UNKNOWN)
        *inside, key = first["loc"] or ("",)
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in inside).lstrip(".")
        if first["type"] in ("missing", UNKNOWN):
            fix = "is unknown: correct or remove it" if first["type"] == UNKNOWN else "is missing: add it"
            known = ", ".join(_settings_of(kind, inside))
            told = f"the setting {key!r}{f' of {place}' if place else ''} {fix} (known here: {known or 'its values'})"
        else:
            expected = first["msg"].replace("Input", "it").replace("array", "list")
            told = f"{place}{'.' if place else ''}{key} is {first['input']!r}: {expected}"
        raise NegutilError(f"{where}: {told}.") from problem


def _settings_of(kind: Any, inside: list[int | str]) -> list[str]:
    """The settings of the table that lies at ``inside`` of a table of the dataclass ``kind``."""
    for step in inside:
        if isinstance(step, str):
            hint = get_type_hints(kind)[step]
            kind = next(iter(get_args(hint)), hint)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def read_json(path: Path, fix: str = "restore it") -> Any:
    """The content of the JSON file ``path``; raises NegutilError, which ends in ``fix``, where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise _unreadable(path, "JSON", problem, fix) from problem


def read_csv(path: Path, fix: str = "restore it", **options: Any) -> pd.DataFrame:
    """The CSV file ``path``, read by pandas with ``options``; raises NegutilError, which ends in ``fix``.

    Files that this project wrote or ships are read by it; what users bring has readers of its own in ``negutil.data``.
    """
    return _read_frame("CSV", path, fix, options)


def read_parquet(path: Path, fix: str = "restore it", **options: Any) -> pd.DataFrame:
    """The parquet file ``path``, read by pandas with ``options``; raises NegutilError, which ends in ``fix``."""
    return _read_frame("parquet", path, fix, options)


def _read_frame(kind: str, path: Path, fix: str, options: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd  # here, so that `negutil --help` does not wait for it

    try:
        return (pd.read_csv if kind == "CSV" else pd.read_parquet)(path, **options)
    except (OSError, ValueError) as problem:  # a ParserError and an ArrowInvalid are ValueErrors
        raise _unreadable(path, kind, problem, fix) from problem


def _unreadable(path: Path, kind: str, problem: Exception, fix: str) -> NegutilError:
    """The one sentence for a file that is missing, not to be read, or not of its ``kind``."""
    first = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
    reason = getattr(problem, "strerror", None) or first.rstrip(".")
    return NegutilError(f"{path} cannot be read as {kind} ({reason}): {fix}.")


def check_names(paths: Iterable[Path | str]) -> None:
    """Raise NegutilError for the first of ``paths`` that is not UTF-8, as tables and JSON are.

    Python has surrogates instead of bytes of a file name that are not UTF-8.
    """
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError as problem:
            raise NegutilError(f"{str(path)!r} has a name that is not UTF-8: rename that file or folder.") from problem


def text_sha256(text: str) -> str:
    """Hex sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes; raises NegutilError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as problem:
        raise NegutilError(f"{path} cannot be read ({problem.strerror}): restore it.") from problem
