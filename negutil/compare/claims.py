"""Claims and their verdicts: each claim is written with its test in ``configs/claims.toml`` before anything is run.

Only the tables in ``results/`` decide a verdict: change a number there, and the verdict changes. A condition compares
whole 95 % intervals with a bound, so a claim whose interval includes the bound is inconclusive. A printed digit is
different: with the same files and weights it is reproduced or not. ``judge`` handles testable claims;
``negutil.compare.verdicts`` has a line for every claim. The last part of the file has the headlines, and which claims
are controls of which.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import config, files, paths, results, statistics, tables
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.files import Settings
from negutil.statistics import Interval

FILE = paths.CONFIGS / "claims.toml"
REPLICATED, NOT_REPLICATED, INCONCLUSIVE = VERDICTS = ("replicated", "not replicated", "inconclusive")
PART = "not reproduced here: part of the data"
"""Replaces a verdict on a printed digit if the number does not cover all of the digit's items."""

FACT = "fact"
"""Replaces a verdict for what is true by construction or was noticed in the results."""
BEFORE = "before the run"
WORKS = ("NegBench", "NegationCLIP", "CLIPGlasses", "CoN-CLIP", "SpaceVLM", "Negation steering")
OURS = "our controls"
FINDINGS = {REPLICATED: "holds", NOT_REPLICATED: "does not hold"}
"""The names of these verdicts for claims of ours, which are not published and so cannot be replicated."""

ROUNDING = 1e-9


Version = tuple[Path, tuple[int, ...]]
"""A file, and what differs once it was written again."""


class NoRecordError(NegutilError):
    """A table lacks a record that a claim needs: its notebook has not made it in this profile."""


@dataclass(frozen=True, slots=True)
class Condition(Settings):
    """The intervals of some records against a bound.

    Attributes:
        table: ``<experiment>/<name>`` of a table in results/.
        task: the records' task, where ``*`` matches any text; ``metric``: their metric.
        side: "above" or "below", the side of ``bound`` on which the whole interval must lie; or "equal": the number
            itself must be within ``within`` of it and cover at least ``of`` items.
    """

    table: str
    task: str
    metric: str
    side: str
    bound: float
    within: float = 0.0
    of: int = 0

    @property
    def wanted(self) -> str:
        """What the condition asks for, as text."""
        return f"{self.side} {self.bound:g}" + (f" ± {self.within:g}" if self.side == "equal" else "")

    def names(self, rows: pd.DataFrame) -> pd.Series:
        """Which of ``rows`` the condition is about (bool [N])."""
        return (rows["metric"] == self.metric) & results.matching(rows, task=self.task)

    def margins(self, rows: pd.DataFrame) -> pd.DataFrame:
        """``rows`` with how far each is on the right side of the bound.

        ``holds`` is positive if the whole interval is on that side; ``contradicted`` is at least 0 if none of it is.
        """
        if self.side == "equal":
            holds = self.within + ROUNDING - (rows["value"] - self.bound).abs()
            return rows.assign(holds=holds, contradicted=-holds)
        low, high = rows["ci_low"] - self.bound, rows["ci_high"] - self.bound
        holds, contradicted = (low, -high) if self.side == "above" else (-high, low)
        return rows.assign(holds=holds, contradicted=contradicted)


