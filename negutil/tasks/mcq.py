"""Multiple choice: which of a question's captions is nearest to its image, and what kind is chosen instead.

NegBench's accuracy (docs/protocols.md#mcq), with two differences (docs/protocols.md#ties). The published files put the
right caption first, and the published evaluator breaks ties towards the first, so a constant scorer gets 100 % there.
Here the options are shuffled before one is chosen, and a tie at the top is no answer: a constant scorer gets 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from negutil import statistics
from negutil.errors import NegutilError
from negutil.models.scorer import Scorer
from negutil.statistics import Floats, Interval

FOUR_OPTIONS = ("correct", "hybrid", "affirmation", "negation")
"""What the options of the published COCO, VOC2007 and MSR-VTT files are, by index; the first is the right one."""

HARD_NEGATIVES = ("affirmation", "hybrid", "hybrid", "negation")
"""What the options of the published HardNeg-Syn file are, by index: A and B, A not B, B not A, neither."""

CORRECT, TIE, WRONG = "correct", "tie", "wrong"
COLUMNS = ("item", "type", "correct", "chosen", "right", "chosen_type", "margin", "shown_at")


def scores_by(scorer: Scorer, options: Sequence[Sequence[str]], images: NDArray[np.float32]) -> Floats:
    """Return what ``scorer`` makes of every option of N questions with its image: [N, K].

    ``options`` are K texts for each of ``images`` [N, D]. Raises NegutilError if there is not an image for each.
    """
    counts = {len(texts) for texts in options}
    if len(options) != len(images) or len(counts) != 1:
        raise NegutilError(f"There are {len(images)} images for {len(options)} questions of {counts} options; fix.")
    (k,) = counts
    texts = [text for each in options for text in each]
    return scorer.paired(texts, images.repeat(k, axis=0)).reshape(len(options), k)


def orders(n: int, k: int, seed: int = 0) -> NDArray[np.int64]:
    """Return a random order of the ``k`` options for each of ``n`` questions, [n, k]: what is shown at each place."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(k), (n, 1)), axis=1)


def choose(values: Floats) -> NDArray[np.int64]:
    """Return the option with the highest score for each question [N], or -1 where several share it."""
    top = values == values.max(axis=1, keepdims=True)
    return np.where(top.sum(axis=1) == 1, top.argmax(axis=1), -1)


