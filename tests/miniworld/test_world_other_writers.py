"""Faces, clips, radiographs, shapes, CC-Neg and LAION as they are written, read back and held to the truth."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from datasets import Dataset
from PIL import Image

from miniworld import alttext, build, clips, faces, radiographs, scenes, truth
from miniworld import shapes as easy_vqa
from miniworld.writers import _shared, ccneg, celeba, chexpert, laion, msrvtt, shapes
from negutil.captions import english
from negutil.captions.english import HELD_OUT_NOUNS
from negutil.config import Splits
from negutil.data import ccneg as ccneg_data
from negutil.data import celeba as celeba_data
from negutil.data import chexpert as chexpert_data
from negutil.data import msrvtt as msrvtt_data
from negutil.data import vqa as vqa_data
from negutil.errors import NegutilError
from negutil.fetch import check
from negutil.statistics import wilson

CUE = r"(?i)\b(?:no|not|without|never|none|neither|nor|nowhere|absent|lacks?|lacking|devoid|free of|minus|non)\b|n't\b"

SEED = 3
SIZES: dict[ModuleType, Splits] = {
    celeba: Splits(12, 6, 9),
    msrvtt: Splits(3, 0, 5),
    chexpert: Splits(20, 15, 0),
    shapes: Splits(8, 4, 6),
    ccneg: Splits(60, 0, 40),
    laion: Splits(20_000, 0, 0),
}
JPEG_ERROR = 6.0
"""Mean absolute difference in grey levels that a JPEG of quality 95 stays below."""

Written = Callable[[ModuleType], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The folder that a writer filled, written once for all tests."""
    folders: dict[ModuleType, Path] = {}

    def once(writer: ModuleType) -> Path:
        if writer not in folders:
            folders[writer] = tmp_path_factory.mktemp(writer.__name__.rsplit(".", 1)[-1])
            writer.write(folders[writer], SIZES[writer], SEED)
        return folders[writer]

    return once


def _pixels(dataset: Dataset, row: int) -> np.ndarray:
    return np.asarray(dataset[row]["image"]).astype(int)


@pytest.mark.parametrize("writer", SIZES, ids=lambda writer: writer.__name__.rsplit(".", 1)[-1])
def test_same_bytes_on_every_run(writer: ModuleType, written: Written, tmp_path: Path) -> None:
    writer.write(tmp_path, SIZES[writer], SEED)
    assert build.fingerprint(tmp_path) == build.fingerprint(written(writer))


@pytest.mark.parametrize("writer", [celeba, msrvtt, chexpert, ccneg, laion])
def test_another_seed_gives_other_bytes(writer: ModuleType, written: Written, tmp_path: Path) -> None:
    writer.write(tmp_path, SIZES[writer], SEED + 1)
    assert build.fingerprint(tmp_path)["sha256"] != build.fingerprint(written(writer))["sha256"]


def test_every_writer_is_a_part_of_the_world() -> None:
    assert {writer.__name__ for writer in SIZES} <= {part.module for part in build.PARTS.values()}


def test_items_that_look_the_same_are_sampled_again() -> None:
    drawn = list(_shared.draw_all("few", Splits(4, 0, 4), 0, _digit, lambda digit: np.full((2, 2), digit, np.uint8)))
    assert sorted(item for _, _, item, _ in drawn) == list(range(8))
    assert [split for split, *_ in drawn] == ["train"] * 4 + ["test"] * 4


def test_too_few_different_items_are_an_error() -> None:
    with pytest.raises(NegutilError, match="no new train image"):
        list(_shared.draw_all("few", Splits(9, 0, 0), 0, _digit, lambda digit: np.full((2, 2), digit, np.uint8)))


def _digit(rng: random.Random) -> int:
    return rng.randrange(8)


def _faces() -> list[faces.Face]:
    return [
        faces.sample(random.Random(f"celeba/{split}/{SEED}/{index}"))
        for split in ("train", "val", "test")
        for index in range(getattr(SIZES[celeba], split))
    ]


def test_celeba_labels_are_those_of_the_faces(written: Written) -> None:
    read = celeba_data.load(written(celeba))
    assert read["split"] == ["train"] * 12 + ["valid"] * 6 + ["test"] * 9
    assert celeba_data.attribute_names(written(celeba)) == list(faces.CELEBA_ATTRIBUTES)
    for row, face in enumerate(_faces()):
        assert {name: read[row][name] for name in faces.CELEBA_ATTRIBUTES} == face.attributes


def test_celeba_pictures_are_the_faces(written: Written) -> None:
    read = celeba_data.load(written(celeba))
    for row, face in enumerate(_faces()):
        assert np.abs(_pixels(read, row) - faces.draw(face)).mean() < JPEG_ERROR


