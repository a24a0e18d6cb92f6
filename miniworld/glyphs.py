"""Sprites: Font Awesome icons drawn once per (icon, size, colour) with an outline, then blended by numpy.

How the words of ``negutil.captions.english`` look: icons and colours, and where a hat sits and a hand is. The icons are
those of Font Awesome Free (solid), which the package ``fontawesomefree`` ships. Design: "The mini world".
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import fontawesomefree
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from negutil.captions.english import NOUNS

ASSETS = Path(fontawesomefree.__file__).parent / "static" / "fontawesomefree"
OUTLINE = 1
OUTLINE_COLOUR = (8, 8, 8)

ICONS: dict[str, str] = {noun: noun for noun in NOUNS} | {
    "woman": "person-dress",
    "apple": "apple-whole",
    "pizza": "pizza-slice",
    "hamburger": "burger",
    "cake": "cake-candles",
    "ice cream": "ice-cream",
    "mug": "mug-hot",
    "bottle": "wine-bottle",
    "lamp": "lightbulb",
    "hat": "hat-cowboy",
    "bag": "bag-shopping",
}
"""Icon of every noun."""

RGB: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 225, 40),
    "green": (20, 150, 50),
    "blue": (30, 80, 220),
    "purple": (150, 60, 200),
    "pink": (255, 130, 190),
    "brown": (145, 90, 40),
    "black": (66, 66, 70),
    "white": (250, 250, 250),
}

#: Icons of what a person does; "standing" is the plain figure.
ACTION_ICONS: dict[str, str] = {
    "standing": "person",
    "walking": "person-walking",
    "running": "person-running",
    "swimming": "person-swimming",
    "skiing": "person-skiing",
    "skating": "person-skating",
    "kneeling": "person-praying",
}
#: Where a hat sits (fractions of the box, x then y) and where a hand is, by icon.
HEAD: dict[str, tuple[float, float]] = {
    "person": (0.50, 0.06),
    "person-dress": (0.50, 0.06),
    "person-walking": (0.55, 0.06),
    "person-running": (0.62, 0.06),
    "dog": (0.76, 0.06),
    "cat": (0.74, 0.04),
    "horse": (0.72, 0.06),
    "robot": (0.50, 0.05),
    "snowman": (0.50, 0.04),
}
HAND: dict[str, tuple[float, float]] = {
    "person": (0.98, 0.52),
    "person-dress": (0.98, 0.52),
    "person-walking": (0.98, 0.48),
    "person-running": (1.00, 0.46),
    "robot": (1.00, 0.60),
}


class Sprite(NamedTuple):
    """A coloured icon ready to blend: ``ink`` is colour times opacity, ``clear`` is what shines through.

    Attributes:
        ink: uint16 [h, w, 3], premultiplied colour (0 to 255 x 255).
        clear: uint16 [h, w, 1], 255 - opacity.
        solid: bool [h, w], pixels that belong to the thing.
    """

    ink: np.ndarray
    clear: np.ndarray
    solid: np.ndarray


@lru_cache(maxsize=1)
def codepoints() -> dict[str, str]:
    """Characters of the solid font by icon name."""
    icons = json.loads((ASSETS / "metadata" / "icons.json").read_text(encoding="utf-8"))
    return {name: chr(int(icon["unicode"], 16)) for name, icon in icons.items() if "solid" in icon["styles"]}


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(ASSETS / "webfonts" / "fa-solid-900.ttf"), 256)


@lru_cache(maxsize=512)
def _tight(icon: str) -> Image.Image:
    """The icon at high resolution, cut to its bounding box, mode L."""
    canvas = Image.new("L", (512, 512), 0)
    ImageDraw.Draw(canvas).text((256, 256), codepoints()[icon], font=_font(), fill=255, anchor="mm")
    return canvas.crop(canvas.getbbox())


@lru_cache(maxsize=4096)
def opacity(icon: str, side: int) -> np.ndarray:
    """Opacity of ``icon`` with its longer side ``side`` pixels; uint8 [h, w]."""
    art = _tight(icon)
    scale = side / max(art.size)
    size = (max(3, round(art.width * scale)), max(3, round(art.height * scale)))
    return np.asarray(art.resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)


@lru_cache(maxsize=16384)
def sprite(icon: str, side: int, colour: str) -> Sprite:
    """The icon in ``colour`` with a dark outline of one pixel; the sprite is two pixels larger than the icon."""
    inner = np.pad(opacity(icon, side), OUTLINE)
    halo = np.asarray(Image.fromarray(inner).filter(ImageFilter.MaxFilter(2 * OUTLINE + 1)), dtype=np.uint16)
    inner = inner.astype(np.uint16)
    fill = np.array(RGB[colour], dtype=np.uint16)
    edge = np.array(OUTLINE_COLOUR, dtype=np.uint16)
    rim = halo - inner
    ink = inner[..., None] * fill + rim[..., None] * edge
    clear = (255 - np.minimum(255, inner + rim)).astype(np.uint16)[..., None]
    return Sprite(ink.astype(np.uint16), clear, (inner + rim) >= 128)


def blend(canvas: np.ndarray, stamp: Sprite, x: int, y: int) -> None:
    """Draw ``stamp`` with its upper left corner at (x, y) onto ``canvas`` (uint8 [H, W, 3]), in place."""
    height, width = stamp.clear.shape[:2]
    spot = canvas[y : y + height, x : x + width]
    spot[...] = (stamp.ink + spot * stamp.clear) // 255
