"""Negation layer by layer: pairs of sentences, the probe and its held-out parts, distances, and t-SNE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from negutil.captions import phrasing
from negutil.captions.english import NOUNS
from negutil.compare import layer_probe
from negutil.config import Bootstrap
from negutil.errors import NegutilError
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel

SAID = layer_probe.pairs(NOUNS[:8])
COUNT = len(SAID.cues)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return loader.load("miniclip-s-8")


def planted(seed: int = 0) -> np.ndarray:
    """Features of which one number says whether the sentence is negated, the others are noise."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((2 * COUNT, 6)).astype(np.float32)
    features[:, 0] = np.repeat([3.0, -3.0], COUNT) + 0.1 * features[:, 0]
    return features


def test_pairs_differ_in_their_negation_alone() -> None:
    assert len(set(zip(SAID.cues, SAID.nouns, strict=True))) == COUNT == 8 * len(set(SAID.cues))
    negated, affirmed = (phrasing.table(texts)["cue"] for texts in (SAID.negated, SAID.affirmed))
    assert (negated != "").all()
    assert (affirmed == "").all()
    assert layer_probe.pairs(NOUNS[:8]).texts == SAID.texts
    assert layer_probe.pairs(NOUNS[:8], seed=1).texts != SAID.texts


def test_layers_end_with_the_output_of_the_tower(model: LoadedModel) -> None:
    found = layer_probe.layers(model, SAID.texts[:5])
    assert list(found) == ["layer 1", "layer 2", "layer 3", layer_probe.OUTPUT]
    output = found[layer_probe.OUTPUT]
    unit = output / np.linalg.norm(output, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, encode.texts(model, SAID.texts[:5], cached=False), atol=1e-5)
    with pytest.raises(NegutilError, match="no text"):
        layer_probe.layers(model, [])


def test_the_probe_finds_what_is_there_and_nothing_in_noise() -> None:
    assert layer_probe.probe(planted(), SAID).mean() == 1
    noise = np.random.default_rng(1).standard_normal((2 * COUNT, 6)).astype(np.float32)
    assert abs(layer_probe.probe(noise, SAID).mean() - 0.5) < 0.15


def test_the_probe_cannot_go_by_the_cue_it_has_seen() -> None:
    """A feature that says which cue a negated sentence has is of no use for a cue that is left out."""
    cues = np.unique(SAID.cues)
    features = np.zeros((2 * COUNT, len(cues)), np.float32)
    features[np.arange(COUNT), np.searchsorted(cues, SAID.cues)] = 1
    assert layer_probe.probe(features, SAID).mean() == 0.5
    assert layer_probe.probe(features, SAID, held_out_cues=False).mean() == 1


def test_distances_are_zero_for_equal_sentences_and_one_for_other_nouns() -> None:
    rng = np.random.default_rng(0)
    affirmed = rng.standard_normal((COUNT, 64)).astype(np.float32)
    same = layer_probe.distances(np.concatenate([affirmed, affirmed]), SAID)
    np.testing.assert_allclose(same["gap"], 0, atol=1e-5)
    other = rng.standard_normal((COUNT, 64)).astype(np.float32)
    far = layer_probe.distances(np.concatenate([other, affirmed]), SAID)
    assert abs(far["gap"].mean() - 1) < 0.1


def test_a_summary_has_every_layer_and_the_difference(model: LoadedModel) -> None:
    items = layer_probe.evaluate(model, SAID)
    found = layer_probe.summary(items, Bootstrap(50, 0))
    probe = found[found["metric"] == layer_probe.ACCURACY].set_index("task")
    assert list(probe.index)[-2:] == [layer_probe.LENGTH, f"layer 1 minus {layer_probe.OUTPUT}"]
    value = probe["value"]
    difference = value["layer 1"] - value[layer_probe.OUTPUT]
    assert value[f"layer 1 minus {layer_probe.OUTPUT}"] == pytest.approx(difference)
    assert (found["low"] <= found["value"]).all()
    assert set(found["n"]) == {COUNT}
    assert layer_probe.LENGTH not in set(found.loc[found["metric"] == layer_probe.GAP, "task"])
    by_cue = layer_probe.by_cue(items)
    assert len(by_cue) == len(set(SAID.cues))
    assert by_cue["layer 1"].mean() == pytest.approx(probe.loc["layer 1", "value"])


def test_tsne_places_both_sides_of_twenty_pairs(model: LoadedModel) -> None:
    found = layer_probe.tsne(model, SAID)
    assert len(found) == 2 * 2 * layer_probe.PAIRS_SHOWN
    assert found.groupby(["layer", "pair"])["negated"].nunique().eq(2).all()
    assert np.isfinite(found[["x", "y"]].to_numpy()).all()
    pd.testing.assert_frame_equal(found, layer_probe.tsne(model, SAID))


def test_no_path_is_needed(tmp_path: Path, model: LoadedModel) -> None:
    """Length alone is told by the tokens, without any weights."""
    counted = layer_probe.lengths(model, ["a dog", "a dog", "there is no dog here"])
    assert (counted.sum(axis=1) == 1).all()
    assert (counted[0] == counted[1]).all()
    assert (counted[0] != counted[2]).any()
    assert not list(tmp_path.iterdir())
