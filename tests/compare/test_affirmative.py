from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from miniworld import scenes
from negutil import config, results
from negutil.captions import english
from negutil.captions.english import NOUNS
from negutil.compare import affirmative, claims
from negutil.results import Record
from negutil.statistics import Interval


@pytest.fixture(scope="module")
def sampled() -> list[scenes.Scene]:
    return [scenes.sample(random.Random(f"test/{index}")) for index in range(300)]


def test_presence_follows_the_scene(sampled: list[scenes.Scene]) -> None:
    there = affirmative.presence_truth(sampled)
    for index, scene in enumerate(sampled):
        assert {noun for noun, shown in there.items() if shown[index]} - {"person"} == scene.nouns - {"person"}


def test_a_woman_and_a_baby_are_persons(sampled: list[scenes.Scene]) -> None:
    person = affirmative.presence_truth(sampled)["person"]
    for shown, scene in zip(person, sampled, strict=True):
        assert shown == bool(scene.nouns & {"person", "woman", "baby"})


def test_nouns_without_both_kinds_of_pictures_are_left_out(sampled: list[scenes.Scene]) -> None:
    few = affirmative.presence_truth(sampled[:3])
    assert set(few) < set(NOUNS)
    assert all(0 < shown.sum() < 3 for shown in few.values())


def test_sentences_of_absence_name_the_noun_and_nothing_else() -> None:
    for form in affirmative.absence_forms():
        for noun, sentence in zip(NOUNS, affirmative.sentences(form, NOUNS), strict=True):
            assert set(english.mentions(sentence)) == {noun}


def test_scenes_are_held_out_pictures_with_a_true_full_caption() -> None:
    settings = config.load("quick")
    found = affirmative.scenes_of(settings, seed=0)
    other = affirmative.scenes_of(settings, seed=1)
    assert found.pictures.shape[1:] == (64, 64, 3)
    assert len(found.pictures) == len(found.captions) == len(found.truth) == settings.world.scenes.test
    assert not np.array_equal(found.pictures, other.pictures)
    for caption, scene in zip(found.captions, found.truth, strict=True):
        assert set(english.mentions(caption)) <= scene.nouns


@pytest.fixture
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))


@pytest.mark.usefixtures("own_results")
@pytest.mark.parametrize(
    ("presence", "low", "high", "expected"),
    [
        (0.98, 0.1, 0.2, [claims.REPLICATED, claims.REPLICATED]),
        (0.95, 0.6, 0.8, [claims.NOT_REPLICATED, claims.NOT_REPLICATED]),
        (0.975, 0.1, 0.6, [claims.INCONCLUSIVE, claims.INCONCLUSIVE]),
    ],
)
def test_verdicts_follow_whole_intervals(presence: float, low: float, high: float, expected: list[str]) -> None:
    about = {"experiment": affirmative.EXPERIMENT, "model": "m", "metric": "AUC"}
    floor = Interval(presence, presence - 0.008, presence + 0.008, 50, "items")
    results.save([Record.of(floor, task=affirmative.PRESENCE, **about)], "quick", affirmative.EXPERIMENT, "floors")
    forms = {"one": Interval(low, low, high, 50, "items"), "other": Interval(low, low, max(low, 0.4), 50, "items")}
    records = [Record.of(interval, task=task, **about) for task, interval in forms.items()]
    results.save(records, "quick", affirmative.EXPERIMENT, "absence")
    wanted = ("floor-presence", "absence-is-read-as-presence")
    stated = [claim for claim in claims.of_notebook("00") if claim.id in wanted]
    assert [verdict.verdict for verdict in claims.judge(stated, "quick", ["m"])] == expected
