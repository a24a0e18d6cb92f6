"""A segmenter's scores with each text tower: PhraseCut, and RefCOCOg with and without negation.

Source: docs/protocols.md#segmentation. The published subset "RefCOCOg (Neg)" is not defined anywhere, so it is here:
sentences of the test split (by UMD) in which `phrasing` finds a cue of negation, or "anything but" and its kin. Two
controls have the negated clause or the negation alone deleted. Masks have the size that the model works at, as in
the released code.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from negutil import code, progress
from negutil.cache import Cache
from negutil.captions import negrefcocog, phrasing
from negutil.config import Profile
from negutil.data import coco, phrasecut, refcocog, skipped, source
from negutil.errors import NegutilError
from negutil.models import miniclipseg
from negutil.models.loader import LoadedModel
from negutil.models.miniclipseg import Segmenter
from negutil.models.pictures import PictureFiles
from negutil.statistics import Floats
from negutil.tasks import segmentation
from negutil.tasks.negrefcocog import CUES, OTHER
from negutil.tasks.segmentation import Overlap

PHRASECUT, NEGATED, AFFIRMATIVE = "PhraseCut", "RefCOCOg (Neg)", "RefCOCOg (affirmative)"
BARE, AFFIRMED = f"{NEGATED}, clause deleted", f"{NEGATED}, negation deleted"
TASKS = (PHRASECUT, NEGATED, AFFIRMATIVE, BARE, AFFIRMED)
SPLITS = ("test", "val")
BATCH = 256
NO_CUE = ""
WHERE = "get PhraseCut at github.com/ChenyunWu/PhraseCutDataset and RefCOCOg at github.com/lichengunc/refer"
_EXCEPT = re.compile(r"\b(?:anything|anywhere|anyone|anybody|everything) but\b")
UNLIKE_THEIR_SIZE = frozenset(
    {61530, 61564, 150333, 150344, 150417, 150516, 285665, 285743, 285761, 285814, 286065, 286093}
    | {498010, 498042, 498187, 498246, 498269}
)
"""Images of PhraseCut whose annotated size is not theirs; CLIPSeg's code leaves them out."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """N phrases about M images.

    Attributes:
        task: one of TASKS.
        files: the M images.
        picture: int64 [N], which of them a phrase is about.
        texts: the phrases.
        cues: how each negates: one of CUES, OTHER or NO_CUE.
        bits: masks, packed by ``numpy.packbits``: uint8 [N, ceil(size * size / 8)].
        rivals: masks of the other things of the kind, uint8 [R, ...].
        rival_of: int64 [R], whose rivals they are.
        size: side of the masks in pixels.
    """

    task: str
    files: tuple[str, ...]
    picture: NDArray[np.int64]
    texts: tuple[str, ...]
    cues: tuple[str, ...]
    bits: NDArray[np.uint8]
    rivals: NDArray[np.uint8]
    rival_of: NDArray[np.int64]
    size: int

    def __len__(self) -> int:
        """How many phrases there are."""
        return len(self.texts)

    @property
    def clusters(self) -> NDArray[np.object_]:
        """The image of every phrase: phrases about one image are resampled together."""
        return np.array([Path(self.files[place]).name for place in self.picture], dtype=object)

    def masks(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Masks bool [B, size, size] of the phrases ``rows``, or of all."""
        return unpacked(self.bits if rows is None else self.bits[rows], self.size)

    def fingerprint(self) -> str:
        """sha256 of everything that the scores depend on."""
        digest = hashlib.sha256("\n".join([str(self.size), *self.texts, *PictureFiles(self.files).digests]).encode())
        for array in (self.picture, self.bits, self.rivals, self.rival_of):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """One text tower on N phrases.

    ``right`` [N] is 1 where the thing that is meant has a strictly higher mean score than every other of its kind, 0
    where it has not, and NaN where there is no other; ``chance`` [N] is what guessing gets.
    """

    overlap: Overlap
    right: Floats
    chance: Floats


