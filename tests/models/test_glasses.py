from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from negutil.errors import NegutilError
from negutil.models import glasses_settings
from negutil.models.glasses import Glasses, random_directions
from negutil.models.glasses_settings import ABLATIONS, DIFFERENCES, GlassesConfig

WIDTH, SCALE = 16, 50.0
VARIANTS: dict[str, dict[str, Any]] = {"paper": {}} | DIFFERENCES | ABLATIONS


def features(texts: int = 6, images: int = 6, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Texts, levels and images, positively related, so that cosines with T_neg are of both signs."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (texts, WIDTH), (texts, 3, WIDTH), (images, WIDTH)
    first, second, third = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return first, second, third


def glasses(config: GlassesConfig | None = None, **changes: Any) -> Glasses:
    """Glasses in float64 whose matrices and biases are random."""
    torch.manual_seed(0)
    made = Glasses(config or glasses_settings.paper(WIDTH, **changes), SCALE).double().eval()
    for name, parameter in made.named_parameters():
        if name.endswith(("weight", "bias")):
            nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():  # about half of the texts are masked
        made.gate.layers[-1].bias -= made.gate(features(100)[0]).median()
    return made


def cosines(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T


def test_the_equations_of_the_score() -> None:
    made, (texts, levels, images) = glasses(), features(5, 7)
    mask = torch.tensor([True, False, True, True, False])
    negated = made.lens(texts, levels)
    strength = torch.stack([made.frame(texts, negated, image.expand_as(texts)) for image in images], dim=1)
    penalty = strength * SCALE * cosines(negated, images).clamp(min=0)
    expected = SCALE * cosines(texts, images) - mask.double().unsqueeze(1) * penalty
    torch.testing.assert_close(made(texts, levels, images, mask=mask, chunk=3), expected)
    assert (penalty[mask] > 0).any()
    assert (penalty[mask] == 0).any()


def test_a_text_that_is_not_masked_keeps_the_score_of_clip() -> None:
    made, (texts, levels, images) = glasses(), features(40, 7)
    mask = made.gate.mask(texts)
    assert 0 < mask.sum() < 40
    scores, base = made(texts, levels, images), SCALE * cosines(texts, images)
    torch.testing.assert_close(scores[~mask], base[~mask])
    assert (scores <= base + 1e-9).all()
    assert (scores[mask] < base[mask] - 0.1).any()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_pair_scores_the_same_alone_and_in_the_matrix(name: str) -> None:
    made, (texts, levels, images) = glasses(**VARIANTS[name]), features()
    found = made(texts, levels, images, chunk=4).diagonal()
    torch.testing.assert_close(found, made.paired(texts, levels, images))


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in ("paper", "mask in training")])
def test_every_row_of_a_table_changes_scores(name: str) -> None:
    """Epsilon by about 1e-8, as it should; the others by more than rounding."""
    texts, levels, images = features(80, 80)
    torch.manual_seed(0)
    before = glasses(mask="always")
    after = glasses(mask="always", **VARIANTS[name])
    shapes = {key: value.shape for key, value in after.state_dict().items()}
    shared = {key: value for key, value in before.state_dict().items() if shapes.get(key) == value.shape}
    after.load_state_dict(shared, strict=False)
    if name == "dropout on the context":
        before.train()
        after.train()
        before.lens.eval()
        after.lens.eval()
    change = (after(texts, levels, images) - before(texts, levels, images)).abs().max()
    assert change > (1e-10 if "epsilon" in name else 1e-3)


def test_the_whole_released_variant() -> None:
    made, (texts, levels, images) = glasses(glasses_settings.released(WIDTH)), features()
    torch.testing.assert_close(made(texts, levels, images).diagonal(), made.paired(texts, levels, images))


