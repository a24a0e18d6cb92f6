"""lambda for every pair of text and image at about the cost of a matrix product (CLIPGlasses eq. 7 to 11).

With two tokens, T and I, the attention of T in head h to the image is one number, a sigmoid of a difference of two dot
products, a_h = sigmoid((q_h(T) k_h(I) - q_h(T) k_h(T)) / sqrt(d)). What it mixes reaches lambda through one linear map
alone, so the value of a token in a head is one number as well, s_h = u_h v_h, where u is the last layer's weight pulled
back through the output projection. Hence

    logit(T, I) = c(T) + sum_h a_h(T, I) (s_h(I) - s_h(T)),

with c(T) of the text and of T_neg, as attention to the one key T_neg is linear. That takes one [T, M] product for each
head, and never a tensor of T x M x D.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from negutil.models.frame import Frame, check

CHUNK = 512
PAIRS = 4096  # pairs at a time where there is no closed form
Block = Callable[[slice, slice], torch.Tensor]


class _Parts(NamedTuple):
    """What pairs are made of: everything that depends on a text alone or on an image alone, by head."""

    query: torch.Tensor  # [H, T, d], over sqrt(d)
    key: torch.Tensor  # [H, M, d]
    own: torch.Tensor  # [H, T], query of the text with its own key
    said: torch.Tensor  # [H, T], s_h(T)
    seen: torch.Tensor  # [H, M], s_h(I)
    offset: torch.Tensor  # [T], c(T)


def lambdas(
    frame: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor, chunk: int = CHUNK
) -> torch.Tensor:
    """Return lambda [T, M] of every text with every image, with gradients.

    ``texts`` and ``negated`` (T_neg) are [T, D], ``images`` [M, D], normalised here. Besides the result it takes memory
    for a few blocks of ``chunk`` x ``chunk`` pairs; with gradients, blocks are computed again on the way back. A Frame
    with encoder layers has no closed form: each pair goes through it. Raises NegutilError for shapes that do not fit.
    """
    return blocks(of_pairs(frame, texts, negated, images), (len(texts), len(images)), chunk, texts)


def of_pairs(frame: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> Block:
    """Return what makes lambda of a block of pairs, given a slice of texts and a slice of images, as :func:`lambdas`.

    What depends on a text or an image alone is computed here, once. Raises NegutilError for shapes that do not fit.
    """
    check(frame.config.width, texts, negated, images, rows=False)
    if frame.config.constant_lambda is not None or not frame.config.cross_modal:
        return of_texts(frame(texts, negated, texts))
    if isinstance(frame.fusion, nn.MultiheadAttention):
        parts = _parts(frame, frame.fusion, texts, negated, images)
        return lambda rows, columns: _block(frame, parts, rows, columns)
    return lambda rows, columns: _through_layers(frame, texts[rows], negated[rows], images[columns])


def of_texts(strengths: torch.Tensor) -> Block:
    """Return what makes a block of lambda where each text has one for all images, in ``strengths`` [T]."""
    return lambda rows, columns: strengths[rows].unsqueeze(1).expand(-1, columns.stop - columns.start)


def blocks(make: Block, shape: tuple[int, int], chunk: int, like: torch.Tensor) -> torch.Tensor:
    """Return a matrix [T, M] put together from what ``make`` returns for slices of rows and columns.

    Without gradients every block is written into the result at once; with them, blocks are made anew on the way back.
    """
    rows, columns = (_slices(length, chunk) for length in shape)
    if torch.is_grad_enabled():
        if len(rows) == len(columns) == 1:
            return make(rows[0], columns[0])
        return torch.cat([torch.cat([_again(make, row, column) for column in columns], dim=1) for row in rows])
    result = like.new_empty(shape)
    for row in rows:
        for column in columns:
            result[row, column] = make(row, column)
    return result


def _again(make: Block, row: slice, column: slice) -> torch.Tensor:
    made: torch.Tensor = checkpoint(make, row, column, use_reentrant=False)
    return made


def _slices(length: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, length)) for start in range(0, length, chunk)] or [slice(0, 0)]


def _block(frame: Frame, parts: _Parts, rows: slice, columns: slice) -> torch.Tensor:
    """lambda of a block of pairs, a head at a time."""
    logits = parts.offset[rows].unsqueeze(1)
    for query, key, own, said, seen in zip(*parts[:5], strict=True):
        towards = torch.addmm(-own[rows].unsqueeze(1), query[rows], key[columns].T).sigmoid()
        logits = torch.addcmul(logits, towards, seen[columns] - said[rows].unsqueeze(1))
    return frame.strength(logits)


def _parts(
    frame: Frame, attention: nn.MultiheadAttention, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor
) -> _Parts:
    """Everything that depends on a text alone or on an image alone."""
    heads, width = attention.num_heads, attention.embed_dim
    texts, images = functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1)
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    weigh_fused, weigh_context = frame.weigh.weight[0].split(width)
    pulled = (weigh_fused @ attention.out_proj.weight).view(heads, 1, width // heads)

    def project(which: int, tokens: torch.Tensor) -> torch.Tensor:
        return (
            functional.linear(tokens, weights[which], biases[which])
            .view(len(tokens), heads, width // heads)
            .transpose(0, 1)
        )

    query = project(0, texts) / math.sqrt(width // heads)
    own = (query * project(1, texts)).sum(dim=-1)
    said, seen = ((project(2, tokens) * pulled).sum(dim=-1) for tokens in (texts, images))
    fixed = frame.alpha * texts + attention.out_proj.bias
    offset = fixed @ weigh_fused + frame.contextual(negated) @ weigh_context + frame.weigh.bias + said.sum(dim=0)
    return _Parts(query, project(1, images), own, said, seen, offset)


def _through_layers(frame: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """lambda [T, M] by running the Frame on each pair, :data:`PAIRS` pairs at a time."""
    pairs = torch.cartesian_prod(torch.arange(len(texts)), torch.arange(len(images))).to(texts.device)
    found = [frame(texts[part[:, 0]], negated[part[:, 0]], images[part[:, 1]]) for part in pairs.split(PAIRS)]
    return torch.cat(found).view(len(texts), len(images))
