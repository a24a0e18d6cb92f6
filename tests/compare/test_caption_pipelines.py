"""The training sets of the quick profile, the runner of notebook 04, and its figures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from miniworld import build as world
from negutil import config, paths, results
from negutil.captions import baseline_sets, caption_sets, english, phrasing
from negutil.captions.english import HELD_OUT_NOUNS
from negutil.compare import caption_pipelines
from negutil.compare.caption_pipelines import Findings
from negutil.config import Profile, Splits
from negutil.data import ccneg, negationclip, negbench, source
from negutil.errors import NegutilError
from negutil.plots import caption_pipelines as plots


@pytest.fixture(scope="module")
def settings() -> Profile:
    """The quick profile with few pictures: 120 of COCO, 60 of easy-VQA."""
    quick = config.load("quick")
    sizes = {"scenes": Splits(120, 10, 10), "shapes": Splits(60, 10, 10), "refcocog": Splits(10, 10, 60)}
    small = dataclasses.replace(quick.world, **sizes)  # type: ignore[arg-type]
    return dataclasses.replace(quick, world=small, bootstrap=dataclasses.replace(quick.bootstrap, resamples=50))


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for this file, because its world is smaller than that of other tests."""
    folder = tmp_path_factory.getbasetemp() / "caption-pipelines"
    monkeypatch.setenv("NEGUTIL_CACHE", str(folder))


pytestmark = pytest.mark.usefixtures("own_cache")


def test_every_file_is_written_and_nothing_held_out_is_negated(settings: Profile) -> None:
    folder = caption_sets.build(settings)
    assert {path.name for path in folder.iterdir()} == {*caption_sets.FILES, "manifest.json"}
    for name in (caption_sets.P1, caption_sets.RANDOM, caption_sets.P2):
        rows = negationclip.load(folder / name, world.folder("coco", settings)).to_pandas()
        said = phrasing.table(rows["updated_caption"].tolist())
        assert (said["cue"] != "").all()
        assert not said[["held_out_noun", "held_out_form"]].to_numpy().any()
        assert not HELD_OUT_NOUNS & {row["absent"] for row in json.loads((folder / name).read_text())["annotations"]}
    assert len(negationclip.load(folder / caption_sets.SHAPES, world.build("shapes", settings))) > 20
    assert len(negbench.load(folder / caption_sets.NEGMCQ, world.folder("coco", settings))) > 50
    triplets = ccneg.load(folder / baseline_sets.TRIPLETS, world.folder("coco", settings), n_evaluation=1)
    assert not any(phrasing.of(text).held_out_noun for text in triplets["negated_caption"])
    assert list(pd.read_csv(folder / caption_sets.NEGCAP).columns) == ["filepath", "caption"]


def test_p1_and_p2_have_ids_of_their_own(settings: Profile) -> None:
    folder = caption_sets.build(settings)
    both = [negationclip.load(folder / name)["caption_id"] for name in (caption_sets.P1, caption_sets.P2)]
    assert not set(both[0]) & set(both[1])


