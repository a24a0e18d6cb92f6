from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from miniworld import faces
from negutil import paths, results, statistics
from negutil.captions import probe_prompts
from negutil.captions.english import FACE_PHRASES
from negutil.errors import NegutilError
from negutil.tasks import probe
from negutil.tasks.probe import ALONE, ANTONYM, MEAN, MEAN_WITH_ANTONYM, Pair

CUE = re.compile(r"\b(no|not|without|never)\b|n't", re.I)
PAIRS = probe_prompts.read_prompts()


def _unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def _problem(seed: int, count: int = 300) -> tuple[pd.DataFrame, np.ndarray, dict[str, np.ndarray]]:
    """Labels of drawn faces, and features that lean towards them, so that the probe is neither perfect nor blind."""
    rng = np.random.default_rng(seed)
    labels = pd.DataFrame([faces.sample(random.Random(f"{seed}/{i}")).attributes for i in range(count)])
    directions = {text: _unit(rng.normal(size=64)) for text in probe_prompts.texts(PAIRS)}
    own = np.stack([directions[f"a photo of a person {FACE_PHRASES[name]}"] for name in ("Bald", "Smiling")])
    leaning = labels[["Bald", "Smiling"]].to_numpy(dtype=float) @ own
    return labels, _unit(rng.normal(size=(count, 64)) + 3 * leaning), directions


def _value(outcome: probe.Outcome, attribute: str, phrasing: str, metric: str) -> pd.Series:
    table = outcome.table
    chosen = table[(table.attribute == attribute) & (table.phrasing == phrasing) & (table.metric == metric)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_the_prompts_are_for_celebas_forty_names_with_three_negations_each() -> None:
    assert list(dict.fromkeys(pair.attribute for pair in PAIRS)) == list(faces.CELEBA_ATTRIBUTES)
    for name in faces.CELEBA_ATTRIBUTES:
        own = {pair.phrasing: pair.other for pair in PAIRS if pair.attribute == name}
        assert {"not", "without", "no", ALONE} <= set(own)
        assert len(set(own.values())) == len(own)
        assert all(re.search(r"\bnot\b|\bno\b|\bwithout\b", own[phrasing]) for phrasing in ("not", "without", "no"))
        assert not CUE.search(own.get(ANTONYM, ""))
    assert not any(CUE.search(pair.affirmative) for pair in PAIRS)


def test_the_drawn_attributes_have_the_words_of_the_mini_world() -> None:
    for pair in PAIRS:
        if pair.attribute in faces.DRAWN and pair.attribute != "No_Beard":
            assert pair.affirmative == f"a photo of a person {FACE_PHRASES[pair.attribute]}"
            if pair.phrasing == ANTONYM:
                assert pair.other == f"a photo of a person {faces.ANTONYM_PHRASES[pair.attribute]}"
    assert {p.attribute for p in PAIRS if p.phrasing == ANTONYM} & set(faces.DRAWN) == set(faces.ANTONYM_PHRASES)


def test_no_beard_is_probed_by_its_affirmative_concept() -> None:
    inverted = {pair.attribute for pair in PAIRS if pair.inverted}
    labels = pd.DataFrame({"No_Beard": [True, False, True]})
    own = [pair for pair in PAIRS if pair.attribute == "No_Beard" and pair.phrasing == ANTONYM]
    assert inverted == {"No_Beard"}
    assert own[0].other == "a photo of a person with a clean-shaven face"
    assert probe.right(own, labels).tolist() == [[False], [True], [False]]


def test_every_metric_agrees_with_scikit_learn() -> None:
    labels, images, directions = _problem(1)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=20)
    kept, _ = probe_prompts.usable(PAIRS, labels)
    means: dict[str, list[float]] = {"balanced_accuracy": [], "auc": []}
    for pair in kept:
        truth = labels[pair.attribute].to_numpy() != pair.inverted
        first = images @ directions[pair.affirmative]
        second = images @ directions[pair.other] if pair.other else np.zeros(len(images))
        found = {metric: _value(outcome, pair.attribute, pair.phrasing, metric).value for metric in ("auc",)}
        assert found["auc"] == pytest.approx(roc_auc_score(truth, first - second), abs=1e-6)
        if pair.phrasing == ALONE:
            continue
        guess = first > second
        expected = {
            "tpr": recall_score(truth, guess),
            "tnr": recall_score(truth, guess, pos_label=0),
            "balanced_accuracy": balanced_accuracy_score(truth, guess),
            "affirmative_rate": guess.mean(),
            "auc_of_absence": roc_auc_score(~truth, second),
        }
        for metric, value in expected.items():
            assert _value(outcome, pair.attribute, pair.phrasing, metric).value == pytest.approx(value, abs=1e-6)
        if pair.phrasing == "not":
            means["balanced_accuracy"].append(float(expected["balanced_accuracy"]))
            means["auc"].append(float(found["auc"]))
    for metric, values in means.items():
        assert len(values) == len(faces.DRAWN)
        assert _value(outcome, MEAN, "not", metric).value == pytest.approx(np.mean(values), abs=1e-6)


