"""The binary probe: does a model prefer the affirmative or the negated prompt for a face (NegationCLIP Sec. 2.1)?

For attribute a and image i the prediction is 1[s(i, affirmative) > s(i, negated)], so a tie counts as negative;
balanced accuracy is the mean of the true positive and the true negative rate, its chance level 1/2
(docs/protocols.md#binary-probe). As the two prompts share almost all words, a threshold of zero between them is
arbitrary; the area under the ROC curve of the difference does not depend on it and is also reported, as is the rate at
which the affirmative prompt is preferred.

``presence`` asks the same noun by noun: do images with a thing score above images without it? The area under the
curve is 1/2 by guessing, ties counted half. For "a photo with no X" the images *without* X should score higher, so a
model that overlooks "no" gets an area near 0 for absence, not 1/2. MiniCLIP has to be good at affirmative language
before a failure on negation is about negation.

Everything here works on plain arrays of L2-normalised features, so any model can be probed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from negutil import statistics
from negutil.captions.probe_prompts import ALONE, ANTONYM, Pair, texts, usable
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import Entry

PAIR_METRICS = ("tpr", "tnr", "balanced_accuracy", "affirmative_rate", "auc", "auc_of_absence")
"""Metrics of a pair of prompts; ``auc_of_absence`` is how well the second prompt alone finds the images without."""

MEAN, MEAN_WITH_ANTONYM = "mean", "mean of those with an antonym"
AFFIRMATIVE, NEGATED = "a photo of {article} {noun}", "a photo with no {noun}"
PAPER_VALUE, PAPER_SOURCE = 0.608, "NegationCLIP Sec. 2.1 (CLIP ViT-L/14, 40 attributes of CelebA)"

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a probe gives: ``items`` has a row per image, attribute and phrasing; ``table`` a row per number.

    Columns of ``items``: image, attribute, phrasing, label (of the affirmative prompt, so inverted ones are turned
    round), affirmative, other (the two cosine scores). Columns of ``table``: attribute, phrasing, metric, value, low,
    high, n, over. ``skipped`` are the attributes that all images have or none has.
    """

    items: pd.DataFrame
    table: pd.DataFrame
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Presence:
    """AUC per noun (``table``: noun, auc, low, high, n, positives) and their ``mean`` over the nouns."""

    table: pd.DataFrame
    mean: Interval