def test_a_set_is_built_once_and_an_interrupted_build_goes_on(
    settings: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = paths.cache() / "journals" / settings.name / "captions-10"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(caption_sets.p1, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            caption_sets.build(settings, 0.1)
    assert {path.name for path in journals.iterdir()} == {"p1.jsonl", "p2.jsonl"}
    opened = Path.open

    def only_read(path: Path, mode: str = "r", *options: Any, **more: Any) -> Any:
        assert mode != "a", f"{path} is appended to though nothing was left to do"
        return opened(path, mode, *options, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", only_read)
        folder = caption_sets.build(settings, 0.1)
    assert not list(journals.iterdir())
    assert {path.name for path in folder.iterdir()} == {*caption_sets.NOISY, "manifest.json"}
    stamp = (folder / "p1.json").stat().st_mtime_ns
    assert (caption_sets.build(settings, 0.1) / "p1.json").stat().st_mtime_ns == stamp


def test_captions_of_full_captions_lie_apart_and_are_p1_and_p2_alone(settings: Profile) -> None:
    full = settings.with_full_captions(1.0)
    folder = caption_sets.build(full)
    assert full.built != settings.built and folder.parent == full.built
    assert {path.name for path in folder.iterdir()} == {*caption_sets.NOISY, "manifest.json"}
    usual = caption_sets.build(settings)
    named = [
        np.mean([len(english.mentions(text)) for text in negationclip.load(where / caption_sets.P1)["caption"]])
        for where in (usual, folder)
    ]
    assert named[1] > named[0]


def test_annotators_are_settings(settings: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_sets, "SETTINGS", tmp_path / "annotators.toml")
    with pytest.raises(NegutilError, match="cannot be read"):
        caption_sets.annotators_of(settings)
    (tmp_path / "annotators.toml").write_text("[quick]\nlanguage = { kind = 'world' }\n")
    with pytest.raises(NegutilError, match="has no random_language, vision"):
        caption_sets.annotators_of(settings)
    endpoint = "{ kind = 'endpoint', url = 'http://localhost:9/v1', model = 'm' }"
    lines = "\n".join(f"{name} = {endpoint}" for name in ("language", "random_language", "vision"))
    (tmp_path / "annotators.toml").write_text(f"[quick]\n{lines}\n")
    who = caption_sets.annotators_of(settings)
    assert (who.reword, who.held_out, who.language.name) == (True, frozenset(), "m")
    with pytest.raises(NegutilError, match="error rate"):
        caption_sets.annotators_of(settings, 0.1)


def test_published_rows_of_negrefcocog_are_wanted_in_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    with pytest.raises(NegutilError, match="parkquasar"):
        source.folder(config.load("paper"), "negrefcocog")


@pytest.fixture
def findings(settings: Profile) -> Findings:
    """What the runner leaves."""
    return caption_pipelines.run(settings)


def test_the_runner_measures_every_set_and_saves_it(settings: Profile, findings: Findings) -> None:
    quality = findings.quality.set_index(["set", "error", "metric"])["value"]
    for name in caption_pipelines.SETS:
        assert quality[name, 0.0, caption_pipelines.TRUE] == (0.0 if name == caption_pipelines.CCNEG else 1.0)
    for name in (caption_pipelines.P1, caption_pipelines.P2, caption_pipelines.NEGCAP):
        assert quality[name, 0.2, caption_pipelines.TRUE] < quality[name, 0.0, caption_pipelines.TRUE]
    assert quality[caption_pipelines.OVERLOOKED, 0.0, caption_pipelines.TRUE] < 1
    ranks = [
        quality[name, 0.0, caption_pipelines.PLAUSIBILITY] for name in (caption_pipelines.P1, caption_pipelines.RANDOM)
    ]
    assert ranks[0] > ranks[1]
    bits = [quality[caption_pipelines.P1, 0.0, f"bits per word{kind}"] for kind in (", before", "", ", shuffled")]
    assert bits == sorted(bits)
    assert findings.negations.groupby(["set", "factor"])["share"].sum().round(9).eq(1).all()
    assert findings.referring["share"].sum() == pytest.approx(1)
    table = results.load(settings.name, caption_pipelines.EXPERIMENT, "quality")
    assert table.loc[table["task"] == "p1.json", "paper_value"].tolist() == [147000] * 3
    assert len(pd.read_parquet(paths.results(settings.name) / caption_pipelines.EXPERIMENT / "items.parquet")) == len(
        findings.items
    )


def test_what_the_notebook_shows(settings: Profile, findings: Findings) -> None:
    assert len(caption_pipelines.one_picture(settings, findings.items, 6)) == 6
    assert caption_pipelines.mistakes(settings, findings.items, 3)[0].picture.shape == (64, 64, 3)
    overlooked = findings.items[findings.items["set"] == caption_pipelines.OVERLOOKED]
    assert len(caption_pipelines.sample(settings, overlooked, 2)) == 2
    assert {"in the picture", "question negated itself"} <= set(caption_pipelines.dropped(findings.items).iloc[:, 2])
    steps = caption_pipelines.step_by_step(settings, 4)
    assert ((steps["in the picture?"] == "no") == (steps["updated caption"] != "")).all()
    assert (caption_pipelines.swaps(settings)["caption"] != caption_pipelines.swaps(settings)["negative"]).all()
    rows = caption_pipelines.referred(settings, 3)
    assert len(caption_pipelines.compared(rows)) == 3
    drawn = [
        plots.errors(findings.quality),
        plots.natural(findings.quality),
        plots.plausibility(findings.items),
        plots.negations(findings.negations),
        plots.referring(rows),
    ]
    assert [len(figure.axes) for figure in drawn] == [2, 1, 1, 2, 9]
    assert drawn[0].axes[0].get_lines()
    careful = plots.errors(findings.quality[findings.quality["error"] == 0])
    assert "does not vary it" in careful.axes[0].texts[0].get_text()
    plt.close("all")
