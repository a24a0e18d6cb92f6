"""Scenes as CC-Neg: images, true captions, and captions that negate something true (docs/protocols.md#cc-neg).

Stands for CC-Neg, on which CoN-CLIP is trained. A negated caption is false of its image: one of the grammar's negated
forms says that a noun is missing which can be seen, and what else it says is true. Training items negate no held-out
noun and use no held-out form; the last items, for evaluation, use all of both.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from miniworld import grammar, scenes, truth
from miniworld.scenes import Scene
from miniworld.truth import Known
from miniworld.writers import _shared, coco
from negutil.captions import english
from negutil.captions.english import HELD_OUT_NOUNS, NOUNS
from negutil.config import Splits

TRAINING_FORMS = english.forms(english.NEGATED, held_out=False)
DISTRACTORS = 3
POOL = 500
"""Distractors are taken from the first images of the part ``coco``, which are the same in every profile."""


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with images, ``ccneg_preprocessed.pt`` and ``distractor_image_mapping.pt``.

    The returned facts say how many of the last items are for evaluation.
    """
    entries: list[Known] = []
    annotations: list[dict[str, Any]] = []
    for split, index, scene, _ in _shared.draw_all("ccneg", sizes, seed, _sample, scenes.draw):
        path = f"ccneg_images/cc3m_subset_images_extracted_final/{len(entries):06d}.jpg"
        entries.append(Known(path, split, len(entries), scene))
        annotations.append(annotate(scene, split == "train", random.Random(f"ccneg/{split}/{seed}/{index}/captions")))
    _shared.write_pictures(folder, entries)
    content = {"image_paths": [entry.file_name for entry in entries], "annotations": annotations}
    torch.save(content, folder / "ccneg_preprocessed.pt")
    negated = [annotation["sop_data"]["sop_chosen_object"] for annotation in annotations]
    torch.save(_distractors([entry.scene for entry in entries], negated, seed), folder / "distractor_image_mapping.pt")
    return {"train": sizes.train, "n_evaluation": sizes.val + sizes.test}


def _sample(rng: random.Random) -> Scene:
    """A scene with something that a training caption may negate."""
    scene = scenes.sample(rng)
    while not _negatable(scene, training=True):
        scene = scenes.sample(rng)
    return scene


def _negatable(scene: Scene, training: bool) -> list[str]:
    """Nouns in the image whose lack can be claimed in one breath with the rest: not "person" beside a woman."""
    nouns = scene.nouns - HELD_OUT_NOUNS if training else scene.nouns
    return sorted(noun for noun in nouns if not any(truth.is_a(other, noun) for other in scene.nouns - {noun}))


def annotate(scene: Scene, training: bool, rng: random.Random) -> dict[str, Any]:
    """The entry of one image, with the keys of the published file: a true caption, and one that is false."""
    caption = rng.choice((grammar.full_caption, grammar.partial_caption))(scene, rng)
    noun = rng.choice(_negatable(scene, training))
    rest = scenes.without(scene, noun)
    forms = TRAINING_FORMS if training else english.NEGATED
    form = rng.choice([form for form in forms if rest.things or form.order == "only"])
    sop = {
        "negative-prompt": grammar.negated_caption(rest, noun, form, rng),
        "exclusion-prompt": grammar.full_caption(rest, rng),
        "sop_chosen_object": noun,
    }
    return {"json": {"caption": caption}, "sop_data": sop}


def _distractors(shown: Sequence[Scene], negated: Sequence[str], seed: int) -> dict[int, list[int]]:
    """For each image, training images of ``coco`` (by index) like it that do not show what is negated, best first.

    CoN-CLIP takes images that fit the caption without the negated object and not that object, by CLIP's similarity;
    the same is known here without a model: nouns and places in common.
    """
    pool = [entry.scene for entry in _shared.entries("coco", Splits(POOL, 0, 0), seed, scenes.sample, coco.NAMES)]
    features, pool_features = (
        np.array([[n in s.nouns for n in NOUNS] + [p == s.place for p in scenes.PLACE_NAMES] for s in each], np.float32)
        for each in (shown, pool)
    )
    alike = features @ pool_features.T
    shows = {noun: [any(truth.is_a(other, noun) for other in scene.nouns) for scene in pool] for noun in set(negated)}
    present = np.array([shows[noun] for noun in negated])
    order = np.argsort(np.where(present, np.inf, -alike), axis=1, kind="stable")[:, :DISTRACTORS]
    return dict(enumerate(order.tolist()))
