"""What images are drawn from: backgrounds of places, sprites of things and layers of SVG, each kept in memory.

How the words of ``negutil.captions.english`` look: icons and colours, and where a hat sits and a hand is. The icons are
those of Font Awesome Free (solid), which the package ``fontawesomefree`` ships. Design: "The mini world".
"""

import io
import json
import random
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import fontawesomefree
import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from negutil.captions.english import NOUNS

SIZE = 64
VARIANTS = 8
_BIG = SIZE * 4
Colour = tuple[int, int, int]

# --------------------------------------------------------------------------------------------------------------------
# Backgrounds of places

_GROUNDS: dict[str, tuple[Colour, Colour, float]] = {
    "beach": ((175, 215, 235), (232, 212, 165), 0.55),
    "meadow": ((190, 220, 240), (150, 195, 120), 0.4),
    "street": ((200, 195, 195), (140, 140, 145), 0.6),
    "kitchen": ((222, 228, 226), (188, 166, 140), 0.68),
    "desert": ((240, 220, 190), (222, 182, 122), 0.5),
    "forest": ((140, 170, 140), (110, 125, 85), 0.65),
    "bedroom": ((226, 206, 214), (176, 146, 128), 0.72),
    "snow": ((190, 205, 222), (238, 243, 248), 0.45),
    "lake": ((205, 222, 228), (110, 165, 190), 0.3),
    "space": ((104, 104, 142), (104, 104, 142), 1.0),
}
"""Colours of sky and ground, and the height of the horizon; space has none."""


def _shift(colour: Colour, rng: random.Random, amount: int = 10) -> Colour:
    delta = rng.randint(-amount, amount)
    red, green, blue = (max(0, min(255, channel + delta + rng.randint(-4, 4))) for channel in colour)
    return red, green, blue


