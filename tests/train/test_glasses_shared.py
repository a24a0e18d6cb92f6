"""Stages that pairs of glasses share: their key is what they read, and a shared one is as a trained one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import glasses_files
import pytest
import torch

from negutil.models import glasses_settings
from negutil.train import glasses as training
from negutil.train.glasses import Run, shared_keys
from negutil.train.recipes import TRAINING_DIFFERENCES
from negutil.train.settings import STAGES

DATA = glasses_files.data(hard=True)
NAME = "tiny+clipglasses/seed0"
CHANGES: dict[str, dict[str, Any]] = {
    **{name: {"modules": changes} for name, changes in glasses_settings.DIFFERENCES.items()},
    **{f"without {name}": {"modules": changes} for name, changes in glasses_settings.ABLATIONS.items()},
    **{name: changes for name, changes in TRAINING_DIFFERENCES.items() if "lens_set" not in changes},
    "another classifier": {"modules": {"gate_dropout": 0.5}},
    "another seed": {"seed": 1},
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))


def after(changes: dict[str, Any], stage: str) -> dict[str, torch.Tensor]:
    """The weights that a stage leaves behind in its own part."""
    run = Run(DATA, glasses_files.config(**changes))
    while run.stage <= STAGES.index(stage):
        glasses_files.advance(run)
    return {name: one for name, one in run.glasses.state_dict().items() if name.startswith(f"{stage}.")}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", CHANGES)
def test_runs_with_one_key_end_the_stage_with_the_same_weights(name: str) -> None:
    plain = shared_keys(DATA, None, glasses_files.config())
    own = shared_keys(DATA, None, glasses_files.config(**CHANGES[name]))
    for stage in training.READ:
        if own[stage] == plain[stage]:
            assert equal(after(CHANGES[name], stage), after({}, stage))


def test_what_changes_a_stage_changes_its_key() -> None:
    plain = shared_keys(DATA, None, glasses_files.config())
    shared = {name: shared_keys(DATA, None, glasses_files.config(**own)) for name, own in CHANGES.items()}
    assert {name for name, own in shared.items() if own["gate"] != plain["gate"]} == {
        "another classifier",
        "another seed",
    }
    lens = {name for name, own in shared.items() if own["lens"] == plain["lens"]}
    assert {"three encoder layers", "without cross-modal context", "no fourth term", "another classifier"} <= lens
    assert {"softmax over the batch", "scalar gate", "without residual gating", "delta is 1"}.isdisjoint(lens)
    other = shared_keys(DATA, glasses_files.data(seed=1), glasses_files.config())
    assert (other["gate"] == plain["gate"], other["lens"] == plain["lens"]) == (True, False)


def test_a_pair_that_shares_stages_ends_as_one_that_trained_them(monkeypatch: pytest.MonkeyPatch) -> None:
    job = glasses_files.job(NAME)
    alone = training.train(job)
    step, trained = Run.step, []

    def counted(run: Run) -> float:
        trained.append(run.name)
        return step(run)

    monkeypatch.setattr(Run, "step", counted)
    again = training.train(replace(job, name="tiny+clipglasses-again/seed0"))
    assert set(trained) == {"frame", "joint"}
    assert again.sha256 == alone.sha256
    assert again.curve().equals(alone.curve())
