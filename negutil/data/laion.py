"""LAION-400M metadata: snappy parquet shards with a caption column (docs/protocols.md#web-captions).

Captions are counted by ``negutil.captions.caption_statistics``, shard by shard, and never held whole.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from negutil.data import _reading

CAPTION_COLUMNS = ("TEXT", "text", "Text", "caption", "CAPTION", "Caption")
"""Names of the caption column, by release; the first that a shard has is taken."""


def caption_column(shard: Path) -> str:
    """The name of the shard's caption column: the first of CAPTION_COLUMNS that it has.

    Raises NegutilError for a damaged shard, no such column, and a column that is not text.
    """
    try:
        schema = pl.read_parquet_schema(shard)
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = f"the parquet file is cut short or damaged ({str(error).splitlines()[0]:.100})"
        _reading.fail(shard, problem, "fetch the shard again or remove it", error)
    fix = "call the column with the captions by one of these names"
    name = next((name for name in CAPTION_COLUMNS if name in schema), None)
    if name is None:
        problem = f"no caption column ({' or '.join(map(repr, CAPTION_COLUMNS))}) among {list(schema)}"
        _reading.fail(shard, problem, fix)
    if schema[name] != pl.String:
        _reading.fail(shard, f"column {name!r} holds {schema[name]}, not text", fix)
    return name
