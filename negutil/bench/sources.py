"""What ``negutil bench`` asks: tasks with what they read in the mini world, or in the user's own files.

Own files are in the published formats, or pairs of captions; their items are those of the same tasks.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import config
from negutil import data as formats
from negutil.captions import phrasing
from negutil.captions.negbench_files import PLAIN, VARIATIONS, Variation
from negutil.config import Bootstrap, Encode, Profile
from negutil.data import _reading, negbench, negrefcocog, pairs, source, valse
from negutil.data import ccneg as ccneg_files
from negutil.errors import NegutilError
from negutil.tasks import Frames, Task, ccneg, find, suite
from negutil.tasks.negbench import FEWEST, NegBench, of_rows
from negutil.tasks.pairwise import Pairs

CODE_VERSION = "2"  # counts changes that change items or baselines
PAIR_TYPES = ("negation true", "negation false", "both negated", "none negated")
"""Which of the two captions of a pair has a negation cue."""


@dataclass(frozen=True)
class Unit:
    """A task with what it asks, which is answered, kept and skipped as a whole.

    Attributes:
        task: the task, whose title is different from that of any other unit.
        rows: what it read.
        bootstrap: how the intervals of its numbers are drawn.
        notes: what a reader of the numbers should know.
        world: whether it is about the mini world.
    """

    task: Task
    rows: Any
    bootstrap: Bootstrap
    notes: tuple[str, ...] = ()
    world: bool = False

    @property
    def title(self) -> str:
        """That of the task."""
        return self.task.title

    @cached_property
    def digest(self) -> str:
        """What the answers depend on besides the model: facts, and path, size and time of change of every image."""
        facts = json.dumps([CODE_VERSION, self.task.facts(self.rows)], sort_keys=True)
        found = hashlib.sha256(facts.encode())
        for path in dict.fromkeys(path for group in self.task.pictures(self.rows) for path in group.paths):
            status = Path(path).stat()
            found.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return found.hexdigest()


class OwnPairs(Pairs):
    """Pairs of ``negutil.data.pairs``, reported by which caption has the negation."""

    kinds = PAIR_TYPES

    def __init__(self, title: str) -> None:
        self.title = title

    def read(self, settings: Profile) -> Dataset:
        """Raise NegutilError: what is asked is in a file of the user's."""
        raise NegutilError(f"'{self.title}' is your own file, not a part of {settings.name}.")

    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        """Return the true and the false caption of every line."""
        return list(zip(rows["true"][:], rows["false"][:], strict=True))

    def types(self, rows: Dataset) -> list[str]:
        """Return for each pair which of PAIR_TYPES it is."""
        true, false = (phrasing.table(rows[side][:])["cue"].ne("").to_numpy() for side in ("true", "false"))
        return np.select([true & false, true, false], [PAIR_TYPES[2], *PAIR_TYPES[:2]], PAIR_TYPES[3]).tolist()

    def items(self, rows: Dataset) -> pd.DataFrame:
        """Return item (the line of the file) and cluster (the image)."""
        return pd.DataFrame({"item": rows["line"][:], "cluster": rows["file_name"][:]})

    def rules(self, rows: Dataset, bag_of_words: bool = True) -> dict[str, Frames]:
        """Return the answers of rules, without the bag of words where there are too few images to fit it to."""
        return super().rules(rows, bag_of_words and len(set(rows["file_name"][:])) >= FEWEST)


@dataclass(frozen=True, slots=True)
class Files:
    """The user's own files by format, and the folders under which their images are (none: each file's own).

    With ``partial``, rows whose images are missing are left out and counted.
    """

    negbench: tuple[Path, ...] = ()
    valse: tuple[Path, ...] = ()
    ccneg: tuple[Path, ...] = ()
    negrefcocog: tuple[Path, ...] = ()
    pairs: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    partial: bool = False

    @property
    def any(self) -> bool:
        """Whether there is a file to ask about."""
        return any((self.negbench, self.valse, self.ccneg, self.negrefcocog, self.pairs))


def settings(profile: str | None, batch: int) -> Profile:
    """The settings of a profile of the mini world with another batch (0: its own); files use those of ``mini``."""
    found = config.load(profile)
    if not source.is_world(found):
        raise NegutilError(
            f"The profile {found.name} has no mini world: name your files (--negbench, --valse, --ccneg, "
            "--negrefcocog, --pairs), or choose --profile mini or quick."
        )
    return dataclasses.replace(found, encode=Encode(batch)) if batch else found


