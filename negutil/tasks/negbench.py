"""NegBench: each of its 18 variations, and the plain captions that the drop is measured from, is a task.

Every caption is a query of its own, options are shuffled, ties lose, and pictures are resampled with all their captions
or questions. The report card asks every variation; notebook 03 has views of them all (``negutil.compare.negbench``).

See docs/protocols.md#negbench.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil.captions import negbench_files
from negutil.captions.negbench_files import PLAIN, VARIATIONS, Variation
from negutil.config import Profile
from negutil.models import scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.results import Record
from negutil.statistics import Floats, Interval
from negutil.tasks import (
    BLIND,
    CHANCE,
    Frames,
    Published,
    Report,
    Task,
    blind,
    mcq,
    negbench_items,
    negbench_published,
    retrieval,
)
from negutil.tasks.negbench_items import Media, Queries, Rows
from negutil.tasks.negbench_items import Task as Items

KS = (1, 5, 10)
FEWEST = 10
"""A way to negate that fewer questions have is not given a row of its own."""

DIFFERENCES = (("hybrid", "negative"), ("positive", "hybrid"))
TABLE_1 = {
    "COCO retrieval, plain": ("recall@5", "COCO R@5", 25014),
    "COCO retrieval, paraphrased": ("recall@5", "COCO R-Neg@5", 25014),
    "COCO MCQ, paraphrased": ("accuracy", "COCO MCQ", 5914),
}
"""Metric and column of NegBench's Table 1, and items of the published file, by title."""


class NegBench(Task):
    """One variation: retrieval (``Queries``), multiple choice or CheXpert's questions (``Questions``)."""

    in_suite, shares_pictures = False, True

    def __init__(self, variation: Variation) -> None:
        self.title, self.variation, self.get = variation.title, variation, "negbench"
        self.metric = "recall@5" if variation.task == "retrieval" else "accuracy"
        self.published = tuple(
            Published(title, metric, "negbench_table1.csv", column, n)
            for title, (metric, column, n) in TABLE_1.items()
            if title == self.title
        )

    def read(self, settings: Profile) -> Items:
        """Return the queries or questions."""
        return negbench_items.read(settings, self.variation, negbench_files.folder(settings))

    def texts(self, rows: Items) -> list[str]:
        """Return all queries or options."""
        return rows.texts

    def pictures(self, rows: Items) -> list[PictureFiles]:
        """Return pictures or clips."""
        return [PictureFiles(rows.media)]

    def features(self, tower: LoadedModel, rows: Items, batch: int) -> list[Features]:
        """Return the features of pictures or clips."""
        return [negbench_items.encode_media(tower, rows.media, batch).features]

    def score(self, scorer: Scorer, rows: Items, *images: Features) -> Frames:
        """Return the rows of ``answers``; a query is right where its picture is among the first five."""
        found = answers(scorer, rows, images[0])
        if isinstance(rows, Queries):
            found = found.assign(type="", right=found["rank"] <= 5)
        return {self.title: found.assign(cluster=found["picture"])}

    def records(self, frames: Frames, report: Report) -> list[Record]:
        """Return recalls or accuracies, with what papers report, and the drop where ``frames`` have what it is from.

        That is retrieval with plain captions, or CheXpert's questions about what is there.
        """
        is_retrieval, part = self.variation.task == "retrieval", frames[self.title]
        unnegated = "plain" if is_retrieval else "affirmation"
        plain = frames.get(f"{self.variation.dataset} {self.variation.task}, {unnegated}")
        resampling = {"resamples": report.resamples, "seed": report.seed}
        found = (_recalls if is_retrieval else _accuracies)(part, resampling)
        if plain is not None and plain is not part:
            found |= (_recall_drops if is_retrieval else _accuracy_drop)(plain, part, resampling)
        records = []
        for metric, interval in found.items():
            value, source = negbench_published.of(self.title, metric) or (None, "")
            record = report.record(self.title, metric, interval)
            records.append(dataclasses.replace(record, paper_value=value, paper_source=source))
        return records

    def chance(self, rows: Items) -> dict[tuple[str, str], float]:
        """Return k among the pictures, or one among the options."""
        if isinstance(rows, Queries):
            return {(self.title, f"recall@{k}"): blind.chance_recall(len(rows.media), k) for k in KS}
        return {(self.title, self.metric): 1 / len(rows.options[0])}

    def rules(self, rows: Items) -> dict[str, Frames]:
        """Return what rules, and a classifier of the options, choose; none in retrieval.

        A rule that cannot decide loses, like any tie. The bag of words is left out where there are fewer than 20
        questions. See docs/protocols.md#shortcuts.
        """
        if isinstance(rows, Queries):
            return {}
        scorers = blind_scorers(rows.options, rows.correct, rows.rows, classify=len(rows.options) >= 2 * FEWEST)
        picture = np.array(rows.names)[rows.rows]
        return {
            rule: {self.title: mcq.items(values, rows.correct, rows.types).assign(picture=picture)}
            for rule, values in scorers.items()
        }

    def baselines(self, rows: Items, experiment: str, **resampling: int) -> list[Record]:
        """Return the records of guessing, and of the accuracies of the rules in total and by type."""
        guesses = self.chance(rows).items()
        found = [Record(experiment, title, CHANCE, name, value, len(rows.rows)) for (title, name), value in guesses]
        for rule, frames in self.rules(rows).items():
            found += blind_records(
                frames[self.title], rows.rows, Report(experiment, BLIND + rule, **resampling), self.title
            )
        return found

    def main(self, rows: Items) -> tuple[tuple[str, str], ...]:
        """Return recall@5 or accuracy."""
        return ((self.title, self.metric),)

    def count(self, rows: Items) -> int:
        """Return the number of queries or questions."""
        return len(rows.rows)

    def facts(self, rows: Items) -> tuple[object, ...]:
        """Return names, rows, texts and right answers."""
        labels = () if isinstance(rows, Queries) else (rows.options, rows.correct.tolist(), rows.types)
        return rows.names, rows.rows.tolist(), rows.texts, *labels


