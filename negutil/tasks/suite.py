"""Every benchmark of NegationCLIP's tables on one model: VALSE, NegRefCOCOg, zero-shot, CC-Neg and COCO retrieval.

A model's per-item outcomes stand in one long frame, so that any two models, or their means over seeds, can be paired
later. Image features are shared by all models with the same image tower; a fine-tuned text tower only encodes texts.
Tasks of one's own are files in ``negutil.tasks.further``, and are asked with the others.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from datasets import Dataset

from negutil import statistics
from negutil.captions import negrefcocog as phrases
from negutil.captions import phrasing
from negutil.config import Profile
from negutil.data import _reading, folders, skipped, source
from negutil.data import ccneg as ccneg_files
from negutil.data import negrefcocog as boxes_file
from negutil.data.skipped import Skip
from negutil.errors import NegutilError
from negutil.models import loader, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import blind, ccneg, coco_retrieval, further, negrefcocog, pairwise, valse, zero_shot
from negutil.tasks.coco_retrieval import Gallery
from negutil.tasks.further import Task
from negutil.tasks.shares import Report

VALSE, REFERRING, IMAGENET, CALTECH101, CCNEG, COCO = TASKS = (
    valse.TASK,
    negrefcocog.TASK,
    "ImageNet zero-shot",
    "Caltech101 zero-shot",
    ccneg.TASK,
    coco_retrieval.TASK,
)
AFFIRMED, BARE = f"{REFERRING}, negation deleted", f"{REFERRING}, negated clause deleted"
GET = dict(zip(TASKS, ("valse", "negrefcocog", "imagenet", "caltech101", "ccneg", "coco2017"), strict=True))
"""The dataset of each, as ``negutil data get`` calls it."""

GALLERY = 1000
WNID = re.compile(r"n\d{8}")
CLASS_NAMES = "en_classnames.json"
"""Of CLIP_benchmark (clip_benchmark/datasets/en_classnames.json), put beside ImageNet's ``val``."""

COLUMNS = ("model", "task", "item", "cluster", "type", "right", "margin", "valid", "rank")

Frames = dict[str, pd.DataFrame]
"""Per-item frames by task, as the benchmarks' modules make them."""


@dataclass(frozen=True, slots=True)
class Data:
    """What the benchmarks of a profile are made of, read once for all models; None for those not asked for.

    ``more`` has what the tasks of ``negutil.tasks.further`` read, by their titles.
    """

    valse: Dataset | None = None
    referring: Dataset | None = None
    imagenet: Dataset | None = None
    caltech101: Dataset | None = None
    ccneg: Dataset | None = None
    ccneg_reversed: Dataset | None = None
    coco: Gallery | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def further(self) -> Iterator[tuple[Task, Any]]:
        """The tasks of ``negutil.tasks.further`` that were read, each with its rows."""
        return ((further.find()[title], rows) for title, rows in self.more.items())


def names() -> tuple[str, ...]:
    """Return the titles of all tasks: those of the papers' tables, then those of ``negutil.tasks.further``."""
    return (*TASKS, *further.find())


def prepare(settings: Profile, tasks: Sequence[str] | None = None, gallery: int | None = GALLERY) -> Data:
    """Read the data of ``tasks`` (None: of all), building those of the mini world where they are missing.

    ``gallery`` is how many pictures COCO retrieval has in the mini world (None: all of them); of the published ones it
    has all, as in the papers. Published data that are not there are left out (``negutil.data.skipped``). Raises
    NegutilError for an unknown task.
    """
    wanted = names() if tasks is None else tasks
    unknown = [task for task in wanted if task not in names()]
    if unknown:
        raise NegutilError(f"There is no benchmark '{unknown[0]}'; choose among {', '.join(names())}.")
    read: dict[str, Callable[[], dict[str, Dataset | Gallery]]] = {
        VALSE: lambda: {"valse": valse.load(source.folder(settings, "valse", valse.WHERE))},
        REFERRING: lambda: {"referring": _referring(settings)},
        IMAGENET: lambda: {"imagenet": _imagenet(settings)},
        CALTECH101: lambda: {"caltech101": _caltech(settings)},
        CCNEG: lambda: _ccneg(settings),
        COCO: lambda: {"coco": _coco(settings, gallery)},
    }
    found = [skipped.attempt(settings, task, read[task], GET[task]) for task in wanted if task in read]
    more = {task: _further(settings, further.find()[task]) for task in wanted if task not in read}
    built_in = {name: rows for own in found if own for name, rows in own.items()}
    return Data(**built_in, more={task: rows for task, rows in more.items() if rows is not None})


