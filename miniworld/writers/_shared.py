"""What all writers share: items of which no two look the same, JPEG files, compact JSON, and datasets of scenes."""

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from miniworld import scenes, truth
from miniworld.scenes import Scene
from miniworld.truth import Known
from negutil import progress
from negutil.config import Splits
from negutil.errors import NegutilError

Item = TypeVar("Item")
ATTEMPTS = 1000
Names = Mapping[str, tuple[int, str]]
"""The first image id of each split, and the pattern of its images' paths, which takes an image id."""


def size_of(sizes: Splits) -> dict[str, int]:
    """Number of images by split, splits without images left out."""
    return {split: count for split in ("train", "val", "test") if (count := getattr(sizes, split))}


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [height, width, 3] as a JPEG of quality 95 with full colour resolution, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95, subsampling=0)


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write text, a line each, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


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
    refuses its split, is sampled again, so that neither splits nor items of one split share an image. Raises
    NegutilError where a thousand samples in a row give nothing new.
    """
    seen: set[bytes] = set()
    for split, count in size_of(sizes).items():
        for index in progress.bar("drawing images", range(count), unit="image", leave=False):
            rng = random.Random(f"{dataset}/{split}/{seed}/{index}")
            problem = f"{dataset}: no new {split} image after {index}; set a smaller {split} size."
            yield split, index, *unseen(rng, sample, draw, seen, problem, accept=partial(accept, split))


def unseen(
    rng: random.Random,
    sample: Callable[[random.Random], Item | None],
    draw: Callable[[Item], np.ndarray],
    seen: set[bytes],
    problem: str,
    *,
    accept: Callable[[Item], bool] = lambda item: True,
) -> tuple[Item, np.ndarray]:
    """An accepted item and its image, with a digest not yet in ``seen``, which it joins.

    ``sample`` may return None. Raises NegutilError with the sentence ``problem`` after a thousand samples.
    """
    for _ in range(ATTEMPTS):
        item = sample(rng)
        if item is None or not accept(item):
            continue
        pixels = draw(item)
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            return item, pixels
    raise NegutilError(problem)


def entries(
    dataset: str, sizes: Splits, seed: int, sample: Callable[[random.Random], Scene], names: Names
) -> list[Known]:
    """Every image of a dataset of scenes, as ``draw_all`` samples them: reserved scenes but in train."""

    def belongs(split: str, scene: Scene) -> bool:
        return scenes.is_reserved(scene) == (split != "train")

    known = []
    for split, index, scene, _ in draw_all(dataset, sizes, seed, sample, scenes.draw, accept=belongs):
        first, pattern = names[split]
        known.append(Known(pattern.format(first + index), split, first + index, scene))
    return known


def write_pictures(folder: Path, drawn: Sequence[Known]) -> None:
    """Draw every image and write it under ``folder``; write the truth about them beside."""
    for entry in progress.bar("drawing images", drawn, unit="image", leave=False):
        write_picture(folder / entry.file_name, scenes.draw(entry.scene))
    truth.write(folder, ((entry.file_name, entry.split, entry.image_id, entry.scene) for entry in drawn))


def by_split(drawn: Iterable[Known]) -> dict[str, list[Known]]:
    """The images of each split that has any, in the order of the splits."""
    return {split: list(group) for split, group in itertools.groupby(drawn, key=lambda entry: entry.split)}
