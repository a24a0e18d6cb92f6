from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import model_files
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.errors import NegutilError
from negutil.models import architectures, encoder_swap, hub, loader, text_tower
from negutil.models.loader import LoadedModel

TEXTS = [*model_files.TEXTS, "", "A Photo, of  two DOGS: it isn't 3.5 cats!"]
WORDS = st.sampled_from(
    ["no", "without", "isn't", "dog", "Hat,", "NOT", "3.5", "a", "café", "don't!", "red-blue", "x_y"]
)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&<"), max_size=60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return loader.load("miniclip-b-8")


def open_clip_states(model: Any, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Embedding and output of every block [N, L, W], taken where open_clip computes them."""
    found: list[torch.Tensor] = []
    blocks = model.transformer.resblocks
    handles = [blocks[0].register_forward_pre_hook(lambda _, given: found.append(given[0]))]
    handles += [block.register_forward_hook(lambda _, __, out: found.append(out)) for block in blocks]
    with torch.no_grad():
        model.encode_text(tokens)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("which", ["model", "mini"])
def test_all_hidden_states_are_equal(which: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(which)
    tokens = encoder_swap.padded(found.tokenizer(TEXTS))
    expected = open_clip_states(found.model, tokens)
    with torch.no_grad():
        out = encoder_swap.to_transformers(found.model)(tokens, output_hidden_states=True)
        last = found.model.ln_final(expected[-1])
    assert len(out.hidden_states) == len(expected) == len(found.model.transformer.resblocks) + 1
    for one, other in zip(out.hidden_states, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(out.last_hidden_state, last, atol=1e-5, rtol=0)
    ends = found.tokenizer(TEXTS).argmax(dim=-1)
    torch.testing.assert_close(out.pooler_output, last[torch.arange(len(TEXTS)), ends], atol=1e-5, rtol=0)


@pytest.mark.parametrize("which", ["model", "mini"])
def test_projected_features_are_equal_however_texts_are_padded(which: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(which)
    tokens = found.tokenizer(TEXTS)
    encoder = encoder_swap.to_transformers_projected(found.model)
    with torch.no_grad():
        expected = found.model.encode_text(tokens)
        for given_tokens in (tokens, encoder_swap.padded(tokens)):
            torch.testing.assert_close(encoder(given_tokens).text_embeds, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["RN50-quickgelu", "ViT-B-32"])
def test_the_activation_is_that_of_the_tower(architecture: str) -> None:
    settings = architectures.config(architecture)
    settings["text_cfg"] |= {"width": 16, "heads": 2, "layers": 1, "vocab_size": 50}
    settings["vision_cfg"] = {"image_size": 8, "patch_size": 8, "width": 8, "layers": 1, "head_width": 4}
    tower = architectures.open_clip().CLIP(**settings).eval()
    encoder = encoder_swap.to_transformers(tower)
    assert encoder.config.hidden_act == ("quick_gelu" if "quickgelu" in architecture else "gelu")
    tokens = torch.arange(50)[torch.randperm(50, generator=torch.manual_seed(0))[:24]].view(2, 12)
    tokens = torch.cat([tokens, torch.full((2, 65), 49)], dim=1)
    with torch.no_grad():
        out = encoder(tokens, output_hidden_states=True)
    torch.testing.assert_close(out.hidden_states[-1], open_clip_states(tower, tokens)[-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("projected", [False, True])
def test_there_and_back_again(model: LoadedModel, projected: bool) -> None:
    make = encoder_swap.to_transformers_projected if projected else encoder_swap.to_transformers
    other = architectures.build(model_files.ARCHITECTURE)
    before = {name: value.clone() for name, value in text_tower.state(other).items()}
    model_files.to_open_clip(make(model.model), other)
    source, after = text_tower.state(model.model), text_tower.state(other)
    kept = {"logit_scale"} if projected else {"logit_scale", "text_projection"}
    for name, value in after.items():
        assert torch.equal(value, before[name] if name in kept else source[name]), name


def test_renaming_loses_nothing(model: LoadedModel) -> None:
    state = text_tower.state(model.model)
    again = model_files.restored(encoder_swap.renamed(state))
    assert again.keys() == state.keys() - {"text_projection", "logit_scale"}
    assert all(torch.equal(value, state[name]) for name, value in again.items())


@settings(max_examples=150, deadline=None)
@given(st.one_of(PLAIN, st.lists(WORDS, max_size=120).map(" ".join)))
def test_tokenizers_agree(text: str) -> None:
    found = TOKENIZER(text, padding="max_length", truncation=True, return_tensors="pt").input_ids
    own = architectures.tokenizer("MiniCLIP-B-8")([text])
    assert torch.equal(found, encoder_swap.padded(own)), text


TOKENIZER = encoder_swap.tokenizer(architectures.build(model_files.ARCHITECTURE))


def test_padding_with_the_end_token(model: LoadedModel) -> None:
    tokens = torch.tensor([[8, 3, 9, 0, 0], [8, 9, 0, 0, 0], [8, 1, 2, 3, 9]])
    assert encoder_swap.padded(tokens).tolist() == [[8, 3, 9, 9, 9], [8, 9, 9, 9, 9], [8, 1, 2, 3, 9]]


def pipeline(model: LoadedModel, second: LoadedModel | None = None) -> Any:
    """An untrained Stable Diffusion (or, with a second encoder, SDXL) on the text tower of ``model``."""
    diffusers = hub.library("diffusers")
    unet = {"sample_size": 8, "block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 4,
            "attention_head_dim": 2, "down_block_types": ("CrossAttnDownBlock2D",),
            "up_block_types": ("CrossAttnUpBlock2D",)}  # fmt: skip
    vae = diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=4)
    parts = {
        "vae": vae,
        "scheduler": diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        "tokenizer": encoder_swap.tokenizer(model.model),
    }
    parts["text_encoder"] = encoder_swap.to_transformers(model.model)
    if second is None:
        parts["unet"] = diffusers.UNet2DConditionModel(cross_attention_dim=16, **unet)
        parts |= {"safety_checker": None, "feature_extractor": None}
        return diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    width = sum(one.model.ln_final.normalized_shape[0] for one in (model, second))
    extra = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    extra["projection_class_embeddings_input_dim"] = 6 * 8 + second.model.text_projection.shape[1]
    parts["unet"] = diffusers.UNet2DConditionModel(cross_attention_dim=width, **extra, **unet)
    parts["text_encoder_2"] = encoder_swap.to_transformers_projected(second.model)
    parts["tokenizer_2"] = encoder_swap.tokenizer(second.model)
    return diffusers.StableDiffusionXLPipeline(**parts)


def drawn(pipe: Any) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return torch.from_numpy(
        pipe(["a dog"], num_inference_steps=1, generator=generator, output_type="np", height=8, width=8).images
    )


def another(model: LoadedModel, folder: Path) -> LoadedModel:
    return loader.load_entry(model_files.write(folder, model_files.state(seed=1), name="other"))


def test_a_swap_replaces_the_encoder_alone(model: LoadedModel, tmp_path: Path) -> None:
    old = pipeline(model)
    new = encoder_swap.swap(old, another(model, tmp_path))
    assert type(new) is type(old)
    assert new.unet is old.unet
    assert new.vae is old.vae
    assert new.text_encoder is not old.text_encoder
    assert not torch.equal(drawn(new), drawn(old))
    assert torch.equal(drawn(encoder_swap.swap(new, model)), drawn(old))


def test_both_encoders_of_sdxl_can_be_replaced(model: LoadedModel, tmp_path: Path) -> None:
    old, other = pipeline(model, model), another(model, tmp_path)
    first, second = encoder_swap.ENCODERS
    swapped = [encoder_swap.swap(old, other, chosen) for chosen in ([first], [second], [first, second])]
    found = [drawn(old), *(drawn(one) for one in swapped)]
    assert all(not torch.equal(one, two) for number, one in enumerate(found) for two in found[:number])
    assert torch.equal(drawn(encoder_swap.swap(swapped[-1], model, [first, second])), found[0])


def test_another_size_is_refused(model: LoadedModel, mini: LoadedModel) -> None:
    with pytest.raises(NegutilError, match=r"'miniclip-b-8' has hidden_size 80, but the text_encoder .* has 16"):
        encoder_swap.swap(pipeline(model), mini)
    with pytest.raises(NegutilError, match="no 'text_encoder_2' to replace"):
        encoder_swap.swap(pipeline(model), model, ["text_encoder_2"])
    with pytest.raises(NegutilError, match="does not fit the text tower"):
        text_tower.put(model.model, text_tower.state(mini.model), "the other")


def segmenter(model: LoadedModel) -> Any:
    """An untrained CLIPSeg with a text tower of the sizes of ``model``."""
    transformers = hub.library("transformers")
    text = encoder_swap.to_transformers(model.model).config.to_dict()
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 16, "patch_size": 8}  # fmt: skip
    config = transformers.CLIPSegConfig(
        text_config=text, vision_config=vision, projection_dim=text["projection_dim"], extract_layers=[0, 1],
        reduce_dim=4, decoder_num_attention_heads=2, decoder_intermediate_size=8,
    )  # fmt: skip
    return transformers.CLIPSegForImageSegmentation(config).eval()


def test_clipseg_gets_the_text_tower(model: LoadedModel, mini: LoadedModel) -> None:
    found = segmenter(model)
    tokens = model.tokenizer(TEXTS)
    vision = {name: value.clone() for name, value in found.clip.vision_model.state_dict().items()}
    with torch.no_grad():
        before = found.get_conditional_embeddings(len(TEXTS), encoder_swap.padded(tokens))
        assert encoder_swap.swap_clipseg(found, model) is found
        after = found.get_conditional_embeddings(len(TEXTS), encoder_swap.padded(tokens))
        torch.testing.assert_close(after, model.model.encode_text(tokens), atol=1e-5, rtol=0)
    assert not torch.allclose(before, after)
    assert all(torch.equal(value, vision[name]) for name, value in found.clip.vision_model.state_dict().items())
    with pytest.raises(NegutilError, match="hidden_size 80"):
        encoder_swap.swap_clipseg(found, mini)


def test_a_model_without_clips_text_tower_is_refused(model: LoadedModel) -> None:
    wrong = dataclasses.replace(model, model=torch.nn.Linear(2, 2))
    with pytest.raises(NegutilError, match="no text tower like CLIP's"):
        encoder_swap.to_transformers(wrong.model)