def load(settings: Profile, size: int, split: str = "test") -> dict[str, Phrases]:
    """All TASKS of a split ("test", "val") with masks of ``size`` pixels a side.

    Raises NegutilError if data are missing or damaged, or where no sentence negates.
    """
    referring = _refcocog(settings, size, split)
    negated = referring[NEGATED]
    wordings = {BARE: negrefcocog.bare, AFFIRMED: negrefcocog.affirmed}
    controls = {
        task: replace(negated, task=task, texts=tuple(change(text) for text in negated.texts))
        for task, change in wordings.items()
    }
    return {PHRASECUT: _phrasecut(settings, size, split), **referring, **controls}


def cue(text: str) -> str:
    """How a phrase negates: one of CUES, OTHER, or NO_CUE."""
    found = phrasing.of(negrefcocog.NUMBER.sub("", text)).cue
    plain = {"n't": "not", "does not include": "not"}.get(found, found)
    if plain:
        return plain if plain in CUES else OTHER
    return OTHER if _EXCEPT.search(text) else NO_CUE


def _phrasecut(settings: Profile, size: int, split: str) -> Phrases:
    folder = source.folder(settings, "phrasecut", WHERE)
    file, pictures = folder / f"refer_{split}.json", folder / "images"
    with skipped.reading(settings, PHRASECUT, "phrasecut"):
        rows = phrasecut.load(file, pictures, folder / "image_data_split3000.json").to_pandas()
    rows = rows if source.is_drawn(folder) else rows[~rows["image_id"].isin(UNLIKE_THEIR_SIZE)]
    masks = [
        packed(phrasecut.mask(row.polygons, row.height, row.width), size)
        for row in progress.bar("drawing masks", rows.itertuples(), total=len(rows))
    ]
    return _phrases(PHRASECUT, rows.rename(columns={"phrase": "text"}), masks, size)


def _refcocog(settings: Profile, size: int, split: str) -> dict[str, Phrases]:
    folder = source.folder(settings, "refcocog", WHERE)
    pictures = (folder if source.is_drawn(folder) else settings.data / "coco") / "train2014"
    with skipped.reading(settings, "RefCOCOg", "refcocog"):
        rows = refcocog.load(folder, split=split, pictures=pictures).to_pandas()
    drawn = _instances(folder / "instances.json", set(rows["image_id"]), size)
    cues = rows["sentence"].map(cue)
    found = {}
    for task, part in {NEGATED: rows[cues != NO_CUE], AFFIRMATIVE: rows[cues == NO_CUE]}.items():
        if part.empty:
            raise NegutilError(f"{folder}: no sentence of its {split} split is one of {task}; build a larger world.")
        masks, rivals = [], []
        for image_id, ann_id, category in zip(part["image_id"], part["ann_id"], part["category"], strict=True):
            shown = drawn[image_id]
            masks.append(shown[ann_id][1])
            rivals.append([mask for number, (kind, mask) in shown.items() if number != ann_id and kind == category])
        found[task] = _phrases(task, part.rename(columns={"sentence": "text"}), masks, size, rivals)
    return found


def _instances(path: Path, wanted: set[int], size: int) -> dict[int, dict[int, tuple[str, NDArray[np.uint8]]]]:
    """What every single thing of the ``wanted`` images is called and its packed mask, by image and annotation.

    Groups ("crowds") are left out.
    """
    columns = coco.load(instances=path).to_pandas()
    found: dict[int, dict[int, tuple[str, NDArray[np.uint8]]]] = {}
    for row in columns[columns["image_id"].isin(wanted)].itertuples():
        objects = zip(row.annotation_ids, row.categories, row.segmentations, row.is_crowd, strict=True)
        found[row.image_id] = {
            number: (name, packed(coco.mask(shape, row.height, row.width, f"{path}, annotation {number}"), size))
            for number, name, shape, crowd in objects
            if not crowd
        }
    return found


