"""The negation classifier of CLIPGlasses, which says of which texts the glasses change the score (eq. 14)."""

from __future__ import annotations

import torch
from torch import nn


class NegationGate(nn.Module):
    """Logits [T] that texts [T, D] hold a negation: D -> D/2, LN, GELU, dropout, -> 1 (docs/protocols.md#gate).

    The input is the final text vector as the tower gives it, not normalised. It is trained on its own by binary
    cross-entropy and frozen while Lens and Frame learn.
    """

    def __init__(self, width: int, dropout: float = 0.2) -> None:
        super().__init__()
        hidden = max(width // 2, 1)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        """Return the logits [T] of ``texts`` [T, D]; their sigmoid is the probability of a negation."""
        logits: torch.Tensor = self.layers(texts)
        return logits.squeeze(-1)

    @torch.no_grad()
    def mask(self, texts: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
        """Return M, bool [T]: whether the probability of a negation in ``texts`` [T, D] is above ``threshold``."""
        return self(texts).sigmoid() > threshold
