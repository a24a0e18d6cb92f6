"""Claims true or false: accuracy at one threshold, on affirmative claims alone, and the gap between the two.

A claim is called true where the cosine of its sentence with its image is above a threshold. The threshold is one
number, chosen on validation claims to maximise the accuracy over all of them, affirmative and negated together. A model
that overlooks negation gets one half at any threshold, so its best one is arbitrary and may lie at the end of the
scale, where even affirmative claims are guessed; therefore everything that depends on the threshold is reported a
second time, as "calibrated", with the threshold that is best for the affirmative validation claims alone.

- accuracy: the share of all test claims judged rightly (chance 1/2, and 1/2 for any rule that reads only the sentence,
  because each sentence is a claim about two images and true of one; see ``negutil.captions.claim_items``).
- accuracy on affirmative (negated) claims: the same over those claims, at the same threshold.
- gap: accuracy on affirmative claims minus accuracy on all claims. With as many negated as affirmative claims it is
  half the difference between the two kinds.
- AUC: the chance that a true claim scores above a false one, ties counted half, over all, affirmative, negated claims.
- same sentence: the share of sentences that score strictly higher with the image that they are true of.

These are the numbers of the related benchmarks on contextual negation, MedNega-CXR, SimpleNeg COCO and N-COCO, but for
the last, which needs no threshold. Their recall@1 is here in ``recall``. Intervals resample sentences.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import statistics
from negutil.captions.claim_items import ClaimSet
from negutil.errors import NegutilError
from negutil.models.scorer import Scorer
from negutil.tasks import Entry, probe, require_finite

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
KINDS = ("all", "affirmative", "negated")
COMBINED = len(KINDS) + 4  # with the four combinations of kind and truth
GAPS = ("gap", "calibrated gap")
SHARES = {
    "accuracy": "right",
    "calibrated accuracy": "calibrated_right",
    "same sentence": "same_sentence",
    "called true": "said_true",
}
"""Metrics that are shares of claims, and the columns of ``items`` that they count."""


def score(claims: ClaimSet, texts: NDArray[np.float32], images: NDArray[np.float32]) -> pd.DataFrame:
    """The claims with the cosine of sentence and image (column ``score``).

    texts [C, D] are the features of ``claims.claims["text"]``, images [N, D] those of all images of the set, both
    L2-normalised. Raises NegutilError if they do not fit the claims, and on a feature that is not finite.
    """
    _check(claims, texts, images)
    features = images[claims.claims["picture"].to_numpy()]
    return claims.claims.assign(domain=claims.domain, score=np.einsum("cd,cd->c", texts, features, dtype=np.float64))


def score_by(scorer: Scorer, claims: ClaimSet, images: NDArray[np.float32]) -> pd.DataFrame:
    """The same as ``score`` by a scorer, whose scores may be no cosines; images [N, D] are features of its tower."""
    texts = claims.claims["text"].tolist()
    scorer.remember(texts)
    scores = scorer.paired(texts, images[claims.claims["picture"].to_numpy()])
    return claims.claims.assign(domain=claims.domain, score=scores)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosines above which a claim is called true: best for all validation claims, and for the affirmative ones."""

    every: float
    affirmative: float


def thresholds(scored: pd.DataFrame) -> Thresholds:
    """Both thresholds from validation claims as ``score`` gives them; errors as in ``threshold``."""
    return Thresholds(threshold(scored), threshold(scored[~scored["negated"].to_numpy(bool)]))


