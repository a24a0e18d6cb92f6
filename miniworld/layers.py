"""Pictures as stacks of small layers: each SVG drawing is rendered once by resvg, then blended with numpy.

A layer is float32 [64, 64, 4]: three channels of premultiplied colour in 0..255 and one of transmission in 0..1 (what
shows through from below), so that laying it over a picture takes one product and one sum.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
import resvg_py
from PIL import Image

SIZE = 64


def document(content: str, view_box: str) -> str:
    """A whole SVG document of 64 x 64 pixels around ``content``, which is written in the units of ``view_box``."""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    shape = f'viewBox="{view_box}" width="{SIZE}" height="{SIZE}" preserveAspectRatio="none"'
    return f"<svg {spaces} {shape}>{content}</svg>"


def rasterise(svg: str) -> np.ndarray:
    """The layer of an SVG document, float32 [64, 64, 4]. Raises ValueError where the document is malformed."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True))
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.float32)
    alpha = rgba[..., 3:] / 255.0
    return np.concatenate([rgba[..., :3] * alpha, 1.0 - alpha], axis=-1)


def blend(background: Sequence[int], layers: Iterable[np.ndarray]) -> np.ndarray:
    """``layers`` from back to front over a plain ``background`` (three values in 0..255), as float32 [64, 64, 3]."""
    picture = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    picture[:] = tuple(background)
    for layer in layers:
        picture *= layer[..., 3:]
        picture += layer[..., :3]
    return picture


def compose(background: Sequence[int], layers: Iterable[np.ndarray]) -> np.ndarray:
    """``blend`` as uint8 [64, 64, 3]."""
    return np.rint(blend(background, layers)).clip(0, 255).astype(np.uint8)
