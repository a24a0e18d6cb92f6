"""Recipes of notebook 05: equal numbers of steps, seeded draws, and jobs that a training can start from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import finetune_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negutil import config
from negutil.errors import NegutilError
from negutil.models import trained
from negutil.models.loader import LoadedModel
from negutil.train import recipes, sets
from negutil.train import settings as named
from negutil.train.recipes import RECIPES, Recipe

QUICK = config.load("quick")


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return finetune_files.model(tmp_path / "tiny")


def planned(examples: int) -> config.Profile:
    return dataclasses.replace(QUICK, finetuning=dataclasses.replace(QUICK.finetuning, examples=examples))


def test_every_name_in_the_profiles_is_a_recipe_of_a_known_set() -> None:
    for profile in map(config.load, config.names()):
        plan = profile.finetuning
        trained_on = (*plan.methods, *plan.more_methods, *plan.controls)
        for name in (*trained_on, *recipes.curve(profile), *recipes.alphas(profile)):
            assert recipes.find(name).set in sets.SETS
        assert set(plan.control_models) | set(plan.curves.models) <= set(profile.models)
        assert set(plan.curves.seeds) <= set(plan.seeds) >= set(plan.more_seeds)
    assert all(not recipe.rival or recipe.rival in RECIPES for recipe in RECIPES.values())


def test_an_unknown_recipe_is_named_with_those_that_exist() -> None:
    with pytest.raises(NegutilError, match=r"no recipe 'negclap' \(did you mean 'negcap'\?\); there are plain, con"):
        recipes.find("negclap")


def test_names_of_curves_are_recipes_with_that_one_change() -> None:
    longer = recipes.find("negationclip-share0.1-passes20")
    assert (longer.set, longer.share, dict(longer.changes), longer.rival) == (
        "p1+p2", 0.1, {"epochs": 20}, "negationclip",
    )  # fmt: skip
    assert longer.title == "NegationCLIP, 10% of the captions, 20 passes"
    assert dict(recipes.find("negfull-alpha0").changes) == {"alpha": 0.0}
    assert recipes.find("plain-passes1").title == "plain captions, 1 pass"
    assert recipes.find("negfull-raw-passes5").changes == {"normalise_mcq": False, "epochs": 5}
    for name in ("plain-passes", "plain-passes-1", "nobody-passes2", "plain-epochs2"):
        assert not recipes.is_recipe(name)
        with pytest.raises(NegutilError, match="There is no recipe"):
            recipes.find(name)


def test_a_point_that_a_method_has_anyway_is_that_method() -> None:
    curves = config.Curves(("miniclip-s-8",), (0, 1, 2), (1, 5), ("plain",), (0.1, 1.0), (), ("negationclip",))
    curves = dataclasses.replace(curves, alphas=(0.5, 0.99))
    settings = dataclasses.replace(QUICK, finetuning=dataclasses.replace(QUICK.finetuning, curves=curves))
    assert recipes.curve(settings) == {
        "plain": ("plain", 1.0, 1),
        "plain-passes5": ("plain", 1.0, 5),
        "negationclip-share0.1": ("negationclip", 0.1, 1),
        "negationclip-share0.1-passes5": ("negationclip", 0.1, 5),
    }
    fewer = dataclasses.replace(curves, share_budgets=(5,))
    chosen = dataclasses.replace(settings, finetuning=dataclasses.replace(QUICK.finetuning, curves=fewer))
    assert {*recipes.curve(settings)} - {*recipes.curve(chosen)} == {"negationclip-share0.1"}
    assert recipes.alphas(settings) == {"negfull-alpha0.5": 0.5, "negfull": 0.99}
    assert recipes.on_curves(settings, "miniclip-b-8") == ()
    assert len(recipes.on_curves(settings, "miniclip-s-8")) == 6
    assert recipes.seeds(settings, "plain-passes5") == (0, 1, 2)
    plan = dataclasses.replace(settings.finetuning, seeds=(0, 1, 2), control_seeds=(1,))
    seeds = [
        recipes.seeds(dataclasses.replace(settings, finetuning=plan), name) for name in ("plain", "p1", "negfull-raw")
    ]
    assert seeds == [(0, 1, 2), QUICK.finetuning.more_seeds, (1,)]
    without = dataclasses.replace(settings, finetuning=dataclasses.replace(plan, curves=config.Curves()))
    assert recipes.curve(without) == recipes.alphas(without) == {}


def test_every_method_of_ours_is_as_long_and_keeps_the_same_epoch() -> None:
    methods = {training.method for training in sets.SETS.values()}
    for source in ("mini", "quick"):
        assert len({(own.epochs, own.keep) for own in (named.settings(method, source) for method in methods)}) == 1


@given(available=st.integers(1, 500), wanted=st.integers(0, 500), share=st.floats(0.01, 1), seed=st.integers(0, 9))
def test_a_draw_has_as_many_different_rows_as_wanted_and_there_are(
    available: int, wanted: int, share: float, seed: int
) -> None:
    drawn = recipes.draw(available, wanted, share, seed)
    assert len(drawn) == min(available, max(1, round(share * (wanted or available))))
    assert len(set(drawn)) == len(drawn)
    assert 0 <= drawn.min() <= drawn.max() < available
    assert (drawn == recipes.draw(available, wanted, share, seed)).all()


def test_draws_of_different_seeds_differ() -> None:
    assert (recipes.draw(1000, 100, 1.0, 0) != recipes.draw(1000, 100, 1.0, 1)).any()


@pytest.mark.parametrize(("count", "expected"), [(1000, 2), (500, 4), (100, 20), (900, 2), (5000, 1)])
def test_a_smaller_set_is_passed_over_more_often(count: int, expected: int) -> None:
    assert recipes.epochs(2, 1000, count) == expected


def test_a_job_has_the_drawn_examples_the_changes_and_a_place_under_its_name(model: LoadedModel) -> None:
    settings = planned(32)
    recipe = Recipe("mixed", "mixed", "p1+p2", share=0.5, changes={"original_share": 0.5})
    job = recipes.job(settings, model, recipe, 3, finetune_files.examples())
    assert job.out == trained.folder("tiny+mixed/seed3", "quick")
    assert len(job.examples) == 16
    assert job.config.original_share == 0.5
    assert job.config.seed == 3
    assert job.config.epochs == 2, "half of the captions, so twice the passes of the quick profile"
    again = recipes.job(settings, model, recipe, 3, finetune_files.examples())
    assert again.examples.sha256 == job.examples.sha256
    other = recipes.job(settings, model, recipe, 4, finetune_files.examples())
    assert other.examples.sha256 != job.examples.sha256


def test_a_control_learns_from_captions_that_name_everything() -> None:
    quick = config.load("quick")
    assert recipes.data_of(quick, recipes.find("negationclip")) is quick
    control = recipes.find("negationclip-full")
    full = recipes.data_of(quick, control)
    assert (full.world.full_captions, full.name, control.rival) == (1.0, quick.name, "negationclip")
    assert full.built != quick.built and full.world.scenes == quick.world.scenes


def test_all_examples_are_used_where_no_number_is_set(model: LoadedModel) -> None:
    job = recipes.job(planned(0), model, RECIPES["negclip"], 0, finetune_files.examples())
    assert len(job.examples) == 48
    assert job.config.method == "negclip"


def test_the_control_differs_from_negationclip_in_its_captions_alone() -> None:
    plain, negated = RECIPES[recipes.PLAIN], RECIPES[recipes.NEGATIONCLIP]
    assert sets.SETS[plain.set].method == sets.SETS[negated.set].method
    assert (plain.share, plain.error, dict(plain.changes)) == (negated.share, negated.error, dict(negated.changes))


def test_norms_are_those_of_the_features_before_they_are_normalised(
    model: LoadedModel, session_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(session_cache))
    small = dataclasses.replace(QUICK.world, scenes=dataclasses.replace(QUICK.world.scenes, train=8, val=2, test=2))
    settings = dataclasses.replace(planned(8), world=small, name="few")  # not in the place of the quick world
    gallery = sets.gallery(model, settings)
    norms = sets.lengths(model, settings)
    assert norms.shape == (len(gallery.images),)
    assert (norms > 0).all()
    assert len(np.unique(norms)) > 1
