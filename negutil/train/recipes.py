"""Which training set and which changes make each model of notebooks 05 and 06, and the trainings that follow.

A model is called ``<base>+<recipe>/seed<n>``; the base of glasses is a model of the registry or a fine-tuned one. The
seed draws the items, the validation part and the order, and the initial weights of glasses.

Every fine-tuned model is trained for about the same number of steps: a set with fewer captions is passed over more
often, and a method whose batches are smaller than the contrastive loss's (its examples have several texts) sees fewer
examples. Recipes that differ from another one in length, share of the captions or weight of a loss are found by names
such as "plain-passes20" and made when they are asked for (``Curves`` of the profile).
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import NegutilError, no_such
from negutil.models import glasses_model, glasses_settings, loader, precision, text_layers, trained
from negutil.models.glasses_model import TrainedGlasses
from negutil.models.loader import LoadedModel
from negutil.train import glasses, glasses_sets, sets
from negutil.train import settings as named
from negutil.train.examples import Examples
from negutil.train.finetune import Job
from negutil.train.glasses import GlassesJob
from negutil.train.glasses_sets import CCNEG, RETRIEVAL, Material
from negutil.train.sets import CaptionPairs
from negutil.train.settings import FinetuneConfig

DRAW = 2
"""Keeps the draw of captions apart from the other draws of a seed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a fine-tuned model is made.

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
NEGCAP, NEGFULL, RAW = "negcap", "negfull", "negfull-raw"
_CONTROL = functools.partial(Recipe, set="p1+p2", rival=NEGATIONCLIP)
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
        _CONTROL("negationclip-noise5", "annotators with 5 % errors", error=0.05),
        _CONTROL("negationclip-noise20", "annotators with 20 % errors", error=0.2),
        _CONTROL("negationclip-tenth", "a tenth of the captions", share=0.1),
        _CONTROL("negationclip-third", "a third of the captions", share=1 / 3),
        _CONTROL("negationclip-leaked", "validation split by caption", changes={"validation_by": "caption"}),
        _CONTROL("negationclip-mixed", "half of the captions without negation", changes={"original_share": 0.5}),
        _CONTROL("negationclip-half", "half as long", changes={"epochs": 1}),
        _CONTROL("negationclip-lowest", "lowest validation loss", changes={"keep": "lowest validation loss"}),
        Recipe(RAW, "NegFull, products not normalised", "negfull", changes={"normalise_mcq": False}, rival=NEGFULL),
    )
}
"""Every recipe by name: methods and training sets first, then controls."""


_CHANGED = re.compile(r"(.+)-(passes|share|alpha)(\d+(?:\.\d+)?)")


def find(name: str) -> Recipe:
    """The recipe called ``name``; raises NegutilError, listing those that exist, if there is none.

    A name may continue with what is changed: passes over the captions, their share, NegBench's alpha, as in
    "negationclip-share0.1-passes20" or "negfull-alpha0.5".
    """
    if name in RECIPES:
        return RECIPES[name]
    match = _CHANGED.fullmatch(name)
    if match is None:
        raise no_such("recipe", name, RECIPES)
    recipe, what, value = find(match[1]), match[2], float(match[3])
    own: dict[str, Any] = {"name": name, "rival": recipe.rival or recipe.name}
    if what == "share":
        return replace(recipe, title=f"{recipe.title}, {value:.0%} of the captions", share=value, **own)
    title = f"{recipe.title}, {value:g} {'pass' if value == 1 else what}" if what == "passes" else ""
    changes = {"epochs": int(value)} if what == "passes" else {"alpha": value}
    return replace(
        recipe, title=title or f"{recipe.title}, alpha {value:g}", changes={**recipe.changes, **changes}, **own
    )


def is_recipe(name: str) -> bool:
    """Whether ``find`` knows the name."""
    match = _CHANGED.fullmatch(name)
    return name in RECIPES or (match is not None and is_recipe(match[1]))


def curve(settings: Profile) -> dict[str, tuple[str, float, int]]:
    """The recipes of the profile's curves of budgets: method, share of the captions and passes, by name.

    A point that the settings of a method have anyway is that method itself, which is trained once.
    """
    plan, source = settings.finetuning.curves, settings.finetuning.source
    points = [(method, 1.0, passes) for method in plan.methods for passes in plan.budgets]
    less = [(method, share) for method in plan.share_methods for share in plan.shares if share < 1]
    points += [(method, share, passes) for method, share in less for passes in plan.budgets]
    found = {}
    for method, share, passes in points:
        is_usual = named.settings(sets.SETS[find(method).set].method, source).epochs == passes
        name = method if share == 1 else f"{method}-share{share:g}"
        found[name if is_usual else f"{name}-passes{passes}"] = (method, share, passes)
    return found


def alphas(settings: Profile) -> dict[str, float]:
    """The recipes of NegBench's ablation: alpha by name; that of the settings is NegFull itself."""
    usual = named.settings("negbench", settings.finetuning.source).alpha
    chosen = settings.finetuning.curves.alphas
    return {NEGFULL if alpha == usual else f"{NEGFULL}-alpha{alpha:g}": alpha for alpha in chosen}


