"""MS COCO: captions_*.json and instances_*.json with a folder of images (docs/protocols.md#retrieval)."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from pycocotools import mask as coco_mask

from negutil.data import _reading
from negutil.data._reading import NUMBER
from negutil.errors import NegutilError

FEATURES = _reading.features(
    "image_id: int, file_name, width: int, height: int, captions: [str], caption_ids: [int], categories: [str], "
    "supercategories: [str], category_ids: [int], annotation_ids: [int], boxes: [[float]], areas: [float], "
    "segmentations: [str], is_crowd: [bool], implied: [str]"
)
_IMAGE = {"id": int, "file_name": str, "width": int, "height": int}
_CAPTION = {"id": int, "image_id": int, "caption": str}
_INSTANCE = {"id": int, "image_id": int, "category_id": int, "bbox": list}
_CATEGORY = {"id": int, "name": str}


def load(
    captions: Path | str | None = None,
    instances: Path | str | None = None,
    pictures: Path | str | None = None,
) -> Dataset:
    """Images with their captions, their objects, or both; either file may be left out, and so may the images.

    Columns: image (datasets.Image; only with `pictures`), image_id, file_name, width, height (pixels); from the
    captions file: captions, caption_ids; from the instances file, one entry per object: categories (names),
    supercategories, category_ids (the official ids, which have gaps: 1 to 90 for 80 categories), annotation_ids, boxes
    ([x, y, width, height], pixels), areas (square pixels), segmentations (JSON of polygons or run-length code, see
    `mask`), is_crowd; and implied, the categories that an image may show without being labelled with them (in files of
    `negutil.captions.photographs` alone). Images come in the order of the files; without objects the lists are empty.
    It is unknown what images show that an instances file does not list: beside one they are left out, and
    counted in the report as "unlisted". Raises NegutilError for damaged files, duplicate ids, and annotations of
    unknown images or categories.
    """
    if captions is None and instances is None:
        _reading.fail("COCO", "neither a captions nor an instances file was given", "name at least one of them")
    columns: dict[str, list[Any]] = {}
    listed: set[int] = set()
    images: dict[int, tuple[str, int, int]] = {}
    contents = {path: _reading.read_json(path) for path in (captions, instances) if path is not None}
    for path, content in contents.items():
        read = _reading.json_columns(path, _IMAGE, key="images", different="id", content=content)
        listed = set(read["id"])  # in the end, those of the instances file where there is one
        for image_id, *facts in zip(*(read[name] for name in _IMAGE), strict=True):
            if images.setdefault(image_id, tuple(facts)) != tuple(facts):
                problem = f"image {image_id} is {facts}, but {images[image_id]} in the other file"
                _reading.fail(f'{path}, "images"', problem, "use the captions and instances of the same release")
    if captions is not None:
        content = contents[captions]
        read = _reading.json_columns(captions, _CAPTION, key="annotations", different="id", content=content)
        _reading.known(read["image_id"], images, "image_id", f'{captions}, "annotations"')
        by_caption: dict[str, list[Any]] = {"captions": read["caption"], "caption_ids": read["id"]}
        columns |= _per_image(by_caption, read["image_id"], list(images))
    if instances is not None:
        columns |= instance_columns(contents[instances], instances, list(images))
    columns["image_id"] = list(images)
    columns["file_name"], columns["width"], columns["height"] = map(list, zip(*images.values(), strict=True))
    source = " and ".join(str(path) for path in contents)
    kept = [row for row, image_id in enumerate(images) if instances is None or image_id in listed]
    counts = {"unlisted": len(images) - len(kept)}
    if counts["unlisted"]:
        columns = _reading.take(columns, kept)
    return _reading.build(source, FEATURES, columns, pictures=pictures, counts=counts)


def instance_columns(content: Any, path: Path | str, images: Sequence[int]) -> dict[str, list[Any]]:
    """The object columns of `load` for the images `images`, from the content of an instances file."""
    where = f'{path}, "annotations"'
    optional: dict[str, _reading.Kinds] = {"area": NUMBER, "iscrowd": int, "segmentation": (list, dict)}
    read = _reading.json_columns(path, _INSTANCE, optional, key="annotations", different="id", content=content)
    _reading.known(read["image_id"], images, "image_id", where)
    _reading.check_boxes(read["bbox"], "bbox", where)
    names, supers = categories(content, path)
    _reading.known(read["category_id"], names, "category_id", where)
    columns: dict[str, list[Any]] = {
        "categories": [names[number] for number in read["category_id"]],
        "supercategories": [supers[number] for number in read["category_id"]],
        "category_ids": read["category_id"],
        "annotation_ids": read["id"],
        "boxes": read["bbox"],
        "areas": [
            box[2] * box[3] if area is None else area for area, box in zip(read["area"], read["bbox"], strict=True)
        ],
        "segmentations": [None if shape is None else json.dumps(shape) for shape in read["segmentation"]],
        "is_crowd": [bool(crowd) for crowd in read["iscrowd"]],
    }
    named = _reading.json_columns(path, {"id": int}, {"implied": list}, key="images", content=content)
    implied = dict(zip(named["id"], named["implied"], strict=True))
    return _per_image(columns, read["image_id"], images) | {"implied": [implied.get(image) or [] for image in images]}


def categories(content: Any, path: Path | str) -> tuple[dict[int, str], dict[int, str | None]]:
    """Names and supercategories by official category id; gaps in the ids are kept, never renumbered."""
    optional = {"supercategory": str}
    read = _reading.json_columns(path, _CATEGORY, optional, key="categories", different="id", content=content)
    return dict(zip(read["id"], read["name"], strict=True)), dict(zip(read["id"], read["supercategory"], strict=True))


def _per_image(columns: Mapping[str, list[Any]], owners: Sequence[int], images: Sequence[int]) -> dict[str, list[Any]]:
    rows = defaultdict(list)
    for row, owner in enumerate(owners):
        rows[owner].append(row)
    return {name: [[values[row] for row in rows[image]] for image in images] for name, values in columns.items()}


def mask(segmentation: str, height: int, width: int, source: object = "segmentation") -> np.ndarray:
    """The mask of one entry of "segmentations": bool [height, width], drawn by pycocotools.

    Raises NegutilError, naming ``source``, where it is neither polygons of three points or more nor run-length code
    that covers the image: pycocotools would fill what is left with whatever is in memory.
    """
    shape = json.loads(segmentation)
    try:
        covered = sum(_runs(shape["counts"])) if isinstance(shape, dict) else height * width
        if covered != height * width:
            problem = f"its run-length code covers {covered} of {height * width} pixels"
            _reading.fail(source, problem, "fetch the annotations again")
        if isinstance(shape, list) and any(len(polygon) == 4 for polygon in shape):
            # pycocotools would take its four numbers for a box.
            _reading.fail(source, "it has a polygon of two points instead of at least three", "fix or remove it")
        if isinstance(shape, dict):
            coded = coco_mask.frPyObjects(shape, height, width) if isinstance(shape["counts"], list) else shape
        else:
            coded = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
        drawn = coco_mask.decode(coded).astype(bool)
    except NegutilError:
        raise
    except Exception as error:  # pycocotools raises bare Exceptions
        _reading.fail(source, f"{segmentation:.60} is neither polygons nor run-length code", "fix it", error)
    if drawn.shape != (height, width):
        _reading.fail(source, f"its size {drawn.shape} is not the image's {(height, width)}", "fix it")
    return drawn


def _runs(counts: list[int] | str) -> list[int]:
    """The run lengths of a run-length code, written out or compressed as COCO does (pycocotools' rleFrString)."""
    if isinstance(counts, list):
        return counts
    lengths: list[int] = []
    place = 0
    while place < len(counts):
        value, bits, more = 0, 0, True
        while more:
            piece = ord(counts[place]) - 48
            value |= (piece & 31) << bits
            more, place, bits = bool(piece & 32), place + 1, bits + 5
        if piece & 16:  # a negative number in two's complement
            value -= 1 << bits
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    return lengths
