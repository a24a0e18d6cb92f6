"""CC-Neg: an image's caption against a version of it that negates something true (docs/protocols.md#cc-neg).

A negated caption of CC-Neg is always false, so a rule that avoids negation gets almost everything right. The control
turns the truth round: images of which the negated caption is true and the other one false. The same texts, with what
they deny taken out of the image, are right for both images only where the image was looked at.
"""

from dataclasses import dataclass

import pandas as pd
from datasets import Dataset

from negutil.config import Profile
from negutil.data import ccneg, skipped, source
from negutil.data.skipped import Skip
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.tasks import Frames, Task
from negutil.tasks.pairwise import CHANCE, METRIC, RULES, Pairs

TITLE, REVERSED, BOTH = "CC-Neg", "CC-Neg, truth reversed", "CC-Neg, both images"
FILE, DISTRACTORS = "ccneg_preprocessed.pt", "distractor_image_mapping.pt"
WHERE = "get ccneg_preprocessed.pt and ccneg_images.zip by the links at github.com/jaisidhsingh/CoN-CLIP"


@dataclass(frozen=True, slots=True)
class Items:
    """CC-Neg's evaluation items and, in the mini world, the same with the truth turned round."""

    plain: Dataset
    turned_round: Dataset | None = None

    @property
    def sides(self) -> list[Dataset]:
        """Those that there are."""
        return [self.plain] if self.turned_round is None else [self.plain, self.turned_round]


class Side(Pairs):
    """The items as they are, or with the truth turned round; items are named by their images."""

    def __init__(self, truth_reversed: bool) -> None:
        self.title = REVERSED if truth_reversed else TITLE
        self._truth_reversed = truth_reversed

    def read(self, settings: Profile) -> Dataset:
        """Return the items."""
        if self._truth_reversed:
            folder = source.folder(settings, "ccneg-reversed")
            return ccneg.load(folder / FILE, folder, n_evaluation=1)
        folder, sizes = source.folder(settings, "ccneg", WHERE), settings.world.ccneg
        return ccneg.load(folder / FILE, folder, split="evaluation", n_evaluation=sizes.val + sizes.test)

    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        """Return the true and the false caption."""
        return pairs(rows, self._truth_reversed)

    def items(self, rows: Dataset) -> pd.DataFrame:
        """Return item and cluster, both the image."""
        return pd.DataFrame({"item": rows["file_name"][:], "cluster": rows["file_name"][:]})


SIDES = (Side(False), Side(True))


class CCNeg(Task):
    """Both sides, and the items that are right for both images."""

    title, controls, metric, get, counts = TITLE, (REVERSED, BOTH), METRIC, "ccneg", "pairs of captions"

    def read(self, settings: Profile) -> Items:
        """Return both sides; only the mini world has images of the other one."""
        plain = SIDES[0].read(settings)
        if not source.is_drawn(source.folder(settings, "ccneg", WHERE)):
            skipped.note(settings, Skip(REVERSED, "It needs images that can be drawn in the mini world alone."))
            return Items(plain)
        return Items(plain, SIDES[1].read(settings))

    def texts(self, rows: Items) -> list[str]:
        """Return all captions, without the commas that are taken out of the negated ones."""
        return [text for side in rows.sides for text in SIDES[0].texts(side)]

    def pictures(self, rows: Items) -> list[PictureFiles]:
        """Return the images of each side."""
        return [PictureFiles.of(side) for side in rows.sides]

    def score(self, scorer: Scorer, rows: Items, *images: Features) -> Frames:
        """Return the answers on each side, and on both."""
        sides = zip(SIDES, rows.sides, images, strict=False)
        return _with_both([side.score(scorer, data, features) for side, data, features in sides])

    def chance(self, rows: Items) -> dict[tuple[str, str], float]:
        """Return one half, and a quarter for both images."""
        values = {TITLE: CHANCE, REVERSED: CHANCE, BOTH: CHANCE**2}
        return {(title, METRIC): value for title, value in values.items() if title == TITLE or rows.turned_round}

    def rules(self, rows: Items) -> dict[str, Frames]:
        """Return the answers of rules on each side, and on both except for the bag of words.

        That is fitted to one of the two sides at a time, so it is no single rule for both.
        """
        sides = [side.rules(data) for side, data in zip(SIDES, rows.sides, strict=False)]
        names = sides[0].keys()
        return {name: _with_both([side[name] for side in sides if name in side], name in RULES) for name in names}

    def count(self, rows: Items) -> int:
        """Return the number of items as they are."""
        return len(rows.plain)

    def facts(self, rows: Items) -> list[object]:
        """Return all columns of both sides."""
        return [side.remove_columns("image")[:] for side in rows.sides]


def _with_both(sides: list[Frames], is_one_rule: bool = True) -> Frames:
    frames = {title: frame for side in sides for title, frame in side.items()}
    whole = is_one_rule and len(sides) == len(SIDES)
    return frames | {BOTH: both(frames[TITLE], frames[REVERSED])} if whole else frames


def both(original: pd.DataFrame, turned_round: pd.DataFrame) -> pd.DataFrame:
    """Return the items that have an image of either kind: right where both are, with the smaller of the margins.

    Guessing gets a quarter of them, a rule that looks at the texts alone none. Raises NegutilError if no item is in
    both tables.
    """
    pair = original.merge(turned_round, on=["item", "cluster", "type"], suffixes=("", "_reversed"))
    if pair.empty:
        raise NegutilError("No item of CC-Neg has images of both kinds; build both from the same file.")
    return pair[["item", "cluster", "type"]].assign(
        right=pair["right"] & pair["right_reversed"],
        tie=pair["tie"] | pair["tie_reversed"],
        margin=pair[["margin", "margin_reversed"]].min(axis=1),
    )


def evaluate(model: LoadedModel | Scorer, rows: Dataset, *, batch: int = encode.BATCH) -> pd.DataFrame:
    """Return the answers on one side, the items as they are: a row per item with the scores of both captions."""
    return SIDES[0].evaluate(model, rows, batch)[TITLE]


def pairs(rows: Dataset, truth_reversed: bool = False) -> list[tuple[str, str]]:
    """Return the true and the false caption of every item.

    The published evaluation takes the commas out of the negated caption, and so does this.
    """
    negated = [text.replace(",", "") for text in rows["negated_caption"][:]]
    plain = rows["caption"][:]
    return list(zip(negated, plain, strict=True) if truth_reversed else zip(plain, negated, strict=True))


TASKS = (CCNeg(),)
