"""NegRefCOCOg from RefCOCOg: boxes, filters, the published format, and phrases without their negation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniworld import referring
from negutil import config
from negutil.captions import negrefcocog
from negutil.captions.negrefcocog import Filters
from negutil.data import negrefcocog as reader
from negutil.data import source
from negutil.errors import NegutilError

SIZE = (100, 80)


def test_a_box_grows_by_its_size_and_stops_at_the_border_and_at_the_other() -> None:
    alone = negrefcocog.context((40, 30, 10, 20), (0, 0, 100, 80), SIZE)
    assert alone == (30, 10, 30, 60)
    assert negrefcocog.context((40, 30, 10, 20), (52, 30, 10, 20), SIZE) == (30, 10, 22, 60)
    assert negrefcocog.context((40, 30, 10, 20), (25, 30, 13, 20), SIZE) == (38, 10, 22, 60)
    assert negrefcocog.context((40, 30, 10, 20), (42, 60, 10, 20), SIZE) == (30, 10, 30, 50)
    assert negrefcocog.context((5, 5, 10, 10), (80, 60, 10, 10), SIZE) == (0, 0, 25, 25)


boxes = st.tuples(st.integers(0, 80), st.integers(0, 60), st.integers(2, 20), st.integers(2, 20))


@given(boxes, boxes)
def test_a_grown_box_holds_its_object_and_stays_in_the_picture(own: Any, other: Any) -> None:
    x, y, width, height = negrefcocog.context(own, other, SIZE)
    assert 0 <= x <= own[0] and own[0] + own[2] <= x + width <= SIZE[0]
    assert 0 <= y <= own[1] and own[1] + own[3] <= y + height <= SIZE[1]


def refs(folder: Path, phrases: dict[str, int], objects: list[tuple[int, str, list[float]]]) -> Path:
    """RefCOCOg's two files about one picture: phrases with the index of the object they mean, and objects."""
    names = sorted({name for _, name, _ in objects})
    records = [
        {"id": number, "image_id": image, "category_id": names.index(name), "bbox": box, "iscrowd": 0}
        for number, (image, name, box) in enumerate(objects)
    ]
    images = [{"id": 7, "file_name": "COCO_train2014_000000000007.jpg", "width": 100, "height": 80}]
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    content = {"images": images, "annotations": records, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    listed = [
        {
            "ref_id": number,
            "ann_id": target,
            "image_id": 7,
            "split": "val",
            "sentences": [{"sent_id": number, "sent": phrase, "raw": phrase}],
        }
        for number, (phrase, target) in enumerate(phrases.items())
    ]
    (folder / "refs(umd).json").write_text(json.dumps(listed))
    return folder


TWO_DOGS = [
    (7, "dog", [10.0, 30.0, 15.0, 20.0]),
    (7, "dog", [70.0, 30.0, 15.0, 20.0]),
    (7, "cat", [40.0, 5.0, 9.0, 9.0]),
]


def test_rows_have_the_published_form_and_reasons_are_counted(tmp_path: Path) -> None:
    phrases = {
        "a dog without a hat": 0,
        "the red dog": 0,
        "dog no . 2": 1,
        "the dog that is not on the left": 1,
        "a cat with no tail": 2,
    }
    made = negrefcocog.build(refs(tmp_path, phrases, TWO_DOGS))
    (row,) = made.rows
    assert set(row) == {"image", "phrase", "ref_bbox", "bbox_list"}
    assert row["phrase"] == "a dog without a hat"
    assert row["ref_bbox"] == [0.0, 10.0, 40.0, 60.0]
    assert sorted(row["bbox_list"]) == [[0.0, 10.0, 40.0, 60.0], [55.0, 10.0, 45.0, 60.0]]
    assert list(made.dropped.values()) == [1, 1, 1, 1, 0, 0]
    read = reader.load(negrefcocog.write(made, tmp_path))
    assert read["boxes"][0][read["correct"][0]] == row["ref_bbox"]
    places = negrefcocog.build(tmp_path, filters=Filters(places=True))
    assert len(places.rows) == 2


def test_boxes_that_overlap_or_differ_too_much_are_left_out(tmp_path: Path) -> None:
    near = [(7, "dog", [30.0, 30.0, 15.0, 20.0]), (7, "dog", [35.0, 32.0, 15.0, 20.0])]
    with pytest.raises(NegutilError, match="loosen the filters"):
        negrefcocog.build(refs(tmp_path, {"the dog not barking": 0}, near))
    small = [(7, "dog", [2.0, 2.0, 4.0, 4.0]), (7, "dog", [40.0, 30.0, 30.0, 30.0])]
    folder = refs(tmp_path, {"the dog not barking": 0}, small)
    with pytest.raises(NegutilError):
        negrefcocog.build(folder)
    assert len(negrefcocog.build(folder, filters=Filters(ratio=1000)).rows) == 1


def test_a_crop_that_shows_what_the_phrase_denies_is_left_out(tmp_path: Path) -> None:
    hat = (7, "hat", [26.0, 30.0, 10.0, 10.0])
    phrases = {"a dog without a hat": 0, "a dog with a hat, not barking": 0, "the dog that is not red": 0}
    made = negrefcocog.build(refs(tmp_path, phrases, [*TWO_DOGS, hat]))
    assert [row["phrase"] for row in made.rows] == ["a dog with a hat, not barking", "the dog that is not red"]
    assert list(made.dropped.values()) == [0, 0, 0, 0, 0, 1]


def test_of_several_others_the_nearest_in_size_is_taken(tmp_path: Path) -> None:
    three = [*TWO_DOGS[:2], (7, "dog", [45.0, 60.0, 8.0, 8.0])]
    (row,) = negrefcocog.build(refs(tmp_path, {"the dog not barking": 0}, three)).rows
    assert [55.0, 10.0, 45.0, 60.0] in row["bbox_list"]


def test_the_mini_world_makes_rows_with_the_right_box_at_either_place() -> None:
    folder = source.folder(config.load("quick"), "negrefcocog")
    rows = reader.load(folder / negrefcocog.FILE)
    assert len(rows) > 50
    assert 0.3 < np.mean(rows["correct"]) < 0.7
    assert all(negrefcocog.CUES.search(phrase) for phrase in rows["phrase"])
    assert not any("left" in phrase or "right" in phrase for phrase in rows["phrase"])


@pytest.mark.parametrize(
    ("phrase", "affirmed", "bare"),
    [
        ("a boy without hat", "a boy with hat", "a boy"),
        ("the car that is not red", "the car that is red", "the car"),
        ("the car which isn't red", "the car which is red", "the car"),
        ("the non-red car", "the red car", "the car"),
        ("a glass with no drink in it", "a glass with a drink in it", "a glass"),
        ("a chair with no arms", "a chair with arms", "a chair"),
        ("a bench with no one on it", "a bench with someone on it", "a bench"),
        ("a zebra not eating", "a zebra eating", "a zebra"),
        ("the person that never holds a bag", "the person that holds a bag", "the person"),
        ("a cup that does not have a lid", "a cup that has a lid", "a cup"),
        ("a sheep who ' s head isn ' t visible", "a sheep who ' s head is visible", "a sheep who ' s head"),
        ("no hat", "a hat", "no hat"),
    ],
)
def test_negation_is_deleted(phrase: str, affirmed: str, bare: str) -> None:
    assert negrefcocog.affirmed(phrase) == affirmed
    assert negrefcocog.bare(phrase) == bare


def test_no_control_of_the_mini_world_keeps_a_cue() -> None:
    for form in referring.FORMS:
        phrase = form.text.format(noun="car", a_noun="a car", value="red", a_value="a red")
        if form.negated and negrefcocog.CUES.search(phrase):
            assert not negrefcocog.CUES.search(negrefcocog.affirmed(phrase))
            assert negrefcocog.bare(phrase) in ("a car", "the car")


def test_the_authors_phrases_lose_their_negation(shared_data: Path) -> None:
    rows = json.loads((shared_data / "negrefcocog" / "NegRefCOCOg.json").read_text())
    controls = negrefcocog.controls(rows)
    assert len(controls) == 440
    assert controls["phrase"].map(lambda text: bool(negrefcocog.CUES.search(text))).all()
    left = controls["affirmed"].map(lambda text: bool(negrefcocog.CUES.search(text)))
    assert left.sum() <= 4
    assert (controls["bare"].str.len() < controls["phrase"].str.len()).mean() > 0.97


def test_the_authors_boxes_pass_the_filters(shared_data: Path) -> None:
    rows = json.loads((shared_data / "negrefcocog" / "NegRefCOCOg.json").read_text())
    stricter = Filters(overlap=0.27, inside=0.45, ratio=4.5)
    pairs = [(tuple(row["bbox_list"][0]), tuple(row["bbox_list"][1])) for row in rows]
    assert all(negrefcocog.allowed(first, second, Filters()) for first, second in pairs)
    assert not all(negrefcocog.allowed(first, second, stricter) for first, second in pairs)
