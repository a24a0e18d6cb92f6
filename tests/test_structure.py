"""The structure of the code: no circle of imports, none upwards, and cache keys that follow from the code."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from negutil import code, paths
from negutil.models import encode

SCRIPT = paths.ROOT / "scripts" / "measure.py"


def test_there_is_no_circle_of_imports_and_none_upwards() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert "circle of imports: none" in done.stdout
    assert "imports upwards: 0" in done.stdout


def test_the_script_finds_a_circle_and_an_import_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("measure", SCRIPT)
    assert spec and spec.loader
    measure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measure)
    edges = {"negutil.data.a": {"negutil.run.b"}, "negutil.run.b": {"negutil.data.a"}}
    assert set(measure.circle(edges)) == set(edges)
    assert measure.upwards(edges) == [("negutil.data.a", "negutil.run.b")]
    assert measure.circle({"negutil.data.a": set()}) == []


# --------------------------------------------------------------------------------------------------------------------
# Cache keys


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package in which ``answers`` reaches ``middle``, that reaches ``far`` inside a function; ``other`` is apart."""
    folder = tmp_path / "chained"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "answers": "from chained import middle\n\n\ndef answer():\n    return middle.double(1)\n",
        "middle": '"""Doubles."""\n\n\ndef double(x):\n    from chained.far import SCALE\n\n    return SCALE * x\n',
        "far": "SCALE = 2\n",
        "other": "X = 1\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "PROJECT", ("chained",))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "chained"]:
        del sys.modules[name]


def fingerprint() -> str:
    importlib.invalidate_caches()
    code.imports.cache_clear()
    code.tree_sha256.cache_clear()
    return code.fingerprint("chained.answers")


def test_a_key_reaches_what_is_imported_anywhere(project: Path) -> None:
    assert code.reached("chained.answers") == {"chained", "chained.answers", "chained.middle", "chained.far"}


@pytest.mark.parametrize("name", ["answers", "middle", "far"])
def test_a_change_in_the_chain_gives_another_key(project: Path, name: str) -> None:
    before, path = fingerprint(), project / f"{name}.py"
    path.write_text(path.read_text().replace("2", "3").replace("1", "4").replace("SCALE * x", "SCALE + x"))
    assert fingerprint() != before


def test_comments_docstrings_and_modules_apart_give_the_same_key(project: Path) -> None:
    before, middle = fingerprint(), project / "middle.py"
    middle.write_text(
        "# A comment.\n" + middle.read_text().replace("Doubles.", "Another sentence.").replace("\n\n\n", "\n")
    )
    (project / "other.py").write_text("X = 2\n")
    assert fingerprint() == before


def test_features_reach_the_loader_and_no_notebook() -> None:
    reached = code.reached(encode.__name__)
    assert {"negutil.models.loader", "negutil.models.precision"} <= reached
    assert not [name for name in reached if name.startswith(("negutil.run", "negutil.plots", "negutil.report"))]
