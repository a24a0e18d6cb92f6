"""MiniCLIPSeg: CLIPSeg (Lüddecke and Ecker 2022) on the frozen towers of a MiniCLIP, and the published CLIPSeg.

Both are ``transformers``' CLIPSegForImageSegmentation. The decoder reads three layers of the image tower and is steered
by the text feature, not normalised (docs/protocols.md#segmentation), so that another text tower of the same width can
take the place of the original one without any training. The weights of MiniCLIPSeg are those of the decoder alone: its
towers are those of its base in the model registry.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from PIL import Image

from negutil import files, paths
from negutil.cache import settings_sha256
from negutil.errors import NegutilError
from negutil.models import architectures, encoder_swap, hub, loader, registry, transformers_names
from negutil.models.loader import LoadedModel

if TYPE_CHECKING:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

REGISTRY = paths.CONFIGS / "segmenters.toml"
EXTRACT_LAYERS = (0, 1, 2)
"""Counted from 0; CLIPSeg reads blocks 3, 7 and 9 of 12. Nothing has trained what the last block makes of patches."""

REDUCE_DIM, HEADS, HIDDEN = 64, 4, 256


@dataclass(frozen=True, slots=True)
class Entry(files.Settings):
    """A model of ``configs/segmenters.toml``, with exactly one of ``package`` and ``hub``.

    Attributes:
        base: the model of the registry whose towers it has, and whose fine-tuned text towers fit.
        package: file of the decoder's weights in negutil/models/weights, with its ``sha256``.
        hub: repository of a whole CLIPSeg, at ``revision`` ("": as in configs/revisions.toml).
    """

    name: str
    base: str
    package: str = ""
    sha256: str = ""
    hub: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A model that scores every pixel for a phrase.

    Attributes:
        model: the network, in evaluation mode.
        preprocess: makes float32 [3, size, size] of an image; tokenizer: int64 [T, L] of texts.
        size: side of the scores in pixels.
        fingerprint: everything that the scores depend on.
    """

    name: str
    model: CLIPSegForImageSegmentation
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenizer: Callable[[list[str]], torch.Tensor]
    size: int
    fingerprint: dict[str, Any]


# --------------------------------------------------------------------------------------------------------------------
# Loading


def find(name: str, file: Path | None = None) -> Entry:
    """The entry called ``name``; raises NegutilError if there is none, or where the file is damaged."""
    file = file or REGISTRY
    tables = files.read_toml(file)
    if name not in tables:
        raise NegutilError(f"There is no segmenter '{name}' in {file}; there are {', '.join(tables)}.")
    entry = files.checked(Entry, tables[name] | {"name": name}, f"{file}: [{name}]")
    if bool(entry.package) == bool(entry.hub):
        raise NegutilError(f"{file}: '{name}' needs one of package and hub; write exactly one of them.")
    return entry


