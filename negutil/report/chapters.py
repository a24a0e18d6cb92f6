"""The numbered notebooks of the project: which there are, their titles, and reading one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from negutil import paths
from negutil.errors import NegutilError, meant


@dataclass(frozen=True, slots=True)
class Chapter:
    """A numbered notebook: its file and the title that its first heading gives it."""

    path: Path
    title: str

    @property
    def number(self) -> str:
        """The two digits that its name starts with."""
        return self.path.stem[:2]


def find(folder: Path | None = None) -> list[Chapter]:
    """The notebooks ``NN_name.ipynb`` in ``folder`` (default: ``notebooks/``), in order."""
    chapters = []
    for path in sorted((folder or paths.NOTEBOOKS).glob("[0-9][0-9]_*.ipynb")):
        texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
        heading = re.search(r"^#\s+(.*)$", "\n".join(texts), re.MULTILINE)
        chapters.append(Chapter(path, heading.group(1).strip() if heading else ""))
    return chapters


def read(path: Path) -> NotebookNode:
    """The notebook in ``path``; raises NegutilError if it is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError) as problem:
        raise NegutilError(f"{path} cannot be read as a notebook ({type(problem).__name__}): restore it.") from problem


def choose(chapters: Sequence[Chapter], only: str | None) -> list[Chapter]:
    """The chapters that ``only`` asks for: numbers and ranges with commas between, such as "01,03-05"; None means all.

    Raises NegutilError if there is no such chapter.
    """
    if only is None:
        return list(chapters)
    known, wanted = {chapter.number for chapter in chapters}, set()
    for word in filter(None, (word.strip() for word in only.split(","))):
        first, _, last = (part.strip().zfill(2) for part in word.partition("-"))
        inside = {number for number in known if first <= number <= last} if "-" in word else set()
        wanted |= inside | {first, *([last] if "-" in word else [])}
    if not wanted or wanted - known:
        there = ", ".join(sorted(known)) or "none"
        names = {chapter.path.stem[3:]: chapter.number for chapter in chapters}
        close = meant(only.strip(), list(names)) if only.strip() else ""
        hint = f" (did you mean {names[close]}, {close}?)" if close else ""
        raise NegutilError(
            f"There is no such notebook as '{only}'{hint}; there are {there}. Write numbers, such as 01,03-05."
        )
    return [chapter for chapter in chapters if chapter.number in wanted]
