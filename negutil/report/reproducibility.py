"""The generated parts of docs/reproducibility.md: disagreements with their measured effects, and what cannot be tested.

Disagreements are written down in ``configs/disagreements.toml``; what each of them does here is read from ``results/``.
What cannot be tested is what ``configs/claims.toml`` says is missing. So no number on the page is typed but published
ones.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from negutil import files, paths, results
from negutil.compare import claims
from negutil.errors import NegutilError
from negutil.files import Settings
from negutil.report import markdown
from negutil.tables import with_interval

PAGE = paths.ROOT / "docs" / "reproducibility.md"
FILE = paths.CONFIGS / "disagreements.toml"
WORKS = {
    "NegBench": "negbench",
    "NegationCLIP": "negationclip",
    "CLIPGlasses": "clipglasses",
    "CoN-CLIP": "con-clip",
    "NegCLIP and CLIP-bnl": "baselines",
}
"""Every work, and what its parts of the page are called."""

SOURCES = {"MIT News": "NegBench"}
"""Sources of claims that do not begin with the name of their work."""

GLASSES = {
    "CC-Neg": "CC-Neg",
    "CC-Neg, truth reversed": "CC-Neg, the truth turned round",
    "COCO MCQ, paraphrased": "COCO MCQ",
}
"""Benchmarks on which a single difference of the glasses is told."""


@dataclass(frozen=True, slots=True)
class Effect(Settings):
    """Numbers of a table in results/: the records with this ``task``, ``metric`` and ``model`` (* stands for any text).

    ``says`` tells what they are; ``results`` is the folder in results/, the profile's own where it is empty.
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


def read(path: Path = FILE) -> tuple[Disagreement, ...]:
    """Return all disagreements; raises NegutilError that names the entry where something is wrong."""
    entries = []
    for table in files.read_toml(path).get("disagreement", []):
        where = f"{path}: the disagreement {str(table.get('paper', table))[:60]!r}"
        entry = files.checked(Disagreement, table, where)
        if entry.work not in WORKS:
            raise NegutilError(f"{where} is of no known work: write one of {', '.join(WORKS)}.")
        effects = (*_of_glasses(entry.glasses), *entry.effects) if entry.glasses else entry.effects
        if bool(effects) == bool(entry.unmeasured):
            raise NegutilError(f"{where} must say what it does here, or why that is not measured, and not both.")
        entries.append(dataclasses.replace(entry, effects=effects))
    return tuple(entries)


def _of_glasses(difference: str) -> tuple[Effect, ...]:
    """What one difference does to glasses that are otherwise the paper's, of the same seed."""
    where = ("06_clipglasses/ablations", "gain over the full glasses")
    return tuple(Effect(where[0], f"{task}/{difference}", where[1], says) for task, says in GLASSES.items())


def table(work: str, profile: str) -> str:
    """Return the disagreements of ``work`` in Markdown, each with its effect in ``profile``.

    Raises NegutilError where a table of results is missing or lacks a number.
    """
    own = [entry for entry in read() if entry.work == work]
    rows = [(entry.paper, entry.code, _told(entry, profile)) for entry in own]
    head = ("the paper says, or takes for granted", "the released code or file", "what it does here")
    return markdown.table(head, rows)


def missing(work: str) -> str:
    """Return the claims of ``work`` that nobody can test, in Markdown, with what is missing."""
    starts = (work, *(source for source, other in SOURCES.items() if other == work))
    found = [claim for claim in claims.read() if claim.missing and claim.source.startswith(starts)]
    rows = [(claim.source, claim.statement, claim.missing) for claim in found]
    return markdown.table(("source", "claim", "what is missing"), rows) if rows else "None from this paper."


def moving(profile: str) -> str:
    """Return a sentence: which single differences of CLIPGlasses move a benchmark, by an interval that excludes 0.

    Raises NegutilError as ``table`` does.
    """
    names = [entry.glasses for entry in read() if entry.glasses]
    rows = [pd.concat([_records(effect, profile) for effect in _of_glasses(name)]) for name in names]
    moves = [name for name, own in zip(names, rows, strict=True) if ((own["ci_low"] > 0) | (own["ci_high"] < 0)).any()]
    tried = sum(len(own) for own in rows)
    return (
        f"Of {len(names)} single differences {len(moves)} move at least one of the three benchmarks: "
        f"{', '.join(moves) or 'none'}. (Of {tried} intervals of 95 % about {tried / 20:.0f} exclude 0 by chance.)"
    )


def parts(profile: str) -> dict[str, str]:
    """Return what stands between the markers of the page, by the markers' names; raises as ``table`` does."""
    found = {f"differences-{name}": table(work, profile) for work, name in WORKS.items()}
    found["moving"] = moving(profile)
    return found | {f"missing-{name}": missing(work) for work, name in WORKS.items()}


def current(profile: str, path: Path = PAGE) -> str:
    """Return the page as it should be; raises NegutilError where a marker is missing, and as ``table`` does."""
    return markdown.text_with(parts(profile), path)


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
    """The records that an effect means; raises NegutilError where there is none, or one without a value."""
    place = effect.results or profile
    rows = results.read(paths.results(place) / f"{effect.table}.csv")
    own = rows[rows["metric"] == effect.metric]
    for column, wanted in (("task", effect.task), ("model", effect.model)):
        own = own[np.array([fnmatch.fnmatchcase(text, wanted) for text in own[column]], dtype=bool)]
    if own.empty or own["value"].isna().any():
        raise NegutilError(
            f"results/{place}/{effect.table}.csv has no {effect.metric!r} of {effect.task!r} for {effect.model!r}: run "
            f"the notebook that writes it, or correct {FILE.name}."
        )
    return own
