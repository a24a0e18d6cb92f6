"""Fine-tuning of a text tower: batches, the loss of every method, optimiser, validation."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from negutil.models.loader import LoadedModel
from negutil.train import distributed, losses
from negutil.train.distributed import World
from negutil.train.examples import Examples, hard_examples, prepare, split
from negutil.train.loop import Loop, cosine
from negutil.train.losses import MAX_LOGIT_SCALE
from negutil.train.settings import FinetuneConfig
from negutil.train.tower import TextTower

Indices = NDArray[np.int64]
Texts = dict[str, torch.Tensor]
CHECKPOINT_EVERY = 200  # steps; there is one after each epoch, too
COLUMNS = ("step", "epoch", "loss", "lr", "logit_scale", "validation_loss")


class Trainer(Loop[tuple[Indices, NDArray[np.bool_]]]):
    """The fine-tuning of one text tower; ``curve`` has a row of COLUMNS for the start and for each step."""

    label = "step"

    def __init__(
        self, base: LoadedModel, examples: Examples, config: FinetuneConfig, members: World | None = None
    ) -> None:
        self.config, self.members = config, members or World()
        self.data = prepare(examples, base.tokenizer, config)
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
        super().__init__(
            {"tower": self.tower},
            _optimiser(self.tower, config),
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

    def _objective(self, index: torch.Tensor, texts: Texts) -> torch.Tensor:
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
            self.curve.append([0, 0, None, None, self._scale(), self.validation_loss()])

    @torch.no_grad()
    def adjust(self) -> None:
        """Keep the logit scale within CLIP's bounds where the settings say so."""
        if self.config.clamp_logit_scale:
            self.tower.logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def note(self, loss: float) -> None:
        """Note the step; after an epoch, validate, and keep the weights where they are the ones to keep so far."""
        epoch = (self.done - 1) // self.steps_per_epoch + 1
        self.curve.append([self.done, epoch, loss, self.rate, self._scale(), None])
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

    def _scale(self) -> float:
        return self.tower.logit_scale.exp().item()


def _optimiser(tower: TextTower, config: FinetuneConfig) -> torch.optim.AdamW:
    learning = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    is_decayed = [config.decay == "all" or parameter.ndim >= 2 for parameter in learning]
    groups = [
        {"params": [one for one, yes in zip(learning, is_decayed, strict=True) if yes is decays], "weight_decay": decay}
        for decays, decay in ((True, config.weight_decay), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
