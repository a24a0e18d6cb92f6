"""Finished pairs of glasses on disk, and a CLIP that wears one, which ranks images for a text (CLIPGlasses, eq. 12-15).

A folder holds ``glasses.safetensors``, ``curve.csv`` and, written last, ``glasses.json``: base model with sha256,
settings, digest of the data, sha256 of the weights. Under ``glasses/<profile>`` of the cache, the folder
``miniclip-b-8+clipglasses-ccneg/seed0`` is the pair of that name. The base may be fine-tuned itself:
``miniclip-b-8+negationclip/seed0+clipglasses-ccneg/seed0``.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil import config, paths
from negutil.errors import NegutilError
from negutil.models import encode, loader, precision, registry, text_layers, trained
from negutil.models.glasses import Glasses
from negutil.models.glasses_settings import GlassesConfig
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Features, Scorer, distinct
from negutil.models.text_layers import TextLayers
from negutil.models.trained import CURVE
from negutil.statistics import Floats

ABOUT, TENSORS = "glasses.json", "glasses.safetensors"
NAME = re.compile(r"(?P<base>[\w.-]+(?:\+[\w.+-]+/[\w.-]+)?)\+(?P<recipe>clipglasses[\w.-]*)/(?P<run>[\w.-]+)")
ROWS = 4096  # pairs scored at a time


# --------------------------------------------------------------------------------------------------------------------
# On disk


@dataclass(frozen=True, slots=True)
class TrainedGlasses:
    """A finished pair: ``about`` is the content of ``glasses.json`` in ``folder``."""

    name: str
    folder: Path
    about: dict[str, Any]

    @property
    def base(self) -> str:
        """Name of the model that they are made for."""
        return str(self.about["identity"]["base"])

    @property
    def sha256(self) -> str:
        """That of the file with the weights."""
        return str(self.about["sha256"])

    def curve(self) -> pd.DataFrame:
        """Return losses, rates and validation by stage and epoch (``train.glasses.COLUMNS``)."""
        return pd.read_csv(self.folder / CURVE)


def is_name(name: str) -> bool:
    """Say whether ``name`` is one of a pair of glasses: base+clipglasses.../run."""
    return NAME.fullmatch(name) is not None


def base_of(name: str) -> str:
    """Return the name of the model that wears the glasses called ``name``; raises NegutilError for another name."""
    return _parts(name)["base"]


def recipe_of(name: str) -> str:
    """Return the recipe in the ``name`` of a pair of glasses; raises NegutilError for another name."""
    return _parts(name)["recipe"]


def folder(name: str, profile: str | None = None) -> Path:
    """Return where the glasses called ``name`` are, or would be; raises NegutilError for a name that is none."""
    _parts(name)
    return paths.cache() / "glasses" / config.resolve(profile) / name


def find(name: str, profile: str | None = None) -> TrainedGlasses | None:
    """Return the finished glasses called ``name``, or None; raises NegutilError if they are damaged."""
    where = folder(name, profile)
    about = trained.read_about(where / ABOUT, "glasses", {"identity", "sha256", "modules", "scale", "examples"})
    return None if about is None else TrainedGlasses(name, where, about)


def read(name: str, profile: str | None = None) -> TrainedGlasses:
    """Return the finished glasses called ``name``; raises NegutilError if there are none."""
    finished = find(name, profile)
    if finished is None:
        which = config.resolve(profile)
        raise NegutilError(f"There are no trained glasses '{name}' of the profile {which}; run notebook 06.")
    return finished


def tensors(pair: TrainedGlasses) -> dict[str, torch.Tensor]:
    """Return the weights of ``pair``; raises NegutilError if the file is missing, damaged, or another one."""
    return trained.read_tensors(pair.folder / TENSORS, pair.sha256)


def write(out: Path, state: dict[str, torch.Tensor], curve: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write finished glasses to ``out``: weights, curve, and ``about`` last; raises NegutilError if it cannot."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    trained.save(out / TENSORS, out / ABOUT, plain, curve.to_csv(index=False, lineterminator="\n"), about)


def remove(out: Path) -> None:
    """Delete the files of a pair in ``out``, the mark that it is finished first, and nothing else."""
    trained.remove(out, (ABOUT, TENSORS, CURVE))


def _parts(name: str) -> dict[str, str]:
    match = NAME.fullmatch(name)
    if match is None or ".." in name:
        raise NegutilError(f"'{name}' is no name of glasses; write it as base+clipglasses.../run.")
    return match.groupdict()


# --------------------------------------------------------------------------------------------------------------------
# Worn


@dataclass
class GlassesModel(Scorer):
    """``glasses`` on the CLIP ``tower``; ``batch`` texts are encoded at a time.

    Scores are logits: exp(logit_scale) times the cosine, less the penalty. Each different text, and each different
    pair, is scored once, so equal ones get exactly equal scores. Where the Lens weighs texts against each other
    (``softmax_over`` batch), the different texts of a call, or those remembered, are its company.
    """

    name: str
    tower: LoadedModel
    glasses: Glasses
    batch: int = encode.BATCH
    _place: dict[str, int] = field(default_factory=dict, repr=False)
    _known: TextLayers | None = field(default=None, repr=False)

    def remember(self, texts: Sequence[str]) -> None:
        """Encode ``texts`` together and keep their layers; raises NegutilError as ``text_layers.features`` does.

        A Lens that attends to tokens reads too much of each text for that.
        """
        if self._reads_tokens:
            return
        different = list(dict.fromkeys(texts))
        self._known = text_layers.features(self.tower, different, batch=self.batch)
        self._place = {text: row for row, text in enumerate(different)}

    def layers(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last layer [T, D] and the first three [T, 3, D] of ``texts``, remembered or encoded now.

        Where the Lens attends to tokens, the latter have the tokens as well (``TextLayers``).
        """
        rows = [self._place.get(text, -1) for text in texts]
        if self._known is None or not rows or min(rows) < 0:
            known = text_layers.features(self.tower, texts, batch=self.batch, tokens=self._reads_tokens)
        else:
            known = self._known.take(rows)
        return torch.from_numpy(known.last), torch.from_numpy(known.levels)

    @torch.inference_mode()
    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with the image of its row; raises NegutilError if they do not fit."""
        if len(texts) != len(images) or not len(texts):
            raise NegutilError(f"There are {len(texts)} texts for {len(images)} images; give one for each.")
        different, text, gallery, picture = _numbered(texts, images)
        pairs, number = np.unique(np.stack([text, picture], axis=1), axis=0, return_inverse=True)
        last, levels = self.layers(different)
        absent = self._absent(last, levels)
        parts = []
        for part in np.array_split(pairs, range(ROWS, len(pairs), ROWS)):
            rows, columns = torch.from_numpy(part).unbind(dim=1)
            negated = None if absent is None else absent[rows]
            seen = torch.from_numpy(gallery)[columns]
            parts.append(self.glasses.paired(last[rows], levels[rows], seen, negated=negated))
        return torch.cat(parts).numpy().astype(float)[number.ravel()]

    @torch.inference_mode()
    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the scores [T, M] of all texts with all images.

        Where lambda is from the image in a text's row (the released code), that is the one that CLIP alone ranks first,
        so that no right answer leaks in.
        """
        different, text, gallery, picture = _numbered(texts, images)
        last, levels = self.layers(different)
        seen, first = torch.from_numpy(gallery), None
        if self.glasses.config.lambda_from == "row":
            first = (torch.nn.functional.normalize(last, dim=-1) @ seen.T).argmax(dim=1)
        scores: torch.Tensor = self.glasses(last, levels, seen, negated=self._absent(last, levels), partners=first)
        return scores.numpy().astype(float)[text][:, picture]

    @property
    def _reads_tokens(self) -> bool:
        return self.glasses.config.softmax_over == "tokens"

    def _absent(self, last: torch.Tensor, levels: torch.Tensor) -> torch.Tensor | None:
        """T_neg of all texts together, unless nothing but the mask counts."""
        return None if self.glasses.config.constant_penalty is not None else self.glasses.absent(last, levels)


