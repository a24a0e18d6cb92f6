"""Where ``negutil bench`` finds its units: the mini world, or the user's own files in the published formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from negutil import config
from negutil.bench import tasks
from negutil.bench.tasks import Unit
from negutil.captions import negbench_files
from negutil.captions.negbench_files import PLAIN, VARIATIONS, Variation
from negutil.config import Encode, Profile
from negutil.data import Missing, ccneg, negbench, negrefcocog, pairs, valse
from negutil.errors import NegutilError
from negutil.tasks import negbench_items, suite
from negutil.tasks.suite import Data


@dataclass(frozen=True, slots=True)
class Files:
    """The user's own files by format, and the folders under which their pictures are (none: each file's own).

    With ``partial``, rows whose pictures are not there are left out and counted.
    """

    negbench: tuple[Path, ...] = ()
    valse: tuple[Path, ...] = ()
    ccneg: tuple[Path, ...] = ()
    negrefcocog: tuple[Path, ...] = ()
    pairs: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    partial: bool = False

    @property
    def missing(self) -> Missing:
        """What the loaders do about pictures that are not there."""
        return "drop" if self.partial else "error"

    @property
    def any(self) -> bool:
        """Whether there is a file to ask about."""
        return any((self.negbench, self.valse, self.ccneg, self.negrefcocog, self.pairs))


def settings(profile: str | None, batch: int) -> Profile:
    """The settings of a profile of the mini world with another batch (0: its own); files use those of ``mini``."""
    found = config.load(profile)
    if found.published:
        raise NegutilError(
            f"The profile {found.name} has no world of its own; name your files (--negbench, --valse, --ccneg, "
            "--negrefcocog, --pairs), or choose --profile mini or quick."
        )
    return dataclasses.replace(found, encode=Encode(batch)) if batch else found


# --------------------------------------------------------------------------------------------------------------------
# The mini world


def world(chosen: Profile, only: Sequence[str] = ()) -> list[Unit]:
    """The benchmarks of the mini world whose names have one of ``only`` in them (none: all of them).

    Builds what is missing. Raises NegutilError, listing the names, where one of ``only`` is in none of them.
    """
    variations = {variation.title: variation for variation in (*PLAIN, *VARIATIONS)}
    names = [*suite.names(), *variations]
    unknown = [text for text in only if not any(text.lower() in name.lower() for name in names)]
    if unknown:
        raise NegutilError(f"No task of the mini world has '{unknown[0]}' in its name; there are {'; '.join(names)}.")
    kept = [name for name in names if not only or any(text.lower() in name.lower() for text in only)]
    units = [_of_suite(name, chosen) for name in kept if name not in variations]
    folder = negbench_files.folder(chosen) if any(name in variations for name in kept) else Path()
    asked = (negbench_items.load(chosen, variations[name], folder) for name in kept if name in variations)
    units += [tasks.of_negbench(task, chosen) for task in asked if task is not None]
    return [dataclasses.replace(unit, world=True) for unit in units]


def _of_suite(name: str, chosen: Profile) -> Unit:
    return tasks.of_suite(name, suite.prepare(chosen, [name]), chosen)


# --------------------------------------------------------------------------------------------------------------------
# Files


def of_files(files: Files, chosen: Profile) -> list[Unit]:
    """A unit for every file of ``files``.

    Raises NegutilError where a file or picture is missing or damaged, and where two files would have one name.
    """
    units = [_negbench(path, files, chosen) for path in files.negbench]
    units += [_valse(path, files, chosen) for path in files.valse]
    units += [_referring(path, files, chosen) for path in files.negrefcocog]
    units += [_ccneg(path, files, chosen) for path in files.ccneg]
    units += [_pairs(path, files, chosen) for path in files.pairs]
    titles = [unit.title for unit in units]
    twice = [title for title in titles if titles.count(title) > 1]
    if twice:
        raise NegutilError(f"Two files would both be called '{twice[0]}'; rename one, or examine them one at a time.")
    return units


def _negbench(path: Path, files: Files, chosen: Profile) -> Unit:
    rows = _found(lambda folder, missing: negbench.load(path, folder, missing), path, files)
    task = negbench_items.of_rows(rows, _variation(path, rows))
    return tasks.of_negbench(task, chosen, tasks.left_out(rows))


def _variation(path: Path, rows: Dataset) -> Variation:
    """The published variation whose file is called like this one, or one that is named after the file."""
    known = {variation.published: variation for variation in (*PLAIN, *VARIATIONS) if variation.published}
    if path.name in known:
        return known[path.name]
    task = "retrieval" if "captions" in rows.column_names else f"{len(rows['options'][0])}-choice"
    return Variation(path.stem, "MCQ" if task == "4-choice" else task, "own file", path.name, "")


def _valse(path: Path, files: Files, chosen: Profile) -> Unit:
    rows = _found(lambda folder, missing: valse.load(path, folder, missing=missing), path, files)
    return tasks.of_suite(suite.VALSE, Data(valse=rows), chosen, tasks.left_out(rows))


def _referring(path: Path, files: Files, chosen: Profile) -> Unit:
    rows = _found(lambda folder, missing: negrefcocog.load(path, folder, missing), path, files)
    return tasks.of_suite(suite.REFERRING, Data(referring=rows), chosen, tasks.left_out(rows))


def _ccneg(path: Path, files: Files, chosen: Profile) -> Unit:
    """The published evaluation set: the last 40,000 items, or all of a file that has fewer."""
    count = min(ccneg.N_EVALUATION, len(ccneg.load(path, n_evaluation=1)))

    def load(folder: Path, missing: Missing) -> Dataset:
        return ccneg.load(path, folder, split="evaluation", n_evaluation=count, missing=missing)

    rows = _found(load, path, files)
    return tasks.of_suite(suite.CCNEG, Data(ccneg=rows), chosen, tasks.left_out(rows))


def _pairs(path: Path, files: Files, chosen: Profile) -> Unit:
    rows = _found(lambda folder, missing: pairs.load(path, folder, missing), path, files)
    return tasks.of_pairs(path.stem, rows, chosen, tasks.left_out(rows))


def _found(load: Callable[[Path, Missing], Dataset], path: Path, files: Files) -> Dataset:
    """What ``load`` reads with the pictures of the first folder that has them (with ``partial``: that has most)."""
    folders = files.images or (path.expanduser().parent,)
    read: list[Dataset] = []
    problems: list[NegutilError] = []
    for folder in folders:
        try:
            read.append(load(folder, files.missing))
        except NegutilError as problem:
            problems.append(problem)
        if read and not files.partial:
            break
    if not read:
        mend = "add the folder with --images, or --partial to leave out rows"
        told = str(problems[0]).replace('add the files, or pass missing="drop" to leave out the rows', mend)
        raise NegutilError(told) from problems[0]
    return max(read, key=len)
