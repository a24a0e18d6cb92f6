from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, part_of, picture, write_text

from negutil import data
from negutil.data import pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.png", "sub/2.png"):
        picture(tmp_path / name)
    return tmp_path


def test_pictures_are_found_from_the_folder_of_the_file(folder: Path) -> None:
    file = write_text(folder / "my.csv", "image,true,false", "1.png,a cat,no cat", '"sub/2.png","a dog, a hat",no dog')
    rows = pairs.load(file)
    assert rows["file_name"][:] == ["1.png", "sub/2.png"]
    assert rows["true"][:] == ["a cat", "a dog, a hat"]
    assert rows["false"][:] == ["no cat", "no dog"]
    assert rows["line"][:] == [2, 3]
    assert rows[1]["image"].size == (12, 8)


@pytest.mark.parametrize(
    "header",
    [
        "image,caption,foil",
        "Image Path, Caption True ,caption-false",
        "foil,x,FILE_NAME,right",
        "path,positive,negative",
    ],
)
def test_columns_have_several_names(header: str, folder: Path) -> None:
    cells = {"foil": "no cat", "caption-false": "no cat", "negative": "no cat", "x": "?"}
    pictures = {"image", "Image Path", "FILE_NAME", "path"}
    line = [cells.get(name, "1.png" if name in pictures else "a cat") for name in header.split(",")]
    rows = pairs.load(write_text(folder / "my.csv", header, ",".join(line)))
    assert (rows["true"][0], rows["false"][0], rows["file_name"][0]) == ("a cat", "no cat", "1.png")


def test_pictures_may_be_elsewhere_or_absolute(folder: Path) -> None:
    file = write_text(folder / "lists" / "my.csv", "image,true,false", "2.png,a,b", f"{folder / '1.png'},c,d")
    assert len(pairs.load(file, folder / "sub")) == 2
    rows = part_of(pairs.load, file, folder / "lists")
    assert rows["line"][:] == [3]
    assert data.report(rows).missing_pictures == 1


def test_backslashes_are_slashes(folder: Path) -> None:
    rows = pairs.load(write_text(folder / "my.csv", "image,true,false", "sub\\2.png,a,b"))
    assert rows["file_name"][:] == ["sub\\2.png"]
    assert rows[0]["image"].size == (12, 8)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["image,caption,words", "1.png,a,b"], "no column is 'false' (columns: image, caption, words)"),
        (["image,caption,true,false", "1.png,a,b,c"], "several columns for 'true': caption, true"),
        (["image,true,false", "1.png,a,b", "1.png,a,"], "line 3: the cell of 'false' is empty"),
        (["image,true,false", "1.png,a, a"], "line 2: both captions are the same"),
        (["image,true,false", "1.png,a,b", "gone.png,a,b"], "line 3: the image gone.png is not in"),
        (["image,true,false", "1.png,a,b", "1.png,a, b, c"], "line 3: 4 fields instead of 3"),
        (["image,true,false"], "no usable rows"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(lines: list[str], told: str, folder: Path) -> None:
    file = write_text(folder / "my.csv", *lines)
    message = complaint(pairs.load, file)
    assert told in message
    assert str(file) in message
