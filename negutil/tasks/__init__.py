"""Each benchmark is one file in this folder that ends in ``TASKS = (...)`` and is found automatically.

A :class:`Task` defines what it reads, which texts and images it scores, how answers follow from features, the scores of
guessing and of rules without images, and the papers' numbers. The suite of notebooks 05 and 06 and ``negutil bench``
evaluate every task; docs/extending.md shows how to add one. A benchmark whose metric is not a share of right answers
declares an :class:`Entry` instead, and its notebook evaluates it. ``listing`` has them all.
"""

import abc
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import statistics
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.results import Record
from negutil.statistics import Interval

NEEDED = ("item", "cluster", "type", "right")
"""Columns of the answers to every task, a row per item: its name, its image, a kind ("" for none), and whether the
model was right: a tie is not."""

CHANCE, BLIND = "chance", "blind: "
"""The model's name in records of guessing, and the prefix of the name of a rule that sees no image."""

Frames = Mapping[str, pd.DataFrame]
"""Answers by title: the task's and those of its controls."""


@dataclass(frozen=True, slots=True)
class Report:
    """The experiment and model of the records, and how to bootstrap their intervals."""

    experiment: str
    model: str
    resamples: int = statistics.RESAMPLES
    seed: int = 0

    def record(self, task: str, metric: str, interval: Interval) -> Record:
        """One number as a record."""
        return Record.of(interval, experiment=self.experiment, task=task, model=self.model, metric=metric)

    def shares(self, table: pd.DataFrame, task: str, metric: str, kinds: Iterable[str] = ()) -> list[Record]:
        """The share of right answers in ``table`` (``metric``), and for each of ``kinds`` that occurs ("metric, kind").

        ``table`` has the columns right, type and cluster; clusters are resampled if items share them.
        """
        groups = {metric: table} | {f"{metric}, {kind}": table[table["type"] == kind] for kind in kinds}
        records = []
        for name, part in groups.items():
            if len(part):
                units = part["cluster"].to_numpy() if part["cluster"].duplicated().any() else None
                right = part["right"].to_numpy(dtype=bool)
                share = statistics.bootstrap_share(right, units, self.resamples, self.seed)
                records.append(self.record(task, name, share))
        return records


@dataclass(frozen=True, slots=True)
class Published:
    """A column of a published table over all ``n`` items of a task, with the ``task`` and ``metric`` of its records.

    ``table`` is a file of configs/published, whose numbers are in percent.
    """

    task: str
    metric: str
    table: str
    column: str
    n: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A benchmark that its notebook evaluates; the attributes are those of :class:`Task`, in words."""

    title: str
    metric: str
    get: str
    counts: str
    guess: str
    published: str = ""


class Task(abc.ABC):
    """A benchmark that scores texts against images and counts right answers.

    Attributes:
        title: its name in every table; ``controls`` are the titles of its control questions on the same data.
        metric: the name of the share of right answers.
        get: its dataset in `negutil data get`, if any.
        counts: what an item is; guess: the score of guessing, in words.
        in_suite: whether notebooks 05 and 06 evaluate it.
        shares_pictures: whether the report card encodes its images together with those of other such tasks.
        kinds: types of items with their own number, in order; None for all that occur.
        published: the numbers that papers report.
    """

    title: str
    controls: tuple[str, ...] = ()
    metric: str = "accuracy"
    get: str = ""
    counts: str = "images"
    guess: str = "1/2"
    in_suite: bool = True
    shares_pictures: bool = False
    kinds: Sequence[str] | None = None
    published: tuple[Published, ...] = ()

    @abc.abstractmethod
    def read(self, settings: Profile) -> Any:
        """Return the data (not None); raises NegutilError that says where to get it if it is missing."""

    @abc.abstractmethod
    def texts(self, rows: Any) -> list[str]:
        """Return the texts to score; the texts of all tasks are encoded together beforehand."""

    def pictures(self, rows: Any) -> list[PictureFiles]:
        """Return the images to score, in one or several groups; by default those of the dataset."""
        return [PictureFiles.of(rows)]

    @abc.abstractmethod
    def score(self, scorer: Scorer, rows: Any, *images: Features) -> Frames:
        """Return the answers by title, with the columns NEEDED and more, for the features of each group of images."""

    def chance(self, rows: Any) -> dict[tuple[str, str], float]:
        """Return the score of guessing, by title and metric; by default one half."""
        return {(title, self.metric): 0.5 for title in (self.title, *self.controls)}

    def rules(self, rows: Any) -> dict[str, Frames]:
        """Return answers as ``score`` does for rules that never see an image, by the rule's name; by default none."""
        return {}

    def records(self, frames: Frames, report: Report) -> list[Record]:
        """Return the shares of right answers in this task's ``frames``, in total and by type."""
        frames_of = {title: frames[title] for title in (self.title, *self.controls) if title in frames}
        return [record for title, frame in frames_of.items() for record in self.shares(title, frame, report)]

    def shares(self, title: str, frame: pd.DataFrame, report: Report) -> list[Record]:
        """Return the records of the answers under one title."""
        kinds = sorted(set(frame["type"].dropna()) - {""}) if self.kinds is None else self.kinds
        return report.shares(frame, title, self.metric, kinds)

    def baselines(self, rows: Any, experiment: str, **resampling: int) -> list[Record]:
        """Return the records of the rules and of guessing."""
        records = []
        for rule, frames in self.rules(rows).items():
            records += self.records(frames, Report(experiment, f"{BLIND}{rule}", **resampling))
        guesses = self.chance(rows).items()
        return records + [
            Record(experiment, title, CHANCE, name, value, self.count(rows)) for (title, name), value in guesses
        ]

    def main(self, rows: Any) -> tuple[tuple[str, str], ...]:
        """Return the tasks and metrics of its main records."""
        return tuple((title, self.metric) for title in dict.fromkeys(title for title, _ in self.chance(rows)))

    def count(self, rows: Any) -> int:
        """Return the number of items."""
        return len(rows)

    def facts(self, rows: Any) -> Any:
        """Return the data except the images, as plain values; if they change, answers are computed again."""
        return rows.remove_columns("image")[:] if isinstance(rows, Dataset) else list(self.texts(rows))

    def features(self, tower: LoadedModel, rows: Any, batch: int) -> list[Features]:
        """Return the features of each group of images."""
        return [encode.images(tower, group, batch=batch) for group in self.pictures(rows)]

    def evaluate(self, model: LoadedModel | Scorer, rows: Any, batch: int = encode.BATCH) -> Frames:
        """Return the answers of ``model`` by title; raises NegutilError if they lack required columns."""
        who = scorer.of(model, batch)
        return checked(self.score(who, rows, *self.features(who.tower, rows, batch)))


