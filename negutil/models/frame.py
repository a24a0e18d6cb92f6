"""The Frame of CLIPGlasses: how strongly an image is pushed away from what a text says is absent (eq. 7 to 11)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from negutil.errors import NegutilError
from negutil.models.glasses_settings import RESIDUAL, GlassesConfig


class Frame(nn.Module):
    """lambda [N] of texts, negated vectors and images, all [N, D], row by row; they are normalised here.

    Eq. 7: F = SelfAttn([T; I]), read as one multi-head attention over the two tokens, without norm or FFN. Eq. 8:
    T_fuse = alpha T + F_1, alpha from 0.1, kept in [0, 1] by a sigmoid. Eq. 9 and 10: C = CrossAttn(T_fuse, T_neg,
    T_neg); with one key its weight is 1, so C is a linear map of T_neg alone. Eq. 11: lambda is the sigmoid of
    W [T_fuse; C] + b. All pairs of texts and images: :func:`negutil.models.glasses_scores.lambdas`.
    """

    def __init__(self, config: GlassesConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion: nn.MultiheadAttention | nn.TransformerEncoder = _fusion(config)
        self.context = nn.MultiheadAttention(config.width, config.context_heads, batch_first=True)
        self.weigh = nn.Linear(2 * config.width, 1)
        bounded = config.bounded_residual
        self.residual = nn.Parameter(torch.tensor(math.log(RESIDUAL / (1 - RESIDUAL)) if bounded else RESIDUAL))

    @property
    def alpha(self) -> torch.Tensor:
        """The share alpha of the text itself in T_fuse (eq. 8), a number."""
        return self.residual.sigmoid() if self.config.bounded_residual else self.residual

    def forward(self, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return lambda [N] of ``texts``, ``negated`` (T_neg) and ``images``, all [N, D], row by row (eq. 7 to 11).

        Raises NegutilError where they are not of one shape, or not of this width.
        """
        check(self.config.width, texts, negated, images)
        if self.config.constant_lambda is not None:
            return texts.new_full((len(texts),), self.config.constant_lambda)
        fused = self.fused(functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1))
        logits = self.weigh(torch.cat([fused, self.contextual(negated)], dim=-1))
        return self.strength(logits.squeeze(-1))

    def fused(self, texts: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return T_fuse [N, D] of normalised ``texts`` and ``images`` [N, D] (eq. 7 and 8)."""
        tokens = torch.stack([texts, images] if self.config.cross_modal else [texts], dim=1)
        if isinstance(self.fusion, nn.MultiheadAttention):
            mixed = self.fusion(tokens[:, :1], tokens, tokens, need_weights=False)[0]
        else:
            mixed = self.fusion(tokens)
        return self.alpha * texts + mixed[:, 0]

    def contextual(self, negated: torch.Tensor) -> torch.Tensor:
        """Return C [N, D] of ``negated`` [N, D] (eq. 9 and 10): attention to one key, which gets all of the weight.

        Dropout of attention weights drops whole heads of a row, as torch.nn.MultiheadAttention does.
        """
        inner = functional.normalize(negated, dim=-1) + self.config.component_epsilon
        width, heads = self.config.width, self.config.context_heads
        value = functional.linear(inner, self.context.in_proj_weight[-width:], self.context.in_proj_bias[-width:])
        if self.training and self.config.context_dropout:
            kept = functional.dropout(value.new_ones(len(value), heads, 1), self.config.context_dropout)
            value = (value.view(len(value), heads, width // heads) * kept).flatten(1)
        out: torch.Tensor = self.context.out_proj(value)
        return out

    def strength(self, logits: torch.Tensor) -> torch.Tensor:
        """Return lambda of ``logits`` of any shape (eq. 11): in (0, 1), with the released GELU in (0, .841)."""
        weight = logits.sigmoid()
        return functional.gelu(weight) if self.config.strength == "gelu of sigmoid" else weight


def check(width: int, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor, rows: bool = True) -> None:
    """Raise NegutilError unless all three are [N, ``width``]; without ``rows`` images may be [M, ``width``]."""
    shapes = [texts.shape, negated.shape, images.shape if rows else (len(texts), *images.shape[1:])]
    if any(tuple(shape) != (len(texts), width) for shape in shapes):
        raise NegutilError(
            f"A Frame of width {width} got texts {list(texts.shape)}, negated {list(negated.shape)} and images "
            f"{list(images.shape)}; give rows of {width} numbers, as many negated vectors as texts"
            f"{', and an image for each' if rows else ''}."
        )


def _fusion(config: GlassesConfig) -> nn.MultiheadAttention | nn.TransformerEncoder:
    """What mixes text and image (eq. 7), its matrices drawn as Xavier's, as in the released code."""
    fusion: nn.MultiheadAttention | nn.TransformerEncoder
    if config.fusion == "attention":
        fusion = nn.MultiheadAttention(config.width, config.fusion_heads, batch_first=True)
    else:
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.fusion_heads,
            config.encoder_growth * config.width,
            config.encoder_dropout,
            activation="gelu",
            layer_norm_eps=1e-6,
            batch_first=True,
        )
        fusion = nn.TransformerEncoder(layer, config.encoder_layers)
    for parameter in fusion.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    return fusion
