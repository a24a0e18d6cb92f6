"""Training pairs of glasses on a frozen CLIP: the classifier, then the three stages of CLIPGlasses.

Only features come in, so an epoch takes moments. Batches and dropout follow from seed, stage and epoch alone: a run
that resumes after any finished epoch ends exactly as if it had not been stopped.

The classifier reads no more than its sentences, and the Lens in stage 1 nothing of the Frame: pairs that differ in
something else end these stages with the same weights, so they are trained once and kept in the cache. The key of such
an entry is everything that the stage depends on. See docs/protocols.md#glasses-training.
"""

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from negutil import code
from negutil.cache import Cache
from negutil.errors import NegutilError
from negutil.models import glasses_model, glasses_settings
from negutil.models.glasses import Glasses
from negutil.models.glasses_model import TrainedGlasses
from negutil.models.text_layers import TextLayers
from negutil.train import examples, loop, losses
from negutil.train.finetune import locked, run_calls
from negutil.train.glasses_sets import GlassesData, digest
from negutil.train.loop import CHECKPOINT, Loop, Stopped, fast_kernels, plain, read_checkpoint
from negutil.train.settings import STAGES, GlassesTraining, Stage

COLUMNS = ("stage", "epoch", "loss", "lr", "validation_loss", "validation_score")
RECALL_AT = 5

Indices = NDArray[np.int64]
Texts = tuple[torch.Tensor, torch.Tensor]
"""Last layer [B, D] and first three [B, 3, D] of B texts."""

EVERY = 5.0
"""Seconds between checkpoints, which are written at the ends of epochs."""

READ = {
    "gate": ("width", "gate_dropout"),
    "lens": (
        *("width", "softmax_over", "log_scale", "gate", "gate_sigmoids", "lens_batch", "lens_dropout"),
        *("syntactic", "semantic", "residual_gate", "negated", "random_seed"),
    ),
}
"""The settings of the modules that the loss and the validation of a stage read."""

RUN = ("seed", "validation_share", "matmul_precision", "threads", "device")
TOLD = "told"
"""The array with what is no weight: the rows of the curve, as JSON."""


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


