"""The pages of a checkout that are generated from its results: README.md, docs/index.md and docs/reproducibility.md.

Everything comes from ``results/``, ``configs/claims.toml``, ``configs/disagreements.toml`` and the names of the files
that notebooks write: only published numbers are typed. Disagreements are between papers and released code.
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from negutil import config, files, paths, results
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.errors import NegutilError
from negutil.files import Settings
from negutil.report import chapters, frames, pages
from negutil.tables import with_interval

BEGIN = "<!-- {}:begin (written by `negutil readme`; do not edit) -->"
END = "<!-- {}:end -->"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table with the columns ``head``, a row for each of ``lines``."""
    whole = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in whole)


def link(text: str, path: Path, page: Path) -> str:
    """A link from ``page`` to a file of the clone, or ``text`` as code where there is no such file.

    Tables and figures are linked where the clone keeps them, whatever NEGUTIL_RESULTS and NEGUTIL_FIGURES say.
    """
    return f"[{text}]({relative(path, page)})" if path.exists() else f"`{text}`"


def relative(path: Path, page: Path) -> str:
    """The address of ``path`` in a link of ``page``."""
    for folder, name in ((paths.results(""), "results"), (paths.figures(""), "figures")):
        if path.is_relative_to(folder):
            path = paths.ROOT / name / path.relative_to(folder)
    return Path(os.path.relpath(path, page.parent)).as_posix()


def text_with(parts: Mapping[str, str], path: Path) -> str:
    """The text of a page with each of ``parts`` between its markers; raises NegutilError if a marker is missing."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise NegutilError(f"{path} must have the lines '{begin}' and '{end}' exactly once each: put them back.")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{part}\n\n{end}{rest.split(end)[1]}"
    return text


# --------------------------------------------------------------------------------------------------------------------
# README.md: the figure, how long the results took, the headlines, and the verdicts

README = paths.ROOT / "README.md"
WIDTH = 620
ALT = "Two rows of five drawings: the top results for a query without and with “no”."
VERBS = {
    verdicts.REPLICATED: ("hold", "holds"),
    verdicts.NOT_REPLICATED: ("do not hold", "does not hold"),
    verdicts.DIFFERS: ("differ between models", "differs between models"),
    verdicts.INCONCLUSIVE: ("are inconclusive", "is inconclusive"),
    claims.FACT: ("are facts without a verdict", "is a fact without a verdict"),
    verdicts.NEEDS_PAPER: ("need the paper profile", "needs the paper profile"),
    verdicts.NOT_REPRODUCIBLE: ("cannot be reproduced", "cannot be reproduced"),
    verdicts.NO_RESULTS: ("are not measured", "is not measured"),
}
"""The verb for several findings of ours and for one, by verdict."""

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
    shown = f'<img src="{relative(figure, README)}" width="{WIDTH}" alt="{ALT}">'
    return f"{shown}\n\n*{caption}* ([notebook 03](notebooks/03_negbench.ipynb))"


def time(profile: str) -> str:
    """How long the results took, and on what, by the notes beside the tables."""
    took = frames.parts(profile)
    if took.empty:
        return "No results yet: run `./run_all.sh`."
    gpus = took["gpu"].replace("none", "no GPU")
    hosts = took["processor"] + ", " + took["threads"].astype(str) + " threads, " + gpus
    minutes = took["minutes"].astype(float).sum()
    machine = " / ".join(dict.fromkeys(hosts))
    return f"The committed tables took {minutes:.0f} minutes ({machine}), with trainings and answers in the cache."


def findings(profile: str) -> str:
    """The headlines, the verdicts on the papers' claims, and those on our own."""
    outcomes, other = verdicts.of(profile), verdicts.other_world(profile)
    known = {outcome.claim.id: outcome for outcome in outcomes}
    lines = []
    for headline in claims.headlines():
        outcome = known[headline.claim]
        values = [f"{with_interval(row.value, row.ci_low, row.ci_high)} ({row.model})" for row in outcome.rows]
        numbers = f"{headline.measure}: {', '.join(values)}" if values else outcome.reason
        verdict = f"{pages.MARKS[outcome.verdict]} **{outcome.verdict.capitalize()}** ({outcome.work})"
        beside = f" In {other}: {outcome.beside.told}." if outcome.beside and outcome.beside.rows else ""
        lines.append(f"- {verdict}: {headline.says}. *{numbers}*{beside}")
    theirs = [outcome for outcome in outcomes if not outcome.is_ours]
    counted = verdicts.counts(theirs)
    optional = (claims.FACT, verdicts.NO_RESULTS)
    shown = [kind for kind in verdicts.KINDS if kind not in optional or counted[kind].any()]
    counted.loc["**all**"] = counted.sum()
    head = ("", *(f"{pages.MARKS[kind]} {NAMES.get(kind, kind)}" for kind in shown), "claims")
    rows = [(str(work), *map(str, row), str(row.sum())) for work, row in counted[shown].iterrows()]
    ours = [outcome for outcome in outcomes if outcome.is_ours]
    kinds = [outcome.verdict for outcome in ours]
    counts = [f"{kinds.count(kind)} {VERBS[kind][kinds.count(kind) == 1]}" for kind in verdicts.KINDS if kind in kinds]
    later = sum(outcome.claim.amended for outcome in outcomes)
    findings_of_ours = (
        f"Our own **{len(ours)} findings**, mostly controls that the papers lack, are counted separately: "
        f"{', '.join(counts)}. A fact is true by construction or was noticed in the results. Every test was "
        f"written before its run; {later} later got a precondition (what a model must be able to do first) or a second "
        f"bound. The index marks both."
    )
    heading = f"The verdicts on all **{len(theirs)} claims** of the papers ([claim by claim](docs/index.md)):"
    parts = ["\n".join(lines), heading, table(head, rows), findings_of_ours, both_worlds(outcomes, profile)]
    return "\n\n".join(filter(None, parts))


