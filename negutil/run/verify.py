"""Comparing a run with the committed results, so that the last digits of another machine change no committed file.

A run of the ``mini`` profile works on a copy of ``results/`` and ``figures/``.  After each notebook its tables are
compared with the committed ones, number by number, within the tolerance that ``configs/tolerances.toml`` declares per
table.  What is then copied into the clone follows from the notebook's tables alone:

- all byte-equal: every file that differs.  It cannot come from another processor, so the code that makes it changed.
- within tolerance: nothing but the notebook where its words changed.  What comes next reads the committed tables.
- beyond tolerance, or new: these tables, and every figure, per-item file and notebook beside them that differs.

With ``renew`` every file of the run is copied, for a maintainer who regenerates the committed results.

``of_run`` compares results that lie anywhere, and copies nothing: those of ``run_all.sh --out``, or those of the clone.
"""

import contextlib
import fnmatch
import re
import shutil
import subprocess
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pandas as pd

from negutil import files, paths, results
from negutil.compare import evaluation_seeds, verdicts
from negutil.data.unpack import unpack
from negutil.errors import NegutilError
from negutil.files import Settings

FILE = paths.CONFIGS / "tolerances.toml"
NUMBERS = ("value", "ci_low", "ci_high")
OTHER_RUNS = ("quick", "paper", "seed-*", "notebooks", ".*")
"""Folders in results/ and figures/ that are not committed."""

EXPERIMENTS = "[0-9][0-9]_*"
"""The folders of a profile's results that notebooks write."""

Verdicts = dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Tolerance(Settings):
    """How far a number may be from the committed one: the largest of three distances.

    Attributes:
        relative: share of the committed value.
        items: how many items may change sides: ``items / n`` of a share, ``items`` of a whole number without interval.
        interval: share of half the committed interval's width.
    """

    relative: float
    items: float
    interval: float


class Tally(NamedTuple):
    """How many numbers of a table are equal to the committed ones, within the tolerance, and beyond it."""

    equal: int = 0
    within: int = 0
    beyond: int = 0


def total(tallies: Iterable[Tally]) -> Tally:
    """Add up tallies."""
    return Tally(*map(sum, zip(Tally(), *tallies, strict=True)))


