"""What a sentence of this world affirms and denies, read back exactly from the forms that it was made by.

Sentences about a scene have slots for free phrases, so each of their forms becomes a pattern; claims about colours,
faces and radiographs and referring phrases are finitely many, so all of them are looked up.
"""

import functools
import re
from collections.abc import Iterator

from miniworld import referring
from negutil.captions import claim_items, english, phrasing, probe_prompts, statements
from negutil.captions.english import ACTIONS, COLOURS, FINDING_PHRASES, NOUNS, PLACES, Form
from negutil.captions.statements import with_article

JOIN = " or "
"""Between two things that one sentence denies."""

Parts = tuple[str, str]
"""What is affirmed ("" for nothing) and what is denied."""

_MEDIUM = r"(?:image|picture|photo|video|clip|chest x-ray|x-ray|radiograph)"
_DENIED = ("absent", "bare", "plural", "one", "other", "bare_other", "plural_other")
_VALSE = (
    *(Form(f"there is no {{bare}} {tail}", "no", "only") for tail in ("pictured here", "pictured", "shown", "visible")),
    *(Form(f"there is no {{bare}} in the {medium}", "no", "only") for medium in ("picture", "photo", "image")),
    Form("there is no {bare}", "no", "only"),
)
"""Existence items: "There are no dogs visible."."""


@functools.lru_cache(maxsize=200_000)
def split(text: str) -> Parts | None:
    """The affirmed and the denied part of a negated sentence of this world; None for any other sentence.

    Parts are in lower case; the denied one is a thing with its article, or several with JOIN between.
    """
    plain = " ".join(text.lower().split()).strip(" .")
    if not phrasing.of(plain).cue and not any(
        rare in plain for rare in ("anything but", "anywhere but", "by no means")
    ):
        return None
    if plain in _finite():
        return _finite()[plain]
    for pattern in _patterns():
        match = pattern.fullmatch(plain)
        if match and (found := _parts(match)) is not None:
            return found
    return None


def _parts(match: re.Match[str]) -> Parts | None:
    """The parts of a sentence that fits a pattern; None if what is affirmed would be negated itself."""
    found = match.groupdict()
    said = [found[name] for name in ("things", "caption", "place") if found.get(name)]
    affirmed = " ".join(said).strip(" ,;:")
    if phrasing.of(affirmed).cue:
        return None
    affirmed = affirmed if found.get("things") or found.get("caption") or not affirmed else f"a photo {affirmed}"
    denied = [_thing(found[name]) for name in _DENIED if found.get(name)]
    return affirmed, JOIN.join(dict.fromkeys(denied))


def _thing(said: str) -> str:
    """A denied thing as a singular with its article."""
    words = re.sub(r"^(?:an?|a pair of) ", "", said)
    colour, _, noun = words.rpartition(" ") if words.split()[0] in COLOURS else ("", "", words)
    named = list(english.mentions(noun))
    if len(named) != 1:
        return said
    return with_article(f"{colour} {named[0]}".strip())


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """A pattern for every negated form, those with the most fixed words first."""
    own = (form for forms in statements.FORMS.values() for form in forms if form.cue)
    texts = dict.fromkeys(form.text for form in (*english.NEGATED, *own, *_VALSE))
    templates = (text for name, text in statements.TEMPLATES.items() if name != "affirmation")
    texts |= dict.fromkeys(re.sub(r"\{includes?\}", r"\\V", text).rstrip(".") for text in templates)
    ordered = sorted(texts, key=lambda text: -len(re.sub(r"\{\w+\}", "", text)))
    return tuple(re.compile(_pattern(text)) for text in ordered)


def _pattern(text: str) -> str:
    """The pattern of a form: its slots by name, places optional, commas optional (CC-Neg takes them out)."""
    noun = _noun()
    slots = {
        "things": "(?P<things>.+?)",
        "caption": "(?P<caption>.+?)",
        "place": f"(?P<place>{'|'.join(place.phrase for place in PLACES.values())})?",
        "medium": _MEDIUM,
        "medium_article": rf"an? {_MEDIUM}",
        "is": "(?:is|are)",
        "comma": ",?",
        "present": "(?P<things>.+?)",
    }
    slots |= {name: rf"(?P<{name}>(?:an? |a pair of )?{noun})" for name in _DENIED}
    parts = []
    for part in re.split(r"(\{\w+\})", text.lower()):
        fixed = (
            re.escape(part).replace(r"\ ", r"\s*").replace(",", r",?").replace(r"\.", r"\.?").replace(r"\\v", r"\w+")
        )
        parts.append(slots[part.strip("{}")] if part.startswith("{") else re.sub(r"\bis\b", "(?:is|are)", fixed))
    return r"\s*".join(parts)


@functools.cache
def _noun() -> str:
    """A pattern for whatever is denied: a noun of this world, perhaps with a colour, or a finding."""
    words = {word for noun in NOUNS for word in (noun, *english.NOUN[noun].synonyms)}
    words |= {english.plural(word) for word in words} | {finding.lower() for finding in FINDING_PHRASES}
    words |= {phrase.removeprefix("a ") for phrase in FINDING_PHRASES.values()}
    longest = sorted(map(re.escape, words), key=len, reverse=True)
    return rf"(?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(longest)})"


@functools.cache
def _finite() -> dict[str, Parts]:
    """The parts of every claim about a colour, a face or a radiograph, and of every referring phrase."""
    sentences = (*_colours(), *_faces(), *_findings(), *_referring())
    return {text.lower(): (affirmed, denied) for text, affirmed, denied in sentences}


def _colours() -> Iterator[tuple[str, str, str]]:
    for noun in NOUNS:
        thing = with_article(noun)
        for colour in COLOURS:
            name = f"{colour} {noun}"
            words = {"noun": noun, "colour": colour, "bare": name, "thing": thing, "coloured": with_article(name)}
            for form in claim_items.COLOUR_FORMS:
                if form.cue:
                    # "There is no red car" says nothing of other cars.
                    affirmed = thing if "{thing}" in form.text or "{noun}" in form.text else ""
                    yield form.text.format(**words), affirmed, words["coloured"]


def _faces() -> Iterator[tuple[str, str, str]]:
    pairs = [pair for pair in probe_prompts.read_prompts() if pair.other and pair.phrasing != probe_prompts.ANTONYM]
    for pair in pairs:
        denied, affirmed = (text.removeprefix("a photo of ") for text in (pair.other, pair.affirmative))
        for frame, _ in (("a photo of {}", False), *claim_items.FRAMES):
            yield frame.format(denied), frame.format("a person"), affirmed


def _findings() -> Iterator[tuple[str, str, str]]:
    for finding in FINDING_PHRASES.values():
        for form in claim_items.FINDING_FORMS:
            if form.cue:
                text = form.text.format(finding=finding, bare=finding.removeprefix("a "))
                yield text, "a chest x-ray", f"a chest x-ray showing {finding}"


def _referring() -> Iterator[tuple[str, str, str]]:
    values = {
        "colour": COLOURS,
        "wearing": english.WEARABLE,
        "holding": english.HOLDABLE,
        "action": ACTIONS,
        "position": referring.WHERE,
    }
    for form in (form for form in referring.FORMS if form.negated):
        for noun in NOUNS:
            thing = english.with_article(noun)
            for value in values[form.kind]:
                a_value = english.with_article(value)
                text = form.text.format(noun=noun, a_noun=thing, value=value, a_value=a_value)
                denied = {"colour": english.with_article(f"{value} {noun}"), "wearing": a_value, "holding": a_value}
                yield text, thing, denied.get(form.kind, f"{thing} {value}")
