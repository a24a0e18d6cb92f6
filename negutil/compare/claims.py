"""Claims and their verdicts: each is written down with its test in ``configs/claims.toml`` before anything is run.

A verdict is read off the tables in ``results/`` alone: change a number there and the verdict changes. A condition looks
at whole 95 % intervals, so a claim is replicated only where the data leave no doubt at that level, and a claim whose
intervals reach over the bound is inconclusive. A printed digit is another matter: with the same files and weights it
comes out or it does not. ``judge`` is about claims that can be tested; ``negutil.compare.verdicts`` has a line for
every claim. The last part of the file has the headlines, and which claims are controls of which.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import config, files, paths, results, tables
from negutil.errors import NegutilError

FILE = paths.CONFIGS / "claims.toml"
REPLICATED, NOT_REPLICATED, INCONCLUSIVE = "replicated", "not replicated", "inconclusive"
BEFORE = "before the run"
WORKS = ("NegBench", "NegationCLIP", "CLIPGlasses", "CoN-CLIP")
OURS = "our controls"
REFERENCE_KEYS = {"table", "task", "metric"}
CLAIM_KEYS = {"id", "notebook", "source", "statement"}
ROUNDING = 1e-9
SENTENCES = {REPLICATED: "replicated", NOT_REPLICATED: "not_replicated", INCONCLUSIVE: "inconclusive"}
"""The key of the sentence that a control has for each verdict."""

CONTROL_KEYS = {"claim", "by", "asks", *SENTENCES.values()}
HEADLINE_KEYS = {"claim", "says", "measure"}
BOUNDS = ({"above"}, {"below"}, {"equal", "within"})


class NoRecordError(NegutilError):
    """A table has no record that a claim needs: its notebook has not made it in this profile."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The intervals of some records against a bound.

    Attributes:
        table: ``<experiment>/<name>`` of a table in results/.
        task: the records' task, where ``*`` stands for any text; ``metric``: their metric.
        side: "above" or "below", the side of ``bound`` on which the whole interval has to lie; or "equal": the number
            itself has to be at most ``within`` from it.
    """

    table: str
    task: str
    metric: str
    side: str
    bound: float
    within: float = 0.0

    @property
    def wanted(self) -> str:
        """What the condition asks for, as text."""
        return f"{self.side} {self.bound:g}" + (f" ± {self.within:g}" if self.side == "equal" else "")

    def margins(self, rows: pd.DataFrame) -> pd.DataFrame:
        """``rows`` with how far each is on the right side of the bound.

        ``holds`` is positive where the whole interval is on that side, ``contradicted`` is not negative where none is.
        """
        if self.side == "equal":
            holds = self.within + ROUNDING - (rows["value"] - self.bound).abs()
            return rows.assign(holds=holds, contradicted=-holds)
        low, high = rows["ci_low"] - self.bound, rows["ci_high"] - self.bound
        holds, contradicted = (low, -high) if self.side == "above" else (-high, low)
        return rows.assign(holds=holds, contradicted=contradicted)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of a paper (or one of ours), with the conditions that decide about it.

    Attributes:
        id, notebook, source, statement: its name, where it is tested, who says so and what.
        conditions: all have to hold for the claim to be replicated.
        provided: what a model has to fulfil to be able to show the claim at all.
        published: the published numbers, as text.
        testable_in: the profiles that can show it (empty: every one), and ``why`` not the others.
        missing: what nobody has who would test it; then there are no conditions.
        written: when the test was written down.
        models: those that the claim is about (empty: the models of the profile).
        results: the folder in results/ that decides (empty: the profile's).
    """

    id: str
    notebook: str
    source: str
    statement: str
    conditions: tuple[Condition, ...] = ()
    provided: tuple[Condition, ...] = ()
    published: str = ""
    testable_in: tuple[str, ...] = ()
    why: str = ""
    missing: str = ""
    written: str = BEFORE
    models: tuple[str, ...] = ()
    results: str = ""

    @property
    def written_before(self) -> bool:
        """Whether its test was written down before the numbers were known."""
        return self.written.startswith(BEFORE)

    @property
    def work(self) -> str:
        """Whose claim it is: one of WORKS, or OURS."""
        names = [name for name in WORKS if self.source.startswith((name, f"MIT News on {name}"))]
        return names[0] if names else OURS

    @property
    def of_everywhere(self) -> bool:
        """Whether every profile's own tables decide about it by a test from before the run."""
        return not (self.testable_in or self.missing or self.results) and self.written_before


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a claim for one model, and the record that decided (the one nearest to failing)."""

    claim: str
    model: str
    verdict: str
    decided_by: str
    value: float
    ci_low: float
    ci_high: float
    n: int


@dataclass(frozen=True, slots=True)
class Headline:
    """A claim of a paper for the front page.

    Attributes:
        claim: its id.
        says: the claim in plain words.
        measure: what its numbers are.
    """

    claim: str
    says: str
    measure: str


@dataclass(frozen=True, slots=True)
class Control:
    """A claim of ours that says what another claim means.

    Attributes:
        claim, by: the ids of what is claimed and of its control.
        asks: the question that the control answers.
        says: a sentence for each verdict on the control (keys: "replicated", "not replicated", "inconclusive").
    """

    claim: str
    by: str
    asks: str
    says: dict[str, str]


def read(path: Path = FILE) -> tuple[Claim, ...]:
    """All claims of the file; raises NegutilError that names the claim and the key where something is wrong."""
    content = files.read_toml(path)
    claims = tuple(_claim(table, path) for table in content.get("claim", []))
    names = [claim.id for claim in claims]
    if not names or len(set(names)) < len(names):
        raise NegutilError(f"{path} needs at least one [[claim]] and no id twice: mend it.")
    return claims


def of_notebook(notebook: str, path: Path = FILE) -> tuple[Claim, ...]:
    """The claims whose verdicts one notebook ("03") shows; the report has the others as well."""
    return tuple(claim for claim in read(path) if claim.notebook == notebook and claim.of_everywhere)


def _claim(table: dict[str, Any], path: Path) -> Claim:
    known = {field.name for field in dataclasses.fields(Claim)}
    if not CLAIM_KEYS <= set(table) <= known:
        wanted = f"must have {sorted(CLAIM_KEYS)} and at most {sorted(known)}"
        raise NegutilError(f"{path}: claim {table.get('id')!r} {wanted}: correct it.")
    kinds = ("conditions", "provided")
    conditions = {kind: tuple(_condition(row, table["id"], path) for row in table.get(kind, [])) for kind in kinds}
    if bool(conditions["conditions"]) == bool(table.get("missing")):
        said = "has no conditions" if not table.get("missing") else "has conditions though something is missing"
        raise NegutilError(f"{path}: claim {table['id']!r} {said}: say what decides about it, or what is missing.")
    if table.get("testable_in") and not table.get("why"):
        raise NegutilError(f"{path}: claim {table['id']!r} is for some profiles only: say why.")
    lists = {key: tuple(table.get(key, ())) for key in ("testable_in", "models")}
    return Claim(**{**table, **lists, **conditions})


def _condition(row: dict[str, Any], claim: str, path: Path) -> Condition:
    bound = set(row) - REFERENCE_KEYS
    if not set(row) >= REFERENCE_KEYS or bound not in BOUNDS:
        wanted = "table, task, metric and one of above, below, equal with within"
        raise NegutilError(f"{path}: a condition of claim {claim!r} needs {wanted}, but has {sorted(row)}.")
    side = (bound - {"within"}).pop()
    where = (row["table"], row["task"], row["metric"])
    return Condition(*where, side, float(row[side]), float(row.get("within", 0.0)))


def headlines(path: Path = FILE) -> list[Headline]:
    """The headlines in their order.

    Raises NegutilError where a key is missing, and where one is not a claim of a paper with a test from before the run.
    """
    rows, known = _rows(path, "headline", HEADLINE_KEYS), {claim.id: claim for claim in read(path)}
    for row in rows:
        claim = known[row["claim"]]
        if claim.work == OURS or not claim.written_before or not claim.conditions:
            raise NegutilError(
                f"{path}: {claim.id!r} cannot be a headline: choose a claim of a paper whose test was written before "
                "the run."
            )
    return [Headline(**row) for row in rows]


def controls(path: Path = FILE) -> list[Control]:
    """Every control; raises NegutilError where a key is missing or a claim is not in the file."""
    return [
        Control(row["claim"], row["by"], row["asks"], {verdict: row[key] for verdict, key in SENTENCES.items()})
        for row in _rows(path, "control", CONTROL_KEYS)
    ]


def _rows(path: Path, kind: str, wanted: set[str]) -> list[dict[str, Any]]:
    """The rows of the file's headlines or controls, once their keys and the claims that they name are checked."""
    known = {claim.id for claim in read(path)}  # says what is wrong with the file
    rows: list[dict[str, Any]] = files.read_toml(path).get(kind, [])
    for row in rows:
        if set(row) != wanted:
            raise NegutilError(f"{path}: a {kind} must have {sorted(wanted)}, but has {sorted(row)}: correct it.")
        for name in (row[key] for key in ("claim", "by") if key in row):
            if name not in known:
                raise NegutilError(f"{path}: there is no claim {name!r}: correct the name in its headline or control.")
    return rows


