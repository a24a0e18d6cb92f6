"""open_clip with MiniCLIP's architectures registered, and what the text tower of a model has (:class:`TextKind`)."""

import enum
import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

from negutil import files
from negutil.errors import NegutilError
from negutil.models import hub, packaged

Tokenizer = Callable[[list[str]], torch.Tensor]
PLAIN = re.compile(r"[ -%'-~]*")
END_TOKENS = (49406, 49407)  # start and end of text in CLIP's vocabulary
ONLINE = "connect to the network once, or choose an architecture with CLIP's own text tower, such as ViT-B-32"
CONFIG = "open_clip_config.json"
"""What a folder of open_clip keeps the settings of its model in."""
CONFIGS = Path(__file__).resolve().parent / "configs"
RANDOM_FILLS = (init.kaiming_uniform_, init.normal_, init.uniform_, torch.Tensor.normal_, torch.Tensor.uniform_)
"""What a random start comes down to in open_clip's models, besides torch.randn; other initialisers call these."""


CONVOLVED = 2
"""Images that a convolutional tower is given at a time on a CPU."""


class TextKind(enum.Enum):
    """What may be left out when a text tower runs, which is all that other code has to know of one.

    CAUSAL: CLIP's own, which pools at the end token and never looks behind it: texts may be cut there, share their
    beginnings, and be read layer by layer. MASKED: one of transformers, which hides padding by a mask, so that padding
    may be left out. WHOLE: any other (SigLIP, CoCa), which may look at its padding and is run at its full length.
    """

    CAUSAL = "causal"
    MASKED = "masked"
    WHOLE = "whole"


@functools.cache
def open_clip() -> ModuleType:
    """Import open_clip with MiniCLIP's configurations added to its own; every use in negutil goes through here."""
    import open_clip as module

    module.add_model_config(CONFIGS)
    return module


def find(architecture: str) -> dict[str, Any] | None:
    """Return open_clip's settings of ``architecture`` (a fresh copy), or None if it does not know the name.

    Raises NegutilError if the name is that of a repository (hf-hub:NAME) or a folder (local-dir:FOLDER) whose
    settings cannot be read.
    """
    read: Callable[[str], dict[str, Any] | None] = open_clip().get_model_config
    fix = "connect to the network, or give an architecture such as ViT-B-32 with --pretrained FILE"
    if architecture.startswith("hf-hub:"):
        with hub.fetching(architecture, fix):
            return read(architecture)
    try:
        return read(architecture)
    except (OSError, ValueError, AttributeError) as problem:  # an AttributeError for JSON that is no object
        raise NegutilError(f"Architecture '{architecture}' cannot be read ({problem}); correct the name.") from problem


def folder_of(architecture: str) -> Path | None:
    """Return the folder of a model that is named by one (local-dir:FOLDER), or None for any other name."""
    prefix, _, folder = architecture.partition(":")
    return Path(folder).expanduser() if prefix == "local-dir" else None


def preprocessing(architecture: str) -> dict[str, Any]:
    """Return how the folder of a model says that images are prepared: mean, std, interpolation, resize_mode.

    What it does not say, and what any other architecture does, is left out.
    """
    folder = folder_of(architecture)
    return picture_settings(files.read_json(folder / CONFIG).get("preprocess_cfg", {}) if folder else {})


def picture_settings(said: dict[str, Any]) -> dict[str, Any]:
    """Return what open_clip's settings of weights say about how images are prepared, as a registry entry has it."""
    pictures = {key: tuple(said[key]) for key in ("mean", "std") if said.get(key)}
    return pictures | {key: said[key] for key in ("interpolation", "resize_mode") if said.get(key)}


def config(architecture: str) -> dict[str, Any]:
    """Return the settings of :func:`find`; raises NegutilError if open_clip does not know the name, too."""
    settings = find(architecture)
    if settings is None:
        raise NegutilError(
            f"Architecture '{architecture}' is unknown to open_clip; "
            "`python -c 'import open_clip; print(open_clip.list_models())'` lists those that exist."
        )
    return settings


