"""Fine-tuning on somebody's own captions: the recipes of notebook 05, but for those that take what we do not have."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import data, files, paths
from negutil.captions import baseline_sets, caption_sets, own_sets
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


def triplets(pictures: Gallery, file: Path) -> Examples:
    """CoN-CLIP: captions, the same with something negated that is there, and the image of one that looks alike."""
    return sets.ccneg_of(pictures, file).examples()


SETS: dict[str, tuple[tuple[str, ...], Callable[..., Examples] | None]] = {
    "plain": ((), None),
    "p1": ((caption_sets.P1,), sets.with_negation),
    "rand-p1": ((caption_sets.RANDOM,), sets.with_negation),
    "p2": ((caption_sets.P2,), sets.with_negation),
    "p1+p2": ((caption_sets.P1, caption_sets.P2), sets.with_negation),
    "con-clip": ((baseline_sets.TRIPLETS,), triplets),
    "negclip": ((caption_sets.WORD_ORDER,), sets.word_order),
    "clip-bnl": ((baseline_sets.TRIPLETS,), sets.negated_queries),
    "negcap": ((caption_sets.NEGCAP,), sets.negcap),
    "negfull": ((caption_sets.NEGCAP, caption_sets.NEGMCQ), sets.negfull),
}
"""For each set what it is made of and what reads that; None: the captions as they are. Without questions about the
images NegationCLIP learns from P1 alone."""


@dataclass(frozen=True, slots=True)
class Own:
    """Somebody's captions in the CSV ``file``.

    ``images`` is the folder of the images (None: that of the file), ``annotator`` as in ``own_sets.annotators_of``;
    with ``partial``, rows whose image is not there are left out. ``questions`` is the CSV that P2 is made of, with
    images in the same folder.
    """

    file: Path
    images: Path | None = None
    annotator: str = own_sets.RULES
    partial: bool = False
    questions: Path | None = None


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
        lost = f"; {self.left_out} rows were left out because their images are missing" if self.left_out else ""
        return f"{self.captions} captions make {self.examples} examples{lost}."


def single(settings: Profile, model: LoadedModel, recipe: Recipe, seed: int, own: Own, **changes: Any) -> OwnJob:
    """The training of ``recipe`` on ``model`` from one seed, with its share of the captions of ``own``.

    A share makes as many steps as all of them would. The captions with negation are written below the cache, where an
    interrupted call resumes. ``changes`` are settings of the training (``epochs`` over all captions, ``batch``) in
    place of those of the profile. Raises NegutilError for a recipe that takes something else, where there are no
    questions for P2 or nothing is made of them, and as ``image_captions``, ``own_sets`` and the annotator do.
    """
    _check(recipe, own)
    where = (own.images or own.file.parent).resolve()
    with data.missing_pictures("drop" if own.partial else "stop"):
        rows = image_captions.load(own.file, own.images)
        questions = image_captions.load_questions(own.questions, where) if own.questions else None
    known = [files.sha256(own.file), str(where), own.annotator, recipe.set, str(seed)]
    known += [files.sha256(file) for file in (Path(own.annotator), own.questions) if file and file.is_file()]
    folder = paths.cache() / "own" / files.text_sha256(" ".join(known))[:16]
    with finetune.locked(folder):
        examples = _examples(settings, model, recipe, rows, questions, seed=seed, own=own, folder=folder)
    given = {name: value for name, value in changes.items() if value is not None}
    chosen, config = recipes.part(examples, len(examples), recipe, recipes.config_of(settings, recipe, seed, **given))
    stem = re.sub(r"[^\w.-]+", "-", own.file.stem)
    out = folder / f"{model.name}+{recipe.name}-{stem}" / f"seed{seed}"
    job = Job(model.name, chosen, config, out, replace=True)
    return OwnJob(job, len(rows), len(chosen), data.report(rows).missing_pictures)


def _check(recipe: Recipe, own: Own) -> None:
    """Raise NegutilError, which says what is missing, where ``recipe`` cannot be made of ``own`` or does not use it."""
    why = _missing(recipe)
    if why:
        fitting = ", ".join(name for name, each in recipes.RECIPES.items() if not _missing(each) and not each.rival)
        raise NegutilError(f"'{recipe.name}' cannot be made from your own captions: {why}; choose one of {fitting}.")
    takes_questions = caption_sets.P2 in SETS[recipe.set][0]
    if recipe.set == "p2" and not own.questions:
        raise NegutilError(
            "'p2' is made from questions about the images: give a CSV with the columns image, question and answer "
            "(--questions)."
        )
    if own.questions and not takes_questions:
        raise NegutilError(f"'{recipe.name}' takes no questions: leave out --questions, or choose p2 or negationclip.")


def _missing(recipe: Recipe) -> str:
    """What ``recipe`` takes that captions and questions do not give; "" if there is nothing."""
    if recipe.error:
        return "its annotators make errors at a known rate, which only those of the mini world can"
    if recipe.full is not None:
        return "its captions name everything in the image, which only the mini world's can"
    if "normalise_mcq" in recipe.changes:
        return "it takes the lengths of the image features, which are known for the profile's own images only"
    return ""


def _examples(
    settings: Profile,
    model: LoadedModel,
    recipe: Recipe,
    rows: Dataset,
    questions: Dataset | None,
    *,
    seed: int,
    own: Own,
    folder: Path,
) -> Examples:
    """The captions as examples, with a negation where the recipe's set has one."""
    names, build = SETS[recipe.set]
    number, different = pd.factorize(np.array(PictureFiles.of(rows).paths, dtype=object))
    images = encode.images(model, PictureFiles(different.tolist()), batch=settings.encode.batch)
    if build is None:
        return Examples(images, number.astype(np.int64), rows["caption"][:])
    captions = own_sets.sources(rows, folder)
    who = own_sets.annotators_of(own.annotator, captions, settings, seed)
    asked = own_sets.asked(questions, captions, who, folder, seed) if questions is not None else []
    names = tuple(name for name in names if name != caption_sets.P2 or questions is not None)
    written = own_sets.write(names, captions, who, folder, seed, questions=asked)
    order = {each.image_id - 1: Path(each.file_name).name for each in captions}
    gallery = Gallery(images, {name: row for row, name in order.items()}, folder)
    return build(gallery, *written)