def judge(claims: Iterable[Claim], profile: str, models: Sequence[str]) -> list[Verdict]:
    """The verdict on each claim for each of ``models`` (or the claim's own) that its tables know, in that order.

    Raises NegutilError where a table is missing, and NoRecordError where no record of any model fits a condition. With
    published data a claim whose data are not here has no verdict: ``skipped.csv`` says what is missing.
    """
    found = []
    for claim in claims:
        try:
            found += _verdicts(claim, profile, models)
        except NegutilError as problem:
            there = all(file_of(one, claim.results or profile).exists() for one in (*claim.provided, *claim.conditions))
            damaged = there and not isinstance(problem, NoRecordError)
            if damaged or not (profile in config.names() and config.load(profile).published):
                raise
    return found


def table(verdicts: Iterable[Verdict], claims: Iterable[Claim]) -> pd.DataFrame:
    """Claims and verdicts as a frame of texts: claim, published, model, verdict, decided by, value with interval, n."""
    known = {claim.id: claim for claim in claims}
    rows = [
        {
            "claim": known[verdict.claim].statement,
            "published": known[verdict.claim].published,
            "model": verdict.model,
            "verdict": verdict.verdict,
            "decided by": verdict.decided_by,
            "value": tables.with_interval(verdict.value, verdict.ci_low, verdict.ci_high),
            "n": verdict.n,
        }
        for verdict in verdicts
    ]
    return pd.DataFrame(rows)


