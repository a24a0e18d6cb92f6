from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from data_files import complaint, truncate
from datasets import are_progress_bars_disabled

from negutil import data, paths
from negutil.data import laion

TEXTS = ["Red shoe, no laces", None, "", "Café № 5"]


def shard(path: Path, texts: Sequence[object], column: str = "TEXT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"SAMPLE_ID": list(range(len(texts))), "URL": ["http://x.y/z.jpg"] * len(texts), column: texts}
    kind = pl.String if all(isinstance(text, (str, type(None))) for text in texts) else None
    frame = pl.DataFrame(rows, schema_overrides={column: kind} if kind else {})
    frame.write_parquet(path, compression="snappy")
    return path


def test_scan_keeps_nulls_and_order(tmp_path: Path) -> None:
    shard(tmp_path / "part-00001.parquet", ["second shard"])
    shard(tmp_path / "part-00000.parquet", TEXTS)
    frame = laion.scan(tmp_path)
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect(engine="streaming")["text"].to_list() == [*TEXTS, "second shard"]


@pytest.mark.parametrize("column", ["TEXT", "text", "caption", "Caption"])
def test_case_variants_of_the_caption_column(tmp_path: Path, column: str) -> None:
    path = shard(tmp_path / "a.parquet", TEXTS, column)
    assert laion.caption_column(path) == column
    assert laion.load(path)["text"][:] == laion.scan(path).collect()["text"].to_list() == TEXTS


def test_shards_of_two_releases_scan_together_but_do_not_load(tmp_path: Path) -> None:
    files = [shard(tmp_path / "a.parquet", ["a"]), shard(tmp_path / "b.parquet", ["b"], "caption")]
    assert laion.scan(files).collect()["text"].to_list() == ["a", "b"]
    assert "use scan" in complaint(laion.load, files)


def test_load_is_memory_mapped_under_the_cache_and_reports_nulls(tmp_path: Path) -> None:
    shard(tmp_path / "a.parquet", TEXTS)
    shard(tmp_path / "b.parquet", [None])
    shard(tmp_path / "c.parquet", [])
    rows = laion.load(tmp_path)
    assert Path(rows.cache_files[0]["filename"]).is_relative_to(paths.cache())
    assert data.report(rows).counts == {"shards": 3, "null_texts": 2}
    assert not are_progress_bars_disabled()


def test_a_named_column(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.parquet", TEXTS, "alt")
    assert laion.load(path, "alt")["text"][0] == TEXTS[0]
    assert "'alt'" in complaint(laion.load, path)
    assert "'other'" in complaint(laion.scan, path, "other")


def test_bad_files(tmp_path: Path) -> None:
    assert "no *.parquet" in complaint(laion.scan, tmp_path)
    assert "no such file" in complaint(laion.scan, tmp_path / "a.parquet")
    assert "no entries" in complaint(laion.scan, [])
    path = shard(tmp_path / "a.parquet", TEXTS)
    assert "a.parquet" in complaint(laion.scan, truncate(path))
    assert "not text" in complaint(laion.scan, shard(path, [1, 2]))
    assert "no rows" in complaint(laion.load, shard(path, []))


def test_a_damaged_page_is_told(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.parquet", [f"caption number {number} of many" for number in range(3000)])
    raw = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(2).data_page_offset
    raw[start : start + 2000] = bytes(2000)
    path.write_bytes(raw)
    assert "damaged" in complaint(laion.load, path)


def test_real_file(shared_data: Path) -> None:
    path = shared_data / "web_alttext" / "img2dataset_test_1000.parquet"
    assert laion.caption_column(path) == "TEXT"
    rows = laion.load(path)
    assert rows["text"][:] == laion.scan(path).collect(engine="streaming")["text"].to_list()
    assert len(rows) == 1000
    assert data.report(rows).counts["null_texts"] == 0
