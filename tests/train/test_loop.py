"""The training loop on a linear map: what it is given, how it stops and resumes, and what a checkpoint is good for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from negutil.errors import NegutilError
from negutil.train import loop
from negutil.train.loop import Loop

IDENTITY = {"config": {"lr": 0.1}, "data": "a"}


class Line(Loop[torch.Tensor]):
    """Fits a line; the curve has the loss of every step, and a checkpoint is due every third step."""

    def __init__(self, steps: int = 8, clip_norm: float = 0.0) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(1, 1)
        super().__init__(
            {"model": self.model},
            torch.optim.AdamW(self.model.parameters()),
            loss=lambda x: (self.model(x) - 3 * x - 1).square().mean(),
            sampler=lambda step: torch.from_numpy(np.random.default_rng(step).normal(size=(4, 1)).astype(np.float32)),
            schedule=loop.cosine(0.1, steps, warmup=2),
            steps=steps,
            clip_norm=clip_norm,
        )

    def note(self, loss: float) -> None:
        self.curve.append([self.done, loss, self.rate])

    def is_due(self) -> bool:
        return self.done % 3 == 0 or self.done == self.steps


def test_a_loop_trains_by_its_loss_sampler_and_schedule() -> None:
    line = Line(200)
    loop.train(line)
    losses = [loss for _, loss, _ in line.curve]
    assert np.mean(losses[-10:]) < 0.01 * np.mean(losses[:10])
    assert [rate for _, _, rate in line.curve] == [line.schedule(step)["lr"] for step in range(200)]
    assert line.seconds > 0


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_stopped_loop_ends_as_if_it_had_not_been(tmp_path: Path, stop: int) -> None:
    whole = Line()
    loop.train(whole, tmp_path / "whole", IDENTITY)
    first, second = Line(), Line()
    loop.train(first, tmp_path / "parts", IDENTITY, stop_after=stop)
    assert loop.read_checkpoint(tmp_path / "parts")["done"] == first.done == stop
    loop.train(second, tmp_path / "parts", IDENTITY)
    assert second.curve == whole.curve
    assert torch.equal(second.model.weight, whole.model.weight)


def test_a_signal_finishes_the_step_and_saves(tmp_path: Path) -> None:
    line = Line()
    line.adjust = lambda: os.kill(os.getpid(), signal.SIGTERM) if line.done == 3 else None  # type: ignore[method-assign]
    before = signal.getsignal(signal.SIGTERM)
    loop.train(line, tmp_path, IDENTITY)
    assert line.done == loop.read_checkpoint(tmp_path)["done"] == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_checkpoint_of_something_else_or_a_damaged_one_is_one_sentence(tmp_path: Path) -> None:
    loop.train(Line(), tmp_path, IDENTITY)
    with pytest.raises(NegutilError, match=r"was made with lr = 0\.1; choose another folder, or delete"):
        loop.train(Line(), tmp_path, {**IDENTITY, "config": {"lr": 0.2}})
    with pytest.raises(NegutilError, match="was made with data = a"):
        loop.train(Line(), tmp_path, {**IDENTITY, "data": "b"})
    (tmp_path / loop.CHECKPOINT).write_bytes(b"torn")
    with pytest.raises(NegutilError, match=r"checkpoint\.pt is damaged; delete it"):
        loop.train(Line(), tmp_path, IDENTITY)


def test_gradients_are_clipped_and_a_loss_without_any_leaves_the_weights() -> None:
    line = Line(1, clip_norm=1e-3)
    line.step()
    gradients = torch.cat([value.grad.flatten() for value in line.model.parameters() if value.grad is not None])
    assert gradients.norm().item() == pytest.approx(1e-3, rel=1e-3)
    fixed = Line()
    before = fixed.model.weight.clone()
    fixed.model.requires_grad_(False)
    fixed.step()
    assert fixed.done == 1
    assert torch.equal(fixed.model.weight, before)


def test_a_loss_that_is_not_finite_is_one_sentence() -> None:
    line = Line()
    torch.nn.init.constant_(line.model.weight, float("inf"))
    with pytest.raises(NegutilError, match=r"The loss is (nan|inf) at step 0; lower `lr` and start again"):
        line.step()


def test_the_schedule_warms_up_and_falls_to_its_floor() -> None:
    rates = [loop.cosine(1.0, 10, 2, floor=0.1)(step)["lr"] for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(0.1)
    assert (np.diff(rates[2:]) < 0).all()
    assert {loop.cosine(0.3, 10, floor=1.0)(step)["lr"] for step in range(10)} == {0.3}
