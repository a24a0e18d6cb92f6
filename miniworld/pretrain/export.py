"""Write the weights of a finished pretraining where the package, or a user's registry entry, finds them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from miniworld.pretrain.contrastive import PretrainConfig, Vocabulary, compact_model, full_state, read_checkpoint
from miniworld.pretrain.pool import Pool
from negutil import code, files
from negutil.errors import NegutilError
from negutil.models import architectures


def export(config: PretrainConfig, pool: Pool, out: Path, weights: Path, command: str) -> None:
    """Write ``weights`` (a .safetensors file) and, beside it, .json and .curve.csv from the finished run in ``out``.

    The weights are float16 under open_clip's names; rows of the token embedding that the pool never used are zero.
    Raises NegutilError where the run is not finished or a weight does not fit into float16.
    """
    content = read_checkpoint(out / "checkpoint.pt")
    if content["done"] != config.steps:
        raise NegutilError(f"{out} stands at step {content['done']} of {config.steps}; finish this pretraining first.")
    vocabulary = Vocabulary(pool)
    model = compact_model(config, vocabulary)
    model.load_state_dict(content["model"])
    state = {key: _half(key, value) for key, value in full_state(model, vocabulary, config.architecture).items()}
    files.write_bytes(weights, safetensors.torch.save(state, metadata=_metadata(config)))
    about = _about(config, pool, content, command)
    about |= {"sha256": files.sha256(weights), "tokens_in_pool": len(vocabulary.ids)}
    files.write_text(weights.with_suffix(".json"), json.dumps(about, indent=2, sort_keys=True) + "\n")
    files.write_bytes(weights.with_suffix(".curve.csv"), (out / "curve.csv").read_bytes())


def _half(name: str, value: torch.Tensor) -> torch.Tensor:
    half = value.to(torch.float16).contiguous()
    if not torch.isfinite(half).all():
        raise NegutilError(f"The weight {name} does not fit into float16; pretrain again with a lower `lr`.")
    return half


def _metadata(config: PretrainConfig) -> dict[str, str]:
    quick = architectures.uses_quick_gelu(config.architecture)
    return {"format": "pt", "architecture": config.architecture, "activation": "quick_gelu" if quick else "gelu"}


def _about(config: PretrainConfig, pool: Pool, content: dict[str, Any], command: str) -> dict[str, Any]:
    facts = code.provenance(command=command, seconds=round(content["seconds"], 1))
    kept = ("command", "commit", "packages", "processor", "python", "seconds", "system", "version")
    return {"config": asdict(config), "pool": pool.info} | {key: facts[key] for key in kept}
