"""The cue patterns against a slow reference that knows no regular expressions, and the checks of term lists."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.captions import negation_terms
from negutil.captions.negation_terms import APOSTROPHES, HYPHENS, TermList
from negutil.errors import NegutilError

LISTS = {terms.name: terms for terms in negation_terms.load()}
# Characters that are unassigned in one Unicode version may be letters in the next.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]))
PIECES = [
    *LISTS["wide"].words, "n't", "n’t", "-free", "‑free", "non-", "un-", "no", "NOT", "Without", "knot", "Norway", "é",
    "\u0301", "_", "5", ".", ",", " ", "  ", "\t", "\u00a0", "'", "’", "-", "İ", "lac\u212a", "ſ", "o", "n", "t", "ñ",
]  # fmt: skip
CUE_TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def found(texts: list[str], terms: TermList) -> list[list[str]]:
    return pl.Series(texts, dtype=pl.String).str.to_lowercase().str.extract_all(terms.pattern).to_list()


def is_word(text: str, place: int) -> bool:
    return 0 <= place < len(text) and regex.match(r"\w", text[place]) is not None


def length_at(text: str, place: int, term: str) -> int:
    """How many characters of ``text`` from ``place`` on spell ``term``; 0 if they do not."""
    here = place
    for char in term:
        forms = next((forms for forms in (APOSTROPHES, HYPHENS) if char in forms), char)
        start = here
        while char == " " and here < len(text) and regex.match(r"\s", text[here]):
            here += 1
        if char != " " and here < len(text) and text[here] in forms:
            here += 1
        if here == start:
            return 0
    return here - place


def slow(text: str, terms: TermList) -> int:
    """Count cues by trying every term at every place."""
    text, place, cues = text.lower(), 0, 0
    kinds = [(terms.words, False, False), (terms.endings, True, False), (terms.beginnings, False, True)]
    while place < len(text):
        step = 0
        for group, goes_on_before, goes_on_after in kinds:
            for term in sorted(group, key=len, reverse=True):
                size = length_at(text, place, term)
                fits = is_word(text, place - 1) == goes_on_before and is_word(text, place + size) == goes_on_after
                if size and fits and not step:
                    step = size
        cues, place = cues + bool(step), place + max(step, 1)
    return cues


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=70, deadline=None)
@given(texts=st.lists(st.one_of(CUE_TEXT, ANY_TEXT), min_size=1, max_size=20))
def test_pattern_agrees_with_slow_reference(name: str, texts: list[str]) -> None:
    assert [len(cues) for cues in found(texts, LISTS[name])] == [slow(text, LISTS[name]) for text in texts]


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=150, deadline=None)
@given(text=st.one_of(CUE_TEXT, ANY_TEXT))
def test_stems_miss_no_cue(name: str, text: str) -> None:
    terms = LISTS[name]
    assert pl.Series([text]).str.contains(terms.stems).item() or not slow(text, terms)


@pytest.mark.parametrize(
    ("text", "strict", "standard", "wide"),
    [
        ("No. 5 perfume", 1, 1, 1),
        ("no.5", 1, 1, 1),
        ("no-one is here", 1, 1, 1),
        ("NO RESERVE", 1, 1, 1),
        ("no_5 knots in a notebook from Norway, Nottingham", 0, 0, 0),
        ("non-stick pan, un-named", 0, 0, 2),
        ("nonstick pan, unnamed", 0, 0, 0),
        ("can't wait", 0, 1, 1),
        ("can’t wait, DON`T miss", 0, 2, 2),
        ("cannot, can not", 1, 2, 2),
        ("nothing, none, never", 0, 3, 3),
        ("sugar-free, free of  salt, free shipping", 0, 0, 2),
        ("without  Without WITHOUT", 3, 3, 3),
        ("n't alone", 0, 0, 0),
        ("piñon no\u0301", 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_what_counts(text: str, strict: int, standard: int, wide: int) -> None:
    counts = [len(found([text], LISTS[name])[0]) for name in ("strict", "standard", "wide")]
    assert counts == [strict, standard, wide]


def test_declared_lists_are_nested() -> None:
    strict, standard, wide = (set(LISTS[name].words) for name in ("strict", "standard", "wide"))
    assert strict == {"no", "not", "without"}
    assert strict < standard < wide


def test_chosen_by_name_or_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nwords = ["sin"]\n[more]\nincludes = ["mine"]\nwords = ["ningún"]\n', encoding="utf-8")
    mine, more = negation_terms.load(file)
    assert [terms.name for terms in negation_terms.load("strict")] == ["strict"]
    assert (mine.stems, more.stems) == ("(?i:sin)", "(?i:ningún|sin)")
    assert found(["SIN flores, NINGÚN perro, since"], more) == [["sin", "ningún"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no term list"),
        ("words = 3", "must be a table"),
        ("[a]\nwords = 3", "list of texts"),
        ("[a]\nwords = []", "no terms"),
        ('[a]\nwords = ["-x"]', "begin or end as words do"),
        ('[a]\nwords = [""]', "begin or end as words do"),
        ('[a]\nincludes = ["b"]', "no list above"),
        ('[a]\nword = ["no"]', "unknown key 'word'"),
        ("[a", "cannot be read as TOML"),
    ],
)
def test_wrong_file_is_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content)
    with pytest.raises(NegutilError, match=says) as caught:
        negation_terms.load(file)
    assert str(file) in str(caught.value)


def test_unknown_name() -> None:
    with pytest.raises(NegutilError, match="neither a term list"):
        negation_terms.load("narrow")
