"""``negutil bench`` as somebody types it: folder, table, JSON, and one sentence with status 2 for what is wrong."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import model_files
import pytest
from data_files import picture, write_text
from typer.testing import CliRunner, Result

from negutil.commands import cli

WEIGHTS = ("--pretrained", "random", "--device", "cpu", "--batch", "8")
MODEL = model_files.ARCHITECTURE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a small CSV file and its pictures."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        picture(tmp_path / "pictures" / f"{number}.png", (90 * number, 30, 30))
    lines = ["image,true,false", "pictures/0.png,no red cat,a red cat", "pictures/1.png,a dog,no dog"]
    write_text(tmp_path / "mine.csv", *lines)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["bench", *words])


def test_a_card_in_the_working_directory(folder: Path) -> None:
    done = run(MODEL, *WEIGHTS, "--pairs", "mine.csv")
    assert done.exit_code == 0, done.output
    header, *rows = [line.split() for line in done.output.splitlines()[1:3]]
    assert header[:3] == ["task", "metric", "value"]
    assert rows[0][:3] == ["mine", "pairwise", "accuracy"]
    assert "Above guessing and blind rules on 0 of 1 test." in done.output
    out = folder / "negutil-bench-Tiny-Test-random-seed-0"
    assert {path.name for path in out.iterdir()} == {
        *("bench.csv", "bench.json", "bench.provenance.json", "card.html", "model.json", "tasks")
    }
    every = run(MODEL, *WEIGHTS, "--pairs", "mine.csv", "--all")
    assert "negation true" in every.output
    assert "negation true" not in done.output


def test_a_method_without_training_is_asked_of_pairs_and_of_questions(folder: Path) -> None:
    lines = ["image_path,correct_answer,caption_0,caption_1,caption_2,caption_3,correct_answer_template"]
    lines += [f"pictures/{n}.png,0,a cat {n},no cat {n},a cat and no dog,a dog and no cat,positive" for n in range(2)]
    write_text(folder / "questions.csv", *lines)
    files = ("--pairs", "mine.csv", "--negbench", "questions.csv")
    content = json.loads(run(MODEL, *WEIGHTS, *files, "--method", "caps=0.5", "--json").stdout)
    assert content["model"]["name"].endswith("(random, seed 0), caps 0.5")
    assert {row["task"] for row in content["records"]} >= {"mine", "questions MCQ, own file"}
    assert {row["model"] for row in content["records"]} == {content["model"]["name"]}


def test_json_is_the_file(folder: Path) -> None:
    done = run(MODEL, *WEIGHTS, "--pairs", "mine.csv", "--out", "card", "--json")
    content = json.loads(done.stdout)
    assert content == json.loads((folder / "card" / "bench.json").read_text())
    assert content["records"][0]["n"] == 2
    other = run(MODEL, *WEIGHTS, "--seed", "1", "--pairs", "mine.csv", "--against", "card", "--json")
    beside = json.loads(other.stdout)
    assert {row["model"] for row in beside["references"]} == {content["model"]["name"]}
    (difference,) = beside["differences"]
    own, theirs = (each["records"][0]["value"] for each in (beside, content))
    assert difference["value"] == pytest.approx(own - theirs)


def test_the_command_is_kept_as_it_was_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_COMMAND", "")
    monkeypatch.delenv("NEGUTIL_COMMAND")
    words = ["bench", MODEL, *WEIGHTS, "--pairs", "mine.csv", "--out", "a card", "--clip-benchmark", "theirs"]
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/negutil", *words])
    with pytest.raises(SystemExit):
        cli.main()
    typed = json.loads((folder / "a card" / "bench.json").read_text())["provenance"]["command"]
    assert typed == f"negutil {shlex.join(words)}"
    assert "&#39;a card&#39;" in (folder / "a card" / "card.html").read_text()
    (merged,) = (folder / "theirs").glob("*.json")
    assert json.loads(merged.read_text())["pretrained"] == "random"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((MODEL, "--pairs", "mine.csv"), "is an architecture without weights: add --pretrained"),
        (("Tiny", *WEIGHTS, "--pairs", "mine.csv"), "There is no model 'Tiny'"),
        ((MODEL, *WEIGHTS), "Nothing to evaluate"),
        ((MODEL, *WEIGHTS, "--pairs", "gone.csv"), "gone.csv: there is no such file"),
        ((MODEL, *WEIGHTS, "--negbench", "mine.csv"), "these columns are not NegBench's"),
        ((MODEL, *WEIGHTS, "--pairs", "mine.csv", "--images", "pictures"), "line 2: the image pictures/0.png is not"),
        ((MODEL, *WEIGHTS, "--pairs", "mine.csv", "--profile", "paper"), "has no mini world"),
        ((MODEL, *WEIGHTS, "--pairs", "mine.csv", "--out", "mine.csv"), "mine.csv is a file"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: tuple[str, ...], told: str, folder: Path) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_folder_with_another_models_card_is_refused(folder: Path) -> None:
    assert run(MODEL, *WEIGHTS, "--pairs", "mine.csv", "--out", "card").exit_code == 0
    done = run(MODEL, *WEIGHTS, "--seed", "1", "--pairs", "mine.csv", "--out", "card")
    assert done.exit_code == 2
    assert "choose another --out" in done.stderr


@pytest.mark.slow
def test_vit_b_32_on_the_real_sample(shared_data: Path, folder: Path) -> None:
    sample = shared_data / "negbench_simple30"
    words = ("ViT-B-32", "--pretrained", "random", "--negbench", str(sample / "mcq_simple.csv"), "--out", "card")
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert content["model"]["parameters"] == 151_277_313
    assert {row["n"] for row in content["records"] if row["metric"] == "accuracy"} == {30}
    assert "<svg" not in (folder / "card" / "card.html").read_text()
