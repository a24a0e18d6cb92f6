from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.errors import NegutilError
from negutil.tasks import retrieval


def unit(rows: list[list[float]]) -> np.ndarray:
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_hand_worked_ranks() -> None:
    images = unit([[1, 0], [0, 1], [1, 1]])
    texts = unit([[1, 0.1], [1, 0.1], [0.2, 1], [1, 1]])
    # Text 0 and 1 rank the pictures 0, 2, 1; text 2 ranks 1, 2, 0; text 3 ranks 2 and then 0 and 1 alike.
    found = retrieval.ranks(texts, images, [0, 1, 2, 0])
    assert found.tolist() == [1, 3, 2, 3]
    assert retrieval.recall_at(found, 1) == 0.25
    assert retrieval.recall_at(found, 2) == 0.5


def test_a_constant_scorer_gets_the_worst_rank() -> None:
    same = np.ones((4, 2), np.float32)
    assert retrieval.ranks(same, same, [0, 1, 2, 3]).tolist() == [4, 4, 4, 4]


def test_equal_pictures_and_texts_tie_exactly_however_many_there_are() -> None:
    # A plain matrix product gives equal columns scores that differ in their last digit.
    rng = np.random.default_rng(0)
    texts, picture = rng.normal(size=(20, 96)).astype(np.float32), rng.normal(size=(1, 96)).astype(np.float32)
    alike = np.repeat(picture, 501, axis=0)
    assert (retrieval.ranks(texts, alike, np.arange(20)) == 501).all()
    pairs = np.repeat(rng.normal(size=(30, 96)).astype(np.float32), 2, axis=0)
    own = np.arange(60)
    assert (retrieval.ranks(pairs, pairs, own) == 2).all()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 9))
def test_ranks_agree_with_sorting(seed: int, n: int, t: int) -> None:
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(n, 5)).astype(np.float32), rng.normal(size=(t, 5)).astype(np.float32)
    right = rng.integers(0, n, t)
    order = np.argsort(-(texts @ images.T), axis=1)
    expected = [int(np.flatnonzero(order[i] == right[i])[0]) + 1 for i in range(t)]
    assert retrieval.ranks(texts, images, right).tolist() == expected


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(7, 4)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    whole = retrieval.ranks(texts, images, np.arange(20) % 7)
    monkeypatch.setattr(retrieval, "CHUNK", 21)
    assert np.array_equal(retrieval.ranks(texts, images, np.arange(20) % 7), whole)


def test_recall_resamples_pictures() -> None:
    # Two captions of a picture always agree here, so resampling captions would claim twice the evidence.
    image_of_text = np.repeat(np.arange(50), 2)
    ranks = np.where(image_of_text < 20, 1, 7)
    by_picture = retrieval.recall(ranks, image_of_text)
    assert set(by_picture) == {1, 5, 10}
    assert (by_picture[1].value, by_picture[10].value) == (0.4, 1.0)
    assert by_picture[1].over == "clusters"
    width = by_picture[1].high - by_picture[1].low
    by_caption = retrieval.recall(ranks, np.arange(100))[1]
    assert width > 1.25 * (by_caption.high - by_caption.low)
    assert by_picture[1].low == pytest.approx(0.4 - 1.96 * np.sqrt(0.24 / 50), abs=0.03)


def test_bad_input_is_a_sentence() -> None:
    good = unit([[1, 0], [0, 1]])
    bad = good.copy()
    bad[1, 0] = np.nan
    with pytest.raises(NegutilError, match="features of picture 1 are not finite"):
        retrieval.ranks(good, bad, [0, 1])
    with pytest.raises(NegutilError, match="features of text 1 are not finite"):
        retrieval.ranks(bad, good, [0, 1])
    with pytest.raises(NegutilError, match="no text for retrieval"):
        retrieval.ranks(good[:0], good, [])
    for wrong in ([0], [0, 2], [0, -1]):
        with pytest.raises(NegutilError, match="image_of_text"):
            retrieval.ranks(good, good, wrong)


def test_the_drop_is_paired_by_picture() -> None:
    # 40 pictures of very different difficulty; negation costs each of the first 20 one of its two captions.
    pictures = np.repeat(np.arange(40), 2)
    plain = np.where(pictures % 2 == 0, 1, 9)
    negated = plain.copy()
    negated[(pictures < 20) & (np.arange(80) % 2 == 0)] = 9
    found = {k: retrieval.recall_drop((plain, pictures), (negated, pictures), k) for k in (1, 10)}
    assert found[1].value == pytest.approx(0.5 - 0.375)
    assert (found[1].n, found[1].over) == (80, "clusters")
    assert (found[10].value, found[10].low, found[10].high) == (0, 0, 0)
    unpaired = retrieval.recall(negated, pictures, (1,))[1]
    assert found[1].high - found[1].low < 0.8 * (unpaired.high - unpaired.low)
    shuffled = np.random.default_rng(0).permutation(80)
    again = retrieval.recall_drop((plain[shuffled], pictures[shuffled]), (negated, pictures), 1)
    assert (again.low, again.high) == pytest.approx((found[1].low, found[1].high))


def test_the_drop_is_that_of_all_captions_of_either_kind() -> None:
    plain, negated = np.array([1, 1, 9, 1]), np.array([9, 1, 9])
    # Picture 7 has no plain caption and picture 2 no negated one: 3 of 4 against 1 of 3.
    found = retrieval.recall_drop((plain, [4, 4, 5, 2]), (negated, [4, 5, 7]), 1)
    assert (found.value, found.n) == (pytest.approx(3 / 4 - 1 / 3), 3)
    with pytest.raises(NegutilError, match="4 ranks have 3 images"):
        retrieval.recall_drop((plain, [1, 1, 2]), (negated, [4, 5, 7]), 1)
