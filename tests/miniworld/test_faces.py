from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from miniworld import faces
from negutil.captions.english import FACE_PHRASES

CUE = re.compile(
    r"\b(no|not|without|never|none|neither|nor|nothing|nobody|nowhere|lack\w*|absent|free)\b|n't|less\b", re.I
)
FACES = [faces.sample(random.Random(f"faces/test/0/{i}")) for i in range(3000)]
LABELS = np.array([list(face.attributes.values()) for face in FACES])
DIGEST = """
import hashlib, random
from miniworld import faces
digest = hashlib.sha256()
for i in range(40):
    rng = random.Random(f"faces/test/0/{i}")
    face = faces.sample(rng)
    digest.update(faces.draw(face).tobytes() + faces.describe(face, rng).encode())
print(digest.hexdigest())
"""

# For each attribute: the smallest change of a face that takes it away.
REMOVALS: dict[str, dict[str, Any]] = {
    "5_o_Clock_Shadow": {"facial_hair": "clean-shaven", "facial_hair_style": ""},
    "Arched_Eyebrows": {"brows": "plain"},
    "Bags_Under_Eyes": {"bags": False},
    "Bald": {"hair": "SHORT_FLAT"},
    "Bangs": {"bangs": False},
    "Big_Nose": {"big_nose": False},
    "Black_Hair": {"hair_colour": "brown"},
    "Blond_Hair": {"hair_colour": "brown"},
    "Brown_Hair": {"hair_colour": "black"},
    "Bushy_Eyebrows": {"brows": "plain"},
    "Eyeglasses": {"glasses": None},
    "Goatee": {"facial_hair": "clean-shaven", "facial_hair_style": ""},
    "Gray_Hair": {"hair_colour": "black"},
    "Heavy_Makeup": {"makeup": None},
    "Mouth_Slightly_Open": {"mouth": "serious"},
    "Mustache": {"facial_hair": "clean-shaven", "facial_hair_style": ""},
    "Narrow_Eyes": {"narrow_eyes": False},
    "No_Beard": {"facial_hair": "beard", "facial_hair_style": "BEARD_LIGHT"},
    "Pale_Skin": {"skin": "light"},
    "Rosy_Cheeks": {"rosy": False},
    "Smiling": {"mouth": "serious"},
    "Straight_Hair": {"hair": "CURLY"},
    "Wavy_Hair": {"hair": "BOB"},
    "Wearing_Earrings": {"earrings": None},
    "Wearing_Hat": {"hat": None},
    "Wearing_Lipstick": {"lipstick": None},
    "Wearing_Necklace": {"necklace": None},
    "Wearing_Necktie": {"necktie": None},
}


def test_the_forty_names_are_celebas_in_alphabetical_order() -> None:
    assert len(faces.CELEBA_ATTRIBUTES) == 40
    assert list(faces.CELEBA_ATTRIBUTES) == sorted(faces.CELEBA_ATTRIBUTES)
    assert set(faces.DRAWN) | set(faces.NOT_DRAWN) == set(faces.CELEBA_ATTRIBUTES)
    assert all(list(face.attributes) == list(faces.CELEBA_ATTRIBUTES) for face in FACES[:50])


def test_a_seed_gives_the_same_bytes_in_this_and_in_a_fresh_process() -> None:
    digest = hashlib.sha256()
    for i in range(40):
        rng = random.Random(f"faces/test/0/{i}")
        face = faces.sample(rng)
        assert np.array_equal(faces.draw(face), faces.draw(face))
        digest.update(faces.draw(face).tobytes() + faces.describe(face, rng).encode())
    fresh = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == digest.hexdigest()


def test_a_face_is_a_picture_of_64_by_64_pixels() -> None:
    picture = faces.draw(FACES[0])
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("name", faces.DRAWN)
def test_drawn_attributes_are_neither_rare_nor_universal(name: str) -> None:
    share = LABELS[:, faces.CELEBA_ATTRIBUTES.index(name)].mean()
    assert 0.08 <= share <= 0.6


