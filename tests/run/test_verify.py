"""A run beside the committed results: what is within tolerance stays as it was, what moved is named and replaced."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nbformat import v4
from nbformat.notebooknode import NotebookNode
from typer.testing import CliRunner

from negutil import paths, results
from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.run import verify
from negutil.run.verify import Tally, Tolerance

NOTEBOOKS = ("00", "01", "02", "03", "04", "05", "06", "07", "08")


@pytest.fixture
def clone(committed_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed results (tables and notes) and figures, in place of the clone's own."""
    skip = shutil.ignore_patterns("*.parquet", "notebooks", "seed-*")
    shutil.copytree(committed_results, tmp_path / "results" / "mini", ignore=skip)
    shutil.copytree(paths.ROOT / "results" / "published", tmp_path / "results" / "published")
    (tmp_path / "figures" / "mini" / "03_negbench").mkdir(parents=True)
    (tmp_path / "figures" / "mini" / "03_negbench" / "a.png").write_bytes(b"committed")
    monkeypatch.setenv("NEGUTIL_FIGURES", str(tmp_path / "figures"))
    return tmp_path


@pytest.fixture
def no_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No claim is judged: it takes seconds, and some tests are not about verdicts."""
    monkeypatch.setattr(verify, "_verdicts", lambda profile, root: {})


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def chapter(text: str = "accuracy 0.512 [0.498, 0.526]") -> NotebookNode:
    cells = [v4.new_markdown_cell("# A"), v4.new_code_cell("show()", outputs=[v4.new_output("stream", text=text)])]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return v4.new_notebook(cells=cells)


def rewrite(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def perturb(path: Path) -> None:
    """Move a table as another processor does: a thousandth of a value, or one item of a count or a share."""
    frame = results.read(path)
    value = frame["value"].to_numpy(float)
    is_count = frame["ci_low"].isna() & (value == value.round()) & (np.abs(value) > 1)
    step = np.where(np.arange(len(frame)) % 2 == 0, 1e-3 * np.abs(value), 1 / frame["n"].clip(lower=1))
    rewrite(path, frame.assign(value=value + 0.99 * np.where(is_count, 1, step)))


# --------------------------------------------------------------------------------------------------------------------
# Numbers


def record(value: float, n: int = 100, half: float | None = None, task: str = "A") -> Record:
    ends = (None, None, "") if half is None else (value - half, value + half, "items")
    return Record("x", task, "m", "accuracy", value, n, *ends)


def table(*records: Record) -> pd.DataFrame:
    return results._frame(list(records), Path("x.csv"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (record(0.5), record(0.5), Tally(equal=1)),
        (record(0.5), record(0.51), Tally(within=1)),
        (record(0.5), record(0.511), Tally(beyond=1)),
        (record(37), record(38), Tally(within=1)),
        (record(37), record(38.5), Tally(beyond=1)),
        (record(0.5, 10_000, 0.1), record(0.509, 10_000, 0.1), Tally(within=3)),
        (record(0.5, 10_000, 0.1), record(0.509, 10_000, 0.2), Tally(within=1, beyond=2)),
        (record(0.5), record(0.5, n=99), Tally(beyond=2)),
        (record(0.5), record(0.5, task="B"), Tally(beyond=2)),
        (record(float("nan")), record(float("nan")), Tally()),
        (record(float("nan")), record(0.5), Tally(beyond=1)),
        (record(0.5), record(float("nan")), Tally(beyond=1)),
    ],
)
def test_numbers_are_equal_within_or_beyond_tolerance(old: Record, new: Record, expected: Tally) -> None:
    allowed = Tolerance(relative=1e-3, items=1, interval=0.1)
    assert verify.tally(verify.differences(table(old), table(new), allowed)) == expected


def test_every_pattern_of_the_tolerances_fits_a_committed_table(committed_results: Path) -> None:
    known = {f"{path.parent.name}/{path.stem}" for path in committed_results.glob("*/*.csv")}
    for entry in tomllib.loads(verify.FILE.read_text()).get("tables", []):
        assert any(Path(name).match(entry["table"]) for name in known), entry["table"]
        assert entry["why"]
    for name in known:
        assert verify.tolerance(name).interval <= 2


def test_tables_with_a_fine_tuned_model_have_the_tolerance_of_training(committed_results: Path) -> None:
    tables = committed_results.glob("*/levels.csv")
    with_one = [file.parent.name for file in tables if re.search(r"[/+]negationclip\b", file.read_text("utf-8"))]
    assert {"05_negationclip", "09_root_cause", "10_without_training"} <= set(with_one)
    assert [name for name in with_one if verify.tolerance(f"{name}/levels").interval < 1] == []


def test_a_tolerance_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tolerances.toml"
    file.write_text("[default]\nrelative = 0\nitems = 1\nintervall = 1\n")
    with pytest.raises(
        NegutilError,
        match=r"the tolerance of a/b: .* is unknown: correct or remove it .known here: relative, items",
    ):
        verify.tolerance("a/b", file)


# --------------------------------------------------------------------------------------------------------------------
# Files


def test_what_another_processor_changes_leaves_the_clone_as_it_was(clone: Path) -> None:
    for number in NOTEBOOKS:
        (clone / f"{number}_a.ipynb").write_text(json.dumps(chapter()), encoding="utf-8")
    before = contents(clone)
    with verify.staging("mini") as staged:
        for number in NOTEBOOKS:
            for path in sorted(paths.results("mini").glob(f"{number}_*/*.csv")):
                perturb(path)
            staged.finish(number, clone / f"{number}_a.ipynb", chapter("accuracy 0.513 [0.497, 0.527]"))
        later = paths.results("mini") / "03_negbench" / "tasks.csv"
        assert later.read_bytes() == before[clone / "results" / "mini" / "03_negbench" / "tasks.csv"]
        comparison = staged.close()
    assert contents(clone) == before
    tally = verify.total(comparison.tables.values())
    assert tally.within > 3000
    assert (tally.beyond, comparison.written) == (0, [])
    # A claim whose interval all but touches its bound may become inconclusive, or stop to be: no other verdict changes.
    assert len(comparison.changed) <= 2 and all("inconclusive" in line for line in comparison.changed)
    assert comparison.details == comparison.changed
    assert comparison.summary.startswith(f"{sum(tally):,} numbers compared with the committed ones: ")
    changed = len(comparison.changed)
    assert comparison.summary.endswith(f"0 beyond; {changed} of {comparison.verdicts} verdicts changed.")
    assert comparison.verdicts > 120


@pytest.mark.slow
def test_a_number_that_moved_is_named_and_replaces_its_table_and_figures_alone(clone: Path) -> None:
    before = contents(clone)
    with verify.staging("mini") as staged:
        folder = paths.results("mini") / "03_negbench"
        perturb(folder / "bias.csv")
        frame = results.read(folder / "tasks.csv")
        drop = frame["task"].str.startswith("COCO retrieval") & (frame["metric"] == "drop of recall@5")
        rewrite(folder / "tasks.csv", frame.assign(**{name: frame[name].where(~drop, -0.5) for name in verify.NUMBERS}))
        (paths.figures("mini") / "03_negbench" / "a.png").write_bytes(b"moved")
        notebook = clone / "03_a.ipynb"
        notebook.write_text(json.dumps(chapter()), encoding="utf-8")
        staged.finish("03", notebook, chapter("accuracy 0.1"))
        comparison = staged.close()
    after = contents(clone)
    changed = {path.name for path in after if after[path] != before.get(path)}
    expected = {"tasks.csv", "a.png", "03_a.ipynb", "evaluation_seeds.csv"}
    assert changed == expected == {path.name for path in comparison.written}
    moved = 3 * int(drop.sum())
    assert comparison.tables["03_negbench/tasks"].beyond == moved
    assert f"03_negbench/tasks: {moved} of" in comparison.details[0]
    assert any("replicated before, not replicated now" in line for line in comparison.details)
    assert len(comparison.changed) == len(comparison.details) - 1


@pytest.mark.usefixtures("no_verdicts")
def test_changed_code_is_not_taken_for_another_processor(clone: Path) -> None:
    with verify.staging("mini") as staged:
        (paths.figures("mini") / "03_negbench" / "a.png").write_bytes(b"drawn by other code")
        (paths.figures("mini") / "03_negbench" / "b.png").write_bytes(b"a new one")
        notebook = clone / "03_a.ipynb"
        notebook.write_text(json.dumps(chapter()), encoding="utf-8")
        staged.finish("03", notebook, chapter("a new sentence"))
        written = staged.close().written
    assert [path.name for path in written] == ["a.png", "b.png", "03_a.ipynb"]


@pytest.mark.usefixtures("no_verdicts")
def test_new_words_in_a_notebook_are_kept_though_its_numbers_are_within_tolerance(clone: Path) -> None:
    notebook = clone / "03_a.ipynb"
    notebook.write_text(json.dumps(chapter()), encoding="utf-8")
    with verify.staging("mini") as staged:
        perturb(paths.results("mini") / "03_negbench" / "tasks.csv")
        staged.finish("03", notebook, chapter("precision -0.1 [0.4e-5, 1,234.5]"))
        written = staged.close().written
    assert [path.name for path in written] == ["03_a.ipynb"]


def test_renewing_replaces_everything_and_removes_what_is_not_made_any_more(clone: Path) -> None:
    notebook = clone / "03_a.ipynb"
    notebook.write_text(json.dumps(chapter()), encoding="utf-8")
    with verify.staging("mini", renew=True) as staged:
        folder = paths.results("mini") / "03_negbench"
        staged.start("03")
        assert not folder.exists()
        results.save([record(0.5)], "mini", "03_negbench", "tasks")
        staged.finish("03", notebook, chapter("0.2"))
        staged.close()
    kept = clone / "results" / "mini" / "03_negbench"
    assert sorted(path.name for path in kept.iterdir()) == ["tasks.csv", "tasks.provenance.json"]
    assert results.read(kept / "tasks.csv")["value"].tolist() == [0.5]
    assert not list((clone / "figures" / "mini" / "03_negbench").iterdir())
    assert (clone / "results" / "mini" / "05_negationclip" / "gains.csv").exists()


# --------------------------------------------------------------------------------------------------------------------
# negutil verify


@pytest.fixture
def commit(committed_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository whose one commit has the committed tables of two notebooks."""
    clone = tmp_path / "clone"
    for name in ("03_negbench", "07_text_to_image"):
        skip = shutil.ignore_patterns("*.parquet")
        shutil.copytree(committed_results / name, clone / "results" / "mini" / name, ignore=skip)
    shutil.copytree(committed_results.parent / "published", clone / "results" / "published")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "results"], ["commit", "-q", "-m", "results"]):
        subprocess.run([*git, *words], cwd=clone, check=True)
    monkeypatch.setattr(paths, "ROOT", clone)
    monkeypatch.delenv("NEGUTIL_RESULTS")
    return clone


