"""Flickr8k's files: tiny ones, damaged ones, and the real captions and splits."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, picture, write_text

from negutil import data
from negutil.data import flickr8k

LINES = [
    *(f"1_a.jpg#{number}\tA dog number {number} runs ." for number in (1, 0, 2)),
    "2_b.jpg#0\tA man sits .",
    "3_c.jpg#0\tA girl .",
    "4_d.jpg#0\tA boy .",
]
SPLITS = {"train": "2_b.jpg", "dev": "4_d.jpg", "test": "1_a.jpg"}


def write(folder: Path) -> Path:
    """Four photographs, the third of which is in no split."""
    write_text(folder / flickr8k.CAPTIONS, *LINES)
    for split, name in SPLITS.items():
        write_text(flickr8k.split_file(folder, split), name)
    for line in LINES:
        picture(folder / flickr8k.PHOTOGRAPHS / line.partition("#")[0])
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "flickr8k")


def test_round_trip(folder: Path) -> None:
    rows = flickr8k.load(folder)
    assert rows["file_name"][:] == ["1_a.jpg", "2_b.jpg", "3_c.jpg", "4_d.jpg"]
    assert rows["split"][:] == ["test", "train", "", "dev"]
    assert rows["captions"][0] == [f"A dog number {number} runs ." for number in range(3)]
    assert rows[0]["image"].size == (12, 8)
    assert flickr8k.load(folder, "dev", pictures=False)["captions"][:] == [["A boy ."]]
    assert "ask for one of" in complaint(flickr8k.load, folder, "val")


def test_lines_of_no_photograph_are_left_out_and_listed(folder: Path) -> None:
    write_text(folder / flickr8k.CAPTIONS, *LINES, "5_e.jpg.1#0\tA cat .")
    rows = flickr8k.load(folder)
    assert len(rows) == 4
    assert data.report(rows).left_out == ("line 7: '5_e.jpg.1' is not the name of a photograph",)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("5_e.jpg#0 A cat .", "line 7 is not NAME#NUMBER, a tab and a caption"),
        ("5_e.jpg\tA cat .", "line 7 is not NAME#NUMBER"),
        ("5_e.jpg#0\t ", "line 7 is not NAME#NUMBER"),
        ("4_d.jpg#0\tA cat .", "line 7 has a second caption 0 of '4_d.jpg'"),
    ],
)
def test_a_damaged_line_is_named(folder: Path, line: str, told: str) -> None:
    write_text(folder / flickr8k.CAPTIONS, *LINES, line)
    assert told in complaint(flickr8k.load, folder)


def test_splits_that_do_not_belong_to_the_captions_are_reported(folder: Path) -> None:
    write_text(flickr8k.split_file(folder, "dev"), "9_z.jpg")
    assert "devImages.txt: '9_z.jpg' has no caption" in complaint(flickr8k.load, folder)
    write_text(flickr8k.split_file(folder, "dev"), "2_b.jpg")
    assert "'2_b.jpg' is in the split train, too" in complaint(flickr8k.load, folder)
    flickr8k.split_file(folder, "dev").unlink()
    assert "there is no such file" in complaint(flickr8k.load, folder)


def test_what_is_missing_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    assert "run `negutil data get flickr8k`" in complaint(flickr8k.load, tmp_path / "nowhere")
    (folder / flickr8k.PHOTOGRAPHS / "1_a.jpg").unlink()
    assert "1 of 4 images or clips are not in" in complaint(flickr8k.load, folder)
    with data.missing_pictures("drop"):
        rows = flickr8k.load(folder)
    assert data.report(rows).missing_pictures == 1


def test_the_real_files(shared_data: Path) -> None:
    with data.missing_pictures("drop"):
        rows = flickr8k.load(shared_data / "flickr8k")
    assert len(rows) == 8086
    assert data.report(rows).missing_pictures == 5
    assert {len(own) for own in rows["captions"][:]} == {5}
    splits = list(rows["split"][:])
    assert [splits.count(name) for name in ("train", "dev", "test", "")] == [5996, 1000, 1000, 90]
