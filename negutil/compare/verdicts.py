"""The outcome of every claim in a profile, tested or not.

``claims.judge`` decides if there are tables; this module gives the reasons if there are none, and the verdict on a
claim whose models disagree. If the evaluation sets were sampled several times, the verdict is that of the pooled
samples. Only files in ``results/`` and ``configs/claims.toml`` are read.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd
from scipy import stats

from negutil import config, paths, tables
from negutil.compare import claims
from negutil.compare.claims import (
    FACT,
    INCONCLUSIVE,
    NOT_REPLICATED,
    OURS,
    PART,
    REPLICATED,
    WORKS,
    Claim,
    Control,
    Verdict,
)
from negutil.data import skipped

DIFFERS, NEEDS_PAPER = "differs between models", "needs the paper profile"
NOT_REPRODUCIBLE, NO_RESULTS = "not reproducible", "not measured"
KINDS = (REPLICATED, NOT_REPLICATED, DIFFERS, INCONCLUSIVE, FACT, NEEDS_PAPER, NOT_REPRODUCIBLE, NO_RESULTS)
"""Every verdict that a claim can have, in the order of all tables."""

TESTED = KINDS[:4]
OUR_FINDINGS = "our findings"

WORLDS = {"mini": "photo", "photo": "mini"}
"""Profiles whose verdicts are compared: drawings with a grammar, photographs with human captions."""

WHY_WORLDS_DIFFER = (
    "Where {one} and {other} disagree, three things differ at once: the language (a grammar, or people's sentences), "
    "the images (drawings of which everything is known, or photographs of which only what captions name), and the "
    "training (a model that has read nothing else, or one whose text tower has read a billion pairs of sentences)."
)

DRAWS = "evaluation_seeds"
"""The folder in results/<profile>/ with the tables of other samples of the evaluation sets (``negutil seeds``)."""

DIFFERENT = 0.05
"""The p-value below which several samples of a number differ more than chance explains."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one claim.

    Attributes:
        claim: the claim itself.
        verdict: one of KINDS, over all models.
        rows: the verdict for each model; empty where it was not tested.
        reason: why it was not tested or is a fact, or that the samples differ; else empty.
        draws: folders in results/ with other samples of the evaluation sets, pooled with the profile's own.
        beside: its outcome in the other one of WORLDS, if that has results.
    """

    claim: Claim
    verdict: str
    rows: tuple[Verdict, ...] = ()
    reason: str = ""
    draws: tuple[str, ...] = ()
    beside: "Outcome | None" = None

    @property
    def work(self) -> str:
        """Whose claim it is: one of WORKS, or OURS."""
        return self.claim.work

    @property
    def is_ours(self) -> bool:
        """Whether the claim is our own, and so a finding, not a replication."""
        return self.work == OURS

    @property
    def is_of_part(self) -> bool:
        """Whether the claim is about a printed digit, and all numbers for it cover only part of the data."""
        return bool(self.rows) and all(row.verdict == PART for row in self.rows)

    def label(self, verdict: str = "") -> str:
        """The verdict (or another ``verdict`` on the same claim) in words: a claim of ours holds or does not hold."""
        shown = verdict or (PART if self.is_of_part else self.verdict)
        return self.claim.label(shown)

    @property
    def told(self) -> str:
        """The verdict with the number of each model, in one line."""
        numbers = [f"{row.model} {tables.with_interval(row.value, row.ci_low, row.ci_high)}" for row in self.rows]
        return f"{self.label()}: {', '.join(numbers)}" if numbers else self.label()


def other_world(profile: str) -> str:
    """The profile to compare with ``profile``: the other one of WORLDS; "" without results."""
    other = WORLDS.get(profile, "")
    return other if other and any(paths.results(other).glob("*/*.csv")) else ""


def of(profile: str, stated: Sequence[Claim] | None = None) -> list[Outcome]:
    """The outcome of every claim of the file (or of ``stated``), in its order, with that in the other world.

    Raises NegutilError if a table is there but damaged; that one is missing is an outcome.
    """
    other = other_world(profile)
    outcomes = [
        replace(_outcome(claim, profile), beside=_outcome(claim, other) if other else None)
        for claim in (stated or claims.read())
    ]
    tested = [row.p for outcome in outcomes for row in outcome.rows if row.verdict in TESTED and not math.isnan(row.p)]
    adjusted = dict(zip(tested, stats.false_discovery_control(tested), strict=True)) if tested else {}
    return [
        replace(outcome, rows=tuple(replace(row, q=adjusted.get(row.p, math.nan)) for row in outcome.rows))
        for outcome in outcomes
    ]


def models(profile: str) -> tuple[str, ...]:
    """The models that claims are judged for, unless they name their own."""
    settings = config.load(profile)
    pipeline = settings.generation.pipeline.rstrip("/").rpartition("/")[2]
    return (*settings.models, pipeline, settings.segmentation.model)


def together(rows: Sequence[Verdict]) -> str:
    """One verdict over the models of a claim: that they differ where one replicates it and another contradicts it.

    Numbers from part of the data decide nothing about a printed digit.
    """
    kinds = {INCONCLUSIVE if row.verdict.startswith(INCONCLUSIVE) else row.verdict for row in rows} - {PART}
    if not kinds:
        return NO_RESULTS
    if {REPLICATED, NOT_REPLICATED} <= kinds:
        return DIFFERS
    return INCONCLUSIVE if INCONCLUSIVE in kinds else kinds.pop()


def counts(outcomes: Sequence[Outcome], by: str = "work") -> pd.DataFrame:
    """How many claims of each ``by`` ("work" or "notebook") have which verdict: a row each, a column per kind."""
    groups = [outcome.work if by == "work" else outcome.claim.notebook for outcome in outcomes]
    order = [name for name in (*WORKS, OURS) if name in groups] if by == "work" else sorted(set(groups))
    frame = pd.crosstab(pd.Series(groups, name=by), pd.Series([outcome.verdict for outcome in outcomes], name="kind"))
    return frame.reindex(index=order, columns=list(KINDS), fill_value=0).rename_axis(columns=None)


def table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """A row of texts for each claim: those of ``claims.table``, with q for n; untested ones have a reason.

    The last column is the verdict in the other world, if that has results.
    """
    numbers = (math.nan, math.nan, math.nan, 0)
    untested = [(Verdict(outcome.claim.id, "", outcome.verdict, outcome.reason, *numbers),) for outcome in outcomes]
    rows = [outcome.rows or other for outcome, other in zip(outcomes, untested, strict=True)]
    found = claims.table(itertools.chain(*rows), (outcome.claim for outcome in outcomes)).drop(columns="n")
    found["q"] = [claims.by_model(own, [q_value(row.q) for row in own]) for own in rows]
    beside = [outcome.beside.told if outcome.beside else "" for outcome in outcomes]
    return found.assign(**{"in the other world": beside}) if any(beside) else found


def q_value(q: float) -> str:
    """A q-value as text; empty if there is none."""
    return "" if math.isnan(q) else f"{q:.3f}" if q >= 0.001 else "< 0.001"


def controls(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """What each control means: claim, verdict, what the control asks, its verdict, and the sentence that follows."""
    known = {outcome.claim.id: outcome for outcome in outcomes}
    rows = []
    for control in claims.controls():
        claimed, by = known[control.claim], known[control.by]
        rows.append((claimed.claim.statement, claimed.label(), control.asks, by.label(), meaning(control, claimed, by)))
    return pd.DataFrame(rows, columns=["claim", "verdict", "the control asks", "control", "so"])


def meaning(control: Control, claimed: Outcome, by: Outcome) -> str:
    """The sentence of a control that belongs to its verdict and that of the claim, or why it was not tested."""
    if not by.rows or by.is_of_part:
        return f"{by.label()}: {by.reason}"
    sentence = control.says[{DIFFERS: INCONCLUSIVE, FACT: REPLICATED}.get(by.verdict, by.verdict)]
    if claimed.verdict in (REPLICATED, DIFFERS):
        return sentence
    return f"The claim itself is {claimed.label()}, so there is no effect to explain. The control alone: {sentence}"


def _outcome(claim: Claim, profile: str) -> Outcome:
    if claim.missing:
        return Outcome(claim, NOT_REPRODUCIBLE, reason=claim.missing)
    if claim.testable_in and profile not in claim.testable_in:
        return Outcome(claim, NEEDS_PAPER, reason=claim.why)
    for condition in (*claim.provided, *claim.conditions):
        if not claims.file_of(condition, claim.results or profile).exists():
            gone = f"{condition.table}.csv is missing: run notebook {claim.notebook}"
            impossible = skipped.whole(config.load(profile), claim.notebook)
            return Outcome(claim, NO_RESULTS, reason=impossible.reason if impossible else gone)
    # Other draws of the evaluation sets than the profile's own that have all of the claim's numbers.
    folders = [] if claim.results else sorted((paths.results(profile) / DRAWS).glob("*/"))
    drawn = (f"{profile}/{DRAWS}/{folder.name}" for folder in folders)
    draws = tuple(one for one in drawn if all(claims.file_of(each, one).exists() for each in claim.conditions))
    try:
        rows = tuple(claims.judge([claim], profile, models(profile), draws))
    except claims.NoRecordError:
        rows = ()
    if rows:
        apart = [row.model for row in rows if row.heterogeneity < DIFFERENT]
        reason = f"the draws of the evaluation sets differ more than chance explains ({', '.join(apart)})"
        return Outcome(claim, together(rows), rows, claim.fact or (reason if apart else ""), draws)
    wanted = claim.conditions[0]
    reason = (
        f"{wanted.table}.csv has no number for it ({wanted.task}, {wanted.metric}): this profile does not make it, its "
        f"data were not here, or run notebook {claim.notebook}"
    )
    return Outcome(claim, NO_RESULTS, reason=reason)


def records(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """A record for each claim and model, for programs: one without a model if a claim was not tested."""
    found = []
    for outcome in outcomes:
        about: dict[str, object] = {"claim": outcome.claim.id, "notebook": outcome.claim.notebook}
        about |= {"together": outcome.label(), "reason": outcome.reason}
        found += [] if outcome.rows else [about]
        for row in outcome.rows:
            values = {key: value for key, value in asdict(row).items() if key != "claim"}
            values["verdict"] = outcome.label(row.verdict)
            found.append(about | {k: None if isinstance(v, float) and pd.isna(v) else v for k, v in values.items()})
    return found
