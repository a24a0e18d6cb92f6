"""The text tower while it is trained: embeddings for the tokens that occur, and no work on padding.

Neither changes a feature: a causal text tower never looks behind the end token, one of transformers hides padding by a
mask, and a token that does not occur has no gradient. Rows of the embedding that do not occur keep their values (a
weight decay would have shrunk them).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from negutil.errors import NegutilError
from negutil.models import architectures, text_tower
from negutil.models.architectures import TextKind
from negutil.models.loader import LoadedModel
from negutil.models.text_tower import State

QUICK = 1.702
"""QuickGELU(x) = x sigmoid(1.702 x)."""

ROWS = 128
"""Packed tokens are filled up with empty rows to a multiple of this: for every size of a matrix that oneDNN has not met
it makes, and keeps, a kernel of its own."""


def occurring(tokens: torch.Tensor, special: Sequence[int]) -> torch.Tensor:
    """Return the different ids in ``tokens`` (any shape) and the ``special`` ones of the model, sorted, int64 [V]."""
    return torch.from_numpy(np.union1d(np.unique(tokens.numpy()), special).astype(np.int64))


def compact(tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Renumber ``tokens`` by their places in the sorted ``ids``, so that the end token stays the highest."""
    return torch.searchsorted(ids, tokens.contiguous())


@dataclass(frozen=True, slots=True)
class _Chunk:
    """``texts`` texts of up to ``length`` tokens: rows ``start`` to ``stop`` of the packed tokens.

    ``places`` int64 [stop - start] is where each of these tokens stands when the texts are padded and laid end to end;
    ``padding`` [texts, 1, length] is -inf behind the end of a text, else 0.
    """

    start: int
    stop: int
    texts: int
    length: int
    places: torch.Tensor
    padding: torch.Tensor


