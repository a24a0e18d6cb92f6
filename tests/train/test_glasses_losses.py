"""The losses of CLIPGlasses against what they should be by hand, and where they are smallest."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from negutil.train import losses


def test_lens_is_similarity_and_alignment() -> None:
    target, images = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert losses.glasses_lens(torch.tensor([[3.0, 0.0]]), target, images, 1.0).item() == pytest.approx(0)
    assert losses.glasses_lens(torch.tensor([[0.0, 1.0]]), target, images, 0.5).item() == pytest.approx(1 + 0.5)
    opposite = losses.glasses_lens(torch.tensor([[-1.0, 0.0]]), target, images, 0.0)
    assert opposite.item() == pytest.approx(2)


def test_retrieval_adds_up_the_captions_of_a_picture() -> None:
    scores = torch.tensor([[1.0, 0.0], [2.0, 0.5], [0.0, 3.0]])
    own = torch.tensor([0, 0, 1])
    picture = torch.stack([-scores.log_softmax(1)[row, right] for row, right in enumerate(own)]).mean()
    share = scores.softmax(dim=0)
    caption = -torch.stack([(share[0, 0] + share[1, 0]).log(), share[2, 1].log()]).mean()
    assert losses.glasses_retrieval(scores, own).item() == pytest.approx(((picture + caption) / 2).item(), rel=1e-5)


@given(shift=st.floats(-20, 20))
def test_retrieval_does_not_mind_a_constant(shift: float) -> None:
    scores = torch.tensor([[1.0, 0.0], [2.0, 0.5]])
    own = torch.tensor([0, 1])
    assert losses.glasses_retrieval(scores + shift, own).item() == pytest.approx(
        losses.glasses_retrieval(scores, own).item(), abs=1e-4
    )


def test_ccneg_has_four_terms_and_the_released_code_three() -> None:
    torch.manual_seed(0)
    pictures, distractors = torch.randn(6, 3), torch.randn(6, 3)
    right = torch.arange(3)
    terms = [
        functional.cross_entropy(pictures.T, right),
        functional.cross_entropy(pictures[:3], right),
        functional.cross_entropy(distractors.T[:, [3, 4, 5, 0, 1, 2]], right),
        functional.cross_entropy(distractors[3:], right),
    ]
    assert losses.glasses_ccneg(pictures, distractors).item() == pytest.approx(
        sum(one.item() for one in terms) / 4, rel=1e-5
    )
    released = losses.glasses_ccneg(pictures, distractors, fourth_term=False).item()
    assert released == pytest.approx(sum(one.item() for one in terms[:3]) / 4, rel=1e-5)


def test_gate_is_binary_cross_entropy() -> None:
    found = losses.glasses_gate(torch.tensor([0.0, 0.0]), torch.tensor([True, False]))
    assert found.item() == pytest.approx(math.log(2))
