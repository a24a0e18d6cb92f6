"""The training images of COCO: their features and their norms, computed once for each image tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from negutil import code, progress
from negutil.cache import Cache
from negutil.config import Profile
from negutil.data import built, source
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles

PICTURES = "train2014"


@dataclass(frozen=True, slots=True)
class Gallery:
    """Features float32 [N, D] of all training pictures, and the row of each by the name of its file."""

    images: NDArray[np.float32]
    rows: dict[str, int]

    def find(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the pictures called ``names`` (any folder before them); raises NegutilError for an unknown one."""
        own = [Path(name).name for name in names]
        unknown = [name for name in own if name not in self.rows]
        if unknown:
            raise NegutilError(f"There is no training picture {unknown[0]}; build the caption sets again.")
        return np.array([self.rows[name] for name in own], dtype=np.int64)


def load(model: LoadedModel, settings: Profile) -> Gallery:
    """Encode all training pictures of COCO, or take their features from the cache."""
    pictures, known = _pictures(settings)
    images = encode.images(model, pictures, batch=settings.encode.batch, data_sha256=known)
    return Gallery(images, {Path(path).name: row for row, path in enumerate(pictures.paths)})


def lengths(model: LoadedModel, settings: Profile) -> NDArray[np.float32]:
    """Return the norms [N] of the image features before they are normalised, in the order of ``load``."""
    pictures, known = _pictures(settings)
    tower = {name: value for name, value in model.fingerprint.items() if name != "weights_sha256"}
    fields = {
        "kind": "image feature lengths",
        "code_version": code.fingerprint(__name__),
        "data_sha256": known or " ".join(pictures.digests),
    }

    @torch.inference_mode()
    def compute() -> dict[str, NDArray[np.float32]]:
        parts = []
        for start in progress.bar("encoding images, batch", range(0, len(pictures), encode.BATCH), unit="batch"):
            rows = range(start, min(start + encode.BATCH, len(pictures)))
            inputs = torch.stack([model.preprocess(pictures[row]) for row in rows])
            parts.append(model.model.encode_image(inputs.to(model.device, model.dtype)).float().norm(dim=-1).cpu())
        return {"lengths": torch.cat(parts).numpy()}

    return Cache().get_or_compute(fields | tower, compute)["lengths"]


def _pictures(settings: Profile) -> tuple[PictureFiles, str]:
    """All training pictures of COCO in the order of their names, and what identifies them ("" for the user's own)."""
    folder = source.folder(settings, "coco")
    made = built.manifest(folder)
    return PictureFiles(sorted((folder / PICTURES).iterdir())), f"{made['sha256']} {PICTURES}" if made else ""