def on_curves(settings: Profile, base: str) -> tuple[str, ...]:
    """The recipes of the profile's curves on ``base`` whose training sets are there or can be made."""
    if base not in settings.finetuning.curves.models:
        return ()
    return possible(settings, (*curve(settings), *alphas(settings)))


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
        read = functools.partial(sets.require, recipe.set, settings, recipe.error)
        return not skipped.possible(settings) or bool(skipped.attempt(settings, f"training of {recipe.title}", read))

    return tuple(name for name in names if is_possible(find(name)))


def jobs(settings: Profile, base: str, recipes: Iterable[str], wanted: Sequence[int] = ()) -> list[Job]:
    """The trainings of ``recipes`` on ``base``, one for each seed that is ``wanted`` (by default their own).

    Builds the training sets and encodes the training images where that has not been done.
    """
    recipes = tuple(recipes)
    if not recipes:
        return []
    model = loader.load(base)

    @functools.cache
    def whole(name: str, error: float) -> Examples:
        return sets.examples(name, model, settings, error)

    return [
        job(settings, model, recipe, seed, whole(recipe.set, recipe.error))
        for recipe in map(find, recipes)
        for seed in wanted or seeds(settings, recipe.name)
    ]


def single(settings: Profile, base: str, recipe: Recipe, seed: int) -> Job:
    """The training of ``recipe`` on ``base`` from one seed; raises NegutilError if its training set is missing."""
    model = loader.load(base)
    return job(settings, model, recipe, seed, sets.examples(recipe.set, model, settings, recipe.error))


def seeds(settings: Profile, recipe: str) -> tuple[int, ...]:
    """From which seeds ``recipe`` is trained: controls from fewer than the rows of the tables."""
    plan = settings.finetuning
    if recipe not in RECIPES:
        return plan.curves.seeds
    return plan.control_seeds if find(recipe).rival else plan.seeds


def job(settings: Profile, model: LoadedModel, recipe: Recipe, seed: int, whole: Examples) -> Job:
    """One training: a recipe on a base from one seed, with its share of the ``whole`` training set."""
    config = config_of(settings, recipe, seed)
    chosen, config = part(whole, examples_wanted(settings, config.batch) or len(whole), recipe, config)
    if config.method == "negbench" and not config.normalise_mcq:
        chosen = replace(chosen, lengths=sets.lengths(model, settings))
    out = trained.folder(model_name(model.name, recipe.name, seed), settings.name)
    return Job(model.name, chosen, config, out, replace=True)


def config_of(settings: Profile, recipe: Recipe, seed: int, **changes: Any) -> FinetuneConfig:
    """The settings of a training: those of the profile's method, then those of ``recipe``, then ``changes``."""
    options = {"seed": seed, **where(), **recipe.changes, **changes}
    return named.settings(sets.SETS[recipe.set].method, settings.finetuning.source, **options)


def part(whole: Examples, wanted: int, recipe: Recipe, config: FinetuneConfig) -> tuple[Examples, FinetuneConfig]:
    """The share of ``wanted`` examples that ``recipe`` takes, with as many passes as make the steps of ``wanted``."""
    chosen = whole.take(draw(len(whole), wanted, recipe.share, config.seed))
    return chosen, replace(config, epochs=epochs(config.epochs, wanted, len(chosen)))


def where() -> dict[str, str]:
    """The device to train on, where it is not the CPU."""
    device = precision.device()
    return {} if device == "cpu" else {"device": device}


def examples_wanted(settings: Profile, batch: int) -> int:
    """As many examples in batches of ``batch`` as make the steps of the contrastive loss over the profile's number."""
    return settings.finetuning.examples * batch // named.settings("infonce", settings.finetuning.source).batch


def draw(available: int, wanted: int, share: float, seed: int) -> NDArray[np.int64]:
    """Which of ``available`` examples are used: ``share`` of ``wanted`` (0: all), as far as there are as many."""
    count = min(available, max(1, round(share * (wanted or available))))
    return np.sort(np.random.default_rng([seed, DRAW]).permutation(available)[:count])


def epochs(planned: int, wanted: int, count: int) -> int:
    """Passes over ``count`` examples that come nearest to ``planned`` passes over ``wanted``."""
    return max(1, round(planned * wanted / count))


# --------------------------------------------------------------------------------------------------------------------
# Glasses


