"""The training sets of CLIPGlasses: CC-Neg, and NegBench's retrieval captions with a negation (CLIPGlasses, Table 1).

Both are about training images alone: an item has a caption with a negation, one without, and the object that is
denied. Everything that a training sees of a CLIP is computed once for each base model: features of images, and the
layers of all texts of both sets in one go. So all glasses of one base share them.
"""

import dataclasses
import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from negutil import code
from negutil.captions import caption_sets, statements
from negutil.captions import negbench as builders
from negutil.captions.statements import Grammar, Statement
from negutil.config import Profile
from negutil.data import built, coco, negbench, skipped, source
from negutil.errors import NegutilError
from negutil.models import encode, text_layers
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.text_layers import TextLayers
from negutil.train import sets
from negutil.train.sets import CaptionPairs

CCNEG, RETRIEVAL = SETS = ("ccneg", "retrieval")
FOLDER, NEGATED, PLAIN = "retrieval-train", "retrieval_negated.csv", "retrieval_plain.csv"
SHARE = 6
"""NegBench's captions are about every sixth training image: as in the paper, the smaller of the two sets."""

CAPTIONS = 5
PUBLISHED = ("COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv", "COCO_val_retrieval.csv")
TARGET = "This image shows {}."
"""What the vector of an object is taken from (docs/protocols.md#lens)."""

