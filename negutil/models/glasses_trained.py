"""Finished pairs of glasses on disk, and the names to load them by.

A folder holds ``glasses.safetensors``, ``curve.csv`` and, written last, ``glasses.json``: base model with sha256,
settings, digest of the data, sha256 of the weights. Under ``glasses/<profile>`` of the cache, the folder
``miniclip-b-8+clipglasses-ccneg/seed0`` is the pair of that name. The base may be fine-tuned itself:
``miniclip-b-8+negationclip/seed0+clipglasses-ccneg/seed0``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors
import safetensors.torch
import torch

from negutil import config, files, paths
from negutil.errors import NegutilError
from negutil.models.glasses_settings import GlassesConfig

ABOUT, TENSORS, CURVE = "glasses.json", "glasses.safetensors", "curve.csv"
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
        """Losses, rates and validation by stage and epoch (``glasses_run.COLUMNS``)."""
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
    about = files.read_json(own / ABOUT, f"delete {own} and train again")
    if not isinstance(about, dict) or not {"identity", "sha256", "modules", "scale", "examples"} <= about.keys():
        raise NegutilError(f"{own / ABOUT} does not describe glasses; delete {own} and train again.")
    return TrainedGlasses(name, own, about)


def read(name: str, profile: str | None = None) -> TrainedGlasses:
    """Return the finished glasses called ``name``; raises NegutilError where there are none."""
    found = find(name, profile)
    if found is None:
        which = config.resolve(profile)
        raise NegutilError(f"There are no trained glasses '{name}' of the profile {which}; run notebook 06.")
    return found


def tensors(found: TrainedGlasses) -> dict[str, torch.Tensor]:
    """Return the weights of ``found``; raises NegutilError where the file is missing, damaged, or another one."""
    file = found.folder / TENSORS
    if files.sha256(file) != found.sha256:
        raise NegutilError(f"{file} is not the file that {ABOUT} notes; delete {found.folder} and train again.")
    try:
        return safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, OSError) as problem:
        raise NegutilError(f"{file} is damaged ({problem}); delete {found.folder} and train again.") from problem


def write(out: Path, state: dict[str, torch.Tensor], curve: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write finished glasses to ``out``: weights, curve, and ``about`` last; raises NegutilError where it cannot."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    files.write_bytes(out / TENSORS, safetensors.torch.save(plain))
    files.write_text(out / CURVE, curve.to_csv(index=False, lineterminator="\n"))
    about = about | {"sha256": files.sha256(out / TENSORS)}
    files.write_text(out / ABOUT, json.dumps(about, indent=1, sort_keys=True) + "\n")


def remove(out: Path) -> None:
    """Delete the files of a pair in ``out``, the mark that it is finished first, and nothing else."""
    for name in (ABOUT, TENSORS, CURVE):
        (out / name).unlink(missing_ok=True)


def _parts(name: str) -> dict[str, str]:
    match = NAME.fullmatch(name)
    if match is None or ".." in name:
        raise NegutilError(f"'{name}' is no name of glasses; write it as base+clipglasses.../run.")
    return match.groupdict()
