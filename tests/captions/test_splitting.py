"""Splits of sentences: the grammar is exact, and the rules agree with it and with published splits."""

from __future__ import annotations

import ast
import csv
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from miniworld import grammar, referring, scenes
from miniworld.splitting import split as by_grammar
from negutil import config
from negutil.captions import english, sentence_forms, splitting, statements
from negutil.captions.english import NOUNS
from negutil.captions.prompts import Chat, Sampling
from negutil.captions.splitting import Grammar, Model, Rules, Split
from negutil.captions.statements import Statement


@pytest.mark.parametrize(
    ("text", "affirmed", "denied"),
    [
        ("A desk with no lamp", "a desk", "a lamp"),
        ("A desk without lamps.", "a desk", "lamps"),
        ("There is no dog in this picture.", "", "a dog"),
        ("A chair is not present in this image.", "", "a chair"),
        ("This image shows a chair, but no spoon is present.", "this image shows a chair", "a spoon"),
        ("No person is present, but a baker is busy.", "a baker is busy", "a person"),
        ("A man holding a cup but not drinking", "a man holding a cup", "drinking"),
        ("a child in a dress with a hat absent", "a child in a dress", "a hat"),
        ("Noticeably absent from this image is a bench.", "", "a bench"),
        ("You won't find a train in this image.", "", "a train"),
        ("The image is car-free.", "", "a car"),
        ("neither a cat nor a dog can be seen", "", "a cat or a dog"),
        ("a street with no one in sight", "a street", "people"),
        ("a bus stop without any sign", "a bus stop", "a sign"),
        ("not a person but an otter", "an otter", "a person"),
        ("a kitchen in the absence of cups", "a kitchen", "cups"),
        ("the frog isn't green", "the frog", "a green frog"),
        ("a truck which is not red", "a truck", "a red truck"),
        ("there isn't a dog", "", "a dog"),
    ],
)
def test_rules_split_a_sentence(text: str, affirmed: str, denied: str) -> None:
    assert Rules().split([text]) == [Split(affirmed, denied)]


@pytest.mark.parametrize("text", ["A dog on a sofa.", "A knot in a notebook from Norway", "A cup and nothing else", ""])
def test_a_sentence_that_denies_nothing_stays_as_it_is(text: str) -> None:
    assert [each.split([text]) for each in (Rules(), Grammar())] == [[Split(text)]] * 2


# --------------------------------------------------------------------------------------------------------------------
# The mini world's grammar


def scene_sentences() -> Iterator[tuple[str, Split]]:
    """Sentences of every negated form of the world, each with what its slots were filled with."""
    rng = random.Random(5)
    for form in english.NEGATED:
        for _ in range(8):
            scene = scenes.sample(rng)
            while not scene.things:
                scene = scenes.sample(rng)
            noun = rng.choice([noun for noun in NOUNS if noun not in scene.nouns])
            said = grammar.things_phrase(scene.things, random.Random(1))
            place = english.PLACES[scene.place].phrase if "{place}" in form.text else ""
            text = grammar.negated_caption(scene, noun, form, random.Random(1))
            things = f"{said} {place}".strip() if "{things}" in form.text else f"a photo {place}" if place else ""
            yield text, Split(things, english.with_article(noun))


def statement_sentences() -> Iterator[tuple[str, Split]]:
    """NegBench's statements, templated and paraphrased in every form, for each medium."""
    rng = random.Random(6)
    for number in range(400):
        there, gone, more = rng.sample([noun for noun in NOUNS if noun != "person"], 3)
        medium = ("image", "video")[number % 2]
        first = number % 3 == 0
        caption = f"a red {there} on the beach"
        wanted = (
            (Statement((), (gone,), medium=medium), "", gone),
            (Statement((there,), (gone,), "", first, medium), english.with_article(there), gone),
            (Statement((), (gone, more), medium=medium), "", f"{gone}/{more}"),
            (Statement((), (gone,), caption, first, medium), caption, gone),
        )
        for statement, affirmed, denied in wanted:
            split = Split(affirmed, " or ".join(english.with_article(noun) for noun in denied.split("/")))
            yield statements.paraphrase(statement, rng, held_out=number % 4 == 0), split


def same_words(one: str, other: str) -> bool:
    return sorted(one.replace(",", "").split()) == sorted(other.replace(",", "").split())


def test_the_grammar_reads_its_captions_back_exactly() -> None:
    for text, wanted in scene_sentences():
        for said in (text, text.replace(",", ""), f"{text.capitalize()}."):
            found = by_grammar(said)
            assert found is not None, said
            assert found[1] == wanted.denied, said
            assert same_words(found[0], wanted.affirmed), (said, found, wanted)


def test_the_grammar_reads_statements_back_exactly() -> None:
    count = 0
    for text, wanted in statement_sentences():
        found = by_grammar(text)
        assert found is not None, text
        assert set(found[1].split(" or ")) == set(wanted.denied.split(" or ")), (text, found)
        assert same_words(found[0], wanted.affirmed), (text, found, wanted)
        count += 1
    assert count == 1600