def items(
    values: Floats,
    correct: ArrayLike,
    types: Sequence[str] | None = None,
    order_seed: int = 0,
    *,
    kinds: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per question for scores ``values`` [N, K] and the index of the right option ``correct`` [N].

    Columns: item, type (of ``types``, else ""), correct, chosen (-1: a tie at the top), right, chosen_type ("correct",
    "tie", or "wrong" and what the option is), margin (the right option's score minus the best other one), shown_at
    (the place of the right option in the shuffled order). ``kinds`` says what the option at each index is; unless
    given, it is FOUR_OPTIONS where that layout is seen (four options, the first always right), else unknown.
    Raises NegutilError if the shapes do not fit, or for a score that is not finite, naming the question.
    """
    right = np.asarray(correct, dtype=np.int64)
    if values.ndim != 2 or not len(values) or values.shape[1] < 2:
        raise NegutilError(
            f"The scores have shape {list(values.shape)}; give one row per question, two options or more."
        )
    n, k = values.shape
    if right.shape != (n,) or right.min() < 0 or right.max() >= k:
        raise NegutilError(f"The right options must be {n} numbers from 0 to {k - 1}; check how they were read.")
    for named, count, what in ((types, n, "types for {} questions"), (kinds, k, "kinds for {} options")):
        if named is not None and len(named) != count:
            raise NegutilError(f"There are {len(named)} {what.format(count)}; give one each.")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise NegutilError(f"Question {bad[0]} has a score that is not finite; check the model that made it.")
    order, rows = orders(n, k, order_seed), np.arange(n)
    place = choose(np.take_along_axis(values, order, axis=1))
    chosen = np.where(place < 0, -1, order[rows, np.maximum(place, 0)])
    if kinds is None and k == len(FOUR_OPTIONS) and not right.any():
        kinds = FOUR_OPTIONS
    wrong = np.array([f"{WRONG} {kind}" for kind in kinds])[chosen] if kinds else np.full(n, WRONG)
    others = values.astype(float)
    others[rows, right] = -np.inf
    return pd.DataFrame(
        {
            "item": rows,
            "type": list(types) if types is not None else "",
            "correct": right,
            "chosen": chosen,
            "right": chosen == right,
            "chosen_type": np.where(chosen == right, CORRECT, np.where(chosen < 0, TIE, wrong)),
            "margin": values[rows, right] - others.max(axis=1),
            "shown_at": (order == right[:, None]).argmax(axis=1),
        }
    )


def accuracy(
    table: pd.DataFrame, clusters: ArrayLike | None = None, *, resamples: int = statistics.RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Return the share of right answers: "total", then every type of question and "macro", the mean over the types.

    ``table`` is that of ``items``; ``clusters`` [N] names each question's image, and images are resampled then. A
    table without types has only "total".
    """
    right, types = table["right"].to_numpy(), table["type"].to_numpy()
    units = None if clusters is None else np.asarray(clusters)
    shares = {"total": statistics.bootstrap_share(right, units, resamples, seed)}
    named = sorted(set(types) - {""})
    for name in named:
        rows = types == name
        part = None if units is None else units[rows]
        shares[name] = statistics.bootstrap_share(right[rows], part, resamples, seed)
    if not named:
        return shares
    if right.all() or not right.any():
        return shares | {"macro": statistics.bootstrap_share(right, clusters, resamples, seed)}

    def mean_over_types(answers: NDArray[np.bool_], of_types: NDArray[np.bool_], weights: Floats) -> Floats:
        return np.mean([statistics.weighted_mean(answers, weights * of_type) for of_type in of_types.T], axis=0)

    flags = np.column_stack([types == name for name in named])
    macro = statistics.bootstrap(mean_over_types, right, flags, clusters=clusters, resamples=resamples, seed=seed)
    return shares | {"macro": macro}


def difference(
    table: pd.DataFrame,
    first: str,
    second: str,
    clusters: ArrayLike | None = None,
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the accuracy on questions of type ``first`` minus that on type ``second``, clusters as in ``accuracy``.

    Raises NegutilError if there is no question of one of the types.
    """
    right, types = table["right"].to_numpy(), table["type"].to_numpy()
    for name in (first, second):
        if name not in types:
            raise NegutilError(f"There is no question of type '{name}'; choose among {', '.join(sorted(set(types)))}.")

    def statistic(of_first: NDArray[np.bool_], of_second: NDArray[np.bool_], weights: Floats) -> Floats:
        mean = statistics.weighted_mean
        return mean(right, weights * of_first) - mean(right, weights * of_second)

    return statistics.bootstrap(
        statistic, types == first, types == second, clusters=clusters, resamples=resamples, seed=seed
    )


def confusion(table: pd.DataFrame, share: bool = False) -> pd.DataFrame:
    """Return how often each kind of option was chosen: rows are types of questions, columns the kinds.

    The columns are those of the layout that ``items`` saw ("correct", "wrong hybrid", "wrong affirmation", "wrong
    negation" in the published one) and "tie" last. Counts, or with ``share`` shares of each row.
    """
    counts = pd.crosstab(table["type"], table["chosen_type"])
    published = [CORRECT, *(f"{WRONG} {kind}" for kind in FOUR_OPTIONS[1:])]
    others = sorted(set(counts.columns) - {*published, TIE, WRONG})
    known = published if WRONG not in counts.columns else [CORRECT, WRONG]
    counts = counts.reindex(columns=[*known, *others, TIE], fill_value=0).rename_axis(columns=None)
    return counts.div(counts.sum(axis=1), axis=0) if share else counts
