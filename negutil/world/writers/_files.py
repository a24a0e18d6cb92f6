"""What all writers share: JPEG files, compact JSON, and scenes of which no two look the same."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from negutil.config import Splits
from negutil.errors import NegutilError
from negutil.world import scenes, truth
from negutil.world.scenes import Scene

Item = TypeVar("Item")
Sampler = Callable[[random.Random], Scene]
SPLITS = ("train", "val", "test")
QUALITY = 95
ATTEMPTS = 1000


def size_of(sizes: Splits) -> dict[str, int]:
    """Number of pictures by split, splits without pictures left out."""
    return {split: count for split in SPLITS if (count := getattr(sizes, split))}


def progress(items: Iterable[Item], name: str, unit: str = "picture") -> Iterable[Item]:
    """``items`` with a progress bar on stderr, unless NEGUTIL_NO_PROGRESS is 1."""
    hidden = os.environ.get("NEGUTIL_NO_PROGRESS") == "1"
    bar: Iterable[Item] = tqdm(items, desc=name, unit=unit, leave=False, disable=hidden)
    return bar


def jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG of quality 95 with full colour resolution, from uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [height, width, 3] as a JPEG; the folder must exist."""
    path.write_bytes(jpeg(pixels))


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a scene dataset: image id, path of the file in the part's folder, split, and what it shows."""

    image_id: int
    file_name: str
    split: str
    scene: Scene


def entries(
    dataset: str, sizes: Splits, seed: int, sampler: Sampler, named: Callable[[str, int], tuple[int, str]]
) -> Iterator[Entry]:
    """Every picture of a dataset, split by split; item i comes from Random(f"{dataset}/{split}/{seed}/{i}").

    ``named`` gives image id and file name from split and index. Raises NegutilError as ``distinct`` does.
    """
    for split, index, scene, _ in distinct(dataset, sizes, seed, sampler, scenes.draw):
        yield Entry(*named(split, index), split, scene)


def distinct(
    dataset: str,
    sizes: Splits,
    seed: int,
    sample: Callable[[random.Random], Item],
    draw: Callable[[Item], np.ndarray],
) -> Iterator[tuple[str, int, Item, np.ndarray]]:
    """(split, index, item, pixels) of every item of a dataset; neither splits nor items of one split share a picture.

    Item i comes from Random(f"{dataset}/{split}/{seed}/{i}"); one that looks like an earlier one is drawn again. Raises NegutilError where a thousand draws in a row give
    nothing new.
    """
    seen: set[bytes] = set()
    for split, count in size_of(sizes).items():
        for index in progress(range(count), f"{dataset} {split}"):
            drawn = _unseen(random.Random(f"{dataset}/{split}/{seed}/{index}"), sample, draw, seen)
            if drawn is None:
                raise NegutilError(f"{dataset}: no new {split} picture after {index}; set a smaller {split} size.")
            yield split, index, *drawn


def _unseen(
    rng: random.Random,
    sample: Callable[[random.Random], Item],
    draw: Callable[[Item], np.ndarray],
    seen: set[bytes],
) -> tuple[Item, np.ndarray] | None:
    """An item and its picture, whose digest is not in ``seen`` and is added to it; None after a thousand failures."""
    for _ in range(ATTEMPTS):
        item = sample(rng)
        pixels = draw(item)
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            return item, pixels
    return None


def write_pictures(folder: Path, drawn: Sequence[Entry]) -> None:
    """Draw every picture and write it under ``folder``; write the truth about them beside."""
    for parent in {(folder / entry.file_name).parent for entry in drawn}:
        parent.mkdir(parents=True, exist_ok=True)
    for entry in progress(drawn, f"writing {folder.name}"):
        write_picture(folder / entry.file_name, scenes.draw(entry.scene))
    truth.write(folder, ((entry.file_name, entry.split, entry.image_id, entry.scene) for entry in drawn))


def of_split(drawn: Iterable[Entry], split: str) -> list[Entry]:
    """The entries of one split."""
    return [entry for entry in drawn if entry.split == split]