def uses_quick_gelu(architecture: str) -> bool:
    """Say whether ``architecture`` computes QuickGELU, x * sigmoid(1.702 x), instead of GELU."""
    return bool(config(architecture).get("quick_gelu", False))


def build(architecture: str) -> Any:
    """Return a newly initialised model in float32 on the CPU; raises NegutilError for an unknown architecture."""
    settings = config(architecture)
    custom, text = settings.pop("custom_text", False), settings["text_cfg"]
    named = text.get("hf_model_name")
    if not named:
        return (open_clip().CustomTextCLIP if custom else open_clip().CLIP)(**settings)
    # The weights come from a file of the whole model, so not those of the text tower alone.
    settings["text_cfg"] = text | {"hf_model_name": _source(named), "hf_model_pretrained": False}
    with hub.fetching(f"{named}, the settings of the text tower of {architecture},", ONLINE):
        model = open_clip().CustomTextCLIP(**settings)
    if "timm_model_name" in settings["vision_cfg"]:  # convolutions are about twice as fast on a CPU
        model.visual.to(memory_format=torch.channels_last)
    return model


def _source(named: str) -> str:
    """Where transformers finds a text tower or tokenizer: the folder of the one that is in a package, or its name."""
    return str(packaged.minilm()) if named == packaged.MINILM else named


def build_unfilled(architecture: str) -> Any:
    """Return the model of :func:`build` with undefined weights, for a state dict that fills every one of them.

    A random start takes as long as reading the weights, and would draw from the caller's random numbers.
    """
    with _NoRandomStart():
        return build(architecture)


class _NoRandomStart(TorchFunctionMode):
    """Leaves tensors as they are allocated where they would be filled with random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn:
            return torch.empty(*args, **(kwargs or {}))
        if func in RANDOM_FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@functools.cache
def tokenizer(architecture: str) -> Tokenizer:
    """Return what makes int64 [T, L] of texts for ``architecture``: the same object for every model of it."""
    get: Callable[[str], Tokenizer] = open_clip().get_tokenizer
    named = config(architecture)["text_cfg"].get("hf_tokenizer_name")
    if not named:
        return get(architecture)
    if named == packaged.MINILM:
        made: Tokenizer = open_clip().tokenizer.HFTokenizer(_source(named))
        return made
    with hub.fetching(f"{named}, the tokenizer of {architecture},", ONLINE):
        return get(architecture)


def tokenize(tokenizer: Tokenizer, sentences: Sequence[str]) -> torch.Tensor:
    """Return what ``tokenizer`` makes of ``sentences``: int64 [T, L], longer ones cut at L.

    CLIP's own repairs the encoding of every sentence and looks up each word again. A sentence of printable ASCII
    without "&" needs no repair, and what stands between two spaces does not depend on its neighbours: it is looked up
    once, which is about ten times as fast.
    """
    module = open_clip().tokenizer
    is_clips = isinstance(tokenizer, module.SimpleTokenizer) and tokenizer.reduction_fn is None
    if not (is_clips and tokenizer.clean_fn is module.get_clean_fn("lower")):  # type: ignore[attr-defined]
        return tokenizer(list(sentences))
    clip: Any = tokenizer
    encode = _word_encoder(clip)
    rows = np.zeros((len(sentences), clip.context_length), np.int64)
    for row, text in zip(rows, sentences, strict=True):
        is_plain = PLAIN.fullmatch(text)
        ids = [number for word in text.lower().split() for number in encode(word)] if is_plain else clip.encode(text)
        ids = [clip.sot_token_id, *ids[: len(row) - 2], clip.eot_token_id]
        row[: len(ids)] = ids
    return torch.from_numpy(rows)


@functools.cache
def _word_encoder(tokenizer: Any) -> Callable[[str], list[int]]:
    """What each word becomes, asked of ``tokenizer`` when it is first met."""
    return functools.cache(tokenizer.encode)


def images_at_once(model: Any, device: str) -> int:
    """Return how many images go through the image tower of ``model`` together at most; 0 for as many as there are.

    A convolutional tower of timm holds large images in its first layers: for 256 photographs of 260 pixels a layer
    takes 1.7 GB, which the system has to clear again for each layer, and that takes longer than the convolutions. Below
    32 MB, the most that malloc ever keeps, memory is used again.
    """
    is_convolutional = isinstance(model.visual, open_clip().timm_model.TimmModel)
    return CONVOLVED if is_convolutional and torch.device(device).type == "cpu" else 0


def text_kind(model: Any) -> TextKind:
    """Return what may be left out when the text tower of ``model`` runs."""
    module = open_clip()
    if isinstance(model, module.CLIP) and model.attn_mask is not None and model.text_pool_type == "argmax":
        return TextKind.CAUSAL
    is_masked = isinstance(getattr(model, "text", None), module.hf_model.HFTextEncoder)
    return TextKind.MASKED if is_masked else TextKind.WHOLE


def text_lengths(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return how many of its ``tokens`` [N, L] each text needs, int64 [N]: those before the padding, or all."""
    kind = text_kind(model)
    if kind is TextKind.CAUSAL:
        return tokens.argmax(dim=-1) + 1  # the end token has the highest id
    if kind is TextKind.MASKED:
        place = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        return ((tokens != model.text.config.pad_token_id) * place).amax(dim=-1)
    return torch.full_like(tokens[:, 0], tokens.shape[1])


