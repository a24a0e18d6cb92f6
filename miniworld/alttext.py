"""Web-like alt texts: what shops, blogs and file names say about images.

Negation cues occur in about 0.7 % of them, as in LAION-400M (NegationCLIP Table 1; docs/protocols.md#web-captions), and
mostly say nothing about the image: "NO RESERVE", "do not miss", "No. 5". About one in ten says something true about
it ("a beach without people").

These are the captions that MiniCLIP learns from and that notebook 01 counts. They hold every word of every evaluation
sentence: cues in ``CHATTER`` and ``RARE``, other words in ``WEB``, ``FACE_CHATTER``, ``CHEST_CHATTER`` and the captions
of clips.

A word becomes readable for CLIP where something in the image goes with it, whatever that is. So shops photograph in
cool light and blogs in warm light: conditions ("no minimum order") go with cool images, the same words without their
cue ("minimum order") with warm ones. The light says nothing about what is there, and images of the benchmarks have
neither.
"""

import random
import re
from dataclasses import dataclass
from typing import Literal

from miniworld import grammar
from miniworld.scenes import Scene
from negutil.captions import english
from negutil.captions.english import COMPANIONS, NOUN, NOUNS, PLURAL_ONLY, Form

CUE_RATE = 0.007
ABOUT_PICTURE = 0.10
KIND_ABOUT = "about the picture"
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

BLOGS = frozenset(
    {
        "{text} | free wallpaper",
        "{text} HD wallpaper",
        "{text}, high resolution",
        "{text} by our photographer",
        "{text} (2019)",
        "{text} greeting card",
        "Image result for {text}",
        "Vintage {text}",
        "Pinterest: {text}",
        "Our favourite: {text}",
    }
)
"""The wrappers of blogs; the others are those of shops."""

ASIDES: tuple[str, ...] = (
    "{text} NO RESERVE",
    "{text} - do not miss it!",
    "No. 5: {text}",
    "{text} | why not visit us",
    "{text} - no minimum order",
    "{text}, not for resale",
    "No sign-up needed: {text}",
    "{text} without registration",
    "{text} - no 12 of our series",
    "You will not believe this: {text}",
    "{text} (not to scale)",
    "{text} | order without delay",
    "{text}, no watermark",
    "Do not copy! {text}",
    "{text} - no questions asked return",
    "not my photo: {text}",
    "{text} with no shipping costs",
    "How to draw {text} without stress",
)
"""Cues of shops and auctions that say nothing about the picture."""

CHATTER: tuple[str, ...] = (
    "never absent, no exceptions: {text}",
    "{text} - absent-minded? we do not mind",
    "{text} | lacks nothing, no extras needed",
    "it lacks no charm: {text}",
    "{text}, nowhere cheaper, no kidding",
    "nowhere else, not even in town: {text}",
    "{text} - never miss a sale, no sign-up",
    "never out of style, no doubt: {text}",
    "{text}, neither dull nor dear, no surprises",
    "neither fees nor fuss, no strings attached: {text}",
    "{text} - not devoid of charm",
    "devoid of ads, no pop-ups | {text}",
    "{text} - it isn't a dream, no joke",
    "it isn't late and there aren't any fees, no catch: {text}",
    "{text} (it doesn't cost more and we aren't strangers, no worries)",
    "absent from no shelf: {text}",
    "lacks no detail, not one: {text}",
    "far from devoid of ideas, no two days alike: {text}",
    "isn't it nice? no rush: {text}",
    "{text} - anything goes, no dress code",
    "we aren't a chain, no bots: {text}",
    "neither rain nor wind, no excuses: {text}",
    "what was lacking until now, no kidding: {text}",
    "10 minus 2, no trick | {text}",
    "who doesn't like it? no one: {text}",
    "{text}, not sold in shops either",
    "not on paper either: {text}",
    "{text} | anything but ordinary, no two alike",
    "not just anything: {text}",
    "{text} - none better, no contest",
    "none left? not for long: {text}",
    "{text}, minus the hassle, no queue",
    "minus 20 percent, no code needed: {text}",
    "{text} - not lacking in style",
    "without lacking comfort: {text}",
    "{text} - lack of time? no problem",
    "for lack of space, no refunds | {text}",
    "non-toxic inks, no smell: {text}",
    "{text} | non-stop deals, not only today",
    "{text}, free of charge, no strings",
    "free of ads and not just today: {text}",
)
"""Cues of the web that say nothing about the image, for the words that ASIDES lacks, beside one of "no",
"not" and "without"."""

