"""NegRefCOCOg: NegRefCOCOg.json and a folder of COCO train2014 images (docs/protocols.md#negrefcocog)."""

from pathlib import Path

from datasets import Dataset

from negutil.data import _reading

FEATURES = _reading.features("file_name, phrase, boxes: [[float]], correct: int")
_ROW = {"image": str, "phrase": str, "ref_bbox": list, "bbox_list": list}


def load(file: Path | str, pictures: Path | str | None = None) -> Dataset:
    """Negated phrases, each with two boxes of the same image, one of which it describes.

    Columns: image (only with `pictures`), file_name, phrase, boxes (two of [x, y, width, height], pixels), correct
    (index of ref_bbox in boxes; in the published file always 0, so shuffle before scoring). Raises NegutilError for
    damaged JSON, another number of boxes, and a ref_bbox that is not among the boxes.
    """
    read = _reading.json_columns(file, _ROW)
    _reading.check_boxes(read["ref_bbox"], "ref_bbox", file)
    correct = []
    for row, (box, boxes) in enumerate(zip(read["ref_bbox"], read["bbox_list"], strict=True)):
        _reading.check_boxes(boxes, "bbox_list", f"{file}, entry {row}")
        if len(boxes) != 2 or boxes.count(box) != 1:
            counts = f"{len(boxes)} boxes, {boxes.count(box)} of them the ref_bbox"
            fix = "fix that entry or download the file again"
            _reading.fail(file, f"entry {row} has {counts} instead of 2 and 1", fix)
        correct.append(boxes.index(box))
    names = {"image": "file_name", "phrase": "phrase", "bbox_list": "boxes"}
    columns = {"correct": correct} | {name: read[key] for key, name in names.items()}
    return _reading.build(file, FEATURES, columns, pictures=pictures)
