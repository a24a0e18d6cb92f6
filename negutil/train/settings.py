"""Settings of trainings, and those that have a name.

Those of a fine-tuning are in ``configs/finetune.toml`` by method and source, those of glasses by source alone in
``configs/glasses.toml``. A source is a profile, or "released code".
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.files import Settings
from negutil.models.text_tower import GROUPS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

METHODS = ("infonce", "con-clip", "negclip", "clip-bnl", "negbench")
STAGES = ("gate", "lens", "frame", "joint")
"""Of glasses, in their order: the classifier, stage 1 (Lens), stage 2 (Frame with the true object), stage 3 (both)."""

CHOICES = {
    "method": METHODS,
    "schedule": ("constant", "cosine"),
    "decay": ("matrices", "all"),
    "validation_by": ("image", "caption"),
    "keep": ("lowest validation loss", "last"),
    "matmul_precision": ("highest", "high", "medium"),
}
GLASSES_CHOICES = {
    "variant": ("paper", "tokens", "released"),
    "distractors": ("hard", "unrelated"),
    "validation_by": ("image", "item"),
    "lens_set": ("", "ccneg", "retrieval"),
    "matmul_precision": ("highest", "high", "medium"),
}
STAGE_CHOICES = {
    "schedule": ("constant", "cosine", "cosine by epoch"),
    "keep": ("lowest validation loss", "highest validation score", "last"),
}
Made = TypeVar("Made", bound="DataclassInstance")


def _check(made: Any, choices: Mapping[str, tuple[str, ...]], *, above: Mapping[str, float] | None = None) -> None:
    """Raise NegutilError for the first field of ``made`` that is none of its ``choices``, or not ``above`` a bound."""
    for key, known in choices.items():
        if getattr(made, key) not in known:
            raise NegutilError(f"{key} is {getattr(made, key)!r}; write one of {', '.join(map(repr, known))}.")
    for key, least in (above or {}).items():
        if getattr(made, key) <= least:
            raise NegutilError(f"{key} is {getattr(made, key)}; it must be more than {least}.")


@dataclass(frozen=True, slots=True)
class FinetuneConfig(Settings):
    """Everything that a fine-tuning depends on besides base weights and examples; rates and decay are AdamW's.

    ``warmup`` counts steps; ``clip_norm`` 0 clips no gradient; ``decay`` says whether vectors (gains, biases) and the
    logit scale decay as matrices do; ``trainable`` names groups of the text tower, the rest is frozen; ``shuffle`` is
    off in CoN-CLIP's code alone; ``original_share`` of the captions are replaced by their originals, again each epoch;
    ``validation_by`` caption lets an image be in both parts, as in NegationCLIP's code; ``keep`` says which epoch's
    weights stay. ``alpha`` and ``normalise_mcq``
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
    keep: str = "last"
    alpha: float = 0.99
    normalise_mcq: bool = True
    margin: float = 0.2
    image_bounds: tuple[float, float] = (0.1, 0.6)
    text_bounds: tuple[float, float] = (0.1, 0.3)
    constraint_weight: float = 1e-3
    seed: int = 0
    text_chunks: int = 4
    matmul_precision: str = "highest"
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check(self, CHOICES, above=dict.fromkeys(("lr", "epochs", "batch", "text_chunks", "threads"), 0))
        unknown = [group for group in self.trainable if group not in GROUPS]
        if unknown or not self.trainable:
            raise NegutilError(f"trainable is {list(self.trainable)}; name some of {', '.join(GROUPS)}.")
        for key in ("original_share", "validation_share", "alpha"):
            if not 0 <= getattr(self, key) <= 1:
                raise NegutilError(f"{key} is {getattr(self, key)}; it must be between 0 and 1.")
        if self.keep != "last" and not 0 < self.validation_share < 1:
            raise NegutilError(f"validation_share is {self.validation_share}; only keep = 'last' can do without.")


@dataclass(frozen=True, slots=True)
class Stage(Settings):
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
        _check(self, STAGE_CHOICES, above={"lr": 0, "epochs": -1, "batch": 1})


@dataclass(frozen=True, slots=True)
class GlassesTraining(Settings):
    """Everything that a pair of glasses depends on besides its base model and its training set.

    ``variant`` and ``modules`` (changes of it) are settings of the modules (``models.glasses_settings``); tokens is the
    paper with another reading of eq. 4. ``delta`` is
    the weight of the alignment loss at the start and end of stage 1 (eq. 16). ``distractors`` unrelated takes any
    image for a hard negative, as the released code does by mistake; without ``fourth_term`` its term of CC-Neg's loss
    is 0, as there (docs/protocols.md#glasses-training). ``lens_set`` names the set that stage 1 learns from, where it
    is another one. ``validation_by`` item lets an image be in both parts, as in the released code.
    ``matmul_precision`` is torch's (``loop.fast_kernels``). Raises NegutilError for a value without sense.
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
        _check(self, GLASSES_CHOICES)
        if not 0 < self.validation_share < 1:
            raise NegutilError(f"validation_share is {self.validation_share}; it must be between 0 and 1.")

    def stage(self, name: str) -> Stage:
        """The settings of one of STAGES."""
        return {"gate": self.gate, "lens": self.lens, "frame": self.frame, "joint": self.joint}[name]


def settings(method: str, source: str = "mini", file: Path | None = None, **changes: Any) -> FinetuneConfig:
    """Return the settings of ``method`` named after their ``source``, with ``changes``.

    Raises NegutilError, listing those that exist, where there are none, and where ``file`` is wrong.
    """
    file = file or paths.CONFIGS / "finetune.toml"
    tables = files.read_toml(file)
    if source not in tables.get(method, {}):
        known = ", ".join(f"{each} ({', '.join(sources)})" for each, sources in tables.items())
        raise NegutilError(f"{file} has no settings '{source}' for '{method}'; there are {known}.")
    table = {**tables[method][source], "method": method}
    return _build(FinetuneConfig, table, f"{file}: [{method}.{source}]", changes)


def glasses(source: str = "mini", file: Path | None = None, **changes: Any) -> GlassesTraining:
    """Return the settings of glasses named after their ``source``, with ``changes``; raises as :func:`settings`."""
    file = file or paths.CONFIGS / "glasses.toml"
    tables = files.read_toml(file)
    if source not in tables:
        raise NegutilError(f"{file} has no settings '{source}' for glasses; there are {', '.join(tables)}.")
    return _build(GlassesTraining, tables[source], f"{file}: [{source}]", changes)


def _build(kind: type[Made], table: Mapping[str, Any], where: str, changes: Mapping[str, Any]) -> Made:
    try:
        return dataclasses.replace(files.checked(kind, table, "its table"), **changes)
    except (TypeError, NegutilError) as problem:
        raise NegutilError(f"{where} cannot be used ({str(problem).rstrip('.')}); correct it.") from problem
