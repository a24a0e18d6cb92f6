"""NegBench: each of its 18 variations, and the plain captions that the drop is measured from, is a task.

Every caption is a query of its own, options are shuffled, ties lose, and images are resampled with all their captions
or questions. The report card asks every variation; notebook 03 has views of them all (``negutil.compare.negbench``).

See docs/protocols.md#negbench.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray

from negutil import results
from negutil.captions import negbench_files
from negutil.captions.negbench_files import PLAIN, VARIATIONS, Variation
from negutil.config import Profile
from negutil.data import negbench, skipped
from negutil.errors import NegutilError
from negutil.models import encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import BLIND, CHANCE, Frames, Published, Report, Task, blind, mcq, retrieval

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

GET = {"negbench": "negbench", "coco": "coco2017", "voc": "voc2007", "msrvtt": "msrvtt", "chexpert": "chexpert"}
"""What ``negutil data get`` calls the datasets of the parts."""

Rows = NDArray[np.int64]


# --------------------------------------------------------------------------------------------------------------------
# Items


@dataclass(frozen=True, slots=True)
class Queries:
    """Captions that each look for their own image.

    ``media`` is the gallery, ``names`` how the file calls its images, ``rows`` [T] whose caption each is.
    """

    variation: Variation
    media: tuple[Path, ...]
    names: tuple[str, ...]
    rows: Rows
    captions: list[str]

    @property
    def texts(self) -> list[str]:
        """Every caption."""
        return self.captions


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions with K ``options`` each; ``correct`` [N] is right.

    ``rows`` [N] of ``media`` says which image or clip each is about, and ``names`` how the file calls those.
    ``types`` has a type for each question, or is None if the file has none (CheXpert).
    """

    variation: Variation
    media: tuple[Path, ...]
    names: tuple[str, ...]
    rows: Rows
    options: list[list[str]]
    correct: Rows
    types: list[str] | None

    @property
    def texts(self) -> list[str]:
        """Every option of every question."""
        return [text for texts in self.options for text in texts]


Items = Queries | Questions


def read(settings: Profile, variation: Variation, folder: Path) -> Items:
    """Read one variation from the files in ``folder`` (see ``negbench_files.folder``).

    Raises NegutilError if the published file is not public or not there, and where it, an image or a clip is
    damaged.
    """
    path = negbench_files.path(variation, folder)
    if path is None:
        name = variation.published
        lacking = negbench_files.place(variation, folder) / name
        raise NegutilError(f"{lacking} is not there." if name else "Its file is not public.")
    return of_rows(negbench.load(path, negbench_files.pictures(settings, variation, folder)), variation)


def of_rows(rows: Dataset, variation: Variation) -> Items:
    """Return the items of the rows of ``negutil.data.negbench.load``, read with images or clips."""
    clips = "video" in rows.column_names
    paths = [Path(path) for path in (rows["video"] if clips else PictureFiles.of(rows).paths)]
    names = dict(zip(paths, rows["file_name"], strict=True))
    number = {path: row for row, path in enumerate(names)}
    media, media_names, owners = tuple(names), tuple(names.values()), np.array([number[path] for path in paths])
    if "captions" in rows.column_names:
        captions = rows["captions"][:]
        owners = np.repeat(owners, [len(texts) for texts in captions])
        return Queries(variation, media, media_names, owners, [text for texts in captions for text in texts])
    types = list(rows["template"]) if "template" in rows.column_names else None
    return Questions(variation, media, media_names, owners, rows["options"][:], np.array(rows["correct"]), types)


def load_all(settings: Profile, wanted: Iterable[Variation] = ()) -> list[Items]:
    """Return those of the ``wanted`` variations that there are; missing published ones are noted (``skipped``).

    By default all of the profile, in the paper's order, after the plain captions that they are compared with. Raises
    NegutilError where none is left.
    """
    folder = negbench_files.folder(settings)
    known = []
    for each in wanted or negbench_files.chosen(settings):
        # What a variation lacks: NegBench's file, or where that is here its images; "" for what is not public.
        there = bool(each.published) and (negbench_files.place(each, folder) / each.published).is_file()
        part = each.part if there else negbench_files.FOLDER
        get = "" if not each.published or (there and part == negbench_files.FOLDER) else GET[part]
        known.append(skipped.attempt(settings, each.title, functools.partial(read, settings, each, folder), get))
    found = [items for items in known if items is not None]
    if not found:
        raise NegutilError(
            f"None of {len(known)} variations of NegBench can be evaluated: get the data that the lines above name."
        )
    return found


@dataclass(frozen=True, slots=True)
class Media:
    """Features of images and clips, each encoded once: ``rows`` says which is whose."""

    rows: dict[Path, int]
    features: Features

    def of(self, paths: Iterable[Path]) -> Features:
        """Return the features [N, D] of ``paths``."""
        return self.features[[self.rows[path] for path in paths]]


