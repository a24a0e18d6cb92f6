"""Pretraining of MiniCLIPSeg: its decoder learns to mark what affirmative phrases name; both towers stay as they are.

As CLIPSeg was trained (Lüddecke and Ecker 2022, Sec. 4): binary cross-entropy over the pixels, AdamW with a cosine down
to a tenth, prompts in a few templates, phrases about nothing in the picture among them. Their prompts that are pictures
are left out. Negated phrases are never seen. What a step sees depends on (seed, step) alone and a checkpoint holds the
optimiser, so a run that was stopped goes on exactly as if it had not been.
"""

from __future__ import annotations

import os

# Idle threads of OpenMP otherwise spin: two trainings on two cores then run ten times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import io
import json
import math
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch.nn import functional

from miniworld.pretrain import segment_pool
from miniworld.pretrain.segment_pool import SegmentPool
from negutil import code, files, paths, progress
from negutil.errors import NegutilError
from negutil.models import loader, miniclipseg
from negutil.models.loader import LoadedModel
from negutil.train.runtime import fast_kernels, stop_signals

NAME = "miniclipseg"
CODE_VERSION = 2  # counts changes that change weights
CHECKPOINT, CURVE = "checkpoint.pt", "curve.csv"
COLUMNS = ("step", "loss", "lr", "phrases_per_second", "validation_iou", "validation_marked")


@dataclass(frozen=True, slots=True)
class SegmentConfig:
    """Settings of one pretraining; a checkpoint can only be continued with the same ones.

    ``batch`` counts pictures, of each of which ``phrases`` are drawn; ``floor`` is the share of the rate that is left
    at the end; ``pictures`` and ``validation`` are how many the pool and its held-out part have.
    """

    base: str = "miniclip-b-8"
    steps: int = 1000
    batch: int = 64
    phrases: int = 4
    lr: float = 1e-3
    floor: float = 0.1
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    pictures: int = 16_000
    validation: int = 400
    seed: int = 0
    log_every: int = 20
    validate_every: int = 250
    checkpoint_every: int = 250
    matmul_precision: str = "medium"
    threads: int = 2


