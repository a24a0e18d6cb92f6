"""Examples for the tests of fine-tuning: a tiny model, and captions whose pictures are directions in feature space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import model_files
import numpy as np

from negutil.models import loader
from negutil.models.loader import LoadedModel
from negutil.train.examples import Examples
from negutil.train.settings import FinetuneConfig

NOUNS = ("cat", "dog", "car", "tree", "hat", "cup", "boat", "bird")
CONFIG = FinetuneConfig(
    method="infonce", lr=3e-3, epochs=2, batch=8, warmup=2, schedule="cosine", validation_share=0.25, text_chunks=2,
    clamp_logit_scale=True,
)  # fmt: skip


def model(folder: Path, **changes: Any) -> LoadedModel:
    """The tiny model with random weights, saved in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    return loader.load_entry(model_files.write(folder, **changes))


def examples(n: int = 48, pictures: int = 24, seed: int = 0, dimensions: int = 16) -> Examples:
    """``n`` examples over ``pictures``: a picture's features are its noun's direction with noise."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(NOUNS), dimensions))
    nouns = np.arange(pictures) % len(NOUNS)
    raw = directions[nouns] + rng.normal(0, 0.3, (pictures, dimensions))
    rows = np.arange(n) % pictures
    own = [NOUNS[nouns[row]] for row in rows]
    absent = [NOUNS[(nouns[row] + 1 + i % 3) % len(NOUNS)] for i, row in enumerate(rows)]
    pairs = list(zip(own, absent, strict=True))
    return Examples(
        images=(raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32),
        rows=rows.astype(np.int64),
        captions=[f"a photo of a {one} but no {other}, number {i % 5}" for i, (one, other) in enumerate(pairs)],
        originals=[f"a {one}" for one in own],
        negatives=[f"there is no {one}" for one in own],
        distractors=((rows + 1) % pictures).astype(np.int64),
        options=[[f"a {other}", f"a {one} and a {other}", f"a {one} without a {other}"] for one, other in pairs],
        correct=np.full(n, 2, dtype=np.int64),
        lengths=np.linspace(0.5, 2, pictures, dtype=np.float32),
    )
