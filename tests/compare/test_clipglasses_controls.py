"""Controls of notebook 06 on glasses that have learned nothing: each changes what it says and nothing else."""

from __future__ import annotations

import dataclasses
from functools import partial

import model_files
import numpy as np
import pytest
import torch
from PIL import Image

from negutil import config
from negutil.compare import clipglasses_controls as controls
from negutil.compare import glasses_parts
from negutil.compare.evaluation import Evaluation, EvaluationData
from negutil.errors import NegutilError
from negutil.models import encode, glasses_settings, loader
from negutil.models.glasses import Glasses
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel

TEXTS = ["a photo of a cat", "a photo with no cat", "there is a dog but no hat"]
SETTINGS = config.load("quick")


@pytest.fixture(scope="module")
def tower() -> LoadedModel:
    return loader.load("miniclip-s-8")


@pytest.fixture(scope="module")
def images(tower: LoadedModel) -> np.ndarray:
    return encode.images(tower, model_files.pictures(4), cached=False)


@pytest.fixture
def worn(tower: LoadedModel) -> GlassesModel:
    torch.manual_seed(7)
    modules = Glasses(glasses_settings.paper(128, mask="always"), tower.model.logit_scale.exp().item())
    found = GlassesModel("miniclip-s-8+clipglasses/seed0", tower, modules.eval())
    found.remember(TEXTS)
    return found


def test_a_constant_penalty_is_taken_off_every_text(worn: GlassesModel, images: np.ndarray) -> None:
    free = controls.changed(worn, constant_penalty=0.0).matrix(TEXTS, images)
    less = controls.changed(worn, constant_penalty=2.5).matrix(TEXTS, images)
    np.testing.assert_allclose(free - less, 2.5, atol=1e-4)
    assert worn.glasses.config.constant_penalty is None


def test_a_constant_lambda_is_seen_in_the_score(worn: GlassesModel, images: np.ndarray) -> None:
    none = controls.changed(worn, constant_lambda=0.0).paired(TEXTS, images[:3])
    half, whole = (controls.changed(worn, constant_lambda=value).paired(TEXTS, images[:3]) for value in (0.5, 1.0))
    np.testing.assert_allclose(none - whole, 2 * (none - half), atol=1e-4)
    np.testing.assert_allclose(none, controls.changed(worn, constant_penalty=0.0).paired(TEXTS, images[:3]), atol=1e-4)


def test_lambda_of_the_gold_picture_is_that_of_the_pair(worn: GlassesModel, images: np.ndarray) -> None:
    rows = np.array([2, 0, 1])
    gold = controls.GoldPicture(worn, TEXTS, rows)
    every, leaked = worn.matrix(TEXTS, images), gold.matrix(TEXTS, images)
    place = (np.arange(3), rows)
    np.testing.assert_allclose(leaked[place], every[place], atol=1e-4)
    own = controls.lambdas(worn, TEXTS, images[rows])
    assert ((own > 0) & (own < 1)).all()
    with pytest.raises(NegutilError, match="captions themselves"):
        gold.matrix(TEXTS[:1], images)


def test_the_true_mask_is_on_for_negated_texts_alone(worn: GlassesModel, images: np.ndarray) -> None:
    never = dataclasses.replace(worn, glasses=controls.changed(worn, mask="classifier", constant_penalty=2.5).glasses)
    last = never.glasses.gate.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.constant_(last.bias, -100.0)  # this classifier finds no negation
    free = controls.changed(worn, constant_penalty=0.0)
    true = controls.CHANGES[controls.TRUE_MASK](never, None, SETTINGS)
    assert isinstance(true, controls.TrulyMasked)
    assert controls.negates(TEXTS).tolist() == [False, True, True]
    np.testing.assert_allclose(never.paired(TEXTS, images[:3]), free.paired(TEXTS, images[:3]), atol=1e-4)
    lost = free.paired(TEXTS, images[:3]) - true.paired(TEXTS, images[:3])
    np.testing.assert_allclose(lost, [0, 2.5, 2.5], atol=1e-4)
    lost = free.matrix(TEXTS, images) - true.matrix(TEXTS, images)
    np.testing.assert_allclose(lost, np.array([0, 2.5, 2.5])[:, None].repeat(len(images), axis=1), atol=1e-4)


