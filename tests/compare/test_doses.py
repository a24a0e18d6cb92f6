"""The root cause: the doses, what is compared with what, the items, and claims that can come out either way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miniworld.pretrain import contrastive
from negutil import config, results
from negutil.captions.probe_prompts import ALONE
from negutil.compare import affirmative, claims, doses, engine, evaluation, negationclip
from negutil.compare.claims import NOT_REPLICATED, REPLICATED, Claim
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import loader
from negutil.models.trained import Trained
from negutil.tasks import probe
from negutil.train import recipes

STATED = claims.of_notebook("09")
STAND_INS = doses.Plan("quick", ("miniclip-s-8", "miniclip-b-8"))
"""Models that ship, in place of those of two doses."""


@pytest.fixture(scope="module")
def quick() -> Profile:
    return config.load("quick")


@pytest.fixture(scope="module")
def mini() -> doses.Plan:
    return doses.plan_of("mini")


# --------------------------------------------------------------------------------------------------------------------
# The file


def test_the_doses_are_those_of_the_pretrainings() -> None:
    known = doses.read()
    assert [model.name for model in known.model] == list(contrastive.DOSES)
    for model in known.model:
        recipe, cues = contrastive.RECIPES[model.name], contrastive.DOSES[model.name]
        assert recipe.steps * recipe.batch == known.captions
        assert recipe.architecture == doses.ARCHITECTURE
        share = cues.beside if model.asides else cues.about * contrastive.corpus.SCENES
        assert 100 * share == pytest.approx(model.dose)
        assert (cues.beside > 0) == (cues.elsewhere > 0) == model.asides


def test_every_plan_starts_without_negation_and_quick_has_two_doses() -> None:
    known = doses.read()
    assert [plan.profile for plan in known.plan] == ["mini", "quick"]
    assert all(known.find(plan.models[0]).dose == 0 for plan in known.plan)
    assert len(doses.plan_of("quick").models) == 2 and doses.plan_of("quick").finetuning is None
    assert set(doses.plan_of("mini").models) == {model.name for model in known.model}
    own = doses.plan_of("mini").finetuning
    assert own is not None and {own.base, own.as_many_as} <= set(doses.plan_of("mini").models)
    assert recipes.find(own.method).set == "p1+p2" and recipes.find(own.control).set == "plain"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('models = ["dose-0", "dose-20"]', 'models = ["dose-0", "dose-99"]', "no model 'dose-99'"),
        ("dose = 0.7", "dosis = 0.7", "the setting 'dosis' of model\[1\] is unknown"),
        ("captions = 768_000", "", "the setting 'captions' is missing"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = doses.FILE.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "doses.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(NegutilError, match=said):
        doses.read(tmp_path / "doses.toml")


def test_a_profile_without_doses_has_no_plan() -> None:
    with pytest.raises(NegutilError, match=r"no profile 'photo' .* there are mini, quick"):
        doses.plan_of("photo")


# --------------------------------------------------------------------------------------------------------------------
# What is compared


def test_every_model_is_compared_with_no_negation_and_with_asides(mini: doses.Plan) -> None:
    kinds = {method.label: [kind for _, kind in method.over] for method in doses.methods(mini)}
    assert list(kinds) == [*mini.models, "dose-0+negationclip-passes2", "dose-0+plain-passes2"]
    assert kinds["dose-0"] == []
    assert kinds["dose-20"] == ["gain over dose-0", "gain over asides-20"]
    assert kinds["asides-20"] == ["gain over dose-0"]
    tuned = ["gain over dose-0", "gain over dose-5"]
    assert kinds["dose-0+plain-passes2"] == tuned
    assert kinds["dose-0+negationclip-passes2"] == [*tuned, negationclip.OVER_PLAIN]
    values = {method.label: method.values for method in doses.methods(mini)}
    assert values["dose-0+plain-passes2"][1] == recipes.model_name("dose-0", "plain-passes2", 1)


def test_captions_are_counted_by_kind_and_fine_tuning_meets_no_more_than_pretraining(mini: doses.Plan) -> None:
    about = {"steps": 276, "identity": {"config": {"batch": 128}}}
    own = [Trained(Path(name), about) for name in ("dose-0+negationclip-passes2/seed0", "dose-0+plain-passes2/seed1")]
    counts = {name: tuple(rest) for name, *rest in doses.met(mini, [*own, own[0]]).to_numpy().tolist()}
    assert counts["dose-5"] == (768_000, 38_400, 0)
    assert counts["asides-20"] == (768_000, 0, 153_600)
    assert counts["dose-0+negationclip-passes2"] == (276 * 128, 276 * 128, 0)
    assert counts["dose-0+plain-passes2"] == (276 * 128, 0, 0)
    assert counts["dose-0+negationclip-passes2"][1] <= counts["dose-5"][1]


def test_a_plan_without_fine_tuning_trains_nothing(quick: Profile) -> None:
    assert doses.train(quick, doses.plan_of("quick")) == []


def test_fine_tuning_takes_the_captions_and_seeds_of_the_plan(
    quick: Profile, mini: doses.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def jobs(settings: Profile, base: str, names: tuple[str, ...], seeds: tuple[int, ...]) -> list[object]:
        asked.update(examples=settings.finetuning.examples, base=base, names=names, seeds=seeds)
        return []

    monkeypatch.setattr(recipes, "jobs", jobs)
    doses.train(quick, mini)
    wanted = {"base": "dose-0", "names": ("negationclip-passes2", "plain-passes2"), "seeds": (0, 1, 2)}
    assert asked == {"examples": 0, **wanted}


# --------------------------------------------------------------------------------------------------------------------
# The items


def test_basics_are_the_numbers_of_notebooks_00_and_02(quick: Profile) -> None:
    found = doses.basics("miniclip-s-8", quick).set_index("task")["value"]
    means = found.groupby("task").mean()
    model, scenes = loader.load("miniclip-s-8"), affirmative.scenes_of(quick, 0)
    assert means[doses.FACES] == pytest.approx(affirmative.face_auc(quick, model).value, abs=1e-5)
    there = affirmative.presence_truth(scenes.truth)
    assert len(found[doses.PRESENCE]) == len(there)
    assert len(found[doses.ABSENCE]) == len(there) * len(affirmative.absence_forms())
    assert len(found[doses.RETRIEVAL]) == len(scenes.captions)
    assert means[doses.PRESENCE] > 0.95 and means[doses.ABSENCE] < 0.5
    assert len(found[doses.PROBE]) == len(found[doses.PROBE_AUC]) > len(found[doses.FACES])
    assert found.between(0, 1).all() and not found.isna().any()


def test_the_probe_keeps_negations_apart_from_the_affirmative_prompt(quick: Profile) -> None:
    found = doses.basics("miniclip-s-8", quick)
    by_task = found.groupby("task")["type"].agg(set)
    assert by_task[doses.FACES] == {ALONE}
    assert ALONE not in by_task[doses.PROBE] and {"not", "no"} <= by_task[doses.PROBE]
    assert not by_task[doses.PROBE] & {probe.MEAN, "antonym"}


def test_a_run_writes_levels_and_gains_of_every_ability(quick: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluations themselves are those of other notebooks, and have tests there."""
    known = doses.Doses(1000, tuple(doses.Model(name, 0.0) for name in STAND_INS.models), (STAND_INS,))
    monkeypatch.setattr(doses, "read", lambda: known)
    monkeypatch.setattr(evaluation, "items", lambda _, wanted: _answers(sorted({each.name for each in wanted})))
    monkeypatch.setattr(doses, "basics", lambda name, _: _basics(name))
    found = doses.run(dataclasses.replace(quick, models=()), STAND_INS)
    levels = results.load("quick", doses.EXPERIMENT, "levels").set_index("task")["value"]
    gains = results.load("quick", doses.EXPERIMENT, "gains")
    assert levels["exclusion/miniclip-b-8"] == pytest.approx(0.75)
    assert levels["absence AUC/miniclip-s-8"] == pytest.approx(0.25)
    assert levels["claims, objects, negated/miniclip-b-8"] == pytest.approx(0.75)
    assert set(gains["metric"]) == {"gain over miniclip-s-8"} and set(gains["model"]) == {doses.ARCHITECTURE}
    assert gains["value"].to_numpy() == pytest.approx(0.5)
    assert found.levels(["exclusion"])["model"].tolist() == list(STAND_INS.models)


