"""Metrics against other definitions: recall at k as clip-benchmark has it, multiple choice in ten lines."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from clip_benchmark.metrics import zeroshot_retrieval
from PIL import Image

from miniworld import grammar, scenes
from negutil.captions import english
from negutil.models import encode, loader, scorer
from negutil.models.loader import LoadedModel
from negutil.tasks import mcq, retrieval

KS = (1, 5, 10)
N = 48


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return loader.load("miniclip-s-8")


@pytest.fixture(scope="module")
def pictures_and_captions() -> tuple[np.ndarray, list[list[str]]]:
    """Small scenes with one to three captions each, some of them with a negation."""
    rng = random.Random("agreement")
    drawn = [scenes.sample(rng) for _ in range(N)]
    captions = []
    for number, scene in enumerate(drawn):
        absent = next(noun for noun in ("cat", "bus", "otter", "cup") if noun not in scene.nouns)
        said = [grammar.partial_caption(scene, rng), grammar.full_caption(scene, rng)]
        said.append(grammar.negated_caption(scene, absent, rng.choice(english.NEGATED), rng))
        captions.append(said[: 1 + number % 3])
    return np.stack([scenes.draw(scene) for scene in drawn]), captions


def features(
    model: LoadedModel, pictures: np.ndarray, captions: list[list[str]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of texts and pictures, and the picture of each text."""
    texts = [text for said in captions for text in said]
    image_of_text = np.repeat(np.arange(len(captions)), [len(said) for said in captions])
    return encode.texts(model, texts, cached=False), encode.images(model, pictures, cached=False), image_of_text


def reference(model: LoadedModel, pictures: np.ndarray, captions: list[list[str]]) -> dict[str, float]:
    """What clip-benchmark says; its loader gives pictures in batches with a list of texts for each."""
    inputs = torch.stack([model.preprocess(Image.fromarray(picture)) for picture in pictures])
    batches = [(inputs[i : i + 16], captions[i : i + 16]) for i in range(0, len(inputs), 16)]
    found: dict[str, float] = zeroshot_retrieval.evaluate(
        model.model, batches, model.tokenizer, "cpu", amp=False, recall_k_list=list(KS)
    )
    return found


def test_recall_is_that_of_clip_benchmark(
    model: LoadedModel, pictures_and_captions: tuple[np.ndarray, list[list[str]]]
) -> None:
    pictures, captions = pictures_and_captions
    texts, images, image_of_text = features(model, pictures, captions)
    scores = texts @ images.T
    gaps = np.abs(scores - scores[np.arange(len(texts)), image_of_text][:, None])
    gaps[np.arange(len(texts)), image_of_text] = 1
    assert gaps.min() > 1e-6, "the definitions agree only where nothing is tied"
    expected = reference(model, pictures, captions)
    to_images = retrieval.recall(retrieval.ranks(texts, images, image_of_text), image_of_text, KS, resamples=10)
    for k in KS:
        assert to_images[k].value == pytest.approx(expected[f"image_retrieval_recall@{k}"], abs=1e-6)
    assert 0 < to_images[1].value < 1, "all or nothing would say little"


def test_tied_pictures_lose_here_and_may_win_in_clip_benchmark(model: LoadedModel) -> None:
    pictures = np.stack([scenes.draw(scenes.sample(random.Random("tie")))] * 12)
    captions = [[f"a photo of {number} cats"] for number in range(12)]
    texts, images, image_of_text = features(model, pictures, captions)
    found = retrieval.ranks(texts, images, image_of_text)
    assert retrieval.recall_at(found, 10) == 0
    # torch.topk fills ten of the twelve places with whatever comes first among equals.
    assert reference(model, pictures, captions)["image_retrieval_recall@10"] > 0.5


def test_multiple_choice_is_that_of_ten_lines(
    model: LoadedModel, pictures_and_captions: tuple[np.ndarray, list[list[str]]]
) -> None:
    pictures, captions = pictures_and_captions
    own = [said[0] for said in captions]
    options = [[own[i], own[(i + 7) % N], own[(i + 11) % N], own[(i + 29) % N]] for i in range(N)]
    correct = np.arange(N) % 4
    options = [[*wrong[:place], right, *wrong[place:]] for (right, *wrong), place in zip(options, correct, strict=True)]

    hits = 0
    for picture, texts, right in zip(pictures, options, correct, strict=True):
        with torch.no_grad():
            image = model.model.encode_image(model.preprocess(Image.fromarray(picture))[None])
            text = model.model.encode_text(model.tokenizer(texts))
        image, text = image / image.norm(dim=-1, keepdim=True), text / text.norm(dim=-1, keepdim=True)
        scores = (text @ image.T).flatten()
        others = torch.cat([scores[:right], scores[right + 1 :]])
        hits += bool(scores[right] > others.max())

    values = mcq.scores_by(scorer.of(model), options, encode.images(model, pictures, cached=False))
    found = mcq.accuracy(mcq.items(values, correct), resamples=10)["total"].value
    assert found == hits / N
    assert found > 0.3
