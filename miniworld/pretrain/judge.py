"""Train the judge of generated images on drawn images with exact labels, and write its weights.

A few minutes on one core. Half of what it sees is made worse (``tasks.degradation``), because generated images
are. Afterwards its answers are calibrated for each kind of question on reserved images, so that 1/2 lies where yes
and no are equally likely when both are asked equally often (Platt scaling).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from miniworld import judge_pictures
from miniworld.judge_pictures import Known
from negutil.captions import picture_facts
from negutil.captions.english import SUPERCATEGORY
from negutil.tasks import picture_judge
from negutil.tasks.picture_judge import CELLS, JudgeNetwork, as_input
from negutil.train.loop import fast_kernels
from negutil.train.pretraining import Pretraining, Settings, rows_of

CELL_LOSS, PAIR_LOSS = 0.5, 0.5
CALIBRATION_PICTURES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig(Settings):
    """Settings of the judge: how many ``pictures`` are drawn; ``lr`` is the highest rate."""

    pictures: int = 30_000
    steps: int = 1_200
    batch: int = 128
    lr: float = 4e-3
    weight_decay: float = 0.02
    clip_norm: float = 0.0
    log_every: int = 100
    threads: int = 1


class Trainer(Pretraining[NDArray[np.int64]]):
    """The network in training; a batch is the numbers of images [B]."""

    def __init__(self, config: JudgeConfig, known: Known) -> None:
        torch.manual_seed(config.seed)
        self.network = JudgeNetwork().train()
        for value in self.network.parameters():
            if value.dim() == 4:  # convolutions of images whose colours lie side by side are faster here
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        spots = judge_pictures.spots(known, CELLS)
        self.starts = np.searchsorted(spots[:, 0], np.arange(len(known) + 1))
        self.spots, self.pictures = torch.from_numpy(spots), torch.from_numpy(known.pictures)
        self.labels = torch.from_numpy(picture_facts.labels(known.truths))
        self.source = torch.Generator().manual_seed(config.seed)
        batch = min(config.batch, len(known))
        super().__init__(
            config,
            {"network": self.network},
            torch.optim.AdamW(self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay),
            loss=self.loss,
            sampler=lambda step: rows_of(len(known), batch, step, config.seed)[1],
            schedule=_one_cycle(config).__getitem__,
            sources={"pictures": judge_pictures.TRAIN},
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: the source of degradations, too."""
        return super().state() | {"source": self.source.get_state()}

    def restore(self, content: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        super().restore(content)
        self.source.set_state(content["source"])

    def loss(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Cross entropy of every fact, and of noun and colour in the cells where things are."""
        pictures = picture_judge.degrade(as_input(self.pictures[rows]), picture_judge.MIXED, self.source)
        network = self.network
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = network.trunk(2 * pictures.contiguous(memory_format=torch.channels_last) - 1)
            nouns, colours, relations = network.cells(features)
            overall = network.overall(network.whole(features))
        logits = network.pooled(nouns, colours, relations, overall)
        wrong = functional.binary_cross_entropy_with_logits(logits, self.labels[rows].float(), reduction="none")
        pairs = len(picture_facts.COLOURED)
        whole = wrong[:, :-pairs].sum(1).mean() + PAIR_LOSS * wrong[:, -pairs:].sum(1).mean()
        return whole + CELL_LOSS * self._cell_loss(nouns, colours, rows)

    def _cell_loss(self, nouns: torch.Tensor, colours: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        parts = [np.arange(self.starts[row], self.starts[row + 1]) for row in rows]
        _, cell, noun, colour = self.spots[np.concatenate(parts)].unbind(1)
        picture = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(part) for part in parts]))
        if not len(picture):
            return nouns.sum() * 0
        wanted = functional.one_hot(noun, nouns.shape[1]).float()
        people = torch.tensor([float(SUPERCATEGORY[fact.subject] == "person") for fact in picture_facts.THERE])
        wanted[:, 0] = torch.maximum(wanted[:, 0], people[noun])  # the first of all nouns is a person
        wrong = functional.binary_cross_entropy_with_logits(nouns[picture, :, cell], wanted, reduction="none")
        return wrong.sum(1).mean() + functional.nll_loss(colours[picture, :, cell], colour)

    def export(self, weights: Path, command: str) -> None:
        """Calibrate the network and write it in float16; raises NegutilError as :meth:`write` does."""
        # A copy with the weights as they are written, so that it is calibrated as it will be used.
        network, config = JudgeNetwork(), self.settings
        network.load_state_dict(_halved(self.network))
        with fast_kernels(config.threads, config.matmul_precision, "cpu"):
            known = judge_pictures.sample(CALIBRATION_PICTURES, judge_pictures.VALIDATION, config.seed)
            calibrate(network.eval(), known)
        losses = [round(row["loss"], 4) for row in self.curve]
        self.write(weights, _halved(network), {}, {"command": command, "losses": losses})


def _halved(network: JudgeNetwork) -> dict[str, torch.Tensor]:
    """The weights in float16."""
    state = network.state_dict()
    return {name: value.half().contiguous() if value.is_floating_point() else value for name, value in state.items()}


def pretrain(config: JudgeConfig, out: Path, stop_after: int | None = None) -> Trainer:
    """Draw images and train in the folder ``out`` as :meth:`Pretraining.fit` does."""
    known = judge_pictures.sample(config.pictures, judge_pictures.TRAIN, config.seed)
    with fast_kernels(config.threads, config.matmul_precision, "cpu"):
        trainer = Trainer(config, known)
        trainer.fit(out, stop_after)
    trainer.network.eval()
    return trainer


def _one_cycle(config: JudgeConfig) -> list[Mapping[str, Any]]:
    """Rate and betas of every step by torch's schedule of one cycle."""
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=config.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.steps)
    settings: list[Mapping[str, Any]] = []
    for _ in range(config.steps):
        settings.append({name: optimiser.param_groups[0][name] for name in ("lr", "betas")})
        optimiser.step()
        schedule.step()
    return settings


def calibrate(network: JudgeNetwork, known: Known) -> None:
    """Set scale and offset of every kind of question, in place."""
    from sklearn.linear_model import LogisticRegression

    source, parts = torch.Generator().manual_seed(1), []
    with torch.inference_mode():
        for pictures in torch.from_numpy(known.pictures).split(256):
            parts.append(network(picture_judge.degrade(as_input(pictures), picture_judge.MIXED, source)).numpy())
    logits = np.concatenate(parts)
    rows = [
        (fact, logits[row, picture_facts.INDEX[fact]], yes)
        for row, facts in enumerate(known.truths)
        for fact, yes in picture_facts.askable(facts, random.Random(row))
    ]
    fitted = {}
    for kind in picture_facts.KINDS:
        values = np.array([value for fact, value, _ in rows if fact.kind == kind])
        answers = np.array([yes for fact, _, yes in rows if fact.kind == kind])
        fitted[kind] = LogisticRegression(C=100.0, class_weight="balanced").fit(values[:, None], answers)
    scales = torch.tensor([float(fitted[fact.kind].coef_[0, 0]) for fact in picture_facts.FACTS])
    offsets = torch.tensor([float(fitted[fact.kind].intercept_[0]) for fact in picture_facts.FACTS])
    network.scale.copy_(scales.half().float())
    network.offset.copy_(offsets.half().float())
