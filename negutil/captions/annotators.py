"""Annotators: the language model and the vision-language model of the caption and question pipelines.

Two small interfaces, so that a pipeline does not know who annotates: the mini world's grammar and truth
(``miniworld.annotator``), models of ``transformers`` (``transformers_annotator``) or an endpoint
(``endpoint_annotator``). Below them: reading what a model replied. Readers are tolerant, because models chat;
``strict`` takes only what was asked for. A reply that can be read in two ways is not read at all: None, which callers
count. What the published pipelines ask: docs/protocols.md#generation and docs/protocols.md#negationclip-captions.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Protocol

from negutil import files
from negutil.captions import prompts, statements
from negutil.captions.prompts import Chat, Prompts, Sampling
from negutil.captions.statements import Statement
from negutil.data import negbench, source
from negutil.errors import NegutilError

KINDS = ("world", "transformers", "endpoint")
LONGEST_NAME = 4
"""Words in the name of an object; what is longer is chatter."""

_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d+[.)])\s+")
_LIST = re.compile(r"\[[^\[\]]*\]", re.DOTALL)
_ARTICLE = re.compile(r"^(?:an?|the|some)\s+", re.IGNORECASE)
_NAME = re.compile(r"[\w'&/ -]*[^\W\d_][\w'&/ -]*")
_NOTHING = re.compile(r"(?:none|nothing|no (?:physical )?objects?)\b", re.IGNORECASE)
_FIRST = re.compile(r"\W*(yes|no)\b(?!\W*(?:and|or)?\W*(?:yes|no)\b)", re.IGNORECASE)
_ANSWER_IS = re.compile(r"\banswer\b\W*(?:is|would be)?\W*(yes|no)\b", re.IGNORECASE)
_TOLD = r"\b(?:answer|option|choice)\b(?:\W*\bis\b)?(?:\W*\boption\b)?"
_NO_ARTICLE = r"(?:(?<![aA])|(?!\s\w)|(?=\s(?:or|and|is|because|since|as)\b))"
_LABEL = re.compile(r"^(?:\w+ )?(?:caption|sentence|output|answer|paraphrase)\s*:\s*", re.IGNORECASE)
_LEAD_IN = re.compile(r"^(?:sure|certainly|of course|here (?:is|are|'s)|okay|ok)\b.*:$", re.IGNORECASE)
_QUOTES = "\"'`“”‘’*"


class LanguageAnnotator(Protocol):
    """A language model; every method takes a batch and returns one result for each item, in order."""

    name: str

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The objects that each caption names."""

    def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
        """At most ``count`` objects for each caption that go with it and that it does not mention."""

    def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
        """Each caption with the absence of its object in ``absent`` woven in."""

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each caption in other words."""


class VisionAnnotator(Protocol):
    """A vision-language model; every method takes a batch and returns one result for each item, in order."""

    name: str

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        """Whether each image shows its noun; None if the reply could not be read."""

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        """The raw reply to each question about its image."""


class Annotator(LanguageAnnotator, VisionAnnotator, Protocol):
    """A model of language and vision both."""


class ChatModel(Protocol):
    """Anything that continues conversations: what ``Prompted`` needs of a model."""

    name: str

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        """The reply to each chat, in order."""


class Prompted:
    """A language and vision annotator made of a chat model, prompts, and the reading of its replies.

    Attributes:
        name: name of the model.
        unread: number of replies by operation that could not be read. Such an item gets [] (extract, propose), the
            templated sentence (negate), the caption as it is (paraphrase), or None (shows), so that no item is lost.
    """

    def __init__(self, model: ChatModel, wording: Prompts = prompts.NEGBENCH) -> None:
        self.name = model.name
        self.model = model
        self.wording = wording
        self.unread: Counter[str] = Counter()

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The objects that each caption names, as the model lists them."""
        chats = [self.wording.extract.chat(caption=caption) for caption in captions]
        return [nouns or [] for nouns in self._ask("extract", chats, objects)]

    def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
        """At most ``count`` objects for each caption; those that the caption mentions word for word are left out."""
        chats = [self.wording.propose.chat(caption=caption, count=count) for caption in captions]
        return [
            [noun for noun in nouns or [] if not re.search(rf"\b{re.escape(noun)}\b", caption, re.IGNORECASE)][:count]
            for caption, nouns in zip(captions, self._ask("propose", chats, objects), strict=True)
        ]

    def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
        """Each caption with the absence woven in."""
        require_same_length(captions, absent, "captions", "absent objects")
        pairs = list(zip(captions, absent, strict=True))
        chats = [self.wording.negate.chat(caption=caption, absent=noun) for caption, noun in pairs]
        templates = (statements.template(Statement(caption=caption, absent=(noun,))) for caption, noun in pairs)
        return [text or other for text, other in zip(self._ask("negate", chats, sentence), templates, strict=True)]

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each caption in other words."""
        chats = [self.wording.paraphrase.chat(caption=caption) for caption in captions]
        return [text or old for text, old in zip(self._ask("paraphrase", chats, sentence), captions, strict=True)]

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        """Whether each image shows its noun; None if the reply is neither yes nor no."""
        require_same_length(pictures, nouns, "pictures", "nouns")
        pairs = zip(pictures, nouns, strict=True)
        chats = [self.wording.shows.chat(Path(path), noun=statements.with_article(noun)) for path, noun in pairs]
        return self._ask("shows", chats, yes_no)

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        """The raw reply to each question about its image."""
        require_same_length(pictures, questions, "pictures", "questions")
        pairs = zip(pictures, questions, strict=True)
        return self._ask("answer", [self.wording.answer.chat(Path(path), question=text) for path, text in pairs], str)

    def _ask(self, operation: str, chats: Sequence[Chat], read: Callable[[str], Any]) -> list[Any]:
        """What ``read`` makes of the reply to each chat."""
        answers = [read(text) for text in self.model.replies(chats, getattr(self.wording, operation).sampling)]
        self.unread[operation] += sum(answer is None for answer in answers)
        return answers


def require_same_length(first: Sequence[Any], second: Sequence[Any], name: str, other: str) -> None:
    """Raise NegutilError where two columns of a batch differ in length."""
    if len(first) != len(second):
        raise NegutilError(f"There are {len(first)} {name} for {len(second)} {other}: give one of each per item.")


def build(settings: Mapping[str, Any], things: Mapping[str, Collection[str]] | None = None) -> Annotator:
    """An annotator, of language and vision both, from a small mapping of settings.

    ``kind`` is "world" (then: seed, errors, held_out_share, nouns, plausible; ``things`` as in the mini world's
    ``annotator.WorldAnnotator``), "transformers" or "endpoint" (then: prompts, a name in ``prompts.SETS``, and
    the fields of ``transformers_annotator.Local`` or ``endpoint_annotator.Endpoint``).
    Raises NegutilError that names the setting that is missing, unknown or wrong.
    """
    options = dict(settings)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise NegutilError(f"An annotator's kind is {kind!r}: choose one of {', '.join(KINDS)}.")
    if kind == "world":
        annotator: Annotator = source.world().annotator(options, things)
        return annotator
    wording, where = prompts.named(options.pop("prompts", "negbench")), f"annotator {kind}"
    if kind == "transformers":
        from negutil.captions.transformers_annotator import Local, LocalModel  # slow to import, like the other one

        return Prompted(LocalModel(files.checked(Local, options, where)), wording)
    from negutil.captions.endpoint_annotator import Endpoint, EndpointModel

    return Prompted(EndpointModel(files.checked(Endpoint, options, where)), wording)


def objects(reply: str, strict: bool = False) -> list[str] | None:
    """The objects that a reply lists, in lower case, without articles and repeats; [] where it says there are none.

    ``strict`` takes a JSON list of strings; otherwise also lists by commas, "and", bullets or numbers, with a lead-in.
    None if no list is found.
    """
    listed = _json_strings(reply.strip())
    if listed is None and not strict:
        bracketed = _LIST.search(reply)
        listed = _json_strings(bracketed[0].replace("'", '"')) if bracketed else None
        listed = _loose_items(reply) if listed is None else listed
    if listed is None:
        return None
    bare = [_ARTICLE.sub("", item.strip(f" .!\t\n{_QUOTES}")).strip().lower() for item in listed]
    names = [name for name in bare if _NAME.fullmatch(name) and len(name.split()) <= LONGEST_NAME]
    return list(dict.fromkeys(names)) if names or not listed else None


def yes_no(reply: str, strict: bool = False) -> bool | None:
    """Whether a reply says yes.

    ``strict`` takes the word alone, in any case and with any punctuation around; otherwise the first word, or what
    "the answer is" announces, counts.
    """
    if strict:
        return {"yes": True, "no": False}.get(reply.strip().strip(f".!,;:()[]{_QUOTES} \n").lower())
    match = _FIRST.match(reply) or _ANSWER_IS.search(reply)
    return match[1].lower() == "yes" if match else None


def letter(reply: str, count: int = 4, strict: bool = False) -> int | None:
    """Index of the option, of ``count``, that a reply names by its letter.

    ``strict`` takes the letter alone ("B", "(b)", "B."); otherwise also a letter with punctuation in front ("B) A dog")
    and what "the answer is" announces. The article in "A dog" is no letter.
    """
    capitals = ascii_uppercase[:count]
    letters = f"[{capitals}{capitals.lower()}]"
    marks = rf"[\s{re.escape(_QUOTES)}(\[]*"
    alone = re.fullmatch(rf"{marks}({letters})[\s).:!\]{re.escape(_QUOTES)}]*", reply)
    found = alone if alone or strict else re.match(rf"{marks}({letters}){marks}[).:\]]", reply)
    if found or strict:
        return ascii_uppercase.index(found[1].upper()) if found else None
    told = re.findall(rf"{_TOLD}\W*({letters})(?![\w']){_NO_ARTICLE}", reply, re.IGNORECASE)
    return ascii_uppercase.index(told[0].upper()) if len({each.upper() for each in told}) == 1 else None


def sentence(reply: str) -> str | None:
    """The one sentence that a reply consists of, without labels, lead-ins and quotation marks around it.

    None if nothing is left, or where what is left has a mark of chatter (``negutil.data.negbench.is_odd``).
    """
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    kept = [line for line in lines if not _LEAD_IN.match(line)]
    if not kept:
        return None
    text = _LABEL.sub("", kept[0]).strip().strip(_QUOTES).strip()
    return None if negbench.is_odd(text) else text


def _json_strings(text: str) -> list[str] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _loose_items(reply: str) -> list[str] | None:
    """Items of a list in words: by bullets where there are any, else by commas, semicolons and "and"."""
    lines = [line for line in reply.splitlines() if line.strip()]
    bullets = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
    if bullets:
        return bullets
    text = " ".join(lines).strip()
    head, colon, tail = text.partition(":")
    text = tail if colon and tail.strip() else head
    if _NOTHING.match(text.strip()):
        return []
    return [item for item in re.split(r"[,;]|\band\b", text) if item.strip()] or None
