"""Co-occurrence and absent objects, against counts by hand and scikit-learn-free definitions."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.captions import negbench
from negutil.errors import NegutilError

PICTURES = [("dog", "cat"), ("dog", "cat", "hat"), ("dog",), ("car", "bus"), ("car",), ("dog", "dog")]
nouns = st.sampled_from("abcdefgh")


def test_the_matrix_counts_pictures() -> None:
    counts = negbench.cooccurrence(PICTURES)
    assert list(counts.index) == list(counts.columns) == ["bus", "car", "cat", "dog", "hat"]
    assert counts.loc["dog", "dog"] == 4 and counts.loc["dog", "cat"] == 2 and counts.loc["hat", "bus"] == 0
    assert (counts.to_numpy() == counts.to_numpy().T).all()


@settings(deadline=None)
@given(st.lists(st.sets(nouns), min_size=1).filter(any))
def test_the_matrix_agrees_with_counting(labels: list[set[str]]) -> None:
    counts = negbench.cooccurrence(labels)
    for one in counts.index:
        for two in counts.columns:
            assert counts.loc[one, two] == sum({one, two} <= seen for seen in labels)


def test_labels_without_an_object_are_refused() -> None:
    with pytest.raises(NegutilError, match="name no object"):
        negbench.cooccurrence([(), ()])


@settings(deadline=None)
@given(st.sets(nouns, max_size=5), st.integers(0, 3), st.integers())
def test_absent_objects_are_absent_and_different(present: set[str], count: int, seed: int) -> None:
    counts = negbench.cooccurrence([set("abc"), set("cdef"), set("agh")])
    for drawn in (
        negbench.absent(present, counts, count, random.Random(seed)),
        negbench.absent(present, counts, count, random.Random(seed), "random"),
    ):
        assert len(drawn) == len(set(drawn)) == count
        assert not present & set(drawn) and set(drawn) <= set(counts.index)


def test_plausible_objects_are_drawn_by_how_often_they_come_along() -> None:
    """With a dog come a cat in 2 of 4 pictures and a hat in 1 of 4, so the first draw is a cat two times in three."""
    counts = negbench.cooccurrence(PICTURES)
    drawn = Counter(negbench.absent(["dog"], counts, 1, random.Random(seed))[0] for seed in range(3000))
    assert set(drawn) == {"cat", "hat"}
    assert drawn["cat"] / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_random_objects_are_equally_likely() -> None:
    counts = negbench.cooccurrence(PICTURES)
    drawn = Counter(negbench.absent(["dog"], counts, 1, random.Random(seed), "random")[0] for seed in range(3000))
    assert set(drawn) == {"cat", "hat", "car", "bus"} and min(drawn.values()) > 650


def test_what_never_comes_along_is_drawn_last() -> None:
    counts = negbench.cooccurrence(PICTURES)
    for seed in range(50):
        drawn = negbench.absent(["dog"], counts, 4, random.Random(seed))
        assert set(drawn[:2]) == {"cat", "hat"} and set(drawn[2:]) == {"car", "bus"}


def test_names_outside_the_labels_may_be_present() -> None:
    counts = negbench.cooccurrence(PICTURES)
    assert negbench.absent(["unicorn", "dog"], counts, 1, random.Random(0))[0] in ("cat", "hat")


def test_the_same_chance_gives_the_same_objects() -> None:
    counts = negbench.cooccurrence(PICTURES)
    first, second = (negbench.absent(["car"], counts, 3, random.Random("x")) for _ in range(2))
    assert first == second


def test_too_few_absent_objects_are_an_error() -> None:
    counts = negbench.cooccurrence(PICTURES)
    with pytest.raises(NegutilError, match=r"3 absent objects are wanted and 2 are left"):
        negbench.absent(["dog", "cat", "hat"], counts, 3, random.Random(0))
    with pytest.raises(NegutilError, match="ask for fewer"):
        negbench.absent(["dog"], negbench.cooccurrence([["dog"]]), 1, random.Random(0), "random")
