from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from negutil.errors import NegutilError
from negutil.models import glasses, glasses_settings
from negutil.models.glasses import Frame
from negutil.models.glasses_settings import ABLATIONS, DIFFERENCES

WIDTH = 24
Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def frame(seed: int, width: int = WIDTH, spread: float = 0.5, **changes: Any) -> Frame:
    """A Frame in float64 whose every parameter is random, the biases of attention too."""
    torch.manual_seed(seed)
    made = Frame(glasses_settings.paper(width, **changes)).double().eval()
    for name, parameter in made.named_parameters():
        if name != "residual":
            nn.init.normal_(parameter, std=spread)
    return made


def features(texts: int, images: int, width: int = WIDTH, seed: int = 1) -> Three:
    """Texts, negated vectors and images."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2 * texts + images, width, generator=generator, dtype=torch.float64)
    return drawn[:texts], drawn[texts : 2 * texts], drawn[2 * texts :]


def naive(made: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """lambda [T, M] by torch.nn.MultiheadAttention on every pair, written out from the equations."""
    assert isinstance(made.fusion, nn.MultiheadAttention)
    said, denied, seen = (functional.normalize(one, dim=-1) for one in (texts, negated, images))
    tokens = torch.stack([said.repeat_interleave(len(seen), 0), seen.repeat(len(said), 1)], dim=1)
    fused = made.alpha * tokens[:, 0] + made.fusion(tokens, tokens, tokens)[0][:, 0]
    key = denied.repeat_interleave(len(seen), 0).unsqueeze(1)
    context = made.context(fused.unsqueeze(1), key, key)[0].squeeze(1)
    return made.weigh(torch.cat([fused, context], dim=-1)).sigmoid().view(len(said), len(seen))


@settings(max_examples=40, deadline=None)
@given(
    heads=st.sampled_from([(1, 1), (2, 4), (8, 4), (4, 8)]),
    head_width=st.integers(1, 5),
    counts=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    chunk=st.integers(1, 12),
    spread=st.sampled_from([0.05, 0.5, 2.0]),
)
def test_it_is_attention(
    heads: tuple[int, int], head_width: int, counts: tuple[int, int], chunk: int, spread: float
) -> None:
    width, seed = 8 * head_width, 100 * chunk + counts[0]
    made = frame(seed, width, spread, fusion_heads=heads[0], context_heads=heads[1])
    given_features = features(*counts, width, seed)
    with torch.no_grad():
        found = glasses.lambdas(made, *given_features, chunk=chunk)
        torch.testing.assert_close(found, naive(made, *given_features), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 0.03)])
def test_lower_precision_stays_near_float64(dtype: torch.dtype, tolerance: float) -> None:
    made, inputs = frame(0), features(30, 40)
    exact = naive(made, *inputs)
    texts, negated, images = (one.to(dtype) for one in inputs)
    rounded = glasses.lambdas(made.to(dtype), texts, negated, images)
    assert rounded.dtype == dtype
    assert exact.std() > 0.1
    assert (rounded.double() - exact).abs().max() < tolerance


@pytest.mark.parametrize("chunk", [4, 100])
def test_gradients_are_those_of_attention(chunk: int) -> None:
    made, inputs = frame(0), features(7, 9)
    wanted = [*(one.requires_grad_() for one in inputs), *made.parameters()]
    towards = torch.randn(7, 9, dtype=torch.float64)
    ours = torch.autograd.grad((glasses.lambdas(made, *inputs, chunk=chunk) * towards).sum(), wanted)
    theirs = torch.autograd.grad((naive(made, *inputs) * towards).sum(), wanted)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "changes", [*DIFFERENCES.values(), *ABLATIONS.values(), {"fusion": "encoder", "cross_modal": False}]
)
def test_every_variant_gives_a_pair_what_it_has_alone(changes: dict[str, Any]) -> None:
    made, (texts, negated, images) = frame(0, **changes), features(5, 8)
    with torch.no_grad():
        found = glasses.lambdas(made, texts, negated, images, chunk=3)
        for column, image in enumerate(images):
            alone = made(texts, negated, image.expand_as(texts))
            torch.testing.assert_close(found[:, column], alone)


def test_encoder_layers_see_a_bounded_number_of_pairs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = frame(0, fusion="encoder"), features(5, 8)
    with torch.no_grad():
        whole = glasses.lambdas(made, *inputs)
        monkeypatch.setattr(glasses, "PAIRS", 7)
        torch.testing.assert_close(glasses.lambdas(made, *inputs), whole)


def test_no_texts_have_no_lambdas() -> None:
    assert glasses.lambdas(frame(0), *features(0, 4)).shape == (0, 4)
    assert glasses.lambdas(frame(0), *features(4, 0)).shape == (4, 0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    texts, negated, images = features(4, 6)
    with pytest.raises(NegutilError, match="as many negated vectors as texts"):
        glasses.lambdas(frame(0), texts, negated[:3], images)
    with pytest.raises(NegutilError, match="give rows of 24 numbers"):
        glasses.lambdas(frame(0), texts, negated, images[:, :5])


class _Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor of a block of code holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.untyped_storage().nbytes() // result.element_size())
        return result


def test_no_tensor_is_larger_than_the_result() -> None:
    """A tensor of a number for each pair and head would be 8 times as large, one of features 24 times."""
    made, inputs = frame(0), features(60, 70)
    with torch.no_grad(), _Largest() as seen:
        glasses.lambdas(made, *inputs, chunk=16)
    assert seen.numbers == 60 * 70
    with torch.no_grad(), _Largest() as seen:
        naive(made, *inputs)
    assert seen.numbers > 60 * 70 * WIDTH