@dataclass(slots=True)
class Comparison:
    """A run compared with the committed results.

    Attributes:
        tables: the tally of each table, by ``<experiment>/<name>``.
        beyond: the numbers of a table that are beyond tolerance, as sentences, by the table's name.
        absent: committed experiments that are not part of the run.
        written: the files of the clone that were replaced or added.
        verdicts: how many pairs of a claim and a model have a verdict.
        changed: those whose verdict is another one now, as sentences.
    """

    tables: dict[str, Tally] = field(default_factory=dict)
    beyond: dict[str, list[str]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    verdicts: int = 0
    changed: list[str] = field(default_factory=list)

    def add(self, committed: Path, made: Path) -> dict[str, Tally]:
        """Compare the tables of an experiment's folder ``made`` with those of ``committed``; returns their tallies."""
        tallies = {}
        for file in sorted({path.name for folder in (committed, made) for path in folder.glob("*.csv")}):
            name = f"{made.name}/{Path(file).stem}"
            numbers = differences(*_pair(committed / file, made / file), tolerance(name))
            tallies[name] = tally(numbers)
            self.beyond[name] = [_sentence(row) for row in numbers[numbers["state"] == "beyond"].to_dict("records")]
        self.tables |= tallies
        return tallies

    def judge(self, before: Verdicts, after: Verdicts) -> None:
        """Note which verdicts ``after`` the run are other ones than ``before``."""
        self.verdicts = len(after)
        self.changed = [
            f"{claim} ({model}): {before[claim, model]} before, {verdict} now"
            for (claim, model), verdict in after.items()
            if before.get((claim, model), verdict) != verdict
        ]

    @property
    def summary(self) -> str:
        """One line: how many numbers are equal, within and beyond tolerance, and how many verdicts changed."""
        equal, within, beyond = total(self.tables.values())
        return (
            f"{equal + within + beyond:,} numbers compared with the committed ones: {equal:,} equal, {within:,} within "
            f"tolerance, {beyond:,} beyond; {len(self.changed)} of {self.verdicts} verdicts changed."
        )

    @property
    def details(self) -> list[str]:
        """A line for each table with numbers beyond tolerance, and for each verdict that changed."""
        moved = [
            f"{name}: {tally.beyond:,} of {sum(tally):,} numbers are beyond tolerance or new"
            for name, tally in self.tables.items()
            if tally.beyond
        ]
        return moved + self.changed

    @property
    def is_same(self) -> bool:
        """Whether no number is beyond tolerance and no verdict changed."""
        return not any(self.beyond.values()) and not self.changed

    @property
    def report(self) -> str:
        """A line for each table, with what is beyond tolerance below it; the verdicts that changed; the summary."""
        width = max(map(len, self.tables), default=0)
        lines = [f"{'table':{width}}  numbers    equal   within   beyond"]
        for name, counts in self.tables.items():
            cells = "  ".join(f"{count:7,}" for count in (sum(counts), *counts))
            lines += [f"{name:{width}}  {cells}", *(f"    {sentence}" for sentence in self.beyond[name])]
        lines += [f"{name}: not part of this run" for name in self.absent]
        return "\n".join([*lines, *self.changed, self.summary])


def tolerance(table: str, path: Path = FILE) -> Tolerance:
    """The tolerance of the table ``<experiment>/<name>``: that of the last pattern it fits, over the default.

    Raises NegutilError if the file lacks a default or has an unknown key.
    """
    content = files.read_toml(path)
    settings: dict[str, Any] = dict(content.get("default", {}))
    for entry in content.get("tables", []):
        if fnmatch.fnmatchcase(table, entry["table"]):
            settings |= {key: value for key, value in entry.items() if key not in ("table", "why")}
    return files.checked(Tolerance, settings, f"{path}: the tolerance of {table}")


def differences(committed: pd.DataFrame, made: pd.DataFrame, allowed: Tolerance) -> pd.DataFrame:
    """Compare two tables of records number by number: values and both ends of intervals.

    Returns a row for each number that one of the tables has: what identifies its record, ``n``, ``number`` (one of
    NUMBERS), ``before`` and ``now``, and as ``state`` a field of Tally. A record that only one of the tables has, or
    with another ``n``, is one row, which is beyond tolerance.
    """
    keys = [*results.IDENTITY, "n"]
    both = committed.merge(made, on=keys, how="outer", suffixes=("", "_made"), indicator=True, validate="one_to_one")
    shared, lost = both[both["_merge"] == "both"], both[both["_merge"] != "both"]
    old = shared[list(NUMBERS)].to_numpy(float)
    new = shared[[f"{name}_made" for name in NUMBERS]].to_numpy(float)
    value, half = old[:, 0], np.nan_to_num(old[:, 2] - old[:, 1]) / 2
    is_count = np.isnan(old[:, 1]) & (value == np.round(value)) & (np.abs(value) > 1)
    moved = np.where(is_count, allowed.items, allowed.items / shared["n"].clip(lower=1).to_numpy(float))
    reach = np.nanmax([allowed.relative * np.abs(value), moved, allowed.interval * half], axis=0)
    near = np.abs(old - new) <= reach[:, None] * (1 + 1e-9)
    state = np.select([np.isnan(old) & np.isnan(new), old == new, near], ["none", "equal", "within"], "beyond")
    numbers = [
        shared[keys].assign(number=name, before=old[:, column], now=new[:, column], state=state[:, column])
        for column, name in enumerate(NUMBERS)
    ]
    alone = lost[keys].assign(number="value", before=lost["value"], now=lost["value_made"], state="beyond")
    whole = pd.concat([*numbers, alone])
    return whole[whole["state"] != "none"]


def tally(numbers: pd.DataFrame) -> Tally:
    """Count the rows of ``differences`` by their state."""
    counts = numbers["state"].value_counts()
    return Tally(*(int(counts.get(name, 0)) for name in Tally._fields))


def _sentence(row: Mapping[Hashable, Any]) -> str:
    """A row of ``differences`` in words."""
    seed = "" if pd.isna(row["seed"]) else f"seed {row['seed']}"
    words = (row["task"], row["model"], seed, row["metric"], row["number"])
    before, now = ("none" if pd.isna(value) else f"{value:g}" for value in (row["before"], row["now"]))
    return f"{', '.join(filter(None, words))} (n = {row['n']:,}): {before} before, {now} now"


def _pair(committed: Path, made: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records of a table before and now; none where it is not there."""
    there = {path: results.read(path) for path in (committed, made) if path.exists()}
    none = next(iter(there.values()))[:0]
    return there.get(committed, none), there.get(made, none)


def _words(notebook: nbformat.NotebookNode) -> list[tuple[str, ...]]:
    """The source of each cell and the text of its outputs without digits and signs; of an image only that it is one.

    Notebooks whose words are equal differ in digits and images alone.
    """

    def text(output: Mapping[str, Any]) -> str:
        data = sorted(output.get("data", {}).items())
        shown = [text if kind.startswith("text/") else kind for kind, text in data]
        return re.sub(r"[-−+]?\d[\d.,]*(e[-+]?\d+)?", "#", "\n".join([*shown, str(output.get("text", ""))]))

    return [(cell.source, *map(text, cell.get("outputs", []))) for cell in notebook.cells]


class Staging:
    """Copies of ``results/`` and ``figures/`` that a run writes to, and the transfer of its files into the clone."""

    def __init__(self, profile: str, folder: Path, renew: bool) -> None:
        self.profile, self.renew, self.comparison = profile, renew, Comparison()
        self._committed = {"results": paths.results(profile), "figures": paths.figures(profile)}
        self._before = _verdicts(profile, self._committed["results"].parent)
        self.roots = {kind: folder / kind for kind in self._committed}
        # The tables as the run made them, to judge the claims by: in ``roots`` the committed ones take their place.
        self._as_made = folder / "as_made"
        for kind, target in (*self.roots.items(), ("results", self._as_made)):
            if (source := self._committed[kind].parent).exists():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns(*OTHER_RUNS), dirs_exist_ok=True)

    def start(self, number: str) -> None:
        """Called before notebook ``number`` runs: with ``renew`` its earlier results are removed."""
        if self.renew:
            for root in self.roots.values():
                for folder in (root / self.profile).glob(f"{number}_*"):
                    shutil.rmtree(folder)

    def finish(self, number: str, notebook: Path, executed: nbformat.NotebookNode) -> None:
        """Compare what notebook ``number`` made and copy what changed; ``executed`` replaces ``notebook`` likewise."""
        made = self.roots["results"] / self.profile
        tallies: dict[str, Tally] = {}
        for folder in sorted(made.glob(f"{number}_*")):
            tallies |= self.comparison.add(self._committed["results"] / folder.name, folder)
            shutil.copytree(folder, self._as_made / self.profile / folder.name, dirs_exist_ok=True)
        moved = {name for name, tally in tallies.items() if tally.beyond}
        everything = self.renew or bool(moved) or not any(tally.within for tally in tallies.values())
        for kind, root in self.roots.items():
            own = root / self.profile
            # Those of the notebook's own folders, and those that lie in none (the report).
            for path in filter(Path.is_file, (*sorted(own.glob(f"{number}_*/*")), *sorted(own.glob("*")))):
                name = path.relative_to(own)
                table = f"{name.parent.name}/{name.name.split('.')[0]}"
                within = kind == "results" and table in tallies and table not in moved and path.suffix != ".parquet"
                self._settle(path, self._committed[kind] / name, everything and (self.renew or not within))
            if self.renew:  # what the notebook does not make any more
                for path in self._committed[kind].glob(f"{number}_*/*"):
                    if not (own / path.parent.name / path.name).exists():
                        path.unlink()
        seeds = evaluation_seeds.path(self.profile)
        if moved and not self.renew and seeds.exists():
            # Judge the claims over the seeds of the evaluation sets again, where that was done (`negutil seeds`).
            evaluation_seeds.write(self.profile)
            self._settle(seeds, self._committed["results"] / seeds.name, changed=True)
        if everything or _words(nbformat.read(notebook, as_version=4)) != _words(executed):
            self._write(notebook, (nbformat.writes(executed) + "\n").encode())

    def close(self) -> Comparison:
        """Judge all claims by the tables of the run; returns the comparison with the verdicts before."""
        self.comparison.judge(self._before, _verdicts(self.profile, self._as_made))
        return self.comparison

    def _settle(self, made: Path, committed: Path, changed: bool) -> None:
        """Make a file of the run and the committed one equal: overwrite the committed one if the run's is kept."""
        if not changed and committed.exists():
            shutil.copyfile(committed, made)
        else:
            self._write(committed, made.read_bytes())

    def _write(self, path: Path, data: bytes) -> None:
        if not path.exists() or path.read_bytes() != data:
            files.write_bytes(path, data)
            self.comparison.written.append(path)


def _verdicts(profile: str, root: Path) -> Verdicts:
    """The verdict, in words, for each claim and model by the tables of ``profile`` below ``root``."""
    with paths.folders(results=root):
        outcomes = verdicts.of(profile)
    return {(outcome.claim.id, row.model): outcome.label(row.verdict) for outcome in outcomes for row in outcome.rows}


@contextlib.contextmanager
def staging(profile: str, *, renew: bool = False) -> Iterator[Staging]:
    """In this block, results and figures are written to copies; ``Staging.finish`` transfers them into the clone."""
    with tempfile.TemporaryDirectory(prefix="negutil-run-") as folder:
        staged = Staging(profile, Path(folder), renew)
        with paths.folders(**staged.roots):
            yield staged


# --------------------------------------------------------------------------------------------------------------------
# Results that lie anywhere


@contextlib.contextmanager
def elsewhere(profile: str, out: Path) -> Iterator[None]:
    """While it is entered, results and figures are written below ``out``, in folders named as those of the clone.

    What no notebook makes, but claims and report read, is copied there first. Raises NegutilError for the clone itself.
    """
    target, made = out / "results", [f"{profile}/evaluation_seeds", f"{profile}/evaluation_seeds.csv"]
    if target == paths.ROOT / "results":
        raise NegutilError(f"--out {out} is the clone, which --out leaves unchanged: name another folder.")
    for name in ("published", verdicts.other_world(profile), *made):
        source = paths.results(name)
        if name and source.is_dir():
            shutil.copytree(source, target / name, dirs_exist_ok=True)
        elif name and source.exists():
            files.write_bytes(target / name, source.read_bytes())
    with paths.folders(results=target, figures=out / "figures"):
        yield


def of_run(profile: str, made: Path) -> Comparison:
    """Compare the tables of ``profile`` below ``made`` (a folder such as results/) with the committed ones.

    Committed is what the last commit of the checkout has; without git, what lies in its results/. Experiments that the
    run does not have are named, and not compared. Raises NegutilError where there are no committed results.
    """
    comparison = Comparison()
    with _committed(profile, made) as committed:
        for folder in sorted((committed / profile).glob(EXPERIMENTS)):
            if any((made / profile / folder.name).glob("*.csv")):
                comparison.add(folder, made / profile / folder.name)
            else:
                comparison.absent.append(folder.name)
        comparison.judge(_verdicts(profile, committed), _verdicts(profile, made))
    return comparison


@contextlib.contextmanager
def _committed(profile: str, made: Path) -> Iterator[Path]:
    """A folder such as results/ with the committed tables of ``profile``, and those of the published files."""
    if not paths.IS_CHECKOUT:
        raise NegutilError("An installed negutil has no committed results: compare in a checkout.")
    own = paths.ROOT / "results"
    wanted = [f"results/{name}/*.csv" for name in (profile, "published")]
    with tempfile.TemporaryDirectory(prefix="negutil-verify-") as folder:
        try:
            archive = Path(folder) / "committed.tar"
            command = ["git", "archive", f"--output={archive}", "HEAD", "--", *wanted]
            subprocess.run(command, cwd=paths.ROOT, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            if made == own or not (own / profile).exists():
                raise NegutilError(
                    f"{paths.ROOT} has no commit with results of {profile} to compare with: clone the repository with "
                    "git, or give the folder of a run, as in `negutil verify DIR`."
                ) from problem
            yield own
            return
        unpack(archive, Path(folder) / "tables")
        yield Path(folder) / "tables" / "results"
