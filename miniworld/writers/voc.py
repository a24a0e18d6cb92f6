"""PASCAL VOC 2007: Annotations/*.xml, ImageSets/Main/*.txt, JPEGImages/*.jpg (docs/protocols.md#mcq).

Twenty nouns of the world take the places of VOC's classes. As in VOC, every image has at least one of them, other
things are not annotated, women and babies are persons, and the corners of boxes count from 1 and include the last
pixel.
"""

import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from miniworld import scenes, truth
from miniworld.scenes import SIZE, Scene
from miniworld.truth import Known
from miniworld.writers import _shared
from negutil.captions.english import SUPERCATEGORY
from negutil.config import Splits

CLASSES = (
    *("plane", "bicycle", "crow", "sailboat", "bottle", "bus", "car", "cat", "chair", "cow", "bed", "dog", "horse"),
    *("motorcycle", "person", "tree", "otter", "couch", "train", "laptop"),
)
ROOT = "VOCdevkit/VOC2007"
_PATTERN = f"{ROOT}/JPEGImages/{{:06d}}.jpg"
NAMES = {"train": (1, _PATTERN), "val": (300_001, _PATTERN), "test": (600_001, _PATTERN)}


def class_of(noun: str) -> str | None:
    """The class that VOC would call a noun, or None if it would not annotate it."""
    name = "person" if SUPERCATEGORY[noun] == "person" else noun
    return name if name in CLASSES else None


def classes(scene: Scene) -> set[str]:
    """The classes that are in the image."""
    return {name for noun in scene.nouns if (name := class_of(noun))}


def _sample(rng: random.Random) -> Scene:
    """A scene with at least one thing of the twenty classes."""
    scene = scenes.sample(rng)
    while not classes(scene):
        scene = scenes.sample(rng)
    return scene


def _add(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _annotation(entry: Known) -> str:
    root = ElementTree.Element("annotation")
    _add(root, folder="VOC2007", filename=Path(entry.file_name).name)
    _add(ElementTree.SubElement(root, "source"), database="The mini world", annotation="negutil", image="negutil")
    _add(ElementTree.SubElement(root, "size"), width=SIZE, height=SIZE, depth=3)
    _add(root, segmented=0)
    scene = entry.scene
    for instance, mask, whole in zip(truth.instances(scene), truth.masks(scene), truth.whole_areas(scene), strict=True):
        if name := class_of(instance.noun):
            x, y, width, height = truth.tight_box(mask)
            item = ElementTree.SubElement(root, "object")
            _add(item, name=name, pose="Unspecified", truncated=int(mask.sum() < whole), difficult=0)
            _add(ElementTree.SubElement(item, "bndbox"), xmin=x + 1, ymin=y + 1, xmax=x + width, ymax=y + height)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode")


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest."""
    drawn = _shared.entries("voc", sizes, seed, _sample, NAMES)
    _shared.write_pictures(folder, drawn)
    for entry in drawn:
        _shared.write_lines(folder / ROOT / "Annotations" / f"{entry.image_id:06d}.xml", [_annotation(entry)])
    sets = folder / ROOT / "ImageSets" / "Main"
    for split, chosen in _shared.by_split(drawn).items():
        # The list of a split, and one list per class with 1 where the class is in the image and -1 where it is not.
        visible = {f"{entry.image_id:06d}": classes(entry.scene) for entry in chosen}
        _shared.write_lines(sets / f"{split}.txt", visible)
        for noun in CLASSES:
            flags = (f"{name} {1 if noun in nouns else -1:2d}" for name, nouns in visible.items())
            _shared.write_lines(sets / f"{noun}_{split}.txt", flags)
    return {"counts": _shared.size_of(sizes), "classes": list(CLASSES)}
