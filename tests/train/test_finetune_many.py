from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import finetune_files
import model_files
import pytest

from negutil.errors import NegutilError
from negutil.models import loader, processes, registry, trained
from negutil.models.registry import Entry
from negutil.train import finetune as module
from negutil.train.finetune import Job, Stopped, Trainer, finetune, finetune_many

SMALL = "MiniCLIP-S-8"  # fresh processes do not know the tiny architecture of the tests
CONFIG = dataclasses.replace(finetune_files.CONFIG, epochs=1)


@pytest.fixture(autouse=True)
def same_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One environment for all tests, so that they share processes: each takes seconds to begin."""
    for name in ("NEGUTIL_RESULTS", "NEGUTIL_FIGURES"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / "side_by_side"))


@pytest.fixture(autouse=True, scope="module")
def closed() -> Iterator[None]:
    yield
    processes.close()


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A model with random weights, which the registry of this test finds under any name."""
    (tmp_path / "base").mkdir()
    found = model_files.write(tmp_path / "base", model_files.state(architecture=SMALL), architecture=SMALL)
    monkeypatch.setattr(registry, "find", lambda name: found)
    return found


@pytest.fixture
def jobs(tmp_path: Path, entry: Entry) -> list[Job]:
    examples = finetune_files.examples(dimensions=128)
    return [
        Job("tiny", examples, dataclasses.replace(CONFIG, seed=seed), tmp_path / f"seed{seed}") for seed in range(3)
    ]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(jobs: list[Job], entry: Entry, tmp_path: Path) -> None:
    found = finetune_many(jobs, processes=2)
    assert [one.folder for one in found] == [job.out for job in jobs]
    assert len({one.sha256 for one in found}) == 3
    alone = finetune(loader.load_entry(entry), jobs[1].examples, jobs[1].config, tmp_path / "alone")
    assert alone.sha256 == found[1].sha256


def test_finished_jobs_start_no_process(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    first = finetune_many(jobs[:2], processes=1)
    calls: list[Path] = []

    def run(entry: Entry, job: Job) -> str:
        calls.append(job.out)
        return whole(entry, job)

    whole: Callable[[Entry, Job], str] = module._run_job
    monkeypatch.setattr(module, "_run_job", run)
    assert [one.sha256 for one in finetune_many(jobs, processes=1)[:2]] == [one.sha256 for one in first]
    assert calls == [jobs[2].out]
    changed = dataclasses.replace(jobs[0], config=dataclasses.replace(CONFIG, lr=1e-3))
    with pytest.raises(NegutilError, match=r"was made with lr = 0\.003"):
        finetune_many([changed], processes=1)
    replaced = finetune_many([dataclasses.replace(changed, replace=True)], processes=1)
    assert replaced[0].sha256 != first[0].sha256


def test_an_interruption_keeps_what_is_finished(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def interrupt(self: Trainer) -> None:
        step(self)
        if self.config.seed == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "step", interrupt)
    with pytest.raises(Stopped, match="Stopped after step 1 of 4"):
        finetune_many(jobs, processes=1)
    assert [trained.find(job.out) is not None for job in jobs] == [True, False, False]
    monkeypatch.setattr(Trainer, "step", step)
    assert len(finetune_many(jobs, processes=1)) == 3


def test_an_error_in_another_process_is_one_sentence(jobs: list[Job]) -> None:
    hopeless = dataclasses.replace(jobs[0], config=dataclasses.replace(CONFIG, lr=1e30, warmup=0))
    with pytest.raises(NegutilError, match="The loss is nan"):
        finetune_many([hopeless, jobs[1]], processes=2)
    assert trained.find(jobs[1].out) is not None, "the other one at work came to its end"


def test_two_jobs_cannot_share_a_folder(jobs: list[Job]) -> None:
    with pytest.raises(NegutilError, match="have the same folder"):
        finetune_many([jobs[0], jobs[0]])