@cache
def background(place: str, variant: int) -> np.ndarray:
    """The empty place; uint8 [64, 64, 3], read-only. ``variant`` is 0 to VARIANTS - 1."""
    rng = random.Random(f"{place}/{variant}")
    sky, ground, horizon = _GROUNDS[place]
    picture = Image.new("RGB", (_BIG, _BIG), _shift(sky, rng))
    pen, line = ImageDraw.Draw(picture), _BIG
    if place != "space":
        line = int(_BIG * (horizon + rng.uniform(-0.06, 0.06)))
        pen.rectangle((0, line, _BIG, _BIG), fill=_shift(ground, rng))
    match place:
        case "beach":
            pen.rectangle((0, line - 40, _BIG, line), fill=_shift((95, 160, 185), rng))
        case "meadow":
            for _ in range(60):
                x, y = rng.randrange(_BIG), rng.randrange(line, _BIG)
                pen.line((x, y, x + rng.randint(-4, 4), y - 10), fill=(120, 170, 95), width=3)
        case "street":
            for x in range(0, _BIG, 48):
                pen.rectangle((x, rng.randrange(20, 90), x + 42, line), fill=_shift((176, 165, 160), rng, 14))
            for x in range(rng.randrange(40), _BIG, 64):
                pen.rectangle((x, line + 44, x + 32, line + 52), fill=(225, 225, 215))
        case "kitchen":
            for step in range(0, line, 32):
                pen.line((0, step, _BIG, step), fill=(198, 206, 204), width=3)
                pen.line((step, 0, step, line), fill=(198, 206, 204), width=3)
        case "desert":
            left = rng.randrange(-60, 60)
            pen.ellipse((left, line - 30, left + 200, line + 100), fill=(212, 170, 110))
        case "forest":
            for x in range(rng.randrange(30), _BIG, 44):
                pen.rectangle((x, 0, x + 12, line + rng.randrange(30)), fill=_shift((122, 116, 92), rng))
        case "bedroom":
            for x in range(0, _BIG, 40):
                pen.rectangle((x, 0, x + 14, line), fill=(218, 192, 204))
        case "lake":
            for _ in range(24):
                x, y = rng.randrange(_BIG), rng.randrange(line + 8, _BIG)
                pen.line((x, y, x + 36, y), fill=(140, 188, 208), width=4)
        case "snow" | "space":
            count, side, colour = (40, 6, (250, 252, 255)) if place == "snow" else (50, 5, (206, 206, 224))
            for _ in range(count):
                x, y = rng.randrange(_BIG), rng.randrange(_BIG)
                pen.ellipse((x, y, x + side, y + side), fill=colour)
    small = picture.filter(ImageFilter.GaussianBlur(1.5)).resize((SIZE, SIZE), Image.Resampling.BOX)
    pixels = np.array(small, dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels


# --------------------------------------------------------------------------------------------------------------------
# Sprites of things

ASSETS = Path(fontawesomefree.__file__).parent / "static" / "fontawesomefree"
OUTLINE, OUTLINE_COLOUR = 1, (8, 8, 8)

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
    """A coloured icon ready to blend.

    ``ink`` uint16 [h, w, 3] is colour times opacity (0 to 255 x 255), ``clear`` uint16 [h, w, 1] is 255 - opacity, and
    ``solid`` bool [h, w] marks the pixels that belong to the thing.
    """

    ink: np.ndarray
    clear: np.ndarray
    solid: np.ndarray


@cache
def _font() -> tuple[ImageFont.FreeTypeFont, dict[str, str]]:
    """The solid font, and its characters by icon name."""
    icons = json.loads((ASSETS / "metadata" / "icons.json").read_text(encoding="utf-8"))
    characters = {name: chr(int(icon["unicode"], 16)) for name, icon in icons.items() if "solid" in icon["styles"]}
    return ImageFont.truetype(str(ASSETS / "webfonts" / "fa-solid-900.ttf"), 256), characters


@cache
def _tight(icon: str) -> Image.Image:
    """The icon at high resolution, cut to its bounding box, mode L."""
    font, characters = _font()
    canvas = Image.new("L", (512, 512), 0)
    ImageDraw.Draw(canvas).text((256, 256), characters[icon], font=font, fill=255, anchor="mm")
    return canvas.crop(canvas.getbbox())


@cache
def sprite(icon: str, side: int, colour: str) -> Sprite:
    """The icon in ``colour``, its longer side ``side`` pixels, within a dark outline of one pixel."""
    art = _tight(icon)
    scale = side / max(art.size)
    size = (max(3, round(art.width * scale)), max(3, round(art.height * scale)))
    padded = np.pad(np.asarray(art.resize(size, Image.Resampling.LANCZOS), dtype=np.uint8), OUTLINE)
    halo = np.asarray(Image.fromarray(padded).filter(ImageFilter.MaxFilter(2 * OUTLINE + 1)), dtype=np.uint16)
    inner = padded.astype(np.uint16)
    rim = halo - inner
    ink = inner[..., None] * np.array(RGB[colour], np.uint16) + rim[..., None] * np.array(OUTLINE_COLOUR, np.uint16)
    clear = (255 - np.minimum(255, inner + rim)).astype(np.uint16)[..., None]
    return Sprite(ink.astype(np.uint16), clear, (inner + rim) >= 128)


def blend(canvas: np.ndarray, stamp: Sprite, x: int, y: int) -> None:
    """Draw ``stamp`` with its upper left corner at (x, y) onto ``canvas`` (uint8 [H, W, 3]), in place."""
    height, width = stamp.clear.shape[:2]
    spot = canvas[y : y + height, x : x + width]
    spot[...] = (stamp.ink + spot * stamp.clear) // 255


# --------------------------------------------------------------------------------------------------------------------
# Layers of SVG: float32 [64, 64, 4], three channels of premultiplied colour in 0..255 and one of transmission in 0..1
# (what shows through from below), so that laying one over an image takes one product and one sum


def layer(content: str, view_box: str) -> np.ndarray:
    """The layer of SVG elements in the units of ``view_box``, drawn by resvg. Raises ValueError for malformed ones."""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    shape = f'viewBox="{view_box}" width="{SIZE}" height="{SIZE}" preserveAspectRatio="none"'
    svg = f"<svg {spaces} {shape}>{content}</svg>"
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True))
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.float32)
    alpha = rgba[..., 3:] / 255.0
    return np.concatenate([rgba[..., :3] * alpha, 1.0 - alpha], axis=-1)


def stack(ground: Sequence[int], layers: Iterable[np.ndarray]) -> np.ndarray:
    """``layers`` from back to front over a plain ``ground`` (three values in 0..255), as float32 [64, 64, 3]."""
    picture = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    picture[:] = tuple(ground)
    for each in layers:
        picture *= each[..., 3:]
        picture += each[..., :3]
    return picture


# --------------------------------------------------------------------------------------------------------------------
# Light

_CASTS: dict[str, Colour] = {"cool": (215, 242, 255), "neutral": (255, 255, 255), "warm": (255, 242, 215)}
"""What becomes of white in each light."""


def lit(picture: np.ndarray, light: str) -> np.ndarray:
    """``picture`` (uint8 [H, W, 3]) in "cool", "neutral" or "warm" light: a cast over all of it."""
    return (picture * np.array(_CASTS[light], np.uint16) // 255).astype(np.uint8)
