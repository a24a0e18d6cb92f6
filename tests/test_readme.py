"""README: its generated parts say what results/ says, and no number of an experiment stands outside of them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from negutil import paths, readme, verdicts
from negutil.errors import NegutilError


@pytest.fixture
def committed(committed_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))
    monkeypatch.setenv("NEGUTIL_FIGURES", str(paths.ROOT / "figures"))


def test_readme_says_what_the_committed_results_say(committed: None) -> None:
    assert readme.is_current("mini"), "run `negutil readme`"


def test_every_tested_claim_has_interval_and_n_in_the_index(committed: None) -> None:
    outcomes = verdicts.of("mini")
    rows = [row for number in ("00", "02", "03", "05", "06") for row in readme.rows(number, outcomes, "mini")]
    tested = [row for row in rows if row[2]]
    assert len(tested) >= 60
    for row in tested:
        assert len(row) == len(readme.HEAD)
        assert "[" in row[3] or row[3].startswith("1.000")
        assert all(int(count.replace(",", "")) > 0 for count in row[4].split("<br>"))


def test_links_of_the_index_lead_to_files(committed: None) -> None:
    links = re.findall(r"\]\(([^)]+)\)", readme.index("mini"))
    assert len(links) > 100
    assert all((paths.ROOT / link).exists() for link in links)


def test_another_number_in_a_table_changes_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = paths.ROOT / "results" / "mini" / "03_negbench"
    own = tmp_path / "mini" / "03_negbench"
    own.mkdir(parents=True)
    for path in (folder / "tasks.csv", folder / "tasks.provenance.json"):
        (own / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    before = readme.found("mini")
    table = pd.read_csv(own / "tasks.csv", dtype=str, keep_default_na=False)
    wanted = (table["metric"] == "drop of recall@5") & table["task"].str.startswith("COCO retrieval")
    table.loc[wanted, ["value", "ci_low", "ci_high"]] = ["-0.777", "-0.8", "-0.7"]
    table.to_csv(own / "tasks.csv", index=False)
    after = readme.found("mini")
    assert after != before and "-0.777 [-0.800, -0.700]" in after


def test_missing_results_are_said() -> None:
    text = readme.found("mini")
    assert "run notebook 03" in text and "No results yet" in text


def test_no_number_of_an_experiment_stands_outside_the_generated_parts() -> None:
    text = readme.README.read_text(encoding="utf-8")
    for name in readme.PARTS:
        begin, end = readme.BEGIN.format(name), readme.END.format(name)
        text = text[: text.index(begin)] + text[text.index(end) + len(end) :]
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    prose = re.sub(
        r"arXiv \d+\.\d+|Python 3\.\d+|(CC BY|SIL OFL) \d\.\d|Sec\. \d\.\d|Tables? \d|Fig\. \d|of 95 %", " ", prose
    )
    assert not re.findall(r"\d+\.\d+|\d+ %", prose)


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    begin, end = readme.BEGIN.format("found"), readme.END.format("found")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    assert readme.text_with({"found": "new"}, page) == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"


def test_a_lost_marker_is_named(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing here\n", encoding="utf-8")
    with pytest.raises(NegutilError, match="put them back"):
        readme.text_with({"found": "new"}, page)
