from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import complaint, part_of, picture, truncate, write_json
from datasets import Image
from pycocotools import mask as coco_mask

from negutil import data
from negutil.data import coco

IMAGES = [
    {"id": 7, "file_name": "000000000007.png", "width": 12, "height": 8, "license": 1},
    {"id": 3, "file_name": "000000000003.png", "width": 12, "height": 8},
]
CAPTIONS: dict[str, Any] = {
    "images": IMAGES,
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "a dog"},
        {"id": 2, "image_id": 7, "caption": "a dog and a bus"},
    ],
}
# The official category ids have gaps: 12 is none.
INSTANCES: dict[str, Any] = {
    "images": IMAGES,
    "categories": [
        {"id": 11, "name": "fire hydrant", "supercategory": "outdoor"},
        {"id": 13, "name": "stop sign", "supercategory": "outdoor"},
        {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
    ],
    "annotations": [
        {
            "id": 5,
            "image_id": 3,
            "category_id": 90,
            "bbox": [1.0, 2, 4, 3],
            "area": 12,
            "iscrowd": 0,
            "segmentation": [[1, 2, 5, 2, 5, 5, 1, 5]],
        },
        {
            "id": 6,
            "image_id": 3,
            "category_id": 11,
            "bbox": [0, 0, 12, 8],
            "area": 95.5,
            "iscrowd": 1,
            "segmentation": {"counts": [8, 88], "size": [8, 12]},
        },
    ],
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    for image in IMAGES:
        picture(tmp_path / "val2017" / str(image["file_name"]))
    captions = write_json(tmp_path / "annotations" / "captions_val2017.json", CAPTIONS)
    return captions, write_json(tmp_path / "annotations" / "instances_val2017.json", INSTANCES), tmp_path / "val2017"


def test_round_trip(files: tuple[Path, Path, Path]) -> None:
    rows = coco.load(*files)
    assert isinstance(rows.features["image"], Image)
    assert rows["image_id"][:] == [7, 3]
    assert rows[0]["captions"] == ["a dog", "a dog and a bus"]
    assert rows[0]["categories"] == rows[1]["captions"] == []
    assert rows[1]["categories"] == ["toothbrush", "fire hydrant"]
    assert rows[1]["supercategories"] == ["indoor", "outdoor"]
    assert rows[1]["category_ids"] == [90, 11]
    assert rows[1]["boxes"] == [[1, 2, 4, 3], [0, 0, 12, 8]]
    assert rows[1]["is_crowd"] == [False, True]
    assert rows[1]["image"].size == (12, 8)


def test_either_file_alone(files: tuple[Path, Path, Path]) -> None:
    assert "boxes" not in coco.load(captions=files[0]).column_names
    assert "captions" not in coco.load(instances=files[1]).column_names
    assert "neither" in complaint(coco.load)


def test_masks_of_polygons_and_run_lengths(files: tuple[Path, Path, Path]) -> None:
    polygon, crowd = coco.load(*files)[1]["segmentations"]
    expected = np.zeros((8, 12), dtype=bool)
    expected[2:5, 1:5] = True
    np.testing.assert_array_equal(coco.mask(polygon, 8, 12), expected)
    assert coco.mask(crowd, 8, 12).sum() == 88
    assert "neither polygons" in complaint(coco.mask, '[["a"]]', 8, 12)
    assert "size" in complaint(coco.mask, crowd, 12, 8)
    told = complaint(coco.mask, "[[1, 1, 5, 5]]", 8, 12, "instances.json, annotation 7")
    assert told.startswith("instances.json, annotation 7: it has a polygon of two points")


@pytest.mark.parametrize("counts", [[0, 5], [], [0, 20, 9999], "05", ""])
def test_run_lengths_that_do_not_cover_the_picture_are_refused(counts: list[int] | str) -> None:
    told = complaint(
        coco.mask, json.dumps({"size": [20, 30], "counts": counts}), 20, 30, "instances.json, annotation 7"
    )
    assert told.startswith("instances.json, annotation 7: its run-length code covers") and "of 600 pixels" in told


def test_compressed_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        drawn = np.asfortranarray(rng.random((37, 53)) < share)
        coded = coco_mask.encode(drawn.astype(np.uint8))
        text = json.dumps({"size": [37, 53], "counts": coded["counts"].decode()})
        assert np.array_equal(coco.mask(text, 37, 53), drawn)


def test_a_real_short_code(shared_data: Path) -> None:
    short = (shared_data / "bad_input" / "rle_short_counts.json").read_text()
    assert "covers 5 of 600 pixels" in complaint(coco.mask, short, 20, 30)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("annotations", 0, "image_id"), 99, "unknown image_id"),
        (("annotations", 1, "category_id"), 12, "unknown category_id"),
        (("annotations", 1, "id"), 5, "repeats the id 5"),
        (("images", 1, "id"), 7, "repeats the id 7"),
        (("annotations", 0, "bbox"), [1, 2, 3], "four numbers"),
        (("annotations", 0, "bbox"), [1, 2, 3, "4"], "four numbers"),
        (("annotations", 0, "segmentation"), "none", "dict or list"),
        (("images", 0, "width"), "12", "int is needed"),
        (("categories", 0), {"id": 11}, 'no "name"'),
        (("annotations",), [], "no entries"),
        (("images",), None, "a list is needed"),
    ],
)
def test_bad_instances(files: tuple[Path, Path, Path], path: tuple[Any, ...], value: Any, told: str) -> None:
    content = copy.deepcopy(INSTANCES)
    place: Any = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    write_json(files[1], content)
    message = complaint(coco.load, None, files[1])
    assert told in message
    assert str(files[1]) in message