def world(chosen: Profile, only: Sequence[str] = ()) -> list[Unit]:
    """The tasks of the mini world whose names have one of ``only`` in them (none: all of them).

    Builds what is missing. Raises NegutilError, listing the names, where one of ``only`` is in none of them.
    """
    names = list(dict.fromkeys([*suite.names(), *find()]))
    unknown = [text for text in only if not any(text.lower() in name.lower() for name in names)]
    if unknown:
        raise NegutilError(f"No mini-world task has '{unknown[0]}' in its name; there are {'; '.join(names)}.")
    kept = [name for name in names if not only or any(text.lower() in name.lower() for text in only)]
    tasks = [find()[name] for name in kept]
    return [Unit(each, each.read(chosen), chosen.bootstrap, world=True) for each in tasks]


# --------------------------------------------------------------------------------------------------------------------
# Files


def of_files(files: Files, chosen: Profile) -> list[Unit]:
    """A unit for every file of ``files``.

    Raises NegutilError if a file or image is missing or damaged, and where two files would have one name.
    """
    units = []
    for name, load in _LOADERS.items():
        for path in getattr(files, name):
            read = _read(load, path, files)
            task, rows = _task(name, path, read)
            lacking, notes = formats.report(read), []
            if lacking.missing_pictures:
                notes.append(f"{lacking.missing_pictures} rows were left out because their images are missing.")
            if lacking.left_out:
                count, first = len(lacking.left_out), lacking.left_out[0]
                notes.append(f"{count} malformed rows were left out, the first: {first}.")
            units.append(Unit(task, rows, chosen.bootstrap, tuple(notes)))
    titles = [unit.title for unit in units]
    twice = [title for title in titles if titles.count(title) > 1]
    if twice:
        raise NegutilError(f"Two files have the same name '{twice[0]}': rename one, or evaluate them one at a time.")
    return units


def _ccneg(path: Path, folder: Path) -> Dataset:
    """The published evaluation set: the last 40,000 items, or all of a file that has fewer."""
    count = min(ccneg_files.N_EVALUATION, len(ccneg_files.load(path, n_evaluation=1)))
    return ccneg_files.load(path, folder, split="evaluation", n_evaluation=count)


Load = Callable[[Path, Path], Dataset]
_LOADERS: Mapping[str, Load] = {
    "negbench": negbench.load,
    "valse": valse.load,
    "negrefcocog": negrefcocog.load,
    "ccneg": _ccneg,
    "pairs": pairs.load,
}
"""How the files of each field of ``Files`` are read: file, folder of its images."""


def _task(name: str, path: Path, read: Dataset) -> tuple[Task, Any]:
    """The task that asks about a file, and what it asks."""
    if name == "pairs":
        return OwnPairs(path.stem), read
    if name != "negbench":
        rows = ccneg.Items(read) if name == "ccneg" else read
        return find()[{"valse": suite.VALSE, "negrefcocog": suite.REFERRING, "ccneg": suite.CCNEG}[name]], rows
    # The published variation whose file is called like this one, or one that is named after the file.
    known = {variation.published: variation for variation in (*PLAIN, *VARIATIONS) if variation.published}
    kind = "retrieval" if "captions" in read.column_names else f"{len(read['options'][0])}-choice"
    own = Variation(path.stem, "MCQ" if kind == "4-choice" else kind, "own file", path.name, "")
    variation = known.get(path.name, own)
    return NegBench(variation), of_rows(read, variation)


def _read(load: Load, path: Path, files: Files) -> Dataset:
    """What ``load`` reads with the images of the first folder that has them (with ``partial``: that has most)."""
    read: list[Dataset] = []
    problems: list[NegutilError] = []
    for folder in files.images or (path.expanduser().parent,):
        try:
            with formats.missing_pictures("drop" if files.partial else "stop"):
                read.append(load(path, folder))
        except NegutilError as problem:
            problems.append(problem)
        if read and not files.partial:
            break
    if not read:
        fix = "add the folder with --images, or leave their rows out (--partial)"
        message = str(problems[0]).replace(_reading.ADD_OR_DROP, fix)
        raise NegutilError(message) from problems[0]
    return max(read, key=len)
