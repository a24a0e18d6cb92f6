"""Layers of the text tower at the end token: against the tower itself, order, duplicates, cache and errors."""

from __future__ import annotations

from pathlib import Path

import finetune_files
import glasses_files
import model_files
import numpy as np
import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import encode, text_layers
from negutil.models.loader import LoadedModel

TEXTS = [*model_files.TEXTS, "a dog", model_files.TEXTS[0]]


@pytest.fixture
def model(session_cache: Path) -> LoadedModel:
    return glasses_files.model(session_cache / "tiny-glasses")


def test_the_last_layer_is_the_text_feature(model: LoadedModel) -> None:
    last = text_layers.features(model, TEXTS).last
    unit = last / np.linalg.norm(last, axis=1, keepdims=True)
    assert np.allclose(unit, encode.texts(model, TEXTS, cached=False), atol=1e-6)


def test_levels_are_the_states_after_each_of_the_first_blocks(model: LoadedModel) -> None:
    tokens = model.tokenizer(TEXTS[:1])
    length = int(tokens.argmax()) + 1
    clip = model.model
    state = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
    wanted = []
    with torch.no_grad():
        for block in clip.transformer.resblocks[:3]:
            state = block(state, attn_mask=clip.attn_mask[:length, :length])
            wanted.append(clip.ln_final(state[0, -1]) @ clip.text_projection)
    found = text_layers.features(model, TEXTS[:1], cached=False).levels[0]
    assert np.allclose(found, torch.stack(wanted).detach().numpy(), atol=1e-5)


def test_texts_of_any_length_and_order_keep_their_rows(model: LoadedModel) -> None:
    together = text_layers.features(model, TEXTS, batch=2)
    for row, text in enumerate(TEXTS):
        alone = text_layers.features(model, [text], cached=False)
        assert np.allclose(together.levels[row], alone.levels[0], atol=1e-5)
        assert np.allclose(together.last[row], alone.last[0], atol=1e-5)
    assert (together.last[0] == together.last[-1]).all(), "equal texts"
    chosen = together.take([2, 0])
    assert (chosen.levels == together.levels[[2, 0]]).all()
    assert len(chosen) == 2


def test_with_tokens_come_the_last_layer_s_states_up_to_the_end_of_each_text(model: LoadedModel) -> None:
    usual, found = (text_layers.features(model, TEXTS, batch=2, cached=False, tokens=more) for more in (False, True))
    ends = model.tokenizer(TEXTS).argmax(dim=-1).numpy()
    assert found.levels.shape == (len(TEXTS), 3 + ends.max() + 1, usual.last.shape[1])
    assert np.allclose(found.last, usual.last, atol=1e-6)
    assert np.allclose(found.levels[:, :3], usual.levels, atol=1e-6)
    assert np.allclose(found.levels[np.arange(len(TEXTS)), 3 + ends], usual.last, atol=1e-6)
    for row, end in enumerate(ends):
        assert not found.levels[row, 3 + end + 1 :].any()
        assert found.levels[row, 3 : 3 + end + 1].any(axis=1).all()


def test_hooks_are_gone_afterwards_and_the_cache_is_read(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    first = text_layers.features(model, TEXTS)
    assert not any(block._forward_hooks for block in model.model.transformer.resblocks)
    monkeypatch.setattr(model.model, "forward", None)
    assert (text_layers.features(model, TEXTS).levels == first.levels).all()


def test_wrong_input_is_one_sentence(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="no text to encode"):
        text_layers.features(model, [])
    with pytest.raises(NegutilError, match="is 3; give only texts"):
        text_layers.features(model, ["a", 3])  # type: ignore[list-item]
    with pytest.raises(NegutilError, match="no text tower like CLIP's or BERT's of 3 layers or more"):
        text_layers.features(finetune_files.model(tmp_path / "shallow"), ["a"])