def test_torchvision_reads_the_layout_of_celeba(written: Written) -> None:
    lines = (written(celeba) / "list_attr_celeba.txt").read_text().splitlines()
    assert lines[0] == "27"
    assert lines[1].split() == list(faces.CELEBA_ATTRIBUTES)
    assert {len(line.split()) for line in lines[2:]} == {41}
    assert (written(celeba) / "list_eval_partition.txt").read_text().splitlines()[12] == "000013.jpg 1"


def test_clips_decode_to_what_was_drawn(written: Written) -> None:
    read = msrvtt_data.load(written(msrvtt) / "MSRVTT_data.json", written(msrvtt) / "videos/all", split="test")
    for row in range(5):
        clip = clips.sample(random.Random(f"msrvtt/test/{SEED}/{row}"))
        shown = msrvtt_data.frames(read[row]["video"])
        assert shown.shape == (4, 64, 64, 3)
        drawn = clips.draw(clip)[msrvtt_data.positions(clip.length, 4)]
        assert np.abs(shown.astype(int) - drawn).mean() < 2.5


def test_clips_have_twenty_affirmative_sentences_and_their_times(written: Written) -> None:
    read = msrvtt_data.load(written(msrvtt) / "MSRVTT_data.json", written(msrvtt) / "videos/all")
    assert read["split"] == ["train"] * 3 + ["test"] * 5
    for row in read:
        assert len(row["captions"]) == msrvtt.SENTENCES
        assert row["end"] in {length / msrvtt.RATE for length in clips.LENGTHS}
    clip = clips.sample(random.Random(f"msrvtt/test/{SEED}/0"))
    assert all(set(english.mentions(caption)) <= truth.sayable(clip.nouns) for caption in read[3]["captions"])


def test_encoding_gives_the_same_bytes_each_time() -> None:
    for index in range(40):
        frames = clips.draw(clips.sample(random.Random(f"encode {index}")))
        assert msrvtt.encode(frames) == msrvtt.encode(frames.copy()), index


def test_chexpert_labels_are_those_of_the_radiographs(written: Written) -> None:
    root = written(chexpert) / chexpert.ROOT
    for split, name, count in (("train", "train", 20), ("val", "valid", 15)):
        read = chexpert_data.load(root / f"{name}.csv", written(chexpert))
        assert len(read) == count
        for row in range(count):
            item = radiographs.sample(random.Random(f"chexpert/{split}/{SEED}/{row}"))
            stated = {finding: read[row][finding] for finding in chexpert_data.FINDINGS}
            assert all(bool(value) == item.labels[finding] for finding, value in stated.items())
            assert np.abs(_pixels(read, row) - radiographs.draw(item)).mean() < JPEG_ERROR


def test_only_training_rows_of_chexpert_leave_findings_unsaid(written: Written) -> None:
    root = written(chexpert) / chexpert.ROOT
    unsaid = {
        name: sum(None in (row[finding] for finding in chexpert_data.FINDINGS) for row in chexpert_data.load(path))
        for name in ("train", "valid")
        for path in [root / f"{name}.csv"]
    }
    assert unsaid == {"train": 20, "valid": 0}


def _shapes(folder: Path, subtype: str) -> Dataset:
    stem = f"mscoco_{subtype}"
    questions, answers = folder / f"v2_OpenEnded_{stem}_questions.json", folder / f"v2_{stem}_annotations.json"
    return vqa_data.load(questions, answers, folder / subtype)


@pytest.mark.parametrize(("split", "subtype", "first"), [("train", "train2014", 0), ("test", "test2015", 0)])
def test_shapes_keep_the_questions_of_the_package(written: Written, split: str, subtype: str, first: int) -> None:
    read = _shapes(written(shapes), subtype)
    items = easy_vqa.load(split)[first : first + getattr(SIZES[shapes], split)]
    assert read["question"] == [question for item in items for question in item.questions]
    assert read["answer"] == [answer for item in items for answer in item.answers]
    assert {len(given) for given in read["answers"]} == {shapes.ANNOTATORS}
    assert np.abs(_pixels(read, 0) - easy_vqa.draw(items[0])).mean() < JPEG_ERROR


def test_splits_of_shapes_share_no_picture(written: Written) -> None:
    ids = {subtype: set(_shapes(written(shapes), subtype)["image_id"]) for subtype in shapes.SUBTYPES.values()}
    assert [len(own) for own in ids.values()] == [8, 4, 6]
    assert len(set().union(*ids.values())) == 18


def test_more_shapes_than_there_are_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="ask for fewer"):
        shapes.write(tmp_path, Splits(4000, 1, 0), 0)


def _ccneg(folder: Path) -> Dataset:
    mapping = folder / "distractor_image_mapping.pt"
    return ccneg_data.load(folder / "ccneg_preprocessed.pt", folder, mapping, n_evaluation=40)


