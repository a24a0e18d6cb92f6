"""The text tower while it is trained: embeddings for the tokens that occur, texts cut to the length they need.

Neither changes a feature: a causal text tower never looks behind the end token, and a token that does not occur has no
gradient. Rows of the embedding that do not occur keep their values (a weight decay would have shrunk them).
"""

from __future__ import annotations

import copy

import numpy as np
import torch

from negutil.errors import NegutilError
from negutil.models import architectures, text_tower
from negutil.models.loader import LoadedModel
from negutil.models.text_tower import State
from negutil.training.pretrain import END_TOKENS


def occurring(tokens: torch.Tensor) -> torch.Tensor:
    """Return the different ids in ``tokens`` (any shape) with padding and the two end tokens, sorted, int64 [V]."""
    return torch.from_numpy(np.union1d(np.unique(tokens.numpy()), (0, *END_TOKENS)).astype(np.int64))


def compact(tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Renumber ``tokens`` by their places in the sorted ``ids``, so that the end token stays the highest."""
    return torch.searchsorted(ids, tokens.contiguous())


class _Encoder(torch.nn.Module):
    """A CLIP whose forward pass is its text features as they are, not normalised."""

    def __init__(self, clip: torch.nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.clip.encode_text(tokens)  # type: ignore[operator]
        return features


class TextTower(torch.nn.Module):
    """A trainable copy of the text tower of ``base``, with embeddings for the tokens ``ids`` [V] alone.

    ``trainable`` names the groups of parameters that learn; ``chunks`` is how many parts a batch is encoded in, each
    only as long as its longest text. Raises NegutilError where the model is not a causal CLIP.
    """

    def __init__(self, base: LoadedModel, ids: torch.Tensor, trainable: tuple[str, ...], chunks: int) -> None:
        super().__init__()
        if not architectures.is_causal_clip(base.model):
            raise NegutilError(f"'{base.name}' has no causal text tower like CLIP's; fine-tune another model.")
        clip = copy.deepcopy(base.model)
        clip.visual = torch.nn.Identity()
        rows = clip.token_embedding.weight.detach()[ids.to(clip.token_embedding.weight.device)]
        clip.token_embedding = torch.nn.Embedding.from_pretrained(rows.clone(), freeze=False)
        for name, parameter in clip.named_parameters():
            parameter.requires_grad_(text_tower.group(name) in trainable)
        self.encoder, self.chunks = _Encoder(clip), chunks

    @property
    def clip(self) -> torch.nn.Module:
        """The open_clip model without its image tower."""
        return self.encoder.clip

    @property
    def logit_scale(self) -> torch.nn.Parameter:
        """The logarithm of the factor on cosines."""
        scale: torch.nn.Parameter = self.clip.logit_scale  # type: ignore[assignment]
        return scale

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return raw text features [T, D] of compact ``tokens`` [T, L]."""
        order = tokens.argmax(dim=-1).argsort(stable=True)
        parts = [self._encode(part) for part in tokens[order].chunk(self.chunks)]
        return torch.cat(parts)[order.argsort()]

    def _encode(self, tokens: torch.Tensor) -> torch.Tensor:
        length = architectures.trimmed_length(tokens)
        shorter = {
            "clip.positional_embedding": self.clip.positional_embedding[:length],  # type: ignore[index]
            "clip.attn_mask": self.clip.attn_mask[:length, :length],  # type: ignore[index]
        }
        features: torch.Tensor = torch.func.functional_call(self.encoder, shorter, (tokens[:, :length],))
        return features

    def state(self) -> State:
        """Return a copy on the CPU of the tensors of the tower; the embedding has the rows that occur alone."""
        return {name: value.detach().cpu().clone() for name, value in text_tower.state(self.clip).items()}
