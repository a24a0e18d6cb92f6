"""Which training set, loss and changes make each fine-tuned model of notebook 05, and the trainings that follow.

Every model is trained for about the same number of steps: a set with fewer captions is passed over more often, and a
method whose batches are smaller than the contrastive loss's (its examples have several texts) sees fewer examples. A
model is called ``<base>+<recipe>/seed<n>``. The seed draws the captions, the validation part and the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import loader, precision, trained
from negutil.models.loader import LoadedModel
from negutil.train import sets
from negutil.train.examples import Examples
from negutil.train.finetune import Job
from negutil.train.settings import settings as named_settings

DRAW = 2
"""Keeps the draw of captions apart from the other draws of a seed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made.

    Attributes:
        name: as in the model's name; title: as in tables.
        set: the training set (``sets.SETS``), which also says the method.
        error: the error rate of the annotators that made the set.
        share: how much of the profile's number of examples is used, with as many steps.
        changes: settings of the method that differ.
        rival: the recipe of which this one is a variant, if it is a control.
    """

    name: str
    title: str
    set: str
    error: float = 0.0
    share: float = 1.0
    changes: Mapping[str, Any] = field(default_factory=dict)
    rival: str = ""


PLAIN, NEGATIONCLIP, RANDOM, P1, P2 = "plain", "negationclip", "rand-p1", "p1", "p2"
NEGCAP, NEGFULL = "negcap", "negfull"
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(PLAIN, "plain captions", "plain"),
        Recipe("con-clip", "CoN-CLIP", "con-clip"),
        Recipe("negclip", "NegCLIP", "negclip"),
        Recipe("clip-bnl", "CLIP-bnl", "clip-bnl"),
        Recipe(NEGCAP, "NegCap", "negcap"),
        Recipe(NEGFULL, "NegFull", "negfull"),
        Recipe(RANDOM, "Rand-P1", "rand-p1"),
        Recipe(P1, "P1", "p1"),
        Recipe(P2, "P2", "p2"),
        Recipe(NEGATIONCLIP, "NegationCLIP", "p1+p2"),
        Recipe("negationclip-noise5", "annotators with 5 % errors", "p1+p2", error=0.05, rival=NEGATIONCLIP),
        Recipe("negationclip-noise20", "annotators with 20 % errors", "p1+p2", error=0.2, rival=NEGATIONCLIP),
        Recipe("negationclip-tenth", "a tenth of the captions", "p1+p2", share=0.1, rival=NEGATIONCLIP),
        Recipe("negationclip-third", "a third of the captions", "p1+p2", share=1 / 3, rival=NEGATIONCLIP),
        Recipe(
            "negationclip-leaked",
            "validation split by caption",
            "p1+p2",
            changes={"validation_by": "caption"},
            rival=NEGATIONCLIP,
        ),
        Recipe(
            "negationclip-mixed",
            "half of the captions without negation",
            "p1+p2",
            changes={"original_share": 0.5},
            rival=NEGATIONCLIP,
        ),
        Recipe("negationclip-half", "half as long", "p1+p2", changes={"epochs": 1}, rival=NEGATIONCLIP),
        Recipe(
            "negfull-raw",
            "NegFull, products not normalised",
            "negfull",
            changes={"normalise_mcq": False},
            rival=NEGFULL,
        ),
    )
}
"""Every recipe by name: methods and training sets first, then controls."""

ExamplesOf = Callable[[str, float], Examples]


def find(name: str) -> Recipe:
    """The recipe called ``name``; raises NegutilError, listing those that exist, where there is none."""
    if name not in RECIPES:
        raise NegutilError(f"There is no recipe '{name}'; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


def model_name(base: str, recipe: str, seed: int) -> str:
    """The name that a fine-tuned model, or a pair of glasses, is loaded by."""
    return f"{base}+{recipe}/seed{seed}"


def rows(settings: Profile, base: str) -> tuple[str, ...]:
    """The recipes that are rows of the tables of notebook 05 for ``base``: all of them where the controls are."""
    plan = settings.finetuning
    return possible(settings, (*plan.methods, *(plan.more_methods if base in plan.control_models else ())))


def possible(settings: Profile, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the recipes whose training sets are there or can be made; others are reported (``skipped``)."""

    def is_possible(recipe: Recipe) -> bool:
        def read() -> bool:
            sets.require(recipe.set, settings, recipe.error)
            return True

        return not settings.published or bool(skipped.attempt(settings, f"training of {recipe.title}", read))

    return tuple(name for name in names if is_possible(find(name)))


def jobs(settings: Profile, base: str, recipes: Iterable[str]) -> list[Job]:
    """The trainings of ``recipes`` on ``base``, one for each of their seeds.

    Builds the training sets and encodes the training pictures where that has not been done.
    """
    model = loader.load(base)
    known: dict[tuple[str, float], Examples] = {}

    def examples_of(name: str, error: float) -> Examples:
        if (name, error) not in known:
            known[name, error] = sets.examples(name, model, settings, error)
        return known[name, error]

    return [job(settings, model, find(name), seed, examples_of) for name in recipes for seed in seeds(settings, name)]


def single(settings: Profile, base: str, recipe: Recipe, seed: int) -> Job:
    """The training of ``recipe`` on ``base`` from one seed; raises NegutilError where its training set is missing."""
    model = loader.load(base)
    return job(settings, model, recipe, seed, lambda name, error: sets.examples(name, model, settings, error))


def seeds(settings: Profile, recipe: str) -> tuple[int, ...]:
    """From which seeds ``recipe`` is trained: controls from fewer than the rows of the tables."""
    return settings.finetuning.control_seeds if find(recipe).rival else settings.finetuning.seeds


def job(settings: Profile, model: LoadedModel, recipe: Recipe, seed: int, examples_of: ExamplesOf) -> Job:
    """One training: a recipe on a base from one seed; ``examples_of(set, error)`` gives a whole training set."""
    whole = examples_of(recipe.set, recipe.error)
    changes = {"seed": seed, **where(), **recipe.changes}
    config = named_settings(sets.method(recipe.set), settings.finetuning.source, **changes)
    wanted = examples_wanted(settings, config.batch) or len(whole)
    chosen = whole.take(draw(len(whole), wanted, recipe.share, seed))
    config = replace(config, epochs=epochs(config.epochs, wanted, len(chosen)))
    if config.method == "negbench" and not config.normalise_mcq:
        chosen = sets.with_lengths(chosen, model, settings)
    out = trained.folder(model_name(model.name, recipe.name, seed), settings.name)
    return Job(model.name, chosen, config, out, replace=True)


def where() -> dict[str, str]:
    """The device to train on, where it is not the CPU."""
    device = precision.device()
    return {} if device == "cpu" else {"device": device}


def examples_wanted(settings: Profile, batch: int) -> int:
    """As many examples in batches of ``batch`` as make the steps of the contrastive loss over the profile's number."""
    return settings.finetuning.examples * batch // named_settings("infonce", settings.finetuning.source).batch


def draw(available: int, wanted: int, share: float, seed: int) -> NDArray[np.int64]:
    """Which of ``available`` examples are used: ``share`` of ``wanted`` (0: all), as far as there are as many."""
    count = min(available, max(1, round(share * (wanted or available))))
    return np.sort(np.random.default_rng([seed, DRAW]).permutation(available)[:count])


def epochs(planned: int, wanted: int, count: int) -> int:
    """Passes over ``count`` examples that come nearest to ``planned`` passes over ``wanted``."""
    return max(1, round(planned * wanted / count))
