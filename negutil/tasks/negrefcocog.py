"""NegRefCOCOg: which of two boxes of an image does a phrase with a negation describe? (docs/protocols.md#negrefcocog)

Each box is cut out, preprocessed like an image and scored with the phrase, by a CLIP with their cosine. The published
file has the right box first in every row and the published evaluation gives a tie to the first, so a constant scorer
gets 100 % there; here the boxes are shuffled and a tie is no win. The controls ask the same with the negation deleted,
and with the whole negated clause deleted: how much of the accuracy is referring, and how much is negation?
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import data as formats
from negutil.captions import negrefcocog as phrases
from negutil.captions import phrasing
from negutil.config import Profile
from negutil.data import _reading, negrefcocog, source
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.statistics import Floats
from negutil.tasks import Frames, Published, Task, mcq

TITLE = "NegRefCOCOg"
AFFIRMED, BARE = f"{TITLE}, negation deleted", f"{TITLE}, negated clause deleted"
METRIC = "accuracy"
FILE = "NegRefCOCOg.json"
LONGEST_SIDE = 10_000
"""Pixels; an image of COCO has at most 640."""

CUES = ("not", "without", "no")
OTHER = "other"
FIRST_BOX, LARGER_BOX = "first box of the file", "larger box"
WHERE = "get NegRefCOCOg.json at github.com/parkquasar/NegationCLIP and COCO's train2014.zip at cocodataset.org"


class NegRefCOCOg(Task):
    """The phrases of the file and those of the two controls."""

    title, controls, metric, get = TITLE, (AFFIRMED, BARE), METRIC, "negrefcocog"
    counts, kinds = "phrases", (*CUES, OTHER)
    published = (Published(TITLE, METRIC, "negationclip_table2.csv", TITLE, 440),)

    def read(self, settings: Profile) -> Dataset:
        """Return the phrases with their images."""
        folder = source.folder(settings, "negrefcocog", WHERE)
        part = source.folder(settings, "refcocog" if source.is_drawn(folder) else "coco", WHERE)
        return negrefcocog.load(folder / FILE, _reading.require_folder(part / "train2014", WHERE))

    def texts(self, rows: Dataset) -> list[str]:
        """Return the phrases of the file and of the controls."""
        return [text for texts in phrases_of(rows).values() for text in texts]

    def pictures(self, rows: Dataset) -> list[PictureFiles]:
        """Return the boxes."""
        return [crops(rows)]

    def score(self, scorer: Scorer, rows: Dataset, *images: Features) -> Frames:
        """Return the answers to the phrases of the file and of the controls."""
        return {title: answers(scorer, rows, images[0], texts) for title, texts in phrases_of(rows).items()}

    def rules(self, rows: Dataset) -> dict[str, Frames]:
        """Return the answers of two rules that know neither phrase nor image.

        "first box of the file" shows what the published order would give away to a scorer that cannot decide; "larger
        box" takes the one with more area.
        """
        boxes = np.array(rows["boxes"][:])
        preferences = {FIRST_BOX: np.tile([1.0, 0.0], (len(rows), 1)), LARGER_BOX: boxes[:, :, 2] * boxes[:, :, 3]}
        return {name: {TITLE: _items(rows, rows["phrase"][:], values)} for name, values in preferences.items()}


def phrases_of(rows: Dataset) -> dict[str, list[str]]:
    """The phrases by title: of the file, with only the negation deleted, and with the whole negated clause deleted."""
    given = rows["phrase"][:]
    without = phrases.controls([{"phrase": phrase} for phrase in given])
    return {TITLE: given, AFFIRMED: without["affirmed"].tolist(), BARE: without["bare"].tolist()}


def answers(scorer: Scorer, rows: Dataset, images: Features, texts: Sequence[str]) -> pd.DataFrame:
    """Return one row per phrase of ``texts``, one for each of ``rows``, for the features of ``crops`` [2 N, D].

    Columns: item (its number in the file), cluster (the image), phrase, type (the cue in the file's phrase: "not",
    "without", "no", "other"), right (the right box is strictly nearer), tie, margin, shown_at (its place, shuffled).
    """
    values = scorer.paired([phrase for phrase in texts for _ in range(2)], images).reshape(len(texts), 2)
    return _items(rows, texts, values)


def crops(rows: Dataset) -> PictureFiles:
    """Both boxes of every row, cut out of its image: 2 N images, row by row.

    Raises NegutilError for a box of less than a pixel, or of a side that no image has.
    """
    boxes = [box for pair in rows["boxes"][:] for box in pair]
    for number, (_, _, *sides) in enumerate(boxes):
        if min(sides) < 1 or max(sides) > LONGEST_SIDE:
            wrong = "too small for a pixel" if min(sides) < 1 else f"with a side of more than {LONGEST_SIDE:,} pixels"
            told = f"Row {number // 2} of {formats.report(rows).source} has the box {boxes[number]}, {wrong}"
            raise NegutilError(f"{told}; fix that row.")
    return PictureFiles([file for file in PictureFiles.of(rows).paths for _ in range(2)], boxes)


def _items(rows: Dataset, texts: Sequence[str], values: Floats) -> pd.DataFrame:
    cues = phrasing.table(rows["phrase"][:])["cue"].replace({"n't": "not", "does not include": "not"})
    table = mcq.items(values, rows["correct"][:], cues.where(cues.isin(CUES), OTHER).tolist())
    table = table.assign(cluster=rows["file_name"][:], phrase=texts, tie=table["chosen"] < 0)
    return table[["item", "cluster", "phrase", "type", "right", "tie", "margin", "shown_at"]]


TASKS = (NegRefCOCOg(),)