def sha256(name: str, profile: str | None = None) -> str:
    """Return what identifies the pair called ``name``: weights of glasses and base, without loading either."""
    pair = read(name, profile)
    return f"{pair.sha256} {pair.about['identity']['base_sha256']}"


def load(name: str, profile: str | None = None, device: str = "cpu") -> GlassesModel:
    """Load the pair of glasses called ``name`` with the model that wears it.

    Raises NegutilError if there is none, a file is damaged, or the base's weights are no longer the same.
    """
    pair = read(name, profile)
    tuned = trained.read(pair.base, profile).sha256 if trained.is_name(pair.base) else ""
    entry = registry.find(pair.base.partition(trained.MARK)[0])
    tower = _tower(pair.base, device, profile, entry, tuned, precision.dtype())
    loader.require_base(
        f"{pair.folder} was trained on", tower, pair.about["identity"]["base_sha256"], "run notebook 06 again"
    )
    glasses = Glasses(GlassesConfig(**pair.about["modules"]), float(pair.about["scale"]))
    glasses.load_state_dict(tensors(pair))
    return GlassesModel(name, tower, glasses.to(device).eval())


@functools.lru_cache(maxsize=1)
def _tower(base: str, device: str, profile: str | None, *_identity: object) -> LoadedModel:
    """The model called ``base``; the last one stays loaded, as dozens of glasses are asked one after the other."""
    return loader.load(base, device, profile)


def _numbered(
    texts: Sequence[str], images: Features
) -> tuple[list[str], NDArray[np.int64], Features, NDArray[np.int64]]:
    """The different texts in their order, the number [N] of each among them, and both for the rows of ``images``."""
    rows, different = pd.factorize(np.array(texts, dtype=object))
    gallery, picture = distinct(images)
    return different.tolist(), rows, gallery, np.arange(len(gallery)) if picture is None else picture
