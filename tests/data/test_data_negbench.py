from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from data_files import complaint, picture, write_text

from negutil import data
from negutil.data import coco, negbench

RETRIEVAL = ["positive_objects", "negative_objects", "filepath", "image_id", "captions"]
MCQ = ["image_path", "correct_answer", *(f"caption_{number}" for number in range(4)), "correct_answer_template"]
OPTIONS = ["A dog and a sofa, here.", "A cat is here, but no dog.", "A cat is here.", "There is no dog."]


def write_csv(path: Path, *rows: Sequence[object]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("000000000001.jpg", "000000000002.jpg"):
        picture(tmp_path / "val2017" / name)
    return tmp_path / "val2017"


def test_retrieval_round_trip(tmp_path: Path, pictures: Path) -> None:
    captions = ["A dog on a sofa, but no cat.", "There's no cup; a dog naps.", ""]
    first = [["dog", "sofa"], ["cat", "cup", "tv"], "data/coco/images/val2017/000000000001.jpg", 1, captions]
    second = [[""], ["cat"], "/home/a/coco/val2017/000000000002.jpg", 2, ["No cat."]]
    rows = negbench.load(write_csv(tmp_path / "r.csv", RETRIEVAL, first, second), pictures)
    # The empty caption stays: it is a query in the published numbers.
    assert rows["captions"][0] == captions
    assert rows["positive_objects"][:] == [["dog", "sofa"], []]
    assert rows["image_id"][:] == ["1", "2"]
    assert rows[1]["image"].size == (12, 8)
    assert data.report(rows).counts == {"captions": 4, "odd_captions": 1}


def test_retrieval_of_clips(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "video9.mp4").write_bytes(b"a clip")
    header = ["image_id", "captions", "filepath", "all_captions", "positive_concept1"]
    row = [
        "video9",
        ["A dance, no hiking."],
        "data/video/MSRVTT/videos/all/video9.mp4",
        ["a dance", "dancing"],
        "dance",
    ]
    rows = negbench.load(write_csv(tmp_path / "v.csv", header, row), tmp_path / "all")
    assert rows["video"][:] == [str(tmp_path / "all" / "video9.mp4")]
    assert rows["all_captions"][0] == ["a dance", "dancing"]
    assert "image" not in rows.column_names


def test_retrieval_malformed_rows(tmp_path: Path) -> None:
    good = [["dog"], ["cat"], "1.jpg", 1, ["No cat."]]
    bad = [
        [["dog"], ["cat"], "2.jpg", 2, "No cat."],
        [["dog"], ["cat"], "3.jpg", 3, []],
        [["dog"], "cat", "4.jpg", 4, ["a"]],
    ]
    rows = negbench.load(write_csv(tmp_path / "r.csv", RETRIEVAL, good, *bad, ["one field"]))
    assert len(rows) == 1
    assert [told.split(":")[0] for told in data.report(rows).left_out] == ["line 6", "line 3", "line 4", "line 5"]
    assert "repeats the image_id" in complaint(negbench.load, write_csv(tmp_path / "r.csv", RETRIEVAL, good, good))


def test_mcq_round_trip(tmp_path: Path, pictures: Path) -> None:
    row = ["data/val2017/000000000001.jpg", 2, *OPTIONS, "hybrid"]
    rows = negbench.load(write_csv(tmp_path / "m.csv", MCQ, row), pictures)
    assert rows[0]["options"] == OPTIONS
    assert (rows[0]["correct"], rows[0]["template"], rows[0]["has_odd_option"]) == (2, "hybrid", False)
    assert rows[0]["image"].size == (12, 8)


def test_clips_are_found_in_msrvtts_own_folders_with_or_without_their_names(tmp_path: Path) -> None:
    clip = tmp_path / "msrvtt" / "videos" / "all" / "video9.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"a clip")
    for name in ("video9.mp4", "data/video/MSRVTT/videos/all/video9.mp4"):
        file = write_csv(tmp_path / "m.csv", [*MCQ[1:], MCQ[0]], [3, *OPTIONS, "negative", name])
        assert negbench.load(file, tmp_path / "msrvtt")["video"][:] == [str(clip)]


def test_mcq_with_the_columns_in_the_video_files_order(tmp_path: Path) -> None:
    rows = negbench.load(write_csv(tmp_path / "m.csv", [*MCQ[1:], MCQ[0]], [3, *OPTIONS, "negative", "video9.mp4"]))
    assert (rows[0]["correct"], rows[0]["file_name"], rows[0]["options"]) == (3, "video9.mp4", OPTIONS)


def test_the_malformed_row_of_the_synthetic_file(tmp_path: Path) -> None:
    # A caption whose comma was not quoted pushes the template into the nameless columns behind it.
    header = [*MCQ, "", "", ""]
    good = ["1.jpg", 0, *OPTIONS, "positive", "", "", ""]
    bad = ["2.jpg", 1, "A cat", " but no dog.", *OPTIONS[1:], "hybrid", "", ""]
    rows = negbench.load(write_csv(tmp_path / "m.csv", header, good, bad, good))
    assert len(rows) == 2
    assert data.report(rows).left_out == ("line 3: text in a column that has no name",)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["1.jpg", 4, *OPTIONS, "positive"], "correct_answer is '4'"),
        (["1.jpg", "A dog", *OPTIONS, "positive"], "correct_answer is 'A dog'"),
        (["1.jpg", 0, *OPTIONS, "There is no dog."], "correct_answer_template is 'There is no dog.'"),
        (["1.jpg", 0, *OPTIONS[:3], " ", "positive"], "caption_3 is empty"),
        (["", 0, *OPTIONS, "positive"], "there is no image_path"),
        (["1.jpg", 0, *OPTIONS], "6 fields instead of 7"),
    ],
)
def test_mcq_malformed_rows(tmp_path: Path, row: Sequence[object], told: str) -> None:
    good = ["9.jpg", 0, *OPTIONS, "positive"]
    rows = negbench.load(write_csv(tmp_path / "m.csv", MCQ, good, row))
    assert len(rows) == 1
    assert f"line 3: {told}" in data.report(rows).left_out[0]


