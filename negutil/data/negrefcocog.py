"""NegRefCOCOg: NegRefCOCOg.json and a folder of COCO train2014 pictures (docs/protocols.md#negrefcocog).

One row per phrase. Built from a pyarrow table in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, List

from negutil.data import _reading
from negutil.data._reading import INTEGER, REAL, STRING

FEATURES = {"file_name": STRING, "phrase": STRING, "boxes": List(List(REAL)), "correct": INTEGER}
_ROW = {"image": str, "phrase": str, "ref_bbox": list, "bbox_list": list}


def load(file: Path | str, pictures: Path | str | None = None, missing: _reading.Missing = "error") -> Dataset:
    """Negated phrases, each with two boxes of the same picture, one of which it describes.

    Columns: image (only with `pictures`), file_name, phrase, boxes (two of [x, y, width, height], pixels), correct
    (index of ref_bbox in boxes; in the published file always 0, so shuffle before scoring). Raises NegutilError for
    damaged JSON, another number of boxes, and a ref_bbox that is not among the boxes.
    """
    read = _reading.fields(_reading.filled(_reading.read_json(file), file), _ROW, file)
    _reading.check_boxes(read["ref_bbox"], "ref_bbox", file)
    pairs = list(zip(read["ref_bbox"], read["bbox_list"], strict=True))
    columns: dict[str, list[Any]] = {
        "file_name": read["image"],
        "phrase": read["phrase"],
        "boxes": read["bbox_list"],
        "correct": [_correct(box, boxes, row, file) for row, (box, boxes) in enumerate(pairs)],
    }
    columns |= _reading.picture_column(columns, pictures, file, missing)
    return _reading.build(file, FEATURES, columns)


def _correct(box: list[float], boxes: list[Any], row: int, file: Path | str) -> int:
    _reading.check_boxes(boxes, "bbox_list", f"{file}, entry {row}")
    if len(boxes) != 2 or boxes.count(box) != 1:
        problem = (
            f"entry {row} has {len(boxes)} boxes, {boxes.count(box)} of them the ref_bbox, where 2 and 1 are needed"
        )
        _reading.fail(file, problem, "mend that entry or fetch the file again")
    return boxes.index(box)
