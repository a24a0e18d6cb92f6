"""Datasets of scenes: which pictures they have, and how these are written with the truth about them beside."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from miniworld import scenes, truth
from miniworld.scenes import Scene
from miniworld.writers import _distinct, _files
from negutil import progress
from negutil.config import Splits

Sampler = Callable[[random.Random], Scene]


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a scene dataset: image id, path of the file in the part's folder, split, and what it shows."""

    image_id: int
    file_name: str
    split: str
    scene: Scene


def _belongs(split: str, scene: Scene) -> bool:
    return scenes.is_reserved(scene) == (split != "train")


def entries(
    dataset: str, sizes: Splits, seed: int, sampler: Sampler, named: Callable[[str, int], tuple[int, str]]
) -> Iterator[Entry]:
    """Every picture of a dataset, split by split; item i comes from Random(f"{dataset}/{split}/{seed}/{i}").

    ``named`` gives image id and file name from split and index. Raises NegutilError as ``_distinct.draw_all`` does.
    """
    for split, index, scene, _ in _distinct.draw_all(dataset, sizes, seed, sampler, scenes.draw, accept=_belongs):
        yield Entry(*named(split, index), split, scene)


def write_pictures(folder: Path, drawn: Sequence[Entry]) -> None:
    """Draw every picture and write it under ``folder``; write the truth about them beside."""
    for parent in {(folder / entry.file_name).parent for entry in drawn}:
        parent.mkdir(parents=True, exist_ok=True)
    for entry in progress.bar("drawing images", drawn, unit="image", leave=False):
        _files.write_picture(folder / entry.file_name, scenes.draw(entry.scene))
    truth.write(folder, ((entry.file_name, entry.split, entry.image_id, entry.scene) for entry in drawn))


def of_split(drawn: Iterable[Entry], split: str) -> list[Entry]:
    """The entries of one split."""
    return [entry for entry in drawn if entry.split == split]
