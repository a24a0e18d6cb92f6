from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, part_of, picture, truncate, write_text

from negutil import data
from negutil.data import voc

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>8</ymax></bndbox>"
DOG = f"<object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>{BOX}</object>"
CAR = f"<object><name>car</name><difficult>1</difficult>{BOX}</object>"
SIZE = "<size><width>12</width><height>8</height><depth>3</depth></size>"


def annotation(name: str, *objects: str, size: str = SIZE) -> str:
    return f"<annotation><filename>{name}.jpg</filename>{size}{''.join(objects)}</annotation>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "VOC2007"
    write_text(root / "ImageSets" / "Main" / "test.txt", "000001", "000004")
    write_text(root / "ImageSets" / "Main" / "dog_test.txt", "000001  1", "000004 -1")
    write_text(root / "Annotations" / "000001.xml", annotation("000001", DOG, CAR))
    write_text(root / "Annotations" / "000004.xml", annotation("000004"))
    for name in ("000001", "000004"):
        picture(root / "JPEGImages" / f"{name}.jpg")
    return root


def test_round_trip(folder: Path) -> None:
    rows = voc.load(folder)
    assert rows["image_id"][:] == ["000001", "000004"]
    first = rows[0]
    assert first["categories"] == ["dog", "car"]
    # Published corners count from 1 and include the last pixel: 1..4 is 4 pixels from 0.
    assert first["boxes"][0] == [0, 1, 4, 7]
    assert first["difficult"] == [False, True]
    assert first["truncated"] == [True, False]
    assert first["poses"] == ["Left", None]
    assert rows[1]["boxes"] == []
    assert rows[1]["image"].size == (12, 8)


def test_class_lists_are_splits_too(folder: Path) -> None:
    assert voc.load(folder, "dog_test")["image_id"][:] == ["000001", "000004"]


def test_unknown_split_and_folder(folder: Path) -> None:
    message = complaint(voc.load, folder, "val")
    assert "val.txt" in message
    assert "dog_test, test" in message
    assert "no such folder" in complaint(voc.load, folder / "nowhere")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (annotation("000004", size=""), "size/width"),
        (annotation("000004", "<object><name>dog</name></object>"), "bndbox/xmin"),
        (annotation("000004", f"<object>{BOX}</object>"), "<name>"),
        (annotation("000004", CAR.replace("<xmax>4", "<xmax>0")), "ends before"),
        (annotation("000004", CAR.replace("<xmax>4", "<xmax>four")), "number is needed"),
        ('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>', "document type"),
    ],
)
def test_bad_annotations(folder: Path, text: str, told: str) -> None:
    path = write_text(folder / "Annotations" / "000004.xml", text)
    message = complaint(voc.load, folder)
    assert told in message
    assert str(path) in message


def test_truncated_xml_and_missing_files(folder: Path) -> None:
    truncate(folder / "Annotations" / "000001.xml")
    assert "000001.xml" in complaint(voc.load, folder)
    (folder / "Annotations" / "000001.xml").unlink()
    assert "no such file" in complaint(voc.load, folder)


def test_missing_pictures_and_duplicate_ids(folder: Path) -> None:
    (folder / "JPEGImages" / "000004.jpg").unlink()
    assert "1 of 2" in complaint(voc.load, folder)
    assert data.report(part_of(voc.load, folder)).first_missing == "000004.jpg"
    write_text(folder / "ImageSets" / "Main" / "test.txt", "000001", "000001")
    assert "repeats" in complaint(voc.load, folder)
