"""SimpleNeg: the two steps of its judging, ties, the published file, and its argument against recall."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from negutil import config
from negutil.data import simpleneg as files
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles
from negutil.tasks import Report, simpleneg
from negutil.tasks.simpleneg import Items, Query

THERE = {
    "dog": np.array([True, True, True, False, False]),
    "cat": np.array([True, False, False, True, False]),
}
QUERIES = (Query("a dog with no cat", "dog", "cat", "no"), Query("a cat without a dog", "cat", "dog", "without"))
ITEMS = Items(QUERIES, PictureFiles([Path(f"{number}.png") for number in range(5)]), THERE)


def test_a_picture_is_right_where_the_context_is_there_and_the_denied_thing_is_not() -> None:
    np.testing.assert_array_equal(
        ITEMS.right(), [[False, True, True, False, False], [False, False, False, True, False]]
    )
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.3, 0.9, 0.4]])
    found = simpleneg.answers(ITEMS, scores)
    assert found["right"].tolist() == [False, True]
    assert found["share"].tolist() == pytest.approx([0.4, 0.2])
    assert found["context_share"].tolist() == pytest.approx([2 / 3, 1 / 2])


def test_a_scorer_that_gives_all_pictures_one_score_is_never_right() -> None:
    assert not simpleneg.answers(ITEMS, np.zeros((2, 5)))["right"].any()


def test_its_numbers_are_the_first_picture_and_the_mean_of_five() -> None:
    frame = simpleneg.answers(ITEMS, np.array([[0.0, 1, 0, 0, 0], [1.0, 0, 0, 0, 0]]))
    records = {
        each.metric: each.value for each in simpleneg.TASKS[0].records({"SimpleNeg": frame}, Report("e", "m", 50))
    }
    assert records == pytest.approx({"top-1": 0.5, "top-5": 0.3, "top-1 knowing X alone": (2 / 3 + 1 / 2) / 2})
    assert simpleneg.TASKS[0].chance(ITEMS)["SimpleNeg", "top-1"] == pytest.approx(0.3)


def test_queries_are_of_things_that_occur_together_and_apart() -> None:
    made = simpleneg.queries(THERE, seed=1)
    assert {(each.context, each.denied) for each in made} == {("dog", "cat"), ("cat", "dog")}
    assert all(each.context in each.text and each.denied in each.text and each.cue for each in made)
    assert made == simpleneg.queries(THERE, seed=1)


def test_published_photographs_need_a_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coco").mkdir()
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    with pytest.raises(NegutilError, match="annotator"):
        simpleneg.TASKS[0].read(config.load("paper"))


# --------------------------------------------------------------------------------------------------------------------
# The published file and a judge


class Judge:
    """Answers from what each picture shows; says something that cannot be read of the picture "strange"."""

    name = "judge"

    def __init__(self, shown: dict[str, set[str]]) -> None:
        self.shown, self.asked = shown, list[tuple[str, str]]()

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        self.asked += [(path.stem, question) for path, question in zip(pictures, questions, strict=True)]
        return [
            "Hard to say."
            if path.stem == "strange"
            else "Yes."
            if self.shown[path.stem] & set(question.split())
            else "no"
            for path, question in zip(pictures, questions, strict=True)
        ]

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        return [noun in self.shown[path.stem] for path, noun in zip(pictures, nouns, strict=True)]


def write(folder: Path, entries: object) -> Path:
    path = folder / "simpleneg.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_a_judge_is_asked_about_what_is_denied_only_where_the_context_is_there(tmp_path: Path) -> None:
    entries = files.load(write(tmp_path, [["a desk with no lamp", "is a lamp there?", "is a desk there?"]] * 2))
    judge = Judge({"both": {"desk", "lamp"}, "desk": {"desk"}, "neither": set(), "strange": set()})
    first = [[Path("desk.png"), Path("both.png")], [Path("neither.png"), Path("strange.png"), Path("desk.png")]]
    found = simpleneg.by_annotator(judge, entries, first)
    assert found["right"].tolist() == [True, False]
    assert found["share"].tolist() == pytest.approx([1 / 2, 1 / 3])
    assert found["unread"].tolist() == [0, 1]
    assert sorted(name for name, question in judge.asked if "lamp" in question) == ["both", "desk", "desk"]
    with pytest.raises(NegutilError, match="first images"):
        simpleneg.by_annotator(judge, entries, first[:1])


@pytest.mark.parametrize("entries", [[["a", "b"]], [["a", "b", 3]], [], {"a": "b"}])
def test_another_file_is_refused(tmp_path: Path, entries: object) -> None:
    with pytest.raises(NegutilError, match=r"simpleneg\.json"):
        files.load(write(tmp_path, entries))


def test_the_published_files(shared_data: Path) -> None:
    folder = shared_data / "simpleneg"
    if not folder.is_dir():
        pytest.skip(f"SimpleNeg's files are not in {shared_data}")
    found, pairs = files.load(folder / "simpleneg.json"), files.pairs(folder / "train_data.json")
    assert len(found) == 900 and len(pairs) == 3979
    assert found["query"][0] == "a playground without swings"
    assert pairs[0]["negated"].startswith("a man without a red helmet")


# --------------------------------------------------------------------------------------------------------------------
# The argument against recall


def test_pictures_that_satisfy_a_query_count_beside_the_gold_one() -> None:
    satisfied = simpleneg.satisfying([["dog"], ["dog", "cat"], ["unicorn"]], [["cat"], [], []], THERE)
    np.testing.assert_array_equal(satisfied[0], [False, True, True, False, False])
    np.testing.assert_array_equal(satisfied[1], [True, False, False, False, False])
    assert not satisfied[2].any()
    scores = np.array([[0.5, 0.1, 0.9, 0, 0], [0.1, 0.2, 0.3, 0, 0], [0.1, 0.9, 0, 0, 0]])
    found = simpleneg.recall_of_any(scores, [1, 0, 0], satisfied, k=1)
    assert found["others"].tolist() == [1, 0, 0]
    assert found["gold"].tolist() == [False, False, False]
    assert found["any"].tolist() == [True, False, False]
