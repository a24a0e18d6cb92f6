"""Do the verdicts hold on other images and other questions? Claims over three base seeds of the evaluation sets.

Models and training sets are those of the profile; ``evaluate`` draws the mini world's evaluation sets from another seed
and evaluates the same models again. The tables go to a results folder in the cache; of these, the rows that claims name
are kept in ``results/<profile>/evaluation_seeds/<seed>/``, laid out as the profile's own tables, and the verdicts of
all seeds, and that on the numbers of all pooled, side by side in ``results/<profile>/evaluation_seeds.csv``. The pooled
verdict is the one that counts: draws that differ in significance need not disagree.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from negutil import config, files, paths, results
from negutil.compare import (
    affirmative,
    binary_probe,
    claims,
    clipglasses,
    evaluation,
    glasses_parts,
    negation_beyond,
    negationclip,
    negbench,
    referring_segmentation,
    verdicts,
)
from negutil.compare.claims import Claim, Condition, NoRecordError
from negutil.config import Curves, Profile, Splits, World
from negutil.data import source
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.tasks.negbench import load_all
from negutil.train import recipes
from negutil.train.sets import PICTURES

SEEDS = (1, 2)
"""Beside the seed of the profile's own world."""

POOLED = "pooled"
"""The value of the seed if all samples are pooled."""

COLUMNS = ("claim", "model", "seed", "verdict", "decided_by", "value", "ci_low", "ci_high", "n", "p", "heterogeneity")
EVALUATED_AGAIN = (
    *("00_mini_world/floors", "00_mini_world/absence", "02_binary_probe/probe"),
    *(f"03_negbench/{name}" for name in ("tasks", "phrasings", "scaling", "exclusion", "bias", "claims")),
    *(f"05_negationclip/{name}" for name in ("levels", "seeds", "gains", "rules")),
    *(
        f"06_clipglasses/{name}"
        for name in ("levels", "seeds", "gains", "ablations", "ablation_seeds", "lambda", "mask")
    ),
    *(f"08_referring_segmentation/{name}" for name in ("levels", "seeds", "gains", "rules")),
)
"""The tables that depend on evaluation sets. Web captions, training sets, prompts for images and the layers under the
probe do not: their verdicts are those of one seed."""


def stated(profile: str) -> list[Claim]:
    """The claims that the evaluation sets of a profile decide about, of the notebooks that have run in it.

    These can be tested in the profile, on its own tables, and all tables of their conditions are evaluated again. What
    they are provided with is read from the profile's own (``claims.judge``), as it says what a model can do.
    """
    found = []
    for claim in claims.read():
        decisive = {condition.table for condition in claim.conditions}
        here = not claim.testable_in or profile in claim.testable_in
        again = here and not claim.results and bool(decisive) and decisive <= set(EVALUATED_AGAIN)
        wanted = decisive | {condition.table for condition in claim.provided}
        if again and all((paths.results(profile) / f"{table}.csv").exists() for table in wanted):
            # The profile's own tables may lack what the claim needs: ``quick`` does without some controls.
            with contextlib.suppress(NoRecordError):
                claims.judge([claim], profile, verdicts.models(profile))
                found.append(claim)
    return found


def where(profile: str, seed: int) -> str:
    """The folder in results/ that has the tables of a seed: the profile's own for its world's seed."""
    return profile if seed == config.load(profile).world.seed else f"{profile}/{verdicts.DRAWS}/{seed}"


def keep(settings: Profile, seed: int, tables: Path) -> list[Path]:
    """Write the rows of the tables under ``tables`` that claims name to the folder of ``seed``; returns the files.

    ``tables`` is a folder like results/, with all tables of the profile as one seed has them. Tables of a former run
    that no claim needs any more are deleted: they would be pooled. Raises NegutilError where a table is missing.
    """
    wanted: dict[str, list[Condition]] = {}
    for claim in stated(settings.name):
        for condition in claim.conditions:
            wanted.setdefault(condition.table, []).append(condition)
    written = []
    for table, conditions in sorted(wanted.items()):
        experiment, _, name = table.partition("/")
        with paths.folders(results=tables):
            whole = results.load(settings.name, experiment, name)
        rows = whole[np.logical_or.reduce([condition.names(whole) for condition in conditions])].astype(object)
        records = [Record(**row) for row in rows.where(rows.notna(), None).to_dict("records")]  # type: ignore[arg-type]
        written.append(results.save(records, where(settings.name, seed), experiment, name, evaluation_seed=seed))
    if (place := where(settings.name, seed)) != settings.name:
        for stale in {*paths.results(place).glob("*/*.csv")} - {*written}:
            stale.unlink()
            stale.with_suffix(".provenance.json").unlink(missing_ok=True)
    return written


