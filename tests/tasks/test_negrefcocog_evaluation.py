from __future__ import annotations

from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pandas as pd
import pytest
from data_files import complaint, write_json
from datasets import Dataset
from PIL import Image

from negutil import data
from negutil.data import negrefcocog as file
from negutil.errors import NegutilError
from negutil.models import encode, loader, scorer
from negutil.models.loader import LoadedModel
from negutil.tasks import Report, negrefcocog

(TASK,) = negrefcocog.TASKS
LEFT, RIGHT = [0.0, 0.0, 30.0, 64.0], [31.6, 10.0, 32.0, 40.2]
ROWS: list[dict[str, Any]] = [
    {"image": "COCO_train2014_0.png", "phrase": "a boy without hat", "ref_bbox": LEFT, "bbox_list": [LEFT, RIGHT]},
    {"image": "COCO_train2014_0.png", "phrase": "the dog not sitting", "ref_bbox": LEFT, "bbox_list": [RIGHT, LEFT]},
    {"image": "COCO_train2014_1.png", "phrase": "cat with no tail", "ref_bbox": RIGHT, "bbox_list": [RIGHT, LEFT]},
    {"image": "COCO_train2014_2.png", "phrase": "she isn't here", "ref_bbox": RIGHT, "bbox_list": [LEFT, RIGHT]},
    {"image": "COCO_train2014_2.png", "phrase": "nobody", "ref_bbox": LEFT, "bbox_list": [LEFT, [0.0, 0.0, 30.0, 64]]},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path_factory.mktemp("weights")))


def read(folder: Path, content: list[dict[str, Any]]) -> Dataset:
    for number, picture in enumerate(model_files.pictures()):
        Image.fromarray(picture).save(folder / f"COCO_train2014_{number}.png")
    return file.load(write_json(folder / "NegRefCOCOg.json", content), folder)


def rules(rows: Dataset) -> dict[str, pd.DataFrame]:
    return {name: frames[TASK.title] for name, frames in TASK.rules(rows).items()}


@pytest.fixture
def rows(tmp_path: Path) -> Dataset:
    return read(tmp_path, ROWS[:4])


def test_each_box_is_cut_out_and_scored_by_itself(model: LoadedModel, rows: Dataset) -> None:
    found = TASK.evaluate(model, rows)[TASK.title]
    for row in range(4):
        picture, boxes, right = rows[row]["image"], ROWS[row]["bbox_list"], ROWS[row]["ref_bbox"]
        cut = encode.images(model, [picture.crop((x, y, x + w, y + h)) for x, y, w, h in boxes], cached=False)
        own = cut @ encode.texts(model, [ROWS[row]["phrase"]])[0]
        best = boxes.index(right)
        assert found["margin"][row] == pytest.approx(own[best] - own[1 - best], abs=1e-5)
        assert found["right"][row] == (found["margin"][row] > 0)
    assert found["type"].tolist() == ["without", "not", "no", "not"]
    assert found["cluster"].tolist() == [row["image"] for row in ROWS[:4]]


def test_the_same_crop_twice_is_a_tie_and_loses(model: LoadedModel, tmp_path: Path) -> None:
    twice = {**ROWS[4], "bbox_list": [LEFT, [*LEFT[:3], 64.4]]}
    found = TASK.evaluate(model, read(tmp_path, [twice]))[TASK.title]
    assert found["tie"].tolist() == [True]
    assert found["right"].tolist() == [False]
    assert found["type"].tolist() == ["other"]


def test_other_phrases_take_the_place_of_the_file_s(model: LoadedModel, rows: Dataset) -> None:
    said = ["a boy", "the dog", "cat", "she"]
    who, images = scorer.of(model), encode.images(model, negrefcocog.crops(rows))
    found = negrefcocog.answers(who, rows, images, said)
    assert found["phrase"].tolist() == said
    assert found["type"].tolist() == ["without", "not", "no", "not"], "the type stays that of the file's phrase"
    assert not np.allclose(found["margin"], TASK.evaluate(model, rows)[TASK.title]["margin"])
    with pytest.raises(NegutilError, match="do not fit"):
        negrefcocog.answers(who, rows, images, said[:3])


def test_rules_without_reading(rows: Dataset) -> None:
    found = rules(rows)
    assert found[negrefcocog.FIRST_BOX]["right"].tolist() == [True, False, True, False]
    assert found[negrefcocog.LARGER_BOX]["right"].tolist() == [True, True, False, False]


def test_records_in_total_and_by_cue(rows: Dataset) -> None:
    found = TASK.records(TASK.rules(rows)[negrefcocog.FIRST_BOX], Report("e", "m", 50))
    values = {record.metric: (record.value, record.n) for record in found}
    expected = {
        "accuracy": (0.5, 4),
        "accuracy, not": (0.0, 2),
        "accuracy, without": (1.0, 1),
        "accuracy, no": (1.0, 1),
    }
    assert values == expected


@pytest.mark.parametrize(
    ("box", "told"),
    [([3.0, 4.0, 0.2, 9.0], "too small for a pixel"), ([3.0, 4.0, 1e6, 9.0], "with a side of more than 10,000 pixels")],
)
def test_a_box_that_is_none_is_a_sentence(box: list[float], told: str, tmp_path: Path) -> None:
    bad = {**ROWS[0], "bbox_list": [LEFT, box]}
    rows = read(tmp_path, [ROWS[1], bad])
    message = complaint(negrefcocog.crops, rows)
    assert message.startswith(f"Row 1 of {data.report(rows).source} has the box {box}, {told}")


def test_real_file_gives_everything_to_the_first_box(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "negrefcocog" / "NegRefCOCOg.json"
    found = rules(file.load(path))
    assert found[negrefcocog.FIRST_BOX]["right"].all(), "which is why a tie must not go to the first"
    assert 0.3 < found[negrefcocog.LARGER_BOX]["right"].mean() < 0.7
    assert len(found[negrefcocog.FIRST_BOX]) == 440
    shown_first = (found[negrefcocog.FIRST_BOX]["shown_at"] == 0).mean()
    assert 0.4 < shown_first < 0.6
    (tmp_path / "train2014").mkdir()
    assert "440 of 440 images" in complaint(file.load, path, tmp_path / "train2014")
