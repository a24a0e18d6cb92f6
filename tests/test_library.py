"""The two programs and the command of docs/library.md, run as they stand there (the command on two modules)."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from miniworld import scenes
from negutil import paths

PAGE = (paths.ROOT / "docs" / "library.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(program: str) -> list[str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/library.md", "exec"), {})
    return printed.getvalue().splitlines()


def test_one_image_is_scored_with_two_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scenes.sample(random.Random(0))
    Image.fromarray(scenes.draw(scene)).save(tmp_path / "street.png")
    monkeypatch.chdir(tmp_path)
    lines = run(PROGRAMS[0])
    assert [line[7:] for line in lines] == ["a street with a dog", "a street with no dog"]
    assert all(-1 <= float(line[:5]) <= 1 for line in lines)


def test_a_benchmark_runs_on_a_model_object() -> None:
    lines = run(PROGRAMS[1])
    number = re.compile(r"VALSE existence, .*pairwise accuracy.*: (0\.\d+|1\.000) \[(\S+), (\S+)\], n = (\d+)")
    found = [number.fullmatch(line) for line in lines]
    assert found and all(found)
    for match in filter(None, found):
        value, low, high = map(float, match.groups()[:3])
        assert low <= value <= high and int(match[4]) > 10


def test_the_api_is_made_from_docstrings(tmp_path: Path) -> None:
    """Of two modules here: the pages of all take a minute."""
    pytest.importorskip("pdoc", reason="pdoc is not installed: pip install pdoc")
    (line,) = re.findall(r"^python (-m pdoc .*) negutil$", PAGE, re.MULTILINE)
    command = [sys.executable, *shlex.split(line), "negutil.errors", "negutil.statistics"]
    found = os.pathsep.join([str(paths.ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": found}, check=False)
    assert done.returncode == 0
    page = (tmp_path / "api" / "negutil" / "statistics.html").read_text(encoding="utf-8")
    assert "Mean of <code>a - b</code> over the same items [N]" in page