def judge(profile: str, seeds: Sequence[int] = SEEDS) -> pd.DataFrame:
    """The verdict on every claim for every model and seed, the profile's own first, then the pooled one: COLUMNS.

    Raises NegutilError if a seed's tables are missing.
    """
    settings, decided = config.load(profile), stated(profile)
    if not decided:
        raise NegutilError(
            f"{paths.results(profile)} has no table that a claim needs: run notebooks 03, 05 and 06 first."
        )
    draws, models = [where(profile, seed) for seed in seeds], verdicts.models(profile)
    judged = {
        seed: claims.judge(decided, place, models, floors=profile)
        for seed, place in zip((settings.world.seed, *seeds), (profile, *draws), strict=True)
    }
    rows = [
        dataclasses.asdict(verdict) | {"seed": str(seed)}
        for seed, found in (judged | {POOLED: claims.judge(decided, profile, models, draws)}).items()
        for verdict in found
    ]
    table = pd.DataFrame(rows)
    order = {name: number for number, name in enumerate(table["claim"].unique())}
    ranked = table.assign(rank=table["claim"].map(order)).sort_values(["rank", "model"], kind="stable")
    return ranked[list(COLUMNS)].reset_index(drop=True)


def path(profile: str) -> Path:
    """The file with the verdicts of all seeds."""
    return paths.results(profile) / f"{verdicts.DRAWS}.csv"


def write(profile: str, seeds: Sequence[int] = SEEDS) -> Path:
    """Judge and write the table; raises NegutilError as ``judge`` does."""
    text = judge(profile, seeds).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    files.write_text(path(profile), text)
    return path(profile)


def read(profile: str) -> pd.DataFrame:
    """The table that ``write`` wrote; raises NegutilError if it is missing or has other columns."""
    file = path(profile)
    if not file.exists():
        raise NegutilError(f"{file} is missing: run `negutil seeds --profile {profile}`.")
    found = files.read_csv(file, f"run `negutil seeds --profile {profile}`", dtype={"seed": str})
    if tuple(found.columns) != COLUMNS:
        raise NegutilError(f"{file} has other columns than {', '.join(COLUMNS)}: run `negutil seeds --judge`.")
    return found


