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
from negutil.models.pictures import PictureFiles


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


@pytest.mark.parametrize("field", ["image_tower_sha256", "architecture", "activation", "preprocessing", "dtype"])
def test_everything_that_image_features_depend_on_is_in_the_key(
    model: LoadedModel, encoded: list[int], field: str
) -> None:
    encode.images(model, model_files.pictures())
    other = dataclasses.replace(model, fingerprint=model.fingerprint | {field: "something else"})
    encode.images(other, model_files.pictures())
    assert encoded == [3, 3]


def test_models_with_the_same_image_tower_share_its_features(
    model: LoadedModel, encoded: list[int], tmp_path: Path
) -> None:
    state = model_files.state()
    state["text_projection"][0] += 1
    tuned = loader.load_entry(model_files.write(tmp_path, state, name="tuned"))
    assert tuned.fingerprint["weights_sha256"] != model.fingerprint["weights_sha256"]
    first = encode.images(model, model_files.pictures())
    assert np.array_equal(encode.images(tuned, model_files.pictures()), first)
    assert encoded == [3], "the second model encoded nothing"
    assert np.abs(encode.texts(tuned, model_files.TEXTS) - encode.texts(model, model_files.TEXTS)).max() > 1e-3


def test_another_image_tower_does_not_share_features(model: LoadedModel, tmp_path: Path) -> None:
    state = model_files.state()
    state["visual.proj"][0] += 1
    other = loader.load_entry(model_files.write(tmp_path, state))
    pictures = model_files.pictures()
    assert np.abs(encode.images(other, pictures) - encode.images(model, pictures)).max() > 1e-3


def test_files_and_crops_are_encoded_like_pictures_and_not_decoded_when_warm(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, picture in zip(paths, model_files.pictures(), strict=True):
        Image.fromarray(picture).save(path)
    boxes: list[list[float]] = [[0, 0, 64, 64], [8.4, 0, 20, 40], [10, 20, 40, 44]]
    crops = [Image.open(path).crop((x, y, x + w, y + h)) for path, (x, y, w, h) in zip(paths, boxes, strict=True)]
    whole = encode.images(model, PictureFiles(paths))
    cut = encode.images(model, PictureFiles(paths, boxes))
    assert np.array_equal(whole, encode.images(model, model_files.pictures(), cached=False))
    assert np.array_equal(cut, encode.images(model, crops, cached=False))
    assert np.abs(whole[1] - cut[1]).max() > 1e-3

    def unreadable(self: PictureFiles, row: int) -> Image.Image:
        raise AssertionError(f"picture {row} was decoded")

    monkeypatch.setattr(PictureFiles, "__getitem__", unreadable)
    assert np.array_equal(encode.images(model, PictureFiles(paths, boxes)), cut)
    Image.fromarray(model_files.pictures()[0]).save(paths[1])
    with pytest.raises(AssertionError, match="was decoded"):
        encode.images(model, PictureFiles(paths, boxes))


def test_bad_picture_files_are_sentences(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    with pytest.raises(
        NegutilError,
        match=r"torn\.jpg cannot be read as an image \(no type that Pillow knows\); download or build it again",
    ):
        encode.images(model, PictureFiles([tmp_path / "torn.jpg"]))
    with pytest.raises(NegutilError, match=r"nowhere\.jpg cannot be read"):
        encode.images(model, PictureFiles([tmp_path / "nowhere.jpg"]))
    with pytest.raises(NegutilError, match="1 images but 2 boxes"):
        PictureFiles([tmp_path / "torn.jpg"], [[0, 0, 1, 1]] * 2)


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
    with pytest.raises(NegutilError, match="no image to encode"):
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
    with pytest.raises(NegutilError, match="Image 0 gets features that are not finite"):
        encode.images(broken, model_files.pictures())