def _phrases(
    task: str,
    rows: pd.DataFrame,
    masks: Sequence[NDArray[np.uint8]],
    size: int,
    rivals: Sequence[Sequence[NDArray[np.uint8]]] = (),
) -> Phrases:
    """The phrases of ``rows`` (columns image and text), each with its mask and those of its rivals."""
    texts = rows["text"]
    files = [str(image["path"]) for image in rows["image"]]
    different = {file: place for place, file in enumerate(dict.fromkeys(files))}
    flat = [mask for others in rivals for mask in others]
    return Phrases(
        task=task,
        files=tuple(different),
        picture=np.array([different[file] for file in files], np.int64),
        texts=tuple(texts),
        cues=tuple(cue(text) for text in texts),
        bits=np.stack(masks),
        rivals=np.stack(flat) if flat else np.zeros((0, len(masks[0])), np.uint8),
        rival_of=np.repeat(np.arange(len(rivals)), [len(others) for others in rivals]).astype(np.int64),
        size=size,
    )


def packed(mask: NDArray[np.bool_], size: int) -> NDArray[np.uint8]:
    """A mask brought to ``size`` x ``size`` pixels (nearest, as in the released code) and packed."""
    if mask.shape != (size, size):
        mask = np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))
    return np.packbits(mask.ravel())


