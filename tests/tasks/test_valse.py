from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import model_files
import pytest
from datasets import Dataset

from miniworld import truth
from miniworld.benchmarks import valse as valse_items
from negutil.captions import english
from negutil.data import valse as valse_file
from negutil.errors import NegutilError
from negutil.models import loader
from negutil.tasks import Report, pairwise, valse

(TASK,) = valse.TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valse")
    valse_items.write(folder, 60, seed=0)
    return folder


@pytest.fixture(scope="module")
def rows(folder: Path) -> Dataset:
    return valse.load(folder)


def test_items_have_the_keys_of_the_published_file(folder: Path, shared_data: Path) -> None:
    ours, published = (json.loads(path.read_text()) for path in (folder / "existence.json", _published(shared_data)))
    kinds = [{key: type(value) for key, value in next(iter(items.values())).items()} for items in (ours, published)]
    assert kinds[0] == kinds[1]


def _published(shared_data: Path) -> Path:
    return shared_data / "valse" / "existence.json"


def test_captions_are_true_and_foils_false(folder: Path, rows: Dataset) -> None:
    scenes = {Path(entry.file_name).name: entry.scene for entry in truth.read(folder)}
    for row in rows:
        (noun,) = english.mentions(row["caption"])
        there = noun in truth.sayable(scenes[row["file_name"]].nouns)
        assert there == (row["negated"] == "foil"), row
        assert (" no " in row["caption"]) == (row["negated"] == "caption")
        assert (" no " in row["foil"]) == (row["negated"] == "foil")
        counted = sum(truth.is_a(name, noun) for name, _ in scenes[row["file_name"]].named())
        if row["caption"].startswith("There are") and there and noun != "scissors":
            assert counted > 1


def test_every_sentence_is_true_as_often_as_false_and_pictures_are_used_once(rows: Dataset) -> None:
    assert Counter(rows["negated"]) == {"caption": 30, "foil": 30}
    assert Counter(rows["caption"]) == Counter(rows["foil"])
    assert len(set(rows["file_name"])) == 60
    rules = {name: frames[TASK.title] for name, frames in TASK.rules(rows).items()}
    assert rules[pairwise.ALWAYS_AFFIRMATIVE]["right"].mean() == 0.5
    assert rules["always negated"]["right"].mean() == 0.5


def test_few_votes_are_wrong(rows: Dataset) -> None:
    votes = [rows[f"votes_{name}"][:] for name in ("caption", "foil", "other")]
    assert {sum(vote) for vote in zip(*votes, strict=True)} == {3}
    assert 0.6 < sum(vote == 3 for vote in votes[0]) / 60 < 0.95


def test_the_same_seed_gives_the_same_items_and_another_others(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        valse_items.write(tmp_path / name, 60, seed)
    first, same, other = (
        (path / "existence.json").read_bytes() for path in (folder, tmp_path / "same", tmp_path / "other")
    )
    assert first == same
    assert first != other


@pytest.mark.parametrize("count", [0, 7])
def test_an_odd_number_of_items_is_a_sentence(tmp_path: Path, count: int) -> None:
    with pytest.raises(NegutilError, match=f"cannot have {count} items: ask for an even number"):
        valse_items.write(tmp_path, count, 0)


def test_a_model_is_judged_over_both_sets_and_by_side(rows: Dataset, tmp_path: Path) -> None:
    model = loader.load_entry(model_files.write(tmp_path))
    frames = TASK.evaluate(model, rows)
    table = frames[TASK.title]
    assert table["item"].tolist() == rows["item"][:]
    assert (table["right"] == (table["true"] > table["false"])).all()
    assert table["valid"].tolist() == [votes >= 2 for votes in rows["votes_caption"]]
    found = {(record.task, record.metric): record for record in TASK.records(frames, Report("e", "m", 100))}
    everything = found["VALSE existence, all items", "pairwise accuracy"]
    sides = [found["VALSE existence, all items", f"pairwise accuracy, {side}"] for side in valse.TYPES.values()]
    assert everything.value == pytest.approx(table["right"].mean())
    assert everything.value == pytest.approx(sum(side.value * side.n for side in sides) / 60)
    validated = found["VALSE existence, validated items", "pairwise accuracy"]
    assert validated.n == table["valid"].sum()
    assert validated.value == pytest.approx(table["right"][table["valid"]].mean())


def test_real_items(shared_data: Path) -> None:
    rows = valse_file.load(_published(shared_data))
    rules = {name: frames[TASK.title] for name, frames in TASK.rules(rows).items()}
    table = rules[pairwise.ALWAYS_AFFIRMATIVE]
    assert (len(table), table["valid"].sum()) == (534, 505)
    by_side = table.groupby("type")["right"].mean()
    assert by_side["negation true"] < 0.02
    assert by_side["negation false"] > 0.98
    assert abs(table["right"].mean() - 0.5) < 0.01
    with pytest.raises(NegutilError, match=r"images"):
        valse.load(shared_data / "valse")