def test_a_tie_counts_as_negative() -> None:
    same = Pair("Smiling", "not", "a smile", "a smile", False)
    labels = pd.DataFrame({"Smiling": [True, True, False, False]})
    images = _unit(np.random.default_rng(0).normal(size=(4, 8)))
    outcome = probe.evaluate([same], labels, images, {"a smile": images[0]}, resamples=50)
    assert _value(outcome, "Smiling", "not", "tpr").value == 0
    assert _value(outcome, "Smiling", "not", "tnr").value == 1
    assert _value(outcome, "Smiling", "not", "affirmative_rate").value == 0
    assert _value(outcome, "Smiling", "not", "balanced_accuracy").value == 0.5
    assert _value(outcome, "Smiling", "not", "auc").value == 0.5


def test_equal_prompts_tie_exactly_whatever_their_place() -> None:
    _, images, directions = _problem(2)
    twins = [replace(pair, other=pair.affirmative) for pair in PAIRS if pair.phrasing == "not"]
    first, second = probe.scores(twins, images, directions)
    assert np.array_equal(first, second)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=4, max_size=30))
def test_placements_average_to_the_area_under_the_curve_of_either_class(items: list[tuple[int, bool]]) -> None:
    scores, truth = (np.array(column)[:, None] for column in zip(*items, strict=True))
    if truth.all() or not truth.any():
        truth[0] = not truth[0]
    placed = probe.placements(scores.astype(float), truth)
    expected = roc_auc_score(truth[:, 0], scores[:, 0])
    assert placed[truth].mean() == pytest.approx(expected)
    assert placed[~truth].mean() == pytest.approx(expected)


def test_intervals_of_the_area_are_those_of_the_full_bootstrap() -> None:
    labels, images, directions = _problem(3, count=600)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=2000, seed=4)
    for name in ("Bald", "Smiling", "Eyeglasses"):
        pair = next(pair for pair in PAIRS if pair.attribute == name and pair.phrasing == "not")
        margin = images @ directions[pair.affirmative] - images @ directions[pair.other]
        picks = np.random.default_rng(5).integers(0, 600, size=(2000, 600))
        truth = labels[name].to_numpy()
        positives = truth[picks].sum(axis=1)
        above = (rankdata(margin[picks], axis=1) * truth[picks]).sum(axis=1) - positives * (positives + 1) / 2
        low, high = np.quantile(above / (positives * (600 - positives)), [0.025, 0.975])
        found = _value(outcome, name, "not", "auc")
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
        assert found.low < found.value < found.high


def test_intervals_of_rates_are_those_of_the_plain_bootstrap() -> None:
    labels, images, directions = _problem(3, count=600)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=500, seed=4)
    pair = next(pair for pair in PAIRS if pair.attribute == "Smiling" and pair.phrasing == "no")
    preferred = images @ directions[pair.affirmative] > images @ directions[pair.other]
    plain = statistics.bootstrap_mean(preferred, resamples=500, seed=4)
    found = _value(outcome, "Smiling", "no", "affirmative_rate")
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_the_gain_of_the_antonym_is_the_paired_difference() -> None:
    labels, images, directions = _problem(5)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=300)
    for metric in ("balanced_accuracy", "auc"):
        gain = _value(outcome, MEAN_WITH_ANTONYM, "antonym minus not", metric)
        parts = [_value(outcome, MEAN_WITH_ANTONYM, phrasing, metric).value for phrasing in (ANTONYM, "not")]
        assert gain.value == pytest.approx(parts[0] - parts[1])
        assert gain.low < gain.value < gain.high


