"""COCO text-to-image retrieval with plain captions: is a caption's picture among the first five?

This is what NegationCLIP and NegBench report as the ability that must not be lost: every caption is a query of its own.

See docs/protocols.md#coco-retrieval.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from negutil.data import Missing, coco
from negutil.models import encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import retrieval, shares
from negutil.tasks.shares import Report

TASK = "COCO retrieval"
KS = (1, 5, 10)
K = 5
"""What the papers report."""

CAPTIONS = 5
WHERE = "get val2017.zip and captions_val2017.json at cocodataset.org"


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures, and captions with the row of the picture that each is about; ``names`` are the pictures' files."""

    pictures: PictureFiles
    names: tuple[str, ...]
    captions: tuple[str, ...]
    picture_of_caption: tuple[int, ...]


def load(folder: Path, release: str, most: int | None = None, missing: Missing = "error") -> Gallery:
    """The first ``most`` pictures (None: all) of ``folder``/<release> with up to five captions each.

    ``folder`` has COCO's layout: annotations/captions_<release>.json and the pictures in <release>/. Five captions, as
    everybody counts 25,000 for val2017; a few pictures have more. Raises NegutilError as `negutil.data.coco.load` does.
    """
    rows = coco.load(folder / "annotations" / f"captions_{release}.json", pictures=folder / release, missing=missing)
    rows = rows.select(range(min(most or len(rows), len(rows))))
    said = [captions[:CAPTIONS] for captions in rows["captions"][:]]
    owners = tuple(row for row, captions in enumerate(said) for _ in captions)
    names = tuple(rows["file_name"][:])
    return Gallery(PictureFiles.of(rows), names, tuple(text for captions in said for text in captions), owners)


def evaluate(model: LoadedModel | Scorer, gallery: Gallery, *, batch: int = encode.BATCH) -> pd.DataFrame:
    """Return one row per caption of ``gallery`` for ``model``.

    Columns: item (the caption's number), cluster (the picture's file), type (""), rank (from 1; the pictures that score
    as high go before), right (whether the rank is at most K).
    """
    asked = scorer.of(model, batch)
    images = encode.images(asked.tower, gallery.pictures, batch=batch)
    ranks = retrieval.ranks_by(asked, gallery.captions, images, gallery.picture_of_caption)
    clusters = np.array(gallery.names, dtype=object)[list(gallery.picture_of_caption)]
    facts = {"item": np.arange(len(ranks)), "cluster": clusters, "type": "", "rank": ranks, "right": ranks <= K}
    return pd.DataFrame(facts)


def records(table: pd.DataFrame, report: Report) -> list[Record]:
    """Return recall at every k of KS; pictures are resampled with all their captions, the gallery stays."""
    ranked = {k: table.assign(right=table["rank"] <= k) for k in KS}
    return [record for k, part in ranked.items() for record in shares.records(part, report, TASK, f"recall@{k}")]
