"""Retrieval with several captions per picture: ranks, recall at k both ways, and the drop that negation causes.

Every caption is a query of its own; the other way, a picture finds any of its captions (docs/protocols.md#retrieval).
A CLIP scores by cosines. A tie is no win, so a constant scorer gets the worst rank, not the best.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from negutil import statistics
from negutil.errors import NegutilError
from negutil.models.scorer import Scorer, distinct
from negutil.statistics import Floats, Interval

Hits = Floats
"""Of each picture [P, 2]: captions that find it, captions."""

Gallery = tuple[NDArray[np.float32], NDArray[np.int64] | None]
"""Different rows of features, and which of them each item has (None: the items are these rows)."""

CHUNK = 4_000_000  # scores held at once, 16 MB as float32


def ranks(texts: NDArray[np.float32], images: NDArray[np.float32], image_of_text: ArrayLike) -> NDArray[np.int64]:
    """Return for every text the rank (from 1) of its picture among all pictures.

    texts [T, D] and images [N, D] are L2-normalised features; image_of_text [T] is the row of the right picture. The
    rank is the number of pictures that score at least as high as the right one, itself included.
    Raises NegutilError on empty or non-finite features, or where image_of_text does not fit them.
    """
    right = np.asarray(image_of_text, dtype=np.int64)
    _check(texts, images, right)
    gallery = distinct(images)
    rows = max(1, CHUNK // len(images))
    parts = [_ranks(texts[i : i + rows], gallery, right[i : i + rows]) for i in range(0, len(texts), rows)]
    return np.concatenate(parts)


def ranks_by(
    asked: Scorer, texts: Sequence[str], images: NDArray[np.float32], image_of_text: ArrayLike
) -> NDArray[np.int64]:
    """Return the same as ``ranks`` by the scores of ``asked``, which are cosines or not, for ``texts`` themselves.

    Raises NegutilError for a score that is not finite, or where image_of_text does not fit.
    """
    right = np.asarray(image_of_text, dtype=np.int64)
    _check_rows(right, len(texts), len(images))
    asked.remember(texts)
    rows = max(1, CHUNK // len(images))
    found = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), rows):
        part = slice(start, start + rows)
        scores = asked.matrix(texts[part], images)
        bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        if len(bad):
            raise NegutilError(f"'{texts[start + bad[0]]}' has a score that is not finite; check '{asked.name}'.")
        found[part] = _places(scores, right[part])
    return found


def image_ranks(texts: NDArray[np.float32], images: NDArray[np.float32], image_of_text: ArrayLike) -> NDArray[np.int64]:
    """Return for every picture that has captions the rank (from 1) of its best caption among all texts.

    The pictures come in ascending order of their rows, as in ``np.unique(image_of_text)``; arguments and errors are
    those of ``ranks``. A caption of another picture that scores as high as the best own one goes before it.
    """
    right = np.asarray(image_of_text, dtype=np.int64)
    _check(texts, images, right)
    pictures = np.unique(right)
    rows = max(1, CHUNK // len(texts))
    parts = (pictures[i : i + rows] for i in range(0, len(pictures), rows))
    gallery = distinct(texts)
    return np.concatenate([_image_ranks(gallery, images[part], part[:, None] == right) for part in parts])


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
    return {k: statistics.bootstrap_share(ranks_of_texts <= k, np.asarray(image_of_text), resamples, seed) for k in ks}


def drop(
    plain: tuple[NDArray[np.int64], ArrayLike],
    negated: tuple[NDArray[np.int64], ArrayLike],
    ks: Sequence[int] = (1, 5, 10),
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> dict[int, Interval]:
    """Return recall at each k with plain captions minus that with negated ones, over the pictures that have both.

    ``plain`` and ``negated`` are each the ranks of their texts and the picture of each text, by the same row or name.
    Pictures are resampled with all their captions of both kinds, which pairs the two. ``n`` counts negated captions.
    Raises NegutilError where no picture has both, or a side does not name one picture for each rank.
    """
    sides = [(np.asarray(ranks_of_texts), np.asarray(pictures)) for ranks_of_texts, pictures in (plain, negated)]
    for ranks_of_texts, pictures in sides:
        if len(ranks_of_texts) != len(pictures):
            raise NegutilError(f"{len(ranks_of_texts)} ranks have {len(pictures)} pictures; name one for each rank.")
    both = np.intersect1d(sides[0][1], sides[1][1])
    if not len(both):
        raise NegutilError("No picture has plain and negated captions; check that both sides name the same pictures.")
    return {k: _drop([_hits(*side, both, k) for side in sides], resamples, seed) for k in ks}


def _drop(sides: list[Hits], resamples: int, seed: int) -> Interval:
    def statistic(plain: Hits, negated: Hits, weights: Floats) -> Floats:
        first, second = (weights @ hits for hits in (plain, negated))
        return first[:, 0] / first[:, 1] - second[:, 0] / second[:, 1]

    found = statistics.bootstrap(statistic, *sides, resamples=resamples, seed=seed)
    return dataclasses.replace(found, n=int(sides[1][:, 1].sum()), over="clusters")


def _hits(ranks_of_texts: NDArray[np.int64], pictures: NDArray[np.int64], of: NDArray[np.int64], k: int) -> Hits:
    """For each picture of the sorted ``of`` how many of its captions find it, and how many it has: [P, 2]."""
    own = np.isin(pictures, of)
    rows = np.searchsorted(of, pictures[own])
    hits = np.bincount(rows, ranks_of_texts[own] <= k, minlength=len(of))
    return np.column_stack([hits, np.bincount(rows, minlength=len(of))])


def _scores(queries: NDArray[np.float32], gallery: Gallery) -> NDArray[np.float32]:
    """Scores [Q, G]. A matrix product rounds equal columns differently, which would break ties: it gets them once."""
    rows, number = gallery
    scores: NDArray[np.float32] = queries @ rows.T
    return scores if number is None else scores[:, number]


def _ranks(texts: NDArray[np.float32], images: Gallery, right: NDArray[np.int64]) -> NDArray[np.int64]:
    return _places(_scores(texts, images), right)


def _places(scores: NDArray[np.floating], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """In each row of ``scores`` how many are at least that of the ``right`` column."""
    return (scores >= np.take_along_axis(scores, right[:, None], axis=1)).sum(axis=1)


def _image_ranks(texts: Gallery, images: NDArray[np.float32], is_own: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rank for each of ``images`` [P, D]; ``is_own`` [P, T] says which texts are its captions."""
    scores = _scores(images, texts)
    best = np.where(is_own, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best) & ~is_own).sum(axis=1)


def _check(texts: NDArray[np.float32], images: NDArray[np.float32], right: NDArray[np.int64]) -> None:
    for name, features in (("text", texts), ("picture", images)):
        if len(features) == 0:
            raise NegutilError(f"There is no {name} for retrieval; give at least one.")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise NegutilError(f"The features of {name} {bad[0]} are not finite; check the model that made them.")
    _check_rows(right, len(texts), len(images))


def _check_rows(right: NDArray[np.int64], texts: int, images: int) -> None:
    if not texts or len(right) != texts or right.min() < 0 or right.max() >= images:
        raise NegutilError("image_of_text must give one row of the pictures for each text; check how it was made.")