def test_the_grammar_reads_claims_referring_phrases_and_templates() -> None:
    assert by_grammar("the frog isn't green") == ("a frog", "a green frog")
    assert by_grammar("a photo of a person with no smile") == ("a photo of a person", "a person with a smile")
    assert by_grammar("chest x-ray without cardiomegaly") == ("a chest x-ray", "a chest x-ray showing cardiomegaly")
    assert by_grammar("This image includes a dog but not cat") == ("a dog", "a cat")
    assert by_grammar("a person without a dog") == ("a person", "a dog")
    for form in (form for form in referring.FORMS if form.negated):
        value = {"colour": "red", "wearing": "hat", "holding": "bag", "action": "running"}.get(form.kind, "on the left")
        text = form.text.format(noun="woman", a_noun="a woman", value=value, a_value=english.with_article(value))
        found = by_grammar(text)
        assert found is not None and found[0] == "a woman" and value in found[1], text


def test_every_exclusion_query_is_read_with_both_its_nouns() -> None:
    texts = [sentence_forms.fill(form, "a tent", "dog") for form in sentence_forms.EXCLUDING]
    assert {by_grammar(text) for text in texts} == {("a tent", "a dog")}


def test_a_negated_sentence_of_another_world_stays_whole_and_is_counted() -> None:
    splitter, text = Grammar(), "a dog without a didgeridoo"
    assert splitter.split([text, "a dog"]) == [Split(text), Split("a dog")]
    assert splitter.unread == 1


def test_the_rules_agree_with_the_grammar() -> None:
    texts = [text for text, _ in (*scene_sentences(), *statement_sentences())]
    table = splitting.agreement(texts, Rules().split(texts), Grammar().split(texts))
    assert table["both"].mean() > 0.9


def test_only_the_mini_world_has_an_oracle() -> None:
    assert isinstance(splitting.oracle(config.load("quick")), Grammar)
    assert splitting.oracle(config.load("paper")) is None


# --------------------------------------------------------------------------------------------------------------------
# Published splits


def test_the_rules_agree_with_the_published_splits(shared_data: Path) -> None:
    """SpaceVLM's splits of NegBench's COCO questions, made by a fine-tuned language model."""
    published = shared_data / "spacevlm" / "COCO_val_mcq_LLM_captions.csv"
    questions = shared_data / "negbench" / "COCO_val_mcq_llama3.1_rephrased.csv"
    if not (published.is_file() and questions.is_file()):
        pytest.skip(f"the published splits are not in {shared_data}")
    rows = [list(csv.DictReader(file.open(encoding="utf-8"))) for file in (questions, published)]
    texts, others = [], []
    for question, cells in list(zip(*rows, strict=True))[::3]:
        for option in (f"caption_{number}" for number in range(4)):
            affirmed, denied = ast.literal_eval(cells[option])
            texts.append(question[option])
            nothing = affirmed == "This is a photo"
            others.append(Split("" if nothing else affirmed, denied.removeprefix("A photo of a").strip()))
    table = splitting.agreement(texts, Rules().split(texts), others)
    assert len(table) == 4 * 1972
    assert table["both"].mean() > 0.975 and table["denied"].mean() > 0.99
    by_cue = table.groupby("cue")["both"].agg(["mean", "size"])
    assert (by_cue.loc[by_cue["size"] >= 100, "mean"] > 0.95).all()


def test_the_rules_find_what_simpleneg_asks_about(shared_data: Path) -> None:
    """The denied part shares a word with the question about it, and the context's words are affirmed."""
    file = shared_data / "simpleneg" / "simpleneg.json"
    if not file.is_file():
        pytest.skip(f"SimpleNeg's file is not in {shared_data}")
    content = splitting.content
    entries = json.loads(file.read_text(encoding="utf-8"))
    splits = Rules().split([query for query, _, _ in entries])
    denied = [
        bool(set(content(each.denied)) & set(content(asked))) and not set(content(each.denied)) <= set(content(context))
        for each, (_, asked, context) in zip(splits, entries, strict=True)
    ]
    affirmed = [
        set(content(context)) <= set(content(each.affirmed))
        for each, (*_, context) in zip(splits, entries, strict=True)
    ]
    assert len(entries) == 900
    assert sum(denied) / 900 > 0.93 and sum(affirmed) / 900 > 0.96


# --------------------------------------------------------------------------------------------------------------------
# A language model


class Replies:
    """A model that gives the replies it was made with, and remembers what it was asked."""

    name = "replies"

    def __init__(self, *replies: str) -> None:
        self.given, self.asked = replies, list[Chat]()

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        self.asked += chats
        return list(self.given)


def test_a_models_replies_are_read_and_an_unreadable_one_leaves_the_sentence_whole() -> None:
    model = Replies('["a desk", "a lamp"]', 'Sure! ["", "a dog"]', "I cannot do that.", '["", ""]')
    splitter, texts = Model(model), ["a desk with no lamp", "no dog", "no cat", "no cow"]
    assert splitter.split([*texts, texts[0]]) == [
        *(Split("a desk", "a lamp"), Split("", "a dog"), Split("no cat"), Split("no cow"), Split("a desk", "a lamp"))
    ]
    assert splitter.unread == 2 and len(model.asked) == 4
    assert model.asked[0].turns[-1] == ("user", "Caption: a desk with no lamp")


def test_agreement_overlooks_number_articles_and_spaces_in_compounds() -> None:
    ours, other = Split("this image shows a dining table", "cups"), Split("diningtable", "a cup")
    assert splitting.agree(ours, other) == (True, True)
    assert splitting.agree(ours, Split("chair", "cup")) == (False, True)
    assert splitting.agree(ours, Split("diningtable", "")) == (True, False)