def run(model: LoadedModel | Scorer, data: Data, settings: Profile) -> Frames:
    """Run every benchmark that ``data`` has on ``model``."""
    batch = settings.encode.batch
    asked = scorer.of(model, batch)
    found: Frames = {}
    if data.valse is not None:
        found[VALSE] = valse.evaluate(asked, data.valse, batch=batch)
    if data.referring is not None:
        said = {REFERRING: None, **controls(data.referring)}
        found |= {task: negrefcocog.evaluate(asked, data.referring, own, batch=batch) for task, own in said.items()}
    for task, rows in ((IMAGENET, data.imagenet), (CALTECH101, data.caltech101)):
        if rows is not None:
            found[task] = zero_shot.evaluate(asked, rows, batch=batch)
    if data.ccneg is not None:
        found[CCNEG] = ccneg.evaluate(asked, data.ccneg, batch=batch)
    if data.ccneg is not None and data.ccneg_reversed is not None:
        found[ccneg.REVERSED] = ccneg.evaluate(asked, data.ccneg_reversed, truth_reversed=True, batch=batch)
        found[ccneg.BOTH] = ccneg.both(found[CCNEG], found[ccneg.REVERSED])
    if data.coco is not None:
        found[COCO] = coco_retrieval.evaluate(asked, data.coco, batch=batch)
    return found | {task.title: further.answers(task, asked, rows, batch) for task, rows in data.further}


def texts(data: Data) -> list[str]:
    """Every different text that ``run`` asks about, to be read together before it runs."""
    found: list[str] = []
    if data.valse is not None:
        found += [text for pair in valse.pairs(data.valse) for text in pair]
    if data.referring is not None:
        found += [*data.referring["phrase"][:], *(text for said in controls(data.referring).values() for text in said)]
    for rows in (data.imagenet, data.caltech101):
        if rows is not None:
            found += [text for said in zero_shot.prompts(zero_shot.class_names(rows)) for text in said]
    for rows in (data.ccneg, data.ccneg_reversed):
        if rows is not None:
            found += [text for pair in ccneg.pairs(rows) for text in pair]
    if data.coco is not None:
        found += data.coco.captions
    found += [text for task, rows in data.further for text in task.texts(rows)]
    return list(dict.fromkeys(found))


def controls(rows: Dataset) -> dict[str, list[str]]:
    """NegRefCOCOg's phrases with only the negation deleted, and with the whole negated clause deleted, by task."""
    said = phrases.controls([{"phrase": phrase} for phrase in rows["phrase"][:]])
    return {AFFIRMED: said["affirmed"].tolist(), BARE: said["bare"].tolist()}


def rules(data: Data) -> dict[str, Frames]:
    """Return the frames of ``run`` for rules that read the texts alone, or look at the boxes alone, by rule."""
    found: dict[str, dict[str, pd.DataFrame]] = {}
    if data.valse is not None:
        found[VALSE] = valse.rules(data.valse)
    if data.referring is not None:
        found[REFERRING] = negrefcocog.rules(data.referring)
    if data.ccneg is not None:
        found[CCNEG] = ccneg.rules(data.ccneg)
    if data.ccneg is not None and data.ccneg_reversed is not None:
        found[ccneg.REVERSED] = ccneg.rules(data.ccneg_reversed, truth_reversed=True)
        # A bag of words is fitted to one of the two at a time, so it is no single rule for both.
        original, turned_round = found[CCNEG], found[ccneg.REVERSED]
        found[ccneg.BOTH] = {name: ccneg.both(original[name], turned_round[name]) for name in pairwise.RULES}
    for task, rows in data.further:
        found[task.title] = {name: further.checked(task, frame) for name, frame in task.rules(rows).items()}
    every = dict.fromkeys(name for by_rule in found.values() for name in by_rule)
    return {name: {task: by_rule[name] for task, by_rule in found.items() if name in by_rule} for name in every}


