"""What a sentence of the benchmark says, and its wording: NegBench's templates and free paraphrases.

A `Statement` is the meaning. `template` words it as the published templated files do, `read` undoes that exactly, and
`paraphrase` words it freely, in at least twenty ways for every kind of statement, a quarter of which is kept for tests.
See docs/protocols.md#generation.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from negutil.captions import english
from negutil.captions.english import NOUN, Form
from negutil.errors import NegutilError

KINDS = ("affirmation", "negation", "hybrid", "neither", "retrieval")
"""Kinds of statement: A (and B); no N; A but no N; neither A nor B; a caption and no N."""

MEDIA = ("image", "video", "radiograph")
HELD_OUT_SHARE = 0.25
"""Share of paraphrases that use a held-out form, as in the captions of the mini world's test splits."""

_NAMES = {
    "image": ("image", "picture", "photo"),
    "video": ("video", "clip"),
    "radiograph": ("chest X-ray", "X-ray", "radiograph"),
}
_IRREGULAR = {"knife": "knives", "mouse": "mice", "sheep": "sheep", "skis": "skis", "broccoli": "broccoli"}
_NO_ARTICLE = frozenset({"skis", "broccoli"})
_STILL = r"\b(photo|photograph|picture|image|snapshot|shot|lens)\b"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a sentence of the benchmark says: nouns that are `present` and `absent`; `medium` is one of MEDIA.

    For retrieval `caption` is the affirmative caption that the negation is added to, and `present` is empty.
    """

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    caption: str = ""
    negation_first: bool = False
    medium: str = "image"


def kind(statement: Statement) -> str:
    """Which of KINDS a statement is; raises NegutilError for one that the benchmark does not make."""
    shape = (bool(statement.caption), min(len(statement.present), 1), len(statement.absent))
    kinds = {
        (False, 1, 0): "affirmation",
        (False, 0, 1): "negation",
        (False, 1, 1): "hybrid",
        (False, 0, 2): "neither",
        (True, 0, 1): "retrieval",
    }
    if shape not in kinds or statement.medium not in MEDIA:
        raise NegutilError(f"{statement} is none of NegBench's: give one of the kinds {', '.join(KINDS)}.")
    return kinds[shape]


# As in VOC2007_mcq.csv, COCO_val_negated_retrieval_template.csv and msr_vtt_mcq_templated.csv; "neither", the second
# order and radiographs, which no published file words by template, are ours.

TEMPLATES = {
    "affirmation": "This {medium} {includes} {present}",
    "negation": "This {medium} does not {include} {absent}",
    "hybrid": "This {medium} {includes} {present}{comma} but not {absent}",
    "hybrid first": "This {medium} does not {include} {absent}{comma} but {includes} {present}",
    "neither": "This {medium} {includes} neither {absent}",
    "retrieval": "{caption} There is no {absent} in the {medium}.",
    "retrieval first": "There is no {absent} in the {medium}. {caption}",
}
_VERBS = {
    "image": ("image", "include", ""),
    "video": ("video", "feature", ","),
    "radiograph": ("chest X-ray", "show", ""),
}


def template(statement: Statement) -> str:
    """The sentence of NegBench's templated files, nouns without articles and captions as they are.

    Raises NegutilError as `kind` does.
    """
    name = kind(statement)
    if statement.negation_first and f"{name} first" in TEMPLATES:
        name += " first"
    return TEMPLATES[name].format(
        **_fixed(statement.medium),
        present=" and ".join(statement.present),
        absent=" nor ".join(statement.absent),
        caption=statement.caption,
    )


def _fixed(medium: str) -> dict[str, str]:
    """The words of a template that follow from the medium."""
    name, verb, comma = _VERBS[medium]
    return {"medium": name, "include": verb, "includes": f"{verb}s", "comma": comma}


@cache
def _patterns() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """(template, medium, pattern) in the order of trying; captions come first, being free to look like the others."""
    order = ("retrieval", "retrieval first", "neither", "hybrid first", "negation", "hybrid", "affirmation")
    groups = {"caption": "(?P<caption>.+)", "absent": "(?P<absent>.+?)", "present": "(?P<present>.+?)"}
    return tuple(
        (name, medium, re.compile(TEMPLATES[name].replace(".", r"\.").format(**_fixed(medium), **groups), re.DOTALL))
        for name in order
        for medium in MEDIA
    )


def read(sentence: str) -> Statement | None:
    """What a templated sentence says: the exact inverse of `template`, or None for any other sentence.

    Exact for nouns without " and ", " nor ", " but " and commas, and for captions that hold no templated sentence.
    """
    for name, medium, pattern in _patterns():
        if match := pattern.fullmatch(sentence):
            parts = match.groupdict()
            present = tuple(parts["present"].split(" and ")) if "present" in parts else ()
            absent = tuple(parts["absent"].split(" nor ")) if "absent" in parts else ()
            return Statement(present, absent, parts.get("caption", ""), name.endswith("first"), medium)
    return None


def require(sentence: str, who: str) -> Statement:
    """What a templated sentence says; raises NegutilError, naming ``who`` was asked to paraphrase it, for any other."""
    found = read(sentence)
    if found is None:
        raise NegutilError(f"{who} cannot paraphrase {sentence!r:.80}: give a templated sentence of NegBench.")
    return found


def woven(caption: str, noun: str, rng: random.Random) -> Statement:
    """The caption with the absence of ``noun``, either clause first."""
    return Statement(absent=(noun,), caption=caption, negation_first=rng.random() < 0.5)


def _own(order: str, cue: str, *texts: str, held_out: bool = False) -> tuple[Form, ...]:
    return tuple(Form(text, cue, order, held_out) for text in texts)


def _borrowed(order: str) -> tuple[Form, ...]:
    """The mini world's forms that stay true when the place and other things are left unsaid."""
    pool = [form for form in (*english.AFFIRMATIVE, *english.NEGATED) if form.order == order]
    wrong = re.compile(r"^\{place\}|\bappear\b|\bjust\b|\bonly\b|another|this image")
    return tuple(form for form in pool if not wrong.search(form.text))


