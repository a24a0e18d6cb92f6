"""One fine-tuning step after another: batches, losses of every method, optimiser, validation.

Batches follow from seed and epoch alone, so the state of a run is tower, optimiser and the number of steps done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from miniworld.pretrain.contrastive import MAX_LOGIT_SCALE
from negutil.errors import NegutilError
from negutil.models.loader import LoadedModel
from negutil.train import distributed, losses
from negutil.train.distributed import World
from negutil.train.examples import Examples, hard_examples, prepare, split
from negutil.train.settings import FinetuneConfig
from negutil.train.tower import TextTower

Indices = NDArray[np.int64]
Texts = dict[str, torch.Tensor]


class Trainer:
    """Tower, optimiser and position of one run; :meth:`step` trains on the next batch and notes it in ``curve``."""

    def __init__(
        self, base: LoadedModel, examples: Examples, config: FinetuneConfig, members: World | None = None
    ) -> None:
        self.config, self.members = config, members or World()
        self.data = prepare(examples, base.tokenizer, config)
        self.train, self.validation = split(examples, config)
        self.hard = _hard(examples, config, self.train, self.validation)
        self.tower = TextTower(base, self.data.ids, _learning(config), config.text_chunks).to(config.device)
        self.encode = distributed.encoder(self.tower, self.members)
        self.optimiser = _optimiser(self.tower, config)
        self.steps_per_epoch = len(self.train) // config.batch
        self.steps = config.epochs * self.steps_per_epoch
        self.done = 0
        self.seconds = 0.0
        self.curve: list[list[float | None]] = []
        self.best: dict[str, Any] = {}

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
        return OBJECTIVES[self.config.method](self, index, texts)

    def step(self) -> None:
        """Train on the next batch; raises NegutilError where the loss is no longer finite."""
        rate = self.learning_rate(self.done)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.loss(*self.batch(self.done))
        if not torch.isfinite(loss):
            raise NegutilError(f"The loss is {loss.item()} at step {self.done}; lower `lr` and start again.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.tower.parameters(), self.config.clip_norm)
        self.optimiser.step()
        if self.config.clamp_logit_scale:
            with torch.no_grad():
                self.tower.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.done += 1
        self._note(loss.item(), rate)
        if self.done % self.steps_per_epoch == 0:
            self._end_epoch()

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss over the batches of the validation part; an incomplete last one counts only where it is alone."""
        size = min(self.config.batch, len(self.validation))
        batches = self.validation[: len(self.validation) // size * size].reshape(-1, size)
        return float(np.mean([self.loss(batch).item() for batch in batches]))

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant, or a cosine down to zero."""
        config = self.config
        if step < config.warmup:
            return config.lr * (step + 1) / config.warmup
        if config.schedule == "constant":
            return config.lr
        share = (step - config.warmup) / max(1, self.steps - config.warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * share))

    def start(self) -> None:
        """Note the validation loss before any training; not for a run that goes on."""
        if len(self.validation):
            self.curve.append([0, 0, None, None, self._scale(), self.validation_loss()])

    def _note(self, loss: float, rate: float) -> None:
        self.curve.append([self.done, (self.done - 1) // self.steps_per_epoch + 1, loss, rate, self._scale(), None])

    def _end_epoch(self) -> None:
        """Validate, and keep the weights where this epoch's are the ones to keep so far."""
        loss = self.validation_loss() if len(self.validation) else None
        self.curve[-1][-1] = loss
        if self.config.keep == "last" or loss is None or loss < self.best.get("validation_loss", math.inf):
            epoch = self.done // self.steps_per_epoch
            self.best = {"state": self.tower.state(), "epoch": epoch, "validation_loss": loss}

    def _scale(self) -> float:
        return self.tower.logit_scale.exp().item()


def _hard(examples: Examples, config: FinetuneConfig, *parts: Indices) -> Indices | None:
    """For each example one with its hard image from the same part, where the method has hard images."""
    if config.method != "negclip" or examples.distractors is None:
        return None
    hard = np.empty(len(examples), dtype=np.int64)
    for part in parts:
        if len(part):
            hard[part] = hard_examples(examples, part, config.seed)
    return hard


def _learning(config: FinetuneConfig) -> tuple[str, ...]:
    """The groups that learn: CLIP-bnl's loss has no logit scale, and a parameter without gradient would stop DDP."""
    return tuple(group for group in config.trainable if config.method != "clip-bnl" or group != "logit_scale")


def _optimiser(tower: TextTower, config: FinetuneConfig) -> torch.optim.AdamW:
    learning = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    is_decayed = [config.decay == "all" or parameter.ndim >= 2 for parameter in learning]
    groups = [
        {"params": [one for one, yes in zip(learning, is_decayed, strict=True) if yes is decays], "weight_decay": decay}
        for decays, decay in ((True, config.weight_decay), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def _infonce(trainer: Trainer, index: torch.Tensor, texts: Texts) -> torch.Tensor:
    return losses.info_nce(_images(trainer, index), _unit(texts["captions"]), trainer.tower.logit_scale.exp())


def _con_clip(trainer: Trainer, index: torch.Tensor, texts: Texts) -> torch.Tensor:
    distractors = trainer.data.images[trainer.data.distractors[index]]  # type: ignore[index]
    captions, negated = _unit(texts["captions"]), _unit(texts["negatives"])
    scale = trainer.tower.logit_scale.exp()
    return losses.con_clip(_images(trainer, index), distractors, captions, negated, scale)


def _neg_clip(trainer: Trainer, index: torch.Tensor, texts: Texts) -> torch.Tensor:
    captions, negatives = _unit(texts["captions"]), _unit(texts["negatives"])
    return losses.neg_clip(_images(trainer, index), captions, negatives, trainer.tower.logit_scale.exp())


def _clip_bnl(trainer: Trainer, index: torch.Tensor, texts: Texts) -> torch.Tensor:
    config = trainer.config
    return losses.clip_bnl(
        _images(trainer, index),
        _unit(texts["captions"]),
        _unit(texts["negatives"]),
        margin=config.margin,
        image_bounds=config.image_bounds,
        text_bounds=config.text_bounds,
        weight=config.constraint_weight,
    )


def _neg_bench(trainer: Trainer, index: torch.Tensor, texts: Texts) -> torch.Tensor:
    images, options, scale = _images(trainer, index), texts["options"], trainer.tower.logit_scale.exp()
    correct: torch.Tensor = trainer.data.correct[index]  # type: ignore[index]
    contrastive = losses.info_nce(images, _unit(texts["captions"]), scale)
    if trainer.config.normalise_mcq:
        choice = losses.multiple_choice(images, _unit(options), correct, scale)
    else:
        lengths: torch.Tensor = trainer.data.lengths[trainer.data.rows[index]]  # type: ignore[index]
        choice = losses.multiple_choice(images * lengths.unsqueeze(1), options, correct, scale)
    return losses.weighted(contrastive, choice, trainer.config.alpha)


def _images(trainer: Trainer, index: torch.Tensor) -> torch.Tensor:
    return trainer.data.images[trainer.data.rows[index]]


def _unit(features: torch.Tensor) -> torch.Tensor:
    return functional.normalize(features, dim=-1)


OBJECTIVES: dict[str, Callable[[Trainer, torch.Tensor, Texts], torch.Tensor]] = {
    "infonce": _infonce,
    "con-clip": _con_clip,
    "negclip": _neg_clip,
    "clip-bnl": _clip_bnl,
    "negbench": _neg_bench,
}
