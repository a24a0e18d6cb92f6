"""A CLIP with glasses as a scorer: against the modules, equal scores, memory of texts, partners, loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import glasses_files
import model_files
import numpy as np
import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import glasses_model, glasses_settings, loader, registry, scorer, text_layers
from negutil.models.glasses import Glasses
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel
from negutil.train import glasses as training
from negutil.train.glasses import GlassesJob

TEXTS = [*model_files.TEXTS, "no dog", model_files.TEXTS[0]]


@pytest.fixture
def tower(session_cache: Path) -> LoadedModel:
    return glasses_files.model(session_cache / "tiny-glasses")


def wearing(tower: LoadedModel, make: object = glasses_settings.paper, **changes: object) -> GlassesModel:
    torch.manual_seed(0)
    config = make(16, mask="always", **changes)  # type: ignore[operator]
    return GlassesModel("tiny+clipglasses/seed0", tower, Glasses(config, 20.0).eval())


@torch.inference_mode()
def from_rows(model: GlassesModel, texts: list[str], images: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Scores where lambda is from the image in row ``partners`` of each text."""
    rows = torch.from_numpy(partners)
    scores: torch.Tensor = model.glasses(*model.layers(texts), torch.from_numpy(images), partners=rows)
    return scores.numpy()


def pictures(n: int = 5) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(n, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[-1] = rows[0]
    return rows


def test_scores_are_those_of_the_modules(tower: LoadedModel) -> None:
    model, images = wearing(tower), pictures()
    layers = text_layers.features(tower, TEXTS)
    parts = [torch.from_numpy(array) for array in (layers.last, layers.levels, images)]
    with torch.no_grad():
        wanted = model.glasses(*parts).numpy()
    assert np.allclose(model.matrix(TEXTS, images), wanted, atol=1e-4)
    assert np.allclose(model.paired(TEXTS, images), np.diagonal(wanted), atol=1e-4)
    assert not np.allclose(wanted, 20 * scorer.of(tower).matrix(TEXTS, images), atol=1e-2), "glasses change scores"


def test_without_a_mask_the_scores_are_clips_in_logits(tower: LoadedModel) -> None:
    model, images = wearing(tower, constant_penalty=0.0), pictures()
    assert np.allclose(model.matrix(TEXTS, images), 20 * scorer.of(tower).matrix(TEXTS, images), atol=1e-4)


def test_equal_texts_and_pictures_get_equal_scores(tower: LoadedModel) -> None:
    model, images = wearing(tower), pictures()
    found = model.matrix(TEXTS, images)
    assert (found[0] == found[-1]).all()
    assert (found[:, 0] == found[:, -1]).all()
    pairs = model.paired([TEXTS[0]] * 3 + TEXTS[:2], images[[0, 4, 0, 1, 2]])
    assert pairs[0] == pairs[1] == pairs[2]


@pytest.mark.parametrize("make", [glasses_settings.paper, glasses_settings.released])
def test_what_is_remembered_gives_the_same_scores(tower: LoadedModel, make: object) -> None:
    model, images = wearing(tower, make), pictures()
    before = model.paired(TEXTS, images)
    model.remember(["something else", *TEXTS])
    assert np.allclose(model.paired(TEXTS, images), before, atol=1e-5)
    assert model.paired(["unknown", *TEXTS[1:]], images).shape == (5,)


def test_lambda_of_a_row_comes_from_the_partner_or_clips_first(tower: LoadedModel) -> None:
    model, images = wearing(tower, lambda_from="row"), pictures()[:4]
    texts = TEXTS[:3]
    nearest = scorer.of(tower).matrix(texts, images).argmax(axis=1)
    assert np.allclose(model.matrix(texts, images), from_rows(model, texts, images, nearest), atol=1e-5)
    others = from_rows(model, texts, images, (nearest + 1) % 4)
    assert not np.allclose(model.matrix(texts, images), others, atol=1e-4)
    pairs = wearing(tower).matrix(texts, images)
    own = from_rows(model, texts, images, np.array([2, 2, 2]))
    assert np.allclose(own[:, 2], pairs[:, 2], atol=1e-4), "its own lambda at the partner"


def test_pictures_that_do_not_fit_are_one_sentence(tower: LoadedModel) -> None:
    with pytest.raises(NegutilError, match="5 texts for 2 images"):
        wearing(tower).paired(TEXTS, pictures(2))


def test_a_trained_pair_loads_by_its_name_until_the_base_changes(
    tower: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "find", lambda name: tower.entry)
    name, sha = "tiny+clipglasses/seed0", str(loader.load("tiny").fingerprint["weights_sha256"])
    job = GlassesJob(name, sha, glasses_files.data(), glasses_files.CONFIG, "quick")
    found = training.train(job)
    model = glasses_model.load(name, "quick")
    assert glasses_model.is_name(name)
    assert glasses_model.sha256(name, "quick") == f"{found.sha256} {sha}"
    assert (model.name, model.tower.name, model.glasses.scale.item()) == (name, "tiny", 20.0)
    assert not model.glasses.training
    assert model.matrix(TEXTS, pictures()).shape == (5, 5)
    training.train(replace(job, base_sha256="0" * 64))
    with pytest.raises(NegutilError, match="run notebook 06 again"):
        glasses_model.load(name, "quick")
