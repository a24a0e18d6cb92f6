"""Which objects come together, and absent objects chosen by it, as NegBench does for COCO and VOC.

A plausible absent object often comes with what is in the picture; one chosen at random is the control.

See docs/protocols.md#generation.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer

from negutil.errors import NegutilError

CHOICES = ("plausible", "random")
"""How absent objects may be chosen."""


def matrix(labels: Sequence[Collection[str]]) -> pd.DataFrame:
    """In how many pictures two nouns are together: nouns x nouns, sorted, with their frequency in the diagonal.

    `labels` are the nouns of each picture; a noun counts once. Raises NegutilError where there are none.
    """
    coder = MultiLabelBinarizer()
    seen = coder.fit_transform([set(nouns) for nouns in labels]).astype(np.int64)
    if not seen.size:
        raise NegutilError("The labels name no object, so nothing can be absent: check the annotations.")
    names = pd.Index(coder.classes_, dtype=object)
    return pd.DataFrame(seen.T @ seen, index=names, columns=names)


def absent(
    present: Collection[str], counts: pd.DataFrame, count: int, rng: random.Random, choice: str = "plausible"
) -> list[str]:
    """`count` different nouns of `counts` that are not `present`, drawn by how often they come with what is.

    The weight of a noun is the sum over present nouns of the share of their pictures that it is in; nouns that never
    come along are drawn only when the others are used up. With `choice` "random" all are equally likely. Raises
    NegutilError where too few nouns are left.
    """
    there = counts.index.isin(list(present))
    free = np.flatnonzero(~there)
    if len(free) < count:
        problem = f"{count} absent objects are wanted and {len(free)} are left beside {sorted(present)}"
        raise NegutilError(f"{problem}: ask for fewer, or give more categories.")
    if choice == "random":
        return rng.sample([str(noun) for noun in counts.index[free]], count)
    table, rows = counts.to_numpy(), np.flatnonzero(there)
    weights = (table[rows] / np.maximum(table[rows, rows], 1)[:, None]).sum(axis=0)[free]
    # Sampling without replacement in one step: the shortest of exponential waiting times with these rates. A noun that
    # never comes along waits longer than any other, at random among its kind.
    waits = np.random.default_rng(rng.getrandbits(64)).exponential(size=len(free))
    waits = np.where(weights > 0, waits / np.maximum(weights, 1e-12), 1e15 * (1 + waits))
    return [str(counts.index[free[place]]) for place in np.argsort(waits)[:count]]
