from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from data_files import complaint, write_json
from datasets import Dataset

from miniworld.benchmarks import tifa as tifa_items
from negutil import config
from negutil.captions import picture_facts
from negutil.data import source
from negutil.data import tifa as files
from negutil.errors import NegutilError
from negutil.statistics import Floats
from negutil.tasks import tifa
from negutil.tasks.picture_judge import Pictures, Rates, WorldJudge

ROW = {
    "id": "a",
    "caption": "a red dog",
    "question": "What color is the dog?",
    "choices": ["red", "blue"],
    "answer": "red",
    "element_type": "color",
    "element": "red",
}


class Fixed:
    """A judge that always gives the first choice."""

    name = "fixed"

    def yes(self, pictures: Pictures, questions: Sequence[str]) -> Floats:
        return np.ones(len(pictures))

    def choose(self, pictures: Pictures, questions: Sequence[str], choices: Sequence[Sequence[str]]) -> list[str]:
        assert len(pictures) == len(questions) == len(choices)
        return [options[0] for options in choices]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tifa")
    assert tifa_items.write(folder, 24, seed=0)["captions"] == 24
    return folder


def questions(*changes: dict[str, object]) -> Dataset:
    return Dataset.from_list([{**ROW, **change} for change in changes])


def test_the_files_are_read_as_published(tmp_path: Path) -> None:
    rows = files.load(write_json(tmp_path / "qa.json", [ROW]))
    assert rows[0] == ROW
    captions = files.captions(write_json(tmp_path / "texts.json", [{"id": "a", "caption": "a red dog", "coco": 1}]))
    assert captions[0] == {"id": "a", "caption": "a red dog"}


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "qa.json"
    assert "none of its choices" in complaint(files.load, write_json(path, [{**ROW, "answer": "green"}]))
    assert 'has "choices" of type str' in complaint(files.load, write_json(path, [{**ROW, "choices": "red"}]))
    assert 'has no "element"' in complaint(files.load, write_json(path, [{k: ROW[k] for k in ROW if k != "element"}]))
    twice = [{"id": "a", "caption": "x"}] * 2
    assert "id" in complaint(files.captions, write_json(path, twice))


def test_the_world_writes_the_published_format(made: Path) -> None:
    captions, asked = files.captions(made / files.TEXTS), files.load(made / files.QUESTIONS)
    assert len(captions) == len(set(captions["caption"][:])) == 24
    assert set(asked["id"][:]) == set(captions["id"][:])
    assert set(asked["element_type"][:]) <= {
        "object",
        "animal",
        "human",
        "food",
        "color",
        "location",
        "activity",
        "attribute",
    }
    for row in asked:
        if row["choices"] == ["yes", "no"]:
            assert row["answer"] == "yes"
            picture_facts.fact_of(row["question"])
        else:
            assert len(set(row["choices"])) == 4
            picture_facts.fact_chosen(row["question"], row["answer"])


def test_captions_say_what_is_in_the_picture() -> None:
    for caption, facts, picture in tifa_items.described(12, seed=3):
        assert picture.shape == (64, 64, 3)
        for fact in facts:
            said = picture_facts.FEATURES.get(fact.value, fact.value.rpartition(" ")[2] or fact.subject)
            assert said.split()[-1] in caption or fact.kind == picture_facts.PLACE


def test_real_pictures_score_near_one(made: Path) -> None:
    asked, ids = files.load(made / files.QUESTIONS), files.captions(made / files.TEXTS)["id"][:]
    pictures = np.load(made / tifa_items.PICTURES)
    scores = tifa.by_picture(tifa.judge(WorldJudge(), asked, pictures, ids, [0] * len(ids)))
    assert scores[tifa.SCORE].mean() > 0.95
    wrong = tifa.by_picture(tifa.judge(WorldJudge(), asked, np.roll(pictures, 1, axis=0), ids, [0] * len(ids)))
    assert wrong[tifa.SCORE].mean() < 0.5
    rates = tifa.error_rates(WorldJudge(), asked, pictures, ids)
    assert all(rate.sensitivity > 0.7 for rate in rates.values())


def test_the_score_is_the_mean_over_captions() -> None:
    asked = questions({"id": "a"}, {"id": "a", "answer": "blue"}, {"id": "b"})
    table = tifa.judge(Fixed(), asked, np.zeros((2, 64, 64, 3), np.uint8), ["a", "b"], [7, 8])
    assert table["right"].tolist() == [True, False, True]
    found = tifa.by_picture(table)
    assert dict(zip(found["id"], found[tifa.SCORE], strict=True)) == {"a": 0.5, "b": 1.0}
    assert found["picture_seed"].tolist() == [7, 8]


def test_scores_are_corrected_by_type_of_element() -> None:
    table = tifa.judge(Fixed(), questions({"id": "a"}), np.zeros((1, 64, 64, 3), np.uint8), ["a"], [0])
    rates = {"color": Rates(0.9, 0.8, 10, 10)}
    assert tifa.by_picture(table, rates)[tifa.CORRECTED][0] == pytest.approx((1 - 0.2) / 0.7)


def test_the_folder_is_built_once_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load("quick")
    folder = tifa_items.build(settings, 6)
    assert len(files.captions(folder / files.TEXTS)) == 6
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    with pytest.raises(NegutilError, match="no published data"):
        source.folder(config.load("paper"), "tifa")
    (tmp_path / "tifa").mkdir()
    assert source.folder(config.load("paper"), "tifa") == tmp_path / "tifa"
