"""Web-like alt texts: what shops, blogs and file names say about pictures.

Negation cues occur in about 0.7 % of them, as in LAION-400M (NegationCLIP Table 1; docs/protocols.md#web-captions), and
mostly say nothing about the picture: "NO RESERVE", "do not miss", "No. 5". About one in ten says something true about
it ("a beach without people").
"""

import random

from miniworld import grammar
from miniworld.scenes import Scene
from negutil.captions import english
from negutil.captions.english import COMPANIONS, NOUNS

CUE_RATE = 0.007
ABOUT_PICTURE = 0.10
DETAIL = (20, 20, 60)  # shares of full, partial and merely naming captions

WRAPPERS: tuple[str, ...] = (
    "{text}",
    "{text} stock photo",
    "{text} - stock image",
    "{text} | free wallpaper",
    "{text} vector illustration",
    "{text} clip art",
    "{text} royalty free",
    "{text} poster print",
    "{text} HD wallpaper",
    "{text} for sale",
    "{text} | Shop online",
    "{text}, high resolution",
    "{text} by our photographer",
    "{text} (2019)",
    "{text} t-shirt design",
    "{text} greeting card",
    "{text} royalty-free photo",
    "{text} on canvas",
    "Image result for {text}",
    "Buy {text} online",
    "New: {text}",
    "Stock photo: {text}",
    "Vintage {text}",
    "Details about {text}",
    "Pinterest: {text}",
    "Our favourite: {text}",
)


def plausible_absent(scene: Scene, rng: random.Random) -> str:
    """A noun that is not in the picture but usually goes with what is there; any absent noun where none is known."""
    near = {noun for group in COMPANIONS if group & scene.nouns for noun in group} - scene.nouns
    return rng.choice(sorted(near) or sorted(set(NOUNS) - scene.nouns))


def with_cue(scene: Scene, text: str, rng: random.Random) -> str:
    """``text`` with a negation cue: an aside of the web, or (one in ten) a true statement about the picture."""
    if rng.random() < ABOUT_PICTURE:
        form = rng.choice(english.forms(english.NEGATED, held_out=False))
        return grammar.negated_caption(scene, plausible_absent(scene, rng), form, rng)
    return rng.choice(english.ASIDES).format(text=text)


def dress(text: str, rng: random.Random) -> str:
    """Turn a plain affirmative sentence into an alt text; the words about the picture stay."""
    kind = rng.random()
    if kind < 0.55:
        return text
    if kind < 0.58:
        return f"{text.replace(',', '').replace(' ', rng.choice('-_'))}.jpg"
    said = rng.choice(WRAPPERS).format(text=text)
    # Mostly as it is; at times with a capital letter, in Title Case, or in capitals throughout.
    return rng.choice((said, said, said, said[:1].upper() + said[1:], said.title(), said.upper()))


def alt_text(scene: Scene, rng: random.Random) -> str:
    """One alt text of a scene, with a cue in 0.7 % of the cases; most of them do no more than name things."""
    caption = rng.choices((grammar.full_caption, grammar.partial_caption, grammar.naming_caption), DETAIL)[0]
    text = caption(scene, rng)
    return with_cue(scene, text, rng) if rng.random() < CUE_RATE else dress(text, rng)
