"""Scorers rank images for a text: a CLIP by its cosines, or anything else that takes texts and image features.

Benchmarks use a :class:`Scorer` and never multiply features themselves, so a score need not be a cosine. Images are
encoded once, by the image tower of ``scorer.tower`` (``encode.images``), and passed as features.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.statistics import Floats

Features = NDArray[np.float32]
CHUNK = 8_000_000  # products held at once, 64 MB as float64


class Scorer(Protocol):
    """Scores of texts with images, higher where they fit better.

    ``name`` is its name in tables and in the registry; the image tower of ``tower`` makes the features, its tokenizer
    reads the texts. Equal texts get exactly equal scores with equal images, so that ties are detected
    (docs/protocols.md#ties). Scorer classes derive from this one and so have ``remember``.
    """

    name: str
    tower: LoadedModel

    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with the image of its row; ``images`` [N, D]."""
        ...

    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the scores [T, M] of all texts with all images [M, D]; memory beyond the result is bounded."""
        ...

    def remember(self, texts: Sequence[str]) -> None:
        """Read ``texts`` together now, which is faster than in parts, so that later calls look them up.

        This replaces what was remembered. By default nothing happens, for scorers that gain nothing from it.
        """
        return  # said outright, or the method would count as abstract


class Cosine(Scorer):
    """The cosine of text and image: how every CLIP scores; ``batch`` and ``share`` are those of ``encode.texts``."""

    def __init__(self, tower: LoadedModel, batch: int = encode.BATCH, share: bool = False) -> None:
        self.name = tower.name
        self.tower = tower
        self._batch = batch
        self._share = share
        self._rows: dict[str, int] = {}
        self._known: Features = np.zeros((0, 0), np.float32)

    def remember(self, texts: Sequence[str]) -> None:
        """Encode ``texts`` together and keep their features, unless all are known; raises as ``encode.texts`` does."""
        if not self._rows.keys() >= set(texts):
            self._known = self._encode(texts)
            self._rows = {text: row for row, text in enumerate(texts)}

    def features(self, texts: Sequence[str]) -> Features:
        """Return the features [T, D] of ``texts``: remembered, or all encoded together if one is not."""
        rows = [self._rows.get(text, -1) for text in texts]
        return self._known[rows] if rows and min(rows) >= 0 else self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Features:
        """The features [T, D] of ``texts``, computed now; a subclass only has to override this."""
        return encode.texts(self.tower, texts, batch=self._batch, share=self._share)

    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the cosine [N] of each text with its image, in float64; see :func:`paired_cosines`."""
        return paired_cosines(self.features(texts), images)

    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the cosines [T, M], computed in float32; see :func:`cosines`."""
        return cosines(self.features(texts), images).astype(float)


def of(model: LoadedModel | Scorer, batch: int = encode.BATCH, share: bool = False) -> Scorer:
    """Return ``model`` if it is a scorer, else its :class:`Cosine`."""
    return Cosine(model, batch, share) if isinstance(model, LoadedModel) else model


def paired_cosines(texts: Features, images: Features) -> Floats:
    """Return the cosine [N] of each row of ``texts`` with that of ``images``, both L2-normalised [N, D].

    Equal rows get exactly equal scores, whatever their position. Raises NegutilError if the shapes differ.
    """
    if texts.ndim != 2 or texts.shape != images.shape or not len(texts):
        raise NegutilError(
            f"Texts {list(texts.shape)} and images {list(images.shape)} do not fit; give two of one shape [N, D]."
        )
    rows = max(1, CHUNK // texts.shape[1])
    scores = np.empty(len(texts))
    for start in range(0, len(texts), rows):
        part = slice(start, start + rows)
        # Not a matrix product: that may round equal rows differently.
        scores[part] = np.multiply(texts[part], images[part], dtype=np.float64).sum(axis=1)
    return scores


def cosines(texts: Features, images: Features) -> NDArray[np.float32]:
    """Return the cosines [T, M] of L2-normalised ``texts`` [T, D] and ``images`` [M, D].

    A matrix product rounds equal rows differently, which would break ties, so each distinct row is multiplied once.
    """
    (said, row), (seen, column) = distinct(texts), distinct(images)
    scores: NDArray[np.float32] = said @ seen.T
    scores = scores if row is None else scores[row]
    return scores if column is None else scores[:, column]


def distinct(rows: Features) -> tuple[Features, NDArray[np.int64] | None]:
    """Return the distinct rows of ``rows`` [N, D] and the index [N] of each row among them.

    If all rows differ, they are returned unchanged and the index is None.
    """
    whole = np.ascontiguousarray(rows)
    as_bytes = whole.view(np.dtype((np.void, whole.shape[1] * whole.itemsize)))[:, 0]
    _, first, number = np.unique(as_bytes, return_index=True, return_inverse=True)
    return (whole, None) if len(first) == len(whole) else (whole[first], number)
