"""Recipes of notebook 06: names, sizes, and jobs that a training can start from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import glasses_files
import numpy as np
import pytest
import torch

from negutil import config
from negutil.errors import NegutilError
from negutil.models import glasses_model, glasses_settings
from negutil.models.loader import LoadedModel
from negutil.train import glasses_sets, recipes
from negutil.train.glasses import OBJECTIVES, Run, modules
from negutil.train.recipes import GLASSES

QUICK = config.load("quick")


@pytest.fixture
def model(session_cache: Path) -> LoadedModel:
    return glasses_files.model(session_cache / "tiny-glasses")


@pytest.fixture
def material(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> glasses_sets.Material:
    made = glasses_sets.material(model, QUICK)
    monkeypatch.setattr(recipes, "_material", lambda base, settings: (made, "abc"))
    return made


def test_every_recipe_has_a_name_to_load_it_by_and_a_known_set() -> None:
    for name, recipe in GLASSES.items():
        full = recipes.model_name("miniclip-b-8+negationclip/seed1", name, 2)
        assert glasses_model.recipe_of(full) == recipe.name == name
        assert recipe.set in glasses_sets.SETS
    assert len({recipe.title for recipe in GLASSES.values()}) == len(GLASSES)
    with pytest.raises(NegutilError, match="no recipe 'p1' for glasses; there are clipglasses-ccneg"):
        recipes.find_glasses("p1")


def test_every_ablation_and_difference_of_the_modules_has_a_recipe() -> None:
    assert list(recipes.ABLATIONS) == list(glasses_settings.ABLATIONS)
    assert list(recipes.DIFFERENCES) == list(glasses_settings.DIFFERENCES)
    assert all(GLASSES[name].modules == glasses_settings.ABLATIONS[key] for key, name in recipes.ABLATIONS.items())
    for key, name in recipes.DIFFERENCES.items():
        row = glasses_settings.DIFFERENCES[recipes.ROW] if key == recipes.LAYERS else {}
        assert GLASSES[name].modules == {**glasses_settings.DIFFERENCES[key], **row}
    together: dict[str, object] = {}
    for one in recipes.TRAINING_DIFFERENCES.values():
        together |= one
    assert together | {"variant": "released", "validation_by": "item"} == dict(
        recipes.RELEASED_TRAINING, validation_by="item"
    )


def test_jobs_have_the_items_and_settings_of_their_recipe(material: glasses_sets.Material) -> None:
    names = [recipes.model_name("tiny", one, 1) for one in (recipes.SMALL, recipes.RELEASED, recipes.RETRIEVED)]
    small, released, retrieved = (recipes.glasses_job(QUICK, name) for name in names)
    assert len(small.data) == QUICK.glasses.small
    assert len(released.data) == QUICK.glasses.examples
    assert (small.lens_data, small.config.seed, small.config.variant) == (None, 1, "paper")
    assert released.lens_data is not None
    assert np.array_equal(released.lens_data.negated.last, retrieved.data.negated.last)
    assert (modules(16, released.config).lambda_from, modules(16, small.config).lambda_from) == ("row", "pair")
    assert small.identity != released.identity


def test_a_lens_that_attends_to_tokens_learns_from_them(
    model: LoadedModel, material: glasses_sets.Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes.loader, "load", lambda name, profile: model)
    few = dataclasses.replace(QUICK, glasses=dataclasses.replace(QUICK.glasses, examples=24))
    tokens, usual = (
        recipes.glasses_job(few, recipes.model_name("tiny", one, 0)) for one in (recipes.TOKENS, recipes.FULL)
    )
    assert modules(16, tokens.config).softmax_over == "tokens"
    assert usual.data.negated.levels.shape[1] == 3 < tokens.data.negated.levels.shape[1]
    assert tokens.data.negated.levels.shape[1:] == tokens.data.affirmed.levels.shape[1:]
    np.testing.assert_allclose(tokens.data.affirmed.last, usual.data.affirmed.last, atol=1e-5)
    run = Run(tokens.data, tokens.config)
    for stage in ("lens", "joint"):
        assert torch.isfinite(OBJECTIVES[stage][0](run, torch.arange(8), 0.0))


def test_items_are_those_of_the_job(model: LoadedModel, material: glasses_sets.Material) -> None:
    job = recipes.glasses_job(QUICK, recipes.model_name("tiny", recipes.SMALL, 0))
    found = recipes.glasses_items(QUICK, model, recipes.SMALL, 0)
    assert np.array_equal(material.read(found.negated).last, job.data.negated.last)
    assert np.array_equal(found.rows, job.data.rows)
    assert found.negated != recipes.glasses_items(QUICK, model, recipes.SMALL, 1).negated


def test_a_name_without_a_seed_is_one_sentence(material: glasses_sets.Material) -> None:
    with pytest.raises(NegutilError, match="names no seed"):
        recipes.glasses_job(QUICK, f"tiny+{recipes.FULL}/first")


def test_training_by_name_gives_pairs_in_order(
    material: glasses_sets.Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path))
    alone = dataclasses.replace(QUICK, glasses=dataclasses.replace(QUICK.glasses, processes=1))
    names = [recipes.model_name("tiny", one, 0) for one in (recipes.SMALL, recipes.RETRIEVED_SMALL)]
    found = recipes.train_glasses(alone, [*names, names[0]])
    assert [pair.name for pair in found] == [*names, names[0]]
    assert found[0].about["items"] == QUICK.glasses.small
    with pytest.raises(NegutilError, match="no recipe 'clipglasses-other'"):
        recipes.train_glasses(alone, ["tiny+clipglasses-other/seed0"])