PAIRS, SHORT = 2000, 6
"""For the classifier: pairs of captions from each set, and rounds of short sentences about every noun."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GlassesData:
    """A set as glasses see it: features alone, and no text.

    ``images``, ``rows`` and ``distractors`` as in CaptionPairs; ``negated`` and ``affirmed`` are the layers of M texts;
    ``objects`` float32 [O, D] the vectors of what is denied, ``object_rows`` int64 [M] which one each item has;
    ``sentences`` float32 [S, D] and ``is_negated`` bool [S] are for the classifier; ``scale`` is exp(logit_scale).
    """

    images: NDArray[np.float32]
    rows: Indices
    negated: TextLayers
    affirmed: TextLayers
    objects: NDArray[np.float32]
    object_rows: Indices
    distractors: Indices | None
    sentences: NDArray[np.float32]
    is_negated: NDArray[np.bool_]
    scale: float

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.rows)

    @property
    def sha256(self) -> str:
        """Digest of everything in here."""
        layers = (self.negated.last, self.negated.levels, self.affirmed.last, self.affirmed.levels)
        arrays = (self.images, self.rows, *layers, self.objects, self.object_rows, self.sentences, self.is_negated)
        hard = () if self.distractors is None else (self.distractors,)
        return digest(*arrays, *hard, start=json.dumps(self.scale))


@dataclass(frozen=True, slots=True)
class Material:
    """Both sets for one base model, with the layers of all of their texts; ``place`` is the row of each text."""

    sets: dict[str, CaptionPairs]
    layers: TextLayers
    place: dict[str, int]
    sentences: list[str]
    is_negated: NDArray[np.bool_]
    scale: float

    def data(
        self,
        name: str,
        chosen: ArrayLike | None = None,
        read: Callable[[Sequence[str]], TextLayers] | None = None,
    ) -> GlassesData:
        """The features of the items ``chosen`` (all of them if None) of the set called ``name``.

        ``read`` gives the layers of captions, where glasses need more of them than there is here.
        """
        pairs = self.sets[name] if chosen is None else self.sets[name].take(chosen)
        number, objects = pd.factorize(np.array(pairs.objects, dtype=object))
        captions = (read or self.read)([*pairs.negated, *pairs.affirmed])
        return GlassesData(
            images=pairs.images,
            rows=pairs.rows,
            negated=captions.take(np.arange(len(pairs))),
            affirmed=captions.take(np.arange(len(pairs), 2 * len(pairs))),
            objects=self.read([target(noun) for noun in objects]).last,
            object_rows=number.astype(np.int64),
            distractors=pairs.distractors,
            sentences=self.read(self.sentences).last,
            is_negated=self.is_negated,
            scale=self.scale,
        )

    def read(self, texts: Sequence[str]) -> TextLayers:
        """The layers of ``texts``, which have to be among those of the sets."""
        return self.layers.take([self.place[text] for text in texts])


def digest(*arrays: NDArray[Any], start: str = "") -> str:
    """Hex sha256 of a text and the kinds, shapes and values of ``arrays``."""
    sha256 = hashlib.sha256(start.encode())
    for array in arrays:
        sha256.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return sha256.hexdigest()


def target(noun: str) -> str:
    """The sentence whose text vector represents an object: "This image shows a dog."."""
    return TARGET.format(statements.with_article(noun))


def material(model: LoadedModel, settings: Profile) -> Material:
    """Both training sets of a profile for ``model``, their images and texts encoded where that has not been done."""
    pairs = {name: load(name, model, settings) for name in SETS}
    nouns = sorted({noun for each in pairs.values() for noun in each.objects})
    labels = _sentences(list(pairs.values()), nouns, settings.world.seed)
    texts = [text for each in pairs.values() for text in (*each.negated, *each.affirmed)]
    texts = list(dict.fromkeys([*texts, *map(target, nouns), *labels]))
    layers = text_layers.features(model, texts, batch=settings.encode.batch)
    place, is_negated = {text: row for row, text in enumerate(texts)}, np.array(list(labels.values()), dtype=bool)
    return Material(pairs, layers, place, list(labels), is_negated, model.model.logit_scale.exp().item())


def load(name: str, model: LoadedModel, settings: Profile) -> CaptionPairs:
    """Return the training set called ``name``, "ccneg" or "retrieval".

    Raises NegutilError for another name, and where published data are wanted and not there.
    """
    if name not in SETS:
        raise NegutilError(f"There is no training set '{name}' for glasses; there are {', '.join(SETS)}.")
    with skipped.reading(settings, f"the training set '{name}' for glasses"):
        return (sets.ccneg if name == CCNEG else retrieval)(model, settings)


def _sentences(pairs: Sequence[CaptionPairs], nouns: Sequence[str], seed: int) -> dict[str, bool]:
    """Sentences for the classifier, and whether each holds a negation (docs/protocols.md#gate).

    Up to PAIRS pairs of captions of each set, and short sentences about ``nouns``; the authors' own list is not public.
    """
    labels: dict[str, bool] = {}
    for number, each in enumerate(pairs):
        order = np.random.default_rng([seed, number]).permutation(len(each))[:PAIRS]
        labels |= {each.affirmed[row]: False for row in order} | {each.negated[row]: True for row in order}
    for noun in nouns:
        labels |= dict.fromkeys((target(noun), f"A photo of {statements.with_article(noun)}."), False)
        rng = random.Random(f"glasses/{seed}/{noun}")
        for _ in range(SHORT):
            other = rng.choice([one for one in nouns if one != noun] or [noun])
            for present, absent in (((noun,), ()), ((noun, other), ()), ((), (noun,)), ((other,), (noun,))):
                labels[statements.paraphrase(Statement(present, absent), rng)] = bool(absent)
    return labels


# --------------------------------------------------------------------------------------------------------------------
# NegBench's retrieval captions


def retrieval(model: LoadedModel, settings: Profile) -> CaptionPairs:
    """NegBench's captions with a negation about training images, with the object that each denies.

    With published data, the published file, whose images are also those of NegBench's questions
    (docs/protocols.md#leakage).
    """
    folder = source.folder(settings, "negbench")
    if not source.is_built(folder):
        negated, plain = (
            negbench.load(folder / PUBLISHED[0], settings.data / "coco"),
            negbench.load(folder / PUBLISHED[1]),
        )
        pictures = PictureFiles.of(negated)
        images, rows = encode.images(model, pictures, batch=settings.encode.batch), np.arange(len(pictures))
    else:
        folder, found = build_retrieval(settings), sets.gallery(model, settings)
        negated, plain = (negbench.load(folder / name) for name in (NEGATED, PLAIN))
        images, rows = found.images, found.find(negated["file_name"][:])
    affirmed = dict(zip(plain["image_id"][:], plain["captions"][:], strict=True))
    columns = (negated[name][:] for name in ("image_id", "captions", "negative_objects"))
    items = [
        (row, text, affirmed[image][at % len(affirmed[image])], nouns)
        for row, image, texts, nouns in zip(rows, *columns, strict=True)
        for at, text in enumerate(texts)
        if nouns
    ]
    chosen, captions, others, candidates = map(list, zip(*items, strict=True))
    objects = denied(captions, candidates, model, settings.encode.batch)
    return CaptionPairs(images, np.array(chosen, dtype=np.int64), captions, others, objects)


def denied(
    captions: Sequence[str], candidates: Sequence[Sequence[str]], model: LoadedModel, batch: int = encode.BATCH
) -> list[str]:
    """Return which of its ``candidates`` (absent objects) each caption denies: the longest one that it names.

    Where it names none of them, the one whose sentence is most similar to the caption by ``model``, as the released
    code does for all captions (docs/protocols.md#lens).
    """

    def names(text: str, noun: str) -> bool:
        words = "|".join(re.escape(word.lower()) for word in (noun, statements.plural(noun)))
        return re.search(rf"\b(?:{words})\b", text.lower()) is not None

    objects = [
        max((noun for noun in nouns if names(text, noun)), key=len, default="")
        for text, nouns in zip(captions, candidates, strict=True)
    ]
    unknown = [row for row, noun in enumerate(objects) if not noun]
    if unknown:
        nouns = sorted({noun for row in unknown for noun in candidates[row]})
        texts = encode.texts(model, [captions[row] for row in unknown], batch=batch)
        values = texts @ encode.texts(model, [target(noun) for noun in nouns], batch=batch).T
        for row, scores in zip(unknown, values, strict=True):
            similar = dict(zip(nouns, scores.tolist(), strict=True))
            objects[row] = max(candidates[row], key=similar.__getitem__)
    return objects


def build_retrieval(settings: Profile) -> Path:
    """The folder with NegBench's retrieval captions for training images, written where it is missing.

    NEGATED and PLAIN have the columns of the published file. The first of every SHARE training images have CAPTIONS
    captions each; nothing that is held out for testing is denied, and no held-out wording is used.
    """
    made_of = source.folder(settings, "coco")
    folder = settings.built / FOLDER
    wanted = {
        "part": FOLDER,
        "seed": settings.world.seed,
        "share": SHARE,
        "captions": CAPTIONS,
        "code": code.fingerprint(__name__),
        "made_of": source.digest(made_of),
    }

    def fill(fresh: Path) -> dict[str, int]:
        annotations = made_of / "annotations"
        rows = coco.load(annotations / "captions_train2014.json", annotations / "instances_train2014.json")
        items, seed = builders.from_coco(rows, "coco/train2014"), settings.world.seed
        # Held-out nouns are no candidates, as no label names them here.
        allowed = [
            dataclasses.replace(item, objects=tuple(noun for noun in item.objects if noun not in caption_sets.HELD_OUT))
            for item in items
        ]
        drawn = builders.queries([item for item in allowed if item.objects], captions=CAPTIONS, seed=seed)
        whole = {item.image_id: item for item in items}
        queries = [
            dataclasses.replace(query, item=whole[query.item.image_id])
            for query in drawn[: max(1, len(items) // SHARE)]
        ]
        builders.write_csv(fresh / PLAIN, builders.retrieval_table(queries, negated=False))
        grammar = Grammar(seed, held_out_share=0.0)
        builders.write_csv(fresh / NEGATED, builders.retrieval_table(queries, annotator=grammar))
        return {"pictures": len(queries), "captions": sum(len(query.negated) for query in queries)}

    built.keep(folder, wanted, fill, "NegBench's retrieval captions")
    return folder
