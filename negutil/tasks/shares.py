"""Records of what every benchmark of one right answer per item reports: the share of right answers, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from negutil import statistics
from negutil.results import Record
from negutil.statistics import Interval


@dataclass(frozen=True, slots=True)
class Report:
    """Whose numbers the records are, and how their intervals are drawn."""

    experiment: str
    model: str
    resamples: int = statistics.RESAMPLES
    seed: int = 0

    def share(self, right: pd.Series, clusters: pd.Series) -> Interval:
        """The share of ``right`` (True or False per item); ``clusters`` are resampled where items share them."""
        units = clusters.to_numpy() if clusters.duplicated().any() else None
        return statistics.bootstrap_share(right.to_numpy(dtype=bool), units, self.resamples, self.seed)

    def record(self, task: str, metric: str, interval: Interval) -> Record:
        """One number as a record."""
        return Record.of(interval, experiment=self.experiment, task=task, model=self.model, metric=metric)


def records(table: pd.DataFrame, report: Report, task: str, metric: str, by: Iterable[str] = ()) -> list[Record]:
    """Return the share of right answers over all rows of ``table`` (as ``metric``) and for each type ("metric, type").

    ``table`` has a row per item and the columns right, type and cluster (the picture). A type of ``by`` without rows
    is left out.
    """
    groups = {metric: np.full(len(table), True)}
    groups |= {f"{metric}, {name}": (table["type"] == name).to_numpy() for name in by}
    return [
        report.record(task, title, report.share(table["right"][own], table["cluster"][own]))
        for title, own in groups.items()
        if own.any()
    ]
