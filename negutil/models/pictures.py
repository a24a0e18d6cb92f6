"""Images that stay on disk until a model needs them, whole or cut out by a box.

Features of images are cached by contents. Telling contents apart by the bytes of the files, not by pixels, spares a
warm cache the decoding, which takes most of the time of scoring a model whose image features are known.
"""

import io
import math
import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image, ImageOps, UnidentifiedImageError

from negutil import files
from negutil.errors import NegutilError

Box = Sequence[float]


WIDE = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Pillow's modes of 16-bit grey."""


def read_rgb(path: Path | str) -> Image.Image:
    """The image in a file as :func:`as_rgb` makes it.

    Raises NegutilError if it cannot be decoded, is too large for Pillow, or has values that are no grey levels.
    """
    try:
        with Image.open(path) as opened:
            return as_rgb(opened)
    except NegutilError as problem:
        raise NegutilError(f"{path}: {problem}") from problem
    except Image.DecompressionBombError as problem:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise NegutilError(f"{path} has more than {most} million pixels; make it smaller.") from problem
    except Exception as problem:  # Pillow's decoders raise many kinds for damaged files
        is_unknown = isinstance(problem, UnidentifiedImageError)
        reason = "no type that Pillow knows" if is_unknown else " ".join(str(problem).split()) or type(problem).__name__
        raise NegutilError(f"{path} cannot be read as an image ({reason}); download or build it again.") from problem


def as_rgb(picture: Image.Image) -> Image.Image:
    """The image in RGB as a viewer shows it: upright (EXIF), 16 bits scaled to 8, transparent parts on white.

    Raises NegutilError if its values are neither within 0 and 1 nor within the range of 8 or 16 bits.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in (*WIDE, "F"):
        return Image.fromarray(_eight_bits(np.asarray(upright, np.float64), upright.mode)).convert("RGB")
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB")


def _eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey levels of 16 bits, or floats of 0 to 1 or 0 to 255, as uint8."""
    low, high = (float(values.min()), float(values.max())) if np.isfinite(values).all() else (math.nan, math.nan)
    largest = 65535 if mode in WIDE else 1 if high <= 1 else 255
    if not (low >= 0 and high <= largest):
        wanted = "0 to 65535" if mode in WIDE else "0 to 1 or 0 to 255"
        raise NegutilError(f"grey levels go from {low:g} to {high:g} instead of {wanted}; convert it to 8 bits.")
    return np.rint(values * (255 / largest)).astype(np.uint8)


class PictureFiles:
    """Images in ``paths``; where ``boxes`` are given, of each the part inside its box (x, y, width, height, pixels).

    A crop is rounded to whole pixels as Pillow does; what lies outside the image is black. Source:
    docs/protocols.md#negrefcocog. Raises NegutilError if there is not one box for each path.
    """

    def __init__(self, paths: Sequence[Path | str], boxes: Sequence[Box] | None = None) -> None:
        if boxes is not None and len(boxes) != len(paths):
            raise NegutilError(f"There are {len(paths)} images but {len(boxes)} boxes; give one box for each.")
        # Kept as they come: making a Path of each takes as long as scoring a model whose features are cached.
        self.paths = list(paths)
        self.boxes = boxes

    @classmethod
    def of(cls, rows: Dataset) -> "PictureFiles":
        """The images of a dataset of `negutil.data`, none of them opened."""
        stored = rows.select_columns("image").with_format("arrow")[:]["image"].combine_chunks()
        return cls(stored.field("path").to_pylist())

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.paths)

    def __getitem__(self, row: int) -> Image.Image:
        """Image ``row`` in RGB; raises NegutilError if its file cannot be decoded."""
        picture = read_rgb(self.paths[row])
        if self.boxes is None:
            return picture
        x, y, width, height = self.boxes[row]
        return picture.crop((x, y, x + width, y + height))

    def jpeg(self, row: int, side: int, quality: int) -> bytes:
        """A copy of image ``row`` as a JPEG file, no side longer than ``side`` pixels."""
        copy, buffer = self[row], io.BytesIO()
        copy.thumbnail((side, side))
        copy.save(buffer, format="JPEG", quality=quality)
        return buffer.getvalue()

    @cached_property
    def digests(self) -> list[str]:
        """What tells the images apart: the sha256 of each file's bytes with its box."""
        known = {path: file_sha256(path) for path in dict.fromkeys(self.paths)}
        if self.boxes is None:
            return [known[path] for path in self.paths]
        boxes = ([float(number) for number in box] for box in self.boxes)
        return [files.text_sha256(f"{known[path]}{box}") for path, box in zip(self.paths, boxes, strict=True)]


def forget_digests() -> None:
    """Forget the digests of files, so that they are read again."""
    _sha256_of.cache_clear()


def file_sha256(path: Path | str) -> str:
    """Return that of the file's bytes, read once per process unless the file changes.

    Raises NegutilError if it cannot be read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path of each of many thousand files takes longer than all the rest
    except OSError:
        return files.sha256(Path(path))
    return _sha256_of(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _sha256_of(path: str, _size: int, _changed: int) -> str:
    return files.sha256(Path(path))
