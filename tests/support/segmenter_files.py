"""A segmenter for the tests: MiniCLIPSeg on the small MiniCLIP, with a decoder that nobody has trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from negutil import files, paths
from negutil.models import loader, miniclipseg

BASE = "miniclip-s-8"


def write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a seeded decoder into ``folder`` and make it the registered ``miniclipseg``; returns its file."""
    base = loader.load(BASE)
    torch.manual_seed(0)
    state = {name: value.contiguous() for name, value in miniclipseg.untrained(base).model.decoder.state_dict().items()}
    file = folder / "miniclipseg.safetensors"
    metadata = {"base": BASE, "base_sha256": str(base.fingerprint["weights_sha256"])}
    safetensors.torch.save_file(state, file, metadata=metadata)
    table = folder / "segmenters.toml"
    table.write_text(f'[miniclipseg]\nbase = "{BASE}"\npackage = "{file.name}"\nsha256 = "{files.sha256(file)}"\n')
    original = paths.WEIGHTS
    for weights in original.glob("miniclip-s-8.*"):
        (folder / weights.name).symlink_to(weights)
    monkeypatch.setattr(miniclipseg, "REGISTRY", table)
    monkeypatch.setattr(paths, "WEIGHTS", folder)
    return file
