"""The training sets with negation (``negutil.captions.caption_sets``) as examples for the method that each is for.

Image features are those of all training pictures of COCO, computed once for each image tower, so that every set and
seed shares them. Each method has a section in docs/protocols.md.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from negutil.captions import caption_sets, ccneg_triplets
from negutil.config import Profile
from negutil.data import ccneg, negationclip, negbench
from negutil.errors import NegutilError
from negutil.models.loader import LoadedModel
from negutil.train import training_images
from negutil.train.examples import Examples
from negutil.train.training_images import Gallery

PUBLISHED = "negationclip_captions_train2014.json"
"""NegationCLIP's captions as its authors publish them: those of P1 and of P2 in one file."""


def with_lengths(found: Examples, model: LoadedModel, settings: Profile) -> Examples:
    """Return ``found`` with the norms that its image features had, for NegBench's released loss.

    See docs/protocols.md#negbench-training.
    """
    return replace(found, lengths=training_images.lengths(model, settings))


def examples(name: str, model: LoadedModel, settings: Profile, error: float = 0.0) -> Examples:
    """Return the set called ``name`` (one of :data:`SETS`), from annotators with this rate of ``error``.

    Raises NegutilError, listing those that exist, where there is none of that name.
    """
    if name not in SETS:
        raise NegutilError(f"There is no training set '{name}'; there are {', '.join(SETS)}.")
    require(name, settings, error)
    if _of_ccneg(name, settings):
        from negutil.train import glasses_sets  # which needs this module

        triplets_of = glasses_sets.ccneg(model, settings).examples()
        return triplets_of if name == "con-clip" else replace(triplets_of, distractors=None)
    return SETS[name][1](training_images.load(model, settings), folder(settings, error))


def folder(settings: Profile, error: float = 0.0) -> Path:
    """The folder of the captions: the published ones, where a profile wants and has them, else the annotators'.

    Raises NegutilError where neither is possible.
    """
    own = settings.data / caption_sets.FOLDER
    if settings.published and not error and own.is_dir():
        return own
    return caption_sets.build(settings, error)


def require(name: str, settings: Profile, error: float = 0.0) -> None:
    """Raise NegutilError, naming the file, where a training set is not there and cannot be made."""
    if _of_ccneg(name, settings):
        found = [settings.data / "ccneg" / ccneg_triplets.FILE]
        lacking = [file for file in found if not file.is_file()]
    else:
        own = folder(settings, error)
        whole = FILES[name] == (caption_sets.P1, caption_sets.P2) and (own / PUBLISHED).is_file()
        lacking = [] if whole else [own / file for file in FILES[name] if not (own / file).is_file()]
    if lacking:
        raise NegutilError(f"{lacking[0]}, of which the training set '{name}' is made, is not there: put it there.")


def _of_ccneg(name: str, settings: Profile) -> bool:
    """Whether a set is made of CC-Neg's published training part: what CoN-CLIP learned from.

    See docs/protocols.md#con-clip.
    """
    return settings.published and name in ("con-clip", "clip-bnl")


def method(name: str) -> str:
    """Return the method (of ``settings.METHODS``) that the set called ``name`` is for."""
    return SETS[name][0]


def with_negation(found: Gallery, folder: Path, *files: str) -> Examples:
    """NegationCLIP: the updated captions of ``files`` train, the captions they were made from are the originals."""
    names = (PUBLISHED,) if len(files) > 1 and (folder / PUBLISHED).is_file() else files
    columns = ["file_name", "caption", "updated_caption"]
    tables = [negationclip.load(folder / name).select_columns(columns) for name in names]
    table = pd.concat([rows.to_pandas() for rows in tables], ignore_index=True)
    return Examples(
        found.images,
        found.find(table["file_name"].tolist()),
        table["updated_caption"].tolist(),
        table["caption"].tolist(),
    )


def plain(found: Gallery, folder: Path, *files: str) -> Examples:
    """The control: the same pictures and captions before the negation was added."""
    negated = with_negation(found, folder, *files)
    return Examples(negated.images, negated.rows, list(negated.originals or ()))


