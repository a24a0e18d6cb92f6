"""Which things the captions of a photograph name, without object labels.

``configs/photo_objects.toml`` has the things with their plurals and synonyms, in groups of what is easily taken for
each other, and the hints that may mean any thing of a group ("animal", "rider").
"""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.files import Settings

FILE = paths.CONFIGS / "photo_objects.toml"
AGREED = 2
"""How many captions have to name a thing that counts as there: people err, and one's woman is another's girl."""

_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Group(Settings):
    """Things that are easily taken for each other: ``nouns`` with their other names, and ``hints``."""

    hints: str = ""
    nouns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """By word: the thing it has ``named``, and those it has ``hinted`` at; by thing: its ``group``."""

    named: Mapping[str, str]
    hinted: Mapping[str, frozenset[str]]
    group: Mapping[str, str]


def find(captions: Sequence[str], file: Path = FILE) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the things that ``captions`` show to be there, those that they name most first, and those that may be.

    AGREED captions or more have to name a thing; and of two things of a group, which people take for each other, some
    caption has to name both. What else captions name, and what their hints may mean, is never to be called absent.
    Raises NegutilError if ``file`` is damaged.
    """
    lexicon = _lexicon(file)
    both = [mentions(caption, file) for caption in captions]
    named = [set(nouns) for nouns, _ in both]
    counts = Counter(noun for own in named for noun in own)
    there: list[str] = []
    for noun in sorted(counts, key=lambda noun: (-counts[noun], noun)):
        rivals = [other for other in there if lexicon.group[other] == lexicon.group[noun]]
        is_apart = all(any({noun, other} <= own for own in named) for other in rivals)
        if is_apart and counts[noun] >= min(AGREED, len(captions)):
            there.append(noun)
    hinted = {noun for _, nouns in both for noun in nouns}
    return tuple(there), tuple(sorted((hinted | counts.keys()) - set(there)))


def mentions(caption: str, file: Path = FILE) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the things that one caption names, in its order, and those that its hints may mean.

    Raises NegutilError if ``file`` is damaged.
    """
    lexicon, words = _lexicon(file), _WORD.findall(caption.lower())
    named = tuple(dict.fromkeys(lexicon.named[word] for word in words if word in lexicon.named))
    return named, frozenset(noun for word in words for noun in lexicon.hinted.get(word, ()))


def group_of(noun: str, file: Path = FILE) -> str:
    """Return the name of the group of ``noun``."""
    return _lexicon(file).group[noun]


@functools.cache
def _lexicon(file: Path) -> Lexicon:
    named: dict[str, str] = {}
    hinted: dict[str, frozenset[str]] = {}
    group_of: dict[str, str] = {}
    for name, table in files.read_toml(file).items():
        group = files.checked(Group, table, f"{file}: [{name}]")
        group_of |= dict.fromkeys(group.nouns, name)
        for noun, others in group.nouns.items():
            for word in (noun, *others.split()):
                if named.setdefault(word, noun) != noun:
                    raise NegutilError(f"{file}: '{word}' names both {named[word]} and {noun}; remove one of them.")
        for word in group.hints.split():
            hinted[word] = hinted.get(word, frozenset()) | group.nouns.keys()
    return Lexicon(named, hinted, group_of)
