from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from negutil.captions import claim_items
from negutil.captions.claim_items import ClaimSet
from negutil.errors import NegutilError
from negutil.tasks import true_false
from negutil.tasks.true_false import Thresholds

NOUNS = ("cat", "dog", "car", "bus", "tree")


def example(n: int = 200, seed: int = 0) -> tuple[ClaimSet, np.ndarray]:
    """Claims about pictures with random things, and features of the pictures: a direction per thing and one for all."""
    rng = np.random.default_rng(seed)
    there = {noun: rng.random(n) < 0.4 for noun in NOUNS}
    rows = np.column_stack([*there.values(), np.full(n, 2.0)]) + 0.05 * rng.normal(size=(n, 6))
    images = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return claim_items.objects(there, seed=seed), images


def texts(claims: ClaimSet, negation: float) -> np.ndarray:
    """Text features that want the subject, times ``negation`` where the claim is negated, and the direction of all."""
    rows = np.zeros((len(claims.claims), 6), np.float32)
    column = claims.claims["subject"].map({noun: number for number, noun in enumerate(NOUNS)})
    rows[np.arange(len(rows)), column] = np.where(claims.claims["negated"], negation, 1)
    rows[:, -1] = 1 - 0.35 * (rows.sum(axis=1) > 0)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def judged(negation: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    validation, pictures = example(seed=1)
    at = true_false.thresholds(true_false.score(validation, texts(validation, negation), pictures))
    claims, images = example(seed=0)
    items = true_false.items(true_false.score(claims, texts(claims, negation), images), at)
    return items, true_false.summary(items, resamples=200)


def value(table: pd.DataFrame, metric: str) -> float:
    return float(table.set_index("metric")["value"][metric])


def test_the_score_is_the_cosine_of_sentence_and_picture() -> None:
    claims, images = example()
    words = texts(claims, 1.0)
    scored = true_false.score(claims, words, images)
    assert scored["score"].iloc[3] == pytest.approx(float(words[3] @ images[claims.claims["picture"].iloc[3]]))
    assert set(scored["domain"]) == {"objects"}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=20))
def test_no_threshold_is_better_than_the_chosen_one(claims: list[tuple[int, bool]]) -> None:
    scored = pd.DataFrame(claims, columns=["score", "true"]).astype({"score": float})
    at = true_false.threshold(scored)

    def right(edge: float) -> int:
        return int(((scored["score"] > edge) == scored["true"]).sum())

    assert right(at) == max(right(edge / 2) for edge in range(-1, 15))


def test_a_hand_worked_threshold() -> None:
    scored = pd.DataFrame({"score": [0.1, 0.2, 0.4, 0.5], "true": [False, False, True, True]})
    assert true_false.threshold(scored) == pytest.approx(0.3)
    same = pd.DataFrame({"score": [0.3, 0.3], "true": [False, True]})
    assert abs(true_false.threshold(same) - 0.3) < 1e-5
    with pytest.raises(NegutilError, match="no validation claims"):
        true_false.threshold(scored.iloc[:0])


def test_a_model_that_understands_negation_has_no_gap() -> None:
    _, table = judged(negation=-1.0)
    assert value(table, "accuracy") > 0.9
    assert value(table, "same sentence") > 0.95
    assert value(table, "AUC on negated") > 0.95
    assert abs(value(table, "gap")) < 0.1


def test_a_model_that_overlooks_negation_gets_one_half_and_a_gap() -> None:
    items, table = judged(negation=1.0)
    assert value(table, "calibrated accuracy on affirmative") > 0.9
    assert value(table, "calibrated accuracy") == pytest.approx(0.5, abs=0.05)
    assert value(table, "calibrated gap") > 0.4
    assert value(table, "AUC on negated") < 0.1
    assert value(table, "same sentence on negated") < 0.1
    assert len(items) == table.set_index("metric")["n"]["accuracy"]


