"""Pretraining of MiniSD: a latent diffusion model with dropped captions, as Stable Diffusion's.

Text tower and autoencoder are frozen; the UNet alone learns (Rombach et al. 2022), under a cosine schedule (Nichol and
Dhariwal 2021), to predict the clean latents: a small network need not carry the noise of many components through its
layers, as it must to predict noise or v (Li and He 2025). The loss is that of v (Salimans and Ho 2022) with its weight
capped (Hang et al. 2023). One caption in ten is empty, which makes classifier-free guidance
possible (Ho and Salimans 2021). Captions are padded with the end token to 77 tokens, and the UNet sees the states of
all 77. Batch, noise and times depend on (seed, step) alone and a checkpoint holds the optimiser, so that a run that was
stopped goes on exactly as if it had not been (with as many threads; with others, but for rounding).
"""

from __future__ import annotations

import os

# Idle threads of OpenMP otherwise spin: two trainings on two cores then run ten times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import contextlib
import dataclasses
import importlib
import io
import json
import math
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch.nn import functional

from miniworld.pretrain import minisd_pictures
from miniworld.pretrain.pool import Pool, validation_of
from negutil import code, files, paths, progress
from negutil.errors import NegutilError
from negutil.models import encoder_swap, loader, minisd
from negutil.models.minisd import Shape
from negutil.train.runtime import fast_kernels, stop_signals

FIT_PICTURES = 4000  # that the principal components are computed from
KEPT = ("command", "commit", "packages", "processor", "python", "seconds", "system", "version")


@dataclass(frozen=True, slots=True)
class MiniSDConfig:
    """Settings of one pretraining run; a checkpoint can only be continued with the same settings.

    ``empty`` is the share of captions dropped, ``ema`` the largest decay of the mean of weights that is shipped.
    """

    steps: int
    batch: int = 64
    lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    empty: float = 0.1
    weight_cap: float = 5.0
    ema: float = 0.999
    seed: int = 0
    shape: Shape = field(default_factory=Shape)
    log_every: int = 20
    validate_every: int = 200
    checkpoint_every: int = 200
    validation_pictures: int = 256
    precision: str = "medium"
    threads: int = 2
    device: str = "cpu"


RECIPE = MiniSDConfig(steps=5500)


@dataclass(frozen=True, slots=True)
class Batch:
    """``latents`` and ``noise`` float32 [B, K, 8, 8], ``times`` int64 [B] in the schedule, ``tokens`` int64 [B, 77]."""

    latents: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
    tokens: torch.Tensor