def answers(scorer: Scorer, rows: Items, images: Features, seed: int = 0) -> pd.DataFrame:
    """Return a row per query (its rank) or question (what was chosen); ``seed`` moves the order of the options.

    Columns: variation, item, picture (as the file calls it), text (the query, or the right option), rank (retrieval)
    and those of ``mcq.items``. Raises NegutilError for a score that is not finite, naming the item.
    """
    if isinstance(rows, Queries):
        ranks = retrieval.ranks_by(scorer, rows.captions, images, rows.rows)
        found = pd.DataFrame({"item": np.arange(len(ranks)), "text": rows.captions, "rank": ranks})
    else:
        values = mcq.scores_by(scorer, rows.options, images[rows.rows])
        kinds = mcq.HARD_NEGATIVES if rows.variation.dataset == "HardNeg-Syn" else None
        right = [texts[index] for texts, index in zip(rows.options, rows.correct, strict=True)]
        found = mcq.items(values, rows.correct, rows.types, seed, kinds=kinds).assign(text=right)
    return found.assign(variation=rows.variation.title, picture=np.array(rows.names)[rows.rows])


def score(
    model: LoadedModel | Scorer, tasks: Sequence[Items], batch: int, seed: int = 0, media: Media | None = None
) -> pd.DataFrame:
    """The answers of one model to several variations, below each other.

    Every different picture, clip and text of all variations is encoded once; ``media`` spares encoding pictures and
    clips that are encoded already.
    """
    who = scorer.of(model, batch)
    if media is None:
        media = negbench_items.encode_media(who.tower, (path for task in tasks for path in task.media), batch)
    who.remember(list(dict.fromkeys(text for task in tasks for text in task.texts)))
    parts = [answers(who, task, media.of(task.media), seed) for task in tasks]
    return pd.concat(parts, ignore_index=True)


def metric_of(kind: str) -> str:
    """The metric's name for what ``mcq.accuracy`` gives under ``kind``."""
    return {"total": "accuracy", "macro": "accuracy, macro average"}.get(kind, f"accuracy on {kind}")


def _recalls(part: pd.DataFrame, resampling: dict[str, int]) -> dict[str, Interval]:
    found = retrieval.recall(part["rank"].to_numpy(int), part["picture"].to_numpy(), KS, **resampling)
    return {f"recall@{k}": interval for k, interval in found.items()}


def _recall_drops(plain: pd.DataFrame, negated: pd.DataFrame, resampling: dict[str, int]) -> dict[str, Interval]:
    """How much worse a model retrieves with negation than with plain captions."""
    sides = [(side["rank"].to_numpy(int), side["picture"].to_numpy()) for side in (plain, negated)]
    return {f"drop of recall@{k}": retrieval.recall_drop(sides[0], sides[1], k, **resampling) for k in KS}


def _accuracies(part: pd.DataFrame, resampling: dict[str, int]) -> dict[str, Interval]:
    pictures = part["picture"].to_numpy()
    found = {metric_of(kind): each for kind, each in mcq.accuracy(part, pictures, **resampling).items()}
    for first, second in DIFFERENCES:
        if {first, second} <= set(part["type"]):
            found[f"{first} minus {second}"] = mcq.difference(part, first, second, pictures, **resampling)
    return found


def _accuracy_drop(plain: pd.DataFrame, negated: pd.DataFrame, resampling: dict[str, int]) -> dict[str, Interval]:
    """How much worse a model answers about denied findings than about affirmed ones (CheXpert)."""
    both = pd.concat([plain.assign(type="affirmation"), negated.assign(type="negation")])
    pictures = both["picture"].to_numpy()
    return {"drop of accuracy": mcq.difference(both, "affirmation", "negation", pictures, **resampling)}


def blind_scorers(
    options: Sequence[Sequence[str]], correct: Rows, clusters: ArrayLike, *, classify: bool = True, seed: int = 0
) -> dict[str, Floats]:
    """What every rule and, with ``classify``, the bag of words make of the options: preferences [N, K] by name."""
    found = {rule: blind.preferences(rule, options) for rule in blind.RULES}
    if classify:
        found[blind.BAG_OF_WORDS] = blind.bag_of_words_preferences(options, correct, clusters, seed)
    return found


def blind_records(items: pd.DataFrame, clusters: ArrayLike, report: Report, title: str) -> list[Record]:
    """The accuracies of a rule's ``items`` (``mcq.items``) in total and by type, with intervals over ``clusters``."""
    found = mcq.accuracy(items, clusters, resamples=report.resamples, seed=report.seed)
    return [report.record(title, metric_of(kind), interval) for kind, interval in found.items()]


def by_variation(items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of ``score`` by title."""
    return {str(title): part for title, part in items.groupby("variation", sort=False)}


TASKS = tuple(NegBench(variation) for variation in (*PLAIN, *VARIATIONS))
