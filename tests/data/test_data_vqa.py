from __future__ import annotations

import copy
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from data_files import complaint, picture, truncate, write_json

from negutil import data
from negutil.data import vqa

QUESTIONS: dict[str, Any] = {
    "data_subtype": "train2014",
    "questions": [
        {"question_id": 90, "image_id": 9, "question": "Is there a dog?"},
        {"question_id": 91, "image_id": 9, "question": "How many cats?"},
    ],
}


def annotated(question: int, answer: str, kind: str) -> dict[str, Any]:
    given = [{"answer": answer, "answer_confidence": "yes", "answer_id": number} for number in (1, 2)]
    facts = {"question_id": question, "image_id": 9, "answers": given}
    return {**facts, "multiple_choice_answer": answer, "answer_type": kind, "question_type": "is there"}


# The order differs from the questions' on purpose: rows are joined by question_id.
ANNOTATIONS: dict[str, Any] = {"annotations": [annotated(91, "0", "number"), annotated(90, "no", "yes/no")]}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    picture(tmp_path / "train2014" / "COCO_train2014_000000000009.jpg")
    questions = write_json(tmp_path / "questions.json", QUESTIONS)
    return questions, write_json(tmp_path / "annotations.json", ANNOTATIONS), tmp_path / "train2014"


def test_round_trip_is_joined_by_question(files: tuple[Path, Path, Path]) -> None:
    rows = vqa.load(*files)
    assert rows["question_id"][:] == [90, 91]
    assert rows["answer"][:] == ["no", "0"]
    assert rows["answers"][0] == ["no", "no"]
    assert rows["answer_type"][:] == ["yes/no", "number"]
    assert rows["file_name"][0] == "COCO_train2014_000000000009.jpg"
    assert rows[1]["image"].size == (12, 8)


def test_questions_alone_and_gzip(files: tuple[Path, Path, Path]) -> None:
    packed = files[0].with_suffix(".json.gz")
    packed.write_bytes(gzip.compress(files[0].read_bytes()))
    rows = vqa.load(packed)
    assert rows["question"][:] == ["Is there a dog?", "How many cats?"]
    assert "answer" not in rows.column_names


def test_file_name_pattern(files: tuple[Path, Path, Path]) -> None:
    picture(files[2] / "9.jpg")
    rows = vqa.load(files[0], pictures=files[2], file_name="{image_id}.jpg")
    assert rows["file_name"][:] == ["9.jpg", "9.jpg"]
    assert "file_name" in complaint(vqa.load, files[0], file_name="{picture}.jpg")
    write_json(files[0], {"questions": QUESTIONS["questions"]})
    assert "data_subtype" in complaint(vqa.load, files[0], pictures=files[2])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.pop(), "has no annotation"),
        (lambda rows: rows.append(annotated(99, "no", "yes/no")), "unknown question_id"),
        (lambda rows: rows.append(annotated(90, "no", "yes/no")), "repeats"),
        (lambda rows: rows[0].update(image_id=8), "is about image 8"),
        (lambda rows: rows[0].pop("answer_type"), 'no "answer_type"'),
        (lambda rows: rows[0].update(answers=["no"]), '"answers"'),
        (lambda rows: rows[0].update(multiple_choice_answer=0), "str is needed"),
        (lambda rows: rows.clear(), "no entries"),
    ],
)
def test_bad_annotations(files: tuple[Path, Path, Path], change: Any, told: str) -> None:
    content = copy.deepcopy(ANNOTATIONS)
    change(content["annotations"])
    write_json(files[1], content)
    assert told in complaint(vqa.load, files[0], files[1])


def test_truncated_and_missing(files: tuple[Path, Path, Path]) -> None:
    (files[2] / "COCO_train2014_000000000009.jpg").unlink()
    assert "2 of 2" in complaint(vqa.load, *files)
    assert "breaks off" in complaint(vqa.load, truncate(files[0]))


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "vqav2"
    rows = vqa.load(folder / "vqa_questions_valid.gzip", folder / "vqa_annotatons_valid.gzip")
    assert len(rows) == 8977
    assert len(set(rows["question_id"])) == 8977
    assert set(map(len, rows["answers"])) == {10}
    kinds = Counter(rows["answer_type"])
    assert set(kinds) == {"yes/no", "number", "other"}
    denied = rows.filter(lambda answer: answer == "no", input_columns="answer", keep_in_memory=True)
    assert 0 < len(denied) < kinds["yes/no"]
    assert "file_name" not in rows.column_names
    assert data.report(rows).left_out == ()


def test_all_three_real_parts_have_60000_questions(shared_data: Path) -> None:
    parts = sorted((shared_data / "vqav2").glob("vqa_questions_*.gzip"))
    if len(parts) < 3:
        pytest.skip("only a part of the 60,000 questions is among the sample files")
    rows = [vqa.load(part, part.with_name(part.name.replace("questions", "annotatons"))) for part in parts]
    assert sum(map(len, rows)) == 60_000
