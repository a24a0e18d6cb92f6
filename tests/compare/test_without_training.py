"""Methods without training: what their numbers are chosen on, what is compared with what, and the two tables beside."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from negutil import config, results
from negutil.captions import phrasing, sentence_forms
from negutil.captions.english import HELD_OUT_NOUNS
from negutil.compare import claims, engine, evaluation, negation_beyond, validation, without_training
from negutil.compare.evaluation import COLUMNS, Evaluation
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import loader, queries
from negutil.models.queries import CAPS, STEERED, SUBTRACTED, SplitQuery, Steered
from negutil.models.scorer import Cosine


@pytest.fixture(scope="module")
def quick() -> Profile:
    return config.load("quick")


@pytest.fixture(scope="module")
def small(quick: Profile) -> Profile:
    """One model and few resamples."""
    return dataclasses.replace(quick, models=("miniclip-s-8",))


def test_numbers_are_chosen_on_pictures_nouns_and_wordings_that_nothing_is_reported_of(quick: Profile) -> None:
    data, test = validation.data(quick), negation_beyond.gallery(quick)
    assert data is not None and test is not None
    reported = set(map(str, test.pictures.paths))
    assert not reported & set(map(str, [*data.pictures.paths, *data.gallery.pictures.paths]))
    assert not {query.excluded for query in data.gallery.queries} & HELD_OUT_NOUNS
    assert not HELD_OUT_NOUNS & set(data.denials)
    assert not any(query.held_out for query in data.gallery.queries)
    assert not any(phrasing.of(text).held_out_form for text in data.texts)
    assert validation.data(config.load("paper")) is None
    assert {
        method: without_training.chosen("openai-vit-b-32", config.load("paper"), method) for method in queries.DEFAULTS
    } == queries.DEFAULTS


def test_the_number_with_the_best_mean_is_chosen(small: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {SUBTRACTED: (0.1, 0.4), CAPS: (0.7, 0.98), STEERED: (0.1,)}
    monkeypatch.setattr(without_training, "GRID", grid)
    data = validation.data(small)
    assert data is not None
    table = without_training.choices(loader.load("miniclip-s-8"), small, data, tuple(grid))
    assert [(row.method, row.number) for row in table.itertuples()] == [(m, n) for m, own in grid.items() for n in own]
    np.testing.assert_allclose(table["score"], table[list(validation.MEASURES)].mean(axis=1))
    for _, own in table.groupby("method"):
        assert own["chosen"].sum() == 1 and own.loc[own["chosen"], "score"].item() == own["score"].max()


def test_steering_learns_from_pairs_that_hold_nothing_out() -> None:
    pairs = sentence_forms.negation_pairs(60)
    assert len(pairs) == 60 and pairs == sentence_forms.negation_pairs(60)
    for affirmed, negated in pairs:
        assert not phrasing.of(affirmed).cue and phrasing.of(negated).cue
        assert not phrasing.of(negated).held_out_noun and not phrasing.of(negated).held_out_form


def test_every_label_is_a_scorer_of_its_kind(small: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_training, "chosen", lambda *given: queries.DEFAULTS.get(given[-1], 0.0))
    model, kinds = loader.load("miniclip-s-8"), {"": Cosine, STEERED: Steered}
    for label in ("", *without_training.labels(small)):
        who = without_training.make(model, label, small)
        assert type(who) is kinds.get(label, SplitQuery)
        assert who.name == (f"miniclip-s-8|{label}" if label else "miniclip-s-8")
    tuned = dataclasses.replace(model, entry=dataclasses.replace(model.entry, name="miniclip-s-8+negationclip/seed0"))
    assert without_training.make(tuned, SUBTRACTED, small).name == f"miniclip-s-8+negationclip/seed0|{SUBTRACTED}"
    with pytest.raises(NegutilError, match="no method 'magic'"):
        without_training.make(model, "magic", small)
    assert not [label for label in without_training.labels(config.load("paper")) if "oracle" in label]


def test_an_oracle_costs_what_it_adds_and_a_method_gains_beyond_it_by_the_rest(small: Profile) -> None:
    """Values by hand: CLIP .2, rules .5, oracle .6: the errors cost .1 and the gain of .3 is .2 more than that."""
    compared = [method for method in without_training.methods(small, "m") if not method.seeds]
    known = {"": 0.2, CAPS: 0.5, f"{CAPS}, oracle split": 0.6}
    columns = {method.values[0]: known.get(method.label, 0.0) for method in compared}
    items = pd.DataFrame({"cluster": range(4), **columns})
    whole = [engine.Group("all", "accuracy", np.ones(4, bool))]
    wanted = without_training._columns("m", compared, small)
    table = engine.table(items, wanted, whole, small.bootstrap).set_index(["method", "kind"])["value"]
    assert table[f"{CAPS}, oracle split", without_training.COST] == pytest.approx(0.1)
    assert 2 * table[CAPS, without_training.BEYOND] == pytest.approx(0.3 - 0.1)
    assert table[CAPS, "gain over CLIP"] == pytest.approx(0.3)


def test_groups_are_those_of_all_benchmarks_with_claims_by_kind_and_simpleneg() -> None:
    rows = [("claims, objects", kind) for kind in ("affirmative", "negated")] + [("SimpleNeg, top-1", "")]
    items = pd.DataFrame(rows, columns=["task", "type"]).reindex(columns=list(COLUMNS)).fillna({"cue": ""})
    items = items.assign(valid=True, held_out_noun=False, held_out_form=False)
    found = {group.title: group.rows.sum() for group in without_training.groups(items) if group.rows.any()}
    assert found == {
        "claims, objects": 2,
        "claims, objects, affirmative": 1,
        "claims, objects, negated": 1,
        "SimpleNeg, top-1": 1,
    }


def test_claims_and_simpleneg_are_a_part_of_the_evaluation(small: Profile) -> None:
    model = loader.load("miniclip-s-8")
    data = evaluation.EvaluationData({}, (), None)
    found = evaluation.evaluate(model, data, small, evaluation.JUDGED)
    assert {"claims, objects", "claims, faces", "SimpleNeg, top-1", "SimpleNeg, top-5"} <= set(found["task"])
    assert found["value"].between(0, 1).all() and not found["value"].isna().any()
    fields = [
        evaluation.cache_fields(Evaluation("miniclip-s-8", part), small, "data", without_training.load)["data"]
        for part in ("", evaluation.JUDGED)
    ]
    assert fields[0] == "data" and fields[1] != "data"


def test_the_errors_of_the_rules_are_counted_by_benchmark_and_cue(small: Profile) -> None:
    table = without_training.split_errors(small)
    wrong = table[table["metric"] == "wrong splits"].set_index("task")["value"]
    assert wrong["all sentences"] < 0.1 and wrong["COCO MCQ, paraphrased"] < 0.02
    assert {"exclusion", "all sentences, no", "claims, objects"} <= set(wrong.index)
    assert len(results.load("quick", without_training.EXPERIMENT, "splits")) == len(table)
    assert without_training.split_errors(config.load("paper")).empty


# --------------------------------------------------------------------------------------------------------------------
# Claims


def test_the_claims_of_the_notebook_are_about_numbers_that_it_writes(small: Profile) -> None:
    stated = claims.of_notebook("10")
    assert stated and all(claim.written_before and not claim.fact for claim in stated)
    compared = without_training.methods(small, "miniclip-s-8")
    kinds = {kind for method in compared for _, kind in method.over} | {without_training.BEYOND}
    known = {method.label for method in compared}
    for condition in (one for claim in stated for one in (*claim.provided, *claim.conditions)):
        assert condition.table in (f"{without_training.EXPERIMENT}/gains", f"{without_training.EXPERIMENT}/levels")
        task, _, label = condition.task.rpartition("/")
        assert label in known | {"CLIP"} and task
        assert condition.metric in kinds or condition.table.endswith("levels")
