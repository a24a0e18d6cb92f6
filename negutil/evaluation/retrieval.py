"""Text-to-image retrieval with several captions per picture: the rank of each caption's picture, and recall at k.

Protocol 0: scores are cosines; protocol 0.3: a tie is no win, so a constant scorer gets the worst rank, not the best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from negutil import statistics
from negutil.errors import NegutilError
from negutil.statistics import Interval

CHUNK = 4_000_000  # scores held at once, 16 MB as float32


def ranks(texts: NDArray[np.float32], images: NDArray[np.float32], image_of_text: ArrayLike) -> NDArray[np.int64]:
    """Return for every text the rank (from 1) of its picture among all pictures.

    texts [T, D] and images [N, D] are L2-normalised features; image_of_text [T] is the row of the right picture. The
    rank is the number of pictures that score at least as high as the right one, itself included.
    Raises NegutilError on empty or non-finite features, or where image_of_text does not fit them.
    """
    right = np.asarray(image_of_text, dtype=np.int64)
    _check(texts, images, right)
    rows = max(1, CHUNK // len(images))
    parts = [_ranks(texts[i : i + rows], images, right[i : i + rows]) for i in range(0, len(texts), rows)]
    return np.concatenate(parts)


def recall_at(ranks_of_texts: NDArray[np.int64], k: int) -> float:
    """Return the share of the texts whose picture is among the first ``k``."""
    return float((ranks_of_texts <= k).mean())


def recall(
    ranks_of_texts: NDArray[np.int64],
    image_of_text: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> dict[int, Interval]:
    """Return recall at each k of ``ks`` over the texts, with an interval that resamples whole pictures.

    Captions of one picture succeed and fail together, so the picture is the unit of resampling. The pictures that
    compete stay as they are: the interval covers the choice of queries, not of the gallery.
    """
    return {
        k: statistics.bootstrap_mean(ranks_of_texts <= k, np.asarray(image_of_text), resamples=resamples, seed=seed)
        for k in ks
    }


def _ranks(texts: NDArray[np.float32], images: NDArray[np.float32], right: NDArray[np.int64]) -> NDArray[np.int64]:
    scores = texts @ images.T
    return (scores >= np.take_along_axis(scores, right[:, None], axis=1)).sum(axis=1)


def _check(texts: NDArray[np.float32], images: NDArray[np.float32], right: NDArray[np.int64]) -> None:
    for name, features in (("text", texts), ("picture", images)):
        if len(features) == 0:
            raise NegutilError(f"There is no {name} for retrieval; give at least one.")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise NegutilError(f"The features of {name} {bad[0]} are not finite; check the model that made them.")
    if len(right) != len(texts) or right.min() < 0 or right.max() >= len(images):
        raise NegutilError("image_of_text must give one row of the pictures for each text; check how it was made.")
