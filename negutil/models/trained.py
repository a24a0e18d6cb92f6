"""A finished fine-tuning on disk: a text tower that stands on a model of the registry, and a name to load it by.

Its folder holds ``text_tower.safetensors`` (the embedding with the rows that were trained, ``token_ids`` beside them),
``curve.csv`` and, written last, ``trained.json``: base model with sha256, settings, sha256 of examples and tower. Under
``trained/<profile>`` of the cache, the folder ``miniclip-b-8+con-clip/seed0`` is the model of that name.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from negutil import config, files, paths
from negutil.errors import NegutilError
from negutil.models import text_tower
from negutil.models.text_tower import State

ABOUT = "trained.json"
TENSORS = "text_tower.safetensors"
CURVE = "curve.csv"
IDS = "token_ids"
NAME = re.compile(r"[\w.-]+\+[\w.+-]+/[\w.+-]+")
MARK = "+"  # between the base's name and the method's


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished fine-tuning: ``about`` is the content of ``trained.json`` in ``folder``."""

    folder: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """The name it is loaded by, such as ``miniclip-b-8+con-clip/seed0``; elsewhere that of its folder."""
        parent = self.folder.parent.name
        return f"{parent}/{self.folder.name}" if MARK in parent else self.folder.name

    @property
    def base(self) -> str:
        """Name of the model in the registry that was fine-tuned."""
        return str(self.about["identity"]["base"])

    @property
    def identity(self) -> dict[str, Any]:
        """What it was made from: base with sha256, settings, sha256 of the examples, version of the code."""
        return dict(self.about["identity"])

    @property
    def sha256(self) -> str:
        """That of the file with the tensors."""
        return str(self.about["sha256"])


def is_name(name: str) -> bool:
    """Whether ``name`` is one of a fine-tuned model: base+method/run."""
    return MARK in name


def folder(name: str, profile: str | None = None) -> Path:
    """Return where the model called ``name`` is, or would be; raises NegutilError for a name that is none."""
    if not NAME.fullmatch(name) or ".." in name:
        raise NegutilError(f"'{name}' is not the name of a fine-tuned model: write it as base+method/run.")
    return paths.cache() / "trained" / config.resolve(profile) / name


def names(profile: str | None = None) -> list[str]:
    """Return the names of all finished fine-tunings of ``profile``, sorted."""
    home = paths.cache() / "trained" / config.resolve(profile)
    folders = (file.parent.relative_to(home).as_posix() for file in home.glob(f"*/*/{ABOUT}"))
    return sorted(name for name in folders if is_name(name))


def find(out: Path) -> Trained | None:
    """Return the finished fine-tuning in the folder ``out``, or None; raises NegutilError if it is damaged."""
    about = read_about(out / ABOUT, "a fine-tuning", {"identity", "sha256"})
    return None if about is None else Trained(out, about)


def read_about(file: Path, what: str, keys: set[str]) -> dict[str, Any] | None:
    """Return what a training has noted in ``file``, or None; raises NegutilError if ``keys`` or base are missing."""
    if not file.exists():
        return None
    about = files.read_json(file, f"delete {file.parent} and train again")
    identity = about.get("identity") if isinstance(about, dict) and keys <= about.keys() else None
    if not isinstance(identity, dict) or "base" not in identity:
        raise NegutilError(f"{file} does not describe {what}; delete {file.parent} and train again.")
    return dict(about)


def read(name: str, profile: str | None = None) -> Trained:
    """Return the fine-tuned model called ``name``; raises NegutilError, listing those there are, where it is none."""
    tuned = find(folder(name, profile))
    if tuned is None:
        known = ", ".join(names(profile)) or "none yet"
        which = config.resolve(profile)
        raise NegutilError(
            f"There is no fine-tuned model '{name}' of the profile {which} (there are: {known}); run notebook 05."
        )
    if tuned.base != name.partition(MARK)[0]:
        raise NegutilError(f"{tuned.folder} was fine-tuned from '{tuned.base}'; rename it, or delete it.")
    return tuned


def tensors(tuned: Trained) -> tuple[State, torch.Tensor]:
    """Return the tensors of ``tuned`` (the embedding with its trained rows alone) and the ids of these rows.

    Raises NegutilError if the file is missing, damaged, or not the one that was written.
    """
    content = read_tensors(tuned.folder / TENSORS, tuned.sha256)
    return content, content.pop(IDS)


def read_tensors(file: Path, sha256: str, fix: str = "") -> State:
    """Return the tensors in ``file``; raises NegutilError if it is missing, damaged, or has another ``sha256``."""
    fix = fix or f"delete {file.parent} and train again"
    if files.sha256(file) != sha256:
        raise NegutilError(f"{file} is not the file that was written; {fix}.")
    try:
        return safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, OSError) as problem:
        raise NegutilError(f"{file} is damaged ({problem}); {fix}.") from problem


def write(out: Path, state: State, ids: torch.Tensor, curve: str, about: dict[str, Any]) -> Trained:
    """Write a finished fine-tuning to ``out``: tensors (contiguous, on the CPU), curve, and ``about`` last of all.

    Raises NegutilError if a file cannot be written, or where rows and ``ids`` of the embedding do not pair up.
    """
    rows = len(state[text_tower.embedding(state)])
    if rows != len(ids):
        raise NegutilError(f"The embedding has {rows} rows for {len(ids)} tokens; give one for each.")
    return Trained(out, save(out / TENSORS, out / ABOUT, state | {IDS: ids}, curve, about))


def save(tensors: Path, about: Path, state: State, curve: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the files of a finished training, ``about`` last of all; returns what that holds."""
    files.write_bytes(tensors, safetensors.torch.save(state))
    files.write_text(about.with_name(CURVE), curve)
    facts = facts | {"sha256": files.sha256(tensors)}
    files.write_text(about, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return facts


def remove(out: Path, names: tuple[str, ...] = (ABOUT, TENSORS, CURVE)) -> None:
    """Delete the files of a training in ``out``, the mark that it is finished first, and nothing else."""
    for name in names:
        (out / name).unlink(missing_ok=True)
