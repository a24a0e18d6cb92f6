"""Drawing pictures for an experiment: which pipeline with whose text encoder draws which prompts, in several processes.

Finished batches are kept (``models.generation``), so an interrupted run resumes where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from negutil import progress
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import loader, processes
from negutil.tasks.picture_judge import Pictures

MINISD = "minisd"


@dataclass(frozen=True, slots=True)
class Order:
    """Pictures that one text encoder is to make: ``encoder`` is a model's name, "" for the pipeline's own.

    ``prompts``, ``seeds`` and ``negatives`` ("" for none) are of equal length.
    """

    encoder: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    negatives: tuple[str, ...] = ()


def pictures(settings: Profile, orders: Sequence[Order]) -> list[Pictures]:
    """The pictures of every order, uint8 [N, H, W, 3], drawn in as many processes as the profile has.

    Raises NegutilError where the pipeline or a text encoder is missing or they do not fit together.
    """
    rows = [(settings, order) for order in orders]
    drawn = processes.each(fill, rows, settings.generation.processes)
    return list(progress.bar("drawing images for text encoders", drawn, total=len(rows)))


def fill(settings: Profile, order: Order) -> Pictures:
    """The pictures of one order."""
    from negutil.models import generation

    plan = settings.generation
    return generation.generate(
        pipeline(settings, order.encoder),
        order.prompts,
        order.seeds,
        steps=plan.steps,
        guidance=plan.guidance,
        negative_prompts=order.negatives or None,
        batch=plan.batch,
    )


def reconstructed(settings: Profile, originals: Pictures) -> Pictures:
    """Pictures uint8 [N, 64, 64, 3] after they went through the autoencoder of MiniSD, without any noise."""
    vae = pipeline(settings, "").vae
    scaled = torch.from_numpy(originals).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        back = vae.decode(vae.encode(scaled.to(vae.dtype)).latents).sample.float()
    pixels: Pictures = ((back.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


@lru_cache(maxsize=1)
def pipeline(settings: Profile, encoder: str) -> Any:
    """The profile's pipeline with the text tower of ``encoder``, or with its own ("").

    It is MiniSD, or one that diffusers loads from a folder or the hub by the name in the profile. Raises NegutilError
    where it is missing, or the text tower does not fit.
    """
    from negutil.models import encoder_swap, minisd

    name = settings.generation.pipeline
    own = minisd.load() if name == MINISD else _published(name)
    return encoder_swap.swap(own, loader.load(encoder, profile=settings.name)) if encoder else own


def _published(name: str) -> Any:
    """A pipeline of diffusers in half precision where there is a GPU; nothing but safetensors weights is read."""
    from negutil.models import hub

    on_gpu = torch.cuda.is_available()
    dtype, revision = torch.float16 if on_gpu else torch.float32, hub.revision(name)
    try:
        found = hub.library("diffusers").DiffusionPipeline.from_pretrained(
            name, revision=revision, torch_dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().split("\n")[0].rstrip(".")
        raise NegutilError(
            f"The pipeline {name} cannot be loaded ({reason}): name a folder or a repository with safetensors weights "
            "in the profile's generation.pipeline."
        ) from problem
    found.set_progress_bar_config(disable=True)
    return found.to("cuda") if on_gpu else found
