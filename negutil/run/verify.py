"""Comparing a run with the committed results, so that the last digits of another machine change no committed file.

A run of the ``mini`` profile works on a copy of ``results/`` and ``figures/``.  After each notebook its tables are
compared with the committed ones, number by number, within the tolerance that ``configs/tolerances.toml`` declares per
table.  What is then copied into the clone follows from the notebook's tables alone:

- all byte-equal: every file that differs.  It cannot come from another processor, so the code that makes it changed.
- within tolerance: nothing but the notebook where its words changed.  What comes next reads the committed tables.
- beyond tolerance, or new: these tables, and every figure, per-item file and notebook beside them that differs.

With ``renew`` every file of the run is copied, for a maintainer who regenerates the committed results.
"""

import contextlib
import fnmatch
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pandas as pd

from negutil import files, paths, results
from negutil.compare import evaluation_seeds, verdicts
from negutil.files import Settings

FILE = paths.CONFIGS / "tolerances.toml"
NUMBERS = ("value", "ci_low", "ci_high")
OTHER_RUNS = ("quick", "paper", "seed-*", "notebooks", ".*")
"""Folders in results/ and figures/ that are not committed."""

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
        written: the files of the clone that were replaced or added.
        verdicts: how many pairs of a claim and a model have a verdict.
        changed: those whose verdict is another one now, as sentences.
    """

    tables: dict[str, Tally] = field(default_factory=dict)
    written: list[Path] = field(default_factory=list)
    verdicts: int = 0
    changed: list[str] = field(default_factory=list)

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


def compare(committed: pd.DataFrame, made: pd.DataFrame, allowed: Tolerance) -> Tally:
    """Compare two tables of records: values and both ends of intervals of the records that they share.

    A record that only one of them has, or with another ``n``, counts as beyond tolerance.
    """
    keys = [*results.IDENTITY, "n"]
    both = committed.merge(made, on=keys, how="outer", suffixes=("", "_made"), indicator=True, validate="one_to_one")
    shared = both[both["_merge"] == "both"]
    old = shared[list(NUMBERS)].to_numpy(float)
    new = shared[[f"{name}_made" for name in NUMBERS]].to_numpy(float)
    known = ~(np.isnan(old) & np.isnan(new))
    equal = old == new
    value, half = old[:, 0], np.nan_to_num(old[:, 2] - old[:, 1]) / 2
    is_count = np.isnan(old[:, 1]) & (value == np.round(value)) & (np.abs(value) > 1)
    moved = np.where(is_count, allowed.items, allowed.items / shared["n"].clip(lower=1).to_numpy(float))
    reach = np.nanmax([allowed.relative * np.abs(value), moved, allowed.interval * half], axis=0)
    near = np.abs(old - new) <= reach[:, None] * (1 + 1e-9)
    lost = 1 * (both["_merge"] != "both").sum()
    return Tally(int(equal.sum()), int((near & ~equal).sum()), int((known & ~near).sum() + lost))


def _compare_folders(committed: Path, made: Path) -> dict[str, Tally]:
    """Compare the tables of an experiment's folder ``made`` with those of the folder ``committed``, by name."""
    tallies = {}
    for path in sorted(made.glob("*.csv")):
        name, before, frame = f"{made.name}/{path.stem}", committed / path.name, results.read(path)
        count = int(frame[list(NUMBERS)].notna().to_numpy().sum())
        if not before.exists():
            tallies[name] = Tally(beyond=count)
        elif before.read_bytes() == path.read_bytes():
            tallies[name] = Tally(equal=count)
        else:
            tallies[name] = compare(results.read(before), frame, tolerance(name))
    return tallies


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
        self._before = _verdicts(profile)
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
            tallies |= _compare_folders(self._committed["results"] / folder.name, folder)
            shutil.copytree(folder, self._as_made / self.profile / folder.name, dirs_exist_ok=True)
        self.comparison.tables |= tallies
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
        with paths.folders(results=self._as_made):
            after = _verdicts(self.profile)
        self.comparison.verdicts = len(after)
        self.comparison.changed = [
            f"{claim} ({model}): {self._before[claim, model]} before, {verdict} now"
            for (claim, model), verdict in after.items()
            if self._before.get((claim, model), verdict) != verdict
        ]
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


def _verdicts(profile: str) -> Verdicts:
    outcomes = verdicts.of(profile)
    return {(outcome.claim.id, row.model): row.verdict for outcome in outcomes for row in outcome.rows}


@contextlib.contextmanager
def staging(profile: str, *, renew: bool = False) -> Iterator[Staging]:
    """In this block, results and figures are written to copies; ``Staging.finish`` transfers them into the clone."""
    with tempfile.TemporaryDirectory(prefix="negutil-run-") as folder:
        staged = Staging(profile, Path(folder), renew)
        with paths.folders(**staged.roots):
            yield staged
