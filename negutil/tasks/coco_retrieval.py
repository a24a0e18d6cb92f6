"""COCO text-to-image retrieval with plain captions: is a caption's image among the first five?

This is what NegationCLIP and NegBench report as the ability that must not be lost: every caption is a query of its own.

See docs/protocols.md#coco-retrieval.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from negutil.config import Profile
from negutil.data import coco, source
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.results import Record
from negutil.tasks import Frames, Report, Task, blind, retrieval

TITLE = "COCO retrieval"
KS = (1, 5, 10)
K = 5
"""What the papers report."""

CAPTIONS, MOST = 5, 1000
"""Captions of each image, and images of the mini world; of the published ones all are asked, as in the papers."""

WHERE = "get val2017.zip and captions_val2017.json at cocodataset.org"


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images, and captions with the row of the image that each is about; ``names`` are the images' files."""

    pictures: PictureFiles
    names: tuple[str, ...]
    captions: tuple[str, ...]
    picture_of_caption: tuple[int, ...]


class CocoRetrieval(Task):
    """Captions of val2017; in the mini world, where that is for choosing hyperparameters, those of its test split."""

    title, metric, get = TITLE, f"recall@{K}", "coco2017"
    counts, guess = "captions", "5 / images"

    def read(self, settings: Profile, most: int | None = MOST) -> Gallery:
        """Return the gallery."""
        folder = source.folder(settings, "coco", WHERE)
        release, most = ("test2017", most) if source.is_built(folder) else ("val2017", None)
        return load(folder, release, most)

    def texts(self, rows: Gallery) -> list[str]:
        """Return all captions."""
        return list(rows.captions)

    def pictures(self, rows: Gallery) -> list[PictureFiles]:
        """Return the gallery's images."""
        return [rows.pictures]

    def score(self, scorer: Scorer, rows: Gallery, *images: Features) -> Frames:
        """Return one row per caption.

        Columns: item (the caption's number), cluster (the image's file), type (""), rank (from 1; the images that
        score as high go before), right (whether the rank is at most K).
        """
        ranks = retrieval.ranks_by(scorer, rows.captions, images[0], rows.picture_of_caption)
        clusters = np.array(rows.names, dtype=object)[list(rows.picture_of_caption)]
        facts = {"item": np.arange(len(ranks)), "cluster": clusters, "type": "", "rank": ranks, "right": ranks <= K}
        return {TITLE: pd.DataFrame(facts)}

    def chance(self, rows: Gallery) -> dict[tuple[str, str], float]:
        """Return K among the images."""
        return {(TITLE, self.metric): blind.chance_recall(len(rows.names), K)}

    def shares(self, title: str, frame: pd.DataFrame, report: Report) -> list[Record]:
        """Return recall at every k of KS; images are resampled with all their captions, the gallery stays."""
        ranked = {k: frame.assign(right=frame["rank"] <= k) for k in KS}
        return [record for k, part in ranked.items() for record in report.shares(part, title, f"recall@{k}")]

    def count(self, rows: Gallery) -> int:
        """Return the number of captions."""
        return len(rows.captions)

    def facts(self, rows: Gallery) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
        """Return names and captions, and which is about which."""
        return rows.names, rows.captions, rows.picture_of_caption


def load(folder: Path, release: str, most: int | None = None) -> Gallery:
    """The first ``most`` images (None: all) of ``folder``/<release> with up to five captions each.

    ``folder`` has COCO's layout: annotations/captions_<release>.json and the images in <release>/. Five captions, as
    everybody counts 25,000 for val2017; a few images have more. Raises NegutilError as `negutil.data.coco.load` does.
    """
    rows = coco.load(folder / "annotations" / f"captions_{release}.json", pictures=folder / release)
    rows = rows.select(range(min(most or len(rows), len(rows))))
    pairs = [(text, row) for row, texts in enumerate(rows["captions"][:]) for text in texts[:CAPTIONS]]
    texts, owners = zip(*pairs, strict=True) if pairs else ((), ())
    return Gallery(PictureFiles.of(rows), tuple(rows["file_name"][:]), texts, owners)


TASKS = (CocoRetrieval(),)
