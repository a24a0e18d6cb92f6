"""A CLIP that wears trained glasses, as something that ranks pictures for a text (CLIPGlasses, eq. 12 to 15).

Scores are logits: exp(logit_scale) times the cosine, less the penalty. Loaded by the name of a pair of glasses, such as
``miniclip-b-8+clipglasses-ccneg/seed0``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from negutil.errors import NegutilError
from negutil.models import encode, glasses_trained, loader, precision, registry, text_layers, trained
from negutil.models.glasses import Glasses
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Features, Scorer, distinct
from negutil.models.text_layers import TextLayers
from negutil.statistics import Floats

ROWS = 4096  # pairs scored at a time


@dataclass
class GlassesModel(Scorer):
    """``glasses`` on the CLIP ``tower``; ``batch`` texts are encoded at a time.

    Each different text, and each different pair, is scored once, so equal ones get exactly equal scores. Where the Lens
    weighs texts against each other (``softmax_over`` batch), the different texts of a call, or those remembered, are
    its company.
    """

    name: str
    tower: LoadedModel
    glasses: Glasses
    batch: int = encode.BATCH
    _place: dict[str, int] = field(default_factory=dict, repr=False)
    _known: TextLayers | None = field(default=None, repr=False)

    def remember(self, texts: Sequence[str]) -> None:
        """Encode ``texts`` together and keep their layers; raises NegutilError as ``text_layers.features`` does."""
        different = list(dict.fromkeys(texts))
        self._known = text_layers.features(self.tower, different, batch=self.batch)
        self._place = {text: row for row, text in enumerate(different)}

    def layers(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last layer [T, D] and the first three [T, 3, D] of ``texts``, remembered or encoded now."""
        rows = [self._place.get(text, -1) for text in texts]
        if self._known is None or not rows or min(rows) < 0:
            found = text_layers.features(self.tower, texts, batch=self.batch)
        else:
            found = self._known.take(rows)
        return torch.from_numpy(found.last), torch.from_numpy(found.levels)

    @torch.inference_mode()
    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with the picture of its row; raises NegutilError where they do not fit."""
        if len(texts) != len(images) or not len(texts):
            raise NegutilError(f"There are {len(texts)} texts for {len(images)} pictures; give one for each.")
        different, text, seen, picture = _numbered(texts, images)
        pairs, number = np.unique(np.stack([text, picture], axis=1), axis=0, return_inverse=True)
        last, levels = self.layers(different)
        absent = self._absent(last, levels)
        gallery = torch.from_numpy(seen)
        parts = []
        for part in np.array_split(pairs, range(ROWS, len(pairs), ROWS)):
            rows, columns = torch.from_numpy(part).unbind(dim=1)
            own = None if absent is None else absent[rows]
            parts.append(self.glasses.paired(last[rows], levels[rows], gallery[columns], negated=own))
        return torch.cat(parts).numpy().astype(float)[number.ravel()]

    @torch.inference_mode()
    def matrix(self, texts: Sequence[str], images: Features, partners: NDArray[np.int64] | None = None) -> Floats:
        """Return the scores [T, M] of all texts with all pictures.

        Where lambda is from the picture in a text's row (the released code), ``partners`` [T] says which row of
        ``images`` that is; without it, it is the one that CLIP alone ranks first, so that no right answer leaks in.
        """
        if partners is not None:
            return self._scores(list(texts), images, partners)
        different, text, seen, picture = _numbered(texts, images)
        own = None
        if self.glasses.config.lambda_from == "row":  # the picture that CLIP alone ranks first
            cosines = torch.nn.functional.normalize(self.layers(different)[0], dim=-1) @ torch.from_numpy(seen).T
            own = cosines.argmax(dim=1).numpy()
        return self._scores(different, seen, own)[text][:, picture]

    def _scores(self, texts: list[str], images: Features, partners: NDArray[np.int64] | None) -> Floats:
        last, levels = self.layers(texts)
        own = None if partners is None else torch.from_numpy(np.asarray(partners, dtype=np.int64))
        gallery = torch.from_numpy(np.ascontiguousarray(images))
        found: torch.Tensor = self.glasses(last, levels, gallery, negated=self._absent(last, levels), partners=own)
        return found.numpy().astype(float)

    def _absent(self, last: torch.Tensor, levels: torch.Tensor) -> torch.Tensor | None:
        """T_neg of all texts together, unless nothing but the mask counts."""
        return None if self.glasses.config.constant_penalty is not None else self.glasses.absent(last, levels)


is_name = glasses_trained.is_name


def sha256(name: str, profile: str | None = None) -> str:
    """What identifies the pair called ``name``: weights of the glasses and of the base, without loading either."""
    found = glasses_trained.read(name, profile)
    return f"{found.sha256} {found.about['identity']['base_sha256']}"


def load(name: str, profile: str | None = None, device: str = "cpu") -> GlassesModel:
    """Load the pair of glasses called ``name`` with the model that wears it.

    Raises NegutilError where there is none, a file is damaged, or the base's weights are no longer the same.
    """
    found = glasses_trained.read(name, profile)
    tuned = trained.read(found.base, profile).sha256 if trained.is_name(found.base) else ""
    entry = registry.find(found.base.partition(trained.MARK)[0])
    tower = _tower(found.base, device, profile, entry, tuned, precision.dtype())
    was, now = found.about["identity"]["base_sha256"], tower.fingerprint["weights_sha256"]
    if was != now:
        raise NegutilError(
            f"{found.folder} was trained on '{found.base}' with sha256 {was[:12]}..., which now is {now[:12]}...; "
            "run notebook 06 again, or restore the weights."
        )
    glasses = Glasses(found.modules, found.scale)
    glasses.load_state_dict(glasses_trained.tensors(found))
    return GlassesModel(name, tower, glasses.to(device).eval())


@functools.lru_cache(maxsize=1)
def _tower(base: str, device: str, profile: str | None, *_identity: object) -> LoadedModel:
    """The model called ``base``; the last one stays loaded, as dozens of glasses are asked one after the other."""
    return loader.load(base, device, profile)


def _numbered(
    texts: Sequence[str], images: Features
) -> tuple[list[str], NDArray[np.int64], Features, NDArray[np.int64]]:
    """The different texts in their order, the number [N] of each among them, and both for the rows of ``images``."""
    number = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    seen, picture = distinct(images)
    rows = np.array([number[text] for text in texts], dtype=np.int64)
    return list(number), rows, seen, np.arange(len(seen)) if picture is None else picture
