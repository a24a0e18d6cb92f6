"""The numbers of notebook 05 against hand-worked means and against the plain bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from negutil import statistics
from negutil.compare import negationclip_items as asked
from negutil.compare import negationclip_numbers as numbers
from negutil.compare.negationclip_numbers import Column
from negutil.config import Bootstrap
from negutil.tasks import suite

BOOTSTRAP = Bootstrap(resamples=400, seed=0)
N = 60


@pytest.fixture
def items() -> pd.DataFrame:
    """VALSE, two items of each picture, half of them about held-out nouns, and exclusion; models a, b (two seeds)."""
    rng = np.random.default_rng(0)
    shared = {"valid": True, "cue": "no", "held_out_form": False, "item": [str(i) for i in range(N)]}
    valse = pd.DataFrame(
        {
            "task": suite.VALSE,
            "cluster": [f"picture {i // 2}" for i in range(N)],
            "type": ["negation true", "negation false"] * (N // 2),
            "held_out_noun": [i < N // 2 for i in range(N)],
            **shared,
        }
    ).assign(valid=[i % 3 > 0 for i in range(N)])
    other = {"task": asked.EXCLUSION, "cluster": [f"pair {i % 5}" for i in range(N)], "type": "X but no Y"}
    both = pd.concat([valse, pd.DataFrame({**other, "held_out_noun": False, **shared})], ignore_index=True)
    for name, chance in (("a", 0.4), ("a+m/seed0", 0.6), ("a+m/seed1", 0.7)):
        both[name] = (rng.random(2 * N) < chance).astype(float)
    return both


def test_views_are_wholes_types_validated_items_and_what_is_held_out(items: pd.DataFrame) -> None:
    found = {view.title: view for view in numbers.views(items)}
    assert set(found) == {
        numbers.ALL_ITEMS,
        numbers.VALIDATED,
        f"{suite.VALSE}, negation true",
        f"{suite.VALSE}, negation false",
        f"{suite.VALSE}, held-out nouns",
        f"{suite.VALSE}, familiar nouns",
        asked.EXCLUSION,
    }
    assert found[numbers.ALL_ITEMS].rows.sum() == N
    assert found[numbers.VALIDATED].rows.sum() == N * 2 // 3
    assert found[f"{suite.VALSE}, held-out nouns"].rows.sum() == N // 2


def test_a_small_part_is_left_out_and_a_small_whole_is_not(items: pd.DataFrame) -> None:
    few = pd.concat([items[items["task"] == suite.VALSE].head(8), items[items["task"] == asked.EXCLUSION]])
    assert {view.title for view in numbers.views(few)} == {numbers.ALL_ITEMS, asked.EXCLUSION}


def test_columns_are_clip_seeds_means_and_differences() -> None:
    found = numbers.columns(
        "a", {"m": ["a+m/seed0", "a+m/seed1"], "m@0.5": ["a+m/seed0@0.5"]}, [("m@0.5", "m", "less")]
    )
    named = {(column.model, column.kind): column for column in found}
    assert len(named) == len(found) == 8
    assert named["a+m", "gain over CLIP"].minus == ("a",)
    assert named["a+m", ""].plus == ("a+m/seed0", "a+m/seed1")
    assert named["a+m@0.5", "less"].minus == ("a+m/seed0",)
    assert ("a+m/seed0@0.5", "") not in named


def test_numbers_are_means_over_items_and_seeds_with_the_intervals_of_the_paired_bootstrap(items: pd.DataFrame) -> None:
    wanted = numbers.columns("a", {"m": ["a+m/seed0", "a+m/seed1"]}, [])
    table = numbers.table(items, wanted, BOOTSTRAP).set_index(["title", "model", "kind"]).to_dict("index")
    own = items[items["task"] == suite.VALSE]
    mean = (own["a+m/seed0"] + own["a+m/seed1"]) / 2
    gain = table[numbers.ALL_ITEMS, "a+m", "gain over CLIP"]
    expected = statistics.paired_bootstrap(mean, own["a"], own["cluster"], BOOTSTRAP.resamples, BOOTSTRAP.seed)
    assert (gain["value"], gain["low"], gain["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert (gain["n"], gain["over"]) == (N, "clusters")
    level = table[numbers.ALL_ITEMS, "a+m/seed1", ""]
    assert level["value"] == pytest.approx(own["a+m/seed1"].mean())
    assert level["metric"] == "pairwise accuracy"


def test_the_order_of_models_and_of_items_does_not_matter(items: pd.DataFrame) -> None:
    wanted = [Column("a", ("a",)), Column("a+m", ("a+m/seed0",), ("a",), "gain")]
    first = numbers.table(items, wanted, BOOTSTRAP)
    shuffled = numbers.table(items.sample(frac=1, random_state=1), wanted[::-1], BOOTSTRAP)
    both = [frame.sort_values(["title", "model"], ignore_index=True) for frame in (first, shuffled)]
    pd.testing.assert_frame_equal(both[0], both[1])


def test_where_all_are_right_the_interval_does_not_claim_certainty() -> None:
    values = np.column_stack([np.ones(40), np.zeros(40), np.tile([0.0, 1.0], 20)])
    right, difference, mixed = numbers.means(values, np.arange(40).astype(object), BOOTSTRAP)
    assert right.value == 1
    assert 0.85 < right.low < 0.95
    assert right.high == 1
    assert (difference.low, difference.high) == (0, 0)
    assert mixed.value == 0.5
    assert right.over == mixed.over == "items"


def test_a_control_of_one_seed_is_paired_with_that_seed_of_its_rival() -> None:
    models = {"m": ["a+m/seed0", "a+m/seed1"], "m-noise": ["a+m-noise/seed1"]}
    found = numbers.columns("a", models, [("m-noise", "m", "gain over m")])[-1]
    assert (found.plus, found.minus) == (("a+m-noise/seed1",), ("a+m/seed1",))
