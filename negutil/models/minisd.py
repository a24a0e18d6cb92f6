"""MiniSD: a Stable Diffusion of tiny parts that draws images of the mini world from the token states of MiniCLIP.

Every part but one is a class of diffusers. The autoencoder is a fixed orthonormal transform of patches (principal
components) instead of a trained network: a latent cell is one patch of 8 x 8 pixels. Design: "MiniSD".
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.models import encoder_swap, hub, loader, trained
from negutil.models.loader import LoadedModel

State = dict[str, torch.Tensor]
WEIGHTS = "minisd.safetensors"
BASE = "miniclip-b-8"  # whose text tower MiniSD was pretrained with
SIZE = 64
STEPS = 1000  # of the noise schedule
diffusers = hub.library("diffusers")
Model: Any = diffusers.ModelMixin
Config: Any = diffusers.ConfigMixin
tiny = importlib.import_module("diffusers.models.autoencoders.autoencoder_tiny")  # for what its methods return


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of MiniSD: side of a patch in pixels, principal components kept of it, channels of the UNet's levels.

    Each level has ``blocks`` blocks and half the side of the one before. Its cells attend to each other and to the
    token states, of width ``text_width``, with that many ``heads``.
    """

    patch: int = 8
    components: int = 32
    channels: tuple[int, ...] = (96, 128)
    blocks: int = 1
    heads: int = 4
    groups: int = 16
    text_width: int = 80


