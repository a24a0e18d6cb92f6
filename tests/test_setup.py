"""Setting up: what scripts/environment.sh installs into, when, and what an interruption leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from negutil import paths

HOOK = "negutil/models/torchvision_compat.py"
# The installation itself is replaced, and pip left out: these tests are about when it happens, not about pip.
SET_UP = """
set -euo pipefail
source "{clone}/scripts/environment.sh"
new_venv() {{ "$1" -m venv --clear --without-pip "$VENV"; }}
install() {{ echo "installing" >> "{clone}/log"; {outcome}; }}
set_up
echo "$PYTHON"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that setting up depends on, in a folder of their own."""
    for name in ("scripts/environment.sh", "pyproject.toml", "constraints.txt", HOOK):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / name, tmp_path / name)
    return tmp_path


def set_up(clone: Path, outcome: str = "true", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "CONDA_PREFIX"}
    return subprocess.run(
        ["bash", "-c", SET_UP.format(clone=clone, outcome=outcome)],
        env={**inherited, "NEGUTIL_PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def installations(clone: Path) -> int:
    log = clone / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_installs_once_and_again_after_a_failure_a_kill_or_new_pins(clone: Path) -> None:
    failed = set_up(clone, "false")
    assert failed.returncode == 1
    assert "did not finish" in failed.stderr
    killed = set_up(clone, "kill -9 $$")
    assert killed.returncode == -9
    done = set_up(clone)
    assert done.stdout.strip() == str(clone / ".venv" / "bin" / "python")
    assert installations(clone) == 3
    again = set_up(clone)
    assert again.stdout == done.stdout
    assert again.stderr == ""
    assert installations(clone) == 3
    with (clone / "constraints.txt").open("a") as pins:
        pins.write("one-more==1.0\n")
    assert set_up(clone).returncode == 0
    assert installations(clone) == 4


def test_an_environment_that_is_there_gets_the_hook_for_torchvision_and_its_changes(clone: Path) -> None:
    set_up(clone)
    for _ in range(2):
        (copy,) = (clone / ".venv").rglob("negutil_torchvision_compat.py")
        copy.unlink()
        copy.with_suffix(".pth").unlink()
        with (clone / HOOK).open("a") as module:
            module.write("# changed\n")
        assert set_up(clone).returncode == 0
        assert copy.read_bytes() == (clone / HOOK).read_bytes()
    assert installations(clone) == 1
    python = clone / ".venv" / "bin" / "python"
    told = subprocess.check_output([python, "-c", "import sys; print(*map(type, sys.meta_path))"], text=True)
    assert "negutil_torchvision_compat._Hook" in told


def test_the_hook_imports_nothing_that_makes_every_start_of_python_slower() -> None:
    code = f"""
import sys
before = set(sys.modules)
sys.path.insert(0, {str((paths.ROOT / HOOK).parent)!r})
import torchvision_compat
torchvision_compat.install()
print(*sorted(set(sys.modules) - before))
"""
    told = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True)
    assert told.split() == ["__future__", "torchvision_compat"]


def test_an_active_conda_environment_with_the_packages_is_used(clone: Path) -> None:
    done = set_up(clone, CONDA_PREFIX=sys.prefix)
    assert done.stdout.strip() == f"{sys.prefix}/bin/python"
    assert installations(clone) == 0
    assert not (clone / ".venv").exists()


def test_a_conda_environment_without_the_packages_is_not_used(clone: Path) -> None:
    done = set_up(clone, CONDA_PREFIX=str(clone / "elsewhere"))
    assert done.stdout.strip() == str(clone / ".venv" / "bin" / "python")
    assert installations(clone) == 1


def test_no_suitable_python_is_one_sentence(clone: Path) -> None:
    done = set_up(clone, NEGUTIL_PYTHON="/no/such/python")
    assert done.returncode == 1
    assert "No Python 3.11 or later" in done.stderr
    assert installations(clone) == 0
