from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import erf, expit, softmax
from torch import nn

from negutil.errors import NegutilError
from negutil.models import glasses_settings
from negutil.models.glasses import Lens
from negutil.models.glasses_settings import GlassesConfig

WIDTH = 16
Array = NDArray[np.float64]


def lens(config: GlassesConfig | None = None, seed: int = 0) -> Lens:
    """A Lens in float64 whose every parameter is random, biases and norms too."""
    torch.manual_seed(seed)
    made = Lens(config or glasses_settings.paper(WIDTH)).double().eval()
    for name, parameter in made.named_parameters():
        if name != "log_scale":
            nn.init.normal_(parameter, std=0.5)
    return made


def inputs(count: int = 5, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (count, WIDTH), (count, 3, WIDTH)
    first, second = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return first, second


def norm(x: Array, layer: nn.LayerNorm) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def gelu(x: Array) -> Array:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def linear(x: Array, layer: nn.Linear) -> Array:
    bias = 0.0 if layer.bias is None else layer.bias.detach().numpy()
    return x @ layer.weight.detach().numpy().T + bias


def project(x: Array, module: Any) -> Array:
    return norm(gelu(linear(x, module[0])), module[2])


def test_the_equations_in_numpy() -> None:
    made = lens()
    texts, levels = inputs()
    final, layers = texts.numpy(), levels.numpy()
    queries = np.stack([project(layers[:, i], made.query[i]) for i in range(3)], axis=1)
    values = np.stack([project(final, made.value[i]) for i in range(3)], axis=1)
    matches = np.einsum("tld,td->tl", queries, project(final, made.key)) / np.sqrt(WIDTH)
    attended = np.einsum("tl,tld->td", softmax(matches + np.log([1.0, 0.8, 0.6]), axis=1), values)
    gate = expit(linear(attended, made.gate))
    ffn: Any = made.ffn
    hidden = gelu(norm(linear(gate * attended + (1 - gate) * final, ffn[0]), ffn[1]))
    expected = norm(linear(hidden, ffn[4]), ffn[5])
    np.testing.assert_allclose(made(texts, levels).detach().numpy(), expected, rtol=1e-6, atol=1e-6)


def test_attention_over_tokens_in_numpy() -> None:
    made = lens(glasses_settings.tokens(WIDTH))
    (texts, levels), (_, tokens) = inputs(), inputs(seed=2)
    tokens[0, 2] = 0  # the first text is a token shorter
    queries = np.stack([project(levels[:, i].numpy(), made.query[i]) for i in range(3)], axis=1)
    keys, values = project(tokens.numpy(), made.key), [project(tokens.numpy(), each) for each in made.value]
    scores = np.einsum("tid,tld->til", queries, keys) / np.sqrt(WIDTH) + np.log([1.0, 0.8, 0.6])[:, None]
    scores[0, :, 2] = -np.inf
    weights = softmax(scores, axis=(1, 2))
    expected = sum(np.einsum("tl,tld->td", weights[:, i], values[i]) for i in range(3))
    found = made.attended(texts, torch.cat([levels, tokens], dim=1))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-6, atol=1e-6)


