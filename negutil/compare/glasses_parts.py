"""The glasses of notebook 06 taken apart: how often their classifier calls a text negated, and what each method costs.

Everything that glasses do passes through the classifier's mask (CLIPGlasses eq. 14): a class prompt that is called
negated has the class itself pushed away, and a negation that is not seen changes nothing. Costs are trained weights,
examples seen, and operations, counted by torch's FlopCounterMode (matrix products alone) and not timed, so that table
is the same on every machine; ``benchmarks/glasses.py`` measures time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from negutil.compare import clipglasses, engine
from negutil.compare import clipglasses_controls as controls
from negutil.compare import clipglasses_methods as methods
from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import architectures, glasses_model, glasses_trained, loader, trained
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel
from negutil.tasks import find, suite

METRIC = "share that the classifier calls negated"
PROMPTS, AFFIRMED, NEGATED = "prompts of ImageNet's classes", "captions of CC-Neg", "negated captions of CC-Neg"
SENTENCE = "there is no dog on the beach, but a red car and two people with umbrellas can be seen"


# --------------------------------------------------------------------------------------------------------------------
# The mask


def mask(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """Columns base, task, metric, value, low, high, n, over: means over the glasses' seeds, intervals over texts.

    It is about the glasses that were trained on CC-Neg; writes the table ``mask``. Raises NegutilError where they are
    missing.
    """
    texts_of = texts(settings)
    bootstrap = dataclasses.replace(settings.bootstrap, seed=settings.bootstrap.seed + seed)
    rows = []
    for base in settings.models:
        models = [controls.glasses(name, settings) for name in methods.glasses_names(settings, base, methods.FULL)]
        for kind, chosen in texts_of.items():
            called = np.mean([controls.masked(model, chosen) for model in models], axis=0)
            (share,) = engine.means(called[:, None], np.arange(len(chosen)).astype(str), bootstrap)
            rows.append({"base": base, "task": kind, "metric": METRIC, **dataclasses.asdict(share)})
    table = pd.DataFrame(rows)
    clipglasses.experiment().save_numbers(table, settings, "mask", seed=seed)
    skipped.save(settings, clipglasses.EXPERIMENT)
    return table


def texts(settings: Profile) -> dict[str, list[str]]:
    """The texts that the classifier is given, by kind; without ImageNet there are no prompts of its classes."""
    data = suite.prepare(settings, (suite.IMAGENET, suite.CCNEG))
    if suite.CCNEG not in data:
        raise NegutilError(f"The mask is asked about {suite.CCNEG}: put it in place.")
    prompts = find()[suite.IMAGENET].texts(data[suite.IMAGENET]) if suite.IMAGENET in data else []
    rows = data[suite.CCNEG].plain
    return {
        **({PROMPTS: prompts} if prompts else {}),
        AFFIRMED: list(rows["caption"][:]),
        NEGATED: list(rows["negated_caption"][:]),
    }


# --------------------------------------------------------------------------------------------------------------------
# Costs


def costs(settings: Profile) -> pd.DataFrame:
    """A row per method of the last CLIP of the profile, first seed: model, weights, examples, operations.

    Variants and changes after training are left out. Raises NegutilError where a model has not been trained.
    """
    base = settings.models[-1]
    rows = [_row(methods.CLIP, loader.load(base), 0, 0)]
    for method in methods.of(settings, base):
        name = method.models[0]
        if method.change or method.label in methods.VARIANTS:
            continue
        model: GlassesModel | LoadedModel
        if glasses_model.is_name(name):
            model = controls.glasses(name, settings)
            weights = sum(parameter.numel() for parameter in model.glasses.parameters())
            examples = glasses_trained.read(name, settings.name).examples
        else:
            model, tuned = loader.load(name, profile=settings.name), trained.read(name, settings.name)
            weights = sum(tensor.numel() for tensor in trained.tensors(tuned)[0].values())
            examples = int(tuned.about["steps"]) * int(tuned.identity["config"]["batch"])
        rows.append(_row(method.label, model, weights, examples))
    return pd.DataFrame(rows)


def _row(label: str, model: GlassesModel | LoadedModel, weights: int, examples: int) -> dict[str, Any]:
    tower = model.tower if isinstance(model, GlassesModel) else model
    per_text, per_pair = text_operations(tower), 2.0 * tower.model.visual.output_dim
    if isinstance(model, GlassesModel):
        more, per_pair = glasses_operations(model)
        per_text += more
    numbers = {"million operations per text": per_text / 1e6, "operations per pair": round(per_pair)}
    return {"model": methods.title_of(label), "trained weights": weights, "examples": examples, **numbers}


def text_operations(model: LoadedModel) -> float:
    """Operations of the text tower for SENTENCE."""
    tokens = model.tokenizer([SENTENCE])
    return _count(lambda: architectures.encode_text(model.model, tokens))


def glasses_operations(model: GlassesModel) -> tuple[float, float]:
    """Operations of the glasses for one text, and for one more pair of a text and a picture."""
    width = model.glasses.config.width

    def forward(texts: int, images: int) -> float:
        last, levels = torch.ones(texts, width), torch.ones(texts, 3, width)
        rows = torch.zeros(texts, dtype=torch.int64)
        return _count(lambda: model.glasses(last, levels, torch.ones(images, width), partners=rows))

    one, more_texts, more_images, more_pairs = (forward(*size) for size in ((1, 1), (2, 1), (1, 2), (2, 2)))
    pair = more_pairs - more_texts - more_images + one
    return more_texts - one - pair, pair


def _count(call: Callable[[], object]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    # With gradients: without them torch takes attention as one operation, which is not counted.
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())