def special_tokens(model: Any) -> tuple[int, ...]:
    """Return the ids that keep a row of their own in an embedding of fewer tokens: padding, and CLIP's end tokens.

    Of a tower of transformers they are all up to that of its padding, which then keeps its number.
    """
    if text_kind(model) is TextKind.MASKED:
        return tuple(range(model.text.config.pad_token_id + 1))
    return (0, *END_TOKENS)


def encode_text(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the L2-normalised text features [N, D] of ``tokens`` [N, L], computed only up to the longest text.

    Cutting off what the tower never looks at changes nothing but the time. open_clip's causal tower adds the whole
    table of positions, so the table and the mask are swapped for their first rows during the call.
    """
    length = int(text_lengths(model, tokens).max())
    if text_kind(model) is not TextKind.CAUSAL:
        features: torch.Tensor = model.encode_text(tokens[:, :length], normalize=True)
        return features
    shorter = {
        "positional_embedding": model.positional_embedding[:length],
        "attn_mask": model.attn_mask[:length, :length],
    }
    out = torch.func.functional_call(model, shorter, kwargs={"text": tokens[:, :length]})
    return out["text_features"] if isinstance(out, dict) else out[1]


def encode_text_in_chunks(model: Any, tokens: torch.Tensor, chunks: int) -> torch.Tensor:
    """Return the same as :func:`encode_text`, with the texts sorted by length and cut into ``chunks`` of equal size.

    Each chunk is only as long as its own longest text: a few long captions no longer make the whole batch long.
    """
    order = text_lengths(model, tokens).argsort(stable=True)
    parts = [encode_text(model, part) for part in tokens[order].chunk(chunks)]
    return torch.cat(parts)[order.argsort()]


def pooled_layers(model: Any, tokens: torch.Tensor, blocks: Sequence[int]) -> torch.Tensor:
    """Return the states of ``blocks`` [K] (from 0; -1 is the last) of a tower of transformers, each pooled: [N, K, W].

    tokens int64 [N, L]; the pooling is the tower's own.
    """
    from transformers.modeling_outputs import BaseModelOutput

    tokens = tokens[:, : int(text_lengths(model, tokens).max())].to(next(model.parameters()).device)
    mask = (tokens != model.text.config.pad_token_id).long()
    layers = model.text.transformer(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states[1:]
    pooled = [model.text.pooler(BaseModelOutput(last_hidden_state=layers[block]), mask) for block in blocks]
    return torch.stack(pooled, dim=1)


def project(model: Any, states: torch.Tensor) -> torch.Tensor:
    """Project ``states`` [..., W] into the space of the images, as open_clip's ``encode_text`` does."""
    projection = model.text.proj if text_kind(model) is TextKind.MASKED else model.text_projection
    if projection is None:
        return states
    return projection(states) if isinstance(projection, torch.nn.Linear) else states @ projection
