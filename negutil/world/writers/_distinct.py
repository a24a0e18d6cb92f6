"""Items of a dataset of which no two look the same, whatever kind of item they are."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from negutil.config import Splits
from negutil.errors import NegutilError
from negutil.world.writers import _files

Item = TypeVar("Item")
ATTEMPTS = 1000


def draw_all(
    dataset: str,
    sizes: Splits,
    seed: int,
    sample: Callable[[random.Random], Item],
    draw: Callable[[Item], np.ndarray],
) -> Iterator[tuple[str, int, Item, np.ndarray]]:
    """(split, index, item, pixels) of every item of ``dataset``, split by split.

    Item i comes from Random(f"{dataset}/{split}/{seed}/{i}"); one that looks like an earlier one is sampled again, so
    that neither splits nor items of one split share a picture. Raises NegutilError where a thousand samples in a row
    give nothing new.
    """
    seen: set[bytes] = set()
    for split, count in _files.size_of(sizes).items():
        for index in _files.progress(range(count), f"{dataset} {split}"):
            drawn = unseen(random.Random(f"{dataset}/{split}/{seed}/{index}"), sample, draw, seen)
            if drawn is None:
                raise NegutilError(f"{dataset}: no new {split} picture after {index}; set a smaller {split} size.")
            yield split, index, *drawn


def unseen(
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
