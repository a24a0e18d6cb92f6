"""Ray gives what this process gives, byte for byte, also where one of its workers is killed meanwhile."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from negutil.bench import encoding
from negutil.bench.encoding import Settings
from negutil.captions import caption_statistics, negation_terms
from negutil.commands import cli
from negutil.data import engines
from negutil.data.engines import Engine
from negutil.errors import NegutilError

RAY = Engine("ray", workers=2)
SETTINGS = Settings("miniclip-s-8", batch=16)
PICTURES, SHARD = 320, 16


@pytest.fixture(scope="module")
def ray(session_cache: Path) -> Iterator[None]:
    """Ray with two workers, for all tests of this file."""
    pytest.importorskip("ray", reason="ray is not installed: pip install -c constraints.txt 'ray[data]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(session_cache))
        patch.setenv("NEGUTIL_NO_PROGRESS", "1")
        with engines.connected(RAY):
            yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with folders of small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        file = folder / f"{number % 3}" / f"{number:03d}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    return folder


@pytest.fixture(scope="module")
def encoded(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local engine makes of the pictures, file by file."""
    out = tmp_path_factory.mktemp("local") / "out"
    made = encoding.run([pictures], out, SETTINGS, shard_size=SHARD)
    assert (made["rows"], len(made["shards"]), made["kept"]) == (PICTURES, PICTURES // SHARD, 0)
    return content(out)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def workers() -> list[psutil.Process]:
    """Processes of Ray below this one that hold an instance of the work."""
    below = psutil.Process().children(recursive=True)
    return [each for each in below if each.is_running() and "MapWorker" in " ".join(_command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.usefixtures("ray")
def test_a_killed_worker_changes_no_byte(pictures: Path, encoded: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed: dict[str, Any] = {}

    def kill() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not list(out.glob("0*.json")):
            time.sleep(0.01)
        before = workers()
        killed.update(done=len(list(out.glob("0*.json"))), pids={each.pid for each in before})
        before[0].kill()
        (out / ".00019.json.killed.part").write_text("{")  # as where the worker was writing

    killer = threading.Thread(target=kill)
    killer.start()
    made = encoding.run([pictures], out, SETTINGS, shard_size=SHARD, engine=RAY)
    killer.join()
    assert len(killed["pids"]) == 2
    assert 1 <= killed["done"] < PICTURES // SHARD - 2
    assert made["kept"] <= 1  # a shard whose worker died after it had written everything
    assert content(out) == encoded


@pytest.mark.usefixtures("ray")
def test_captions_are_counted_alike(tmp_path: Path) -> None:
    for number in range(5):
        texts = [f"a dog with no cat {number}", None, "", "not here, not there", "a cat"] * (number + 1)
        pl.DataFrame({"TEXT": texts}).write_parquet(tmp_path / f"{number}.parquet")
    lists = negation_terms.load()
    here = caption_statistics.count_files([tmp_path], lists, fresh=True)
    there = caption_statistics.count_files([tmp_path], lists, fresh=True, engine=RAY)
    assert json.dumps(caption_statistics.summary(there)) == json.dumps(caption_statistics.summary(here))
    assert (here.rows, here.captions, here.lists["strict"].words) == (75, 45, 45)


@pytest.mark.usefixtures("ray")
def test_what_is_wrong_with_a_shard_is_said_as_by_the_local_engine(tmp_path: Path) -> None:
    pl.DataFrame({"TEXT": ["no dog"]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:50])
    said = []
    for extra in ([], ["--engine", "ray", "--workers", "2"]):
        outcome = CliRunner().invoke(cli.app, ["stats", "captions", str(tmp_path), "--fresh", *extra])
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        said.append(outcome.stderr)
    assert said[0] == said[1]
    assert said[0].count("\n") == 1 and "b.parquet cannot be read as parquet" in said[0]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "spark"}, "no engine 'spark'; there are local, ray"),
        ({"address": "auto"}, "are for the engine ray"),
        ({"workers": 2}, "are for the engine ray"),
        ({"name": "ray", "workers": -1}, "--workers is -1"),
    ],
)
def test_wrong_engines_are_refused(fields: dict, problem: str) -> None:
    with pytest.raises(NegutilError, match=problem):
        Engine(**fields)


def test_without_ray_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a.txt").write_text("no dog\n")
    with pytest.raises(NegutilError, match=r"needs the package ray .*pip install"):
        caption_statistics.count_files([tmp_path], negation_terms.load(), engine=RAY)


def test_no_shards_need_no_engine() -> None:
    assert engines.each(RAY, caption_statistics.FileCounter, {}, []) == []
