"""Which models notebook 06 compares: rivals, glasses, their ablations, single differences and controls.

A method has a label (in claims and results), a title (in tables) and a model for each seed, and says with which other
methods it is compared. ``train`` makes the models that are not there yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from negutil.compare import clipglasses_controls as controls
from negutil.compare import engine
from negutil.compare.clipglasses_controls import Asking
from negutil.compare.clipglasses_items import ALL, CCNEG, FEW, RETRIEVAL, ZERO_SHOT
from negutil.compare.engine import CLIP, OVER_CLIP
from negutil.config import Profile
from negutil.models import glasses_trained, loader, trained
from negutil.models.loader import LoadedModel
from negutil.train import recipes_glasses as glasses_recipes
from negutil.train import recipes_negation as recipes
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

DIFFERENCES = {**glasses_recipes.DIFFERENCES, **glasses_recipes.TRAINED_OTHERWISE}
"""What the released code does otherwise, in its modules and in its training, and the recipe of each."""

RECIPES = {
    FULL: glasses_recipes.FULL,
    RETRIEVED: glasses_recipes.RETRIEVED,
    SMALL: glasses_recipes.SMALL,
    RELEASED: glasses_recipes.RELEASED,
    RELEASED_RETRIEVED: glasses_recipes.RELEASED_RETRIEVED,
    **{label: glasses_recipes.ABLATIONS[name] for label, name in ABLATIONS.items()},
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
    found = [*_rivals(settings, base), *_glasses(settings, base)]
    if base in settings.glasses.control_models:
        found += [*_small(settings, base), *_variants(settings, base), *_changes(settings, base)]
    return found


def glasses_names(settings: Profile, base: str, label: str) -> tuple[str, ...]:
    """The names of the glasses called ``label`` (of RECIPES) on ``base``, one for each seed."""
    return tuple(glasses_recipes.model_name(base, RECIPES[label], seed) for seed in settings.glasses.seeds)


def _rivals(settings: Profile, base: str) -> list[Method]:
    same = [SAME_CAPTIONS] if base in settings.glasses.control_models else []
    return [_tuned(settings, base, label) for label in (*_rival_recipes(settings, base), *same)]


def _rival_recipes(settings: Profile, base: str) -> list[str]:
    """The rivals that notebook 05 trains on ``base``, so that none is trained for this comparison alone."""
    known = recipes.rows(settings, base)
    return [name for name in settings.glasses.rivals if name in known]


def _tuned(settings: Profile, base: str, label: str) -> Method:
    seeds = settings.glasses.seeds
    return Method(label, tuple(recipes.model_name(base, label, seed) for seed in seeds), seeds)


def _glasses(settings: Profile, base: str) -> list[Method]:
    own = ((FULL, OVER_CON_CLIP, "con-clip"), (RETRIEVED, OVER_SAME, SAME_CAPTIONS))
    found = [_pair(settings, base, label, (other, kind), (RULE, OVER_RULE)) for label, kind, other in own]
    released = (RELEASED, RELEASED_RETRIEVED) if base in settings.glasses.control_models else ()
    return found + [_pair(settings, base, label) for label in released]


def _pair(settings: Profile, base: str, label: str, *over: tuple[str, str]) -> Method:
    names = glasses_names(settings, base, label)
    return Method(label, names, settings.glasses.seeds, (ALL,), over=((CLIP, OVER_CLIP), *over))


def _small(settings: Profile, base: str) -> list[Method]:
    """Both ways with few captions, and glasses on a text tower that knows negation."""
    seeds = settings.glasses.seeds
    worn = (glasses_recipes.model_name(recipes.model_name(base, "negationclip", s), RECIPES[FULL], s) for s in seeds)
    over = ((CLIP, OVER_CLIP), ("negationclip", OVER_NEGATIONCLIP))
    few = _pair(settings, base, SMALL, (AS_FEW, OVER_FEW))
    return [_tuned(settings, base, AS_FEW), few, Method(WORN, tuple(worn), seeds, (ALL,), over=over)]


def _variants(settings: Profile, base: str) -> list[Method]:
    """Table 3, and a row for each difference of the released code, from the first seed."""
    seeds, found = settings.glasses.seeds, []
    for label in ABLATIONS:
        names = tuple(glasses_recipes.model_name(base, RECIPES[label], seed) for seed in seeds)
        others = tuple((other, f"accuracy minus {other}") for other in ABLATIONS if other != label)
        found.append(Method(label, names, seeds, (FEW,), over=((FULL, OVER_FULL), *others)))
    for label in DIFFERENCES:
        names = (glasses_recipes.model_name(base, RECIPES[label], seeds[0]),)
        found.append(Method(label, names, seeds[:1], (FEW,), over=((FULL, OVER_FULL),)))
    return found


def _changes(settings: Profile, base: str) -> list[Method]:
    """Changes after training."""
    seeds, own = settings.glasses.seeds, glasses_names(settings, base, FULL)
    found = [
        Method(label, own, seeds, (CCNEG,) if label == controls.OBJECT else (FEW,), label, ((FULL, OVER_FULL),))
        for label in CONTROLS
    ]
    retrieved = glasses_names(settings, base, RETRIEVED)
    found.append(Method(controls.GOLD, retrieved, seeds, (RETRIEVAL,), controls.GOLD, ((RETRIEVED, OVER_PAIRS),)))
    every = (FEW, ZERO_SHOT)
    found.append(Method(CLIP_PIXELS, (base,), seeds[:1], every, controls.PIXELS))
    released = glasses_names(settings, base, RELEASED)
    over = ((ANY_PIXELS, OVER_CLIP), (RELEASED, "gain over the usual pictures"))
    return [*found, Method(RELEASED_PIXELS, released, seeds, every, controls.PIXELS, over)]


# --------------------------------------------------------------------------------------------------------------------
# Training


def train(settings: Profile) -> None:
    """Train every rival and every pair of glasses of the profile that is not finished.

    Raises NegutilError as ``finetune_many`` does; what is finished is kept when it is stopped.
    """
    as_many = dataclasses.replace(settings.finetuning, seeds=settings.glasses.seeds)
    own = dataclasses.replace(settings, finetuning=as_many)
    jobs = [job for base in settings.models for job in _rival_jobs(own, base)]
    finetune_many(jobs, settings.glasses.processes)
    # The last base first: what it learns from was read for its rivals just now.
    glasses_recipes.train(settings, [name for base in reversed(settings.models) for name in _wanted(settings, base)])


def _rival_jobs(settings: Profile, base: str) -> list[Job]:
    jobs = recipes.jobs(settings, base, _rival_recipes(settings, base))
    if base not in settings.glasses.control_models:
        return jobs
    model, seeds = loader.load(base), settings.glasses.seeds
    return jobs + [_same_job(settings, model, label, seed) for label in (SAME_CAPTIONS, AS_FEW) for seed in seeds]


def _same_job(settings: Profile, model: LoadedModel, label: str, seed: int) -> Job:
    """Fine-tuning on what glasses learn from: as many steps, the best epoch by validation loss."""
    name, method = {SAME_CAPTIONS: (RETRIEVED, "infonce"), AS_FEW: (SMALL, "con-clip")}[label]
    chosen = glasses_recipes.items(settings, model, RECIPES[name], seed).examples()
    config = named_settings(method, settings.finetuning.source, seed=seed)
    wanted = recipes.examples_wanted(settings, config.batch) or len(chosen)
    config = dataclasses.replace(config, epochs=recipes.epochs(config.epochs, wanted, len(chosen)))
    out = trained.folder(recipes.model_name(model.name, label, seed), settings.name)
    return Job(model.name, chosen, config, out, replace=True)


def _wanted(settings: Profile, base: str) -> Sequence[str]:
    """The names of all glasses on ``base``, each once, those that one model wears together."""
    names = [name for method in of(settings, base) if method.parts for name in method.models if name != base]
    return sorted(dict.fromkeys(names), key=glasses_trained.base_of)
