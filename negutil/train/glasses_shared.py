"""Stages that several pairs of glasses have in common, trained once and kept in the cache.

The classifier reads no more than its sentences, and the Lens in stage 1 nothing of the Frame: pairs that differ in
something else end these stages with the same weights. An entry's key is everything that such a stage depends on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from negutil import code
from negutil.cache import Cache
from negutil.train.glasses_config import GlassesTraining
from negutil.train.glasses_run import LEARNING, Run, modules
from negutil.train.glasses_sets import GlassesData

READ = {
    "gate": ("width", "gate_dropout"),
    "lens": (
        *("width", "softmax_over", "log_scale", "gate", "gate_sigmoids", "lens_batch", "lens_dropout"),
        *("syntactic", "semantic", "residual_gate", "negated", "random_seed"),
    ),
}
"""The settings of the modules that the loss and the validation of a stage read."""

RUN = ("seed", "validation_share", "matmul_precision", "threads", "device")
TOLD = "told"
"""The array with what is no weight: the rows of the curve and the seconds, as JSON."""


def keys(data: GlassesData, lens_data: GlassesData | None, config: GlassesTraining) -> dict[str, dict[str, Any]]:
    """Return what each stage of READ depends on, as plain JSON values."""
    lens = {"delta": config.delta, "validation_by": config.validation_by, "data": (lens_data or data).sha256}
    own: dict[str, dict[str, Any]] = {"gate": {"data": _digest(data.sentences, data.is_negated)}, "lens": lens}
    made = {stage: _common(stage, data.images.shape[1], config) | facts for stage, facts in own.items()}
    plain: dict[str, dict[str, Any]] = json.loads(json.dumps(made))
    return plain


def _common(stage: str, width: int, config: GlassesTraining) -> dict[str, Any]:
    read = modules(width, config)
    made = {"kind": "a stage of glasses", "code_version": code.fingerprint(__name__), "stage": stage}
    made |= {name: getattr(config, name) for name in RUN} | {name: getattr(read, name) for name in READ[stage]}
    return made | {"training": dataclasses.asdict(config.stage(stage))}


def restore(run: Run, key: Mapping[str, Any]) -> bool:
    """Let ``run``, at the start of a stage, take its end from the cache; returns whether it was there."""
    cache = Cache()
    found = cache.load(cache.key(**key))
    if found is None:
        return False
    told = json.loads(found.pop(TOLD).tobytes())
    run.skip({name: torch.from_numpy(array) for name, array in found.items()}, told["rows"], told["seconds"])
    return True


def keep(run: Run, key: Mapping[str, Any]) -> None:
    """Keep the end of the stage of ``key``, which ``run`` has just left."""
    stage, cache = key["stage"], Cache()
    learned, seconds = tuple(f"{part}." for part in LEARNING[stage]), run.seconds[stage]
    state = {name: one.cpu().numpy() for name, one in run.glasses.state_dict().items() if name.startswith(learned)}
    told = json.dumps({"rows": [row for row in run.curve if row[0] == stage], "seconds": seconds})
    cache.store(cache.key(**key), state | {TOLD: np.frombuffer(told.encode(), np.uint8)}, key, seconds)


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
