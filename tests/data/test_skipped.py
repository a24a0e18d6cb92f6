"""What is left out where published data are missing: told once, in one line, and written beside the tables."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from data_files import picture
from datasets import Dataset

from negutil import config, paths
from negutil.config import Profile
from negutil.data import _reading, skipped
from negutil.data._reading import STRING
from negutil.data.skipped import Skip
from negutil.errors import NegutilError


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(skipped, "_noted", {})
    return config.load("paper")


def missing() -> int:
    raise NegutilError("data/x.csv is not there: put\nit there.")


def test_what_can_be_read_is_read(paper: Profile) -> None:
    assert skipped.attempt(paper, "a thing", lambda: 3) == 3
    assert skipped.found(paper).empty
    assert skipped.save(paper, "03_negbench") is None


def test_missing_data_are_told_once_in_one_line_and_written(paper: Profile, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert skipped.attempt(paper, "a thing", missing, "x") is None
    line = "Skipped: a thing. data/x.csv is not there: put it there. (negutil data get x)\n"
    assert capsys.readouterr().out == line
    path = skipped.save(paper, "03_negbench")
    assert path == paths.results("paper") / "03_negbench" / "skipped.csv"
    (row,) = pd.read_csv(path).to_dict("records")
    assert (row["what"], row["get"], row["profile"]) == ("a thing", "x", "paper")


def test_a_list_that_no_longer_holds_is_deleted(paper: Profile) -> None:
    skipped.note(paper, Skip("a thing", "It is not there."))
    path = skipped.save(paper, "03_negbench")
    assert path is not None
    skipped.forget()
    assert skipped.save(paper, "03_negbench") is None
    assert not path.exists()


def test_nothing_of_the_mini_world_is_left_out() -> None:
    skipped.forget()
    mini = config.load("mini")
    with pytest.raises(NegutilError, match=r"x\.csv is not there"):
        skipped.attempt(mini, "a thing", missing)
    assert skipped.save(mini, "03_negbench") is None
    assert skipped.whole(mini, "00") is None


def test_a_part_is_told_counted_and_marked(paper: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "images" / "1.png")
    columns = {"file_name": [f"{number}.png" for number in (1, 2, 3)]}

    def read() -> Dataset:
        return _reading.build("x.csv", {"file_name": STRING}, columns, pictures=tmp_path / "images")

    rows = skipped.attempt(paper, "A thing", read, "x")
    assert rows is not None
    assert rows["file_name"][:] == ["1.png"]
    told = "Part of the data: A thing. The images of 1 of 3 rows are here: its numbers do not cover the whole."
    assert capsys.readouterr().out == f"{told} (negutil data get x)\n"
    assert skipped.with_share("A thing, all items") == "A thing, all items (1 of 3 rows)"
    assert skipped.with_share("A things") == "A things"
    skipped.note(paper, Skip("another thing", "It is not there."))
    skipped.save(paper, "03_negbench")
    assert skipped.parts("paper").to_dict("records") == [{"what": "A thing", "n": 1, "of": 3}]
    with pytest.raises(NegutilError, match="2 of 3 images"):
        skipped.attempt(config.load("mini"), "A thing", read)


def test_why_a_notebook_stops_is_added_to_its_list(paper: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(skipped.EXPERIMENT, "03_negbench")  # as in the process of a notebook
    skipped.note(paper, Skip("a thing", "It is not there.", "x"))
    skipped.stopped(paper, "03", Skip("the rest of notebook 03", "Nothing is left."))
    table = pd.read_csv(paths.results("paper") / "03_negbench" / "skipped.csv")
    assert table["what"].tolist() == ["a thing", "the rest of notebook 03"]
    assert set(table["profile"]) == {"paper"}


def test_every_notebook_has_its_folder(committed_results: Path) -> None:
    folders = {path.name for path in committed_results.glob("0[1-9]_*")}
    assert folders <= set(skipped.EXPERIMENTS.values())
    written = [path.stem for path in paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")]
    others = ("00_the_mini_world_and_miniclip", "the_report")  # no folder of an experiment
    assert set(skipped.EXPERIMENTS) == {stem[:2] for stem in written if not stem.endswith(others)}
    assert all(name.startswith(number) for number, name in skipped.EXPERIMENTS.items())


@pytest.mark.parametrize("number", skipped.WORLD_ALONE)
def test_the_notebooks_about_the_mini_world_are_skipped(number: str, paper: Profile) -> None:
    skip = skipped.whole(paper, number)
    assert skip is not None
    assert "only about the mini world" in skip.line


@pytest.mark.parametrize(("number", "names"), skipped.NEEDS.items())
def test_a_notebook_without_any_of_its_data_is_skipped_whole(
    number: str, names: tuple[str, ...], paper: Profile, tmp_path: Path
) -> None:
    for name in names:
        skip = skipped.whole(paper, number)
        assert skip is not None
        assert re.search(rf"data/{name} is not there", skip.line)
        (tmp_path / "data" / name).mkdir(parents=True)
    assert skipped.whole(paper, number) is None
