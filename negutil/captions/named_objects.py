"""Which things the captions of a photograph name, where nobody labelled its objects.

``configs/photo_objects.toml`` has the things with their plurals and synonyms, in groups of what is easily taken for
each other, and the hints that may mean any thing of a group ("animal", "rider").
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.files import Settings

FILE = paths.CONFIGS / "photo_objects.toml"
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Group(Settings):
    """Things that are easily taken for each other: ``nouns`` with their other names, and ``hints``."""

    hints: str = ""
    nouns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """By word: the thing that it names, and the things that it may mean."""

    named: Mapping[str, str]
    hinted: Mapping[str, frozenset[str]]


def find(captions: Sequence[str], file: Path = FILE) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the things that ``captions`` name, in the order in which they first do, and those that they may mean.

    The latter are never to be called absent. Raises NegutilError where ``file`` is damaged.
    """
    lexicon = _lexicon(file)
    words = dict.fromkeys(word for caption in captions for word in _WORD.findall(caption.lower()))
    named = dict.fromkeys(lexicon.named[word] for word in words if word in lexicon.named)
    hinted = {noun for word in words for noun in lexicon.hinted.get(word, ())}
    return tuple(named), tuple(sorted(hinted - named.keys()))


@functools.cache
def _lexicon(file: Path) -> Lexicon:
    named: dict[str, str] = {}
    hinted: dict[str, frozenset[str]] = {}
    for name, table in files.read_toml(file).items():
        group = files.checked(Group, table, f"{file}: [{name}]")
        for noun, others in group.nouns.items():
            for word in (noun, *others.split()):
                if named.setdefault(word, noun) != noun:
                    raise NegutilError(f"{file}: '{word}' names both {named[word]} and {noun}; remove one of them.")
        for word in group.hints.split():
            hinted[word] = hinted.get(word, frozenset()) | group.nouns.keys()
    return Lexicon(named, hinted)
