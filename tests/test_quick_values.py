"""The check of the quick profile's values: it passes on what is kept, and fails where a value moved or is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from negutil import paths, results

SCRIPT = paths.ROOT / "scripts" / "quick_values.py"
KEPT = paths.ROOT / "tests" / "quick"
LARGEST = 180_000


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Results of a run that agrees with the kept values."""
    for path in KEPT.glob("*.csv"):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False).assign(experiment=path.stem)
        for name, table in rows.groupby("table"):
            (tmp_path / path.stem).mkdir(exist_ok=True)
            whole = table.reindex(columns=list(results.COLUMNS), fill_value="")
            whole.to_csv(tmp_path / path.stem / f"{name}.csv", index=False)
    return tmp_path


def check(folder: Path) -> tuple[int, str]:
    command = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(paths.ROOT)})
    assert not done.stderr
    return done.returncode, done.stdout


def changed(folder: Path, column: str, value: str) -> Path:
    path = folder / "02_binary_probe" / "probe.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[0, column] = value
    rows.to_csv(path, index=False)
    return folder


def test_what_is_kept_is_small_and_about_every_experiment() -> None:
    files = sorted(KEPT.glob("*.csv"))
    assert [path.stem[:2] for path in files] == [f"{number:02}" for number in range(11)]
    assert sum(path.stat().st_size for path in files) <= LARGEST


def test_the_same_values_pass(made: Path) -> None:
    status, told = check(made)
    assert status == 0 and ", 0 within tolerance, 0 beyond" in told


def test_a_value_within_tolerance_passes(made: Path) -> None:
    value = results.read(made / "02_binary_probe" / "probe.csv")["value"].to_numpy(float)[0]
    status, told = check(changed(made, "value", f"{value * 1.0004:.6f}"))
    assert status == 0 and "1 within tolerance, 0 beyond" in told


def test_a_value_beyond_tolerance_fails_and_its_table_is_named(made: Path) -> None:
    status, told = check(changed(made, "value", "0.123"))
    assert status == 1 and "02_binary_probe/probe: 1 of " in told


def test_a_missing_record_or_table_fails(made: Path) -> None:
    assert check(changed(made, "task", "another"))[0] == 1
    (made / "04_captions" / "quality.csv").unlink()
    assert "04_captions/quality: " in check(made)[1]


def test_the_tests_run_it_after_the_notebooks() -> None:
    stages = [line for line in (paths.ROOT / "run_tests.sh").read_text().splitlines() if line.startswith("stage ")]
    at = [number for number, line in enumerate(stages) if "scripts/quick_values.py" in line]
    assert at and '"notebooks"' in stages[at[0] - 1]
