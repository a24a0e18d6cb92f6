from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from negutil.captions import exclusion as builder
from negutil.captions.exclusion import ALONE, BOTH, ExclusionQuery
from negutil.errors import NegutilError
from negutil.models import loader, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.statistics import Floats
from negutil.tasks import exclusion


class Known(Scorer):
    """Scores by features that are known for every text."""

    def __init__(self, tower: LoadedModel, features: dict[str, np.ndarray]) -> None:
        self.name, self.tower, self.features = "known", tower, features

    def paired(self, texts: Sequence[str], images: np.ndarray) -> Floats:
        return scorer.paired_cosines(np.stack([self.features[text] for text in texts]), images)

    def matrix(self, texts: Sequence[str], images: np.ndarray) -> Floats:
        return scorer.cosines(np.stack([self.features[text] for text in texts]), images).astype(float)


def world(n: int = 240) -> tuple[list[ExclusionQuery], dict[str, np.ndarray]]:
    """Three things that are in a picture independently of each other, and every query about them."""
    rng = np.random.default_rng(0)
    there = {noun: rng.random(n) < 0.5 for noun in ("cat", "dog", "car")}
    return builder.queries(there, minimum=20), there


def pictures(there: dict[str, np.ndarray]) -> np.ndarray:
    """Features with one direction per thing, a common one, and some noise; L2-normalised."""
    rng = np.random.default_rng(1)
    shown = np.column_stack([*there.values(), np.ones(len(there["cat"]))])
    rows = np.concatenate([shown, 0.1 * rng.normal(size=(len(shown), 4))], axis=1)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def texts(queries: list[ExclusionQuery], there: dict[str, np.ndarray], excluded: float) -> np.ndarray:
    """Text features that want X and weigh Y by ``excluded`` where the query denies it."""
    nouns = list(there)
    rows = np.zeros((len(queries), len(nouns) + 5))
    for row, query in zip(rows, queries, strict=True):
        row[nouns.index(query.wanted)] = 1
        row[nouns.index(query.excluded)] = excluded if query.cue else query.form == BOTH
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def value(table: pd.DataFrame, form: str, metric: str) -> float:
    found = table[(table["form"] == form) & (table["metric"] == metric)]["value"]
    return float(found.item())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_average_precision_agrees_with_scikit_learn_where_there_are_no_ties(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores, right = rng.permutation(n)[None].astype(float), rng.random((1, n)) < 0.5
    right[0, 0] = True
    expected = average_precision_score(right[0], scores[0])
    assert exclusion.average_precision(scores, right)[0] == pytest.approx(expected)


def test_ties_are_no_wins() -> None:
    right = np.array([[True, False, False, True]])
    # Everything ties: the right ones come third and fourth.
    assert exclusion.average_precision(np.zeros((1, 4)), right)[0] == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert exclusion.auc(np.zeros((1, 4)), right, ~right)[0] == 0.5
    assert np.isnan(exclusion.average_precision(np.zeros((1, 4)), np.zeros((1, 4), bool))[0])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_auc_agrees_with_scikit_learn_over_the_pictures_that_count(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores, group = rng.integers(0, 6, n).astype(float), rng.integers(0, 3, n)
    group[:2] = 0, 1
    expected = roc_auc_score(group[group < 2] == 1, scores[group < 2])
    found = exclusion.auc(scores[None], (group == 1)[None], (group == 0)[None])
    assert found[0] == pytest.approx(expected)


def test_expected_average_precision_is_the_mean_over_all_rankings() -> None:
    for n, r in ((1, 1), (4, 1), (5, 2), (6, 4), (6, 6)):
        rankings = [np.isin(np.arange(n), places) for places in itertools.combinations(range(n), r)]
        scores = np.tile(-np.arange(n, dtype=float), (len(rankings), 1))
        exact = exclusion.average_precision(scores, np.array(rankings)).mean()
        assert exclusion.expected_average_precision(np.array(r), np.array(n)) == pytest.approx(exact)


def test_best_takes_the_earlier_of_equals() -> None:
    images = np.array([[0, 1], [1, 0], [1, 0], [0.6, 0.8]], np.float32)
    assert exclusion.best(np.array([[1, 0]], np.float32), images, 3).tolist() == [[1, 2, 3]]


def test_any_scorer_can_be_asked_and_areas_alone(tmp_path: Path) -> None:
    queries, there = world()
    said, images = texts(queries, there, -0.5), pictures(there)
    asked = Known(
        loader.load_entry(model_files.write(tmp_path)),
        {query.text: row for query, row in zip(queries, said, strict=True)},
    )
    expected = exclusion.items(queries, said, images, there)
    assert exclusion.areas(asked, queries, images, there) == pytest.approx(expected["auc"].to_numpy(), abs=1e-12)
    with pytest.raises(NegutilError, match="labels of 'dog' do not fit"):
        exclusion.areas(asked, queries, images, there | {"dog": np.ones(3, bool)})
    broken = Known(asked.tower, {text: np.full_like(row, np.nan) for text, row in asked.features.items()})
    with pytest.raises(NegutilError, match="query 0 are not finite"):
        exclusion.areas(broken, queries, images, there)


def test_items_hold_the_counts_and_both_chance_levels() -> None:
    queries, there = world()
    found = exclusion.items(queries, texts(queries, there, -0.5), pictures(there), there)
    assert len(found) == len(queries)
    row = found.iloc[5]
    right = there[row["wanted"]] & ~there[row["excluded"]]
    both = there[row["wanted"]] & there[row["excluded"]]
    assert (row["pictures_right"], row["pictures_both"]) == (right.sum(), both.sum())
    assert row["ap_chance"] < row["ap_knowing_x"] < 1
    scores = texts(queries, there, -0.5)[5] @ pictures(there).T
    assert row["ap"] == pytest.approx(average_precision_score(right, scores))
    assert row["ap_of_x"] == pytest.approx(average_precision_score(there[row["wanted"]], scores))
    assert row["auc"] == pytest.approx(roc_auc_score(right[right | both], scores[right | both]))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, there = world()
    whole = exclusion.items(queries, texts(queries, there, 1.0), pictures(there), there)
    monkeypatch.setattr(exclusion, "CHUNK", 7 * 240)
    parts = exclusion.items(queries, texts(queries, there, 1.0), pictures(there), there)
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-5)


def test_who_excludes_wins_and_who_takes_no_for_a_wish_falls_below_one_half() -> None:
    queries, there = world()
    images = pictures(there)
    knows, wishes = (
        exclusion.summary(exclusion.items(queries, texts(queries, there, weight), images, there), resamples=200)
        for weight in (-1.0, 1.0)
    )
    assert value(knows, exclusion.ALL, "AUC") > 0.99
    assert value(knows, exclusion.ALL, "mAP") > 0.95
    assert value(wishes, exclusion.ALL, "AUC") < 0.01
    assert value(wishes, exclusion.ALL, "share with AUC below 1/2") == 1
    assert value(wishes, exclusion.ALL, "AUC minus X and Y") == pytest.approx(0)
    assert value(wishes, ALONE, "AUC") > value(wishes, exclusion.ALL, "AUC")
    assert value(knows, exclusion.HELD_OUT, "AUC minus X alone") > 0


def test_summary_has_intervals_over_pairs_and_differences_of_means() -> None:
    queries, there = world()
    items = exclusion.items(queries, texts(queries, there, 0.3), pictures(there), there)
    table = exclusion.summary(items, resamples=200)
    forms = {query.form for query in queries}
    assert set(table["form"]) == forms | {exclusion.ALL, exclusion.TRAINED, exclusion.HELD_OUT}
    assert (table["n"] == 6).all()
    assert (table["over"] == "clusters").all()
    assert ((table["low"] <= table["value"] + 1e-12) & (table["value"] <= table["high"] + 1e-12)).all()
    one = table[table["form"] == "X, but no Y"].set_index("metric")["value"]
    own = items[items["form"] == "X, but no Y"]
    assert one["mAP"] == pytest.approx(own["ap"].mean())
    assert one["mAP over chance"] == pytest.approx(own["ap"].mean() - own["ap_chance"].mean())
    alone = items[items["form"] == ALONE]["auc"].mean()
    assert one["AUC minus X alone"] == pytest.approx(own["auc"].mean() - alone)
    assert table[table["form"] == exclusion.HELD_OUT]["held_out"].all()
    pd.testing.assert_frame_equal(table, exclusion.summary(items, resamples=200))


def test_bad_input_is_a_sentence() -> None:
    queries, there = world()
    words, images = texts(queries, there, 1.0), pictures(there)
    with pytest.raises(NegutilError, match="encode a text for each query"):
        exclusion.items(queries, words[:-1], images, there)
    with pytest.raises(NegutilError, match="The labels of 'dog' do not fit the 240 images"):
        exclusion.items(queries, words, images, there | {"dog": np.ones(3, bool)})
    broken = images.copy()
    broken[7, 0] = np.nan
    with pytest.raises(NegutilError, match="picture 7 are not finite"):
        exclusion.items(queries, words, broken, there)
    items = exclusion.items(queries, words, images, there)
    with pytest.raises(NegutilError, match="lack a wording of some pair"):
        exclusion.summary(items.iloc[1:])
