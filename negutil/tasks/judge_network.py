"""The network of the judge of pictures: a small convolutional one that answers every question about a picture at once.

It is trained on pictures and labels alone (``miniworld.pretrain.judge``) and shares nothing with MiniCLIP, so that the
judge of generated pictures does not have the defect that is measured.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from negutil.captions import picture_facts
from negutil.captions.english import COLOURS

CELLS = 8
"""The network looks at cells of 8 x 8 pixels, 8 in a row."""

_THERE, _RELATIONS, _OVERALL = (len(facts) for facts in (
    picture_facts.THERE, picture_facts.RELATIONS, picture_facts.OVERALL
))  # fmt: skip


class JudgeNetwork(nn.Module):
    """Pictures [B, 3, 64, 64] in 0..1 to a logit for every fact, [B, F] in the order of ``picture_facts.FACTS``.

    What is there is looked for in every cell, and the cells are pooled by the logarithm of their summed odds. The odds
    of a coloured thing are those of the thing times the share of the colour in the same cell. Places and features of a
    face are read off the whole picture.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_block(3, 32, 5, 2),
            *_block(32, 64, 3, 2),
            *_block(64, 96, 3, 1),
            *_block(96, width, 3, 2),
            *_block(width, width, 3, 1),
        )
        self.cell = nn.Conv2d(width, _THERE + len(COLOURS) + _RELATIONS, 1)
        self.whole = nn.Sequential(
            nn.Conv2d(width, 32, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * CELLS * CELLS, 64), nn.ReLU()
        )
        self.overall = nn.Linear(64, _OVERALL)
        nn.init.constant_(self.cell.get_parameter("bias"), -8.0)
        self.register_buffer("scale", torch.ones(len(picture_facts.FACTS)))
        self.register_buffer("offset", torch.zeros(len(picture_facts.FACTS)))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits [B, F] before they are calibrated."""
        features = self.trunk(2 * pictures - 1)
        return self.pooled(*self.cells(features), self.overall(self.whole(features)))

    def cells(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For every cell the logits of nouns, the logarithms of colours' shares, and the logits of relations.

        All are [B, ., cells]; ``features`` are those of the trunk.
        """
        found = self.cell(features).float().flatten(2)
        nouns, colours, relations = found.split([_THERE, len(COLOURS), _RELATIONS], dim=1)
        return nouns, functional.log_softmax(colours, dim=1), relations

    @staticmethod
    def pooled(
        nouns: torch.Tensor, colours: torch.Tensor, relations: torch.Tensor, overall: torch.Tensor
    ) -> torch.Tensor:
        """Logits [B, F] of the picture from those of its cells [B, ., cells] and of the whole [B, .]."""
        top = nouns.amax(dim=2, keepdim=True)
        # The logarithm of a sum over cells of products is a matrix product: nouns by colours.
        pairs = torch.einsum("bnp,bcp->bnc", (nouns - top).exp(), colours.exp()).clamp_min(1e-9).log() + top
        return torch.cat([nouns.logsumexp(2), relations.logsumexp(2), overall.float(), pairs.flatten(1)], dim=1)

    def probabilities(self, pictures: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities [B, F] of "yes" where yes and no are equally likely beforehand."""
        return torch.sigmoid(self.forward(pictures) * self.scale + self.offset)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()
