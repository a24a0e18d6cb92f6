"""Pictures made worse in the ways in which generated ones are: blurred, noisy, coarse within patches, blotched.

The judge of generated pictures learns from such pictures and is tested on them, because its error rates on clean
drawings would flatter it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.fft import dct
from torch.nn import functional

PATCH = 8
CLEAN, BLURRED, NOISY, COARSE, BLOTCHED, MIXED = CONDITIONS = (
    *("clean", "blurred", "noisy", "coarse patches", "blotched", "mixed"),
)


def degrade(pictures: torch.Tensor, condition: str, source: torch.Generator) -> torch.Tensor:
    """Pictures [B, 3, H, W] in 0..1 in one of CONDITIONS; "mixed" draws a condition for each picture.

    How much each is made worse is drawn from ``source`` too.
    """
    if condition == MIXED:
        drawn = torch.randint(len(_WAYS), (len(pictures),), generator=source)
        found = pictures.clone()
        for index, name in enumerate(_WAYS):
            own = drawn == index
            if own.any():
                found[own] = degrade(pictures[own], name, source)
        return found
    strength = torch.rand(len(pictures), 1, 1, 1, generator=source)
    return _WAYS[condition](pictures, strength, source).clamp(0, 1)


def _clean(pictures: torch.Tensor, _: torch.Tensor, __: torch.Generator) -> torch.Tensor:
    return pictures


def _blur(pictures: torch.Tensor, strength: torch.Tensor, _: torch.Generator) -> torch.Tensor:
    """A mixture of the picture with itself blurred by a Gaussian of 1.2 pixels."""
    line = torch.exp(-(torch.arange(-3, 4, dtype=torch.float32) ** 2) / (2 * 1.2**2))
    kernel = torch.outer(line, line)[None, None].repeat(3, 1, 1, 1) / line.sum() ** 2
    padded = functional.pad(pictures, (3, 3, 3, 3), mode="replicate")
    return torch.lerp(pictures, functional.conv2d(padded, kernel, groups=3), 0.3 + 0.7 * strength)


def _noise(pictures: torch.Tensor, strength: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """Noise of up to 0.12 in every pixel."""
    return pictures + 0.12 * strength * torch.randn(pictures.shape, generator=source)


def _coarse(pictures: torch.Tensor, strength: torch.Tensor, _: torch.Generator) -> torch.Tensor:
    """The slow waves (a quarter of all) of every patch of 8 x 8 pixels, as a small autoencoder keeps them."""
    kept = _slow(16).to(pictures)
    batch, channels, height, width = pictures.shape
    patches = pictures.view(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH).transpose(3, 4)
    rough = (patches.flatten(4) @ kept).view(patches.shape).transpose(3, 4).reshape(pictures.shape)
    return torch.lerp(pictures, rough, 0.4 + 0.6 * strength)


def _blotch(pictures: torch.Tensor, strength: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """Smooth stains of up to 0.25, on top of coarse patches."""
    batch, _, height, width = pictures.shape
    stains = torch.randn(batch, 3, height // PATCH, width // PATCH, generator=source)
    spread = functional.interpolate(stains, size=(height, width), mode="bilinear", align_corners=False)
    return _coarse(pictures, strength, source) + 0.25 * strength * spread


@cache
def _slow(count: int) -> torch.Tensor:
    """The projection [64, 64] of a patch onto its ``count`` slowest cosine waves."""
    waves = dct(np.eye(PATCH), axis=0, norm="ortho")
    order = np.argsort(np.add.outer(np.arange(PATCH), np.arange(PATCH)).ravel(), kind="stable")[:count]
    basis = np.einsum("ax,by->abxy", waves, waves).reshape(PATCH**2, PATCH**2)[order]
    return torch.from_numpy((basis.T @ basis).astype(np.float32))


_WAYS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]] = {
    CLEAN: _clean,
    BLURRED: _blur,
    NOISY: _noise,
    COARSE: _coarse,
    BLOTCHED: _blotch,
}
