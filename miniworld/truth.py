"""What is true of a scene: its visible instances with masks and polygons, what is surely absent, and the truth as JSON.

Every dataset of scenes has a ``truth.json`` beside its published files, so that absence is known and not guessed.
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import contourpy
import numpy as np

from miniworld import drawing, scenes
from miniworld.scenes import SIZE, Box, Extra, Scene, Thing
from negutil.captions.english import COLOURS, NOUN, NOUNS, PLACES, SUPERCATEGORY
from negutil.errors import NegutilError

FILE = "truth.json"
Loop = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Instance:
    """Something that can be seen: a thing of a scene, or what such a thing wears or holds.

    Attributes:
        thing: index of the thing in ``scene.things``.
        relation: "" for the thing itself, "wearing" or "holding" for what it wears or holds.
        action: what a person does.
        extras: nouns worn or held by this instance.
        box: x, y, width, height in pixels, outline included.
    """

    thing: int
    noun: str
    colour: str
    box: Box
    relation: str = ""
    action: str | None = None
    extras: tuple[str, ...] = ()

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, x then y, in pixels."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


def instances(scene: Scene) -> list[Instance]:
    """Everything that can be seen, in the order of drawing: each thing, followed by what it wears and holds."""
    found = []
    for index, thing in enumerate(scene.things):
        worn = tuple(extra.noun for extra in thing.extras)
        found.append(Instance(index, thing.noun, thing.colour, thing.box, "", thing.action, worn))
        found += [Instance(index, extra.noun, extra.colour, extra.box, extra.relation) for extra in thing.extras]
    return found


def _stamps(scene: Scene) -> list[tuple[drawing.Sprite, Box]]:
    """Sprite and box of every instance, in the order of ``instances``."""
    return [stamp for thing in scene.things for stamp in scenes.stamps(thing)]


def masks(scene: Scene) -> np.ndarray:
    """Visible pixels of every instance; bool [n, 64, 64] in the order of ``instances``."""
    stamps = _stamps(scene)
    owner = np.full((SIZE, SIZE), -1, dtype=np.int16)
    for index, (stamp, (x, y, width, height)) in enumerate(stamps):
        owner[y : y + height, x : x + width][stamp.solid] = index
    return owner == np.arange(len(stamps), dtype=np.int16)[:, None, None]


def whole_areas(scene: Scene) -> list[int]:
    """Pixels that every instance would have if nothing were in front of it, in the order of ``instances``."""
    return [int(stamp.solid.sum()) for stamp, _ in _stamps(scene)]


def tight_box(mask: np.ndarray) -> Box:
    """Smallest box (x, y, width, height) around the pixels of a mask that has at least one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def polygons(mask: np.ndarray) -> list[Loop]:
    """Polygons (lists of (x, y) in pixels, 0 at the image's edge) that pycocotools fills to exactly ``mask``.

    Edges run half-way between the centres of pixels. A hole is joined to its outline by a cut of no width, because the
    format has no holes.
    """
    x, y, width, height = tight_box(mask)
    spot = np.ascontiguousarray(mask[y : y + height, x : x + width])
    return [[(px + x, py + y) for px, py in loop] for loop in _outlines(spot.tobytes(), spot.shape)]


@lru_cache(maxsize=16384)
def _outlines(pixels: bytes, shape: tuple[int, int]) -> tuple[tuple[tuple[float, float], ...], ...]:
    """``polygons`` of a tight mask; kept, because most things are whole and there are few sprites."""
    padded = np.pad(np.frombuffer(pixels, dtype=bool).reshape(shape), 1).astype(np.float64)
    lines = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset).filled(0.5, 2.0)
    # Pixel i has its centre at i + 0.5, and the padding has moved it by one.
    return tuple(tuple(_joined(points - 0.5, offsets)) for points, offsets in zip(*lines, strict=True))