def checked(frames: Frames) -> Frames:
    """Return ``frames``; raises NegutilError if one is empty, lacks a column of NEEDED, or has an item twice."""
    for title, frame in frames.items():
        lacking = [name for name in NEEDED if name not in frame]
        if lacking:
            raise NegutilError(f"The answers to '{title}' lack the column '{lacking[0]}': give {', '.join(NEEDED)}.")
        if frame.empty:
            raise NegutilError(f"There are no answers to '{title}': give one row for each item.")
        if (twice := frame["item"][frame["item"].duplicated()]).size:
            raise NegutilError(f"The answers to '{title}' have the item {twice.iloc[0]!r} twice: give one for each.")
    return frames


@functools.cache
def everything() -> dict[str, tuple[str, Task | Entry]]:
    """Return the file and the benchmark of each title, in the order of the files of this folder.

    Raises NegutilError for a file with a task that it does not name in ``TASKS``, and for a title that two tasks have.
    """
    known: dict[str, tuple[str, Task | Entry]] = {}
    for _, name, _ in pkgutil.iter_modules(list(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        benchmarks: tuple[Task | Entry, ...] = getattr(module, "TASKS", ())
        classes = [each for each in vars(module).values() if inspect.isclass(each) and issubclass(each, Task)]
        if not benchmarks and any(
            each.__module__ == module.__name__ and not inspect.isabstract(each) for each in classes
        ):
            raise NegutilError(f"{module.__name__} names no task: end it with TASKS = (...), instances of its class.")
        for each in benchmarks:
            if each.title in known:
                raise NegutilError(f"{module.__name__} has the title '{each.title}', as another task has: change it.")
            known[each.title] = name, each
    return known


def find() -> dict[str, Task]:
    """Return the tasks of this folder by title, in the order of their files; raises as :func:`everything` does."""
    return {title: each for title, (_, each) in everything().items() if isinstance(each, Task)}


def listing() -> pd.DataFrame:
    """Return one row per benchmark of this folder: title, file, metric, data (``get``), counts, guess, published."""
    rows = []
    for title, (file, each) in everything().items():
        tables = each.published if isinstance(each, Entry) else ", ".join(known.table for known in each.published)
        rows.append((title, f"{file}.py", each.metric, each.get, each.counts, each.guess, tables))
    return pd.DataFrame(rows, columns=["title", "file", "metric", "data", "counts", "guess", "published"])


def modules() -> list[str]:
    """Return the dotted names of the files that hold tasks, for keys of what is kept of their answers."""
    return sorted({type(task).__module__ for task in find().values()})


def require_finite(features: Features | np.ndarray, name: str) -> None:
    """Raise NegutilError, naming the first row of ``features`` [N, D] (a ``name``) that is not finite."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise NegutilError(f"The features of {name} {bad[0]} are not finite: check the model that made them.")