def test_numbers_agree_with_their_definitions() -> None:
    items, table = judged(negation=0.5)
    negated, true = items["negated"].to_numpy(), items["true"].to_numpy()
    assert value(table, "accuracy") == pytest.approx(items["right"].mean())
    assert value(table, "accuracy on affirmative") == pytest.approx(items[~negated]["right"].mean())
    assert value(table, "gap") == pytest.approx(items[~negated]["right"].mean() - items["right"].mean())
    calibrated = items["calibrated_right"]
    assert value(table, "calibrated gap") == pytest.approx(calibrated[~negated].mean() - calibrated.mean())
    assert value(table, "accuracy on negated, true") == pytest.approx(items[negated & true]["right"].mean())
    assert value(table, "called true on negated") == pytest.approx(items[negated]["said_true"].mean())
    for kind, chosen in (("", true | ~true), (" on affirmative", ~negated), (" on negated", negated)):
        expected = roc_auc_score(true[chosen], items["score"][chosen])
        assert value(table, f"AUC{kind}") == pytest.approx(expected)
    assert table.set_index("metric")["n"]["AUC on negated"] == negated.sum()
    assert (table["over"] == "clusters").all()
    bounded = table.dropna(subset=["low"])
    assert ((bounded["low"] <= bounded["value"]) & (bounded["value"] <= bounded["high"])).all()


def test_chance_levels() -> None:
    _, table = judged(negation=1.0)
    chance = table.set_index("metric")["chance"]
    assert chance["gap"] == 0
    assert chance["accuracy"] == chance["AUC on negated"] == 0.5
    assert np.isnan(chance["called true"])
    assert np.isnan(chance["accuracy on negated, true"])


def test_a_tie_between_the_two_pictures_of_a_sentence_is_lost() -> None:
    rows = {"pair": [0, 0], "true": [True, False], "negated": [False, False], "score": [0.5, 0.5]}
    items = true_false.items(pd.DataFrame(rows), Thresholds(0.5, 0.4))
    assert items["same_sentence"].tolist() == [False, False]
    assert items["right"].tolist() == [False, True]
    assert items["calibrated_right"].tolist() == [True, False]


def test_recall_counts_its_own_and_any_true_partner() -> None:
    claims, images = example()
    found = true_false.recall(claims, texts(claims, -1.0), images)
    assert len(found) == claims.claims["true"].sum()
    assert found["text_to_image_true"].mean() > 0.95
    assert (found["text_to_image_own"] <= found["text_to_image_true"]).all()
    assert (found["image_to_text_own"] <= found["image_to_text_true"]).all()
    overlooked = true_false.recall(claims, texts(claims, 1.0), images)
    assert overlooked[overlooked["negated"]]["text_to_image_true"].mean() < 0.1


def test_hand_worked_recall() -> None:
    frame = pd.DataFrame(
        [
            (0, 0, "a cat", "cat", False, True, "X", "", False),
            (0, 1, "a cat", "cat", False, False, "X", "", False),
            (1, 3, "no cat", "cat", True, False, "no X", "no", False),
            (1, 2, "no cat", "cat", True, True, "no X", "no", False),
        ],
        columns=list(claim_items.COLUMNS),
    )
    present = np.array([[True], [False], [False], [True]])
    claims = ClaimSet("objects", frame, claim_items.Known(("cat",), present, ~present))
    images = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32)
    words = np.array([[1, 0], [1, 0], [0.6, 0.8], [0.6, 0.8]], np.float32)
    found = true_false.recall(claims, words, images)
    assert found["text_to_image_own"].tolist() == [True, True]
    assert found["text_to_image_chance"].tolist() == [0.5, 0.5]
    assert found["image_to_text_true"].tolist() == [True, True]
    table = true_false.recall_summary(found, resamples=50).set_index(["kind", "metric"])
    assert table.loc[("all", "R@1 text to image"), "value"] == 1
    assert table.loc[("all", "R@1 text to image"), "chance"] == 0.5
    assert table.loc[("negated", "R@1 image to text, any true"), "n"] == 1
    same = np.ones_like(words)
    assert not true_false.recall(claims, same, np.ones_like(images))["text_to_image_own"].any()


def test_bad_input_is_a_sentence() -> None:
    claims, images = example()
    words = texts(claims, 1.0)
    with pytest.raises(NegutilError, match="claims about objects have 3 texts"):
        true_false.score(claims, words[:3], images)
    with pytest.raises(NegutilError, match="encode each claim's sentence and every image"):
        true_false.recall(claims, words, images[:5])
    broken = words.copy()
    broken[2, 0] = np.inf
    with pytest.raises(NegutilError, match="claim about objects 2 are not finite"):
        true_false.score(claims, broken, images)
