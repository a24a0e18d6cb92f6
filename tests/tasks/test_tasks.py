from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset

from negutil import config, tasks
from negutil.captions.negbench_files import PLAIN, VARIATIONS
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.fetch import catalogue
from negutil.tasks import Report, pairwise, suite
from negutil.tasks.pairwise import Pairs

FILE = """
from negutil.tasks.pairwise import Pairs
class Own(Pairs):
    title = "{title}"
    def read(self, settings): return [1]
    def pairs(self, rows): return [("no cat", "no dog")]
TASKS = (Own(),)
"""


class Small(Pairs):
    """Four pairs about two pictures, of two kinds."""

    title = "small"

    def read(self, settings: Profile) -> Dataset:
        return Dataset.from_dict({"file_name": ["a.png", "a.png", "b.png", "b.png"]})

    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        return [("a cat", "no cat"), ("no dog", "a dog"), ("a cat", "no cat"), ("a bear", "no bear")]

    def types(self, rows: Dataset) -> list[str]:
        return ["says", "denies", "says", "says"]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder beside the package's own."""
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    tasks.everything.cache_clear()
    yield tmp_path
    tasks.everything.cache_clear()


@pytest.fixture
def rows() -> Dataset:
    return Small().read(config.load("quick"))


def test_a_file_in_the_room_is_a_task_of_the_suite(room: Path) -> None:
    (room / "one_of_my_own.py").write_text(FILE.format(title="my own"), encoding="utf-8")
    assert tasks.find()["my own"].metric == pairwise.METRIC
    assert suite.names() == (*suite.TITLES, "my own")
    data = suite.prepare(config.load("quick"), ["my own"])
    assert suite.texts(data) == ["no cat", "no dog"]
    assert suite.chance(data) == {"my own": pairwise.CHANCE}


def test_our_own_benchmarks_come_through_the_same_door() -> None:
    known = tasks.find()
    assert {*suite.TITLES, *(variation.title for variation in (*PLAIN, *VARIATIONS))} <= set(known)
    assert set(tasks.modules()) >= {f"negutil.tasks.{name}" for name in ("ccneg", "negbench", "valse", "zero_shot")}
    assert all(title == task.title for title, task in known.items())


def test_one_list_has_all_benchmarks() -> None:
    table = tasks.listing().set_index("title")
    assert set(tasks.find()) < set(table.index)
    files = {"Exclusion": "exclusion", "Claims true or false": "true_false", "Affirmation bias": "affirmation_bias"}
    files |= {"Binary probe": "probe", "Neg Score": "neg_score", "TIFA": "tifa", "VALSE existence": "valse"}
    files |= {"PhraseCut": "segmentation", "RefCOCOg (Neg)": "segmentation", "COCO MCQ, paraphrased": "negbench"}
    assert table["file"][list(files)].tolist() == [f"{name}.py" for name in files.values()]
    assert all(text for column in ("metric", "counts", "guess") for text in table[column])
    known = {"", *catalogue.entries()}
    assert set(table["data"]) <= known


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"without_any": FILE.format(title="t").partition("TASKS")[0]}, "without_any names no task"),
        (
            {"first_twin": FILE.format(title="t"), "second_twin": FILE.format(title="t")},
            "second_twin has the title 't'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(files: dict[str, str], told: str, room: Path) -> None:
    for name, content in files.items():
        (room / f"{name}.py").write_text(content, encoding="utf-8")
    with pytest.raises(NegutilError, match=told):
        tasks.find()


def test_rules_answer_every_pair_and_are_counted_by_type(rows: Dataset) -> None:
    found = Small().rules(rows)
    affirmative = tasks.checked(found[pairwise.ALWAYS_AFFIRMATIVE])["small"]
    assert affirmative["right"].tolist() == [True, False, True, True]
    assert affirmative["cluster"].tolist() == rows["file_name"][:]
    records = {record.metric: record for record in Small().records({"small": affirmative}, Report("e", "rule", 50))}
    assert list(records) == [pairwise.METRIC, f"{pairwise.METRIC}, denies", f"{pairwise.METRIC}, says"]
    whole = records[pairwise.METRIC]
    assert (whole.value, whole.n, whole.ci_over) == (0.75, 4, "clusters")


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"item": ["1"], "cluster": ["a"], "right": [True]}), "lack the column 'type'"),
        (pd.DataFrame(columns=list(tasks.NEEDED)), "There are no answers"),
        (pd.DataFrame({name: ["1", "1"] for name in tasks.NEEDED}), "have the item '1' twice"),
    ],
)
def test_answers_without_what_is_needed_are_an_error(frame: pd.DataFrame, told: str) -> None:
    with pytest.raises(NegutilError, match=told):
        tasks.checked({"small": frame})


def test_a_record_has_the_title_of_its_task(rows: Dataset) -> None:
    (first, *_) = Small().records(Small().rules(rows)["shorter"], Report("e", "m", 50))
    assert (first.task, first.experiment, first.model) == ("small", "e", "m")
