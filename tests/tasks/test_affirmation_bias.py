from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from negutil.captions import sentence_forms
from negutil.errors import NegutilError
from negutil.tasks import affirmation_bias as bias
from negutil.tasks.affirmation_bias import DENIES, DIFFERENCE, KEPT, SAYS, Sentence


def example(negation: float) -> tuple[list[Sentence], np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Sentences about three things whose text features want the thing, times ``negation`` where they deny it."""
    rng = np.random.default_rng(0)
    there = {noun: rng.random(150) < 0.4 for noun in ("cat", "dog", "car")}
    rows = np.column_stack([*there.values(), np.ones(150)]) + 0.3 * rng.normal(size=(150, 4))
    said = bias.sentences(there)
    texts = np.zeros((len(said), 4))
    for row, sentence in zip(texts, said, strict=True):
        row[list(there).index(sentence.noun)] = negation if sentence.cue else 1
    texts[:, 3] = 1
    images, words = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, texts))
    return said, words.astype(np.float32), images.astype(np.float32), there


def value(table: pd.DataFrame, form: str, metric: str) -> float:
    return float(table[(table["form"] == form) & (table["metric"] == metric)]["value"].item())


def test_sentences_say_and_deny_every_noun_that_is_there_and_missing_often_enough() -> None:
    there = {"cat": np.arange(20) < 10, "owl": np.arange(20) < 3, "dog": np.arange(20) < 18}
    said = bias.sentences(there)
    assert {sentence.noun for sentence in said} == {"cat"}
    texts = {sentence.form: sentence.text for sentence in said}
    assert texts["a photo of X"] == "a photo of a cat"
    assert texts["a photo with no X"] == "a photo with no cat"
    assert texts["a scene devoid of Xs"] == "a scene devoid of cats"
    assert len(said) == len(bias.SAYING_FORMS) + len(sentence_forms.NEGATED_ALONE)
    with pytest.raises(NegutilError, match="No noun is in 11 images"):
        bias.sentences(there, minimum=11)


def test_the_difference_is_cohens_d() -> None:
    said, texts, images, there = example(1.0)
    found = bias.items(said, texts, images, there)
    row = found.iloc[2]
    scores, flags = (texts[2] @ images.T).astype(float), there[row["noun"]]
    having, lacking = scores[flags], scores[~flags]
    pooled = ((len(having) - 1) * having.var(ddof=1) + (len(lacking) - 1) * lacking.var(ddof=1)) / (len(scores) - 2)
    assert row["mean_with"] == pytest.approx(having.mean())
    assert row["mean_without"] == pytest.approx(lacking.mean())
    assert row["difference"] == pytest.approx((having.mean() - lacking.mean()) / np.sqrt(pooled))


@pytest.mark.parametrize(("negation", "kept"), [(1.0, 1.0), (-1.0, -1.0)])
def test_overlooking_keeps_the_difference_and_understanding_turns_it_round(negation: float, kept: float) -> None:
    table = bias.summary(bias.items(*example(negation)), resamples=200)
    assert value(table, SAYS, DIFFERENCE) > 1
    assert kept * value(table, DENIES, DIFFERENCE) > 1
    assert kept * value(table, DENIES, KEPT) > 0.95
    assert kept * value(table, "there is no X", KEPT) > 0.95
    assert KEPT not in table[table["form"] == "a photo of X"]["metric"].tolist()


def test_summary_averages_nouns_and_resamples_them() -> None:
    items = bias.items(*example(0.2))
    table = bias.summary(items, resamples=200)
    own = items[items["form"] == "a photo with no X"]["difference"].mean()
    assert value(table, "a photo with no X", DIFFERENCE) == pytest.approx(own)
    assert value(table, DENIES, DIFFERENCE) == pytest.approx(items[items["denies"]]["difference"].mean())
    says = items[~items["denies"]]["difference"].mean()
    assert value(table, "a photo with no X", KEPT) == pytest.approx(own / says)
    assert (table["n"] == 3).all()
    assert (table["over"] == "clusters").all()
    assert table[table["form"] == "a scene devoid of Xs"]["held_out"].all()


def test_distributions_are_densities_whose_means_lie_a_difference_apart() -> None:
    said, texts, images, there = example(1.0)
    table = bias.distributions(said, texts, images, there, bins=200)
    width = np.diff(table["centre"].unique())[0]
    areas = table.groupby(["kind", "shown"])["density"].sum() * width
    np.testing.assert_allclose(areas, 1)
    assert set(areas.index) == {(SAYS, True), (SAYS, False), (DENIES, True), (DENIES, False)}
    means = (table["centre"] * table["density"] * width).groupby([table["kind"], table["shown"]]).sum()
    items = bias.items(said, texts, images, there)
    expected = items[~items["denies"]]["difference"].mean()
    assert means[SAYS, True] - means[SAYS, False] == pytest.approx(expected, abs=0.1)


def test_bad_input_is_a_sentence() -> None:
    said, texts, images, there = example(1.0)
    with pytest.raises(NegutilError, match="encode every sentence"):
        bias.items(said, texts[:2], images, there)
    with pytest.raises(NegutilError, match="'cat' needs labels of the 150 images"):
        bias.items(said, texts, images, there | {"cat": np.ones(150, bool)})
    with pytest.raises(NegutilError, match=f"'{said[0].text}' has one score for all images"):
        bias.items(said, np.zeros_like(texts), images, there)
    broken = texts.copy()
    broken[1] = np.nan
    with pytest.raises(NegutilError, match="sentence 1 are not finite"):
        bias.items(said, broken, images, there)