FORMS: dict[str, tuple[Form, ...]] = {
    "affirmation": (
        *_borrowed(""),
        *_own(
            *("", ""),
            "this {medium} includes {things}",
            "this {medium} shows {things}",
            "this {medium} contains {things}",
            "this {medium} features {things}",
            "{things} {is} visible in this {medium}",
            "{things} {is} present in this {medium}",
            "{things} {is} shown in this {medium}",
        ),
        *_own("", "", "this {medium} depicts {things}", "{things} {is} included in this {medium}", held_out=True),
        *_own("", "", "this {medium} has {things} in it", "{things} {is} to be found in this {medium}", held_out=True),
    ),
    "negation": (
        *_borrowed("only"),
        *_own("only", "no", "there is no {bare} in this {medium}", "no {bare} is visible in this {medium}"),
        *_own("only", "no", "no {bare} is present in this {medium}", "this {medium} shows no {bare}"),
        *_own("only", "no", "no {bare} can be seen in this {medium}", "this {medium} has no {bare}"),
        *_own("only", "not", "{absent} is not present in this {medium}", "{absent} is not included in this {medium}"),
        *_own("only", "does not", "this {medium} does not show {absent}", "this {medium} does not include {absent}"),
        *_own("only", "does not", "this {medium} does not contain {absent}"),
        *_own("only", "n't", "there isn't {absent} in this {medium}"),
        *_own("only", "without", "this is {medium_article} without {absent}"),
        *_own("only", "absent", "{absent} is absent from this {medium}", held_out=True),
        *_own("only", "lacks", "this {medium} lacks {absent}", held_out=True),
        *_own("only", "free of", "this {medium} is free of {plural}", held_out=True),
        *_own("only", "nowhere", "nowhere in this {medium} is there {absent}", held_out=True),
    ),
    "hybrid last": (
        *_borrowed("last"),
        *_own("last", "no", "this {medium} features {things}, but no {bare} is present"),
        *_own("last", "no", "this {medium} shows {things}, with no {bare} in sight"),
        *_own("last", "no", "{things} {is} present in this {medium}, but there is no {bare}"),
        *_own("last", "no", "this {medium} contains {things} but no {bare}"),
        *_own("last", "does not", "this {medium} includes {things}, but does not include {absent}"),
        *_own("last", "not", "{things} {is} visible in this {medium}, but not {absent}"),
        *_own("last", "without", "this {medium} shows {things} without {absent}"),
        *_own("last", "lacks", "this {medium} has {things} but lacks {absent}", held_out=True),
        *_own("last", "absent", "this {medium} includes {things}, while {absent} is absent", held_out=True),
    ),
    "hybrid first": (
        *_borrowed("first"),
        *_own("first", "no", "there is no {bare} in this {medium}, but there {is} {things}"),
        *_own("first", "no", "no {bare} is present in this {medium}, but {things} {is}"),
        *_own("first", "no", "with no {bare} in sight, this {medium} shows {things}"),
        *_own("first", "does not", "this {medium} does not include {absent}, but it includes {things}"),
        *_own("first", "not", "{absent} is not visible in this {medium}, but {things} {is}"),
        *_own("first", "n't", "there isn't {absent}, but there {is} {things} in this {medium}"),
        *_own("first", "without", "without {absent}, this {medium} features {things}"),
        *_own("first", "lacks", "this {medium} lacks {absent} but includes {things}", held_out=True),
        *_own("first", "absent", "{absent} is absent, while {things} {is} visible in this {medium}", held_out=True),
        *_own("first", "nowhere", "{absent} is nowhere to be seen, but there {is} {things}", held_out=True),
    ),
    "neither": (
        *_own(
            "only", "neither", "this {medium} includes neither {one} nor {other}", "neither {one} nor {other} is here"
        ),
        *_own("only", "neither", "neither {one} nor {other} is present in this {medium}"),
        *_own("only", "neither", "neither {one} nor {other} can be seen in this {medium}"),
        *_own("only", "neither", "this {medium} shows neither {one} nor {other}"),
        *_own("only", "no", "there is no {bare} and no {bare_other} in this {medium}"),
        *_own("only", "no", "no {bare} and no {bare_other} is visible in this {medium}"),
        *_own("only", "no", "this {medium} has no {bare} and no {bare_other}", "there is no {bare} or {bare_other}"),
        *_own("only", "no", "no {bare} or {bare_other} is present in this {medium}"),
        *_own("only", "does not", "this {medium} does not include {one} or {other}"),
        *_own("only", "does not", "this {medium} does not show {one} or {other}"),
        *_own("only", "not", "{one} is not present in this {medium}, and {other} is not either"),
        *_own("only", "n't", "there isn't {one} or {other} in this {medium}"),
        *_own("only", "without", "{medium_article} without {one} and without {other}"),
        *_own("only", "without", "this is {medium_article} without {one} or {other}"),
        *_own("only", "lacks", "this {medium} lacks both {one} and {other}", held_out=True),
        *_own("only", "absent", "both {one} and {other} are absent from this {medium}", held_out=True),
        *_own("only", "free of", "this {medium} is free of {plural} and {plural_other}", held_out=True),
        *_own("only", "nowhere", "nowhere in this {medium} is there {one} or {other}", held_out=True),
        *_own("only", "nowhere", "{one} and {other} are nowhere to be seen", held_out=True),
    ),
    "retrieval last": (
        *_own("last", "no", "{caption}, but there is no {bare}", "{caption}, but no {bare} is in sight"),
        *_own("last", "no", "{caption}, with no {bare} in sight", "{caption}, and there is no {bare} in the {medium}"),
        *_own("last", "no", "{caption}, but no {bare} is present", "{caption}; no {bare} can be seen"),
        *_own("last", "not", "{caption}, but {absent} is not there", "{caption}, but not {absent}"),
        *_own("last", "without", "{caption}, without {absent}", "{caption}, without {absent} in sight"),
        *_own("last", "does not", "{caption}; the {medium} does not include {absent}"),
        *_own("last", "n't", "{caption}, and there isn't {absent}"),
        *_own("last", "absent", "{caption}; {absent} is absent", held_out=True),
        *_own("last", "free of", "{caption}, free of {plural}", held_out=True),
        *_own("last", "lacks", "{caption}; the {medium} lacks {absent}", held_out=True),
        *_own("last", "nowhere", "{caption}, with {absent} nowhere to be seen", held_out=True),
    ),
    "retrieval first": (
        *_own("first", "no", "there is no {bare}, but {caption}", "no {bare} is present: {caption}"),
        *_own("first", "no", "no {bare} can be seen; {caption}", "with no {bare} in sight, {caption}"),
        *_own("first", "no", "no {bare} is in the {medium}: {caption}", "no {bare} is visible, however, {caption}"),
        *_own("first", "not", "{absent} is not there: {caption}", "not {absent}, but {caption}"),
        *_own("first", "without", "without {absent}, {caption}", "without {absent} in sight, {caption}"),
        *_own("first", "does not", "the {medium} does not include {absent}: {caption}"),
        *_own("first", "n't", "there isn't {absent}, but {caption}"),
        *_own("first", "absent", "{absent} is absent: {caption}", held_out=True),
        *_own("first", "free of", "free of {plural}, {caption}", held_out=True),
        *_own("first", "lacks", "the {medium} lacks {absent}; {caption}", held_out=True),
        *_own("first", "nowhere", "{absent} is nowhere to be seen: {caption}", held_out=True),
    ),
}
"""Wordings by kind of statement, with the order of the two clauses where there are two. {things}: what is there."""