def both_worlds(outcomes: Sequence[Outcome], profile: str) -> str:
    """How the verdicts on the claims that were tested in both worlds compare; "" without the other world."""
    pairs = [(one.verdict, one.beside.verdict) for one in outcomes if one.beside]
    pairs = [pair for pair in pairs if set(pair) <= set(verdicts.TESTED)]
    if not pairs:
        return ""
    other = verdicts.other_world(profile)
    same = sum(here == there for here, there in pairs)
    open_here = sum(here == claims.INCONCLUSIVE != there for here, there in pairs)
    open_there = sum(there == claims.INCONCLUSIVE != here for here, there in pairs)
    different = len(pairs) - same - open_here - open_there
    report = link(other, paths.results(other) / pages.MARKDOWN, README)
    return (
        f"**In both worlds.** The {report} profile tests {len(pairs)} of all these claims again: {same} have the same "
        f"verdict, {open_here} are inconclusive in {profile} alone, {open_there} in {other} alone; "
        f"{different} differ{'s' if different == 1 else ''}."
    )


def readme(profile: str, path: Path = README) -> str:
    """README with current generated parts; raises NegutilError if a marker is missing or a table is damaged."""
    parts = {"image": image(profile), "time": time(profile), "findings": findings(profile)}
    return text_with(parts, path)


# --------------------------------------------------------------------------------------------------------------------
# docs/index.md: every claim with its verdict, numbers, tables and figures, notebook by notebook

INDEX = paths.ROOT / "docs" / "index.md"
COLUMNS = ("claim", "verdict", "model", "here, 95 % interval", "n", "published", "tables")
INTRODUCTION = """\
# Every claim and its verdict

<!-- This page is written by `negutil readme`; do not edit it. -->

{total} claims, each with its test in [configs/claims.toml](../configs/claims.toml): {theirs} of the papers and {ours}
of our own, mostly controls. The numbers are from the *{profile}* profile ([what that is](../README.md#profiles)). In
{report}, every claim that was tested has a figure.

**Verdicts.** A test compares 95 % intervals with a bound. *Replicated*: all of them lie on the claim's side. *Not
replicated*: at least one lies entirely on the other side. *Inconclusive*: neither, or the model fails the test's
precondition. *Differs between models*: the claim is replicated for one model and contradicted for another. *Needs the
paper profile*: the claim is about a printed number, or about data and weights that the mini world does not have. *Not
reproducible*: the claim depends on something that has not been released. A claim of our own *holds* or *does not hold*.
A *fact* is true by construction or was noticed in the results, so it has a number and no verdict. Where the evaluation
sets were sampled several times, numbers are means over the samples. If a test has several conditions, the number shown
is the one closest to failing.
"""


