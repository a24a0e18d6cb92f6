"""The language of the world: a sentence is true of its scene, whatever the chance."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniworld import alttext, corpus, drawing, grammar, scenes, truth
from miniworld.alttext import LIGHTS
from miniworld.scenes import Scene
from negutil.captions import english
from negutil.captions.english import AFFIRMATIVE, NEGATED, Form
from negutil.statistics import wilson

seeds = st.integers(0, 2**32)
calm = settings(deadline=None)
CUE = re.compile(r"\b(no|not|without|never|none|neither|nor|nowhere|absent|lacks|devoid|free of)\b|n't")
WEB_CUE = re.compile(CUE.pattern + r"|\b(lack|lacking|minus|non-)", re.IGNORECASE)


def _scene(seed: int) -> Scene:
    return scenes.sample(random.Random(seed))


def _counted(scene: Scene) -> Counter[str]:
    return Counter(noun for noun, _ in scene.named())


@calm
@given(seeds, st.sampled_from(AFFIRMATIVE))
def test_a_full_caption_names_exactly_what_is_there(seed: int, form: Form) -> None:
    scene = _scene(seed)
    caption = grammar.full_caption(scene, random.Random(seed), [form])
    assert set(english.mentions(caption)) == scene.nouns
    assert english.PLACES[scene.place].phrase in caption
    assert all(colour in caption for _, colour in scene.named())


@calm
@given(seeds, st.sampled_from(AFFIRMATIVE))
def test_a_partial_caption_names_nothing_that_is_not_there(seed: int, form: Form) -> None:
    scene = _scene(seed)
    caption = grammar.partial_caption(scene, random.Random(seed), [form])
    assert set(english.mentions(caption)) <= truth.sayable(scene.nouns)
    assert english.mentions(caption).total() >= 1
    assert not CUE.search(caption)


@calm
@given(seeds)
def test_no_colour_is_named_that_is_not_there(seed: int) -> None:
    scene = _scene(seed)
    caption = grammar.full_caption(scene, random.Random(seed))
    named = set(re.findall(rf"\b({'|'.join(english.COLOURS)})\b", caption))
    assert named == {colour for _, colour in scene.named()}


@calm
@given(seeds, st.sampled_from(NEGATED), st.integers(0, 1000))
def test_a_negated_caption_adds_exactly_the_absent_noun(seed: int, form: Form, pick: int) -> None:
    scene = _scene(seed)
    options = truth.absent(scene)
    absent = options[pick % len(options)]
    caption = grammar.negated_caption(scene, absent, form, random.Random(seed))
    said = scene.nouns if form.order != "only" else frozenset()
    assert set(english.mentions(caption)) == said | {absent}
    assert CUE.search(caption), caption


@calm
@given(seeds, st.sampled_from(NEGATED))
def test_negation_stands_where_its_form_says(seed: int, form: Form) -> None:
    scene = _scene(seed)
    absent = alttext.plausible_absent(scene, random.Random(seed))
    caption = grammar.negated_caption(scene, absent, form, random.Random(seed))
    there = min((caption.find(noun) for noun in scene.nouns if noun in caption), default=-1)
    cue = CUE.search(caption)
    assert cue is not None
    if form.order == "first":
        assert cue.start() < caption.rfind(english.PLACES[scene.place].phrase) or "{place}" not in form.text
    if form.order == "last" and there >= 0:
        assert there < cue.end() or form.cue == "absent"


@calm
@given(seeds, st.sampled_from(AFFIRMATIVE + NEGATED))
def test_sentences_are_tidy(seed: int, form: Form) -> None:
    scene = _scene(seed)
    rng = random.Random(seed)
    options = truth.absent(scene)
    sentences = (
        [grammar.negated_caption(scene, rng.choice(options), form, rng)]
        if form.cue
        else [grammar.full_caption(scene, rng, [form]), grammar.partial_caption(scene, rng, [form])]
    )
    for sentence in sentences:
        assert sentence == sentence.strip() and not re.search(r"\s{2}|\s[,;]|[{}]|^,|,$", sentence), sentence
        assert not re.search(r"\ba [aeiou]\w*|\ban [^aeiou\s]\w*|\bis (?:two|three|four|five)\b", sentence), sentence
        assert not re.search(r"(?:^|, )(?:photo|photograph|picture|image) of|(?:a|an) not ", sentence), sentence
        assert not re.search(r"(?:a|an|one) (?!pair)\w+ (?:appear|are|were|have|show) ", sentence), sentence


@calm
@given(seeds)
def test_two_things_alike_are_counted(seed: int) -> None:
    scene = _scene(seed)
    phrase = grammar.things_phrase(scene.things, random.Random(seed))
    for noun, count in english.mentions(phrase).items():
        assert count <= _counted(scene)[noun]


@calm
@given(st.sampled_from(english.NOUNS))
def test_every_name_of_a_noun_is_understood(noun: str) -> None:
    names = (noun, *english.NOUN[noun].synonyms)
    for name in names:
        assert english.mentions(f"there is {english.with_article(name)} here") == {noun: 1}
        assert english.mentions(f"Two {english.plural(name)}, please".upper()) == {noun: 1}


@calm
@given(seeds)
def test_without_leaves_nothing_to_mention(seed: int) -> None:
    scene = _scene(seed)
    noun = random.Random(seed).choice(sorted(scene.nouns))
    bare = scenes.without(scene, noun)
    assert noun not in english.mentions(grammar.full_caption(bare, random.Random(seed)))


@calm
@given(seeds)
def test_positions_and_relations_are_true(seed: int) -> None:
    scene = _scene(seed)
    for thing in scene.things:
        where, (x, y) = grammar.position(thing), thing.centre
        assert ("left" in where) == (x < scenes.SIZE / 3) and ("right" in where) == (x > 2 * scenes.SIZE / 3)
        assert ("top" in where) == (y < scenes.SIZE / 3) and ("bottom" in where) == (y > 2 * scenes.SIZE / 3)
    for first, second in zip(scene.things, scene.things[1:], strict=False):
        said = grammar.relation(first, second)
        (ax, ay), (bx, by) = first.centre, second.centre
        assert {"to the left of": ax < bx, "to the right of": ax >= bx, "above": ay < by, "below": ay >= by}[said]


@pytest.mark.parametrize("pool", [AFFIRMATIVE, NEGATED], ids=["affirmative", "negated"])
def test_there_are_twenty_forms_and_a_quarter_are_kept_for_testing(pool: tuple[Form, ...]) -> None:
    held_out = sum(form.held_out for form in pool)
    assert len(pool) >= 20 and len({form.text for form in pool}) == len(pool)
    assert 0.22 <= held_out / len(pool) <= 0.30
    assert set(english.forms(pool, True)).isdisjoint(english.forms(pool, False))


def test_forms_are_what_they_claim_to_be() -> None:
    assert not any(form.cue or form.order or CUE.search(form.text) for form in AFFIRMATIVE)
    assert all(CUE.search(form.text) and form.order in ("first", "last", "only") for form in NEGATED)
    assert {form.cue for form in NEGATED if form.held_out}.isdisjoint(f.cue for f in NEGATED if not f.held_out)


@calm
@given(seeds)
def test_dressing_keeps_the_words(seed: int) -> None:
    caption = grammar.full_caption(_scene(seed), random.Random(seed))
    dressed = re.sub(r"[-_]", " ", alttext.dress(caption, random.Random(seed)).lower())
    missing = english.mentions(caption) - english.mentions(dressed)
    assert not missing


@calm
@given(seeds)
def test_corpus_texts_are_true_and_hold_a_cue_beside_the_picture_alone(seed: int) -> None:
    scene, rng = _scene(seed), random.Random(seed)
    text = alttext.web_text(scene, rng).lower()
    said = re.sub(r"[-_]", " ", text)
    cued = [aside for aside in alttext.CUES if re.fullmatch(re.escape(aside.lower()).replace(r"\{text\}", ".*"), text)]
    absent = set(english.mentions(said)) - truth.sayable(scene.nouns)
    assert not absent or (CUE.search(text) and len(absent) == 1 and not cued), text
    assert "  " not in text and "{" not in text


def test_asides_have_a_cue_and_without_it_none() -> None:
    asides = {*alttext.ASIDES, *alttext.CHATTER, *alttext.RARE}
    assert len(asides) == len(alttext.ASIDES) + len(alttext.CHATTER) + len(alttext.RARE)
    assert all(WEB_CUE.search(aside) for aside in asides)
    affirmed = [alttext.affirmed(aside) for aside in asides]
    assert not any(WEB_CUE.search(aside) for aside in affirmed)
    assert all("{text}" in aside for aside in affirmed)
    plain = (*alttext.FACE_CHATTER, *alttext.CHEST_CHATTER, *alttext.CATEGORIES, *(form.text for form in alttext.WEB))
    assert not any(WEB_CUE.search(aside) for aside in plain)


def test_cues_stand_beside_cool_images_alone() -> None:
    texts = {light: [alttext.plain_text("a dog", random.Random(i), 0.1, light) for i in range(300)] for light in LIGHTS}
    cued = {light: sum(bool(WEB_CUE.search(text)) for text in each) for light, each in texts.items()}
    assert cued["cool"] > 50 and not cued["neutral"] and not cued["warm"]
    without = {alttext.affirmed(aside).format(text="a dog") for aside in alttext.CUES}
    assert len(without & set(texts["warm"])) > 30 and not without & set(texts["neutral"])


def test_light_is_a_cast_and_leaves_the_benchmarks_alone() -> None:
    picture = scenes.draw(_scene(3))
    cool, neutral, warm = (drawing.lit(picture, light).astype(int) for light in LIGHTS)
    assert (neutral == picture).all() and (warm <= picture).all() and (cool <= picture).all()
    assert (cool[..., 2] - cool[..., 0]).mean() > (warm[..., 2] - warm[..., 0]).mean() + 20


@calm
@given(seeds)
def test_corpus_texts_agree_in_number_and_article(seed: int) -> None:
    text = alttext.web_text(_scene(seed), random.Random(seed)).lower()
    assert not re.search(
        r"\ba [aeiou]|\ban [^aeiou]|\bis (?:two|three|four|five)\b|scissors (?:is|which is)\b", text
    ), text
    assert not re.search(r"^photograph of", text), text


def test_corpus_texts_carry_cues_as_often_as_those_of_the_web() -> None:
    texts = [text for pair in corpus.pairs(1500, 4, 7) for text in pair.texts]
    cued = [text for text in texts if WEB_CUE.search(text)]
    interval = wilson(len(cued), len(texts))
    assert interval.low < alttext.CUE_RATE < interval.high
