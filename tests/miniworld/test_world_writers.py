"""The scene datasets: read back by the loaders of the formats, and true of the scenes beside them."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from miniworld import referring, scenes, truth
from miniworld.truth import Known
from miniworld.writers import _shared
from miniworld.writers import coco as coco_writer
from miniworld.writers import folders as folders_writer
from miniworld.writers import phrasecut as phrasecut_writer
from miniworld.writers import refcocog as refcocog_writer
from miniworld.writers import voc as voc_writer
from miniworld.writers import vqa as vqa_writer
from negutil import config
from negutil.captions import english
from negutil.captions.english import HELD_OUT_COLOURS, HELD_OUT_NOUNS, NOUNS
from negutil.config import Splits
from negutil.data import coco, folders, phrasecut, refcocog, voc, vqa
from negutil.errors import NegutilError

SIZES = Splits(train=60, val=30, test=30)
RELEASES = {"train": "train2014", "val": "val2017", "test": "test2017"}
seeds = st.integers(0, 2**32)
calm = settings(deadline=None, max_examples=60)
Folders = dict[str, Path]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("world")
    named = {"coco": coco_writer, "vqa": vqa_writer, "refcocog": refcocog_writer, "phrasecut": phrasecut_writer}
    for name, writer in named.items():
        (root / name).mkdir()
        writer.write(root / name, SIZES, 0)
    for name in ("voc", "imagenet", "caltech101"):
        (root / name).mkdir()
    voc_writer.write(root / "voc", Splits(train=0, val=0, test=40), 0)
    folders_writer.write_imagenet(root / "imagenet", Splits(train=0, val=100, test=0), 0)
    folders_writer.write_caltech101(root / "caltech101", Splits(train=0, val=0, test=100), 0)
    return {path.name: path for path in root.iterdir()}


def _known(folder: Path) -> dict[int, Known]:
    return {known.image_id: known for known in truth.read(folder)}


def _load_coco(folder: Path, split: str) -> Any:
    release = RELEASES[split]
    notes = folder / "annotations"
    return coco.load(notes / f"captions_{release}.json", notes / f"instances_{release}.json", folder / release)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_coco_comes_back_as_it_was_drawn(parts: Folders, split: str) -> None:
    dataset, known = _load_coco(parts["coco"], split), _known(parts["coco"])
    assert len(dataset) == getattr(SIZES, split)
    for row in dataset:
        scene = known[row["image_id"]].scene
        assert known[row["image_id"]].split == split
        assert Counter(row["categories"]) == Counter(noun for noun, _ in scene.named())
        assert row["image"].size == (64, 64)
        difference = np.asarray(row["image"], dtype=int) - scenes.draw(scene)
        assert np.abs(difference).mean() < 6


def test_coco_masks_boxes_and_areas_agree(parts: Folders) -> None:
    known = _known(parts["coco"])
    for row in _load_coco(parts["coco"], "val"):
        expected = truth.masks(known[row["image_id"]].scene)
        for shape, box, area, mask in zip(row["segmentations"], row["boxes"], row["areas"], expected, strict=True):
            assert np.array_equal(coco.mask(shape, 64, 64), mask)
            assert area == mask.sum()
            assert tuple(box) == truth.tight_box(mask)
        assert not any(row["is_crowd"])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_coco_captions_are_true_affirmative_and_different(parts: Folders, split: str) -> None:
    known = _known(parts["coco"])
    for row in _load_coco(parts["coco"], split):
        scene = known[row["image_id"]].scene
        assert len(set(row["captions"])) == 5
        assert split == "train" or set(english.mentions(row["captions"][0])) == scene.nouns
        for caption in row["captions"]:
            assert set(english.mentions(caption)) <= truth.sayable(scene.nouns)
            assert not re.search(r"\b(no|not|without|never)\b|n't", caption)


def _is_held_out(caption: str) -> bool:
    marks = [form.text.replace("{things}", "(.+)").replace(" {place}", ".*") for form in coco_writer.HELD_OUT_FORMS]
    return any(re.fullmatch(mark.replace("{place} ", "(.* )?"), caption) for mark in marks)


def test_held_out_forms_are_a_quarter_of_val_and_test_and_none_of_train(parts: Folders) -> None:
    share = {}
    for split in ("train", "val", "test"):
        captions = [caption for row in _load_coco(parts["coco"], split)["captions"] for caption in row]
        share[split] = sum(map(_is_held_out, captions)) / len(captions)
    assert share["train"] == 0
    assert 0.15 < share["val"] < 0.36 and 0.15 < share["test"] < 0.36


def test_how_many_captions_name_everything_is_a_setting_of_training_pictures_alone(parts: Folders) -> None:
    drawn = list(_known(parts["coco"]).values())

    def named(split: str, full: float) -> float:
        several = (entry for entry in drawn if len({thing.noun for thing in entry.scene.things}) > 1)
        own = {entry.image_id: entry for entry in several if entry.split == split}
        captions = coco_writer._captions(list(own.values()), 0, full)["annotations"]
        complete = [set(english.mentions(each["caption"])) == own[each["image_id"]].scene.nouns for each in captions]
        return sum(complete) / len(complete)

    usual = config.load("mini").world.full_captions
    assert named("train", 0.0) < 0.02 < named("train", usual) < usual + 0.05
    assert named("train", 1.0) == 1
    assert named("val", 0.0) == named("val", 1.0)


def test_a_share_of_captions_above_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"full_captions of the profile is 1\.5"):
        coco_writer.write(tmp_path, SIZES, 0, 1.5)


def test_official_keys_of_coco(parts: Folders, shared_data: Path) -> None:
    for kind in ("captions", "instances"):
        ours = json.loads((parts["coco"] / "annotations" / f"{kind}_val2017.json").read_text())
        real = json.loads((shared_data / "coco" / "annotations" / f"{kind}_val2017.json").read_text())
        assert set(ours) == set(real)
        for section in set(real) - {"info"}:
            assert set(ours[section][0]) == set(real[section][0]), section
            for key, value in real[section][0].items():
                assert isinstance(ours[section][0][key], type(value)), (section, key)


@pytest.mark.parametrize("part", ["coco", "voc", "refcocog", "phrasecut", "imagenet", "caltech101"])
def test_no_two_pictures_of_a_part_are_the_same(parts: Folders, part: str) -> None:
    pictures = [path for path in parts[part].rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")]
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in pictures}) == len(pictures) > 30
    assert len({scenes.draw(known.scene).tobytes() for known in truth.read(parts[part])}) == len(pictures)


@pytest.mark.parametrize("part", ["coco", "voc", "refcocog", "phrasecut", "imagenet", "caltech101"])
def test_the_truth_names_every_picture(parts: Folders, part: str) -> None:
    for known in truth.read(parts[part]):
        with Image.open(parts[part] / known.file_name) as picture:
            assert (picture.size, picture.mode, picture.format) == ((64, 64), "RGB", "JPEG")


def test_a_repeated_scene_is_drawn_again() -> None:
    scene = [scenes.sample(random.Random(seed)) for seed in range(3)]
    turns = iter([0, 0, 1, 1, 0, 2])
    found = [s for _, _, s, _ in _shared.draw_all("x", Splits(2, 1, 0), 0, lambda _: scene[next(turns)], scenes.draw)]
    assert found == scene
    with pytest.raises(NegutilError, match="smaller train size"):
        list(_shared.draw_all("x", Splits(2, 0, 0), 0, lambda _: scene[0], scenes.draw))


def test_items_do_not_depend_on_the_size_of_the_split() -> None:
    few = list(_shared.entries("coco", Splits(5, 0, 3), 0, scenes.sample, coco_writer.NAMES))
    many = list(_shared.entries("coco", Splits(9, 0, 4), 0, scenes.sample, coco_writer.NAMES))
    assert few == [entry for entry in many if entry in few] and len(few) == 8


def test_voc_comes_back_as_it_was_drawn(parts: Folders) -> None:
    dataset = voc.load(parts["voc"] / "VOCdevkit" / "VOC2007")
    known = _known(parts["voc"])
    assert len(dataset) == 40 and len(voc_writer.CLASSES) == 20
    for row in dataset:
        scene = known[int(row["image_id"])].scene
        pairs = zip(truth.instances(scene), truth.masks(scene), strict=True)
        expected = [(voc_writer.class_of(one.noun), truth.tight_box(mask)) for one, mask in pairs]
        found = zip(row["categories"], map(tuple, row["boxes"]), strict=True)
        assert list(found) == [(name, box) for name, box in expected if name] != []


def test_voc_class_lists_say_what_is_there(parts: Folders) -> None:
    sets = parts["voc"] / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    known = _known(parts["voc"])
    for name in voc_writer.CLASSES:
        for line in (sets / f"{name}_test.txt").read_text().splitlines():
            image_id, flag = line.split()
            assert (flag == "1") == (name in voc_writer.classes(known[int(image_id)].scene))
    assert voc_writer.class_of("baby") == "person" and voc_writer.class_of("cookie") is None


def _load_vqa(parts: Folders, subtype: str) -> Any:
    release = subtype.replace("val2014", "val2017")
    pattern = "{image_id:012d}.jpg" if subtype == "val2014" else None
    questions = parts["vqa"] / f"v2_OpenEnded_mscoco_{subtype}_questions.json"
    annotations = parts["vqa"] / f"v2_mscoco_{subtype}_annotations.json"
    return vqa.load(questions, annotations, parts["coco"] / release, pattern)


@pytest.mark.parametrize("subtype", ["train2014", "val2014"])
def test_vqa_answers_are_balanced_and_agreed_on(parts: Folders, subtype: str) -> None:
    dataset = _load_vqa(parts, subtype)
    answers = Counter(row["answer"] for row in dataset if row["answer_type"] == "yes/no")
    assert set(answers) == {"yes", "no"} and abs(answers["yes"] - answers["no"]) <= 1
    assert set(dataset["answer_type"]) == {"yes/no", "number", "other"}
    assert all(given == [answer] * 10 for answer, given in zip(dataset["answer"], dataset["answers"], strict=True))
    starts = zip(dataset["question"], dataset["question_type"], strict=True)
    assert all(question.lower().startswith(kind) for question, kind in starts)


@pytest.mark.parametrize("subtype", ["train2014", "val2014"])
def test_vqa_answers_about_presence_are_true(parts: Folders, subtype: str) -> None:
    known = _known(parts["coco"])
    for row in _load_vqa(parts, subtype):
        scene = known[row["image_id"]].scene
        named = set(english.mentions(row["question"]))
        if row["question"].startswith("Is there"):
            there = any(truth.is_a(noun, name) for noun in scene.nouns for name in named)
            assert (row["answer"] == "yes") == there
            assert row["answer"] == "yes" or subtype != "train2014" or not named & HELD_OUT_NOUNS
        elif row["question"].startswith("How many"):
            count = sum(truth.is_a(noun, name) for noun, _ in scene.named() for name in named)
            assert row["answer"] == str(count)
        else:
            assert min(named & scene.nouns)


def test_vqa_answers_about_attributes_are_true(parts: Folders) -> None:
    known, checked = _known(parts["coco"]), Counter[str]()
    for row in (row for subtype in ("train2014", "val2014") for row in _load_vqa(parts, subtype)):
        found = re.fullmatch(r"(?:Is|What color is) the ([a-z ]+?)(?: wearing an? (\w+)| (\w+))?\?", row["question"])
        if found is None:
            continue
        noun, worn, other = found.groups()
        noun, other = (f"{noun} {other}", None) if f"{noun} {other}" in NOUNS else (noun, other)
        (thing,) = [thing for thing in known[row["image_id"]].scene.things if thing.noun == noun]
        if row["answer_type"] == "other":
            assert row["answer"] == thing.colour
        elif worn:
            assert (row["answer"] == "yes") == (worn in {extra.noun for extra in thing.extras})
        else:
            assert (row["answer"] == "yes") == (other in (thing.colour, thing.action))
        checked["worn" if worn else row["answer_type"]] += 1
    assert checked["worn"] > 0 and checked["yes/no"] > 5 and checked["other"] > 5


def test_official_keys_of_vqa(parts: Folders, shared_data: Path) -> None:
    import gzip

    ours = json.loads((parts["vqa"] / "v2_mscoco_train2014_annotations.json").read_text())["annotations"][0]
    packed = (shared_data / "vqav2" / "vqa_annotatons_valid.gzip").read_bytes()
    real = json.loads(gzip.decompress(packed))["annotations"][0]
    assert set(ours) == set(real) - {"split"}
    assert set(ours["answers"][0]) == set(real["answers"][0])


def _fits(clue: dict[str, Any], scene: scenes.Scene) -> list[int]:
    """Indices of the instances that a sentence fits, worked out anew from its clue."""
    instances = truth.instances(scene)
    alike = [index for index, one in enumerate(instances) if truth.is_a(one.noun, clue["noun"])]
    verdicts = {index: referring.fits(instances[index], clue["kind"], clue["value"]) for index in alike}
    assert None not in verdicts.values()
    return [index for index, verdict in verdicts.items() if verdict != clue["negated"]]


def test_refcocog_sentences_fit_exactly_their_object(parts: Folders) -> None:
    known = _known(parts["refcocog"])
    dataset = refcocog.load(parts["refcocog"], pictures=parts["refcocog"] / "train2014")
    clues = {row["sent_id"]: row for row in json.loads((parts["refcocog"] / "sentences.json").read_text())}
    assert set(dataset["sent_id"]) == set(clues)
    for row in dataset.remove_columns("image"):
        clue, scene = clues[row["sent_id"]], known[row["image_id"]].scene
        assert row["split"] == clue["split"] == known[row["image_id"]].split
        assert _fits(clue, scene) == [clue["target"]]
        assert row["ann_id"] == coco_writer.annotation_id(row["image_id"], clue["target"])
        assert row["category"] == truth.instances(scene)[clue["target"]].noun == clue["noun"]
        mask = truth.masks(scene)[clue["target"]]
        assert np.array_equal(coco.mask(row["segmentation"], 64, 64), mask)
        assert (
            bool(re.search(r"\b(no|not|without|lacks|lacking|minus|never|but)\b|n't|non-", row["sentence"]))
            == (clue["negated"])
        )


def test_refcocog_keeps_forms_and_words_out_of_training(parts: Folders) -> None:
    rows = json.loads((parts["refcocog"] / "sentences.json").read_text())
    train = [row for row in rows if row["split"] == "train"]
    tested = [row for row in rows if row["split"] != "train"]
    assert not any(row["held_out"] for row in train)
    assert not any(row["negated"] and row["value"] in HELD_OUT_NOUNS | HELD_OUT_COLOURS for row in train)
    assert 0.15 < sum(row["held_out"] for row in tested) / len(tested) < 0.35
    assert {row["kind"] for row in rows if row["negated"]} == set(referring.KINDS)
    assert 0.35 < sum(row["negated"] for row in rows) / len(rows) < 0.65


def test_refcocog_has_the_fields_of_refer(parts: Folders) -> None:
    ref = json.loads((parts["refcocog"] / "refs(umd).json").read_text())[0]
    fields = ["ann_id", "category_id", "file_name", "image_id", "ref_id", "sent_ids", "sentences", "split"]
    assert sorted(ref) == fields
    assert sorted(ref["sentences"][0]) == ["raw", "sent", "sent_id", "tokens"]
    assert ref["sent_ids"] == [sentence["sent_id"] for sentence in ref["sentences"]]
    assert ref["file_name"] == f"COCO_train2014_{ref['image_id']:012d}_{ref['ann_id']}.jpg"


@calm
@given(seeds)
def test_referring_scenes_have_a_thing_to_single_out(seed: int) -> None:
    scene = referring.sample(random.Random(seed))
    found = referring.clues(scene)
    assert any(clue.target == 0 for clue in found)
    assert Counter(thing.noun for thing in scene.things)[scene.things[0].noun] >= 2
    for clue in found:
        row = {"noun": clue.noun, "kind": clue.kind, "value": clue.value, "negated": clue.negated}
        assert _fits(row, scene) == [clue.target]


@calm
@given(seeds)
def test_every_clue_can_be_said_in_training_and_in_testing(seed: int) -> None:
    for clue in referring.clues(referring.sample(random.Random(seed))):
        for held_out in (False, True):
            for form in referring.forms(clue, held_out):
                phrase = referring.say(clue, form)
                assert clue.value in phrase and clue.noun in phrase and "{" not in phrase
            assert referring.forms(clue, held_out)


def test_a_quarter_of_the_referring_forms_is_held_out() -> None:
    for negated in (False, True):
        pool = [form for form in referring.FORMS if form.negated == negated]
        assert len(pool) >= 20
        assert 0.2 <= sum(form.held_out for form in pool) / len(pool) <= 0.3


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_phrasecut_regions_are_everything_that_a_phrase_fits(parts: Folders, split: str) -> None:
    folder, known = parts["phrasecut"], _known(parts["phrasecut"])
    dataset = phrasecut.load(
        folder / f"refer_{split}.json", folder / "images", folder / "image_data_split3000.json"
    ).remove_columns("image")
    for row in dataset:
        scene = known[row["image_id"]].scene
        masks, expected = truth.masks(scene), np.zeros((64, 64), dtype=bool)
        for index, one in enumerate(truth.instances(scene)):
            colour = row["attributes"][0] if row["attributes"] else one.colour
            worn = row["relations"][0].split()[1] if row["relations"] else None
            if truth.is_a(one.noun, row["name"]) and one.colour == colour and (worn is None or worn in one.extras):
                expected |= masks[index]
        assert expected.any() and np.array_equal(phrasecut.mask(row["polygons"], 64, 64), expected), row["phrase"]
        assert row["phrase"].split()[-1] in (row["name"].split()[-1], *(r.split()[-1] for r in row["relations"]))


def test_phrasecut_phrases_of_a_picture_mean_different_regions(parts: Folders) -> None:
    tasks = json.loads((parts["phrasecut"] / "refer_train.json").read_text())
    assert len({task["task_id"] for task in tasks}) == len(tasks) > 100
    kinds = Counter(task["phrase_structure"]["type"] for task in tasks)
    assert set(kinds) == {"name", "attribute", "relation"}
    assert sum(len(task["instance_boxes"]) > 1 for task in tasks) > 10


@pytest.mark.parametrize("part", ["imagenet", "caltech101"])
def test_class_folders_hold_single_things(parts: Folders, part: str) -> None:
    dataset = folders.load(parts[part])
    assert dataset.features["label"].names == sorted(NOUNS)
    by_name = {Path(known.file_name).relative_to(_inside(part)).as_posix(): known for known in truth.read(parts[part])}
    for name, label in zip(dataset["file_name"], dataset["class_name"], strict=True):
        (thing,) = by_name[name].scene.things
        assert thing.noun == label
    sizes = Counter(dataset["class_name"]).values()
    assert max(sizes) - min(sizes) <= 1


def _inside(part: str) -> str:
    return {"imagenet": "val", "caltech101": "101_ObjectCategories"}[part]


def test_truth_that_cannot_be_read_is_named(parts: Folders, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"truth.json cannot be read"):
        truth.read(tmp_path)
    for text in ("{", "[1]", '[{"file_name": "x"}]'):
        (tmp_path / "truth.json").write_text(text)
        with pytest.raises(NegutilError, match="build this part of the world again"):
            truth.read(tmp_path)
