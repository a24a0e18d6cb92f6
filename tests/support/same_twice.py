"""A small part of everything that makes numbers, run in a process of its own by test_determinism.

The world is drawn, captions are made, a text tower is fine-tuned on them, and two models are examined. Data, cache and
results lie where the environment says.
"""

from __future__ import annotations

import dataclasses

from negutil import config
from negutil.captions import negbench_files
from negutil.compare import affirmative, binary_probe, evaluation, negbench
from negutil.config import Splits
from negutil.tasks.negbench import read
from negutil.train import recipes
from negutil.train.finetune import finetune_many


def small() -> config.Profile:
    """A small part of the quick world, one model, and a short training."""
    settings = config.load("quick")
    world = dataclasses.replace(
        settings.world,
        scenes=Splits(60, 10, 60),
        voc=Splits(0, 0, 10),
        faces=Splits(10, 10, 60),
        clips=Splits(0, 0, 4),
        radiographs=Splits(10, 20, 0),
        shapes=Splits(20, 10, 10),
    )
    plan = dataclasses.replace(settings.finetuning, examples=100)
    return dataclasses.replace(settings, models=settings.models[:1], world=world, finetuning=plan)


def main() -> None:
    """Make the numbers."""
    settings = small()
    affirmative.run(settings, 0)
    binary_probe.run(settings)
    (trained,) = finetune_many(recipes.jobs(settings, settings.models[0], [recipes.NEGATIONCLIP]), 1)
    folder = negbench_files.folder(settings)
    chosen = [each for each in negbench_files.VARIATIONS if each.title in evaluation.NEGBENCH]
    tasks = [read(settings, each, folder) for each in chosen]
    negbench.run(dataclasses.replace(settings, models=(*settings.models, trained.name)), tasks)


if __name__ == "__main__":
    main()
