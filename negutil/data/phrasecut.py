"""PhraseCut: refer_<split>.json and a folder of Visual Genome images (docs/protocols.md#segmentation)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from negutil.data import _reading, coco
from negutil.data._reading import NUMBER

FEATURES = _reading.features(
    "task_id, image_id: int, file_name, phrase, name, attributes: [str], relations: [str], boxes: [[float]], "
    "polygons, width: int, height: int"
)
_TASK = {"task_id": str, "image_id": int, "phrase": str, "instance_boxes": list, "Polygons": list}


def load(
    file: Path | str,
    pictures: Path | str | None = None,
    image_data: Path | str | None = None,
) -> Dataset:
    """Phrases, each with all regions that it refers to.

    Columns: image (only with `pictures`), task_id, image_id, file_name ("<image_id>.jpg"), phrase, name, attributes and
    relations ("on a table") from phrase_structure (None if it is empty), boxes ([x, y, width, height], pixels, one
    per instance), polygons (JSON, instances x polygons x points; see `mask`), and with `image_data`
    (image_data_split3000.json) width and height. Every row is returned: the 17 tasks that CLIPSeg's code leaves out are
    for the evaluation to drop. Raises NegutilError for damaged files, duplicate task ids, and unknown images.
    """
    read = _reading.json_columns(file, _TASK, {"phrase_structure": dict}, different="task_id")
    for boxes in read["instance_boxes"]:
        _reading.check_boxes(boxes, "instance_boxes", file)
    structures = [structure or {} for structure in read["phrase_structure"]]
    relations: list[list[str] | None] = []
    for row, (structure, shape) in enumerate(zip(structures, read["Polygons"], strict=True)):
        words = structure.get("relation_descriptions")
        try:
            relations.append(None if words is None else [" ".join(pair) for pair in words])
        except TypeError as error:
            problem = f'entry {row} has "relation_descriptions" that are not pairs of words'
            _reading.fail(file, problem, "fix that entry", error)
        try:
            points = [point for instance in shape for polygon in instance for point in polygon]
            good = all(len(point) == 2 and {type(point[0]), type(point[1])} <= {*NUMBER} for point in points)
        except (TypeError, KeyError):
            good = False
        if not good:
            problem = f'entry {row} has "Polygons" that are not instances of polygons of [x, y] points'
            _reading.fail(file, problem, "fix that entry")
    columns: dict[str, list[Any]] = {
        "task_id": read["task_id"],
        "image_id": read["image_id"],
        "file_name": [f"{image_id}.jpg" for image_id in read["image_id"]],
        "phrase": read["phrase"],
        "name": [structure.get("name") for structure in structures],
        "attributes": [structure.get("attributes") for structure in structures],
        "relations": relations,
        "boxes": read["instance_boxes"],
        "polygons": list(map(json.dumps, read["Polygons"])),
    }
    if image_data is not None:
        sizes = _reading.json_columns(image_data, {"image_id": int, "width": int, "height": int})
        row_of = {image_id: row for row, image_id in enumerate(sizes["image_id"])}
        _reading.known(read["image_id"], row_of, f"image_id (it is not in {Path(image_data).name})", image_data)
        rows = [row_of[image_id] for image_id in read["image_id"]]
        columns |= {side: [sizes[side][row] for row in rows] for side in ("width", "height")}
    return _reading.build(file, FEATURES, columns, pictures=pictures)


def mask(polygons: str, height: int, width: int) -> np.ndarray:
    """The union of all regions of a phrase: bool [height, width], drawn by pycocotools."""
    flat = [
        [coordinate for point in polygon for coordinate in point]
        for instance in json.loads(polygons)
        for polygon in instance
        if len(polygon) >= 3
    ]
    return coco.mask(json.dumps(flat), height, width) if flat else np.zeros((height, width), dtype=bool)
