"""Hard negatives: the pictures of a pair differ by one noun alone, and every sentence is true where it should be."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from miniworld import scenes, truth
from miniworld.benchmarks import hardneg
from miniworld.benchmarks.hardneg import Pair
from negutil.captions import english, negbench, statements
from negutil.captions.statements import Grammar
from negutil.data import negbench as reader
from negutil.errors import NegutilError

COUNT = 25


@pytest.fixture(scope="module")
def drawn() -> list[Pair]:
    return hardneg.pairs(COUNT)


def test_one_noun_is_taken_away_and_nothing_else(drawn: list[Pair]) -> None:
    for pair in drawn:
        assert scenes.without(pair.positive, pair.removed) == pair.negative
        assert pair.kept in pair.positive.nouns and pair.kept in pair.negative.nouns
        assert pair.removed in truth.sayable(pair.positive.nouns)
        assert pair.removed not in truth.sayable(pair.negative.nouns)


def test_both_scenes_are_kept_from_training_and_all_pairs_differ(drawn: list[Pair]) -> None:
    assert all(scenes.is_reserved(pair.positive) and scenes.is_reserved(pair.negative) for pair in drawn)
    assert len({scenes.draw(pair.positive).tobytes() for pair in drawn}) == COUNT


def test_fewer_pairs_are_the_first_of_more(drawn: list[Pair]) -> None:
    assert hardneg.pairs(4) == drawn[:4]
    assert hardneg.pairs(4, seed=1) != drawn[:4]


def test_pictures_are_written_with_their_truth(drawn: list[Pair], tmp_path: Path) -> None:
    hardneg.write_pictures(tmp_path, drawn[:5])
    known = truth.read(tmp_path)
    expected = [row for pair in drawn[:5] for row in zip(pair.names, (pair.positive, pair.negative), strict=True)]
    assert [(row.file_name, row.scene) for row in known] == expected
    for name, scene in expected:
        with Image.open(tmp_path / name) as picture:
            close = np.asarray(picture, dtype=int) - scenes.draw(scene)
        assert np.abs(close).mean() < 4


def test_exactly_the_stated_option_is_true(drawn: list[Pair]) -> None:
    seen = {
        name: scene for pair in drawn for name, scene in zip(pair.names, (pair.positive, pair.negative), strict=True)
    }
    table = hardneg.mcq(drawn)
    assert list(table.columns) == list(negbench.MCQ) and len(table) == 2 * COUNT
    for row in table.to_dict("records"):
        there = truth.sayable(seen[row["image_path"]].nouns)
        options = [statements.read(row[name]) for name in negbench.OPTIONS]
        holds = [said and set(said.present) <= there and not set(said.absent) & there for said in options]
        correct = 0 if "positive/" in row["image_path"] else 1
        assert holds == [number == correct for number in range(4)]
        assert (row["correct_answer"], row["correct_answer_template"]) == (correct, ("positive", "hybrid")[correct])


def test_options_are_laid_out_as_published(drawn: list[Pair]) -> None:
    a, b = drawn[0].kept, drawn[0].removed
    first = hardneg.mcq(drawn).iloc[0]
    assert [first[name] for name in negbench.OPTIONS] == [
        f"This image includes {a} and {b}",
        f"This image includes {a} but not {b}",
        f"This image includes {b} but not {a}",
        f"This image includes neither {a} nor {b}",
    ]


def _captions(table: pd.DataFrame) -> list[str]:
    assert list(table.columns) == ["filepath", "captions"]
    lists = [ast.literal_eval(text) for text in table.captions]
    assert all(len(texts) == 1 for texts in lists)
    return [texts[0] for texts in lists]


@pytest.mark.parametrize("annotator", [None, Grammar()])
def test_captions_are_true_of_their_own_picture_and_false_of_the_other(
    drawn: list[Pair], annotator: Grammar | None
) -> None:
    table = hardneg.retrieval_v2(drawn, annotator=annotator)
    said = _captions(table)
    assert table.filepath.tolist() == [name for pair in drawn for name in pair.names]
    for pair, affirmative, negated in zip(drawn, said[::2], said[1::2], strict=True):
        removed = english.mentions(affirmative)
        assert set(removed) <= truth.sayable(pair.positive.nouns) and pair.removed in removed
        assert set(english.mentions(negated)) == pair.negative.nouns | {pair.removed}


def test_templated_captions_say_what_is_gone_first_or_last(drawn: list[Pair]) -> None:
    said = [statements.read(text) for text in _captions(hardneg.retrieval_v2(drawn))[1::2]]
    for pair, statement in zip(drawn, said, strict=True):
        assert statement is not None and statement.absent == (pair.removed,)
        assert set(english.mentions(statement.caption)) == set(pair.negative.nouns)
    assert 4 < sum(statement is not None and statement.negation_first for statement in said) < COUNT - 4


def test_v1_is_the_affirmative_half_of_v2(drawn: list[Pair]) -> None:
    assert _captions(hardneg.retrieval_v1(drawn)) == _captions(hardneg.retrieval_v2(drawn))[::2]


def test_the_loader_reads_what_is_written(drawn: list[Pair], tmp_path: Path) -> None:
    hardneg.write_pictures(tmp_path, drawn)
    for name, table in {"r": hardneg.retrieval_v2(drawn), "m": hardneg.mcq(drawn, Grammar())}.items():
        negbench.write_csv(tmp_path / f"{name}.csv", table)
        dataset = reader.load(tmp_path / f"{name}.csv", tmp_path)
        assert len(dataset) == 2 * COUNT and dataset[1]["image"].size == (64, 64)


def test_a_world_without_pairs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "is_reserved", lambda scene: False)
    monkeypatch.setattr(hardneg._shared, "ATTEMPTS", 5)
    with pytest.raises(NegutilError, match="no new pair after 0"):
        hardneg.pairs(1)
