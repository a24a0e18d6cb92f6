from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, part_of, picture, write_text

from negutil import data
from negutil.data import image_captions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.png", "sub/2.png"):
        picture(tmp_path / name)
    return tmp_path


def test_an_image_may_have_several_captions(folder: Path) -> None:
    lines = ["Text,File Name,extra", "a cat,1.png,x", '"a cat, asleep",1.png,x', "a dog,sub\\2.png,x"]
    rows = image_captions.load(write_text(folder / "my.csv", *lines))
    assert rows["caption"][:] == ["a cat", "a cat, asleep", "a dog"]
    assert rows["file_name"][:] == ["1.png", "1.png", "sub\\2.png"]
    assert rows["line"][:] == [2, 3, 4]
    assert rows[2]["image"].size == (12, 8)


def test_rows_without_their_image_are_counted_where_that_is_allowed(folder: Path) -> None:
    file = write_text(folder / "my.csv", "image,caption", "1.png,a cat", "gone.png,a dog", "2.png,a dog")
    told = complaint(image_captions.load, file)
    assert "line 3: the image gone.png is not in" in told and "(the same in 2 of 3 lines)" in told
    assert "--images" in told and "--partial" in told
    rows = part_of(image_captions.load, file)
    assert rows["line"][:] == [2]
    assert data.report(rows).missing_pictures == 2


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["image,words", "1.png,a"], "no column is 'caption' (columns: image, words)"),
        (["image,caption,text", "1.png,a,b"], "several columns for 'caption': caption, text"),
        (["image,caption", "1.png,a", "1.png, ", "1.png,"], "line 3: the cell of 'caption' is empty (also line 4)"),
        (
            ["image,caption", "1.png,a,b", "1.png,a", "1.png,a,c"],
            "line 2: 3 fields instead of 2 (also line 4)",
        ),
        (["image,caption", *["1.png,"] * 8], "(also lines 3, 4, 5, 6, 7, ..., 7 in all)"),
        (["image,caption"], "no usable rows"),
    ],
)
def test_what_is_wrong_is_told_with_its_lines(lines: list[str], told: str, folder: Path) -> None:
    file = write_text(folder / "my.csv", *lines)
    message = complaint(image_captions.load, file)
    assert told in message
    assert str(file) in message


def test_questions_may_do_without_answers(folder: Path) -> None:
    lines = ["image,question,answer", "1.png,Is it red?,no", "sub/2.png,Is it blue?,Yes."]
    rows = image_captions.load_questions(write_text(folder / "my.csv", *lines))
    assert (rows["question"][:], rows["answer"][:]) == (["Is it red?", "Is it blue?"], ["no", "Yes."])
    rows = image_captions.load_questions(write_text(folder / "my.csv", "file,Question", "1.png,Is it red?"))
    assert "answer" not in rows.column_names and rows["line"][:] == [2]
    file = write_text(folder / "captions.csv", "image,caption", "1.png,a cat")
    assert "no column is 'question'" in complaint(image_captions.load_questions, file)
