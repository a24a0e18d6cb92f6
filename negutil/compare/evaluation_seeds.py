"""Do the verdicts hold on other pictures and other questions? Claims over three base seeds of the evaluation sets.

Models and training sets are those of the profile; ``compare.other_seeds`` draws the mini world's evaluation sets
from another seed and asks the same models again. Of what they answer, the rows that claims name are kept in
``results/<profile>/evaluation_seeds/<seed>/``, laid out as the profile's own tables, and the verdicts of all seeds side
by side in ``results/<profile>/evaluation_seeds.csv``. A claim whose verdicts differ between seeds is inconclusive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from negutil import config, files, paths, results
from negutil.compare import claims, verdicts
from negutil.compare.claims import INCONCLUSIVE, Claim, Condition, NoRecordError
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.results import Record

SEEDS = (1, 2)
"""Beside the seed of the profile's own world."""

FOLDER = "evaluation_seeds"
COLUMNS = ("claim", "model", "seed", "verdict", "decided_by", "value", "ci_low", "ci_high", "n", "joint")
ASKED_AGAIN = (
    *("00_mini_world/floors", "00_mini_world/absence", "02_binary_probe/probe"),
    *(f"03_negbench/{name}" for name in ("tasks", "phrasings", "scaling", "exclusion", "bias", "claims")),
    *(f"05_negationclip/{name}" for name in ("levels", "seeds", "gains", "rules")),
    *(
        f"06_clipglasses/{name}"
        for name in ("levels", "seeds", "gains", "ablations", "ablation_seeds", "lambda", "mask")
    ),
    *(f"08_referring_segmentation/{name}" for name in ("levels", "seeds", "gains", "rules")),
)
"""The tables that depend on evaluation sets. Web captions, training sets, prompts for pictures and the layers under the
probe do not: their verdicts are those of one seed."""


def stated(profile: str) -> list[Claim]:
    """The claims that the evaluation sets of a profile decide about, of the notebooks that have run in it.

    These can be tested in the profile, on its own tables, and all of these are asked again.
    """
    found = []
    for claim in claims.read():
        wanted = {condition.table for condition in _conditions(claim)}
        here = not claim.testable_in or profile in claim.testable_in
        again = here and not claim.results and bool(wanted) and wanted <= set(ASKED_AGAIN)
        if again and all((paths.results(profile) / f"{table}.csv").exists() for table in wanted):
            # The profile's own tables may lack what the claim needs: ``quick`` does without some controls.
            with contextlib.suppress(NoRecordError):
                claims.judge([claim], profile, verdicts.models(profile))
                found.append(claim)
    return found


def _conditions(claim: Claim) -> tuple[Condition, ...]:
    return (*claim.provided, *claim.conditions)


def where(profile: str, seed: int) -> str:
    """The folder in results/ that has the tables of a seed: the profile's own for its world's seed."""
    return profile if seed == config.load(profile).world.seed else f"{profile}/{FOLDER}/{seed}"


# --------------------------------------------------------------------------------------------------------------------
# Keeping what claims need


def keep(settings: Profile, seed: int, answers: Path) -> list[Path]:
    """Write the rows of the tables under ``answers`` that claims name to the folder of ``seed``; returns the files.

    ``answers`` is a folder like results/, with all tables of the profile as one seed has them. Raises NegutilError
    where a table is missing.
    """
    wanted: dict[str, list[Condition]] = {}
    for claim in stated(settings.name):
        for condition in _conditions(claim):
            wanted.setdefault(condition.table, []).append(condition)
    written = []
    for table, conditions in sorted(wanted.items()):
        experiment, _, name = table.partition("/")
        with paths.folders(results=answers):
            whole = results.load(settings.name, experiment, name)
        named = pd.Series(False, index=whole.index)
        for condition in conditions:
            fits = whole["task"].map(lambda task, pattern=condition.task: fnmatch.fnmatchcase(task, pattern))
            named |= fits & (whole["metric"] == condition.metric)
        rows = whole[named].astype(object)
        plain = rows.where(rows.notna(), None).to_dict("records")
        records = [Record(**{str(column): value for column, value in row.items()}) for row in plain]
        written.append(results.save(records, where(settings.name, seed), experiment, name, evaluation_seed=seed))
    return written


# --------------------------------------------------------------------------------------------------------------------
# The verdicts


def judge(profile: str, seeds: Sequence[int] = SEEDS) -> pd.DataFrame:
    """The verdict on every claim for every model and seed, the profile's own first, and the joint one: COLUMNS.

    Raises NegutilError where a seed's tables are missing.
    """
    settings, decided = config.load(profile), stated(profile)
    if not decided:
        raise NegutilError(
            f"{paths.results(profile)} has no table that a claim needs: run notebooks 03, 05 and 06 first."
        )
    parts = []
    for seed in (settings.world.seed, *seeds):
        found = claims.judge(decided, where(profile, seed), verdicts.models(profile))
        parts.append(pd.DataFrame([dataclasses.asdict(verdict) for verdict in found]).assign(seed=seed))
    table = pd.concat(parts, ignore_index=True)
    by_claim = table.groupby(["claim", "model"], sort=False)["verdict"]
    together = {pair: joint(list(own)) for pair, own in by_claim}
    table = table.assign(joint=[together[pair] for pair in zip(table["claim"], table["model"], strict=True)])
    order = {name: number for number, name in enumerate(table["claim"].unique())}
    ranked = table.assign(rank=table["claim"].map(order)).sort_values(["rank", "model", "seed"], kind="stable")
    return ranked[list(COLUMNS)].reset_index(drop=True)


def joint(told: Sequence[str]) -> str:
    """What several seeds say together: their verdict where they agree, else ``inconclusive``."""
    different = list(dict.fromkeys(told))
    return different[0] if len(different) == 1 else INCONCLUSIVE


def path(profile: str) -> Path:
    """The file with the verdicts of all seeds."""
    return paths.results(profile) / f"{FOLDER}.csv"


def write(profile: str, seeds: Sequence[int] = SEEDS) -> Path:
    """Judge and write the table; raises NegutilError as ``judge`` does."""
    file = path(profile)
    text = judge(profile, seeds).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    files.write_text(file, text)
    return file


def read(profile: str) -> pd.DataFrame:
    """The table that ``write`` wrote; raises NegutilError where it is missing or has other columns."""
    file = path(profile)
    if not file.exists():
        raise NegutilError(f"{file} is not there: run `negutil seeds --profile {profile}`.")
    found = files.read_csv(file, f"run `negutil seeds --profile {profile}`")
    if tuple(found.columns) != COLUMNS:
        raise NegutilError(f"{file} has other columns than {', '.join(COLUMNS)}: run `negutil seeds --judge`.")
    return found


def disagreements(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of claims and models about which the seeds do not agree."""
    counts = table.groupby(["claim", "model"])["verdict"].transform("nunique")
    return table[counts > 1].reset_index(drop=True)
