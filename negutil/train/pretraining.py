"""What all pretrainings have in common: curve, validation, checkpoints, and the files of the finished weights."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray

from negutil import code, files
from negutil.errors import NegutilError
from negutil.train.loop import Batch, Loop, plain, train

CURVE = "curve.csv"
CSV: dict[str, Any] = {"index": False, "float_format": "%.6g", "lineterminator": "\n"}
KEPT = ("command", "commit", "packages", "processor", "python", "seconds", "system", "version")
ELSEWHERE = ("threads", "device")
"""Settings that change sums by rounding alone, so that a checkpoint does not depend on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of every pretraining; a checkpoint can only be continued with the same ones.

    Every ``log_every`` steps the curve gets a row, every ``validate_every`` (0: never) that row a validation.
    """

    steps: int
    batch: int
    lr: float
    warmup: int = 0
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0
    log_every: int = 20
    validate_every: int = 250
    checkpoint_every: int = 250
    matmul_precision: str = "medium"
    threads: int = 2
    device: str = "cpu"


def rows_of(count: int, batch: int, step: int, seed: int) -> tuple[int, NDArray[np.int64]]:
    """Return the epoch of ``step`` and its rows [``batch``] of ``count``; every row comes once an epoch."""
    epoch, place = divmod(step, count // batch)
    order = np.random.default_rng([seed, epoch, 0]).permutation(count)
    return epoch, order[place * batch : (place + 1) * batch]


Made = TypeVar("Made", bound=Settings)


def changed(config: Made, *, steps: int | None, seed: int | None, threads: int, device: str) -> Made:
    """Return the settings of a recipe with what the user asks for instead of its own (None: its own)."""
    return dataclasses.replace(
        config,
        steps=steps or config.steps,
        seed=config.seed if seed is None else seed,
        threads=threads,
        device=device,
    )


def optimiser(model: torch.nn.Module, config: Settings) -> torch.optim.AdamW:
    """Return CLIP's AdamW with decay on matrices alone: not on gains, biases, embeddings or the logit scale."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decayed = [value for name, value in named if value.ndim >= 2 and "embedding" not in name]
    others = [value for name, value in named if value.ndim < 2 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


class Pretraining(Loop[Batch]):
    """A loop whose ``curve`` has the mean loss of the last steps, the rate, the speed and what is validated.

    ``sources`` is what the result follows from besides the settings: fingerprints of data and of other weights.
    ``unit`` is what a batch has ``size`` of. A subclass adds numbers of a step in ``numbers`` and what is validated in
    :meth:`validation`.
    """

    def __init__(
        self,
        config: Settings,
        modules: Mapping[str, torch.nn.Module],
        optimiser: torch.optim.Optimizer,
        *,
        sources: Mapping[str, Any],
        unit: str = "pictures",
        size: int = 0,
        **parts: Any,
    ) -> None:
        super().__init__(modules, optimiser, steps=config.steps, clip_norm=config.clip_norm, **parts)
        self.settings, self.unit, self.size = config, unit, size or config.batch
        settings = {key: value for key, value in asdict(config).items() if key not in ELSEWHERE}
        self.identity = plain({"config": settings, **sources})
        self.numbers: dict[str, float] = {}
        self._since: list[dict[str, float]] = []  # the last row of the curve
        self._seconds = 0.0

    def validation(self) -> dict[str, float]:
        """Return what is validated, by the name of its column."""
        return {}

    def note(self, loss: float) -> None:
        """Note the step; every few steps, add a row to the curve, and to that row what is validated."""
        config, at_end = self.settings, self.done == self.steps
        self._since.append({"loss": loss, **self.numbers})
        if at_end or self.done % config.log_every == 0:
            means = {name: float(np.mean([one[name] for one in self._since])) for name in self._since[0]}
            speed = len(self._since) * self.size / (self.seconds - self._seconds)
            self.curve.append({"step": self.done, **means, "lr": self.rate, f"{self.unit}_per_second": speed})
            self._since, self._seconds = [], self.seconds
        if self.curve and config.validate_every and (at_end or self.done % config.validate_every == 0):
            self.curve[-1] |= self.validation()
        self.words = ", ".join(f"{key} {value:.4g}" for key, value in (self.curve[-1] if self.curve else {}).items())

    def is_due(self) -> bool:
        """Whether a checkpoint is due: every few steps, and after the last."""
        return self.done == self.steps or self.done % self.settings.checkpoint_every == 0

    def restore(self, content: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        super().restore(content)
        self._seconds = self.seconds

    def fit(self, out: Path, stop_after: int | None = None) -> None:
        """Train until all steps are done, from the checkpoint in ``out`` where there is one; writes the curve too.

        Ctrl-C (or a polite kill) finishes the step, saves and returns; ``stop_after`` does the same after that many
        steps in all. Raises NegutilError if the checkpoint is damaged or was made from something else.
        """
        out.mkdir(parents=True, exist_ok=True)
        train(self, out, self.identity, stop_after=stop_after)
        files.write_text(out / CURVE, pd.DataFrame(self.curve).to_csv(**CSV))
        if self.done < self.steps:
            sentence = f"Stopped after step {self.done} of {self.steps} and saved; the same command resumes it."
            print(sentence, file=sys.stderr)

    def write(
        self, weights: Path, state: Mapping[str, torch.Tensor], metadata: dict[str, str], about: dict[str, Any]
    ) -> None:
        """Write ``weights`` (a .safetensors file with ``state``), and .json and .curve.csv beside it.

        Raises NegutilError if the training is not finished or a weight is not finite, as in float16 it can be.
        """
        if self.done != self.steps:
            raise NegutilError(
                f"{weights.stem} stands at step {self.done} of {self.steps}; finish this pretraining first."
            )
        for name, value in state.items():
            if not torch.isfinite(value).all():
                raise NegutilError(f"The weight {name} is not finite; pretrain again with a lower `lr`.")
        files.write_bytes(weights, safetensors.torch.save(dict(state), metadata={"format": "pt"} | metadata))
        facts = code.provenance(command=about.pop("command"), seconds=round(self.seconds, 1))
        about = {"config": asdict(self.settings), "sha256": files.sha256(weights)} | about
        about |= {key: facts[key] for key in KEPT}
        files.write_text(weights.with_suffix(".json"), json.dumps(about, indent=2, sort_keys=True) + "\n")
        files.write_text(weights.with_suffix(".curve.csv"), pd.DataFrame(self.curve).to_csv(**CSV))
