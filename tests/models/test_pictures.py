"""Pictures are read as a viewer shows them, whatever their type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from negutil.data import folders
from negutil.errors import NegutilError
from negutil.models.pictures import as_rgb, read_rgb

RAMP = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    for name in ("grey.png", "grey.tif"):
        Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / name)
        assert np.array_equal(np.asarray(read_rgb(tmp_path / name)), np.stack([RAMP] * 3, axis=-1))


@pytest.mark.parametrize("largest", [1.0, 255.0])
def test_floats_of_either_range_are_grey_levels(tmp_path: Path, largest: float) -> None:
    Image.fromarray((RAMP / 255 * largest).astype(np.float32)).save(tmp_path / "float.tif")
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "float.tif"))[..., 0], RAMP)


@pytest.mark.parametrize("values", [[-5.0, 1.0], [0.0, 4000.0], [0.0, float("nan")]])
def test_other_floats_are_refused_with_their_range(tmp_path: Path, values: list[float]) -> None:
    Image.fromarray(np.array([values], dtype=np.float32)).save(tmp_path / "heights.tif")
    with pytest.raises(NegutilError, match=r"heights\.tif: grey levels go from .* instead of 0 to 1 or 0 to 255"):
        read_rgb(tmp_path / "heights.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_white(tmp_path: Path, mode: str) -> None:
    hidden = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    hidden.putpixel((0, 0), (10, 10, 10, 255))
    hidden.convert(mode).save(tmp_path / "hidden.png")
    pixels = np.asarray(read_rgb(tmp_path / "hidden.png"))
    assert pixels[0, 0].tolist() == [10, 10, 10] and (pixels[1:] == 255).all()


def test_a_transparent_palette_is_white(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
    picture.putpalette([200, 0, 0] + [0] * 765)
    picture.save(tmp_path / "palette.gif", transparency=0)
    assert (np.asarray(read_rgb(tmp_path / "palette.gif")) == 255).all()


def test_pictures_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(RAMP).convert("RGB").save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = read_rgb(tmp_path / "turned.jpg")
    assert upright.size == (48, 64)
    assert np.abs(np.asarray(upright)[..., 0].astype(int) - np.rot90(RAMP, -1)).mean() < 3


def test_an_ordinary_picture_stays_as_it_is() -> None:
    picture = Image.fromarray(np.stack([RAMP, RAMP[::-1], RAMP], axis=-1))
    assert np.array_equal(np.asarray(as_rgb(picture)), np.asarray(picture))


def test_a_truncated_picture_says_why(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(whole, quality=95)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(NegutilError, match=r"cut\.jpg cannot be read as an image \(.*truncated"):
        read_rgb(tmp_path / "cut.jpg")


@pytest.mark.parametrize(
    ("name", "is_one"), [("a.GIF", True), ("a.tiff", True), ("a.jfif", True), ("._a.jpg", False), ("a.txt", False)]
)
def test_pictures_are_known_by_their_names(name: str, is_one: bool) -> None:
    assert folders.is_picture(Path("folder") / name) == is_one


def test_real_bad_pictures(shared_data: Path) -> None:
    bad = shared_data / "bad_input"
    for name in ("gray16.png", "gray16.tif"):
        with Image.open(bad / name) as opened:
            wanted = np.rint(np.asarray(opened, dtype=float) / 257)
        assert np.array_equal(np.asarray(read_rgb(bad / name))[..., 0], wanted) and wanted.std() > 5
    with Image.open(bad / "exif6.jpg") as opened:
        assert read_rgb(bad / "exif6.jpg").size == opened.size[::-1]
    for name in ("only.gif", "only.tiff"):
        assert folders.is_picture(bad / name) and read_rgb(bad / name).mode == "RGB"
    with pytest.raises(NegutilError, match=r"jpeg_without_end\.jpg cannot be read as an image \("):
        read_rgb(bad / "jpeg_without_end.jpg")