def unpacked(bits: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Masks bool [B, size, size] of packed ones [B, ...]."""
    return np.unpackbits(bits, axis=-1, count=size * size).reshape(len(bits), size, size).astype(bool)


def steering(segmenter: Segmenter, encoder: LoadedModel | None, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """What steers the decoder for each different text, with the segmenter's own text tower (None) or ``encoder``'s."""
    used = segmenter if encoder is None else miniclipseg.swapped(segmenter, encoder)
    different = list(dict.fromkeys(texts))
    return dict(zip(different, miniclipseg.conditions(used, different), strict=True))


Features = Callable[[], Mapping[str, torch.Tensor]]
"""Gives what steers the decoder for each text, computed when it is needed."""


def answers(
    segmenter: Segmenter, phrases: Phrases, towers: Mapping[str, tuple[str, Features]], batch: int
) -> dict[str, Answer]:
    """The scores of every text tower on the phrases, from the cache or computed now.

    ``towers`` has, by name, the sha256 of a text tower's weights and its ``steering`` for all texts. Images go
    through the image tower once for all of them, ``batch`` images at a time.
    """
    store = Cache()
    made = {"kind": "segmentation answers", "code_version": code.fingerprint(__name__), "batch": batch}
    made |= {"data": phrases.fingerprint(), "segmenter": segmenter.fingerprint}
    fields: dict[str, dict[str, Any]] = {name: made | {"text_tower": sha256} for name, (sha256, _) in towers.items()}
    arrays = {name: store.load(store.key(**fields[name])) for name in towers}
    missing = {name: towers[name][1]() for name, known in arrays.items() if known is None}
    for name, computed in (_compute(segmenter, phrases, missing, batch) if missing else {}).items():
        store.store(store.key(**fields[name]), computed, fields[name])
        arrays[name] = computed
    return {name: _answer(known, phrases) for name, known in arrays.items() if known is not None}


def _compute(
    segmenter: Segmenter, phrases: Phrases, towers: Mapping[str, Mapping[str, torch.Tensor]], batch: int
) -> dict[str, dict[str, NDArray[Any]]]:
    """The arrays of every answer; equal phrases about one image are scored once."""
    masks = [row.tobytes() for row in phrases.bits]
    keys = pd.DataFrame({"picture": phrases.picture, "text": phrases.texts, "mask": masks})
    copy_of = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    rows = np.flatnonzero(~keys.duplicated())
    parts: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in towers}
    pictures = PictureFiles(phrases.files)
    chunks = np.array_split(np.arange(len(phrases.files)), -(-len(phrases.files) // batch))
    for chunk in progress.bar("segmenting images, batch", chunks):
        pixels = torch.stack([segmenter.preprocess(pictures[place]) for place in chunk]).to(segmenter.model.device)
        layers = miniclipseg.activations(segmenter, pixels)
        of_chunk = rows[np.isin(phrases.picture[rows], chunk)]
        for some in np.array_split(of_chunk, -(-len(of_chunk) // batch)) if len(of_chunk) else ():
            places = torch.from_numpy(phrases.picture[some] - chunk[0])
            chosen = [layer[places] for layer in layers]
            for name, known in towers.items():
                steer = torch.stack([known[phrases.texts[row]] for row in some])
                parts[name].append(_arrays(miniclipseg.scores(segmenter, chosen, steer).cpu(), phrases, some))
    order = np.argsort(np.argsort(phrases.picture[rows], kind="stable"), kind="stable")
    back = order[copy_of]
    return {name: {key: array[back] for key, array in _joined(found).items()} for name, found in parts.items()}


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _arrays(scores: torch.Tensor, phrases: Phrases, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The overlaps, and whether the mean score of the mask is above that of every rival [B]; NaN without rivals."""
    masks = phrases.masks(rows)
    found, flat = segmentation.overlap(scores, masks), scores.flatten(1).numpy()
    owner, of_rows = _owners(phrases, rows)
    rivals = unpacked(phrases.rivals[of_rows], phrases.size).reshape(-1, phrases.size**2)
    highest = np.full(len(rows), -np.inf)
    np.maximum.at(highest, owner, _mean(flat[owner], rivals))
    right = (_mean(flat, masks.reshape(len(rows), -1)) > highest).astype(np.float32)
    right[np.isneginf(highest)] = np.nan
    return {"hit": found.hit, "marked": found.marked, "meant": found.meant, "right": right}


def _owners(phrases: Phrases, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which of ``rows`` each of their rivals is one of, and which of all rivals these are."""
    place = np.full(len(phrases), -1)
    place[rows] = np.arange(len(rows))
    owner = place[phrases.rival_of]
    return owner[owner >= 0], owner >= 0


def _mean(scores: NDArray[np.float32], masks: NDArray[np.bool_]) -> Floats:
    """Mean score within each mask; below every score where it is empty."""
    sizes = masks.sum(axis=1)
    total = np.einsum("ij,ij->i", scores.astype(float), masks)
    return np.divide(total, sizes, out=np.full(len(masks), -1.0), where=sizes > 0)


def _answer(arrays: Mapping[str, NDArray[Any]], phrases: Phrases) -> Answer:
    found = Overlap(arrays["hit"], arrays["marked"], arrays["meant"], phrases.size**2)
    others = np.bincount(phrases.rival_of, minlength=len(phrases))
    return Answer(found, arrays["right"].astype(float), 1 / (1 + others))


EVERYTHING, USUAL, KIND, OTHERS = "everything", "the usual place", "all of the kind", "the others of the kind"


def blind(phrases: Phrases, validation: Phrases) -> dict[str, Answer]:
    """Answers of rules: every pixel; the mean mask of the validation split; and, where rivals are known, oracles.

    "all of the kind" marks everything that has the name of what is meant, as a reader of nouns would; "the others of
    the kind" marks what a negated phrase denies.
    """
    usual = torch.from_numpy(validation.masks().mean(axis=0, dtype=np.float32))
    parts: dict[str, list[dict[str, NDArray[Any]]]] = {}
    for rows in np.array_split(np.arange(len(phrases)), -(-len(phrases) // BATCH)):
        shape = (len(rows), phrases.size, phrases.size)
        scores = {EVERYTHING: torch.ones(shape), USUAL: usual.expand(shape)}
        if len(phrases.rivals):
            others = np.zeros(shape, bool)
            owner, of_rows = _owners(phrases, rows)
            np.logical_or.at(others, owner, unpacked(phrases.rivals[of_rows], phrases.size))
            scores[OTHERS] = torch.from_numpy(others.astype(np.float32))
            scores[KIND] = torch.from_numpy((others | phrases.masks(rows)).astype(np.float32))
        for name, each in scores.items():
            parts.setdefault(name, []).append(_arrays(each, phrases, rows))
    return {name: _answer(_joined(arrays), phrases) for name, arrays in parts.items()}
