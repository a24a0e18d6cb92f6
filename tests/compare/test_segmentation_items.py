from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import segmenter_files
import torch

from miniworld import build
from negutil import config
from negutil.compare import segmentation_items as benchmarks
from negutil.compare.segmentation_items import Phrases
from negutil.config import Profile, Splits
from negutil.data import coco, refcocog
from negutil.errors import NegutilError
from negutil.models import miniclipseg
from negutil.models.miniclipseg import Segmenter
from negutil.tasks import segmentation


@pytest.fixture(scope="module")
def settings() -> Profile:
    quick = config.load("quick")
    few = dataclasses.replace(quick.world, refcocog=Splits(1, 4, 12), phrasecut=Splits(1, 4, 8))
    return dataclasses.replace(quick, name="quick-segmentation", world=few)


@pytest.fixture
def tasks(settings: Profile) -> dict[str, Phrases]:
    return benchmarks.load(settings, 64)


@pytest.fixture
def segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    segmenter_files.write(tmp_path, monkeypatch)
    return miniclipseg.load()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the car that is not red", "not"),
        ("the person who isn't running", "not"),
        ("a dog without a hat", "without"),
        ("the woman with no umbrella", "no"),
        ("the non-red car", "other"),
        ("the car that is anything but red", "other"),
        ("the dog anywhere but on the left", "other"),
        ("the robot that lacks a crown", "other"),
        ("the red car", ""),
        ("truck no. 1", ""),
        ("the umbrella on the left", ""),
    ],
)
def test_a_phrase_negates_by_its_cue(text: str, expected: str) -> None:
    assert benchmarks.cue(text) == expected


def test_every_task_is_there_and_negated_sentences_are_all_in_one(tasks: dict[str, Phrases]) -> None:
    assert set(tasks) == set(benchmarks.TASKS)
    assert all(tasks[benchmarks.NEGATED].cues)
    assert not any(tasks[benchmarks.AFFIRMATIVE].cues)
    assert not any(tasks[benchmarks.PHRASECUT].cues)
    assert tasks[benchmarks.BARE].texts != tasks[benchmarks.NEGATED].texts
    np.testing.assert_array_equal(tasks[benchmarks.BARE].bits, tasks[benchmarks.NEGATED].bits)


def test_masks_and_rivals_are_those_of_the_annotations(settings: Profile, tasks: dict[str, Phrases]) -> None:
    folder = build.build("refcocog", settings)
    rows = refcocog.load(folder, split="test").to_pandas()
    own = rows[rows["sentence"].map(benchmarks.cue) != ""].reset_index(drop=True)
    phrases = tasks[benchmarks.NEGATED]
    drawn = np.stack([coco.mask(row.segmentation, 64, 64) for row in own.itertuples()])
    np.testing.assert_array_equal(phrases.masks(), drawn)
    others = benchmarks.unpacked(phrases.rivals, 64)
    assert len(others)
    assert not (others & drawn[phrases.rival_of]).any(), "visible pixels belong to one thing alone"


def test_masks_of_another_size_are_brought_to_the_models() -> None:
    mask = np.zeros((10, 20), bool)
    mask[:, :10] = True
    found = benchmarks.unpacked(benchmarks.packed(mask, 8)[None], 8)[0]
    assert found[:, :4].all()
    assert not found[:, 4:].any()


def test_answers_are_those_of_the_model_phrase_by_phrase(tasks: dict[str, Phrases], segmenter: Segmenter) -> None:
    phrases = tasks[benchmarks.NEGATED]
    features = benchmarks.steering(segmenter, None, phrases.texts)
    answer = benchmarks.answers(segmenter, phrases, {"original": ("original", lambda: features)}, batch=5)["original"]
    pictures = benchmarks.PictureFiles(phrases.files)
    for row, text in enumerate(phrases.texts):
        pixels = segmenter.preprocess(pictures[phrases.picture[row]])[None]
        with torch.no_grad():
            whole = segmenter.model(input_ids=segmenter.tokenizer([text]), pixel_values=pixels).logits.sigmoid()
        if whole.ndim == 2:
            whole = whole[None]
        alone = segmentation.overlap(whole, phrases.masks(np.array([row])))
        assert np.abs(answer.overlap.marked[row] - alone.marked[0]).max() <= 3  # rounding at a threshold
        assert answer.overlap.meant[row] == alone.meant[0]
        others = benchmarks.unpacked(phrases.rivals[phrases.rival_of == row], 64)
        if not len(others):
            assert np.isnan(answer.right[row])
            continue
        own = whole[0].numpy()[phrases.masks(np.array([row]))[0]].mean()
        highest = max(whole[0].numpy()[other].mean() for other in others if other.any())
        assert answer.right[row] == float(own > highest) or abs(own - highest) < 1e-4
        assert answer.chance[row] == pytest.approx(1 / (1 + len(others)))


def test_a_second_time_the_answers_come_from_the_cache(tasks: dict[str, Phrases], segmenter: Segmenter) -> None:
    phrases = tasks[benchmarks.PHRASECUT]

    def never() -> dict[str, torch.Tensor]:
        raise AssertionError("the text tower was asked again")

    features = benchmarks.steering(segmenter, None, phrases.texts)
    first = benchmarks.answers(segmenter, phrases, {"a": ("cached", lambda: features)}, 4)["a"]
    again = benchmarks.answers(segmenter, phrases, {"b": ("cached", never)}, 4)["b"]
    np.testing.assert_array_equal(first.overlap.hit, again.overlap.hit)
    assert np.isnan(first.right).all(), "phrases of PhraseCut have no rivals"
    with pytest.raises(AssertionError, match="asked again"):
        benchmarks.answers(
            segmenter, dataclasses.replace(phrases, texts=("x",) * len(phrases)), {"b": ("cached", never)}, 4
        )


def test_rules_that_read_nothing(tasks: dict[str, Phrases]) -> None:
    phrases = tasks[benchmarks.NEGATED]
    found = benchmarks.blind(phrases, phrases)
    everything = found[benchmarks.EVERYTHING].overlap
    assert (everything.marked == 64 * 64).all()
    np.testing.assert_array_equal(everything.hit[:, 0], everything.meant)
    has_rivals = np.bincount(phrases.rival_of, minlength=len(phrases)) > 0
    assert (found[benchmarks.OTHERS].overlap.hit == 0).all()
    assert (found[benchmarks.OTHERS].right[has_rivals] == 0).all()
    np.testing.assert_array_equal(found[benchmarks.KIND].overlap.hit[:, 0], found[benchmarks.KIND].overlap.meant)


def test_a_split_without_negation_is_an_error(settings: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "cue", lambda text: "")
    with pytest.raises(NegutilError, match="build a larger world"):
        benchmarks.load(settings, 64)
