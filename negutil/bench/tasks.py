"""What ``negutil bench`` asks: units of work, each of which is asked, kept and skipped as a whole.

A unit is one file of the user's, or one benchmark of the mini world. Its items are those of the benchmark's own module
(``suite``, ``negbench``, ``pairwise``); here stands only how they are read, told apart and turned into records.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import data as formats
from negutil.captions import phrasing
from negutil.compare import negbench
from negutil.compare.negbench import BLIND, CHANCE, FEWEST, Resampling
from negutil.config import Profile
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import negbench_items, pairwise, shares, suite, valse
from negutil.tasks.coco_retrieval import Gallery
from negutil.tasks.negbench_items import Media, Queries
from negutil.tasks.shares import Report
from negutil.tasks.suite import Data

EXPERIMENT = "bench"
CODE_VERSION = "1"  # counts changes that change items or baselines
PAIR_TYPES = ("negation true", "negation false", "both negated", "none negated")
"""Which of the two captions of a pair has a negation cue."""

Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to ask.

    Attributes:
        title: its name, different from that of any other unit.
        main: tasks and metrics that stand for it where there is no room for all, in order.
        digest: what the items depend on besides the model: texts, labels, and the files of the pictures.
        media: pictures and clips that are to be encoded together with those of other units, if any.
        ask: the answers, a row per item, of a scorer with the features of all ``media``.
        judge: records of the answers of this unit, given those of all units by title.
        baselines: records of chance and of rules that see no picture.
        notes: what the reader of the numbers should know.
        world: whether it is about the mini world.
    """

    title: str
    main: tuple[tuple[str, str], ...]
    digest: str
    media: tuple[Path, ...]
    ask: Callable[[Scorer, Media | None], pd.DataFrame]
    judge: Callable[[Frames, str], list[Record]]
    baselines: Callable[[], list[Record]]
    notes: tuple[str, ...] = ()
    world: bool = False


# --------------------------------------------------------------------------------------------------------------------
# NegBench


def of_negbench(task: negbench_items.Task, settings: Profile, notes: Sequence[str] = ()) -> Unit:
    """One variation of NegBench, or a file in its format."""
    resampling = Resampling(**dataclasses.asdict(settings.bootstrap))
    title = task.variation.title
    labels = () if isinstance(task, Queries) else (task.options, task.correct.tolist(), task.types)

    def ask(asked: Scorer, media: Media | None) -> pd.DataFrame:
        return negbench.score(asked, [task], settings.encode.batch, media=media)

    def judge(frames: Frames, model: str) -> list[Record]:
        # The drop from plain captions needs the answers to those, too.
        items = pd.concat([frame for frame in frames.values() if "variation" in frame], ignore_index=True)
        return _ours(negbench.judge(items, [task], model, resampling))

    return Unit(
        title=title,
        main=((title, "recall@5" if isinstance(task, Queries) else "accuracy"),),
        digest=digest(task.media, task.names, task.rows.tolist(), task.texts, *labels),
        media=task.media,
        ask=ask,
        judge=judge,
        baselines=lambda: _ours(negbench.baselines(task, resampling)),
        notes=tuple(notes),
    )


# --------------------------------------------------------------------------------------------------------------------
# The benchmarks of the suite


def of_suite(title: str, data: Data, settings: Profile, notes: Sequence[str] = ()) -> Unit:
    """One benchmark of ``suite``, with its controls where it has any."""
    chance = suite.chance(data)

    def judge(frames: Frames, model: str) -> list[Record]:
        return suite.records(frames[title].assign(model=model), EXPERIMENT, settings)

    def baselines() -> list[Record]:
        tables = [suite.table(frames, f"{BLIND}{rule}") for rule, frames in suite.rules(data).items()]
        found = suite.records(pd.concat(tables), EXPERIMENT, settings) if tables else []
        return found + [_chance(task, _main_metric(task, data), value, data) for task, value in chance.items()]

    return Unit(
        title=title,
        main=tuple((_titled(task), _main_metric(task, data)) for task in chance),
        digest=digest(_pictures(data), _plain(data)),
        media=(),
        ask=lambda asked, _: suite.table(suite.run(asked, data, settings), asked.name),
        judge=judge,
        baselines=baselines,
        notes=tuple(notes),
    )


def _titled(task: str) -> str:
    """The task of the records, which for VALSE says which items."""
    return f"{valse.TASK}, {valse.SETS[0]}" if task == suite.VALSE else task


def _main_metric(task: str, data: Data) -> str:
    further = {own.title: own.metric for own, _ in data.further}
    if task in further:
        return further[task]
    if task == suite.COCO:
        return "recall@5"
    if task in (suite.IMAGENET, suite.CALTECH101):
        return "top-1 accuracy"
    return "accuracy" if task.startswith(suite.REFERRING) else pairwise.METRIC


