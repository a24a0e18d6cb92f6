"""Two runs on one machine, each with an empty cache, give the same bytes; times apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "support" / "same_twice.py"
NOT_COMPARED = ("started", "seconds", "commit", "dirty")
"""Of provenance: when it was made, and what the clone is like, which may be edited meanwhile."""

KINDS = {".csv", ".parquet", ".json", ".safetensors"}


def start(folder: Path, hash_seed: int) -> subprocess.Popen[str]:
    """Start a run with folders of its own; texts are hashed otherwise in each, so the order of sets differs."""
    own = {f"NEGUTIL_{name.upper()}": str(folder / name) for name in ("cache", "results", "figures")}
    environment = {**os.environ, **own, "NEGUTIL_PROFILE": "quick", "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.Popen([sys.executable, str(SCRIPT)], env=environment, stderr=subprocess.PIPE, text=True)


def made(folder: Path) -> dict[str, bytes]:
    """Every table, item, provenance, manifest and tensor that a run left, by name; times taken out."""
    roots = [folder / "results", folder / "cache" / "data", folder / "cache" / "trained"]
    files = sorted(path for root in roots for path in root.rglob("*") if path.suffix in KINDS)
    return {path.relative_to(folder).as_posix(): content(path) for path in files}


def content(path: Path) -> bytes:
    """The bytes of a file, or of what is compared of it."""
    if not path.name.endswith(("provenance.json", "trained.json")):
        return path.read_bytes()
    return json.dumps(compared(json.loads(path.read_text(encoding="utf-8")))).encode()


def compared(facts: Any) -> Any:
    """The facts without times, at whatever depth."""
    if isinstance(facts, dict):
        return {name: compared(fact) for name, fact in facts.items() if name not in NOT_COMPARED}
    return facts


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    runs = [start(folder, seed) for seed, folder in enumerate(folders, start=1)]
    for run in runs:
        _, told = run.communicate()
        assert run.returncode == 0, told
    return [made(folder) for folder in folders]


def test_both_runs_leave_the_same_files(two_runs: list[dict[str, bytes]]) -> None:
    first, second = two_runs
    assert list(first) == list(second)
    for kind in (".csv", ".parquet", "provenance.json", "manifest.json", "text_tower.safetensors"):
        assert any(name.endswith(kind) for name in first), kind


def test_both_runs_leave_the_same_bytes(two_runs: list[dict[str, bytes]]) -> None:
    first, second = two_runs
    assert [name for name in first if first[name] != second[name]] == []