def test_attributes_that_are_not_drawn_are_always_false() -> None:
    columns = [faces.CELEBA_ATTRIBUTES.index(name) for name in faces.NOT_DRAWN]
    assert not LABELS[:, columns].any()


def test_no_two_drawn_attributes_determine_each_other() -> None:
    drawn = LABELS[:, [faces.CELEBA_ATTRIBUTES.index(name) for name in faces.DRAWN]]
    correlation = np.corrcoef(drawn.T.astype(float)) - np.eye(len(faces.DRAWN))
    assert np.abs(correlation).max() < 0.65


@pytest.mark.parametrize("name", faces.DRAWN)
def test_taking_an_attribute_away_changes_its_label_and_visibly_the_picture(name: str) -> None:
    having = [face for face in FACES if face.attributes[name]][:25]
    for face in having:
        bare = replace(face, **REMOVALS[name])
        changed = np.abs(faces.draw(face).astype(int) - faces.draw(bare)).max(axis=2) > 24
        assert not bare.attributes[name]
        assert changed.sum() >= 8


def test_what_a_hat_or_dark_glasses_hide_is_not_labelled() -> None:
    hatted = [face.attributes for face in FACES if face.hat]
    assert not any(labels["Bald"] or labels["Bangs"] for labels in hatted)
    short = [face for face in FACES if face.hat and face.hair and not face.visible_hair]
    assert short
    assert not any(face.attributes[f"{c}_Hair"] for face in short for c in ("Black", "Blond", "Brown", "Gray", "Wavy"))
    assert not any(f.narrow_eyes or f.bags or f.makeup for f in FACES if f.dark_glasses)


def test_hidden_hair_leaves_no_pixel() -> None:
    hidden = [face for face in FACES if face.hat and face.hair and not face.visible_hair and not face.facial_hair_style]
    for face in hidden[:20]:
        other = replace(face, hair=None, bangs=False)
        assert np.array_equal(faces.draw(face), faces.draw(other))


def test_captions_hold_no_negation_cue_and_no_unfilled_slot() -> None:
    for number, face in enumerate(FACES):
        caption = faces.describe(face, random.Random(number))
        assert not CUE.search(caption), caption
        assert not re.search(r"[{}]|adj:|, ,|  ", caption), caption
        assert len(caption) >= 4


def test_captions_name_only_what_is_there() -> None:
    words = {"Wearing_Hat": "hat on", "Mustache": "mustache", "Goatee": "goatee", "Wearing_Lipstick": "lipstick"}
    words |= {
        "Bald": "bald",
        "Wearing_Earrings": "earring",
        "Wearing_Necklace": "necklace",
        "Rosy_Cheeks": "red cheeks",
    }
    words |= {"Blond_Hair": "blond", "Smiling": "smil", "Eyeglasses": "glasses", "Wavy_Hair": "wavy", "Bangs": "bangs"}
    said = dict.fromkeys(words, 0)
    for number, face in enumerate(FACES):
        caption = faces.describe(face, random.Random(number))
        for name, word in words.items():
            said[name] += word in caption
            assert face.attributes[name] or word not in caption, caption
    assert min(said.values()) > 20


def test_there_are_at_least_twenty_forms_of_sentence() -> None:
    assert len(set(faces._FORMS)) >= 20


def test_every_drawn_attribute_has_an_affirmative_phrase_and_antonyms_are_of_drawn_ones() -> None:
    assert set(FACE_PHRASES) == set(faces.DRAWN)
    assert set(faces.ANTONYM_PHRASES) <= set(faces.DRAWN)
    for phrase in (*FACE_PHRASES.values(), *faces.ANTONYM_PHRASES.values()):
        assert not CUE.search(phrase)
        assert phrase.startswith(("with ", "wearing "))


def test_layers_are_rendered_once() -> None:
    faces._body.cache_clear()
    for face in FACES[:30]:
        faces.draw(replace(face, skin="pale"))
    assert faces._body.cache_info().misses == 1
