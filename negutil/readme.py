"""The generated parts of README.md: what was found, and the index from notebooks to claims, tables and figures.

Both are written from ``results/``, ``configs/claims.toml`` and the names of the files that notebooks leave; nothing in
them is typed. ``is_current`` says whether README tells what is there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from negutil import claims_report, files, notebooks, paths, report, report_tables, verdicts
from negutil.errors import NegutilError
from negutil.notebooks import Chapter
from negutil.tables import with_interval
from negutil.verdicts import Outcome

README = paths.ROOT / "README.md"
PARTS = ("found", "index")
BEGIN = "<!-- {}:begin (written by `negutil readme`; do not edit) -->"
END = "<!-- {}:end -->"
HEAD = ("claim", "verdict", "model", "here, 95 % interval", "n", "published", "tables")
REPORT = "the report"


def found(profile: str) -> str:
    """What was found, in Markdown: the claims that are told first, verdicts by notebook, and how long it took."""
    outcomes = verdicts.of(profile)
    known = {outcome.claim.id: outcome for outcome in outcomes}
    told = [_headline(known[name]) for name in claims_report.headlines()]
    legend = " · ".join(f"{mark} {kind}" for kind, mark in report.MARKS.items())
    return "\n".join([*told, "", _markdown(*glance(outcomes, profile)), "", legend, "", _times(profile)])


def index(profile: str) -> str:
    """For each notebook its claims with verdict and numbers, the tables that decide, and its figures."""
    outcomes = verdicts.of(profile)
    numbers = sorted({outcome.claim.notebook for outcome in outcomes} | {chapter.number for chapter in _chapters()})
    return "\n\n".join(_of_notebook(number, outcomes, profile) for number in numbers)


def glance(outcomes: Sequence[Outcome], profile: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Verdicts by notebook: the head of the table and its rows, with the minutes that each notebook took."""
    counted = verdicts.counts(outcomes, "notebook")
    took = report_tables.parts(profile)
    minutes = {str(part)[:2]: f"{float(taken):.1f}" for part, taken in zip(took["part"], took["minutes"], strict=True)}
    shown = [kind for kind in verdicts.KINDS if counted[kind].any()]
    head = ("notebook", *(report.MARKS[kind] for kind in shown), "minutes")
    rows = [
        (_title(str(number)), *(str(row[kind]) if row[kind] else "" for kind in shown), minutes.get(str(number), ""))
        for number, row in counted.iterrows()
    ]
    return head, rows


def rows(number: str, outcomes: Sequence[Outcome], profile: str) -> list[tuple[str, ...]]:
    """The claims of one notebook: a row each with HEAD's columns, models below each other."""
    return [_row(outcome, profile) for outcome in outcomes if outcome.claim.notebook == number]