def test_what_stands_after_a_text_s_end_does_not_matter_and_its_tokens_do() -> None:
    made = lens(glasses_settings.tokens(WIDTH))
    (texts, levels), (_, tokens) = inputs(), inputs(seed=2)
    whole = torch.cat([levels, tokens], dim=1)
    padded = torch.cat([whole, torch.zeros(5, 4, WIDTH, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(made(texts, padded), made(texts, whole))
    assert (made(texts, whole.index_fill(1, torch.tensor([4]), 0.0)) - made(texts, whole)).abs().max() > 1e-3
    with pytest.raises(NegutilError, match=r"\[T, 3 \+ tokens, 16\]"):
        made(texts, levels)


def test_a_text_has_its_vector_whatever_its_company() -> None:
    made, (texts, levels) = lens(), inputs()
    torch.testing.assert_close(made(texts, levels)[:2], made(texts[:2], levels[:2]))


def test_with_a_softmax_over_the_batch_company_matters() -> None:
    made = lens(glasses_settings.paper(WIDTH, softmax_over="batch"))
    texts, levels = inputs()
    assert (made(texts, levels)[:2] - made(texts[:2], levels[:2])).abs().max() > 1e-3


@pytest.mark.parametrize(("over", "dim"), [("levels", 1), ("batch", 0)])
def test_weights_are_shares_of_what_the_softmax_is_over(over: str, dim: int) -> None:
    weights = lens(glasses_settings.paper(WIDTH, softmax_over=over)).weights(torch.randn(4, 3, dtype=torch.float64))
    sums = weights.sum(dim=dim)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert (weights > 0).all()


def test_a_log_scale_of_one_multiplied_silences_the_first_level() -> None:
    """log 1 = 0: whatever the first level matches, its factor starts at 0, as in the released code."""
    made = lens(glasses_settings.paper(WIDTH, softmax_over="batch", log_scale="multiplied"))
    weights = made.weights(10 * torch.randn(4, 3, dtype=torch.float64))
    torch.testing.assert_close(weights[:, 0], torch.full((4,), 0.25, dtype=torch.float64))
    assert weights[:, 1].std() > 0.01


def test_the_papers_gate_starts_towards_the_text_and_the_released_one_does_not() -> None:
    torch.manual_seed(0)
    attended = torch.randn(100, WIDTH)
    paper, released = (Lens(make(WIDTH)) for make in (glasses_settings.paper, glasses_settings.released))
    vector, scalar = paper.openness(attended), released.openness(attended)
    assert vector.shape == (100, WIDTH)
    assert scalar.shape == (100, 1)
    assert vector.mean().item() == pytest.approx(expit(-2), abs=0.01)
    assert scalar.mean().item() == pytest.approx(expit(expit(-2)), abs=0.01)
    assert 0.5 < scalar.min() < scalar.max() < 0.732


def test_without_the_syntactic_stream_what_the_levels_say_does_not_matter() -> None:
    made = lens(glasses_settings.paper(WIDTH, syntactic=False))
    texts, levels = inputs()
    assert torch.equal(made(texts, levels), made(texts, levels.flip(0)))
    assert not torch.allclose(lens()(texts, levels), lens()(texts, levels.flip(0)))


def test_without_the_semantic_stream_the_text_gives_no_keys_and_values() -> None:
    made = lens(glasses_settings.paper(WIDTH, semantic=False))
    texts, levels = inputs()
    assert torch.equal(made.attended(texts, levels), made.attended(texts.flip(0), levels))
    assert not torch.allclose(made(texts, levels), made(texts.flip(0), levels)), "the residual is still the text"


def test_without_the_residual_gate_the_ffn_sees_what_was_attended_alone() -> None:
    made = lens(glasses_settings.paper(WIDTH, residual_gate=False))
    texts, levels = inputs()
    torch.testing.assert_close(made(texts, levels), made.ffn(made.attended(texts, levels)))


def test_every_parameter_learns() -> None:
    made, (texts, levels) = lens(), inputs()
    made(texts, levels)[:, 0].sum().backward()
    silent = [name for name, parameter in made.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert silent == []


@pytest.mark.parametrize(
    ("texts", "levels"), [((5, 8), (5, 3, 8)), ((5, WIDTH), (5, 2, WIDTH)), ((5, WIDTH), (4, 3, WIDTH))]
)
def test_shapes_that_do_not_fit_are_refused(texts: tuple[int, ...], levels: tuple[int, ...]) -> None:
    with pytest.raises(NegutilError, match=r"A Lens of width 16 got texts \[5, .*give \[T, 16\] and \[T, 3, 16\]"):
        Lens(glasses_settings.paper(WIDTH))(torch.zeros(texts), torch.zeros(levels))