def chance(data: Data) -> dict[str, float]:
    """What guessing gets in each task that ``data`` has (COCO retrieval: recall@5)."""
    found: dict[str, float] = {}
    if data.valse is not None:
        found[VALSE] = pairwise.CHANCE
    if data.referring is not None:
        found |= dict.fromkeys((REFERRING, AFFIRMED, BARE), negrefcocog.CHANCE)
    for task, rows in ((IMAGENET, data.imagenet), (CALTECH101, data.caltech101)):
        if rows is not None:
            found[task] = 1 / len(zero_shot.class_names(rows))
    if data.ccneg is not None:
        found[CCNEG] = pairwise.CHANCE
    if data.ccneg_reversed is not None:
        found |= {ccneg.REVERSED: pairwise.CHANCE, ccneg.BOTH: pairwise.CHANCE**2}
    if data.coco is not None:
        found[COCO] = blind.chance_recall(len(data.coco.names), coco_retrieval.K)
    return found | {task.title: task.chance(rows) for task, rows in data.further}


def evaluate(model_name: str, settings: Profile, data: Data | None = None) -> pd.DataFrame:
    """Return every outcome of the registry's model ``model_name``: a row per task and item, with COLUMNS.

    right is whether the item was answered (COCO retrieval: the picture is among the first five), margin by how much,
    cluster the picture, valid whether VALSE's annotators validated the item, rank that of COCO retrieval; what a task
    does not have is missing. ``data`` spares reading it again.
    """
    data = data or prepare(settings)
    return table(run(loader.load(model_name, profile=settings.name), data, settings), model_name)


def table(frames: Frames, model_name: str) -> pd.DataFrame:
    """The frames of ``run`` as one long frame with COLUMNS."""
    parts = [
        frame.assign(model=model_name, task=task, item=frame["item"].astype(str)) for task, frame in frames.items()
    ]
    return pd.concat([part.reindex(columns=list(COLUMNS)) for part in parts], ignore_index=True)


def records(frame: pd.DataFrame, experiment: str, settings: Profile) -> list[Record]:
    """Return every number of the long ``frame``: per task its metrics in total and by type, with intervals."""
    found: list[Record] = []
    for (model, task), part in frame.groupby(["model", "task"], sort=False, observed=True):
        report = Report(experiment, str(model), **dataclasses.asdict(settings.bootstrap))
        found += _records(part, str(task), report)
    return found


def by_phrasing(frame: pd.DataFrame, data: Data, settings: Profile) -> pd.DataFrame:
    """Return how often the long ``frame``'s items with a negation are right, by cue, position and what is held out.

    Columns: model, task, and those of `phrasing.shares`. The text is the negated one of an item; COCO retrieval and
    zero-shot classification have none. What is held out is so in the mini world alone.
    """
    said = _negated_texts(data)
    rows = []
    for (model, task), part in frame.groupby(["model", "task"], sort=False, observed=True):
        if task in said:
            texts = part["item"].map(said[str(task)]).tolist()
            shares = phrasing.shares(
                part["right"].to_numpy(bool), texts, part["cluster"], **dataclasses.asdict(settings.bootstrap)
            )
            rows.append(shares.assign(model=str(model), task=str(task)))
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["model", "task"])
    return found[["model", "task", *found.columns.drop(["model", "task"])]]


def compare(first: pd.DataFrame, second: pd.DataFrame, settings: Profile) -> pd.DataFrame:
    """Return for each task the mean of ``first`` minus that of ``second`` over the same items, with paired intervals.

    Both are long frames; one that has several models (seeds of one method) stands for their mean, item by item.
    Columns: task, value, low, high, n, over (pictures are resampled: "clusters"). VALSE has a row for all and for the
    validated items. The interval covers items alone, not seeds. Raises NegutilError where the frames have other items.
    """
    sides = [_mean_outcome(_with_sets(frame)) for frame in (first, second)]
    if not sides[0].index.equals(sides[1].index):
        raise NegutilError(
            "The two sides of the comparison do not have the same items; evaluate both on the same data."
        )
    pair = pd.DataFrame({"first": sides[0], "second": sides[1]}).reset_index()
    rows = []
    for task, part in pair.groupby("task", sort=False):
        interval = statistics.paired_bootstrap(
            part["first"], part["second"], part["cluster"], settings.bootstrap.resamples, settings.bootstrap.seed
        )
        rows.append({"task": task, **dataclasses.asdict(interval)})
    return pd.DataFrame(rows)