def load(name: str = "miniclipseg", device: str = "cpu") -> Segmenter:
    """Load a segmenter with its original towers.

    Raises NegutilError if the weights are missing, damaged, not those of the registry, or made for another base.
    """
    entry = find(name)
    if not entry.hub:
        return load_file(entry, paths.WEIGHTS / entry.package, device)
    module, pinned = hub.library("transformers"), hub.revision(entry.hub, entry.revision)
    try:
        model = module.CLIPSegForImageSegmentation.from_pretrained(entry.hub, revision=pinned)
        processor = module.AutoProcessor.from_pretrained(entry.hub, revision=pinned, trust_remote_code=False)
    except OSError as problem:
        raise NegutilError(
            f"'{entry.hub}' could not be loaded; go online once, or put its files where the hub keeps them."
        ) from problem
    pictures = processor.image_processor  # prepares images as the published model wants them

    def preprocess(picture: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = pictures(picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return pixels

    fingerprint = {
        "segmenter": entry.name,
        "weights_sha256": loader.state_sha256(model.state_dict()),
        "preprocessing": settings_sha256(pictures.to_dict()),
    }
    size = int(pictures.size["height"])
    tokenizer = architectures.tokenizer(registry.find(entry.base).architecture)
    return Segmenter(entry.name, model.to(device).eval(), preprocess, tokenizer, size, fingerprint)


def load_file(entry: Entry, file: Path, device: str = "cpu") -> Segmenter:
    """Load the decoder in ``file`` on the towers of its base; raises NegutilError as :func:`load` does."""
    base = loader.load(entry.base)
    bare = untrained(base)
    if not file.is_file():
        raise NegutilError(f"{file} does not exist; restore it, or run `negutil pretrain miniclipseg`.")
    actual = files.sha256(file)
    if actual != entry.sha256:
        raise NegutilError(
            f"{file} has sha256 {actual}, but '{entry.name}' is registered with {entry.sha256 or 'none'}; restore "
            f"the file, or correct {REGISTRY.name}."
        )
    try:
        with safetensors.safe_open(file, "pt") as content:
            was = (content.metadata() or {}).get("base_sha256", "")
        state = {name: value.float() for name, value in safetensors.torch.load_file(file).items()}
    except (safetensors.SafetensorError, OSError) as problem:
        raise NegutilError(f"{file} is damaged ({problem}); restore it or pretrain again.") from problem
    loader.require_base(f"{file} was trained on", base, was, "run `negutil pretrain miniclipseg`")
    network: Any = bare.model
    try:
        network.decoder.load_state_dict(state)
    except RuntimeError as problem:
        raise NegutilError(f"{file} does not fit MiniCLIPSeg on '{entry.base}'; pretrain it again.") from problem
    network.to(device)
    fingerprint = bare.fingerprint | {"segmenter": entry.name, "decoder_sha256": entry.sha256}
    return dataclasses.replace(bare, name=entry.name, fingerprint=fingerprint)


def swapped(segmenter: Segmenter, encoder: LoadedModel) -> Segmenter:
    """The segmenter with the text tower of ``encoder``, and nothing else changed; the given one stays as it is.

    Raises NegutilError if the text tower has another size.
    """
    model = encoder_swap.swap_clipseg(copy.deepcopy(segmenter.model), encoder)
    fingerprint = segmenter.fingerprint | {"text_weights_sha256": encoder.fingerprint["weights_sha256"]}
    return dataclasses.replace(segmenter, name=encoder.name, model=model, fingerprint=fingerprint)


# --------------------------------------------------------------------------------------------------------------------
# Building


def untrained(base: LoadedModel) -> Segmenter:
    """Return CLIPSeg with both towers of ``base`` and a newly initialised decoder, on the CPU."""
    model: CLIPSegForImageSegmentation = hub.library("transformers").CLIPSegForImageSegmentation(configuration(base))
    state = base.model.visual.state_dict()
    named = transformers_names.to_transformers({f"visual.{name}": value for name, value in state.items()})
    model.clip.visual_projection.weight.data.copy_(named.pop("visual_projection.weight"))
    model.clip.vision_model.load_state_dict({name.removeprefix("vision_model."): each for name, each in named.items()})
    encoder_swap.swap_clipseg(model, base)
    # transformers draws the linear maps with a standard deviation of 1, its default where a configuration names none:
    # scores are in the tens then, and a thousand steps of training teach next to nothing. CLIPSeg's own code draws them
    # as torch does by itself.
    decoder: Any = model.decoder
    for layer in (decoder.film_mul, decoder.film_add, *decoder.reduces, decoder.transposed_convolution):
        layer.reset_parameters()
    return Segmenter(base.name, model.eval(), base.preprocess, base.tokenizer, base.entry.size, dict(base.fingerprint))


def configuration(base: LoadedModel) -> CLIPSegConfig:
    """The settings of CLIPSeg on the towers of ``base``, an open_clip model with vision and text transformers."""
    config: CLIPSegConfig = hub.library("transformers").CLIPSegConfig(
        **transformers_names.config(base.entry.architecture),
        extract_layers=list(EXTRACT_LAYERS),
        reduce_dim=REDUCE_DIM,
        decoder_num_attention_heads=HEADS,
        decoder_intermediate_size=HIDDEN,
    )
    return config


# --------------------------------------------------------------------------------------------------------------------
# Scores


@torch.no_grad()
def activations(segmenter: Segmenter, pixels: torch.Tensor) -> list[torch.Tensor]:
    """What the decoder reads of the images ``pixels`` [B, 3, S, S]: one [B, 1 + patches, width] per layer."""
    model = segmenter.model
    seen = model.clip.vision_model(pixels, interpolate_pos_encoding=True, output_hidden_states=True)
    return [seen.hidden_states[layer + 1] for layer in model.extract_layers]


@torch.no_grad()
def conditions(segmenter: Segmenter, texts: Sequence[str], batch: int = 256) -> torch.Tensor:
    """Text features [T, D] that steer the decoder, not normalised; padding is cut off, which changes nothing."""
    tokens = segmenter.tokenizer(list(texts))
    tokens = tokens[:, : int(tokens.argmax(dim=-1).max()) + 1].to(segmenter.model.device)
    clip = segmenter.model.clip
    return torch.cat([clip.get_text_features(part).pooler_output for part in tokens.split(batch)])


@torch.inference_mode()
def scores(segmenter: Segmenter, layers: Sequence[torch.Tensor], steering: torch.Tensor) -> torch.Tensor:
    """Probability [B, S, S] of every pixel to be meant; ``layers`` and ``steering`` [B, D] pair up row by row."""
    logits: torch.Tensor = segmenter.model.decoder(list(layers), steering).logits
    return logits.sigmoid()
