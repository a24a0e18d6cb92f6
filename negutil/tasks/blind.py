"""Blind baselines: how far the texts alone go, without a look at the image (docs/protocols.md#shortcuts).

A baseline is a scorer like any other: a preference [N, K] for the options of each question, higher is better, so that
`negutil.tasks.mcq` judges it as it judges a model, by type and with intervals. A baseline that cannot decide loses
there. Questions with two options (binary ones, claims) are the case K = 2. In retrieval a text names no image, so
chance is the blind baseline.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from negutil.captions import phrasing
from negutil.errors import NegutilError
from negutil.statistics import Floats

Options = Sequence[Sequence[str]]
RULES = ("without cue", "with cue", "shortest", "longest")
BAG_OF_WORDS = "bag of words"
# Words with their apostrophes: the usual pattern would drop the "t" of "isn't".
WORD = r"[\w'’]+"


def preferences(rule: str, options: Options) -> Floats:
    """Return what a rule of RULES makes of the texts ``options`` (N questions of K): a preference [N, K].

    A caption with a cue is one in which `phrasing` finds a negation; length is counted in characters.
    Raises NegutilError for an unknown rule, or where questions differ in their number of options.
    """
    texts = _table(options)
    if rule in ("without cue", "with cue"):
        has_cue = phrasing.table(texts.ravel().tolist())["cue"].ne("").to_numpy().reshape(texts.shape).astype(float)
        return has_cue if rule == "with cue" else -has_cue
    if rule in ("shortest", "longest"):
        lengths = np.char.str_len(texts).astype(float)
        return lengths if rule == "longest" else -lengths
    raise NegutilError(f"There is no blind rule '{rule}'; choose among {', '.join(RULES)}.")


def bag_of_words_preferences(
    options: Options, correct: ArrayLike, clusters: ArrayLike | None = None, seed: int = 0
) -> Floats:
    """Return how right each caption sounds to a classifier that never saw an image [N, K].

    Logistic regression on the caption's words and pairs of neighbouring words, fitted to tell right options ``correct``
    [N] from wrong ones on one half of the questions and applied to the other, and the reverse. The halves share no
    image (``clusters`` [N]; without it, no question).
    Raises NegutilError if there are fewer than two images, or questions differ in their number of options.
    """
    texts, right = _table(options), np.asarray(correct, dtype=np.int64)
    n, k = texts.shape
    first = halves(np.arange(n) if clusters is None else clusters, seed)
    is_right = np.arange(k) == right[:, None]
    scores = np.empty((n, k))
    for fitted, tested in ((first, ~first), (~first, first)):
        vectorizer = CountVectorizer(token_pattern=WORD, ngram_range=(1, 2), binary=True)
        words = vectorizer.fit_transform(texts[fitted].ravel())
        classifier = LogisticRegression(max_iter=1000).fit(words, is_right[fitted].ravel())
        values = classifier.decision_function(vectorizer.transform(texts[tested].ravel()))
        # Rounded: a text gets the same value whatever stands beside it.
        scores[tested] = np.round(values, 9).reshape(-1, k)
    return scores


def scorers(
    options: Options, correct: ArrayLike, clusters: ArrayLike, *, classify: bool = True, seed: int = 0
) -> dict[str, Floats]:
    """Return what every rule and, with ``classify``, the bag of words make of the options: preferences [N, K]."""
    scores = {rule: preferences(rule, options) for rule in RULES}
    if classify:
        scores[BAG_OF_WORDS] = bag_of_words_preferences(options, correct, clusters, seed)
    return scores


def halves(clusters: ArrayLike, seed: int = 0) -> NDArray[np.bool_]:
    """Return which questions [N] are in the first half of the images ``clusters`` [N], drawn at random.

    Raises NegutilError if there is only one image.
    """
    named, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(named) < 2:
        raise NegutilError("All questions are about one image, so they cannot be split by image; give more.")
    chosen = np.random.default_rng(seed).permutation(len(named)) < len(named) // 2
    return chosen[codes]


def chance_recall(images: int, k: int) -> float:
    """Return recall at ``k`` by guessing: a text's one right image is among k of ``images``."""
    return min(k, images) / images


def _table(options: Options) -> NDArray[np.str_]:
    """The texts as an array [N, K]."""
    sizes = {len(texts) for texts in options}
    if len(sizes) != 1 or min(sizes) < 2:
        raise NegutilError(
            f"Questions have {sorted(sizes)} options; give one question or more, all with the same number above one."
        )
    return np.array([list(texts) for texts in options], dtype=np.str_)
