"""Every word that a model is asked about is one that its pretraining met."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from negutil import config
from negutil.compare import layer_probe, vocabulary
from negutil.errors import NegutilError
from negutil.models import architectures, loader
from negutil.models.loader import LoadedModel

PLACES = ("benchmarks", "NegBench", "claims", "binary probe", "layer probe", "text to image", "segmentation")


@pytest.fixture(scope="module")
def asked() -> dict[str, list[str]]:
    return vocabulary.texts(config.load("quick"))


def test_texts_come_from_every_notebook(asked: dict[str, list[str]]) -> None:
    assert all(len(asked[place]) > 10 for place in PLACES)
    assert all(len(set(each)) == len(each) for each in asked.values())


def test_words_are_counted_with_their_shortest_text() -> None:
    known = vocabulary.words({"a": ["There isn't a dog", "a dog"], "b": ["a cat, never a dog"]}).set_index("word")
    assert known.index.tolist() == ["a", "cat", "dog", "isn't", "never", "there"]
    assert list(known.loc["dog"]) == [3, "a", "a dog"]
    assert list(known.loc["isn't"]) == [1, "a", "There isn't a dog"]


def test_a_word_without_embedding_moves_nothing(asked: dict[str, list[str]]) -> None:
    known = pd.DataFrame({"word": ["dog", "xylophone"], "example": ["a photo of a dog", "a photo of a xylophone"]})
    model = loader.load("miniclip-s-8")
    changed = vocabulary.moved(model, known)["moved"]
    assert changed[0] > 0.01
    unknown = pd.DataFrame({"word": ["xylophone", "zeppelin"], "example": ["a xylophone here", "a zeppelin here"]})
    assert vocabulary.moved(model, unknown)["moved"].max() < changed[0]


def test_cues_have_one_accuracy_each(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loader.load("miniclip-s-8")
    right = vocabulary.cues(model).groupby("cue")["right"].mean()
    assert {"no", "never", "absent"} <= set(right.index) and right.between(0, 1).all()

    def reading(_: LoadedModel, texts: list[str]) -> dict[str, np.ndarray]:
        """Features of a model that reads every cue: the first half of the texts is negated."""
        noise = np.random.default_rng(0).normal(size=(len(texts), 8))
        noise[: len(texts) // 2, 0] += 10
        return {layer_probe.OUTPUT: noise}

    monkeypatch.setattr(layer_probe, "layers", reading)
    assert (vocabulary.cues(model)["right"] == 1).all()


def test_a_model_without_a_table_of_meetings_says_so() -> None:
    with pytest.raises(NegutilError, match="nobody counted what the pretraining"):
        vocabulary.meetings(vocabulary.tokens({"a": ["a dog"]}), "openai-vit-b-32")


def test_tokens_of_all_texts_are_those_of_each_text() -> None:
    texts = ["A dog, isn't it?", "a dog-sled  &amp; 12 DOGS", "nowhere."]
    tokenizer = architectures.open_clip().SimpleTokenizer()
    wanted = {token for text in texts for token in tokenizer.encode(text)}
    assert set(vocabulary.tokens({"one": texts[:2], "two": texts[2:]})["token"]) == wanted
