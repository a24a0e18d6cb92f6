"""What all writers share: sizes, JPEG files and compact JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from negutil.config import Splits

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
