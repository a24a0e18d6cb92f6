from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import model_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from negutil.errors import NegutilError
from negutil.models import encode, loader, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.statistics import Floats


class Lengths(Scorer):
    """Scores by the length of the text alone."""

    def __init__(self, tower: LoadedModel) -> None:
        self.name, self.tower = "lengths", tower

    def paired(self, texts: Sequence[str], images: NDArray[np.float32]) -> Floats:
        return np.array([float(len(text)) for text in texts])

    def matrix(self, texts: Sequence[str], images: NDArray[np.float32]) -> Floats:
        return np.repeat(self.paired(texts, images)[:, None], len(images), axis=1)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    return loader.load_entry(model_files.write(tmp_path))


def test_a_model_is_scored_by_its_cosines(model: LoadedModel) -> None:
    asked = scorer.of(model)
    images, texts = encode.images(model, model_files.pictures()), encode.texts(model, model_files.TEXTS)
    assert (asked.name, asked.tower) == (model.name, model)
    assert asked.matrix(model_files.TEXTS, images) == pytest.approx(texts @ images.T, abs=1e-6)
    assert asked.paired(model_files.TEXTS, images) == pytest.approx((texts * images).sum(axis=1), abs=1e-6)


def test_anything_else_with_scores_stays_what_it_is(model: LoadedModel) -> None:
    other = Lengths(model)
    other.remember(model_files.TEXTS)
    assert scorer.of(other) is other


def test_what_is_remembered_is_not_encoded_again(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    images = encode.images(model, model_files.pictures())
    fresh, asked = scorer.of(model), scorer.of(model)
    asked.remember(model_files.TEXTS)
    expected = fresh.matrix(model_files.TEXTS[::-1], images)
    monkeypatch.setattr(encode, "texts", None)
    assert np.array_equal(asked.matrix(model_files.TEXTS[::-1], images), expected)
    with pytest.raises(TypeError):
        asked.matrix(["a text that is not remembered"], images)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.lists(st.integers(0, 3), min_size=1, max_size=70))
def test_equal_rows_get_exactly_equal_cosines(texts: list[int], images: list[int]) -> None:
    rng = np.random.default_rng(0)
    said, seen = rng.normal(size=(5, 24)).astype(np.float32), rng.normal(size=(4, 24)).astype(np.float32)
    found = scorer.cosines(said[texts], seen[images])
    assert found == pytest.approx((said @ seen.T)[np.ix_(texts, images)], abs=1e-5)
    known: dict[tuple[int, int], float] = {}
    for row, text in enumerate(texts):
        for column, image in enumerate(images):
            assert known.setdefault((text, image), found[row, column]) == found[row, column]


def test_pairs_do_not_depend_on_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    texts, images = rng.normal(size=(2, 37, 24)).astype(np.float32)
    whole = scorer.paired_cosines(texts, images)
    monkeypatch.setattr(scorer, "CHUNK", 24 * 5)
    assert np.array_equal(scorer.paired_cosines(texts, images), whole)
    assert np.array_equal(scorer.paired_cosines(texts[::-1], images[::-1]), whole[::-1])
    with pytest.raises(NegutilError, match=r"Texts \[37, 24\] and images \[36, 24\] do not fit"):
        scorer.paired_cosines(texts, images[1:])


def test_distinct_rows_are_numbered() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2]], np.float32)
    different, number = scorer.distinct(rows)
    assert number is not None
    assert len(different) == 2
    assert np.array_equal(different[number], rows)
    assert scorer.distinct(rows[:2])[1] is None