def _answers(names: list[str]) -> pd.DataFrame:
    """Thirty items of two benchmarks: 0.25 for the smaller model and 0.75 for the larger."""
    rows = [
        (task, str(item), kind)
        for task, kind in (("exclusion", ""), ("claims, objects", "negated"))
        for item in range(30)
    ]
    frame = pd.DataFrame(rows, columns=["task", "item", "type"]).reindex(columns=list(evaluation.COLUMNS))
    frame = frame.assign(cluster=frame["item"], valid=True, cue="", held_out_noun=False, held_out_form=False)
    return frame.assign(**{name: 0.25 if "-s-" in name else 0.75 for name in names})


def _basics(name: str) -> pd.DataFrame:
    rows = [
        (task, str(item), str(item), "", 0.25 if "-s-" in name else 0.75) for task in doses.BASICS for item in range(30)
    ]
    return pd.DataFrame(rows, columns=["task", "item", "cluster", "type", "value"])


# --------------------------------------------------------------------------------------------------------------------
# Claims


def test_there_are_claims_of_the_paper_and_of_our_own() -> None:
    assert len(STATED) == 8
    assert {claim.work for claim in STATED} == {"NegationCLIP", claims.OURS}
    assert all(claim.models == (doses.ARCHITECTURE,) and claim.provided for claim in STATED)


