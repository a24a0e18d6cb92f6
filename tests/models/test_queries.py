"""Queries without training: the formulas against plain torch, bounds, and steering against a hand-made pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from negutil.captions.splitting import Rules
from negutil.errors import NegutilError
from negutil.models import architectures, encode, loader, queries
from negutil.models.loader import LoadedModel
from negutil.models.queries import SplitQuery, Steered

TEXTS = ["a dog", "a cat but no dog", "there is no dog", "a bird without a dog", "a tree"]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return loader.load("miniclip-s-8")


def unit(*vectors: list[float]) -> np.ndarray:
    array = np.array(vectors, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def angle(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((one * other).sum(axis=1), -1, 1)))


def test_caps_move_the_query_away_from_what_is_denied_in_the_plane_of_both() -> None:
    affirmed, denied = unit([1, 0, 0], [1, 0.1, 0]), unit([1, 1, 0], [1, 0.1, 0.3])
    threshold = 0.85
    alpha, theta = np.degrees(np.arccos(threshold)), angle(affirmed, denied)
    moved = queries.capped(affirmed, denied, threshold)
    assert (theta < 2 * alpha).all()
    np.testing.assert_allclose(angle(moved, denied), alpha + theta / 2, atol=1e-2)
    # On the side of a: the angle from a is what is left, and the three lie in one plane.
    np.testing.assert_allclose(angle(moved, affirmed), np.abs(alpha - theta / 2), atol=1e-2)
    for rows in zip(affirmed, denied, moved, strict=True):
        assert abs(np.linalg.det(np.stack(rows))) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)


def test_caps_leave_a_query_alone_where_the_caps_do_not_meet_or_the_parts_are_one() -> None:
    affirmed, denied = unit([1, 0], [1, 0]), unit([0, 1], [1, 0])
    np.testing.assert_array_equal(queries.capped(affirmed, denied, 0.92), affirmed)
    assert not np.array_equal(queries.capped(affirmed, denied, 0.5)[0], affirmed[0])


def test_subtraction_is_plain_and_of_unit_length() -> None:
    affirmed, denied = unit([1, 0]), unit([1, 1])
    wanted = torch.nn.functional.normalize(torch.tensor([[1 - 0.5 / 2**0.5, -0.5 / 2**0.5]]), dim=-1)
    np.testing.assert_allclose(queries.subtracted(affirmed, denied, 0.5), wanted, atol=1e-6)
    np.testing.assert_allclose(queries.subtracted(affirmed, denied, 0.0), affirmed, atol=1e-7)


def test_a_split_query_is_made_of_the_parts_and_other_texts_keep_their_vector(model: LoadedModel) -> None:
    who = SplitQuery(model, Rules(), queries.combination(queries.SUBTRACTED, 0.3))
    found, plain = who.features(TEXTS), encode.texts(model, TEXTS)
    np.testing.assert_allclose(found[[0, 4]], plain[[0, 4]], atol=1e-6)
    parts = encode.texts(model, ["a cat", "a photo", "a bird", "a photo of a dog"])
    wanted = queries.subtracted(parts[:3], np.repeat(parts[3:], 3, axis=0), 0.3)
    np.testing.assert_allclose(found[1:4], wanted, atol=1e-5)


def test_what_is_remembered_gives_the_same_and_serves_every_number(model: LoadedModel) -> None:
    fresh = SplitQuery(model, Rules(), queries.combination(queries.CAPS, 0.7))
    who = SplitQuery(model, Rules(), queries.combination(queries.AFFIRMED, 0))
    who.remember(TEXTS)
    known = who._known
    np.testing.assert_allclose(
        who.with_combine(queries.combination(queries.CAPS, 0.7)).features(TEXTS), fresh.features(TEXTS), atol=1e-5
    )
    assert who._known is known and not np.allclose(who.features(TEXTS), fresh.features(TEXTS), atol=1e-3)


@pytest.mark.parametrize(("method", "number"), [("caps", 1.0), ("caps", 0.0), ("subtraction", -0.1), ("steering", 0.1)])
def test_a_number_out_of_range_is_refused(method: str, number: float) -> None:
    with pytest.raises(NegutilError):
        queries.combination(method, number)


# --------------------------------------------------------------------------------------------------------------------
# Steering


@pytest.fixture(scope="module")
def towards(model: LoadedModel) -> np.ndarray:
    nouns = ("cat", "dog", "tree", "car", "house", "star", "book", "clock")
    return queries.directions(
        model, [f"there is a {noun}" for noun in nouns], [f"there is no {noun}" for noun in nouns]
    )


@torch.inference_mode()
def by_hand(model: LoadedModel, text: str, towards: np.ndarray, strength: float) -> torch.Tensor:
    """The steered feature of one text, layer by layer."""
    clip, tokens = model.model, architectures.tokenize(model.tokenizer, [text])
    end, length = int(tokens.argmax()), tokens.shape[1]
    states = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    for block, direction in zip(clip.transformer.resblocks, torch.from_numpy(towards), strict=True):
        states = block(states, attn_mask=clip.attn_mask)
        x = states[0, end]
        states[0, end] = (1 - strength) * x + strength * direction * x.norm()
    feature = clip.ln_final(states)[0, end] @ clip.text_projection
    return torch.nn.functional.normalize(feature, dim=-1)


def test_steering_is_the_papers_formula_in_every_layer(model: LoadedModel, towards: np.ndarray) -> None:
    found = Steered(model, towards, 0.2, batch=2).features(TEXTS)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(torch.from_numpy(found[row]), by_hand(model, text, towards, 0.2), atol=2e-4, rtol=0)
    np.testing.assert_allclose(Steered(model, towards, 0.0).features(TEXTS), encode.texts(model, TEXTS), atol=1e-5)


def test_nothing_stays_steered_afterwards(model: LoadedModel, towards: np.ndarray) -> None:
    before = encode.texts(model, TEXTS, cached=False)
    assert not np.allclose(Steered(model, towards, 0.3).features(TEXTS), before, atol=1e-2)
    np.testing.assert_array_equal(encode.texts(model, TEXTS, cached=False), before)


def test_directions_are_unit_vectors_that_tell_negated_sentences_from_others(
    model: LoadedModel, towards: np.ndarray
) -> None:
    np.testing.assert_allclose(np.linalg.norm(towards, axis=1), 1, atol=1e-5)
    assert len(towards) == len(model.model.transformer.resblocks)
    with pytest.raises(NegutilError, match="no pairs"):
        queries.directions(model, [], [])


def test_remembered_steered_texts_are_the_same(model: LoadedModel, towards: np.ndarray) -> None:
    who = Steered(model, towards, 0.1)
    fresh = who.features([*TEXTS, TEXTS[0]])
    who.remember(TEXTS)
    np.testing.assert_allclose(who.features([*TEXTS, TEXTS[0]]), fresh, atol=1e-5)
    np.testing.assert_array_equal(fresh[0], fresh[-1])