class Run(Loop[tuple[torch.Tensor, float]]):
    """The training of a pair of glasses, stage after stage.

    ``lens_data`` is what stage 1 learns from, where that is another set; ``keys`` (``shared_keys``) are those of stages
    that are shared through the cache. ``curve`` has a row with COLUMNS for the start of each stage (epoch 0) and for
    each epoch. The validation's score is accuracy of the classifier, cosine of T_neg with the object's vector, and
    accuracy on CC-Neg or recall@5 of captions among the validation's images.
    """

    label = "training glasses, step"

    def __init__(
        self,
        data: GlassesData,
        config: GlassesTraining,
        lens_data: GlassesData | None = None,
        keys: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.config, self.keys = config, keys or {}
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.glasses = Glasses(modules(data.images.shape[1], config), data.scale).to(config.device)
        sets = {name: lens_data if name == "lens" and lens_data is not None else data for name in STAGES}
        self.data = {name: _tensors(each, config) for name, each in sets.items()}
        self.parts = {name: split(each, config, name) for name, each in sets.items()}
        self.stage = self.first = 0  # the present stage, and the step that it begins with
        self.batches: tuple[torch.Tensor, ...] = ()
        self.total = 0.0
        self.saved = time.monotonic()
        super().__init__(
            {"glasses": self.glasses},
            self.optimiser_of_stage(),
            loss=lambda batch: OBJECTIVES[self.name][0](self, *batch),
            sampler=self.sample,
            schedule=self.learning_rate,
            steps=sum(map(self.steps_of, STAGES)),
        )

    @property
    def name(self) -> str:
        """The present stage; after all of them, the last one."""
        return STAGES[min(self.stage, len(STAGES) - 1)]

    @property
    def settings(self) -> Stage:
        """The settings of the present stage."""
        return self.config.stage(self.name)

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch of the present stage has: an incomplete one is left out."""
        return self.batches_of(self.name)

    @property
    def epoch(self) -> int:
        """How many epochs of the present stage are done."""
        return (self.done - self.first) // self.per_epoch

    def batches_of(self, name: str) -> int:
        """Return how many batches an epoch of a stage has."""
        return max(1, len(self.parts[name][0]) // self.config.stage(name).batch)

    def steps_of(self, name: str) -> int:
        """Return how many steps a stage has at most."""
        return self.config.stage(name).epochs * self.batches_of(name)

    def optimiser_of_stage(self) -> torch.optim.AdamW:
        """Return the optimiser of what learns in the present stage; everything else is frozen."""
        self.glasses.requires_grad_(False)
        parameters: list[torch.nn.Parameter] = []
        for part in LEARNING[self.name]:
            parameters += getattr(self.glasses, part).requires_grad_(True).parameters()
        settings = self.settings
        return torch.optim.AdamW(
            parameters, settings.lr, settings.betas, weight_decay=settings.weight_decay, fused=True
        )

    def sample(self, step: int) -> tuple[torch.Tensor, float]:
        """Return the items of a step, and the share of its stage that is done before it.

        Order and dropout of an epoch follow from seed, stage and epoch alone.
        """
        epoch, number = divmod(step - self.first, self.per_epoch)
        if number == 0:
            seed = self.config.seed
            order = np.random.default_rng([2, seed, self.stage, epoch]).permutation(self.parts[self.name][0])
            whole = self.per_epoch * self.settings.batch
            self.batches, self.total = torch.from_numpy(order)[:whole].split(self.settings.batch), 0.0
            self.glasses.train()
            torch.manual_seed((seed * 1000 + self.stage) * 1000 + epoch)
        return self.batches[number], (epoch + number / self.per_epoch) / self.settings.epochs

    def learning_rate(self, step: int) -> dict[str, float]:
        """Return the rate of a step: constant, or a cosine down to zero by step or by epoch."""
        if self.settings.schedule == "constant":
            return {"lr": self.settings.lr}
        epoch, number = divmod(step - self.first, self.per_epoch)
        passed = epoch if self.settings.schedule == "cosine by epoch" else epoch + number / self.per_epoch
        return {"lr": self.settings.lr * 0.5 * (1 + math.cos(math.pi * (passed / self.settings.epochs)))}

    def start(self) -> None:
        """Note the validation before the present stage; a stage that is shared or has no epochs ends at once."""
        while self.stage < len(STAGES):
            self._enter()
            if not self._take():
                self.curve.append([self.name, 0, None, None, *self.validate()])
                if self.settings.epochs:
                    return
                self._share()
            self._end()

    def note(self, loss: float) -> None:
        """Add to the loss of the epoch; at its end, validate, and keep the weights where they are the best so far.

        A stage is over when all epochs are done, or too many since the best one: its best weights stay.
        """
        self.total += loss
        if (self.done - self.first) % self.per_epoch:
            return
        validation, score = self.validate()
        self.curve.append([self.name, self.epoch, self.total / self.per_epoch, self.rate, validation, score])
        by = {"lowest validation loss": -validation, "highest validation score": score}
        value = by.get(self.settings.keep, self.epoch)
        if value > self.best.get("value", -math.inf):
            weights = {name: tensor.clone() for name, tensor in self.glasses.state_dict().items()}
            self.best = {"value": value, "epoch": self.epoch, "state": weights}
        patience = self.settings.patience
        if self.epoch == self.settings.epochs or 0 < patience <= self.epoch - self.best.get("epoch", 0):
            if self.best:
                self.glasses.load_state_dict(self.best["state"])
            self._share()
            self._end()
            self.start()

    def can_stop(self) -> bool:
        """Whether an epoch has just ended: dropout within it follows from all of its steps."""
        return (self.done - self.first) % self.per_epoch == 0

    def is_due(self) -> bool:
        """Whether a checkpoint is due; none is after the last step, as the result itself is written next."""
        return self.done < self.steps and self.can_stop() and time.monotonic() - self.saved > EVERY

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        self.saved = time.monotonic()
        return super().state() | {"stage": self.stage, "first": self.first, "steps": self.steps}

    def restore(self, content: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.stage, self.first, self.steps = (content[name] for name in ("stage", "first", "steps"))
        self._enter()
        super().restore(content)

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Return loss and score over the validation part of the present stage."""
        (objective, score), items = OBJECTIVES[self.name], self.parts[self.name][1]
        size = min(self.settings.batch, len(items))
        whole = items[: len(items) // size * size].reshape(-1, size)
        self.glasses.eval()
        values = [objective(self, torch.from_numpy(index), 1.0).item() for index in whole]
        return float(np.mean(values)), score(self, torch.from_numpy(items))

    def _enter(self) -> None:
        """Train by the settings of the present stage."""
        self.title, self.clip_norm = f"The loss of stage '{self.name}'", self.settings.clip_norm
        self.learn_by(self.optimiser_of_stage())

    def _end(self) -> None:
        self.stage, self.first, self.best = self.stage + 1, self.done, {}
        self.steps = self.done + sum(map(self.steps_of, STAGES[self.stage :]))

    def _take(self) -> bool:
        """Take the end of the present stage, which is about to start, from the cache; return whether it was there."""
        key, cache = self.keys.get(self.name), Cache()
        arrays = cache.load(cache.key(**key)) if key else None
        if arrays is None:
            return False
        note = json.loads(arrays.pop(TOLD).tobytes())
        learned = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.glasses.load_state_dict({**self.glasses.state_dict(), **learned})
        self.curve += note["rows"]
        return True

    def _share(self) -> None:
        """Store the end of the present stage in the cache, where it is one that other pairs have too."""
        key, cache = self.keys.get(self.name), Cache()
        if key:
            learned = tuple(f"{part}." for part in LEARNING[self.name])
            weights = self.glasses.state_dict()
            state = {name: one.cpu().numpy() for name, one in weights.items() if name.startswith(learned)}
            note = json.dumps({"rows": [row for row in self.curve if row[0] == self.name]})
            cache.store(cache.key(**key), state | {TOLD: np.frombuffer(note.encode(), np.uint8)}, key)


def modules(width: int, config: GlassesTraining) -> glasses_settings.GlassesConfig:
    """The settings of the modules for features of ``width``."""
    variants = {
        "paper": glasses_settings.paper,
        "tokens": glasses_settings.tokens,
        "released": glasses_settings.released,
    }
    return variants[config.variant](width, **config.modules)


def split(data: GlassesData, config: GlassesTraining, stage: str) -> tuple[Indices, Indices]:
    """Return the items of a stage that train and those that validate, drawn by the seed.

    By image, no image is in both. Raises NegutilError if a part would be empty.
    """
    units = data.rows if config.validation_by == "image" else np.arange(len(data))
    units = np.arange(len(data.sentences)) if stage == "gate" else units
    train, validation = examples.parts(units, config.validation_share, config.seed)
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


# --------------------------------------------------------------------------------------------------------------------
# Objectives: the loss of a batch at a share of the stage, and the score of the validation part


def _gate_loss(run: Run, index: torch.Tensor, share: float) -> torch.Tensor:
    data = run.data["gate"]
    return losses.glasses_gate(run.glasses.gate(data.sentences[index]), data.is_negated[index])


def _gate_score(run: Run, index: torch.Tensor) -> float:
    data = run.data["gate"]
    guessed = run.glasses.gate.mask(data.sentences[index], run.glasses.config.threshold)
    return (guessed == data.is_negated[index]).float().mean().item()


def _lens_loss(run: Run, index: torch.Tensor, share: float) -> torch.Tensor:
    data, (first, last) = run.data["lens"], run.config.delta
    absent = run.glasses.absent(data.negated[0][index], data.negated[1][index])
    delta = first + (last - first) * share
    return losses.glasses_lens(absent, data.objects[index], data.images[data.rows[index]], delta)


def _lens_score(run: Run, index: torch.Tensor) -> float:
    data = run.data["lens"]
    absent = run.glasses.absent(data.negated[0][index], data.negated[1][index])
    return functional.cosine_similarity(absent, data.objects[index]).mean().item()


def _score_loss(run: Run, index: torch.Tensor, share: float) -> torch.Tensor:
    """The contrastive loss of stages 2 (true object vectors) and 3 (the Lens's), as the set has it."""
    data = run.data[run.name]
    true = data.objects[index] if run.name == "frame" else None
    if data.distractors is not None:
        scores = _triplet_scores(run.glasses, data, index, data.distractors[index], true)
        return losses.glasses_ccneg(*scores, run.config.fourth_term)
    pictures, own = data.rows[index].unique(return_inverse=True)
    texts = _of(data.negated, index)
    absent = run.glasses.absent(*texts) if true is None else true
    return losses.glasses_retrieval(_scores(run.glasses, texts, data.images[pictures], absent, own), own)


def _of(texts: Texts, index: torch.Tensor) -> Texts:
    return texts[0][index], texts[1][index]


def _scores(
    glasses: Glasses, texts: Texts, images: torch.Tensor, absent: torch.Tensor, partners: torch.Tensor
) -> torch.Tensor:
    """Scores [T, M]; texts that the mask lets through need no lambda, the costly part where it has no closed form."""
    mask = glasses.masked(texts[0])
    sent = mask if mask.any() else torch.ones_like(mask)
    scores: torch.Tensor = glasses(
        *_of(texts, sent), images, negated=absent[sent], mask=mask[sent], partners=partners[sent]
    )
    if sent.all():
        return scores
    plain = glasses.scale * functional.normalize(texts[0], dim=-1) @ functional.normalize(images, dim=-1).T
    return plain.index_put((sent,), scores)


def _triplet_scores(
    glasses: Glasses, data: _Tensors, index: torch.Tensor, distractors: torch.Tensor, true: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [2 B, B] of true and of negated captions with images and with distractors.

    T_neg of the two kinds of captions is made apart, as in the released code: a softmax over the batch sees one kind.
    """
    pairs = [_of(texts, index) for texts in (data.affirmed, data.negated)]
    absent = torch.cat([glasses.absent(*pair) if true is None else true for pair in pairs])
    last, levels = (torch.cat(both) for both in zip(*pairs, strict=True))
    partners = torch.arange(len(index), device=last.device).repeat(2)
    pictures, hard = data.images[data.rows[index]], data.images[distractors]
    if glasses.config.lambda_from == "pair":
        together = _scores(glasses, (last, levels), torch.cat([pictures, hard]), absent, partners)
        return together[:, : len(index)], together[:, len(index) :]
    first, second = (_scores(glasses, (last, levels), images, absent, partners) for images in (pictures, hard))
    return first, second


def _pair_score(run: Run, index: torch.Tensor) -> float:
    """Accuracy of CC-Neg's pairs, or recall@5 of captions among the images of the validation part."""
    data = run.data[run.name]
    true = data.objects[index] if run.name == "frame" else None
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


Objective = Callable[[Run, torch.Tensor, float], torch.Tensor]
Score = Callable[[Run, torch.Tensor], float]
OBJECTIVES: dict[str, tuple[Objective, Score]] = {
    "gate": (_gate_loss, _gate_score),
    "lens": (_lens_loss, _lens_score),
    "frame": (_score_loss, _pair_score),
    "joint": (_score_loss, _pair_score),
}
LEARNING = {"gate": ("gate",), "lens": ("lens",), "frame": ("frame",), "joint": ("lens", "frame")}


# --------------------------------------------------------------------------------------------------------------------
# Jobs: training by name, checkpoints, and stages that several pairs share


@dataclass(frozen=True, slots=True)
class GlassesJob:
    """One pair of glasses to train: its ``name``, the base's ``base_sha256``, features, and settings.

    ``lens_data`` is what stage 1 learns from where that is another set (``config.lens_set``).
    """

    name: str
    base_sha256: str
    data: GlassesData
    config: GlassesTraining
    profile: str
    lens_data: GlassesData | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the result follows from, as plain JSON values."""
        facts: dict[str, Any] = {"base": glasses_model.base_of(self.name), "base_sha256": self.base_sha256}
        facts |= {"config": self.config, "data_sha256": self.data.sha256}
        facts |= {"lens_sha256": self.lens_data.sha256 if self.lens_data else ""}
        return plain(facts | {"code_version": code.fingerprint(__name__)})


def train(job: GlassesJob) -> TrainedGlasses:
    """Train one pair of glasses, or resume where it stopped; finished ones of the same identity are returned.

    What was made from something else under this name is replaced. Ctrl-C finishes the epoch, saves, and raises Stopped.
    Raises NegutilError if a loss is not finite, or a file cannot be written.
    """
    out, identity, config = glasses_model.folder(job.name, job.profile), job.identity, job.config
    with locked(out):
        found = glasses_model.find(job.name, job.profile)
        if found is not None and found.about["identity"] == identity:
            return found
        glasses_model.remove(out)
        if read_checkpoint(out).get("identity", identity) != identity:
            (out / CHECKPOINT).unlink()
        run = Run(job.data, config, job.lens_data, shared_keys(job.data, job.lens_data, config))
        with fast_kernels(config.threads, config.matmul_precision, config.device), torch.random.fork_rng():
            loop.train(run, out, identity)
        if run.done < run.steps:
            where = f"stage '{run.name}', epoch {run.epoch}"
            raise Stopped(f"Stopped at {where} and saved in {out}; the same call resumes from here.")
        about = {
            "identity": identity,
            "modules": asdict(run.glasses.config),
            "scale": job.data.scale,
            "examples": config.joint.epochs * len(job.data),
            "items": len(job.data),
            "provenance": code.provenance(seconds=round(run.seconds, 1)),
        }
        curve = pd.DataFrame(run.curve, columns=list(COLUMNS))
        glasses_model.write(out, run.glasses.state_dict(), curve, about)
        (out / CHECKPOINT).unlink(missing_ok=True)
    return glasses_model.read(job.name, job.profile)


def train_many(
    names: Sequence[str], make: Callable[[str], GlassesJob], profile: str, processes: int = 2
) -> list[TrainedGlasses]:
    """Train the pairs called ``names``, ``processes`` at a time; returns them in the order of ``names``.

    ``make`` gives the job of a name, in the process that trains it. What is finished is not trained again. Ctrl-C lets
    those at work finish their epoch and save, and raises Stopped. Raises NegutilError as :func:`train` does.
    """
    different = list(dict.fromkeys(names))
    calls = [functools.partial(_name_of, make, name) for name in different]
    run_calls(calls, processes, len(different), "training glasses")
    return [glasses_model.read(name, profile) for name in names]


def _name_of(make: Callable[[str], GlassesJob], name: str) -> str:
    return train(make(name)).name


def shared_keys(data: GlassesData, lens_data: GlassesData | None, config: GlassesTraining) -> dict[str, dict[str, Any]]:
    """Return what each stage of READ depends on, as plain JSON values."""
    facts: dict[str, dict[str, Any]] = {
        "gate": {"data": digest(data.sentences, data.is_negated)},
        "lens": {
            "delta": config.delta,
            "validation_by": config.validation_by,
            "data": (lens_data or data).sha256,
        },
    }
    settings = modules(data.images.shape[1], config)
    for stage, values in facts.items():
        values |= {"kind": "a stage of glasses", "code_version": code.fingerprint(__name__), "stage": stage}
        values |= {name: getattr(config, name) for name in RUN}
        values |= {name: getattr(settings, name) for name in READ[stage]}
        values |= {"training": dataclasses.asdict(config.stage(stage))}
    return plain(facts)
