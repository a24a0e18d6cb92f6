"""Other folders and variables for a while, and products that do not depend on how many processors there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from negutil import paths

PRODUCT = """
import hashlib, numpy as np
rng = np.random.default_rng(0)
left, right = rng.standard_normal((700, 300), np.float32), rng.standard_normal((300, 700), np.float32)
print(hashlib.sha256(left @ right).hexdigest())
"""


def test_what_was_before_comes_back_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_TEST_THERE", "before")
    monkeypatch.delenv("NEGUTIL_TEST_NEW", raising=False)
    with pytest.raises(ZeroDivisionError), paths.variables(NEGUTIL_TEST_THERE="meanwhile", NEGUTIL_TEST_NEW="new"):
        assert (os.environ["NEGUTIL_TEST_THERE"], os.environ["NEGUTIL_TEST_NEW"]) == ("meanwhile", "new")
        raise ZeroDivisionError
    assert os.environ["NEGUTIL_TEST_THERE"] == "before"
    assert "NEGUTIL_TEST_NEW" not in os.environ


def test_folders_are_those_that_paths_gives(tmp_path: Path) -> None:
    before = paths.results("mini"), paths.cache()
    with paths.folders(results=tmp_path / "r", figures=tmp_path / "f", cache=tmp_path / "c"):
        found = paths.results("mini"), paths.figures("mini"), paths.cache()
        assert found == (tmp_path / "r" / "mini", tmp_path / "f" / "mini", tmp_path / "c")
    assert (paths.results("mini"), paths.cache()) == before


def test_products_are_the_same_with_one_thread_and_with_many() -> None:
    with paths.variables(**paths.ONE_THREAD):
        told = [
            subprocess.check_output([sys.executable, "-c", PRODUCT], env={**os.environ, "OMP_NUM_THREADS": threads})
            for threads in ("1", "2")
        ]
    assert told[0] == told[1]
