"""Records of what every benchmark of one right answer per item reports: the share of right answers, with intervals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from negutil import statistics
from negutil.results import Record


def records(
    table: pd.DataFrame,
    metric: str,
    by: Iterable[str] = (),
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
    **names: str,
) -> list[Record]:
    """Return the share of right answers over all rows of ``table`` (as ``metric``) and for each type ("metric, type").

    ``table`` has a row per item and the columns right, type and cluster; clusters (pictures) are resampled. A type of
    ``by`` without rows is left out. ``names`` are the records' experiment, task and model.
    """
    groups = {metric: np.full(len(table), True)}
    groups |= {f"{metric}, {name}": (table["type"] == name).to_numpy() for name in by}
    right, clusters = table["right"].to_numpy(dtype=bool), table["cluster"].to_numpy()
    return [
        Record.of(statistics.bootstrap_share(right[own], clusters[own], resamples, seed), metric=title, **names)
        for title, own in groups.items()
        if own.any()
    ]