def text_with(parts: dict[str, str], path: Path = README) -> str:
    """The text of README with each of ``parts`` between its markers; raises NegutilError where a marker is missing."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise NegutilError(f"{path} must have the lines '{begin}' and '{end}' once each: put them back.")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{part}\n\n{end}{rest.split(end)[1]}"
    return text


def current(profile: str, path: Path = README) -> str:
    """README as it should be; raises NegutilError where a marker is missing or a table is damaged."""
    return text_with({"found": found(profile), "index": index(profile)}, path)


def update(profile: str, path: Path = README) -> bool:
    """Write the generated parts of README for ``profile``; returns whether that changed it."""
    return files.update_text(path, current(profile, path))


def is_current(profile: str, path: Path = README) -> bool:
    """Whether README says what the tables of ``profile`` say."""
    return current(profile, path) == path.read_text(encoding="utf-8")


def _headline(outcome: Outcome) -> str:
    numbers = "; ".join(f"{row.model} {with_interval(row.value, row.ci_low, row.ci_high)}" for row in outcome.rows)
    decided = " and ".join(dict.fromkeys(row.decided_by for row in outcome.rows))
    counted = ", ".join(dict.fromkeys(f"{row.n:,}" for row in outcome.rows))
    said = f"{numbers} (*{decided}*, n = {counted})" if outcome.rows else outcome.reason
    seeds = f" {outcome.reason}." if outcome.rows and outcome.reason else ""
    return f"- {report.MARKS[outcome.verdict]} **{outcome.verdict}:** {outcome.claim.statement} {said}.{seeds}"


def _times(profile: str) -> str:
    """How long the tables took, and on what, by the notes beside them."""
    took = report_tables.parts(profile)
    if took.empty:
        return "No results yet: run `./run_all.sh`."
    host = " / ".join(dict.fromkeys(_host(row) for row in took.to_dict("records")))
    minutes = f"{took['minutes'].astype(float).sum():.0f}"
    there = _link(REPORT, paths.results(profile) / report.MARKDOWN, "results")
    return (
        f"The last `./run_all.sh` that changed them took {minutes} minutes for these tables ({host}). Every claim with "
        f"its interval, its figure and what decided: {there}, or `report.html` beside it in a browser."
    )


def _host(row: dict) -> str:
    gpu = "no GPU" if row["gpu"] == "none" else row["gpu"]
    return f"{row['processor']}, {row['threads']} threads, {gpu}"


def _of_notebook(number: str, outcomes: Sequence[Outcome], profile: str) -> str:
    own = rows(number, outcomes, profile)
    tables = _files(paths.results(profile), number, "csv", "results")
    pictures = _files(paths.figures(profile), number, "png", "figures")
    parts = [_markdown(HEAD, own)] if own else ["No claim of its own."]
    parts += [f"Tables: {tables}"] if tables else []
    parts += [f"Figures: {pictures}"] if pictures else []
    count = f"{len(own)} claim{'' if len(own) == 1 else 's'}"
    summary = f"<details><summary>{_heading(number)}: {count}</summary>"
    return "\n\n".join([summary, *parts, "</details>"])


def _row(outcome: Outcome, profile: str) -> tuple[str, ...]:
    claim = outcome.claim
    tables = dict.fromkeys(condition.table for condition in (*claim.provided, *claim.conditions))
    folder = paths.results(claim.results or profile)
    linked = [_link(name, folder / f"{name}.csv", "results") for name in tables]
    said = f" ({outcome.reason})" if outcome.reason else ""
    verdict = f"{report.MARKS[outcome.verdict]} {outcome.verdict}{said}"
    values = [with_interval(row.value, row.ci_low, row.ci_high) for row in outcome.rows]
    counted = dict.fromkeys(f"{row.n:,}" for row in outcome.rows)
    cells = ([row.model for row in outcome.rows], values, counted, [claim.published], linked)
    return (claim.statement, verdict, *("<br>".join(cell).replace("|", "\\|") for cell in cells))


def _files(folder: Path, number: str, suffix: str, kind: str) -> str:
    """Links to what a notebook left, such as its figures."""
    found = sorted(path for own in folder.glob(f"{number}_*") for path in own.glob(f"*.{suffix}"))
    return " · ".join(_link(path.stem, path, kind) for path in found)


def _link(name: str, path: Path, kind: str) -> str:
    """A link that holds in the clone, wherever ``kind`` (results or figures) is kept; text where there is no file."""
    home = (paths.results("x") if kind == "results" else paths.figures("x")).parent
    place = Path(kind) / os.path.relpath(path, home)
    return f"[{name}]({place.as_posix()})" if path.exists() or path.name == report.MARKDOWN else f"`{name}`"


def _chapters() -> list[Chapter]:
    return notebooks.find()


def _heading(number: str) -> str:
    titles = {chapter.number: chapter.title for chapter in _chapters()}
    return titles.get(number, f"notebook {number}")


def _title(number: str) -> str:
    """The title of a notebook, with a link where it is there."""
    known = {chapter.number: chapter for chapter in _chapters()}
    if number not in known:
        return f"notebook {number}"
    return f"[{known[number].title}](notebooks/{known[number].path.name})"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    whole = [head, ["---" for _ in head], *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in whole)
