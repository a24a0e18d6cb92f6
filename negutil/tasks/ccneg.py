"""CC-Neg: a picture's caption against a version of it that negates something true (docs/protocols.md#cc-neg).

A negated caption of CC-Neg is always false, so a rule that avoids negation gets almost everything right. The control
turns the truth round: pictures of which the negated caption is true and the other one false. The same texts, with what
they deny taken out of the picture, are right for both pictures only where the picture was looked at.
"""

from __future__ import annotations

import pandas as pd
from datasets import Dataset

from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import pairwise, shares
from negutil.tasks.pairwise import Pairs
from negutil.tasks.shares import Report

TASK, REVERSED, BOTH = "CC-Neg", "CC-Neg, truth reversed", "CC-Neg, both pictures"
FILE, DISTRACTORS = "ccneg_preprocessed.pt", "distractor_image_mapping.pt"
WHERE = "get ccneg_preprocessed.pt and ccneg_images.zip by the links at github.com/jaisidhsingh/CoN-CLIP"


def evaluate(
    model: LoadedModel | Scorer,
    rows: Dataset,
    *,
    truth_reversed: bool = False,
    remove_commas: bool = True,
    batch: int = encode.BATCH,
    order_seed: int = 0,
) -> pd.DataFrame:
    """Return one row per item of ``rows`` (with pictures) for ``model``.

    Columns: item (the picture's file name), cluster (the same), and those of `pairwise.items`, where type is "". With
    ``truth_reversed`` the negated caption is the true one. ``remove_commas`` takes the commas out of the negated
    caption, as the published evaluation does.
    """
    said = pairs(rows, truth_reversed, remove_commas)
    values = pairwise.scores(model, PictureFiles.of(rows), said, batch=batch)
    return _described(rows, pairwise.items(values, [""] * len(said), order_seed))


def rules(
    rows: Dataset, *, truth_reversed: bool = False, remove_commas: bool = True, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Return the rows of ``evaluate`` for every rule that reads the captions alone, by the rule's name."""
    said = pairs(rows, truth_reversed, remove_commas)
    found = pairwise.by_rules(said, [""] * len(said), rows["file_name"][:], seed)
    return {name: _described(rows, table) for name, table in found.items()}


def both(original: pd.DataFrame, turned_round: pd.DataFrame) -> pd.DataFrame:
    """Return the items that have a picture of either kind: right where both are, with the smaller of the margins.

    Guessing gets a quarter of them, a rule that looks at the texts alone none. Raises NegutilError where no item is in
    both tables.
    """
    pair = original.merge(turned_round, on=["item", "cluster", "type"], suffixes=("", "_reversed"))
    if pair.empty:
        raise NegutilError("No item of CC-Neg has pictures of both kinds; build both from the same file.")
    least = pair[["margin", "margin_reversed"]].min(axis=1)
    together = pair["right"] & pair["right_reversed"]
    return pair[["item", "cluster", "type"]].assign(
        right=together, tie=pair["tie"] | pair["tie_reversed"], margin=least
    )


def records(table: pd.DataFrame, report: Report, task: str = TASK) -> list[Record]:
    """Return the pairwise accuracy over all items, of whichever of the three tasks ``table`` is about."""
    return shares.records(table, report, task, pairwise.METRIC)


def pairs(rows: Dataset, truth_reversed: bool = False, remove_commas: bool = True) -> Pairs:
    """The true and the false caption of every item."""
    negated = [text.replace(",", "") if remove_commas else text for text in rows["negated_caption"][:]]
    plain = rows["caption"][:]
    return list(zip(negated, plain, strict=True) if truth_reversed else zip(plain, negated, strict=True))


def _described(rows: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    names = rows["file_name"][:]
    return pd.concat([pd.DataFrame({"item": names, "cluster": names}), table], axis=1)
