"""Annotators made of a chat model and prompts: batches, order, unreadable replies and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from negutil.captions import annotators, prompts
from negutil.captions.annotators import Prompted
from negutil.captions.prompts import Chat, Sampling
from negutil.errors import NegutilError


class Scripted:
    """A chat model that replies by rule and remembers what it was asked."""

    name = "scripted"

    def __init__(self, **rules: str) -> None:
        self.rules = rules
        self.asked: list[tuple[Chat, Sampling]] = []

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        self.asked += [(chat, sampling) for chat in chats]
        return [next((said for word, said in self.rules.items() if word in chat.turns[-1][1]), "") for chat in chats]


def test_lists_are_read_in_order_and_what_cannot_be_read_is_counted() -> None:
    model = Scripted(dog='["dog", "park"]', cat="1. cat\n2. sofa")
    annotator = Prompted(model)
    assert annotator.extract(["a cat", "hm", "a dog"]) == [["cat", "sofa"], [], ["dog", "park"]]
    assert annotator.unread["extract"] == 1
    assert model.asked[0][1] == prompts.NEGBENCH.extract.sampling


def test_proposals_leave_out_what_the_caption_mentions_and_stop_at_the_count() -> None:
    annotator = Prompted(Scripted(dog="Dog, ball, leash, cat"))
    assert annotator.propose(["a dog and a ball"], 1) == [["leash"]]
    assert Prompted(Scripted(hotdog="dog, bun")).propose(["a hotdog"], 3) == [["dog", "bun"]]


def test_no_item_is_lost_where_a_sentence_cannot_be_read() -> None:
    annotator = Prompted(Scripted(dog="(Your response)", cat='"No fox, but a cat."'))
    assert annotator.negate(["A cat.", "A dog."], ["fox", "fox"]) == [
        "No fox, but a cat.",
        "A dog. There is no fox in the image.",
    ]
    assert annotator.paraphrase(["A dog.", "A cat."]) == ["A dog.", "No fox, but a cat."]
    assert annotator.unread == {"negate": 1, "paraphrase": 1}


def test_pictures_go_with_their_questions() -> None:
    model = Scripted(apple="Yes", dog="No.", hat="Perhaps")
    annotator = Prompted(model)
    pictures = [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]
    assert annotator.shows(pictures, ["dog", "apple", "hat"]) == [False, True, None]
    assert [chat.picture for chat, _ in model.asked] == pictures
    assert "Is there an apple in this picture?" in model.asked[1][0].turns[-1][1]
    assert annotator.unread["shows"] == 1
    assert annotator.answer(pictures[:1], ["Which hat?"]) == ["Perhaps"]


@pytest.mark.parametrize("method", ["negate", "shows", "answer"])
def test_columns_of_different_length_are_refused(method: str) -> None:
    with pytest.raises(NegutilError, match=r"There are 2 .* for 1"):
        getattr(Prompted(Scripted()), method)(["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "kind is None: choose one of world, transformers, endpoint"),
        ({"kind": "oracle"}, "kind is 'oracle'"),
        ({"kind": "world", "sead": 1}, "'sead' is unknown: correct or remove it .known here: seed, errors"),
        ({"kind": "world", "errors": {"shows": 2}}, "error rate of shows is 2"),
        ({"kind": "world", "errors": {"sees": 0.2}}, "'sees' of errors is unknown"),
        ({"kind": "transformers"}, "'model' is missing"),
        ({"kind": "transformers", "model": "m", "batch": 0}, "batch 0"),
    ],
)
def test_wrong_settings_are_named(settings: dict, problem: str) -> None:
    with pytest.raises(NegutilError, match=problem):
        annotators.build(settings)
