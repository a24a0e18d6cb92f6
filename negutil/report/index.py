"""docs/index.md: every claim with its verdict, numbers, tables and figures, notebook by notebook.

The whole page is written from ``results/``, ``configs/claims.toml`` and the names of the files that notebooks leave.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from negutil import paths
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.report import chapters, frames, markdown, pages
from negutil.report.chapters import Chapter
from negutil.tables import with_interval

PAGE = paths.ROOT / "docs" / "index.md"
HEAD = ("claim", "verdict", "model", "here, 95 % interval", "n", "published", "tables")
INTRODUCTION = """\
# Every claim, and what became of it

<!-- This page is written by `negutil readme`; do not edit it. -->

{total} claims, each with its test in [configs/claims.toml](../configs/claims.toml): {theirs} of the papers and {ours}
of our own, mostly controls. The numbers are from the *{profile}* profile ([what that is](../README.md#profiles)). In
{report}, every claim that was tested has a figure.

**Verdicts.** A test compares 95 % intervals with a bound. *Replicated*: all of them lie on the claim's side. *Not
replicated*: at least one lies entirely on the other side. *Inconclusive*: neither, or the verdict depends on the seed
of the evaluation set. *Differs between models*: each model has its own verdict. *Needs the paper profile*: the claim is
about a printed number, or about data and weights that the mini world does not have. *Not reproducible*: something that
the claim rests on has not been released. A claim of our own *holds* or *does not hold*. If a test has several
conditions, the number shown is the one closest to failing.
"""


def page(profile: str) -> str:
    """The page for the results of ``profile``; raises NegutilError where a table is damaged."""
    outcomes = verdicts.of(profile)
    ours = sum(outcome.is_ours for outcome in outcomes)
    introduction = INTRODUCTION.format(
        total=len(outcomes),
        theirs=len(outcomes) - ours,
        ours=ours,
        profile=profile,
        report=markdown.link("the report", paths.results(profile) / pages.MARKDOWN, PAGE),
    )
    sections = [_section(chapter, outcomes, profile) for chapter in chapters.find()]
    return "\n\n".join([introduction.rstrip(), _overview(outcomes, profile), *sections]) + "\n"


def rows(outcomes: Sequence[Outcome], profile: str) -> list[tuple[str, ...]]:
    """A row for each claim with HEAD's columns, models below each other."""
    return [_row(outcome, profile) for outcome in outcomes]


def _overview(outcomes: Sequence[Outcome], profile: str) -> str:
    """The papers' claims by notebook and verdict, our own findings beside them, and the minutes of each notebook."""
    theirs = [outcome for outcome in outcomes if not outcome.is_ours]
    found = chapters.find()
    counted = verdicts.counts(theirs, "notebook").reindex([chapter.number for chapter in found], fill_value=0)
    shown = [kind for kind in verdicts.KINDS if counted[kind].any()]
    took = frames.parts(profile).set_index("part")["minutes"]
    lines = []
    for chapter in found:
        anchor = re.sub(r"[^\w\- ]", "", chapter.title.lower()).replace(" ", "-")  # as GitHub makes it
        ours = [one for one in outcomes if one.is_ours and one.claim.notebook == chapter.number]
        holding = sum(outcome.verdict == claims.REPLICATED for outcome in ours)
        counts = (str(counted.at[chapter.number, kind] or "") for kind in shown)
        minutes = f"{took[chapter.title]:.1f}" if chapter.title in took else ""
        held = f"{holding} of {len(ours)} hold" if ours else ""
        lines.append((f"[{chapter.title}](#{anchor})", *counts, held, minutes))
    head = ("notebook", *(f"{pages.MARKS[kind]} {kind}" for kind in shown), "our findings", "minutes")
    return markdown.table(head, lines)


def _section(chapter: Chapter, outcomes: Sequence[Outcome], profile: str) -> str:
    here = [outcome for outcome in outcomes if outcome.claim.notebook == chapter.number]
    ours = [outcome for outcome in here if outcome.is_ours]
    theirs = [outcome for outcome in here if not outcome.is_ours]
    tables = _files(paths.results(profile), chapter.number, "csv")
    figures = _files(paths.figures(profile), chapter.number, "png")
    parts = [f"## {chapter.title}", markdown.link("Open the notebook", chapter.path, PAGE)]
    parts += ["**Claims of the papers**", markdown.table(HEAD, rows(theirs, profile))] if theirs else []
    parts += ["**Findings of our own**", markdown.table(HEAD, rows(ours, profile))] if ours else []
    parts += [f"Tables: {tables}"] if tables else []
    parts += [f"Figures: {figures}"] if figures else []
    return "\n\n".join(parts)


def _row(outcome: Outcome, profile: str) -> tuple[str, ...]:
    claim = outcome.claim
    marked = "" if claim.written_before else f" Test written {claim.written}."
    # A source as a sentence, without the word that it is ours, and with references to pages of docs/ as links.
    text = re.sub(r"^ours[:;]?\s*", "", claim.source)
    linked = re.sub(r"docs/([\w.-]+\.md(#[\w-]+)?)", r"[\1](\1)", text)
    source = f"{linked[:1].upper()}{linked[1:]}{'.' if linked else ''}{marked}"
    statement = f"{claim.statement}<br>*{source}*" if source else claim.statement
    tables = dict.fromkeys(condition.table for condition in (*claim.provided, *claim.conditions))
    folder = paths.results(claim.results or profile)
    links = [markdown.link(name, folder / f"{name}.csv", PAGE) for name in tables]
    reason = f": {outcome.reason}" if outcome.reason else ""
    verdict = f"{pages.MARKS[outcome.verdict]} {outcome.label()}{reason}"
    values = [with_interval(row.value, row.ci_low, row.ci_high) for row in outcome.rows]
    counts = dict.fromkeys(f"{row.n:,}" for row in outcome.rows)
    cells = ([row.model for row in outcome.rows], values, counts, [claim.published], links)
    return (statement, verdict, *("<br>".join(cell) for cell in cells))


def _files(folder: Path, number: str, suffix: str) -> str:
    """Links to what a notebook left, such as its figures."""
    left = sorted(folder.glob(f"{number}_*/*.{suffix}"))
    return " · ".join(markdown.link(path.stem, path, PAGE) for path in left)
