from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from miniworld import scenes
from negutil import config
from negutil.captions import english
from negutil.captions.english import NOUNS
from negutil.compare import affirmative


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


def _tables(presence: float, low: float, high: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    floors = pd.DataFrame({"task": [affirmative.PRESENCE], "model": ["m"], "value": [presence]})
    absence = pd.DataFrame({"model": ["m", "m"], "ci_low": [low, low], "ci_high": [high, 0.4]})
    return floors, absence


@pytest.mark.parametrize(
    ("presence", "low", "high", "expected"),
    [
        (0.98, 0.1, 0.2, ["reached", "replicated"]),
        (0.96, 0.6, 0.8, ["not reached", "not replicated"]),
        (0.97, 0.1, 0.6, ["reached", "inconclusive"]),
    ],
)
def test_verdicts_follow_the_numbers(presence: float, low: float, high: float, expected: list[str]) -> None:
    assert list(affirmative.verdicts(*_tables(presence, low, high))["verdict"]) == expected