PREFIX = "clipglasses"
RELEASED_TRAINING: Mapping[str, Any] = {
    "variant": "released", "delta": (1.0, 1.0), "distractors": "unrelated", "fourth_term": False,
    "lens_set": RETRIEVAL,
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


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


FULL, RETRIEVED = f"{PREFIX}-{CCNEG}", f"{PREFIX}-{RETRIEVAL}"
SMALL, RETRIEVED_SMALL = f"{FULL}-small", f"{RETRIEVED}-small"
TOKENS = f"{FULL}-tokens"
RELEASED, RELEASED_RETRIEVED = f"{FULL}-released", f"{RETRIEVED}-released"
ABLATIONS = {name: f"{FULL}-without-{_slug(name)}" for name in glasses_settings.ABLATIONS}
"""The recipe of each row of Table 3, by the name in ``glasses_settings.ABLATIONS``."""

DIFFERENCES = {name: f"{FULL}-with-{_slug(name)}" for name in glasses_settings.DIFFERENCES}
"""The recipe of each difference of the released code, by the name in ``glasses_settings.DIFFERENCES``."""

DIFFERENT = {name: dict(changes) for name, changes in glasses_settings.DIFFERENCES.items()}
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

GLASSES: dict[str, GlassesRecipe] = {
    recipe.name: recipe
    for recipe in (
        GlassesRecipe(FULL, "CLIPGlasses, CC-Neg", CCNEG),
        GlassesRecipe(RETRIEVED, "CLIPGlasses, NegBench's captions", RETRIEVAL),
        GlassesRecipe(SMALL, "CLIPGlasses, few captions of CC-Neg", CCNEG, small=True),
        GlassesRecipe(RETRIEVED_SMALL, "CLIPGlasses, few of NegBench's captions", RETRIEVAL, small=True),
        GlassesRecipe(TOKENS, "CLIPGlasses, CC-Neg, attention over tokens", CCNEG, changes={"variant": "tokens"}),
        GlassesRecipe(RELEASED, "released code, CC-Neg", CCNEG, changes=RELEASED_TRAINING),
        GlassesRecipe(RELEASED_RETRIEVED, "released code, NegBench's captions", RETRIEVAL, changes=RELEASED_TRAINING),
        *(
            GlassesRecipe(recipe, f"without {name}", CCNEG, modules=glasses_settings.ABLATIONS[name])
            for name, recipe in ABLATIONS.items()
        ),
        *(
            GlassesRecipe(recipe, name, CCNEG, modules=(DIFFERENT[ROW] if name == LAYERS else {}) | DIFFERENT[name])
            for name, recipe in DIFFERENCES.items()
        ),
        *(
            GlassesRecipe(recipe, name, CCNEG, changes=TRAINING_DIFFERENCES[name])
            for name, recipe in TRAINED_OTHERWISE.items()
        ),
    )
}
"""Every recipe of glasses by name: both sets and variants first, then ablations and single differences."""


def find_glasses(name: str) -> GlassesRecipe:
    """The recipe of glasses called ``name``; raises NegutilError, listing those that exist, if there is none."""
    if name not in GLASSES:
        raise no_such("recipe", name, GLASSES, " for glasses")
    return GLASSES[name]


def glasses_items(settings: Profile, model: LoadedModel, name: str, seed: int) -> CaptionPairs:
    """The items that a recipe learns from with this seed, as texts: ``examples()`` of it are for fine-tuning."""
    recipe = find_glasses(name)
    whole = _material(model.name, settings)[0].sets[recipe.set]
    return whole.take(_chosen(settings, recipe, len(whole), seed))


def train_glasses(settings: Profile, names: Sequence[str]) -> list[TrainedGlasses]:
    """Train every pair of ``names`` that is not finished; returns them in the order of ``names``.

    Pairs of one base should be neighbours: each process reads the sets of one base at a time. Raises NegutilError for
    a name that is none, and as ``glasses.train_many`` does.
    """
    for name in names:
        find_glasses(glasses_model.recipe_of(name))
    return glasses.train_many(
        names, functools.partial(glasses_job, settings), settings.name, settings.glasses.processes
    )


def glasses_job(settings: Profile, name: str) -> GlassesJob:
    """The training of the pair called ``name``; its sets are built and encoded where that has not been done."""
    recipe, match = find_glasses(glasses_model.recipe_of(name)), re.search(r"/seed(\d+)$", name)
    base = glasses_model.base_of(name)
    if match is None:
        raise NegutilError(f"'{name}' names no seed; write it as base+recipe/seed0.")
    seed = int(match[1])
    material, base_sha256 = _material(base, settings)
    config = named.glasses(settings.glasses.source, seed=seed, **{**where(), **recipe.changes})
    config = replace(config, modules=dict(recipe.modules))

    def with_tokens(texts: Sequence[str]) -> text_layers.TextLayers:
        model = loader.load(base, profile=settings.name)
        return text_layers.features(model, texts, batch=settings.encode.batch, tokens=True)

    def data(name: str) -> glasses_sets.GlassesData:
        chosen = _chosen(settings, recipe, len(material.sets[name]), seed)
        return material.data(name, chosen, with_tokens if config.variant == "tokens" else None)

    other = config.lens_set if config.lens_set not in ("", recipe.set) else ""
    return GlassesJob(name, base_sha256, data(recipe.set), config, settings.name, data(other) if other else None)


def _chosen(settings: Profile, recipe: GlassesRecipe, available: int, seed: int) -> NDArray[np.int64]:
    return draw(available, settings.glasses.small if recipe.small else settings.glasses.examples, 1.0, seed)


@functools.lru_cache(maxsize=1)
def _material(base: str, settings: Profile) -> tuple[Material, str]:
    model = loader.load(base, profile=settings.name)
    return glasses_sets.material(model, settings), str(model.fingerprint["weights_sha256"])
