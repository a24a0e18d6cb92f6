"""Trainings of glasses on disk: finished, stopped, replaced, side by side, damaged."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import glasses_files
import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import glasses_model
from negutil.models.glasses_model import TrainedGlasses
from negutil.train import glasses as training
from negutil.train.glasses import GlassesJob, Run
from negutil.train.loop import Stopped, write_checkpoint

NAME = "tiny+clipglasses/seed0"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))


def job(name: str = NAME, **changes: object) -> GlassesJob:
    return replace(glasses_files.job(name), config=glasses_files.config(**changes))


def weights(found: TrainedGlasses) -> dict[str, torch.Tensor]:
    return glasses_model.tensors(found)


def test_a_finished_pair_has_weights_curve_and_facts_and_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = training.train(job())
    about = found.about
    assert (found.base, about["examples"], about["scale"], about["modules"]["width"]) == ("tiny", 128, 20.0, 16)
    assert found.curve()["stage"].unique().tolist() == ["gate", "lens", "frame", "joint"]
    assert not (found.folder / training.CHECKPOINT).exists()
    assert set(weights(found)) == set(Run(job().data, job().config).glasses.state_dict())
    monkeypatch.setattr(Run, "step", None)
    assert training.train(job()).sha256 == found.sha256
    assert training.train_many([NAME], job, "quick", 1)[0].sha256 == found.sha256


def test_other_settings_replace_what_is_there() -> None:
    first, second = training.train(job()), training.train(job(seed=1))
    assert first.sha256 != second.sha256
    assert glasses_model.read(NAME, "quick").about["identity"]["config"]["seed"] == 1


def test_a_stop_saves_and_the_next_call_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = training.train(job())
    curve = whole.curve()
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "other"))
    step = Run.step

    def interrupted(run: Run) -> float:
        loss = step(run)
        if run.name == "lens" and run.epoch == 1 and not run.can_stop():
            signal.raise_signal(signal.SIGINT)  # inside the last epoch, which is finished before the run stops
        return loss

    monkeypatch.setattr(Run, "step", interrupted)
    with pytest.raises(Stopped, match=r"Stopped at stage 'frame', epoch 0 and saved"):
        training.train(job())
    monkeypatch.setattr(Run, "step", step)
    assert glasses_model.find(NAME, "quick") is None
    resumed = training.train(job())
    assert resumed.sha256 == whole.sha256
    assert resumed.curve().equals(curve)


def test_a_checkpoint_of_something_else_is_not_gone_on_with() -> None:
    wanted = training.train(job("tiny+clipglasses/seed1"))
    run = Run(job(seed=7).data, job(seed=7).config)
    glasses_files.advance(run)
    out = glasses_model.folder(NAME, "quick")
    write_checkpoint(out, run.state() | {"identity": job(seed=7).identity})
    assert training.train(job()).sha256 == wanted.sha256


@pytest.mark.slow
def test_two_side_by_side_are_as_one_after_the_other() -> None:
    names = [f"tiny+clipglasses/seed{seed}" for seed in range(2)]
    found = training.train_many(names, glasses_files.job, "quick", processes=2)
    assert [one.name for one in found] == names
    alone = training.train(glasses_files.job("tiny+clipglasses-again/seed1"))
    assert alone.sha256 == found[1].sha256
    assert alone.sha256 != found[0].sha256


def test_damage_is_one_sentence() -> None:
    found = training.train(job())
    (found.folder / glasses_model.TENSORS).write_bytes(b"other")
    with pytest.raises(NegutilError, match="not the file that was written"):
        glasses_model.tensors(found)
    (found.folder / glasses_model.ABOUT).write_text("{}")
    with pytest.raises(NegutilError, match="does not describe glasses"):
        glasses_model.read(NAME, "quick")
    (found.folder / glasses_model.ABOUT).write_text("{")
    with pytest.raises(NegutilError, match="cannot be read"):
        glasses_model.read(NAME, "quick")
    glasses_model.remove(found.folder)
    with pytest.raises(NegutilError, match="no trained glasses 'tiny"):
        glasses_model.read(NAME, "quick")
    (found.folder / training.CHECKPOINT).write_bytes(b"other")
    with pytest.raises(NegutilError, match="is damaged; delete it"):
        training.train(job())


@pytest.mark.parametrize(
    ("name", "base", "recipe"),
    [
        ("b-8+clipglasses/seed0", "b-8", "clipglasses"),
        ("b-8+negationclip/seed0+clipglasses-ccneg/seed2", "b-8+negationclip/seed0", "clipglasses-ccneg"),
    ],
)
def test_names_say_base_and_recipe(name: str, base: str, recipe: str) -> None:
    assert glasses_model.is_name(name)
    assert (glasses_model.base_of(name), glasses_model.recipe_of(name)) == (base, recipe)


@pytest.mark.parametrize(
    "name", ["b-8", "b-8+negationclip/seed0", "b+clipglasses", "../b+clipglasses/..", "b+c/clipglasses/s"]
)
def test_other_names_are_none(name: str) -> None:
    assert not glasses_model.is_name(name) or ".." in name
    with pytest.raises(NegutilError, match="is no name of glasses"):
        glasses_model.folder(name, "quick")
