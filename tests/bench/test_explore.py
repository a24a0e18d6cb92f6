from __future__ import annotations

import dataclasses
from pathlib import Path

import model_files
import nbformat
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from negutil import config
from negutil.bench import explore, world_words
from negutil.bench.explore import Explorer, Named
from negutil.captions import english
from negutil.compare.negation_beyond import Gallery
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encode, loader, registry, trained
from negutil.models.pictures import PictureFiles
from negutil.run import notebooks

NOUNS = ("bear", "cat", "dog", "umbrella")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Profile:
    """Two small random models, of which the profile has both."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    entries = {}
    for seed, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        entries[name] = model_files.write(tmp_path / name, model_files.state(seed), name=name)
    monkeypatch.setattr(registry, "find", entries.__getitem__)
    return dataclasses.replace(config.load("quick"), models=tuple(entries))


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Eight pictures; the last is the first again, and every second one shows a cat."""
    waves = model_files.pictures(7)
    files = [tmp_path / f"{row}.png" for row in range(8)]
    for row, file in enumerate(files):
        Image.fromarray(waves[row % 7]).save(file)
    there = {noun: np.arange(8) % 2 == place % 2 for place, noun in enumerate(NOUNS)}
    return Gallery(PictureFiles([str(file) for file in files]), there, [], [])


@pytest.fixture
def explorer(settings: Profile, gallery: Gallery) -> Explorer:
    return Explorer(settings, gallery)


