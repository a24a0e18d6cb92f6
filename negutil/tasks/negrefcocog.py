"""NegRefCOCOg: which of two boxes of a picture does a phrase with a negation describe? (docs/protocols.md#negrefcocog)

Each box is cut out, preprocessed like a picture and scored with the phrase, by a CLIP with their cosine. The published
file has the right box first in every row and the published evaluation gives a tie to the first, so a constant scorer
gets 100 % there; here the boxes are shuffled and a tie is no win. The control asks the same with other phrases, such as
those with the negation deleted: how much of the accuracy is referring, and how much is negation?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.captions import phrasing
from negutil.errors import NegutilError
from negutil.models import encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.statistics import Floats
from negutil.tasks import mcq, shares
from negutil.tasks.shares import Report

TASK = "NegRefCOCOg"
METRIC = "accuracy"
CHANCE = 0.5
CUES = ("not", "without", "no")
OTHER = "other"
FIRST_BOX, LARGER_BOX = "first box of the file", "larger box"
FILE = "NegRefCOCOg.json"
WHERE = "get NegRefCOCOg.json at github.com/parkquasar/NegationCLIP and COCO's train2014.zip at cocodataset.org"


def evaluate(
    model: LoadedModel | Scorer,
    rows: Dataset,
    phrases: Sequence[str] | None = None,
    *,
    batch: int = encode.BATCH,
    order_seed: int = 0,
) -> pd.DataFrame:
    """Return one row per phrase of ``rows`` (with pictures) for ``model``; ``phrases`` replaces those of the file.

    Columns: item (its number in the file), cluster (the picture), phrase, type (the cue in the file's phrase: "not",
    "without", "no", "other"), right (the right box is strictly nearer), tie, margin, shown_at (its place, shuffled).
    Raises NegutilError where a box is smaller than a pixel or phrases are not one per row.
    """
    said = rows["phrase"][:] if phrases is None else list(phrases)
    if len(said) != len(rows):
        raise NegutilError(f"There are {len(said)} phrases for {len(rows)} rows of NegRefCOCOg; give one for each.")
    asked = scorer.of(model, batch)
    images = encode.images(asked.tower, crops(rows), batch=batch)
    values = asked.paired([phrase for phrase in said for _ in range(2)], images).reshape(len(said), 2)
    return _items(rows, said, values, order_seed)


def rules(rows: Dataset, order_seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return the rows of ``evaluate`` for two rules that know neither phrase nor picture.

    "first box of the file" shows what the published order would give away to a scorer that cannot decide; "larger box"
    takes the one with more area.
    """
    boxes = np.array(rows["boxes"][:])
    preferences = {FIRST_BOX: np.tile([1.0, 0.0], (len(rows), 1)), LARGER_BOX: boxes[:, :, 2] * boxes[:, :, 3]}
    said = rows["phrase"][:]
    return {name: _items(rows, said, values, order_seed) for name, values in preferences.items()}


def records(table: pd.DataFrame, report: Report, task: str = TASK) -> list[Record]:
    """Return the accuracy over all rows and for each cue that occurs; pictures are resampled."""
    return shares.records(table, report, task, METRIC, (*CUES, OTHER))


def crops(rows: Dataset) -> PictureFiles:
    """Both boxes of every row, cut out of its picture: 2 N pictures, row by row.

    Raises NegutilError for a box of less than a pixel.
    """
    boxes = [box for pair in rows["boxes"][:] for box in pair]
    small = [number for number, (_, _, width, height) in enumerate(boxes) if min(width, height) < 1]
    if small:
        raise NegutilError(
            f"Row {small[0] // 2} of NegRefCOCOg has the box {boxes[small[0]]}, too small for a pixel; mend that row."
        )
    files = PictureFiles.of(rows).paths
    return PictureFiles([file for file in files for _ in range(2)], boxes)


def _items(rows: Dataset, said: list[str], values: Floats, order_seed: int) -> pd.DataFrame:
    cues = phrasing.table(rows["phrase"][:])["cue"].replace({"n't": "not", "does not include": "not"})
    found = mcq.items(values, rows["correct"][:], cues.where(cues.isin(CUES), OTHER).tolist(), order_seed)
    facts = {"item": found["item"], "cluster": rows["file_name"][:], "phrase": said, "type": found["type"]}
    tie = found["chosen"] < 0
    return pd.DataFrame(facts).assign(right=found["right"], tie=tie, margin=found["margin"], shown_at=found["shown_at"])
