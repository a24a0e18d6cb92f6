"""Results: one record per number in tidy CSV files, and per-item scores in parquet.

``results/<profile>/<NN_name>/<name>.csv`` has one row per number, ``<name>.provenance.json`` records where the numbers
came from, and ``<name>.parquet`` has per-item scores, so that any test can be run later.  The bytes of a table depend
only on its numbers; provenance is rewritten only when they change, so a re-run with the same outcome changes no file.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import code, files, paths
from negutil.errors import NegutilError
from negutil.statistics import Interval


@dataclass(frozen=True, slots=True)
class Record:
    """One number, what it is, its interval, and the published number to compare it with.

    ``ci_over`` says what the 95 % interval covers: "items", "clusters" (images, prompts, ...), "seeds and items",
    "seeds and clusters", or "" if there is none.  ``seed`` is that of the trained model or the sample, if there is
    one.  ``paper_value`` is in the unit of ``value``; ``paper_source`` names table and paper.  ``provenance`` is
    filled in by ``save``.
    """

    experiment: str
    task: str
    model: str
    metric: str
    value: float
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    ci_over: str = ""
    seed: int | None = None
    paper_value: float | None = None
    paper_source: str = ""
    provenance: str = ""

    @classmethod
    def of(cls, interval: Interval, **columns: Any) -> Record:
        """A record whose value, n and interval are those of ``interval``; ``columns`` gives the others."""
        value, low, high = interval.value, interval.low, interval.high
        return cls(value=value, n=interval.n, ci_low=low, ci_high=high, ci_over=interval.over, **columns)


COLUMNS = tuple(field.name for field in dataclasses.fields(Record))
IDENTITY = ("experiment", "task", "model", "metric", "seed", "paper_source")


def save(records: Iterable[Record], profile: str, experiment_folder: str, name: str, **details: Any) -> Path:
    """Write the records as a tidy CSV file and return its path; ``details`` go into its provenance.

    Raises NegutilError on no records, on two records for the same number, and on an interval without its value.
    """
    return write(records, paths.results(profile) / experiment_folder / f"{name}.csv", profile=profile, **details)


def write(records: Iterable[Record], path: Path, **details: Any) -> Path:
    """Write the records as the tidy CSV file ``path``, anywhere, as ``save`` does; ``details`` go into its provenance.

    Raises NegutilError as ``save`` does.
    """
    note = path.with_suffix(".provenance.json")
    frame = _frame([dataclasses.replace(record, provenance=note.name) for record in records], path)
    data = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    digest = hashlib.sha256(data).hexdigest()
    try:
        is_noted = json.loads(note.read_text(encoding="utf-8"))["table_sha256"] == digest
    except (OSError, ValueError, TypeError, KeyError):
        is_noted = False
    if not (is_noted and path.exists() and path.read_bytes() == data):
        facts = {**code.provenance(**details), "table_sha256": digest}
        files.write_text(note, json.dumps(facts, indent=1, sort_keys=True, default=str) + "\n")
        files.write_bytes(path, data)
    return path


def save_items(items: pd.DataFrame, profile: str, experiment_folder: str, name: str) -> Path:
    """Write per-item scores as ``<name>.parquet`` (a row per item) and return its path."""
    path = paths.results(profile) / experiment_folder / f"{name}.parquet"
    if items.empty:
        raise NegutilError(f"{path}: there are no items to save: check what was evaluated.")
    buffer = io.BytesIO()
    items.to_parquet(buffer, index=False, compression="zstd")
    files.write_bytes(path, buffer.getvalue())
    return path


def load(profile: str, experiment_folder: str, name: str) -> pd.DataFrame:
    """The table that ``save`` wrote; raises NegutilError if it is missing or has other columns."""
    return read(paths.results(profile) / experiment_folder / f"{name}.csv")


def read(path: Path) -> pd.DataFrame:
    """The table of records in ``path``; raises NegutilError if it is missing or has other columns."""
    if not path.exists():
        raise NegutilError(f"{path} is missing: run the notebook that writes it.")
    return _parse(path, path.stat().st_mtime_ns).copy()


@functools.lru_cache(maxsize=128)
def _parse(path: Path, changed: int) -> pd.DataFrame:
    """A table, parsed once until its file changes: judging all claims reads each many times."""
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Record)}
    empty = {name: [""] for name, kind in kinds.items() if kind.startswith(("float", "int"))}
    frame = files.read_csv(path, "make it again", keep_default_na=False, na_values=empty)
    if tuple(frame.columns) != COLUMNS:
        raise NegutilError(f"{path} has the columns {list(frame.columns)} and not {list(COLUMNS)}: make it again.")
    return frame.astype({"seed": "Int64"})


def matching(rows: pd.DataFrame, **patterns: str) -> pd.Series:
    """Which of ``rows`` (bool [N]) have in every named column a text of its pattern, in which ``*`` is any text."""
    texts = zip(*(rows[name] for name in patterns), strict=True)
    fits = [all(map(fnmatch.fnmatchcase, row, patterns.values())) for row in texts]
    return pd.Series(fits, rows.index, dtype=bool)


def published_rows(name: str) -> list[dict[str, Any]]:
    """The rows of a file of configs/published: source, table, row, column, metric, value, unit."""
    content = files.read_csv(paths.CONFIGS / "published" / name).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in content]


def _frame(records: list[Record], path: Path) -> pd.DataFrame:
    if not records:
        raise NegutilError(f"{path}: there are no records to save: check what was evaluated.")
    for record in records:
        bounds, which = (record.ci_low, record.ci_high), f"{path}: {record.task}/{record.metric}"
        if any(number is not None and math.isinf(number) for number in (record.value, *bounds)):
            raise NegutilError(f"{which} is infinite: fix the metric.")
        if (None in bounds) != (not record.ci_over):
            raise NegutilError(f"{which} needs all of ci_low, ci_high, ci_over, or none.")
    frame = pd.DataFrame([dataclasses.asdict(record) for record in records], columns=list(COLUMNS))
    frame = frame.astype({"seed": "Int64", "n": "int64", "paper_value": "float64"})
    twice = frame[frame.duplicated(list(IDENTITY))]
    if not twice.empty:
        raise NegutilError(f"{path}: two records for {twice.iloc[0][list(IDENTITY)].tolist()}: give each its own name.")
    return frame.sort_values(list(IDENTITY), kind="stable", na_position="first")
