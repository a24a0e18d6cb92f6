"""A tiny model with four text layers, and data for glasses whose pictures are directions in feature space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import model_files
import numpy as np

from negutil.models import architectures, loader
from negutil.models.loader import LoadedModel
from negutil.models.text_layers import TextLayers
from negutil.train.glasses import GlassesJob, Run
from negutil.train.glasses_sets import GlassesData
from negutil.train.settings import GlassesTraining, Stage

ARCHITECTURE = "Tiny-Glasses"
architectures.open_clip().add_model_config(Path(__file__).with_name("Tiny-Glasses.json"))
STAGE = Stage(lr=3e-3, epochs=2, batch=16)
CONFIG = GlassesTraining(
    "paper", gate=replace(STAGE, lr=1e-2, epochs=3), lens=STAGE, frame=STAGE, joint=STAGE, validation_share=0.25
)
DIMENSIONS = 16


def model(folder: Path) -> LoadedModel:
    """The tiny model with random weights, saved in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = model_files.state(architecture=ARCHITECTURE)
    return loader.load_entry(model_files.write(folder, tensors, architecture=ARCHITECTURE))


def data(n: int = 64, pictures: int = 32, hard: bool = False, seed: int = 0) -> GlassesData:
    """``n`` items over ``pictures``: texts are their picture's direction, what is denied another one, with noise."""
    rng = np.random.default_rng(seed)
    objects = _unit(rng.normal(size=(6, DIMENSIONS)))
    images = _unit(rng.normal(size=(pictures, DIMENSIONS)))
    rows, denied = np.arange(n) % pictures, np.arange(n) % len(objects)
    said = 5 * (images[rows] + 0.1 * rng.normal(size=(n, DIMENSIONS)))
    no = 3 * np.eye(DIMENSIONS)[0]
    negated, sentences = said + 2 * objects[denied] + no, np.concatenate([said, said + no])
    return GlassesData(
        images=images.astype(np.float32),
        rows=rows,
        negated=_layers(negated, rng),
        affirmed=_layers(said, rng),
        objects=objects.astype(np.float32),
        object_rows=denied,
        distractors=(rows + 1) % pictures if hard else None,
        sentences=sentences.astype(np.float32),
        is_negated=np.repeat([False, True], n),
        scale=20.0,
    )


def advance(run: Run) -> None:
    """Train an epoch, from the start of a stage where it has not begun."""
    if not run.done and not run.curve:
        run.start()
    if run.done < run.steps:
        run.step()
    while not run.can_stop():
        run.step()


def config(**changes: Any) -> GlassesTraining:
    """CONFIG with ``changes``."""
    return replace(CONFIG, **changes)


def _layers(last: np.ndarray, rng: np.random.Generator) -> TextLayers:
    levels = last[:, None] + rng.normal(size=(len(last), 3, DIMENSIONS))
    return TextLayers(last.astype(np.float32), levels.astype(np.float32))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def job(name: str) -> GlassesJob:
    """The training of a pair on these data, with the seed in its ``name``."""
    return GlassesJob(name, "abc", data(hard=True), config(seed=int(name[-1])), "quick")
