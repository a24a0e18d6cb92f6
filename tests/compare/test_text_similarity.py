from __future__ import annotations

from pathlib import Path

import model_files
import numpy as np
import pytest

from negutil.captions.english import HELD_OUT_NOUNS
from negutil.compare import evaluation
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel

NOUNS = ["cat", "otter", "apple", "bus"]


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path))


def test_hand_worked_cosines(model: LoadedModel) -> None:
    table = evaluation.text_distances(model, NOUNS)
    cat, no_cat = encode.texts(model, ["a photo of a cat", "a photo with no cat"])
    others = encode.texts(model, ["a photo of an otter", "a photo of an apple", "a photo of a bus"])
    assert table["negated"][0] == pytest.approx(float(cat @ no_cat), abs=1e-6)
    assert table["other"][0] == pytest.approx(float((others @ cat).mean()), abs=1e-6)
    assert table["gap"][0] == pytest.approx((1 - table["negated"][0]) / (1 - table["other"][0]))
    assert table["held_out"].tolist() == [noun in HELD_OUT_NOUNS for noun in NOUNS] == [False, True, False, True]


def test_the_same_sentence_is_not_moved_at_all(model: LoadedModel) -> None:
    table = evaluation.text_distances(model, NOUNS, negated="a photo of {article} {noun}")
    assert np.allclose(table["gap"], 0, atol=1e-5)
