"""Contrastive pretraining of MiniCLIP over a pool of captioned pictures, as CLIP was pretrained (Radford et al. 2021).

The loss is the symmetric InfoNCE over the batch (their Fig. 3) with a learned logit scale of at most 100 (Sec. 2.5).
The order of samples, the caption drawn for each and the patches dropped depend only on (seed, step), and a checkpoint
holds the optimiser, so a run that was stopped goes on exactly as if it had not been.

Four choices together make a step on two CPU cores about twice as fast: the token embedding holds only the tokens that
occur in the pool; captions are cut to the longest of their chunk; and two of ``runtime.fast_kernels``. Weights, sums
and the optimiser's state are float32.
"""

from __future__ import annotations

import io
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from miniworld.pretrain.pool import Pool, validation_of
from negutil import files, progress
from negutil.errors import NegutilError
from negutil.models import architectures
from negutil.tasks import retrieval
from negutil.train.curve import Curve
from negutil.train.runtime import fast_kernels, stop_signals

MAX_LOGIT_SCALE = math.log(100)
END_TOKENS = (49406, 49407)  # start and end of text in CLIP's vocabulary


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """Settings of one pretraining run; a checkpoint can only be continued with the same settings."""

    architecture: str
    steps: int
    batch: int = 256
    lr: float = 1.5e-3
    warmup: int = 200
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    patch_dropout: float = 0.0
    dropout_until: float = 0.75  # share of the steps with patch dropout; the rest sees whole pictures
    seed: int = 0
    text_chunks: int = 8
    log_every: int = 20
    validate_every: int = 250
    checkpoint_every: int = 250
    validation_pictures: int = 500
    matmul_precision: str = "medium"
    threads: int = 2
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch: ``pictures`` uint8 [B, H, W, 3], ``tokens`` int64 [B, L] in the compact vocabulary."""

    pictures: torch.Tensor
    tokens: torch.Tensor


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of :func:`pretrain` ended: ``step`` of ``steps`` done, in ``seconds`` over all calls together."""

    step: int
    steps: int
    seconds: float
    checkpoint: Path

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.steps


class Vocabulary:
    """The tokens that occur in a pool, numbered in the order of their ids, so that the end token stays the highest."""

    def __init__(self, pool: Pool) -> None:
        occurring = np.union1d(np.unique(pool.tokens), (0, *END_TOKENS))
        self.ids: np.ndarray = occurring.astype(np.int64)
        self._compact = np.zeros(END_TOKENS[1] + 1, np.int64)
        self._compact[self.ids] = np.arange(len(self.ids))

    def compact(self, tokens: np.ndarray) -> torch.Tensor:
        """Translate CLIP's ids to compact ones (same shape, int64); a token outside the pool becomes padding."""
        return torch.from_numpy(self._compact[tokens])