def test_lambda_from_the_row_is_that_of_the_partner() -> None:
    made, (texts, levels, images) = glasses(lambda_from="row", mask="always"), features(5, 3)
    partners = torch.tensor([0, 2, 1, 1, 0])
    negated = made.lens(texts, levels)
    strength = made.frame(texts, negated, images[partners]).unsqueeze(1)
    expected = SCALE * (cosines(texts, images) - strength * cosines(negated, images).clamp(min=0))
    torch.testing.assert_close(made(texts, levels, images, partners=partners), expected)
    with pytest.raises(NegutilError, match="there are 5 texts and 3 images; give partners"):
        made(texts, levels, images)


def test_a_given_vector_replaces_the_lens() -> None:
    made, (texts, levels, images) = glasses(mask="always"), features()
    truth = features(seed=2)[0]
    lensed = made(texts, levels, images, negated=made.lens(texts, levels))
    torch.testing.assert_close(lensed, made(texts, levels, images))
    given = made(texts, levels, images, negated=truth)
    assert not torch.allclose(given, lensed)
    torch.testing.assert_close(given.diagonal(), made.paired(texts, levels, images, negated=truth))


def test_the_mask_is_off_in_the_papers_training_and_on_in_the_released_codes() -> None:
    texts = features(40)[0]
    for in_training in (False, True):
        made = glasses(mask_in_training=in_training)
        asked = made.masked(texts)
        assert 0 < asked.sum() < 40
        learning = made.train().masked(texts)
        assert bool(learning.all()) is not in_training


def test_the_classifier_gets_no_gradient() -> None:
    made, (texts, levels, images) = glasses(mask_in_training=True), features()
    made.train()(texts, levels, images).sum().backward()
    assert all(parameter.grad is None for parameter in made.gate.parameters())
    assert made.lens.gate.weight.grad is not None
    assert made.lens.gate.weight.grad.any()
    assert made.frame.weigh.weight.grad is not None
    assert made.frame.weigh.weight.grad.any()


def test_a_constant_penalty_leaves_nothing_but_the_mask() -> None:
    made, (texts, levels, images) = glasses(constant_penalty=4.0), features(20, 6)
    expected = SCALE * cosines(texts, images) - 4.0 * made.masked(texts).double().unsqueeze(1)
    torch.testing.assert_close(made(texts, levels, images), expected)
    torch.testing.assert_close(made.paired(texts[:6], levels[:6], images), expected[:6].diagonal())


def test_random_directions_belong_to_their_texts() -> None:
    texts = features(50)[0]
    drawn = random_directions(texts, 0)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(50, dtype=torch.float64))
    assert torch.equal(random_directions(texts.flip(0), 0).flip(0), drawn)
    assert not torch.equal(random_directions(texts, 1), drawn)
    assert (drawn @ drawn.T).fill_diagonal_(0).abs().mean() < 0.3
    torch.testing.assert_close(glasses(negated="random").absent(texts, features(50)[1]), drawn)


def test_a_softmax_over_the_batch_takes_texts_in_batches() -> None:
    made, (texts, levels, _) = glasses(softmax_over="batch", lens_batch=4), features(6)
    expected = torch.cat([made.lens(texts[:4], levels[:4]), made.lens(texts[4:], levels[4:])])
    torch.testing.assert_close(made.absent(texts, levels), expected)
    assert not torch.allclose(made.lens(texts, levels), expected)


def test_true_objects_are_pushed_away_and_learning_makes_it_more() -> None:
    """Texts deny the object of one half of the images; a few steps lower their scores with that half."""
    torch.manual_seed(0)
    config = glasses_settings.paper(WIDTH)
    made = Glasses(config, 10.0).train()
    thing = functional.normalize(torch.randn(WIDTH), dim=0)
    images = torch.randn(64, WIDTH) + torch.cat([torch.zeros(32, 1), torch.ones(32, 1)]) * 4 * thing
    texts, levels = 2 * thing + 0.1 * torch.randn(16, WIDTH), torch.randn(16, 3, WIDTH)

    def behind() -> torch.Tensor:
        scores = made(texts, levels, images, negated=thing.expand(16, -1))
        return scores[:, :32].mean() - scores[:, 32:].mean()

    started = behind().item()
    optimizer = torch.optim.AdamW(made.frame.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (-behind()).backward()
        optimizer.step()
    assert behind().item() > started + 1
