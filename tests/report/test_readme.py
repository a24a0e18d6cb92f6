"""README: short, current, with all that its first screen promises, and no typed number of an experiment."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from negutil import config, paths, results
from negutil.compare import claims, negation_beyond, verdicts
from negutil.errors import NegutilError
from negutil.report import generated
from negutil.results import Record

LARGEST = 12_000
PAGES = (generated.README, *sorted((paths.ROOT / "docs").glob("*.md")))
TRANSLATED = re.compile(
    r"\b(told|asked|goes? on|(to|can) be had|mend(ed|s)?|anew|(is|was) not said|(four|the) works|surely)\b|^\W*Found\b",
    re.IGNORECASE,
)
"""Words and turns of phrase that a native speaker would not have written here."""


@pytest.fixture
def committed(committed_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))
    monkeypatch.setenv("NEGUTIL_FIGURES", str(paths.ROOT / "figures"))


@pytest.fixture
def text() -> str:
    return generated.README.read_text(encoding="utf-8")


@pytest.fixture
def first_screen(text: str) -> str:
    return text[: text.index("## How to read the notebooks")]


def test_it_is_short(text: str) -> None:
    assert len(text.encode()) <= LARGEST


def test_it_says_what_the_committed_results_say(committed: None) -> None:
    assert generated.readme("mini") == generated.README.read_text(encoding="utf-8"), "run `negutil readme`"


def test_the_first_paragraph_says_what_ran(text: str) -> None:
    title, paragraph = text.split("\n\n")[:2]
    assert title.startswith("# ")
    for words in ("64-pixel drawings", "No CLIP", "MiniCLIP", "we trained", "cannot reproduce a printed number"):
        assert words in " ".join(paragraph.split())


def test_the_first_screen_has_image_papers_commands_and_headlines(first_screen: str) -> None:
    assert re.findall(r'<img src="([^"]+)"', first_screen) == ["figures/mini/03_negbench/with_and_without_no.png"]
    for paper in ("2501.09425", "2501.10913", "2602.21035", "2403.20312"):
        assert f"(https://arxiv.org/abs/{paper})" in first_screen
    for code in ("m1k2zoo/negbench", "jerryray/NegationCLIP", "Codecode-X/CLIPGlasses", "jaisidhsingh/CoN-CLIP"):
        assert f"(https://github.com/{code})" in first_screen
    commands = first_screen.split("```")[1].splitlines()[1:]
    assert commands[0].startswith("git clone ")
    assert [line.split("#")[0].strip() for line in commands[1:]] == ["./run_all.sh --profile quick", "./run_all.sh"]
    assert "minutes" in first_screen and " GB" in first_screen
    assert len(re.findall(r"^- [✔✘◐?] \*\*", first_screen, re.MULTILINE)) == 3


def test_the_papers_are_those_of_the_citation_file(first_screen: str) -> None:
    cited = re.findall(r"arXiv:(\d+\.\d+)", (paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(re.findall(r"arxiv\.org/abs/(\d+\.\d+)", first_screen)) <= set(cited)


def test_headlines_are_claims_of_papers_from_before_the_run_and_not_all_of_them_replicated(committed: None) -> None:
    known = {outcome.claim.id: outcome for outcome in verdicts.of("mini")}
    chosen = [known[headline.claim] for headline in claims.headlines()]
    assert len(chosen) == 3
    assert all(outcome.work != claims.OURS and outcome.claim.written_before and outcome.rows for outcome in chosen)
    assert {outcome.verdict for outcome in chosen} & {claims.NOT_REPLICATED, claims.INCONCLUSIVE}


def test_counts_are_those_of_the_claims_and_the_committed_verdicts(committed: None, first_screen: str) -> None:
    outcomes = verdicts.of("mini")
    theirs = Counter(outcome.verdict for outcome in outcomes if not outcome.claim.source.startswith("ours"))
    ours = Counter(outcome.verdict for outcome in outcomes if outcome.claim.source.startswith("ours"))
    (line,) = [line for line in first_screen.splitlines() if line.startswith("| **all** ")]
    numbers = [int(cell) for cell in line.split("|")[2:-1]]
    shown = [kind for kind in verdicts.KINDS if kind not in (claims.FACT, verdicts.NO_RESULTS)]
    assert numbers == [*(theirs[kind] for kind in shown), theirs.total()]
    assert f"**{theirs.total()} claims**" in first_screen
    assert f"**{ours.total()} findings**" in first_screen
    assert f"{ours[claims.FACT]} are facts without a verdict" in first_screen
    assert f"{ours[claims.REPLICATED]} hold, {ours[claims.NOT_REPLICATED]} do not hold" in first_screen


def test_the_worlds_are_compared_claim_by_claim(committed: None) -> None:
    outcomes = verdicts.of("mini")
    there = {outcome.claim.id: outcome.verdict for outcome in verdicts.of("photo")}
    pairs = [(outcome.verdict, there[outcome.claim.id]) for outcome in outcomes]
    pairs = [pair for pair in pairs if set(pair) <= set(verdicts.TESTED)]
    sentence = generated.both_worlds(outcomes, "mini")
    total, *parts = map(int, re.findall(r"\b\d+\b", sentence))
    assert total == len(pairs) == sum(parts) > 20
    assert parts[0] == sum(here == beside for here, beside in pairs)
    assert "](results/photo/report.md)" in sentence and sentence in generated.findings("mini")


def test_findings_of_ours_are_never_replicated(committed: None) -> None:
    (sentence,) = [line for line in generated.findings("mini").splitlines() if line.startswith("Our own")]
    assert "replicated" not in sentence
    _, *sections = generated.index("mini").split("**Findings of our own**")
    tables = [section.split("Tables:")[0] for section in sections]
    assert len(tables) >= 6 and not [table for table in tables if "replicated" in table]


def test_the_caption_has_the_counts_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "of 5 show" not in generated.image("mini")
    model = config.load("mini").models[-1]
    rows = [("X/cat", 5.0, 5), ("X/mean over nouns", 4.94, 70), ("no X/cat", 3.0, 5), ("no X/mean over nouns", 4.2, 70)]
    records = [
        Record(negation_beyond.EXPERIMENT, task, model, negation_beyond.TOP_METRIC, value, n) for task, value, n in rows
    ]
    results.save(records, "mini", negation_beyond.EXPERIMENT, "top_five")
    caption = generated.image("mini")
    assert "“a cat” (5 of 5 show a cat)" in caption and "“no cat” (3 of 5 show a cat)" in caption
    assert "all 70 nouns, 4.9 and 4.2 of 5 images show it" in caption


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]
    assert links or page.name not in ("README.md", "index.md")
    for link in links:
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page: those of its headings, as GitHub makes them, and those that it sets itself."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def test_no_generated_sentence_sounds_translated(committed: None) -> None:
    shown = [generated.image("mini"), generated.time("mini"), generated.findings("mini"), generated.index("mini")]
    shown += generated.reproducibility_parts("mini").values()
    shown += [f"{control.asks} {' '.join(control.says.values())}" for control in claims.controls()]
    lines = [re.sub(r"\]\([^)]*\)|`[^`]*`", "]", line) for text in shown for line in text.splitlines()]
    assert not [line for line in lines if TRANSLATED.search(line)]


def test_another_number_in_a_table_changes_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = paths.ROOT / "results" / "mini" / "03_negbench"
    own = tmp_path / "mini" / "03_negbench"
    own.mkdir(parents=True)
    for path in (folder / "tasks.csv", folder / "tasks.provenance.json"):
        (own / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    before = generated.findings("mini")
    table = pd.read_csv(own / "tasks.csv", dtype=str, keep_default_na=False)
    wanted = (table["metric"] == "accuracy on negative") & table["task"].str.contains(" MCQ, ")
    table.loc[wanted, ["value", "ci_low", "ci_high"]] = ["0.777", "0.7", "0.8"]
    table.to_csv(own / "tasks.csv", index=False)
    after = generated.findings("mini")
    assert "**Replicated** (NegBench)" in before and "0.777" not in before
    assert "**Not replicated** (NegBench)" in after and "0.777 [0.700, 0.800]" in after


def test_without_results_it_says_what_to_run() -> None:
    assert "run notebook 03" in generated.findings("mini")
    assert "No results yet" in generated.time("mini")


def test_no_number_of_an_experiment_stands_outside_the_generated_parts(text: str) -> None:
    for name in ("image", "time", "findings"):
        begin, end = generated.BEGIN.format(name), generated.END.format(name)
        text = text[: text.index(begin)] + text[text.index(end) + len(end) :]
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    prose = re.sub(r"Python 3\.\d+|(CC BY|SIL OFL) \d\.\d|Sec\. \d\.\d|Tables? \d|Fig\. \d|95 % intervals", " ", prose)
    assert not re.findall(r"\d+\.\d+|\d+ %", prose)


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    begin, end = generated.BEGIN.format("time"), generated.END.format("time")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    assert generated.text_with({"time": "new"}, page) == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"


def test_a_lost_marker_is_named(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing here\n", encoding="utf-8")
    with pytest.raises(NegutilError, match="put them back"):
        generated.text_with({"time": "new"}, page)
