from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from negutil.errors import NegutilError
from negutil.tasks import probe


def example(n: int = 300) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores of three nouns that know the labels well, a little, and not at all, with ties."""
    rng = np.random.default_rng(0)
    labels = {noun: rng.random(n) < share for noun, share in (("cat", 0.5), ("owl", 0.1), ("car", 0.3))}
    strength = np.array([2.0, 0.7, 0.0])
    truth = np.column_stack(list(labels.values()))
    return np.round(truth * strength + rng.normal(size=truth.shape), 1), labels


def test_auc_agrees_with_scikit_learn() -> None:
    values, labels = example()
    found = probe.presence(values, labels)
    expected = [roc_auc_score(labels[noun], values[:, k]) for k, noun in enumerate(labels)]
    np.testing.assert_allclose(found.table["auc"], expected, atol=1e-12)
    assert found.mean.value == pytest.approx(np.mean(expected))
    assert found.table["noun"].tolist() == ["cat", "owl", "car"]
    assert found.table["positives"].tolist() == [int(flags.sum()) for flags in labels.values()]
    assert ((found.table["low"] < found.table["auc"]) & (found.table["auc"] < found.table["high"])).all()
    assert found.mean.low < found.mean.value < found.mean.high


def test_absence_is_the_mirror_image() -> None:
    values, labels = example()
    present, absent = probe.presence(values, labels), probe.presence(values, labels, absence=True)
    np.testing.assert_allclose(absent.table["auc"], 1 - present.table["auc"], atol=1e-12)


def test_a_model_that_overlooks_no_scores_near_zero_for_absence() -> None:
    labels = {"cat": np.array([True, True, False, False])}
    knows_cat = np.array([[0.9], [0.8], [0.2], [0.1]])
    assert probe.presence(knows_cat, labels).mean.value == 1
    assert probe.presence(knows_cat, labels, absence=True).mean.value == 0


def test_the_interval_of_the_mean_covers_the_truth() -> None:
    """With normal scores a distance d apart the true AUC is Phi(d / sqrt 2); about 95 of 100 intervals hold it."""
    from scipy.stats import norm

    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = {noun: rng.random(200) < 0.4 for noun in "ab"}
        truth = np.column_stack(list(labels.values()))
        mean = probe.presence(truth + rng.normal(size=truth.shape), labels, resamples=400, seed=seed).mean
        held += mean.low <= norm.cdf(1 / np.sqrt(2)) <= mean.high
    assert held >= 51


def test_prompts_have_the_right_article() -> None:
    assert probe.prompts(["cat", "owl"]) == ["a photo of a cat", "a photo of an owl"]
    assert probe.prompts(["owl"], probe.NEGATED) == ["a photo with no owl"]


def test_scores_are_cosines() -> None:
    texts, images = np.array([[1, 0]], np.float32), np.array([[0.6, 0.8], [1, 0]], np.float32)
    np.testing.assert_allclose(probe.cosines(texts, images), [[0.6], [1.0]], atol=1e-7)


def test_bad_input_is_a_sentence() -> None:
    values, labels = example(20)
    with pytest.raises(NegutilError, match="Presence needs a score"):
        probe.presence(values[:0], {noun: flags[:0] for noun, flags in labels.items()})
    with pytest.raises(NegutilError, match="Presence needs a score"):
        probe.presence(values[:, :2], labels)
    with pytest.raises(NegutilError, match="Presence needs a score"):
        probe.presence(np.zeros((0, 0)), {})
    with pytest.raises(NegutilError, match="No image has 'owl'"):
        probe.presence(values, labels | {"owl": np.zeros(20, bool)})
    with pytest.raises(NegutilError, match="Every image has 'owl'"):
        probe.presence(values, labels | {"owl": np.ones(20, bool)})
    broken = values.copy()
    broken[3, 2] = np.inf
    with pytest.raises(NegutilError, match="scores for 'car' are not finite"):
        probe.presence(broken, labels)