@dataclass(frozen=True, slots=True)
class Claim(Settings):
    """A claim of a paper (or one of ours), with the conditions that decide about it.

    Attributes:
        id, notebook, source, statement: its name, where it is tested, who says so and what.
        conditions: all must hold for the claim to be replicated.
        provided: preconditions that a model must fulfil to show the claim at all.
        published: the published numbers, as text.
        testable_in: the profiles that can show it (empty: every one), and ``why`` not the others.
        missing: what is not public but needed to test it; then there are no conditions.
        written: when the test was written.
        fact: why its number is shown without a verdict; such a claim is not a test.
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
    fact: str = ""
    models: tuple[str, ...] = ()
    results: str = ""

    def label(self, verdict: str) -> str:
        """A verdict on this claim in words: a claim of ours holds or does not hold."""
        return FINDINGS.get(verdict, verdict) if self.work == OURS else verdict

    @property
    def written_before(self) -> bool:
        """Whether its test was written before the numbers were known."""
        return self.written.startswith(BEFORE)

    @property
    def amended(self) -> bool:
        """Whether a part of its test was added after the numbers were known."""
        return "later" in self.written

    @property
    def work(self) -> str:
        """Whose claim it is: one of WORKS, or OURS."""
        names = [name for name in WORKS if self.source.startswith((name, f"MIT News on {name}"))]
        return names[0] if names else OURS

    @property
    def of_everywhere(self) -> bool:
        """Whether each profile's own tables decide it by a test from before the run."""
        return not (self.testable_in or self.missing or self.results) and self.written_before


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a claim for one model, and the record that decided (the one closest to failing).

    ``p`` is two-sided, of the record against its bound, and ``q`` the same after Benjamini and Hochberg over all claims
    of a report; ``heterogeneity`` is the p-value that pooled draws agree.
    """

    claim: str
    model: str
    verdict: str
    decided_by: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    p: float = math.nan
    heterogeneity: float = math.nan
    q: float = math.nan


@dataclass(frozen=True, slots=True)
class Headline(Settings):
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
class Control(Settings):
    """A claim of ours that says what another claim means.

    Attributes:
        claim, by: the ids of what is claimed and of its control.
        asks: the question that the control answers.
        replicated, not_replicated, inconclusive: a sentence for each verdict on the control.
    """

    claim: str
    by: str
    asks: str
    replicated: str
    not_replicated: str
    inconclusive: str

    @property
    def says(self) -> dict[str, str]:
        """The sentence for each verdict on the control."""
        return {verdict: getattr(self, verdict.replace(" ", "_")) for verdict in VERDICTS}


@dataclass(frozen=True, slots=True)
class _File(Settings):
    claim: tuple[Claim, ...] = ()
    headline: tuple[Headline, ...] = ()
    control: tuple[Control, ...] = ()


def read(path: Path = FILE) -> tuple[Claim, ...]:
    """All claims of the file; raises NegutilError that names the claim and the key if something is wrong."""
    return _read(path).claim


def _read(path: Path) -> _File:
    content = files.read_toml(path)
    for table in content.get("claim", []):
        for kind in ("conditions", "provided"):
            table[kind] = [_condition(row, table, path) for row in table.get(kind, [])]
    found = files.checked(_File, content, str(path))
    names = [claim.id for claim in found.claim]
    if not names or len(set(names)) < len(names):
        raise NegutilError(f"{path} needs at least one [[claim]] and no id twice: correct it.")
    for claim in found.claim:
        if bool(claim.conditions) == bool(claim.missing):
            wrong = "has conditions though something is missing" if claim.missing else "has no conditions"
            raise NegutilError(f"{path}: claim {claim.id!r} {wrong}: say what decides it, or what is missing.")
        if not (claim.written_before or claim.fact):
            raise NegutilError(
                f"{path}: claim {claim.id!r} was noticed in the results: say so under `fact`, because it is not a test."
            )
        if claim.testable_in and not claim.why:
            raise NegutilError(f"{path}: claim {claim.id!r} is limited to some profiles: say why.")
    mentioned = [each.claim for each in found.headline]
    mentioned += [name for each in found.control for name in (each.claim, each.by)]
    for name in mentioned:
        if name not in names:
            raise NegutilError(f"{path}: there is no claim {name!r}: correct the name in its headline or control.")
    return found


def _condition(row: dict[str, Any], claim: dict[str, Any], path: Path) -> dict[str, Any]:
    """A condition with ``side`` and ``bound`` instead of above, below or equal."""
    sides = [side for side in ("above", "below", "equal") if side in row]
    if len(sides) != 1 or {"within", "of"} & {*row} != ({"within", "of"} if "equal" in row else set()):
        wanted = "table, task, metric and one of above, below, equal with within and of"
        raise NegutilError(f"{path}: a condition of claim {claim.get('id')!r} needs {wanted}, but has {sorted(row)}.")
    return {"side": sides[0], "bound": row[sides[0]], **{key: row[key] for key in row if key != sides[0]}}


def of_notebook(notebook: str, path: Path = FILE) -> tuple[Claim, ...]:
    """The claims whose verdicts one notebook ("03") shows; the report has the others as well."""
    return tuple(claim for claim in read(path) if claim.notebook == notebook and claim.of_everywhere)


def headlines(path: Path = FILE) -> tuple[Headline, ...]:
    """The headlines in their order.

    Raises NegutilError if a key is missing, and where one is not a claim of a paper with a test from before the run.
    """
    found = _read(path)
    known = {claim.id: claim for claim in found.claim}
    for claim in (known[headline.claim] for headline in found.headline):
        if claim.work == OURS or not claim.written_before or not claim.conditions:
            raise NegutilError(
                f"{path}: {claim.id!r} cannot be a headline: choose a claim of a paper whose test was written before "
                "the run."
            )
    return found.headline


def controls(path: Path = FILE) -> tuple[Control, ...]:
    """Every control; raises NegutilError if a key is missing or a claim is not in the file."""
    return _read(path).control


def judge(
    claims: Iterable[Claim], profile: str, models: Sequence[str], draws: Sequence[str] = (), floors: str = ""
) -> list[Verdict]:
    """The verdict on each claim for each of ``models`` (or the claim's own) that its tables know, in that order.

    ``draws`` are folders in results/ with the same numbers from other draws of the evaluation sets; a verdict is then
    that of the pooled numbers. ``floors`` is the folder that says what a model can do (``provided``), if another one.
    Raises NegutilError if a table is missing, and NoRecordError where no record of any model fits a condition. With
    published data a claim whose data are not here has no verdict: ``skipped.csv`` says what is missing.
    """
    found = []
    for claim in claims:
        try:
            found += _verdicts(claim, profile, models, draws, floors or profile)
        except NegutilError as problem:
            there = all(file_of(one, claim.results or profile).exists() for one in (*claim.provided, *claim.conditions))
            damaged = there and not isinstance(problem, NoRecordError)
            if damaged or not (profile in config.names() and skipped.possible(config.load(profile))):
                raise
    return found


def table(verdicts: Iterable[Verdict], claims: Iterable[Claim]) -> pd.DataFrame:
    """Claims and verdicts as a frame of texts, a row a claim: claim, published, verdict, decided by, value, n.

    What differs between the models of a claim has a line for each of them.
    """
    known, found = {claim.id: claim for claim in claims}, list(verdicts)
    several = len({row.model for row in found}) > 1
    rows = []
    for name in dict.fromkeys(row.claim for row in found):
        claim, own = known[name], [row for row in found if row.claim == name]
        labels = [claim.label(row.verdict) for row in own]
        numbers = [tables.with_interval(row.value, row.ci_low, row.ci_high) for row in own]
        shown: list[list[Any]] = [
            labels,
            [row.decided_by for row in own],
            numbers,
            [row.n if row.model else "" for row in own],
        ]
        verdict, decided, value, count = (by_model(own, texts) for texts in shown)
        if several and len(own) == 1 and own[0].model:
            value = f"{own[0].model}: {value}"
        rows.append((claim.statement, claim.published, verdict, decided, value, count))
    return pd.DataFrame(rows, columns=["claim", "published", "verdict", "decided by", "value", "n"])


def by_model(rows: Sequence[Verdict], texts: Sequence[Any]) -> Any:
    """What all models of a claim have in common, else a line of text for each model."""
    if len(set(texts)) == 1:
        return texts[0]
    return "\n".join(f"{row.model}: {text}" for row, text in zip(rows, texts, strict=True))


def margins(claim: Claim, profile: str, model: str, draws: Sequence[str] = ()) -> pd.DataFrame:
    """The records of one model that decide about a claim, with how far each is on the right side (``Condition``).

    A condition without records, because its data are missing, is left out if another one has some.
    Columns are those of results with wanted (a text), bound, side, within, of, holds, contradicted and, where ``draws``
    are pooled, heterogeneity.  Raises as ``judge`` does.
    """
    there = _measured(claim.conditions, model, claim.results or profile)
    return pd.concat([_margins(condition, profile, model, claim, draws) for condition in there])


def _measured(conditions: Sequence[Condition], model: str, place: str) -> Sequence[Condition]:
    """Those of the conditions about which results/``place`` has a record of the model; all if it has none."""
    return [one for one in conditions if _has(model, one, place)] or conditions


def _has(model: str, condition: Condition, place: str) -> bool:
    return model in set(_records(condition, place)["model"])


def _verdicts(claim: Claim, profile: str, models: Sequence[str], draws: Sequence[str], floors: str) -> list[Verdict]:
    """For each model the first failing precondition decides, else the condition closest to failing.

    Conditions without a record of the model, because their data are missing, are left out and named; so are
    preconditions, if another one has a record.
    """
    first, place = claim.conditions[0], claim.results or profile
    known = {model for condition in claim.conditions for model in _records(condition, place)["model"]}
    wanted = claim.models or models
    able = [model for model in wanted if model in known]
    if not able:
        raise NoRecordError(
            f"results/{place}/{first.table}.csv has no record of {first.task!r}, {first.metric!r} for any of "
            f"{', '.join(wanted)}: run notebook {claim.notebook}, or correct claim {claim.id!r} in {FILE.name}."
        )
    found = []
    for model in able:
        missing = [one.task for one in claim.conditions if not _has(model, one, place)]
        preconditions = _measured(claim.provided, model, claim.results or floors)
        needed = [_margins(one, floors, model, claim, ()) for one in preconditions]
        unfit = [frame for frame in needed if frame["holds"].min() <= 0]
        rows = unfit[0] if unfit else margins(claim, profile, model, draws)
        holds, contradicted = (rows["holds"] > 0).all(), (rows["contradicted"] >= 0).any()
        verdict = REPLICATED if holds else NOT_REPLICATED if contradicted else INCONCLUSIVE
        verdict = FACT if claim.fact else f"{INCONCLUSIVE}: it cannot show the claim" if unfit else verdict
        worst = rows.loc[rows["holds"] == rows["holds"].min()].iloc[0]
        parts = rows[rows["n"] < rows["of"]]
        if len(parts):
            verdict, worst = PART, parts.iloc[0]
        decided = f"{worst['task']}: {worst['metric']} {worst['wanted']}"
        if len(parts):
            decided += f" ({worst['n']:,} of {worst['of']:,} items)"
        if missing:
            decided += f" (not measured here: {', '.join(missing)})"
        value, low, high = (float(worst[name]) for name in ("value", "ci_low", "ci_high"))
        p = (
            math.nan
            if worst["side"] == "equal" or claim.fact or len(parts)
            else statistics.p_value(value, low, high, worst["bound"])
        )
        numbers = (value, low, high, int(worst["n"]), p, float(worst.get("heterogeneity", math.nan)))
        found.append(Verdict(claim.id, model, verdict, decided, *numbers))
    return found


def _margins(condition: Condition, profile: str, model: str, claim: Claim, draws: Sequence[str]) -> pd.DataFrame:
    versions = tuple(_version(file_of(condition, place)) for place in (claim.results or profile, *draws))
    rows = _decisive(condition, model, versions)
    if rows is None:
        raise NoRecordError(
            f"results/{claim.results or profile}/{condition.table}.csv has no record with an interval of "
            f"{condition.task!r}, {condition.metric!r} for {model}, which claim {claim.id!r} needs: "
            f"run notebook {claim.notebook}."
        )
    return rows


@functools.lru_cache(maxsize=4096)
def _decisive(condition: Condition, model: str, versions: tuple[Version, ...]) -> pd.DataFrame | None:
    """The records of a model that decide, pooled over the files; None without them. Treat them as read-only."""
    rows = pd.concat([_matching(condition, version) for version in versions])
    rows = rows[rows["model"] == model]
    needed = ["value"] if condition.side == "equal" else ["value", "ci_low", "ci_high"]
    if rows.empty or rows[needed].isna().to_numpy().any():
        return None
    if len(versions) > 1:
        rows = pd.DataFrame([_pooled(each) for _, each in rows.groupby(["task", "metric"], sort=False)])
    facts = {name: getattr(condition, name) for name in ("wanted", "bound", "side", "within", "of")}
    return condition.margins(rows).assign(**facts)


def _pooled(rows: pd.DataFrame) -> dict[Any, Any]:
    """One record from several samples of the same number."""
    numbers = zip(*(rows[name] for name in ("value", "ci_low", "ci_high", "n", "ci_over")), strict=True)
    mean, heterogeneity = statistics.pooled([Interval(*number) for number in numbers])
    changed = {"value": mean.value, "ci_low": mean.low, "ci_high": mean.high, "n": mean.n}
    return rows.iloc[0].to_dict() | changed | {"heterogeneity": heterogeneity}


def _records(condition: Condition, profile: str) -> pd.DataFrame:
    """The records that a condition names, read once until the file changes; treat them as read-only."""
    return _matching(condition, _version(file_of(condition, profile)))


def _version(path: Path) -> Version:
    state = path.stat() if path.exists() else None
    return path, (state.st_mtime_ns, state.st_size, state.st_ino) if state else ()


@functools.lru_cache(maxsize=1024)
def _matching(condition: Condition, version: Version) -> pd.DataFrame:
    rows = results.read(version[0])
    return rows[condition.names(rows)]


def file_of(condition: Condition, profile: str) -> Path:
    """The table that a condition looks at, in results/ of ``profile``."""
    return paths.results(profile) / f"{condition.table}.csv"
