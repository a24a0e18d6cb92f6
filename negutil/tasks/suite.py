"""The benchmarks of NegationCLIP's and CLIPGlasses' tables on one model, and whatever other tasks are in this folder.

A model's per-item outcomes are in one long frame, so that any two models, or their means over seeds, can be paired
later. Image features are shared by all models with the same image tower; a fine-tuned text tower only encodes texts.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import no_such
from negutil.models import loader, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import Frames, Report, ccneg, checked, coco_retrieval, find, negrefcocog, valse

VALSE, REFERRING, IMAGENET, CALTECH101, CCNEG, COCO = TITLES = (
    *(valse.TITLE, negrefcocog.TITLE, "ImageNet zero-shot", "Caltech101 zero-shot", ccneg.TITLE, coco_retrieval.TITLE),
)
"""Titles in the order of the papers' tables; other tasks come after them."""

AFFIRMED, BARE = negrefcocog.AFFIRMED, negrefcocog.BARE
COLUMNS = ("model", "task", "item", "cluster", "type", "right", "margin", "valid", "rank")

Data = Mapping[str, Any]
"""What the tasks read, by title, once for all models; tasks that were not asked for, or are missing, are missing."""


def names() -> tuple[str, ...]:
    """Return the titles of all tasks that notebooks 05 and 06 ask whole: those of the papers first."""
    known = [title for title, each in find().items() if each.in_suite]
    return (*(title for title in TITLES if title in known), *(title for title in known if title not in TITLES))


def prepare(settings: Profile, tasks: Sequence[str] | None = None) -> Data:
    """Read the data of ``tasks`` (None: of all), building those of the mini world where they are missing.

    Published data that are missing are left out (``negutil.data.skipped``). Raises NegutilError for an unknown task.
    """
    data: dict[str, Any] = {}
    for title in names() if tasks is None else tasks:
        if title not in names():
            raise no_such("benchmark", title, names())
        task = find()[title]
        rows = skipped.attempt(settings, title, functools.partial(task.read, settings), task.get)
        if rows is not None:
            data[title] = rows
    return data


def run(model: LoadedModel | Scorer, data: Data, settings: Profile) -> Frames:
    """Return the answers of ``model`` to every task that ``data`` has, controls included, by title."""
    who, batch = scorer.of(model, settings.encode.batch), settings.encode.batch
    parts = [find()[title].evaluate(who, rows, batch) for title, rows in data.items()]
    return {title: frame for part in parts for title, frame in part.items()}


def texts(data: Data) -> list[str]:
    """Every different text that ``run`` asks about, to be read together before it runs."""
    return list(dict.fromkeys(text for title, rows in data.items() for text in find()[title].texts(rows)))


def rules(data: Data) -> dict[str, dict[str, pd.DataFrame]]:
    """Return the frames of ``run`` for rules that read the texts alone, or look at the boxes alone, by rule."""
    by_rule: dict[str, dict[str, pd.DataFrame]] = {}
    for title, rows in data.items():
        for rule, frames in find()[title].rules(rows).items():
            by_rule[rule] = by_rule.get(rule, {}) | dict(checked(frames))
    return by_rule


def chance(data: Data) -> dict[str, float]:
    """Return what guessing gets in each task that ``data`` has, controls included."""
    return {title: value for name, rows in data.items() for (title, _), value in find()[name].chance(rows).items()}


def evaluate(model_name: str, settings: Profile, data: Data | None = None) -> pd.DataFrame:
    """Return every outcome of the registry's model ``model_name``: a row per task and item, with COLUMNS.

    right is whether the item was answered (COCO retrieval: the image is among the first five), margin by how much,
    cluster the image, valid whether VALSE's annotators validated the item, rank that of COCO retrieval; what a task
    does not have is missing. ``data`` spares reading it again.
    """
    data = prepare(settings) if data is None else data
    return table(run(loader.load(model_name, profile=settings.name), data, settings), model_name)


def table(frames: Frames, model_name: str) -> pd.DataFrame:
    """The frames of ``run`` as one long frame with COLUMNS."""
    parts = [
        frame.assign(model=model_name, task=title, item=frame["item"].astype(str)) for title, frame in frames.items()
    ]
    return pd.concat([part.reindex(columns=list(COLUMNS)) for part in parts], ignore_index=True)


def records(frame: pd.DataFrame, experiment: str, settings: Profile) -> list[Record]:
    """Return every number of the long ``frame``: of each model and task, in total and by type, with intervals."""
    records: list[Record] = []
    for model, part in frame.groupby("model", sort=False, observed=True):
        report = Report(experiment, str(model), **dataclasses.asdict(settings.bootstrap))
        frames = {str(title): answers for title, answers in part.groupby("task", sort=False, observed=True)}
        for title in names():
            records += find()[title].records(frames, report)
    return records
