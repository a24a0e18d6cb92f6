from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from data_files import complaint, truncate

from negutil.fetch import check

TEXTS = ["Red shoe, no laces", None, "", "Café № 5"]


def shard(path: Path, texts: list, column: str = "TEXT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"SAMPLE_ID": range(len(texts)), column: texts}).write_parquet(path, compression="snappy")
    return path


@pytest.mark.parametrize("column", ["TEXT", "text", "caption", "Caption"])
def test_case_variants_of_the_caption_column(tmp_path: Path, column: str) -> None:
    assert check.caption_column(shard(tmp_path / "a.parquet", TEXTS, column)) == column


def test_another_name_is_refused(tmp_path: Path) -> None:
    assert "'alt'" in complaint(check.caption_column, shard(tmp_path / "a.parquet", TEXTS, "alt"))


def test_bad_files(tmp_path: Path) -> None:
    assert "a.parquet" in complaint(check.caption_column, tmp_path / "a.parquet")
    path = shard(tmp_path / "a.parquet", TEXTS)
    assert "a.parquet" in complaint(check.caption_column, truncate(path))
    assert "not text" in complaint(check.caption_column, shard(path, [1, 2]))


def test_real_file(shared_data: Path) -> None:
    assert check.caption_column(shared_data / "web_alttext" / "img2dataset_test_1000.parquet") == "TEXT"
