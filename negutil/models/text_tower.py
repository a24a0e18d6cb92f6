"""The text tower of an open_clip model on its own: its tensors by name, and features of sentences that begin alike.

Tensors are named as CLIP's text tower has them, or as a tower of transformers in a CustomTextCLIP does.

In a causal text tower the state at a position depends only on the tokens up to it, so two sentences share everything up
to the first difference. All layers but attention, which take most of the time, run on the different beginnings only;
the last layer is run at the end tokens alone. The features are those of ``architectures.encode_text`` up to the
rounding of float32 (about 1e-7).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from negutil.errors import NegutilError
from negutil.models import architectures, precision
from negutil.models.architectures import END_TOKENS

State = dict[str, torch.Tensor]
GROUPS = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection", "logit_scale")
OF_TRANSFORMERS = {
    "text.transformer.embeddings.word_embeddings.": "token_embedding",
    "text.transformer.embeddings.position_embeddings.": "positional_embedding",
    "text.transformer.": "transformer",
    "text.proj.": "text_projection",
}
"""Which group of GROUPS the parameters of a text tower of transformers are of, by how their names begin."""
EMBEDDING = "token_embedding.weight"
IDS = "token_embedding.ids"
"""Where a file has this, it holds the rows of the token embedding with these ids alone; the others were never met."""
CHUNK = 256  # sentences that go through the tower together


def group(name: str) -> str:
    """Return the group of :data:`GROUPS` that the parameter ``name`` is of, or "" where it is not the text tower's."""
    first = name.partition(".")[0]
    if first in GROUPS:
        return first
    return next((group for start, group in OF_TRANSFORMERS.items() if name.startswith(start)), "")


def embedding(names: Iterable[str]) -> str:
    """Return which of the ``names`` of a text tower's tensors is the token embedding, or "" where none is."""
    return next((name for name in names if group(name) == "token_embedding" and name.endswith(".weight")), "")


def state(model: Any) -> State:
    """Return the tensors of the text tower of ``model`` (the logit scale too), by open_clip's names; nothing is copied.

    Raises NegutilError for a model whose text tower is neither CLIP's own nor one of transformers like BERT.
    """
    tensors = {name: value for name, value in model.state_dict().items() if group(name)}
    if not embedding(tensors):
        raise NegutilError(f"{type(model).__name__} has no text tower like CLIP's or BERT's; choose another model.")
    return tensors


def put(model: Any, tensors: State, source: str) -> None:
    """Copy ``tensors`` into the text tower of ``model``, all of it; ``source`` says in an error where they are from.

    Raises NegutilError if a tensor is missing, left over, or of another shape.
    """
    wrong = misfits(tensors, state(model))
    if wrong:
        problems = f"{wrong[0]}; {len(wrong)} in all"
        raise NegutilError(f"{source} does not fit the text tower ({problems}); use the model that it was made from.")
    model.load_state_dict(tensors, strict=False)


