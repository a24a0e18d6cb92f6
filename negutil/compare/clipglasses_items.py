"""What everything of notebook 06 is asked, and what it answers: one value for each item.

CLIP, its fine-tuned rivals and pairs of glasses are asked all of ``negationclip_items``; variants of glasses
(ablations, differences, controls) only CC-Neg, with the truth as it is and turned round, and NegBench's multiple
choice. CC-Neg's differences of scores, of which FAR is made, are items of their own. Answers are kept under weights,
data and code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from negutil import code, progress
from negutil.cache import Cache
from negutil.compare import clipglasses_controls
from negutil.compare import negationclip_items as asked
from negutil.compare.clipglasses_controls import Asking
from negutil.compare.negationclip_items import Asked
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encode, processes
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.statistics import Floats
from negutil.tasks import ccneg, mcq, suite
from negutil.tasks.negbench import Queries, Questions

FAR, SIGNED = "CC-Neg, FAR", "CC-Neg, FAR as the code computes it"
"""The mean of |s+ - s-| (the paper's eq. 20) and of s+ - s- (the released code), in logits."""

ALL, FEW, ZERO_SHOT, RETRIEVAL, CCNEG = "all", "few", "zero-shot", "retrieval", "ccneg"
"""What is asked: everything; CC-Neg and multiple choice; classification; negated retrieval; CC-Neg as it is."""

NOTHING = pd.DataFrame({"task": pd.Series(dtype=str), "item": pd.Series(dtype=str), "value": pd.Series(dtype=float)})
"""The answers about a benchmark whose data are missing."""


def ask(asking: Asking, everything: Asked, settings: Profile) -> pd.DataFrame:
    """The answers of one model to what it is asked: task, item, value."""
    model = clipglasses_controls.load(asking, everything, settings)
    parts = {
        ALL: (asked.ask, _far),
        FEW: (_pairs, _far, _questions),
        CCNEG: (_pairs, _far),
        ZERO_SHOT: (_zero_shot,),
        RETRIEVAL: (_retrieval,),
    }
    found = [part(model, everything, settings) for part in parts[asking.part]]
    return pd.concat([frame[["task", "item", "value"]] for frame in found], ignore_index=True)


def _pairs(model: Scorer, everything: Asked, settings: Profile) -> pd.DataFrame:
    """CC-Neg with the truth as it is, turned round (where there are such pictures), and both."""
    data = {title: rows for title, rows in everything.data.items() if title == suite.CCNEG}
    table = suite.table(suite.run(model, data, settings), model.name)
    return table.assign(value=table["right"].astype(float))


def _far(model: Scorer, everything: Asked, settings: Profile) -> pd.DataFrame:
    """The signed and the absolute difference of CC-Neg's two scores, in logits."""
    if suite.CCNEG not in everything.data:
        return NOTHING
    table = ccneg.evaluate(model, everything.data[suite.CCNEG].plain, batch=settings.encode.batch)
    gap = (table["true"] - table["false"]) * clipglasses_controls.logits_per_unit(model)
    fars = {FAR: gap.abs(), SIGNED: gap}
    return pd.concat([pd.DataFrame({"task": task, "item": table["item"], "value": far}) for task, far in fars.items()])


def _questions(model: Scorer, everything: Asked, settings: Profile) -> pd.DataFrame:
    """NegBench's multiple choice."""
    task = clipglasses_controls.negbench_task(everything, Questions)
    if task is None:
        return NOTHING
    images = encode.images(model.tower, PictureFiles(list(task.media)), batch=settings.encode.batch)
    found = mcq.items(mcq.scores_by(model, task.options, images[task.rows]), task.correct, task.types)
    return found.assign(task=task.variation.title, item=found["item"].astype(str), value=found["right"].astype(float))


def _zero_shot(model: Scorer, everything: Asked, settings: Profile) -> pd.DataFrame:
    """ImageNet's and Caltech101's pictures."""
    wanted = (suite.IMAGENET, suite.CALTECH101)
    data = {title: everything.data[title] for title in wanted if title in everything.data}
    found = [frame.assign(task=title) for title, frame in suite.run(model, data, settings).items()]
    return pd.concat([NOTHING, *(frame.assign(value=frame["right"].astype(float)) for frame in found)])


def _retrieval(model: Scorer, everything: Asked, settings: Profile) -> pd.DataFrame:
    """NegBench's retrieval with negated captions: whether the picture is among the first five."""
    task = clipglasses_controls.negbench_task(everything, Queries)
    if task is None:
        return NOTHING
    images = encode.images(model.tower, PictureFiles(list(task.media)), batch=settings.encode.batch)
    values = model.matrix(task.captions, images)
    own = np.take_along_axis(values, task.rows[:, None], axis=1)
    found = (values >= own).sum(axis=1) <= asked.coco_retrieval.K
    items = np.arange(len(found)).astype(str)
    return pd.DataFrame({"task": task.variation.title, "item": items, "value": found.astype(float)})


# --------------------------------------------------------------------------------------------------------------------
# Asking many


def values(settings: Profile, names: Sequence[str], askings: Sequence[Asking]) -> pd.DataFrame:
    """All items (``negationclip_items.COLUMNS``) with a column of values for each of ``names`` and ``askings``.

    ``names`` are CLIPs and fine-tuned ones. What one of ``askings`` was not asked is missing in its column, as FAR is
    for ``names`` unless an asking has that name too. Answers come from the cache, or are asked for now in as many
    processes as the profile has.
    """
    known = asked.values(settings, names)
    data, store = asked.data_fingerprint(settings), Cache()
    fields = {asking: _fields(asking, settings, data) for asking in askings}
    missing = [asking for asking in askings if store.load(store.key(**fields[asking])) is None]
    answered = processes.each(answer, [(asking, settings, data) for asking in missing], settings.glasses.processes)
    for _ in progress.bar("evaluating glasses", answered, total=len(missing)):
        pass
    ccneg_items = known.loc[known["task"] == suite.CCNEG, list(asked.COLUMNS)]
    base = pd.concat([known, *(ccneg_items.assign(task=task) for task in (FAR, SIGNED))], ignore_index=True)
    place = {key: row for row, key in enumerate(zip(base["task"], base["item"], strict=True))}
    columns: dict[str, Floats] = {}
    for asking in askings:
        if asking.name not in columns:
            there = base[asking.name].to_numpy(float).copy() if asking.name in base else np.full(len(base), np.nan)
            columns[asking.name] = there
        found = _load(store, fields[asking])
        keys = list(zip(found["task"], found["item"], strict=True))
        unknown = [key for key in keys if key not in place]
        if unknown:
            raise NegutilError(f"{unknown[0]} is no item of the benchmarks; clear the cache and start again.")
        columns[asking.name][[place[key] for key in keys]] = found["value"].to_numpy(float)
    return pd.concat([base.drop(columns=list(columns), errors="ignore"), pd.DataFrame(columns)], axis=1)


def answer(asking: Asking, settings: Profile, data: str) -> None:
    """Ask one model and keep its answers."""
    store, fields = Cache(), _fields(asking, settings, data)
    with encode.without_text_cache():
        found = ask(asking, asked.everything(settings), settings)
    tasks, number = np.unique(found["task"].to_numpy(str), return_inverse=True)
    items = "\n".join(found["item"].astype(str))
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "values": found["value"].to_numpy(np.float32),
        "task": number.astype(np.int32),
        "tasks": np.frombuffer("\n".join(tasks).encode(), np.uint8),
        "items": np.frombuffer(items.encode(), np.uint8),
    }
    store.store(store.key(**fields), arrays, fields)


def _load(store: Cache, fields: dict[str, str]) -> pd.DataFrame:
    arrays = store.load(store.key(**fields))
    if arrays is None:
        raise NegutilError(f"The answers of {fields['name']} were deleted while they were read: start again.")
    tasks, items = (arrays[name].tobytes().decode().split("\n") for name in ("tasks", "items"))
    return pd.DataFrame({"task": np.array(tasks)[arrays["task"]], "item": items, "value": arrays["values"]})


def _fields(asking: Asking, settings: Profile, data: str) -> dict[str, str]:
    """What the answers depend on, without loading anything."""
    identity = clipglasses_controls.identity(asking, settings)
    made = {"kind": "glasses' answers", "code_version": code.fingerprint(__name__), "data": data}
    return made | {"name": asking.name, "part": asking.part, "model": identity, "batch": str(settings.encode.batch)}
