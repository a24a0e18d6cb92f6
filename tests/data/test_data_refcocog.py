from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from data_files import complaint, part_of, picture, truncate, write_json

from negutil import data
from negutil.data import coco, refcocog

INSTANCES: dict[str, Any] = {
    "images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "width": 12, "height": 8}],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}],
    "annotations": [
        {"id": 31, "image_id": 9, "category_id": 18, "bbox": [1, 2, 4, 3], "segmentation": [[1, 2, 5, 2, 5, 5, 1, 5]]},
        {"id": 32, "image_id": 9, "category_id": 18, "bbox": [6, 2, 4, 3], "segmentation": [[6, 2, 9, 2, 9, 5, 6, 5]]},
    ],
}


def sentence(number: int, text: str) -> dict[str, Any]:
    return {"sent_id": number, "sent": text, "raw": text.title() + ".", "tokens": text.split()}


def ref(ref_id: int, ann_id: int, split: str, *sentences: dict[str, Any]) -> dict[str, Any]:
    name = f"COCO_train2014_000000000009_{ann_id}.jpg"
    facts = {"ref_id": ref_id, "ann_id": ann_id, "image_id": 9, "category_id": 18, "file_name": name, "split": split}
    return {**facts, "sent_ids": [said["sent_id"] for said in sentences], "sentences": list(sentences)}


REFS = [
    ref(1, 31, "train", sentence(11, "the dog without a collar"), sentence(12, "left dog")),
    ref(2, 32, "val", sentence(13, "the other dog")),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "instances.json", INSTANCES)
    write_json(tmp_path / "refs(umd).json", REFS)
    picture(tmp_path / "train2014" / "COCO_train2014_000000000009.jpg")
    return tmp_path


def test_round_trip(folder: Path) -> None:
    rows = refcocog.load(folder, pictures=folder / "train2014")
    assert rows["sent_id"][:] == [11, 12, 13]
    assert rows["sentence"][0] == "the dog without a collar"
    assert rows["raw"][1] == "Left Dog."
    assert rows["box"][:] == [[1, 2, 4, 3], [1, 2, 4, 3], [6, 2, 4, 3]]
    assert rows["category"][:] == ["dog"] * 3
    # The picture's own name, not the one with the annotation id that the refs file has.
    assert rows["file_name"][0] == "COCO_train2014_000000000009.jpg"
    assert rows[0]["image"].size == (rows[0]["width"], rows[0]["height"]) == (12, 8)
    assert coco.mask(rows[0]["segmentation"], 8, 12).sum() == 12


def test_one_split(folder: Path) -> None:
    assert refcocog.load(folder, split="val")["sent_id"][:] == [13]
    assert "train, val" in complaint(refcocog.load, folder, split="test")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_published_pickle_is_read(folder: Path, protocol: int) -> None:
    expected = refcocog.load(folder).to_dict()
    (folder / "refs(umd).json").unlink()
    (folder / "refs(umd).p").write_bytes(pickle.dumps(REFS, protocol))
    assert refcocog.load(folder).to_dict() == expected


def test_byte_strings_of_python_2_become_text(folder: Path) -> None:
    (folder / "refs(google).p").write_bytes(b"(lp0\n(dp1\nS'split'\np2\nS'train'\np3\nsa.")
    assert refcocog.read_refs(folder, "google") == [{"split": "train"}]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hacked",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_with_code_is_refused_and_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(folder)
    (folder / "refs(evil).p").write_bytes(pickle.dumps([Malicious()], protocol))
    message = complaint(refcocog.load, folder, "evil")
    assert "was not loaded" in message
    assert "mkdir" in message
    assert not (folder / "hacked").exists()


def test_harmless_classes_are_refused_too(folder: Path) -> None:
    (folder / "refs(evil).p").write_bytes(pickle.dumps([Path("a")]))
    assert "pathlib" in complaint(refcocog.load, folder, "evil")


@pytest.mark.parametrize("length", [5, 40])
def test_truncated_pickle(folder: Path, length: int) -> None:
    (folder / "refs(cut).p").write_bytes(pickle.dumps(REFS)[:length])
    assert "refs(cut).p" in complaint(refcocog.load, folder, "cut")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda refs: refs[0].update(ann_id=99), "unknown ann_id"),
        (lambda refs: refs[0].update(image_id=8), "is about image 8"),
        (lambda refs: refs[1].update(ref_id=1), "repeats the ref_id"),
        (lambda refs: refs[1]["sentences"][0].update(sent_id=11), "repeats the sent_id"),
        (lambda refs: refs[0]["sentences"][1].pop("sent"), 'entry 1 has no "sent"'),
        (lambda refs: refs[0].update(sentences=[]), "no entries"),
        (lambda refs: refs[0].pop("split"), 'no "split"'),
        (lambda refs: refs.clear(), "no entries"),
    ],
)
def test_bad_refs(folder: Path, change: Any, told: str) -> None:
    refs = copy.deepcopy(REFS)
    change(refs)
    write_json(folder / "refs(umd).json", refs)
    message = complaint(refcocog.load, folder)
    assert told in message
    assert "refs(umd)" in message


def test_missing_files(folder: Path) -> None:
    assert "refs(unc).json" in complaint(refcocog.load, folder, "unc")
    truncate(folder / "instances.json")
    assert "instances.json" in complaint(refcocog.load, folder)
    (folder / "instances.json").unlink()
    assert "no such file" in complaint(refcocog.load, folder)


def test_missing_pictures(folder: Path) -> None:
    other = {"id": 8, "file_name": "COCO_train2014_000000000008.jpg", "width": 12, "height": 8}
    content = copy.deepcopy(INSTANCES)
    content["images"].append(other)
    content["annotations"][1]["image_id"] = 8
    write_json(folder / "instances.json", content)
    refs = copy.deepcopy(REFS)
    refs[1]["image_id"] = 8
    write_json(folder / "refs(umd).json", refs)
    assert "1 of 3" in complaint(refcocog.load, folder, pictures=folder / "train2014")
    rows = part_of(refcocog.load, folder, pictures=folder / "train2014")
    assert data.report(rows).first_missing == other["file_name"]