def index(profile: str) -> str:
    """The page for the results of ``profile``; raises NegutilError if a table is damaged."""
    outcomes = verdicts.of(profile)
    ours = sum(outcome.is_ours for outcome in outcomes)
    introduction = INTRODUCTION.format(
        total=len(outcomes),
        theirs=len(outcomes) - ours,
        ours=ours,
        profile=profile,
        report=link("the report", paths.results(profile) / pages.MARKDOWN, INDEX),
    )
    other = verdicts.other_world(profile)
    why = [verdicts.WHY_WORLDS_DIFFER.format(one=profile, other=other)] if other else []
    parts = [introduction.rstrip(), *why, _overview(outcomes, profile)]
    for chapter in chapters.find():
        here = [outcome for outcome in outcomes if outcome.claim.notebook == chapter.number]
        parts += [f"## {chapter.title}", link("Open the notebook", chapter.path, INDEX)]
        for heading, are_ours in (("Claims of the papers", False), ("Findings of our own", True)):
            listed = rows([outcome for outcome in here if outcome.is_ours == are_ours], profile)
            parts += [f"**{heading}**", table((*COLUMNS, *filter(None, [other])), listed)] if listed else []
        for kind, folder, suffix in (("Tables", paths.results, "csv"), ("Figures", paths.figures, "png")):
            left = sorted(folder(profile).glob(f"{chapter.number}_*/*.{suffix}"))
            links = " · ".join(link(path.stem, path, INDEX) for path in left)
            parts += [f"{kind}: {links}"] if links else []
    return "\n\n".join(parts) + "\n"


def rows(outcomes: Sequence[Outcome], profile: str) -> list[tuple[str, ...]]:
    """A row for each claim with the columns of the page, models below each other; the other world's comes last."""
    found = []
    for outcome in outcomes:
        claim = outcome.claim
        marked = f" Test written {claim.written}." if claim.amended or not claim.written_before else ""
        # A source as a sentence, without the word that it is ours, and with references to pages of docs/ as links.
        text = re.sub(r"^ours[:;]?\s*", "", claim.source)
        linked = re.sub(r"docs/([\w.-]+\.md(#[\w-]+)?)", r"[\1](\1)", text)
        source = f"{linked[:1].upper()}{linked[1:]}{'.' if linked else ''}{marked}"
        statement = f"{claim.statement}<br>*{source}*" if source else claim.statement
        tables = dict.fromkeys(condition.table for condition in (*claim.provided, *claim.conditions))
        folder = paths.results(claim.results or profile)
        links = [link(name, folder / f"{name}.csv", INDEX) for name in tables]
        reason = f": {outcome.reason}" if outcome.reason else ""
        verdict = f"{pages.MARKS[outcome.verdict]} {outcome.label()}{reason}"
        values = [with_interval(row.value, row.ci_low, row.ci_high) for row in outcome.rows]
        counts = dict.fromkeys(f"{row.n:,}" for row in outcome.rows)
        cells = ([row.model for row in outcome.rows], values, counts, [claim.published], links)
        beside = [f"{pages.MARKS[outcome.beside.verdict]} {outcome.beside.told}"] if outcome.beside else []
        found.append((statement, verdict, *("<br>".join(cell) for cell in cells), *beside))
    return found


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
    head = ("notebook", *(f"{pages.MARKS[kind]} {kind}" for kind in shown), verdicts.OUR_FINDINGS, "minutes")
    return table(head, lines)


