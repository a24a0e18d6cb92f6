"""The numbers of notebook 08: overlaps of each text tower, their means over seeds, and differences on the same phrases.

Every number is a linear combination of text towers' metrics, which are no means over phrases: pictures are resampled
with all their phrases, for all metrics and text towers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import statistics
from negutil.compare import engine
from negutil.compare.engine import Column
from negutil.compare.segmentation_items import Answer
from negutil.config import Bootstrap
from negutil.statistics import Floats
from negutil.tasks import segmentation
from negutil.tasks.segmentation import BINARY, FOREGROUND, METRICS, MIOU

FIXED = ("0.1", "0.3", "0.5")
BEST = "best"
RIGHT, OVER_CHANCE = "right instance", "right instance minus chance"
_POOLED = 4  # hits, false alarms, misses, rightly unmarked


def name(metric: str, threshold: str) -> str:
    """What a metric at a threshold is called: "mIoU@0.3"."""
    return f"{metric}@{threshold}"


NAMES = tuple(name(metric, threshold) for metric in METRICS for threshold in (*FIXED, BEST))


def table(
    answers: Mapping[str, Answer],
    thresholds: Mapping[str, Mapping[str, int]],
    clusters: NDArray[np.object_],
    wanted: Sequence[Column],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Every metric of every column as ``engine.table`` gives them, without a title.

    ``answers`` are to the same phrases, by text tower; ``thresholds`` has each one's best for every metric (places in
    ``segmentation.THRESHOLDS``); ``clusters`` names the picture of each phrase. Metrics that cannot be told, as the
    right instance where there are no others, are left out.
    """
    towers = list(answers)
    parts = [features(answers[tower], thresholds[tower]) for tower in towers]
    named, codes = np.unique(clusters.astype(str), return_inverse=True)
    sums = np.zeros((len(named), len(towers), parts[0].shape[1]))
    np.add.at(sums, codes, np.stack(parts, axis=1))
    mixing = engine.mixing(wanted, towers)

    def statistic(values: Floats, weights: Floats) -> Floats:
        return (metrics(np.tensordot(weights, values, axes=1)) @ mixing).reshape(len(weights), -1)

    found = statistics.bootstrap_many(statistic, sums, **dataclasses.asdict(bootstrap))
    n, with_rivals = len(codes), int((~np.isnan(answers[towers[0]].right)).sum())
    over = "clusters" if len(sums) < n else "items"
    rows = []
    numbers = ((metric, column) for metric in (*NAMES, RIGHT, OVER_CHANCE) for column in wanted)
    for (metric, column), interval in zip(numbers, found, strict=True):
        if not np.isnan(interval.value):
            counted = with_rivals if metric in (RIGHT, OVER_CHANCE) else n
            counted_over = dataclasses.replace(interval, n=counted, over=over)
            rows.append(column.about | {"metric": metric} | dataclasses.asdict(counted_over))
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def features(answer: Answer, best: Mapping[str, int]) -> Floats:
    """What the metrics are made of, added up over phrases: [N, F].

    The columns are: 1; the overlap of the phrase at each fixed and the best threshold; pixel counts at the fixed
    thresholds, the best for fgIoU and the best for IoU_BIN; whether the right instance was found, what guessing gets,
    and whether there is another.
    """
    places = [segmentation.place_of(float(threshold)) for threshold in FIXED]
    counts = {place: answer.overlap.at(place) for place in {*places, *best.values()}}
    known = ~np.isnan(answer.right)
    columns = [np.ones((len(answer.right), 1))]
    columns += [segmentation.per_phrase(counts[place])[:, None] for place in (*places, best[MIOU])]
    columns += [counts[place] for place in (*places, best[FOREGROUND], best[BINARY])]
    columns += [np.nan_to_num(answer.right)[:, None], (answer.chance * known)[:, None], known[:, None].astype(float)]
    return np.concatenate(columns, axis=1)


def metrics(sums: Floats) -> Floats:
    """The metrics [R, 14, E] of sums of ``features`` [R, E, F], in the order of NAMES, RIGHT, OVER_CHANCE."""
    fixed = len(FIXED)
    n, per_phrase = sums[..., 0], sums[..., 1 : fixed + 2]
    rest = sums[..., fixed + 2 :]
    counts = rest[..., : _POOLED * (fixed + 2)].reshape(*rest.shape[:2], fixed + 2, _POOLED)
    right, chance, known = (rest[..., place] for place in (-3, -2, -1))
    pooled = segmentation.pooled(counts)
    rows = [per_phrase[..., place] / n for place in range(fixed + 1)]
    rows += [pooled[FOREGROUND][..., place] for place in range(fixed + 1)]
    rows += [pooled[BINARY][..., place] for place in (*range(fixed), fixed + 1)]
    rows += [_share(right, known), _share(right - chance, known)]
    return np.stack(rows, axis=1)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
