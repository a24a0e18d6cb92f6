from __future__ import annotations

from pathlib import Path

import model_files
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.models import architectures, encode, loader, text_tower
from negutil.models.loader import LoadedModel

END = 49407
SENTENCES = [*model_files.TEXTS, "a photo", "", "a photo of a dog", "two red cars", "a photo with no cat and no dog"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_features_are_those_of_the_whole_sentences(model: LoadedModel, size: int) -> None:
    tokens = model.tokenizer(SENTENCES)
    with torch.inference_mode():
        expected = architectures.encode_text(model.model, tokens)
    found = text_tower.encode(model.model, text_tower.plan(tokens, size))
    assert found.numpy() == pytest.approx(expected.numpy(), abs=2e-6)


def test_only_what_differs_is_run(model: LoadedModel) -> None:
    tokens = model.tokenizer(["a cat", "a cat and a dog", "a cat and a bus"])
    (chunk,) = text_tower.plan(tokens)
    whole = int((tokens.argmax(dim=-1) + 1).sum())
    # The start, "a" and "cat" are shared by three, "and a" by two; "and" parts from the first sentence's end.
    assert len(chunk.tokens) == whole - 2 * 3 - 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(1, 3), max_size=6), min_size=1, max_size=12), st.integers(1, 12))
def test_every_place_belongs_to_the_beginning_that_ends_there(words: list[list[int]], size: int) -> None:
    tokens = torch.zeros((len(words), 9), dtype=torch.long)
    for row, own in enumerate(words):
        tokens[row, : len(own) + 1] = torch.tensor([*own, END])
    chunks = text_tower.plan(tokens, size)
    assert sorted(row for chunk in chunks for row in chunk.rows.tolist()) == list(range(len(words)))
    for chunk in chunks:
        length = chunk.is_text.shape[-1]
        beginning = chunk.beginning.view(-1, length)
        for place, row in enumerate(chunk.rows.tolist()):
            last = len(words[row])
            found = chunk.tokens[beginning[place, : last + 1]]
            assert found.tolist() == tokens[row, : last + 1].tolist()
            assert chunk.positions[beginning[place, : last + 1]].tolist() == list(range(last + 1))
            assert chunk.ends[place] == beginning[place, last]
            assert chunk.is_text[place, 0, 0].sum() == last + 1
        assert len(np.unique(beginning[chunk.is_text[:, 0, 0]])) == len(chunk.tokens)


def test_encoding_can_share_and_is_cached_apart(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path))
    plain = encode.texts(model, SENTENCES)
    shared = encode.texts(model, SENTENCES, share=True)
    assert shared == pytest.approx(plain, abs=2e-6)
    assert len(list(tmp_path.glob("arrays/*/*.json"))) == 2
    assert np.array_equal(encode.texts(model, SENTENCES[::-1], share=True), shared[::-1])
