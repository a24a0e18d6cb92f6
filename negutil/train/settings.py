"""Settings of a fine-tuning, and those that have a name: ``configs/finetune.toml`` keeps them by method and source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.models.text_tower import GROUPS

METHODS = ("infonce", "con-clip", "negclip", "clip-bnl", "negbench")
CHOICES = {
    "method": METHODS,
    "schedule": ("constant", "cosine"),
    "decay": ("matrices", "all"),
    "validation_by": ("image", "caption"),
    "keep": ("lowest validation loss", "last"),
    "matmul_precision": ("highest", "high", "medium"),
}


@dataclass(frozen=True, slots=True)
class FinetuneConfig:
    """Everything that a fine-tuning depends on besides base weights and examples; rates and decay are AdamW's.

    ``warmup`` counts steps; ``clip_norm`` 0 clips no gradient; ``decay`` says whether vectors (gains, biases) and the
    logit scale decay as matrices do; ``trainable`` names groups of the text tower, the rest is frozen; ``shuffle`` is
    off in CoN-CLIP's code alone; ``original_share`` of the captions are replaced by their originals, anew each epoch;
    ``validation_by`` caption lets an image be in both parts, as in NegationCLIP's code. ``alpha`` and ``normalise_mcq``
    are NegBench's, ``margin`` to ``constraint_weight`` CLIP-bnl's. Raises NegutilError for a value without sense.
    """

    method: str
    lr: float
    epochs: int
    batch: int
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: str = "all"
    warmup: int = 0
    schedule: str = "constant"
    clip_norm: float = 0.0
    trainable: tuple[str, ...] = GROUPS
    clamp_logit_scale: bool = False
    shuffle: bool = True
    original_share: float = 0.0
    validation_share: float = 0.2
    validation_by: str = "image"
    keep: str = "lowest validation loss"
    alpha: float = 0.99
    normalise_mcq: bool = True
    margin: float = 0.2
    image_bounds: tuple[float, float] = (0.1, 0.6)
    text_bounds: tuple[float, float] = (0.1, 0.3)
    constraint_weight: float = 1e-3
    seed: int = 0
    text_chunks: int = 8
    matmul_precision: str = "highest"
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        for key, choices in CHOICES.items():
            if getattr(self, key) not in choices:
                raise NegutilError(f"{key} is {getattr(self, key)!r}; write one of {', '.join(choices)}.")
        unknown = [group for group in self.trainable if group not in GROUPS]
        if unknown or not self.trainable:
            raise NegutilError(f"trainable is {list(self.trainable)}; name some of {', '.join(GROUPS)}.")
        for key in ("lr", "epochs", "batch", "text_chunks", "threads"):
            if getattr(self, key) <= 0:
                raise NegutilError(f"{key} is {getattr(self, key)}; it must be more than 0.")
        for key in ("original_share", "validation_share", "alpha"):
            if not 0 <= getattr(self, key) <= 1:
                raise NegutilError(f"{key} is {getattr(self, key)}; it must be between 0 and 1.")
        if self.keep != "last" and not 0 < self.validation_share < 1:
            raise NegutilError(f"validation_share is {self.validation_share}; only keep = 'last' can do without.")


def settings(method: str, source: str = "mini", file: Path | None = None, **changes: Any) -> FinetuneConfig:
    """Return the settings of ``method`` named after their ``source`` (a profile, or "released code"), with ``changes``.

    Raises NegutilError, listing those that exist, where there are none, and where ``file`` is wrong.
    """
    file = file or paths.CONFIGS / "finetune.toml"
    table = files.read_toml(file)
    if source not in table.get(method, {}):
        known = [f"{one} ({', '.join(sources)})" for one, sources in table.items()]
        raise NegutilError(f"{file} has no settings '{source}' for '{method}'; there are {', '.join(known)}.")
    values = {key: _convert(key, value, f"{file}: [{method}.{source}]") for key, value in table[method][source].items()}
    try:
        return FinetuneConfig(method=method, **(values | changes))
    except (TypeError, NegutilError) as problem:
        raise NegutilError(f"{file}: [{method}.{source}] cannot be used ({problem}); correct it.") from problem


def sources(method: str, file: Path | None = None) -> list[str]:
    """Return the sources that ``configs/finetune.toml`` has settings of ``method`` from, in its order."""
    return list(files.read_toml(file or paths.CONFIGS / "finetune.toml").get(method, {}))


def _convert(key: str, value: Any, where: str) -> Any:
    """``value`` as the type of the field ``key``: a list becomes a tuple, a whole number a float where one is asked."""
    hints = get_type_hints(FinetuneConfig)
    if key not in hints or key == "method":
        known = ", ".join(field.name for field in dataclasses.fields(FinetuneConfig) if field.name != "method")
        raise NegutilError(f"{where} has an unknown setting '{key}'; the settings are {known}.")
    hint = hints[key]
    kind = tuple if get_origin(hint) is tuple else hint
    converted = tuple(value) if isinstance(value, list) else float(value) if hint is float and _whole(value) else value
    inside = get_args(hint)[0] if kind is tuple else None
    if type(converted) is not kind or (inside and not all(type(one) is inside for one in converted)):
        wanted = "a list" if kind is tuple else kind.__name__
        raise NegutilError(f"{where} has {key} = {value!r}; write {wanted}.")
    return converted


def _whole(value: Any) -> bool:
    return type(value) is int
