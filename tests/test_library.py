"""The two programs of docs/library.md, run as they stand there."""

from __future__ import annotations

import contextlib
import io
import random
import re
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
