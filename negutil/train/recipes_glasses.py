"""Which training set and which changes make each pair of glasses of notebook 06, and the trainings that follow.

A pair is called ``<base>+<recipe>/seed<n>``, where the base is a model of the registry or a fine-tuned one. The seed
draws the items, the validation part, the initial weights and the order.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import glasses_settings, glasses_trained, loader
from negutil.models.glasses_trained import TrainedGlasses
from negutil.models.loader import LoadedModel
from negutil.train import glasses_sets, recipes_negation
from negutil.train import settings as named
from negutil.train.glasses_sets import CCNEG, RETRIEVAL, GlassesSet, Material
from negutil.train.glasses_stages import GlassesJob, train_many
from negutil.train.recipes_negation import draw, where

PREFIX = "clipglasses"
RELEASED_TRAINING: Mapping[str, Any] = {
    "variant": "released", "delta": (1.0, 1.0), "distractors": "unrelated", "fourth_term": False,
    "lens_set": glasses_sets.RETRIEVAL,
}  # fmt: skip
"""What the released code trains otherwise than the paper says, apart from rates, epochs and the split."""


@dataclass(frozen=True, slots=True)
class GlassesRecipe:
    """How a pair of glasses is made.

    Attributes:
        name: as in the model's name; title: as in tables.
        set: the training set (``glasses_sets.SETS``).
        small: whether it is the small one: the profile's ``glasses.small`` items of the set.
        changes: settings of the training that differ (``settings.GlassesTraining``).
        modules: settings of the modules that differ (``glasses_settings.GlassesConfig``).
    """

    name: str
    title: str
    set: str
    small: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, Any] = field(default_factory=dict)


def _difference(name: str) -> dict[str, Any]:
    """The settings of the modules with one difference of the released code (LAYERS: with ROW)."""
    own = glasses_settings.DIFFERENCES[name]
    return {**glasses_settings.DIFFERENCES[ROW], **own} if name == LAYERS else dict(own)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


FULL, RETRIEVED = f"{PREFIX}-{CCNEG}", f"{PREFIX}-{RETRIEVAL}"
SMALL, RETRIEVED_SMALL = f"{FULL}-small", f"{RETRIEVED}-small"
RELEASED, RELEASED_RETRIEVED = f"{FULL}-released", f"{RETRIEVED}-released"
ABLATIONS = {name: f"{FULL}-without-{_slug(name)}" for name in glasses_settings.ABLATIONS}
"""The recipe of each row of Table 3, by the name in ``glasses_settings.ABLATIONS``."""

DIFFERENCES = {name: f"{FULL}-with-{_slug(name)}" for name in glasses_settings.DIFFERENCES}
"""The recipe of each difference of the released code, by the name in ``glasses_settings.DIFFERENCES``."""

ROW, LAYERS = "lambda from the row's image", "three encoder layers"
"""With LAYERS lambda has no closed form, and a batch of pairs would take minutes: it is trained with ROW as well."""

TRAINING_DIFFERENCES: dict[str, dict[str, Any]] = {
    "delta is 1": {"delta": (1.0, 1.0)},
    "unrelated distractors": {"distractors": "unrelated"},
    "no fourth term": {"fourth_term": False},
    "a Lens from the other set": {"lens_set": RETRIEVAL},
    "split by caption": {"validation_by": "item"},
}
"""Differences of the released code's training, one by one (docs/protocols.md#glasses-training)."""

TRAINED_OTHERWISE = {name: f"{FULL}-with-{_slug(name)}" for name in TRAINING_DIFFERENCES}
"""The recipe of each of TRAINING_DIFFERENCES."""

RECIPES: dict[str, GlassesRecipe] = {
    recipe.name: recipe
    for recipe in (
        GlassesRecipe(FULL, "CLIPGlasses, CC-Neg", CCNEG),
        GlassesRecipe(RETRIEVED, "CLIPGlasses, NegBench's captions", RETRIEVAL),
        GlassesRecipe(SMALL, "CLIPGlasses, few captions of CC-Neg", CCNEG, small=True),
        GlassesRecipe(RETRIEVED_SMALL, "CLIPGlasses, few of NegBench's captions", RETRIEVAL, small=True),
        GlassesRecipe(RELEASED, "released code, CC-Neg", CCNEG, changes=RELEASED_TRAINING),
        GlassesRecipe(RELEASED_RETRIEVED, "released code, NegBench's captions", RETRIEVAL, changes=RELEASED_TRAINING),
        *(
            GlassesRecipe(recipe, f"without {name}", CCNEG, modules=glasses_settings.ABLATIONS[name])
            for name, recipe in ABLATIONS.items()
        ),
        *(GlassesRecipe(recipe, name, CCNEG, modules=_difference(name)) for name, recipe in DIFFERENCES.items()),
        *(
            GlassesRecipe(recipe, name, CCNEG, changes=TRAINING_DIFFERENCES[name])
            for name, recipe in TRAINED_OTHERWISE.items()
        ),
    )
}
"""Every recipe by name: both sets and variants first, then ablations and single differences."""


def find(name: str) -> GlassesRecipe:
    """The recipe called ``name``; raises NegutilError, listing those that exist, where there is none."""
    if name not in RECIPES:
        raise NegutilError(f"There is no recipe '{name}' for glasses; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


model_name = recipes_negation.model_name


def items(settings: Profile, model: LoadedModel, recipe: str, seed: int) -> GlassesSet:
    """The items that a recipe learns from with this seed, as texts: ``examples()`` of it are for fine-tuning."""
    whole = _material(model.name, settings)[0].sets[find(recipe).set]
    return whole.take(chosen(settings, find(recipe), len(whole), seed))


def chosen(settings: Profile, recipe: GlassesRecipe, available: int, seed: int) -> NDArray[np.int64]:
    """Which of the ``available`` items of its set a recipe learns from."""
    return draw(available, settings.glasses.small if recipe.small else settings.glasses.examples, 1.0, seed)


def train(settings: Profile, names: Sequence[str]) -> list[TrainedGlasses]:
    """Train every pair of ``names`` that is not finished; returns them in the order of ``names``.

    Pairs of one base should be neighbours: each process reads the sets of one base at a time. Raises NegutilError for
    a name that is none, and as ``glasses_stages.train_many`` does.
    """
    for name in names:
        find(glasses_trained.recipe_of(name))
    return train_many(names, functools.partial(job, settings), settings.name, settings.glasses.processes)


def job(settings: Profile, name: str) -> GlassesJob:
    """The training of the pair called ``name``; its sets are built and encoded where that has not been done."""
    recipe, match = find(glasses_trained.recipe_of(name)), re.search(r"/seed(\d+)$", name)
    if match is None:
        raise NegutilError(f"'{name}' names no seed; write it as base+recipe/seed0.")
    seed = int(match[1])
    material, base_sha256 = _material(glasses_trained.base_of(name), settings)
    config = named.glasses(settings.glasses.source, seed=seed, **{**where(), **recipe.changes})
    config = replace(config, modules=dict(recipe.modules))

    def data(own: str) -> glasses_sets.GlassesData:
        return material.data(own, chosen(settings, recipe, len(material.sets[own]), seed))

    other = config.lens_set if config.lens_set not in ("", recipe.set) else ""
    return GlassesJob(name, base_sha256, data(recipe.set), config, settings.name, data(other) if other else None)


@functools.lru_cache(maxsize=1)
def _material(base: str, settings: Profile) -> tuple[Material, str]:
    model = loader.load(base, profile=settings.name)
    return glasses_sets.material(model, settings), str(model.fingerprint["weights_sha256"])
