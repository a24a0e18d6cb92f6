"""Affirmation bias, measured directly: is "no X" closer to the images with X than to those without?

For a sentence about X the standardised difference is the mean cosine with the images that show X, minus the mean
with those that do not, in units of the standard deviation within the two groups (Cohen's d). A sentence that says X
should have a positive one, a sentence that denies X a negative one; a model that overlooks the denial gives both the
same. NegBench (Sec. 4.2) names the bias; the measure is ours. Intervals resample nouns.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import statistics
from negutil.captions import sentence_forms, statements
from negutil.captions.english import Form
from negutil.errors import NegutilError
from negutil.tasks import Entry, require_finite

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
SAYS, DENIES = "X", "no X"
"""The two groups of wordings: those that say X and those that deny it."""

DIFFERENCE, KEPT = "standardised difference", "share of the difference kept"
SAYING_FORMS: tuple[Form, ...] = (
    Form("a photo of {things}"),
    Form("this picture shows {things}"),
    Form("there is {things}"),
    Form("the image includes {things}"),
)
"""Wordings that say X; the denials are ``sentence_forms.NEGATED_ALONE``."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence about ``noun``: ``form`` is its wording in short, ``cue`` the word that denies, empty where none."""

    text: str
    noun: str
    form: str
    cue: str
    held_out: bool


def sentences(there: Mapping[str, Flags], minimum: int = 5) -> list[Sentence]:
    """Every wording about every noun that at least ``minimum`` images show and as many do not.

    ``there`` says for each noun which images show it (bool [N]). Raises NegutilError if no noun is left.
    """
    nouns = [noun for noun, flags in there.items() if minimum <= flags.sum() <= len(flags) - minimum]
    if not nouns:
        raise NegutilError(f"No noun is in {minimum} images and missing in as many: use more images.")
    forms = (*SAYING_FORMS, *sentence_forms.NEGATED_ALONE)
    wordings = [(sentence_forms.name(form, missing="X"), form) for form in forms]
    return [
        Sentence(sentence_forms.fill(form, statements.with_article(noun), noun), noun, short, form.cue, form.held_out)
        for noun in nouns
        for short, form in wordings
    ]


def items(
    sentences: Sequence[Sentence], texts: NDArray[np.float32], images: NDArray[np.float32], there: Mapping[str, Flags]
) -> pd.DataFrame:
    """One row per sentence: its fields, ``denies``, mean_with, mean_without, spread and difference.

    mean_with and mean_without are mean cosines, ``spread`` the standard deviation within the two groups pooled,
    ``difference`` the standardised difference. texts [T, D] and images [N, D] are L2-normalised.
    Raises NegutilError if they do not fit together, and where a sentence has the same score with every image.
    """
    scores, shown = _scores(sentences, texts, images, there)
    groups = [(scores * flags).sum(axis=1) / flags.sum(axis=1) for flags in (shown, ~shown)]
    within = (scores - np.where(shown, groups[0][:, None], groups[1][:, None])) ** 2
    spread = np.sqrt(within.sum(axis=1) / (len(images) - 2))
    flat = np.flatnonzero(~(spread > 0))
    if len(flat):
        raise NegutilError(f"'{sentences[flat[0]].text}' has one score for all images: check the model that made it.")
    table = pd.DataFrame([dataclasses.asdict(sentence) for sentence in sentences])
    return table.assign(
        denies=table["cue"] != "",
        mean_with=groups[0],
        mean_without=groups[1],
        spread=spread,
        difference=(groups[0] - groups[1]) / spread,
    )


