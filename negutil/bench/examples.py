"""What a model makes of single pairs of the user's own images: the image, both captions, and their margin."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from negutil.bench import run
from negutil.bench.sources import OwnPairs, Unit
from negutil.models.pictures import PictureFiles

MOST, SIDE = 24, 240
"""Pairs of a file that the card shows, and the longer side of their images in pixels."""


@dataclass(frozen=True, slots=True)
class Example:
    """One pair: ``image`` is a small JPEG as a data URL; ``margin`` is the score of the true caption less the other."""

    image: str
    file_name: str
    line: int
    true: str
    false: str
    margin: float
    right: bool


@dataclass(frozen=True, slots=True)
class Examples:
    """The pairs of one file with the lowest margins, lowest first; ``wrong`` of all ``n`` are answered wrongly."""

    title: str
    shown: tuple[Example, ...]
    wrong: int
    n: int


def of(units: Sequence[Unit], out: Path) -> list[Examples]:
    """Return examples for every file of pairs among ``units`` whose answers are in the folder ``out`` of the card.

    Raises NegutilError where an image cannot be read any more.
    """
    found = []
    for unit in units:
        task = unit.task
        if not isinstance(task, OwnPairs):
            continue
        kept = run.load(out, unit)
        if kept is None:
            continue
        answers = kept.frames[unit.title].reset_index(drop=True)
        images, pairs = PictureFiles.of(unit.rows), task.pairs(unit.rows)
        lowest = answers["margin"].sort_values(kind="stable").index[:MOST]
        shown = tuple(
            Example(
                image=small(images, row),
                file_name=str(answers["cluster"][row]),
                line=int(answers["item"][row]),
                true=pairs[row][0],
                false=pairs[row][1],
                margin=float(answers["margin"][row]),
                right=bool(answers["right"][row]),
            )
            for row in lowest
        )
        found.append(Examples(unit.title, shown, int((~answers["right"].astype(bool)).sum()), len(answers)))
    return found


def small(images: PictureFiles, row: int) -> str:
    """Return an image as a JPEG of at most SIDE pixels in a data URL, for a page that needs no other file."""
    return f"data:image/jpeg;base64,{base64.b64encode(images.jpeg(row, SIDE, quality=80)).decode('ascii')}"
