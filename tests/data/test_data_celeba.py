from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, part_of, picture, truncate, write_text

from negutil import data
from negutil.data import celeba

ROWS = ["000001.jpg -1  1  1", "000002.jpg  1 -1 -1", "000003.jpg  1  1 -1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_text(tmp_path / "list_attr_celeba.txt", "3", "Eyeglasses Male No_Beard ", *ROWS)
    write_text(tmp_path / "list_eval_partition.txt", "000001.jpg 0", "000002.jpg 2", "000003.jpg 2")
    for number in (1, 2, 3):
        picture(tmp_path / "img_align_celeba" / f"00000{number}.jpg")
    return tmp_path


def test_round_trip(folder: Path) -> None:
    rows = celeba.load(folder)
    assert rows["file_name"][:] == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert rows["split"][:] == ["train", "test", "test"]
    assert rows["Eyeglasses"][:] == [False, True, True]
    assert rows["No_Beard"][:] == [True, False, False]
    assert rows[0]["image"].size == (12, 8)
    assert celeba.attribute_names(folder) == ["Eyeglasses", "Male", "No_Beard"]


def test_one_split(folder: Path) -> None:
    rows = celeba.load(folder, "test")
    assert rows["file_name"][:] == ["000002.jpg", "000003.jpg"]
    assert "valid" in complaint(celeba.load, folder, "validation")
    assert "nothing in it" in complaint(celeba.load, folder, "valid")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["2", "Eyeglasses Male No_Beard", *ROWS], "promises 2 faces and there are 3"),
        (["3", "Eyeglasses Male No_Beard", *ROWS[:2], "000003.jpg 1 0 1"], "line 5 has"),
        (["3", "Eyeglasses Male No_Beard", *ROWS[:2], "000003.jpg 1 1"], "No_Beard"),
        (["3", "Eyeglasses Male No_Beard", *ROWS[:2], "000003.jpg 1 x 1"], "line 5 has 'x' for Male"),
        (["3", "Eyeglasses Male No_Beard", *ROWS[:2], ROWS[0]], "repeats"),
        (["3", "Eyeglasses Male Male", *ROWS], "repeats"),
        (["Eyeglasses Male No_Beard", *ROWS], "first three lines"),
        (["3"], "first three lines"),
    ],
)
def test_bad_attributes(folder: Path, lines: list[str], told: str) -> None:
    write_text(folder / "list_attr_celeba.txt", *lines)
    message = complaint(celeba.load, folder)
    assert told in message
    assert "list_attr_celeba.txt" in message


def test_too_many_values_in_a_line(folder: Path) -> None:
    write_text(folder / "list_attr_celeba.txt", "3", "Eyeglasses Male No_Beard", *ROWS[:2], ROWS[2] + " 1")
    assert "line 5 has '1.0' for (a field too many)" in complaint(celeba.load, folder)


def test_truncated_file(folder: Path) -> None:
    assert "list_attr_celeba.txt" in complaint(celeba.load, truncate(folder / "list_attr_celeba.txt").parent)


def test_bad_partition(folder: Path) -> None:
    path = write_text(folder / "list_eval_partition.txt", "000001.jpg 0", "000002.jpg 2")
    message = complaint(celeba.load, folder)
    assert "no split here" in message
    assert str(path) in message
    write_text(path, "000001.jpg 0", "000002.jpg 3", "000003.jpg 1")
    assert "line 2 has '3' for split" in complaint(celeba.load, folder)
    path.unlink()
    assert "no such file" in complaint(celeba.load, folder)


def test_missing_pictures(folder: Path) -> None:
    (folder / "img_align_celeba" / "000003.jpg").unlink()
    assert "1 of 3" in complaint(celeba.load, folder)
    assert data.report(part_of(celeba.load, folder)).rows == 2
    assert len(celeba.load(folder, "train")) == 1
