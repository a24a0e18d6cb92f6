from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import complaint, part_of, picture, truncate, write_json

from negutil import data
from negutil.data import phrasecut

SQUARE = [[1, 2], [5, 2], [5, 5], [1, 5]]
TASKS: list[dict[str, Any]] = [
    {
        "task_id": "61__3001",
        "image_id": 61,
        "ann_ids": [3001],
        "phrase": "red car on street",
        "instance_boxes": [[1, 2, 4.0, 3]],
        "Polygons": [[SQUARE]],
        "phrase_structure": {
            "name": "car",
            "attributes": ["red"],
            "relation_ids": [5],
            "relation_descriptions": [["on", "street"]],
            "type": "relation",
        },
    },
    {
        "task_id": "62__3002_3003",
        "image_id": 62,
        "phrase": "cars",
        "instance_boxes": [[1, 2, 4, 3], [7, 2, 4, 3]],
        "Polygons": [[SQUARE], [[[7.0, 2], [11, 2], [11, 5], [7, 5]], [[0, 0], [1, 1]]]],
        "phrase_structure": {},
    },
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    for number in (61, 62):
        picture(tmp_path / "images" / f"{number}.jpg")
    sizes = [{"image_id": number, "width": 12, "height": 8, "split": "test"} for number in (61, 62, 63)]
    image_data = write_json(tmp_path / "image_data_split3000.json", sizes)
    return write_json(tmp_path / "refer_test.json", TASKS), tmp_path / "images", image_data


def test_round_trip(files: tuple[Path, Path, Path]) -> None:
    rows = phrasecut.load(*files)
    assert rows["task_id"][:] == ["61__3001", "62__3002_3003"]
    assert rows["relations"][:] == [["on street"], None]
    assert rows["attributes"][:] == [["red"], None]
    assert rows["boxes"][1] == [[1, 2, 4, 3], [7, 2, 4, 3]]
    assert rows["width"][:] == [12, 12]
    assert rows[1]["image"].size == (12, 8)
    assert "width" not in phrasecut.load(files[0]).column_names


def test_mask_is_the_union_of_all_instances(files: tuple[Path, Path, Path]) -> None:
    expected = np.zeros((8, 12), dtype=bool)
    expected[2:5, 1:5] = True
    expected[2:5, 7:11] = True
    np.testing.assert_array_equal(phrasecut.mask(phrasecut.load(*files)["polygons"][1], 8, 12), expected)
    assert not phrasecut.mask("[[]]", 8, 12).any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tasks: tasks[1].update(task_id="61__3001"), "repeats the task_id"),
        (lambda tasks: tasks[1].update(image_id=64), "unknown image_id"),
        (lambda tasks: tasks[1].update(Polygons=[[[1, 2]]]), 'entry 1 has "Polygons"'),
        (lambda tasks: tasks[1].update(Polygons=[[[[1, 2, 3]]]]), 'entry 1 has "Polygons"'),
        (lambda tasks: tasks[0].update(instance_boxes=[[1, 2]]), "four numbers"),
        (lambda tasks: tasks[0]["phrase_structure"].update(relation_descriptions=[3]), "relation_descriptions"),
        (lambda tasks: tasks[0].pop("phrase"), 'no "phrase"'),
        (lambda tasks: tasks[0].update(phrase=3), "str is needed"),
        (lambda tasks: tasks.clear(), "no entries"),
    ],
)
def test_bad_tasks(files: tuple[Path, Path, Path], change: Any, told: str) -> None:
    tasks = copy.deepcopy(TASKS)
    change(tasks)
    write_json(files[0], tasks)
    assert told in complaint(phrasecut.load, *files)


def test_truncated_and_missing(files: tuple[Path, Path, Path]) -> None:
    (files[1] / "62.jpg").unlink()
    assert "1 of 2" in complaint(phrasecut.load, *files)
    assert data.report(part_of(phrasecut.load, *files)).first_missing == "62.jpg"
    assert "refer_test.json" in complaint(phrasecut.load, truncate(files[0]))
