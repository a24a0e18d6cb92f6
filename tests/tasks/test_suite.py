from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
from data_files import complaint
from PIL import Image

from miniworld.writers import ccneg as ccneg_writer
from negutil import config, results
from negutil.captions.english import NOUNS
from negutil.config import Profile, Splits
from negutil.data import skipped
from negutil.models import loader, registry
from negutil.models.pictures import PictureFiles
from negutil.tasks import ccneg, coco_retrieval, negrefcocog, pairwise, suite, zero_shot
from negutil.tasks.suite import Data

SINGLE = Splits(0, 80, 0)


@pytest.fixture(scope="module")
def settings() -> Profile:
    """The quick profile with a very small world."""
    quick = config.load("quick")
    small = dataclasses.replace(
        quick.world,
        scenes=Splits(4, 4, 24),
        refcocog=Splits(4, 4, 40),
        imagenet=SINGLE,
        caltech101=Splits(0, 0, 80),
        ccneg=Splits(4, 0, 12),
    )
    bootstrap = dataclasses.replace(quick.bootstrap, resamples=50)
    return dataclasses.replace(quick, world=small, bootstrap=bootstrap)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for this module alone, in which two registered models differ in their text towers."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(cache))
    monkeypatch.setattr(ccneg_writer, "POOL", 4)
    entries = {name: _entry(cache / name, name) for name in ("plain", "tuned")}
    monkeypatch.setattr(registry, "find", entries.__getitem__)


def _entry(folder: Path, name: str) -> registry.Entry:
    if (folder / "weights.safetensors").exists():
        return model_files.entry(folder / "weights.safetensors", name=name)
    folder.mkdir()
    state = model_files.state()
    state["text_projection"][0] += name == "tuned"
    return model_files.write(folder, state, name=name)


@pytest.fixture
def data(settings: Profile) -> Data:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_retrieval.CocoRetrieval.read, "__defaults__", (20,))
        return suite.prepare(settings)


def test_every_task_is_in_the_frame_of_a_model(settings: Profile, data: Data) -> None:
    frame = suite.evaluate("plain", settings, data)
    assert tuple(frame.columns) == suite.COLUMNS
    expected = {*suite.TITLES, suite.AFFIRMED, suite.BARE, ccneg.REVERSED, ccneg.BOTH}
    assert set(frame["task"]) == expected
    assert not frame.duplicated(["task", "item"]).any()
    counts = frame.groupby("task").size()
    assert counts[suite.VALSE] == 12
    assert counts[suite.COCO] == 100
    assert counts[suite.IMAGENET] == 80
    assert counts[suite.CCNEG] == 12
    assert counts[suite.AFFIRMED] == counts[suite.REFERRING] == len(data[suite.REFERRING])
    assert set(suite.chance(data)) == expected
    assert (suite.chance(data)[suite.COCO], suite.chance(data)[ccneg.BOTH]) == (5 / 20, 0.25)
    assert suite.chance(data)[suite.IMAGENET] == pytest.approx(1 / len(NOUNS))
    assert frame[frame["task"] == suite.COCO]["rank"].between(1, 20).all()
    retrieved = frame[frame["task"] == suite.COCO]
    assert (retrieved["right"] == (retrieved["rank"] <= 5)).all()


