"""Flickr8k in the layout of other datasets, and the annotator that knows its captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_files import complaint

from negutil import config
from negutil.captions import caption_sets, exclusion, negation_terms, photographs, web_captions
from negutil.captions.rule_annotator import Options, RuleAnnotator, Shown
from negutil.config import Profile, Splits
from negutil.data import coco, source

ANNOTATOR = RuleAnnotator(
    {
        "test2017/a.jpg": Shown(("dog", "ball"), frozenset({"dog", "ball", "frisbee"})),
        "test2017/b.jpg": Shown(("dog", "man"), frozenset({"dog", "man"})),
        "test2017/c.jpg": Shown(("man", "bicycle"), frozenset({"man", "bicycle"})),
    }
)


@pytest.fixture(scope="module")
def settings(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    photo = config.load("photo")
    world = dataclasses.replace(photo.world, ccneg=Splits(0, 0, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_DATA", str(shared_data))
        patch.setenv("NEGUTIL_CACHE", str(tmp_path_factory.mktemp("photographs")))
        yield dataclasses.replace(photo, photographs=Splits(20, 5, 40), world=world)


@pytest.fixture(autouse=True)
def its_folders(settings: Profile, private_folders: None, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(shared_data))


@pytest.fixture
def folder(settings: Profile) -> Path:
    return source.folder(settings, "coco")


def test_the_parts_are_cocos_and_link_the_photographs(folder: Path, shared_data: Path) -> None:
    for split, count in (("train2014", 20), ("val2017", 5), ("test2017", 40)):
        captions, instances = (folder / "annotations" / f"{kind}_{split}.json" for kind in ("captions", "instances"))
        rows = coco.load(captions, instances, folder / split)
        assert len(rows) == count
        assert {len(texts) for texts in rows["captions"]} == {5}
        assert rows["image"][0].size == (rows["width"][0], rows["height"][0])
        assert not any(set(there) & set(more) for there, more in zip(rows["categories"], rows["implied"], strict=True))
    link = next((folder / "test2017").iterdir())
    assert link.resolve().parent == (shared_data / "flickr8k" / "Flicker8k_Dataset").resolve()
    assert source.is_built(folder) and not source.is_drawn(folder)


def test_what_a_hint_may_mean_is_neither_there_nor_absent() -> None:
    there = exclusion.labels([["man"], ["dog"]], None, [["woman"], []])
    assert list(there) == ["dog", "man"]
    there = exclusion.labels([["man"], ["woman"]], None, [["woman"], []])
    assert there["woman"].tolist() == [True, True]


def test_annotators_know_the_captions(settings: Profile, folder: Path) -> None:
    vision = caption_sets.annotators_of(settings).vision
    rows = coco.load(None, folder / "annotations" / "instances_train2014.json")
    (row, *_) = [row for row in rows if row["categories"]]
    picture = folder / "train2014" / row["file_name"]
    assert vision.shows([picture], row["categories"][:1]) == [True]
    assert "has no captions here" in complaint(vision.shows, [Path("x.jpg")], ["dog"])


def test_proposals_are_neither_named_nor_hinted_at_and_follow_from_the_caption() -> None:
    captions = ["A dog runs .", "A rider on a dirt track ."]
    (of_dog, of_rider) = ANNOTATOR.propose(captions, 3)
    assert set(of_dog) == {"ball", "man", "bicycle"}
    assert of_dog[-1] == "bicycle", "it never comes along with a dog"
    assert set(of_rider) == {"dog", "ball"}, "a rider may be a man, on a bicycle"
    assert ANNOTATOR.propose(captions[1:], 3) == [of_rider]
    assert ANNOTATOR.extract(captions) == [["dog"], []]
    assert set(RuleAnnotator(ANNOTATOR._shown, Options(plausible=False)).propose(captions, 3)[0]) == set(of_dog)


def test_a_noun_that_means_many_things_is_shown_where_one_of_them_is() -> None:
    pictures = [Path(f"/x/test2017/{name}.jpg") for name in "abc"]
    assert ANNOTATOR.shows(pictures, ["people"] * 3) == [False, True, True]
    assert ANNOTATOR.shows(pictures, ["frisbee"] * 3) == [True, False, False]


def test_sentences_deny_what_they_are_asked_to() -> None:
    (text,) = ANNOTATOR.negate(["A dog runs."], ["ball"])
    assert "ball" in text and "dog" in text
    assert negation_terms.load()[1].pattern
    assert ANNOTATOR.paraphrase(["This image includes dog"])[0].endswith(".")
    assert "cannot paraphrase" in complaint(ANNOTATOR.paraphrase, ["anything"])


def test_every_caption_with_a_cue_has_a_label(settings: Profile) -> None:
    whole = dataclasses.replace(settings, photographs=Splits(0, 1, 1))
    widest = negation_terms.load()[-1]
    table = web_captions.kinds_of_cues(whole, widest)
    assert table["kind"].tolist() == list(web_captions.PHOTO_KINDS.values())
    assert table["captions"].sum() > 80
    assert table["captions"][0] > 0.7 * table["captions"].sum()


def test_ccneg_and_negbench_are_about_the_test_part(settings: Profile) -> None:
    names = {path.name for path in (source.folder(settings, "coco") / "test2017").iterdir()}
    for name, pattern in (("negbench", "*.csv"), ("ccneg", "*.pt")):
        assert len(list(source.folder(settings, name).glob(pattern))) == {"negbench": 5, "ccneg": 2}[name]
    from negutil.tasks import find

    rows = find()["CC-Neg"].read(settings).plain
    assert len(rows) == 20
    assert {Path(name).name for name in rows["file_name"]} <= names
    assert photographs.build("ccneg", settings) == source.folder(settings, "ccneg")