class Trainer:
    """Decoder, optimiser and position of one run."""

    def __init__(self, config: SegmentConfig, base: LoadedModel, pool: SegmentPool) -> None:
        self.config, self.pool = config, pool
        sources = {"pool": pool.fingerprint, "base": base.fingerprint["weights_sha256"]}
        self.identity = {"config": asdict(config), "code_version": CODE_VERSION, **sources}
        torch.manual_seed(config.seed)
        self.segmenter = miniclipseg.untrained(base)
        self.decoder: Any = self.segmenter.model.decoder.train()
        self.optimiser = torch.optim.AdamW(
            self.decoder.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.texts = miniclipseg.conditions(self.segmenter, pool.sentences)
        self.mean, self.std = (torch.tensor(each).view(3, 1, 1) for each in (base.entry.mean, base.entry.std))
        self.done, self.seconds = 0, 0.0
        self.curve: list[list[float]] = []

    def step(self) -> float:
        """Train on the next batch and return its loss; raises NegutilError where that is no longer finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.done)
        rows, which = sample(self.config, len(self.pool), self.done)
        logits = self.logits(self.pool, self.texts, rows, which)
        wanted = torch.from_numpy(self.pool.masks(rows, which)).flatten(0, 1).float()
        loss = functional.binary_cross_entropy_with_logits(logits, wanted)
        if not torch.isfinite(loss):
            raise NegutilError(f"The loss is {loss.item()} at step {self.done}; lower `lr` and start again.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.done += 1
        return loss.item()

    def logits(
        self, pool: SegmentPool, texts: torch.Tensor, rows: NDArray[np.int64], which: NDArray[np.int64]
    ) -> torch.Tensor:
        """Scores [B * K, 64, 64] before the sigmoid for the phrases ``which`` [B, K] of the pictures ``rows`` [B]."""
        pixels = torch.from_numpy(pool.pictures[rows]).permute(0, 3, 1, 2).float().div_(255)
        with torch.no_grad():
            layers = miniclipseg.activations(self.segmenter, (pixels - self.mean) / self.std)
        steering = texts[torch.from_numpy(pool.texts[rows[:, None], which].astype(np.int64)).flatten()]
        repeated = [layer.repeat_interleave(which.shape[1], dim=0) for layer in layers]
        logits: torch.Tensor = self.decoder(repeated, steering).logits
        return logits

    @torch.no_grad()
    def validate(self, pool: SegmentPool, texts: torch.Tensor) -> tuple[float, float]:
        """Mean intersection over union of what is there at 0.5, and the share of absent things that get any pixel."""
        self.decoder.eval()
        ious, marked = [], []
        for rows in np.array_split(np.arange(len(pool)), max(1, len(pool) // self.config.batch)):
            which = np.tile(np.arange(segment_pool.PHRASES), (len(rows), 1))
            found = (self.logits(pool, texts, rows, which) > 0).flatten(1).numpy()
            wanted = pool.masks(rows, which).reshape(len(found), -1)
            both, either = (found & wanted).sum(axis=1), (found | wanted).sum(axis=1)
            there = wanted.any(axis=1)
            ious.append(both[there] / either[there])
            marked.append(found[~there].any(axis=1))
        self.decoder.train()
        return float(np.concatenate(ious).mean()), float(np.concatenate(marked).mean())


def learning_rate(config: SegmentConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to ``floor`` of the rate."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * share)))


def sample(config: SegmentConfig, n: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pictures [B] and which of their phrases [B, K] a step sees; each picture comes once an epoch."""
    epoch, place = divmod(step, n // config.batch)
    order = np.random.default_rng([config.seed, epoch, 0]).permutation(n)
    rows = order[place * config.batch : (place + 1) * config.batch]
    keys = np.random.default_rng([config.seed, step, 1]).random((len(rows), segment_pool.PHRASES))
    return rows, keys.argsort(axis=1)[:, : config.phrases]


def pretrain(config: SegmentConfig, out: Path, stop_after: int | None = None) -> Trainer:
    """Train until ``config.steps``, or go on from ``out/checkpoint.pt``; writes ``out/curve.csv`` too.

    Ctrl-C (or a polite kill) finishes the step, saves and returns; ``stop_after`` does so after that many steps in all.
    Raises NegutilError where the checkpoint is damaged or was made with other settings, base or pictures.
    """
    if config.pictures < config.batch:
        raise NegutilError(f"A batch of {config.batch} needs as many pictures, not {config.pictures}; ask for more.")
    base = loader.load(config.base)
    with fast_kernels(config.threads, config.matmul_precision, "cpu"), stop_signals() as stopped:
        pool, held_out = (
            segment_pool.build(count, config.seed, reserved)
            for count, reserved in ((config.pictures, False), (config.validation, True))
        )
        trainer = Trainer(config, base, pool)
        _load(trainer, out)
        for _ in _steps(trainer, held_out, out, min(config.steps, stop_after or config.steps)):
            if stopped:
                break
        _save(trainer, out)
    return trainer


def _steps(trainer: Trainer, held_out: SegmentPool, out: Path, last: int) -> Iterator[int]:
    """Train up to the step ``last``, noting the curve and saving on the way; gives the number of each step done."""
    config = trainer.config
    texts = miniclipseg.conditions(trainer.segmenter, held_out.sentences)
    with progress.bar("training, step", total=config.steps, initial=trainer.done, unit="step") as bar:
        losses, started = [], time.perf_counter()
        while trainer.done < last:
            losses.append(trainer.step())
            bar.update()
            if trainer.done % config.log_every == 0 or trainer.done == config.steps:
                seconds = time.perf_counter() - started
                bar.set_postfix_str(_note(trainer, losses, seconds, held_out, texts))
                losses, started = [], time.perf_counter()
            if trainer.done % config.checkpoint_every == 0:
                _save(trainer, out)
            yield trainer.done


def _note(trainer: Trainer, losses: list[float], seconds: float, held_out: SegmentPool, texts: torch.Tensor) -> str:
    """Add the last steps to the curve, with a validation where it is due; returns them as words."""
    config = trainer.config
    trainer.seconds += seconds
    due = trainer.done % config.validate_every == 0 or trainer.done == config.steps
    found = trainer.validate(held_out, texts) if due else (math.nan, math.nan)
    loss, rate = float(np.mean(losses)), len(losses) * config.batch * config.phrases / seconds
    trainer.curve.append([trainer.done, loss, learning_rate(config, trainer.done - 1), rate, *found])
    told = f", validation IoU {found[0]:.3f}, absent marked {found[1]:.2f}" if due else ""
    return f"loss {loss:.4f}, {rate:.0f} phrases/s{told}"


def _save(trainer: Trainer, out: Path) -> None:
    content = {
        "decoder": trainer.decoder.state_dict(),
        "optimiser": trainer.optimiser.state_dict(),
        "done": trainer.done,
        "seconds": trainer.seconds,
        "curve": trainer.curve,
        "identity": trainer.identity,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    files.write_bytes(out / CHECKPOINT, stream.getvalue())
    curve = pd.DataFrame(trainer.curve, columns=list(COLUMNS)).astype({"step": int})
    files.write_text(out / CURVE, curve.to_csv(index=False, float_format="%.5g", lineterminator="\n"))


def _load(trainer: Trainer, out: Path) -> None:
    """Put ``trainer`` where the checkpoint in ``out`` left off, or leave it at the start where there is none."""
    path = out / CHECKPOINT
    if not path.exists():
        return
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True)
        was = content["identity"]
    except Exception as error:  # torch raises many kinds for a damaged file
        raise NegutilError(f"{path} is damaged; delete it to start this pretraining again.") from error
    if was != trainer.identity:
        raise NegutilError(f"{path} was made with other settings, weights, pictures or code; use those, or delete it.")
    trainer.decoder.load_state_dict(content["decoder"])
    trainer.optimiser.load_state_dict(content["optimiser"])
    trainer.done, trainer.seconds, trainer.curve = content["done"], content["seconds"], content["curve"]


def export(trainer: Trainer, out: Path, weights: Path, command: str) -> None:
    """Write ``weights`` (the decoder in float16, .safetensors), and .json and .curve.csv beside it."""
    base = loader.load(trainer.config.base)
    state = {name: value.detach().half().contiguous() for name, value in trainer.decoder.state_dict().items()}
    metadata = {"format": "pt", "base": base.name, "base_sha256": str(base.fingerprint["weights_sha256"])}
    files.write_bytes(weights, safetensors.torch.save(state, metadata=metadata))
    facts = code.provenance(command=command, seconds=round(trainer.seconds, 1))
    kept = ("command", "commit", "packages", "processor", "python", "seconds", "system", "version")
    about = {"config": asdict(trainer.config), "pool_sha256": trainer.pool.fingerprint, "sha256": files.sha256(weights)}
    about |= metadata | {key: facts[key] for key in kept}
    files.write_text(weights.with_suffix(".json"), json.dumps(about, indent=2, sort_keys=True) + "\n")
    files.write_bytes(weights.with_suffix(".curve.csv"), (out / CURVE).read_bytes())


def run(
    name: str = NAME,
    *,
    pool: Path | None = None,
    out: Path | None = None,
    weights: Path = paths.NEW_WEIGHTS,
    steps: int | None = None,
    seed: int = 0,
    threads: int = 2,
    device: str = "cpu",
) -> None:
    """Pretrain MiniCLIPSeg, or go on where it was stopped, and write its weights into the folder ``weights``.

    Its pictures are drawn anew each time, which takes a minute or two. Raises NegutilError for a ``pool`` or another
    ``device`` than the CPU: it has use for neither.
    """
    if pool is not None or device != "cpu":
        raise NegutilError(f"The pretraining of {name} draws its own pictures, on the CPU; leave out pool and device.")
    config = replace(SegmentConfig(), seed=seed, threads=threads)
    config = replace(config, steps=steps) if steps else config
    target = out or paths.cache() / "pretraining" / name
    trainer = pretrain(config, target)
    if trainer.done == config.steps:
        command = os.environ.get("NEGUTIL_COMMAND") or "negutil pretrain " + shlex.join(sys.argv[2:])
        export(trainer, target, weights / f"{name}.safetensors", command)
