from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from data_files import complaint, part_of, picture, truncate, write_json

from negutil import data
from negutil.data import valse


def item(number: int, caption: str, foil: str, classes: int, votes: int) -> dict[str, Any]:
    facts = {"image_file": f"v7w_{number}.jpg", "caption": caption, "foil": foil, "classes": classes}
    return {"dataset": "visual7w", **facts, "mturk": {"caption": votes, "foil": 3 - votes, "other": 0}}


ITEMS = {
    "existence_visual7w_1": item(1, "There are no dogs.", "There are dogs.", 0, 3),
    "existence_visual7w_2": item(2, "There are cats.", "There are no cats.", 4, 1),
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for number in (1, 2):
        picture(tmp_path / "images" / f"v7w_{number}.jpg")
    return write_json(tmp_path / "existence.json", ITEMS), tmp_path / "images"


def test_round_trip(files: tuple[Path, Path]) -> None:
    rows = valse.load(*files)
    assert rows["item"][:] == list(ITEMS)
    assert rows["negated"][:] == ["caption", "foil"]
    assert rows["votes_foil"][:] == [0, 2]
    assert rows[0]["image"].size == (12, 8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda items: items["existence_visual7w_2"].pop("foil"), 'entry 1 has no "foil"'),
        (lambda items: items["existence_visual7w_2"]["mturk"].pop("other"), '"mturk": entry 1'),
        (lambda items: items["existence_visual7w_2"].update(classes="4"), "int is needed"),
        (lambda items: items.update(existence_visual7w_3=[]), "entry 2"),
        (lambda items: items.clear(), "no entries"),
    ],
)
def test_bad_items(files: tuple[Path, Path], change: Any, told: str) -> None:
    content = copy.deepcopy(ITEMS)
    change(content)
    message = complaint(valse.load, write_json(files[0], content))
    assert told in message
    assert "existence.json" in message


def test_wrong_kind_truncated_and_missing(files: tuple[Path, Path]) -> None:
    (files[1] / "v7w_2.jpg").unlink()
    assert "1 of 2" in complaint(valse.load, *files)
    assert data.report(part_of(valse.load, *files)).first_missing == "v7w_2.jpg"
    assert "breaks off" in complaint(valse.load, truncate(files[0]))
    assert "a dict is needed" in complaint(valse.load, write_json(files[0], [ITEMS]))


def test_another_piece_is_refused(files: tuple[Path, Path]) -> None:
    content = json.loads(files[0].read_text())
    for row in content.values():
        row["linguistic_phenomena"] = "counting"
    other = write_json(files[0].with_name("counting.json"), content)
    assert "is of VALSE's piece 'counting', and only 'existence' is about negation" in complaint(valse.load, other)


def test_real_file(shared_data: Path) -> None:
    file = shared_data / "valse" / "existence.json"
    everything = valse.load(file)
    valid = everything.filter(lambda votes: votes >= valse.VALID_VOTES, input_columns="votes_caption")
    assert (len(everything), len(valid)) == (534, 505)
    assert Counter(everything["negated"]) == {"caption": 267, "foil": 267}
    assert Counter(valid["negated"]) == {"caption": 256, "foil": 249}
    assert sum(votes == 3 for votes in everything["votes_caption"]) == 410


def test_another_piece_of_valse_is_refused(shared_data: Path) -> None:
    told = complaint(valse.load, shared_data / "bad_input" / "valse_counting.json")
    assert "is of VALSE's piece 'counting', and only 'existence' is about negation" in told
