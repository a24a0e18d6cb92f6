"""Fine-tuning of text towers on negation, with the image tower frozen and its features given.

NegationCLIP, CoN-CLIP, NegCLIP, CLIP-bnl and NegBench differ in their losses and settings alone. A run that was stopped
ends exactly as if it had not been. Under torchrun the batch is shared out among the processes
(``negutil.train.distributed``).
"""

import concurrent.futures
import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch.nn import functional

from negutil import code, progress
from negutil.errors import NegutilError
from negutil.models import loader, registry, trained
from negutil.models.loader import LoadedModel
from negutil.models.processes import pool
from negutil.models.registry import Entry
from negutil.models.trained import Trained
from negutil.train import distributed, loop, losses
from negutil.train.distributed import World
from negutil.train.examples import Examples, hard_examples, prepare, split
from negutil.train.loop import CHECKPOINT, Loop, Stopped, cosine, fast_kernels, plain, train
from negutil.train.losses import MAX_LOGIT_SCALE
from negutil.train.settings import FinetuneConfig
from negutil.train.tower import TextTower

Indices = NDArray[np.int64]
CHECKPOINT_EVERY = 200  # steps; there is one after each epoch, too
COLUMNS = ("step", "epoch", "loss", "lr", "logit_scale", "validation_loss")


class Trainer(Loop[tuple[Indices, NDArray[np.bool_]]]):
    """The fine-tuning of one text tower; ``curve`` has a row of COLUMNS for the start and for each step."""

    label = "step"

    def __init__(
        self, base: LoadedModel, examples: Examples, config: FinetuneConfig, members: World | None = None
    ) -> None:
        self.config, self.members = config, members or World()
        self.data = prepare(examples, base, config)
        self.train, self.validation = split(examples, config)
        self.hard: Indices | None = None  # for each example one with its hard image from the same part
        if config.method == "negclip":
            self.hard = np.empty(len(examples), dtype=np.int64)
            for part in filter(len, (self.train, self.validation)):
                self.hard[part] = hard_examples(examples, part, config.seed)
        # CLIP-bnl's loss has no logit scale, and a parameter without gradient would stop DistributedDataParallel.
        learning = tuple(group for group in config.trainable if config.method != "clip-bnl" or group != "logit_scale")
        self.tower = TextTower(base, self.data.ids, learning, config.text_chunks).to(config.device)
        self.encode = distributed.encoder(self.tower, self.members)
        self.steps_per_epoch = len(self.train) // config.batch
        steps = config.epochs * self.steps_per_epoch
        parameters = [parameter for parameter in self.tower.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in parameters if config.decay == "all" or parameter.ndim >= 2]
        others = [parameter for parameter in parameters if config.decay != "all" and parameter.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        super().__init__(
            {"tower": self.tower},
            torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True),
            loss=lambda batch: self.loss(*batch),
            sampler=self.batch,
            schedule=cosine(config.lr, steps, config.warmup, floor=1.0 if config.schedule == "constant" else 0.0),
            steps=steps,
            clip_norm=config.clip_norm,
        )

    def batch(self, step: int) -> tuple[Indices, NDArray[np.bool_]]:
        """Return the examples [B] of ``step`` and which of them train by their original captions."""
        epoch, index = divmod(step, self.steps_per_epoch)
        rng = np.random.default_rng([self.config.seed, 2, epoch])
        order = rng.permutation(self.train) if self.config.shuffle else self.train
        chosen = order[index * self.config.batch : (index + 1) * self.config.batch]
        return chosen, rng.random(len(order))[index * self.config.batch :][: len(chosen)] < self.config.original_share

    def loss(self, chosen: Indices, original: NDArray[np.bool_] | None = None) -> torch.Tensor:
        """Return the method's loss over the examples ``chosen``, those marked ``original`` by original captions."""
        if self.hard is not None:
            chosen = np.concatenate([chosen, self.hard[chosen]])
            original = None if original is None else np.concatenate([original, np.zeros_like(original)])
        index = torch.from_numpy(chosen).to(self.config.device)
        numbers = {name: rows[index] for name, rows in self.data.texts.items()}
        mixed = numbers.pop("originals", None)
        if mixed is not None and original is not None:
            mask = torch.from_numpy(original).to(self.config.device)
            numbers["captions"] = torch.where(mask, mixed, numbers["captions"])
        flat = torch.cat([rows.flatten() for rows in numbers.values()])
        features = self.encode(self.data.tokens[flat]).split([rows.numel() for rows in numbers.values()])
        texts = {
            name: part.unflatten(0, rows.shape) for (name, rows), part in zip(numbers.items(), features, strict=True)
        }
        return self._objective(index, texts)

    def _objective(self, index: torch.Tensor, texts: dict[str, torch.Tensor]) -> torch.Tensor:
        """The method's loss over examples [B] and the raw features of their texts."""
        config, data, scale = self.config, self.data, self.tower.logit_scale.exp()
        images = data.images[data.rows[index]]
        unit = {name: functional.normalize(features, dim=-1) for name, features in texts.items()}
        if config.method == "con-clip":
            distractors = data.images[data.distractors[index]]  # type: ignore[index]
            return losses.con_clip(images, distractors, unit["captions"], unit["negatives"], scale)
        if config.method == "negclip":
            return losses.neg_clip(images, unit["captions"], unit["negatives"], scale)
        if config.method == "clip-bnl":
            return losses.clip_bnl(
                images,
                unit["captions"],
                unit["negatives"],
                margin=config.margin,
                image_bounds=config.image_bounds,
                text_bounds=config.text_bounds,
                weight=config.constraint_weight,
            )
        contrastive = losses.info_nce(images, unit["captions"], scale)
        if config.method == "infonce":
            return contrastive
        correct: torch.Tensor = data.correct[index]  # type: ignore[index]
        if config.normalise_mcq:
            choice = losses.multiple_choice(images, unit["options"], correct, scale)
        else:
            lengths: torch.Tensor = data.lengths[data.rows[index]]  # type: ignore[index]
            choice = losses.multiple_choice(images * lengths.unsqueeze(1), texts["options"], correct, scale)
        return losses.weighted(contrastive, choice, config.alpha)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss over the batches of the validation part; an incomplete last one counts only where it is alone."""
        size = min(self.config.batch, len(self.validation))
        batches = self.validation[: len(self.validation) // size * size].reshape(-1, size)
        return float(np.mean([self.loss(batch).item() for batch in batches]))

    def start(self) -> None:
        """Note the validation loss before any training."""
        if len(self.validation):
            self.curve.append([0, 0, None, None, self.tower.logit_scale.exp().item(), self.validation_loss()])

    @torch.no_grad()
    def adjust(self) -> None:
        """Keep the logit scale within CLIP's bounds where the settings say so."""
        if self.config.clamp_logit_scale:
            self.tower.logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def note(self, loss: float) -> None:
        """Note the step; after an epoch, validate, and keep the weights where they are the ones to keep so far."""
        epoch = (self.done - 1) // self.steps_per_epoch + 1
        self.curve.append([self.done, epoch, loss, self.rate, self.tower.logit_scale.exp().item(), None])
        if self.done % self.steps_per_epoch:
            return
        validation = self.validation_loss() if len(self.validation) else None
        self.curve[-1][-1] = validation
        least = self.best.get("validation_loss", math.inf)
        if self.config.keep == "last" or validation is None or validation < least:
            self.best = {"state": self.tower.state(), "epoch": epoch, "validation_loss": validation}

    def is_due(self) -> bool:
        """Whether a checkpoint is due; none is after the last step, as the result itself is written next."""
        ends_a_part = self.done % CHECKPOINT_EVERY == 0 or self.done % self.steps_per_epoch == 0
        return ends_a_part and self.done < self.steps


