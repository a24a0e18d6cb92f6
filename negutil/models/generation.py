"""Images from prompts by any Stable Diffusion of diffusers: batched, the same for the same prompt and seed, cached.

The first noise of an image comes from its own seed, so that images of one seed can be compared between encoders. A
batch is one entry of the cache: an interrupted run resumes where it stopped. An experiment draws what it needs as
``Order``s, in several processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from negutil import code, progress
from negutil.cache import Cache, settings_sha256
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encoder_swap, hub, loader, processes

STEPS = 6
GUIDANCE = 4.0
BATCH = 64
MINISD = "minisd"
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
    """Return one image for each prompt and seed: uint8 [N, H, W, 3], image i of ``prompts[i]`` and ``seeds[i]``.

    ``guidance`` is the scale of classifier-free guidance, towards the prompt and away from ``negative_prompts[i]``
    (without them, the empty text). Beside which others an image is made does not matter, but for rounding.
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
    made_by = {"kind": "generated pictures", "code_version": code.fingerprint(__name__)} | settings
    if cached:
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
    """Return what images of ``pipeline`` depend on: its class, its scheduler, and the sha256 of each part's weights.

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


# --------------------------------------------------------------------------------------------------------------------
# For an experiment


@dataclass(frozen=True, slots=True)
class Order:
    """Images that one text encoder is to make: ``encoder`` is a model's name, "" for the pipeline's own.

    ``prompts``, ``seeds`` and ``negatives`` ("" for none) are of equal length.
    """

    encoder: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    negatives: tuple[str, ...] = ()


def draw_orders(settings: Profile, orders: Sequence[Order]) -> list[NDArray[np.uint8]]:
    """Return the images of every order, uint8 [N, H, W, 3], drawn in as many processes as the profile has.

    Raises NegutilError if the pipeline or a text encoder is missing or they do not fit together.
    """
    rows = [(settings, order) for order in orders]
    drawn = processes.each(draw_order, rows, settings.generation.processes)
    return list(progress.bar("drawing images for text encoders", drawn, total=len(rows)))


def draw_order(settings: Profile, order: Order) -> NDArray[np.uint8]:
    """Return the images of one order."""
    plan = settings.generation
    return generate(
        load_pipeline(settings, order.encoder),
        order.prompts,
        order.seeds,
        steps=plan.steps,
        guidance=plan.guidance,
        negative_prompts=order.negatives or None,
        batch=plan.batch,
    )


def reconstructed(settings: Profile, originals: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images uint8 [N, 64, 64, 3] after they went through the autoencoder of MiniSD, without any noise."""
    vae = load_pipeline(settings, "").vae
    scaled = torch.from_numpy(originals).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        back = vae.decode(vae.encode(scaled.to(vae.dtype)).latents).sample.float()
    pixels: NDArray[np.uint8] = ((back.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


@lru_cache(maxsize=1)
def load_pipeline(settings: Profile, encoder: str) -> Any:
    """Return the profile's pipeline with the text tower of ``encoder``, or with its own ("").

    It is MiniSD, or one that diffusers loads from a folder or the hub by the name in the profile, in half precision
    where there is a GPU; nothing but safetensors weights is read. Raises NegutilError if it is missing, or the text
    tower does not fit.
    """
    name, on_gpu = settings.generation.pipeline, torch.cuda.is_available()
    if name == MINISD:
        from negutil.models import minisd  # diffusers is slow to import

        pipeline = minisd.load()
    else:
        dtype, revision = torch.float16 if on_gpu else torch.float32, hub.revision(name)
        try:
            pipeline = hub.library("diffusers").DiffusionPipeline.from_pretrained(
                name, revision=revision, torch_dtype=dtype, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError) as problem:
            reason = str(problem).strip().split("\n")[0].rstrip(".")
            raise NegutilError(
                f"The pipeline {name} cannot be loaded ({reason}): name a folder or a repository with safetensors "
                "weights in the profile's generation.pipeline."
            ) from problem
        pipeline.set_progress_bar_config(disable=True)
        pipeline = pipeline.to("cuda") if on_gpu else pipeline
    return encoder_swap.swap(pipeline, loader.load(encoder, profile=settings.name)) if encoder else pipeline
