"""The Lens of CLIPGlasses: from a text's features, the vector of what the text says is absent (eq. 1 to 6)."""

from __future__ import annotations

import math

import torch
from torch import nn

from negutil.errors import NegutilError
from negutil.models.glasses_settings import GATE_BIAS, LEVEL_SCALES, LEVELS, GlassesConfig


class Lens(nn.Module):
    """T_neg [T, D] of final text vectors [T, D] and of the first three layers at the end token [T, 3, D].

    Inputs are floating-point features as the text tower gives them, not normalised (the released code gives the layers
    its final norm and projection first). Eq. 1 and 2: Q_i = P_i(T_i), K = P(T), V_i = P_i'(T) with
    P(X) = LN(GELU(W X)), W [D, D] without bias. Read in eq. 3: the softmax is over the three levels. Read in eq. 4 and
    5: the gate is a vector, and its bias starts at -2. Eq. 6: the FFN is D -> 2 D -> D as in the released code.
    """

    def __init__(self, config: GlassesConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.query = nn.ModuleList(_projection(width) for _ in range(LEVELS))
        self.key = _projection(width)
        self.value = nn.ModuleList(_projection(width) for _ in range(LEVELS))
        self.log_scale = nn.Parameter(torch.tensor(LEVEL_SCALES).log())
        self.gate = nn.Linear(width, width if config.gate == "vector" else 1)
        self.ffn = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.LayerNorm(2 * width),
            nn.GELU(),
            nn.Dropout(config.lens_dropout),
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
        )
        _start(self)

    def forward(self, texts: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return T_neg [T, D] of ``texts`` [T, D] and ``levels`` [T, 3, D] (eq. 6), not normalised.

        Raises NegutilError where the two do not fit each other or the Lens.
        """
        width = self.config.width
        if texts.dim() != 2 or texts.shape[1] != width or levels.shape != (len(texts), LEVELS, width):
            raise NegutilError(
                f"A Lens of width {width} got texts {list(texts.shape)} and levels {list(levels.shape)}; "
                f"give [T, {width}] and [T, {LEVELS}, {width}] of the same texts."
            )
        attended = self.attended(texts, levels)
        if not self.config.residual_gate:
            return self._out(attended)
        gate = self.openness(attended)
        return self._out(gate * attended + (1 - gate) * texts)

    def attended(self, texts: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return T_attn [T, D]: the values V_i weighed by how the levels match the text's meaning (eq. 3)."""
        queries = torch.stack([project(levels[:, i]) for i, project in enumerate(self.query)], dim=1)
        if self.config.semantic:
            values = torch.stack([project(texts) for project in self.value], dim=1)
            matches = (queries * self.key(texts).unsqueeze(1)).sum(dim=-1) / math.sqrt(self.config.width)
        else:
            values, matches = queries, queries.new_zeros(queries.shape[:2])
        weights = self.weights(matches if self.config.syntactic else torch.zeros_like(matches))
        return (weights.unsqueeze(-1) * values).sum(dim=1)

    def weights(self, matches: torch.Tensor) -> torch.Tensor:
        """Return the weights [T, 3] of the levels from ``matches`` [T, 3] = Q_i K / sqrt(D) (eq. 3)."""
        scaled = matches * self.log_scale if self.config.log_scale == "multiplied" else matches + self.log_scale
        return scaled.softmax(dim=1 if self.config.softmax_over == "levels" else 0)

    def openness(self, attended: torch.Tensor) -> torch.Tensor:
        """Return the gate g [T, D] or [T, 1] in (0, 1) of ``attended`` [T, D] (eq. 4)."""
        gate: torch.Tensor = self.gate(attended).sigmoid()
        return gate.sigmoid() if self.config.gate_sigmoids == 2 else gate

    def _out(self, mixed: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.ffn(mixed)
        return out


def _projection(width: int) -> nn.Sequential:
    """P(X) = LN(GELU(W X)) of eq. 1."""
    return nn.Sequential(nn.Linear(width, width, bias=False), nn.GELU(), nn.LayerNorm(width))


def _start(lens: Lens) -> None:
    """Initial weights as in the released code, for both variants: the paper gives the gate's bias alone."""
    for projection in (*lens.query, *lens.value):
        nn.init.kaiming_normal_(projection[0].weight, nonlinearity="relu")
    nn.init.normal_(lens.gate.weight, std=0.02)
    nn.init.constant_(lens.gate.bias, GATE_BIAS)