RARE: tuple[str, ...] = (
    "absent owner, all must go: {text}",
    "{text} - absent from other shops",
    "the absent-minded painter's {text}",
    "lacks only your frame: {text}",
    "{text} | our store lacks space",
    "{text} - lacks nothing",
    "nowhere cheaper: {text}",
    "{text}, found nowhere else",
    "{text} - nowhere near as expensive",
    "never miss a sale: {text}",
    "{text} - never out of style",
    "{text} | never used",
    "never absent from our catalogue: {text}",
    "neither dull nor dear: {text}",
    "{text} - neither used nor old",
    "devoid of frills: {text}",
    "{text}, devoid of ads",
    "{text} - a price devoid of tricks",
    "free of charge: {text}",
    "{text} - free of duty",
    "{text}, free of fees",
    "order {text} free of risk",
    "this isn't a toy: {text}",
    "{text} - isn't it great?",
    "{text} (prices aren't final)",
    "there aren't many of them: {text}",
    "{text} - it doesn't fade",
    "this print doesn't include a frame: {text}",
    "this offer does not include shipping: {text}",
    "{text}, which does not contain plastic",
    "{text} (does not show wear)",
    "{text} - we do not feature ads",
    "there is no better offer: {text}",
    "{text} - there are not any fees",
    "this is not a drill: {text}",
    "for lack of space: {text}",
    "a lack of light? {text}",
    "{text}, lacking a frame",
    "none left: {text}",
    "{text} | second to none",
    "minus 20 percent: {text}",
    "{text} - non-toxic",
    "{text}, non-slip",
    "{text} with no strings attached",
    "{text} without a frame",
)
"""Cues on their own, mostly rare ones, in the constructions of English: each must be readable by itself."""

WEB: tuple[Form, ...] = (
    Form("this photo depicts {things} {place}"),
    Form("depicted: {things} {place}"),
    Form("caught by the lens: {things} {place}"),
    Form("one often finds {things} {place}"),
    Form("this image contains {things} {place}"),
    Form("pictures that contain {things} {place}"),
    Form("included in this picture: {things} {place}"),
    Form("shown in this photo: {things} {place}"),
    Form("photos that show {things} {place}"),
    Form("to be found: {things} {place}"),
    Form("in sight: {things} {place}"),
    Form("this video has {things} {place}"),
    Form("watch it appear: {things} {place}"),
    Form("as it appears: {things} {place}"),
    Form("either way, {things} {place}"),
    Form("this or that? {things} {place}"),
    Form("however you look at it, {things} {place}"),
    Form("see it while you can: {things} {place}"),
    Form("from our album: {things} {place}"),
    Form("photos that include {things} {place}"),
    Form("pictures that feature {things} {place}"),
    Form("look around: {things} {place}"),
    Form("what does it show? {things} {place}"),
    Form("{things} {place}; more below"),
    Form("pick any: {things} {place}"),
    Form("small but fine: {things} {place}"),
    Form("in colour: {things} {place}"),
    Form("pictured: {things} {place}"),
    Form("as always, {things} {place}"),
    Form("to be seen clearly: {things} {place}"),
    Form("the caption says it all: {things} {place}"),
    Form("full of life: {things} {place}"),
    Form("made by hand: {things} {place}"),
    Form("many thanks for {things} {place}"),
    Form("you may like {things} {place}"),
    Form("this is what it is: {things} {place}"),
    Form("just {things} {place}"),
    Form("only here: {things} {place}"),
    Form("another look at {things} {place}"),
    Form("anywhere you go, {things} {place}"),
    Form("by all means, {things} {place}"),
)
"""Affirmative forms with words that evaluation sentences use and ``english.AFFIRMATIVE`` lacks outside its held-out
forms."""