def invoke(*words: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(cli.app, ["verify", *words])
    return done.exit_code, done.output.splitlines()


def test_an_edited_result_is_named_with_the_verdicts_that_it_changes(commit: Path) -> None:
    shutil.rmtree(commit / "results" / "mini" / "03_negbench")
    status, lines = invoke()
    assert status == 0
    assert re.search(r"equal, 0 within tolerance, 0 beyond; 0 of \d+ verdicts changed\.$", lines[-1])
    name = "07_text_to_image/gains"
    file = commit / "results" / "mini" / f"{name}.csv"
    frame = results.read(file)
    edited = frame["task"].isin(["Neg Score/negationclip", "Neg Score, corrected/negationclip"])
    edited &= frame["metric"] == "gain over CLIP"
    old = frame.loc[edited, "value"].iloc[0]
    rewrite(file, frame.assign(**{number: frame[number].where(~edited, -0.5) for number in verify.NUMBERS}))
    status, lines = invoke()
    assert status == 1
    (row,) = [line.split() for line in lines if line.startswith(name)]
    moved = [line.strip() for line in lines if line.startswith("    ")]
    assert row[-1] == str(len(moved)) == "6"
    assert any(line.startswith("Neg Score, corrected/negationclip, minisd, gain over CLIP, value (n") for line in moved)
    assert any(line.endswith(f": {old:g} before, -0.5 now") for line in moved)
    assert "t2i-swap-raises-neg-score (minisd): replicated before, not replicated now" in lines
    assert "t2i-swap-raises-corrected-neg-score (minisd): holds before, does not hold now" in lines
    assert "03_negbench: not part of this run" in lines
    assert ", 6 beyond; " in lines[-1]


@pytest.mark.usefixtures("no_verdicts")
def test_a_run_elsewhere_is_compared_with_what_it_has(commit: Path, tmp_path: Path) -> None:
    run = tmp_path / "elsewhere"
    shutil.copytree(commit / "results" / "mini" / "03_negbench", run / "results" / "mini" / "03_negbench")
    (run / "results" / "mini" / "03_negbench" / "bias.csv").unlink()
    shutil.rmtree(commit / "results" / "mini" / "03_negbench")  # what counts is the commit
    status, lines = invoke(str(run), "--json")
    found = json.loads("\n".join(lines))
    assert status == 1
    assert found["tables"]["03_negbench/tasks"]["beyond"] == 0
    lost = found["tables"]["03_negbench/bias"]
    assert (lost["equal"], lost["beyond"]) == (0, len(lost["moved"])) and lost["beyond"] > 10
    assert all(line.endswith(" now") and "none now" in line for line in lost["moved"])
    assert found["absent"] == ["07_text_to_image"]


def test_without_a_commit_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    status, lines = invoke()
    assert status == 2
    assert "has no commit with results of mini to compare with" in lines[0] and "negutil verify DIR" in lines[0]


# --------------------------------------------------------------------------------------------------------------------
# The committed results


def test_the_committed_results_were_made_from_one_clean_commit(committed_results: Path) -> None:
    notes = {path: json.loads(path.read_text()) for path in committed_results.rglob("*.provenance.json")}
    # A run that moved a number beyond the tolerance leaves a note of its own until somebody commits it.
    command = ["git", "diff", "--name-only", "--relative", "HEAD", "--", "."]
    moved = subprocess.run(command, cwd=committed_results, capture_output=True, text=True, check=False).stdout.split()
    settled = [note for path, note in notes.items() if _name(path, committed_results) not in moved]
    assert len(notes) > 60
    assert len({note["commit"] for note in settled}) <= 1
    assert all(len(note["commit"]) == 40 for note in settled)
    assert not any(note["dirty"] for note in settled)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
