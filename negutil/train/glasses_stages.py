"""Training pairs of glasses on a frozen CLIP, one after another or side by side, and resuming where it was stopped.

The classifier reads no more than its sentences, and the Lens in stage 1 nothing of the Frame: pairs that differ in
something else end these stages with the same weights, so they are trained once and kept in the cache. The key of such
an entry is everything that the stage depends on.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil import code
from negutil.cache import Cache
from negutil.models import glasses_trained
from negutil.models.glasses_trained import TrainedGlasses
from negutil.train.finetune import locked, run_calls
from negutil.train.glasses_run import COLUMNS, LEARNING, Run, modules
from negutil.train.glasses_sets import GlassesData
from negutil.train.loop import (
    CHECKPOINT,
    Stopped,
    fast_kernels,
    plain,
    read_checkpoint,
    stop_signals,
    write_checkpoint,
)
from negutil.train.settings import GlassesTraining, as_table

EVERY = 5.0
"""Seconds between checkpoints, which are written at the ends of epochs."""

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


@dataclass(frozen=True, slots=True)
class GlassesJob:
    """One pair of glasses to train: its ``name``, the base's ``base_sha256``, features, and settings.

    ``lens_data`` is what stage 1 learns from where that is another set (``config.lens_set``).
    """

    name: str
    base_sha256: str
    data: GlassesData
    config: GlassesTraining
    profile: str
    lens_data: GlassesData | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the result follows from, as plain JSON values."""
        facts: dict[str, Any] = {"base": glasses_trained.base_of(self.name), "base_sha256": self.base_sha256}
        facts |= {"config": as_table(self.config), "data_sha256": self.data.sha256}
        facts |= {"lens_sha256": self.lens_data.sha256 if self.lens_data else ""}
        return plain(facts | {"code_version": code.fingerprint(__name__)})


def train(job: GlassesJob) -> TrainedGlasses:
    """Train one pair of glasses, or resume where it stopped; finished ones of the same identity are returned.

    What was made from something else under this name is replaced. Ctrl-C finishes the epoch, saves, and raises Stopped.
    Raises NegutilError where a loss is not finite, or a file cannot be written.
    """
    out, identity = glasses_trained.folder(job.name, job.profile), job.identity
    with locked(out):
        found = glasses_trained.find(job.name, job.profile)
        if found is None or found.about["identity"] != identity:
            glasses_trained.remove(out)
            _train(job, out, identity)
    return glasses_trained.read(job.name, job.profile)


def train_many(
    names: Sequence[str], make: Callable[[str], GlassesJob], profile: str, processes: int = 2
) -> list[TrainedGlasses]:
    """Train the pairs called ``names``, ``processes`` at a time; returns them in the order of ``names``.

    ``make`` gives the job of a name, in the process that trains it. What is finished is not trained again. Ctrl-C lets
    those at work finish their epoch and save, and raises Stopped. Raises NegutilError as :func:`train` does.
    """
    different = list(dict.fromkeys(names))
    calls = [functools.partial(_name_of, make, name) for name in different]
    run_calls(calls, processes, len(different), "training glasses")
    return [glasses_trained.read(name, profile) for name in names]


def _name_of(make: Callable[[str], GlassesJob], name: str) -> str:
    return train(make(name)).name


def _train(job: GlassesJob, out: Path, identity: dict[str, Any]) -> None:
    """Resume from the checkpoint, or start; write the result and delete the checkpoint when all stages are done."""
    run, config = Run(job.data, job.config, job.lens_data), job.config
    keys = shared_keys(job.data, job.lens_data, config)
    content = read_checkpoint(out)
    if content.get("identity") == identity:
        run.restore(content)
    saved = time.monotonic()
    with fast_kernels(config.threads, config.matmul_precision, config.device), stop_signals() as stopped:
        while not run.finished:
            _advance(run, keys)
            if stopped or time.monotonic() - saved > EVERY:
                write_checkpoint(out, run.state() | {"identity": identity})
                saved = time.monotonic()
            if stopped and not run.finished:
                where = f"stage '{run.name}', epoch {run.epoch}"
                raise Stopped(f"Stopped at {where} and saved in {out}; the same call goes on from here.")
    about = {
        "identity": identity,
        "modules": asdict(run.glasses.config),
        "scale": job.data.scale,
        "examples": config.joint.epochs * len(job.data),
        "items": len(job.data),
        "provenance": code.provenance(seconds=round(sum(run.seconds.values()), 1)),
    }
    curve = pd.DataFrame(run.curve, columns=list(COLUMNS))
    glasses_trained.write(out, run.glasses.state_dict(), curve, about)
    (out / CHECKPOINT).unlink(missing_ok=True)


def _advance(run: Run, keys: Mapping[str, Mapping[str, Any]]) -> None:
    """Train an epoch; a stage that another pair has shared is taken from it, one that ends here is given to others."""
    stage, key = run.name, keys.get(run.name)
    if key and run.epoch == 0 and _take(run, key):
        return
    run.advance()
    if key and (run.finished or run.name != stage):
        _share(run, key)


def shared_keys(data: GlassesData, lens_data: GlassesData | None, config: GlassesTraining) -> dict[str, dict[str, Any]]:
    """Return what each stage of READ depends on, as plain JSON values."""
    facts: dict[str, dict[str, Any]] = {
        "gate": {"data": _digest(data.sentences, data.is_negated)},
        "lens": {
            "delta": config.delta,
            "validation_by": config.validation_by,
            "data": (lens_data or data).sha256,
        },
    }
    settings = modules(data.images.shape[1], config)
    for stage, values in facts.items():
        values |= {"kind": "a stage of glasses", "code_version": code.fingerprint(__name__), "stage": stage}
        values |= {name: getattr(config, name) for name in RUN}
        values |= {name: getattr(settings, name) for name in READ[stage]}
        values |= {"training": dataclasses.asdict(config.stage(stage))}
    return plain(facts)


def _take(run: Run, key: Mapping[str, Any]) -> bool:
    """Let ``run``, at the start of a stage, take its end from the cache; returns whether it was there."""
    cache = Cache()
    found = cache.load(cache.key(**key))
    if found is None:
        return False
    told = json.loads(found.pop(TOLD).tobytes())
    run.skip({name: torch.from_numpy(array) for name, array in found.items()}, told["rows"], told["seconds"])
    return True


def _share(run: Run, key: Mapping[str, Any]) -> None:
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
