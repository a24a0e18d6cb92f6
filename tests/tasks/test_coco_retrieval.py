from __future__ import annotations

import json
from pathlib import Path

import model_files
import numpy as np
import pytest
import torch
from data_files import part_of, write_json

from negutil.data import negrefcocog as boxes_file
from negutil.models import architectures, encode, loader
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.tasks import Report, coco_retrieval, negrefcocog
from negutil.tasks.coco_retrieval import Gallery

REAL = "ViT-B-32-quickgelu"
FEW = 6


@pytest.fixture
def photographs(shared_data: Path) -> Gallery:
    return part_of(coco_retrieval.load, shared_data / "coco", "val2017", FEW)


def test_real_captions_and_photographs_are_paired(photographs: Gallery, shared_data: Path) -> None:
    assert len(photographs.pictures) == FEW
    assert photographs.picture_of_caption == tuple(row for row in range(FEW) for _ in range(5))
    content = json.loads((shared_data / "coco" / "annotations" / "captions_val2017.json").read_text())
    ids = {image["file_name"]: image["id"] for image in content["images"]}
    said = {(entry["image_id"], entry["caption"]) for entry in content["annotations"]}
    for caption, row in zip(photographs.captions, photographs.picture_of_caption, strict=True):
        assert (ids[photographs.names[row]], caption) in said
    everything = part_of(coco_retrieval.load, shared_data / "coco", "val2017")
    assert everything.names[:FEW] == photographs.names
    assert len(everything.names) > FEW


def test_photographs_go_from_file_to_record_with_an_untrained_vit_b_32(
    photographs: Gallery, shared_data: Path, tmp_path: Path
) -> None:
    model = untrained()
    (task,) = coco_retrieval.TASKS
    frames = task.evaluate(model, photographs)
    table = frames[task.title]
    assert len(table) == 5 * FEW
    assert table["rank"].between(1, FEW).all()
    found = {record.metric: record for record in task.records(frames, Report("real", "untrained", 50))}
    assert found["recall@10"].value == 1.0
    assert found["recall@1"].value == pytest.approx((table["rank"] == 1).mean())
    rows = boxes_file.load(_boxes(photographs, shared_data, tmp_path), shared_data / "coco" / "val2017")
    (boxes,) = negrefcocog.TASKS
    record, *_ = boxes.records(boxes.evaluate(model, rows), Report("real", "untrained", 50))
    assert (record.n, record.value) in {(2, 0.0), (2, 0.5), (2, 1.0)}


def untrained() -> LoadedModel:
    """ViT-B-32 with random weights, without the 600 MB file that a registered model has."""
    torch.manual_seed(0)
    model = architectures.build(REAL).eval()
    transform = architectures.open_clip().transform
    preprocess = transform.image_transform_v2(transform.PreprocessCfg(size=224), is_train=False)
    entry = model_files.Entry("untrained", REAL, "quick_gelu", "0", 224, "random", path="none")
    facts = {"weights_sha256": "random", "image_tower_sha256": "random", "architecture": REAL}
    return LoadedModel(model, preprocess, architectures.tokenizer(REAL), entry, torch.float32, "cpu", facts)


def _boxes(photographs: Gallery, shared_data: Path, folder: Path) -> Path:
    """Two rows in NegRefCOCOg's format about real photographs: the first and last object of each."""
    content = json.loads((shared_data / "coco" / "annotations" / "instances_val2017.json").read_text())
    ids = {image["id"]: image["file_name"] for image in content["images"]}
    boxes: dict[str, list[list[float]]] = {}
    for annotation in content["annotations"]:
        if ids[annotation["image_id"]] in photographs.names and min(annotation["bbox"][2:]) > 8:
            boxes.setdefault(ids[annotation["image_id"]], []).append(annotation["bbox"])
    chosen = [(name, own[0], own[-1]) for name, own in boxes.items() if len(own) > 1][:2]
    rows = [
        {"image": name, "phrase": "the thing without a hat", "ref_bbox": first, "bbox_list": [first, last]}
        for name, first, last in chosen
    ]
    return write_json(folder / "boxes.json", rows)


def test_a_constant_scorer_finds_nothing_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loader.load_entry(model_files.write(tmp_path))
    same = np.tile(np.eye(1, 16, dtype=np.float32), (40, 1))
    monkeypatch.setattr(encode, "images", lambda model, pictures, batch: same[: len(pictures)])
    monkeypatch.setattr(encode, "texts", lambda model, texts, batch, share: same[: len(texts)])
    names = tuple(f"{row}.jpg" for row in range(12))
    gallery = Gallery(PictureFiles(names), names, tuple("abcdef"), (0, 0, 1, 2, 3, 4))
    (task,) = coco_retrieval.TASKS
    frames = task.evaluate(model, gallery)
    table = frames[task.title]
    assert table["rank"].tolist() == [12] * 6
    assert table["cluster"].tolist() == ["0.jpg", "0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert [record.value for record in task.records(frames, Report("e", "m", 20))] == [0.0, 0.0, 0.0]
