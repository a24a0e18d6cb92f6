from __future__ import annotations

from pathlib import Path

import pytest
from data_files import ALT_TEXTS, complaint, shard, truncate

from negutil.fetch import check


@pytest.mark.parametrize("column", ["TEXT", "text", "caption", "Caption"])
def test_case_variants_of_the_caption_column(tmp_path: Path, column: str) -> None:
    assert check.caption_column(shard(tmp_path / "a.parquet", ALT_TEXTS, column)) == column


def test_another_name_is_refused(tmp_path: Path) -> None:
    assert "'alt'" in complaint(check.caption_column, shard(tmp_path / "a.parquet", ALT_TEXTS, "alt"))


def test_bad_files(tmp_path: Path) -> None:
    assert "a.parquet" in complaint(check.caption_column, tmp_path / "a.parquet")
    path = shard(tmp_path / "a.parquet", ALT_TEXTS)
    assert "a.parquet" in complaint(check.caption_column, truncate(path))
    assert "not text" in complaint(check.caption_column, shard(path, [1, 2]))


def test_real_file(shared_data: Path) -> None:
    assert check.caption_column(shared_data / "web_alttext" / "img2dataset_test_1000.parquet") == "TEXT"
