"""docs/index.md: it has every claim once, with the numbers of the committed results and links that hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from negutil import paths
from negutil.commands.cli import app
from negutil.compare import claims, verdicts
from negutil.report import chapters, generated


@pytest.fixture
def committed(committed_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))
    monkeypatch.setenv("NEGUTIL_FIGURES", str(paths.ROOT / "figures"))


def test_the_page_says_what_the_committed_results_say(committed: None) -> None:
    assert generated.index("mini") == generated.INDEX.read_text(encoding="utf-8"), "run `negutil readme`"


def test_the_page_has_every_claim_once_in_the_section_of_its_notebook(committed: None) -> None:
    page = generated.index("mini")
    sections = {part[:2]: part for part in page.split("\n## ")[1:]}
    assert list(sections) == [chapter.number for chapter in chapters.find()]
    for claim in claims.read():
        assert page.count(f"| {claim.statement}") == 1
        assert f"| {claim.statement}" in sections[claim.notebook]


def test_every_tested_claim_has_interval_and_n(committed: None) -> None:
    rows = generated.rows(verdicts.of("mini"), "mini")
    tested = [row for row in rows if row[2]]
    assert len(tested) >= 60
    for row in tested:
        assert len(row) == len(generated.COLUMNS) + 1  # the verdict on photographs
        assert "[" in row[3] or row[3].startswith("1.000")
        assert all(int(count.replace(",", "")) > 0 for count in row[4].split("<br>"))


def test_a_claim_of_ours_is_labelled_as_a_finding(committed: None) -> None:
    outcomes = {outcome.claim.id: outcome for outcome in verdicts.of("mini")}
    (holds,) = generated.rows([outcomes["floor-presence"]], "mini")
    (late,) = generated.rows([outcomes["published-questions-answer-themselves"]], "mini")
    assert holds[1] == "✔ holds"
    assert late[1] == "• fact: Found by looking at the published files."
    assert "Test written after the run." in late[0] and "ours" not in late[0]


def test_tables_and_figures_are_linked_where_the_clone_keeps_them(committed: None) -> None:
    links = re.findall(r"\]\((\.\./(?:results|figures)/[^)]+)\)", generated.index("mini"))
    assert len(links) > 100
    assert all((generated.INDEX.parent / link).exists() for link in links)


def test_without_results_there_are_no_links_to_tables() -> None:
    page = generated.index("mini")
    assert "not measured" in page and "run notebook 03" in page
    assert "(../results/mini" not in page


def test_the_command_names_the_page_that_a_changed_number_makes_stale(
    committed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mini", "photo", "published"):
        source = paths.ROOT / "results" / name
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("*.parquet"))
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    assert generated.index("mini") == generated.INDEX.read_text(encoding="utf-8")
    table = tmp_path / "mini" / "00_mini_world" / "floors.csv"
    rows = pd.read_csv(table)
    rows.loc[rows["task"] == "recall@1", "value"] = 0.9876
    rows.to_csv(table, index=False)
    done = CliRunner().invoke(app, ["readme", "--check"])
    assert done.exit_code == 2 and "docs/index.md does not agree" in done.output
