"""Notebook 05 from training to verdict on a very small world with a tiny model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pandas as pd
import pytest

from miniworld.writers import ccneg as ccneg_writer
from negutil import config, results
from negutil.captions import phrasing
from negutil.compare import budgets, claims, evaluation, negationclip, validation
from negutil.compare.engine import Findings
from negutil.compare.evaluation import Evaluation
from negutil.config import Profile, Splits
from negutil.errors import NegutilError
from negutil.models import registry, trained
from negutil.models.trained import Trained
from negutil.plots import negationclip as plots
from negutil.tasks import ccneg, suite
from negutil.train import recipes

PLANNED: dict[str, Any] = {
    "examples": 80,
    "seeds": (0, 1),
    "methods": ("plain", "con-clip", "p1", "rand-p1", "negationclip"),
    "more_methods": (),
    "controls": ("negationclip-leaked",),
    "control_models": ("tiny",),
    "control_seeds": (0,),
    "shares": (0.0, 0.5, 1.0),
    "processes": 1,
    "curves": config.Curves(
        models=("tiny",),
        seeds=(0, 1),
        budgets=(1, 2),
        methods=("plain", "negationclip"),
        shares=(0.95, 1.0),
        share_methods=("negationclip",),
        alphas=(0.0, 0.99),
    ),
}
CURVES = ("plain-passes2", "negationclip-passes2", "negationclip-share0.95", "negationclip-share0.95-passes2")


@pytest.fixture(scope="module")
def settings() -> Profile:
    quick = config.load("quick")
    one = Splits(0, 80, 0)
    sizes: dict[str, Any] = {
        "imagenet": one,
        "caltech101": Splits(0, 0, 80),
        "refcocog": Splits(4, 4, 40),
        "ccneg": Splits(4, 0, 12),
    }
    small: dict[str, Any] = {
        "scenes": Splits(100, 40, 150),
        "voc": Splits(0, 0, 4),
        "clips": Splits(0, 0, 2),
        "shapes": Splits(8, 2, 2),
    }
    world = dataclasses.replace(quick.world, radiographs=Splits(50, 100, 0), **sizes, **small)
    plan = dataclasses.replace(quick.finetuning, **PLANNED)
    return dataclasses.replace(
        quick, models=("tiny",), world=world, bootstrap=config.Bootstrap(100, 0), finetuning=plan
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in ("cache", "results", "weights")}


@pytest.fixture(autouse=True)
def own_folders(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders for this module alone, and a registry with a tiny model."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(folders["cache"]))
    monkeypatch.setenv("NEGUTIL_RESULTS", str(folders["results"]))
    monkeypatch.setattr(ccneg_writer, "POOL", 4)
    file = folders["weights"] / "weights.safetensors"
    entry = model_files.entry(file) if file.exists() else model_files.write(folders["weights"])
    monkeypatch.setattr(registry, "find", lambda name: {"tiny": entry}[name])


@pytest.fixture
def models(settings: Profile) -> list[Trained]:
    return negationclip.train(settings)


@pytest.fixture
def found(settings: Profile, models: list[Trained]) -> Findings:
    return negationclip.run(settings)


def test_every_model_is_trained_once_and_has_its_name(settings: Profile, models: list[Trained]) -> None:
    names = {found.name for found in models}
    assert len(names) == len(models) == 11 + 2 * len((*CURVES, "negfull", "negfull-alpha0"))
    assert {f"tiny+{name}/seed1" for name in CURVES} < names
    assert {"tiny+con-clip/seed1", "tiny+negationclip-leaked/seed0"} <= names
    assert {found.sha256 for found in negationclip.train(settings)} == {found.sha256 for found in models}
    shown = negationclip.learned_from(settings, models)
    rows = ["plain", "con-clip", "p1", "rand-p1", "negationclip", "negationclip-leaked", "negfull"]
    assert shown["model"].tolist() == rows
    assert (shown["steps"] > 0).all()


def test_items_have_one_value_per_model_and_nothing_missing(settings: Profile, found: Findings) -> None:
    items = found.items
    names = [name for method in negationclip.methods_of(settings, "tiny") for name in method.values]
    assert {"tiny", "tiny+negationclip/seed0@0.5", *names} <= set(items.columns)
    assert set(items["task"]) == set(negationclip.METRICS)
    assert not items.duplicated(["task", "item"]).any()
    assert items[names].notna().to_numpy().all()
    assert not np.allclose(items["tiny"], items["tiny+negationclip/seed0"])


def test_what_the_clause_adds_is_the_difference_of_two_answers(found: Findings) -> None:
    own = {task: found.items[found.items["task"] == task]["tiny"].to_numpy() for task in negationclip.METRICS}
    assert (own[evaluation.CLAUSE] == own[suite.REFERRING] - own[suite.BARE]).all()
    assert (own[evaluation.NEGATION] == own[suite.REFERRING] - own[suite.AFFIRMED]).all()


def test_answers_are_read_again_without_any_model(
    settings: Profile, found: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "evaluate", None)
    again = negationclip.run(settings)
    pd.testing.assert_frame_equal(again.items, found.items)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_a_model_that_is_trained_anew_is_evaluated_anew(settings: Profile, found: Findings) -> None:
    def fields(name: str, data: str = "data") -> dict[str, str]:
        return evaluation.cache_fields(Evaluation(name), settings, data, evaluation.load)

    before = fields("tiny+plain/seed0")
    assert before["model"] != fields("tiny+plain/seed1")["model"]
    assert before["model"] != fields("tiny+plain/seed0@0.5")["model"]
    assert before != fields("tiny+plain/seed0", "other data")


def test_retrieval_keeps_one_caption_of_each_picture_and_the_whole_gallery(settings: Profile) -> None:
    tasks = {task.variation.title: task for task in evaluation.prepare(settings).negbench}
    thinned = tasks[evaluation.NEGATED_RETRIEVAL]
    assert thinned.rows.tolist() == list(range(len(thinned.media)))
    assert len(thinned.texts) == len(thinned.media)


def test_levels_gains_and_seeds_are_saved_with_the_published_numbers(settings: Profile, found: Findings) -> None:
    levels, gains, seeds = (
        results.load("quick", negationclip.EXPERIMENT, name) for name in ("levels", "gains", "seeds")
    )
    clip = levels[levels["task"] == f"{suite.REFERRING}/CLIP"].iloc[0]
    own = found.items[found.items["task"] == suite.REFERRING]
    assert clip["value"] == pytest.approx(own["tiny"].mean(), abs=1e-5)
    assert (clip["model"], clip["paper_value"]) == ("tiny", 0.5773)
    mean = own[["tiny+p1/seed0", "tiny+p1/seed1"]].mean(axis=1)
    gain = gains[(gains["task"] == f"{suite.REFERRING}/p1") & (gains["metric"] == "gain over CLIP")].iloc[0]
    assert gain["value"] == pytest.approx((mean - own["tiny"]).mean(), abs=1e-5)
    assert set(gains["metric"]) == {
        *("gain over CLIP", "gain over plain captions", "gain over Rand-P1", "gain over P1", "gain over NegationCLIP"),
    }
    assert set(seeds["seed"]) == {0, 1}


def test_curves_have_a_table_of_their_own_and_the_rule_another(settings: Profile, found: Findings) -> None:
    levels, curves = (results.load("quick", negationclip.EXPERIMENT, name) for name in ("levels", "curves"))
    assert not levels["task"].str.contains("passes|share|alpha").any()
    assert set(curves["task"].str.rpartition("/")[2]) == {*CURVES, "negfull-alpha0"}
    longer = curves[(curves["task"] == f"{suite.COCO}/negationclip-passes2") & curves["seed"].isna()]
    assert set(longer["metric"]) == {"recall@5", "gain over CLIP", "gain over plain captions"}
    recall = found.items[found.items["task"] == suite.COCO]
    own, plain = (
        recall[[f"tiny+{name}-passes2/seed{seed}" for seed in (0, 1)]].to_numpy().mean()
        for name in ("negationclip", "plain")
    )
    gain = longer.set_index("metric")["value"]["gain over plain captions"]
    assert gain == pytest.approx(own - plain, abs=1e-5)
    rule = budgets.choice(settings)
    score = rule[rule["metric"].isin([budgets.SCORE, f"{budgets.RISE}{budgets.SCORE}"])]
    assert score["task"].str.removeprefix("validation split, ").tolist() == ["1 pass", "2 passes", "2 passes minus 1"]
    assert budgets.chosen(rule) in (1, 2)
    saved = results.load("quick", negationclip.EXPERIMENT, budgets.TABLE)
    recalls = saved[saved["metric"].str.endswith(validation.RECALL)]
    assert recalls["n"].tolist() == [len(validation.needed(settings).captions)] * 3


def test_a_curve_begins_with_clip_and_has_each_budget(settings: Profile, found: Findings) -> None:
    curve = budgets.curve(found.table, settings, (suite.COCO,))
    assert curve["line"].tolist() == ["plain captions"] * 3 + ["NegationCLIP"] * 3
    assert curve["at"].tolist() == [0, 1, 2] * 2
    clip = found.items[found.items["task"] == suite.COCO]["tiny"].mean()
    assert curve["value"].iloc[0] == pytest.approx(clip) == curve["value"].iloc[3]
    less = budgets.shares(found.table, settings, (suite.COCO,), "negationclip")
    assert less["line"].tolist() == ["100% of the captions"] * 3 + ["95% of the captions"] * 3
    weights = budgets.alphas(found.table, settings, (suite.COCO, evaluation.MCQ))
    assert weights["at"].tolist() == [0, 0.99] * 2
    figure = plots.budgets(curve, (suite.COCO,))
    assert figure.axes[0].get_xticks().tolist() == [0, 1, 2]
    points = plots.alphas(weights, suite.COCO, evaluation.MCQ)
    assert [text.get_text() for text in points.axes[0].texts] == ["α = 0", "α = 0.99"]


def test_the_validation_queries_deny_nothing_that_is_held_out_for_testing(settings: Profile) -> None:
    asked = validation.needed(settings)
    pictures, captions = asked.pictures, asked.captions
    assert 30 < len(pictures) == len(captions) <= 40
    assert {Path(path).parent.name for path in pictures.paths} == {"val2017"}
    rows = phrasing.table(captions)
    assert (rows["cue"] != "").all() and not rows["held_out_noun"].any() and not rows["held_out_form"].any()


def test_tables_have_a_row_per_model_and_the_published_rows_last(found: Findings) -> None:
    methods = ("plain", "negationclip")
    shown = found.levels(negationclip.TABLE_2, ("", *methods))
    assert shown["model"].tolist()[:3] == ["CLIP", "plain captions", "NegationCLIP"]
    assert set(shown["architecture"][3:]) == {negationclip.PAPER}
    assert shown.iloc[-1][suite.COCO] == "0.680"
    assert found.seeds(negationclip.TABLE_2, methods)[suite.CCNEG].str.count("·").eq(1).all()
    kinds = ("gain over Rand-P1", "gain over something else")
    assert found.differences(negationclip.TABLE_3, kinds)["model"].tolist() == ["P1"]


def test_rules_win_ccneg_one_way_and_lose_it_the_other(settings: Profile, found: Findings) -> None:
    rules = negationclip.rules(settings).set_index(["rule", "title"])["value"]
    assert rules["always affirmative", suite.CCNEG] == 1
    assert rules["always affirmative", ccneg.REVERSED] == rules["always affirmative", ccneg.BOTH] == 0
    assert rules["always affirmative", negationclip.ALL_ITEMS] == 0.5
    beside = negationclip.rules_beside(found, rules.rename("value").reset_index(), ("plain",))
    assert beside["model"].tolist()[-2:] == ["CLIP", "plain captions"]


def test_controls_stand_at_their_places(settings: Profile, found: Findings, models: list[Trained]) -> None:
    curve = negationclip.wise_ft(found.table, (suite.COCO,))
    assert curve["at"].tolist() == [0, 0.5, 1]
    own = found.items[found.items["task"] == suite.COCO]
    assert curve["value"].iloc[0] == pytest.approx(own["tiny"].mean())
    assert curve["value"].iloc[2] == pytest.approx(own["tiny+negationclip/seed0"].mean())
    losses = negationclip.validation(models, ("negationclip", "negationclip-leaked"))
    assert losses["model"].nunique() == 3
    assert losses["loss_on_validation"].notna().all()
    tower = negationclip.text_tower(found.items, settings, "tiny", ("plain",))
    assert tower.groupby("model").size().nunique() == 1
    new = negationclip.held_out(found.table, ("negationclip",))
    assert set(new["factor"]) <= {"nouns", "phrasings"}
    assert evaluation.EXCLUSION in set(new["task"])


def test_a_model_that_was_not_trained_is_asked_for(settings: Profile) -> None:
    with pytest.raises(NegutilError, match="no fine-tuned model 'tiny\\+nothing/seed0'"):
        evaluation.items(settings, [Evaluation("tiny+nothing/seed0")])


def test_every_claim_names_records_that_a_run_writes() -> None:
    methods = {*recipes.RECIPES, *recipes.alphas(config.load("mini")), "negationclip@0.5"}
    titles = {negationclip.ALL_ITEMS, negationclip.VALIDATED, *negationclip.METRICS}
    titles |= {
        f"{task}, {part}" for task in negationclip.SPLIT for _, *parts in negationclip.HELD_OUT for part in parts
    }
    stated = claims.of_notebook("05")
    assert len({claim.id for claim in stated}) == len(stated)
    for condition in (condition for claim in stated for condition in claim.conditions):
        title, _, method = condition.task.rpartition("/")
        assert condition.table in {f"05_negationclip/{name}" for name in ("gains", "levels", "curves")}
        assert method in methods, condition.task
        assert title in titles, condition.task


def test_published_numbers_are_fractions_of_known_benchmarks() -> None:
    known = negationclip.published()
    assert known[negationclip.ALL_ITEMS, recipes.NEGATIONCLIP] == (
        0.8015,
        "NegationCLIP, Table 2: ViT-B/32 | NegationCLIP",
    )
    assert known[evaluation.MCQ, recipes.NEGFULL][0] == 0.544
    assert {method for _, method in known} <= {"", *recipes.RECIPES}
    assert all(0 < value < 1 for value, _ in known.values())


def test_weights_between_two_towers_are_named_by_their_share() -> None:
    assert negationclip.title_of("negationclip@0.5") == "NegationCLIP (0.5)"
    assert negationclip.title_of("") == "CLIP"
    assert trained.is_name("b+m/seed0@0.5")


def test_weights_that_authors_give_out_are_rows_where_their_file_is(
    settings: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = registry.find("tiny")
    entries = {
        "tiny": tiny,
        "there": dataclasses.replace(tiny, name="there"),
        "gone": dataclasses.replace(tiny, name="gone", path="weights/gone.pth"),
        "larger": dataclasses.replace(tiny, name="larger", architecture="ViT-L-14-quickgelu"),
    }
    monkeypatch.setattr(registry, "find", entries.__getitem__)
    plan = dataclasses.replace(settings.finetuning, released=("there", "gone", "larger"))
    methods = negationclip.methods_of(dataclasses.replace(settings, finetuning=plan), "tiny")
    labels = {method.label: method for method in methods}
    assert labels["there"].values == ("there",) and not {"gone", "larger"} & set(labels)
    assert negationclip.title_of("there") == "there, released"
    assert "Skipped: gone." in capsys.readouterr().out


def test_released_weights_of_the_paper_profile_are_registered_and_judged_by_their_own_claims() -> None:
    names = config.load("paper").finetuning.released
    architectures = {registry.entries()[name].architecture for name in names}
    assert architectures == {f"ViT-{size}-quickgelu" for size in ("B-32", "B-16", "L-14", "L-14-336")}
    judged = {one.task.rpartition("/")[2] for claim in claims.read() for one in claim.conditions}
    assert set(names) <= judged
