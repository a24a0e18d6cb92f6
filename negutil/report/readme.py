"""The generated parts of README.md: the figure, how long the results took, the headlines, and the papers' claims.

All are written from ``results/`` and ``configs/claims.toml``; nothing in them is typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from negutil import config, paths
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.report import frames, markdown, pages
from negutil.tables import with_interval

README = paths.ROOT / "README.md"
PARTS = ("image", "time", "findings")
WIDTH = 620
ALT = "Two rows of five drawings: the top results for a query without and with “no”."
VERBS = {
    verdicts.REPLICATED: ("hold", "holds"),
    verdicts.NOT_REPLICATED: ("do not hold", "does not hold"),
    verdicts.DIFFERS: ("differ between models", "differs between models"),
    verdicts.INCONCLUSIVE: ("are inconclusive", "is inconclusive"),
    verdicts.NEEDS_PAPER: ("need the paper profile", "needs the paper profile"),
    verdicts.NOT_REPRODUCIBLE: ("cannot be reproduced", "cannot be reproduced"),
    verdicts.NO_RESULTS: ("have no results yet", "has no results yet"),
}
"""What several findings of ours do, and what one does, by verdict."""

NAMES = {verdicts.NOT_REPRODUCIBLE: "cannot be reproduced"}
"""Verdicts that read better in another wording on the front page."""


def image(profile: str) -> str:
    """The figure of the same query with and without "no", and how many of the five images show what it names."""
    from negutil.compare import negation_beyond as top

    model = config.load(profile).models[-1]
    table = frames.found(profile, f"{top.EXPERIMENT}/top_five")
    rows = {str(row["task"]): row for row in table.to_dict("records") if row["model"] == model}
    nouns = [task.partition("/")[2] for task in rows if not task.endswith(top.ALL_NOUNS)]
    caption = f"The top five test images of {model} for a noun, and for the same noun after “no”."
    if nouns:
        query, denial = top.with_and_without(nouns[0]).values()
        count, denied = (f"{rows[f'{kind}/{nouns[0]}']['value']:.0f} of {top.TOP}" for kind in (top.WITH, top.WITHOUT))
        mean, mean_denied = (f"{rows[f'{kind}/{top.ALL_NOUNS}']['value']:.1f}" for kind in (top.WITH, top.WITHOUT))
        every = rows[f"{top.WITH}/{top.ALL_NOUNS}"]["n"]
        caption = (
            f"The top five test images of {model} for “{query}” ({count} show {query}) and for “{denial}” ({denied} "
            f"show {query}). The noun is the alphabetically first; averaged over all {every} nouns, {mean} and "
            f"{mean_denied} of {top.TOP} images show it."
        )
    figure = paths.figures(profile) / top.EXPERIMENT / f"{top.FIGURE}.png"
    shown = f'<img src="{markdown.relative(figure, README)}" width="{WIDTH}" alt="{ALT}">'
    return f"{shown}\n\n*{caption}* ([notebook 03](notebooks/03_negbench.ipynb))"


def time(profile: str) -> str:
    """How long the results took, and on what, by the notes beside the tables."""
    took = frames.parts(profile)
    if took.empty:
        return "No results yet: run `./run_all.sh`."
    gpus = took["gpu"].replace("none", "no GPU")
    hosts = took["processor"] + ", " + took["threads"].astype(str) + " threads, " + gpus
    minutes = took["minutes"].astype(float).sum()
    return f"The committed results took {minutes:.0f} minutes ({' / '.join(dict.fromkeys(hosts))})."


def findings(profile: str) -> str:
    """The headlines, the verdicts on the papers' claims, and those on our own."""
    outcomes = verdicts.of(profile)
    known = {outcome.claim.id: outcome for outcome in outcomes}
    lines = []
    for headline in claims.headlines():
        outcome = known[headline.claim]
        values = [f"{with_interval(row.value, row.ci_low, row.ci_high)} ({row.model})" for row in outcome.rows]
        numbers = f"{headline.measure}: {', '.join(values)}" if values else outcome.reason
        verdict = f"{pages.MARKS[outcome.verdict]} **{outcome.verdict.capitalize()}** ({outcome.work})"
        lines.append(f"- {verdict}: {headline.says}. *{numbers}*")
    ours = [outcome for outcome in outcomes if outcome.is_ours]
    theirs = [outcome for outcome in outcomes if not outcome.is_ours]
    heading = f"The verdicts on all **{len(theirs)} claims** of the papers ([claim by claim](docs/index.md)):"
    return "\n".join([*lines, "", heading, "", _by_paper(theirs), "", _our_findings(ours)])


def parts(profile: str) -> dict[str, str]:
    """What stands between the markers of README, by the markers' names."""
    return {"image": image(profile), "time": time(profile), "findings": findings(profile)}


def current(profile: str, path: Path = README) -> str:
    """README as it should be; raises NegutilError where a marker is missing or a table is damaged."""
    return markdown.text_with(parts(profile), path)


def _by_paper(outcomes: Sequence[Outcome]) -> str:
    counted = verdicts.counts(outcomes)
    shown = [kind for kind in verdicts.KINDS if kind != verdicts.NO_RESULTS or counted[kind].any()]
    counted.loc["**all**"] = counted.sum()
    head = ("", *(f"{pages.MARKS[kind]} {NAMES.get(kind, kind)}" for kind in shown), "claims")
    rows = [(str(work), *map(str, row), str(row.sum())) for work, row in counted[shown].iterrows()]
    return markdown.table(head, rows)


def _our_findings(outcomes: Sequence[Outcome]) -> str:
    """How many of our own claims have which verdict, in two sentences."""
    kinds = [outcome.verdict for outcome in outcomes]
    counts = [f"{kinds.count(kind)} {VERBS[kind][kinds.count(kind) == 1]}" for kind in verdicts.KINDS if kind in kinds]
    after = sum(not outcome.claim.written_before for outcome in outcomes)
    return (
        f"Our own **{len(outcomes)} findings**, mostly controls that the papers lack, are counted separately: "
        f"{', '.join(counts)}. Every test was written before its run, except for {after} of our findings, which the "
        "index marks."
    )
