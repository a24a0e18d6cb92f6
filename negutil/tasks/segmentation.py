"""Overlap of scored pixels with a mask, by threshold: mIoU, foreground IoU and IoU_BIN as CLIPSeg's code has them.

Source: docs/protocols.md#segmentation. A pixel counts as marked where its score is strictly above the threshold. Every
denominator has a 1 added, as in the released code, so a phrase without a mask scores 0 and never divides by 0. "mIoU"
is the mean over phrases (in PhraseCut's loader each phrase is a class of its own); "fgIoU" and "IoU_BIN" are of the
pixels of all phrases together. The released code takes the best threshold of the test split; here it is chosen on the
validation split.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from negutil.errors import NegutilError
from negutil.statistics import Floats
from negutil.tasks import Entry

Counts = NDArray[np.int32]
THRESHOLDS: Floats = np.linspace(0, 1, 51)[1:-1]
MIOU, FOREGROUND, BINARY = METRICS = ("mIoU", "fgIoU", "IoU_BIN")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels of N phrases at every threshold of THRESHOLDS.

    Attributes:
        hit: marked and meant, int32 [N, 49].
        marked: all that are marked, int32 [N, 49].
        meant: all that are meant, int32 [N].
        pixels: all there are, in each image.
    """

    hit: Counts
    marked: Counts
    meant: Counts
    pixels: int

    def at(self, threshold: int) -> Floats:
        """Hits, false alarms, misses and rightly unmarked pixels [N, 4] at THRESHOLDS[``threshold``]."""
        hit, marked = self.hit[:, threshold].astype(float), self.marked[:, threshold]
        false, missed = marked - hit, self.meant - hit
        return np.stack([hit, false, missed, self.pixels - hit - false - missed], axis=1)


def overlap(scores: torch.Tensor, masks: NDArray[np.bool_]) -> Overlap:
    """Compare ``scores`` [N, H, W] in 0..1 with ``masks`` bool [N, H, W].

    Raises NegutilError if the shapes differ or a score is not finite.
    """
    if tuple(scores.shape) != masks.shape:
        raise NegutilError(f"Scores are {tuple(scores.shape)} and masks {masks.shape}; make them of one size.")
    if not torch.isfinite(scores).all():
        raise NegutilError("A segmentation has a score that is not finite; check the weights of its model.")
    flat, wanted = scores.flatten(1).contiguous(), torch.from_numpy(masks.reshape(len(masks), -1))
    # How many thresholds lie strictly below each score.
    places = torch.bucketize(flat, torch.tensor(THRESHOLDS, dtype=flat.dtype))
    bins = len(THRESHOLDS) + 1
    rows = torch.arange(len(places))[:, None] * bins

    def above(counted: torch.Tensor) -> Counts:
        """How many of the pixels ``counted`` [N, P] are above each threshold; int32 [N, 49]."""
        counts = torch.bincount((places + rows)[counted], minlength=len(places) * bins).reshape(-1, bins)
        return counts.flip(1).cumsum(1).flip(1)[:, 1:].to(torch.int32).numpy()

    meant = wanted.sum(1).to(torch.int32).numpy()
    return Overlap(above(wanted), above(torch.ones_like(wanted)), meant, flat.shape[1])


def per_phrase(counts: Floats) -> Floats:
    """Intersection over union [...] of each row of ``counts`` [..., 4], as ``Overlap.at`` gives them."""
    hit, false, missed = counts[..., 0], counts[..., 1], counts[..., 2]
    overlaps: Floats = hit / (1 + hit + false + missed)
    return overlaps


def pooled(counts: Floats) -> dict[str, Floats]:
    """fgIoU and IoU_BIN of ``counts`` [..., 4] that are sums over phrases."""
    foreground = per_phrase(counts)
    background = per_phrase(counts[..., [3, 1, 2, 0]])
    return {FOREGROUND: foreground, BINARY: (foreground + background) / 2}


def curves(measured: Overlap) -> dict[str, Floats]:
    """Each metric [49] by threshold."""
    counts = np.stack([measured.at(place) for place in range(len(THRESHOLDS))])
    return {MIOU: per_phrase(counts).mean(axis=1), **pooled(counts.sum(axis=1))}


def best(measured: Overlap) -> dict[str, int]:
    """For each metric the threshold (its place in THRESHOLDS) at which it is highest, the lowest where several are."""
    return {name: int(curve.argmax()) for name, curve in curves(measured).items()}


def place_of(threshold: float) -> int:
    """Where ``threshold`` stands in THRESHOLDS; raises NegutilError if it does not."""
    place = int(np.abs(THRESHOLDS - threshold).argmin())
    if not np.isclose(THRESHOLDS[place], threshold):
        raise NegutilError(f"There is no threshold {threshold}; choose a multiple of 0.02 between 0 and 1.")
    return place


TASKS = (
    Entry("PhraseCut", MIOU, "phrasecut", "phrases", "in its table", "NegationCLIP, Table 5"),
    Entry("RefCOCOg (Neg)", MIOU, "refcocog", "phrases with a negation", "in its table", "NegationCLIP, Table 5"),
)
