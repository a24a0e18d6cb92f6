"""LAION-400M metadata: snappy parquet shards with a caption column (docs/protocols.md#web-captions).

`scan` streams any number of shards with polars and never holds them whole; `load` gives the same captions as a
`datasets.Dataset`, which is written to the cache folder as Arrow once and memory-mapped from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from datasets import Dataset, disable_progress_bars, enable_progress_bars
from datasets.utils import are_progress_bars_disabled

from negutil import paths
from negutil.data import _reading

CAPTION_COLUMNS = ("TEXT", "text", "Text", "caption", "CAPTION", "Caption")
"""Names of the caption column, by release; the first that a shard has is taken."""

_MEND = "fetch the shard again or remove it"


def shards(path: Path | str | Sequence[Path | str]) -> list[Path]:
    """The parquet files of a folder (sorted), or the named files themselves."""
    if not isinstance(path, (str, Path)):
        return [shard for part in _reading.filled(list(path), "the list of shards") for shard in shards(part)]
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [_reading.require_file(folder)]
    found = sorted(folder.glob("*.parquet"))
    if not found:
        _reading.fail(folder, "there is no *.parquet file in this folder", "check the path or fetch the shards")
    return found


def caption_column(shard: Path, column: str | None = None) -> str:
    """The name of the shard's caption column: `column`, or the first of CAPTION_COLUMNS that it has.

    Raises NegutilError for a damaged shard, no such column, and a column that is not text.
    """
    try:
        schema = pl.read_parquet_schema(shard)
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = f"the parquet file is cut short or damaged ({str(error).splitlines()[0]:.100})"
        _reading.fail(shard, problem, _MEND, error)
    wanted = CAPTION_COLUMNS if column is None else (column,)
    name = next((name for name in wanted if name in schema), None)
    if name is None:
        problem = f"no caption column ({' or '.join(map(repr, wanted))}) among {list(schema)}"
        _reading.fail(shard, problem, "name the column that holds the captions")
    if schema[name] != pl.String:
        _reading.fail(
            shard, f"column {name!r} holds {schema[name]}, not text", "name the column that holds the captions"
        )
    return name


def scan(path: Path | str | Sequence[Path | str], column: str | None = None) -> pl.LazyFrame:
    """A lazy frame over all shards with one column, "text": the captions, null where the release has null.

    Nothing but the schema of each shard is read until the frame is collected; collect it with
    `engine="streaming"` to keep memory flat.
    """
    frames = [
        pl.scan_parquet(shard).select(pl.col(caption_column(shard, column)).alias("text")) for shard in shards(path)
    ]
    return pl.concat(frames)


def load(path: Path | str | Sequence[Path | str], column: str | None = None) -> Dataset:
    """The captions of all shards as a memory-mapped dataset with one column, text (None where null).

    The shards' captions are copied once to an Arrow file in the cache folder (about their own size, uncompressed).
    Raises NegutilError as `caption_column` does, where shards name the column differently, and where all are empty.
    """
    files = shards(path)
    names = {shard: caption_column(shard, column) for shard in files}
    if len(set(names.values())) > 1:
        odd = next(shard for shard, name in names.items() if name != names[files[0]])
        problem = f"its captions are in {names[odd]!r}, those of {files[0].name} in {names[files[0]]!r}"
        _reading.fail(odd, problem, "load the releases apart, or use scan")
    if not sum(pq.read_metadata(file).num_rows for file in files):
        _reading.fail(files[0], "there are no rows in it or the other shards", _MEND)
    captions = _from_parquet(files, names[files[0]])
    nulls = captions.data.column(0).null_count
    told = _reading.Report(str(files[0].parent), len(captions), counts={"shards": len(files), "null_texts": nulls})
    captions.info.description = _reading.description(told)
    return captions.rename_column(names[files[0]], "text") if names[files[0]] != "text" else captions


def _from_parquet(files: list[Path], name: str) -> Dataset:
    were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        folder = str(paths.cache() / "datasets")
        return Dataset.from_parquet([str(file) for file in files], columns=[name], cache_dir=folder)
    except Exception as error:  # datasets wraps whatever pyarrow raises in an error of its own
        problem = f"a data page of it or of another shard is damaged ({type(error).__name__})"
        _reading.fail(files[0], problem, _MEND, error)
    finally:
        if not were_off:
            enable_progress_bars()
