"""Reading what a model replied: a list of objects, yes or no, a letter, one sentence.

Tolerant by default, because models chat; ``strict`` takes only what was asked for. A reply that can be read in two ways
is not read at all: None, which callers count.
"""

from __future__ import annotations

import json
import re
from string import ascii_uppercase

from negutil.data import negbench

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


def objects(reply: str, strict: bool = False) -> list[str] | None:
    """The objects that a reply lists, in lower case, without articles and repeats; [] where it says there are none.

    ``strict`` takes a JSON list of strings; otherwise also lists by commas, "and", bullets or numbers, with a lead-in.
    None where no list is found.
    """
    found = _json_strings(reply.strip())
    if found is None and not strict:
        bracketed = _LIST.search(reply)
        found = _json_strings(bracketed[0].replace("'", '"')) if bracketed else None
        found = _loose_items(reply) if found is None else found
    if found is None:
        return None
    names = [name for item in found if (name := _object_name(item))]
    return list(dict.fromkeys(names)) if names or not found else None


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
    if alone or strict:
        return _index(alone)
    in_front = re.match(rf"{marks}({letters}){marks}[).:\]]", reply)
    if in_front:
        return _index(in_front)
    told = re.findall(rf"{_TOLD}\W*({letters})(?![\w']){_NO_ARTICLE}", reply, re.IGNORECASE)
    return ascii_uppercase.index(told[0].upper()) if len({each.upper() for each in told}) == 1 else None


def sentence(reply: str) -> str | None:
    """The one sentence that a reply consists of, without labels, lead-ins and quotation marks around it.

    None where nothing is left, or where what is left has a mark of chatter (``negutil.data.negbench.is_odd``).
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


def _object_name(item: str) -> str:
    """An item as the name of an object, or "" where it is none."""
    bare = _ARTICLE.sub("", item.strip(f" .!\t\n{_QUOTES}")).strip().lower()
    return bare if _NAME.fullmatch(bare) and len(bare.split()) <= LONGEST_NAME else ""


def _index(match: re.Match[str] | None) -> int | None:
    return ascii_uppercase.index(match[1].upper()) if match else None
