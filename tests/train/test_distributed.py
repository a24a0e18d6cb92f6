"""Two processes that share a batch out must do what one process does with the whole of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import distributed_step
import finetune_files
import model_files
import pandas as pd
import pytest
import safetensors.torch
import torch

from negutil import paths
from negutil.models import loader, trained
from negutil.train.distributed import World, world
from negutil.train.finetune import finetune
from negutil.train.settings import METHODS


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights, and what two processes under torchrun found with them."""
    folder = tmp_path_factory.mktemp("distributed")
    model_files.write(folder)
    here = paths.ROOT / "tests" / "support"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(here / "distributed_step.py"), str(folder / "weights.safetensors"), str(folder), *METHODS]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(paths.ROOT), str(here)]),
        "OMP_NUM_THREADS": "1",
        "NEGUTIL_NO_PROGRESS": "1",
        "NEGUTIL_CACHE": str(folder / "cache"),
    }
    done = subprocess.run([*torchrun, *script], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_the_loss_and_the_gradients_of_one(outcome: Path, method: str) -> None:
    alone = distributed_step.measure(outcome / "weights.safetensors", method, World())
    assert alone["loss"] > 0
    assert len(alone) > 10
    for rank in range(2):
        found = torch.load(outcome / f"{method}.{rank}.pt", weights_only=True)
        assert found.keys() == alone.keys()
        for name, value in alone.items():
            assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-6), name


def test_a_fine_tuning_by_two_processes_is_that_of_one(outcome: Path, tmp_path: Path) -> None:
    base = loader.load_entry(model_files.entry(outcome / "weights.safetensors"))
    config = dataclasses.replace(distributed_step.CONFIG, method=METHODS[0])
    alone = finetune(base, finetune_files.examples(), config, tmp_path / "run")
    found = trained.find(outcome / "run")
    assert found is not None
    assert found.identity == alone.identity
    assert found.about["epoch"] == alone.about["epoch"]
    before, after = (pd.read_csv(one.folder / trained.CURVE) for one in (alone, found))
    pd.testing.assert_frame_equal(before, after, rtol=1e-4)
    one, other = (safetensors.torch.load_file(each.folder / trained.TENSORS) for each in (alone, found))
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-4) for name in one)


@pytest.mark.slow
def test_the_command_trains_in_two_processes(session_cache: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    name = "miniclip-s-8+negationclip/seed9"
    command = ["-m", "negutil", "finetune", name, "--profile", "quick", "--json"]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, *command], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    found = trained.read(name, "quick")
    assert (told["model"], told["processes"]) == (name, 2)
    assert (told["folder"], told["sha256"]) == (str(found.folder), found.sha256)
    assert found.folder.is_relative_to(session_cache)
    shutil.rmtree(found.folder)


def test_without_torchrun_a_process_is_alone() -> None:
    assert world() == World(rank=0, size=1)
    assert world().writes
    assert world().any(True, "cpu") is True
    assert world().any(False, "cpu") is False
