from __future__ import annotations

import numpy as np
import pytest

from negutil.captions import english, exclusion, sentence_forms
from negutil.errors import NegutilError


def gallery() -> dict[str, np.ndarray]:
    """Ten pictures: a cat in eight, with a dog in four of them; a dog in one more; a lemon in one."""
    return {
        "cat": np.arange(10) < 8,
        "dog": np.isin(np.arange(10), [0, 1, 2, 3, 8]),
        "lemon": np.arange(10) == 0,
    }


def test_labels_count_a_woman_as_a_person_and_no_supercategory_that_is_no_category() -> None:
    categories = [["woman"], ["person", "cat"], ["cat"]]
    above = [["person"], ["person", "animal"], ["animal"]]
    there = exclusion.labels(categories, above)
    assert {noun: flags.tolist() for noun, flags in there.items()} == {
        "cat": [False, True, True],
        "person": [True, True, False],
        "woman": [True, False, False],
    }
    assert exclusion.labels(categories)["person"].tolist() == [False, True, False]


def test_pairs_have_enough_pictures_with_both_and_with_the_first_alone() -> None:
    assert exclusion.pairs(gallery(), minimum=4, most=9) == [("cat", "dog")]
    # Of the five dogs one is alone, of the eight cats one shares its picture with a lemon.
    assert exclusion.pairs(gallery(), minimum=1, most=9) == [
        ("cat", "dog"),
        ("cat", "lemon"),
        ("dog", "cat"),
        ("dog", "lemon"),
    ]


def test_too_many_pairs_are_sampled_the_same_way_twice() -> None:
    first = exclusion.pairs(gallery(), minimum=1, most=2, seed=3)
    assert len(first) == 2
    assert first == exclusion.pairs(gallery(), minimum=1, most=2, seed=3)
    assert set(first) < set(exclusion.pairs(gallery(), minimum=1, most=9))


def test_queries_say_every_pair_in_every_wording() -> None:
    said = exclusion.queries(gallery(), minimum=4)
    texts = {query.form: query.text for query in said}
    assert texts[exclusion.ALONE] == "a cat"
    assert texts[exclusion.BOTH] == "a cat and a dog"
    assert texts["X, but no Y"] == "a cat, but no dog"
    assert texts["X, free of Ys"] == "a cat, free of dogs"
    assert texts["the picture lacks Y but has X"] == "the picture lacks a dog but has a cat"
    assert len(texts) == len(said) == 2 + len(sentence_forms.EXCLUDING)
    assert all((query.wanted, query.excluded) == ("cat", "dog") for query in said)


def test_controls_have_no_cue_and_negations_do_and_some_are_held_out() -> None:
    said = exclusion.queries(gallery(), minimum=1)
    for query in said:
        assert (query.cue == "") == (query.form in (exclusion.ALONE, exclusion.BOTH))
        assert query.cue == "" or query.excluded in query.text
        assert query.held_out_noun == (query.excluded == "lemon")
    kept = {form.cue for form in english.NEGATED if form.held_out and "{things}" in form.text}
    assert {query.cue for query in said if query.held_out} <= kept
    assert {"no", "not", "without", "does not", "n't"} <= {query.cue for query in said if not query.held_out}


def test_no_wording_claims_that_nothing_else_is_there() -> None:
    for query in exclusion.queries(gallery(), minimum=4):
        assert not {"just", "only"} & set(query.text.replace(",", "").split())
    assert sentence_forms.closed(english.Form("no {bare} here, just {things}"))


def test_no_usable_pair_is_an_error() -> None:
    with pytest.raises(NegutilError, match="No two things share 6 images"):
        exclusion.queries(gallery(), minimum=6)
    with pytest.raises(NegutilError, match="at least one pair and image"):
        exclusion.pairs(gallery(), minimum=0, most=3)


def test_forms_without_a_place_read_well() -> None:
    for form in (*sentence_forms.AFFIRMATIVE, *sentence_forms.NEGATED_ALONE, *sentence_forms.EXCLUDING):
        text = sentence_forms.fill(form, "a cat", "dog")
        assert "{" not in text
        assert "  " not in text
        assert " ," not in text
        assert text == text.strip(" ,;")
    assert sentence_forms.name(sentence_forms.EXCLUDING[0]) == "X, but no Y"
