"""Train the judge of generated pictures on drawn pictures with exact labels, and write its weights.

A few minutes on one core. Half of what it sees is made worse (``tasks.degradation``), because generated pictures
are. Afterwards its answers are calibrated for each kind of question on reserved pictures, so that 1/2 lies where yes
and no are equally likely when both are asked equally often (Platt scaling).
"""

from __future__ import annotations

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
from miniworld.pretrain.pretraining import Pretraining, Settings
from negutil.captions import picture_facts
from negutil.captions.english import SUPERCATEGORY
from negutil.tasks import picture_judge
from negutil.tasks.picture_judge import CELLS, JudgeNetwork, as_input
from negutil.train.loop import fast_kernels

CELL_LOSS, PAIR_LOSS = 0.5, 0.5
CALIBRATION_PICTURES = 4000
PERSON = "person"


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


@dataclass(frozen=True, slots=True)
class _Data:
    """Pictures as tensors with their labels, and where things are (sorted by picture, ``starts`` [N + 1])."""

    pictures: torch.Tensor
    labels: torch.Tensor
    spots: torch.Tensor
    starts: NDArray[np.int64]

    def spots_of(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """The spots of some pictures, with the place of each picture in ``rows`` in place of its number."""
        own = [np.arange(self.starts[row], self.starts[row + 1]) for row in rows]
        found = self.spots[np.concatenate(own)].clone()
        found[:, 0] = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(part) for part in own]))
        return found


class Trainer(Pretraining[NDArray[np.int64]]):
    """The network in training; a batch is the numbers of pictures [B]."""

    def __init__(self, config: JudgeConfig, known: Known) -> None:
        torch.manual_seed(config.seed)
        self.network = JudgeNetwork().train()
        for value in self.network.parameters():
            if value.dim() == 4:  # convolutions of pictures whose colours lie side by side are faster here
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        spots = judge_pictures.spots(known, CELLS)
        starts = np.searchsorted(spots[:, 0], np.arange(len(known) + 1))
        tensors = (torch.from_numpy(known.pictures), torch.from_numpy(picture_facts.labels(known.truths)))
        data, self.source = _Data(*tensors, torch.from_numpy(spots), starts), torch.Generator().manual_seed(config.seed)
        super().__init__(
            config,
            {"network": self.network},
            torch.optim.AdamW(self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay),
            loss=lambda rows: _loss(self.network, data, rows, self.source),
            sampler=lambda step: _rows(len(known), config, step),
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

    def export(self, weights: Path, command: str) -> None:
        """Calibrate the network and write it in float16; raises NegutilError as :meth:`write` does."""
        network, config = rounded(self.network), self.settings
        with fast_kernels(config.threads, config.matmul_precision, "cpu"):
            calibrate(network, judge_pictures.sample(CALIBRATION_PICTURES, judge_pictures.VALIDATION, config.seed))
        state = {name: _small(value) for name, value in network.state_dict().items()}
        losses = [round(row["loss"], 4) for row in self.curve]
        self.write(weights, state, {}, {"command": command, "losses": losses})


def pretrain(config: JudgeConfig, out: Path, stop_after: int | None = None) -> Trainer:
    """Draw pictures and train in the folder ``out`` as :meth:`Pretraining.fit` does."""
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


def _rows(count: int, config: JudgeConfig, step: int) -> NDArray[np.int64]:
    """Which pictures step ``step`` sees: every picture once before any is seen again."""
    size = min(config.batch, count)
    epoch, place = divmod(step, count // size)
    order = np.random.default_rng([config.seed, epoch]).permutation(count)
    return order[place * size : (place + 1) * size]


def _loss(network: JudgeNetwork, data: _Data, rows: NDArray[np.int64], source: torch.Generator) -> torch.Tensor:
    """Cross entropy of every fact, and of noun and colour in the cells where things are."""
    pictures = picture_judge.degrade(as_input(data.pictures[rows]), picture_judge.MIXED, source)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = network.trunk(2 * pictures.contiguous(memory_format=torch.channels_last) - 1)
        nouns, colours, relations = network.cells(features)
        overall = network.overall(network.whole(features))
    logits = network.pooled(nouns, colours, relations, overall)
    wrong = functional.binary_cross_entropy_with_logits(logits, data.labels[rows].float(), reduction="none")
    pairs = len(picture_facts.COLOURED)
    whole = wrong[:, :-pairs].sum(1).mean() + PAIR_LOSS * wrong[:, -pairs:].sum(1).mean()
    return whole + CELL_LOSS * _cell_loss(nouns, colours, data.spots_of(rows))


def _cell_loss(nouns: torch.Tensor, colours: torch.Tensor, spots: torch.Tensor) -> torch.Tensor:
    picture, cell, noun, colour = spots.unbind(1)
    if not len(spots):
        return nouns.sum() * 0
    wanted = functional.one_hot(noun, nouns.shape[1]).float()
    people = torch.tensor([float(SUPERCATEGORY[fact.subject] == PERSON) for fact in picture_facts.THERE])
    wanted[:, 0] = torch.maximum(wanted[:, 0], people[noun])  # the first of all nouns is a person
    said = functional.binary_cross_entropy_with_logits(nouns[picture, :, cell], wanted, reduction="none")
    return said.sum(1).mean() + functional.nll_loss(colours[picture, :, cell], colour)


def rounded(network: JudgeNetwork) -> JudgeNetwork:
    """A copy with the weights as they are written, so that it is calibrated as it will be used."""
    copy = JudgeNetwork()
    copy.load_state_dict({name: _small(value) for name, value in network.state_dict().items()})
    return copy.eval()


def _small(value: torch.Tensor) -> torch.Tensor:
    return value.half().contiguous() if value.is_floating_point() else value


def calibrate(network: JudgeNetwork, known: Known) -> dict[str, tuple[float, float]]:
    """Set scale and offset of every kind of question, in place; returns them by kind."""
    from sklearn.linear_model import LogisticRegression

    source, parts = torch.Generator().manual_seed(1), []
    with torch.inference_mode():
        for start in range(0, len(known), 256):
            pictures = as_input(torch.from_numpy(known.pictures[start : start + 256]))
            parts.append(network(picture_judge.degrade(pictures, picture_judge.MIXED, source)).numpy())
    logits = np.concatenate(parts)
    asked = [picture_facts.askable(facts, random.Random(row)) for row, facts in enumerate(known.truths)]
    rows = [(fact, logits[row, picture_facts.INDEX[fact]], yes) for row, own in enumerate(asked) for fact, yes in own]
    found = {}
    for kind in picture_facts.KINDS:
        values = np.array([value for fact, value, _ in rows if fact.kind == kind])
        answers = np.array([yes for fact, _, yes in rows if fact.kind == kind])
        fitted = LogisticRegression(C=100.0, class_weight="balanced").fit(values[:, None], answers)
        found[kind] = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    for name, place in (("scale", 0), ("offset", 1)):
        numbers = torch.tensor([found[fact.kind][place] for fact in picture_facts.FACTS])
        getattr(network, name).copy_(numbers.half().float())
    return found
