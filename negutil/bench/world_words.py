"""Which words the mini world has, so that a query about anything else is known to be about nothing."""

import functools

from negutil.captions import english, phrasing, statements
from negutil.captions.splitting import content

RELATIONS = """one two three four five zero pair pairs small large medium empty place top bottom left right middle above
below next wearing holding worn held thing things"""
"""Words of ``miniworld.grammar`` that are in no list of names or forms."""


@functools.cache
def known() -> frozenset[str]:
    """The words that name something in the mini world, and cues of negation; plurals as singulars (``content``)."""
    nouns = [text for noun in english.NOUN_LIST for text in (noun.name, noun.plural, *noun.synonyms)]
    plurals = [english.plural(text) for text in nouns]
    places = [text for place in english.PLACES.values() for text in (place.name, place.phrase)]
    phrases = [*english.FACE_PHRASES.values(), *english.FINDING_PHRASES.values(), *phrasing.FRAME]
    forms = [*english.AFFIRMATIVE, *english.NEGATED, *(form for pool in statements.FORMS.values() for form in pool)]
    cues = [term for terms in phrasing.CUES.values() for term in terms]
    things = [*nouns, *plurals, *english.COLOURS, *english.ACTIONS, *places, *phrases]
    words = [*things, *(form.text for form in forms), *cues]
    return frozenset(content(" . ".join([*words, RELATIONS])))


def unknown(text: str) -> tuple[str, ...]:
    """Return the words of ``text`` that name something which the mini world does not have, plurals as singulars."""
    words = dict.fromkeys(word for word in content(text) if not word.isdecimal())
    return tuple(word for word in words if word not in known())
