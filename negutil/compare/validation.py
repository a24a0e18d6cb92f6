"""Validation data: images that nothing is reported of, and what a model gets on them.

Whatever is chosen here for a model (how long it trains, the number of a method without training) is chosen by these
measures. They look at no reported image, no noun or wording that is held out for testing, and no benchmark.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from negutil.captions import caption_sets, english, sentence_forms
from negutil.captions import negbench as builders
from negutil.captions.english import HELD_OUT_NOUNS
from negutil.captions.statements import Grammar
from negutil.compare import negation_beyond
from negutil.compare.negation_beyond import Gallery
from negutil.config import Profile
from negutil.data import coco, source
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Scorer
from negutil.tasks import coco_retrieval, exclusion

SPLIT = "val2017"
"""COCO's split of these images, where this project made the data; it reports those of test2017 alone."""

RECALL, PRECISION, AUC = MEASURES = (f"recall@{coco_retrieval.K}, negated captions", "mAP, X but no Y", "AUC, no X")
"""Each image by its negated caption; all images with X and without Y, in the whole gallery; and images without X
against those with it, for a sentence that only denies."""


@dataclass(frozen=True, slots=True)
class Validation:
    """The images, and three kinds of sentence about them.

    Attributes:
        captions: a negated caption of each of ``pictures``.
        gallery: with the queries "X but no Y".
        denials: a sentence "no X" for each noun that some images show and some do not.
    """

    pictures: PictureFiles
    captions: list[str]
    gallery: Gallery
    denials: dict[str, str]

    @property
    def texts(self) -> list[str]:
        """Every sentence once."""
        asked = [each.text for each in self.gallery.queries]
        return list(dict.fromkeys([*self.captions, *asked, *self.denials.values()]))


@functools.lru_cache(maxsize=1)
def data(settings: Profile) -> Validation | None:
    """The validation data of the mini world, or of Flickr8k; None for published data, which has no images to spare."""
    has_spare = source.is_world(settings) or settings.photographs
    gallery = negation_beyond.gallery(settings, validation=True) if has_spare else None
    if gallery is None:
        return None
    kept = [each for each in gallery.queries if each.cue and not (each.held_out or each.held_out_noun)]
    forms = english.forms(sentence_forms.NEGATED_ALONE, held_out=False)
    nouns = [name for name, shown in gallery.there.items() if shown.any() and not shown.all()]
    nouns = [name for name in nouns if name not in HELD_OUT_NOUNS]
    denials = {name: sentence_forms.fill(forms[row % len(forms)], missing=name) for row, name in enumerate(nouns)}
    return Validation(*_captions(settings), replace(gallery, queries=kept), denials)


def needed(settings: Profile) -> Validation:
    """As ``data``; raises NegutilError where there are none."""
    found = data(settings)
    if found is None:
        raise NegutilError(
            f"The {settings.name} profile has no images apart from those that are trained on and those that are "
            "reported: choose the number of passes in the mini or the photo profile."
        )
    return found


def items(who: Scorer, asked: Validation, batch: int = encode.BATCH) -> pd.DataFrame:
    """What ``who`` gets: task (one of MEASURES), item (a place in its captions, queries or denials) and value.

    The value is whether a caption's image is among the first five (0 or 1), the average precision of a query, and the
    AUC of a denial.
    """
    images = encode.images(who.tower, asked.pictures, batch=batch)
    scores = who.matrix(asked.captions, images)
    recalled = (scores >= np.diagonal(scores)[:, None]).sum(axis=1) <= coco_retrieval.K
    shown, there = encode.images(who.tower, asked.gallery.pictures, batch=batch), asked.gallery.there
    queries = asked.gallery.queries
    right = np.stack([there[each.wanted] & ~there[each.excluded] for each in queries])
    precision = exclusion.average_precision(who.matrix([each.text for each in queries], shown), right)
    lacking = np.stack([~there[noun] for noun in asked.denials])
    areas = exclusion.auc(who.matrix(list(asked.denials.values()), shown), lacking, ~lacking)
    values = zip(MEASURES, (recalled, precision, areas), strict=True)
    parts = [pd.DataFrame({"task": name, "item": range(len(own)), "value": own.astype(float)}) for name, own in values]
    return pd.concat(parts, ignore_index=True)


def _captions(settings: Profile) -> tuple[PictureFiles, list[str]]:
    """The images and a negated caption of each, made as NegBench's training captions are."""
    folder = source.folder(settings, "coco")
    captions, instances = (folder / "annotations" / f"{kind}_{SPLIT}.json" for kind in ("captions", "instances"))
    described = [
        replace(item, objects=tuple(noun for noun in item.objects if noun not in caption_sets.HELD_OUT))
        for item in builders.from_coco(coco.load(captions, instances))
    ]
    queries = builders.queries([item for item in described if item.objects], captions=1, seed=settings.world.seed)
    grammar = Grammar(settings.world.seed, held_out_share=0.0)
    texts = builders.worded([query.negated[0] for query in queries], grammar)
    return PictureFiles([folder / SPLIT / query.item.file_name for query in queries]), texts
