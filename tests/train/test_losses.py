from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from negutil.models import architectures
from negutil.train import losses

SCALE = 7.0
Array = NDArray[np.float64]


def features(seed: int, n: int = 4, dimensions: int = 6) -> Array:
    raw = np.random.default_rng(seed).normal(size=(n, dimensions))
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def tensors(*arrays: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def surprise(queries: Array, gallery: Array) -> float:
    """Mean of -log softmax at the diagonal, by scipy."""
    return -float(log_softmax(SCALE * queries @ gallery.T, axis=1).diagonal().mean())


def test_info_nce_is_open_clips_loss() -> None:
    images, captions = tensors(features(0), features(1))
    reference = architectures.open_clip().ClipLoss()(images, captions, torch.tensor(SCALE))
    assert losses.info_nce(images, captions, torch.tensor(SCALE)).item() == pytest.approx(reference.item(), rel=1e-12)


def test_con_clip_is_the_mean_of_three_cross_entropies() -> None:
    images, distractors, captions, negated = (features(seed) for seed in range(4))
    expected = (
        surprise(images, np.concatenate([captions, negated]))
        + surprise(captions, np.concatenate([images, distractors]))
        + surprise(distractors, np.concatenate([negated, captions]))
    ) / 3
    shown, other, said, denied = tensors(images, distractors, captions, negated)
    found = losses.con_clip(shown, other, said, denied, torch.tensor(SCALE))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_con_clip_by_hand() -> None:
    """One example, so each softmax is over two: image and caption agree, distractor and negated caption agree."""
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    found = losses.con_clip(east, north, east, north, torch.tensor(2.0))
    assert found.item() == pytest.approx(np.log(1 + np.exp(-2)), rel=1e-6)
    confused = losses.con_clip(east, north, east, east, torch.tensor(2.0))
    by_term = [np.log(2), np.log(1 + np.exp(-2)), np.log(2)]
    assert confused.item() == pytest.approx(np.mean(by_term), rel=1e-6)


def test_neg_clip_adds_negatives_for_images_alone() -> None:
    images, captions, negatives = (features(seed) for seed in range(3))
    expected = (surprise(images, np.concatenate([captions, negatives])) + surprise(captions, images)) / 2
    shown, said, swapped = tensors(images, captions, negatives)
    found = losses.neg_clip(shown, said, swapped, torch.tensor(SCALE))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_triplet_takes_the_hardest_wrong_image() -> None:
    captions = torch.eye(3)
    images = torch.tensor([[0.9, 0.8, 0.1], [0.8, 0.5, 0.2], [0.1, 0.6, 0.7]])
    # caption 0: right 0.9, hardest 0.8 -> 0.1; caption 1: right 0.5, hardest 0.8 -> 0.5; caption 2: 0.7, 0.2 -> 0
    assert losses.triplet(images, captions, 0.2).item() == pytest.approx(0.6, abs=1e-6)


@pytest.mark.parametrize(("ahead", "expected"), [(0.05, 0.05), (0.1, 0.0), (0.4, 0.0), (0.6, 0.0), (0.7, 0.1)])
def test_only_what_lies_outside_the_bounds_costs(ahead: float, expected: float) -> None:
    assert losses.bounded(torch.tensor([ahead]), (0.1, 0.6)).item() == pytest.approx(expected, abs=1e-6)


def test_clip_bnl_by_hand() -> None:
    """One pair with cos(image, caption) = 1, cos(image, negated) = cos(caption, negated) = 0.6: ahead by 0.4."""
    image, negated = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    assert losses.clip_bnl(image, image, negated).item() == pytest.approx(1e-3 * 0.1, rel=1e-4)
    tight = losses.clip_bnl(image, image, negated, image_bounds=(0.5, 0.9), text_bounds=(0.1, 0.5), weight=2.0)
    assert tight.item() == pytest.approx(2 * 0.1, rel=1e-5)


def test_clip_bnl_sums_its_parts_over_the_batch() -> None:
    images, captions, negated = (features(seed) for seed in range(3))
    right = (images * captions).sum(axis=1)
    shown, said, denied = tensors(images, captions, negated)
    expected = losses.triplet(shown, said, 0.2).item()
    for other, (bottom, upper) in ((images, (0.1, 0.6)), (captions, (0.1, 0.3))):
        ahead = right - (other * negated).sum(axis=1)
        expected += 1e-3 * float(np.maximum(bottom - ahead, 0).sum() + np.maximum(ahead - upper, 0).sum())
    assert losses.clip_bnl(shown, said, denied).item() == pytest.approx(expected, rel=1e-12)


def test_multiple_choice_scores_each_image_against_its_own_options() -> None:
    images, options, correct = features(0), features(1, 12).reshape(4, 3, 6), np.array([0, 2, 1, 1])
    logits = [SCALE * options[i] @ images[i] for i in range(4)]
    expected = -np.mean([log_softmax(logits[i])[correct[i]] for i in range(4)])
    (shown, offered), right = tensors(images, options), torch.from_numpy(correct)
    found = losses.multiple_choice(shown, offered, right, torch.tensor(SCALE))
    assert found.item() == pytest.approx(expected, rel=1e-12)
    raw = losses.multiple_choice(10 * shown, offered, right, torch.tensor(SCALE / 10, dtype=torch.float64))
    assert raw.item() == pytest.approx(expected, rel=1e-12), "nothing is normalised on the way"


def test_alpha_weighs_the_two_losses() -> None:
    assert losses.weighted(torch.tensor(2.0), torch.tensor(5.0), 0.99).item() == pytest.approx(2.03)
    assert losses.weighted(torch.tensor(2.0), torch.tensor(5.0), 1.0).item() == 2.0
