from __future__ import annotations

from pathlib import Path

import model_files
import pytest
import segmenter_files
import torch

from negutil.errors import NegutilError
from negutil.models import architectures, loader, miniclipseg, text_tower
from negutil.models.loader import LoadedModel
from negutil.models.miniclipseg import Segmenter

TEXTS = ["red car", "the person without a hat", "a dog on the left that is not brown"]


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return loader.load(segmenter_files.BASE)


@pytest.fixture(scope="module")
def segmenter(base: LoadedModel) -> Segmenter:
    torch.manual_seed(0)
    return miniclipseg.untrained(base)


@pytest.fixture(scope="module")
def pixels(base: LoadedModel) -> torch.Tensor:
    numbers = torch.from_numpy(model_files.pictures(3)).permute(0, 3, 1, 2).float() / 255
    return (numbers - 0.45) / 0.27


@torch.no_grad()
def test_both_towers_are_those_of_the_base(segmenter: Segmenter, base: LoadedModel, pixels: torch.Tensor) -> None:
    seen = segmenter.model.clip.get_image_features(pixels).pooler_output
    torch.testing.assert_close(seen, base.model.encode_image(pixels), atol=1e-5, rtol=1e-4)
    read = base.model.encode_text(base.tokenizer(TEXTS))
    torch.testing.assert_close(miniclipseg.conditions(segmenter, TEXTS), read, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_layers_are_the_outputs_of_the_first_blocks(
    segmenter: Segmenter, base: LoadedModel, pixels: torch.Tensor
) -> None:
    outputs: list[torch.Tensor] = []
    blocks = base.model.visual.transformer.resblocks
    hooks = [block.register_forward_hook(lambda _m, _i, out: outputs.append(out)) for block in blocks]
    base.model.encode_image(pixels)
    for hook in hooks:
        hook.remove()
    for found, layer in zip(miniclipseg.activations(segmenter, pixels), miniclipseg.EXTRACT_LAYERS, strict=True):
        torch.testing.assert_close(found, outputs[layer], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_scores_are_those_of_the_whole_model(segmenter: Segmenter, pixels: torch.Tensor) -> None:
    layers, steering = miniclipseg.activations(segmenter, pixels), miniclipseg.conditions(segmenter, TEXTS)
    whole = segmenter.model(input_ids=segmenter.tokenizer(TEXTS), pixel_values=pixels).logits.sigmoid()
    found = miniclipseg.scores(segmenter, layers, steering)
    assert found.shape == (3, 64, 64)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_new_decoder_starts_near_even_odds(segmenter: Segmenter, pixels: torch.Tensor) -> None:
    layers, steering = miniclipseg.activations(segmenter, pixels), miniclipseg.conditions(segmenter, TEXTS)
    found = miniclipseg.scores(segmenter, layers, steering)
    assert ((found > 0.02) & (found < 0.98)).all(), "transformers' own start gives scores of 0 and 1"


def test_a_swap_changes_what_the_phrases_say_and_nothing_else(base: LoadedModel, segmenter: Segmenter) -> None:
    other = loader.load(segmenter_files.BASE)
    before = miniclipseg.conditions(segmenter, TEXTS)
    state = {name: value * 1.1 for name, value in text_tower.state(other.model).items()}
    text_tower.put(other.model, state, "a test")
    swapped = miniclipseg.swapped(segmenter, other)
    with torch.no_grad():
        expected = other.model.encode_text(other.tokenizer(TEXTS))
    torch.testing.assert_close(miniclipseg.conditions(swapped, TEXTS), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(miniclipseg.conditions(segmenter, TEXTS), before)
    assert not torch.allclose(before, expected)
    changed = [
        name
        for name, value in swapped.model.state_dict().items()
        if not torch.equal(value, segmenter.model.state_dict()[name])
    ]
    assert changed
    assert all(name.startswith(("clip.text_model", "clip.text_projection")) for name in changed)


def test_a_text_tower_of_another_size_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(NegutilError, match="miniclip-b-8"):
        miniclipseg.swapped(segmenter, loader.load("miniclip-b-8"))


def test_loading_checks_the_file_and_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = segmenter_files.write(tmp_path, monkeypatch)
    found = miniclipseg.load("miniclipseg")
    assert (found.name, found.size) == ("miniclipseg", 64)
    assert found.fingerprint["decoder_sha256"] == miniclipseg.find("miniclipseg").sha256
    with pytest.raises(NegutilError, match="no segmenter 'other'"):
        miniclipseg.load("other")
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(NegutilError, match="is registered with"):
        miniclipseg.load("miniclipseg")
    file.unlink()
    with pytest.raises(NegutilError, match="negutil pretrain miniclipseg"):
        miniclipseg.load("miniclipseg")


def test_the_registry_names_towers_that_exist(tmp_path: Path) -> None:
    for name in ("miniclipseg", "clipseg-rd64-refined"):
        base = loader.registry.find(miniclipseg.find(name).base)
        assert architectures.config(base.architecture)["text_cfg"]["vocab_size"] == 49408
    wrong = tmp_path / "segmenters.toml"
    wrong.write_text('[both]\nbase = "miniclip-b-8"\npackage = "a"\nhub = "b"\n')
    with pytest.raises(NegutilError, match="exactly one"):
        miniclipseg.find("both", wrong)
    wrong.write_text("[both")
    with pytest.raises(NegutilError, match="fix or restore"):
        miniclipseg.find("both", wrong)


def test_the_sha256_of_a_state_sees_every_value() -> None:
    state = {"a": torch.zeros(3), "b": torch.ones(2)}
    changed = {"a": torch.tensor([0.0, 0.0, 1e-6]), "b": torch.ones(2)}
    assert loader.state_sha256(state) == loader.state_sha256(dict(reversed(state.items())))
    assert loader.state_sha256(state) != loader.state_sha256(changed)
