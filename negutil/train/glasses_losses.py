"""The losses of CLIPGlasses: Lens (eq. 16), retrieval captions and CC-Neg (docs/protocols.md#glasses-training).

Scores are logits, so no scale is multiplied; features need not be normalised.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def lens(absent: torch.Tensor, target: torch.Tensor, images: torch.Tensor, delta: float) -> torch.Tensor:
    """Similarity plus ``delta`` times alignment of T_neg ``absent`` [B, D] with the object's vector ``target`` [B, D].

    The first is 1 - cos(T_neg, T_obj), the second how far apart the cosines of both with ``images`` [B, D] are.
    """
    similar = 1 - functional.cosine_similarity(absent, target).mean()
    apart = functional.cosine_similarity(target, images) - functional.cosine_similarity(absent, images)
    return similar + delta * apart.abs().mean()


def retrieval(scores: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Half of each: a caption finds its picture, and a picture its captions, whose probabilities are added up.

    ``scores`` [B, U] of captions with the different pictures of the batch, ``own`` int64 [B] the picture of each.
    """
    finds_picture = functional.cross_entropy(scores, own)
    is_own = functional.one_hot(own, scores.shape[1]).bool()
    found = scores.masked_fill(~is_own, -torch.inf).logsumexp(dim=0) - scores.logsumexp(dim=0)
    return (finds_picture - found.mean()) / 2


def ccneg(pictures: torch.Tensor, distractors: torch.Tensor, fourth_term: bool = True) -> torch.Tensor:
    """A quarter of four cross-entropies over scores [2 B, B] of true captions, then negated ones, with pictures.

    A picture finds its caption among all texts, a true caption its picture, a distractor the negated caption among all
    texts, and a negated caption its distractor. The last is our reading of the fourth: in the released code it is 0.
    """
    count = pictures.shape[1]
    right = torch.arange(count, device=pictures.device)
    turned = torch.cat([distractors[count:], distractors[:count]])
    terms = [
        functional.cross_entropy(pictures.T, right),
        functional.cross_entropy(pictures[:count], right),
        functional.cross_entropy(turned.T, right),
    ]
    if fourth_term:
        terms.append(functional.cross_entropy(distractors[count:], right))
    return torch.stack(terms).sum() / 4


def gate(logits: torch.Tensor, is_negated: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the classifier's ``logits`` [B] (docs/protocols.md#gate)."""
    return functional.binary_cross_entropy_with_logits(logits, is_negated.to(logits.dtype))
