from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from negutil.errors import NegutilError
from negutil.models import glasses_settings
from negutil.models.glasses import Frame

WIDTH = 16


def frame(seed: int = 0, **changes: Any) -> Frame:
    """A Frame in float64 whose every parameter is random, the biases of attention too."""
    torch.manual_seed(seed)
    made = Frame(glasses_settings.paper(WIDTH, **changes)).double().eval()
    for name, parameter in made.named_parameters():
        if name != "residual":
            nn.init.normal_(parameter, std=0.5)
    return made


def rows(count: int = 6, seed: int = 1) -> list[torch.Tensor]:
    """Texts, negated vectors and images, each [count, WIDTH]."""
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(count, WIDTH, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("fusion", ["attention", "encoder"])
def test_the_equations_by_torchs_modules(fusion: str) -> None:
    made, (texts, negated, images) = frame(fusion=fusion), rows()
    said, denied, seen = (functional.normalize(one, dim=-1) for one in (texts, negated, images))
    tokens = torch.stack([said, seen], dim=1)
    joint = made.fusion
    mixed = joint(tokens, tokens, tokens)[0] if isinstance(joint, nn.MultiheadAttention) else joint(tokens)
    fused = 0.1 * said + mixed[:, 0]
    context = made.context(fused.unsqueeze(1), denied.unsqueeze(1), denied.unsqueeze(1))[0].squeeze(1)
    expected = made.weigh(torch.cat([fused, context], dim=-1)).sigmoid().squeeze(-1)
    torch.testing.assert_close(made(texts, negated, images), expected)
    assert expected.std() > 0.01


def test_the_length_of_features_does_not_matter() -> None:
    made, (texts, negated, images) = frame(), rows()
    torch.testing.assert_close(made(texts, negated, images), made(5 * texts, 0.1 * negated, 7 * images))


def test_without_cross_modal_context_the_image_does_not_matter() -> None:
    for fusion in ("attention", "encoder"):
        made, (texts, negated, images) = frame(cross_modal=False, fusion=fusion), rows()
        assert torch.equal(made(texts, negated, images), made(texts, negated, images.flip(0)))
        assert made(texts, negated, images).std() > 0.01


def test_alpha_starts_at_a_tenth_and_stays_in_bounds_in_the_paper_alone() -> None:
    for bounded in (True, False):
        made = Frame(glasses_settings.paper(WIDTH, bounded_residual=bounded))
        assert made.alpha.item() == pytest.approx(0.1)
        nn.init.constant_(made.residual, 5.0)
        assert (made.alpha.item() <= 1) is bounded


def test_strength_has_the_range_of_its_function() -> None:
    logits = torch.linspace(-30, 30, 101, dtype=torch.float64)
    plain, gelu = (frame(strength=one).strength(logits) for one in ("sigmoid", "gelu of sigmoid"))
    assert plain.max().item() == pytest.approx(1.0)
    assert gelu.max().item() == pytest.approx((1 + math.erf(1 / math.sqrt(2))) / 2)
    assert (gelu.diff() >= 0).all()
    assert (gelu >= 0).all()


def test_a_constant_lambda_is_constant() -> None:
    assert torch.equal(frame(constant_lambda=0.3)(*rows()), torch.full((6,), 0.3, dtype=torch.float64))


def test_dropout_on_the_context_drops_whole_heads_and_scales_the_others() -> None:
    made, heads = frame(context_dropout=0.2, context_heads=4), 4
    made.context.out_proj = nn.modules.linear.NonDynamicallyQuantizableLinear(WIDTH, WIDTH, bias=False).double()
    nn.init.eye_(made.context.out_proj.weight)
    negated = rows(400)[1]
    still = made.contextual(negated).view(400, heads, -1)
    factor = made.train().contextual(negated).view(400, heads, -1) / still
    torch.testing.assert_close(factor, factor[..., :1].expand_as(factor))
    kept = factor[..., 0] > 0
    torch.testing.assert_close(factor[kept], torch.full_like(factor[kept], 1.25))
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.05)


def alone(made: Frame, inner: torch.Tensor) -> torch.Tensor:
    """Attention of each row to itself alone, by torch's module."""
    found: torch.Tensor = made.context(inner.unsqueeze(1), inner.unsqueeze(1), inner.unsqueeze(1))[0].squeeze(1)
    return found


def test_epsilon_shifts_every_component_of_the_negated_vector() -> None:
    made, (texts, negated, images) = frame(component_epsilon=0.01), rows()
    shifted = functional.normalize(negated, dim=-1) + 0.01
    expected = frame()
    torch.testing.assert_close(made.contextual(negated), alone(expected, shifted))
    assert not torch.allclose(made(texts, negated, images), expected(texts, negated, images))


def test_rows_that_do_not_fit_are_refused() -> None:
    texts, negated, images = rows()
    with pytest.raises(NegutilError, match=r"A Frame of width 16 got texts .*and an image for each"):
        frame()(texts, negated, images[:4])
    with pytest.raises(NegutilError, match="as many negated vectors as texts"):
        frame()(texts, negated[:4], images)
