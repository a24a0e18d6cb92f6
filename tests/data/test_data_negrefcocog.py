from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from data_files import complaint, part_of, picture, truncate, write_json

from negutil import data
from negutil.data import negrefcocog

HERS, OTHER = [10.0, 0, 220.0, 300.0], [280.0, 5.0, 210.0, 290.0]
ROWS: list[dict[str, Any]] = [
    {"image": "COCO_train2014_1.jpg", "phrase": "a boy without hat", "ref_bbox": HERS, "bbox_list": [HERS, OTHER]},
    {"image": "COCO_train2014_1.jpg", "phrase": "the dog not sitting", "ref_bbox": HERS, "bbox_list": [OTHER, HERS]},
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    picture(tmp_path / "train2014" / "COCO_train2014_1.jpg")
    return write_json(tmp_path / "NegRefCOCOg.json", ROWS), tmp_path / "train2014"


def test_round_trip(files: tuple[Path, Path]) -> None:
    rows = negrefcocog.load(*files)
    assert rows["phrase"][:] == ["a boy without hat", "the dog not sitting"]
    assert rows["correct"][:] == [0, 1]
    assert rows["boxes"][0] == [HERS, OTHER]
    assert rows[1]["image"].size == (12, 8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows[1].update(bbox_list=[HERS]), "entry 1 has 1 boxes"),
        (lambda rows: rows[1].update(bbox_list=[OTHER, OTHER]), "0 of them"),
        (lambda rows: rows[1].update(bbox_list=[HERS, HERS]), "2 of them"),
        (lambda rows: rows[1].update(ref_bbox=[1, 2, 3, None]), "four numbers"),
        (lambda rows: rows[1].update(bbox_list=[HERS, 4]), "four numbers"),
        (lambda rows: rows[1].pop("phrase"), 'no "phrase"'),
        (lambda rows: rows.clear(), "no entries"),
    ],
)
def test_bad_rows(files: tuple[Path, Path], change: Any, told: str) -> None:
    content = copy.deepcopy(ROWS)
    change(content)
    message = complaint(negrefcocog.load, write_json(files[0], content))
    assert told in message
    assert "NegRefCOCOg.json" in message


def test_truncated_and_missing(files: tuple[Path, Path]) -> None:
    write_json(files[0], [*ROWS, {**ROWS[0], "image": "COCO_train2014_2.jpg"}])
    assert "1 of 3" in complaint(negrefcocog.load, *files)
    assert data.report(part_of(negrefcocog.load, *files)).rows == 2
    assert "breaks off" in complaint(negrefcocog.load, truncate(files[0]))


def test_real_file(shared_data: Path) -> None:
    rows = negrefcocog.load(shared_data / "negrefcocog" / "NegRefCOCOg.json")
    assert len(rows) == 440
    assert len(set(rows["file_name"])) == 402
    assert len(set(rows["phrase"])) == 437
    assert set(rows["correct"]) == {0}
    cues = {cue: sum(f" {cue} " in f" {phrase} " for phrase in rows["phrase"]) for cue in ("not", "without", "no")}
    assert cues["not"] >= 198
    assert cues["without"] >= 96
