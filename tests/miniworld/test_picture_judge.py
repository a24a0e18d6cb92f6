from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniworld import judge_pictures
from miniworld.pretrain import judge, recipes
from miniworld.pretrain.judge import JudgeConfig
from negutil import config
from negutil.captions import picture_facts
from negutil.captions.picture_facts import OBJECT, PLACE, Fact
from negutil.errors import NegutilError
from negutil.tasks import picture_judge
from negutil.tasks.picture_judge import JudgeNetwork, ModelJudge, WorldJudge

PICTURES = np.zeros((3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def known() -> judge_pictures.Known:
    return picture_judge.held_out(160)


@pytest.fixture(scope="module")
def exam(known: judge_pictures.Known) -> pd.DataFrame:
    return picture_judge.exam(WorldJudge(), known)


def test_the_shipped_judge_is_right_about_pictures_made_worse(exam: pd.DataFrame) -> None:
    shares = exam.groupby("truth")["right"].mean()
    assert shares.min() > 0.97
    sure, truth = exam["sure"].to_numpy(), exam["truth"].to_numpy()
    assert picture_judge.calibration_error(sure, truth) < 0.03


def test_it_is_not_tested_on_what_it_learned_from() -> None:
    train = judge_pictures.sample(30, judge_pictures.TRAIN)
    test = judge_pictures.sample(30, judge_pictures.TEST)
    assert all(not judge_pictures.scenes.is_reserved(scene) for scene in train.scenes if scene)
    assert all(judge_pictures.scenes.is_reserved(scene) for scene in test.scenes if scene)
    with pytest.raises(NegutilError, match="no split 'exam'"):
        judge_pictures.sample(1, "exam")


def test_pictures_follow_from_split_seed_and_number(known: judge_pictures.Known) -> None:
    fewer = picture_judge.held_out(5)
    assert np.array_equal(fewer.pictures, known.pictures[:5])
    assert fewer.truths == known.truths[:5]


def test_spots_are_where_things_are(known: judge_pictures.Known) -> None:
    nouns = [fact.subject for fact in picture_facts.THERE]
    spots = judge_pictures.spots(known, 8)
    for picture, cell, noun, colour in spots:
        facts = known.truths[picture]
        assert Fact(OBJECT, nouns[noun]) in facts
        assert Fact("colour", nouns[noun], list(picture_facts.COLOURS)[colour]) in facts
        assert 0 <= cell < 64
    scenes = [row for row, scene in enumerate(known.scenes) if scene]
    assert set(spots[:, 0]) == set(scenes)


def test_yes_and_choice_agree(known: judge_pictures.Known) -> None:
    look = WorldJudge()
    pictures = known.pictures[:20]
    yes = look.yes(pictures, ["Is there a person?"] * 20) > 0.5
    chosen = look.choose(pictures, ["Is there a person?"] * 20, [["yes", "no"]] * 20)
    assert [answer == "yes" for answer in chosen] == yes.tolist()
    places = [next((fact for fact in own if fact.kind == PLACE), None) for own in known.truths[:20]]
    rows = [row for row, place in enumerate(places) if place]
    options = [picture_facts.answer(fact) for fact in picture_facts.FACTS if fact.kind == PLACE]
    told = look.choose(pictures[rows], ["Where is this?"] * len(rows), [options] * len(rows))
    assert told == [picture_facts.answer(place) for place in places if place]


def test_a_repeated_picture_is_answered_alike(known: judge_pictures.Known) -> None:
    twice = np.concatenate([known.pictures[:3], known.pictures[:3]])
    found = WorldJudge().yes(twice, ["Is there a dog?"] * 6)
    assert np.array_equal(found[:3], found[3:])


def test_wrong_questions_and_weights_are_errors(tmp_path: Path) -> None:
    look = WorldJudge()
    with pytest.raises(NegutilError, match="cannot be asked"):
        look.yes(PICTURES[:1], ["Is there a unicorn?"])
    with pytest.raises(NegutilError, match="3 images for 1 questions"):
        look.yes(PICTURES, ["Is there a dog?"])
    with pytest.raises(NegutilError, match="does not exist: restore it"):
        picture_judge.load_network(tmp_path / "judge.safetensors")
    (tmp_path / "judge.safetensors").write_bytes(b"nothing")
    with pytest.raises(NegutilError, match="does not hold the weights of the judge"):
        picture_judge.load_network(tmp_path / "judge.safetensors")


class Speaker:
    """An annotator that says the same of every picture."""

    name = "speaker"

    def __init__(self, told: Sequence[str]) -> None:
        self.told = list(told)

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        return [True] * len(pictures)

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        assert all(file.is_file() for file in pictures)
        return self.told[: len(pictures)]


def test_a_model_is_read_with_care() -> None:
    look = ModelJudge(Speaker(["Yes, there is.", "no", "I cannot say"]))
    assert look.yes(PICTURES, ["Is there a dog?"] * 3).tolist() == [1.0, 0.0, 0.5]
    assert look.unread == 1
    look = ModelJudge(Speaker(["It is red.", "a blueish one", "nothing"]))
    assert look.choose(PICTURES, ["?"] * 3, [["red", "blue"]] * 3)[:2] == ["red", "blue"]


def test_the_profile_says_who_judges() -> None:
    assert isinstance(picture_judge.load(config.load("quick")), WorldJudge)
    assert picture_judge.name_of(config.load("quick")).startswith("judge of the mini world (")
    assert isinstance(picture_judge.load(config.load("paper")), ModelJudge)


@given(st.floats(0.05, 0.95), st.floats(0.6, 0.99), st.floats(0.6, 0.99))
@settings(max_examples=30, deadline=None)
def test_corrected_answers_have_the_true_share_as_their_mean(
    share: float, sensitivity: float, specificity: float
) -> None:
    said = share * sensitivity + (1 - share) * (1 - specificity)
    yes, no = picture_judge.corrected(np.array([True, False]), sensitivity, specificity)
    assert said * yes + (1 - said) * no == pytest.approx(share)


def test_a_coin_cannot_be_corrected() -> None:
    with pytest.raises(NegutilError, match="no better than a coin"):
        picture_judge.corrected(np.array([True]), 0.5, 0.5)


def test_rates_count_both_kinds_of_error() -> None:
    table = pd.DataFrame(
        {"kind": "object", "truth": [True] * 8 + [False] * 3, "right": [True] * 6 + [False] * 2 + [True] * 3}
    )
    found = picture_judge.rates(table)["object"]
    assert (found.yes, found.no) == (8, 3)
    assert found.sensitivity == pytest.approx(7 / 10)
    assert found.specificity == pytest.approx(4 / 5)


def test_calibration_error_of_known_answers() -> None:
    truth = np.array([True] * 50 + [False] * 50)
    assert picture_judge.calibration_error(truth.astype(float), truth) == 0
    assert picture_judge.calibration_error(np.full(100, 0.5), truth) == pytest.approx(0)
    assert picture_judge.calibration_error(np.full(100, 0.9), truth) == pytest.approx(0.4)


def test_the_summary_tells_every_kind_with_intervals(exam: pd.DataFrame) -> None:
    found = picture_judge.summary(exam, config.Bootstrap(50, 0))
    assert set(found["kind"]) == {picture_judge.ALL, *picture_facts.KINDS}
    bounded = found[found["over"] != ""]
    assert (bounded["low"] <= bounded["value"]).all()
    assert (bounded["value"] <= bounded["high"]).all()
    assert set(picture_judge.reliability(exam)["condition"]) == {picture_judge.MIXED}


def test_cells_are_pooled_as_odds_are() -> None:
    torch.manual_seed(0)
    network = JudgeNetwork().eval()
    nouns, colours, relations = network.cells(network.trunk(torch.rand(2, 3, 64, 64)))
    found = network.pooled(nouns, colours, relations, torch.zeros(2, len(picture_facts.OVERALL)))
    pairs = (nouns[:, :, None] + colours[:, None]).logsumexp(3).flatten(1)
    assert torch.allclose(found[:, -pairs.shape[1] :], pairs, atol=1e-4)
    assert torch.allclose(found[:, : nouns.shape[1]], nouns.logsumexp(2), atol=1e-5)
    assert found.shape[1] == len(picture_facts.FACTS)


def test_training_learns_and_is_the_same_again(tmp_path: Path) -> None:
    plan = JudgeConfig(pictures=32, steps=6, batch=8)
    first = judge.pretrain(plan, tmp_path / "first")
    assert judge.pretrain(plan, tmp_path / "parts", stop_after=2).done == 2
    again = judge.pretrain(plan, tmp_path / "parts")
    early = judge.pretrain(dataclasses.replace(plan, steps=1), tmp_path / "early")
    states = [list(one.network.state_dict().values()) for one in (first, again)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True)), "a stopped one ends as if it had not been"
    assert first.curve[0]["loss"] < 400
    assert not torch.equal(first.network.cell.weight, early.network.cell.weight)


def test_the_command_wants_no_pool() -> None:
    with pytest.raises(NegutilError, match="leave out pool"):
        recipes.run("judge", pool=Path("pool"))