def test_a_tuned_text_tower_decodes_no_picture(settings: Profile, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = suite.evaluate("plain", settings, data)

    def unreadable(self: PictureFiles, row: int) -> None:
        raise AssertionError(f"{self.paths[row]} was decoded")

    monkeypatch.setattr(PictureFiles, "__getitem__", unreadable)
    tuned = suite.evaluate("tuned", settings, data)
    assert set(tuned["model"]) == {"tuned"}
    assert not np.allclose(plain["margin"].dropna(), tuned["margin"].dropna())


def test_records_are_those_of_the_frame_and_can_be_saved(settings: Profile, data: Data) -> None:
    frame = suite.evaluate("plain", settings, data)
    found = suite.records(frame, "05_negationclip", settings)
    path = results.save(found, "quick", "05_negationclip", "benchmarks")
    saved = pd.read_csv(path).set_index(["task", "metric"])["value"]
    means = frame.groupby("task")["right"].mean()
    assert saved[f"{suite.VALSE}, all items", pairwise.METRIC] == pytest.approx(means[suite.VALSE], rel=1e-5)
    assert saved[suite.BARE, negrefcocog.METRIC] == pytest.approx(means[suite.BARE], rel=1e-5)
    assert saved[ccneg.BOTH, pairwise.METRIC] == pytest.approx(means[ccneg.BOTH], rel=1e-5)
    assert saved[suite.COCO, "recall@5"] == pytest.approx(means[suite.COCO], rel=1e-5)
    assert saved[suite.CALTECH101, "top-1 accuracy"] == pytest.approx(means[suite.CALTECH101], rel=1e-5)
    assert {metric for task, metric in saved.index if task == suite.COCO} == {"recall@1", "recall@5", "recall@10"}


def test_rules_stand_beside_the_models(settings: Profile, data: Data) -> None:
    found = suite.rules(data)
    affirmative = found[pairwise.ALWAYS_AFFIRMATIVE]
    assert affirmative[suite.VALSE]["right"].mean() == 0.5
    assert affirmative[suite.CCNEG]["right"].all()
    assert not affirmative[ccneg.BOTH]["right"].any()
    assert set(found[negrefcocog.FIRST_BOX]) == {suite.REFERRING}
    frame = suite.table(affirmative, "rule")
    records = suite.records(frame, "e", settings)
    assert {record.model for record in records} == {"rule"}


def test_some_tasks_alone_and_unknown_ones(settings: Profile) -> None:
    data = suite.prepare(settings, [suite.VALSE])
    frames = suite.run(loader.load_entry(registry.find("plain")), data, settings)
    assert list(frames) == [suite.VALSE]
    assert "There is no benchmark 'Flickr'" in complaint(suite.prepare, settings, ["Flickr"])


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (suite.VALSE, "Heidelberg-NLP/VALSE"),
        (suite.REFERRING, "parkquasar/NegationCLIP"),
        (suite.IMAGENET, "image-net.org"),
        (suite.CALTECH101, "data.caltech.edu"),
        (suite.CCNEG, "jaisidhsingh/CoN-CLIP"),
        (suite.COCO, "cocodataset.org"),
    ],
)
def test_missing_published_data_say_where_to_get_them(
    task: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    skipped.forget()
    paper = config.load("paper")
    assert suite.prepare(paper, [task]) == {}
    (skip,) = skipped.found(paper).to_dict("records")
    assert skip["what"] == task
    assert told in skip["reason"]
    assert str(tmp_path) in skip["reason"]


def test_published_phrases_without_their_photographs(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    shutil.copytree(shared_data / "negrefcocog", tmp_path / "negrefcocog")
    (tmp_path / "coco").mkdir()
    skipped.forget()
    paper = config.load("paper")
    assert suite.prepare(paper, [suite.REFERRING]) == {}
    (reason,) = skipped.found(paper)["reason"]
    assert re.search(r"coco/train2014: there is no such folder; get .* train2014\.zip", reason)
    assert paper.data == tmp_path


def test_published_classes_of_imagenet_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    skipped.forget()
    paper, folder = config.load("paper"), tmp_path / "imagenet"
    for wnid in ("n01440764", "n01443537"):
        (folder / "val" / wnid).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "val" / wnid / "ILSVRC2012_val_00000293.JPEG")
    assert suite.prepare(paper, [suite.IMAGENET]) == {}
    assert "has 2 of ImageNet's 1000 class folders" in skipped.found(paper)["reason"].item()
    (folder / "en_classnames.json").write_text(json.dumps({"imagenet1k": ["tench", "goldfish"]}))
    rows = suite.prepare(paper, [suite.IMAGENET])[suite.IMAGENET]
    assert zero_shot.class_names(rows) == ["tench", "goldfish"]
    assert suite.texts({suite.IMAGENET: rows}) == ["a photo of a tench.", "a photo of a goldfish."]