class TextTower(torch.nn.Module):
    """A trainable copy of the text tower of ``base``, with embeddings for the tokens ``ids`` [V] alone.

    ``trainable`` names the groups of parameters that learn. All layers but attention see the tokens of the batch packed
    into one matrix; attention sees the texts in ``chunks`` of like length, padded to the longest of each. The last
    layer is computed at the end tokens alone. A tower of transformers sees each chunk as a whole, without dropout.
    Raises NegutilError if the model's text tower may look at its padding.
    """

    def __init__(self, base: LoadedModel, ids: torch.Tensor, trainable: tuple[str, ...], chunks: int) -> None:
        super().__init__()
        self.kind = architectures.text_kind(base.model)
        name = text_tower.embedding(base.model.state_dict()).removesuffix(".weight")
        if self.kind is TextKind.WHOLE or not name:
            raise NegutilError(f"'{base.name}' has no text tower like CLIP's or BERT's; fine-tune another model.")
        clip: Any = copy.deepcopy(base.model)
        clip.visual = torch.nn.Identity()
        whole = clip.get_submodule(name).weight.detach()
        rows = whole[ids.to(whole.device)].clone()
        clip.set_submodule(name, torch.nn.Embedding.from_pretrained(rows, freeze=False))
        for name, parameter in clip.named_parameters():
            parameter.requires_grad_(text_tower.group(name) in trainable)
        self.clip, self.chunks = clip, chunks

    @property
    def logit_scale(self) -> torch.nn.Parameter:
        """The logarithm of the factor on cosines."""
        scale: torch.nn.Parameter = self.clip.logit_scale
        return scale

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return raw text features [T, D] of compact ``tokens`` [T, L]."""
        lengths, order = architectures.text_lengths(self.clip, tokens).sort(stable=True)
        if self.kind is TextKind.MASKED:
            parts = zip(tokens[order].chunk(self.chunks), lengths.chunk(self.chunks), strict=True)
            features = torch.cat([self.clip.encode_text(part[:, : int(own[-1])]) for part, own in parts])
            return features[order.argsort()]
        text, place = _inside(lengths).nonzero(as_tuple=True)
        chunks = _cut(lengths, self.chunks)
        x = self.clip.token_embedding(tokens[order][text, place]) + self.clip.positional_embedding[place]
        x = functional.pad(x, (0, 0, 0, -len(x) % ROWS))
        *blocks, last = self.clip.transformer.resblocks
        for block in blocks:
            x = x + block.ls_1(_attend(block.attn, block.ln_1(x), chunks))
            x = x + block.ls_2(_mlp(block.mlp, block.ln_2(x)))
        ends = lengths.cumsum(dim=0) - 1
        x = x[ends] + last.ls_1(_attend_at_ends(last.attn, last.ln_1(x), ends, chunks))
        x = self.clip.ln_final(x + last.ls_2(_mlp(last.mlp, last.ln_2(x))))
        projection = self.clip.text_projection
        features = projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
        return features[order.argsort()]

    def state(self) -> State:
        """Return a copy on the CPU of the tensors of the tower; the embedding has the rows that occur alone."""
        return {name: value.detach().cpu().clone() for name, value in text_tower.state(self.clip).items()}


def _inside(lengths: torch.Tensor) -> torch.Tensor:
    """Which places of texts of these ``lengths`` [T], padded to the longest, hold tokens: bool [T, L]."""
    return torch.arange(int(lengths.max()), device=lengths.device) < lengths.unsqueeze(1)


def _cut(lengths: torch.Tensor, count: int) -> list[_Chunk]:
    """Cut texts of the sorted ``lengths`` into about ``count`` chunks of as many texts."""
    chunks: list[_Chunk] = []
    start = 0
    for part in lengths.chunk(count):
        inside = _inside(part)
        places = inside.flatten().nonzero().squeeze(1)
        padding = torch.where(inside, 0.0, -torch.inf).unsqueeze(1)
        chunks.append(_Chunk(start, start + len(places), len(part), int(part[-1]), places, padding))
        start += len(places)
    return chunks


def _attend(attention: Any, x: torch.Tensor, chunks: list[_Chunk]) -> torch.Tensor:
    """Causal self-attention of packed tokens ``x`` [P, W] with the weights of a torch.nn.MultiheadAttention."""
    width, heads = x.shape[1], attention.num_heads
    projected = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    parts = []
    for chunk in chunks:
        mixed = _causal(*_by_head(projected, 3, heads, chunk)).view(chunk.texts, heads, chunk.length, width // heads)
        parts.append(mixed.transpose(1, 2).reshape(-1, width)[chunk.places])
    parts.append(x.new_zeros(len(x) - chunks[-1].stop, width))
    out: torch.Tensor = attention.out_proj(torch.cat(parts))
    return out


def _attend_at_ends(attention: Any, x: torch.Tensor, ends: torch.Tensor, chunks: list[_Chunk]) -> torch.Tensor:
    """The rows ``ends`` [T] of the same attention, each over all tokens of its text: [T, W]."""
    width, heads = x.shape[1], attention.num_heads
    own, others = attention.in_proj_weight.split([width, 2 * width])
    own_bias, others_bias = attention.in_proj_bias.split([width, 2 * width])
    queries = functional.linear(x[ends], own, own_bias).split([chunk.texts for chunk in chunks])
    projected = functional.linear(x, others, others_bias)
    parts = []
    for chunk, query in zip(chunks, queries, strict=True):
        key, value = _by_head(projected, 2, heads, chunk)
        hidden = chunk.padding.repeat_interleave(heads, dim=0)
        parts.append(_mixed(query.reshape(len(key), 1, -1), key, value, hidden).view(chunk.texts, width))
    out: torch.Tensor = attention.out_proj(torch.cat(parts))
    return out


def _by_head(projected: torch.Tensor, count: int, heads: int, chunk: _Chunk) -> torch.Tensor:
    """The packed rows of a chunk, ``count`` vectors each, padded and by head: [count, texts * heads, length, E]."""
    padded = projected.new_zeros(chunk.texts * chunk.length, projected.shape[1])
    padded = padded.index_copy(0, chunk.places, projected[chunk.start : chunk.stop])
    each = padded.view(chunk.texts, chunk.length, count, heads, -1).permute(2, 0, 3, 1, 4)
    return each.reshape(count, chunk.texts * heads, chunk.length, -1)


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention [B, L, E]; on a CPU, over a few dozen tokens, three operations are faster than torch's one."""
    length = query.shape[1]
    hidden = torch.full((length, length), -torch.inf, dtype=query.dtype, device=query.device).triu(1)
    return _mixed(query, key, value, hidden)


def _mixed(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Attention of the queries [B, Q, E] to the keys [B, L, E], scores being ``hidden`` [.., L] where that is -inf."""
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=query.shape[2] ** -0.5)
    return torch.bmm(scores.softmax(dim=-1), value)


def _mlp(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    """The feed-forward part of a block; QuickGELU is silu(1.702 x) / 1.702: one operation, the factor in weights."""
    if not isinstance(mlp.gelu, architectures.open_clip().transformer.QuickGELU):
        out: torch.Tensor = mlp(x)
        return out
    inner = functional.linear(x, QUICK * mlp.c_fc.weight, QUICK * mlp.c_fc.bias)
    return functional.linear(functional.silu(inner), mlp.c_proj.weight / QUICK, mlp.c_proj.bias)