def test_negated_captions_of_ccneg_are_false(written: Written) -> None:
    known = truth.read(written(ccneg))
    for row, fact in zip(_ccneg(written(ccneg)), known, strict=True):
        rest = scenes.without(fact.scene, row["negated_object"])
        assert row["negated_object"] in fact.scene.nouns
        assert row["negated_object"] in english.mentions(row["negated_caption"])
        assert set(english.mentions(row["negated_caption"])) <= truth.sayable(rest.nouns) | {row["negated_object"]}
        assert set(english.mentions(row["caption"])) <= truth.sayable(fact.scene.nouns)


def test_training_captions_of_ccneg_hold_out_nouns_and_forms(written: Written) -> None:
    read = _ccneg(written(ccneg))
    training = read.filter(lambda row: row["split"] == "train")
    assert len(training) == 60
    assert not set(training["negated_object"]) & HELD_OUT_NOUNS
    assert set(read["negated_object"]) & HELD_OUT_NOUNS
    lacking = ("free of", "absent", "lacks", "never", "neither", "nowhere", "devoid of")
    assert not any(cue in caption for caption in training["negated_caption"] for cue in lacking)
    assert any(cue in caption for caption in read["negated_caption"] for cue in lacking)


def test_distractors_of_ccneg_lack_what_is_negated(written: Written) -> None:
    read = _ccneg(written(ccneg))
    for row in read:
        scene = scenes.sample(random.Random(f"coco/train/{SEED}/{row['distractor']}"))
        assert row["negated_object"] not in scene.nouns
    assert read["distractor"] != sorted(read["distractor"])


@pytest.fixture(scope="module")
def shards(written: Written) -> pl.DataFrame:
    return pl.read_parquet(sorted(written(laion).glob("part-0000?-*-c000.snappy.parquet")))


def test_laion_shards_have_the_columns_of_the_release(written: Written, shards: pl.DataFrame) -> None:
    assert len(list(written(laion).glob("*.parquet"))) == laion.SHARDS
    assert shards.columns == ["SAMPLE_ID", "URL", "TEXT", "HEIGHT", "WIDTH", "LICENSE", "NSFW", "similarity"]
    assert shards["SAMPLE_ID"].n_unique() == len(shards) == 20_000
    assert shards["similarity"].is_between(0.3, 0.7).all()
    assert {check.caption_column(path) for path in written(laion).glob("*.parquet")} == {"TEXT"}


def test_cues_are_about_as_frequent_as_in_laion(shards: pl.DataFrame) -> None:
    cues = int(shards["TEXT"].str.contains(CUE).sum())
    interval = wilson(cues, len(shards))
    assert interval.low < alttext.CUE_RATE + 0.0005 < interval.high


def test_cues_are_mostly_not_about_the_picture(shards: pl.DataFrame) -> None:
    texts = shards.filter(pl.col("TEXT").str.contains(CUE))["TEXT"].to_list()
    kinds = [alttext.kind_of_cue(text) for text in texts]
    interval = wilson(kinds.count(alttext.KIND_ABOUT), len(kinds))
    assert interval.high < 0.35
    assert len(set(kinds)) > 40


def test_some_texts_are_missing_empty_or_in_other_languages(shards: pl.DataFrame) -> None:
    texts = shards["TEXT"]
    assert 0 < texts.null_count() < 0.003 * len(texts)
    assert 0 < (texts == "").sum() < 0.005 * len(texts)
    assert texts.str.contains("写真|イラスト").any()
    assert texts.str.starts_with("No. 5").any()


def test_pictured_rows_show_what_their_text_says(written: Written, shards: pl.DataFrame) -> None:
    pictured = shards.filter(pl.col("URL").str.starts_with("pictures/"))
    assert set(pictured["URL"]) == {f"pictures/{path.name}" for path in (written(laion) / "pictures").iterdir()}
    assert set(pictured["WIDTH"]) == {64}
    kinds = {alttext.kind_of_cue(text) for text in pictured["TEXT"]}
    assert len(kinds) > 40
    texts, shown = laion.captions(20_000, SEED)
    # Short texts occur more than once, each time about another picture.
    of_text: dict[str | None, set[laion.Shown]] = {}
    for row, text in enumerate(texts):
        of_text.setdefault(text, set()).add(shown[row // laion.TEXTS_PER_PICTURE])
    for url, text in pictured.sample(20, seed=0).select("URL", "TEXT").iter_rows():
        with Image.open(written(laion) / url) as picture:
            pixels = np.asarray(picture).astype(int)
        assert min(np.abs(pixels - laion.draw(item)).mean() for item in of_text[text]) < JPEG_ERROR


def test_manifest_facts_are_json(tmp_path: Path) -> None:
    facts = ccneg.write(tmp_path, Splits(5, 0, 3), 0)
    assert json.loads(json.dumps(facts)) == {"train": 5, "n_evaluation": 3}
