from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import jaccard_score

from negutil.errors import NegutilError
from negutil.tasks import segmentation
from negutil.tasks.segmentation import BINARY, FOREGROUND, MIOU, THRESHOLDS

SHAPE = (3, 5, 4)
SCORES = arrays.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 0.1, 0.11, 0.5, 0.51, 0.98, 1.0]))
MASKS = arrays.arrays(np.bool_, SHAPE)


@given(SCORES, MASKS)
@settings(max_examples=40, deadline=None)
def test_pixels_are_counted_strictly_above_every_threshold(scores: np.ndarray, masks: np.ndarray) -> None:
    found = segmentation.overlap(torch.from_numpy(scores), masks)
    for place, threshold in enumerate(THRESHOLDS.astype(np.float32)):
        marked = scores > threshold
        counts = [marked & masks, marked & ~masks, ~marked & masks, ~marked & ~masks]
        expected = np.stack([each.sum(axis=(1, 2)) for each in counts], axis=1)
        np.testing.assert_array_equal(found.at(place), expected)


def test_there_are_the_49_thresholds_of_the_released_code() -> None:
    assert len(THRESHOLDS) == 49
    assert [segmentation.place_of(value) for value in (0.02, 0.1, 0.3, 0.5, 0.98)] == [0, 4, 14, 24, 48]
    with pytest.raises(NegutilError, match=r"There is no threshold 0\.25"):
        segmentation.place_of(0.25)


def test_overlap_is_that_of_scikit_learn_but_for_the_added_one() -> None:
    rng = np.random.default_rng(0)
    scores, masks = rng.random((6, 16, 16), dtype=np.float32), rng.random((6, 16, 16)) < 0.3
    counts = segmentation.overlap(torch.from_numpy(scores), masks).at(segmentation.place_of(0.5))
    union = counts[:, :3].sum(axis=1)
    found = segmentation.per_phrase(counts) * (union + 1) / union
    expected = [jaccard_score(mask.ravel(), score.ravel() > 0.5) for mask, score in zip(masks, scores, strict=True)]
    np.testing.assert_allclose(found, expected)


def test_pooled_metrics_weigh_pixels_and_not_phrases() -> None:
    large, small = [90.0, 10.0, 0.0, 900.0], [0.0, 0.0, 10.0, 990.0]
    pooled = segmentation.pooled(np.array([large, small]).sum(axis=0))
    assert pooled[FOREGROUND] == pytest.approx(90 / 111)
    assert pooled[BINARY] == pytest.approx((90 / 111 + 1890 / 1911) / 2)
    assert segmentation.per_phrase(np.array([large, small])).mean() == pytest.approx(90 / 101 / 2)


def test_a_phrase_without_a_mask_scores_nothing_and_divides_by_no_zero() -> None:
    found = segmentation.overlap(torch.zeros(1, 4, 4), np.zeros((1, 4, 4), bool))
    assert segmentation.curves(found)[MIOU].tolist() == [0.0] * 49


def test_the_best_threshold_separates_the_scores() -> None:
    mask = np.zeros((1, 8, 8), bool)
    mask[:, :4] = True
    scores = torch.where(torch.from_numpy(mask), 0.35, 0.25)
    best = segmentation.best(segmentation.overlap(scores, mask))
    assert {THRESHOLDS[place].round(2) for place in best.values()} == {0.26}


def test_scores_of_another_size_or_not_finite_are_refused() -> None:
    with pytest.raises(NegutilError, match="make them of one size"):
        segmentation.overlap(torch.zeros(1, 4, 4), np.zeros((1, 4, 5), bool))
    with pytest.raises(NegutilError, match="not finite"):
        segmentation.overlap(torch.full((1, 4, 4), torch.nan), np.zeros((1, 4, 4), bool))