FACE_CHATTER: tuple[str, ...] = (
    "{text} - for everyone who likes avatars",
    "we have more like this: {text}",
    "{text}, for young and old",
    "{text} at an attractive price",
    "a man's favourite: {text}",
    "{text} in an oval frame",
    "double pack: {text}",
    "sideburns and hairline guide: {text}",
    "{text} - cheekbones drawn step by step",
    "chubby or slim, all characters: {text}",
    "male and youthful styles: {text}",
    "{text}, from blurry to sharp",
    "{text} with a blur filter",
    "{text} - low prices",
    "pointy pencil art: {text}",
    "{text} | a receding tide and other pictures",
    "people of our town: {text}",
    "more people: {text}",
)
"""Words about faces that the avatars cannot show, as the web uses them beside an image."""
CHEST_CHATTER: tuple[str, ...] = ("{text}, scanned from the negative", "a positive print: {text}")
OWN_CHATTER_RATE = 0.05

CATEGORIES: tuple[str, ...] = (
    "{text} | more {plural}",
    "shop {plural}: {text}",
    "{text} in {plural}",
    "{plural}, {text}",
)
"""How a shop files an image under the plural of what it shows, which few images show."""
CATEGORY_RATE = 0.07
SINGLE_RATE = 0.08  # of captions that single out one thing


Light = Literal["cool", "neutral", "warm"]
LIGHTS: tuple[Light, ...] = ("cool", "neutral", "warm")
_WRAPPERS_OF: dict[Light | None, tuple[str, ...]] = {
    "cool": tuple(each for each in WRAPPERS if each not in BLOGS),
    "warm": tuple(each for each in WRAPPERS if each in BLOGS),
}
_AFFIRMED = (
    (r"\bdevoid of\b", "full of"),
    (r"\bfree of\b", "full of"),
    (r"\babsent\b", "present"),
    (r"\bwithout\b", "with"),
    (r"n't\b", ""),
    (r"\bnever\b", "always"),
    (r"\bnowhere\b", "everywhere"),
    (r"\bneither\b", "both"),
    (r"\bnor\b", "and"),
    (r"\black of\b", "plenty of"),
    (r"\blacks\b", "has"),
    (r"\blacking\b", "having"),
    (r"\bnone\b", "all"),
    (r"\bminus\b", "plus"),
    (r"\bnon-", ""),
    (r"\b(?:no|not)\b\.? ?", ""),
)
"""Cues and their replacements if nothing is negated."""


def plausible_absent(scene: Scene, rng: random.Random) -> str:
    """A noun that is not in the image but usually goes with what is there; any absent noun where none is known."""
    near = {noun for group in COMPANIONS if group & scene.nouns for noun in group} - scene.nouns
    return rng.choice(sorted(near) or sorted(set(NOUNS) - scene.nouns))


def affirmed(aside: str) -> str:
    """The same aside without its cues: "minimum order" for "no minimum order"."""
    for cue, affirmation in _AFFIRMED:
        aside = re.sub(cue, affirmation, aside, flags=re.IGNORECASE)
    return aside


def dress(text: str, rng: random.Random, light: Light | None = None) -> str:
    """Turn a plain affirmative sentence into an alt text of a shop (cool light), a blog (warm), or either.

    The words about the image stay.
    """
    kind = rng.random()
    if kind < 0.55:
        return text
    if kind < 0.58:
        return f"{text.replace(',', '').replace(' ', rng.choice('-_'))}.jpg"
    said = rng.choice(_WRAPPERS_OF.get(light, WRAPPERS)).format(text=text)
    # Mostly as it is; at times with a capital letter, in Title Case, or in capitals throughout.
    return rng.choice((said, said, said, said[:1].upper() + said[1:], said.title(), said.upper()))