def test_items_hold_every_score() -> None:
    labels, images, directions = _problem(6, count=50)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=10)
    own = outcome.items[(outcome.items.attribute == "Bald") & (outcome.items.phrasing == "without")]
    pair = next(pair for pair in PAIRS if pair.attribute == "Bald" and pair.phrasing == "without")
    assert own.image.tolist() == list(range(50))
    assert own.label.tolist() == labels.Bald.tolist()
    assert np.allclose(own.affirmative, images @ directions[pair.affirmative])
    assert np.allclose(own.other, images @ directions[pair.other])


def test_attributes_that_do_not_vary_are_skipped_and_named() -> None:
    labels, images, directions = _problem(7)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=10)
    assert set(outcome.skipped) == set(faces.NOT_DRAWN)
    with pytest.raises(NegutilError, match="None of the 40 attributes"):
        probe.evaluate(PAIRS, labels.iloc[:1], images[:1], directions)


def test_a_rare_attribute_leaves_the_others_their_intervals() -> None:
    labels, images, directions = _problem(7, count=60)
    labels["Bald"] = False
    labels.loc[3, "Bald"] = True
    pairs = [pair for pair in PAIRS if pair.attribute in ("Bald", "Smiling")]
    both = probe.evaluate(pairs, labels, images, directions, resamples=400)
    alone = probe.evaluate(
        [pair for pair in pairs if pair.attribute == "Smiling"], labels, images, directions, resamples=400
    )
    for metric in ("tpr", "tnr", "auc", "affirmative_rate"):
        first, second = (_value(outcome, "Smiling", "not", metric) for outcome in (both, alone))
        assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))
    assert np.isfinite(_value(both, MEAN, "not", "balanced_accuracy").low)


def test_missing_and_broken_features_are_refused() -> None:
    labels, images, directions = _problem(8, count=40)
    with pytest.raises(NegutilError, match="lacks 1 prompts"):
        probe.evaluate(PAIRS, labels, images, {text: directions[text] for text in probe_prompts.texts(PAIRS)[1:]})
    images[3, 2] = np.nan
    with pytest.raises(NegutilError, match="not all finite"):
        probe.evaluate(PAIRS, labels, images, directions)


def test_records_are_saved_with_the_papers_number_beside_its_own_phrasing() -> None:
    labels, images, directions = _problem(9, count=60)
    outcome = probe.evaluate(PAIRS, labels, images, directions, resamples=20)
    found = probe.records(outcome, "binary probe", "toy")
    beside = [record for record in found if record.paper_value is not None]
    results.save(found, "quick", "02_binary_probe", "probe")
    assert len(found) == len(outcome.table)
    assert [(record.task, record.metric, record.paper_value) for record in beside] == [
        ("mean/not", "balanced_accuracy", 0.608)
    ]
    assert len(results.load("quick", "02_binary_probe", "probe")) == len(found)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{}", "", "template is"),
        ('phrasings = ["not", "without", "no"]', "phrasings = []", "needs a list 'phrasings'"),
        ('no = "with no bangs"', "", "attributes.Bangs"),
        ('no = "with no bangs"', 'nope = "with no bangs"', "attributes.Bangs"),
        ('no = "with no bangs"', "no = 3", "no text"),
        ("[attributes.Bangs]", "[attributes.Bangs", "cannot be read as TOML"),
    ],
)
def test_a_wrong_prompt_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (paths.CONFIGS / "celeba_prompts.toml").read_text(encoding="utf-8")
    broken = tmp_path / "prompts.toml"
    assert old in text
    broken.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(NegutilError, match=message):
        probe_prompts.read_prompts(broken)