def encode_media(tower: LoadedModel, paths: Iterable[Path], batch: int, cached: bool = True) -> Media:
    """Encode the different images and clips of ``paths``, each once."""
    files = list(dict.fromkeys(paths))
    clips = [path for path in files if path.suffix.lower() in negbench.CLIPS]
    pictures = [path for path in files if path.suffix.lower() not in negbench.CLIPS]
    parts = [encode.images(tower, PictureFiles(pictures), batch=batch, cached=cached)] if pictures else []
    parts += [encode.clips(tower, clips, batch=batch, cached=cached)] if clips else []
    return Media({path: row for row, path in enumerate([*pictures, *clips])}, np.concatenate(parts))


# --------------------------------------------------------------------------------------------------------------------
# The task


class NegBench(Task):
    """One variation: retrieval (``Queries``), multiple choice or CheXpert's questions (``Questions``)."""

    in_suite, shares_pictures = False, True

    def __init__(self, variation: Variation) -> None:
        self.title, self.variation, self.get = variation.title, variation, "negbench"
        is_retrieval = variation.task == "retrieval"
        self.metric, self.counts = ("recall@5", "captions") if is_retrieval else ("accuracy", "questions")
        self.guess = "5 / images" if is_retrieval else "1 / options"
        self._printed = self.title.removeprefix(f"{negbench_files.OWN} ")
        if self._printed in TABLE_1:
            metric, column, n = TABLE_1[self._printed]
            self.published = (Published(self.title, metric, "negbench_table1.csv", column, n),)

    def read(self, settings: Profile) -> Items:
        """Return the queries or questions."""
        return read(settings, self.variation, negbench_files.folder(settings))

    def texts(self, rows: Items) -> list[str]:
        """Return all queries or options."""
        return rows.texts

    def pictures(self, rows: Items) -> list[PictureFiles]:
        """Return images or clips."""
        return [PictureFiles(rows.media)]

    def features(self, tower: LoadedModel, rows: Items, batch: int) -> list[Features]:
        """Return the features of images or clips."""
        return [encode_media(tower, rows.media, batch).features]

    def score(self, scorer: Scorer, rows: Items, *images: Features) -> Frames:
        """Return the rows of ``answers``; a query is right where its image is among the first five."""
        table = answers(scorer, rows, images[0])
        if isinstance(rows, Queries):
            table = table.assign(type="", right=table["rank"] <= 5)
        return {self.title: table.assign(cluster=table["picture"])}

    def records(self, frames: Frames, report: Report) -> list[Record]:
        """Return recalls or accuracies, with what papers report, and the drop where ``frames`` have what it is from.

        That is retrieval with plain captions, or CheXpert's questions about what is there.
        """
        part, unnegated = frames[self.title], "plain" if self.variation.task == "retrieval" else "affirmation"
        plain = frames.get(f"{self.variation.dataset} {self.variation.task}, {unnegated}")
        plain = None if plain is part else plain
        resampling = {"resamples": report.resamples, "seed": report.seed}
        numbers = (_recalls if self.variation.task == "retrieval" else _accuracies)(part, plain, resampling)
        records = []
        for metric, interval in numbers.items():
            value, source = published().get((self._printed, metric), (None, ""))
            record = report.record(self.title, metric, interval)
            records.append(dataclasses.replace(record, paper_value=value, paper_source=source))
        return records

    def chance(self, rows: Items) -> dict[tuple[str, str], float]:
        """Return k among the images, or one among the options."""
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
        scorers = blind.scorers(rows.options, rows.correct, rows.rows, classify=len(rows.options) >= 2 * FEWEST)
        picture = np.array(rows.names)[rows.rows]
        return {
            rule: {self.title: mcq.items(values, rows.correct, rows.types).assign(picture=picture)}
            for rule, values in scorers.items()
        }

    def baselines(self, rows: Items, experiment: str, **resampling: int) -> list[Record]:
        """Return the records of guessing, and of the accuracies of the rules in total and by type."""
        guesses = self.chance(rows).items()
        records = [Record(experiment, title, CHANCE, name, value, len(rows.rows)) for (title, name), value in guesses]
        for rule, frames in self.rules(rows).items():
            report = Report(experiment, BLIND + rule, **resampling)
            records += blind_records(frames[self.title], rows.rows, report, self.title)
        return records

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

    Columns: variation, item, image (as the file calls it), text (the query, or the right option), rank (retrieval)
    and those of ``mcq.items``. Raises NegutilError for a score that is not finite, naming the item.
    """
    if isinstance(rows, Queries):
        ranks = retrieval.ranks_by(scorer, rows.captions, images, rows.rows)
        table = pd.DataFrame({"item": np.arange(len(ranks)), "text": rows.captions, "rank": ranks})
    else:
        values = mcq.scores_by(scorer, rows.options, images[rows.rows])
        kinds = mcq.HARD_NEGATIVES if rows.variation.dataset == "HardNeg-Syn" else None
        right = [texts[index] for texts, index in zip(rows.options, rows.correct, strict=True)]
        table = mcq.items(values, rows.correct, rows.types, seed, kinds=kinds).assign(text=right)
    return table.assign(variation=rows.variation.title, picture=np.array(rows.names)[rows.rows])


def score(
    model: LoadedModel | Scorer, tasks: Sequence[Items], batch: int, seed: int = 0, media: Media | None = None
) -> pd.DataFrame:
    """Return the answers of one model to several variations, below each other.

    Every different image, clip and text of all variations is encoded once; ``media`` spares encoding images and clips
    that are encoded already.
    """
    who = scorer.of(model, batch)
    if media is None:
        media = encode_media(who.tower, (path for task in tasks for path in task.media), batch)
    who.remember(list(dict.fromkeys(text for task in tasks for text in task.texts)))
    parts = [answers(who, task, media.of(task.media), seed) for task in tasks]
    return pd.concat(parts, ignore_index=True)


# --------------------------------------------------------------------------------------------------------------------
# Numbers


def _metric_of(kind: str) -> str:
    """The metric's name for what ``mcq.accuracy`` gives under ``kind``."""
    return {"total": "accuracy", "macro": "accuracy, macro average"}.get(kind, f"accuracy on {kind}")


