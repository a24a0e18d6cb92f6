from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from miniworld import grammar, scenes
from negutil.captions import english, phrasing, statements
from negutil.captions.english import HELD_OUT_NOUNS, NOUNS
from negutil.captions.phrasing import Phrasing
from negutil.captions.statements import Statement
from negutil.data import negbench
from negutil.errors import NegutilError


@pytest.mark.parametrize(
    ("text", "cue", "position"),
    [
        ("A dog on a sofa.", "", "none"),
        ("A knot in a notebook from Norway", "", "none"),
        ("There is no cup in the image.", "no", "only"),
        ("A man bakes a pizza. There is no cup in the image.", "no", "last"),
        ("There is no cup in the image. A man bakes a pizza.", "no", "first"),
        ("No fork is present, but a baker is busy in the kitchen.", "no", "first"),
        ("No car is in sight as a boat passes by.", "no", "first"),
        ("A person stands by a stove, with no fork in sight.", "no", "last"),
        ("A cup is not present in this image.", "not", "only"),
        ("This image shows a sink, but not a cup.", "not", "last"),
        ("A dog sits and there isn’t a cat.", "n't", "last"),
        ("There aren't any cats, only a dog.", "n't", "first"),
        ("This image includes a dog, but does not include a cup.", "does not include", "last"),
        ("This image does not feature a cup.", "does not include", "only"),
        ("This video does not show a cup, but it shows a dog.", "does not include", "first"),
        ("A quiet kitchen without a cup", "without", "last"),
        ("Without a cup, the image shows a dog.", "without", "first"),
        ("A cup is absent from the image.", "absent", "only"),
        ("Absent from the image is a cup; a dog naps.", "absent", "first"),
        ("The image is free of cups.", "free of", "only"),
        ("A street scene that is car-free", "free of", "last"),
        ("This image is car-free.", "free of", "only"),
        ("A dog on a beach, free of boats", "free of", "last"),
        ("The picture lacks a cup but has a dog.", "lacks", "first"),
        ("A dog in a park, never a cat", "never", "last"),
        ("Neither a cat nor a cup, only a dog", "neither", "first"),
        ("A cup is nowhere to be seen.", "nowhere", "only"),
        ("A scene devoid of cups", "devoid of", "only"),
        ("An otter and a cat are absent from the image.", "absent", "only"),
        ("A cup is missing from the image, but there is a dog.", "missing", "first"),
        ("A desk with a lamp, but nobody is there.", "other", "last"),
    ],
)
def test_cue_and_position(text: str, cue: str, position: str) -> None:
    found = phrasing.of(text)
    assert (found.cue, found.position) == (cue, position)


def test_the_held_out_noun_is_the_negated_one() -> None:
    assert phrasing.of("an otter, but no cat") == Phrasing("no", "last", False, False)
    assert phrasing.of("a cat, but no otters") == Phrasing("no", "last", True, False)
    assert phrasing.of("An otter is not in the picture.").held_out_noun
    assert not phrasing.of("a photo of an otter").held_out_noun
    assert phrasing.of("a photo free of cats") == Phrasing("free of", "only", False, True)


def test_every_negated_form_of_the_grammar_is_read_as_it_says() -> None:
    rng = random.Random("phrasing")
    for form in english.NEGATED:
        for _ in range(5):
            scene = scenes.sample(rng, rng.randint(1, 4))
            absent = rng.choice([noun for noun in NOUNS if noun not in scene.nouns])
            text = grammar.negated_caption(scene, absent, form, rng)
            found = phrasing.of(text)
            assert (found.position, found.held_out_form) == (form.order, form.held_out), text
            assert found.held_out_noun == (absent in HELD_OUT_NOUNS), text


@pytest.mark.parametrize("medium", statements.MEDIA)
def test_every_paraphrase_of_the_benchmark_is_read_as_it_says(medium: str) -> None:
    caption = "A man bakes a pizza in a kitchen."
    said = [
        Statement(present=("dog", "bus"), medium=medium),
        Statement(absent=("otter",), medium=medium),
        Statement(absent=("otter", "cat"), medium=medium),
        *(Statement(("dog",), ("otter",), "", first, medium) for first in (False, True)),
        *(Statement((), ("otter",), caption, first, medium) for first in (False, True)),
    ]
    for statement, seed, held_out in itertools.product(said, range(12), (False, True)):
        form = statements.form_of(statement, random.Random(seed), held_out)
        text = statements.paraphrase(statement, random.Random(seed), held_out)
        found = phrasing.of(text)
        assert found.position == (form.order or "none"), text
        assert found.held_out_noun == bool(statement.absent), text


def test_published_questions_are_read_as_their_layout_says(shared_data: Path) -> None:
    rows = negbench.load(shared_data / "negbench" / "COCO_val_mcq_llama3.1_rephrased.csv")
    options, templates = np.array(rows["options"][:2000], dtype=object), np.array(rows["template"][:2000])
    # Right options by type, then the wrong hybrid, affirmation and negation of every question.
    expected = [
        (options[templates == name, 0], place)
        for name, place in (("positive", "none"), ("negative", "only"), ("hybrid", "last"))
    ]
    expected += list(zip(options[:, 1:].T, ("last", "none", "only"), strict=True))
    for texts, place in expected:
        assert (phrasing.table(texts.tolist())["position"] == place).mean() > 0.99, place


def test_published_queries_have_a_cue_and_often_begin_with_it(shared_data: Path) -> None:
    rows = negbench.load(shared_data / "negbench" / "COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv")
    found = phrasing.table([text for captions in rows["captions"][:1000] for text in captions])
    assert (found["cue"] != "").mean() > 0.98
    assert 0.4 < (found["position"] == "first").mean() < 0.5
    assert (found["position"] == "only").mean() < 0.01


def test_shares_by_phrasing_and_by_picture() -> None:
    texts = ["a cat without a dog", "a cat, but no dog", "no otter", "a cat"] * 20
    right = np.array([True, True, False, True] * 10 + [False, True, False, True] * 10)
    found = phrasing.shares(right, texts, np.repeat(np.arange(20), 4), resamples=200).set_index(["factor", "level"])
    assert found.loc[("cue", "without"), "value"] == 0.5
    assert found.loc[("cue", "no"), "value"] == 0.5
    assert found.loc[("cue", "no"), "n"] == 40
    assert found.loc[("position", "last"), "value"] == 0.75
    assert found.loc[("held_out_noun", "True"), "value"] == 0.0
    assert found["high"].to_dict()[("held_out_noun", "True")] > 0.1, "twenty failures are no proof of impossibility"
    assert set(found["over"]) == {"clusters"}
    assert (found["low"] <= found["value"]).all()


def test_bad_input_is_a_sentence() -> None:
    for right, texts in (([True], []), ([], []), ([True], ["a", "b"])):
        with pytest.raises(NegutilError, match="give one each"):
            phrasing.shares(right, texts)
