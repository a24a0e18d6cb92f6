"""One pair of glasses in training: the classifier, then the three stages of CLIPGlasses.

Only features come in, so an epoch takes moments. Batches and dropout follow from seed, stage and epoch alone: a run
that goes on after any finished epoch ends exactly as if it had not been stopped.

See docs/protocols.md#glasses-training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from negutil.errors import NegutilError
from negutil.models import glasses_settings
from negutil.models.glasses import Glasses
from negutil.models.text_layers import TextLayers
from negutil.train import glasses_losses as losses
from negutil.train.glasses_config import STAGES, GlassesTraining, Stage
from negutil.train.glasses_sets import GlassesData

COLUMNS = ("stage", "epoch", "loss", "lr", "validation_loss", "validation_score")
RECALL_AT = 5

Indices = NDArray[np.int64]
Texts = tuple[torch.Tensor, torch.Tensor]
"""Last layer [B, D] and first three [B, 3, D] of B texts."""


@dataclass(frozen=True, slots=True)
class _Tensors:
    """GlassesData on the device, and its parts by item (for the classifier: by sentence)."""

    images: torch.Tensor
    rows: torch.Tensor
    negated: Texts
    affirmed: Texts
    objects: torch.Tensor
    distractors: torch.Tensor | None
    sentences: torch.Tensor
    is_negated: torch.Tensor


class Run:
    """Glasses and where their training stands: ``advance`` trains one epoch of the present stage.

    ``lens_data`` is what stage 1 learns from, where that is another set. ``curve`` has a row with COLUMNS for the start
    of each stage (epoch 0) and for each epoch, ``seconds`` the time that each stage took. The validation's score is
    accuracy of the classifier, cosine of T_neg with the object's vector, and accuracy on CC-Neg or recall@5 of captions
    among the validation's pictures.
    """

    def __init__(self, data: GlassesData, config: GlassesTraining, lens_data: GlassesData | None = None) -> None:
        self.config = config
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.glasses = Glasses(modules(data.images.shape[1], config), data.scale).to(config.device)
        self._data = {name: _tensors(data, config) for name in STAGES}
        self._parts = {name: split(data, config) for name in STAGES}
        if lens_data is not None:
            self._data["lens"], self._parts["lens"] = _tensors(lens_data, config), split(lens_data, config)
        self._parts["gate"] = _split_of(np.arange(len(data.sentences)), config)
        self.stage, self.epoch = 0, 0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.curve: list[list[Any]] = []
        self.best: dict[str, Any] = {}
        self._optimiser: torch.optim.AdamW | None = None

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.stage >= len(STAGES)

    @property
    def name(self) -> str:
        """The present stage."""
        return STAGES[self.stage]

    def advance(self) -> None:
        """Train one epoch, validate, and go to the next stage where this one is over.

        Raises NegutilError where the loss is no longer finite.
        """
        settings, start = self.config.stage(self.name), time.perf_counter()
        optimiser = self._optimiser or self._begin(settings)
        if self.epoch < settings.epochs:
            loss, rate = self._epoch(settings, optimiser)
            self.epoch += 1
            self._note(loss, rate)
        self.seconds[self.name] += time.perf_counter() - start
        waited = self.epoch - self.best.get("epoch", 0)
        if self.epoch >= settings.epochs or (settings.patience and waited >= settings.patience):
            self._end()

    def skip(self, state: Mapping[str, torch.Tensor], rows: list[list[Any]], seconds: float) -> None:
        """Go to the next stage with what another run made of this one: its weights, rows of the curve and seconds."""
        self.glasses.load_state_dict({**self.glasses.state_dict(), **state})
        self.curve += rows
        self.seconds[self.name] = seconds
        self._end()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: tensors and plain values."""
        optimiser = self._optimiser.state_dict() if self._optimiser else {}
        kept = {name: getattr(self, name) for name in ("stage", "epoch", "seconds", "curve", "best")}
        return kept | {"glasses": self.glasses.state_dict(), "optimiser": optimiser}

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.glasses.load_state_dict(content["glasses"])
        for name in ("stage", "epoch", "seconds", "curve", "best"):
            setattr(self, name, content[name])
        if content["optimiser"]:
            self._optimiser = self._new_optimiser(self.config.stage(self.name))
            self._optimiser.load_state_dict(content["optimiser"])

    # ----------------------------------------------------------------------------------------------------------------

    def _begin(self, settings: Stage) -> torch.optim.AdamW:
        self._optimiser = self._new_optimiser(settings)
        self.curve.append([self.name, 0, None, None, *self._validate()])
        return self._optimiser

    def _new_optimiser(self, settings: Stage) -> torch.optim.AdamW:
        """The optimiser of the present stage; what does not learn in it gets no gradient."""
        learning = [getattr(self.glasses, part) for part in LEARNING[self.name]]
        self.glasses.requires_grad_(False)
        for part in learning:
            part.requires_grad_(True)
        parameters = [parameter for part in learning for parameter in part.parameters()]
        decay = settings.weight_decay
        return torch.optim.AdamW(parameters, settings.lr, settings.betas, weight_decay=decay, fused=True)

    def _end(self) -> None:
        """Keep the weights of the best epoch, and begin the next stage."""
        if self.best:
            self.glasses.load_state_dict(self.best["state"])
        self.stage, self.epoch, self.best, self._optimiser = self.stage + 1, 0, {}, None

    def _epoch(self, settings: Stage, optimiser: torch.optim.AdamW) -> tuple[float, float]:
        """Train one epoch; returns the mean loss and the last rate."""
        objective, parts = OBJECTIVES[self.name][0], self._parts[self.name]
        batches = list(_batches(parts[0], settings.batch, [self.config.seed, self.stage, self.epoch]))
        total, rate = 0.0, 0.0
        self.glasses.train()
        with torch.random.fork_rng():
            torch.manual_seed((self.config.seed * 1000 + self.stage) * 1000 + self.epoch)
            for number, index in enumerate(batches):
                share = (self.epoch + number / len(batches)) / settings.epochs
                rate = _rate(settings, share, self.epoch)
                loss = objective(self, index, share)
                self._step(optimiser, loss, rate, settings.clip_norm)
                total += loss.item()
        return total / len(batches), rate

    def _step(self, optimiser: torch.optim.AdamW, loss: torch.Tensor, rate: float, clip_norm: float) -> None:
        if not torch.isfinite(loss):
            raise NegutilError(f"The loss of stage '{self.name}' is {loss.item()}; lower its `lr` and start again.")
        for group in optimiser.param_groups:
            group["lr"] = rate
        if not loss.requires_grad:  # with a constant lambda the Frame has nothing to learn
            return
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(
                [one for group in optimiser.param_groups for one in group["params"]], clip_norm
            )
        optimiser.step()

    def _note(self, loss: float, rate: float) -> None:
        """Validate, note the epoch, and keep its weights where it is the best so far."""
        settings = self.config.stage(self.name)
        validation, score = self._validate()
        self.curve.append([self.name, self.epoch, loss, rate, validation, score])
        value = {"lowest validation loss": -validation, "highest validation score": score}.get(
            settings.keep, self.epoch
        )
        if value > self.best.get("value", -math.inf):
            weights = {name: tensor.clone() for name, tensor in self.glasses.state_dict().items()}
            self.best = {"value": value, "epoch": self.epoch, "state": weights}

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """Loss and score over the validation part."""
        objective, score = OBJECTIVES[self.name]
        held_out = self._parts[self.name][1]
        size = min(self.config.stage(self.name).batch, len(held_out))
        whole = held_out[: len(held_out) // size * size].reshape(-1, size)
        self.glasses.eval()
        found = [objective(self, torch.from_numpy(index), 1.0).item() for index in whole]
        return float(np.mean(found)), score(self, torch.from_numpy(held_out))


def modules(width: int, config: GlassesTraining) -> glasses_settings.GlassesConfig:
    """The settings of the modules for features of ``width``."""
    make = glasses_settings.released if config.variant == "released" else glasses_settings.paper
    return make(width, **config.modules)


def split(data: GlassesData, config: GlassesTraining) -> tuple[Indices, Indices]:
    """Return the items that train and those that validate, drawn by the seed; by image, no picture is in both.

    Raises NegutilError where a part would be empty.
    """
    return _split_of(data.rows if config.validation_by == "image" else np.arange(len(data)), config)


def _split_of(units: Indices, config: GlassesTraining) -> tuple[Indices, Indices]:
    different = np.random.default_rng([config.seed, 0]).permutation(np.unique(units))
    held_out = np.isin(units, different[: round(config.validation_share * len(different))])
    train, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    if not len(train) or not len(validation):
        raise NegutilError(f"{len(units)} items leave {len(validation)} to validate; give more, or raise the share.")
    return train, validation


def _tensors(data: GlassesData, config: GlassesTraining) -> _Tensors:
    device, hard = config.device, data.distractors
    if hard is not None and config.distractors == "unrelated":
        hard = np.random.default_rng([config.seed, 1]).integers(len(data.images), size=len(data))

    def texts(layers: TextLayers) -> Texts:
        return torch.from_numpy(layers.last).to(device), torch.from_numpy(layers.levels).to(device)

    return _Tensors(
        images=torch.from_numpy(data.images).to(device),
        rows=torch.from_numpy(data.rows).to(device),
        negated=texts(data.negated),
        affirmed=texts(data.affirmed),
        objects=torch.from_numpy(data.objects[data.object_rows]).to(device),
        distractors=None if hard is None else torch.from_numpy(hard).to(device),
        sentences=torch.from_numpy(data.sentences).to(device),
        is_negated=torch.from_numpy(data.is_negated).to(device),
    )


def _batches(rows: Indices, size: int, seed: list[int]) -> Iterator[torch.Tensor]:
    """Batches of ``size`` in a random order; an incomplete last one is left out, unless it is alone."""
    order = torch.from_numpy(np.random.default_rng([2, *seed]).permutation(rows))
    whole = max(1, len(order) // size)
    return iter(order[: whole * size].split(size))


def _rate(settings: Stage, share: float, epoch: int) -> float:
    """The rate after this ``share`` of the stage, in this epoch."""
    if settings.schedule == "constant":
        return settings.lr
    passed = epoch / settings.epochs if settings.schedule == "cosine by epoch" else share
    return settings.lr * 0.5 * (1 + math.cos(math.pi * passed))


# --------------------------------------------------------------------------------------------------------------------
# Objectives: the loss of a batch at a share of the stage, and the score of the validation part


def _gate_loss(run: Run, index: torch.Tensor, share: float) -> torch.Tensor:
    data = run._data["gate"]
    return losses.gate(run.glasses.gate(data.sentences[index]), data.is_negated[index])


def _gate_score(run: Run, index: torch.Tensor) -> float:
    data = run._data["gate"]
    guessed = run.glasses.gate.mask(data.sentences[index], run.glasses.config.threshold)
    return (guessed == data.is_negated[index]).float().mean().item()


def _lens_loss(run: Run, index: torch.Tensor, share: float) -> torch.Tensor:
    data, (first, last) = run._data["lens"], run.config.delta
    absent = run.glasses.absent(data.negated[0][index], data.negated[1][index])
    delta = first + (last - first) * share
    return losses.lens(absent, data.objects[index], data.images[data.rows[index]], delta)


def _lens_score(run: Run, index: torch.Tensor) -> float:
    data = run._data["lens"]
    absent = run.glasses.absent(data.negated[0][index], data.negated[1][index])
    return functional.cosine_similarity(absent, data.objects[index]).mean().item()


def _score_loss(run: Run, index: torch.Tensor, share: float) -> torch.Tensor:
    """The contrastive loss of stages 2 (true object vectors) and 3 (the Lens's), as the set has it."""
    data = run._data[run.name]
    if data.distractors is not None:
        return losses.ccneg(*_triplet_scores(run, data, index), run.config.fourth_term)
    pictures, own = data.rows[index].unique(return_inverse=True)
    texts, true = _of(data.negated, index), _true(run, data, index)
    absent = run.glasses.absent(*texts) if true is None else true
    return losses.retrieval(_scores(run.glasses, texts, data.images[pictures], absent, own), own)


def _scores(
    glasses: Glasses, texts: Texts, images: torch.Tensor, absent: torch.Tensor, partners: torch.Tensor
) -> torch.Tensor:
    """Scores [T, M]; texts that the mask lets through need no lambda, the costly part where it has no closed form."""
    mask = glasses.masked(texts[0])
    sent = mask if mask.any() else torch.ones_like(mask)
    own = _of(texts, sent)
    found: torch.Tensor = glasses(*own, images, negated=absent[sent], mask=mask[sent], partners=partners[sent])
    if sent.all():
        return found
    plain = glasses.scale * functional.normalize(texts[0], dim=-1) @ functional.normalize(images, dim=-1).T
    return plain.index_put((sent,), found)


def _triplet_scores(run: Run, data: _Tensors, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [2 B, B] of true and of negated captions with pictures and with distractors.

    T_neg of the two kinds of captions is made apart, as in the released code: a softmax over the batch sees one kind.
    """
    glasses, true = run.glasses, _true(run, data, index)
    pairs = [_of(texts, index) for texts in (data.affirmed, data.negated)]
    absent = torch.cat([glasses.absent(*pair) if true is None else true for pair in pairs])
    last, levels = (torch.cat(both) for both in zip(*pairs, strict=True))
    partners = torch.arange(len(index), device=last.device).repeat(2)
    pictures, hard = data.images[data.rows[index]], data.images[data.distractors[index]]  # type: ignore[index]
    if glasses.config.lambda_from == "pair":
        together = _scores(glasses, (last, levels), torch.cat([pictures, hard]), absent, partners)
        return together[:, : len(index)], together[:, len(index) :]
    first, second = (_scores(glasses, (last, levels), images, absent, partners) for images in (pictures, hard))
    return first, second


def _pair_score(run: Run, index: torch.Tensor) -> float:
    """Accuracy of CC-Neg's pairs, or recall@5 of captions among the pictures of the validation part."""
    data, true = run._data[run.name], _true(run, run._data[run.name], index)
    if data.distractors is not None:
        images = data.images[data.rows[index]]
        right, wrong = (
            run.glasses.paired(*_of(texts, index), images, negated=true) for texts in (data.affirmed, data.negated)
        )
        return (right > wrong).float().mean().item()
    pictures, own = data.rows[index].unique(return_inverse=True)
    scores = run.glasses(*_of(data.negated, index), data.images[pictures], negated=true, partners=own)
    ranks = (scores >= scores.gather(1, own.unsqueeze(1))).sum(dim=1)
    return (ranks <= RECALL_AT).float().mean().item()


def _of(texts: Texts, index: torch.Tensor) -> Texts:
    return texts[0][index], texts[1][index]


def _true(run: Run, data: _Tensors, index: torch.Tensor) -> torch.Tensor | None:
    """The true object vectors in stage 2, none in stage 3."""
    return data.objects[index] if run.name == "frame" else None


Objective = Callable[[Run, torch.Tensor, float], torch.Tensor]
Score = Callable[[Run, torch.Tensor], float]
OBJECTIVES: dict[str, tuple[Objective, Score]] = {
    "gate": (_gate_loss, _gate_score),
    "lens": (_lens_loss, _lens_score),
    "frame": (_score_loss, _pair_score),
    "joint": (_score_loss, _pair_score),
}
LEARNING = {"gate": ("gate",), "lens": ("lens",), "frame": ("frame",), "joint": ("lens", "frame")}
