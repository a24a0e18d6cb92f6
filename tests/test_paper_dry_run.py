"""Notebooks 01, 02, 03, 05 and 06 in the paper profile, over real photographs, captions and NegBench rows, in small.

The model has random weights, so no number is above chance. Nothing but the amounts (``paper_files.CHANGES``) differs
from a run over the published data of which somebody has a part.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import paper_files
import pytest
from data_files import listing

from negutil import paths, results
from negutil.report import chapters, pages
from negutil.run import notebooks

EXPERIMENTS = ("01_web_captions", "02_binary_probe", "03_negbench", "05_negationclip", "06_clipglasses")
pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def root(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of all runs: data, configs, cache, results and figures, which the environment points to."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "data").mkdir()
    paper_files.write(shared_data, folder / "data")
    paper_files.configs(folder / "configs")
    before = listing(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("data", "configs", "cache", "results", "figures"):
            patch.setenv(f"NEGUTIL_{name.upper()}", str(folder / name))
        yield folder
    assert listing(folder / "data") == before  # nothing is written beside published data


@pytest.fixture(scope="module")
def executed(root: Path) -> dict[str, str]:
    """What each notebook told when it was run, after the one before it."""
    return {experiment: execute(experiment) for experiment in EXPERIMENTS}


def execute(experiment: str) -> str:
    """Run the notebook of an experiment in the paper profile and give what the terminal would show."""
    stream = io.StringIO()
    notebooks.run(chapters.choose(chapters.find(), experiment[:2]), "paper", stream=stream)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def its_results(root: Path, executed: dict[str, str], private_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the tables of those runs."""
    monkeypatch.setenv("NEGUTIL_RESULTS", str(root / "results"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_notebook_runs_to_its_end_and_draws(experiment: str, root: Path, executed: dict[str, str]) -> None:
    told = executed[experiment]
    assert "done: " in told
    assert "Skipped" not in told, told
    assert len(list((root / "figures" / "paper" / experiment).glob("*.png"))) >= (8 if experiment > "03" else 2)
    (path,) = (paths.results("paper") / "notebooks").glob(f"{experiment[:2]}_*.ipynb")
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_an_untrained_model_is_not_above_chance() -> None:
    table = results.load("paper", "03_negbench", "tasks")
    questions = number(table, "COCO MCQ, paraphrased", "accuracy")
    assert questions["ci_low"] <= 0.25
    assert questions["n"] >= 20
    for wording in ("plain", "paraphrased"):
        about = (f"COCO retrieval, {wording}", "recall@5")
        own, chance = number(table, *about), number(table, *about, model="chance")["value"]
        assert own["ci_low"] - 0.05 <= chance <= own["ci_high"] + 0.05
    claims = number(results.load("paper", "03_negbench", "claims"), "objects/all claims", "AUC")
    assert claims["ci_low"] <= 0.5


def number(table: pd.DataFrame, task: str, metric: str, model: str = paper_files.MODEL) -> dict[Any, Any]:
    """The one record of a task, metric and model."""
    (row,) = table[(table["task"] == task) & (table["metric"] == metric) & (table["model"] == model)].to_dict("records")
    return row


def test_a_few_steps_of_training_teach_nothing() -> None:
    levels = results.load("paper", "05_negationclip", "levels")
    methods = {task.partition("/")[2] for task in levels["task"]}
    assert {"CLIP", "plain", "con-clip", "negationclip", "negationclip-leaked"} <= methods
    questions = levels[levels["task"].str.startswith("COCO MCQ, paraphrased/")]
    assert (questions["ci_low"] <= 0.25).all()
    pairs = levels[levels["task"].str.startswith("CC-Neg/")]
    assert set(pairs["n"]) == {paper_files.EVALUATION}


def test_glasses_and_their_variants_are_asked() -> None:
    levels = results.load("paper", "06_clipglasses", "levels")
    methods = {task.partition("/")[2] for task in levels["task"]}
    assert {"glasses-ccneg", "glasses-retrieval", "released-ccneg", "negationclip+glasses", "rule"} <= methods
    assert results.load("paper", "06_clipglasses", "ablations")["value"].notna().all()


@pytest.mark.parametrize(
    ("experiment", "what"),
    [
        ("03_negbench", {"VOC2007 MCQ, paraphrased", "COCO MCQ, templated", "claims about radiographs"}),
        ("05_negationclip", {"VALSE existence", "NegRefCOCOg", "ImageNet zero-shot", "training of NegCLIP"}),
        ("06_clipglasses", {"VALSE existence", "NegRefCOCOg", "ImageNet zero-shot"}),
    ],
)
def test_what_is_not_there_is_listed_with_its_reason(experiment: str, what: set[str]) -> None:
    table = pd.read_csv(paths.results("paper") / experiment / "skipped.csv")
    assert what <= set(table["what"])
    assert set(table["profile"]) == {"paper"}
    assert table["reason"].str.len().min() > 10


@pytest.mark.parametrize(
    ("experiment", "what"),
    [("02_binary_probe", "CelebA"), ("03_negbench", "COCO MCQ, paraphrased"), ("05_negationclip", "COCO retrieval")],
)
def test_what_is_of_a_part_is_counted_and_marked(experiment: str, what: str, root: Path) -> None:
    table = pd.read_csv(paths.results("paper") / experiment / "skipped.csv")
    (row,) = table[table["what"] == what].to_dict("records")
    assert 0 < row["n"] < row["of"]
    (path,) = (paths.results("paper") / "notebooks").glob(f"{experiment[:2]}_*.ipynb")
    told = path.read_text(encoding="utf-8")
    assert f"Part of the data: {what}. The images of {row['n']:,} of {row['of']:,} rows are here" in told
    share = f"{row['n']:,} of {row['of']:,}"
    assert (f"{share} test faces" if experiment == "02_binary_probe" else f"{what} ({share} rows)") in told
    report = pages.render(pages.MARKDOWN, pages.contents("paper"))
    assert f"{what} ({row['n']} of {row['of']} rows)" in report


def test_the_faces_that_are_there_are_probed() -> None:
    table = results.load("paper", "02_binary_probe", "probe")
    assert set(table["n"]) == {paper_files.FACES - paper_files.LOST_FACES}


def test_no_table_has_numbers_of_another_profile_or_model(root: Path) -> None:
    assert [path.name for path in (root / "results").iterdir()] == ["paper"]
    for note in (root / "results" / "paper").rglob("*.provenance.json"):
        about = pd.read_json(note, typ="series")
        assert (about["profile"], about["dtype"], about["device"]) == ("paper", "float32", "cpu")
    for experiment in EXPERIMENTS:
        for path in (paths.results("paper") / experiment).glob("*.csv"):
            table = pd.read_csv(path)
            models = set(table.get("model", pd.Series(dtype=str)).dropna())
            assert not [name for name in models if "miniclip" in name or name.startswith("openai")]
