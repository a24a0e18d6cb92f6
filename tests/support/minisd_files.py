"""A MiniSD of a few thousand weights, trained for a few steps on pictures of one colour, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from miniworld.pretrain.minisd import MiniSDConfig
from miniworld.pretrain.pool import Pool, build_pool
from negutil.models.minisd import Shape

SHAPE = Shape(patch=8, components=4, channels=(8, 8), blocks=1, heads=2, groups=4)
CONFIG = MiniSDConfig(
    steps=8, batch=8, warmup=2, lr=3e-3, shape=SHAPE, log_every=2, validate_every=4, checkpoint_every=3, threads=1
)
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 220), "white": (250, 250, 250)}


def items(n: int, seed: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Pictures of one colour with noise, and what they are called."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        name = str(rng.choice(list(COLOURS)))
        picture = np.clip(COLOURS[name] + rng.normal(0, 20, (64, 64, 3)), 0, 255).astype(np.uint8)
        yield picture, [f"a {name} picture", f"all of it is {name}, really"]


def pool(folder: Path, n: int = 40, seed: int = 0) -> Pool:
    """A pool of such pictures in ``folder``, with eight for validation."""
    return build_pool(items(n, seed), folder, n, 2, validation=(items(8, 99), 8))
