"""Queries made without training: from what a sentence affirms and what it denies, or by steering the text tower.

Each is a :class:`Cosine` of the same model with other text features, so every task takes it, and so does any model: a
CLIP as it is, or a fine-tuned one. With unit vectors a of the affirmed and n of the denied part a query is

- the affirmed part alone: a;
- plain subtraction: a - w n;
- SpaceVLM's caps: the vector in the plane of a and n in the middle of what is near a and outside the cap around n.

A sentence that denies nothing keeps its own vector. Steering (``Steered``) needs no split: it pushes the end token of
every layer towards negation. See docs/protocols.md#without-training.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from negutil.errors import NegutilError
from negutil.models import architectures, encode, precision, registry, text_layers
from negutil.models.architectures import TextKind
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Cosine, Features

if TYPE_CHECKING:
    from negutil.captions.splitting import Splitter

NOTHING, OF_DENIED = "a photo", "a photo of {}"
"""The affirmed part if nothing is affirmed, and the sentence about the denied part."""

AFFIRMED, SUBTRACTED, CAPS, STEERED = METHODS = ("affirmed part", "subtraction", "caps", "steering")
DEFAULTS = {AFFIRMED: 0.0, SUBTRACTED: 0.25, CAPS: 0.92, STEERED: 0.13}
"""Each method's number where none is chosen on validation data: SpaceVLM's threshold, the strength for ViT-B/32."""

Combine = Callable[[Features, Features], Features]
"""Makes the queries [T, D] of the affirmed and the denied parts [T, D], all at unit length."""


# --------------------------------------------------------------------------------------------------------------------
# Vectors


def affirmed_alone(affirmed: Features, denied: Features) -> Features:
    """Return the affirmed parts [T, D] as they are; the denied ones do not count."""
    return affirmed


def subtracted(affirmed: Features, denied: Features, weight: float) -> Features:
    """Return a - ``weight`` n at unit length, for unit vectors a and n [T, D]."""
    return _unit(affirmed - weight * denied)


def capped(affirmed: Features, denied: Features, threshold: float) -> Features:
    """Return SpaceVLM's query for unit vectors a and n [T, D] (arXiv 2511.12331).

    With alpha = arccos(``threshold``) and theta the angle between a and n: where theta < 2 alpha, so that the caps of
    that half-angle around both meet, the unit vector in their plane at the angle alpha + theta / 2 from n, on the side
    of a; elsewhere, and where a and n are the same vector, a itself.
    """
    cosine = np.clip((affirmed * denied).sum(axis=1, keepdims=True, dtype=np.float64), -1, 1)
    theta, alpha = np.arccos(cosine), np.arccos(threshold)
    delta = alpha + theta / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.cos(delta) * denied + np.sin(delta) / np.sin(theta) * (affirmed - cosine * denied)
    meets = (theta < 2 * alpha) & (np.sin(theta) > 1e-4)
    return np.where(meets, _unit(np.where(meets, moved, affirmed)), affirmed).astype(np.float32)


def combination(method: str, number: float) -> Combine:
    """Return what makes the queries of ``method``, one of METHODS but for steering, with its number.

    Raises NegutilError for another method and for a number that is out of its range.
    """
    if method == CAPS and not 0 < number < 1:
        raise NegutilError(f"The threshold of caps is {number:g}: give one between 0 and 1.")
    if number < 0:
        raise NegutilError(f"The weight of {method} is {number:g}: give one of 0 or more.")
    known: dict[str, Combine] = {
        AFFIRMED: affirmed_alone,
        SUBTRACTED: functools.partial(subtracted, weight=number),
        CAPS: functools.partial(capped, threshold=number),
    }
    if method not in known:
        raise NegutilError(f"There is no method '{method}' that needs a split: choose among {', '.join(known)}.")
    return known[method]


def _unit(vectors: Features) -> Features:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


# --------------------------------------------------------------------------------------------------------------------
# Splits


class SplitQuery(Cosine):
    """Cosines with queries made by ``combine`` of the two parts that ``splitter`` finds in a sentence.

    Parts are encoded with all other texts of a call at once; ``batch`` and ``share`` are those of ``encode.texts``.
    """

    def __init__(
        self,
        tower: LoadedModel,
        splitter: "Splitter",
        combine: Combine,
        name: str = "",
        *,
        batch: int = encode.BATCH,
        share: bool = False,
    ) -> None:
        super().__init__(tower, batch, share)
        self.name = name or tower.name
        self._splitter, self._combine = splitter, combine

    def with_combine(self, combine: Combine) -> "SplitQuery":
        """Return the same with other queries of the same parts; what is remembered is shared."""
        other = copy.copy(self)
        other._combine = combine
        return other

    def remember(self, texts: Sequence[str]) -> None:
        """Split ``texts``, encode all parts together, and keep their features."""
        whole, denied = self._parts(texts)
        super().remember(list(dict.fromkeys([*whole, *filter(None, denied)])))

    def features(self, texts: Sequence[str]) -> Features:
        """Return the queries [T, D]."""
        whole, denied = self._parts(texts)
        negated = [row for row, part in enumerate(denied) if part]
        if not negated:
            return super().features(whole)
        every = super().features([*whole, *(denied[row] for row in negated)])
        queries = every[: len(whole)].copy()
        queries[negated] = self._combine(queries[negated], every[len(whole) :])
        return queries

    def _parts(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """What is encoded for each text: its affirmed part, or all of it, and its denied part, or ""."""
        splits = self._splitter.split(texts)
        whole = [
            (split.affirmed or NOTHING) if split.denied else text for text, split in zip(texts, splits, strict=True)
        ]
        return whole, [OF_DENIED.format(split.denied) if split.denied else "" for split in splits]


# --------------------------------------------------------------------------------------------------------------------
# Steering


@torch.inference_mode()
def directions(
    model: LoadedModel, affirmed: Sequence[str], negated: Sequence[str], batch: int = encode.BATCH
) -> Features:
    """Return the direction of negation in each layer of the text tower: unit vectors [layers, W].

    In each layer a logistic regression without intercept separates the end token's states of ``affirmed`` sentences
    from those of their negations ``negated``; the direction is its normal. Raises NegutilError for a text tower without
    such layers, and where either list is empty.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    _require_layers(model)
    if not affirmed or not negated:
        raise NegutilError("There are no pairs of sentences to find negation by: give at least one of each kind.")
    layers = range(text_layers.depth(model))
    tokens = architectures.tokenize(model.tokenizer, [*affirmed, *negated])
    states = torch.cat([text_layers.end_states(model, part, layers).float().cpu() for part in tokens.split(batch)])
    is_negated = np.repeat([0, 1], [len(affirmed), len(negated)])
    normals = [
        LogisticRegression(fit_intercept=False, max_iter=1000).fit(layer.numpy(), is_negated).coef_[0]
        for layer in states.unbind(dim=1)
    ]
    return _unit(np.array(normals))


