"""Settings of the training of CLIPGlasses, and those with a name: ``configs/glasses.toml`` keeps them by source."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from negutil import files, paths
from negutil.errors import NegutilError

STAGES = ("gate", "lens", "frame", "joint")
"""In their order: the classifier, stage 1 (Lens), stage 2 (Frame with the true object), stage 3 (both)."""

CHOICES = {
    "variant": ("paper", "released"),
    "distractors": ("hard", "unrelated"),
    "validation_by": ("image", "item"),
    "lens_set": ("", "ccneg", "retrieval"),
    "matmul_precision": ("highest", "high", "medium"),
}
STAGE_CHOICES = {
    "schedule": ("constant", "cosine", "cosine by epoch"),
    "keep": ("lowest validation loss", "highest validation score", "last"),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """How one stage is trained; rates, decay and betas are AdamW's.

    ``schedule`` cosine falls with every step, as in our other trainings, or "by epoch", as in the released code;
    ``clip_norm`` 0 clips no gradient; after ``patience`` epochs without a better validation the stage ends (0: never);
    ``keep`` says which epoch's weights stay. Raises NegutilError for a value without sense.
    """

    lr: float
    epochs: int
    batch: int
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: str = "cosine"
    clip_norm: float = 0.0
    patience: int = 0
    keep: str = "lowest validation loss"

    def __post_init__(self) -> None:
        _require_choices(self, STAGE_CHOICES)
        for key, least in (("lr", 0), ("epochs", -1), ("batch", 1)):
            if getattr(self, key) <= least:
                raise NegutilError(f"{key} is {getattr(self, key)}; it must be more than {least}.")


@dataclass(frozen=True, slots=True)
class GlassesTraining:
    """Everything that a pair of glasses depends on besides its base model and its training set.

    ``variant`` and ``modules`` (changes of it) are settings of the modules (``models.glasses_settings``). ``delta`` is
    the weight of the alignment loss at the start and end of stage 1 (eq. 16). ``distractors`` unrelated takes any
    picture for a hard negative, as the released code does by mistake; without ``fourth_term`` its term of CC-Neg's loss
    is 0, as there (docs/protocols.md#glasses-training). ``lens_set`` names the set that stage 1 learns from, where it
    is another one. ``validation_by`` item lets a picture be in both parts, as in the released code.
    ``matmul_precision`` is torch's (``runtime.fast_kernels``). Raises NegutilError for a value without sense.
    """

    variant: str
    gate: Stage
    lens: Stage
    frame: Stage
    joint: Stage
    delta: tuple[float, float] = (0.5, 1.0)
    distractors: str = "hard"
    fourth_term: bool = True
    lens_set: str = ""
    validation_share: float = 0.1
    validation_by: str = "image"
    modules: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    matmul_precision: str = "highest"
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        _require_choices(self, CHOICES)
        if not 0 < self.validation_share < 1:
            raise NegutilError(f"validation_share is {self.validation_share}; it must be between 0 and 1.")

    def stage(self, name: str) -> Stage:
        """The settings of one of STAGES."""
        found: Stage = getattr(self, name)
        return found


def settings(source: str = "mini", file: Path | None = None, **changes: Any) -> GlassesTraining:
    """Return the settings named after their ``source`` (a profile, or "released code"), with ``changes``.

    Raises NegutilError, listing those that exist, where there are none, and where ``file`` is wrong.
    """
    file = file or paths.CONFIGS / "glasses.toml"
    tables = files.read_toml(file)
    if source not in tables:
        raise NegutilError(f"{file} has no settings '{source}' for glasses; there are {', '.join(tables)}.")
    return _build(GlassesTraining, dict(tables[source]) | changes, f"{file}: [{source}]")


def sources(file: Path | None = None) -> list[str]:
    """Return the sources that ``configs/glasses.toml`` has settings from, in its order."""
    return list(files.read_toml(file or paths.CONFIGS / "glasses.toml"))


def _build(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """An instance of the dataclass ``kind`` from a table, every key known and of its type."""
    hints = get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise NegutilError(f"{where} has an unknown setting '{unknown[0]}'; the settings are {', '.join(hints)}.")
    values = {key: _convert(hints[key], value, f"{where} {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except (TypeError, NegutilError) as problem:
        raise NegutilError(f"{where} cannot be used ({problem}); correct it.") from problem


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as its field wants it: a table a Stage, a list a tuple, a whole number a float where one is asked."""
    if hint is Stage and not isinstance(value, Stage):
        if not isinstance(value, dict):
            raise NegutilError(f"{where} = {value!r}; write a table of settings.")
        return _build(Stage, value, where)
    if hint is float and type(value) is int:
        return float(value)
    plain = get_origin(hint) or hint
    converted = tuple(value) if plain is tuple and isinstance(value, list) else value
    if not isinstance(converted, plain) or (type(converted) is bool) != (plain is bool):
        raise NegutilError(
            f"{where} = {value!r}; write {'a list' if plain is tuple else f'a value like {plain.__name__}'}."
        )
    if plain is tuple and len(converted) != len(get_args(hint)):
        raise NegutilError(f"{where} = {value!r}; write {len(get_args(hint))} numbers.")
    return converted


def _require_choices(made: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    for key, known in choices.items():
        if getattr(made, key) not in known:
            raise NegutilError(f"{key} is {getattr(made, key)!r}; write one of {', '.join(map(repr, known))}.")


def plain(config: GlassesTraining) -> dict[str, Any]:
    """The settings as plain values for a file: tables, lists and numbers."""
    return dataclasses.asdict(config) | {"modules": dict(config.modules)}
