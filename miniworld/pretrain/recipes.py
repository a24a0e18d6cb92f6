"""How each shipped MiniCLIP is pretrained, and the command that does it.

``negutil pretrain miniclip-s-8`` builds the pool where it does not exist, trains (or goes on), and writes the weights.
"""

from __future__ import annotations

import os

# Idle threads of OpenMP otherwise spin: two trainings on two cores then run ten times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from miniworld import corpus
from miniworld.pretrain.contrastive import PretrainConfig, pretrain
from miniworld.pretrain.export import export
from miniworld.pretrain.pool import Pool, build_pool, open_pool
from negutil import paths
from negutil.errors import NegutilError

PICTURES = 120_000
CAPTIONS = 4
VALIDATION_PICTURES = 1000
RECIPES = {
    "miniclip-s-8": PretrainConfig(architecture="MiniCLIP-S-8", steps=4500, patch_dropout=0.5),
    "miniclip-b-8": PretrainConfig(architecture="MiniCLIP-B-8", steps=3200, patch_dropout=0.5),
}


def recipe(name: str) -> PretrainConfig:
    """Return the settings of the MiniCLIP called ``name``; raises NegutilError for an unknown name."""
    if name not in RECIPES:
        raise NegutilError(f"There is no recipe '{name}' for pretraining; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


def corpus_pool(folder: Path, pictures: int = PICTURES, seed: int = 0) -> Pool:
    """Open the pool in ``folder``, or build it from the mini world's corpus where the folder does not exist.

    Raises NegutilError where the pool in the folder is damaged or has not that many pictures.
    """
    if folder.exists():
        found = open_pool(folder)
        if len(found) != pictures:
            raise NegutilError(
                f"The pool {folder} has {len(found)} pictures instead of {pictures}; choose another folder."
            )
        return found
    held_out = min(VALIDATION_PICTURES, pictures)
    validation = corpus.held_out(held_out, seed), held_out
    return build_pool(
        corpus.pairs(pictures, CAPTIONS, seed), folder, pictures, CAPTIONS, seed=seed, validation=validation
    )


def run(
    name: Annotated[str, typer.Argument(help="miniclip-s-8 or miniclip-b-8")],
    *,
    pool: Annotated[Path | None, typer.Option(help="Folder of the pool; made where it does not exist.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint and the curve.")] = None,
    weights: Annotated[Path, typer.Option(help="Folder that receives the finished weights.")] = paths.NEW_WEIGHTS,
    pictures: Annotated[int, typer.Option(help="Size of the pool.", min=1)] = PICTURES,
    steps: Annotated[int | None, typer.Option(help="Steps instead of the recipe's.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and patches.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Pretrain a MiniCLIP on the mini world's web-like captions, or go on where it was stopped."""
    given: dict[str, Any] = {"steps": steps, "lr": lr, "seed": seed, "threads": threads, "device": device}
    config = dataclasses.replace(recipe(name), **{key: value for key, value in given.items() if value is not None})
    home = paths.cache() / "pretraining"
    data = corpus_pool(pool or home / "pool", pictures)
    target = out or home / name
    if pretrain(config, data, target).finished:
        command = os.environ.get("NEGUTIL_COMMAND") or "negutil pretrain " + shlex.join(sys.argv[1:])
        file = weights / f"{name}.safetensors"
        export(config, data, target, file, command)
        typer.echo(f"Weights are in {file}.")


if __name__ == "__main__":
    typer.run(run)
