"""PASCAL VOC 2007: Annotations/*.xml, ImageSets/Main/*.txt, JPEGImages/*.jpg under VOCdevkit/VOC2007.

Twenty nouns of the world take the places of VOC's classes. As in VOC, every picture has at least one of them, other
things are not annotated, women and babies are persons, and the corners of boxes count from 1 and include the last
pixel.

See docs/protocols.md#mcq.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from miniworld import scenes, truth
from miniworld.scenes import SIZE, Scene
from miniworld.writers import _shared
from miniworld.writers._shared import Entry
from negutil.captions.english import SUPERCATEGORY
from negutil.config import Splits

CLASSES = (
    *("plane", "bicycle", "crow", "sailboat", "bottle", "bus", "car", "cat", "chair", "cow", "bed", "dog", "horse"),
    *("motorcycle", "person", "tree", "otter", "couch", "train", "laptop"),
)
ROOT = Path("VOCdevkit") / "VOC2007"
FIRST_ID = {"train": 1, "val": 300_001, "test": 600_001}


def class_of(noun: str) -> str | None:
    """The class that VOC would call a noun, or None where it would not annotate it."""
    name = "person" if SUPERCATEGORY[noun] == "person" else noun
    return name if name in CLASSES else None


def classes(scene: Scene) -> set[str]:
    """The classes that are in the picture."""
    return {name for noun in scene.nouns if (name := class_of(noun))}


def _sample(rng: random.Random) -> Scene:
    """A scene with at least one thing of the twenty classes."""
    while True:
        scene = scenes.sample(rng)
        if classes(scene):
            return scene


def _add(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _annotation(entry: Entry) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, folder="VOC2007", filename=Path(entry.file_name).name)
    _add(ElementTree.SubElement(root, "source"), database="The mini world", annotation="negutil", image="negutil")
    _add(ElementTree.SubElement(root, "size"), width=SIZE, height=SIZE, depth=3)
    _add(root, segmented=0)
    scene = entry.scene
    for instance, mask, whole in zip(truth.instances(scene), truth.masks(scene), truth.whole_areas(scene), strict=True):
        name = class_of(instance.noun)
        if name is None:
            continue
        x, y, width, height = truth.tight_box(mask)
        hidden = int(mask.sum()) < whole
        item = ElementTree.SubElement(root, "object")
        _add(item, name=name, pose="Unspecified", truncated=int(hidden), difficult=0)
        _add(ElementTree.SubElement(item, "bndbox"), xmin=x + 1, ymin=y + 1, xmax=x + width, ymax=y + height)
    return root


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest."""
    named = _shared.numbered(FIRST_ID, ROOT.as_posix() + "/JPEGImages/{:06d}.jpg")
    drawn = list(_shared.entries("voc", sizes, seed, _sample, named))
    _shared.write_pictures(folder, drawn)
    annotations, sets = folder / ROOT / "Annotations", folder / ROOT / "ImageSets" / "Main"
    annotations.mkdir()
    sets.mkdir(parents=True)
    for entry in drawn:
        root = _annotation(entry)
        ElementTree.indent(root, "\t")
        text = ElementTree.tostring(root, encoding="unicode") + "\n"
        (annotations / f"{entry.image_id:06d}.xml").write_text(text, encoding="utf-8")
    for split in _shared.size_of(sizes):
        # The list of a split, and one list per class with 1 where the class is in the picture and -1 where it is not.
        chosen = _shared.of_split(drawn, split)
        ids, there = [f"{entry.image_id:06d}" for entry in chosen], [classes(entry.scene) for entry in chosen]
        (sets / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
        for noun in CLASSES:
            flags = zip(ids, [1 if noun in seen else -1 for seen in there], strict=True)
            lines = "".join(f"{name} {flag:2d}\n" for name, flag in flags)
            (sets / f"{noun}_{split}.txt").write_text(lines, encoding="utf-8")
    return {"counts": _shared.size_of(sizes), "classes": list(CLASSES)}
