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
    lines = readme.found("mini").splitlines()
    assert len(lines) >= 12
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(readme.HEAD)
        assert "[" in cells[3] and "]" in cells[3]
        assert all(int(count.replace(",", "")) > 0 for count in cells[4].split("<br>"))


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