@pytest.mark.parametrize(
    ("query", "wanted", "unwanted"),
    [
        ("a cat", ("cat",), ()),
        ("no cat", (), ("cat",)),
        ("a dog and no cat", ("dog",), ("cat",)),
        ("Two Dogs, but no umbrellas", ("dog",), ("umbrella",)),
        ("a bear without an umbrella", ("bear",), ("umbrella",)),
        ("A cat is not here, only a dog.", ("dog",), ("cat",)),
        ("something red", (), ()),
        ("category", (), ()),
    ],
)
def test_what_a_query_names(query: str, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    assert explore.named(query, NOUNS) == Named(wanted, unwanted)


def test_what_is_wrong_with_a_picture(gallery: Gallery) -> None:
    asked = Named(("dog",), ("umbrella",))
    assert explore.mistakes([0, 1], asked, gallery.there) == ("", "no dog, has an umbrella")
    assert explore.mistakes([0, 1], Named((), ()), gallery.there) == ()


def test_the_top_are_those_with_the_highest_cosine(explorer: Explorer, gallery: Gallery) -> None:
    model = loader.load("second")
    text = encode.texts(model, ["no cat"], cached=False)[0]
    images = encode.images(model, gallery.pictures, batch=explorer.settings.encode.batch)
    found = explorer.top("no cat", "second", 8)
    expected = sorted(range(8), key=lambda row: (-round(float(images[row] @ text), 6), row))
    assert list(found.rows) == expected
    assert found.rows.index(7) == found.rows.index(0) + 1, "equal pictures in their order"
    assert found.wrong == tuple("has a cat" if row % 2 else "" for row in found.rows)
    assert (found.right, len(found.scores)) == (4, 8)
    assert explorer.top("something red", "second").right is None


def test_a_method_without_training_asks_for_the_affirmed_part(settings: Profile, gallery: Gallery) -> None:
    found = Explorer(settings, gallery, "affirmed part").top("a dog and no cat", "second", 8)
    plain = Explorer(settings, gallery).top("a dog", "second", 8)
    assert found.rows == plain.rows and found.scores == pytest.approx(plain.scores, abs=1e-6)
    assert found.scores != Explorer(settings, gallery).top("a dog and no cat", "second", 8).scores


def test_words_that_the_world_does_not_have_are_named(explorer: Explorer, settings: Profile, gallery: Gallery) -> None:
    """Nothing is then called right: a cat without a hat does not show zebras."""
    found = explorer.top("a cat and zebras but no dog", "second")
    assert (found.unknown, found.right) == (("zebra",), None)
    assert explorer.top("no cat", "second").unknown == ()
    plot = explore.figure(explorer, ["no zebra"], ["second"], 3)
    assert any("zebra not in this world" in text.get_text() for text in plot.findobj(Text))
    published = dataclasses.replace(settings, published=True)
    assert Explorer(published, gallery).top("a cat and zebras", "second").unknown == ()


def test_every_noun_is_in_the_world() -> None:
    for noun in english.NOUN_LIST:
        for name in (noun.name, noun.plural, *noun.synonyms):
            assert world_words.unknown(f"a photo of two red {name}, and no {name} on the beach") == (), name


def test_sentences_of_the_world_have_only_its_words() -> None:
    named = {
        "things": "a dog and two cats",
        "place": "in a kitchen",
        "absent": "a hat",
        "bare": "hat",
        "plural": "hats",
    }
    for form in (*english.AFFIRMATIVE, *english.NEGATED):
        assert world_words.unknown(form.text.format(**named)) == (), form.text
    assert world_words.unknown("an elephant riding 3 unicycles, no giraffe") == (
        "elephant",
        "riding",
        "unicycle",
        "giraffe",
    )


def test_models_differ_and_do_not_share_features(explorer: Explorer) -> None:
    assert explorer.top("a cat", "first", 8).scores != explorer.top("a cat", "second", 8).scores


def test_what_cannot_be_asked(explorer: Explorer, settings: Profile) -> None:
    for query, count, told in ((" ", 3, "is empty"), ("a cat", 9, "choose fewer"), ("a cat", 0, "choose fewer")):
        with pytest.raises(NegutilError, match=told):
            explorer.top(query, "first", count)
    with pytest.raises(NegutilError, match="no query"):
        explore.figure(explorer, [])
    with pytest.raises(NegutilError, match="negutil data get coco"):
        Explorer(settings, None)


def test_fine_tuned_models_are_offered_where_they_are_in_the_cache(settings: Profile) -> None:
    assert explore.models(settings) == ("first", "second")
    method = settings.finetuning.methods[0]
    for name in (f"second+{method}/seed1", f"second+{method}/seed0", "second+unknown/seed0", f"other+{method}/seed0"):
        folder = trained.folder(name, "quick")
        folder.mkdir(parents=True)
        (folder / trained.ABOUT).touch()
    assert explore.models(settings) == ("first", "second", f"second+{method}/seed0")


def test_the_figure_shows_every_query_and_model(explorer: Explorer) -> None:
    plot = explore.figure(explorer, ["a cat", "price: $5 and $6"], count=4)
    shown = [axis for axis in plot.axes if axis.get_visible()]
    assert len(shown) == 2 * 2 * 4
    told = [axis.get_xlabel() for axis in shown]
    assert set(told[:8]) == {"right", "wrong: no cat"}
    assert set(told[8:]) == {""}


def test_the_panel_answers_what_is_typed(explorer: Explorer) -> None:
    query, models, told, picture = explore.panel(explorer, ["no cat"]).children
    before = bytes(picture.value)
    assert query.value == "no cat"
    assert before.startswith(b"\x89PNG")
    models.value = ("second",)
    alone = bytes(picture.value)
    assert alone != before
    query.value = ""
    assert "no query" in told.value
    assert bytes(picture.value) == alone
    query.value = "an umbrella"
    assert told.value == ""
    assert bytes(picture.value) != alone


def test_no_widget_is_left_in_a_saved_notebook() -> None:
    widget = nbformat.v4.new_output("display_data", {notebooks.WIDGET: {"model_id": "1"}, "text/plain": "VBox()"})
    kept = nbformat.v4.new_output("stream", text="kept")
    cell = nbformat.v4.new_code_cell("panel", outputs=[widget, kept])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {"1": {}}}})
    cleaned = notebooks.clean(notebook)
    assert [output.get("text") for output in cleaned.cells[0].outputs] == ["kept"]
    assert "widgets" not in cleaned.metadata
