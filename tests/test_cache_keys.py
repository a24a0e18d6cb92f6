"""What one process keeps another finds, whatever the order of its sets: no key depends on PYTHONHASHSEED."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from negutil import cache, files, paths

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "support" / "cache_keys.py"
KIND = re.compile(r'"kind": f?"([^"]+)",\s+"code_version"')


@dataclass(frozen=True)
class Run:
    """What a process printed, and the sha256 of each file that is in the cache after it."""

    printed: dict[str, object]
    kept: dict[str, str]


def run(folder: Path, hash_seed: int) -> Run:
    environment = {**os.environ, "NEGUTIL_CACHE": str(folder), "NEGUTIL_PROFILE": "quick"}
    environment["PYTHONHASHSEED"] = str(hash_seed)
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return Run(json.loads(done.stdout), {path.relative_to(folder).as_posix(): files.sha256(path) for path in kept})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def runs(folder: Path) -> tuple[Run, Run]:
    """Two runs with one cache; the order of sets differs between them."""
    return run(folder, 1), run(folder, 2)


def test_a_second_process_makes_nothing_again(runs: tuple[Run, Run]) -> None:
    first, second = runs
    # Whatever takes long has a note with the time at which it was made.
    assert second.kept == first.kept


def test_keys_and_digests_of_two_processes_are_the_same(runs: tuple[Run, Run]) -> None:
    first, second = runs
    assert second.printed == first.printed


def test_every_kind_of_key_was_made(runs: tuple[Run, Run], folder: Path) -> None:
    made = {entry["fields"]["kind"] for entry in cache.Cache(folder / "arrays").entries()} | set(runs[0].printed)
    code = "\n".join(path.read_text(encoding="utf-8") for path in paths.PACKAGE.rglob("*.py"))
    kinds = [kind.replace("{kind}", ".*") for kind in KIND.findall(code)]
    assert len(kinds) >= 8
    assert [kind for kind in kinds if not any(re.fullmatch(kind, one) for one in made)] == []
    for place in ("data", "finetuned", "glasses", "journals", "encoded", "datasets"):
        assert any(name.startswith(f"{place}/") for name in runs[0].kept), place
    assert "replies.jsonl" in runs[0].kept
