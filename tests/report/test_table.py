"""Tables of executed notebooks, printed for a paper."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from typer.testing import CliRunner

from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.report import table

runner = CliRunner()


def printed(*words: str) -> str:
    done = runner.invoke(cli.app, ["table", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_table_of_a_notebook_is_printed_in_three_formats() -> None:
    caption, frame = table.read("05/table-2", "mini")
    assert caption == "Table 2, and the control"
    assert {"CLIP", "NegationCLIP"} <= set(frame["model"])
    as_csv = pd.read_csv(io.StringIO(printed("05/table-2", "--csv")), dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(as_csv, frame)
    latex = printed("5/table-2", "--latex")
    assert r"\toprule" in latex and rf"\caption{{{caption}}}" in latex and latex.count(r"\\") == len(frame) + 1
    lines = printed("05/table-2").splitlines()
    assert len(lines) == len(frame) + 2 and "| model |" in lines[0]
    assert lines == printed("05/table-2", "--markdown").splitlines()


def test_signs_of_latex_and_markdown_are_escaped() -> None:
    frame = pd.DataFrame({"a|b": ["50 % | half"]})
    assert table.markdown(frame) == "| a\\|b |\n| --- |\n| 50 % \\| half |"
    assert "%" not in printed("06/table-1", "--latex").replace(r"\%", "")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("05", "05 is not a table: write notebook and name, as in 05/table-2"),
        ("05/tabel-2", r"no table 'tabel-2' in notebook 05 \(did you mean 'table-2'\?\); there are trainings, table-2"),
        ("77/table-2", "There is no such notebook as '77'"),
    ],
)
def test_a_table_that_does_not_exist_is_told_those_that_do(place: str, said: str) -> None:
    with pytest.raises(NegutilError, match=said):
        table.read(place, "mini")


def test_a_profile_that_has_not_run_names_the_command() -> None:
    with pytest.raises(
        NegutilError, match=r"05_negationclip\.ipynb is missing: \./run_all\.sh --profile paper --only 05"
    ):
        table.read("05/table-2", "paper")


def test_one_format_at_a_time() -> None:
    done = runner.invoke(cli.app, ["table", "05/table-2", "--latex", "--csv"])
    assert done.exit_code == 2 and "Choose one of --latex, --csv and --markdown." in done.output
