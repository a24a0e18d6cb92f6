"""The blocks of docs/extending.md, put into a copy of the repository and run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import model_files
import pandas as pd
import pytest
from PIL import Image

from negutil import files, paths
from negutil.tasks import pairwise

PAGE = paths.ROOT / "docs" / "extending.md"
LONGEST = 20
BLOCK = re.compile(r"^```(?:python|toml)\n# (?P<where>[^\n]+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)

BEFORE = """
import json, sys
from pathlib import Path
from negutil import config
from negutil.compare import claims
from negutil.data import absent
from negutil.errors import NegutilError
from negutil.tasks import suite
from negutil.compare import negationclip
from negutil.models import loader, registry

def complaint(call, *arguments):
    try:
        call(*arguments)
    except NegutilError as problem:
        return str(problem)
    return ""

folder = Path(sys.argv[1])
told = {"models": list(registry.entries()), "names": suite.names()}
told["without sha256"] = complaint(loader.load, "my-clip")
table = Path(sys.argv[2])
before, after = table.read_text().split("[my-clip]")
table.write_text(before + "[my-clip]" + after.replace('sha256 = ""', f'sha256 = "{sys.argv[3]}"'))
told["damaged"] = [complaint(absent.load, folder / name) for name in ("no.json", "lacks.json", "empty.json")]
told["lost"] = complaint(absent.load, folder / "absent.json", folder)
"""
"""What is asked before those blocks of the page that are to be run."""

AFTER = """
told["rules"] = {name: len(frames["Absent things"]) for name, frames in suite.rules(data).items()}
told["chance"] = suite.chance(data)
told["metric"] = negationclip.METRICS["Absent things"]
told["verdicts"] = [verdict.verdict for verdict in verdicts]
Path(folder / "told.json").write_text(json.dumps(told))
"""


def blocks() -> list[tuple[str, str]]:
    """Where each block of the page belongs, and its code."""
    return [(match["where"], match["code"]) for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def code_of(*ends: str) -> list[str]:
    return [code for where, code in blocks() if where.endswith(ends)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its settings with every block of the page in its place, and a checkpoint."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(paths.PACKAGE, root / "negutil", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copytree(paths.ROOT / "miniworld", root / "miniworld", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "negutil" / "models" / "weights").symlink_to(paths.WEIGHTS)
    shutil.copytree(paths.ROOT / "configs", root / "configs")
    (root / "weights").mkdir()
    shutil.copy(paths.WEIGHTS / "miniclip-s-8.safetensors", root / "weights" / "my_clip.safetensors")
    for where, code in blocks():
        place = root / where.partition(",")[0]
        if where.endswith(".toml"):
            place.write_text(place.read_text(encoding="utf-8") + "\n" + code, encoding="utf-8")
        elif where.endswith(".py"):
            assert not place.exists(), f"{where} is there already: the page would overwrite it"
            place.write_text(code, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures in the new format, and damaged files."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "absent"
    (folder / "images").mkdir(parents=True)
    entries = []
    for row, pixels in enumerate(model_files.pictures(12)):
        Image.fromarray(pixels).save(folder / "images" / f"{row}.png")
        there, absent = ("dog", "cat") if row % 2 else ("car", "tree")
        entries.append({"image": f"{row}.png", "there": there, "absent": absent})
    (folder / "absent.json").write_text(json.dumps(entries))
    (folder / "lacks.json").write_text(json.dumps([{"image": "0.png", "there": "dog"}]))
    (folder / "empty.json").write_text("[]")
    return root


@pytest.fixture(scope="module")
def told(copy: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the copy answers, in a process of its own."""
    work = tmp_path_factory.mktemp("work")
    (work / "ask.py").write_text("\n".join([BEFORE, *code_of("run"), AFTER]))
    sha256 = files.sha256(copy / "weights" / "my_clip.safetensors")
    arguments = [data / "absent", copy / "configs" / "models.toml", sha256]
    places = {
        "PYTHONPATH": copy,
        "NEGUTIL_DATA": data,
        "NEGUTIL_CACHE": work / "cache",
        "NEGUTIL_RESULTS": copy / "results",
    }
    environment = {**os.environ, **{name: str(value) for name, value in places.items()}}
    run = [sys.executable, work / "ask.py", *arguments]
    command = [str(part) for part in run]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((data / "absent" / "told.json").read_text())
    return found | {"sha256": sha256, "printed": done.stdout}


def test_every_block_is_short_and_all_kinds_are_there() -> None:
    found = blocks()
    fences = re.findall(r"^```\w", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == len(fences), "a block does not say where it belongs"
    wanted = {"models.toml", "data/absent.py", "tasks/absent.py", "claims.toml", "run"}
    assert all(any(where.endswith(end) for where, _ in found) for end in wanted)
    for where, code in found:
        assert len([line for line in code.splitlines() if line.strip()]) <= LONGEST, where


def test_a_model_is_in_the_registry_and_asks_for_its_sha256(told: dict) -> None:
    assert "my-clip" in told["models"]
    assert told["sha256"] in told["without sha256"]


def test_a_loader_says_what_is_wrong(told: dict) -> None:
    missing, lacks, empty = told["damaged"]
    assert "no.json" in missing
    assert "lacks.json" in lacks and "absent" in lacks
    assert "empty.json" in empty
    assert "0.png" in told["lost"]


def test_a_task_is_in_the_suite_with_chance_and_rules(told: dict) -> None:
    assert told["names"][-1] == "Absent things"
    assert told["chance"] == {"Absent things": 0.5}
    assert set(pairwise.RULES) <= set(told["rules"])
    assert set(told["rules"].values()) == {12}
    assert told["metric"] == pairwise.METRIC, "notebooks 05 and 06 show it"


def test_its_scores_and_records_are_written(told: dict, copy: Path) -> None:
    folder = copy / "results" / "quick" / "mine"
    answers = pd.read_parquet(folder / "absent.parquet")
    assert (len(answers), set(answers["model"])) == (12, {"my-clip"})
    records = pd.read_csv(folder / "absent.csv")
    (record,) = records.to_dict("records")
    assert record["value"] == pytest.approx(answers["right"].mean())
    assert record["ci_low"] <= record["value"] <= record["ci_high"]
    assert record["n"] == 12


def test_a_claim_is_judged_from_the_results(told: dict, copy: Path) -> None:
    (record,) = pd.read_csv(copy / "results" / "quick" / "mine" / "absent.csv").to_dict("records")
    below, above = record["ci_high"] < 0.5, record["ci_low"] >= 0.5
    expected = "replicated" if below else "not replicated" if above else "inconclusive"
    assert told["verdicts"] == [expected]
    assert expected in told["printed"]
