"""The training sets of the quick profile as examples, with a tiny model's image features."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import finetune_files
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from miniworld import build as world
from negutil import config
from negutil.captions import caption_sets
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.models.loader import LoadedModel
from negutil.train import examples, sets
from negutil.train.settings import settings

QUICK = config.load("quick")


@pytest.fixture
def model(session_cache: Path) -> LoadedModel:
    return finetune_files.model(session_cache / "tiny")


@pytest.mark.parametrize("name", sets.SETS)
def test_every_set_fits_its_method(model: LoadedModel, name: str) -> None:
    found = sets.examples(name, model, QUICK)
    chosen = settings(sets.SETS[name].method, "quick", validation_share=0.1)
    examples.check(found, chosen)
    assert len(examples.split(found, chosen)[0]) > 4 * chosen.batch
    assert len(found.images) == QUICK.world.scenes.train
    if found.distractors is not None:
        assert (found.distractors != found.rows).all(), "another picture"


def test_features_are_those_of_the_picture_of_the_caption(model: LoadedModel) -> None:
    found = sets.examples("p1", model, QUICK)
    content = json.loads((caption_sets.build(QUICK) / caption_sets.P1).read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    last = content["annotations"][-1]
    assert (found.captions[-1], (found.originals or [])[-1]) == (last["updated_caption"], last["caption"])
    with Image.open(world.folder("coco", QUICK) / names[last["image_id"]]) as picture:
        features = encode.images(model, [picture], cached=False)[0]
    assert np.allclose(found.images[found.rows[-1]], features, atol=1e-5)


def test_the_control_has_the_same_pictures_without_the_negation(model: LoadedModel) -> None:
    negated, plain = (sets.examples(name, model, QUICK) for name in ("p1+p2", "plain"))
    assert plain.captions == negated.originals
    assert np.array_equal(plain.rows, negated.rows)
    assert len(negated) == len(sets.examples("p1", model, QUICK)) + len(sets.examples("p2", model, QUICK))


def test_con_clip_loses_the_commas_and_clip_bnl_keeps_them(model: LoadedModel) -> None:
    without, kept = (sets.examples(name, model, QUICK).negatives or [] for name in ("con-clip", "clip-bnl"))
    assert not any("," in caption for caption in without)
    assert any("," in caption for caption in kept)


def test_the_question_of_a_caption_is_about_its_picture(model: LoadedModel) -> None:
    found = sets.examples("negfull", model, QUICK)
    folder = caption_sets.build(QUICK)
    questions = pd.read_csv(folder / caption_sets.NEGMCQ).set_index("image_path")
    captions = pd.read_csv(folder / caption_sets.NEGCAP).set_index("caption")["filepath"]
    assert found.options is not None and found.correct is not None
    for index in (0, len(found) // 2, len(found) - 1):
        asked = questions.loc[captions.loc[found.captions[index]]]
        assert found.options[index] == [asked[f"caption_{option}"] for option in range(4)]
        assert found.correct[index] == asked["correct_answer"]


def test_the_lengths_of_features_are_those_before_they_were_normalised(model: LoadedModel) -> None:
    found = replace(sets.examples("negfull", model, QUICK), lengths=sets.lengths(model, QUICK))
    file = sorted((world.folder("coco", QUICK) / sets.PICTURES).iterdir())[3]
    with Image.open(file) as picture, torch.no_grad():
        raw = model.model.encode_image(model.preprocess(picture.convert("RGB")).unsqueeze(0))[0].numpy()
    assert found.lengths is not None
    assert np.allclose(found.images[3] * found.lengths[3], raw, rtol=1e-3, atol=1e-5)
    examples.check(found, settings("negbench", "released code"))


def test_noisy_annotators_make_other_captions(model: LoadedModel) -> None:
    exact, noisy = (sets.examples("p1", model, QUICK, error) for error in (0.0, 0.2))
    assert exact.captions != noisy.captions


def test_unknown_sets_and_pictures_are_one_sentence(model: LoadedModel) -> None:
    with pytest.raises(NegutilError, match="no training set 'p3'; there are plain, rand-p1, p1"):
        sets.examples("p3", model, QUICK)
    with pytest.raises(NegutilError, match=r"no training image nowhere\.jpg"):
        sets.gallery(model, QUICK).find(["train2014/nowhere.jpg"])
