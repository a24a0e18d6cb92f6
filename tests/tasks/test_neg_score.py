from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from datasets import Dataset

from negutil.statistics import Floats
from negutil.tasks import neg_score
from negutil.tasks.picture_judge import ALL, Pictures, Rates

NAMES = ("prompt_id", "prompt", "subject_question", "negation_question")
ROWS = (
    (4, "a dog with no cat", "Is there a dog?", "Is there a cat?"),
    (9, "a not red car", "Is there a car?", "Is the car red?"),
)
PROMPTS = Dataset.from_list([dict(zip(NAMES, row, strict=True)) for row in ROWS])


class Sees:
    """A judge that says yes to the questions in ``yes_to`` about pictures whose first pixel is their place in it."""

    name = "sees"

    def __init__(self, *yes_to: set[str]) -> None:
        self.yes_to = yes_to

    def yes(self, pictures: Pictures, questions: Sequence[str]) -> Floats:
        rows = zip(pictures[:, 0, 0, 0], questions, strict=True)
        return np.array([0.9 if question in self.yes_to[place] else 0.1 for place, question in rows])

    def choose(self, pictures: Pictures, questions: Sequence[str], choices: Sequence[Sequence[str]]) -> list[str]:
        raise NotImplementedError


def pictures(count: int) -> Pictures:
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3))


def test_a_picture_scores_by_subject_and_by_what_is_not_there() -> None:
    dog, cat, car = "Is there a dog?", "Is there a cat?", "Is there a car?"
    look = Sees({dog}, {dog, cat}, {cat}, set(), {car})
    found = neg_score.judge(look, PROMPTS, pictures(5), [0, 0, 0, 0, 1], [0, 1, 2, 3, 0])
    assert found[neg_score.SCORE].tolist() == [1, 0, 0, 0, 1]
    assert found[neg_score.SUBJECT].tolist() == [1, 1, 0, 0, 1]
    assert found[neg_score.DENIED].tolist() == [0, 1, 1, 0, 0]
    assert found["prompt_id"].tolist() == [4, 4, 4, 4, 9]
    assert found["kind"].tolist() == ["object"] * 4 + ["attribute"]
    assert set(neg_score.COLUMNS) <= set(found)


def test_corrections_undo_independent_errors() -> None:
    """Of pictures that all show the dog and half of them the cat, a judge with known errors is put right."""
    rates = {"object": Rates(0.9, 0.8, 100, 100), ALL: Rates(0.9, 0.8, 100, 100)}
    rng = np.random.default_rng(0)
    count, cat = 40_000, np.arange(40_000) % 2 == 0
    table = neg_score.judge(Sees({"Is there a dog?"}), PROMPTS, pictures(1), [0], [0]).loc[[0] * count]
    subject = (rng.random(count) < 0.9).astype(float)
    denied = np.where(cat, rng.random(count) < 0.9, rng.random(count) < 0.2).astype(float)
    said = table.assign(
        **{neg_score.SUBJECT: subject, neg_score.DENIED: denied, neg_score.SCORE: subject * (1 - denied)}
    )
    found = neg_score.with_corrections(said, rates)
    assert said[neg_score.SCORE].mean() == pytest.approx(0.9 * 0.45, abs=0.02)
    assert found[f"{neg_score.SCORE}{neg_score.CORRECTED}"].mean() == pytest.approx(0.5, abs=0.02)
    assert found[f"{neg_score.DENIED}{neg_score.CORRECTED}"].mean() == pytest.approx(0.5, abs=0.02)
    assert found[f"{neg_score.SUBJECT}{neg_score.CORRECTED}"].mean() == pytest.approx(1.0, abs=0.02)