def test_binary_round_trip(tmp_path: Path) -> None:
    header = ["image_path", "caption_0", "caption_1", "correct_answer"]
    row = ["CheXpert/p1/view1.jpg", "There is atelectasis.", "There is no atelectasis.", 1]
    rows = negbench.load(write_csv(tmp_path / "b.csv", header, row))
    assert rows[0]["options"] == row[1:3]
    assert rows[0]["correct"] == 1
    assert "template" not in rows.column_names
    assert negbench.kind(header) == "binary"


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("?", True),
        ("(Your response)", True),
        ('A car is here." or "This image shows a car.', True),
        ("is missing", True),
        ("", True),
        ("This image shows a car.", False),
        ('"This image shows a car".', False),
        ("“A car, but no bus.”", False),
        ("There's no car.", False),
    ],
)
def test_odd_strings(text: str, odd: bool) -> None:
    assert negbench.is_odd(text) is odd


def test_bad_files(tmp_path: Path, pictures: Path) -> None:
    other = write_csv(tmp_path / "o.csv", ["image_path", "caption"], ["1.jpg", "a"])
    assert "not NegBench's" in complaint(negbench.load, other)
    assert "no usable rows" in complaint(negbench.load, write_csv(tmp_path / "e.csv", MCQ))
    row = ["val2017/000000000009.jpg", 0, *OPTIONS, "positive"]
    assert "1 of 1" in complaint(negbench.load, write_csv(tmp_path / "m.csv", MCQ, row), pictures)
    cut = write_text(tmp_path / "cut.csv", ",".join(MCQ), '1.jpg,0,"A dog')
    assert "line 2" in complaint(negbench.load, cut)


@pytest.mark.parametrize(
    ("name", "odd"),
    [("COCO_val_retrieval", 64), ("COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true", 173)],
)
def test_real_retrieval(shared_data: Path, name: str, odd: int) -> None:
    rows = negbench.load(shared_data / "negbench" / f"{name}.csv")
    assert len(rows) == len(set(rows["image_id"])) == 5000
    told = data.report(rows)
    assert told.counts == {"captions": 25_014, "odd_captions": odd}
    assert told.left_out == ()
    assert set(map(len, rows["negative_objects"])) == {3}
    assert rows["positive_objects"][:].count([]) == 48


def test_real_mcq(shared_data: Path) -> None:
    rows = negbench.load(shared_data / "negbench" / "COCO_val_mcq_llama3.1_rephrased.csv")
    assert Counter(rows["template"]) == {"positive": 2032, "negative": 1870, "hybrid": 2012}
    assert len(set(rows["file_name"])) == 3926
    assert set(rows["correct"]) == {0}
    assert data.report(rows).counts["odd_options"] == 137


def test_real_simple30_with_its_photographs(shared_data: Path) -> None:
    folder = shared_data / "negbench_simple30"
    rows = negbench.load(folder / "mcq_simple.csv", folder)
    assert Counter(rows["template"]) == {"positive": 10, "negative": 10, "hybrid": 10}
    assert len(set(rows["file_name"])) == 17
    assert all(min(row["image"].size) > 200 for row in rows.select(range(3)))
    full = negbench.load(shared_data / "negbench" / "COCO_val_mcq_llama3.1_rephrased.csv")
    known = {tuple(options) for options in full["options"]}
    assert all(tuple(options) in known for options in rows["options"])


def test_real_labels_agree_with_coco(shared_data: Path) -> None:
    annotations = shared_data / "coco" / "annotations"
    truth = coco.load(annotations / "captions_val2017.json", annotations / "instances_val2017.json")
    rows = negbench.load(shared_data / "negbench" / "COCO_val_retrieval.csv")
    place = {image_id: row for row, image_id in enumerate(rows["image_id"])}
    for image in truth:
        row = rows[place[str(image["image_id"])]]
        assert set(row["positive_objects"]) == set(image["categories"])
        assert not set(row["negative_objects"]) & set(image["categories"])
        assert sorted(row["captions"]) == sorted(image["captions"])


def test_real_files_as_other_programs_leave_them(shared_data: Path) -> None:
    folder = shared_data / "bad_input"
    lists = folder / "retrieval_numpy_lists.csv"  # without commas, as NumPy prints them
    assert "line 2: captions is not a list of strings" in complaint(negbench.load, lists)
    told = data.report(negbench.load(folder / "unclosed_quote_mcq.csv"))
    assert told.rows == 5
    assert [line.partition(":")[0] for line in told.left_out] == ["line 2", "line 3"]
