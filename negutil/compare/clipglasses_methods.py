"""Which models notebook 06 compares: rivals, glasses, their ablations, single differences and controls.

A method has a label (in claims and results), a title (in tables) and a model for each seed, and says with which other
methods it is compared. ``train`` makes the models that are not there yet.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from negutil.compare import clipglasses_controls as controls
from negutil.compare import engine
from negutil.compare.clipglasses_controls import Asking
from negutil.compare.clipglasses_items import ALL, CCNEG, FEW, RETRIEVAL, ZERO_SHOT
from negutil.compare.engine import CLIP, OVER_CLIP
from negutil.config import Profile
from negutil.models import glasses_model, loader, trained
from negutil.models.loader import LoadedModel
from negutil.train import recipes
from negutil.train.finetune import Job, finetune_many
from negutil.train.settings import settings as named_settings

RULE = "rule"
FULL, RETRIEVED, SMALL = "glasses-ccneg", "glasses-retrieval", "glasses-ccneg-small"
RELEASED, RELEASED_RETRIEVED = "released-ccneg", "released-retrieval"
WORN = "negationclip+glasses"
SAME_CAPTIONS, AS_FEW = "fine-tuned-retrieval", "con-clip-small"
CLIP_PIXELS, RELEASED_PIXELS = f"CLIP {controls.PIXELS}", f"released-ccneg {controls.PIXELS}"
OVER_CON_CLIP, OVER_NEGATIONCLIP = "gain over CoN-CLIP", "gain over NegationCLIP"
OVER_SAME, OVER_FEW = "gain over fine-tuning on the same captions", "gain over CoN-CLIP on as few captions"
OVER_RULE, OVER_FULL, OVER_PAIRS = "gain over the rule", "gain over the full glasses", "gain over lambda of every pair"
ANY_PIXELS = f"{CLIP_PIXELS}, for every seed"

ABLATIONS = {
    "without syntactic stream": "syntactic stream",
    "without semantic stream": "semantic stream",
    "without residual gate": "residual gating",
    "without cross-modal context": "cross-modal context",
    "without repulsion weight": "dynamic weight",
}
"""Rows of Table 3, and what ``glasses_settings.ABLATIONS`` calls what is left out."""

DIFFERENCES = {**recipes.DIFFERENCES, **recipes.TRAINED_OTHERWISE}
"""What the released code does otherwise, in its modules and in its training, and the recipe of each."""

RECIPES = {
    FULL: recipes.FULL,
    RETRIEVED: recipes.RETRIEVED,
    SMALL: recipes.SMALL,
    RELEASED: recipes.RELEASED,
    RELEASED_RETRIEVED: recipes.RELEASED_RETRIEVED,
    **{label: recipes.ABLATIONS[name] for label, name in ABLATIONS.items()},
    **DIFFERENCES,
}
"""The recipe of everything that is trained."""

CONTROLS = (controls.MASK, controls.RANDOM, controls.CONSTANT, controls.OBJECT)
VARIANTS = (*ABLATIONS, *DIFFERENCES, *CONTROLS)
"""Variants of the full glasses: they are asked CC-Neg and multiple choice alone."""

TITLES = {
    CLIP: "CLIP",
    RULE: "rule: take the caption without a negation",
    SAME_CAPTIONS: "fine-tuned on NegBench's captions",
    AS_FEW: "CoN-CLIP, few captions",
    FULL: "CLIPGlasses, CC-Neg",
    RETRIEVED: "CLIPGlasses, NegBench's captions",
    RELEASED: "released code, CC-Neg",
    RELEASED_RETRIEVED: "released code, NegBench's captions",
    SMALL: "CLIPGlasses, few captions of CC-Neg",
    WORN: "NegationCLIP with CLIPGlasses",
    CLIP_PIXELS: "CLIP, pictures without mean and std",
    RELEASED_PIXELS: "released code, CC-Neg, pictures without mean and std",
}


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the tables on one CLIP.

    Attributes:
        label: what claims and results call it.
        models: the name of its model from each of ``seeds``.
        parts: what it is asked, as in ``clipglasses_items``; a fine-tuned CLIP is asked everything by notebook 05.
        change: of ``clipglasses_controls.CHANGES``, made after the training.
        over: other methods and what the difference from each is called.
    """

    label: str
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    parts: tuple[str, ...] = ()
    change: str = ""
    over: tuple[tuple[str, str], ...] = ((CLIP, OVER_CLIP),)

    @property
    def names(self) -> tuple[str, ...]:
        """Fine-tuned CLIPs, which answer as in notebook 05."""
        return () if self.parts else self.models

    @property
    def askings(self) -> list[Asking]:
        """What is asked by notebook 06."""
        return [Asking(model, part, self.change) for model in self.models for part in self.parts]

    @property
    def compared(self) -> engine.Method:
        """The method with the columns of its answers, one for each seed."""
        values = tuple(Asking(model, "", self.change).name for model in self.models)
        return engine.Method(self.label, values, self.seeds, self.over)


def title_of(label: str) -> str:
    """A method as tables call it."""
    if label in TITLES:
        return TITLES[label]
    return recipes.RECIPES[label].title if label in recipes.RECIPES else label


