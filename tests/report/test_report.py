"""The report: made from results/ alone, the same bytes every time, and no number that a template brings along."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from negutil import paths
from negutil.commands.cli import app
from negutil.compare.verdicts import NO_RESULTS, Outcome
from negutil.report import frames, pages

COMMITTED = paths.ROOT / "results"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed results without per-item scores."""
    for name in ("mini", "photo", "published"):
        shutil.copytree(COMMITTED / name, tmp_path / name, ignore=shutil.ignore_patterns("*.parquet", "report.*"))
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    """What the report of the committed results says, found once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_RESULTS", str(COMMITTED))
        return pages.contents("mini")


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


def test_it_is_a_whole_page_that_needs_nothing_beside_it(committed: dict[str, Any]) -> None:
    text = pages.render(pages.HTML, committed)
    assert len(text) < 10_000_000
    page = Page()
    page.feed(text)
    assert not page.open and not page.sources
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    outside = [link for link in page.links if not link.startswith("#")]
    assert all(link == "data:," or link.startswith("../../notebooks/") for link in outside)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert {claim.id for claim in pages.claims.read()} <= page.ids
    assert str(paths.ROOT) not in text and str(Path.home()) not in text and "@import" not in text and "url(" not in text


def test_findings_of_ours_are_counted_apart_and_never_called_replicated(committed: dict[str, Any]) -> None:
    found = committed
    papers, ours = found["glance"]
    assert (papers["total"], ours["total"]) == (found["theirs"], found["ours"])
    for side in (papers, ours):
        assert sum(sum(row["counts"]) for row in side["rows"]) == side["total"]
    assert not [kind for kind in ours["kinds"] if "replicated" in kind["name"]]
    page = pages.render(pages.HTML, found)
    sections = re.findall(r'<section class="claim".*?</section>', page, re.DOTALL)
    assert len(sections) == found["theirs"] + found["ours"]
    findings = [section for section in sections if "data-ours" in section.partition(">")[0]]
    assert len(findings) == found["ours"]
    assert not [one for one in findings if re.search(r"[^-]\breplicated", re.sub(r"<h4>.*?</h4>", "", one))]
    assert not [one for one in findings if "replicated</span>" in one]
    for text in pages.render(pages.MARKDOWN, found).split("**Our own findings**")[1:]:
        rows = text.split("**Claims of the papers**")[0].split("\n\n")[1].splitlines()
        assert rows and not [row for row in rows if row.rstrip(" |").endswith("replicated")]


def test_every_figure_has_its_numbers_in_words(committed: dict[str, Any]) -> None:
    page = pages.render(pages.HTML, committed)
    labels = re.findall(r'<svg class="forest"[^>]* role="img" aria-label="([^"]+)"', page)
    assert len(labels) == page.count("<svg") > 60
    assert all(re.search(r"\d\.\d{3}", label) for label in labels)
    assert "title=" not in page and "<title>" not in page[page.index("<body>") :]


def test_each_tested_claim_has_its_figure_once(committed: dict[str, Any]) -> None:
    claims = [claim for chapter in committed["chapters"] for claim in chapter["claims"]]
    assert all(figure.count("<svg") == bool(outcome.rows) for outcome, figure in claims)
    by_id = {outcome.claim.id: figure for outcome, figure in claims}
    drops = by_id["negbench-recall-drops"]
    assert drops.count('class="holds"') == 8  # templated and paraphrased captions of two sets, by two models


def test_every_number_follows_from_the_results(store: Path, committed: dict[str, Any]) -> None:
    """Another number in a table changes the page there, and nowhere but there."""
    before = pages.render(pages.MARKDOWN, committed)
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


def test_the_command_writes_the_same_bytes_elsewhere(store: Path, committed: dict[str, Any]) -> None:
    done = CliRunner().invoke(app, ["report", "--profile", "mini", "--json"])
    assert done.exit_code == 0, done.output
    assert '"together": "replicated"' in done.output
    for kind in (pages.HTML, pages.MARKDOWN):
        assert (store / "mini" / kind).read_text(encoding="utf-8") == pages.render(kind, committed)


def test_a_damaged_note_is_named(store: Path) -> None:
    (store / "mini" / "03_negbench" / "tasks.provenance.json").write_text("{}")
    done = CliRunner().invoke(app, ["report", "--profile", "mini"])
    assert done.exit_code == 2 and "tasks.provenance.json is not a complete" in done.output


def test_the_committed_report_is_what_the_committed_results_say(committed: dict[str, Any]) -> None:
    for kind in (pages.HTML, pages.MARKDOWN):
        assert (COMMITTED / "mini" / kind).read_text(encoding="utf-8") == pages.render(kind, committed), (
            "run `negutil report`"
        )


def test_an_installed_package_links_to_the_notebooks_that_it_executed(
    committed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = [chapter["link"] for chapter in committed["chapters"]]
    assert {link.rpartition("/")[0] for link in shipped} == {"../../notebooks"}
    monkeypatch.setattr(paths, "IS_CHECKOUT", False)
    untested = [Outcome(claim, NO_RESULTS) for claim in pages.claims.read()]  # a link needs no figure
    assert [f"../../{chapter['link']}" for chapter in pages.by_notebook(untested, "mini")] == shipped