def margins(claim: Claim, profile: str, model: str) -> pd.DataFrame:
    """The records of one model that decide about a claim, with how far each is on the right side (``Condition``).

    Columns are those of results with wanted (a text), bound, side, within, holds and contradicted.  Raises as ``judge``
    does.
    """
    return pd.concat([_margins(condition, profile, model, claim) for condition in claim.conditions])


def _verdicts(claim: Claim, profile: str, models: Sequence[str]) -> list[Verdict]:
    """For each model the first failing precondition decides, else the condition that is nearest to failing."""
    first, place = claim.conditions[0], claim.results or profile
    known = _records(first, place)["model"].unique()
    wanted = claim.models or models
    able = [model for model in wanted if model in known]
    if not able:
        raise NoRecordError(
            f"results/{place}/{first.table}.csv has no record of {first.task!r}, {first.metric!r} for any of "
            f"{', '.join(wanted)}: run notebook {claim.notebook}, or correct claim {claim.id!r} in {FILE.name}."
        )
    found = []
    for model in able:
        needed = [_margins(condition, profile, model, claim) for condition in claim.provided]
        unfit = [frame for frame in needed if frame["holds"].min() <= 0]
        rows = unfit[0] if unfit else margins(claim, profile, model)
        holds, contradicted = (rows["holds"] > 0).all(), (rows["contradicted"] >= 0).any()
        verdict = REPLICATED if holds else NOT_REPLICATED if contradicted else INCONCLUSIVE
        worst = rows.loc[rows["holds"] == rows["holds"].min()].iloc[0]
        decided = f"{worst['task']}: {worst['metric']} {worst['wanted']}"
        verdict = f"{INCONCLUSIVE}: it cannot show the claim" if unfit else verdict
        value, low, high = (float(worst[name]) for name in ("value", "ci_low", "ci_high"))
        found.append(Verdict(claim.id, model, verdict, decided, value, low, high, int(worst["n"])))
    return found


def _margins(condition: Condition, profile: str, model: str, claim: Claim) -> pd.DataFrame:
    """One model's records of a condition, with their margins; computed once while the file does not change."""
    path = file_of(condition, claim.results or profile)
    return _margins_in(condition, profile, model, claim, _state(path))


@functools.lru_cache(maxsize=4096)
def _margins_in(
    condition: Condition, profile: str, model: str, claim: Claim, state: tuple[object, ...]
) -> pd.DataFrame:
    rows = _records(condition, claim.results or profile)
    own = rows[rows["model"] == model]
    needed = ["value"] if condition.side == "equal" else ["value", "ci_low", "ci_high"]
    if own.empty or own[needed].isna().to_numpy().any():
        raise NoRecordError(
            f"results/{claim.results or profile}/{condition.table}.csv has no record with an interval of "
            f"{condition.task!r}, {condition.metric!r} for {model}, which claim {claim.id!r} needs: "
            f"run notebook {claim.notebook}."
        )
    return condition.margins(own).assign(
        wanted=condition.wanted, bound=condition.bound, side=condition.side, within=condition.within
    )


def _records(condition: Condition, profile: str) -> pd.DataFrame:
    """The records that a condition names, found once while their file does not change; they are not written to."""
    path = file_of(condition, profile)
    return _matching(condition, path, _state(path))


def _state(path: Path) -> tuple[object, ...]:
    """What changes when a file does: the path with its time, size and inode."""
    state = path.stat() if path.exists() else None
    return (path, state.st_mtime_ns, state.st_size, state.st_ino) if state else (path,)


@functools.lru_cache(maxsize=1024)
def _matching(condition: Condition, path: Path, state: tuple[object, ...]) -> pd.DataFrame:
    rows = results.read(path)
    rows = rows[rows["metric"] == condition.metric]
    fits = [fnmatch.fnmatchcase(task, condition.task) for task in rows["task"]]
    return rows[pd.Series(fits, index=rows.index, dtype=bool)]


def file_of(condition: Condition, profile: str) -> Path:
    """The table that a condition looks at, in results/ of ``profile``."""
    return paths.results(profile) / f"{condition.table}.csv"
