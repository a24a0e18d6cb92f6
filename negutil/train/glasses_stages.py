"""Training pairs of glasses on a frozen CLIP, one after another or side by side, and going on where it was stopped."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock

from negutil import code, files
from negutil.errors import NegutilError
from negutil.models import glasses_trained
from negutil.models.glasses_trained import TrainedGlasses
from negutil.train import glasses_config, glasses_shared
from negutil.train.finetune import Stopped, run_calls
from negutil.train.glasses_config import GlassesTraining
from negutil.train.glasses_run import COLUMNS, Run
from negutil.train.glasses_sets import GlassesData
from negutil.train.runtime import fast_kernels, stop_signals

CHECKPOINT = "checkpoint.pt"
EVERY = 5.0
"""Seconds between checkpoints, which are written at the ends of epochs."""


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
        made = {
            "base": glasses_trained.base_of(self.name),
            "base_sha256": self.base_sha256,
            "config": glasses_config.plain(self.config),
            "data_sha256": self.data.sha256,
            "lens_sha256": self.lens_data.sha256 if self.lens_data else "",
            "code_version": code.fingerprint(__name__),
        }
        plain: dict[str, Any] = json.loads(json.dumps(made))
        return plain


def train(job: GlassesJob) -> TrainedGlasses:
    """Train one pair of glasses, or go on where it was stopped; finished ones of the same identity are returned.

    What was made from something else under this name is replaced. Ctrl-C finishes the epoch, saves, and raises Stopped.
    Raises NegutilError where a loss is not finite, or a file cannot be written.
    """
    out, identity = glasses_trained.folder(job.name, job.profile), job.identity
    with _locked(out):
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
    """Go on from the checkpoint, or start; write the result and delete the checkpoint when all stages are done."""
    run, config = Run(job.data, job.config, job.lens_data), job.config
    keys = glasses_shared.keys(job.data, job.lens_data, config)
    content = _read_checkpoint(out)
    if content.get("identity") == identity:
        run.restore(content)
    saved = time.monotonic()
    with fast_kernels(config.threads, config.matmul_precision, config.device), stop_signals() as stopped:
        while not run.finished:
            _advance(run, keys)
            if stopped or time.monotonic() - saved > EVERY:
                _save_checkpoint(run, out, identity)
                saved = time.monotonic()
            if stopped and not run.finished:
                where = f"stage '{run.name}', epoch {run.epoch}"
                raise Stopped(f"Stopped at {where} and saved in {out}; the same call goes on from here.")
    _write(run, job, out, identity)
    (out / CHECKPOINT).unlink(missing_ok=True)


def _advance(run: Run, keys: Mapping[str, Mapping[str, Any]]) -> None:
    """Train an epoch; a stage that another pair has shared is taken from it, one that ends here is given to others."""
    stage, key = run.name, keys.get(run.name)
    if key and run.epoch == 0 and glasses_shared.restore(run, key):
        return
    run.advance()
    if key and (run.finished or run.name != stage):
        glasses_shared.keep(run, key)


def _write(run: Run, job: GlassesJob, out: Path, identity: dict[str, Any]) -> None:
    about = {
        "identity": identity,
        "modules": asdict(run.glasses.config),
        "scale": job.data.scale,
        "examples": job.config.joint.epochs * len(job.data),
        "items": len(job.data),
        "provenance": code.provenance(seconds=round(sum(run.seconds.values()), 1)),
    }
    curve = pd.DataFrame(run.curve, columns=list(COLUMNS))
    glasses_trained.write(out, run.glasses.state_dict(), curve, about)


def _locked(out: Path) -> contextlib.AbstractContextManager[Any]:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise NegutilError(f"{out} cannot be made ({problem.strerror}); choose another folder.") from problem
    return FileLock(out / ".lock")


def _save_checkpoint(run: Run, out: Path, identity: dict[str, Any]) -> None:
    stream = io.BytesIO()
    torch.save(run.state() | {"identity": identity}, stream)
    files.write_bytes(out / CHECKPOINT, stream.getvalue())


def _read_checkpoint(out: Path) -> dict[str, Any]:
    """The content of the checkpoint in ``out`` (tensors and plain values only), or nothing where there is none."""
    if not (out / CHECKPOINT).exists():
        return {}
    try:
        content: dict[str, Any] = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise NegutilError(f"{out / CHECKPOINT} is damaged; delete it to start these glasses again.") from error
    return content
