"""The same query with and without "no": counts of the top five, and what the front page shows of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import model_files
import numpy as np
import pytest
from PIL import Image

from negutil import config, paths, results
from negutil.compare import negation_beyond
from negutil.compare.negation_beyond import Gallery
from negutil.config import Profile
from negutil.models import encode, loader, registry
from negutil.models.pictures import PictureFiles
from negutil.plots import negbench as plots

COUNT = 14


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Profile:
    """A small random model, the only one of the profile."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    entries = {"random": model_files.write(tmp_path, model_files.state(0), name="random")}
    monkeypatch.setattr(registry, "find", entries.__getitem__)
    return dataclasses.replace(config.load("quick"), models=("random",))


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Every second image shows a dog, the first eight an apple, four a bear: too few bears for a query."""
    files = [tmp_path / f"{row}.png" for row in range(COUNT)]
    for file, picture in zip(files, model_files.pictures(COUNT), strict=True):
        Image.fromarray(picture).save(file)
    rows = np.arange(COUNT)
    there = {"dog": rows % 2 == 0, "bear": rows < 4, "apple": rows < 8, "cat": rows < 20}
    return Gallery(PictureFiles([str(file) for file in files]), there, [], [])


def expected(settings: Profile, gallery: Gallery, query: str, noun: str) -> int:
    """How many of the five images with the highest cosine show ``noun``."""
    model = loader.load("random")
    images = encode.images(model, gallery.pictures, batch=settings.encode.batch)
    scores = images @ encode.texts(model, [query], cached=False)[0]
    return int(gallery.there[noun][np.argsort(-scores, kind="stable")[:5]].sum())


def test_a_noun_needs_five_images_with_it_and_five_without(gallery: Gallery) -> None:
    assert negation_beyond.top_nouns(gallery.there) == ["apple", "dog"]
    assert negation_beyond.with_and_without("apple") == {"X": "an apple", "no X": "no apple"}


def test_the_table_has_the_first_noun_and_the_mean_over_all(settings: Profile, gallery: Gallery) -> None:
    negation_beyond.top_five(settings, gallery)
    table = results.load("quick", negation_beyond.EXPERIMENT, "top_five").set_index("task")
    for kind, words in (("X", ("an apple", "a dog")), ("no X", ("no apple", "no dog"))):
        apple, dog = (
            expected(settings, gallery, query, noun) for query, noun in zip(words, ("apple", "dog"), strict=True)
        )
        assert [table.at[f"{kind}/apple", column] for column in ("value", "n")] == [apple, 5]
        assert [table.at[f"{kind}/{negation_beyond.ALL_NOUNS}", column] for column in ("value", "n")] == [
            (apple + dog) / 2,
            2,
        ]
    assert set(table["model"]) == {"random"} and len(table) == 4


def test_the_figure_shows_the_first_noun_and_marks_what_is_right(settings: Profile, gallery: Gallery) -> None:
    plain, denied = plots.with_and_without_no(settings, gallery, "random")
    assert (plain.query, denied.query) == ("an apple", "no apple")
    assert plain.right.count(True) == expected(settings, gallery, "an apple", "apple")
    assert denied.right.count(False) == expected(settings, gallery, "no apple", "apple")
    assert plain.summary == f"{plain.right.count(True)} of 5 show an apple"
    assert denied.summary == f"{denied.right.count(False)} of 5 show an apple"
    assert [bool(title) for title in denied.titles] == [not right for right in denied.right]
    assert set(plain.titles) <= {"", "has no apple"} and set(denied.titles) <= {"", "has an apple"}


def test_without_enough_images_there_is_no_table_and_no_figure(settings: Profile, gallery: Gallery) -> None:
    few = dataclasses.replace(gallery, there={"bear": gallery.there["bear"]})
    for nothing in (None, few):
        assert negation_beyond.top_five(settings, nothing).empty
        assert plots.with_and_without_no(settings, nothing, "random") == []
    assert not (paths.results("quick") / negation_beyond.EXPERIMENT).exists()
