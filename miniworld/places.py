"""Backgrounds: ten kinds of place, each in several variants, painted once with Pillow and kept in memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 64
VARIANTS = 8
_BIG = SIZE * 4
Colour = tuple[int, int, int]


def _shift(colour: Colour, rng: random.Random, amount: int = 10) -> Colour:
    delta = rng.randint(-amount, amount)
    red, green, blue = (max(0, min(255, channel + delta + rng.randint(-4, 4))) for channel in colour)
    return red, green, blue


def _bands(
    rng: random.Random, top: Colour, bottom: Colour, horizon: float
) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A sky and a ground with the horizon at about ``horizon`` of the height."""
    picture = Image.new("RGB", (_BIG, _BIG), _shift(top, rng))
    pen = ImageDraw.Draw(picture)
    line = int(_BIG * (horizon + rng.uniform(-0.06, 0.06)))
    pen.rectangle((0, line, _BIG, _BIG), fill=_shift(bottom, rng))
    return picture, pen, line


def _beach(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (175, 215, 235), (232, 212, 165), 0.55)
    pen.rectangle((0, line - 40, _BIG, line), fill=_shift((95, 160, 185), rng))
    return picture


def _meadow(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (190, 220, 240), (150, 195, 120), 0.4)
    for _ in range(60):
        x, y = rng.randrange(_BIG), rng.randrange(line, _BIG)
        pen.line((x, y, x + rng.randint(-4, 4), y - 10), fill=(120, 170, 95), width=3)
    return picture


def _street(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (200, 195, 195), (140, 140, 145), 0.6)
    for x in range(0, _BIG, 48):
        pen.rectangle((x, rng.randrange(20, 90), x + 42, line), fill=_shift((176, 165, 160), rng, 14))
    for x in range(rng.randrange(40), _BIG, 64):
        pen.rectangle((x, line + 44, x + 32, line + 52), fill=(225, 225, 215))
    return picture


def _kitchen(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (222, 228, 226), (188, 166, 140), 0.68)
    for step in range(0, line, 32):
        pen.line((0, step, _BIG, step), fill=(198, 206, 204), width=3)
        pen.line((step, 0, step, line), fill=(198, 206, 204), width=3)
    return picture


def _desert(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (240, 220, 190), (222, 182, 122), 0.5)
    left = rng.randrange(-60, 60)
    pen.ellipse((left, line - 30, left + 200, line + 100), fill=(212, 170, 110))
    return picture


def _forest(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (140, 170, 140), (110, 125, 85), 0.65)
    for x in range(rng.randrange(30), _BIG, 44):
        pen.rectangle((x, 0, x + 12, line + rng.randrange(30)), fill=_shift((122, 116, 92), rng))
    return picture


def _bedroom(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (226, 206, 214), (176, 146, 128), 0.72)
    for x in range(0, _BIG, 40):
        pen.rectangle((x, 0, x + 14, line), fill=(218, 192, 204))
    return picture


def _snow(rng: random.Random) -> Image.Image:
    picture, pen, _ = _bands(rng, (190, 205, 222), (238, 243, 248), 0.45)
    for _ in range(40):
        x, y = rng.randrange(_BIG), rng.randrange(_BIG)
        pen.ellipse((x, y, x + 6, y + 6), fill=(250, 252, 255))
    return picture


def _lake(rng: random.Random) -> Image.Image:
    picture, pen, line = _bands(rng, (205, 222, 228), (110, 165, 190), 0.3)
    for _ in range(24):
        x, y = rng.randrange(_BIG), rng.randrange(line + 8, _BIG)
        pen.line((x, y, x + 36, y), fill=(140, 188, 208), width=4)
    return picture


def _space(rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", (_BIG, _BIG), _shift((104, 104, 142), rng))
    pen = ImageDraw.Draw(picture)
    for _ in range(50):
        x, y = rng.randrange(_BIG), rng.randrange(_BIG)
        pen.ellipse((x, y, x + 5, y + 5), fill=(206, 206, 224))
    return picture


PAINTERS: dict[str, Callable[[random.Random], Image.Image]] = {
    "beach": _beach,
    "meadow": _meadow,
    "street": _street,
    "kitchen": _kitchen,
    "desert": _desert,
    "forest": _forest,
    "bedroom": _bedroom,
    "snow": _snow,
    "lake": _lake,
    "space": _space,
}


@cache
def background(place: str, variant: int) -> np.ndarray:
    """The empty place; uint8 [64, 64, 3], read-only. ``variant`` is 0 to VARIANTS - 1."""
    painted = PAINTERS[place](random.Random(f"{place}/{variant}"))
    small = painted.filter(ImageFilter.GaussianBlur(1.5)).resize((SIZE, SIZE), Image.Resampling.BOX)
    pixels = np.array(small, dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels
