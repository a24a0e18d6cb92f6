"""Two captions of one picture, one true and one false: which is nearer? What VALSE and CC-Neg have in common.

With a strict rule (docs/protocols.md#ties): the true caption has to score higher, a tie is no win. Which of the two is
shown first is shuffled, and rules that read the texts alone stand beside the models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from negutil.errors import NegutilError
from negutil.models import encode, scorer
from negutil.models.encode import Pictures
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.statistics import Floats
from negutil.tasks import blind, mcq

CHANCE = 0.5
METRIC = "pairwise accuracy"
KINDS = ("true", "false")
ALWAYS_AFFIRMATIVE = "always affirmative"
BAG_OF_WORDS = "bag of words"
RULES = {ALWAYS_AFFIRMATIVE: "without cue", "always negated": "with cue", "shorter": "shortest", "longer": "longest"}
"""Rules that look at no picture, and what `blind` calls them."""

Pairs = Sequence[tuple[str, str]]


def scores(model: LoadedModel | Scorer, pictures: Pictures, pairs: Pairs, *, batch: int = encode.BATCH) -> Floats:
    """Return the scores [N, 2] of each picture with its true and its false caption (``pairs`` [N])."""
    if len(pictures) != len(pairs):
        raise NegutilError(f"There are {len(pictures)} pictures for {len(pairs)} pairs of captions; give one for each.")
    asked = scorer.of(model, batch)
    return mcq.scores_by(asked, pairs, encode.images(asked.tower, pictures, batch=batch))


def items(values: Floats, types: Sequence[str], order_seed: int = 0) -> pd.DataFrame:
    """Return one row per pair for the scores ``values`` [N, 2] of the true and the false caption.

    Columns: type, true, false (the scores), right (the true one is strictly higher), tie, margin, shown_at (the place
    of the true caption, shuffled). Raises NegutilError for a score that is not finite.
    """
    found = mcq.items(values, np.zeros(len(values), np.int64), types, order_seed, kinds=KINDS)
    table = pd.DataFrame({"type": found["type"], "true": values[:, 0], "false": values[:, 1]})
    return table.assign(
        right=found["right"], tie=found["chosen"] < 0, margin=found["margin"], shown_at=found["shown_at"]
    )


def by_rules(pairs: Pairs, types: Sequence[str], clusters: Sequence[str], seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return ``items`` for every rule that reads the two texts alone, and for a bag of words fitted across pictures.

    The bag of words is a classifier of true captions, fitted on one half of the pictures and tested on the other; it is
    left out where all pairs are about one picture. Where each sentence is true of as many pictures as it is false of,
    as in the mini world's VALSE, what it learns from one half is wrong for the other, and it is right below chance.
    """
    found = {name: items(blind.preferences(rule, pairs), types, seed) for name, rule in RULES.items()}
    if len(set(clusters)) > 1:
        right = np.zeros(len(pairs), np.int64)
        found[BAG_OF_WORDS] = items(blind.bag_of_words_preferences(pairs, right, clusters, seed), types, seed)
    return found