def of(settings: Profile, base: str) -> list[Method]:
    """Every method on ``base``; the released code's, ablations and controls on the control models alone."""
    controlled = base in settings.glasses.control_models
    rivals = [*_rival_recipes(settings, base), *([SAME_CAPTIONS] if controlled else [])]
    found = [_tuned(settings, base, label) for label in rivals]
    found.append(_pair(settings, base, FULL, ("con-clip", OVER_CON_CLIP), (RULE, OVER_RULE)))
    found.append(_pair(settings, base, RETRIEVED, (SAME_CAPTIONS, OVER_SAME), (RULE, OVER_RULE)))
    if not controlled:
        return found
    found += [_pair(settings, base, label) for label in (RELEASED, RELEASED_RETRIEVED)]
    # Both ways with few captions, and glasses on a text tower that knows negation.
    found += [_tuned(settings, base, AS_FEW), _pair(settings, base, SMALL, (AS_FEW, OVER_FEW))]
    seeds = settings.glasses.seeds
    towers = [(recipes.model_name(base, "negationclip", seed), seed) for seed in seeds]
    worn = tuple(recipes.model_name(tower, RECIPES[FULL], seed) for tower, seed in towers)
    over = ((CLIP, OVER_CLIP), ("negationclip", OVER_NEGATIONCLIP))
    return [*found, Method(WORN, worn, seeds, (ALL,), over=over), *_variants(settings, base)]


def glasses_names(settings: Profile, base: str, label: str) -> tuple[str, ...]:
    """The names of the glasses called ``label`` (of RECIPES) on ``base``, one for each seed."""
    return tuple(recipes.model_name(base, RECIPES[label], seed) for seed in settings.glasses.seeds)


def _rival_recipes(settings: Profile, base: str) -> list[str]:
    """The rivals that notebook 05 trains on ``base``, so that none is trained for this comparison alone."""
    known = recipes.rows(settings, base)
    return [name for name in settings.glasses.rivals if name in known]


def _tuned(settings: Profile, base: str, label: str) -> Method:
    seeds = settings.glasses.seeds
    return Method(label, tuple(recipes.model_name(base, label, seed) for seed in seeds), seeds)


def _pair(settings: Profile, base: str, label: str, *over: tuple[str, str]) -> Method:
    names = glasses_names(settings, base, label)
    return Method(label, names, settings.glasses.seeds, (ALL,), over=((CLIP, OVER_CLIP), *over))


def _variants(settings: Profile, base: str) -> list[Method]:
    """Table 3, a row for each difference of the released code from the first seed, and changes after the training."""
    seeds, found = settings.glasses.seeds, []
    for label in ABLATIONS:
        others = tuple((other, f"accuracy minus {other}") for other in ABLATIONS if other != label)
        over = ((FULL, OVER_FULL), *others)
        found.append(Method(label, glasses_names(settings, base, label), seeds, (FEW,), over=over))
    for label in DIFFERENCES:
        first = glasses_names(settings, base, label)[:1]
        found.append(Method(label, first, seeds[:1], (FEW,), over=((FULL, OVER_FULL),)))
    full, retrieved = (glasses_names(settings, base, label) for label in (FULL, RETRIEVED))
    for label in CONTROLS:
        parts = (CCNEG,) if label == controls.OBJECT else (FEW,)
        found.append(Method(label, full, seeds, parts, label, ((FULL, OVER_FULL),)))
    found.append(Method(controls.GOLD, retrieved, seeds, (RETRIEVAL,), controls.GOLD, ((RETRIEVED, OVER_PAIRS),)))
    pixels = (FEW, ZERO_SHOT)
    found.append(Method(CLIP_PIXELS, (base,), seeds[:1], pixels, controls.PIXELS))
    released = glasses_names(settings, base, RELEASED)
    over = ((ANY_PIXELS, OVER_CLIP), (RELEASED, "gain over the usual pictures"))
    return [*found, Method(RELEASED_PIXELS, released, seeds, pixels, controls.PIXELS, over)]


# --------------------------------------------------------------------------------------------------------------------
# Training


def train(settings: Profile) -> None:
    """Train every rival and every pair of glasses of the profile that is not finished.

    Raises NegutilError as ``finetune_many`` does; what is finished is kept when it is stopped.
    """
    plan = settings.glasses
    as_many = dataclasses.replace(settings, finetuning=dataclasses.replace(settings.finetuning, seeds=plan.seeds))
    jobs: list[Job] = []
    for base in settings.models:
        jobs += recipes.jobs(as_many, base, _rival_recipes(as_many, base))
        if base in plan.control_models:
            model = loader.load(base)
            same = [(label, seed) for label in (SAME_CAPTIONS, AS_FEW) for seed in plan.seeds]
            jobs += [_same_job(as_many, model, label, seed) for label, seed in same]
    finetune_many(jobs, plan.processes)
    # The last base first: what it learns from was read for its rivals just now.
    for_base = []
    for base in reversed(settings.models):
        names = [name for method in of(settings, base) if method.parts for name in method.models if name != base]
        for_base += sorted(dict.fromkeys(names), key=glasses_model.base_of)  # those that one model wears together
    recipes.train_glasses(settings, for_base)


def _same_job(settings: Profile, model: LoadedModel, label: str, seed: int) -> Job:
    """Fine-tuning on what glasses learn from: as many steps, the best epoch by validation loss."""
    name, method = {SAME_CAPTIONS: (RETRIEVED, "infonce"), AS_FEW: (SMALL, "con-clip")}[label]
    chosen = recipes.glasses_items(settings, model, RECIPES[name], seed).examples()
    config = named_settings(method, settings.finetuning.source, seed=seed)
    wanted = recipes.examples_wanted(settings, config.batch) or len(chosen)
    config = dataclasses.replace(config, epochs=recipes.epochs(config.epochs, wanted, len(chosen)))
    out = trained.folder(recipes.model_name(model.name, label, seed), settings.name)
    return Job(model.name, chosen, config, out, replace=True)
