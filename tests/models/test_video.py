from __future__ import annotations

import io
from pathlib import Path

import av
import model_files
import numpy as np
import pytest
import torch
from PIL import Image

from miniworld.writers.msrvtt import encode as clip_bytes
from negutil.data import msrvtt
from negutil.errors import NegutilError
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path_factory.mktemp("weights")))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three clips of 8, 12 and 16 frames that change all the time."""
    folder = tmp_path_factory.mktemp("clips")
    waves = model_files.pictures(36)
    for name, (start, end) in {"a": (0, 8), "b": (8, 20), "c": (20, 36)}.items():
        (folder / f"{name}.mp4").write_bytes(clip_bytes(waves[start:end]))
    return sorted(folder.iterdir())


def every_frame(path: Path) -> list[np.ndarray]:
    with av.open(io.BytesIO(path.read_bytes()), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_frames_are_those_in_the_middle_of_four_parts(clips: list[Path]) -> None:
    for path, middles in zip(clips, ([0, 2, 4, 6], [1, 4, 6, 10], [2, 5, 9, 13]), strict=True):
        found = msrvtt.frames(path)
        assert found.dtype == np.uint8
        assert np.array_equal(found, np.stack(every_frame(path))[middles])
    assert msrvtt.frames(clips[0], 2).shape == (2, 64, 64, 3)


def test_a_feature_is_the_normalised_mean_of_normalised_frames(model: LoadedModel, clips: list[Path]) -> None:
    found = encode.clips(model, clips)
    assert (found.dtype, found.shape) == (np.float32, (3, 16))
    for feature, path in zip(found, clips, strict=True):
        mean = encode.images(model, msrvtt.frames(path), cached=False).mean(axis=0)
        np.testing.assert_allclose(feature, mean / np.linalg.norm(mean), atol=2e-6)


def test_all_frames_go_through_the_model_in_one_batch_and_only_once(
    model: LoadedModel, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = model.model.encode_image

    def counting(inputs: torch.Tensor, normalize: bool) -> torch.Tensor:
        sizes.append(len(inputs))
        found: torch.Tensor = original(inputs, normalize=normalize)
        return found

    monkeypatch.setattr(model.model, "encode_image", counting)
    first = encode.clips(model, [*clips, clips[0]])
    assert sizes == [12]
    assert np.array_equal(first[0], first[3])

    def broken(*_: object) -> None:
        raise AssertionError("a warm cache needs no frame")

    monkeypatch.setattr(msrvtt, "frames", broken)
    assert np.array_equal(encode.clips(model, [*clips, clips[0]]), first)
    with pytest.raises(AssertionError, match="no frame"):
        encode.clips(model, clips[::-1])


def test_other_contents_under_the_same_name_are_encoded_again(
    model: LoadedModel, clips: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clips[0].read_bytes())
    before = encode.clips(model, [path])
    path.write_bytes(clips[1].read_bytes())
    assert not np.array_equal(encode.clips(model, [path]), before)


def test_a_clip_that_does_not_decode_is_an_error_that_names_it(
    model: LoadedModel, clips: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip" * 100)
    with pytest.raises(NegutilError, match=r"broken\.mp4.*does not decode"):
        encode.clips(model, [clips[0], broken])
    broken.write_bytes(clips[2].read_bytes()[:-3000])
    with pytest.raises(NegutilError, match=r"broken\.mp4"):
        encode.clips(model, [clips[0], broken])
    with pytest.raises(NegutilError, match=r"missing\.mp4"):
        encode.clips(model, [clips[0], tmp_path / "missing.mp4"])
    with pytest.raises(NegutilError, match="no clip to encode"):
        encode.clips(model, [])


def test_frames_that_cancel_out_are_an_error(
    model: LoadedModel, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opposite = np.tile(np.array([[1.0], [-1.0]], np.float32), (2, 16))
    monkeypatch.setattr(encode, "images", lambda *_, **__: opposite)
    with pytest.raises(NegutilError, match=r"a\.mp4: the features of its frames cancel out"):
        encode.clips(model, clips[:1])


def test_pictures_of_clips_are_pil_images_like_any_other(clips: list[Path]) -> None:
    pictures = encode.ClipFrames(clips[:2])
    assert len(pictures) == 8
    assert isinstance(pictures[0], Image.Image)
    assert len(list(pictures)) == len(pictures[:]) == 8
