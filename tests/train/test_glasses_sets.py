"""The training sets of glasses in the quick profile, with a tiny model's features."""

from __future__ import annotations

from pathlib import Path

import glasses_files
import numpy as np
import pytest
from PIL import Image

from miniworld import build as world
from miniworld import truth
from negutil import config
from negutil.captions import caption_sets, phrasing
from negutil.data import negbench
from negutil.errors import NegutilError
from negutil.models import encode, text_layers
from negutil.models.loader import LoadedModel
from negutil.train import examples, glasses_sets, sets
from negutil.train.settings import settings

QUICK = config.load("quick")


@pytest.fixture
def model(session_cache: Path) -> LoadedModel:
    return glasses_files.model(session_cache / "tiny-glasses")


def test_ccneg_has_the_triplets_of_con_clip(model: LoadedModel) -> None:
    found, known = glasses_sets.load("ccneg", model, QUICK), sets.examples("con-clip", model, QUICK)
    assert (found.negated, found.affirmed) == (known.negatives, known.captions)
    assert np.array_equal(found.rows, known.rows)
    assert found.distractors is not None and known.distractors is not None
    assert np.array_equal(found.distractors, known.distractors)
    assert not set(found.objects) & caption_sets.HELD_OUT
    examples.check(found.examples(), settings("con-clip", "quick"))


def test_retrieval_denies_what_is_not_there_and_nothing_held_out(model: LoadedModel) -> None:
    found = glasses_sets.load("retrieval", model, QUICK)
    shown = {
        Path(one.file_name).name: truth.sayable(one.scene.nouns) for one in truth.read(world.folder("coco", QUICK))
    }
    names = {row: name for name, row in sets.gallery(model, QUICK).rows.items()}
    for row, noun, text in zip(found.rows, found.objects, found.negated, strict=True):
        assert noun not in shown[names[row]], text
    assert not set(found.objects) & caption_sets.HELD_OUT
    assert found.distractors is None
    said = phrasing.table(found.negated)
    assert (said["cue"] != "").all()
    assert (phrasing.table(found.affirmed)["cue"] == "").all()
    assert len(np.unique(found.rows)) == QUICK.world.scenes.train // glasses_sets.SHARE
    examples.check(found.examples(), settings("infonce", "quick"))


def test_the_retrieval_file_has_the_published_columns_and_objects_of_its_pictures() -> None:
    folder = glasses_sets.build_retrieval(QUICK)
    rows = negbench.load(folder / glasses_sets.NEGATED)
    assert {"positive_objects", "negative_objects", "captions", "image_id"} <= set(rows.column_names)
    assert any(set(nouns) & caption_sets.HELD_OUT for nouns in rows["positive_objects"]), "labels stay whole"


def test_features_are_those_of_the_pictures(model: LoadedModel) -> None:
    found = glasses_sets.load("retrieval", model, QUICK)
    names = {row: name for name, row in sets.gallery(model, QUICK).rows.items()}
    with Image.open(world.folder("coco", QUICK) / "train2014" / names[found.rows[7]]) as picture:
        features = encode.images(model, [picture], cached=False)[0]
    assert np.allclose(found.images[found.rows[7]], features, atol=1e-5)


def test_material_gives_each_item_its_own_layers(model: LoadedModel) -> None:
    made = glasses_sets.material(model, QUICK)
    data = made.data("ccneg", [5, 2])
    own = made.sets["ccneg"]
    for row, index in enumerate((5, 2)):
        said = text_layers.features(
            model, [own.negated[index], own.affirmed[index], glasses_sets.target(own.objects[index])]
        )
        assert np.allclose(data.negated.levels[row], said.levels[0], atol=1e-5)
        assert np.allclose(data.affirmed.last[row], said.last[1], atol=1e-5)
        assert np.allclose(data.objects[data.object_rows[row]], said.last[2], atol=1e-5)
    assert data.sha256 != made.data("ccneg", [2, 5]).sha256
    assert data.sha256 == made.data("ccneg", [5, 2]).sha256
    assert len(data.sentences) == len(data.is_negated) == len(set(made.sentences))
    assert 0.4 < data.is_negated.mean() < 0.6


def test_sentences_for_the_classifier_say_what_their_label_says(model: LoadedModel) -> None:
    made = glasses_sets.material(model, QUICK)
    cued = phrasing.table(made.sentences)["cue"].ne("").to_numpy()
    assert (cued == made.is_negated).mean() > 0.99


@pytest.mark.parametrize(
    ("caption", "candidates", "wanted"),
    [
        ("There is no dog, but a cat.", ["tree", "dog"], "dog"),
        ("A photo free of dogs.", ["dog", "car"], "dog"),
        ("There is no hot dog here.", ["dog", "hot dog"], "hot dog"),
        ("No category here.", ["cat", "category"], "category"),
    ],
)
def test_what_a_caption_denies_is_what_it_names(
    model: LoadedModel, caption: str, candidates: list[str], wanted: str
) -> None:
    assert glasses_sets.denied([caption], [candidates], model) == [wanted]


def test_an_unnamed_object_is_the_most_similar_candidate(model: LoadedModel) -> None:
    candidates = ["dog", "car", "tree"]
    values = (
        encode.texts(model, ["Nothing of the kind."])
        @ encode.texts(model, [glasses_sets.target(n) for n in candidates]).T
    )
    assert glasses_sets.denied(["Nothing of the kind."], [candidates], model) == [candidates[int(values.argmax())]]


def test_the_published_layout_gives_triplets_with_pictures_of_coco(model: LoadedModel) -> None:
    folder, coco = world.folder("ccneg", QUICK), world.folder("coco", QUICK)
    pictures = sorted((coco / "train2014").iterdir())
    found = sets.ccneg_from(folder, pictures, model, QUICK, evaluation=QUICK.world.ccneg.test)
    assert len(found) == QUICK.world.ccneg.train
    assert found.distractors is not None
    assert found.distractors.min() >= len(found), "pictures of the other set"
    examples.check(found.examples(), settings("con-clip", "quick"))
    with pytest.raises(NegutilError, match="give all of train2017"):
        sets.ccneg_from(folder, pictures[:3], model, QUICK, evaluation=QUICK.world.ccneg.test)


def test_an_unknown_set_lists_those_there_are(model: LoadedModel) -> None:
    with pytest.raises(NegutilError, match="no training set 'coco' for glasses; there are ccneg, retrieval"):
        glasses_sets.load("coco", model, QUICK)