def _joined(points: np.ndarray, offsets: np.ndarray) -> Loop:
    """One loop out of an outline and its holes: out to each hole, around it, and back to the start of the outline."""
    outline, *holes = (_corners(points[start : end - 1]) for start, end in itertools.pairwise(offsets))
    start = outline[0]
    path = [*outline, start] if holes else outline
    for hole in holes:
        path = [*path, *hole, hole[0], start]
    return path


def _corners(loop: np.ndarray) -> Loop:
    """The points of an open loop [n, 2] at which its direction changes."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return [(px, py) for px, py in loop[turns].tolist()]


def people(scene: Scene) -> bool:
    """Whether a person is in the image."""
    return any(SUPERCATEGORY[thing.noun] == "person" for thing in scene.things)


def sayable(nouns: frozenset[str]) -> frozenset[str]:
    """Every noun that may truly be said of an image that shows ``nouns``: a woman or a baby is a person too."""
    return nouns | {"person"} if any(SUPERCATEGORY[noun] == "person" for noun in nouns) else nouns


def absent(scene: Scene) -> list[str]:
    """Nouns that are surely not in the image, in the order of the vocabulary.

    A woman or a baby is a person too, so "person" counts as absent only if no one is in the image.
    """
    seen = sayable(scene.nouns)
    return [noun for noun in NOUNS if noun not in seen]


def is_a(noun: str, name: str) -> bool:
    """Whether something called ``noun`` may also be called ``name``: women and babies are persons."""
    return noun == name or (name == "person" and SUPERCATEGORY[noun] == "person")


def to_json(scene: Scene) -> dict[str, Any]:
    """The scene as plain lists, strings and numbers, with the names of its fields."""
    return {"place": scene.place, "variant": scene.variant, "things": [_plain(thing) for thing in scene.things]}


def _plain(thing: Thing) -> dict[str, Any]:
    # Written out because dataclasses.asdict takes a third of the time of writing a dataset.
    extras = [{"noun": e.noun, "colour": e.colour, "relation": e.relation, "box": e.box} for e in thing.extras]
    named = {"noun": thing.noun, "colour": thing.colour, "size": thing.size, "box": thing.box}
    return {**named, "action": thing.action, "extras": extras}


def from_json(content: Any) -> Scene:
    """The scene that ``to_json`` wrote; raises NegutilError if it is no scene of this world."""
    try:
        things = tuple(_thing(thing) for thing in content["things"])
        scene = Scene(content["place"], content["variant"], things)
        known = scene.place in PLACES and all(n in NOUN and c in COLOURS for n, c in scene.named())
    except (KeyError, TypeError, ValueError) as problem:
        raise NegutilError(f"a scene cannot be read ({problem!r}): build the part of the world again.") from problem
    if not known:
        raise NegutilError("a scene has an unknown place, noun or colour: build the part of the world again.")
    return scene


def _thing(content: dict[str, Any]) -> Thing:
    extras = tuple(Extra(**{**extra, "box": _box(extra["box"])}) for extra in content["extras"])
    return Thing(**{**content, "box": _box(content["box"]), "extras": extras})


def _box(numbers: Sequence[int]) -> Box:
    x, y, width, height = numbers
    return x, y, width, height


def write(folder: Path, pictures: Iterable[tuple[str, str, int, Scene]]) -> None:
    """Write ``truth.json``: file name, split, image id and scene of every image."""
    rows = [
        {"file_name": file_name, "split": split, "image_id": image_id, "scene": to_json(scene)}
        for file_name, split, image_id, scene in pictures
    ]
    (folder / FILE).write_text(json.dumps(rows, separators=(",", ":")), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Known:
    """What ``read`` says about one image."""

    file_name: str
    split: str
    image_id: int
    scene: Scene


def read(folder: Path) -> list[Known]:
    """The truth about every image of a part of the world; raises NegutilError if its file is missing or bad."""
    path = folder / FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [Known(row["file_name"], row["split"], row["image_id"], from_json(row["scene"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, NegutilError) as problem:
        raise NegutilError(f"{path} cannot be read ({problem}): build this part of the world again.") from problem
