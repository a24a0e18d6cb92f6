from __future__ import annotations

from pathlib import Path

import pytest

from negutil import readme
from negutil.errors import NegutilError


@pytest.fixture
def committed(committed_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))


def test_readme_says_what_the_committed_results_say(committed: None) -> None:
    assert readme.is_current("mini"), "run `negutil readme`"


def test_findings_have_an_interval_and_an_n_in_every_row(committed: None) -> None:
    found = readme.rows("mini")
    assert len(found) >= 12
    for row in found:
        assert len(row) == len(readme.HEAD)
        assert "[" in row[3] and "]" in row[3]
        assert all(int(count.replace(",", "")) > 0 for count in row[4].split("<br>"))


def test_the_glance_counts_verdicts_and_nothing_else() -> None:
    def row(notebook: str, verdict: str) -> readme.Row:
        return (notebook, "finding", "model", "0 [0, 1]", "1", "–", verdict)

    found = [row("01", "illustration"), row("02", "replicated"), row("02", "failure replicated")]
    found += [row("03", "not replicated"), row("03", "replicated<br>not replicated")]
    found += [row("03", "inconclusive: it cannot show the claim")]
    assert readme.glance(found) == [("02", "2", "2", "–", "–", "–"), ("03", "3", "–", "1", "1", "1")]


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n", encoding="utf-8")
    assert readme.text_with("new", page) == f"before\n{readme.BEGIN}\n\nnew\n\n{readme.END}\nafter\n"


def test_a_lost_marker_is_named(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing here\n", encoding="utf-8")
    with pytest.raises(NegutilError, match="put them back"):
        readme.text_with("new", page)


def test_missing_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"floors\.csv is not there"):
        readme.found("mini")
