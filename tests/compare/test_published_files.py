from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from negutil.compare import negbench
from negutil.results import Record

COCO = "COCO_val_mcq_llama3.1_rephrased.csv"
HEADER = ["image_path", "correct_answer", *(f"caption_{number}" for number in range(4)), "correct_answer_template"]


def write(path: Path, correct: list[int], options: list[str]) -> Path:
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerows([HEADER, *([f"{i}.jpg", right, *options, "hybrid"] for i, right in enumerate(correct))])
    return path


def test_positions_of_the_right_options() -> None:
    first = negbench.positions(np.zeros(4000, int))
    assert first["right option first"] == 1
    assert first["constant scorer, argmax"] == 1
    assert first["constant scorer, strict"] == 0
    assert first["constant scorer, argmax, shuffled"] == pytest.approx(0.25, abs=0.03)
    mixed = negbench.positions([0, 1, 1, 3])
    assert (mixed["right option first"], mixed["constant scorer, argmax"]) == (0.25, 0.25)


def test_constant_scorers_of_files(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.csv", [0, 0, 0, 7], ["A cat.", "No cat.", "A dog.", "No dog."]),
        write(tmp_path / "b.csv", [0, 1], ["A cat.", "No cat.", "A cat.", "No dog."]),
    ]
    found = {(one.task, one.model, one.metric): one for one in negbench.file_records(paths)}
    first, second = (found[path.name, "constant scorer, argmax", "accuracy"] for path in paths)
    assert (first.value, first.n) == (1.0, 3)
    assert (second.value, second.n) == (0.5, 2)
    assert found["a.csv", "constant scorer, strict", "accuracy"].value == 0


@pytest.fixture(scope="module")
def published(shared_data: Path) -> list[Record]:
    """What the published COCO file gives away."""
    return negbench.file_records([shared_data / "negbench" / COCO])


def test_the_published_coco_file_gives_a_constant_scorer_everything(published: list[Record]) -> None:
    found = {one.model: one for one in published if one.metric == "accuracy"}
    assert found["constant scorer, argmax"].n == 5914
    assert found["constant scorer, argmax"].value == 1
    assert found["constant scorer, strict"].value == 0
    assert found["constant scorer, argmax, shuffled"].value == pytest.approx(0.25, abs=0.02)


def test_a_look_at_the_sentences_alone_as_records(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(HEADER)
        for i in range(40):
            rows.writerow([f"{i}.jpg", 0, "There is a cat.", "A dog, but no cat.", "no dog", "no cat", "positive"])
    found = {(record.model, record.metric): record for record in negbench.file_records([path])}
    assert found["blind: without cue", "accuracy on positive"].value == 1
    assert found["blind: bag of words", "accuracy"].value == 1
    assert found["blind: shortest", "accuracy"].value == 0
    assert found["constant scorer, argmax", "accuracy"].value == 1
    assert {record.n for record in found.values()} == {40}


def test_the_kept_numbers_are_those_of_the_published_file(published: list[Record]) -> None:
    rows = negbench.file_counts()
    kept = rows[rows["task"] == COCO].set_index(["model", "metric"])["value"]
    now = {(record.model, record.metric): record.value for record in published}
    assert set(kept.index) == set(now)
    assert all(kept[key] == pytest.approx(value, abs=0.002) for key, value in now.items())
