"""PASCAL VOC 2007: Annotations/*.xml, ImageSets/Main/<split>.txt, JPEGImages/*.jpg (docs/protocols.md#mcq)."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from datasets import Dataset

from negutil.data import _reading

FEATURES = _reading.features(
    "image_id, file_name, width: int, height: int, categories: [str], boxes: [[float]], difficult: [bool], "
    "truncated: [bool], poses: [str]"
)
_NOT_VOC = "fix the file or download it again"


def load(folder: Path | str, split: str = "test") -> Dataset:
    """The images of one split ("test", "trainval", ...) with their objects.

    `folder` holds Annotations, ImageSets and JPEGImages (VOCdevkit/VOC2007). Columns: image, image_id ("000001"),
    file_name, width, height (pixels), and per object: categories, boxes ([x, y, width, height], pixels, x and y from 0:
    the published corners count from 1 and include the last pixel), difficult, truncated, poses (None if unstated).
    Raises NegutilError for a missing split, damaged XML, XML with a document type (entities are never expanded), and
    missing images.
    """
    folder = _reading.require_folder(folder)
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    there = ", ".join(sorted(other.stem for other in path.parent.glob("*.txt"))) or "none"
    path = _reading.require_file(path, f"choose an existing split: {there}")
    # Class lists (aeroplane_test.txt) have a second column; only its first is an id.
    ids = [line.split()[0] for line in _reading.read_text(path).splitlines() if line.strip()]
    _reading.unique(_reading.filled(ids, path), "image id", path)
    rows = [_annotation(folder / "Annotations" / f"{name}.xml") for name in ids]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["image_id"] = ids
    source = f"{folder} ({split})"
    return _reading.build(source, FEATURES, columns, pictures=folder / "JPEGImages")


def _annotation(path: Path) -> dict[str, Any]:
    text = _reading.read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        _reading.fail(path, "VOC annotations have no document type or entities, and this one does", _NOT_VOC)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        _reading.fail(path, f"the XML breaks off or is damaged ({error})", _NOT_VOC, error)
    objects = root.findall("object")
    boxes = []
    for item in objects:
        left, top, right, bottom = (_number(item, f"bndbox/{side}", path) for side in ("xmin", "ymin", "xmax", "ymax"))
        if right < left or bottom < top:
            _reading.fail(path, f"the box {(left, top, right, bottom)} ends before it begins", _NOT_VOC)
        boxes.append([left - 1, top - 1, right - left + 1, bottom - top + 1])
    return {
        "file_name": _text(root, "filename", path),
        "width": int(_number(root, "size/width", path)),
        "height": int(_number(root, "size/height", path)),
        "categories": [_text(item, "name", path) for item in objects],
        "boxes": boxes,
        "difficult": [item.findtext("difficult", "0").strip() == "1" for item in objects],
        "truncated": [item.findtext("truncated", "0").strip() == "1" for item in objects],
        "poses": [item.findtext("pose") for item in objects],
    }


def _text(element: ElementTree.Element, name: str, path: Path) -> str:
    text = element.findtext(name, "").strip()
    if not text:
        _reading.fail(path, f"<{element.tag}> has no <{name}>", _NOT_VOC)
    return text


def _number(element: ElementTree.Element, name: str, path: Path) -> float:
    text = _text(element, name, path)
    try:
        return float(text)
    except ValueError as error:
        _reading.fail(path, f"<{name}> is {text!r}, but a number is needed", _NOT_VOC, error)