# --------------------------------------------------------------------------------------------------------------------
# Fine-tunings by folder, one after another or side by side


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
    the step, saves, and raises Stopped. Raises NegutilError if ``out`` was made from something else (``replace``
    starts it again), examples are wrong, the loss is not finite, or a file cannot be written.
    """
    members = distributed.world()
    identity = _identity(base.name, str(base.fingerprint["weights_sha256"]), examples, config)
    with locked(out) if members.writes else contextlib.nullcontext():
        found = trained.find(out)
        was = found.identity if found else loop.read_checkpoint(out).get("identity", identity)
        if was != identity and not replace:
            made_with = loop.difference(was, identity)
            raise NegutilError(f"{out} was made with {made_with}; choose another folder, or replace it.")
        members.wait()
        if was != identity and members.writes:
            trained.remove(out)
            (out / CHECKPOINT).unlink(missing_ok=True)
        members.wait()
        if was != identity or found is None:
            _train(Trainer(base, examples, config, members), out, identity)
            found = trained.find(out)
    if found is None:
        raise NegutilError(f"{out} changed during training: run again, and let nothing else write there.")
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
    waiting = []
    for job in jobs:
        entry, found = entries[job.base], trained.find(job.out)
        if not found or found.identity != _identity(entry.name, loader.locate(entry)[1], job.examples, job.config):
            waiting.append(functools.partial(_run_job, entry, job))
    run_calls(waiting, processes, len(jobs), "training")
    return [found for job in jobs if (found := trained.find(job.out)) is not None]


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
            raise Stopped("Stopped; finished work is kept and unfinished work saved: the same call resumes.") from None


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
            f"Stopped after step {trainer.done} of {trainer.steps} and saved in {out}; the same call resumes here."
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
    """Return a lock on the folder ``out``, which is made; raises NegutilError if it cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise NegutilError(f"{out} cannot be made ({problem.strerror}); choose another folder.") from problem
    return FileLock(out / ".lock")
