"""The room for further benchmarks: one file here is one task, found by being here, and asked wherever ``suite`` asks.

A file defines a subclass of :class:`Task`, or of :class:`Pairs` where a picture has a true and a false sentence, and
has an instance of it as ``TASK``; docs/extending.md has a whole one. Its answers then are in the frames of
``suite.run``, in the records of ``suite.records``, in comparisons of models, and in the tables of notebooks 05 and 06.
"""

from __future__ import annotations

import abc
import functools
import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import pandas as pd
from datasets import Dataset

from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import pairwise, shares
from negutil.tasks.shares import Report

NEEDED = ("item", "cluster", "type", "right")
"""Columns that the answers to every task have."""


class Task(abc.ABC):
    """One benchmark: what it reads, how a model answers, and what guessing and rules without pictures get.

    ``title`` is its name in every table, ``metric`` what the share of right answers is called, ``get`` its dataset as
    `negutil data get` calls it, if that knows it.
    """

    title: str
    metric: str = "accuracy"
    get: str = ""

    @abc.abstractmethod
    def read(self, settings: Profile) -> Any:
        """Return what is asked (not None); raises NegutilError where it is not there, saying where to get it."""

    @abc.abstractmethod
    def evaluate(self, asked: Scorer, rows: Any, batch: int) -> pd.DataFrame:
        """Return one row per item of ``rows`` with the columns NEEDED; margin and what else belongs to it may be there.

        item names it, cluster is its picture, type a kind of item ("" for none), right whether ``asked`` was right: a
        tie is not.
        """

    @abc.abstractmethod
    def chance(self, rows: Any) -> float:
        """Return the share that guessing gets right."""

    @abc.abstractmethod
    def rules(self, rows: Any) -> dict[str, pd.DataFrame]:
        """Return what ``evaluate`` would for rules that never see a picture, by the rule's name."""

    def texts(self, rows: Any) -> Sequence[str]:
        """Return the texts that ``evaluate`` asks about: read together before; other texts, new answers."""
        return ()

    def negated(self, rows: Any) -> dict[str, str]:
        """Return the sentence with the negation of every item that has one, for tables by wording."""
        return {}

    def records(self, frame: pd.DataFrame, report: Report) -> list[Record]:
        """Return the share of right answers among the rows of ``evaluate``, in all and by type, with intervals."""
        kinds = sorted(set(frame["type"].dropna()) - {""})
        return shares.records(frame, report, self.title, self.metric, kinds)


class Pairs(Task):
    """A task of two sentences for each picture, a true and a false one: the true one has to score higher.

    A subclass says what it reads (a dataset with pictures and the column file_name) and which the ``pairs`` are.
    """

    metric = pairwise.METRIC

    @abc.abstractmethod
    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        """Return the true and the false sentence of every row."""

    def types(self, rows: Dataset) -> list[str]:
        """Return a kind of item for every row; the share of right answers is told for each kind as well."""
        return [""] * len(rows)

    def evaluate(self, asked: Scorer, rows: Dataset, batch: int) -> pd.DataFrame:
        """Return the answers; true and false are the scores of the two sentences."""
        values = pairwise.scores(asked, PictureFiles.of(rows), self.pairs(rows), batch=batch)
        return self._named(rows, pairwise.items(values, self.types(rows)))

    def chance(self, rows: Dataset) -> float:
        """Return one half."""
        return pairwise.CHANCE

    def rules(self, rows: Dataset) -> dict[str, pd.DataFrame]:
        """Return the answers of rules that read the sentences alone, a bag of words among them."""
        found = pairwise.by_rules(self.pairs(rows), self.types(rows), rows["file_name"][:])
        return {name: self._named(rows, frame) for name, frame in found.items()}

    def texts(self, rows: Dataset) -> list[str]:
        """Return all sentences."""
        return [text for pair in self.pairs(rows) for text in pair]

    def _named(self, rows: Dataset, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(item=[str(row) for row in range(len(rows))], cluster=rows["file_name"][:])


@functools.cache
def find() -> dict[str, Task]:
    """Return the tasks of this folder by title, in the order of their files.

    Raises NegutilError for a file without a ``TASK`` and for a title that two of them have.
    """
    found: dict[str, Task] = {}
    for name in names():
        task = getattr(importlib.import_module(name), "TASK", None)
        if not isinstance(task, Task):
            raise NegutilError(f"{name} has no task: write TASK = ... with an instance of a subclass of Task.")
        if task.title in found:
            raise NegutilError(f"{name} has the title '{task.title}', as another task has: give it one of its own.")
        found[task.title] = task
    return found


def names() -> list[str]:
    """Return the dotted names of the modules of this folder, which hold a task each, in their order."""
    return [f"{__name__}.{name}" for root in __path__ for _, name, _ in pkgutil.iter_modules([root])]


def answers(task: Task, asked: Scorer, rows: Any, batch: int) -> pd.DataFrame:
    """Return what ``task.evaluate`` does; raises NegutilError where its rows lack a column or repeat an item."""
    return checked(task, task.evaluate(asked, rows, batch))


def checked(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame``; raises NegutilError where it is empty, lacks a column of NEEDED, or has an item twice."""
    lacking = [name for name in NEEDED if name not in frame]
    if lacking:
        raise NegutilError(f"The answers to '{task.title}' lack the column '{lacking[0]}': give {', '.join(NEEDED)}.")
    if frame.empty:
        raise NegutilError(f"There are no answers to '{task.title}': give one row for each item.")
    twice = frame["item"][frame["item"].duplicated()]
    if len(twice):
        raise NegutilError(
            f"The answers to '{task.title}' have the item {twice.iloc[0]!r} twice: give one row for each."
        )
    return frame