def test_a_lens_that_attends_to_tokens_reads_them_when_it_is_asked(tower: LoadedModel, images: np.ndarray) -> None:
    torch.manual_seed(7)
    glasses = Glasses(glasses_settings.tokens(128, mask="always"), 100.0).eval()
    found = GlassesModel("miniclip-s-8+clipglasses/seed0", tower, glasses)
    found.remember(TEXTS)
    together = found.matrix(TEXTS, images)
    np.testing.assert_allclose(found.matrix(TEXTS[1:2], images)[0], together[1], atol=1e-3)
    np.testing.assert_allclose(found.paired(TEXTS, images[:3]), together[np.arange(3), np.arange(3)], atol=1e-3)


def test_the_gold_picture_is_left_alone_where_retrieval_is_not_asked(worn: GlassesModel) -> None:
    nothing = EvaluationData({}, (), None)
    assert controls.CHANGES[controls.GOLD](worn, nothing, SETTINGS) is worn


def test_the_true_object_is_told_for_the_texts_that_are_named(worn: GlassesModel, images: np.ndarray) -> None:
    fresh = controls.with_untrained_frame(worn)
    told, untold = (
        controls.Told(fresh, "told", controls.true_objects(fresh, objects)) for objects in ({TEXTS[1]: "cat"}, {})
    )
    scores, others = told.paired(TEXTS, images[:3]), untold.paired(TEXTS, images[:3])
    np.testing.assert_allclose(scores[[0, 2]], others[[0, 2]], atol=1e-4)
    assert abs(scores[1] - others[1]) > 1e-4
    np.testing.assert_allclose(others, fresh.paired(TEXTS, images[:3]), atol=1e-4)
    np.testing.assert_allclose(told.matrix(TEXTS, images)[:, 0], told.paired(TEXTS, images[[0, 0, 0]]), atol=1e-4)
    assert not torch.equal(fresh.glasses.frame.weigh.weight, worn.glasses.frame.weigh.weight)


def test_a_random_object_is_a_text_s_own() -> None:
    directions = controls.random_objects(16)
    both = directions(TEXTS)
    assert torch.equal(both[1], directions(TEXTS[1:2])[0])
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, controls.random_objects(16, seed=1)(TEXTS))


def test_pictures_without_mean_and_std_have_other_features_and_the_same_texts(tower: LoadedModel) -> None:
    raw = controls.unnormalised(tower)
    picture = model_files.pictures(1)
    both = [encode.images(each, picture, cached=False) for each in (tower, raw)]
    assert np.abs(both[0] - both[1]).max() > 1e-3
    assert raw.model is tower.model
    assert raw.fingerprint["preprocessing"] != tower.fingerprint["preprocessing"]
    pixels = [each.preprocess(Image.fromarray(picture[0])) for each in (tower, raw)]
    assert 0 <= float(pixels[1].min()) <= float(pixels[1].max()) <= 1 < float(pixels[0].abs().max())


def test_an_unknown_change_is_refused_with_those_that_exist() -> None:
    blindfolded = Evaluation("miniclip-s-8", "few", "blindfold")
    assert blindfolded.name == "miniclip-s-8|blindfold"
    with pytest.raises(NegutilError, match=r"no change 'blindfold'.*constant lambda"):
        controls.load(blindfolded, None, SETTINGS)  # type: ignore[arg-type]


def test_operations_grow_with_the_glasses(worn: GlassesModel) -> None:
    text, pair = glasses_parts.glasses_operations(worn)
    simple = dataclasses.replace(worn, glasses=Glasses(glasses_settings.paper(128, constant_lambda=1.0), 100.0))
    assert text > 2 * 128 * 128
    assert pair > glasses_parts.glasses_operations(simple)[1] >= 2 * 128
    assert glasses_parts.text_operations(worn.tower) > 1e6


def test_whether_a_text_is_masked_is_the_classifier_s_answer(worn: GlassesModel, images: np.ndarray) -> None:
    assert controls.masked(worn, TEXTS).tolist() == [1, 1, 1]
    by_gate = dataclasses.replace(worn, glasses=Glasses(glasses_settings.paper(128), 100.0).eval())
    assert set(partial(controls.masked, by_gate)(TEXTS, images)) <= {0.0, 1.0}