def _records(part: pd.DataFrame, task: str, report: Report) -> list[Record]:
    """The records of one task and model."""
    if task == VALSE:
        return valse.records(part, report)
    if task == COCO:
        return coco_retrieval.records(part, report)
    if task in (IMAGENET, CALTECH101):
        return zero_shot.records(part, report, task)
    if task in further.find():
        return further.find()[task].records(part, report)
    return (negrefcocog if task.startswith(REFERRING) else ccneg).records(part, report, task)


def _negated_texts(data: Data) -> dict[str, dict[str, str]]:
    """The negated text of every item, by task and item, for the tasks that ask about one."""
    found: dict[str, dict[str, str]] = {}
    if data.valse is not None:
        rows = data.valse
        both = zip(rows["item"][:], rows["negated"][:], rows["caption"][:], rows["foil"][:], strict=True)
        found[VALSE] = {item: caption if side == "caption" else foil for item, side, caption, foil in both}
    if data.referring is not None:
        found[REFERRING] = {str(row): phrase for row, phrase in enumerate(data.referring["phrase"][:])}
    if data.ccneg is not None:
        said = dict(zip(data.ccneg["file_name"][:], data.ccneg["negated_caption"][:], strict=True))
        found |= dict.fromkeys((CCNEG, ccneg.REVERSED, ccneg.BOTH), said)
    return found | {task.title: task.negated(rows) for task, rows in data.further if task.negated(rows)}


def _further(settings: Profile, task: Task) -> Any:
    """What a task of ``negutil.tasks.further`` reads, or None where published data are left out."""
    return skipped.attempt(settings, task.title, lambda: task.read(settings), task.get)


def _with_sets(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with VALSE's two sets of items as tasks of their own."""
    is_valse = frame["task"] == VALSE
    own = frame[is_valse]
    sets = [part.assign(task=f"{VALSE}, {name}") for name, part in valse.sets(own).items()]
    return pd.concat([*sets, frame[~is_valse]], ignore_index=True)


def _mean_outcome(frame: pd.DataFrame) -> pd.Series:
    """The share of the frame's models that got each item right, by task, item and cluster, in their first order."""
    kept = frame.astype({"right": float})
    return kept.groupby(["task", "item", "cluster"], sort=False, observed=True)["right"].mean()


def _caltech(settings: Profile) -> Dataset:
    return folders.load(source.folder(settings, "caltech101", zero_shot.WHERE["caltech101"]))


def _imagenet(settings: Profile) -> Dataset:
    """ImageNet's classes by their names: published folders are called n01440764 and the like, and a file names them."""
    folder = source.folder(settings, "imagenet", zero_shot.WHERE["imagenet"])
    rows = folders.load(folder)
    called = rows.features["label"].names
    if not all(WNID.fullmatch(name) for name in called):
        return rows
    return folders.load(folder, zero_shot.names_from(folder / CLASS_NAMES, "imagenet1k", called))


def _referring(settings: Profile) -> Dataset:
    folder = source.folder(settings, "negrefcocog", negrefcocog.WHERE)
    part = source.folder(settings, "refcocog" if source.is_drawn(folder) else "coco", negrefcocog.WHERE)
    return boxes_file.load(folder / negrefcocog.FILE, _reading.require_folder(part / "train2014", negrefcocog.WHERE))


def _ccneg(settings: Profile) -> dict[str, Dataset | Gallery]:
    """CC-Neg's evaluation items and, in the mini world, the same with the truth turned round."""
    folder = source.folder(settings, "ccneg", ccneg.WHERE)
    count = settings.world.ccneg.val + settings.world.ccneg.test
    own = ccneg_files.load(folder / ccneg.FILE, folder, split="evaluation", n_evaluation=count)
    if not source.is_drawn(folder):
        skipped.note(settings, Skip(ccneg.REVERSED, "It needs pictures that can be drawn in the mini world alone."))
        return {"ccneg": own}
    other = source.folder(settings, "ccneg-reversed")
    return {"ccneg": own, "ccneg_reversed": ccneg_files.load(other / ccneg.FILE, other, n_evaluation=1)}


def _coco(settings: Profile, gallery: int | None) -> Gallery:
    """The mini world's val2017 is for choosing hyperparameters, so its test split is what is reported."""
    folder = source.folder(settings, "coco", coco_retrieval.WHERE)
    release, most = ("test2017", gallery) if source.is_drawn(folder) else ("val2017", None)
    return coco_retrieval.load(folder, release, most)