def form_of(statement: Statement, rng: random.Random, held_out: bool = False) -> Form:
    """A form for the statement, drawn from those that are (or are not) kept for testing."""
    name = kind(statement)
    if name in ("hybrid", "retrieval"):
        name += " first" if statement.negation_first else " last"
    return rng.choice(_pool(name, statement.medium, held_out))


@cache
def _pool(name: str, medium: str, held_out: bool) -> tuple[Form, ...]:
    """Forms of `name`; those that speak of a photo are for images alone."""
    chosen = english.forms(FORMS[name], held_out)
    others = {"image": r"$^", "video": _STILL, "radiograph": rf"{_STILL}|\bscene\b|\bview\b|\baround\b"}
    return tuple(form for form in chosen if not re.search(others[medium], form.text))


def paraphrase(statement: Statement, rng: random.Random, held_out: bool = False) -> str:
    """A free wording of the statement, as the paper's LLM gives one: a sentence with a capital and a full stop.

    `held_out` draws from the forms that no training set may use. The order of the clauses is the statement's.
    """
    form = form_of(statement, rng, held_out)
    medium = rng.choice(_NAMES[statement.medium])
    finding = statement.medium == "radiograph"
    present = [noun.lower() if finding else with_article(noun) for noun in statement.present]
    bare = [noun.lower() if finding else noun for noun in (*statement.absent, "", "")]
    absent = bare if finding else [with_article(noun) for noun in bare]
    plurals = bare if finding else [plural(noun) for noun in bare]
    one = len(present) == 1 and not present[0].startswith("a pair of") and not present[0].endswith("s")
    # A caption inside a longer sentence: no final stop, and a small letter where a capital began it.
    caption = statement.caption.strip().rstrip(".!;, ")
    if caption[1:2].islower() or caption[1:2] == " ":
        caption = caption[:1].lower() + caption[1:]
    text = form.text.format(
        place="",
        things=english.enumerate_phrases(present),
        caption=caption,
        **{"medium": medium, "medium_article": english.with_article(medium), "is": "is" if one else "are"},
        **{"absent": absent[0], "bare": bare[0], "plural": plurals[0]},
        **{"one": absent[0], "other": absent[1], "bare_other": bare[1], "plural_other": plurals[1]},
    )
    tidy = re.sub(r"\s+([,;:.])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,")
    return f"{tidy[:1].upper()}{tidy[1:]}."


