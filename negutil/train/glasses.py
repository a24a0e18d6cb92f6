"""Training pairs of glasses on a frozen CLIP: the classifier, then the three stages of CLIPGlasses.

Only features come in, so an epoch takes moments. Batches and dropout follow from seed, stage and epoch alone: a run
that resumes after any finished epoch ends exactly as if it had not been stopped. Pairs are trained one after another
or side by side.

The classifier reads no more than its sentences, and the Lens in stage 1 nothing of the Frame: pairs that differ in
something else end these stages with the same weights, so they are trained once and kept in the cache. The key of such
an entry is everything that the stage depends on. See docs/protocols.md#glasses-training.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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
from negutil.train import examples, losses
from negutil.train.finetune import locked, run_calls
from negutil.train.glasses_sets import GlassesData, digest
from negutil.train.loop import (
    CHECKPOINT,
    Loop,
    Stopped,
    fast_kernels,
    plain,
    read_checkpoint,
    stop_signals,
    write_checkpoint,
)
from negutil.train.settings import STAGES, GlassesTraining

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
"""The array with what is no weight: the rows of the curve and the seconds, as JSON."""


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
        own = {name: lens_data if name == "lens" and lens_data is not None else data for name in STAGES}
        self.data = {name: _tensors(each, config) for name, each in own.items()}
        self.parts = {name: split(each, config, name) for name, each in own.items()}
        self.stage = 0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._earlier: list[list[Any]] = []  # the curve of the stages that are done
        self._loop: StageLoop | None = None

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.stage >= len(STAGES)

    @property
    def name(self) -> str:
        """The present stage."""
        return STAGES[self.stage]

    @property
    def epoch(self) -> int:
        """How many epochs of the present stage are done."""
        return self._loop.epoch if self._loop else 0

    @property
    def curve(self) -> list[list[Any]]:
        """Rows of COLUMNS so far."""
        return self._earlier + (self._loop.curve if self._loop else [])

    def advance(self) -> None:
        """Train one epoch, validate, and go to the next stage where this one is over.

        Raises NegutilError where the loss is no longer finite.
        """
        start, name = time.perf_counter(), self.name
        if self._loop is None:
            self._loop = StageLoop(self)
            self._loop.start()
        self._loop.train_epoch()
        self.seconds[name] += time.perf_counter() - start
        if self._loop.is_over:
            if self._loop.best:
                self.glasses.load_state_dict(self._loop.best["state"])
            self._end(self._loop.curve)

    def skip(self, state: Mapping[str, torch.Tensor], rows: list[list[Any]], seconds: float) -> None:
        """Go to the next stage with what another run made of this one: its weights, rows of the curve and seconds."""
        self.glasses.load_state_dict({**self.glasses.state_dict(), **state})
        self.seconds[self.name] = seconds
        self._end(rows)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: tensors and plain values."""
        present = self._loop.state() if self._loop else {"modules": {"glasses": self.glasses.state_dict()}}
        return present | {"stage": self.stage, "stage_seconds": self.seconds, "earlier": self._earlier}

    def restore(self, content: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.stage, self.seconds, self._earlier = content["stage"], content["stage_seconds"], content["earlier"]
        self.glasses.load_state_dict(content["modules"]["glasses"])
        if "optimiser" in content:
            self._loop = StageLoop(self)
            self._loop.restore(content)

    def _end(self, rows: list[list[Any]]) -> None:
        self._earlier = self._earlier + rows
        self.stage, self._loop = self.stage + 1, None


class StageLoop(Loop[tuple[torch.Tensor, float]]):
    """The present stage of ``run``: batches of items, each with the share of the stage that is done before it."""

    def __init__(self, run: Run) -> None:
        self.run, self.name, self.settings = run, run.name, run.config.stage(run.name)
        self.title = f"The loss of stage '{self.name}'"
        self.objective, self.score = OBJECTIVES[self.name]
        items, self.validation = run.parts[self.name]
        self.items, self.per_epoch = items, max(1, len(items) // self.settings.batch)  # an incomplete batch is left out
        self.batches: tuple[torch.Tensor, ...] = ()
        self.total = 0.0
        run.glasses.requires_grad_(False)
        parameters: list[torch.nn.Parameter] = []
        for part in LEARNING[self.name]:
            parameters += getattr(run.glasses, part).requires_grad_(True).parameters()
        lr, betas, decay = self.settings.lr, self.settings.betas, self.settings.weight_decay
        super().__init__(
            {"glasses": run.glasses},
            torch.optim.AdamW(parameters, lr, betas, weight_decay=decay, fused=True),
            loss=lambda batch: self.objective(run, *batch),
            sampler=self.sample,
            schedule=self.learning_rate,
            steps=self.settings.epochs * self.per_epoch,
            clip_norm=self.settings.clip_norm,
        )

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return self.done // self.per_epoch

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or too many since the best one."""
        waited = self.epoch - self.best.get("epoch", 0)
        return self.done >= self.steps or bool(self.settings.patience and waited >= self.settings.patience)

    def train_epoch(self) -> None:
        """Train one epoch, unless all are done; dropout follows from seed, stage and epoch alone."""
        if self.done >= self.steps:
            return
        seed = self.run.config.seed
        order = np.random.default_rng([2, seed, self.run.stage, self.epoch]).permutation(self.items)
        whole = self.per_epoch * self.settings.batch
        self.batches, self.total = torch.from_numpy(order)[:whole].split(self.settings.batch), 0.0
        self.run.glasses.train()
        with torch.random.fork_rng():
            torch.manual_seed((seed * 1000 + self.run.stage) * 1000 + self.epoch)
            for _ in range(self.per_epoch):
                self.step()

    def sample(self, step: int) -> tuple[torch.Tensor, float]:
        """Return the items of a ``step`` of the present epoch, and the share of the stage done before it."""
        return self.batches[step % self.per_epoch], self._share(step)

    def learning_rate(self, step: int) -> dict[str, float]:
        """Return the rate of a ``step``: constant, or a cosine down to zero by step or by epoch."""
        if self.settings.schedule == "constant":
            return {"lr": self.settings.lr}
        by_epoch = self.settings.schedule == "cosine by epoch"
        passed = step // self.per_epoch / self.settings.epochs if by_epoch else self._share(step)
        return {"lr": self.settings.lr * 0.5 * (1 + math.cos(math.pi * passed))}

    def start(self) -> None:
        """Note the validation before any training."""
        self.curve.append([self.name, 0, None, None, *self.validate()])

    def note(self, loss: float) -> None:
        """Add to the loss of the epoch; at its end, validate, and keep the weights where they are the best so far."""
        self.total += loss
        if self.done % self.per_epoch:
            return
        validation, score = self.validate()
        self.curve.append([self.name, self.epoch, self.total / self.per_epoch, self.rate, validation, score])
        by = {"lowest validation loss": -validation, "highest validation score": score}
        value = by.get(self.settings.keep, self.epoch)
        if value > self.best.get("value", -math.inf):
            weights = {name: tensor.clone() for name, tensor in self.run.glasses.state_dict().items()}
            self.best = {"value": value, "epoch": self.epoch, "state": weights}

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Return loss and score over the validation part."""
        size = min(self.settings.batch, len(self.validation))
        whole = self.validation[: len(self.validation) // size * size].reshape(-1, size)
        self.run.glasses.eval()
        values = [self.objective(self.run, torch.from_numpy(index), 1.0).item() for index in whole]
        return float(np.mean(values)), self.score(self.run, torch.from_numpy(self.validation))

    def _share(self, step: int) -> float:
        epoch, number = divmod(step, self.per_epoch)
        return (epoch + number / self.per_epoch) / self.settings.epochs


def modules(width: int, config: GlassesTraining) -> glasses_settings.GlassesConfig:
    """The settings of the modules for features of ``width``."""
    make = glasses_settings.released if config.variant == "released" else glasses_settings.paper
    return make(width, **config.modules)


def split(data: GlassesData, config: GlassesTraining, stage: str) -> tuple[Indices, Indices]:
    """Return the items of a stage that train and those that validate, drawn by the seed.

    By image, no picture is in both. Raises NegutilError where a part would be empty.
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
    if data.distractors is not None:
        return losses.glasses_ccneg(*_triplet_scores(run, data, index), run.config.fourth_term)
    pictures, own = data.rows[index].unique(return_inverse=True)
    texts, true = _of(data.negated, index), _true(run, data, index)
    absent = run.glasses.absent(*texts) if true is None else true
    return losses.glasses_retrieval(_scores(run.glasses, texts, data.images[pictures], absent, own), own)


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
    data, true = run.data[run.name], _true(run, run.data[run.name], index)
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
    Raises NegutilError where a loss is not finite, or a file cannot be written.
    """
    out, identity = glasses_model.folder(job.name, job.profile), job.identity
    with locked(out):
        found = glasses_model.find(job.name, job.profile)
        if found is None or found.about["identity"] != identity:
            glasses_model.remove(out)
            _train(job, out, identity)
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


def _train(job: GlassesJob, out: Path, identity: dict[str, Any]) -> None:
    """Resume from the checkpoint, or start; write the result and delete the checkpoint when all stages are done."""
    run, config = Run(job.data, job.config, job.lens_data), job.config
    keys = shared_keys(job.data, job.lens_data, config)
    content = read_checkpoint(out)
    if content.get("identity") == identity:
        run.restore(content)
    saved = time.monotonic()
    with fast_kernels(config.threads, config.matmul_precision, config.device), stop_signals() as stopped:
        while not run.finished:
            _advance(run, keys)
            if stopped or time.monotonic() - saved > EVERY:
                write_checkpoint(out, run.state() | {"identity": identity})
                saved = time.monotonic()
            if stopped and not run.finished:
                where = f"stage '{run.name}', epoch {run.epoch}"
                raise Stopped(f"Stopped at {where} and saved in {out}; the same call goes on from here.")
    about = {
        "identity": identity,
        "modules": asdict(run.glasses.config),
        "scale": job.data.scale,
        "examples": config.joint.epochs * len(job.data),
        "items": len(job.data),
        "provenance": code.provenance(seconds=round(sum(run.seconds.values()), 1)),
    }
    curve = pd.DataFrame(run.curve, columns=list(COLUMNS))
    glasses_model.write(out, run.glasses.state_dict(), curve, about)
    (out / CHECKPOINT).unlink(missing_ok=True)


def _advance(run: Run, keys: Mapping[str, Mapping[str, Any]]) -> None:
    """Train an epoch; a stage that another pair has shared is taken from it, one that ends here is given to others."""
    stage, key = run.name, keys.get(run.name)
    if key and run.epoch == 0 and _take(run, key):
        return
    run.advance()
    if key and (run.finished or run.name != stage):
        _share(run, key)


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


def _take(run: Run, key: Mapping[str, Any]) -> bool:
    """Let ``run``, at the start of a stage, take its end from the cache; returns whether it was there."""
    cache = Cache()
    found = cache.load(cache.key(**key))
    if found is None:
        return False
    told = json.loads(found.pop(TOLD).tobytes())
    run.skip({name: torch.from_numpy(array) for name, array in found.items()}, told["rows"], told["seconds"])
    return True


def _share(run: Run, key: Mapping[str, Any]) -> None:
    """Keep the end of the stage of ``key``, which ``run`` has just left."""
    stage, cache = key["stage"], Cache()
    learned, seconds = tuple(f"{part}." for part in LEARNING[stage]), run.seconds[stage]
    state = {name: one.cpu().numpy() for name, one in run.glasses.state_dict().items() if name.startswith(learned)}
    told = json.dumps({"rows": [row for row in run.curve if row[0] == stage], "seconds": seconds})
    cache.store(cache.key(**key), state | {TOLD: np.frombuffer(told.encode(), np.uint8)}, key, seconds)
