"""The losses by which text towers are fine-tuned on negation, each as its authors' paper or released code has it.

All take L2-normalised features [B, D] unless said otherwise, and ``scale`` = exp(logit_scale), and return one number.
Row i of images, captions and negated captions belongs to the same example.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from miniworld.pretrain.contrastive import contrastive_loss

Bounds = tuple[float, float]


def info_nce(images: torch.Tensor, captions: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE over the batch: NegationCLIP's loss, and the contrastive part of NegBench's."""
    return contrastive_loss(images, captions, scale)[0]


def con_clip(
    images: torch.Tensor,
    distractors: torch.Tensor,
    captions: torch.Tensor,
    negated: torch.Tensor,
    scale: torch.Tensor,
) -> torch.Tensor:
    """CoN-CLIP's mean of three cross-entropies (docs/protocols.md#con-clip).

    An image finds its caption among captions and negated captions; a caption its image among images and distractor
    images; a distractor image the negated caption among negated captions and captions.
    """
    terms = (
        _first_matches(images, torch.cat([captions, negated]), scale),
        _first_matches(captions, torch.cat([images, distractors]), scale),
        _first_matches(distractors, torch.cat([negated, captions]), scale),
    )
    return torch.stack(terms).mean()


def neg_clip(
    images: torch.Tensor, captions: torch.Tensor, negatives: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """NegCLIP's loss: an image finds its caption among captions and negatives, a caption its image.

    Hard images are ordinary rows here, with captions and negatives of their own.
    """
    among_texts = _first_matches(images, torch.cat([captions, negatives]), scale)
    return (among_texts + _first_matches(captions, images, scale)) / 2


def triplet(images: torch.Tensor, captions: torch.Tensor, margin: float) -> torch.Tensor:
    """The sum over captions of the hinge on the hardest wrong image of the batch (CLIP-bnl's retrieval loss).

    ``margin`` is in cosines: the right image has to be ahead by that much.
    """
    cosines = captions @ images.T
    behind = (margin + cosines - cosines.diagonal().unsqueeze(1)).clamp(min=0)
    own = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return behind.masked_fill(own, 0).amax(dim=1).sum()


def bounded(ahead: torch.Tensor, bounds: Bounds) -> torch.Tensor:
    """The sum of how far each of ``ahead`` [B] (differences of cosines) lies outside ``bounds`` (bottom, upper)."""
    bottom, upper = bounds
    return ((bottom - ahead).clamp(min=0) + (ahead - upper).clamp(min=0)).sum()


def clip_bnl(
    images: torch.Tensor,
    captions: torch.Tensor,
    negated: torch.Tensor,
    *,
    margin: float = 0.2,
    image_bounds: Bounds = (0.1, 0.6),
    text_bounds: Bounds = (0.1, 0.3),
    weight: float = 1e-3,
) -> torch.Tensor:
    """CLIP-bnl's triplet loss with bidirectional bounded constraints on the negated query (docs/protocols.md#clip-bnl).

    The cosine of image and caption must be ahead of that of image and negated caption, and of that of caption and
    negated caption, by no less than the bottom and no more than the upper bound. Sums over the batch, as in the code.
    """
    right = (images * captions).sum(dim=1)
    with_image = bounded(right - (images * negated).sum(dim=1), image_bounds)
    with_text = bounded(right - (captions * negated).sum(dim=1), text_bounds)
    return triplet(images, captions, margin) + weight * (with_image + with_text)


def multiple_choice(
    images: torch.Tensor, options: torch.Tensor, correct: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """NegBench's L_MCQ: cross-entropy over the ``options`` [B, K, D] of each image, the right one in ``correct`` [B].

    The paper scores by cosines; the released code leaves the features as they are, without normalising
    (docs/protocols.md#negbench-training).
    Both are this function, over normalised or raw features.
    """
    logits = scale * torch.einsum("bd,bkd->bk", images, options)
    return functional.cross_entropy(logits, correct)


def weighted(contrastive: torch.Tensor, choice: torch.Tensor, alpha: float) -> torch.Tensor:
    """NegBench's L = alpha L_CLIP + (1 - alpha) L_MCQ (docs/protocols.md#negbench-training)."""
    return alpha * contrastive + (1 - alpha) * choice


def _first_matches(queries: torch.Tensor, gallery: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of query i finding row i of ``gallery``, which may be longer than the queries."""
    return functional.cross_entropy(scale * queries @ gallery.T, torch.arange(len(queries), device=queries.device))
