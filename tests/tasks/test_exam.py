"""Generative models at the exam: shuffled letters, claims, replies that cannot be read, and intervals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chat_server import Act, completion, serve
from PIL import Image
from sklearn.metrics import accuracy_score, recall_score

from miniworld.annotator import ErrorRates, World, WorldAnnotator
from negutil import paths, results
from negutil.captions import annotators, prompts, statements
from negutil.captions.negbench_files import Variation
from negutil.captions.statements import Statement
from negutil.errors import NegutilError
from negutil.tasks import exam
from negutil.tasks.negbench import Items, Queries, Questions

NOUNS = ("dog", "cat", "hat", "car", "tree", "fish")
COUNT = 120


class Saying:
    """A model that says the same of every picture, or what ``rule`` makes of the question."""

    name = "saying"

    def __init__(self, said: str) -> None:
        self.said = said
        self.asked: list[str] = []

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        return [None] * len(nouns)

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        self.asked += questions
        return [self.said] * len(questions)


def questions() -> tuple[dict[str, set[str]], list[Path], list[list[str]], list[str]]:
    """Pictures with three things each, and NegBench's four options about them with the right one first."""
    things, options, types = {}, [], []
    for index in range(COUNT):
        rng = random.Random(f"exam {index}")
        a, b, c, gone = rng.sample(NOUNS, 4)
        things[f"{index}.jpg"] = {a, b, c}
        kind = ("positive", "negative", "hybrid")[index % 3]
        right = {
            "positive": Statement((a, b)),
            "negative": Statement((), (gone,)),
            "hybrid": Statement((b,), (gone,)),
        }[kind]
        wrong = [Statement((gone,), (a,)), Statement((gone,)), Statement((), (b,))]
        options.append([statements.template(said) for said in (right, *wrong)])
        types.append(kind)
    return things, [Path("/x") / name for name in things], options, types


THINGS, PICTURES, OPTIONS, TYPES = questions()


def world(rate: float = 0.0) -> WorldAnnotator:
    return WorldAnnotator(THINGS, World(errors=ErrorRates(answer=rate)))


def test_whoever_knows_the_truth_gets_everything_right() -> None:
    items = exam.choices(world(), PICTURES, OPTIONS, [0] * COUNT, TYPES)
    assert items["right"].all() and items["parsed"].all()
    assert list(items["type"]) == TYPES
    found = exam.accuracy(items)
    assert set(found) == {"total", "positive", "negative", "hybrid", "macro", "unread"}
    assert (found["total"].value, found["macro"].value, found["unread"].value) == (1.0, 1.0, 0.0)
    assert found["total"].low < 1


def test_always_the_same_letter_is_chance_because_options_are_shuffled() -> None:
    always = Saying("A")
    items = exam.choices(always, PICTURES, OPTIONS, [0] * COUNT, order_seed=3)
    assert 0.1 < items["right"].mean() < 0.4
    for asked, order, chosen, texts in zip(always.asked, items["order"], items["chosen"], OPTIONS, strict=True):
        assert prompts.options_of(asked) == [texts[int(index)] for index in order]
        assert chosen == int(order[0])
    again = exam.choices(always, PICTURES, OPTIONS, [0] * COUNT, order_seed=3)
    pd.testing.assert_frame_equal(items, again)
    other = exam.choices(always, PICTURES, OPTIONS, [0] * COUNT, order_seed=4)
    assert list(other["order"]) != list(items["order"])
    assert set(map(frozenset, items["order"])) == {frozenset("0123")}


def test_a_reply_that_cannot_be_read_is_wrong_and_counted() -> None:
    items = exam.choices(Saying("A dog, I think."), PICTURES, OPTIONS, [0] * COUNT, TYPES)
    assert not items["right"].any() and not items["parsed"].any()
    assert (items["chosen"] == exam.UNREAD).all()
    found = exam.accuracy(items)
    assert (found["total"].value, found["unread"].value) == (0.0, 1.0)
    told = exam.choices(Saying("The answer is B."), PICTURES, OPTIONS, [0] * COUNT)
    assert told["parsed"].all()
    assert not exam.choices(Saying("The answer is B."), PICTURES, OPTIONS, [0] * COUNT, strict=True)["parsed"].any()


VARIATION = Variation("own", "MCQ", "templated", "own.csv", "")


def of_file(media: Sequence[Path] = PICTURES) -> Questions:
    """The questions as those of a file, each about its own picture."""
    rows, names = np.arange(COUNT), tuple(path.name for path in media)
    return Questions(VARIATION, tuple(media), names, rows, OPTIONS, np.zeros(COUNT, np.int64), TYPES)


def test_the_questions_of_a_file_are_asked_by_letter_or_one_by_one() -> None:
    by_letter = exam.ask(world(0.3), of_file(), order_seed=3)
    expected = exam.choices(world(0.3), PICTURES, OPTIONS, [0] * COUNT, TYPES, order_seed=3)
    pd.testing.assert_frame_equal(by_letter, expected)
    one_by_one = exam.ask(world(), of_file(), one_by_one=True)
    assert one_by_one["claim"].tolist() == [text for texts in OPTIONS for text in texts]
    assert one_by_one["correct"].tolist() == [1, 0, 0, 0] * COUNT
    assert one_by_one["type"].tolist() == ["true", "false", "false", "false"] * COUNT
    assert one_by_one["right"].all()


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        (Queries(VARIATION, (Path("0.jpg"),), ("0.jpg",), np.zeros(1, np.int64), ["no dog"]), "is a retrieval file"),
        (of_file([path.with_suffix(".mp4") for path in PICTURES]), "asks about clips"),
    ],
)
def test_files_without_options_or_pictures_are_refused(items: Items, problem: str) -> None:
    with pytest.raises(NegutilError, match=problem):
        exam.ask(Saying("A"), items)