def test_every_condition_is_about_a_number_that_the_notebook_writes(mini: doses.Plan) -> None:
    compared = doses.methods(mini)
    kinds = {method.label: {kind for _, kind in method.over} for method in compared}
    metrics = {**doses.BASICS, "exclusion": "AUC", "COCO MCQ, paraphrased, negative": "accuracy"}
    for condition in (one for claim in STATED for one in (*claim.provided, *claim.conditions)):
        title, _, label = condition.task.rpartition("/")
        assert title and label in kinds
        if condition.table == f"{doses.EXPERIMENT}/levels":
            assert condition.metric == metrics[title]
        else:
            assert condition.table == f"{doses.EXPERIMENT}/gains" and condition.metric in kinds[label]


@pytest.mark.parametrize("wanted", [REPLICATED, NOT_REPLICATED])
@pytest.mark.parametrize("claim", STATED, ids=[claim.id for claim in STATED])
def test_every_claim_can_be_confirmed_and_contradicted(
    claim: Claim, wanted: str, mini: doses.Plan, quick: Profile
) -> None:
    """By tables that the engine makes of per-item values."""
    found = _table(claim, wanted == REPLICATED, mini, quick)
    found.save(quick)
    (verdict,) = claims.judge([claim], "quick", [])
    assert verdict.verdict == wanted


def test_a_model_that_is_blind_confirms_nothing(mini: doses.Plan, quick: Profile) -> None:
    for claim in STATED:
        _table(claim, True, mini, quick, able=0.5).save(quick)
        (verdict,) = claims.judge([claim], "quick", [])
        assert verdict.verdict.startswith("inconclusive: it cannot show"), claim.id


AFFIRMED = (doses.PRESENCE, doses.FACES, doses.RETRIEVAL)
HIGH, LOW = 0.8, 0.15
"""Values of models that have an ability, and that lack it."""


def _table(claim: Claim, confirms: bool, plan: doses.Plan, settings: Profile, able: float = 0.95) -> engine.Findings:
    """What the engine makes of values with which the claim holds, or is contradicted."""
    titles = list(dict.fromkeys(one.task.rpartition("/")[0] for one in (*claim.provided, *claim.conditions)))
    metrics = {one.task.rpartition("/")[0]: one.metric for one in (*claim.conditions, *claim.provided)}
    compared = doses.methods(plan)
    rows = pd.DataFrame([(title, str(item)) for title in titles for item in range(40)], columns=["title", "cluster"])
    noise = np.random.default_rng(0).normal(0, 0.001, len(rows))
    for method in compared:
        level = np.where(rows["title"].isin(AFFIRMED), able, _level(claim.id, method.label, confirms))
        if claim.id == "negation-keeps-affirmative" and method.label == "dose-20" and not confirms:
            level = np.full(len(rows), able - 0.2)
        rows = rows.assign(**{name: level + noise * (1 + len(name)) for name in method.values})
    groups = [engine.Group(title, metrics[title], (rows["title"] == title).to_numpy()) for title in titles]
    table = engine.table(rows, engine.columns(doses.ARCHITECTURE, compared), groups, settings.bootstrap)
    return engine.Findings(engine.Experiment(doses.EXPERIMENT, str, {"": {}}), table, rows)


def _level(claim: str, label: str, confirms: bool) -> float:
    """The value of a model in the abilities that a claim is about."""
    learned = {
        "web-share-is-too-little": ("dose-20",) if confirms else ("dose-0.7", "dose-20"),
        "asides-teach-nothing": ("dose-20",) if confirms else ("asides-20",),
        "negation-keeps-affirmative": (),
        "fine-tuning-teaches-more-per-caption": ("dose-0+negationclip-passes2",) if confirms else ("dose-5",),
    }
    return HIGH if label in learned.get(claim, ("dose-20",) if confirms else ("dose-0",)) else LOW
