"""NegBench's task variations as texts and rows of pictures or clips: what every model is asked.

See docs/protocols.md#negbench.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from negutil.captions import negbench_files
from negutil.captions.negbench_files import PLAIN, VARIATIONS, Variation
from negutil.config import Profile
from negutil.data import negbench, skipped
from negutil.errors import NegutilError
from negutil.models import encode, video
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles

GET = {"negbench": "negbench", "coco": "coco2017", "voc": "voc2007", "msrvtt": "msrvtt", "chexpert": "chexpert"}
"""What ``negutil data get`` calls the datasets of the parts."""

Rows = NDArray[np.int64]
Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Queries:
    """Captions that each look for their own picture.

    ``media`` is the gallery, ``names`` how the file calls its pictures, ``rows`` [T] whose caption each is.
    """

    variation: Variation
    media: tuple[Path, ...]
    names: tuple[str, ...]
    rows: Rows
    captions: list[str]

    @property
    def texts(self) -> list[str]:
        """Every caption."""
        return self.captions


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions with K ``options`` each; ``correct`` [N] is right.

    ``rows`` [N] of ``media`` says which picture or clip each is about, and ``names`` how the file calls those.
    ``types`` has a type for each question, or is None where the file has none (CheXpert).
    """

    variation: Variation
    media: tuple[Path, ...]
    names: tuple[str, ...]
    rows: Rows
    options: list[list[str]]
    correct: Rows
    types: list[str] | None

    @property
    def texts(self) -> list[str]:
        """Every option of every question."""
        return [text for texts in self.options for text in texts]


Task = Queries | Questions


def read(settings: Profile, variation: Variation, folder: Path) -> Task:
    """One variation from the files in ``folder`` (see ``negbench_files.folder``).

    Raises NegutilError where the published file is not public or not there, and where it, a picture or a clip is
    damaged.
    """
    path = negbench_files.path(variation, folder)
    if path is None:
        name = variation.published
        raise NegutilError(f"{folder / name} is not there." if name else "Its file is not public.")
    return of_rows(negbench.load(path, negbench_files.pictures(settings, variation, folder)), variation)


def of_rows(found: Dataset, variation: Variation) -> Task:
    """The rows of ``negutil.data.negbench.load``, read with pictures or clips, as a task."""
    media, names, rows = _media(found)
    if "captions" in found.column_names:
        captions = found["captions"][:]
        counts = [len(texts) for texts in captions]
        return Queries(variation, media, names, np.repeat(rows, counts), [text for texts in captions for text in texts])
    types = list(found["template"]) if "template" in found.column_names else None
    return Questions(variation, media, names, rows, found["options"][:], np.array(found["correct"]), types)


def load_all(settings: Profile) -> list[Task]:
    """All variations that there are, in the paper's order, after the plain captions that they are compared with."""
    return load_some(settings, (*PLAIN, *VARIATIONS))


def load_some(settings: Profile, wanted: Iterable[Variation]) -> list[Task]:
    """Those of the ``wanted`` variations that there are; published ones that are missing are told (``skipped``)."""
    folder = negbench_files.folder(settings)
    found = (
        skipped.attempt(settings, each.title, partial(read, settings, each, folder), _get(each, folder))
        for each in wanted
    )
    return [task for task in found if task is not None]


def _get(variation: Variation, folder: Path) -> str:
    """What a variation lacks: NegBench's file, or where that is here its pictures; "" without a public file."""
    if not variation.published:
        return ""
    return GET[variation.part] if (folder / variation.published).is_file() else GET[negbench_files.FOLDER]


def _media(rows: Dataset) -> tuple[tuple[Path, ...], tuple[str, ...], Rows]:
    """The different pictures or clips in order of appearance, their names, and for each row which it is about."""
    clips = "video" in rows.column_names
    paths = [Path(path) for path in (rows["video"] if clips else PictureFiles.of(rows).paths)]
    names = dict(zip(paths, rows["file_name"], strict=True))
    number = {path: row for row, path in enumerate(names)}
    return tuple(names), tuple(names.values()), np.array([number[path] for path in paths])


@dataclass(frozen=True, slots=True)
class Media:
    """Features of pictures and clips, each encoded once: ``rows`` says which is whose."""

    rows: dict[Path, int]
    features: Features

    def of(self, paths: Iterable[Path]) -> Features:
        """Features [N, D] of ``paths``."""
        return self.features[[self.rows[path] for path in paths]]


def encode_media(tower: LoadedModel, paths: Iterable[Path], batch: int, cached: bool = True) -> Media:
    """Encode the different pictures and clips of ``paths``, each once."""
    files = list(dict.fromkeys(paths))
    clips = [path for path in files if path.suffix.lower() in negbench.CLIPS]
    pictures = [path for path in files if path.suffix.lower() not in negbench.CLIPS]
    parts = [encode.images(tower, PictureFiles(pictures), batch=batch, cached=cached)] if pictures else []
    parts += [video.features(tower, clips, batch=batch, cached=cached)] if clips else []
    return Media({path: row for row, path in enumerate([*pictures, *clips])}, np.concatenate(parts))