def _chance(task: str, metric: str, value: float, data: Data) -> Record:
    """What guessing gets, for as many items as the first benchmark in ``data`` has."""
    rows = next(iter(_parts(data).values()), ())
    count = len(rows.captions) if isinstance(rows, Gallery) else len(rows)
    return Record(EXPERIMENT, task, CHANCE, metric, value, count)


def _parts(data: Data) -> dict[str, Dataset | Gallery]:
    """What ``data`` has, by the name of its field."""
    named = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)} | dict(data.more)
    return {name: rows for name, rows in named.items() if isinstance(rows, Dataset | Gallery)}


def _pictures(data: Data) -> list[Path | str]:
    own = [rows.pictures if isinstance(rows, Gallery) else PictureFiles.of(rows) for rows in _parts(data).values()]
    return [path for files in own for path in files.paths]


def _plain(data: Data) -> dict[str, Any]:
    """Everything in ``data`` but the pictures."""
    return {
        name: (rows.names, rows.captions, rows.picture_of_caption)
        if isinstance(rows, Gallery)
        else rows.remove_columns("image")[:]
        for name, rows in _parts(data).items()
    }


# --------------------------------------------------------------------------------------------------------------------
# Pairs of captions


def of_pairs(title: str, rows: Dataset, settings: Profile, notes: Sequence[str] = ()) -> Unit:
    """The pairs of ``negutil.data.pairs``, told apart by which caption of each has the negation."""
    said = list(zip(rows["true"][:], rows["false"][:], strict=True))
    types, names = pair_types(said), rows["file_name"][:]
    facts = pd.DataFrame({"item": rows["line"][:], "cluster": names})

    def ask(asked: Scorer, _: Media | None) -> pd.DataFrame:
        values = pairwise.scores(asked, PictureFiles.of(rows), said, batch=settings.encode.batch)
        return pd.concat([facts, pairwise.items(values, types)], axis=1)

    def records(table: pd.DataFrame, model: str) -> list[Record]:
        report = Report(EXPERIMENT, model, **dataclasses.asdict(settings.bootstrap))
        return shares.records(table, report, title, pairwise.METRIC, PAIR_TYPES)

    def baselines() -> list[Record]:
        rules = pairwise.by_rules(said, types, names) if len(set(names)) >= FEWEST else _rules(said, types)
        tables = {rule: pd.concat([facts, items], axis=1) for rule, items in rules.items()}
        found = [record for rule, table in tables.items() for record in records(table, f"{BLIND}{rule}")]
        return [*found, Record(EXPERIMENT, title, CHANCE, pairwise.METRIC, pairwise.CHANCE, len(said))]

    return Unit(
        title=title,
        main=((title, pairwise.METRIC),),
        digest=digest(PictureFiles.of(rows).paths, names, said),
        media=(),
        ask=ask,
        judge=lambda frames, model: records(frames[title], model),
        baselines=baselines,
        notes=tuple(notes),
    )


def _rules(said: pairwise.Pairs, types: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The rules of ``pairwise`` without the bag of words, which cannot be fitted to a few pictures."""
    return pairwise.by_rules(said, types, [""] * len(said))


def pair_types(said: pairwise.Pairs) -> list[str]:
    """For each pair of a true and a false caption, which of PAIR_TYPES it is."""
    cues = [phrasing.table([pair[side] for pair in said])["cue"].ne("").to_numpy() for side in (0, 1)]
    both, true, false = cues[0] & cues[1], cues[0], cues[1]
    return np.select([both, true, false], [PAIR_TYPES[2], *PAIR_TYPES[:2]], PAIR_TYPES[3]).tolist()


# --------------------------------------------------------------------------------------------------------------------
# What they share


def digest(pictures: Iterable[Path | str], *parts: object) -> str:
    """What tells the data of units apart: ``parts``, and path, size and time of change of every picture."""
    found = hashlib.sha256(json.dumps([CODE_VERSION, parts], sort_keys=True).encode())
    for path in dict.fromkeys(pictures):
        status = Path(path).stat()
        found.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return found.hexdigest()


def left_out(*datasets: Dataset) -> list[str]:
    """Sentences about what the loaders kept out of their files."""
    found = []
    for told in (formats.report(rows) for rows in datasets):
        if told.missing_pictures:
            found.append(f"{told.missing_pictures} rows were left out, as their pictures are not there.")
        if told.left_out:
            found.append(f"{len(told.left_out)} malformed rows were left out, the first: {told.left_out[0]}.")
    return found


def _ours(records: Iterable[Record]) -> list[Record]:
    return [dataclasses.replace(record, experiment=EXPERIMENT) for record in records]
