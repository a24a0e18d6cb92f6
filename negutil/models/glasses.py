"""CLIPGlasses: scores of a frozen CLIP, less what Lens and Frame say of absent things (eq. 12 to 15).

Pure modules over features: texts [T, D] (the last layer at the end token), levels [T, 3, D] (the first three layers
there) and images [M, D]. A score is a cosine times exp(logit_scale), so it is a logit of the CLIP that wears them.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from negutil.errors import NegutilError
from negutil.models import glasses_scores
from negutil.models.frame import Frame
from negutil.models.glasses_scores import CHUNK, Block
from negutil.models.glasses_settings import GlassesConfig
from negutil.models.lens import Lens
from negutil.models.negation_gate import NegationGate


class Glasses(nn.Module):
    """Lens, Frame and classifier on one CLIP; ``scale`` is exp(logit_scale) of that CLIP, about 100 for OpenAI's.

    Wherever it is asked for, ``negated`` [T, D] replaces the Lens's T_neg (the true object's vector, say), and ``mask``
    bool [T] the classifier's M. The classifier gets no gradient here.
    """

    scale: torch.Tensor

    def __init__(self, config: GlassesConfig, scale: float) -> None:
        super().__init__()
        self.config = config
        # In this order, so that glasses of one seed begin with the same classifier and, with the same Lens, one Lens.
        self.gate = NegationGate(config.width, config.gate_dropout)
        self.lens, self.frame = Lens(config), Frame(config)
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(
        self,
        texts: torch.Tensor,
        levels: torch.Tensor,
        images: torch.Tensor,
        *,
        negated: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        partners: torch.Tensor | None = None,
        chunk: int = CHUNK,
    ) -> torch.Tensor:
        """Return S [T, M] = S_base - M R of every text with every image (eq. 15), with gradients.

        Where lambda is from the row's image, ``partners`` int [T] says which row of ``images`` that is for each text;
        without it there have to be as many images as texts. Memory besides the result: blocks of ``chunk`` x ``chunk``.
        Raises NegutilError where partners are needed and missing, and for shapes that do not fit.
        """
        masked = (self.masked(texts) if mask is None else mask).to(texts.dtype).unsqueeze(1)
        said, seen = functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1)
        penalty = self._penalties(texts, levels, images, negated, partners)

        def block(rows: slice, columns: slice) -> torch.Tensor:
            return self.scale * (said[rows] @ seen[columns].T) - masked[rows] * penalty(rows, columns)

        return glasses_scores.blocks(block, (len(texts), len(images)), chunk, said)

    def paired(
        self,
        texts: torch.Tensor,
        levels: torch.Tensor,
        images: torch.Tensor,
        *,
        negated: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return S [N] of text i with image row i (eq. 15); ``images`` are [N, D]. Raises NegutilError as forward."""
        masked = self.masked(texts) if mask is None else mask
        said, seen = functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1)
        base = (said * seen).sum(dim=-1)
        if self.config.constant_penalty is not None:
            return self.scale * base - masked.to(base.dtype) * self.config.constant_penalty
        absent = self.absent(texts, levels) if negated is None else negated
        pull = self.frame(texts, absent, images) * (self._direction(absent) * seen).sum(dim=-1).clamp(min=0)
        return self.scale * (base - masked.to(base.dtype) * pull)

    def absent(self, texts: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return T_neg [T, D]: the Lens's, or random directions where the settings say so.

        Where the Lens's softmax is over the batch, texts go through it ``lens_batch`` at a time outside of training, in
        their order: the published scores depend on that batch too.
        """
        if self.config.negated == "random":
            return random_directions(texts, self.config.random_seed)
        together = self.config.lens_batch
        if self.training or not together or self.config.softmax_over == "levels":
            found: torch.Tensor = self.lens(texts, levels)
            return found
        parts = zip(texts.split(together), levels.split(together), strict=True)
        return torch.cat([self.lens(*part) for part in parts])

    def masked(self, texts: torch.Tensor) -> torch.Tensor:
        """Return M, bool [T] (eq. 14): all true in training, unless the settings say otherwise."""
        if self.config.mask == "always" or (self.training and not self.config.mask_in_training):
            return torch.ones(len(texts), dtype=torch.bool, device=texts.device)
        return self.gate.mask(texts, self.config.threshold)

    def _penalties(
        self,
        texts: torch.Tensor,
        levels: torch.Tensor,
        images: torch.Tensor,
        negated: torch.Tensor | None,
        partners: torch.Tensor | None,
    ) -> Block:
        """What makes blocks of the penalty R [T, M] = lambda max(0, S_neg) (eq. 13)."""
        if self.config.constant_penalty is not None:
            return glasses_scores.of_texts(texts.new_full((len(texts),), self.config.constant_penalty))
        absent = self.absent(texts, levels) if negated is None else negated
        toward, seen = self._direction(absent), functional.normalize(images, dim=-1)
        strength = self._strengths(texts, absent, images, partners)

        def block(rows: slice, columns: slice) -> torch.Tensor:
            return self.scale * (toward[rows] @ seen[columns].T).clamp(min=0) * strength(rows, columns)

        return block

    def _strengths(
        self, texts: torch.Tensor, absent: torch.Tensor, images: torch.Tensor, partners: torch.Tensor | None
    ) -> Block:
        """What makes blocks of lambda [T, M]: of each pair, or of the text with its partner for all images."""
        if self.config.lambda_from == "pair":
            return glasses_scores.of_pairs(self.frame, texts, absent, images)
        if partners is None and len(texts) != len(images):
            raise NegutilError(
                f"These glasses take lambda from the image in a text's row, but there are {len(texts)} texts and "
                f"{len(images)} images; give partners, or choose lambda_from = 'pair'."
            )
        own = images if partners is None else images[partners]
        return glasses_scores.of_texts(self.frame(texts, absent, own))

    def _direction(self, absent: torch.Tensor) -> torch.Tensor:
        """The normalised T_neg [T, D], with the released code's epsilon where the settings ask for it."""
        return functional.normalize(absent, dim=-1) + self.config.component_epsilon


def random_directions(texts: torch.Tensor, seed: int) -> torch.Tensor:
    """Return a random unit vector [D] for each of ``texts`` [T, D], drawn from ``seed`` and the text's own features.

    So a text keeps its direction whatever other texts are asked, and equal texts have equal ones.
    """
    rows = np.ascontiguousarray(texts.detach().cpu().to(torch.float32).numpy())
    drawn = [np.random.default_rng([seed, *_words(row)]).standard_normal(rows.shape[1]) for row in rows]
    directions = torch.from_numpy(np.array(drawn).reshape(rows.shape))
    return functional.normalize(directions, dim=-1).to(texts)


def _words(row: np.ndarray) -> list[int]:
    return np.frombuffer(hashlib.sha256(row.tobytes()).digest(), dtype=np.uint32).tolist()
