"""The losses of everything that is trained on negation, each as its authors' paper or released code has it.

Those for text towers take L2-normalised features [B, D] unless said otherwise, and ``scale`` = exp(logit_scale). Row i
of images, captions and negated captions belongs to the same example.
"""

import math

import torch
from torch.nn import functional

Bounds = tuple[float, float]
MAX_LOGIT_SCALE = math.log(100)
"""Up to which CLIP's logit scale is learned (Radford et al. 2021, Sec. 2.5)."""


def contrastive_loss(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Symmetric InfoNCE of L2-normalised ``images`` and ``texts`` [B, D], and the share of images matched."""
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits), device=logits.device)
    loss = (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
    return loss, float((logits.argmax(dim=1) == labels).float().mean())


def info_nce(images: torch.Tensor, captions: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE over the batch: NegationCLIP's loss, and the contrastive part of NegBench's."""
    return contrastive_loss(images, captions, scale)[0]


def con_clip(
    images: torch.Tensor, distractors: torch.Tensor, captions: torch.Tensor, negated: torch.Tensor, scale: torch.Tensor
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


# --------------------------------------------------------------------------------------------------------------------
# CLIPGlasses (docs/protocols.md#glasses-training): scores are logits, so no scale is multiplied


def glasses_lens(absent: torch.Tensor, target: torch.Tensor, images: torch.Tensor, delta: float) -> torch.Tensor:
    """Similarity plus ``delta`` times alignment of T_neg ``absent`` [B, D] with the object's vector ``target`` [B, D].

    The first is 1 - cos(T_neg, T_obj), the second how far apart the cosines of both with ``images`` [B, D] are.
    """
    similar = 1 - functional.cosine_similarity(absent, target).mean()
    apart = functional.cosine_similarity(target, images) - functional.cosine_similarity(absent, images)
    return similar + delta * apart.abs().mean()


def glasses_retrieval(scores: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Half of each: a caption finds its image, and an image its captions, whose probabilities are added up.

    ``scores`` [B, U] of captions with the different images of the batch, ``own`` int64 [B] the image of each.
    """
    finds_picture = functional.cross_entropy(scores, own)
    is_own = functional.one_hot(own, scores.shape[1]).bool()
    found = scores.masked_fill(~is_own, -torch.inf).logsumexp(dim=0) - scores.logsumexp(dim=0)
    return (finds_picture - found.mean()) / 2


def glasses_ccneg(pictures: torch.Tensor, distractors: torch.Tensor, fourth_term: bool = True) -> torch.Tensor:
    """A quarter of four cross-entropies over scores [2 B, B] of true captions, then negated ones, with images.

    An image finds its caption among all texts, a true caption its image, a distractor the negated caption among all
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


def glasses_gate(logits: torch.Tensor, is_negated: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the classifier's ``logits`` [B] (docs/protocols.md#gate)."""
    return functional.binary_cross_entropy_with_logits(logits, is_negated.to(logits.dtype))


def _first_matches(queries: torch.Tensor, gallery: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of query i finding row i of ``gallery``, which may be longer than the queries."""
    return functional.cross_entropy(scale * queries @ gallery.T, torch.arange(len(queries), device=queries.device))
