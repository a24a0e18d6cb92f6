"""The weights of a CLIP under open_clip's names, and under those of a CLIPModel of ``transformers``.

Only names and layouts differ: transformers keeps the matrices of query, key and value apart, which are one matrix in
open_clip, and its projections are transposed.
"""

from typing import Any

import torch

from negutil.errors import NegutilError
from negutil.models import architectures

State = dict[str, torch.Tensor]

KNOWN_BY = "text_model.embeddings.token_embedding.weight"
"""A name by which the weights of a CLIPModel are known."""

_BEGINNINGS = (
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),  # their spelling
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("visual_projection.weight", "visual.proj"),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.final_layer_norm.", "ln_final."),
    ("text_projection.weight", "text_projection"),
)
_INSIDE = (
    (".self_attn.", ".attn."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
)
"""What names begin with or hold in transformers, and what open_clip has in its place."""

_TRANSPOSED = ("visual.proj", "text_projection")
_STACKED = ("q_proj", "k_proj", "v_proj")


def to_transformers(state: State) -> State:
    """The weights ``state`` of open_clip, of a whole CLIP or of one tower, under the names of transformers."""
    found: State = {}
    turned = [(ours, theirs) for theirs, ours in (*_BEGINNINGS, *_INSIDE)]
    for name, tensor in state.items():
        value = tensor.T.contiguous() if name in _TRANSPOSED else tensor
        theirs = _translated(name, turned)
        if ".in_proj_" in theirs:
            parts = value.chunk(3)
            names = [theirs.replace(".in_proj_", f".{each}.") for each in _STACKED]
            found |= {each: part.contiguous() for each, part in zip(names, parts, strict=True)}
        else:
            found[theirs] = value
    return found


def from_transformers(state: State) -> State:
    """The weights ``state`` of a CLIPModel under open_clip's names."""
    found, pairs = State(), [*_BEGINNINGS, *_INSIDE]
    for name, tensor in state.items():
        ours = _translated(name, pairs)
        found[ours] = tensor.T.contiguous() if ours in _TRANSPOSED else tensor
    for query in [name for name in found if ".attn.q_proj." in name]:
        parts = [found.pop(query.replace("q_proj", each)) for each in _STACKED]
        found[query.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    return {name: tensor for name, tensor in found.items() if not name.endswith("position_ids")}


def _translated(name: str, pairs: list[tuple[str, str]]) -> str:
    for source, target in pairs:
        if source.startswith("."):
            name = name.replace(source, target)
        elif name.startswith(source):
            name = target + name.removeprefix(source)
    return name


def config(architecture: str) -> dict[str, Any]:
    """The settings of a CLIPModel (``text_config``, ``vision_config``, ``projection_dim``) with the sizes of
    ``architecture``; raises NegutilError if its towers are not CLIP's two transformers."""
    settings = architectures.config(architecture)
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    if settings.get("custom_text") or not isinstance(vision.get("layers"), int) or "hf_model_name" in text:
        raise NegutilError(
            f"{architecture} is no CLIP of two transformers, which is all that transformers' CLIPModel is."
        )
    activation = "quick_gelu" if settings.get("quick_gelu") else "gelu"
    return {
        "text_config": {
            "vocab_size": text["vocab_size"],
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "hidden_act": activation,
        },
        "vision_config": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_size": vision["width"],
            "intermediate_size": 4 * vision["width"],
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision.get("head_width", 64),
            "hidden_act": activation,
        },
        "projection_dim": settings["embed_dim"],
    }
