"""An open_clip text tower as transformers' CLIPTextModel, put into pipelines of diffusers and into CLIPSeg.

NegationCLIP replaces the text encoder of Stable Diffusion and of CLIPSeg by its own, without further training
(docs/protocols.md#text-to-image). Only weights move: names and layouts differ, all hidden states are equal.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch

from negutil.errors import NegutilError
from negutil.models import architectures, hub, text_tower, transformers_names
from negutil.models.loader import LoadedModel
from negutil.models.transformers_names import State

START, END = "<|startoftext|>", "<|endoftext|>"
ENCODERS = ("text_encoder", "text_encoder_2")
PROJECTION = "text_projection.weight"


def to_transformers(model: Any) -> Any:
    """Return the text tower of the open_clip ``model`` as a CLIPTextModel, in evaluation mode.

    Raises NegutilError for a model whose text tower is not CLIP's own.
    """
    encoder = hub.library("transformers").CLIPTextModel(_config(model))
    encoder.load_state_dict(renamed(text_tower.state(model)))
    return encoder.eval()


def to_transformers_projected(model: Any) -> Any:
    """Return the same with the projection into the space shared with images (as SDXL's second encoder has it).

    Raises NegutilError for a model whose text tower is not CLIP's own.
    """
    state = text_tower.state(model)
    encoder = hub.library("transformers").CLIPTextModelWithProjection(_config(model))
    encoder.text_model.load_state_dict(renamed(state))
    encoder.load_state_dict({PROJECTION: state["text_projection"].T.contiguous()}, strict=False)
    return encoder.eval()


def renamed(state: State) -> State:
    """Return open_clip's text tower ``state`` under the names of transformers (without projection and logit scale)."""
    named = transformers_names.to_transformers(state)
    return {name.removeprefix("text_model."): each for name, each in named.items() if name.startswith("text_model.")}


@functools.cache
def _words() -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """CLIP's vocabulary and merges, as open_clip ships them; only start and end have other names in transformers."""
    clip = architectures.open_clip().SimpleTokenizer()
    names = {clip.sot_token_id: START, clip.eot_token_id: END}
    return {names.get(number, word): number for word, number in clip.encoder.items()}, tuple(clip.bpe_ranks)


def tokenizer(model: Any) -> Any:
    """Return CLIP's tokenizer for ``model``, padding with the end token as Stable Diffusion does.

    It gives the ids of open_clip's up to the end token for texts that need no repair: open_clip also repairs broken
    Unicode (ftfy) and HTML entities before, transformers does not.
    """
    vocabulary, merges = _words()
    return hub.library("transformers").CLIPTokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=model.context_length,
    )


def padded(tokens: torch.Tensor) -> torch.Tensor:
    """Return open_clip's ``tokens`` [N, L] padded with the end token, the highest id, instead of 0."""
    end = tokens.argmax(dim=-1, keepdim=True)
    after = torch.arange(tokens.shape[-1], device=tokens.device) > end
    return torch.where(after, tokens.gather(-1, end), tokens)


def swap(pipeline: Any, model: LoadedModel, encoders: Sequence[str] = ENCODERS[:1]) -> Any:
    """Return a pipeline with the parts of the diffusers ``pipeline`` but the text tower of ``model``.

    ``encoders`` names what is replaced: "text_encoder" (Stable Diffusion's only one), "text_encoder_2" (SDXL's second)
    or both. The given pipeline stays as it is, and both share their other parts. Raises NegutilError if the pipeline
    has no such encoder, or the model's text tower has another size than it.
    """
    # What the constructor of the pipeline is to be given to make it again.
    kept = ("requires_safety_checker", "force_zeros_for_empty_prompt")
    parts = dict(pipeline.components) | {name: pipeline.config[name] for name in kept if name in pipeline.config}
    for name in encoders:
        old = getattr(pipeline, name, None)
        if old is None:
            raise NegutilError(f"{type(pipeline).__name__} has no '{name}' to replace; it must be one of its encoders.")
        projected = _is_projected(old)
        new = (to_transformers_projected if projected else to_transformers)(model.model)
        _require_same_size(old.config, new.config, model.name, name, projected)
        parts[name] = new.to(old.device, old.dtype)
    swapped = type(pipeline)(**parts)
    swapped.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return swapped


def swap_clipseg(segmenter: Any, model: LoadedModel) -> Any:
    """Put the text tower of ``model`` into the CLIPSegForImageSegmentation ``segmenter``, in place, and return it.

    Raises NegutilError if the sizes differ.
    """
    new = to_transformers_projected(model.model)
    clip = segmenter.clip
    _require_same_size(clip.config.text_config, new.config, model.name, "text model of CLIPSeg", False)
    if clip.text_projection.weight.shape != new.text_projection.weight.shape:
        sizes = f"{list(new.text_projection.weight.shape)} instead of {list(clip.text_projection.weight.shape)}"
        raise NegutilError(f"The text projection of '{model.name}' is {sizes}; choose a model of CLIPSeg's sizes.")
    _inner(clip).load_state_dict(_inner(new).state_dict())
    clip.text_projection.load_state_dict(new.text_projection.state_dict())
    return segmenter


def _is_projected(encoder: Any) -> bool:
    return isinstance(encoder, hub.library("transformers").CLIPTextModelWithProjection)


def _inner(encoder: Any) -> Any:
    """The transformer of a text model, without its projection."""
    return getattr(encoder, "text_model", encoder)


def _config(model: Any) -> Any:
    """The settings of a CLIPTextModel of the same sizes and activation as the text tower of ``model``."""
    if not isinstance(model, architectures.open_clip().CLIP):
        raise NegutilError(f"{type(model).__name__} has no text tower like CLIP's; choose a model of class CLIP.")
    state = text_tower.state(model)
    block = model.transformer.resblocks[0]
    quick = isinstance(block.mlp.gelu, architectures.open_clip().transformer.QuickGELU)
    return hub.library("transformers").CLIPTextConfig(
        vocab_size=state["token_embedding.weight"].shape[0],
        hidden_size=state["token_embedding.weight"].shape[1],
        intermediate_size=block.mlp.c_fc.out_features,
        projection_dim=state["text_projection"].shape[1],
        num_hidden_layers=len(model.transformer.resblocks),
        num_attention_heads=block.attn.num_heads,
        max_position_embeddings=state["positional_embedding"].shape[0],
        hidden_act="quick_gelu" if quick else "gelu",
        layer_norm_eps=model.ln_final.eps,
        bos_token_id=_words()[0][START],
        eos_token_id=_words()[0][END],
        pad_token_id=_words()[0][END],
    )


def _require_same_size(old: Any, new: Any, name: str, place: str, projected: bool) -> None:
    """Raise NegutilError unless the new encoder's states can replace the old one's."""
    keys = ["hidden_size", "max_position_embeddings", "vocab_size", *(["projection_dim"] if projected else [])]
    for key in keys:
        if getattr(old, key) != getattr(new, key):
            raise NegutilError(
                f"The text tower of '{name}' has {key} {getattr(new, key)}, but the {place} to replace has "
                f"{getattr(old, key)}; choose a model of the same sizes."
            )
