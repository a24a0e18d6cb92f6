"""Small models for the tests: an architecture known to open_clip, random weights from a seed, an entry for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from negutil import files
from negutil.models import architectures, encoder_swap, text_tower, transformers_names
from negutil.models.registry import Entry

ARCHITECTURE = "Tiny-Test"
architectures.open_clip().add_model_config(Path(__file__).with_name("Tiny-Test.json"))
TEXTS = ["a photo of a cat", "a photo with no cat", "two red cars in a street at night, and a dog that wears a hat"]


def pictures(n: int = 3) -> np.ndarray:
    """Pictures uint8 [n, 64, 64, 3] made of waves, so that they do not depend on the mini world or on a generator."""
    y, x, colour, i = np.meshgrid(np.arange(64), np.arange(64), np.arange(3), np.arange(n), indexing="ij")
    waves = np.sin(x * (i + 1) / 7 + colour) * np.cos(y * (i + 2) / 9 - colour)
    return np.moveaxis(np.rint(127.5 + 127.5 * waves).astype(np.uint8), -1, 0)


def state(seed: int = 0, architecture: str = ARCHITECTURE) -> dict[str, torch.Tensor]:
    """A seeded state dict of ``architecture``."""
    torch.manual_seed(seed)
    return dict(architectures.build(architecture).state_dict())


def write(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> Entry:
    """Save weights as safetensors in ``folder`` and return an entry for them, with ``changes``."""
    file = folder / "weights.safetensors"
    safetensors.torch.save_file(tensors or state(), file)
    return entry(file, **changes)


def entry(file: Path, **changes: Any) -> Entry:
    """An entry for the weight file ``file`` as it is, with ``changes``."""
    values: dict[str, Any] = {
        "name": "tiny",
        "architecture": ARCHITECTURE,
        "activation": "quick_gelu",
        "sha256": files.sha256(file),
        "size": 64,
        "source": "random",
        "path": str(file),
    }
    return Entry(**(values | changes))


def to_open_clip(encoder: Any, model: Any) -> None:
    """Copy ``encoder`` into the text tower of the open_clip ``model``; what ``encoder`` lacks stays as it is.

    Raises NegutilError where their sizes differ.
    """
    found = restored(dict(encoder_swap._inner(encoder).state_dict()))
    if encoder_swap._is_projected(encoder):
        found["text_projection"] = encoder.text_projection.weight.detach().T.contiguous()
    own = text_tower.state(model)
    kept = {name: own[name] for name in ("text_projection", "logit_scale") if name in own}
    text_tower.put(model, kept | found, type(encoder).__name__)


def restored(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what ``encoder_swap.renamed`` returned under open_clip's names again."""
    return transformers_names.from_transformers({f"text_model.{name}": each for name, each in state.items()})
