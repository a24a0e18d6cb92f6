"""What all writers share: items of which no two look the same, JPEG files, compact JSON, and datasets of scenes."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from miniworld import scenes, truth
from miniworld.scenes import Scene
from negutil import progress
from negutil.config import Splits
from negutil.errors import NegutilError

Item = TypeVar("Item")
ATTEMPTS = 1000
SPLITS = ("train", "val", "test")
QUALITY = 95


def size_of(sizes: Splits) -> dict[str, int]:
    """Number of pictures by split, splits without pictures left out."""
    return {split: count for split in SPLITS if (count := getattr(sizes, split))}


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


# --------------------------------------------------------------------------------------------------------------------
# Items of which no two look the same


def draw_all(
    dataset: str,
    sizes: Splits,
    seed: int,
    sample: Callable[[random.Random], Item],
    draw: Callable[[Item], np.ndarray],
    *,
    accept: Callable[[str, Item], bool] = lambda split, item: True,
) -> Iterator[tuple[str, int, Item, np.ndarray]]:
    """(split, index, item, pixels) of every item of ``dataset``, split by split.

    Item i comes from Random(f"{dataset}/{split}/{seed}/{i}"); one that looks like an earlier one, or that ``accept``
    refuses its split, is sampled again, so that neither splits nor items of one split share a picture. Raises
    NegutilError where a thousand samples in a row give nothing new.
    """
    seen: set[bytes] = set()
    for split, count in size_of(sizes).items():
        for index in progress.bar("drawing images", range(count), unit="image", leave=False):
            rng = random.Random(f"{dataset}/{split}/{seed}/{index}")
            drawn = unseen(rng, sample, draw, seen, partial(accept, split))
            if drawn is None:
                raise NegutilError(f"{dataset}: no new {split} picture after {index}; set a smaller {split} size.")
            yield split, index, *drawn


def unseen(
    rng: random.Random,
    sample: Callable[[random.Random], Item],
    draw: Callable[[Item], np.ndarray],
    seen: set[bytes],
    accept: Callable[[Item], bool] = lambda item: True,
) -> tuple[Item, np.ndarray] | None:
    """An accepted item and its picture, with a digest not yet in ``seen``, which it joins; None after many failures."""
    for _ in range(ATTEMPTS):
        item = sample(rng)
        if not accept(item):
            continue
        pixels = draw(item)
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            return item, pixels
    return None


# --------------------------------------------------------------------------------------------------------------------
# Datasets of scenes


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a scene dataset: image id, path of the file in the part's folder, split, and what it shows."""

    image_id: int
    file_name: str
    split: str
    scene: Scene


def entries(
    dataset: str,
    sizes: Splits,
    seed: int,
    sampler: Callable[[random.Random], Scene],
    named: Callable[[str, int], tuple[int, str]],
) -> Iterator[Entry]:
    """Every picture of a dataset, split by split; item i comes from Random(f"{dataset}/{split}/{seed}/{i}").

    ``named`` gives image id and file name from split and index. Raises NegutilError as ``draw_all`` does.
    """

    def belongs(split: str, scene: Scene) -> bool:
        return scenes.is_reserved(scene) == (split != "train")

    for split, index, scene, _ in draw_all(dataset, sizes, seed, sampler, scenes.draw, accept=belongs):
        yield Entry(*named(split, index), split, scene)


def numbered(first: Mapping[str, int], pattern: str) -> Callable[[str, int], tuple[int, str]]:
    """Image id, from ``first`` of its split on, and file name (``pattern`` with the id) by split and index."""
    return lambda split, index: (first[split] + index, pattern.format(first[split] + index))


def write_pictures(folder: Path, drawn: Sequence[Entry]) -> None:
    """Draw every picture and write it under ``folder``; write the truth about them beside."""
    for parent in {(folder / entry.file_name).parent for entry in drawn}:
        parent.mkdir(parents=True, exist_ok=True)
    for entry in progress.bar("drawing images", drawn, unit="image", leave=False):
        write_picture(folder / entry.file_name, scenes.draw(entry.scene))
    truth.write(folder, ((entry.file_name, entry.split, entry.image_id, entry.scene) for entry in drawn))


def of_split(drawn: Iterable[Entry], split: str) -> list[Entry]:
    """The entries of one split."""
    return [entry for entry in drawn if entry.split == split]
