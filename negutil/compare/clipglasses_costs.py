"""What the methods of notebook 06 cost: trained weights, examples seen, and operations per text and per pair.

Operations are counted by torch's FlopCounterMode (matrix products alone) and not timed, so the table is the same on
every machine; ``benchmarks/glasses.py`` measures time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch

from negutil.compare import clipglasses_controls as controls
from negutil.compare import clipglasses_methods as methods
from negutil.compare.clipglasses_methods import Method
from negutil.config import Profile
from negutil.models import architectures, glasses_model, glasses_trained, loader, trained
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel

SENTENCE = "there is no dog on the beach, but a red car and two people with umbrellas can be seen"


def table(settings: Profile) -> pd.DataFrame:
    """A row per method of the last CLIP of the profile, first seed: model, weights, examples, operations.

    Raises NegutilError where a model has not been trained.
    """
    base = settings.models[-1]
    rows = [_row(methods.CLIP, loader.load(base), 0, 0)]
    rows += [_of(method, settings) for method in methods.of(settings, base) if _has_its_own(method)]
    return pd.DataFrame(rows)


def _has_its_own(method: Method) -> bool:
    """Whether it is trained, and no variant of one that is shown."""
    return not method.change and method.label not in methods.VARIANTS


def _of(method: Method, settings: Profile) -> dict[str, Any]:
    name = method.models[0]
    if glasses_model.is_name(name):
        model, found = controls.glasses(name, settings), glasses_trained.read(name, settings.name)
        weights = sum(parameter.numel() for parameter in model.glasses.parameters())
        return _row(method.label, model, weights, found.examples)
    own = trained.read(name, settings.name)
    tensors, _ids = trained.tensors(own)
    weights = sum(tensor.numel() for tensor in tensors.values())
    seen = int(own.about["steps"]) * int(own.identity["config"]["batch"])
    return _row(method.label, loader.load(name, profile=settings.name), weights, seen)


def _row(label: str, model: GlassesModel | LoadedModel, weights: int, examples: int) -> dict[str, Any]:
    tower = model.tower if isinstance(model, GlassesModel) else model
    own = text_operations(tower)
    width = tower.model.visual.output_dim
    pair = 2.0 * width
    if isinstance(model, GlassesModel):
        per_text, pair = glasses_operations(model)
        own += per_text
    numbers = {"million operations per text": own / 1e6, "operations per pair": round(pair)}
    return {"model": methods.title_of(label), "trained weights": weights, "examples": examples, **numbers}


def text_operations(model: LoadedModel) -> float:
    """Operations of the text tower for SENTENCE."""
    tokens = model.tokenizer([SENTENCE])
    return _count(lambda: architectures.encode_text(model.model, tokens))


def glasses_operations(model: GlassesModel) -> tuple[float, float]:
    """Operations of the glasses for one text, and for one more pair of a text and a picture."""
    width = model.glasses.config.width

    def forward(texts: int, images: int) -> float:
        said, levels = torch.ones(texts, width), torch.ones(texts, 3, width)
        rows = torch.zeros(texts, dtype=torch.int64)
        return _count(lambda: model.glasses(said, levels, torch.ones(images, width), partners=rows))

    one, more_texts, more_images, more_pairs = (forward(*size) for size in ((1, 1), (2, 1), (1, 2), (2, 2)))
    pair = more_pairs - more_texts - more_images + one
    return more_texts - one - pair, pair


def _count(call: Callable[[], object]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    # With gradients: without them torch takes attention as one operation, which is not counted.
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())