def claims() -> tuple[list[str], list[bool], list[str]]:
    """One claim for each picture, true or false, affirmative or negated, in all four combinations."""
    texts, truths, types = [], [], []
    for index, picture in enumerate(PICTURES):
        there = sorted(THINGS[picture.name])[0]
        gone = next(noun for noun in NOUNS if noun not in THINGS[picture.name])
        truth, negated = index % 2 == 0, index % 4 >= 2
        noun = there if truth != negated else gone
        texts.append(statements.template(Statement((), (noun,)) if negated else Statement((noun,))))
        truths.append(truth)
        types.append("negated" if negated else "affirmative")
    return texts, truths, types


def test_claims_against_scikit_learn() -> None:
    texts, truths, types = claims()
    items = exam.claims(world(0.3), PICTURES, texts, truths, types)
    found = exam.accuracy(items, resamples=200)
    assert found["total"].value == pytest.approx(accuracy_score(truths, items["chosen"]))
    for kind in ("affirmative", "negated"):
        chosen = items[items["type"] == kind]
        assert found[kind].value == pytest.approx(accuracy_score(chosen["correct"], chosen["chosen"]))
    assert found["macro"].value == pytest.approx((found["affirmative"].value + found["negated"].value) / 2)
    assert found["yes"].value == pytest.approx((items["chosen"] == 1).mean())
    assert recall_score(truths, items["chosen"]) == items[items["correct"] == 1]["right"].mean()
    assert 0.6 < found["total"].value < 0.8
    assert exam.claims(world(), PICTURES, texts, truths)["right"].all()


def test_whoever_says_yes_to_everything_is_seen_through() -> None:
    texts, truths, types = claims()
    found = exam.accuracy(exam.claims(Saying("Yes!"), PICTURES, texts, truths, types))
    assert (found["total"].value, found["yes"].value, found["unread"].value) == (0.5, 1.0, 0.0)
    unread = exam.accuracy(exam.claims(Saying("Maybe"), PICTURES, texts, truths, types))
    assert (unread["total"].value, unread["yes"].value, unread["unread"].value) == (0.0, 0.0, 1.0)


def test_questions_about_one_picture_are_drawn_together() -> None:
    texts, truths, _ = claims()
    items = exam.claims(world(0.3), PICTURES * 4, texts * 4, truths * 4)
    alone = exam.accuracy(items, resamples=300)["total"]
    together = exam.accuracy(items, items["picture"], resamples=300)["total"]
    assert together.over == "clusters" and alone.over == "items"
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_per_item_results_can_be_kept() -> None:
    items = exam.choices(world(0.5), PICTURES, OPTIONS, np.zeros(COUNT, int).tolist(), TYPES)
    results.save_items(items, "mini", "03_negbench", "exam")
    pd.testing.assert_frame_equal(
        pd.read_parquet(paths.results("mini") / "03_negbench" / "exam.parquet"), items, check_dtype=False
    )


def test_a_model_behind_an_endpoint_sits_the_exam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pictures = []
    for index, colour in enumerate(("red", "blue", "white")):
        pictures.append(tmp_path / f"{index}.png")
        Image.new("RGB", (4, 4), colour).save(pictures[-1])

    def behave(asked: str, attempt: int) -> Act:
        options = prompts.options_of(asked)
        at = next(index for index, text in enumerate(options) if "no hat" in text)
        said = f"{'ABCD'[at]}." if "fish" not in asked else "Hard to say"
        return Act(429, headers={"Retry-After": "0"}) if attempt == 0 else Act(body=completion(said))

    options = [["no hat", "a hat", f"a {noun}", "a dog"] for noun in ("cat", "fish", "car")]
    with serve(behave) as server:
        model = annotators.build({"kind": "endpoint", "url": server.url, "model": "m", "first_wait": 0.01})
        items = exam.choices(model, pictures, options, [0, 0, 0])
    assert items["right"].tolist() == [True, False, True]
    assert items["chosen"].tolist() == [0, exam.UNREAD, 0]
    assert items["reply"][1] == "Hard to say"


@pytest.mark.parametrize(
    ("pictures", "options", "correct", "problem"),
    [
        (0, [], [], "0 images"),
        (1, [["a", "b"], ["a", "b"]], [0, 0], "1 images, 2 questions"),
        (2, [["a", "b"], ["a"]], [0, 0], "Question 1 has 1 options"),
        (2, [["a", "b"], ["a", "b"]], [0, 2], "Question 1 has 2 options, 2 right"),
    ],
)
def test_columns_that_do_not_fit_are_refused(pictures: int, options: list, correct: list, problem: str) -> None:
    with pytest.raises(NegutilError, match=problem):
        exam.choices(Saying("A"), PICTURES[:pictures], options, correct)