def test_bad_captions(files: tuple[Path, Path, Path]) -> None:
    other = {**CAPTIONS, "images": [{**IMAGES[0], "width": 13}, IMAGES[1]]}
    assert "image 7" in complaint(coco.load, write_json(files[0], other), files[1])
    lost = {**CAPTIONS, "annotations": [{"id": 1, "image_id": 8, "caption": "a dog"}]}
    assert "unknown image_id" in complaint(coco.load, write_json(files[0], lost))
    assert "breaks off" in complaint(coco.load, truncate(files[0]))


def test_pictures_that_the_instances_file_does_not_list_are_left_out(files: tuple[Path, Path, Path]) -> None:
    content = json.loads(files[0].read_text())
    extra = {"id": 999, "file_name": "999.jpg", "width": 10, "height": 10}
    content["images"].append(extra)
    content["annotations"].append({"id": 99901, "image_id": 999, "caption": "a horse pulls a wagon"})
    captions = write_json(files[0].with_name("more.json"), content)
    both, alone = coco.load(captions, files[1]), coco.load(captions)
    assert 999 not in both["image_id"] and 999 in alone["image_id"]
    assert data.report(both).counts == {"unlisted": 1}
    assert both["captions"] == coco.load(*files[:2])["captions"]


def test_missing_pictures(files: tuple[Path, Path, Path]) -> None:
    (files[2] / "000000000003.png").unlink()
    assert "1 of 2" in complaint(coco.load, *files)
    rows = part_of(coco.load, *files)
    assert rows["image_id"][:] == [7]
    assert data.report(rows).missing_pictures == 1


def test_real_files(shared_data: Path) -> None:
    annotations = shared_data / "coco" / "annotations"
    captions, instances = annotations / "captions_val2017.json", annotations / "instances_val2017.json"
    rows = coco.load(captions, instances)
    assert len(rows) == 79
    assert sum(map(len, rows["captions"])) == 395
    assert sum(map(len, rows["boxes"])) == 624
    assert sum(map(sum, rows["is_crowd"])) == 5
    with_pictures = part_of(coco.load, captions, instances, shared_data / "coco" / "val2017")
    told = data.report(with_pictures)
    assert (told.rows, told.missing_pictures) == (40, 39)
    for row in with_pictures.select(range(4)):
        assert row["image"].size == (row["width"], row["height"])


def test_real_masks_have_the_published_areas(shared_data: Path) -> None:
    rows = coco.load(instances=shared_data / "coco" / "annotations" / "instances_val2017.json")
    areas, drawn = [], []
    for row in rows:
        for shape, area, crowd in zip(row["segmentations"], row["areas"], row["is_crowd"], strict=True):
            if not crowd:
                areas.append(area)
                drawn.append(coco.mask(shape, row["height"], row["width"]).sum())
    assert len(areas) == 619
    assert np.corrcoef(areas, drawn)[0, 1] > 0.999
