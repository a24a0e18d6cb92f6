"""Text-to-image retrieval: the rank of the right picture for every caption, and recall at k."""

from __future__ import annotations

import numpy as np

from negutil.errors import NegutilError


def ranks(text_features: np.ndarray, image_features: np.ndarray, image_of_text: np.ndarray) -> np.ndarray:
    """Return for every text the 1-based rank of its picture among all pictures, ties counted against it.

    text_features: [T, D]; image_features: [N, D]; both L2-normalised. image_of_text: [T] index of the right picture.
    The rank is 1 + the number of *other* pictures that score at least as high, so a constant scorer ranks last.
    Raises NegutilError on empty input or features that are not finite.
    """
    _check(text_features, image_features, image_of_text)
    scores = text_features @ image_features.T
    right = np.take_along_axis(scores, image_of_text[:, None], axis=1)
    return (scores >= right).sum(axis=1)


def recall_at(ranks_of_texts: np.ndarray, k: int) -> float:
    """Share of the texts whose picture is among the first ``k``."""
    return float((ranks_of_texts <= k).mean())


def _check(text_features: np.ndarray, image_features: np.ndarray, image_of_text: np.ndarray) -> None:
    for name, features in (("text", text_features), ("image", image_features)):
        if features.size == 0:
            raise NegutilError(f"The {name} features for retrieval are empty; give at least one {name}.")
        if not np.isfinite(features).all():
            row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise NegutilError(f"The {name} features for retrieval are not finite in row {row}; encode it again.")
    if len(image_of_text) != len(text_features) or not np.isin(image_of_text, np.arange(len(image_features))).all():
        raise NegutilError("image_of_text must name one existing picture for every text; check how it was made.")
