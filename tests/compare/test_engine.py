"""The numbers of the comparison engine against hand-worked means and against the plain bootstrap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from negutil import config, results, statistics
from negutil.compare import engine, evaluation, negationclip
from negutil.compare.engine import CLIP, LEVEL, OVER_CLIP, Column, Experiment, Findings, Group, Method
from negutil.config import Bootstrap
from negutil.tasks import suite

BOOTSTRAP = Bootstrap(resamples=400, seed=0)
N = 60
M = Method("m", ("a+m/seed0", "a+m/seed1"), (0, 1), ((CLIP, OVER_CLIP),))


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
    other = {"task": evaluation.EXCLUSION, "cluster": [f"pair {i % 5}" for i in range(N)], "type": "X but no Y"}
    both = pd.concat([valse, pd.DataFrame({**other, "held_out_noun": False, **shared})], ignore_index=True)
    for name, chance in (("a", 0.4), ("a+m/seed0", 0.6), ("a+m/seed1", 0.7)):
        both[name] = (rng.random(2 * N) < chance).astype(float)
    return both


def test_groups_are_wholes_types_validated_items_and_what_is_held_out(items: pd.DataFrame) -> None:
    found = {group.title: group for group in negationclip.groups(items)}
    assert set(found) == {
        negationclip.ALL_ITEMS,
        negationclip.VALIDATED,
        f"{suite.VALSE}, negation true",
        f"{suite.VALSE}, negation false",
        f"{suite.VALSE}, held-out nouns",
        f"{suite.VALSE}, familiar nouns",
        evaluation.EXCLUSION,
    }
    assert found[negationclip.ALL_ITEMS].rows.sum() == N
    assert found[negationclip.VALIDATED].rows.sum() == N * 2 // 3
    assert found[f"{suite.VALSE}, held-out nouns"].rows.sum() == N // 2


def test_a_small_part_is_left_out_and_a_small_whole_is_not(items: pd.DataFrame) -> None:
    few = pd.concat([items[items["task"] == suite.VALSE].head(8), items[items["task"] == evaluation.EXCLUSION]])
    assert {group.title for group in negationclip.groups(few)} == {negationclip.ALL_ITEMS, evaluation.EXCLUSION}


def test_columns_are_seeds_means_and_differences() -> None:
    between = Method("m@0.5", ("a+m/seed0@0.5",), over=((CLIP, OVER_CLIP), ("m", "less"), ("nobody", "more")))
    found = engine.columns("a", [Method(CLIP, ("a",)), M, between])
    named = {(column.method, column.seed, column.kind): column for column in found}
    assert len(named) == len(found) == 8
    assert named["m", None, OVER_CLIP].minus == ("a",)
    assert named["m", None, LEVEL].plus == ("a+m/seed0", "a+m/seed1")
    assert named["m@0.5", None, "less"].minus == ("a+m/seed0", "a+m/seed1")
    assert ("m@0.5", 0, LEVEL) not in named


def _table(items: pd.DataFrame, wanted: list[Column]) -> pd.DataFrame:
    return engine.table(items, wanted, negationclip.groups(items), BOOTSTRAP)


def test_numbers_are_means_over_items_and_seeds_with_the_intervals_of_the_paired_bootstrap(items: pd.DataFrame) -> None:
    table = _table(items, engine.columns("a", [Method(CLIP, ("a",)), M]))
    of_seed = table[table["seed"] == 1].set_index("title")
    means = table[table["seed"].isna()].set_index(["title", "method", "kind"]).to_dict("index")
    own = items[items["task"] == suite.VALSE]
    mean = (own["a+m/seed0"] + own["a+m/seed1"]) / 2
    gain = means[negationclip.ALL_ITEMS, "m", OVER_CLIP]
    expected = statistics.paired_bootstrap(mean, own["a"], own["cluster"], BOOTSTRAP.resamples, BOOTSTRAP.seed)
    assert (gain["value"], gain["low"], gain["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert (gain["n"], gain["over"]) == (N, "clusters")
    assert of_seed.loc[negationclip.ALL_ITEMS, "value"] == pytest.approx(own["a+m/seed1"].mean())
    assert of_seed.loc[negationclip.ALL_ITEMS, "metric"] == "pairwise accuracy"


def test_intervals_over_seeds_are_those_of_the_two_way_bootstrap_and_single_seeds_keep_theirs(
    items: pd.DataFrame,
) -> None:
    wanted = engine.columns("a", [Method(CLIP, ("a",)), M])
    groups = negationclip.groups(items)
    table = engine.table(items, wanted, groups, BOOTSTRAP, over_seeds=True)
    rows = table[table["title"] == negationclip.ALL_ITEMS]
    own = items[items["task"] == suite.VALSE]
    seeds, clip = own[list(M.values)].to_numpy().T, own["a"].to_numpy()
    options = (own["cluster"], BOOTSTRAP.resamples, BOOTSTRAP.seed)
    for kind, expected in (
        (LEVEL, statistics.two_way_bootstrap(seeds, 0.0, *options)),
        (OVER_CLIP, statistics.two_way_bootstrap(seeds, clip, *options)),
    ):
        (row,) = rows[(rows["method"] == "m") & rows["seed"].isna() & (rows["kind"] == kind)].to_dict("records")
        assert (row["value"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))
        assert row["over"] == "seeds and clusters"
    usual = engine.table(items, wanted, groups, BOOTSTRAP)
    single = (table["seed"].notna() | (table["method"] == CLIP)).to_numpy()
    pd.testing.assert_frame_equal(table[single], usual[single])


def test_seeds_that_share_the_items_have_the_numbers_of_their_own_items() -> None:
    rng = np.random.default_rng(0)
    seed_of = np.tile([0, 1, 2], 40)
    values = rng.normal(seed_of * 1.0, 0.1)  # the seeds differ, their items hardly do
    items = pd.DataFrame({"cluster": np.arange(120).astype(str), "m": values, "a": 0.0})
    wanted = [Column("x", "m", ("m",)), Column("x", "m", ("m",), ("a",), OVER_CLIP), Column("x", "a", ("a",))]
    groups = [Group("all", "mean", np.full(120, True))]
    narrow, wide = (
        engine.table(items, wanted, groups, BOOTSTRAP, over_seeds=over, seed_of={"m": seed_of})
        for over in (False, True)
    )
    by_seed = [values[seed_of == seed] for seed in range(3)]
    (expected,) = engine.means(
        values[:, None], items["cluster"].to_numpy(), BOOTSTRAP, by_seed=[np.array([each.mean() for each in by_seed])]
    )
    for bounds in wide[["low", "high"]].to_numpy()[:2]:
        assert bounds == pytest.approx([expected.low, expected.high])
    assert (wide["high"] - wide["low"])[0] > 5 * (narrow["high"] - narrow["low"])[0]
    assert wide["over"].tolist() == ["seeds and items", "seeds and items", "items"]
    pd.testing.assert_series_equal(wide["value"], narrow["value"])


def test_the_order_of_models_and_of_items_does_not_matter(items: pd.DataFrame) -> None:
    wanted = [Column("a", CLIP, ("a",)), Column("a", "m", ("a+m/seed0",), ("a",), "gain")]
    first = _table(items, wanted)
    shuffled = _table(items.sample(frac=1, random_state=1), wanted[::-1])
    both = [frame.sort_values(["title", "method"], ignore_index=True) for frame in (first, shuffled)]
    pd.testing.assert_frame_equal(both[0], both[1])


def test_a_number_is_of_the_items_that_all_its_models_answered(items: pd.DataFrame) -> None:
    items.loc[items["task"] == evaluation.EXCLUSION, "a+m/seed0"] = np.nan
    items.loc[items.index[:20], "a+m/seed1"] = np.nan
    table = _table(items, engine.columns("a", [Method(CLIP, ("a",)), M]))
    sizes = table[table["kind"] == OVER_CLIP].set_index("title")["n"]
    assert sizes[negationclip.ALL_ITEMS] == N - 20
    assert evaluation.EXCLUSION not in sizes
    whole = table[(table["title"] == evaluation.EXCLUSION) & (table["method"] == CLIP)]
    assert whole["n"].tolist() == [N]


def test_where_all_are_right_the_interval_does_not_claim_certainty() -> None:
    values = np.column_stack([np.ones(40), np.zeros(40), np.tile([0.0, 1.0], 20)])
    right, difference, mixed = engine.means(values, np.arange(40).astype(object), BOOTSTRAP)
    assert right.value == 1
    assert 0.85 < right.low < 0.95
    assert right.high == 1
    assert (difference.low, difference.high) == (0, 0)
    assert mixed.value == 0.5
    assert right.over == mixed.over == "items"


def test_shares_that_are_all_wrong_are_not_certain_where_the_caller_says_so() -> None:
    values = np.zeros((40, 2))
    share, difference = engine.means(values, np.arange(40).astype(object), BOOTSTRAP, np.array([True, False]))
    assert 0.05 < share.high < 0.15
    assert (difference.low, difference.high) == (0, 0)


def test_a_control_of_one_seed_is_paired_with_that_seed_of_its_rival() -> None:
    noise = Method("m-noise", ("a+m-noise/seed1",), (1,), (("m", "gain over m"),))
    found = engine.columns("a", [M, noise])[-1]
    assert (found.plus, found.minus) == (("a+m-noise/seed1",), ("a+m/seed1",))
    shown = {column.method for column in engine.columns("a", [noise], [M])}
    assert shown == {"m-noise"}


def test_tables_are_saved_with_published_numbers_and_shown_with_them_below(
    items: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    settings = config.load("quick")
    printed = {"published, X": {("all", "m"): (0.5, "Work, Table 1")}}
    experiment = Experiment("99_x", {CLIP: "CLIP", "m": "Em"}.__getitem__, printed, difference="{metric}, {kind}")
    group = Group("all", "accuracy", np.ones(len(items), bool))
    table = engine.table(items, engine.columns("a", [Method(CLIP, ("a",)), M]), [group], BOOTSTRAP)
    found = Findings(experiment, table, items)
    found.save(settings, {"clip": (table["method"] == CLIP).to_numpy()})
    saved = {name: results.load("quick", "99_x", name) for name in ("levels", "seeds", "gains", "clip")}
    assert saved["levels"]["task"].tolist() == ["all/m"]
    assert saved["levels"]["paper_value"].tolist() == [0.5]
    assert saved["seeds"]["seed"].tolist() == [0, 1]
    assert saved["gains"]["metric"].tolist() == [f"accuracy, {OVER_CLIP}"]
    assert saved["clip"]["task"].tolist() == ["all/CLIP"]
    assert found.levels(("all",))["model"].tolist() == ["CLIP", "Em", "Em"]
    assert found.levels(("all",)).iloc[-1].tolist() == ["published, X", "Em", "0.500"]
    assert str(found.seeds(("all",), ("m",)).loc[0, "all"]).count(" · ") == 1
    assert found.differences(("all",), (OVER_CLIP, "nothing"))["difference"].tolist() == [OVER_CLIP]


def test_one_model_against_two_others_has_no_seeds() -> None:
    column = Column("base", "caps", ("caps", "caps"), ("base", "oracle"), "gain beyond the split's errors")
    np.testing.assert_allclose(engine.seed_means({"caps": 0.9, "base": 0.3, "oracle": 1.0}, column), [0.25])
