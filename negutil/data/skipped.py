"""What is left out of a run on the published data because they are not on this machine, each with its reason.

In the mini world nothing is ever left out: what cannot be read there is an error. With published data (the profile
``paper``) a benchmark or training set whose files are missing or damaged is reported in one line, noted in
``results/<profile>/<experiment>/skipped.csv``, and everything else runs. No number of another profile takes its place.
So is a part: a benchmark of which some images are here, when the profile leaves out the rows without theirs.
"""

import contextlib
import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from negutil import files, paths
from negutil.config import Profile
from negutil.data import _reading
from negutil.errors import NegutilError

T = TypeVar("T")
FILE = "skipped.csv"
COLUMNS = ("what", "reason", "get", "n", "of")
WORLD_ALONE = ("00", "09")
"""Notebooks about the mini world itself."""

OTHER_DATA = {
    "00": "drawings of which everything is known",
    "02": "faces with labelled attributes",
    "07": "prompts for a text-to-image model, and what judges its images",
    "08": "outlines of what phrases refer to",
    "09": "models that were pretrained on drawings",
}
"""What notebooks need that photographs with captions are not."""

NEEDS: dict[str, tuple[str, ...]] = {
    "01": ("laion",),
    "02": ("celeba",),
    "03": ("negbench",),
    "04": ("coco", "vqa"),
    "05": ("coco",),
    "06": ("coco", "negbench", "ccneg"),
    "07": ("coco", "t2i_prompts"),
    "08": ("phrasecut",),
}
"""Folders of NEGUTIL_DATA without which a notebook has nothing to show; whatever else it lacks it leaves out."""

EXPERIMENTS = {
    "01": "01_web_captions",
    "02": "02_binary_probe",
    "03": "03_negbench",
    "04": "04_captions",
    "05": "05_negationclip",
    "06": "06_clipglasses",
    "07": "07_text_to_image",
    "08": "08_referring_segmentation",
    "09": "09_root_cause",
    "10": "10_without_training",
}
"""The folder in results/ that each notebook writes to."""

EXPERIMENT = "NEGUTIL_EXPERIMENT"
"""The environment variable with which a run passes that folder to a notebook's process, for what it leaves out."""

GET = {"coco": "coco2014"}
"""What ``negutil data get`` calls a dataset whose folder has another name."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that was left out: ``what``, the ``reason``, and the dataset to ``get`` with `negutil data get`.

    Of a part ``n`` of ``of`` rows were kept; of anything else none was.
    """

    what: str
    reason: str
    get: str = ""
    n: int = 0
    of: int = 0

    @property
    def share(self) -> str:
        """How much of it is here, such as "251 of 5,000 rows"."""
        return f"{self.n:,} of {self.of:,} rows"

    @property
    def line(self) -> str:
        """The report, in one line."""
        reason, kind = " ".join(self.reason.split()), "Part of the data" if self.n else "Skipped"
        return f"{kind}: {self.what}. {reason}" + (f" (negutil data get {self.get})" if self.get else "")


_noted: dict[str, dict[str, Skip]] = {}
"""What this process has left out, by profile and by what."""


def possible(settings: Profile) -> bool:
    """Whether a run in this profile may leave something out."""
    return settings.published


def attempt(settings: Profile, what: str, read: Callable[[], T], get: str = "") -> T | None:
    """What ``read`` returns; None if published data that it wants are missing or damaged: reported and noted.

    What to do about missing images the profile says (``reading``). In the mini world a NegutilError of ``read`` is
    raised as it is.
    """
    try:
        with reading(settings, what, get):
            return read()
    except NegutilError as problem:
        if not possible(settings):
            raise
        note(settings, Skip(what, str(problem), get))
        return None


@contextlib.contextmanager
def reading(settings: Profile, what: str, get: str = "") -> Iterator[None]:
    """While it is entered, loaders do about missing images as the profile says; a part is reported and noted."""
    with _reading.missing_pictures(settings.missing) as reports:
        yield
    kept = sum(report.rows for report in reports)
    lost = sum(report.missing_pictures for report in reports)
    if lost:
        skip = Skip(what, "", get, kept, kept + lost)
        reason = f"The images of {skip.share} are here: its numbers do not cover the whole."
        note(settings, dataclasses.replace(skip, reason=reason))