# --------------------------------------------------------------------------------------------------------------------
# docs/reproducibility.md: paper against code with measured effects, and what cannot be tested

REPRODUCIBILITY = paths.ROOT / "docs" / "reproducibility.md"
DISAGREEMENTS = paths.CONFIGS / "disagreements.toml"
WORKS = {
    "NegBench": "negbench",
    "NegationCLIP": "negationclip",
    "CLIPGlasses": "clipglasses",
    "CoN-CLIP": "con-clip",
    "NegCLIP and CLIP-bnl": "baselines",
}
"""Every paper, and the name of its parts of the page."""

SOURCES = {"MIT News": "NegBench"}
"""Sources of claims that do not begin with the name of their paper."""

GLASSES = {
    "CC-Neg": "CC-Neg",
    "CC-Neg, truth reversed": "CC-Neg, truth reversed",
    "COCO MCQ, paraphrased": "COCO MCQ",
}
"""Benchmarks on which a single difference of the glasses is reported."""


@dataclass(frozen=True, slots=True)
class Effect(Settings):
    """Numbers of a table in results/: the records with this ``task``, ``metric`` and ``model`` (* matches any text).

    ``says`` describes them; ``results`` is the folder in results/, the profile's own where it is empty.
    """

    table: str
    task: str
    metric: str
    says: str
    model: str = "*"
    results: str = ""


@dataclass(frozen=True, slots=True)
class Disagreement(Settings):
    """What a paper says, what its code or file does, and what that does here (or why it is not measured).

    ``glasses`` is the name of the difference where it is a single one of CLIPGlasses.
    """

    work: str
    paper: str
    code: str
    effects: tuple[Effect, ...] = ()
    unmeasured: str = ""
    glasses: str = ""


def read_disagreements(path: Path = DISAGREEMENTS) -> tuple[Disagreement, ...]:
    """Return all disagreements; raises NegutilError that names the entry where something is wrong."""
    entries = []
    for table in files.read_toml(path).get("disagreement", []):
        where = f"{path}: the disagreement {str(table.get('paper', table))[:60]!r}"
        entry = files.checked(Disagreement, table, where)
        if entry.work not in WORKS:
            raise NegutilError(f"{where} names no known paper: write one of {', '.join(WORKS)}.")
        effects = (*_of_glasses(entry.glasses), *entry.effects) if entry.glasses else entry.effects
        if bool(effects) == bool(entry.unmeasured):
            raise NegutilError(f"{where} must say either what it does here, or why that is not measured.")
        entries.append(dataclasses.replace(entry, effects=effects))
    return tuple(entries)


def _of_glasses(difference: str) -> tuple[Effect, ...]:
    """What one difference does to glasses that are otherwise the paper's, of the same seed."""
    where = ("06_clipglasses/ablations", "gain over the full glasses")
    return tuple(Effect(where[0], f"{task}/{difference}", where[1], says) for task, says in GLASSES.items())


def disagreements(work: str, profile: str) -> str:
    """Return the disagreements of ``work`` in Markdown, each with its effect in ``profile``.

    Raises NegutilError if a table of results is missing or lacks a number.
    """
    own = [entry for entry in read_disagreements() if entry.work == work]
    rows = [(entry.paper, entry.code, _told(entry, profile)) for entry in own]
    head = ("the paper says or assumes", "the released code or file", "effect here")
    return table(head, rows)


def untestable(work: str) -> str:
    """Return the untestable claims of ``work`` in Markdown, with what is missing."""
    starts = (work, *(source for source, other in SOURCES.items() if other == work))
    found = [claim for claim in claims.read() if claim.missing and claim.source.startswith(starts)]
    rows = [(claim.source, claim.statement, claim.missing) for claim in found]
    return table(("source", "claim", "what is missing"), rows) if rows else "None from this paper."


