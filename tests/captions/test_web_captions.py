"""Notebook 01's functions on a small world and on shards in the published format."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from miniworld import alttext
from negutil import config, paths, results
from negutil.captions import caption_statistics, negation_terms, web_captions
from negutil.compare import claims, verdicts
from negutil.config import Profile, Splits
from negutil.plots import captions as plots

LISTS = negation_terms.load()
STRICT = LISTS[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture
def small(world: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The quick profile with 3,000 alt texts, in a folder that the tests of this module share."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(world))
    quick = config.load("quick")
    return dataclasses.replace(quick, world=dataclasses.replace(quick.world, alttexts=Splits(3000, 0, 0)))


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """A profile whose folder has a shard of the published kind, not made here."""
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    (tmp_path / "laion").mkdir()
    texts = ["a red shoe", "no laces", "No. 5", None, "Un homme"] * 40
    frame = pl.DataFrame({"URL": [f"http://x.y/{i}.jpg" for i in range(200)], "TEXT": texts})
    frame.write_parquet(tmp_path / "laion" / "part-00000.snappy.parquet")
    return dataclasses.replace(config.load("quick"), published=True)


def test_run_counts_and_saves(small: Profile) -> None:
    found = web_captions.run(small)
    assert found.counts.rows == 3000 == web_captions.shards(small)["rows"].sum()
    saved = results.load(small.name, web_captions.EXPERIMENT, "statistics")
    assert len(saved) == 6 and saved["paper_value"].notna().all() and saved["ci_low"].notna().all()
    strict = saved[(saved["task"] == "strict") & (saved["metric"] == "caption_ratio")].iloc[0]
    assert strict["value"] * strict["n"] == pytest.approx(found.counts.lists["strict"].captions, abs=0.01)
    items = pd.read_parquet(paths.results(small.name) / web_captions.EXPERIMENT / "sample.parquet")
    assert len(items) == len(web_captions.load_sample()) and {"strict", "standard", "wide"} <= set(items)
    sample = results.load(small.name, web_captions.EXPERIMENT, "sample")
    assert len(sample) == 9 and sample["paper_value"].isna().all()
    assert (sample["n"] > 0).all() and sample["ci_low"].notna().all()


def test_examples_have_pictures_and_cues(small: Profile) -> None:
    shown = web_captions.examples(small, STRICT, seed=0, count=6)
    assert len(shown) == 6 and len({example.caption for example in shown}) == 6
    assert web_captions.flags([example.caption for example in shown], [STRICT])["strict"].all()
    assert all(example.picture.shape == (64, 64, 3) and example.picture.std() > 0 for example in shown)
    assert sum(alttext.kind_of_cue(example.caption) == alttext.KIND_ABOUT for example in shown) == 1
    again = web_captions.examples(small, STRICT, seed=0, count=6)
    assert [example.caption for example in again] == [example.caption for example in shown]


def test_kinds_of_cues_cover_every_flagged_caption(small: Profile) -> None:
    kinds = web_captions.kinds_of_cues(small, STRICT)
    counts = web_captions.run(small).counts
    assert kinds["captions"].sum() == counts.lists["strict"].captions
    assert dict(zip(kinds["kind"], kinds["captions"], strict=True))["an aside of the web"] > 0
    assert set(web_captions.NUMBERS) <= set(alttext.ASIDES)


def test_the_paper_stands_in_the_last_row(small: Profile) -> None:
    counts = web_captions.run(small).counts
    table = web_captions.beside_the_paper(counts)
    assert table["terms"].tolist()[:3] == ["strict", "standard", "wide"]
    last = table.iloc[-1]
    assert (last["captions"], last["caption ratio %"], last["word ratio %"]) == (414_000_000, "0.70", "0.08")
    assert last["words per caption"] == pytest.approx(9.37, abs=0.01)
    assert last["cue words per caption with a cue"] == pytest.approx(1.10, abs=0.01)


def test_claims_about_laion_need_the_paper_profile(small: Profile) -> None:
    web_captions.run(small)
    stated = [claim for claim in claims.read() if claim.notebook == "01"]
    assert {outcome.verdict for outcome in verdicts.of(small.name, stated)} == {verdicts.NEEDS_PAPER}


def test_published_shards_are_read_as_they_are(published: Profile) -> None:
    found = web_captions.run(published)
    assert (found.counts.captions, found.counts.null, found.counts.lists["strict"].captions) == (160, 40, 80)
    assert web_captions.kinds_of_cues(published, STRICT).empty
    assert web_captions.examples(published, STRICT, 0) == [], "published shards have no images"


def rectangles(axis: Axes) -> list[Rectangle]:
    return [bar for bar in axis.patches if isinstance(bar, Rectangle)]


@pytest.mark.parametrize(
    "name", ["laion_categorical", "datacomp_columns", "null_url", "long_url", "text_alone", "plain_text"]
)
def test_shards_with_other_columns_are_read(name: str, shared_data: Path, tmp_path: Path, published: Profile) -> None:
    folder = tmp_path / "laion"
    for file in folder.iterdir():
        file.unlink()
    if name == "text_alone":
        pl.DataFrame({"caption": ["no dog", "a dog"]}).write_parquet(folder / "a.parquet")
    elif name == "plain_text":
        (folder / "a.txt").write_text("no dog\na dog\n")
    else:
        (folder / "a.parquet").write_bytes((shared_data / "bad_input" / f"{name}.parquet").read_bytes())
    found = web_captions.run(published)
    assert found.counts.captions >= 2 and web_captions.shards(published)["rows"].sum() == found.counts.rows
    assert web_captions.examples(published, STRICT, seed=0) == []
    assert web_captions.kinds_of_cues(published, STRICT).empty


def test_figures_show_every_list_and_cue(small: Profile) -> None:
    found = web_captions.run(small)
    left, right = plots.ratios(found.counts).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["strict", "standard", "wide"]
    assert right.get_xlim()[0] == 0
    cues = caption_statistics.cue_table(found.counts)
    (axis,) = plots.cues(cues, most=5).axes
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in rectangles(axis) if bar.get_width()}
    assert [bars[place] for place in range(len(bars))] == cues["wide"].head(5).tolist()
    assert [label.get_text() for label in axis.get_yticklabels()] == cues["cue"].head(5).tolist()
    (axis,) = plots.sample(found.judgements).axes
    assert axis.get_xlim() == (0, 1)