def _recalls(part: pd.DataFrame, plain: pd.DataFrame | None, resampling: dict[str, int]) -> dict[str, Interval]:
    """Recall, and how much worse it is than with ``plain`` captions."""
    sides = [(side["rank"].to_numpy(int), side["picture"].to_numpy()) for side in (plain, part) if side is not None]
    recalls = retrieval.recall(sides[-1][0], sides[-1][1], KS, **resampling)
    numbers = {f"recall@{k}": interval for k, interval in recalls.items()}
    if len(sides) == 2:
        numbers |= {f"drop of recall@{k}": retrieval.recall_drop(sides[0], sides[1], k, **resampling) for k in KS}
    return numbers


def _accuracies(part: pd.DataFrame, plain: pd.DataFrame | None, resampling: dict[str, int]) -> dict[str, Interval]:
    """Accuracy in all and by type; how much worse it is about denied findings than about affirmed ones (CheXpert)."""
    pictures = part["picture"].to_numpy()
    numbers = {_metric_of(kind): each for kind, each in mcq.accuracy(part, pictures, **resampling).items()}
    for first, second in DIFFERENCES:
        if {first, second} <= set(part["type"]):
            numbers[f"{first} minus {second}"] = mcq.difference(part, first, second, pictures, **resampling)
    if plain is not None:
        both = pd.concat([plain.assign(type="affirmation"), part.assign(type="negation")])
        pictures = both["picture"].to_numpy()
        numbers["drop of accuracy"] = mcq.difference(both, "affirmation", "negation", pictures, **resampling)
    return numbers


def blind_records(items: pd.DataFrame, clusters: ArrayLike, report: Report, title: str) -> list[Record]:
    """Return the accuracies of a rule's ``items`` in total and by type, with intervals over ``clusters``."""
    accuracies = mcq.accuracy(items, clusters, resamples=report.resamples, seed=report.seed)
    return [report.record(title, _metric_of(kind), interval) for kind, interval in accuracies.items()]


@functools.cache
def published() -> dict[tuple[str, str], tuple[float, str]]:
    """Return NegBench's numbers for CLIP-OpenAI (ViT-B/32), as fractions, and where each is printed.

    The keys are title and metric as in the table of notebook 03. A published number is compared with ours only in its
    direction: ours is made on the mini world by a small model.
    """
    numbers: dict[tuple[str, str], tuple[float, str]] = {}
    for file in ("negbench_mcq_breakdown.csv", "negbench_mcq_total.csv"):
        for row in results.published_rows(file):
            if row["row"] == "CLIP-OpenAI":
                dataset, kind = row["column"].rsplit(" ", 1)
                metric = "accuracy" if kind == "total" else f"accuracy on {kind.lower()}"
                source = f"NegBench, {row['table']}: {row['row']}"
                numbers[f"{dataset} MCQ, paraphrased", metric] = (row["value"], source)
    rows = [row for row in results.published_rows("negbench_table1.csv") if row["row"] == "CLIP | fine-tuned on None"]
    value = {row["column"]: round(row["value"] / 100, 4) for row in rows}
    source = "NegBench, Table 1: CLIP"
    numbers["MSR-VTT MCQ, paraphrased", "accuracy"] = (value["MSR-VTT MCQ"], source)
    for dataset in ("COCO", "MSR-VTT"):
        plain, negated = (value[f"{dataset} {name}"] for name in ("R@5", "R-Neg@5"))
        numbers[f"{dataset} retrieval, plain", "recall@5"] = (plain, source)
        numbers[f"{dataset} retrieval, paraphrased", "recall@5"] = (negated, source)
        numbers[f"{dataset} retrieval, paraphrased", "drop of recall@5"] = (round(plain - negated, 4), source)
    return numbers


TASKS = tuple(NegBench(variation) for variation in (*PLAIN, *VARIATIONS))
