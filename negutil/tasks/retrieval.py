"""Retrieval with several captions per image: ranks, recall at k, and the drop that negation causes.

Every caption is a query of its own (docs/protocols.md#retrieval). A CLIP scores by cosines. A tie is no win, so a
constant scorer gets the worst rank, not the best.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from negutil import statistics
from negutil.errors import NegutilError
from negutil.models import scorer
from negutil.models.scorer import Features, Scorer
from negutil.statistics import Floats, Interval
from negutil.tasks import require_finite

Ranks = NDArray[np.int64]
CHUNK = 4_000_000  # scores held at once, 16 MB as float32


def ranks(texts: Features, images: Features, image_of_text: ArrayLike) -> Ranks:
    """Return for every text the rank (from 1) of its image among all images.

    texts [T, D] and images [N, D] are L2-normalised features; image_of_text [T] is the row of the right image. The
    rank is the number of images that score at least as high as the right one, itself included.
    Raises NegutilError on empty or non-finite features, or where image_of_text does not fit them.
    """
    for name, features in (("text", texts), ("picture", images)):
        if len(features) == 0:
            raise NegutilError(f"There is no {name} for retrieval; give at least one.")
        require_finite(features, name)
    different, number = scorer.distinct(images)

    def scores(part: slice) -> NDArray[np.float32]:
        # A matrix product rounds equal columns differently, which would break ties: it gets them once.
        values: NDArray[np.float32] = texts[part] @ different.T
        return values if number is None else values[:, number]

    return _ranks(scores, len(texts), len(images), image_of_text)


def ranks_by(model: Scorer, texts: Sequence[str], images: Features, image_of_text: ArrayLike) -> Ranks:
    """Return the same as ``ranks`` by the scores of ``model``, which are cosines or not, for ``texts`` themselves.

    Raises NegutilError for a score that is not finite, or where image_of_text does not fit.
    """
    model.remember(texts)

    def scores(part: slice) -> Floats:
        values = model.matrix(texts[part], images)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise NegutilError(f"'{texts[part][bad[0]]}' has a score that is not finite; check '{model.name}'.")
        return values

    return _ranks(scores, len(texts), len(images), image_of_text)


def _ranks(scores: Callable[[slice], NDArray[np.floating]], texts: int, images: int, image_of_text: ArrayLike) -> Ranks:
    """In each row of ``scores``, made for some texts at a time, how many are at least that of the right image."""
    right = np.asarray(image_of_text, dtype=np.int64)
    if not texts or len(right) != texts or right.min() < 0 or right.max() >= images:
        raise NegutilError("image_of_text must give one row of the images for each text; check how it was made.")
    rows = max(1, CHUNK // images)
    ranks = np.empty(texts, np.int64)
    for start in range(0, texts, rows):
        part = slice(start, start + rows)
        values = scores(part)
        ranks[part] = (values >= np.take_along_axis(values, right[part, None], axis=1)).sum(axis=1)
    return ranks


def recall_at(ranks_of_texts: Ranks, k: int) -> float:
    """Return the share of the texts whose image is among the first ``k``."""
    return float((ranks_of_texts <= k).mean())


def recall(
    ranks_of_texts: Ranks,
    image_of_text: ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> dict[int, Interval]:
    """Return recall at each k of ``ks`` over the texts, with an interval that resamples whole images.

    Captions of one image succeed and fail together, so the image is the unit of resampling. The images that
    compete stay as they are: the interval covers the choice of queries, not of the gallery.
    """
    return {k: statistics.bootstrap_share(ranks_of_texts <= k, np.asarray(image_of_text), resamples, seed) for k in ks}


def recall_drop(
    plain: tuple[Ranks, ArrayLike],
    negated: tuple[Ranks, ArrayLike],
    k: int,
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return recall at ``k`` with plain captions minus that with negated ones.

    ``plain`` and ``negated`` are each the ranks of their texts and the image of each text, by the same row or name.
    Images are resampled with all their captions of both kinds, which pairs the two; where only some have captions of
    both (half of HardNeg-Syn's), the two recalls are means over other images. ``n`` counts negated captions.
    Raises NegutilError if a side does not name one image for each rank.
    """
    for ranks_of_texts, pictures in (plain, negated):
        count = len(np.asarray(pictures))
        if len(ranks_of_texts) != count:
            raise NegutilError(f"{len(ranks_of_texts)} ranks have {count} images; name one for each rank.")
    hits = np.concatenate([plain[0], negated[0]]) <= k
    is_plain = np.arange(len(hits)) < len(plain[0])

    def statistic(answers: NDArray[np.bool_], of_plain: NDArray[np.bool_], weights: Floats) -> Floats:
        mean = statistics.weighted_mean
        return mean(answers, weights * of_plain) - mean(answers, weights * ~of_plain)

    clusters = np.concatenate([np.asarray(plain[1]), np.asarray(negated[1])])
    drop = statistics.bootstrap(statistic, hits, is_plain, clusters=clusters, resamples=resamples, seed=seed)
    return dataclasses.replace(drop, n=len(negated[0]))
