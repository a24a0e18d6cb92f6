"""Check published data: read what is there with the loaders, count it against what is known, compare checksums.

Every part of a dataset gets one finding: OK; SAMPLE, a part of what is published (a few rows, some pictures), on which
notebooks run but whose numbers are not those of the benchmark; MISSING; or WRONG, with the file and how to fix it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from negutil.data import download
from negutil.errors import NegutilError, of_system
from negutil.fetch import catalogue
from negutil.fetch.catalogue import Entry, Part, Place

if TYPE_CHECKING:
    from negutil.fetch.readers import Reading

OK, SAMPLE, MISSING, WRONG = "ok", "sample", "missing", "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part of one dataset or checkpoint.

    Attributes:
        name: the entry.
        part: its path or repository.
        status: OK, SAMPLE, MISSING or WRONG.
        message: what was found, or what is wrong and how to fix it.
        needed: whether notebooks need the part.
        counts: what was counted.
    """

    name: str
    part: str
    status: str
    message: str
    needed: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)


def check(name: str, folder: Path | None = None, deep: bool = False) -> Iterator[Finding]:
    """Findings about every part of ``name``, where notebooks look or in ``folder``; one where nothing is there.

    With ``deep`` every picture is opened, otherwise some.
    """
    entry = catalogue.find(name)
    where = catalogue.place(entry, folder)
    if not any(where.located(part) for part in entry.parts):
        yield Finding(name, entry.parts[0].name, MISSING, _get(entry))
        return
    for part in entry.parts:
        yield _part(entry, part, where, deep)


def failed(finding: Finding, named: bool, whole: bool = False) -> bool:
    """Whether a finding makes the command fail.

    Something missing does only where it is needed and was asked for by name; a sample only where a ``whole`` dataset is
    wanted.
    """
    lacks = finding.status == MISSING and named and finding.needed
    return finding.status == WRONG or lacks or (finding.status == SAMPLE and whole)


def _part(entry: Entry, part: Part, where: Place, deep: bool) -> Finding:
    found = where.located(part)
    if not found:
        return Finding(entry.name, part.name, MISSING, _get(entry), part.needed)
    from negutil.fetch import readers  # here, because loaders take seconds to import

    pictures = where.path(part.pictures) if part.pictures and not where.own else None
    try:
        reading = readers.read(part, found, pictures, deep)
    except NegutilError as problem:
        return Finding(entry.name, part.name, WRONG, str(problem), part.needed)
    except OSError as problem:  # a folder or file that may not be read: the other parts are checked all the same
        return Finding(entry.name, part.name, WRONG, of_system(problem), part.needed)
    status, message = _judge(part, found, reading)
    return Finding(entry.name, part.name, status, message, part.needed, reading.counts)


def _get(entry: Entry) -> str:
    return f"it is not here: negutil data get {entry.name}"


def _judge(part: Part, found: list[Path], reading: Reading) -> tuple[str, str]:
    """Status and message of what was read: whatever is wrong first, then what is less than everything."""
    less, more = compare(reading.counts, part.counts)
    notes = "".join(f"; {note}" for note in reading.notes)
    if reading.problem:
        return WRONG, reading.problem
    if more:
        fix = "it is another release or was changed, so fetch it again"
        return WRONG, f"{found[0]} has {', '.join(more)}, more than are known ({part.counted}): {fix}."
    if less:
        return SAMPLE, f"has {', '.join(less)}{notes}"
    if problem := _other_bytes(part, found, reading):
        return WRONG, problem
    counts = ", ".join(f"{count:,} {what}" for what, count in reading.counts.items()) or "it is there"
    return (SAMPLE if reading.lost else OK), f"{counts}{notes}"


def compare(counts: Mapping[str, int], known: Mapping[str, int | list[int]]) -> tuple[list[str], list[str]]:
    """What there is less and more of than is known: such as "1,000 of 5,914 rows"."""
    less: list[str] = []
    more: list[str] = []
    for what, wanted in known.items():
        most, allowed = (max(wanted), wanted) if isinstance(wanted, list) else (wanted, [wanted])
        if counts.get(what, 0) in allowed:
            continue
        told = f"{counts.get(what, 0):,} of {most:,} {what}"
        (less if counts.get(what, 0) < most else more).append(told)
    return less, more


def _other_bytes(part: Part, found: list[Path], reading: Reading) -> str:
    """What is wrong with the checksum, or ""; of several known releases it is the checksum of the first."""
    firsts = {what: wanted[0] for what, wanted in part.counts.items() if isinstance(wanted, list)}
    if len(found) != 1 or any(reading.counts.get(what) != first for what, first in firsts.items()):
        return ""
    for kind, expected in (("sha256", part.sha256), ("md5", part.md5)):
        if expected and (actual := download.digest(found[0], kind)) != expected:
            told = f"{found[0]} has {kind} {actual}, where {expected} is known ({part.checksum})"
            return f"{told}: something in it was changed, so fetch it again."
    return ""
