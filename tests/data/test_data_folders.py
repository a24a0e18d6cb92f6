from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, picture

from negutil.data import folders


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    for name in ("n02/ILSVRC2012_val_2.JPEG", "n01/ILSVRC2012_val_9.JPEG", "n01/ILSVRC2012_val_1.JPEG"):
        picture(tmp_path / "imagenet" / "val" / name)
    return tmp_path / "imagenet"


def test_imagenet_round_trip(imagenet: Path) -> None:
    rows = folders.load(imagenet, names={"n01": "tench", "n02": "goldfish", "n03": "shark"})
    assert rows["file_name"][:] == [
        "n01/ILSVRC2012_val_1.JPEG",
        "n01/ILSVRC2012_val_9.JPEG",
        "n02/ILSVRC2012_val_2.JPEG",
    ]
    assert rows["label"][:] == [0, 0, 1]
    assert rows.features["label"].names == ["n01", "n02"]
    assert rows["class_name"][:] == ["tench", "tench", "goldfish"]
    assert rows[0]["image"].size == (12, 8)
    assert folders.load(imagenet / "val")["class_name"][:] == ["n01", "n01", "n02"]


def test_caltech_leaves_the_background_out(tmp_path: Path) -> None:
    for name in ("BACKGROUND_Google", "Faces", "accordion"):
        picture(tmp_path / "101_ObjectCategories" / name / "image_0001.jpg")
    rows = folders.load(tmp_path)
    assert rows["class_name"][:] == ["Faces", "accordion"]


def test_other_files_are_no_pictures(imagenet: Path) -> None:
    (imagenet / "val" / "n01" / "notes.txt").write_text("no picture")
    (imagenet / "val" / "README").write_text("no class")
    assert len(folders.load(imagenet)) == 3


def test_bad_folders(imagenet: Path, tmp_path: Path) -> None:
    assert "n02" in complaint(folders.load, imagenet, names={"n01": "tench"})
    (imagenet / "val" / "n03").mkdir()
    assert "n03: there are no images" in complaint(folders.load, imagenet)
    assert "no such folder" in complaint(folders.load, tmp_path / "nowhere")
    assert "no class folders" in complaint(folders.load, imagenet / "val" / "n03")
