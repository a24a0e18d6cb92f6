"""Fine-tuning on somebody's own captions: the recipes of notebook 05 that need nothing but images and captions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from negutil import data, files, paths
from negutil.captions import caption_sets, own_sets
from negutil.config import Profile
from negutil.data import image_captions
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.train import finetune, recipes, sets
from negutil.train.examples import Examples
from negutil.train.finetune import Job
from negutil.train.recipes import Recipe
from negutil.train.sets import Gallery

SETS: dict[str, tuple[tuple[str, ...], Callable[..., Examples] | None]] = {
    "plain": ((), None),
    "p1": ((caption_sets.P1,), sets.with_negation),
    "rand-p1": ((caption_sets.RANDOM,), sets.with_negation),
    "p1+p2": ((caption_sets.P1,), sets.with_negation),
    "negcap": ((caption_sets.NEGCAP,), sets.negcap),
    "negfull": ((caption_sets.NEGCAP, caption_sets.NEGMCQ), sets.negfull),
}
"""For each set what it is made of and what reads that; None: the captions as they are. P2 needs questions, so that
NegationCLIP learns from P1 alone here, as wherever nobody asks questions about the images."""


@dataclass(frozen=True, slots=True)
class Own:
    """Somebody's captions in the CSV ``file``.

    ``images`` is the folder of the images (None: that of the file), ``annotator`` as in ``own_sets.annotators_of``;
    with ``partial``, rows whose image is not there are left out.
    """

    file: Path
    images: Path | None = None
    annotator: str = own_sets.RULES
    partial: bool = False


@dataclass(frozen=True, slots=True)
class OwnJob:
    """A training on own captions with how many there are, how many train, and how many rows lacked their image."""

    job: Job
    captions: int
    examples: int
    left_out: int

    @property
    def summary(self) -> str:
        """The numbers in words."""
        lost = f"; {self.left_out} rows were left out, as their images are not there" if self.left_out else ""
        return f"{self.captions} captions make {self.examples} examples{lost}."


def single(settings: Profile, model: LoadedModel, recipe: Recipe, seed: int, own: Own, **changes: Any) -> OwnJob:
    """The training of ``recipe`` on ``model`` from one seed, with its share of the captions of ``own``.

    A share makes as many steps as all of them would. The captions with negation are written below the cache, where an
    interrupted call resumes. ``changes`` are settings of the training (``epochs`` over all captions, ``batch``) in
    place of those of the profile. Raises NegutilError for a recipe that needs more than captions, and as
    ``image_captions.load``, ``own_sets`` and the annotator do.
    """
    if recipe.set not in SETS or recipe.error or "normalise_mcq" in recipe.changes:
        fitting = ", ".join(name for name, each in recipes.RECIPES.items() if each.set in SETS and not each.rival)
        raise NegutilError(f"'{recipe.name}' cannot be made of captions alone; choose one of {fitting}.")
    with data.missing_pictures("drop" if own.partial else "stop"):
        rows = image_captions.load(own.file, own.images)
    where = (own.images or own.file.parent).resolve()
    known = [files.sha256(own.file), str(where), own.annotator, recipe.set, str(seed)]
    if Path(own.annotator).is_file():
        known.append(files.sha256(Path(own.annotator)))
    folder = paths.cache() / "own" / files.text_sha256(" ".join(known))[:16]
    with finetune.locked(folder):
        examples = _examples(settings, model, recipe, rows, seed=seed, own=own, folder=folder)
    given = {name: value for name, value in changes.items() if value is not None}
    chosen, config = recipes.part(examples, len(examples), recipe, recipes.config_of(settings, recipe, seed, **given))
    stem = re.sub(r"[^\w.-]+", "-", own.file.stem)
    out = folder / f"{model.name}+{recipe.name}-{stem}" / f"seed{seed}"
    job = Job(model.name, chosen, config, out, replace=True)
    return OwnJob(job, len(rows), len(chosen), data.report(rows).missing_pictures)


def _examples(
    settings: Profile, model: LoadedModel, recipe: Recipe, rows: Any, *, seed: int, own: Own, folder: Path
) -> Examples:
    """The captions as examples, with a negation where the recipe's set has one."""
    names, build = SETS[recipe.set]
    number, different = pd.factorize(np.array(PictureFiles.of(rows).paths, dtype=object))
    images = encode.images(model, PictureFiles(different.tolist()), batch=settings.encode.batch)
    if build is None:
        return Examples(images, number.astype(np.int64), rows["caption"][:])
    captions = own_sets.sources(rows, folder)
    who = own_sets.annotators_of(own.annotator, captions, settings, seed)
    written = own_sets.write(names, captions, who, folder, seed)
    order = {each.image_id - 1: Path(each.file_name).name for each in captions}
    gallery = Gallery(images, {name: row for row, name in order.items()}, folder)
    return build(gallery, *written)
