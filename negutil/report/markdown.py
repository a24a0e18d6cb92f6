"""Markdown that is written by code: tables, links that hold in the clone, and parts of a page between markers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from negutil import paths
from negutil.errors import NegutilError

BEGIN = "<!-- {}:begin (written by `negutil readme`; do not edit) -->"
END = "<!-- {}:end -->"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table with the columns ``head``, a row for each of ``lines``."""
    whole = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in whole)


def link(text: str, path: Path, page: Path) -> str:
    """A link from ``page`` to a file of the clone, or ``text`` as code where there is no such file.

    Tables and figures are linked where the clone keeps them, whatever NEGUTIL_RESULTS and NEGUTIL_FIGURES say.
    """
    return f"[{text}]({relative(path, page)})" if path.exists() else f"`{text}`"


def relative(path: Path, page: Path) -> str:
    """The address of ``path`` in a link of ``page``."""
    for folder, name in ((paths.results(""), "results"), (paths.figures(""), "figures")):
        if path.is_relative_to(folder):
            path = paths.ROOT / name / path.relative_to(folder)
    return Path(os.path.relpath(path, page.parent)).as_posix()


def text_with(parts: Mapping[str, str], path: Path) -> str:
    """The text of a page with each of ``parts`` between its markers; raises NegutilError where a marker is missing."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise NegutilError(f"{path} must have the lines '{begin}' and '{end}' once each: put them back.")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{part}\n\n{end}{rest.split(end)[1]}"
    return text
