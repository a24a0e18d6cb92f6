from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from miniworld import faces, radiographs, scenes
from miniworld.truth import sayable
from negutil.captions import claim_items, probe_prompts
from negutil.captions.claim_items import ClaimSet, Known
from negutil.errors import NegutilError


@pytest.fixture(scope="module")
def things() -> list[scenes.Scene]:
    return [scenes.sample(random.Random(f"claims/{number}")) for number in range(300)]


def shown(things: list[scenes.Scene]) -> dict[str, np.ndarray]:
    nouns = [sayable(scene.nouns) for scene in things]
    return {noun: np.array([noun in seen for seen in nouns]) for noun in sorted(set().union(*nouns))}


@pytest.fixture(scope="module")
def sets(things: list[scenes.Scene]) -> dict[str, ClaimSet]:
    labels = pd.DataFrame([faces.sample(random.Random(f"face/{i}")).attributes for i in range(200)])
    findings = pd.DataFrame([radiographs.sample(random.Random(f"chest/{i}")).labels for i in range(200)]).astype(float)
    found = (
        claim_items.objects(shown(things)),
        claim_items.attributes([list(one.named()) for one in things]),
        claim_items.faces(labels),
        claim_items.radiographs(findings),
    )
    return {claims.domain: claims for claims in found}


DOMAINS = (claim_items.OBJECTS, claim_items.ATTRIBUTES, claim_items.FACES, claim_items.RADIOGRAPHS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_combination_is_a_quarter_and_every_picture_has_one_claim(sets: dict[str, ClaimSet], domain: str) -> None:
    claims = sets[domain].claims
    assert tuple(claims.columns) == claim_items.COLUMNS
    assert len(set(claims.groupby(["negated", "true"]).size())) == 1
    assert claims["picture"].is_unique
    assert len(claims) >= 40


@pytest.mark.parametrize("domain", DOMAINS)
def test_claims_agree_with_what_is_known(sets: dict[str, ClaimSet], domain: str) -> None:
    claims, known = sets[domain].claims, sets[domain].known
    column = claims["subject"].map({name: number for number, name in enumerate(known.subjects)})
    there = known.present[claims["picture"], column]
    gone = known.absent[claims["picture"], column]
    assert (there != gone).all()
    np.testing.assert_array_equal(claims["true"], np.where(claims["negated"], gone, there))
    assert not (known.present & known.absent).any()


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_rule_that_reads_only_the_sentence_beats_chance(sets: dict[str, ClaimSet], domain: str) -> None:
    """Each sentence is as often true as false, so whatever is said of it is right half of the time."""
    claims = sets[domain].claims
    assert (claims.groupby("pair")["true"].sum() == 1).all()
    assert (claims.groupby("pair")["text"].nunique() == 1).all()
    assert (claims.groupby("text")["true"].mean() == 0.5).all()


@pytest.mark.parametrize("domain", DOMAINS)
def test_negated_claims_have_a_cue_and_several_wordings(sets: dict[str, ClaimSet], domain: str) -> None:
    claims = sets[domain].claims
    assert ((claims["cue"] != "") == claims["negated"]).all()
    assert claims[claims["negated"]]["cue"].nunique() >= 3
    assert claims[~claims["negated"]]["form"].nunique() >= 3
    assert claims["held_out"].any()


def test_validation_keeps_off_the_wordings_for_testing(things: list[scenes.Scene]) -> None:
    for claims in (
        claim_items.objects(shown(things), held_out=False),
        claim_items.attributes([list(one.named()) for one in things], held_out=False),
    ):
        assert not claims.claims["held_out"].any()


def test_sentences_read_well(sets: dict[str, ClaimSet]) -> None:
    for claims in sets.values():
        for text in claims.claims["text"]:
            assert "{" not in text
            assert "  " not in text
            assert not any(wrong in f" {text} " for wrong in (" a a", " a apple", " a otter", " no a ", " a orange "))
    colours = dict(zip(sets["attributes"].claims["form"], sets["attributes"].claims["text"], strict=True))
    assert any(form == "the X is not red" and text.startswith("the ") for form, text in colours.items())


def test_a_false_claim_about_colour_is_about_a_thing_that_is_there(
    sets: dict[str, ClaimSet], things: list[scenes.Scene]
) -> None:
    claims = sets["attributes"].claims
    columns = (claims[name].tolist() for name in ("picture", "subject", "true", "negated"))
    for picture, subject, true, negated in zip(*columns, strict=True):
        colour, noun = subject.split(" ", 1)
        shades = [shade for name, shade in things[picture].named() if name == noun]
        assert len(shades) == 1
        assert (shades == [colour]) == (true != negated)


def test_faces_use_the_probe_s_words_and_turn_inverted_labels_round(sets: dict[str, ClaimSet]) -> None:
    claims = sets["faces"].claims
    inverted = {pair.attribute for pair in probe_prompts.read_prompts() if pair.inverted}
    beards = claims[claims["subject"].isin(inverted)]
    assert len(beards)
    assert beards["text"].str.contains("facial hair").all()
    assert set(claims["cue"]) == {"", "not", "without", "no"}


def test_uncertain_findings_are_not_claimed() -> None:
    findings = pd.DataFrame({"No Finding": [1, 0] * 20, "Edema": [1, 0, -1, None] * 10, "Fracture": [0, 1, 1, 0] * 10})
    claims = claim_items.radiographs(findings).claims
    assert set(claims["subject"]) <= {"Edema", "Fracture"}
    rows = claims[claims["subject"] == "Edema"]["picture"]
    assert findings["Edema"].iloc[rows].isin([0, 1]).all()


def test_absent_things_are_plausible() -> None:
    """Cats and dogs go together, and so do cars and trains: the unlikely pairs are next to never made."""
    kind = np.arange(400) < 200
    rng = np.random.default_rng(0)
    present = np.column_stack([flags & (rng.random(400) < 0.6) for flags in (kind, kind, ~kind, ~kind)])
    known = Known(("cat", "dog", "car", "train"), present, ~present)
    expected = claim_items.plausibility(known)
    assert expected[present].max() == 0
    likely, unlikely = (
        [lacking for _, lacking, subject in matches if kind[lacking] != (subject < 2) and present[lacking].any()]
        for matches in (claim_items.match(known, np.random.default_rng(0), plausible=flag) for flag in (True, False))
    )
    assert len(likely) < len(unlikely) / 2


def test_the_same_seed_gives_the_same_claims(things: list[scenes.Scene]) -> None:
    first, again, other = (claim_items.objects(shown(things), most=40, seed=seed).claims for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert len(first) == 40
    assert first["text"].tolist() != other["text"].tolist()


def test_too_few_pictures_are_an_error() -> None:
    with pytest.raises(NegutilError, match="The 2 images of objects give no four claims"):
        claim_items.objects({"cat": np.array([True, False])})