def moving(profile: str) -> str:
    """Return a sentence that lists the single differences of CLIPGlasses whose effect has an interval that excludes 0.

    Raises NegutilError as ``disagreements`` does.
    """
    names = [entry.glasses for entry in read_disagreements() if entry.glasses]
    rows = [pd.concat([_records(effect, profile) for effect in _of_glasses(name)]) for name in names]
    moves = [name for name, own in zip(names, rows, strict=True) if ((own["ci_low"] > 0) | (own["ci_high"] < 0)).any()]
    tried = sum(len(own) for own in rows)
    return (
        f"Of {len(names)} single differences, {len(moves)} change the result on at least one of the three benchmarks: "
        f"{', '.join(moves) or 'none'}. (About {tried / 20:.0f} of {tried} 95 % intervals exclude 0 by chance.)"
    )


def reproducibility_parts(profile: str) -> dict[str, str]:
    """Return the generated parts of the page by their markers' names; raises as ``disagreements`` does."""
    found = {f"differences-{name}": disagreements(work, profile) for work, name in WORKS.items()}
    found["moving"] = moving(profile)
    return found | {f"missing-{name}": untestable(work) for work, name in WORKS.items()}


def reproducibility(profile: str, path: Path = REPRODUCIBILITY) -> str:
    """Return the page as it should be; raises NegutilError if a marker is missing, and as ``disagreements`` does."""
    return text_with(reproducibility_parts(profile), path)


def _told(entry: Disagreement, profile: str) -> str:
    """What a disagreement does: values with intervals and n; models are named unless the effect names its one."""
    if entry.unmeasured:
        return f"*Not measured.* {entry.unmeasured}"
    lines = []
    for effect in entry.effects:
        rows = _records(effect, profile)
        values = []
        for row in rows.to_dict("records"):
            digits = 4 if abs(row["value"]) < 0.01 else 3
            value = with_interval(row["value"], row["ci_low"], row["ci_high"], digits)
            values.append(f"{row['model']} **{value}**" if "*" in effect.model and row["model"] else f"**{value}**")
        counts = ", ".join(dict.fromkeys(f"{count:,}" for count in rows["n"]))
        lines.append(f"{effect.says}: {'; '.join(values)} (n = {counts})")
    return "<br>".join(lines)


def _records(effect: Effect, profile: str) -> pd.DataFrame:
    """The records that an effect means; raises NegutilError if there is none, or one without a value."""
    place = effect.results or profile
    rows = results.read(paths.results(place) / f"{effect.table}.csv")
    own = rows[(rows["metric"] == effect.metric) & results.matching(rows, task=effect.task, model=effect.model)]
    if own.empty or own["value"].isna().any():
        raise NegutilError(
            f"results/{place}/{effect.table}.csv has no {effect.metric!r} of {effect.task!r} for {effect.model!r}: run "
            f"the notebook that writes it, or correct {DISAGREEMENTS.name}."
        )
    return own


# --------------------------------------------------------------------------------------------------------------------
# All pages

PAGES = {
    "README.md": readme,
    "docs/index.md": index,
    "docs/reproducibility.md": reproducibility,
}
"""Every page with the function that returns its text for a profile."""


def update(profile: str) -> dict[str, bool]:
    """Write every page for ``profile``; returns whether that changed it, by its name.

    Raises NegutilError in an installed wheel, and where a table is missing or damaged.
    """
    stale = _stale(profile)
    for name, text in stale.items():
        files.write_text(paths.ROOT / name, text)
    return {name: name in stale for name in PAGES}


def check(profile: str) -> None:
    """Raise NegutilError that names the first page that does not agree with the tables of ``profile``."""
    for name in _stale(profile):
        raise NegutilError(f"{name} does not agree with the tables in results/: run `negutil readme`.")


def _stale(profile: str) -> dict[str, str]:
    """The text of each page that does not say what the tables say."""
    if not paths.IS_CHECKOUT:
        raise NegutilError("An installed negutil has no README.md and no docs/: run `negutil readme` in a checkout.")
    current = {name: text_of(profile) for name, text_of in PAGES.items()}
    return {name: text for name, text in current.items() if text != (paths.ROOT / name).read_text(encoding="utf-8")}