def part(title: str) -> Skip | None:
    """The part that this process has read for the benchmark of a ``title``; None if it has read all or nothing.

    A title may be of some items of a benchmark: "VALSE existence, all items".
    """
    parts = {skip.what: skip for noted in _noted.values() for skip in noted.values() if skip.n}
    names = [name for name in parts if title == name or title.startswith(f"{name}, ")]
    return parts[max(names, key=len)] if names else None


def with_share(title: str) -> str:
    """A title, and of a part how much of the data it is: "COCO MCQ, paraphrased (410 of 5,914 rows)"."""
    found = part(title)
    return f"{title} ({found.share})" if found else title


def note(settings: Profile, skip: Skip) -> None:
    """Tell, the first time, that something is left out of this run, and keep it for ``save``.

    The processes that work for a run read the same as it does, and keep it to themselves.
    """
    noted = _noted.setdefault(settings.name, {})
    is_new, noted[skip.what] = skip.what not in noted, skip
    if multiprocessing.parent_process() is not None:
        return
    if is_new:
        print(skip.line)
    if experiment := os.environ.get(EXPERIMENT):
        save(settings, experiment)


def found(settings: Profile) -> pd.DataFrame:
    """What this process has left out in the profile: a row each with COLUMNS."""
    rows = [dataclasses.astuple(skip) for skip in _noted.get(settings.name, {}).values()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def forget() -> None:
    """Forget what this process has left out."""
    _noted.clear()


def parts(profile: str) -> pd.DataFrame:
    """The parts that the experiments of a profile have read, by their files: a row each with ``what``, n, of."""
    files_of = sorted(paths.results(profile).glob(f"*/{FILE}"))
    tables = [files.read_csv(path, "run its notebook again") for path in files_of]
    tables = [table for table in tables if {"what", "n", "of"} <= set(table)]
    if not tables:
        return pd.DataFrame(columns=["what", "n", "of"])
    rows = pd.concat(tables)[["what", "n", "of"]]
    return rows[rows["n"] > 0].drop_duplicates().reset_index(drop=True)


def save(settings: Profile, experiment: str) -> Path | None:
    """Write what was left out as ``skipped.csv`` beside the tables of ``experiment``; None if nothing was.

    The mini world has no such file.
    """
    path = paths.results(settings.name) / experiment / FILE
    table = found(settings)
    if table.empty:
        path.unlink(missing_ok=True)
        return None
    _write(path, table.assign(profile=settings.name))
    return path


def stopped(settings: Profile, number: str, skip: Skip) -> None:
    """Add to the ``skipped.csv`` of the notebook ``number`` why it, or the rest of it, was not run."""
    if number not in EXPERIMENTS:
        return
    path = paths.results(settings.name) / EXPERIMENTS[number] / FILE
    row = pd.DataFrame([dataclasses.asdict(skip) | {"profile": settings.name}])
    _write(path, pd.concat([files.read_csv(path, "delete it"), row]) if path.exists() else row)


def _write(path: Path, rows: pd.DataFrame) -> None:
    """Write ``rows`` without the names of folders on this machine: results are for others, too."""
    for folder, name in ((paths.published(), "$NEGUTIL_DATA"), (paths.cache(), "$NEGUTIL_CACHE")):
        rows = rows.assign(reason=rows["reason"].str.replace(str(folder), name, regex=False))
    files.write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def whole(settings: Profile, number: str) -> Skip | None:
    """Why the notebook ``number`` ("02") has nothing to show in this profile, or None if it has."""
    if not possible(settings):
        return None
    what = f"notebook {number}"
    if settings.photographs:
        needed = OTHER_DATA.get(number)
        return Skip(what, f"It needs other data: {needed}; run it with --profile mini.") if needed else None
    if number in WORLD_ALONE:
        return Skip(what, "It is only about the mini world: run it with --profile mini.")
    for name in NEEDS.get(number, ()):
        folder = settings.data / name
        if not folder.is_dir():
            return Skip(what, f"{folder} is not there.", GET.get(name, name))
    return None
