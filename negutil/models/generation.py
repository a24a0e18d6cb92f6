"""Pictures from prompts by any Stable Diffusion of diffusers: batched, the same for the same prompt and seed, cached.

The first noise of a picture comes from its own seed, so that pictures of one seed can be compared between encoders. A
batch is one entry of the cache: a run that was stopped goes on behind its last whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from negutil import code, progress
from negutil.cache import Cache, settings_sha256
from negutil.errors import NegutilError
from negutil.models import loader

STEPS = 6
GUIDANCE = 4.0
BATCH = 64
PARTS = ("text_encoder", "text_encoder_2", "unet", "vae")
Item = tuple[str, int, str]  # prompt, seed, negative prompt


def generate(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    negative_prompts: Sequence[str] | None = None,
    batch: int = BATCH,
    cached: bool = True,
) -> NDArray[np.uint8]:
    """Return one picture for each prompt and seed: uint8 [N, H, W, 3], picture i of ``prompts[i]`` and ``seeds[i]``.

    ``guidance`` is the scale of classifier-free guidance, towards the prompt and away from ``negative_prompts[i]``
    (without them, the empty text). Beside which others a picture is made does not matter, but for rounding.
    Raises NegutilError on no prompts, on lists of different lengths, and on steps or a batch below one.
    """
    negatives = [""] * len(prompts) if negative_prompts is None else negative_prompts
    if not len(prompts):
        raise NegutilError("There is no prompt to draw; give at least one.")
    if not len(prompts) == len(seeds) == len(negatives):
        counts = f"{len(prompts)} prompts, {len(seeds)} seeds and {len(negatives)} negative prompts"
        raise NegutilError(f"There are {counts}; give one seed (and one negative prompt) for each prompt.")
    if steps < 1 or batch < 1:
        raise NegutilError(f"Nothing can be drawn in {steps} steps and batches of {batch}; give at least 1 of both.")
    items: list[Item] = list(zip(prompts, seeds, negatives, strict=True))
    settings: dict[str, Any] = {"steps": steps, "guidance": guidance}
    made_by: dict[str, Any] = {}
    if cached:
        made_by = {"kind": "generated pictures", "code_version": code.fingerprint(__name__)} | settings
        made_by |= fingerprint(pipeline)
    parts = []
    with progress.bar("drawing images", total=len(items), unit="image") as bar:
        for start in range(0, len(items), batch):
            some = items[start : start + batch]
            draw = partial(_draw, pipeline, some, settings)
            fields = made_by | {"items": some}
            parts.append((Cache().get_or_compute(fields, draw) if cached else draw())["pictures"])
            bar.update(len(some))
    return np.concatenate(parts)


def fingerprint(pipeline: Any) -> dict[str, Any]:
    """Return what pictures of ``pipeline`` depend on: its class, its scheduler, and the sha256 of each part's weights.

    The text encoder's is the entry "text_encoder".
    """
    parts = {name: part for name in PARTS if (part := getattr(pipeline, name, None)) is not None}
    weights = {name: loader.state_sha256(part.state_dict()) for name, part in parts.items()}
    scheduler = settings_sha256(pipeline.scheduler.config)
    kinds = {"pipeline": type(pipeline).__name__, "sampler": type(pipeline.scheduler).__name__}
    return weights | kinds | {"scheduler": scheduler, "device": torch.device(pipeline.device).type}


@torch.inference_mode()
def _draw(pipeline: Any, items: list[Item], settings: dict[str, Any]) -> dict[str, NDArray[np.uint8]]:
    """The "pictures" uint8 [N, H, W, 3] of one batch."""
    pictures: NDArray[np.float32] = pipeline(
        prompt=[prompt for prompt, _, _ in items],
        negative_prompt=[negative for _, _, negative in items],
        generator=[torch.Generator().manual_seed(seed) for _, seed, _ in items],
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance"],
        output_type="np",
    ).images
    return {"pictures": (pictures * 255).round().astype(np.uint8)}