class Steered(Cosine):
    """Cosines with the text features of a steered tower: in every layer the end token's state x becomes

    (1 - strength) x + strength v |x|, with the layer's direction v (arXiv 2603.20554). Every text is steered, whether
    it denies anything or not. Raises NegutilError for a text tower without such layers.
    """

    def __init__(
        self, tower: LoadedModel, towards: Features, strength: float, name: str = "", batch: int = encode.BATCH
    ) -> None:
        _require_layers(tower)
        super().__init__(tower, batch)
        self.name = name or tower.name
        self._towards, self._strength = torch.from_numpy(towards), strength

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str]) -> Features:
        number, different = pd.factorize(np.array(texts, dtype=object))
        tokens = architectures.tokenize(self.tower.tokenizer, different.tolist())
        order = tokens.argmax(dim=-1).argsort(stable=True)
        parts = []
        for rows in order.split(self._batch):
            inputs = tokens[rows].to(self.tower.device)
            with self._steering(inputs.argmax(dim=-1)):
                parts.append(precision.unit(architectures.encode_text(self.tower.model, inputs)).cpu())
        features: Features = torch.cat(parts)[order.argsort()].numpy()
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise NegutilError(f"The steered text '{different[bad[0]]}' gets features that are not finite: steer less.")
        return features[number]

    @contextlib.contextmanager
    def _steering(self, ends: torch.Tensor) -> Iterator[None]:
        """Steer the end tokens [N], at ``ends``, in this block."""
        transformer = self.tower.model.transformer

        def push(towards: torch.Tensor) -> Callable[..., torch.Tensor]:
            def pushed(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
                states = (output if transformer.batch_first else output.transpose(0, 1)).clone()
                rows = torch.arange(len(ends), device=states.device)
                x, v = states[rows, ends], towards.to(states)
                states[rows, ends] = (1 - self._strength) * x + self._strength * v * x.norm(dim=-1, keepdim=True)
                return states if transformer.batch_first else states.transpose(0, 1)

            return pushed

        with contextlib.ExitStack() as stack:
            for block, towards in zip(transformer.resblocks, self._towards, strict=True):
                stack.enter_context(block.register_forward_hook(push(towards)))
            yield


@functools.cache
def has_end_token(name: str) -> bool:
    """Whether the text tower of a model of the registry is CLIP's own: causal, and pooled at an end token."""
    model = architectures.build_unfilled(registry.find(name).architecture)
    return architectures.text_kind(model) is TextKind.CAUSAL


def _require_layers(model: LoadedModel) -> None:
    if architectures.text_kind(model.model) is not TextKind.CAUSAL:
        raise NegutilError(
            f"The text tower of '{model.name}' has no end token to steer: choose another method, such as {SUBTRACTED}."
        )
