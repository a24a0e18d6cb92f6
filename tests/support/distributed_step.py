"""Run by torchrun in test_distributed.py: the loss and the gradients of one batch, then a whole fine-tuning.

    torchrun --nproc-per-node 2 distributed_step.py WEIGHTS OUT METHOD...

Each process writes what it found for each METHOD to OUT/METHOD.RANK.pt; the fine-tuning by the first goes to OUT/run.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import finetune_files
import model_files
import torch

from negutil.models import loader
from negutil.train import distributed
from negutil.train.distributed import World
from negutil.train.finetune import Trainer, finetune

# A batch that two processes cannot halve; a large eps, because Adam blows rounding errors up where a gradient is zero.
CONFIG = dataclasses.replace(finetune_files.CONFIG, batch=9, eps=1e-3)


def measure(weights: Path, method: str, members: World) -> dict[str, torch.Tensor]:
    """The loss of the first batch, and the gradient of every parameter of the tower."""
    base = loader.load_entry(model_files.entry(weights))
    trainer = Trainer(base, finetune_files.examples(), dataclasses.replace(CONFIG, method=method), members)
    loss = trainer.loss(*trainer.batch(0))
    loss.backward()
    found = {name: value.grad for name, value in trainer.tower.named_parameters() if value.grad is not None}
    return {"loss": loss.detach()} | found


def main(weights: Path, out: Path, methods: list[str]) -> None:
    """Measure every method, and fine-tune by the first one, in all processes together."""
    torch.set_num_threads(1)
    with distributed.processes() as members:
        for method in methods:
            torch.save(measure(weights, method, members), out / f"{method}.{members.rank}.pt")
        base = loader.load_entry(model_files.entry(weights))
        finetune(base, finetune_files.examples(), dataclasses.replace(CONFIG, method=methods[0]), out / "run")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