def with_article(noun: str) -> str:
    """A noun with "a" or "an", where English wants one; "" for ""."""
    return noun if not noun or noun in _NO_ARTICLE else english.with_article(noun)


def plural(noun: str) -> str:
    """Plural of a noun of the mini world, of COCO or of VOC; "" for ""."""
    if not noun or noun in NOUN:
        return english.plural(noun) if noun else ""
    first, _, last = noun.rpartition(" ")
    ending = "es" if last.endswith(("s", "x", "ch", "sh")) else ""
    return f"{first} {_IRREGULAR.get(last) or (last + ending if ending else english.plural(last))}".strip()


@dataclass(frozen=True, slots=True)
class Grammar:
    """Paraphrases templates by the forms of this module, `held_out_share` of them by held-out forms."""

    seed: int = 0
    held_out_share: float = HELD_OUT_SHARE

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """A paraphrase of every templated sentence, in order; sentence i depends on (seed, i) and itself alone.

        Raises NegutilError for a sentence that is no template.
        """
        paraphrases = []
        for index, sentence in enumerate(captions):
            statement = read(sentence)
            if statement is None:
                problem = f"Sentence {index} ({sentence!r:.80}) is no template of NegBench's"
                raise NegutilError(f"{problem}: give it templates.")
            rng = random.Random(f"paraphrase/{self.seed}/{index}/{sentence}")
            paraphrases.append(paraphrase(statement, rng, held_out=rng.random() < self.held_out_share))
        return paraphrases