def triplets(found: Gallery, folder: Path) -> Examples:
    """CoN-CLIP: captions, negated captions without their commas, and each picture's nearest distractor."""
    rows = ccneg.load(
        folder / ccneg_triplets.FILE, None, folder / ccneg_triplets.DISTRACTORS, n_evaluation=1
    ).to_pandas()
    names, has_one = rows["file_name"].tolist(), rows["distractor"].notna()
    rows = rows[has_one]
    return Examples(
        found.images,
        found.find(rows["file_name"].tolist()),
        rows["caption"].tolist(),
        negatives=[caption.replace(",", "") for caption in rows["negated_caption"]],
        distractors=found.find([names[row] for row in rows["distractor"].astype(int)]),
    )


def negated_queries(found: Gallery, folder: Path) -> Examples:
    """CLIP-bnl: captions, and the same with something negated that is there."""
    rows = ccneg.load(folder / ccneg_triplets.FILE, n_evaluation=1).to_pandas()
    captions, negated = rows["caption"].tolist(), rows["negated_caption"].tolist()
    return Examples(found.images, found.find(rows["file_name"].tolist()), captions, negatives=negated)


def word_order(found: Gallery, folder: Path) -> Examples:
    """NegCLIP: captions with two words changed round, and the first hard picture of each."""
    table = pd.read_csv(folder / caption_sets.WORD_ORDER, sep="\t")
    first_negative = [ast.literal_eval(cell)[0] for cell in table["neg_caption"]]
    hard = [ast.literal_eval(cell)[0] for cell in table["neg_image"]]
    names = table["filepath"].tolist()
    return Examples(
        found.images,
        found.find(names),
        table["title"].tolist(),
        negatives=first_negative,
        distractors=found.find([names[row] for row in hard]),
    )


def negcap(found: Gallery, folder: Path) -> Examples:
    """NegBench's NegCap: captions with a negation, three of each picture."""
    table = pd.read_csv(folder / caption_sets.NEGCAP)
    return Examples(found.images, found.find(table["filepath"].tolist()), table["caption"].tolist())


def negfull(found: Gallery, folder: Path) -> Examples:
    """NegBench's NegFull: NegCap's captions, each with the question of NegMCQ about its picture."""
    captions = negcap(found, folder)
    questions = negbench.load(folder / caption_sets.NEGMCQ)
    number = {row: index for index, row in enumerate(found.find(questions["file_name"]))}
    kept = captions.take([index for index, row in enumerate(captions.rows) if row in number])
    chosen = [number[row] for row in kept.rows]
    options, correct = questions["options"], np.array(questions["correct"], dtype=np.int64)
    return Examples(
        kept.images, kept.rows, kept.captions, options=[options[i] for i in chosen], correct=correct[chosen]
    )


def _of_files(build: Callable[..., Examples], *files: str) -> Callable[[Gallery, Path], Examples]:
    return lambda found, folder: build(found, folder, *files)


SETS: dict[str, tuple[str, Callable[[Gallery, Path], Examples]]] = {
    "plain": ("infonce", _of_files(plain, caption_sets.P1, caption_sets.P2)),
    "rand-p1": ("infonce", _of_files(with_negation, caption_sets.RANDOM)),
    "p1": ("infonce", _of_files(with_negation, caption_sets.P1)),
    "p2": ("infonce", _of_files(with_negation, caption_sets.P2)),
    "p1+p2": ("infonce", _of_files(with_negation, caption_sets.P1, caption_sets.P2)),
    "con-clip": ("con-clip", triplets),
    "negclip": ("negclip", word_order),
    "clip-bnl": ("clip-bnl", negated_queries),
    "negcap": ("infonce", negcap),
    "negfull": ("negbench", negfull),
}

FILES: dict[str, tuple[str, ...]] = {
    "plain": (caption_sets.P1, caption_sets.P2),
    "rand-p1": (caption_sets.RANDOM,),
    "p1": (caption_sets.P1,),
    "p2": (caption_sets.P2,),
    "p1+p2": (caption_sets.P1, caption_sets.P2),
    "con-clip": (ccneg_triplets.FILE, ccneg_triplets.DISTRACTORS),
    "negclip": (caption_sets.WORD_ORDER,),
    "clip-bnl": (ccneg_triplets.FILE,),
    "negcap": (caption_sets.NEGCAP,),
    "negfull": (caption_sets.NEGCAP, caption_sets.NEGMCQ),
}
"""What each set is read from."""
