"""Finished pairs of glasses on disk, and the names to load them by.

A folder holds ``glasses.safetensors``, ``curve.csv`` and, written last, ``glasses.json``: base model with sha256,
settings, digest of the data, sha256 of the weights. Under ``glasses/<profile>`` of the cache, the folder
``miniclip-b-8+clipglasses-ccneg/seed0`` is the pair of that name. The base may be fine-tuned itself:
``miniclip-b-8+negationclip/seed0+clipglasses-ccneg/seed0``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from negutil import config, paths
from negutil.errors import NegutilError
from negutil.models import trained
from negutil.models.glasses_settings import GlassesConfig
from negutil.models.trained import CURVE

ABOUT, TENSORS = "glasses.json", "glasses.safetensors"
NAME = re.compile(r"(?P<base>[\w.-]+(?:\+[\w.+-]+/[\w.-]+)?)\+(?P<recipe>clipglasses[\w.-]*)/(?P<run>[\w.-]+)")


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

    @property
    def examples(self) -> int:
        """How many items were seen in stage 3, repetitions counted."""
        return int(self.about["examples"])

    @property
    def modules(self) -> GlassesConfig:
        """The settings of the modules."""
        return GlassesConfig(**self.about["modules"])

    @property
    def scale(self) -> float:
        """exp(logit_scale) of the base."""
        return float(self.about["scale"])

    def curve(self) -> pd.DataFrame:
        """Losses, rates and validation by stage and epoch (``train.glasses.COLUMNS``)."""
        return pd.read_csv(self.folder / CURVE)


def is_name(name: str) -> bool:
    """Whether ``name`` is one of a pair of glasses: base+clipglasses.../run."""
    return NAME.fullmatch(name) is not None


def base_of(name: str) -> str:
    """The name of the model that wears the glasses called ``name``; raises NegutilError for another name."""
    return _parts(name)["base"]


def recipe_of(name: str) -> str:
    """The recipe in the ``name`` of a pair of glasses; raises NegutilError for another name."""
    return _parts(name)["recipe"]


def folder(name: str, profile: str | None = None) -> Path:
    """Return where the glasses called ``name`` are, or would be; raises NegutilError for a name that is none."""
    _parts(name)
    return paths.cache() / "glasses" / config.resolve(profile) / name


def find(name: str, profile: str | None = None) -> TrainedGlasses | None:
    """Return the finished glasses called ``name``, or None; raises NegutilError where they are damaged."""
    own = folder(name, profile)
    if not (own / ABOUT).exists():
        return None
    keys = {"identity", "sha256", "modules", "scale", "examples"}
    return TrainedGlasses(name, own, trained.read_about(own / ABOUT, "glasses", keys))


def read(name: str, profile: str | None = None) -> TrainedGlasses:
    """Return the finished glasses called ``name``; raises NegutilError where there are none."""
    found = find(name, profile)
    if found is None:
        which = config.resolve(profile)
        raise NegutilError(f"There are no trained glasses '{name}' of the profile {which}; run notebook 06.")
    return found


def tensors(found: TrainedGlasses) -> dict[str, torch.Tensor]:
    """Return the weights of ``found``; raises NegutilError where the file is missing, damaged, or another one."""
    return trained.read_tensors(found.folder / TENSORS, found.sha256)


def write(out: Path, state: dict[str, torch.Tensor], curve: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write finished glasses to ``out``: weights, curve, and ``about`` last; raises NegutilError where it cannot."""
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
