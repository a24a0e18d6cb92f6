"""Pretraining of MiniCLIPSeg: its decoder learns to mark what affirmative phrases name; both towers stay as they are.

As CLIPSeg was trained (Lüddecke and Ecker 2022, Sec. 4): binary cross-entropy over the pixels, AdamW with a cosine down
to a tenth, prompts in a few templates, phrases about nothing in the picture among them. Their prompts that are pictures
are left out. Negated phrases are never seen. What a step sees depends on (seed, step) alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from miniworld.pretrain import segment_pool
from miniworld.pretrain.pretraining import Pretraining, Settings, rows_of
from miniworld.pretrain.segment_pool import SegmentPool
from negutil.errors import NegutilError
from negutil.models import loader, miniclipseg
from negutil.models.loader import LoadedModel
from negutil.train.loop import cosine, fast_kernels

Rows = NDArray[np.int64]
CODE_VERSION = 2  # counts changes that change weights


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentConfig(Settings):
    """Settings of MiniCLIPSeg: ``batch`` counts pictures, of each of which ``phrases`` are drawn.

    ``floor`` is the share of the rate that is left at the end; ``pictures`` and ``validation`` are how many the pool
    and its held-out part have.
    """

    base: str = "miniclip-b-8"
    steps: int = 1000
    batch: int = 64
    phrases: int = 4
    lr: float = 1e-3
    floor: float = 0.1
    warmup: int = 100
    pictures: int = 16_000
    validation: int = 400


class Trainer(Pretraining[tuple[Rows, Rows]]):
    """The decoder in training; a batch has pictures [B] and which of their phrases [B, K]."""

    def __init__(self, config: SegmentConfig, base: LoadedModel, pool: SegmentPool, held_out: SegmentPool) -> None:
        self.config, self.base, self.pool, self.held_out = config, base, pool, held_out
        torch.manual_seed(config.seed)
        self.segmenter = miniclipseg.untrained(base)
        self.decoder: Any = self.segmenter.model.decoder.train()
        self.texts = miniclipseg.conditions(self.segmenter, pool.sentences)
        self.mean, self.std = (torch.tensor(each).view(3, 1, 1) for each in (base.entry.mean, base.entry.std))
        sources = {"pool": pool.fingerprint, "base": base.fingerprint["weights_sha256"], "code_version": CODE_VERSION}
        super().__init__(
            config,
            {"decoder": self.decoder},
            torch.optim.AdamW(self.decoder.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True),
            loss=self.loss,
            sampler=lambda step: sample(config, len(pool), step),
            schedule=cosine(config.lr, config.steps, config.warmup, config.floor),
            sources=sources,
            unit="phrases",
            size=config.batch * config.phrases,
        )

    def loss(self, batch: tuple[Rows, Rows]) -> torch.Tensor:
        """Binary cross-entropy over the pixels of all phrases of a batch."""
        wanted = torch.from_numpy(self.pool.masks(*batch)).flatten(0, 1).float()
        return functional.binary_cross_entropy_with_logits(self.logits(self.pool, self.texts, *batch), wanted)

    def logits(self, pool: SegmentPool, texts: torch.Tensor, rows: Rows, which: Rows) -> torch.Tensor:
        """Scores [B * K, 64, 64] before the sigmoid for the phrases ``which`` [B, K] of the pictures ``rows`` [B]."""
        pixels = torch.from_numpy(pool.pictures[rows]).permute(0, 3, 1, 2).float().div_(255)
        with torch.no_grad():
            layers = miniclipseg.activations(self.segmenter, (pixels - self.mean) / self.std)
        steering = texts[torch.from_numpy(pool.texts[rows[:, None], which].astype(np.int64)).flatten()]
        repeated = [layer.repeat_interleave(which.shape[1], dim=0) for layer in layers]
        logits: torch.Tensor = self.decoder(repeated, steering).logits
        return logits

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Mean intersection over union of what is there at 0.5, and the share of absent things that get any pixel."""
        pool = self.held_out
        texts = miniclipseg.conditions(self.segmenter, pool.sentences)
        self.decoder.eval()
        ious, marked = [], []
        for rows in np.array_split(np.arange(len(pool)), max(1, len(pool) // self.config.batch)):
            which = np.tile(np.arange(segment_pool.PHRASES), (len(rows), 1))
            pixels = (self.logits(pool, texts, rows, which) > 0).flatten(1).numpy()
            wanted = pool.masks(rows, which).reshape(len(pixels), -1)
            both, either = (pixels & wanted).sum(axis=1), (pixels | wanted).sum(axis=1)
            there = wanted.any(axis=1)
            ious.append(both[there] / either[there])
            marked.append(pixels[~there].any(axis=1))
        self.decoder.train()
        means = (float(np.concatenate(each).mean()) for each in (ious, marked))
        return dict(zip(("validation_iou", "validation_marked"), means, strict=True))

    def export(self, weights: Path, command: str) -> None:
        """Write the decoder in float16; raises NegutilError as :meth:`write` does."""
        state = {name: value.detach().half().contiguous() for name, value in self.decoder.state_dict().items()}
        metadata = {"base": self.base.name, "base_sha256": str(self.base.fingerprint["weights_sha256"])}
        self.write(weights, state, metadata, {"command": command, "pool_sha256": self.pool.fingerprint, **metadata})


def sample(config: SegmentConfig, n: int, step: int) -> tuple[Rows, Rows]:
    """Pictures [B] and which of their phrases [B, K] a step sees; each picture comes once an epoch."""
    _, rows = rows_of(n, config.batch, step, config.seed)
    keys = np.random.default_rng([config.seed, step, 1]).random((len(rows), segment_pool.PHRASES))
    return rows, keys.argsort(axis=1)[:, : config.phrases]


def pretrain(config: SegmentConfig, out: Path, stop_after: int | None = None) -> Trainer:
    """Draw the pictures, which takes a minute or two, and train in ``out`` as :meth:`Pretraining.fit` does.

    Raises NegutilError, too, where there are too few pictures for a batch.
    """
    if config.pictures < config.batch:
        raise NegutilError(f"A batch of {config.batch} needs as many pictures, not {config.pictures}; ask for more.")
    base = loader.load(config.base)
    with fast_kernels(config.threads, config.matmul_precision, "cpu"):
        pool = segment_pool.build(config.pictures, config.seed)
        held_out = segment_pool.build(config.validation, config.seed, reserved=True)
        trainer = Trainer(config, base, pool, held_out)
        trainer.fit(out, stop_after)
    return trainer
