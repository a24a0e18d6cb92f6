"""``negutil negbench ask``: a generative model behind an endpoint answers the questions of a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from chat_server import Act, completion, serve
from data_files import picture
from typer.testing import CliRunner

from negutil.captions import caption_sets, prompts
from negutil.commands import cli

HEADER = ("image_path", "correct_answer", "caption_0", "caption_1", "caption_2", "caption_3")
QUESTIONS = (
    ("a.png", "0", "a dog but no cat", "a cat but no dog", "a cat", "no dog"),
    ("b.png", "0", "no fish", "a fish", "a fish but no hat", "no hat"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two questions with their pictures beside them."""
    for name, *_ in QUESTIONS:
        picture(tmp_path / name)
    path = tmp_path / "questions.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *QUESTIONS])
    return path


def behave(asked: str, attempt: int) -> Act:
    """Choose, or confirm, what says that there is no fish; of the other picture nothing can be read."""
    claim, options = prompts.claim_of(asked), prompts.options_of(asked)
    if claim is not None:
        return Act(body=completion("Yes." if claim == "no fish" else "No."))
    return Act(body=completion("ABCD"[options.index("no fish")] if "no fish" in options else "Hard to say"))


def test_a_model_behind_an_endpoint_is_asked(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(caption_sets, "SETTINGS", tmp_path / "annotators.toml")
    command, out = ["negbench", "ask", str(file)], tmp_path / "new" / "answers.csv"
    with serve(behave) as server:
        one = f'{{ kind = "endpoint", url = "{server.url}", model = "m" }}'
        names = ("language", "random_language", "vision")
        caption_sets.SETTINGS.write_text("\n".join(["[paper]", *(f"{name} = {one}" for name in names)]))
        told = CliRunner().invoke(cli.app, [*command, "--out", str(out)])
        counted = CliRunner().invoke(cli.app, [*command, "--one-by-one", "--json"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("questions MCQ, own file, m: 2 questions\ntotal: 0.500 [")
    assert "unread: 0.500 [" in told.output
    assert pd.read_csv(out)["reply"].tolist()[0] == "Hard to say"
    shares = {name: share["value"] for name, share in json.loads(counted.output).items()}
    assert (shares["true"], shares["false"], shares["yes"], shares["unread"]) == (0.5, 1.0, 0.125, 0.0)
