from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import model_files
import numpy as np
import pytest
import torch
from PIL import Image

from negutil.errors import NegutilError
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path_factory.mktemp("weights")))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def encoded(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the image tower was given."""
    sizes: list[int] = []
    original: Callable[..., torch.Tensor] = model.model.encode_image

    def counting(inputs: torch.Tensor, normalize: bool) -> torch.Tensor:
        sizes.append(len(inputs))
        return original(inputs, normalize=normalize)

    monkeypatch.setattr(model.model, "encode_image", counting)
    return sizes


def test_features_are_those_of_open_clip_itself(model: LoadedModel) -> None:
    pictures = model_files.pictures()
    with torch.no_grad():
        inputs = torch.stack([model.preprocess(Image.fromarray(picture)) for picture in pictures])
        images = model.model.encode_image(inputs, normalize=True).numpy()
        texts = model.model.encode_text(model.tokenizer(model_files.TEXTS), normalize=True).numpy()
    np.testing.assert_allclose(encode.images(model, pictures), images, atol=2e-6)
    np.testing.assert_allclose(encode.texts(model, model_files.TEXTS), texts, atol=2e-6)


def test_features_are_unit_float32_in_the_order_given(model: LoadedModel) -> None:
    sentences = ["a long text about a cat that sits on a car", "cat", "no dog", "cat"]
    found = encode.texts(model, sentences, batch=2)
    assert found.dtype == np.float32
    assert found.shape == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for row, sentence in enumerate(sentences):
        np.testing.assert_allclose(found[row], encode.texts(model, [sentence], cached=False)[0], atol=2e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_each_different_picture_is_encoded_once(model: LoadedModel, encoded: list[int]) -> None:
    pictures = model_files.pictures(3)[[0, 1, 0, 2, 2, 0]]
    found = encode.images(model, pictures, batch=2)
    assert encoded == [2, 1]
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[3], found[4])
    assert not np.array_equal(found[0], found[1])


def test_arrays_and_images_give_the_same(model: LoadedModel) -> None:
    pictures = model_files.pictures()
    as_images = [Image.fromarray(picture) for picture in pictures]
    assert np.array_equal(encode.images(model, as_images), encode.images(model, pictures, cached=False))


def test_the_cache_spares_the_model(model: LoadedModel, encoded: list[int]) -> None:
    first = encode.images(model, model_files.pictures())
    again = encode.images(model, model_files.pictures())
    assert encoded == [3]
    assert np.array_equal(first, again)
    encode.images(model, model_files.pictures()[::-1])
    assert encoded == [3, 3], "the order of the pictures is part of the key"
    encode.images(model, model_files.pictures(), cached=False)
    assert encoded == [3, 3, 3]


@pytest.mark.parametrize("field", ["weights_sha256", "architecture", "activation", "preprocessing", "dtype"])
def test_everything_in_the_fingerprint_is_in_the_key(model: LoadedModel, encoded: list[int], field: str) -> None:
    encode.images(model, model_files.pictures())
    other = dataclasses.replace(model, fingerprint=model.fingerprint | {field: "something else"})
    encode.images(other, model_files.pictures())
    assert encoded == [3, 3]


def test_a_known_sha256_of_the_data_needs_no_picture_when_warm(model: LoadedModel) -> None:
    class Unreadable(list[Image.Image]):
        def __getitem__(self, key: object) -> Image.Image:  # type: ignore[override]
            raise AssertionError("a picture was read")

        def __iter__(self) -> object:  # type: ignore[override]
            raise AssertionError("the pictures were read")

    images = [Image.fromarray(picture) for picture in model_files.pictures()]
    first = encode.images(model, images, data_sha256="abc")
    assert np.array_equal(encode.images(model, Unreadable(images), data_sha256="abc"), first)


def test_nothing_to_encode_and_wrong_items_are_sentences(model: LoadedModel) -> None:
    with pytest.raises(NegutilError, match="no picture to encode"):
        encode.images(model, [])
    with pytest.raises(NegutilError, match="no text to encode"):
        encode.texts(model, [])
    with pytest.raises(NegutilError, match="Text 1 to encode is None"):
        encode.texts(model, ["a cat", None])  # type: ignore[list-item]


def test_features_that_are_not_finite_name_the_item(model: LoadedModel, tmp_path: Path) -> None:
    state = model_files.state()
    tokens = model.tokenizer(["zebra"])
    state["token_embedding.weight"][tokens[0, 1]] = float("nan")
    broken = loader.load_entry(model_files.write(tmp_path, state))
    with pytest.raises(NegutilError, match="The text 'a zebra' gets features that are not finite from 'tiny'"):
        encode.texts(broken, ["a cat", "a zebra"])
    state["visual.proj"][0, 0] = float("nan")
    broken = loader.load_entry(model_files.write(tmp_path, state))
    with pytest.raises(NegutilError, match="Picture 0 gets features that are not finite"):
        encode.images(broken, model_files.pictures())
