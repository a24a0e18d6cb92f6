from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import segmenter_files
import torch

from negutil import config, results
from negutil.compare import claims
from negutil.compare import referring_segmentation as segmenting
from negutil.compare import segmentation_items as benchmarks
from negutil.compare.engine import Column
from negutil.compare.referring_segmentation import Findings
from negutil.compare.segmentation_items import Answer
from negutil.config import Bootstrap, Profile, Segmentation, Splits
from negutil.models import loader, text_tower, trained
from negutil.plots import referring_segmentation as figures_segmentation
from negutil.tasks import segmentation

METHODS = ("plain", "con-clip", "negationclip")
MIOU = "mIoU@best"


@pytest.fixture(scope="module")
def settings() -> Profile:
    quick = config.load("quick")
    few = dataclasses.replace(quick.world, refcocog=Splits(1, 8, 30), phrasecut=Splits(1, 4, 8))
    plan = Segmentation("miniclipseg", METHODS, (0, 1), batch=32, processes=1)
    return dataclasses.replace(quick, world=few, segmentation=plan, bootstrap=Bootstrap(50, 0))


@pytest.fixture(scope="module")
def found(settings: Profile, session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """One run with text towers that are MiniCLIP's own, moved a little."""
    folder = tmp_path_factory.mktemp("segmentation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(folder / "cache"))
        patch.setenv("NEGUTIL_RESULTS", str(folder / "results"))
        patch.setenv("NEGUTIL_NO_PROGRESS", "1")
        segmenter_files.write(folder, patch)
        for names in segmenting.towers(settings).values():
            for number, name in enumerate(names):
                if name != segmenting.ORIGINAL:
                    moved(trained.folder(name, "quick"), number)
        outcome = segmenting.run(settings)
        stated = claims.of_notebook("08")
        verdicts = claims.judge(stated, "quick", ["miniclipseg"])
        assert [verdict.claim for verdict in verdicts] == [claim.id for claim in stated]
        levels = results.load("quick", segmenting.EXPERIMENT, "levels")
        assert levels["paper_value"].notna().sum() == 12
        results.load("quick", segmenting.EXPERIMENT, "rules")
        plot = figures_segmentation.overlays(segmenting.examples(settings, benchmarks.NEGATED, count=2))
        assert len(plot.axes) == 2 * 5 + 1
        plt.close(plot)
    return outcome


def moved(out: Path, seed: int) -> None:
    """Write a finished fine-tuning whose tensors are the base's with a little noise."""
    base = loader.load(segmenter_files.BASE)
    generator = torch.Generator().manual_seed(len(out.parent.name) * 10 + seed)
    state = {
        name: (value + 0.02 * torch.randn(value.shape, generator=generator)).contiguous()
        for name, value in text_tower.state(base.model).items()
    }
    about = {"identity": {"base": base.name, "base_sha256": base.fingerprint["weights_sha256"]}}
    trained.write(out, state, torch.arange(len(state[text_tower.EMBEDDING])), "", about)


def test_every_number_is_there_with_its_interval(found: Findings) -> None:
    table = found.table
    means = table[(table["kind"] == "") & table["seed"].isna() & (table["title"] == benchmarks.NEGATED)]
    assert set(means["method"]) == {*segmenting.TITLES, *segmenting.RULES}
    assert set(means["metric"]) == {*segmenting.NAMES, segmenting.RIGHT, segmenting.OVER_CHANCE}
    assert (table["low"] <= table["value"] + 1e-9).all()
    assert (table["value"] <= table["high"] + 1e-9).all()
    assert set(table["kind"]) == {"", segmenting.OVER_ORIGINAL, segmenting.OVER_PLAIN, *segmenting.PAIRS}


def test_means_and_gains_follow_from_the_items(found: Findings) -> None:
    items = found.items
    own = items[items["task"] == benchmarks.NEGATED].groupby("tower", observed=True)["mIoU"].mean()
    tuned = own[[name for name in own.index if "+negationclip/" in name]].mean()
    table = found.table[(found.table["title"] == benchmarks.NEGATED) & (found.table["metric"] == MIOU)]
    rows = table[(table["method"] == "negationclip") & table["seed"].isna()].set_index("kind")["value"]
    assert rows[""] == pytest.approx(tuned, abs=1e-6)
    assert rows[segmenting.OVER_ORIGINAL] == pytest.approx(tuned - own["original"], abs=1e-6)


def test_tables_for_the_notebook_have_a_row_for_every_method(found: Findings) -> None:
    table = segmenting.table_5(found)
    assert table["model"].tolist() == [
        *segmenting.TITLES.values(), *segmenting.RULES,
        "original", "CoN-CLIP", "NegationCLIP",
    ]  # fmt: skip
    assert table.iloc[-1]["PhraseCut mIoU@best"] == "0.561"
    assert len(segmenting.by_threshold(found)) == 8
    assert segmenting.instances(found)["model"].tolist() == [*segmenting.TITLES.values(), "chance"]
    gains = segmenting.gains(found, (MIOU,), (segmenting.OVER_ORIGINAL, segmenting.OVER_PLAIN))
    assert len(gains) == 10
    assert segmenting.seeds(found)[benchmarks.PHRASECUT].str.count(" · ").eq(1).all()
    assert set(segmenting.sizes(found)["task"]) == set(benchmarks.TASKS)


def test_figures_show_every_method(found: Findings) -> None:
    plots = [
        figures_segmentation.by_threshold(segmenting.curves(found)),
        figures_segmentation.instances(found),
        figures_segmentation.gains(found),
    ]
    assert [len(plot.axes) for plot in plots] == [2, 1, 3]
    for plot in plots:
        plt.close(plot)


# --------------------------------------------------------------------------------------------------------------------
# The numbers


def answer(marked: int, right: float, n: int = 40) -> Answer:
    """Every phrase means 50 of 100 pixels; ``marked`` of these are marked at every threshold, and nothing else."""
    counts = np.full((n, 49), marked, np.int32)
    overlap = segmentation.Overlap(counts, counts, np.full(n, 50, np.int32), 100)
    return Answer(overlap, np.full(n, right), np.full(n, 0.5))


def test_numbers_of_answers_that_are_all_alike() -> None:
    answers = {"a": answer(50, 1.0), "b": answer(25, 0.0)}
    best = dict.fromkeys(segmentation.METRICS, 0)
    clusters = np.array([str(row // 2) for row in range(40)], object)
    columns = [Column("x", "a", ("a",)), Column("x", "both", ("a", "b")), Column("x", "a", ("a",), ("b",), "over b")]
    table = segmenting.overlaps(answers, {"a": best, "b": best}, clusters, columns, Bootstrap(20, 0))
    value = table.set_index(["metric", "method", "kind"])["value"]
    assert value["mIoU@0.3", "a", ""] == pytest.approx(50 / 51)
    assert value["mIoU@0.3", "both", ""] == pytest.approx((50 + 25) / 51 / 2)
    assert value["mIoU@best", "a", "over b"] == pytest.approx(25 / 51)
    assert value["fgIoU@best", "a", ""] == pytest.approx(2000 / 2001)
    assert value["IoU_BIN@0.1", "a", ""] == pytest.approx(2000 / 2001)
    assert value["right instance minus chance", "a", ""] == pytest.approx(0.5)
    assert value["right instance", "a", "over b"] == pytest.approx(1.0)
    np.testing.assert_allclose(table["low"], table["high"])
    assert set(table["n"]) == {40}
    assert set(table["over"]) == {"clusters"}


def test_intervals_are_those_of_the_plain_bootstrap_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    hit = rng.integers(0, 51, (60, 1)).repeat(49, axis=1).astype(np.int32)
    one = Answer(segmentation.Overlap(hit, hit, np.full(60, 50, np.int32), 100), np.full(60, np.nan), np.ones(60))
    clusters = np.array([str(row) for row in range(60)], object)
    best = dict.fromkeys(segmentation.METRICS, 7)
    table = segmenting.overlaps({"a": one}, {"a": best}, clusters, [Column("x", "a", ("a",))], Bootstrap(4000, 0))
    row = table[table["metric"] == "mIoU@0.5"].iloc[0]
    error = (hit[:, 0] / 51).std() / np.sqrt(60)
    assert row["value"] == pytest.approx(hit[:, 0].mean() / 51)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert row["over"] == "items"
    assert set(table["metric"]) == set(segmenting.NAMES), "without rivals nothing is said about instances"


def test_intervals_over_seeds_are_wider_where_seeds_differ_and_a_single_tower_keeps_its_own() -> None:
    answers = {"a": answer(50, 1.0), "b": answer(25, 0.0), "c": answer(40, 1.0)}
    best = dict.fromkeys(answers, dict.fromkeys(segmentation.METRICS, 0))
    clusters = np.array([str(row) for row in range(40)], object)
    columns = [Column("x", "three", ("a", "b", "c")), Column("x", "a", ("a",))]
    table = segmenting.overlaps(answers, best, clusters, columns, Bootstrap(200, 0), over_seeds=True)
    rows = table[table["metric"] == "mIoU@0.3"].set_index("method")
    assert rows["over"].to_dict() == {"three": "seeds and items", "a": "items"}
    assert rows.loc["a", "low"] == pytest.approx(rows.loc["a", "high"]), "all phrases are alike"
    low, high = rows.loc["three", ["low", "high"]].to_numpy(dtype=float)
    assert low < min(each.overlap.hit[0, 0] / 51 for each in answers.values()) and high > 50 / 51 - 0.05
