from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from data_files import complaint, part_of, picture, truncate, write_json

from negutil import data
from negutil.data import negationclip

CONTENT: dict[str, Any] = {
    "images": [{"id": 9, "file_name": "COCO_train2014_9.jpg"}, {"id": 8, "file_name": "COCO_train2014_8.jpg"}],
    "annotations": [
        {
            "image_id": 9,
            "id": 1,
            "caption": "a dog on a couch",
            "updated_caption": "a dog on a couch, with no cat around",
        },
        {"image_id": 8, "id": 2, "caption": "a bus", "updated_caption": "a bus but no driver"},
    ],
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for number in (8, 9):
        picture(tmp_path / "train2014" / f"COCO_train2014_{number}.jpg")
    return write_json(tmp_path / "negationclip_captions_train2014.json", CONTENT), tmp_path / "train2014"


def test_round_trip(files: tuple[Path, Path]) -> None:
    rows = negationclip.load(*files)
    assert rows["caption"][:] == ["a dog on a couch", "a bus"]
    assert rows["updated_caption"][1] == "a bus but no driver"
    assert rows["file_name"][:] == ["COCO_train2014_9.jpg", "COCO_train2014_8.jpg"]
    assert rows["caption_id"][:] == [1, 2]
    assert rows[0]["image"].size == (12, 8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content["annotations"][1].update(image_id=7), "unknown image_id"),
        (lambda content: content["annotations"][1].update(id=1), "repeats the id"),
        (lambda content: content["annotations"][1].pop("updated_caption"), 'entry 1 has no "updated_caption"'),
        (lambda content: content["annotations"][1].update(updated_caption=" "), "empty"),
        (lambda content: content["images"][1].update(id=9), "repeats the id"),
        (lambda content: content["images"][1].update(id="8"), "int is needed"),
        (lambda content: content.pop("images"), 'no "images"'),
    ],
)
def test_bad_content(files: tuple[Path, Path], change: Any, told: str) -> None:
    content = copy.deepcopy(CONTENT)
    change(content)
    message = complaint(negationclip.load, write_json(files[0], content))
    assert told in message
    assert str(files[0]) in message


def test_truncated_and_missing(files: tuple[Path, Path]) -> None:
    (files[1] / "COCO_train2014_8.jpg").unlink()
    assert "1 of 2" in complaint(negationclip.load, *files)
    assert data.report(part_of(negationclip.load, *files)).rows == 1
    assert "breaks off" in complaint(negationclip.load, truncate(files[0]))