def disagreements(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, the pooled ones among them, of claims and models about which the verdicts of the seeds differ."""
    single = table["verdict"].where(table["seed"] != POOLED)
    counts = single.groupby([table["claim"], table["model"]]).transform("nunique")
    return table[counts > 1].reset_index(drop=True)


# --------------------------------------------------------------------------------------------------------------------
# Evaluating the trained models once more: models and their training sets stay, everything else is drawn again


SAME = 0.001
"""The largest share of evaluation images that may look exactly like a training image."""

LEARNED = {"scenes": 1000, "shapes": 100, "radiographs": 1_000_000}
"""At most so many training images of these parts are drawn, and none of the others. Nothing is trained on them:
constants of two controls of glasses are averaged over captions of the first, which are made with the second, and
thresholds for radiographs are set on the third, whose validation file is the test."""


STEPS: dict[str, tuple[Callable[[Profile], object], ...]] = {
    affirmative.EXPERIMENT: (lambda settings: affirmative.run(settings, 0),),
    binary_probe.EXPERIMENT: (binary_probe.run,),
    negbench.EXPERIMENT: (
        lambda settings: negbench.run(settings, load_all(settings)),
        lambda settings: negation_beyond.run(
            settings, negation_beyond.gallery(settings), negation_beyond.domains(settings)
        ),
    ),
    negationclip.EXPERIMENT: (negationclip.run, negationclip.rules),
    clipglasses.EXPERIMENT: (clipglasses.run, glasses_parts.strengths, glasses_parts.mask),
    referring_segmentation.EXPERIMENT: (referring_segmentation.run,),
}
"""The evaluations that write the tables, by experiment."""


def settings_of(settings: Profile, seed: int) -> Profile:
    """The profile with its evaluation sets drawn from ``seed``, and hardly any training images.

    Raises NegutilError for the seed of the training sets, and for published data, which cannot be drawn again.
    """
    if not source.is_world(settings):
        raise NegutilError(
            f"The profile {settings.name} has published data, which no seed draws: choose mini or quick."
        )
    if seed == settings.world.seed or seed < 0:
        raise NegutilError(f"{seed} is no other seed than that of the training sets ({settings.world.seed}): try 1.")
    values = {field.name: getattr(settings.world, field.name) for field in dataclasses.fields(World)}
    drawn: dict[str, Any] = {
        name: Splits(min(own.train, LEARNED.get(name, 0)), own.val, own.test)
        for name, own in values.items()
        if isinstance(own, Splits)
    }
    return dataclasses.replace(settings, world=dataclasses.replace(settings.world, seed=seed, **drawn))


def only_named(settings: Profile, decided: Sequence[Claim]) -> Profile:
    """The profile with those fine-tuned models alone that a claim names, as what it is about or what a gain is over.

    Notebook 06 has no others beside the glasses than those of notebook 05 that are left.
    """
    conditions = [condition for claim in decided for condition in claim.conditions]
    texts = "\n".join(f"{condition.task} {condition.metric}" for condition in conditions)

    def named(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in texts or recipes.find(name).title in texts)

    plan = settings.finetuning
    kept = dataclasses.replace(
        plan,
        methods=named(plan.methods),
        more_methods=named(plan.more_methods),
        controls=named(plan.controls),
        shares=tuple(share for share in plan.shares if f"{evaluation.AT}{share:g}" in texts),
        curves=Curves(),
    )
    return dataclasses.replace(settings, finetuning=kept)


def evaluate(settings: Profile, seed: int) -> Iterator[tuple[str, float]]:
    """Evaluate all that claims need on the sets of ``seed`` and keep it; yields each experiment and its seconds.

    Features and answers are cached, so that a second call takes little. Raises NegutilError if a trained model is
    missing, and where one of the images is among the training images.
    """
    decided, tables = stated(settings.name), paths.cache() / "evaluation_seeds" / str(seed)
    other = only_named(settings_of(settings, seed), decided)
    needed = {condition.table.partition("/")[0] for claim in decided for condition in claim.conditions}
    learned_from = source.folder(settings, "coco") / PICTURES
    for experiment, steps in STEPS.items():
        if experiment in needed:
            started = time.monotonic()
            variables = {"NEGUTIL_COMMAND": f"negutil seeds --profile {settings.name} --seeds {seed}"}
            with (
                paths.folders(results=tables, figures=tables / "figures"),
                paths.variables(**variables, **paths.ONE_THREAD),
                threadpool_limits(1, "blas"),
            ):
                for step in steps:
                    step(other)
            yield experiment, time.monotonic() - started
    check_apart(other.built, learned_from)
    keep(settings, seed, tables)


def check_apart(evaluated: Path, learned_from: Path) -> int:
    """How many images under ``evaluated`` look exactly like one that models are trained on.

    Its own training images are left out. No scene is in both, but a single thing on a small grid is now and then
    drawn twice (one of the 25,000 images of seed 0). Raises NegutilError if more than a share of SAME are.
    """
    known = {files.sha256(picture) for picture in learned_from.glob("*.jpg")}
    own = evaluated / "coco" / PICTURES
    compared = [picture for picture in sorted(evaluated.rglob("*.jpg")) if picture.parent != own]
    same = [picture for picture in compared if files.sha256(picture) in known]
    if len(same) > SAME * len(compared):
        raise NegutilError(
            f"{same[0]} is a training image too, as are {len(same) - 1} more of {len(compared)}: choose another seed "
            "for the evaluation sets."
        )
    return len(same)
