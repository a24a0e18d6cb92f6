"""The report of a profile: every claim with its verdict, as one HTML page and as Markdown, from ``results/`` alone.

The page needs nothing beside itself: pictures are SVG inside it, the style is in its head. The same results give the
same bytes: there is no time of writing, and what says how long something took was noted when it ran. All numbers come
from tables and notes in ``results/`` and from ``configs/claims.toml``; the templates have none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from negutil import config, files, paths, tables
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.report import chapters, forest, frames
from negutil.report.heat import Heat, gains, levels

TEMPLATES = paths.PACKAGE / "templates"
HTML, MARKDOWN = "report.html", "report.md"
CLASSES = dict(zip(verdicts.KINDS, ("yes", "no", "differs", "open", "paper", "never", "none"), strict=True))
"""The style class of each verdict."""

MARKS = dict(zip(verdicts.KINDS, ("✔", "✘", "◐", "?", "…", "∅", "–"), strict=True))
"""A sign for each verdict, so that it can be told without colours."""


def write(profile: str = "") -> list[Path]:
    """Write ``report.html`` and ``report.md`` into the results of a profile; returns their paths.

    Raises NegutilError where a table is damaged; what is missing is said in the report.
    """
    name = config.resolve(profile)
    found = contents(name)
    written = []
    for kind in (HTML, MARKDOWN):
        path = paths.results(name) / kind
        files.write_text(path, render(kind, found))
        written.append(path)
    return written


def render(kind: str, found: dict[str, Any]) -> str:
    """The report as ``report.html`` or ``report.md`` from its ``contents``."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=kind == HTML,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(f"{kind}.j2").render(found)


def contents(profile: str) -> dict[str, Any]:
    """All that the report says about a profile, as texts for the templates."""
    outcomes = verdicts.of(profile)
    return {
        "profile": profile,
        "published": config.load(profile).published,
        "kinds": [{"name": kind, "class": CLASSES[kind], "mark": MARKS[kind]} for kind in verdicts.KINDS],
        "glance": glance(outcomes),
        "total": len(outcomes),
        "headlines": headlines(outcomes),
        "chapters": by_notebook(outcomes, profile),
        "controls": controls(outcomes),
        "heats": heats(profile),
        "negbench": levels(frames.negbench(profile)),
        "differences": differences(profile),
        "parts": parts(profile),
        "versions": frames.versions(profile),
    }


def glance(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """For each work its counts, and a sign for each of its claims."""
    counted = verdicts.counts(outcomes)
    return [
        {
            "work": work,
            "counts": [int(row[kind]) for kind in verdicts.KINDS],
            "signs": [
                _sign(outcome) for kind in verdicts.KINDS for outcome in outcomes if _is(outcome, str(work), kind)
            ],
        }
        for work, row in counted.iterrows()
    ]


def _is(outcome: Outcome, work: str, kind: str) -> bool:
    return outcome.work == work and outcome.verdict == kind


def _sign(outcome: Outcome) -> dict[str, str]:
    return {
        "id": outcome.claim.id,
        "class": CLASSES[outcome.verdict],
        "mark": MARKS[outcome.verdict],
        "verdict": outcome.label(),
        "statement": outcome.claim.statement,
    }


def headlines(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """The headlines, with the numbers that decided."""
    known = {outcome.claim.id: outcome for outcome in outcomes}
    return [_claim(known[headline.claim], "") for headline in claims.headlines()]


def by_notebook(outcomes: list[Outcome], profile: str) -> list[dict[str, Any]]:
    """Notebook by notebook, its claims; with a link to the notebook where it is there."""
    known = {chapter.number: chapter for chapter in chapters.find()}
    numbers = sorted({outcome.claim.notebook for outcome in outcomes})
    return [
        {
            "number": number,
            "title": known[number].title if number in known else f"notebook {number}",
            "link": _link(known[number].path, profile) if number in known else "",
            "claims": [_claim(outcome, profile) for outcome in outcomes if outcome.claim.notebook == number],
        }
        for number in numbers
    ]


def _link(path: Path, profile: str) -> str:
    """A link from the report to a notebook, wherever results/ is kept."""
    if not paths.IS_CHECKOUT:
        return f"notebooks/{path.name}"
    home = paths.ROOT / "results" / profile
    return Path(os.path.relpath(path, home)).as_posix()


def _claim(outcome: Outcome, profile: str) -> dict[str, Any]:
    """One claim as texts; with its figure if a profile is given."""
    claim = outcome.claim
    return {
        "id": claim.id,
        "statement": claim.statement,
        "source": claim.source,
        "published": claim.published,
        "written": "" if claim.written == claims.BEFORE else claim.written,
        "verdict": outcome.label(),
        "class": CLASSES[outcome.verdict],
        "mark": MARKS[outcome.verdict],
        "reason": outcome.reason,
        "rows": [_row(row) | {"verdict": outcome.label(row.verdict)} for row in outcome.rows],
        "figure": forest.svg(outcome, profile) if profile else "",
    }


def _row(row: claims.Verdict) -> dict[str, str]:
    value = tables.with_interval(row.value, row.ci_low, row.ci_high)
    return {"model": row.model, "decided": row.decided_by, "value": value, "n": f"{row.n:,}"}


def controls(outcomes: list[Outcome]) -> list[dict[str, str]]:
    """What each control means for a paper's claim, by the control's verdict."""
    known = {outcome.claim.id: outcome for outcome in outcomes}
    return [_control(control, known[control.claim], known[control.by]) for control in claims.controls()]


def _control(control: claims.Control, claimed: Outcome, by: Outcome) -> dict[str, str]:
    return {
        "claim": claimed.claim.statement,
        "claimed": claimed.label(),
        "claim_class": CLASSES[claimed.verdict],
        "asks": control.asks,
        "by": by.claim.statement,
        "by_id": by.claim.id,
        "verdict": by.label(),
        "class": CLASSES[by.verdict],
        "says": verdicts.meaning(control, by),
    }


def heats(profile: str) -> list[Heat]:
    """Every method on every benchmark: a table for each architecture."""
    rows = frames.every_method(profile)
    return [gains(own, str(base)) for base, own in rows.groupby("base", sort=False)]


def differences(profile: str) -> list[dict[str, Any]]:
    """Paper against released code: a row for each difference, with what it changes on each test as texts."""
    rows = frames.differences(profile)
    rows = rows.assign(effect=frames.as_text(rows, "effect"), n=[f"{int(count):,}" for count in rows["n"]])
    about = ["work", "paper", "code"]
    return [
        dict(zip(about, names, strict=True)) | {"effects": _texts(own[["asked", "effect", "n", "sure"]])}
        for names, own in rows.groupby(about, sort=False)
    ]


def parts(profile: str) -> list[dict[str, str]]:
    """How long each part took, as texts."""
    rows = frames.parts(profile)
    return _texts(rows.assign(minutes=[f"{float(minutes):.1f}" for minutes in rows["minutes"]]))


def _texts(rows: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(key): str(value) for key, value in row.items()} for row in rows.to_dict("records")]
