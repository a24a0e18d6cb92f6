"""How often the glasses' classifier calls a text negated, where there is a negation and where there is none.

Everything that glasses do passes through this mask (CLIPGlasses eq. 14): a class prompt that is called negated has the
class itself pushed away, and a negation that is not seen changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from negutil import results
from negutil.compare import clipglasses
from negutil.compare import clipglasses_controls as controls
from negutil.compare import clipglasses_methods as methods
from negutil.compare import negationclip_numbers as numbers
from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import find, suite

METRIC = "share that the classifier calls negated"
PROMPTS, AFFIRMED, NEGATED = "prompts of ImageNet's classes", "captions of CC-Neg", "negated captions of CC-Neg"


def table(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """Columns base, task, metric, value, low, high, n, over: means over the glasses' seeds, intervals over texts.

    Asks the glasses that were trained on CC-Neg; writes the table ``mask``. Raises NegutilError where they are missing.
    """
    said = texts(settings)
    bootstrap = dataclasses.replace(settings.bootstrap, seed=settings.bootstrap.seed + seed)
    rows = []
    for base in settings.models:
        names = methods.glasses_names(settings, base, methods.FULL)
        models = [controls.glasses(name, settings) for name in names]
        for kind, own in said.items():
            called = np.mean([controls.masked(model, own) for model in models], axis=0)
            (found,) = numbers.means(called[:, None], np.arange(len(own)).astype(str), bootstrap)
            rows.append({"base": base, "task": kind, "metric": METRIC, **dataclasses.asdict(found)})
    records = [_record(row) for row in rows]
    results.save(records, settings.name, clipglasses.EXPERIMENT, "mask", seed=seed)
    skipped.save(settings, clipglasses.EXPERIMENT)
    return pd.DataFrame(rows)


def texts(settings: Profile) -> dict[str, list[str]]:
    """The texts that are asked about, by kind; without ImageNet there are no prompts of its classes."""
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


def _record(row: Mapping[str, Any]) -> Record:
    interval = Interval(*(row[name] for name in ("value", "low", "high", "n", "over")))
    about = {"task": row["task"], "model": row["base"], "metric": row["metric"]}
    return Record.of(interval, experiment=clipglasses.EXPERIMENT, **about)