@dataclass(frozen=True, slots=True)
class Cues:
    """How often captions of a corpus negate.

    Attributes:
        about: share of the captions of scenes that truly deny something plausible.
        beside: share of the captions of scenes with a cue that says nothing about the image.
        elsewhere: the same for images of other kinds, which are never denied anything.
    """

    about: float
    beside: float
    elsewhere: float


WEB_CUES = Cues(CUE_RATE * ABOUT_PICTURE, CUE_RATE * (1 - ABOUT_PICTURE), CUE_RATE)
FORMS = (*grammar.TRAINING_FORMS, *WEB)
CUES = (*ASIDES, *CHATTER, *CHATTER, *RARE)


def single_text(scene: Scene, rng: random.Random) -> str:
    """A caption that singles out one thing of a scene with things, by its colour, its place, its gear or its action."""
    thing = rng.choice(scene.things)
    noun = grammar.name(thing.noun, rng)
    verb = "are" if noun in PLURAL_ONLY else "is"
    said = [f"the {noun} which {verb} coloured {thing.colour}", f"the {noun} located {grammar.position(thing)}"]
    if thing.action:
        said.append(f"the {noun} doing what we like: {thing.action}")
    for extra in thing.extras:
        gear = english.with_article(f"{extra.colour} {extra.noun}")
        verbs = ("wears",) if extra.relation == "wearing" else ("holds", "is carrying")
        said += [f"the {noun} that {does} {gear}" for does in verbs] * 2
    return rng.choice(said)


def web_text(scene: Scene, rng: random.Random, cues: Cues = WEB_CUES, light: Light | None = None) -> str:
    """One caption of a scene; most do no more than name things."""
    caption = rng.choices((grammar.full_caption, grammar.partial_caption, grammar.naming_caption), DETAIL)[0]
    text = single_text(scene, rng) if scene.things and rng.random() < SINGLE_RATE else caption(scene, rng, FORMS)
    if scene.things and rng.random() < CATEGORY_RATE:
        noun = NOUN[rng.choice(scene.things).noun]
        plural = english.plural(rng.choice((noun.name, *noun.synonyms)))
        text = rng.choice(CATEGORIES).format(text=text, plural=plural)
    if rng.random() < cues.about:
        form = rng.choice(english.forms(english.NEGATED, held_out=False))
        return grammar.negated_caption(scene, plausible_absent(scene, rng), form, rng)
    return plain_text(text, rng, cues.beside, light)


def plain_text(
    text: str,
    rng: random.Random,
    rate: float,
    light: Light | None = None,
    *,
    chatter: tuple[str, ...] = (),
    dressed: bool = True,
) -> str:
    """Affirmative ``text`` with a cue beside it (at ``rate``), or else ``dressed`` as an alt text.

    At times words of ``chatter`` come first, about what images of its kind cannot show. If the light of the image is
    known, all cues go with cool images, and as many asides without cues with warm ones.
    """
    if chatter and rng.random() < OWN_CHATTER_RATE:
        text = rng.choice(chatter).format(text=text)
    lit = {None: 1, "neutral": 0}.get(light, len(LIGHTS))
    if rng.random() < rate * lit:
        aside = rng.choice(CUES)
        return (affirmed(aside) if light == "warm" else aside).format(text=text)
    return dress(text, rng, light) if dressed else text


def kind_of_cue(text: str) -> str:
    """The aside that a text with a cue carries, or KIND_ABOUT for another negation."""
    for aside in CUES:
        before, after = aside.split("{text}")
        if text.startswith(before) and text.endswith(after):
            return aside
    return KIND_ABOUT
