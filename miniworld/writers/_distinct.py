"""Items of a dataset of which no two look the same, whatever kind of item they are."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np

from miniworld.writers import _files
from negutil import progress
from negutil.config import Splits
from negutil.errors import NegutilError

Item = TypeVar("Item")
ATTEMPTS = 1000


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
    for split, count in _files.size_of(sizes).items():
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
