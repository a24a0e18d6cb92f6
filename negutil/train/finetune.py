"""Fine-tuning of text towers on negation, with the image tower frozen and its features given.

NegationCLIP, CoN-CLIP, NegCLIP, CLIP-bnl and NegBench differ in their losses and settings alone. A run that was stopped
ends exactly as if it had not been. Under torchrun the batch is shared out among the processes
(``negutil.train.distributed``).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from negutil import code, progress
from negutil.errors import NegutilError
from negutil.models import loader, registry, trained
from negutil.models.loader import LoadedModel
from negutil.models.processes import pool
from negutil.models.registry import Entry
from negutil.models.trained import Trained
from negutil.train import distributed
from negutil.train.examples import Examples
from negutil.train.loop import CHECKPOINT, Stopped, difference, fast_kernels, plain, read_checkpoint, train
from negutil.train.settings import FinetuneConfig, settings
from negutil.train.trainer import COLUMNS, Trainer

__all__ = [
    "CHECKPOINT", "COLUMNS", "Examples", "FinetuneConfig", "Job", "Stopped", "Trained", "Trainer", "finetune",
    "finetune_many", "settings",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One call of :func:`finetune`, with the name of the base in the registry."""

    base: str
    examples: Examples
    config: FinetuneConfig
    out: Path
    replace: bool = False


def finetune(
    base: LoadedModel, examples: Examples, config: FinetuneConfig, out: Path, *, replace: bool = False
) -> Trained:
    """Fine-tune the text tower of ``base`` on ``examples`` into the folder ``out``, or resume where it stopped.

    A finished ``out`` of the same base, examples and settings is returned as it is. Ctrl-C (or a polite kill) finishes
    the step, saves, and raises Stopped. Raises NegutilError where ``out`` was made from something else (``replace``
    starts it anew), examples are wrong, the loss is not finite, or a file cannot be written.
    """
    members = distributed.world()
    identity = _identity(base.name, str(base.fingerprint["weights_sha256"]), examples, config)
    with locked(out) if members.writes else contextlib.nullcontext():
        if members.writes:
            _clear(out, identity, replace)
        members.wait()
        found = trained.find(out)
        if found is None:
            _train(Trainer(base, examples, config, members), out, identity)
            found = trained.find(out)
    if found is None:
        raise NegutilError(f"{out} was changed while it was trained; run it again with nothing else at work there.")
    return found


def finetune_many(jobs: Sequence[Job], processes: int = 2) -> list[Trained]:
    """Run independent fine-tunings, ``processes`` at a time, and return the results in the order of ``jobs``.

    Two processes of one thread are faster on two cores than two threads. What is finished is not run again. Ctrl-C
    lets those at work finish their step and save, and raises Stopped; an error of one lets the others at work end.
    Raises NegutilError as :func:`finetune` does, where two jobs share a folder, and where a process was killed.
    """
    if len({job.out.resolve() for job in jobs}) < len(jobs):
        raise NegutilError("Two of the fine-tunings have the same folder; give each its own.")
    entries = {job.base: registry.find(job.base) for job in jobs}
    waiting = [job for job in jobs if not _is_finished(entries[job.base], job)]
    calls = [functools.partial(_run_job, entries[job.base], job) for job in waiting]
    run_calls(calls, processes, len(jobs), "training")
    results = [trained.find(job.out) for job in jobs]
    return [found for found in results if found is not None]


def _is_finished(entry: Entry, job: Job) -> bool:
    found = trained.find(job.out)
    if found is None:
        return False
    return found.identity == _identity(entry.name, loader.locate(entry)[1], job.examples, job.config)


def run_calls(calls: Sequence[Callable[[], str]], processes: int, total: int, what: str) -> None:
    """Run the ``calls`` that are left of ``total``, ``processes`` at a time; each gives the name that the bar shows.

    Raises Stopped at Ctrl-C, when those at work have saved, and NegutilError where a process was killed.
    """
    done = (call() for call in calls) if min(processes, len(calls)) <= 1 else _side_by_side(calls, processes)
    with progress.bar(what, total=total, initial=total - len(calls)) as bar:
        try:
            for name in done:
                bar.set_postfix_str(name)
                bar.update()
        except KeyboardInterrupt:
            raise Stopped(
                "Stopped; what is finished is kept, what was at work is saved: the same call goes on."
            ) from None


def _side_by_side(calls: Sequence[Callable[[], str]], processes: int) -> Iterator[str]:
    """Hand the pool a call only when a process is free: one that waited inside the pool could not be called off."""
    waiting, running = iter(calls), set[Future[str]]()
    with pool(processes) as executor:
        try:
            while running := running | {
                executor.submit(call) for call in itertools.islice(waiting, processes - len(running))
            }:
                done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except Exception:
            concurrent.futures.wait(running)
            raise


def _run_job(entry: Entry, job: Job) -> str:
    return finetune(_base(entry), job.examples, job.config, job.out, replace=job.replace).name


@functools.lru_cache(maxsize=2)
def _base(entry: Entry) -> LoadedModel:
    return loader.load_entry(entry)


def _train(trainer: Trainer, out: Path, identity: dict[str, Any]) -> None:
    """Train, or resume; write the result and delete the checkpoint when all steps are done."""
    config, members = trainer.config, trainer.members
    with fast_kernels(config.threads, config.matmul_precision, config.device):
        train(trainer, out, identity, members=members)
    if trainer.done < trainer.steps:
        raise Stopped(
            f"Stopped after step {trainer.done} of {trainer.steps} and saved in {out}; the same call goes on from here."
        )
    if members.writes:
        best = trainer.best
        about = {"identity": identity, "epoch": best["epoch"], "validation_loss": best["validation_loss"]}
        about |= {"steps": trainer.steps, "provenance": code.provenance(seconds=round(trainer.seconds, 1))}
        curve = pd.DataFrame(trainer.curve, columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n")
        trained.write(out, best["state"], trainer.data.ids, curve, about)
        (out / CHECKPOINT).unlink(missing_ok=True)
    members.wait()


def _identity(base: str, base_sha256: str, examples: Examples, config: FinetuneConfig) -> dict[str, Any]:
    """Everything that the result follows from, as plain JSON values."""
    if trained.is_name(base):
        raise NegutilError(f"'{base}' is fine-tuned already; start from a model of configs/models.toml.")
    facts = {"base": base, "base_sha256": base_sha256, "config": config, "data_sha256": examples.sha256}
    return plain(facts | {"code_version": code.fingerprint(__name__)})


def locked(out: Path) -> FileLock:
    """Return a lock on the folder ``out``, which is made; raises NegutilError where it cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise NegutilError(f"{out} cannot be made ({problem.strerror}); choose another folder.") from problem
    return FileLock(out / ".lock")


def _clear(out: Path, identity: dict[str, Any], replace: bool) -> None:
    """Leave in ``out`` nothing that was made from something else: delete it (``replace``) or raise NegutilError."""
    found = trained.find(out)
    was = found.identity if found else read_checkpoint(out).get("identity", identity)
    if was == identity:
        return
    if not replace:
        raise NegutilError(f"{out} was made with {difference(was, identity)}; choose another folder, or replace it.")
    trained.remove(out)
    (out / CHECKPOINT).unlink(missing_ok=True)
