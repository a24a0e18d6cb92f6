"""What is left out where published data are missing: told once, in one line, and written beside the tables."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from negutil import config, paths
from negutil.config import Profile
from negutil.data import skipped
from negutil.data.skipped import Skip
from negutil.errors import NegutilError


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "data"))
    skipped.forget()
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


def test_the_notebook_about_the_mini_world_is_skipped(paper: Profile) -> None:
    skip = skipped.whole(paper, "00")
    assert skip is not None
    assert "mini world alone" in skip.line


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
