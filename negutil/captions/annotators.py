"""Annotators: the language model and the vision-language model of the caption and question pipelines.

Two small interfaces, so that a pipeline does not know who annotates: the mini world's grammar and truth
(``miniworld.annotator``), models of ``transformers`` (``transformers_annotator``) or an endpoint
(``endpoint_annotator``).
What the published pipelines ask of them: docs/protocols.md#generation and docs/protocols.md#negationclip-captions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from negutil.captions import prompts, replies, statements
from negutil.captions.prompts import Chat, Prompts, Sampling, Task
from negutil.captions.statements import Statement
from negutil.errors import NegutilError

Read = TypeVar("Read")


class LanguageAnnotator(Protocol):
    """A language model; every method takes a batch and returns one result for each item, in order."""

    name: str

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The objects that each caption names."""
        ...

    def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
        """At most ``count`` objects for each caption that go with it and that it does not mention."""
        ...

    def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
        """Each caption with the absence of its object in ``absent`` woven in."""
        ...

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each caption in other words."""
        ...


class VisionAnnotator(Protocol):
    """A vision-language model; every method takes a batch and returns one result for each item, in order."""

    name: str

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        """Whether each picture shows its noun; None where the reply could not be read."""
        ...

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        """The raw reply to each question about its picture."""
        ...


class Annotator(LanguageAnnotator, VisionAnnotator, Protocol):
    """A model of language and vision both."""


class ChatModel(Protocol):
    """Anything that continues conversations: what ``Prompted`` needs of a model."""

    name: str

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        """The reply to each chat, in order."""
        ...


class Prompted:
    """A language and vision annotator made of a chat model, prompts, and the reading of its replies.

    Attributes:
        name: name of the model.
        asked: number of questions by operation ("extract", "propose", ...).
        unread: number of replies by operation that could not be read. Such an item gets [] (extract, propose), the
            templated sentence (negate), the caption as it is (paraphrase), or None (shows), so that no item is lost.
    """

    def __init__(self, model: ChatModel, wording: Prompts = prompts.NEGBENCH) -> None:
        self.name = model.name
        self.model = model
        self.wording = wording
        self.asked: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The objects that each caption names, as the model lists them."""
        chats = [self.wording.extract.chat(caption=caption) for caption in captions]
        found = self._read("extract", self._ask("extract", self.wording.extract, chats), replies.objects)
        return [items or [] for items in found]

    def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
        """At most ``count`` objects for each caption; those that the caption mentions word for word are left out."""
        chats = [self.wording.propose.chat(caption=caption, count=count) for caption in captions]
        found = self._read("propose", self._ask("propose", self.wording.propose, chats), replies.objects)
        pairs = zip(captions, found, strict=True)
        return [
            [item for item in items or [] if not re.search(rf"\b{re.escape(item)}\b", caption, re.IGNORECASE)][:count]
            for caption, items in pairs
        ]

    def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
        """Each caption with the absence woven in."""
        require_same_length(captions, absent, "captions", "absent objects")
        pairs = list(zip(captions, absent, strict=True))
        chats = [self.wording.negate.chat(caption=caption, absent=noun) for caption, noun in pairs]
        found = self._read("negate", self._ask("negate", self.wording.negate, chats), replies.sentence)
        sure = (statements.template(Statement(caption=caption, absent=(noun,))) for caption, noun in pairs)
        return [text or other for text, other in zip(found, sure, strict=True)]

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each caption in other words."""
        chats = [self.wording.paraphrase.chat(caption=caption) for caption in captions]
        found = self._read("paraphrase", self._ask("paraphrase", self.wording.paraphrase, chats), replies.sentence)
        return [text or caption for text, caption in zip(found, captions, strict=True)]

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        """Whether each picture shows its noun; None where the reply is neither yes nor no."""
        require_same_length(pictures, nouns, "pictures", "nouns")
        task = self.wording.shows
        pairs = zip(pictures, nouns, strict=True)
        chats = [task.chat(Path(picture), noun=statements.with_article(noun)) for picture, noun in pairs]
        return self._read("shows", self._ask("shows", task, chats), replies.yes_no)

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        """The raw reply to each question about its picture."""
        require_same_length(pictures, questions, "pictures", "questions")
        task = self.wording.answer
        chats = [task.chat(Path(picture), question=asked) for picture, asked in zip(pictures, questions, strict=True)]
        return self._ask("answer", task, chats)

    def _ask(self, operation: str, task: Task, chats: Sequence[Chat]) -> list[str]:
        self.asked[operation] += len(chats)
        return self.model.replies(chats, task.sampling)

    def _read(self, operation: str, texts: Sequence[str], reader: Any) -> list[Any]:
        found = [reader(text) for text in texts]
        self.unread[operation] += sum(item is None for item in found)
        return found


def require_same_length(first: Sequence[Any], second: Sequence[Any], name: str, other: str) -> None:
    """Raise NegutilError where two columns of a batch differ in length."""
    if len(first) != len(second):
        raise NegutilError(f"There are {len(first)} {name} for {len(second)} {other}: give one of each per item.")


def checked(kind: type[Read], options: Mapping[str, Any], what: str) -> Read:
    """An instance of the dataclass ``kind`` from settings; raises NegutilError that names the wrong setting."""
    known = getattr(kind, "__dataclass_fields__", {})
    for key in options:
        if key not in known:
            raise NegutilError(f"{what}: the setting {key!r} is unknown: use some of {', '.join(known)}.")
    try:
        return kind(**options)
    except TypeError as problem:
        raise NegutilError(f"{what}: a setting is missing or of the wrong kind ({problem}): add or mend it.") from None
