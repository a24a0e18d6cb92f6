"""Train the judge of generated pictures on drawn pictures with exact labels, and write its weights.

A few minutes on one core. Half of what it sees is made worse (``tasks.degradation``), because generated pictures
are. Afterwards its answers are calibrated for each kind of question on reserved pictures, so that 1/2 lies where yes
and no are equally likely when both are asked equally often (Platt scaling).
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch.nn import functional

from miniworld import judge_pictures
from miniworld.judge_pictures import Known
from negutil import code, files, paths, progress
from negutil.captions import picture_facts
from negutil.captions.english import SUPERCATEGORY
from negutil.errors import NegutilError
from negutil.tasks import degradation
from negutil.tasks.judge_network import CELLS, JudgeNetwork
from negutil.tasks.picture_judge import FILE, as_input
from negutil.train.runtime import fast_kernels

NAME = "judge"
CELL_LOSS, PAIR_LOSS = 0.5, 0.5
CALIBRATION_PICTURES = 4000
PERSON = "person"


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """Settings of the training: pictures drawn, steps of ``batch`` pictures, highest rate, decay, seed, threads."""

    pictures: int = 30_000
    steps: int = 1_200
    batch: int = 128
    lr: float = 4e-3
    weight_decay: float = 0.02
    seed: int = 0
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


def run(
    name: str = NAME,
    *,
    pool: Path | None = None,
    out: Path | None = None,
    weights: Path = paths.NEW_WEIGHTS,
    steps: int | None = None,
    seed: int = 0,
    threads: int = 1,
    device: str = "cpu",
) -> None:
    """Train the judge anew and write its weights into the folder ``weights``.

    Raises NegutilError for a ``pool``, an ``out`` or another ``device`` than the CPU: it has use for none of them.
    """
    if pool is not None or out is not None or device != "cpu":
        raise NegutilError(f"The training of the {name} draws its own pictures, on the CPU; leave out pool and device.")
    config = replace(JudgeConfig(), seed=seed, threads=threads)
    pretrain(replace(config, steps=steps) if steps else config, weights / FILE)


def pretrain(config: JudgeConfig, out: Path) -> Path:
    """Train a judge and write its weights (float16) to ``out`` with a JSON file about them beside it."""
    started = time.perf_counter()
    known = judge_pictures.sample(config.pictures, judge_pictures.TRAIN, config.seed)
    with fast_kernels(config.threads, "medium", "cpu"):
        network, losses = train(known, config)
        network = rounded(network)
        calibrate(network, judge_pictures.sample(CALIBRATION_PICTURES, judge_pictures.VALIDATION, config.seed))
    seconds = round(time.perf_counter() - started, 1)
    files.write_bytes(
        out, safetensors.torch.save({name: _small(value) for name, value in network.state_dict().items()})
    )
    about = {"config": asdict(config), "losses": losses, "seconds": seconds, "sha256": files.sha256(out)}
    about["provenance"] = code.provenance(seconds=seconds)
    files.write_text(out.with_suffix(".json"), json.dumps(about, indent=1, sort_keys=True) + "\n")
    return out


def train(known: Known, config: JudgeConfig) -> tuple[JudgeNetwork, list[float]]:
    """The trained network in evaluation mode, and the mean loss of every hundred steps."""
    torch.manual_seed(config.seed)
    network = JudgeNetwork().train()
    for value in network.parameters():
        if value.dim() == 4:  # convolutions of pictures whose colours lie side by side are faster here
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.steps)
    data, source = _data(known), torch.Generator().manual_seed(config.seed)
    losses: list[float] = []
    for step in progress.bar("training, step", range(config.steps), unit="step"):
        rows = _rows(len(known), config, step)
        loss = _loss(network, data, rows, source)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    means = [round(float(np.mean(losses[start : start + 100])), 4) for start in range(0, len(losses), 100)]
    return network.eval(), means


def _rows(count: int, config: JudgeConfig, step: int) -> NDArray[np.int64]:
    """Which pictures step ``step`` sees: every picture once before any is seen again."""
    size = min(config.batch, count)
    epoch, place = divmod(step, count // size)
    order = np.random.default_rng([config.seed, epoch]).permutation(count)
    return order[place * size : (place + 1) * size]


def _data(known: Known) -> _Data:
    spots = judge_pictures.spots(known, CELLS)
    starts = np.searchsorted(spots[:, 0], np.arange(len(known) + 1))
    tensors = (torch.from_numpy(known.pictures), torch.from_numpy(picture_facts.labels(known.truths)))
    return _Data(*tensors, torch.from_numpy(spots), starts)


def _loss(network: JudgeNetwork, data: _Data, rows: NDArray[np.int64], source: torch.Generator) -> torch.Tensor:
    """Cross entropy of every fact, and of noun and colour in the cells where things are."""
    pictures = degradation.degrade(as_input(data.pictures[rows]), degradation.MIXED, source)
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
    wanted[:, 0] = torch.maximum(wanted[:, 0], _people()[noun])
    said = functional.binary_cross_entropy_with_logits(nouns[picture, :, cell], wanted, reduction="none")
    return said.sum(1).mean() + functional.nll_loss(colours[picture, :, cell], colour)


def _people() -> torch.Tensor:
    """1 for every noun that may be called a person, which is the first of all nouns."""
    return torch.tensor([float(SUPERCATEGORY[fact.subject] == PERSON) for fact in picture_facts.THERE])


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

    logits = _logits(network, known)
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


def _logits(network: JudgeNetwork, known: Known) -> NDArray[np.float32]:
    source = torch.Generator().manual_seed(1)
    parts: list[Any] = []
    with torch.inference_mode():
        for start in range(0, len(known), 256):
            pictures = as_input(torch.from_numpy(known.pictures[start : start + 256]))
            parts.append(network(degradation.degrade(pictures, degradation.MIXED, source)).numpy())
    return np.concatenate(parts)
