"""The training sets with negation (``negutil.captions.caption_sets``) as examples for the method that each is for.

Image features are those of all training images of COCO, computed once for each image tower, so that every set and
seed shares them. Each method has a section in docs/protocols.md.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from negutil import code, progress
from negutil.cache import Cache
from negutil.captions import baseline_sets, caption_sets
from negutil.config import Profile
from negutil.data import _reading, built, coco, negationclip, negbench, skipped, source
from negutil.data import ccneg as ccneg_files
from negutil.errors import NegutilError, no_such
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.train.examples import Examples

PICTURES = "train2014"

PUBLISHED = "negationclip_captions_train2014.json"
"""NegationCLIP's captions as its authors publish them: those of P1 and of P2 in one file."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Features float32 [N, D] of all training images in ``folder``, and the row of each by the name of its file."""

    images: NDArray[np.float32]
    rows: dict[str, int]
    folder: Path

    def find(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the images called ``names`` (any folder before them); raises NegutilError for an unknown one."""
        try:
            return np.array([self.rows[Path(name).name] for name in names], dtype=np.int64)
        except KeyError as problem:
            unknown = problem.args[0]
            raise NegutilError(f"There is no training image {unknown}; build the caption sets again.") from None


def gallery(model: LoadedModel, settings: Profile) -> Gallery:
    """Encode all training images of COCO, or take their features from the cache."""
    pictures, known = _pictures(settings)
    images = encode.images(model, pictures, batch=settings.encode.batch, data_sha256=known)
    rows = {Path(path).name: row for row, path in enumerate(pictures.paths)}
    return Gallery(images, rows, source.folder(settings, "coco") / PICTURES)


def lengths(model: LoadedModel, settings: Profile) -> NDArray[np.float32]:
    """Return the norms [N] of the image features before they are normalised, in the order of ``gallery``."""
    pictures, known = _pictures(settings)
    tower = {name: value for name, value in model.fingerprint.items() if name != "weights_sha256"}
    fields = {
        "kind": "image feature lengths",
        "code_version": code.fingerprint(__name__),
        "data_sha256": known or " ".join(pictures.digests),
    }

    @torch.inference_mode()
    def compute() -> dict[str, NDArray[np.float32]]:
        parts = []
        for start in progress.bar("encoding images, batch", range(0, len(pictures), encode.BATCH), unit="batch"):
            rows = range(start, min(start + encode.BATCH, len(pictures)))
            inputs = torch.stack([model.preprocess(pictures[row]) for row in rows])
            parts.append(model.model.encode_image(inputs.to(model.device, model.dtype)).float().norm(dim=-1).cpu())
        return {"lengths": torch.cat(parts).numpy()}

    return Cache().get_or_compute(fields | tower, compute)["lengths"]


def _pictures(settings: Profile) -> tuple[PictureFiles, str]:
    """All training images of COCO in the order of their names, and what identifies them ("" for the user's own)."""
    folder = source.folder(settings, "coco")
    made = built.manifest(folder)
    return PictureFiles(sorted((folder / PICTURES).iterdir())), f"{made['sha256']} {PICTURES}" if made else ""


# --------------------------------------------------------------------------------------------------------------------
# Sets by name


class TrainingSet(NamedTuple):
    """The ``method`` that a set is for (of ``settings.METHODS``), and what makes examples of its ``files``.

    ``build`` None stands for CC-Neg's triplets.
    """

    method: str
    build: Callable[..., Examples] | None
    files: tuple[str, ...]


def examples(name: str, model: LoadedModel, settings: Profile, error: float = 0.0) -> Examples:
    """Return the set called ``name`` (one of :data:`SETS`), from annotators with this rate of ``error``.

    Raises NegutilError, listing those that exist, if there is none of that name.
    """
    if name not in SETS:
        raise no_such("training set", name, SETS)
    files, build = require(name, settings, error), SETS[name].build
    with skipped.reading(settings, f"the training set '{name}'"):
        if build is None or _of_ccneg(name, settings):
            triplets = ccneg(model, settings, error).examples()
            return triplets if name == "con-clip" else replace(triplets, distractors=None)
        return build(gallery(model, settings), *files)


def folder(settings: Profile, error: float = 0.0) -> Path:
    """The folder of the captions: the published ones, where a profile wants and has them, else the annotators'.

    Raises NegutilError if neither is possible.
    """
    own = settings.data / caption_sets.FOLDER
    if not error and own.is_dir() and not source.is_built(own):
        return own
    return caption_sets.build(settings, error)


def require(name: str, settings: Profile, error: float = 0.0) -> list[Path]:
    """Return the files of a training set; raises NegutilError if one is missing and cannot be made.

    NegationCLIP's captions of both kinds are those of the published file, where it is there, and of P1 alone where
    nobody asks questions about the images.
    """
    if _of_ccneg(name, settings):
        files = [settings.data / "ccneg" / baseline_sets.TRIPLETS]
    else:
        where, names = folder(settings, error), SETS[name].files
        if names == (caption_sets.P1, caption_sets.P2) and (where / PUBLISHED).is_file():
            names = (PUBLISHED,)
        elif not source.has(settings, "vqa"):
            names = tuple(name for name in names if name != caption_sets.P2) or names
        files = [where / file for file in names]
    lacking = [file for file in files if not file.is_file()]
    if lacking:
        raise NegutilError(f"{lacking[0]}, of which the training set '{name}' is made, is not there: put it there.")
    return files


def _of_ccneg(name: str, settings: Profile) -> bool:
    """Whether a set is made of CC-Neg's published training part (docs/protocols.md#con-clip)."""
    return name in ("con-clip", "clip-bnl") and not source.is_built(source.folder(settings, "ccneg"))


# --------------------------------------------------------------------------------------------------------------------
# NegationCLIP, NegCLIP, CLIP-bnl and NegBench


def with_negation(pictures: Gallery, *files: Path) -> Examples:
    """NegationCLIP: the updated captions of ``files`` train, the captions they were made from are the originals."""
    columns = ["file_name", "caption", "updated_caption"]
    read = [negationclip.load(file, pictures.folder).select_columns(columns) for file in files]
    table = pd.concat([rows.to_pandas() for rows in read])
    rows = pictures.find(table["file_name"].tolist())
    return Examples(pictures.images, rows, table["updated_caption"].tolist(), table["caption"].tolist())


def plain(pictures: Gallery, *files: Path) -> Examples:
    """The control: the same images and captions before the negation was added."""
    negated = with_negation(pictures, *files)
    return Examples(negated.images, negated.rows, list(negated.originals or ()))


def negated_queries(pictures: Gallery, file: Path) -> Examples:
    """CLIP-bnl: captions, and the same with something negated that is there."""
    rows = ccneg_files.load(file, n_evaluation=1).to_pandas()
    captions, negated = rows["caption"].tolist(), rows["negated_caption"].tolist()
    return Examples(pictures.images, pictures.find(rows["file_name"].tolist()), captions, negatives=negated)


def word_order(pictures: Gallery, file: Path) -> Examples:
    """NegCLIP: captions with two words changed round, and the first hard image of each."""
    table = pd.read_csv(file, sep="\t")
    negatives, hard = ([ast.literal_eval(cell)[0] for cell in table[name]] for name in ("neg_caption", "neg_image"))
    rows = pictures.find(table["filepath"].tolist())
    return Examples(pictures.images, rows, table["title"].tolist(), negatives=negatives, distractors=rows[hard])


def negcap(pictures: Gallery, file: Path) -> Examples:
    """NegBench's NegCap: captions with a negation, three of each image."""
    table = pd.read_csv(file)
    return Examples(pictures.images, pictures.find(table["filepath"].tolist()), table["caption"].tolist())


def negfull(pictures: Gallery, file: Path, questions_file: Path) -> Examples:
    """NegBench's NegFull: NegCap's captions, each with the question of NegMCQ about its image."""
    captions = negcap(pictures, file)
    questions = negbench.load(questions_file)
    number = {row: index for index, row in enumerate(pictures.find(questions["file_name"]))}
    kept = captions.take([index for index, row in enumerate(captions.rows) if row in number])
    chosen = [number[row] for row in kept.rows]
    options, correct = questions["options"], np.array(questions["correct"], dtype=np.int64)
    return replace(kept, options=[options[index] for index in chosen], correct=correct[chosen])


# --------------------------------------------------------------------------------------------------------------------
# CC-Neg, for CoN-CLIP and CLIPGlasses


@dataclass(frozen=True, slots=True)
class CaptionPairs:
    """M items over N images, whose features are rows of ``images`` float32 [N, D], L2-normalised.

    ``rows`` int64 [M] is the image of each item; ``negated`` [M] the captions with a negation, false of their image
    in CC-Neg and true in NegBench's set; ``affirmed`` [M] true captions without; ``objects`` [M] the nouns that are
    denied; ``distractors`` int64 [M] rows of hard negative images, where the set has them (CC-Neg).
    """

    images: NDArray[np.float32]
    rows: Indices
    negated: list[str]
    affirmed: list[str]
    objects: list[str]
    distractors: Indices | None = None

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.rows)

    def take(self, chosen: ArrayLike) -> "CaptionPairs":
        """The items ``chosen``, over the same images."""
        index = np.asarray(chosen, dtype=np.int64)
        hard = None if self.distractors is None else self.distractors[index]
        negated, affirmed, objects = (
            [texts[row] for row in index] for texts in (self.negated, self.affirmed, self.objects)
        )
        return CaptionPairs(self.images, self.rows[index], negated, affirmed, objects, hard)

    def examples(self) -> Examples:
        """The same items for fine-tuning: CoN-CLIP's triplets, or captions with a negation and their images."""
        if self.distractors is None:
            return Examples(self.images, self.rows, self.negated, self.affirmed)
        return Examples(self.images, self.rows, self.affirmed, negatives=self.negated, distractors=self.distractors)


def ccneg(model: LoadedModel, settings: Profile, error: float = 0.0) -> CaptionPairs:
    """CC-Neg's triplets: image, true caption, false caption with a negation (its commas removed), distractor.

    With published data they are the training part of the published file, else from annotators with this rate of
    ``error``.
    """
    published = source.folder(settings, "ccneg")
    if not source.is_built(published):
        # The images of COCO's train2017 in torchvision's order: by image id.
        coco_folder = settings.data / "coco"
        frame = coco.load(coco_folder / "annotations" / "captions_train2017.json").to_pandas().sort_values("image_id")
        return ccneg_from(published, [coco_folder / "train2017" / name for name in frame["file_name"]], model, settings)
    return ccneg_of(gallery(model, settings), caption_sets.build(settings, error) / baseline_sets.TRIPLETS)


def ccneg_of(pictures: Gallery, file: Path) -> CaptionPairs:
    """CC-Neg's triplets in a ``file`` of its layout, with the distractors beside it: all are among ``pictures``."""
    table = ccneg_files.load(file, None, file.with_name(baseline_sets.DISTRACTORS), n_evaluation=1).to_pandas()
    own = pictures.find(table["file_name"].tolist())
    return _triplets(pictures.images, table, own, own)


def ccneg_from(
    folder: Path, distractors: Sequence[Path], model: LoadedModel, settings: Profile, evaluation: int | None = None
) -> CaptionPairs:
    """CC-Neg's training part in the published layout under ``folder``; its mapping counts in ``distractors``.

    ``evaluation`` is how many of the last items are for evaluation (None: as published). Raises NegutilError if
    files or images are missing; a profile may leave out the items without their image or distractor.
    """
    files = (folder / baseline_sets.TRIPLETS, folder, folder / baseline_sets.DISTRACTORS)
    rows = ccneg_files.load(*files, split="train", n_evaluation=evaluation or ccneg_files.N_EVALUATION)
    own = PictureFiles.of(rows)
    table = rows.remove_columns("image").to_pandas()
    used = sorted(set(table["distractor"].dropna().astype(int)))
    if used and used[-1] >= len(distractors):
        raise NegutilError(f"{files[2]} counts to {used[-1]} among {len(distractors)} images; give all of train2017.")
    if _reading.drops():
        used = [index for index in used if distractors[index].is_file()]
        table["distractor"] = table["distractor"].where(table["distractor"].isin(used))
    pictures = PictureFiles([*own.paths, *(distractors[index] for index in used)])
    images = encode.images(model, pictures, batch=settings.encode.batch)
    place = np.zeros(len(distractors), dtype=np.int64)
    place[used] = np.arange(len(own), len(pictures))
    return _triplets(images, table, np.arange(len(own)), place)


def _triplets(images: NDArray[np.float32], table: pd.DataFrame, own: Indices, place: Indices) -> CaptionPairs:
    """The items of ``table`` that have a distractor and a noun that is denied; ``place`` is each distractor's row."""
    kept = (table["distractor"].notna() & table["negated_object"].notna()).to_numpy()
    table = table[kept]
    return CaptionPairs(
        images,
        own[kept],
        [caption.replace(",", "") for caption in table["negated_caption"]],
        table["caption"].tolist(),
        table["negated_object"].tolist(),
        place[table["distractor"].to_numpy(np.int64)],
    )


SETS = {
    "plain": TrainingSet("infonce", plain, (caption_sets.P1, caption_sets.P2)),
    "rand-p1": TrainingSet("infonce", with_negation, (caption_sets.RANDOM,)),
    "p1": TrainingSet("infonce", with_negation, (caption_sets.P1,)),
    "p2": TrainingSet("infonce", with_negation, (caption_sets.P2,)),
    "p1+p2": TrainingSet("infonce", with_negation, (caption_sets.P1, caption_sets.P2)),
    "con-clip": TrainingSet("con-clip", None, (baseline_sets.TRIPLETS, baseline_sets.DISTRACTORS)),
    "negclip": TrainingSet("negclip", word_order, (caption_sets.WORD_ORDER,)),
    "clip-bnl": TrainingSet("clip-bnl", negated_queries, (baseline_sets.TRIPLETS,)),
    "negcap": TrainingSet("infonce", negcap, (caption_sets.NEGCAP,)),
    "negfull": TrainingSet("negbench", negfull, (caption_sets.NEGCAP, caption_sets.NEGMCQ)),
}
