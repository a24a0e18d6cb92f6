from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from negutil.plots import pngs


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_few_colours_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).choice(np.array([0, 64, 255], np.uint8), (32, 32, 3))
    assert (pixels_of(pngs.compact(png(pixels))) == pixels).all()


def test_many_colours_become_near_ones_and_take_less_room() -> None:
    rows, columns = np.mgrid[:128, :128]
    noise = np.random.default_rng(0).integers(0, 8, (128, 128, 3))
    pixels = (np.stack([rows, columns, rows + columns], axis=2) * 0.9 + noise).astype(np.uint8)
    small = pngs.compact(png(pixels))
    assert len(small) < len(png(pixels))
    assert abs(pixels_of(small) - pixels).mean() < 12


def test_what_is_clear_becomes_white() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    pixels[..., 3] = 0
    assert (np.asarray(Image.open(io.BytesIO(pngs.compact(png(pixels)))).convert("RGB")) == 255).all()


def test_what_is_small_already_stays() -> None:
    plain = png(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert pngs.compact(plain) == plain


def test_twice_is_once() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(64, 64, 3)).astype(np.uint8)
    once = pngs.compact(png(pixels))
    assert pngs.compact(once) == once
    assert pngs.compact(png(pixels)) == once
    text = base64.b64encode(once).decode() + "\n"
    assert pngs.compact_base64(text) == text
    assert base64.b64decode(pngs.compact_base64(base64.b64encode(png(pixels)).decode())) == once
