"""Claims and their verdicts: each is written down with its test in ``configs/claims.toml`` before anything is run.

A verdict is read off the tables in ``results/`` alone: change a number there and the verdict changes. A condition looks
at whole 95 % intervals, so a claim is replicated only where the data leave no doubt at that level, and a claim whose
intervals reach over the bound is inconclusive. A printed digit is another matter: with the same files and weights it
comes out or it does not. ``judge`` is about claims that can be tested; ``negutil.compare.verdicts`` has a line for
every claim.
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
ROUNDING = 1e-9
ROUNDING = 1e-9
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
        return not (self.testable_in or self.missing or self.results) and self.written == BEFORE


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


def judge(claims: Iterable[Claim], profile: str, models: Sequence[str]) -> list[Verdict]:
    """The verdict on each claim for each of ``models`` (or the claim's own) that its tables know, in that order.

    Raises NegutilError where a table is missing, and NoRecordError where no record of any model fits a condition. With
    published data a claim whose data are not here has no verdict: ``skipped.csv`` says what is missing.
    """
    return [verdict for claim in claims for verdict in _judged(claim, profile, models)]


def _judged(claim: Claim, profile: str, models: Sequence[str]) -> list[Verdict]:
    try:
        return _verdicts(claim, profile, models)
    except NegutilError as problem:
        damaged = _is_there(claim, profile) and not isinstance(problem, NoRecordError)
        if profile in config.names() and config.load(profile).published and not damaged:
            return []
        raise


def _is_there(claim: Claim, profile: str) -> bool:
    """Whether all tables of a claim are there; then what is wrong with them is an error."""
    return all(file_of(one, _place(claim, profile)).exists() for one in (*claim.provided, *claim.conditions))


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
    known = _records(claim.conditions[0], _place(claim, profile))["model"].unique()
    asked = claim.models or models
    able = [model for model in asked if model in known]
    if not able:
        wanted = claim.conditions[0]
        raise NoRecordError(
            f"results/{_place(claim, profile)}/{wanted.table}.csv has no record of {wanted.task!r}, {wanted.metric!r} "
            f"for any of {', '.join(asked)}: run notebook {claim.notebook}, or correct claim {claim.id!r} in "
            f"{FILE.name}."
        )
    return [_verdict(claim, profile, model) for model in able]


def _verdict(claim: Claim, profile: str, model: str) -> Verdict:
    """The first failing precondition decides, else the condition that is nearest to failing."""
    needed = [_margins(condition, profile, model, claim) for condition in claim.provided]
    unfit = [frame for frame in needed if frame["holds"].min() <= 0]
    if unfit:
        return _told(claim, model, f"{INCONCLUSIVE}: it cannot show the claim", unfit[0])
    found = margins(claim, profile, model)
    holds, contradicted = (found["holds"] > 0).all(), (found["contradicted"] >= 0).any()
    verdict = REPLICATED if holds else NOT_REPLICATED if contradicted else INCONCLUSIVE
    return _told(claim, model, verdict, found)


def _told(claim: Claim, model: str, verdict: str, rows: pd.DataFrame) -> Verdict:
    worst = rows.loc[rows["holds"] == rows["holds"].min()].iloc[0]
    decided = f"{worst['task']}: {worst['metric']} {worst['wanted']}"
    value, low, high = (float(worst[name]) for name in ("value", "ci_low", "ci_high"))
    return Verdict(claim.id, model, verdict, decided, value, low, high, int(worst["n"]))


def _margins(condition: Condition, profile: str, model: str, claim: Claim) -> pd.DataFrame:
    """One model's records of a condition, with their margins."""
    rows = _records(condition, _place(claim, profile))
    own = rows[rows["model"] == model]
    needed = ["value"] if condition.side == "equal" else ["value", "ci_low", "ci_high"]
    if own.empty or own[needed].isna().to_numpy().any():
        raise NoRecordError(
            f"results/{_place(claim, profile)}/{condition.table}.csv has no record with an interval of "
            f"{condition.task!r}, {condition.metric!r} for {model}, which claim {claim.id!r} needs: "
            f"run notebook {claim.notebook}."
        )
    return condition.margins(own).assign(
        wanted=condition.wanted, bound=condition.bound, side=condition.side, within=condition.within
    )


def _place(claim: Claim, profile: str) -> str:
    return claim.results or profile


def _records(condition: Condition, profile: str) -> pd.DataFrame:
    """The records that a condition names, found once while their file does not change; they are not written to."""
    path = file_of(condition, profile)
    state = path.stat() if path.exists() else None
    return _matching(condition, path, (state.st_mtime_ns, state.st_size, state.st_ino) if state else ())


@functools.lru_cache(maxsize=1024)
def _matching(condition: Condition, path: Path, state: tuple[int, ...]) -> pd.DataFrame:
    rows = results.read(path)
    rows = rows[rows["metric"] == condition.metric]
    fits = [fnmatch.fnmatchcase(task, condition.task) for task in rows["task"]]
    return rows[pd.Series(fits, index=rows.index, dtype=bool)]


def file_of(condition: Condition, profile: str) -> Path:
    """The table that a condition looks at, in results/ of ``profile``."""
    return paths.results(profile) / f"{condition.table}.csv"
