"""Does lambda fall with weaker negation? CLIPGlasses' Fig. 4, with paired differences and tau.

The published captions (CC-Neg's, said anew by a language model in four strengths) are not to be had, so templates stand
in for them: the object that an item of CC-Neg denies, denied in each strength, with that item's picture.

See docs/protocols.md#lambda-figure.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from negutil import statistics
from negutil.captions import english
from negutil.config import Bootstrap
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles
from negutil.statistics import Floats

STRENGTHS: dict[str, str] = {
    "no": "a photo in which there is no {bare}",
    "not any": "a photo in which there are not any {many}",
    "appears to be absent": "a photo in which {one} appears to be absent",
    "may not be present": "a photo in which {one} may not be present",
}
"""The strongest first."""

DIFFERENCE, TAU, MONOTONE, LAMBDA, MASKED = (
    *("difference of lambda", "Kendall's tau", "share in the order of the strengths"),
    *("mean lambda", "share that the classifier calls negated"),
)
ALL = "four strengths"

LambdaOf = Callable[[Sequence[str], NDArray[np.float32]], Floats]
"""Lambda [N] of every text with the features [N, D] of its picture."""


@dataclass(frozen=True, slots=True)
class Items:
    """Objects that are denied of pictures: ``nouns`` [N] and the ``pictures`` [N]."""

    nouns: tuple[str, ...]
    pictures: PictureFiles

    def texts(self, strength: str) -> list[str]:
        """The sentence [N] of every object in one strength."""
        return [_said(strength, noun) for noun in self.nouns]


def items(rows: Dataset, count: int, seed: int = 0) -> Items:
    """``count`` random items of CC-Neg that say what they deny; raises NegutilError where there is none."""
    named = [row for row, noun in enumerate(rows["negated_object"][:]) if noun]
    if not named:
        raise NegutilError("No item of CC-Neg says which object it denies: use a file with sop_chosen_object.")
    chosen = np.sort(np.random.default_rng(seed).permutation(named)[:count]).tolist()
    own = rows.select(chosen)
    return Items(tuple(own["negated_object"][:]), PictureFiles.of(own))


def table(said: Items, images: NDArray[np.float32], lambda_of: LambdaOf) -> pd.DataFrame:
    """Lambda of every item (rows) in every strength (columns), for features ``images`` [N, D] of its pictures."""
    return pd.DataFrame({strength: lambda_of(said.texts(strength), images) for strength in STRENGTHS})


def summary(lambdas: pd.DataFrame, masked: pd.DataFrame, nouns: Sequence[str], bootstrap: Bootstrap) -> pd.DataFrame:
    """Rows task, metric, value, low, high, n, over from the table of lambdas and that of the classifier's answers.

    Tasks are the strengths, "no minus not any" and the like (paired), and ALL. Nouns are drawn whole, as all sentences
    about one are the same.
    """
    values = lambdas.to_numpy(float)
    columns: dict[tuple[str, str], Floats] = {}
    for strength in lambdas:
        columns[str(strength), LAMBDA] = lambdas[strength].to_numpy(float)
        columns[str(strength), MASKED] = masked[strength].to_numpy(float)
    for first, second in itertools.pairwise(lambdas):
        columns[f"{first} minus {second}", DIFFERENCE] = (lambdas[first] - lambdas[second]).to_numpy(float)
    columns[ALL, TAU] = tau(values)
    columns[ALL, MONOTONE] = (np.diff(values, axis=1) < 0).all(axis=1).astype(float)
    rows = []
    for (task, metric), own in columns.items():
        found = statistics.bootstrap_mean(own, np.asarray(nouns), bootstrap.resamples, bootstrap.seed)
        rows.append({"task": task, "metric": metric, **dataclasses.asdict(found)})
    return pd.DataFrame(rows)


def tau(values: Floats) -> Floats:
    """Kendall's tau [N] of ``values`` [N, K] with the order of the columns: 1 where each is below the one before.

    A tie counts as neither (tau-a).
    """
    pairs = list(itertools.combinations(range(values.shape[1]), 2))
    signs = np.stack([np.sign(values[:, first] - values[:, second]) for first, second in pairs], axis=1)
    return signs.mean(axis=1)


def _said(strength: str, noun: str) -> str:
    words = {"bare": noun, "one": english.with_article(noun), "many": english.plural(noun)}
    return STRENGTHS[strength].format(**words)