def summary(items: pd.DataFrame, *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Mean standardised differences with intervals over nouns: columns form, cue, held_out, metric, value, low, ...

    ``form`` is every wording, and SAYS and DENIES, the means over those that say X and those that deny it. The metric
    is DIFFERENCE; a denial has KEPT too, its mean difference over that of SAYS: 1 where it is overlooked, -1 where it
    turns the preference round. ``n`` counts nouns.
    """
    wordings = items.pivot(index="noun", columns="form", values="difference")[list(items["form"].unique())]
    means = items.pivot_table(index="noun", columns="denies", values="difference", aggfunc="mean")
    table = pd.concat([means.rename(columns={False: SAYS, True: DENIES})[[SAYS, DENIES]], wordings], axis=1)
    denials = [name for name in table if name == DENIES or items.loc[items["form"] == name, "denies"].any()]
    base = list(table).index(SAYS)
    chosen = [list(table).index(name) for name in denials]

    def statistic(values: Floats, weights: Floats) -> Floats:
        means = weights @ values / weights.sum(axis=1, keepdims=True)
        return np.column_stack([means, means[:, chosen] / means[:, [base]]])

    intervals = statistics.bootstrap_many(
        statistic, table.to_numpy(float), clusters=np.array(table.index), resamples=resamples, seed=seed
    )
    names = pd.DataFrame(
        {"form": [*table, *denials], "metric": [DIFFERENCE] * len(table.columns) + [KEPT] * len(denials)}
    )
    about = items.drop_duplicates("form").set_index("form")
    names.insert(1, "cue", names["form"].map(about["cue"]).fillna(""))
    names.insert(2, "held_out", names["form"].map(about["held_out"]).fillna(False).astype(bool))
    return pd.concat([names, pd.DataFrame([dataclasses.asdict(interval) for interval in intervals])], axis=1)


def distributions(
    sentences: Sequence[Sentence],
    texts: NDArray[np.float32],
    images: NDArray[np.float32],
    there: Mapping[str, Flags],
    bins: int = 50,
) -> pd.DataFrame:
    """Densities of the standardised cosine, nouns weighing alike: columns kind, shown, centre, density.

    The cosines of each sentence are centred at the middle between its two group means and divided by their standard
    deviation; ``kind`` is SAYS or DENIES, ``shown`` whether the image shows X. Each density sums to 1 over the range.
    """
    table = items(sentences, texts, images, there)
    scores, shown = _scores(sentences, texts, images, there)
    middle = ((table["mean_with"] + table["mean_without"]) / 2).to_numpy()
    values = (scores - middle[:, None]) / table["spread"].to_numpy()[:, None]
    ends = np.array([np.quantile(values[flags], [0.001, 0.999]) for flags in (shown, ~shown)])
    edges = np.linspace(ends.min(), ends.max(), bins + 1)
    denies = table["denies"].to_numpy()
    rows = []
    for kind, chosen in ((SAYS, ~denies), (DENIES, denies)):
        for there_, flags in ((True, shown[chosen]), (False, ~shown[chosen])):
            weights = flags / flags.sum(axis=1, keepdims=True)
            density, _ = np.histogram(values[chosen], bins=edges, weights=weights, density=True)
            centres = (edges[:-1] + edges[1:]) / 2
            rows.append(pd.DataFrame({"kind": kind, "shown": there_, "centre": centres, "density": density}))
    return pd.concat(rows, ignore_index=True)


def _scores(
    sentences: Sequence[Sentence], texts: NDArray[np.float32], images: NDArray[np.float32], there: Mapping[str, Flags]
) -> tuple[Floats, Flags]:
    """Cosines [T, N] of every sentence with every image, and whether each image shows the sentence's noun."""
    if not sentences or len(texts) != len(sentences) or len(images) < 3:
        raise NegutilError(
            f"The bias has {len(sentences)} sentences, {len(texts)} texts and {len(images)} images: encode every "
            "sentence and at least three images."
        )
    require_finite(texts, "sentence")
    require_finite(images, "picture")
    for noun in dict.fromkeys(sentence.noun for sentence in sentences):
        if noun not in there or len(there[noun]) != len(images) or there[noun].all() or not there[noun].any():
            raise NegutilError(f"'{noun}' needs labels of the {len(images)} images, some with it and some without.")
    return (texts @ images.T).astype(float), np.stack([there[sentence.noun] for sentence in sentences])


TASKS = (Entry("Affirmation bias", DIFFERENCE, "coco2017", "sentences about nouns", "0"),)
