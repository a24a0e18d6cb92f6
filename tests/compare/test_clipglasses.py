"""Notebook 06: which models are compared, what becomes of their answers, and that every claim has its numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from negutil import config
from negutil.compare import claims, clipglasses, engine, evaluation, glasses_parts, layer_probe, negationclip
from negutil.compare import clipglasses_controls as controls
from negutil.compare.clipglasses import Method
from negutil.compare.engine import Findings
from negutil.config import Bootstrap
from negutil.models import glasses_model, loader, trained
from negutil.plots import clipglasses as plots
from negutil.tasks import ccneg, suite

MINI = config.load("mini")
BASE = MINI.models[-1]
BOOTSTRAP = Bootstrap(50, 0)
FULL = Method(clipglasses.FULL, ("f0", "f1"), (0, 1), (evaluation.ALL,))
CHANGED = Method(controls.MASK, ("f0", "f1"), (0, 1), (evaluation.FEW,), controls.MASK, ((clipglasses.FULL, "less"),))


def items() -> pd.DataFrame:
    """Twelve items of CC-Neg, of its FAR, and of multiple choice; only the first model was evaluated on the last."""
    tasks = (suite.CCNEG, evaluation.FAR, evaluation.SIGNED, evaluation.MCQ)
    names = [f"p{number}" for number in range(12)]
    table = pd.DataFrame([(task, name, name, "") for task in tasks for name in names], columns=evaluation.COLUMNS[:4])
    table = table.assign(valid=True, cue="no", held_out_noun=False, held_out_form=False)
    rng = np.random.default_rng(0)
    values = {name: rng.integers(0, 2, len(table)).astype(float) for name in ("b", "f0", "f1")}
    values |= {f"{name}|{controls.MASK}": rng.random(len(table)) for name in ("f0", "f1")}
    table = table.assign(**values, rule=np.where(table["task"] == suite.CCNEG, 1.0, np.nan))
    table.loc[table["task"] == evaluation.MCQ, f"f0|{controls.MASK}"] = np.nan
    return table


def found() -> pd.DataFrame:
    rows = items()
    wanted = clipglasses.columns("b", [FULL, CHANGED])
    return engine.table(rows, wanted, clipglasses.groups(rows), BOOTSTRAP, seeds_first=True)


def one(table: pd.DataFrame, title: str, method: str, kind: str = "", seed: int | None = None) -> pd.Series:
    own = table[(table["title"] == title) & (table["method"] == method) & (table["kind"] == kind)]
    (row,) = own[own["seed"].isna() if seed is None else own["seed"] == seed].to_dict("records")
    return pd.Series(row)


def test_means_over_seeds_and_differences_are_of_the_same_items() -> None:
    table, known = found(), items()
    own = known[known["task"] == suite.CCNEG]
    mean = own[["f0", "f1"]].mean(axis=1)
    assert one(table, suite.CCNEG, clipglasses.FULL)["value"] == pytest.approx(mean.mean())
    assert one(table, suite.CCNEG, clipglasses.FULL, seed=1)["value"] == pytest.approx(own["f1"].mean())
    gain = one(table, suite.CCNEG, clipglasses.FULL, clipglasses.OVER_CLIP)
    assert gain["value"] == pytest.approx((mean - own["b"]).mean())
    assert gain["low"] <= gain["value"] <= gain["high"]
    other = own[[f"f0|{controls.MASK}", f"f1|{controls.MASK}"]].mean(axis=1)
    assert one(table, suite.CCNEG, controls.MASK, "less")["value"] == pytest.approx((other - mean).mean())


def test_what_was_not_evaluated_has_no_number() -> None:
    table = found()
    assert controls.MASK not in set(table.loc[(table["title"] == evaluation.MCQ) & table["seed"].isna(), "method"])
    assert set(table.loc[table["method"] == clipglasses.RULE, "title"]) == {suite.CCNEG}
    assert one(table, evaluation.FAR, clipglasses.FULL)["metric"] == "logits"


def test_tables_of_the_notebook_name_methods_and_put_printed_numbers_below() -> None:
    findings = Findings(clipglasses.experiment(), found(), items())
    shown = findings.levels((suite.CCNEG, evaluation.MCQ), ("", clipglasses.FULL, clipglasses.RULE))
    assert shown["model"].tolist()[:3] == [
        "CLIP",
        clipglasses.title_of(clipglasses.FULL),
        clipglasses.title_of(clipglasses.RULE),
    ]
    assert shown.iloc[-1][suite.CCNEG] == "0.966"
    assert shown.iloc[-1]["architecture"] == clipglasses.PAPER
    seeds = findings.seeds((suite.CCNEG,), (clipglasses.FULL,))
    assert str(seeds.loc[0, suite.CCNEG]).count("·") == 1
    gained = findings.differences((suite.CCNEG,), (clipglasses.OVER_CLIP, "less"), (clipglasses.FULL, controls.MASK))
    assert gained["difference"].tolist() == [clipglasses.OVER_CLIP, "less"]


def test_every_method_has_a_name_that_can_be_loaded_and_a_title() -> None:
    for base in MINI.models:
        own = clipglasses.methods(MINI, base)
        assert len({method.label for method in own}) == len(own)
        for method in own:
            assert clipglasses.title_of(method.label)
            assert len(method.models) == len(method.seeds)
            for name in method.models:
                assert name == base or (
                    glasses_model.is_name(name) if method.parts != (evaluation.WHOLE,) else trained.NAME.fullmatch(name)
                )
    names = [
        {name for method in clipglasses.methods(MINI, base) for name in method.compared.values} for base in MINI.models
    ]
    assert not names[0] & names[1]


def test_variants_are_of_the_control_models_alone() -> None:
    labels = {base: {method.label for method in clipglasses.methods(MINI, base)} for base in MINI.models}
    assert set(clipglasses.VARIANTS) <= labels[BASE]
    assert not set(clipglasses.VARIANTS) & labels[MINI.models[0]]
    assert set(clipglasses.ABLATIONS) | {clipglasses.FULL} == {name for name, _ in clipglasses.ablations()}


def test_a_row_with_the_true_mask_stands_beside_every_pair_of_glasses_that_is_no_variant() -> None:
    for base in MINI.models:
        every = clipglasses.methods(MINI, base)
        labels = [method.label for method in every]
        worn = [method for method in every if method.parts == (evaluation.ALL,)]
        assert {clipglasses.FULL, clipglasses.RETRIEVED} <= {method.label for method in worn}
        for method in worn:
            place = labels.index(method.label) + 1
            beside = every[place]
            assert beside.label == clipglasses.truly_masked(method.label)
            assert (beside.models, beside.change) == (method.models, controls.TRUE_MASK)
            assert beside.parts == (evaluation.FEW, evaluation.ZERO_SHOT, evaluation.RETRIEVAL)
            assert clipglasses.title_of(beside.label) == f"{clipglasses.title_of(method.label)}, true mask"
        masked = [method.label for method in every if method.change == controls.TRUE_MASK]
        assert masked == [clipglasses.truly_masked(method.label) for method in worn]


def test_margins_are_those_of_table_3_at_both_scales() -> None:
    rows = items()
    left_out = Method(
        "without repulsion weight",
        ("g0", "g1"),
        (0, 1),
        (evaluation.FEW,),
        "",
        ((clipglasses.FULL, clipglasses.OVER_FULL),),
    )
    rows = rows.assign(g0=0.25, g1=0.75)
    wanted = clipglasses.columns(BASE, [FULL, left_out])
    rows = rows.assign(**{BASE: rows["b"]})
    table = engine.table(rows, wanted, clipglasses.groups(rows), BOOTSTRAP, seeds_first=True)
    found = clipglasses.margins(Findings(clipglasses.experiment(), table, rows), MINI)
    assert set(found["title"]) == set(clipglasses.FARS) and set(found["scale"]) == {"own", "100"}
    own = found[(found["method"] == "without repulsion weight") & (found["title"] == evaluation.FAR)]
    own = own.set_index("scale")
    full = rows[rows["task"] == evaluation.FAR][["f0", "f1"]].to_numpy().mean()
    assert own.loc["own", "value"] == pytest.approx(0.5)
    assert own.loc["own", "change"] == pytest.approx(0.5 - full)
    scale = loader.load(BASE).model.logit_scale.exp().item()
    assert own.loc["100", "change"] == pytest.approx((0.5 - full) * 100 / scale)
    assert found.loc[found["method"] == clipglasses.FULL, "change"].isna().all()
    figure = plots.margins(found, "100")
    assert [axis.get_title() for axis in figure.axes] == ["CC-Neg, FAR", "CC-Neg,\nFAR as the code computes it"]


def test_the_classifier_s_accuracy_is_told_by_cue_and_on_affirmative_sentences() -> None:
    sentences = [f"a photo of a cat and dog number {place}" for place in range(20)]
    sentences += [f"there is no cat, number {place}" for place in range(12)]
    sentences += [f"a dog without a hat, number {place}" for place in range(10)] + ["a dog is never here"]
    called = np.array([[0] * 20 + [1] * 12 + [0] * 10 + [1], [0] * 15 + [1] * 5 + [1] * 12 + [1] * 5 + [0] * 5 + [1]])
    found = glasses_parts.accuracies(called, sentences, BOOTSTRAP, over_seeds=False).set_index("task")
    expected = {
        glasses_parts.SENTENCES: (33 / 43 + 33 / 43) / 2,
        glasses_parts.WITHOUT_CUE: (1 + 15 / 20) / 2,
        glasses_parts.WITH_CUE: (13 / 23 + 18 / 23) / 2,
        f"{glasses_parts.WITH_CUE}: no": 1.0,
        f"{glasses_parts.WITH_CUE}: without": 0.25,
    }
    assert found["value"].to_dict() == pytest.approx(expected)
    assert found["n"].tolist() == [43, 20, 23, 12, 10], "a cue of one sentence has no row"
    wider = glasses_parts.accuracies(called, sentences, BOOTSTRAP, over_seeds=True).set_index("task")
    assert wider.loc[glasses_parts.WITHOUT_CUE, "over"] == "seeds and items"
    assert (wider["high"] - wider["low"])[glasses_parts.WITHOUT_CUE] > 2 * (found["high"] - found["low"])[
        glasses_parts.WITHOUT_CUE
    ]


def test_every_claim_is_about_numbers_that_are_written() -> None:
    own = clipglasses.methods(MINI, BASE)
    kinds = {(method.label, kind) for method in own for _, kind in method.over}
    labels = {method.label for method in own}
    for claim in claims.of_notebook("06"):
        for condition in claim.conditions:
            name = condition.table.removeprefix(f"{clipglasses.EXPERIMENT}/")
            title, _, label = condition.task.rpartition("/")
            if name in ("gains", "ablations"):
                matching = {each for each, kind in kinds if kind == condition.metric}
                assert any(each.startswith(label.rstrip("*")) for each in matching), claim.id
                assert all(
                    (each in clipglasses.VARIANTS) == (name == "ablations") for each in matching if each == label
                )
                assert title in {*clipglasses.EVERYTHING, *clipglasses.LOOKING}, claim.id
            elif name == "levels":
                assert label in labels, claim.id
                assert condition.metric == negationclip.METRICS[title], claim.id
            else:
                assert name in ("lambda", "layers"), claim.id


def test_claims_about_layers_and_strengths_use_their_words() -> None:
    lambdas = pd.DataFrame(np.random.default_rng(0).random((4, 4)), columns=list(glasses_parts.STRENGTHS))
    strengths = glasses_parts.lambda_summary(lambdas, lambdas, ["a", "a", "b", "c"], BOOTSTRAP)
    said = layer_probe.pairs(("dog", "cat", "car", "hat"))
    rows = pd.DataFrame(
        {"pair": np.arange(len(said.cues)), "cue": said.cues, "right": 1.0, "negated": 0.5, "other": 0.2}
    )
    rows = pd.concat([rows.assign(layer=name, gap=1.0, seen=1.0) for name in ("layer 1", layer_probe.OUTPUT)])
    known = {"lambda": strengths, "layers": layer_probe.summary(rows, BOOTSTRAP)}
    conditions = [condition for claim in claims.of_notebook("06") for condition in claim.conditions]
    for condition in conditions:
        table = known.get(condition.table.removeprefix(f"{clipglasses.EXPERIMENT}/"))
        if table is not None:
            assert ((table["task"] == condition.task) & (table["metric"] == condition.metric)).any(), condition


def test_printed_numbers_are_fractions_and_far_is_in_logits() -> None:
    known, table_3 = clipglasses.published(), clipglasses.ablations()
    assert known[suite.CCNEG, "con-clip"][0] == 0.997
    assert known[suite.IMAGENET, ""][0] == 0.5387
    assert "Table 1" in known[evaluation.MCQ, clipglasses.RETRIEVED][1]
    assert table_3["without residual gate", clipglasses.FAR][0] == 0.7875
    assert known[suite.CCNEG, "without semantic stream"] == table_3["without semantic stream", clipglasses.ACCURACY]
    assert known[evaluation.FAR, clipglasses.FULL] == table_3[clipglasses.FULL, clipglasses.FAR]
    assert "Table 1" in known[suite.CCNEG, clipglasses.FULL][1]
    assert (evaluation.MCQ, "without semantic stream") not in known
    changes = clipglasses.published_changes().set_index("method")["value"]
    assert changes["without repulsion weight"] == pytest.approx(-0.3282)
    assert clipglasses.logs().shape[0] == 9


def test_both_kinds_of_far_follow_cc_neg_and_the_reversed_task_is_known() -> None:
    assert set(clipglasses.LOOKING) == {suite.CCNEG, ccneg.REVERSED, ccneg.BOTH}
    assert clipglasses.FARS == (evaluation.FAR, evaluation.SIGNED)
    fewer = dataclasses.replace(MINI, glasses=dataclasses.replace(MINI.glasses, seeds=(0,)))
    assert all(len(method.models) == 1 for method in clipglasses.methods(fewer, BASE))


def test_released_pixels_of_every_seed_are_compared_with_the_one_clip_without_mean_and_std() -> None:
    wanted = clipglasses.columns(BASE, clipglasses.methods(MINI, BASE))
    (gain,) = (c for c in wanted if (c.method, c.kind) == (clipglasses.RELEASED_PIXELS, clipglasses.OVER_CLIP))
    assert len(gain.plus) == len(MINI.glasses.seeds)
    assert len(gain.minus) == 1
    (first,) = (
        c for c in wanted if c.method == next(iter(clipglasses.DIFFERENCES)) and c.kind == clipglasses.OVER_FULL
    )
    assert len(first.minus) == 1
    assert not any(column.method == clipglasses.ANY_PIXELS for column in wanted)