class Trainer:
    """Model, optimiser and position of one run; :meth:`step` does one step and returns what the curve needs."""

    def __init__(self, config: PretrainConfig, pool: Pool) -> None:
        self.config, self.pool = config, pool
        self.vocabulary = Vocabulary(pool)
        torch.manual_seed(config.seed)
        self.model: Any = compact_model(config, self.vocabulary).to(config.device).train()
        self.optimiser = _optimiser(self.model, config)
        self.done = 0
        self.seconds = 0.0
        self._mean, self._std = _normalisation(config.device)

    def batch(self, step: int) -> Batch:
        """Draw the batch of ``step``; it depends on the seed and the step alone."""
        rows, captions = sample_rows(len(self.pool), self.pool.tokens.shape[1], self.config, step)
        pictures = torch.from_numpy(self.pool.pictures[rows])
        return Batch(pictures, self.vocabulary.compact(self.pool.tokens[rows, captions]))

    def step(self) -> dict[str, float]:
        """Train on the next batch; raises NegutilError where the loss is no longer finite."""
        config, step = self.config, self.done
        torch.manual_seed(config.seed * 1_000_003 + step)  # for the patches dropped
        self._set_schedule(step)
        images, texts = self._features(self.batch(step))
        loss, accuracy = contrastive_loss(images, texts, self.model.logit_scale.exp())
        if not torch.isfinite(loss):
            raise NegutilError(f"The loss is {loss.item()} at step {step}; lower `lr` and start again.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.done += 1
        scale = self.model.logit_scale.exp().item()
        return {"loss": loss.item(), "accuracy": accuracy, "lr": self.learning_rate(step), "logit_scale": scale}

    @torch.no_grad()
    def validate(self, validation: Pool) -> float:
        """Text-to-image R@1 over the first pictures of ``validation``, by their first captions."""
        self.model.eval()
        n = min(self.config.validation_pictures, len(validation))
        tokens = self.vocabulary.compact(validation.tokens[:n, 0])
        pictures = torch.tensor(validation.pictures[:n])
        images, texts = self._features(Batch(pictures, tokens))
        self.model.train()
        return retrieval.recall_at(retrieval.ranks(texts.cpu().numpy(), images.cpu().numpy(), np.arange(n)), 1)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine down to zero."""
        config = self.config
        if step < config.warmup:
            return config.lr * (step + 1) / config.warmup
        share = (step - config.warmup) / max(1, config.steps - config.warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * share))

    def _set_schedule(self, step: int) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(step)
        if self.config.patch_dropout:
            drops = step < self.config.dropout_until * self.config.steps
            self.model.visual.patch_dropout.prob = self.config.patch_dropout if drops else 0.0

    def _features(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.config.device
        pictures = batch.pictures.to(device).permute(0, 3, 1, 2).float().div_(255)
        images = self.model.encode_image((pictures - self._mean) / self._std, normalize=True)
        texts = architectures.encode_text_in_chunks(self.model, batch.tokens.to(device), self.config.text_chunks)
        return images, texts


def pretrain(config: PretrainConfig, pool: Pool, out: Path, stop_after: int | None = None) -> Outcome:
    """Train until ``config.steps``, or go on from ``out/checkpoint.pt`` where there is one; write ``out/curve.csv``.

    Ctrl-C (or a polite kill) finishes the step, saves and returns; ``stop_after`` does the same after that many steps
    in all. Raises NegutilError where the checkpoint belongs to other settings or another pool, or where the pool is too
    small or has pictures of another size.
    """
    _check(config, pool)
    out.mkdir(parents=True, exist_ok=True)
    with fast_kernels(config.threads, config.matmul_precision, config.device), stop_signals() as stopped:
        trainer = Trainer(config, pool)
        load_checkpoint(trainer, out)
        _run(trainer, out, min(config.steps, stop_after or config.steps), stopped)
        save_checkpoint(trainer, out)
    if trainer.done < config.steps:
        sentence = f"Stopped after step {trainer.done} of {config.steps} and saved; the same command goes on from here."
        print(sentence, file=sys.stderr)
    return Outcome(trainer.done, config.steps, trainer.seconds, out / "checkpoint.pt")


def contrastive_loss(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Symmetric InfoNCE of L2-normalised ``images`` and ``texts`` [B, D], and the share of images matched."""
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits), device=logits.device)
    loss = (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
    return loss, float((logits.argmax(dim=1) == labels).float().mean())


def sample_rows(n: int, captions: int, config: PretrainConfig, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and captions of one step (both [B]): each picture once an epoch, one of its captions at random."""
    steps_per_epoch = n // config.batch
    epoch, index = divmod(step, steps_per_epoch)
    order = np.random.default_rng([config.seed, epoch, 0]).permutation(n)
    choice = np.random.default_rng([config.seed, epoch, 1]).integers(captions, size=n)
    rows = order[index * config.batch : (index + 1) * config.batch]
    return rows, choice[rows]


def compact_model(config: PretrainConfig, vocabulary: Vocabulary) -> Any:
    """Build the architecture, newly initialised, with embeddings for the tokens of ``vocabulary`` alone."""
    settings = architectures.config(config.architecture)
    settings["vision_cfg"] = settings["vision_cfg"] | {"patch_dropout": config.patch_dropout}
    model: Any = architectures.open_clip().CLIP(**settings)
    rows = model.token_embedding.weight[torch.from_numpy(vocabulary.ids)]
    model.token_embedding = torch.nn.Embedding.from_pretrained(rows.detach().clone(), freeze=False)
    return model


def full_state(model: torch.nn.Module, vocabulary: Vocabulary, architecture: str) -> dict[str, torch.Tensor]:
    """Return the model's state dict under open_clip's names, the embedding brought back to the full vocabulary.

    Rows of tokens that never occurred in the pool are zero: the model has never seen these tokens, and a file full of
    zeros compresses.
    """
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    compact = state["token_embedding.weight"]
    size = architectures.config(architecture)["text_cfg"]["vocab_size"]
    full = torch.zeros(size, compact.shape[1])
    full[torch.from_numpy(vocabulary.ids)] = compact
    return state | {"token_embedding.weight": full}


def save_checkpoint(trainer: Trainer, out: Path) -> None:
    """Write everything that the run needs to go on, under a temporary name first."""
    content = {
        "model": trainer.model.state_dict(),
        "optimiser": trainer.optimiser.state_dict(),
        "done": trainer.done,
        "seconds": trainer.seconds,
        "config": asdict(trainer.config),
        "pool": trainer.pool.fingerprint,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    files.write_bytes(out / "checkpoint.pt", stream.getvalue())


def load_checkpoint(trainer: Trainer, out: Path) -> None:
    """Put ``trainer`` where ``out/checkpoint.pt`` left off; without that file, leave it at the start.

    Raises NegutilError where the file is damaged or was written with other settings or over another pool.
    """
    path = out / "checkpoint.pt"
    if not path.exists():
        return
    content = read_checkpoint(path)
    if content["config"] != asdict(trainer.config) or content["pool"] != trainer.pool.fingerprint:
        was = _difference(content, trainer)
        raise NegutilError(f"{path} was made with other settings ({was}); use those, or choose another folder.")
    trainer.model.load_state_dict(content["model"])
    trainer.optimiser.load_state_dict(content["optimiser"])
    trainer.done, trainer.seconds = content["done"], content["seconds"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint (tensors and plain values only); raises NegutilError where it is missing or damaged."""
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise NegutilError(f"{path} is missing or damaged; delete it to start this pretraining again.") from error
    return content


def _difference(content: dict[str, Any], trainer: Trainer) -> str:
    now = asdict(trainer.config)
    changed = [f"{key}={value}" for key, value in content["config"].items() if now.get(key) != value]
    return ", ".join(changed) or "another pool"


def _run(trainer: Trainer, out: Path, last: int, stopped: list[int]) -> None:
    config = trainer.config
    curve = Curve(out / "curve.csv", trainer.done)
    validation = validation_of(trainer.pool)
    bar = progress.bar("training, step", total=config.steps, initial=trainer.done, unit="step")
    while trainer.done < last and not stopped:
        start = time.perf_counter()
        numbers = trainer.step()
        seconds = time.perf_counter() - start
        trainer.seconds += seconds
        curve.add(numbers, config.batch, seconds)
        at_end = trainer.done == config.steps
        if validation is not None and (at_end or trainer.done % config.validate_every == 0):
            curve.note_validation(trainer.validate(validation))
        if at_end or trainer.done % config.log_every == 0:
            bar.set_postfix_str(curve.write(trainer.done))
        if trainer.done % config.checkpoint_every == 0:
            save_checkpoint(trainer, out)
        bar.update()
    bar.close()


def _optimiser(model: torch.nn.Module, config: PretrainConfig) -> torch.optim.AdamW:
    """AdamW with decay on matrices alone: not on gains, biases, embeddings or the logit scale."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decayed = [value for name, value in named if value.ndim >= 2 and "embedding" not in name]
    others = [value for name, value in named if value.ndim < 2 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


def _normalisation(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation [3, 1, 1] of open_clip's default preprocessing, which are OpenAI's."""
    module = architectures.open_clip()
    mean = torch.tensor(module.OPENAI_DATASET_MEAN, device=device)
    std = torch.tensor(module.OPENAI_DATASET_STD, device=device)
    return mean.view(3, 1, 1), std.view(3, 1, 1)


def _check(config: PretrainConfig, pool: Pool) -> None:
    if len(pool) < config.batch:
        raise NegutilError(
            f"The pool {pool.folder} has only {len(pool)} pictures for batches of {config.batch}; enlarge it."
        )
    size = architectures.config(config.architecture)["vision_cfg"]["image_size"]
    if pool.pictures.shape[1:3] != (size, size):
        raise NegutilError(f"The pictures of {pool.folder} must be {size} x {size} for this model; build it again.")