class Trainer:
    """UNet, mean of its weights, optimiser, curve and position of one run."""

    def __init__(self, config: MiniSDConfig, pool: Pool) -> None:
        self.config, self.pool = config, pool
        model = loader.load(minisd.BASE)
        self.base_sha256 = str(model.fingerprint["weights_sha256"])
        self.encoder = encoder_swap.to_transformers(model.model).to(config.device).requires_grad_(False)
        self.vae = minisd.fit_transform(np.array(pool.pictures[:FIT_PICTURES]), config.shape)
        torch.manual_seed(config.seed)
        self.unet = minisd.build_unet(config.shape).to(config.device).train()
        self.mean = minisd.build_unet(config.shape).to(config.device).eval().requires_grad_(False)
        self.mean.load_state_dict(self.unet.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.unet.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.alphas = minisd.build_scheduler().alphas_cumprod.to(config.device)
        self.done, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []

    def step(self) -> float:
        """Train on the next batch and return its loss; raises NegutilError where it is no longer finite."""
        config, step = self.config, self.done
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        loss = self.loss(self.unet, draw_batch(self.pool, self.vae, config, step))
        if not torch.isfinite(loss):
            raise NegutilError(f"The loss is {loss.item()} at step {step}; lower `lr` and start again.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), config.clip_norm)
        self.optimiser.step()
        self._average()
        self.done += 1
        return loss.item()

    def loss(self, unet: Any, batch: Batch) -> torch.Tensor:
        """Squared error of the clean latents times 1 + SNR (which makes it the error of v), at most ``weight_cap``."""
        device = self.config.device
        latents, noise, times = (one.to(device) for one in (batch.latents, batch.noise, batch.times))
        kept = self.alphas[times].view(-1, 1, 1, 1)
        with torch.no_grad():
            states = self.encoder(batch.tokens.to(device)).last_hidden_state
        found = unet(kept.sqrt() * latents + (1 - kept).sqrt() * noise, times, states).sample
        weights = (1 / (1 - kept)).clamp(max=self.config.weight_cap)
        return (weights * functional.mse_loss(found, latents, reduction="none")).mean()

    @torch.no_grad()
    def validate(self, validation: Pool) -> float:
        """Loss of the mean weights on held-out pictures, the same noise and times every time."""
        config = dataclasses.replace(self.config, batch=min(self.config.validation_pictures, len(validation)), empty=0)
        return self.loss(self.mean, draw_batch(validation, self.vae, config, 0)).item()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, (1 + self.done) / (10 + self.done))
        torch._foreach_lerp_(list(self.mean.parameters()), list(self.unet.parameters()), 1 - decay)


def draw_batch(pool: Pool, vae: minisd.PatchTransform, config: MiniSDConfig, step: int) -> Batch:
    """Return the batch of ``step``: each picture once an epoch, one of its captions, a time and noise at random."""
    rng = np.random.default_rng([config.seed, step, 1])
    steps_per_epoch = len(pool) // config.batch
    epoch, index = divmod(step, steps_per_epoch)
    order = np.random.default_rng([config.seed, epoch, 0]).permutation(len(pool))
    rows = order[index * config.batch : (index + 1) * config.batch]
    captions = rng.integers(pool.tokens.shape[1], size=len(rows))
    latents = minisd.latents(vae, pool.pictures[rows])
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    times = torch.from_numpy(rng.integers(minisd.STEPS, size=len(rows)))
    tokens = full_length(pool.tokens[rows, captions])
    tokens[rng.random(len(rows)) < config.empty] = full_length(tokens[:1, [0, -1]].numpy())
    return Batch(latents, noise, times, tokens)


def full_length(tokens: np.ndarray) -> torch.Tensor:
    """Return ``tokens`` int [B, L] as int64 [B, 77], padded with the end token."""
    wide = torch.zeros(len(tokens), 77, dtype=torch.int64)
    wide[:, : tokens.shape[1]] = torch.from_numpy(tokens.astype(np.int64))
    return encoder_swap.padded(wide)


def learning_rate(config: MiniSDConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to zero."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * share))


def pretrain(config: MiniSDConfig, pool: Pool, out: Path, stop_after: int | None = None) -> Trainer:
    """Train until ``config.steps``, or go on from ``out/checkpoint.pt`` where there is one; write ``out/curve.csv``.

    Ctrl-C (or a polite kill) finishes the step, saves and returns; ``stop_after`` does the same after that many steps
    in all. Raises NegutilError where the checkpoint belongs to other settings or another pool, or where the
    pool is too small.
    """
    if len(pool) < config.batch:
        raise NegutilError(f"The pool {pool.folder} has only {len(pool)} pictures for batches of {config.batch}.")
    out.mkdir(parents=True, exist_ok=True)
    with _kernels(config), stop_signals() as stopped:
        trainer = Trainer(config, pool)
        load_checkpoint(trainer, out)
        _run(trainer, out, min(config.steps, stop_after or config.steps), stopped)
        save_checkpoint(trainer, out)
    if trainer.done < config.steps:
        sentence = f"Stopped after step {trainer.done} of {config.steps} and saved; the same command goes on from here."
        print(sentence, file=sys.stderr)
    return trainer


def save_checkpoint(trainer: Trainer, out: Path) -> None:
    """Write everything that the run needs to go on, and ``curve.csv`` beside it."""
    content = _identity(trainer) | {
        "unet": trainer.unet.state_dict(),
        "mean": trainer.mean.state_dict(),
        "optimiser": trainer.optimiser.state_dict(),
        "done": trainer.done,
        "seconds": trainer.seconds,
        "curve": trainer.curve,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    files.write_bytes(out / "checkpoint.pt", stream.getvalue())
    files.write_text(out / "curve.csv", pd.DataFrame(trainer.curve).to_csv(index=False, float_format="%.6g"))


def load_checkpoint(trainer: Trainer, out: Path) -> None:
    """Put ``trainer`` where ``out/checkpoint.pt`` left off; without that file, leave it at the start.

    Raises NegutilError where the file is damaged or was written with other settings or over another pool.
    """
    path = out / "checkpoint.pt"
    if not path.exists():
        return
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise NegutilError(f"{path} is damaged; delete it to start this pretraining again.") from error
    changed = [key for key, value in _identity(trainer).items() if content.get(key) != value]
    if changed:
        raise NegutilError(f"{path} was made with another {changed[0]}; use the same, or choose another folder.")
    trainer.unet.load_state_dict(content["unet"])
    trainer.mean.load_state_dict(content["mean"])
    trainer.optimiser.load_state_dict(content["optimiser"])
    trainer.done, trainer.seconds, trainer.curve = content["done"], content["seconds"], content["curve"]


def export(trainer: Trainer, weights: Path, command: str) -> None:
    """Write ``weights`` (a .safetensors file: the mean of weights) and, beside it, .json and .curve.csv.

    Raises NegutilError where the run is not finished or a weight does not fit into float16.
    """
    config = trainer.config
    if trainer.done != config.steps:
        raise NegutilError(f"MiniSD stands at step {trainer.done} of {config.steps}; finish this pretraining first.")
    state = minisd.pack(trainer.mean, trainer.vae)
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise NegutilError(f"The weight {name} does not fit into float16; pretrain again with a lower `lr`.")
    files.write_bytes(weights, safetensors.torch.save(state, metadata={"format": "pt"}))
    facts = code.provenance(command=command, seconds=round(trainer.seconds, 1))
    about = {
        "config": asdict(config),
        "shape": asdict(config.shape),
        "scaling_factor": trainer.vae.config.scaling_factor,
        "base": minisd.BASE,
        "base_sha256": trainer.base_sha256,
        "pool": trainer.pool.info,
        "sha256": files.sha256(weights),
    }
    about |= {key: facts[key] for key in KEPT}
    files.write_text(weights.with_suffix(".json"), json.dumps(about, indent=2, sort_keys=True) + "\n")
    curve = pd.DataFrame(trainer.curve).to_csv(index=False, float_format="%.6g")
    files.write_text(weights.with_suffix(".curve.csv"), curve)


def run(
    name: str = "minisd",
    *,
    pool: Path | None = None,
    out: Path | None = None,
    weights: Path = paths.NEW_WEIGHTS,
    steps: int | None = None,
    seed: int = 0,
    threads: int = 2,
    device: str = "cpu",
) -> None:
    """Pretrain MiniSD, or go on where it was stopped, and write its weights into the folder ``weights``."""
    given: dict[str, Any] = {"steps": steps, "seed": seed, "threads": threads, "device": device}
    config = dataclasses.replace(RECIPE, **{key: value for key, value in given.items() if value is not None})
    home = paths.cache() / "pretraining"
    data = minisd_pictures.pool(pool or home / "minisd-pool", minisd_pictures.PICTURES)
    trainer = pretrain(config, data, out or home / name)
    if trainer.done == config.steps:
        command = os.environ.get("NEGUTIL_COMMAND") or "negutil pretrain " + shlex.join(sys.argv[2:])
        export(trainer, weights / minisd.WEIGHTS, command)


def _run(trainer: Trainer, out: Path, last: int, stopped: list[int]) -> None:
    config = trainer.config
    validation = validation_of(trainer.pool)
    bar = progress.bar("training, step", total=config.steps, initial=trainer.done, unit="step")
    losses: list[float] = []
    since = trainer.seconds
    while trainer.done < last and not stopped:
        start = time.perf_counter()
        losses.append(trainer.step())
        trainer.seconds += time.perf_counter() - start
        at_end = trainer.done == config.steps
        if at_end or trainer.done % config.log_every == 0:
            trainer.curve.append(_row(trainer, losses, since))
            bar.set_postfix_str(", ".join(f"{key} {value:.4g}" for key, value in trainer.curve[-1].items()))
            losses, since = [], trainer.seconds
        if validation is not None and trainer.curve and (at_end or trainer.done % config.validate_every == 0):
            trainer.curve[-1]["validation_loss"] = trainer.validate(validation)
        if trainer.done % config.checkpoint_every == 0:
            save_checkpoint(trainer, out)
        bar.update()
    bar.close()


def _row(trainer: Trainer, losses: list[float], since: float) -> dict[str, float]:
    """What the curve says of the steps since the last row."""
    rate = len(losses) * trainer.config.batch / (trainer.seconds - since)
    lr = learning_rate(trainer.config, trainer.done - 1)
    return {"step": trainer.done, "loss": float(np.mean(losses)), "lr": lr, "pictures_per_second": rate}


def _identity(trainer: Trainer) -> dict[str, Any]:
    """What a checkpoint must agree in, as plain values: all but where it runs, which changes sums by rounding alone."""
    config = {key: value for key, value in asdict(trainer.config).items() if key not in ("threads", "device")}
    config = json.loads(json.dumps(config))
    return {"config": config, "pool": trainer.pool.fingerprint, "base_sha256": trainer.base_sha256}


@contextlib.contextmanager
def _kernels(config: MiniSDConfig) -> Iterator[None]:
    """``fast_kernels``, with the factors of convolutions rounded to bfloat16 as well where those of products are."""
    convolutions: Any = importlib.import_module("torch.backends.mkldnn").conv  # which torch makes as it is imported
    before = convolutions.fp32_precision
    with fast_kernels(config.threads, config.precision, config.device):
        try:
            convolutions.fp32_precision = "bf16" if config.precision == "medium" else before
            yield
        finally:
            convolutions.fp32_precision = before
