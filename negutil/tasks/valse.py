"""VALSE, the existence piece: does a picture go with "There are no dogs." or with "There are dogs."?

Pairwise accuracy over all items, which NegationCLIP's table counts, and over those that VALSE's annotators validated,
and apart by which of the two captions is negated: preferring the affirmative one always gives 50 % over all.

See docs/protocols.md#valse.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.data import Missing, _reading, valse
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import pairwise, shares
from negutil.tasks.pairwise import Pairs
from negutil.tasks.shares import Report

TASK = "VALSE existence"
SETS = ("all items", "validated items")
TYPES = {"caption": "negation true", "foil": "negation false"}
"""What a type of item is called, by which of its captions has the negation."""

FILE, PICTURES = "existence.json", "images"
WHERE = (
    "get existence.json at github.com/Heidelberg-NLP/VALSE and Visual7W's pictures at ai.stanford.edu/~yukez/visual7w"
)


def load(folder: Path, missing: Missing = "error") -> Dataset:
    """The items of ``folder``/existence.json with the pictures in ``folder``/images, as `negutil.data.valse.load`.

    Raises NegutilError where one of them is missing, saying where it is to be had.
    """
    file, pictures = _reading.require_file(folder / FILE, WHERE), _reading.require_folder(folder / PICTURES, WHERE)
    return valse.load(file, pictures, missing=missing)


def evaluate(
    model: LoadedModel | Scorer, rows: Dataset, *, batch: int = encode.BATCH, order_seed: int = 0
) -> pd.DataFrame:
    """Return one row per item of ``rows`` (with pictures) for ``model``.

    Columns: item, cluster (the picture), valid (at least two annotators chose the caption), and those of
    `pairwise.items`, where type says whether the true or the false caption is negated.
    """
    values = pairwise.scores(model, PictureFiles.of(rows), pairs(rows), batch=batch)
    return _described(rows, pairwise.items(values, _types(rows), order_seed))


def rules(rows: Dataset, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return the rows of ``evaluate`` for every rule that reads the captions alone, by the rule's name."""
    found = pairwise.by_rules(pairs(rows), _types(rows), rows["file_name"][:], seed)
    return {name: _described(rows, table) for name, table in found.items()}


def records(table: pd.DataFrame, report: Report) -> list[Record]:
    """Return the accuracy over all and over validated items, each in total and by which caption is negated."""
    found: list[Record] = []
    for name, part in sets(table).items():
        found += shares.records(part, report, f"{TASK}, {name}", pairwise.METRIC, TYPES.values())
    return found


def sets(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All rows of ``evaluate``'s table and those that are validated, where there are any."""
    both = zip(SETS, (table, table[table["valid"].astype(bool)]), strict=True)
    return {name: part for name, part in both if len(part)}


def pairs(rows: Dataset) -> Pairs:
    """The true and the false caption of every item."""
    return list(zip(rows["caption"][:], rows["foil"][:], strict=True))


def _types(rows: Dataset) -> list[str]:
    return [TYPES[side] for side in rows["negated"][:]]


def _described(rows: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    valid = np.array(rows["votes_caption"][:]) >= valse.VALID_VOTES
    facts = pd.DataFrame({"item": rows["item"][:], "cluster": rows["file_name"][:], "valid": valid})
    return pd.concat([facts, table], axis=1)