class PatchTransform(Model, Config):
    """An autoencoder without training: each patch of P x P pixels as K coefficients of an orthonormal basis.

    It has the interface that pipelines ask of an autoencoder. Each coefficient is multiplied by its ``gains``, and by
    ``scaling_factor``, which brings their mean variance to one. Images are float [N, 3, H, W] in -1 to 1, latents
    float [N, K, H / P, W / P].
    """

    @diffusers.configuration_utils.register_to_config
    def __init__(
        self,
        patch: int = 8,
        latent_channels: int = 32,
        scaling_factor: float = 1.0,
        block_out_channels: tuple[int, ...] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        basis = torch.eye(3 * patch * patch)[:latent_channels]
        self.basis = torch.nn.Parameter(basis.view(latent_channels, 3, patch, patch), requires_grad=False)
        self.gains = torch.nn.Parameter(torch.ones(latent_channels), requires_grad=False)
        self.mean = torch.nn.Parameter(torch.zeros(3, patch, patch), requires_grad=False)

    def encode(self, pictures: torch.Tensor, return_dict: bool = True) -> Any:
        """Return the latents of ``pictures``, not yet multiplied by ``scaling_factor``."""
        centred = pictures - self._tiled(pictures)
        latents = functional.conv2d(centred, self.basis * self.gains.view(-1, 1, 1, 1), stride=self.config.patch)
        return tiny.AutoencoderTinyOutput(latents=latents) if return_dict else (latents,)

    def decode(self, latents: torch.Tensor, generator: object = None, return_dict: bool = True) -> Any:
        """Return the images of ``latents`` (already divided by ``scaling_factor``); ``generator`` is not needed."""
        weights = self.basis / self.gains.view(-1, 1, 1, 1)
        pictures = functional.conv_transpose2d(latents, weights, stride=self.config.patch)
        pictures = pictures + self._tiled(pictures)
        return tiny.DecoderOutput(sample=pictures) if return_dict else (pictures,)

    def _tiled(self, pictures: torch.Tensor) -> torch.Tensor:
        rows, columns = (length // self.config.patch for length in pictures.shape[-2:])
        return self.mean.repeat(1, rows, columns)


def fit_transform(pictures: NDArray[np.uint8], shape: Shape) -> PatchTransform:
    """Return the transform whose basis are the first principal components of the patches of ``pictures``.

    ``pictures`` is uint8 [N, 64, 64, 3]. Each component's largest weight is positive, so that the basis is unique. The
    gains are the variances to the power of -1/4: half way between pixels' own scale, in which brightness outweighs all
    else, and whitened ones, in which the faintest detail counts as much.
    Raises NegutilError if there are too few patches for as many components.
    """
    count, height, width, _ = pictures.shape
    side = shape.patch
    cut = pictures.reshape(count, height // side, side, width // side, side, 3).astype(np.float64) / 127.5 - 1
    patches = cut.transpose(0, 1, 3, 5, 2, 4).reshape(-1, 3 * side * side)  # channels first, as in a convolution
    if len(patches) <= patches.shape[1]:
        raise NegutilError(f"{len(pictures)} images are too few for the patches of MiniSD; give it more.")
    mean = patches.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    basis = vectors[:, ::-1][:, : shape.components].T
    peaks = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
    kept = variances[::-1][: shape.components]
    scale = 1 / np.sqrt(np.sqrt(kept).mean())
    transform = PatchTransform(shape.patch, shape.components, float(scale))
    state = {"basis": basis * np.sign(peaks), "gains": kept**-0.25, "mean": mean}
    like = transform.state_dict()
    tensors = {name: torch.from_numpy(value.copy()).float().view(like[name].shape) for name, value in state.items()}
    transform.load_state_dict(tensors)
    return transform


def build_unet(shape: Shape) -> Any:
    """Return the UNet of MiniSD, newly initialised: every level has self-attention and cross-attention.

    Besides, a mean of the token states, weighted by attention, scales and shifts every block, as the time does: what a
    prompt is about reaches the network sooner than by cross-attention alone (as in DeepFloyd's IF).
    """
    levels = len(shape.channels)
    return diffusers.UNet2DConditionModel(
        sample_size=SIZE // shape.patch,
        in_channels=shape.components,
        out_channels=shape.components,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=shape.channels,
        layers_per_block=shape.blocks,
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,  # the number of heads, in spite of its name
        norm_num_groups=shape.groups,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=shape.heads,
    )


def build_scheduler() -> Any:
    """Return the sampler: DPM-Solver++ over the cosine schedule that MiniSD is trained with, which ends in pure noise.

    Which sampler and how many steps was decided by ``benchmarks/generation.py``.
    """
    return diffusers.DPMSolverMultistepScheduler(
        num_train_timesteps=STEPS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        timestep_spacing="trailing",
        steps_offset=1,
    )


def assemble(unet: Any, vae: PatchTransform, model: LoadedModel) -> Any:
    """Return a pipeline of these parts with the text tower and tokenizer of ``model``."""
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=encoder_swap.to_transformers(model.model),
        tokenizer=encoder_swap.tokenizer(model.model),
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load(model: LoadedModel | None = None, file: Path | None = None, dtype: torch.dtype | None = None) -> Any:
    """Return MiniSD with the text tower it was pretrained with, or with that of ``model``.

    It computes in ``dtype``: by default in bfloat16 where the processor multiplies it in hardware, as larger pipelines
    do in half precision (here 1.7 times faster than float32), and else in float32.
    Raises NegutilError if the weights in ``file`` (default: the shipped ones) are missing or damaged, are not those
    described beside them, or were made with another text tower than the registry's, or where ``model`` does not fit.
    """
    file = file or paths.WEIGHTS / WEIGHTS
    unet, vae, made_with = load_parts(file)
    base = loader.load(BASE)
    loader.require_base(f"{file} was pretrained with", base, made_with, "run `negutil pretrain minisd` again")
    pipeline = assemble(unet, vae, base)
    has_bfloat16 = torch.cpu.get_capabilities().get("avx512_bf16")
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        # diffusers' own would warn that no part stays in float32
        torch.nn.Module.to(part, dtype or (torch.bfloat16 if has_bfloat16 else torch.float32))
    return pipeline if model is None else encoder_swap.swap(pipeline, model)


def load_parts(file: Path) -> tuple[Any, PatchTransform, str]:
    """Return UNet and autoencoder in float32 from ``file``, and the sha256 of the model they were pretrained with.

    Raises NegutilError if it or the note beside it is missing or damaged.
    """
    note = file.with_suffix(".json")
    about = files.read_json(note, "restore it or run `negutil pretrain minisd`")
    if not {"sha256", "shape", "scaling_factor", "base_sha256"} <= about.keys():
        raise NegutilError(f"{note} does not describe a MiniSD; restore it or run `negutil pretrain minisd`.")
    state = trained.read_tensors(file, about["sha256"], f"restore it and {note.name}")
    shape = about["shape"]
    unet = build_unet(Shape(**shape | {"channels": tuple(shape["channels"])}))
    vae = PatchTransform(shape["patch"], shape["components"], about["scaling_factor"])
    try:
        for part, module in (("unet.", unet), ("vae.", vae)):
            weights = {name.removeprefix(part): value.float() for name, value in state.items() if name.startswith(part)}
            module.load_state_dict(weights)
    except RuntimeError as problem:
        raise NegutilError(f"{file} does not fit the shape beside it; restore both files.") from problem
    return unet, vae, about["base_sha256"]


def latents(vae: PatchTransform, pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Return the scaled latents float32 [N, K, 8, 8] of ``pictures`` uint8 [N, 64, 64, 3]."""
    scaled = torch.tensor(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return vae.encode(scaled, return_dict=False)[0] * vae.config.scaling_factor


def pack(unet: Any, vae: PatchTransform) -> State:
    """Return the tensors of a weights file: the UNet's in float16, the transform's in float32."""
    state = {f"unet.{name}": value.to(torch.float16).contiguous() for name, value in unet.state_dict().items()}
    return state | {f"vae.{name}": value.contiguous() for name, value in vae.state_dict().items()}
