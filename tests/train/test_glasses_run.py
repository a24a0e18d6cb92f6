"""Stages of one pair of glasses: what learns in each, that it learns, splits, patience, and going on exactly."""

from __future__ import annotations

import copy
from dataclasses import replace

import glasses_files
import numpy as np
import pandas as pd
import pytest
import torch

from negutil.errors import NegutilError
from negutil.train import glasses as training
from negutil.train.glasses import COLUMNS, LEARNING, Run, modules, split
from negutil.train.glasses_sets import GlassesData
from negutil.train.loop import train
from negutil.train.settings import STAGES

RELEASED = {"variant": "released", "distractors": "unrelated", "fourth_term": False, "delta": (1.0, 1.0)}


def finish(run: Run) -> Run:
    train(run)
    return run


def curve(run: Run) -> pd.DataFrame:
    return pd.DataFrame(run.curve, columns=list(COLUMNS))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("changes", [{}, RELEASED])
def test_both_sets_and_variants_learn_in_every_stage(hard: bool, changes: dict[str, object]) -> None:
    settings = glasses_files.config(**changes)
    found = curve(finish(Run(glasses_files.data(hard=hard), settings)))
    assert found.groupby("stage", sort=False).size().to_dict() == {"gate": 4, "lens": 3, "frame": 3, "joint": 3}
    assert found["validation_loss"].notna().all()
    assert found.loc[found["epoch"] > 0, "loss"].notna().all()
    lens = found[found["stage"] == "lens"]
    assert lens["validation_score"].iloc[-1] > lens["validation_score"].iloc[0], "nearer to the object"
    gate = found[found["stage"] == "gate"]
    assert gate["validation_loss"].iloc[-1] < gate["validation_loss"].iloc[0]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_changes_its_own_parts_alone(stage: str) -> None:
    run = Run(glasses_files.data(), glasses_files.CONFIG)
    run.stage = STAGES.index(stage)
    before = copy.deepcopy(run.glasses.state_dict())
    glasses_files.advance(run)
    changed = {
        name.split(".")[0] for name, value in run.glasses.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == set(LEARNING[stage])


@pytest.mark.parametrize("stop", [1, 4, 6, 9])
def test_going_on_from_a_checkpoint_ends_exactly_as_without_a_stop(stop: int) -> None:
    settings, data = glasses_files.CONFIG, glasses_files.data(hard=True)
    whole = finish(Run(data, settings))
    first = Run(data, settings)
    for _ in range(stop):
        glasses_files.advance(first)
    content = copy.deepcopy(first.state())
    torch.manual_seed(99)
    second = Run(data, settings)
    second.restore(content)
    finish(second)
    assert second.curve == whole.curve
    assert all(torch.equal(one, second.glasses.state_dict()[name]) for name, one in whole.glasses.state_dict().items())


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_texts_that_the_mask_lets_through_have_clips_scores_and_others_the_glasses(variant: str) -> None:
    run = Run(glasses_files.data(), glasses_files.config(variant=variant))
    glasses, data = run.glasses.eval(), run.data["joint"]
    last, levels = data.negated[0][:8], data.negated[1][:8]
    partners, images = torch.arange(8), data.images[:8]
    with torch.no_grad():
        last_bias = dict(glasses.gate.named_parameters())["layers.4.bias"]
        last_bias.sub_(glasses.gate(last).median())
        assert 0 < glasses.masked(last).sum() < 8
        absent = glasses.absent(last, levels)
        found = training._scores(glasses, (last, levels), images, absent, partners)
        wanted = glasses(last, levels, images, partners=partners)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_stage_1_can_learn_from_another_set() -> None:
    data, other = glasses_files.data(hard=True), glasses_files.data(seed=5)
    own, foreign = Run(data, glasses_files.CONFIG), Run(data, glasses_files.CONFIG, other)
    for run in (own, foreign):
        run.stage = STAGES.index("lens")
        glasses_files.advance(run)
    assert own.curve != foreign.curve
    alone = Run(other, glasses_files.CONFIG)
    alone.stage = STAGES.index("lens")
    glasses_files.advance(alone)
    assert alone.curve == foreign.curve


@pytest.mark.parametrize(("by", "disjoint"), [("image", True), ("item", False)])
def test_parts_share_pictures_only_where_the_split_is_by_item(by: str, disjoint: bool) -> None:
    data = glasses_files.data(128, 32)
    train, validation = split(data, glasses_files.config(validation_by=by), "lens")
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(len(data)))
    shared = np.intersect1d(data.rows[train], data.rows[validation])
    assert (len(shared) == 0) is disjoint
    assert len(validation) == pytest.approx(0.25 * len(data), abs=1)


def test_the_best_epoch_stays_and_patience_ends_a_stage() -> None:
    restless = replace(glasses_files.STAGE, lr=3.0, epochs=9, patience=2, schedule="constant")
    run = Run(glasses_files.data(), glasses_files.config(gate=restless))
    while run.name == "gate":
        glasses_files.advance(run)
    found = curve(run)
    losses = found.loc[(found["stage"] == "gate") & (found["epoch"] > 0), "validation_loss"]
    assert len(losses) == losses.to_numpy().argmin() + 1 + 2 or len(losses) == 9
    run.stage = 0
    assert run.validate()[0] == pytest.approx(losses.min(), rel=1e-5)


def test_the_last_epoch_stays_where_it_is_asked_for() -> None:
    gate = replace(glasses_files.STAGE, lr=1.0, epochs=4, keep="last")
    run = Run(glasses_files.data(), glasses_files.config(gate=gate))
    while run.name == "gate":
        glasses_files.advance(run)
    last = curve(run).query("stage == 'gate'")["validation_loss"].iloc[-1]
    run.stage = 0
    assert run.validate()[0] == pytest.approx(last, rel=1e-5)


def test_a_seed_is_all_that_chance_depends_on() -> None:
    data = glasses_files.data(hard=True)
    runs = [finish(Run(data, glasses_files.config(seed=seed))) for seed in (3, 3, 4)]
    assert runs[0].curve == runs[1].curve
    assert runs[0].curve != runs[2].curve


def test_modules_are_those_of_the_variant_with_changes() -> None:
    assert modules(16, glasses_files.config(variant="released")).lambda_from == "row"
    assert modules(16, glasses_files.config(modules={"gate": "scalar"})).gate == "scalar"


def test_too_few_items_and_broken_losses_are_one_sentence() -> None:
    with pytest.raises(NegutilError, match="leave 0 to validate"):
        split(glasses_files.data(1, 1), glasses_files.CONFIG, "lens")
    broken = _broken(glasses_files.data())
    run = Run(broken, glasses_files.CONFIG)
    with pytest.raises(NegutilError, match="loss of stage 'gate' is nan at step 0; lower `lr`"):
        glasses_files.advance(run)


def _broken(data: GlassesData) -> GlassesData:
    return replace(data, sentences=np.full_like(data.sentences, np.nan))
