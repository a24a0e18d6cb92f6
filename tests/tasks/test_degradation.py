from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import pictures

from negutil.tasks import picture_judge
from negutil.tasks.picture_judge import as_input


def some(count: int = 6) -> torch.Tensor:
    return as_input(torch.from_numpy(pictures(count)))


def degraded(condition: str, seed: int = 0) -> torch.Tensor:
    return picture_judge.degrade(some(), condition, torch.Generator().manual_seed(seed))


@given(st.sampled_from(picture_judge.CONDITIONS), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_they_stay_pictures_and_follow_from_the_seed(condition: str, seed: int) -> None:
    found = degraded(condition, seed)
    assert found.shape == some().shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(found, degraded(condition, seed))


@pytest.mark.parametrize("condition", [name for name in picture_judge.CONDITIONS if name != picture_judge.CLEAN])
def test_they_are_changed_but_not_beyond_recognition(condition: str) -> None:
    difference = (degraded(condition) - some()).abs().mean()
    assert 0.001 < difference < 0.2


def test_clean_ones_stay_as_they_are() -> None:
    assert torch.equal(degraded(picture_judge.CLEAN), some())


def test_coarse_patches_keep_what_is_even_and_lose_what_is_fine() -> None:
    even = torch.full((1, 3, 64, 64), 0.3)
    board = (torch.arange(64)[:, None] + torch.arange(64)[None, :]).remainder(2).float().expand(1, 3, 64, 64)
    source = torch.Generator().manual_seed(0)
    assert torch.allclose(picture_judge.degrade(even, picture_judge.COARSE, source), even, atol=1e-5)
    assert picture_judge.degrade(board, picture_judge.COARSE, source).std() < 0.7 * board.std()
