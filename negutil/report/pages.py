"""The report of a profile: every claim with its verdict, as one HTML page and as Markdown, from ``results/`` alone.

The page needs nothing beside itself: images are SVG inside it, style and script are in it too. Without JavaScript only
its filter is missing. The same results give the same bytes: there is no time of writing, and what says how long
something took was noted when it ran. All numbers come from tables and notes in ``results/`` and from
``configs/claims.toml``; the templates have none.
"""

import os
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from negutil import config, files, paths, tables
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.data import skipped, source
from negutil.report import chapters, figures, frames

TEMPLATES = paths.PACKAGE / "templates"
HTML, MARKDOWN = "report.html", "report.md"
CLASSES = dict(zip(verdicts.KINDS, ("yes", "no", "differs", "open", "fact", "paper", "never", "none"), strict=True))
"""The style class of each verdict."""

MARKS = dict(zip(verdicts.KINDS, ("✔", "✘", "◐", "?", "•", "…", "∅", "–"), strict=True))
"""A sign for each verdict, to distinguish them without colours."""

ELSEWHERE = {verdicts.NEEDS_PAPER: "paper", verdicts.NOT_REPRODUCIBLE: "nowhere"}
"""Where a claim with this verdict can be tested, if not in the profile of the report."""


def write(profile: str = "") -> list[Path]:
    """Write ``report.html`` and ``report.md`` into the results of a profile; returns their paths.

    Raises NegutilError if a table is damaged; what is missing is said in the report.
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
    environment.filters |= {
        "cell": lambda text: str(text).replace("|", "\\|").replace("\n", " "),
        "interval": lambda row: tables.with_interval(row.value, row.ci_low, row.ci_high),
        "mark": MARKS.__getitem__,
        "meaning": verdicts.meaning,
        "q": verdicts.q_value,
        "style": CLASSES.__getitem__,
        "thousands": "{:,}".format,
        "worlds": worlds,
    }
    environment.globals["before"] = claims.BEFORE
    return environment.get_template(f"{kind}.j2").render(found)


def contents(profile: str) -> dict[str, Any]:
    """All that the report says about a profile, for the templates."""
    outcomes, other = verdicts.of(profile), verdicts.other_world(profile)
    known = {outcome.claim.id: outcome for outcome in outcomes}
    methods = frames.every_method(profile)
    parts = frames.parts(profile)
    return {
        "profile": profile,
        "published": not source.is_world(config.load(profile)),
        "photographs": config.load(profile).photographs is not None,
        "other": other,
        "why_worlds_differ": verdicts.WHY_WORLDS_DIFFER.format(one=profile, other=other),
        "of_data": _texts(skipped.parts(profile)),
        "glance": glance(outcomes, profile),
        "filters": filters(outcomes, profile, other),
        "theirs": sum(not outcome.is_ours for outcome in outcomes),
        "ours": sum(outcome.is_ours for outcome in outcomes),
        "headlines": [known[headline.claim] for headline in claims.headlines()],
        "chapters": by_notebook(outcomes, profile),
        "controls": [(one, known[one.claim], known[one.by]) for one in claims.controls()],
        # Every method on every benchmark: a table for each architecture.
        "heats": [figures.gains(own, str(base)) for base, own in methods.groupby("base", sort=False)],
        "negbench": figures.levels(frames.negbench(profile)),
        "differences": differences(profile),
        "parts": _texts(parts.assign(minutes=[f"{float(minutes):.1f}" for minutes in parts["minutes"]])),
        "versions": frames.versions(profile),
    }


def worlds(outcome: Outcome, profile: str, other: str) -> dict[str, str]:
    """The class of a claim's verdict in each world where it can be tested; "nowhere" where it cannot be."""
    found = {ELSEWHERE.get(outcome.verdict, profile): CLASSES[outcome.verdict]}
    if outcome.beside:
        found.setdefault(ELSEWHERE.get(outcome.beside.verdict, other), CLASSES[outcome.beside.verdict])
    return found


def filters(outcomes: list[Outcome], profile: str, other: str) -> dict[str, dict[str, str]]:
    """What claims can be chosen by: for each filter the values that occur, and how each is shown."""
    kinds = {outcome.verdict for each in outcomes for outcome in (each, each.beside) if outcome}
    pairs = [worlds(outcome, profile, other) for outcome in outcomes]
    return {
        "paper": {work: _name(work) for work in (*claims.WORKS, claims.OURS)},
        "world": {world: world for world in dict.fromkeys(world for pair in pairs for world in pair)},
        "verdict": {
            CLASSES[kind]: " / ".join(dict.fromkeys((kind, claims.FINDINGS.get(kind, kind))))
            for kind in verdicts.KINDS
            if kind in kinds
        },
    }


def glance(outcomes: list[Outcome], profile: str) -> list[dict[str, Any]]:
    """The claims of the papers, and separately our own findings, which are not replications.

    For each side its ``title``, the ``kinds`` of verdicts that occur and their world in the filter, and ``rows``: for
    each work its counts.
    """
    sides = []
    for title, are_ours in (("Claims of the papers", False), ("Our own findings", True)):
        own = [outcome for outcome in outcomes if outcome.is_ours == are_ours]
        if not own:
            continue
        counted = verdicts.counts(own)
        occurring = [kind for kind in verdicts.KINDS if counted[kind].any()]
        rows = [
            {"work": work, "name": _name(str(work)), "counts": [int(row[kind]) for kind in occurring]}
            for work, row in counted.iterrows()
        ]
        kinds = [
            {
                "name": own[0].label(kind),
                "class": CLASSES[kind],
                "mark": MARKS[kind],
                "world": ELSEWHERE.get(kind, profile),
            }
            for kind in occurring
        ]
        sides.append({"title": title, "kinds": kinds, "rows": rows, "total": len(own)})
    return sides


def _name(work: str) -> str:
    return verdicts.OUR_FINDINGS if work == claims.OURS else work


def by_notebook(outcomes: list[Outcome], profile: str) -> list[dict[str, Any]]:
    """Notebook by notebook, its claims with their figures, and a link to the notebook, wherever results/ is kept."""
    known = {chapter.number: chapter for chapter in chapters.find()}
    shown = []
    for number in sorted({outcome.claim.notebook for outcome in outcomes}):
        link = ""
        if number in known:
            home, path = paths.ROOT / "results" / profile, known[number].path
            link = Path(os.path.relpath(path, home)).as_posix() if paths.IS_CHECKOUT else f"notebooks/{path.name}"
        title = known[number].title if number in known else f"notebook {number}"
        here = [outcome for outcome in outcomes if outcome.claim.notebook == number]
        own = [(outcome, figures.forest(outcome, profile)) for outcome in here]
        shown.append({"number": number, "title": title, "link": link, "claims": own})
    return shown


def differences(profile: str) -> list[dict[str, Any]]:
    """Paper against released code: a row for each difference, with what it changes on each test as texts."""
    rows = frames.differences(profile)
    triples = zip(rows["effect"], rows["low"], rows["high"], strict=True)
    effects = [tables.with_interval(float(value), low, high) for value, low, high in triples]
    rows = rows.assign(effect=effects, n=[f"{int(count):,}" for count in rows["n"]])
    about = ["work", "paper", "code"]
    return [
        dict(zip(about, names, strict=True)) | {"effects": _texts(own[["asked", "effect", "n", "sure"]])}
        for names, own in rows.groupby(about, sort=False)
    ]


def _texts(rows: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(key): str(value) for key, value in row.items()} for row in rows.to_dict("records")]