def threshold(scored: pd.DataFrame) -> float:
    """The threshold at which most claims of ``scored`` (columns score, true) are judged rightly.

    It lies halfway between two neighbouring scores (or just outside all of them); of several that do equally well the
    middle one is taken. Raises NegutilError if there are no claims.
    """
    if scored.empty:
        raise NegutilError("There are no validation claims to choose a threshold on: give some.")
    order = np.argsort(scored["score"].to_numpy(), kind="stable")
    values = scored["score"].to_numpy(float)[order]
    true = scored["true"].to_numpy(bool)[order]
    # Cut k calls the k lowest false: right are the false ones below it and the true ones above.
    right = np.r_[0, (~true).cumsum()] + np.r_[true[::-1].cumsum()[::-1], 0]
    edges = np.r_[values[0] - 1e-6, (values[:-1] + values[1:]) / 2, values[-1] + 1e-6]
    between = np.r_[True, values[1:] > values[:-1], True]
    best = np.flatnonzero(between & (right == right[between].max()))
    return float(edges[best[(len(best) - 1) // 2]])


def items(scored: pd.DataFrame, at: Thresholds) -> pd.DataFrame:
    """The scored claims with how they are judged: columns said_true, right, calibrated_right, same_sentence.

    ``calibrated_right`` is ``right`` at the threshold from affirmative claims; ``same_sentence`` is whether the claim's
    sentence scores strictly higher with the image that it is true of.
    """
    scores, true = scored["score"].to_numpy(float), scored["true"].to_numpy(bool)
    by_truth = scored.pivot(index="pair", columns="true", values="score")
    won = scored["pair"].map(by_truth[True] > by_truth[False]).astype(bool)
    yes = scores > at.every
    calibrated = (scores > at.affirmative) == true
    return scored.assign(said_true=yes, right=yes == true, calibrated_right=calibrated, same_sentence=won)


def summary(items: pd.DataFrame, *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """All numbers with intervals over sentences: columns metric, value, low, high, n, over, chance.

    Metrics: "accuracy", "calibrated accuracy", "same sentence", "called true" and "AUC", each also "... on affirmative"
    and "... on negated"; "gap" and "calibrated gap"; and "accuracy on affirmative, true" and the like for the four
    combinations. ``n`` counts the claims that a number is over; ``chance`` is NaN where a constant judge may get
    anything.
    """
    negated, true = items["negated"].to_numpy(bool), items["true"].to_numpy(bool)
    kinds = {"all": np.ones(len(items), dtype=bool), "affirmative": ~negated, "negated": negated}
    truths = {"true": true, "false": ~true}
    kinds |= {f"{kind}, {name}": kinds[kind] & flags for kind in KINDS[1:] for name, flags in truths.items()}
    shares = {
        metric if kind == "all" else f"{metric} on {kind}": (items[column].to_numpy(bool) & flags, flags)
        for metric, column in SHARES.items()
        for kind, flags in kinds.items()
        if "accuracy" in metric or "," not in kind
    }
    # An AUC is resampled through DeLong's placement values, as in ``probe.metrics``: it is the mean of theirs over
    # either class, and the two means vary together as their sum does.
    parts = list(shares.values())
    for chosen in (kinds[kind] for kind in KINDS):
        placed, scores = np.zeros(len(items)), items["score"].to_numpy(float)
        placed[chosen] = probe.placements(scores[chosen, None], true[chosen, None])[:, 0]
        parts += [(placed * flags, flags) for flags in (chosen & true, chosen & ~true)]
    sides = [np.stack([part[k] for part in parts], axis=1).astype(float) for k in (0, 1)]
    intervals = statistics.bootstrap_many(
        _metrics, *sides, clusters=items["pair"].to_numpy(), resamples=resamples, seed=seed
    )
    table = pd.DataFrame([dataclasses.asdict(interval) for interval in intervals])
    table.insert(0, "metric", [*shares, *("AUC" if kind == "all" else f"AUC on {kind}" for kind in KINDS), *GAPS])
    counts = {f" on {kind}": int(flags.sum()) for kind, flags in kinds.items()}
    counted = [next((n for end, n in counts.items() if metric.endswith(end)), len(items)) for metric in table["metric"]]
    # A constant judge may call true whatever it likes, and be right about all true claims, or all false ones.
    is_any = table["metric"].str.contains(",") | table["metric"].str.startswith("called true")
    return table.assign(n=counted, chance=np.select([table["metric"].isin(GAPS), is_any], [0.0, np.nan], 0.5))


def _metrics(numerators: Floats, denominators: Floats, weights: Floats) -> Floats:
    """The shares, an AUC for each of KINDS, and the gap, under each row of ``weights`` [R, N]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = weights @ numerators / (weights @ denominators)
        whole = numerators.sum(axis=0) / denominators.sum(axis=0)
    count = 2 * len(KINDS)
    shares, placed, means = ratios[:, :-count], ratios[:, -count:], whole[-count:]
    # The sum is linear in the weights and may leave the scale that an area has.
    areas = (placed[:, ::2] + placed[:, 1::2] - means[::2]).clip(0, 1)
    # The accuracies come first, calibrated or not over the same seven groups of claims: all, affirmative, ...
    gaps = [shares[:, first + 1] - shares[:, first] for first in (0, COMBINED)]
    return np.column_stack([shares, areas, *gaps])


def recall(claims: ClaimSet, texts: NDArray[np.float32], images: NDArray[np.float32]) -> pd.DataFrame:
    """Recall@1 both ways among the images that have a true claim: one row per such claim.

    Columns: image, text, negated, and for both directions ("text_to_image": the sentence looks for an image among
    these; "image_to_text": the image looks for a sentence among theirs) three numbers: ``<direction>_own``, whether
    the first is the claim's own partner, as the benchmarks count; ``<direction>_true``, whether the first makes a
    true claim; ``<direction>_chance``, how many of the choices do. A claim about one thing is true of many images, a
    negated one of nearly all, so ``own`` alone says little of negation. Among equal scores a wrong choice comes first.

    texts [C, D] and images [N, D] as for ``score``, which names the errors.
    """
    _check(claims, texts, images)
    true_claims = claims.claims[claims.claims["true"]]
    rows, pictures = true_claims.index.to_numpy(), true_claims["picture"].to_numpy()
    scores = (texts[rows] @ images[pictures].T).astype(float)
    # Whether each sentence (rows) is surely true of each image (columns).
    column = {name: number for number, name in enumerate(claims.known.subjects)}
    subjects = true_claims["subject"].map(column).to_numpy()
    present, absent = (flags[pictures][:, subjects].T for flags in (claims.known.present, claims.known.absent))
    fits = np.where(true_claims["negated"].to_numpy()[:, None], absent, present)
    # A sentence that two images share is one sentence, and each of them is its own image.
    same = true_claims["text"].to_numpy()[:, None] == true_claims["text"].to_numpy()[None, :]
    partner = np.eye(len(true_claims), dtype=bool)
    table = true_claims[["picture", "text", "negated"]].reset_index(drop=True)
    for direction, values, true, mine in (
        ("text_to_image", scores, fits, partner),
        ("image_to_text", scores.T, fits.T, same),
    ):
        table[f"{direction}_own"] = _first_is(values, mine)
        table[f"{direction}_true"] = _first_is(values, true)
        table[f"{direction}_chance"] = true.mean(axis=1)
    return table


def _first_is(values: Floats, right: Flags) -> Flags:
    """Whether the best of each row is among the ``right`` ones; a tie with one that is not is lost."""
    others = np.where(right, -np.inf, values).max(axis=1)
    return np.where(right, values, -np.inf).max(axis=1) > others


def recall_summary(table: pd.DataFrame, *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Recall@1 of ``recall`` with intervals over images: columns kind, metric, value, low, high, n, over, chance.

    ``kind`` is one of KINDS. Metrics are "R@1 text to image" and "R@1 image to text", for the claim's own partner
    (chance: one among the choices), and the same with ", any true" (chance: the mean share of choices that are true).
    """
    rows = []
    negated = table["negated"].to_numpy()
    for kind, chosen in zip(KINDS, (np.ones(len(table), dtype=bool), ~negated, negated), strict=True):
        part = table[chosen]
        for direction in ("text_to_image", "image_to_text"):
            name = f"R@1 {direction.replace('_', ' ')}"
            chances = {f"{direction}_own": 1 / len(table), f"{direction}_true": part[f"{direction}_chance"].mean()}
            for column, chance in chances.items():
                interval = statistics.bootstrap_mean(part[column], resamples=resamples, seed=seed)
                metric = name if column.endswith("own") else f"{name}, any true"
                rows.append({"kind": kind, "metric": metric, **dataclasses.asdict(interval), "chance": chance})
    return pd.DataFrame(rows)


def _check(claims: ClaimSet, texts: NDArray[np.float32], images: NDArray[np.float32]) -> None:
    count, last = len(claims.claims), int(claims.claims["picture"].max())
    if len(texts) != count or last >= len(images):
        raise NegutilError(
            f"The {count} claims about {claims.domain} have {len(texts)} texts and name image {last} of "
            f"{len(images)}: encode each claim's sentence and every image."
        )
    require_finite(texts, f"claim about {claims.domain}")
    require_finite(images, f"image of {claims.domain}")


TASKS = (Entry("Claims true or false", "accuracy", "", "claims about objects, colours, faces and radiographs", "1/2"),)
