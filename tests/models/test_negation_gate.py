from __future__ import annotations

import torch
from torch.nn import functional

from negutil.models.glasses import NegationGate

WIDTH = 16


def test_a_gate_learns_a_direction_of_the_features() -> None:
    """Texts with a negation lie on one side of a plane; held-out ones are told apart after a short training."""
    torch.manual_seed(0)
    texts, direction = torch.randn(600, WIDTH), torch.randn(WIDTH)
    negated = texts @ direction > 0
    gate = NegationGate(WIDTH)
    optimizer = torch.optim.AdamW(gate.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(gate(texts[:500]), negated[:500].float()).backward()
        optimizer.step()
    right = gate.eval().mask(texts[500:]) == negated[500:]
    assert right.float().mean() > 0.9


def test_the_mask_is_the_probability_above_the_threshold() -> None:
    torch.manual_seed(0)
    gate, texts = NegationGate(WIDTH).eval(), torch.randn(50, WIDTH)
    likely = gate(texts).sigmoid()
    for threshold in (0.4, 0.5, 0.6):
        assert torch.equal(gate.mask(texts, threshold), likely > threshold)
    assert gate.mask(texts).dtype == torch.bool
    assert not gate.mask(texts).requires_grad


def test_size_is_the_published_one() -> None:
    sizes = [tuple(parameter.shape) for parameter in NegationGate(512).parameters()]
    assert sizes == [(256, 512), (256,), (256,), (256,), (1, 256), (1,)]
