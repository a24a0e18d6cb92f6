"""Asking the trained models once more, about evaluation sets that are drawn from another base seed.

The models, their training sets and the seeds of their training stay. Other are the pictures, captions, questions,
faces, clips and radiographs of everything that is evaluated, and what NegBench, VALSE, NegRefCOCOg and CC-Neg ask about
them. They lie in a folder of their own; what is answered goes to a results folder in the cache, from which
``negutil.compare.evaluation_seeds`` keeps what claims need.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from negutil import files, paths
from negutil.compare import (
    affirmative,
    binary_probe,
    clipglasses,
    evaluation_seeds,
    glasses_parts,
    negation_beyond,
    negationclip,
    negationclip_controls,
    negationclip_items,
    negbench,
    referring_segmentation,
)
from negutil.compare.claims import Claim
from negutil.config import Profile, Splits, World
from negutil.data import source
from negutil.errors import NegutilError
from negutil.tasks import negbench_items
from negutil.train import recipes
from negutil.train.sets import PICTURES

SAME = 0.001
"""The largest share of evaluation pictures that may look exactly like a training picture."""

LEARNED = {"scenes": 1000, "shapes": 100, "radiographs": 1_000_000}
"""At most so many training pictures of these parts are drawn, and none of the others. Nothing is trained on them:
constants of two controls of glasses are averaged over captions of the first, which are made with the second, and
thresholds for radiographs are set on the third, whose validation file is the test."""


@dataclass(frozen=True, slots=True)
class Step:
    """One experiment that is asked again: its name, the tables of results, and what writes them."""

    experiment: str
    ask: Callable[[Profile], object]


def _negbench(settings: Profile) -> None:
    negbench.run(settings, negbench_items.load_all(settings))
    gallery, domains = negation_beyond.gallery(settings), negation_beyond.domains(settings)
    negation_beyond.run(settings, gallery, domains)


def _negationclip(settings: Profile) -> None:
    negationclip.run(settings)
    negationclip_controls.rules(settings)


def _clipglasses(settings: Profile) -> None:
    clipglasses.run(settings)
    clipglasses.strengths(settings)
    glasses_parts.mask(settings)


STEPS = (
    Step(affirmative.EXPERIMENT, lambda settings: affirmative.run(settings, 0)),
    Step(binary_probe.EXPERIMENT, binary_probe.run),
    Step(negbench.EXPERIMENT, _negbench),
    Step(negationclip.EXPERIMENT, _negationclip),
    Step(clipglasses.EXPERIMENT, _clipglasses),
    Step(referring_segmentation.EXPERIMENT, referring_segmentation.run),
)


def settings_of(settings: Profile, seed: int) -> Profile:
    """The profile with its evaluation sets drawn from ``seed``, and hardly any training pictures.

    Raises NegutilError for the seed of the training sets, and for published data, which cannot be drawn anew.
    """
    if settings.published:
        raise NegutilError(
            f"The profile {settings.name} has published data, which no seed draws: choose mini or quick."
        )
    if seed == settings.world.seed or seed < 0:
        raise NegutilError(f"{seed} is no other seed than that of the training sets ({settings.world.seed}): try 1.")
    world = settings.world
    sizes = {field.name: getattr(world, field.name) for field in dataclasses.fields(World) if field.name != "seed"}
    drawn = {name: Splits(min(own.train, LEARNED.get(name, 0)), own.val, own.test) for name, own in sizes.items()}
    return dataclasses.replace(settings, world=World(seed=seed, **drawn))


def only_named(settings: Profile, stated: Sequence[Claim]) -> Profile:
    """The profile with those fine-tuned models alone that a claim names, as what it is about or what a gain is over.

    Notebook 06 has no others beside the glasses than those of notebook 05 that are left.
    """
    conditions = [condition for claim in stated for condition in claim.conditions]
    said = "\n".join(f"{condition.task} {condition.metric}" for condition in conditions)

    def named(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in said or recipes.find(name).title in said)

    plan = settings.finetuning
    kept = dataclasses.replace(
        plan,
        methods=named(plan.methods),
        more_methods=named(plan.more_methods),
        controls=named(plan.controls),
        shares=tuple(share for share in plan.shares if f"{negationclip_items.AT}{share:g}" in said),
    )
    return dataclasses.replace(settings, finetuning=kept)


def answers_folder(seed: int) -> Path:
    """Where everything that was answered about the sets of another seed lies, laid out as results/."""
    return paths.cache() / "evaluation_seeds" / str(seed)


def ask(settings: Profile, seed: int) -> Iterator[tuple[str, float]]:
    """Ask everything that claims need about the sets of ``seed`` and keep it; yields each experiment and its seconds.

    Features and answers are cached, so that a second call takes little. Raises NegutilError where a trained model is
    missing, and where one of the pictures is among the training pictures.
    """
    stated, answers = evaluation_seeds.stated(settings.name), answers_folder(seed)
    other = only_named(settings_of(settings, seed), stated)
    needed = {condition.table.partition("/")[0] for claim in stated for condition in claim.conditions}
    learned_from = source.folder(settings, "coco") / PICTURES
    for step in STEPS:
        if step.experiment in needed:
            started = time.monotonic()
            variables = {"NEGUTIL_COMMAND": f"negutil seeds --profile {settings.name} --seeds {seed}"}
            with (
                paths.folders(results=answers, figures=answers / "figures"),
                paths.variables(**variables, **paths.ONE_THREAD),
                threadpool_limits(1, "blas"),
            ):
                step.ask(other)
            yield step.experiment, time.monotonic() - started
    check_apart(other.built, learned_from)
    evaluation_seeds.keep(settings, seed, answers)


def check_apart(evaluated: Path, learned_from: Path) -> int:
    """How many pictures under ``evaluated`` look exactly like one that models are trained on.

    Its own training pictures are left out. No scene is in both, but a single thing on a small grid is now and then
    drawn twice (one of the 25,000 pictures of seed 0). Raises NegutilError where more than a share of SAME are.
    """
    known = {files.sha256(picture) for picture in learned_from.glob("*.jpg")}
    own = evaluated / "coco" / PICTURES
    compared = [picture for picture in sorted(evaluated.rglob("*.jpg")) if picture.parent != own]
    same = [picture for picture in compared if files.sha256(picture) in known]
    if len(same) > SAME * len(compared):
        raise NegutilError(
            f"{same[0]} is a training picture too, as are {len(same) - 1} more of {len(compared)}: choose another seed "
            "for the evaluation sets."
        )
    return len(same)