def scores(
    pairs: Sequence[Pair], image_features: np.ndarray, text_features: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine scores of the affirmative and of the other prompt, float32 [N, P] each; the other's is 0 where alone.

    image_features: [N, D]; text_features: [D] for each of ``texts(pairs)``; all L2-normalised. Raises NegutilError
    where a prompt has no features, there are no images, or a feature is not finite.
    """
    missing = [text for text in texts(pairs) if text not in text_features]
    if missing or len(image_features) == 0:
        raise NegutilError(f"The probe has {len(image_features)} images and lacks {len(missing)} prompts: encode them.")
    # Each prompt is scored once, so that equal prompts tie exactly; the last column stands for no prompt.
    every = texts(pairs)
    table = image_features @ np.stack([text_features[text] for text in every]).T
    table = np.concatenate([table, np.zeros_like(table[:, :1])], axis=1)
    column = {text: index for index, text in enumerate([*every, ""])}
    sides = [pair.affirmative for pair in pairs], [pair.other for pair in pairs]
    affirmative, other = (table[:, [column[text] for text in chosen]] for chosen in sides)
    if not np.isfinite(table).all():
        raise NegutilError("The probe's features are not all finite: encode the images and prompts again.")
    return affirmative, other


def right(pairs: Sequence[Pair], labels: pd.DataFrame) -> Flags:
    """Return whether the affirmative prompt is true of each image, bool [N, P]."""
    return np.stack([labels[pair.attribute].to_numpy(dtype=bool) != pair.inverted for pair in pairs], axis=1)


def placements(scores: np.ndarray, truth: Flags) -> np.ndarray:
    """DeLong's placement values [N, P]: for a positive item the share of negatives below it, for a negative item the
    share of positives above it, ties counted half. Their mean over either class is the area under the ROC curve.

    scores, truth: [N, P], both classes in every column. Source: DeLong et al., Biometrics 44 (1988).
    """
    placed = np.empty(scores.shape)
    for column, (values, flags) in enumerate(zip(scores.T, truth.T, strict=True)):
        ranks = rankdata(values)
        below = [ranks[members] - rankdata(values[members]) for members in (flags, ~flags)]
        placed[flags, column] = below[0] / (~flags).sum()
        placed[~flags, column] = 1 - below[1] / flags.sum()
    return placed


def metrics(preferred: Flags, truth: Flags, margin: np.ndarray, absence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """PAIR_METRICS of every pair under each row of ``weights`` [R, N]: float64 [R, P, 6]; NaN where a class is missing.

    preferred, truth: [N, P], whether the affirmative prompt scores strictly higher, and whether it is true; margin,
    absence: [N, P], placement values of the score difference, and of the other prompt's score for the images that it is
    true of. An area under the curve is resampled through its placement values, which differs from ranking every
    resample again only in the second order and makes of it a matrix product.
    """
    positive, negative = weights @ truth, weights @ ~truth
    with np.errstate(invalid="ignore", divide="ignore"):
        tpr = weights @ (preferred & truth) / positive
        tnr = weights @ (~preferred & ~truth) / negative
        areas = [
            weights @ (placed * truth) / positive
            + weights @ (placed * ~truth) / negative
            - (placed * truth).sum(axis=0) / truth.sum(axis=0)
            for placed in (margin, absence)
        ]
    rate = weights @ preferred / weights.sum(axis=1, keepdims=True)
    # The sum of an area is linear in the weights and may leave its scale.
    return np.stack([tpr, tnr, (tpr + tnr) / 2, rate, *areas], axis=2).clip(0, 1)


def evaluate(
    pairs: Sequence[Pair],
    labels: pd.DataFrame,
    image_features: np.ndarray,
    text_features: Mapping[str, np.ndarray],
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Outcome:
    """Probe one model: every metric per attribute and phrasing and as means, with intervals over images.

    All intervals come from the same resamples of the images, so differences of means are paired. labels: one bool
    column per attribute, a row per image, in the order of ``image_features``. Raises NegutilError if nothing can be
    evaluated.
    """
    kept, skipped = usable(pairs, labels)
    affirmative, other = scores(kept, image_features, text_features)
    truth = right(kept, labels)
    rows, combine = _rows(kept)
    parts = affirmative > other, truth, placements(affirmative - other, truth), placements(other, ~truth)

    def statistic(*arrays: np.ndarray) -> np.ndarray:
        flat = metrics(*arrays)
        flat = flat.reshape(len(flat), -1)
        # A number is undefined only where one that it needs is.
        undefined = np.isnan(flat)
        needed = undefined.astype(float) @ (combine != 0).T.astype(float) > 0
        return np.where(needed, np.nan, np.where(undefined, 0, flat) @ combine.T)

    intervals = statistics.bootstrap_many(statistic, *parts, resamples=resamples, seed=seed)
    table = pd.DataFrame(rows, columns=["attribute", "phrasing", "metric"])
    table = pd.concat([table, pd.DataFrame([dataclasses.asdict(interval) for interval in intervals])], axis=1)
    count = len(truth)
    items = pd.DataFrame(
        {
            "image": np.tile(np.arange(count), len(kept)),
            "attribute": pd.Categorical(np.repeat([pair.attribute for pair in kept], count)),
            "phrasing": pd.Categorical(np.repeat([pair.phrasing for pair in kept], count)),
            "label": truth.T.ravel(),
            "affirmative": affirmative.T.ravel(),
            "other": other.T.ravel(),
        }
    )
    return Outcome(items, table, skipped)


def records(outcome: Outcome, experiment: str, model: str) -> list[Record]:
    """The table of an outcome as records; tasks are "<attribute>/<phrasing>".

    The paper's number is compared with the mean balanced accuracy of its own phrasing, "not".
    """
    records = []
    for row in outcome.table.to_dict("records"):
        published = (row["attribute"], row["phrasing"], row["metric"]) == (MEAN, "not", "balanced_accuracy")
        interval = Interval(*(row[key] for key in ("value", "low", "high", "n", "over")))
        names = {"experiment": experiment, "task": f"{row['attribute']}/{row['phrasing']}", "metric": row["metric"]}
        paper = {"paper_value": PAPER_VALUE, "paper_source": PAPER_SOURCE} if published else {}
        records.append(Record.of(interval, model=model, **names, **paper))
    return records


def _rows(pairs: Sequence[Pair]) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    """Names of the numbers to report, and the matrix that makes them from ``metrics`` laid flat [P * 6].

    Means are over all pairs of a phrasing, and over those whose attribute has an antonym; of these there is also what
    the antonym gains over each negation.
    """
    antonyms = {pair.attribute for pair in pairs if pair.phrasing == ANTONYM}
    groups = {(pair.attribute, pair.phrasing): [index] for index, pair in enumerate(pairs)}
    for index, pair in enumerate(pairs):
        if pair.phrasing != ANTONYM:
            groups.setdefault((MEAN, pair.phrasing), []).append(index)
        if pair.attribute in antonyms:
            groups.setdefault((MEAN_WITH_ANTONYM, pair.phrasing), []).append(index)
    rows: dict[tuple[str, str, str], np.ndarray] = {}
    for (name, phrasing), group in groups.items():
        for column, metric in enumerate(PAIR_METRICS):
            if phrasing != ALONE or metric == "auc":
                weights = np.zeros((len(pairs), len(PAIR_METRICS)))
                weights[group, column] = 1 / len(group)
                rows[name, phrasing, metric] = weights.ravel()
    for (name, phrasing, metric), own in list(rows.items()):
        control = rows.get((MEAN_WITH_ANTONYM, ANTONYM, metric))
        comparable = name == MEAN_WITH_ANTONYM and phrasing not in (ANTONYM, ALONE)
        if comparable and control is not None and metric in ("balanced_accuracy", "auc"):
            rows[name, f"{ANTONYM} minus {phrasing}", metric] = control - own
    return list(rows), np.stack(list(rows.values()))


# --------------------------------------------------------------------------------------------------------------------
# Presence, noun by noun


def prompts(nouns: Sequence[str], template: str = AFFIRMATIVE) -> list[str]:
    """Fill ``template`` with each noun; ``{article}`` becomes "a" or "an"."""
    return [template.format(noun=noun, article="an" if noun[0] in "aeiou" else "a") for noun in nouns]


def cosines(texts: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return cosine scores [N, K] of L2-normalised ``images`` [N, D] with ``texts`` [K, D]."""
    return images.astype(float) @ texts.astype(float).T


def presence(
    values: np.ndarray,
    labels: Mapping[str, Flags],
    *,
    absence: bool = False,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Presence:
    """Return the AUC of each noun's column of ``values`` [N, K] for ``labels`` (noun: bool [N], in column order).

    With ``absence`` the image without the noun should score higher, as for :data:`NEGATED`. The interval of the mean
    resamples images, which all nouns share, and keeps the nouns as they are.
    Raises NegutilError on empty or non-finite scores, and on a noun that all images have or none has.
    """
    truth = np.column_stack(list(labels.values())) if labels else np.zeros((0, 0), bool)
    if values.size == 0 or truth.shape != values.shape:
        raise NegutilError(
            f"Presence needs a score for each of {truth.shape[0]} images and {len(labels)} nouns, but has "
            f"{list(values.shape)}; give both for the same images and nouns."
        )
    for noun, scored, having in zip(labels, np.isfinite(values).all(axis=0), truth.mean(axis=0), strict=True):
        if not scored:
            raise NegutilError(f"The scores for '{noun}' are not finite; check the model that made them.")
        if having in (0, 1):
            start = "Every" if having else "No"
            raise NegutilError(f"{start} image has '{noun}', so it has no AUC; leave it out.")
    expected = ~truth if absence else truth

    def aucs_and_mean(placed: np.ndarray, expected: Flags, weights: np.ndarray) -> np.ndarray:
        # Resampled through DeLong's placement values, as in ``metrics``; a noun that a resample leaves without
        # positives or negatives is undefined there, and the mean is over the others.
        first, second = placed * expected, placed * ~expected
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = weights @ first / (weights @ expected) + weights @ second / (weights @ ~expected)
        # Linear in the weights, so a resample may leave the scale that an area has.
        aucs = np.ma.masked_invalid(sums - first.sum(axis=0) / expected.sum(axis=0)).clip(0, 1)
        return np.ma.column_stack([aucs, aucs.mean(axis=1)]).filled(np.nan)

    placed = placements(values, expected)
    *each, mean = statistics.bootstrap_many(aucs_and_mean, placed, expected, resamples=resamples, seed=seed)
    table = pd.DataFrame([dataclasses.asdict(interval) for interval in each])[["value", "low", "high", "n"]]
    table = table.rename(columns={"value": "auc"}).assign(positives=truth.sum(axis=0))
    table.insert(0, "noun", list(labels))
    return Presence(table, mean)


TASKS = (Entry("Binary probe", "balanced accuracy", "celeba", "attributes of faces", "1/2", PAPER_SOURCE),)
