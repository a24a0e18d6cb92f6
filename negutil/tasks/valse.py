"""VALSE, the existence piece: does an image go with "There are no dogs." or with "There are dogs."?

Pairwise accuracy over all items, which NegationCLIP's table counts, and over those that VALSE's annotators validated,
and apart by which of the two captions is negated: preferring the affirmative one always gives 50 % over all.

See docs/protocols.md#valse.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.config import Profile
from negutil.data import _reading, source, valse
from negutil.results import Record
from negutil.tasks import Published, Report
from negutil.tasks.pairwise import METRIC, Pairs

TITLE = "VALSE existence"
SETS = ("all items", "validated items")
TYPES = {"caption": "negation true", "foil": "negation false"}
"""What a type of item is called, by which of its captions has the negation."""

WHERE = "get existence.json at github.com/Heidelberg-NLP/VALSE and Visual7W's images at ai.stanford.edu/~yukez/visual7w"


class Valse(Pairs):
    """The items of existence.json; ``valid`` says whether at least two annotators chose the caption."""

    title, get, kinds = TITLE, "valse", tuple(TYPES.values())
    published = (Published(f"{TITLE}, {SETS[0]}", METRIC, "negationclip_table2.csv", TITLE, 534),)

    def read(self, settings: Profile) -> Dataset:
        """Return the items with their images."""
        return load(source.folder(settings, "valse", WHERE))

    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        """Return caption and foil."""
        return list(zip(rows["caption"][:], rows["foil"][:], strict=True))

    def types(self, rows: Dataset) -> list[str]:
        """Return which of the two is negated."""
        return [TYPES[side] for side in rows["negated"][:]]

    def items(self, rows: Dataset) -> pd.DataFrame:
        """Return item, cluster (the image) and valid."""
        valid = np.array(rows["votes_caption"][:]) >= valse.VALID_VOTES
        return pd.DataFrame({"item": rows["item"][:], "cluster": rows["file_name"][:], "valid": valid})

    def shares(self, title: str, frame: pd.DataFrame, report: Report) -> list[Record]:
        """Return the accuracy over all and over validated items, each in total and by which caption is negated."""
        records = []
        for name, part in zip(SETS, (frame, frame[frame["valid"].astype(bool)]), strict=True):
            records += super().shares(f"{title}, {name}", part, report)
        return records

    def main(self, rows: Any) -> tuple[tuple[str, str], ...]:
        """Return the accuracy over all items."""
        return ((f"{TITLE}, {SETS[0]}", METRIC),)


def load(folder: Path) -> Dataset:
    """Return the items of ``folder``/existence.json with the images in ``folder``/images.

    Raises NegutilError if one of them is missing, saying where to get it.
    """
    file, pictures = (_reading.require_file(folder / "existence.json", WHERE), folder / "images")
    return valse.load(file, _reading.require_folder(pictures, WHERE))


TASKS = (Valse(),)
