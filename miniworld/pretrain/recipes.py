"""How each model of the mini world is pretrained, and the command that does it.

``negutil pretrain miniclip-s-8`` builds the pool where it does not exist, trains (or resumes), and writes the weights.
"""

import os

# Idle threads of OpenMP otherwise spin: two trainings on two cores then run ten times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from miniworld.pretrain import contrastive, judge, miniclipseg, minisd
from miniworld.pretrain.pool import Pool
from negutil import code, paths
from negutil.errors import NegutilError
from negutil.train.pretraining import Settings, changed

RECIPES: dict[str, Settings] = {
    **contrastive.RECIPES,
    "minisd": minisd.RECIPE,
    "miniclipseg": miniclipseg.SegmentConfig(),
    "judge": judge.JudgeConfig(),
}
POOLS: dict[str, tuple[str, Callable[[Path], Pool]]] = {
    **dict.fromkeys(contrastive.RECIPES, ("pool", contrastive.corpus_pool)),
    **{name: (f"pool-{name}", functools.partial(contrastive.dose_pool, name)) for name in contrastive.DOSES},
    "minisd": ("minisd-pool", minisd.pool),
}
"""The pool that a model is trained on: its name, and what opens or builds it; others draw images of their own."""


def recipe(name: str) -> Settings:
    """Return the settings of the model called ``name``; raises NegutilError for an unknown name."""
    if name not in RECIPES:
        raise NegutilError(f"There is no recipe '{name}' for pretraining; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


def run(
    name: str,
    *,
    pool: Path | None = None,
    out: Path | None = None,
    weights: Path = paths.NEW_WEIGHTS,
    steps: int | None = None,
    seed: int | None = None,
    threads: int = 2,
    device: str = "cpu",
) -> Path | None:
    """Pretrain the model called ``name``, or resume, and write its weights into the folder ``weights``.

    Returns their file, or None if the training was stopped. Raises NegutilError for an unknown name, and for a
    ``pool`` or another ``device`` than the CPU where the model has use for neither.
    """
    config = changed(recipe(name), steps=steps, seed=seed, threads=threads, device=device)
    home = paths.cache() / "pretraining"
    modules: dict[str, Any] = {"minisd": minisd, "miniclipseg": miniclipseg, "judge": judge}
    module, data = modules.get(name, contrastive), []
    if name in POOLS:
        folder, build = POOLS[name]
        data = [build(pool or home / folder)]
    elif pool is not None or device != "cpu":
        raise NegutilError(f"The pretraining of {name} draws its own images, on the CPU; leave out pool and device.")
    trainer = module.pretrain(config, *data, out or home / name)
    if trainer.done < trainer.steps:
        return None
    file = weights / f"{name}.safetensors"
    trainer.export(file, code.command())
    return file