def misfits(tensors: State, wanted: State) -> list[str]:
    """Return how ``tensors`` differ from those ``wanted``: other shapes first, then names that are in one alone."""
    shapes = [
        f"{name} is {list(tensors[name].shape)} instead of {list(value.shape)}"
        for name, value in wanted.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    missing = [f"{name} is missing" for name in sorted(wanted.keys() - tensors.keys())]
    return shapes + missing + [f"{name} is not known there" for name in sorted(tensors.keys() - wanted.keys())]


def filled(tensors: State, ids: torch.Tensor, base: State) -> State:
    """Return ``tensors``, whose embedding has the rows ``ids`` alone, with all other rows from ``base``."""
    name = embedding(tensors)
    whole = base[name].detach().cpu().clone()
    whole[ids] = tensors[name]
    return tensors | {name: whole}


def expanded(tensors: State) -> State:
    """Return ``tensors`` with the whole token embedding: zero in the rows of tokens that a file with IDS leaves out."""
    if IDS not in tensors:
        return tensors
    rows = tensors[EMBEDDING]
    whole = rows.new_zeros(END_TOKENS[1] + 1, rows.shape[1])
    whole[tensors[IDS].long()] = rows
    return {name: value for name, value in tensors.items() if name != IDS} | {EMBEDDING: whole}


# --------------------------------------------------------------------------------------------------------------------
# Sentences that begin alike


@dataclass(frozen=True, slots=True)
class Chunk:
    """B sentences of like length, padded to L, as P different beginnings.

    ``rows`` [B] are their numbers among all; ``tokens`` and ``positions`` [P] are the last token of each beginning and
    its place; ``beginning`` [B * L] says which beginning each place is the end of (0 in the padding), ``first`` [P]
    the first place that is the end of each; ``ends`` [B] are the beginnings that are whole sentences; ``is_text``
    [B, 1, 1, L] is False in the padding.
    """

    rows: torch.Tensor
    tokens: torch.Tensor
    positions: torch.Tensor
    beginning: torch.Tensor
    first: torch.Tensor
    ends: torch.Tensor
    is_text: torch.Tensor

    def to(self, device: str) -> "Chunk":
        """The same on ``device``."""
        return Chunk(*(getattr(self, field.name).to(device) for field in fields(self)))


def plan(tokens: torch.Tensor, size: int = CHUNK) -> list[Chunk]:
    """Cut ``tokens`` [N, L] into chunks of ``size`` sentences of like length with neighbours that begin alike.

    A plan depends on the tokens alone, so all models with the same tokenizer share it.
    """
    ends = tokens.argmax(dim=-1)
    columns = tokens[:, : int(ends.max()) + 1].numpy().T
    order = torch.from_numpy(np.lexsort((*columns[::-1], ends.numpy())))
    return [_chunk(rows, tokens[rows, : int(ends[rows].max()) + 1]) for rows in order.split(size)]


def _chunk(rows: torch.Tensor, tokens: torch.Tensor) -> Chunk:
    """The chunk of ``tokens`` [B, L], sentences that begin alike being neighbours."""
    ends = tokens.argmax(dim=-1)
    is_text = torch.arange(tokens.shape[1]) <= ends[:, None]
    goes_on = torch.zeros_like(is_text)
    goes_on[1:] = (tokens[1:] == tokens[:-1]).cumprod(dim=1).bool()  # as the sentence before it, up to here
    is_first = is_text & ~goes_on
    number = is_first.flatten().cumsum(0).view_as(tokens) - 1
    # Going down a column numbers only grow, so the last beginning that was new there is the greatest.
    beginning = torch.where(is_first, number, 0).cummax(dim=0).values * is_text
    first = is_first.flatten().nonzero()[:, 0]
    return Chunk(
        rows=rows,
        tokens=tokens.flatten()[first],
        positions=first % tokens.shape[1],
        beginning=beginning.flatten(),
        first=first,
        ends=beginning[torch.arange(len(rows)), ends],
        is_text=is_text[:, None, None],
    )


@torch.inference_mode()
def encode(model: Any, chunks: Iterable[Chunk], device: str = "cpu") -> torch.Tensor:
    """Return the L2-normalised text features [N, D], on the CPU, of the sentences of ``chunks``, all chunks of a plan.

    ``model`` is a plain causal CLIP (``TextKind.CAUSAL``) on ``device``.
    """
    blocks, parts = model.transformer.resblocks, []
    for chunk in (each.to(device) for each in chunks):
        x = model.token_embedding.weight[chunk.tokens] + model.positional_embedding[chunk.positions]
        for place, block in enumerate(blocks, 1):
            is_last = place == len(blocks)
            attended = (_attend_at_ends if is_last else _attend)(block.attn, block.ln_1(x), chunk)
            # The rest of a layer goes place by place; the last one is needed at the end tokens alone.
            x = (x[chunk.ends] if is_last else x) + block.ls_1(block.attn.out_proj(attended))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        features = F.normalize(architectures.project(model, model.ln_final(x)), dim=-1)
        parts.append((chunk.rows.cpu(), precision.unit(features).cpu()))
    rows, whole = (torch.cat(each) for each in zip(*parts, strict=True))
    return whole[rows.argsort()]


def _attend(attention: Any, x: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    """Causal attention: of the beginnings [P, W] to the beginnings [P, W]."""
    qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = _spread(qkv, 3, attention.num_heads, chunk)
    # What stands in the padding is attended by padding alone.
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attended.transpose(1, 2).reshape(len(chunk.beginning), -1).index_select(0, chunk.first)


def _attend_at_ends(attention: Any, x: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    """Attention of the end tokens alone: of the beginnings [P, W] to [B, W]."""
    width, heads = x.shape[1], attention.num_heads
    own, others = attention.in_proj_weight.split([width, 2 * width])
    own_bias, others_bias = attention.in_proj_bias.split([width, 2 * width])
    q = F.linear(x[chunk.ends], own, own_bias).view(len(chunk.ends), 1, heads, -1).transpose(1, 2)
    k, v = _spread(F.linear(x, others, others_bias), 2, heads, chunk)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=chunk.is_text).flatten(1)


def _spread(x: torch.Tensor, parts: int, heads: int, chunk: Chunk) -> tuple[torch.Tensor, ...]:
    """The ``parts`` of ``x`` [P, parts * W] at every place of every sentence: each [B, heads, L, W / heads]."""
    placed = x.index_select(0, chunk.beginning)  # several times as fast as x[...]
    return placed.view(len(chunk.rows), -1, parts, heads, x.shape[1] // (parts * heads)).permute(2, 0, 3, 1, 4).unbind()
