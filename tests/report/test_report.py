"""The report: made from results/ alone, the same bytes every time, and no number that a template brings along."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from negutil import paths
from negutil.commands.cli import app
from negutil.compare import verdicts
from negutil.report import frames, pages

COMMITTED = paths.ROOT / "results"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed results of mini without per-item scores."""
    for name in ("mini", "published"):
        shutil.copytree(COMMITTED / name, tmp_path / name, ignore=shutil.ignore_patterns("*.parquet", "report.*"))
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    return tmp_path


class Page(HTMLParser):
    """What a page refers to, and whether its tags are closed in order."""

    VOID = ("meta", "link", "br", "img", "rect", "line", "circle", "hr", "input")

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.ids |= {str(known["id"])} if "id" in known else set()
        self.links += [str(known["href"])] if "href" in known else []
        self.sources += [str(known["src"])] if "src" in known else []
        self.open += [] if tag in self.VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_same_results_give_the_same_whole_page_that_needs_nothing_beside_it(store: Path) -> None:
    first = [path.read_bytes() for path in pages.write("mini")]
    assert [path.read_bytes() for path in pages.write("mini")] == first
    assert len(first[0]) < 10_000_000
    text = first[0].decode()
    page = Page()
    page.feed(text)
    assert not page.open and not page.sources
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    outside = [link for link in page.links if not link.startswith("#")]
    assert all(link == "data:," or link.startswith("../../notebooks/") for link in outside)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert {outcome.claim.id for outcome in verdicts.of("mini")} <= page.ids
    assert str(store) not in text and str(Path.home()) not in text and "@import" not in text and "url(" not in text


def test_each_tested_claim_has_its_figure_once(store: Path) -> None:
    chapters = pages.contents("mini")["chapters"]
    claims = [claim for chapter in chapters for claim in chapter["claims"]]
    assert all(figure.count("<svg") == bool(outcome.rows) for outcome, figure in claims)
    by_id = {outcome.claim.id: figure for outcome, figure in claims}
    drops = by_id["negbench-recall-drops"]
    assert drops.count('class="holds"') == 8  # templated and paraphrased captions of two sets, by two models


def test_every_number_follows_from_the_results(store: Path) -> None:
    """Another number in a table changes the page there, and nowhere but there."""
    before = pages.render(pages.MARKDOWN, pages.contents("mini"))
    path = store / "mini" / "07_text_to_image" / "gains.csv"  # its prompts are drawn once, so nothing is pooled
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    wanted = (table["task"] == "Neg Score/negationclip") & (table["metric"] == "gain over plain captions")
    table.loc[wanted, ["value", "ci_low", "ci_high"]] = ["0.876", "0.871", "0.879"]
    table.to_csv(path, index=False)
    after = pages.render(pages.MARKDOWN, pages.contents("mini"))
    assert "0.876 [0.871, 0.879]" in after and "0.876 [0.871, 0.879]" not in before
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert changed and all("0.876" in line for line in changed)


def test_templates_have_no_number_of_their_own() -> None:
    for name in (f"{pages.HTML}.j2", f"{pages.MARKDOWN}.j2"):
        text = (pages.TEMPLATES / name).read_text(encoding="utf-8")
        prose = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", text, flags=re.DOTALL)
        prose = re.sub(r"<[^>]*>", " ", prose).replace("95 %", "").replace("utf-8", "")
        assert not re.findall(r"\d", prose), name


def test_sentences_of_controls_have_no_number() -> None:
    known = pages.claims.controls()
    assert not [said for control in known for said in control.says.values() if re.search(r"\d", said)]


def test_without_results_the_report_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    text = pages.render(pages.HTML, pages.contents("quick"))
    assert "run notebook 03" in text and "run the notebooks" in text
    assert frames.every_method("quick").empty and frames.differences("quick").empty


def test_tables_beside_the_claims_are_those_of_the_results(store: Path) -> None:
    methods = frames.every_method("mini")
    clip = methods[(methods["method"] == "CLIP") & (methods["title"] == "CC-Neg")]
    levels = pd.read_csv(store / "mini" / "06_clipglasses" / "levels.csv")
    own = levels[levels["task"] == "CC-Neg/CLIP"].set_index("model")["value"]
    assert dict(zip(clip["base"], clip["value"], strict=True)) == own.to_dict()
    assert methods[["base", "method", "title"]].duplicated().sum() == 0
    differences = frames.differences("mini")
    assert {"CLIPGlasses", "NegBench"} == set(differences["work"]) and len(differences) >= 30
    parts = frames.parts("mini")
    assert len(parts) >= 7 and (parts["minutes"].astype(float) > 0).all()


def test_the_command_writes_both_and_prints_verdicts(store: Path) -> None:
    done = CliRunner().invoke(app, ["report", "--profile", "mini", "--json"])
    assert done.exit_code == 0, done.output
    assert '"together": "replicated"' in done.output
    assert (store / "mini" / pages.HTML).exists() and (store / "mini" / pages.MARKDOWN).exists()


def test_a_damaged_note_is_named(store: Path) -> None:
    (store / "mini" / "03_negbench" / "tasks.provenance.json").write_text("{}")
    done = CliRunner().invoke(app, ["report", "--profile", "mini"])
    assert done.exit_code == 2 and "tasks.provenance.json is not a complete" in done.output


def test_the_committed_report_is_what_the_committed_results_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(COMMITTED))
    if not (COMMITTED / "mini" / pages.HTML).exists():
        pytest.skip("the report has not been written yet: run `negutil report`")
    found = pages.contents("mini")
    for kind in (pages.HTML, pages.MARKDOWN):
        assert (COMMITTED / "mini" / kind).read_text(encoding="utf-8") == pages.render(kind, found), (
            "run `negutil report`"
        )


def test_an_installed_package_links_to_the_notebooks_that_it_executed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = verdicts.of("mini")
    shipped = pages.by_notebook(outcomes, "mini")
    assert {chapter["link"].rpartition("/")[0] for chapter in shipped} == {"../../notebooks"}
    monkeypatch.setattr(paths, "IS_CHECKOUT", False)
    executed = pages.by_notebook(outcomes, "mini")
    assert [f"../../{chapter['link']}" for chapter in executed] == [chapter["link"] for chapter in shipped]
