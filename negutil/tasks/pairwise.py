"""Two captions of one image, one true and one false: which is nearer? What VALSE and CC-Neg have in common.

With a strict rule (docs/protocols.md#ties): the true caption has to score higher, a tie is no win. Which of the two is
shown first is shuffled, and models are compared with rules that read only the texts.
"""

import abc
from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.models.scorer import Features, Scorer
from negutil.statistics import Floats
from negutil.tasks import Frames, Task, blind, mcq

CHANCE = 0.5
METRIC = "pairwise accuracy"
KINDS = ("true", "false")
ALWAYS_AFFIRMATIVE = "always affirmative"
BAG_OF_WORDS = "bag of words"
RULES = {ALWAYS_AFFIRMATIVE: "without cue", "always negated": "with cue", "shorter": "shortest", "longer": "longest"}
"""Rules that look at no image, and what `blind` calls them."""


class Pairs(Task):
    """A task of two sentences for each image, a true and a false one: the true one has to score higher.

    A subclass says what it reads (a dataset with images and the column file_name) and which the ``pairs`` are.
    """

    metric, counts = METRIC, "pairs of sentences"

    @abc.abstractmethod
    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        """Return the true and the false sentence of every row."""

    def types(self, rows: Dataset) -> list[str]:
        """Return a kind of item for every row; the share of right answers is reported for each kind as well."""
        return [""] * len(rows)

    def items(self, rows: Dataset) -> pd.DataFrame:
        """Return the name of every item and its image: columns item and cluster."""
        return pd.DataFrame({"item": [str(row) for row in range(len(rows))], "cluster": rows["file_name"][:]})

    def texts(self, rows: Dataset) -> list[str]:
        """Return all sentences."""
        return [text for pair in self.pairs(rows) for text in pair]

    def score(self, scorer: Scorer, rows: Dataset, *images: Features) -> Frames:
        """Return the answers; true and false are the scores of the two sentences."""
        return self._answers(rows, mcq.scores_by(scorer, self.pairs(rows), images[0]))

    def rules(self, rows: Dataset, bag_of_words: bool = True) -> dict[str, Frames]:
        """Return the answers of rules that read the sentences alone, a bag of words fitted across images among them.

        The bag of words is a classifier of true captions, fitted on one half of the images and tested on the other;
        it is left out where all pairs are about one image. Where each sentence is true of as many images as it is
        false of, as in the mini world's VALSE, what it learns from one half is wrong for the other, and it is right
        below chance.
        """
        pairs, clusters = self.pairs(rows), rows["file_name"][:]
        scores = {name: blind.preferences(rule, pairs) for name, rule in RULES.items()}
        if bag_of_words and len(set(clusters)) > 1:
            right = np.zeros(len(pairs), np.int64)
            scores[BAG_OF_WORDS] = blind.bag_of_words_preferences(pairs, right, clusters)
        return {name: self._answers(rows, values) for name, values in scores.items()}

    def _answers(self, rows: Dataset, values: Floats) -> Frames:
        return {self.title: pd.concat([self.items(rows), answers(values, self.types(rows))], axis=1)}


def answers(values: Floats, types: Sequence[str], order_seed: int = 0) -> pd.DataFrame:
    """Return one row per pair for the scores ``values`` [N, 2] of the true and the false caption.

    Columns: type, true, false (the scores), right (the true one is strictly higher), tie, margin, shown_at (the place
    of the true caption, shuffled). Raises NegutilError for a score that is not finite.
    """
    table = mcq.items(values, np.zeros(len(values), np.int64), types, order_seed, kinds=KINDS)
    table = table.assign(true=values[:, 0], false=values[:, 1], tie=table["chosen"] < 0)
    return table[["type", "true", "false", "right", "tie", "margin", "shown_at"]]
