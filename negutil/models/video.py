"""Features of clips: four frames, encoded like pictures and averaged (docs/protocols.md#video)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from negutil import files, progress
from negutil.data import msrvtt
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel

FRAMES = 4


def frames(path: Path | str, count: int = FRAMES) -> NDArray[np.uint8]:
    """Return ``count`` frames [count, H, W, 3] (RGB), one from the middle of each of ``count`` equal parts of a clip.

    Raises NegutilError, naming the file, where the clip does not decode up to its last wanted frame.
    """
    return msrvtt.frames(path, count)


def features(
    model: LoadedModel,
    paths: Sequence[Path | str],
    *,
    count: int = FRAMES,
    batch: int = encode.BATCH,
    cached: bool = True,
) -> NDArray[np.float32]:
    """Return one feature per clip [N, D] (float32, L2-normalised): the mean of its frames' normalised features.

    All frames of all clips go through the model together. Cached as pictures are, under the contents of the files, so
    that a warm cache decodes nothing. Raises NegutilError on no clips, on a clip that does not decode (naming the
    file; it never counts as zeros), and on frames whose features cancel out.
    """
    if not paths:
        raise NegutilError("There is no clip to encode; check the data.")
    digests = [files.sha256(Path(path)) for path in paths]
    sha256 = hashlib.sha256(f"{count} frames of {''.join(digests)}".encode()).hexdigest()
    pictures = _Frames([Path(path) for path in paths], count)
    each = encode.images(model, pictures, batch=batch, data_sha256=sha256, cached=cached)
    means = each.reshape(len(paths), count, -1).mean(axis=1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    if not lengths.all():
        number = int(lengths.argmin())
        raise NegutilError(f"{paths[number]}: the features of its frames cancel out; check the model '{model.name}'.")
    return (means / lengths).astype(np.float32)


class _Frames(Sequence[Image.Image]):
    """The frames of all clips in a row, decoded when the first is asked for."""

    def __init__(self, paths: Sequence[Path], count: int) -> None:
        self._paths, self._per_clip = paths, count

    def __len__(self) -> int:
        return len(self._paths) * self._per_clip

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Image.Image | Sequence[Image.Image]:
        return self._decoded[index]

    def __iter__(self) -> Iterator[Image.Image]:
        return iter(self._decoded)

    @functools.cached_property
    def _decoded(self) -> list[Image.Image]:
        bar = progress.bar("reading clips", self._paths, unit="clip")
        return [Image.fromarray(frame) for path in bar for frame in frames(path, self._per_clip)]
