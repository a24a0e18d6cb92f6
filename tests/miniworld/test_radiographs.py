from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from miniworld import radiographs
from miniworld.radiographs import Finding
from negutil.captions.english import FINDING_PHRASES

CUE = re.compile(r"\b(no|not|without|never|none|neither|nor|absent|negative|free|lack\w*)\b|n't", re.I)
ITEMS = [radiographs.sample(random.Random(f"radiographs/test/0/{i}")) for i in range(2000)]
FIRST = "import random,hashlib;from miniworld import radiographs as r;"
DIGEST = FIRST + "print(hashlib.sha256(r.draw(r.sample(random.Random('radiographs/test/0/7'))).tobytes()).hexdigest())"
SIGNS = [name for name in radiographs.DRAWN if name != "No Finding"]


def test_the_fourteen_columns_are_labelled_in_order() -> None:
    assert len(radiographs.CHEXPERT_FINDINGS) == 14
    assert all(list(item.labels) == list(radiographs.CHEXPERT_FINDINGS) for item in ITEMS[:20])
    assert len(SIGNS) >= 6


def test_a_seed_gives_the_same_bytes_in_this_and_in_a_fresh_process() -> None:
    import hashlib

    here = hashlib.sha256(radiographs.draw(ITEMS[7]).tobytes()).hexdigest()
    fresh = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == here


def test_a_radiograph_is_a_grey_picture_of_64_by_64_pixels() -> None:
    picture = radiographs.draw(ITEMS[0])
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize("name", radiographs.DRAWN)
def test_findings_are_neither_rare_nor_universal(name: str) -> None:
    assert 0.08 <= np.mean([item.labels[name] for item in ITEMS]) <= 0.6


def test_columns_that_are_not_drawn_are_never_positive() -> None:
    assert not any(item.labels[name] for item in ITEMS for name in radiographs.NOT_DRAWN)


def test_no_finding_goes_with_devices_only() -> None:
    for item in ITEMS:
        names = {finding.name for finding in item.findings}
        assert item.labels["No Finding"] == (names <= {"Support Devices"})


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("variant", [0, 1, 2])
def test_every_sign_shows_clearly_above_the_grain(name: str, variant: int) -> None:
    normal = replace(ITEMS[0], findings=(), gain=1.0)
    side = "both" if name in ("Cardiomegaly", "Edema", "Support Devices") else "right"
    sick = replace(normal, findings=(Finding(name, side, variant),))
    changed = np.abs(radiographs.draw(sick).astype(int) - radiographs.draw(normal))[..., 0] > 30
    assert sick.labels[name]
    assert changed.sum() >= 15


@pytest.mark.parametrize("name", ["Lung Opacity", "Atelectasis", "Pneumothorax", "Pleural Effusion"])
def test_the_right_side_is_on_the_left_of_the_picture(name: str) -> None:
    normal = replace(ITEMS[0], findings=(), shift=(0, 0), build=1)
    for side, half in (("right", slice(0, 32)), ("left", slice(32, 64))):
        sick = replace(normal, findings=(Finding(name, side, 0),))
        changed = np.abs(radiographs.draw(sick).astype(int) - radiographs.draw(normal))[..., 0] > 30
        assert changed[:, half].sum() > 0.9 * changed.sum()


def test_captions_are_affirmative_and_name_only_what_is_there() -> None:
    words = {"Cardiomegaly": "heart shadow", "Pneumothorax": "pneumothorax", "Atelectasis": "atelectasis"}
    words |= {"Lung Opacity": "opacity", "Fracture": "rib", "Edema": "edema", "Support Devices": "pacemaker"}
    said = dict.fromkeys(words, 0)
    for number, item in enumerate(ITEMS):
        caption = radiographs.describe(item, random.Random(number))
        assert not CUE.search(caption), caption
        assert "{" not in caption
        for name, word in words.items():
            said[name] += word in caption
            assert item.labels[name] or word not in caption, caption
    assert min(said.values()) > 20


def test_a_normal_chest_is_described_as_normal() -> None:
    normal = replace(ITEMS[0], findings=())
    captions = [radiographs.describe(normal, random.Random(number)) for number in range(30)]
    assert all(re.search("clear|normal|healthy", caption) for caption in captions)


def test_phrases_are_affirmative() -> None:
    assert set(FINDING_PHRASES) == set(radiographs.DRAWN)
    assert not any(CUE.search(phrase) for phrase in FINDING_PHRASES.values())
