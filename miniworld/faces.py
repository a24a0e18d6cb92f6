"""Faces of the mini world: 64 x 64 avatars with CelebA's attribute names and exact labels; they stand for CelebA.

The parts and the truth are in ``face_parts``, the drawing in ``face_art``, and here what can be said of a face. Every
phrase is affirmative: what is absent is named only by what is there instead ("clean-shaven"), so that nothing here
teaches a model a word of negation.
"""

from __future__ import annotations

import random

from miniworld.face_art import draw
from miniworld.face_parts import CELEBA_ATTRIBUTES, DRAWN, HATS, NOT_DRAWN, Face, sample
from negutil.captions.english import enumerate_phrases

__all__ = ["ANTONYM_PHRASES", "CELEBA_ATTRIBUTES", "DRAWN", "NOT_DRAWN", "Face", "describe", "draw", "sample"]

ANTONYM_PHRASES: dict[str, str] = {
    "Arched_Eyebrows": "with flat eyebrows",
    "Bald": "with a full head of hair",
    "Big_Nose": "with a small nose",
    "Bushy_Eyebrows": "with thin eyebrows",
    "Mouth_Slightly_Open": "with a closed mouth",
    "Narrow_Eyes": "with round eyes",
    "No_Beard": "with facial hair",
    "Pale_Skin": "with dark skin",
    "Smiling": "with a serious face",
    "Straight_Hair": "with wavy hair",
    "Wavy_Hair": "with straight hair",
    "Wearing_Hat": "with a bare head",
}
"""Affirmative phrase for the lack of an attribute, where ordinary language has one."""

_PHRASES: dict[str, tuple[str, ...]] = {
    "5_o_Clock_Shadow": ("with stubble", "with a five o'clock shadow", "with a stubbly chin", "adj:stubbly"),
    "Arched_Eyebrows": ("with arched eyebrows", "with arched brows", "with high arched eyebrows"),
    "Bags_Under_Eyes": ("with bags under the eyes", "with dark circles under the eyes", "with tired eye bags"),
    "Bald": ("adj:bald", "with a bald head", "with a shaved head", "adj:bald-headed"),
    "Bangs": ("with bangs", "with a fringe", "with blunt bangs", "with bangs over the forehead"),
    "Big_Nose": ("with a big nose", "with a large nose", "adj:big-nosed", "with a broad nose"),
    "Bushy_Eyebrows": ("with bushy eyebrows", "with thick eyebrows", "with bushy brows", "with heavy eyebrows"),
    "Eyeglasses": ("wearing glasses", "wearing eyeglasses", "wearing spectacles", "with glasses on"),
    "Goatee": ("with a goatee", "with a chin beard", "sporting a goatee"),
    "Heavy_Makeup": ("wearing heavy makeup", "wearing eye shadow", "with heavy eye makeup", "wearing makeup"),
    "Mouth_Slightly_Open": ("with an open mouth", "adj:open-mouthed", "with lips parted", "with the mouth open"),
    "Mustache": ("with a mustache", "with a moustache", "sporting a mustache", "adj:mustachioed"),
    "Narrow_Eyes": ("with narrow eyes", "with narrowed eyes", "squinting", "adj:narrow-eyed"),
    "No_Beard": ("adj:clean-shaven", "with a clean-shaven face", "with a smooth chin", "with a clean-shaven chin"),
    "Pale_Skin": ("with pale skin", "adj:pale", "with very fair skin", "with a pale face"),
    "Rosy_Cheeks": ("with rosy cheeks", "with red cheeks", "adj:rosy-cheeked", "with blushing cheeks"),
    "Smiling": ("adj:smiling", "with a smile", "smiling", "adj:happy", "with a big smile"),
    "Wearing_Earrings": ("wearing earrings", "with earrings", "with round earrings", "wearing a pair of earrings"),
    "Wearing_Hat": ("wearing a hat", "with a hat on", "in a hat"),
    "Wearing_Lipstick": ("wearing lipstick", "with painted lips", "with bright lipstick", "with lipstick on"),
    "Wearing_Necklace": ("wearing a necklace", "with a necklace", "wearing a bead necklace", "with a string of beads"),
    "Wearing_Necktie": ("wearing a tie", "wearing a necktie", "in a shirt and tie", "with a tie"),
    "arch:plain": ("with flat eyebrows", "with thin eyebrows", "with thin flat brows"),
    "arch:bushy": ("with flat eyebrows", "with flat thick eyebrows"),
    "arch:arched": ("with thin eyebrows",),
    "hairy": ("with a full head of hair", "with a good head of hair"),
    "small nose": ("with a small nose", "with a button nose", "adj:small-nosed"),
    "closed": ("with a closed mouth", "with lips together", "with the mouth closed"),
    "round eyes": ("with round eyes", "with wide open eyes", "adj:wide-eyed"),
    "facial hair": ("with facial hair", "with hair on the face"),
    "beard": ("with a beard", "with a full beard", "adj:bearded"),
    "dark skin": ("with dark skin", "adj:dark-skinned"),
    "serious": ("with a serious face", "adj:serious", "with a serious expression", "looking serious"),
    "surprised": ("with a serious face", "adj:surprised", "looking surprised", "with a startled look"),
    "bare head": ("with a bare head", "adj:bareheaded"),
    "sunglasses": ("wearing sunglasses", "in dark sunglasses", "wearing dark glasses"),
}

_FORMS: tuple[str, ...] = (
    "a {adj} person {rest}",
    "a photo of a {adj} person {rest}",
    "portrait of a {adj} person {rest}",
    "a {adj} face {rest}",
    "{adj} person {rest}, stock photo",
    "close-up of a {adj} person {rest}",
    "headshot of a {adj} person {rest}",
    "this is a {adj} person {rest}",
    "a picture of a {adj} person {rest}",
    "the {adj} person in this photo, {rest}",
    "profile picture: {adj} person {rest}",
    "cartoon avatar of a {adj} person {rest}",
    "vector illustration of a {adj} person {rest} | stock vector",
    "meet a {adj} neighbour {rest}",
    "someone {adj}, {rest}, looks at the camera",
    "a {adj} character {rest}",
    "my {adj} friend {rest}",
    "flat icon of a {adj} person {rest} - {background} background",
    "a studio shot of a {adj} person {rest}",
    "user avatar {number}: {adj} person {rest}",
    "here we see a {adj} person {rest}",
    "team member {rest}, {adj} portrait",
    "{list}",
    "portrait, {list}",
    "avatar: {list}",
    "face | {list} | licensed image {number}",
    "#portrait #avatar {list}",
    "the face has these features: {list}",
)

_BACKGROUND_WORDS: tuple[str, ...] = ("plain", "pastel", "simple", "solid")


def _hair_phrases(face: Face, chosen: list[str], rng: random.Random) -> list[str]:
    """Phrases for the chosen facts about hair, at times joined ("with long wavy blond hair")."""
    if not chosen:
        return []
    texture = [word for word in ("straight", "wavy") if f"{word.title()}_Hair" in chosen]
    if texture == ["wavy"]:
        texture = [rng.choice(("wavy", "wavy", "curly"))]
    length = ["length"] if "length" in chosen else []
    style = face.visible_hair
    colour = [face.hair_colour] if "colour" in chosen else []
    words = [*([style.length] if length and style else []), *texture, *colour]
    if rng.random() < 0.7:
        return [f"with {' '.join(words)} hair"]
    return [f"with {word} hair" for word in words]


def _facts(face: Face) -> tuple[list[str], list[str]]:
    """Keys of what can be said affirmatively of ``face``: attributes present, and what stands for absent ones."""
    labels = face.attributes
    hair_names = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
    present = [name for name in DRAWN if labels[name] and name not in hair_names]
    present += ["colour"] if face.visible_hair else []
    present += [
        key for key, there in (("beard", face.facial_hair == "beard"), ("sunglasses", face.dark_glasses)) if there
    ]
    instead = {
        f"arch:{face.brows}": True,
        "length": face.visible_hair is not None,
        "hairy": face.visible_hair is not None and face.hat is None,
        "small nose": not face.big_nose,
        "closed": not labels["Mouth_Slightly_Open"],
        "round eyes": not face.narrow_eyes and not face.dark_glasses,
        "facial hair": not labels["No_Beard"],
        "dark skin": face.skin in ("dark", "brown"),
        "serious": face.mouth == "serious",
        "surprised": face.mouth == "open",
        "bare head": face.hat is None,
    }
    return present, [key for key, there in instead.items() if there]


def _phrases(face: Face, rng: random.Random) -> list[str]:
    """Phrases for a random choice of facts: usually 1 to 6, at times all attributes that are present."""
    present, instead = _facts(face)
    if rng.random() < 0.1:
        chosen = present
    else:
        count = rng.randint(1, 6)
        pool = [key for key in instead if rng.random() < 0.35]
        keys = present + pool
        chosen = rng.sample(keys, min(count, len(keys)))
    hair = [key for key in chosen if key in ("Straight_Hair", "Wavy_Hair", "colour", "length")]
    phrases = _hair_phrases(face, hair, rng)
    for key in chosen:
        if key not in hair:
            options = _PHRASES[key]
            named = key == "Wearing_Hat" and face.hat and rng.random() < 0.4
            phrases.append(f"wearing a {HATS[face.hat]}" if named and face.hat else rng.choice(options))
    rng.shuffle(phrases)
    return phrases


def _joined(phrases: list[str]) -> str:
    """Phrases in one line; a run of the same first word is said once ("wearing a hat and earrings")."""
    groups: dict[str, list[str]] = {}
    for phrase in phrases:
        first, _, tail = phrase.partition(" ")
        groups.setdefault(first if tail else phrase, []).append(tail)
    parts = [f"{first} {enumerate_phrases(tails)}".strip() for first, tails in groups.items()]
    return ", ".join(parts)


def describe(face: Face, rng: random.Random) -> str:
    """A web-like or plain caption that names a random subset of what is there; it holds no negation cue."""
    phrases = _phrases(face, rng)
    adjectives = [phrase[4:] for phrase in phrases if phrase.startswith("adj:")]
    others = [phrase for phrase in phrases if not phrase.startswith("adj:")]
    tags = ", ".join([*adjectives, *(phrase.removeprefix("with ").removeprefix("wearing ") for phrase in others)])
    caption = rng.choice(_FORMS).format(
        adj=", ".join(adjectives),
        rest=_joined(others),
        list=tags,
        background=rng.choice(_BACKGROUND_WORDS),
        number=rng.randint(100, 99999),
    )
    return _tidied(caption)


def _tidied(caption: str) -> str:
    """``caption`` without the gaps that empty slots leave, and with "a" or "an" as the next word wants it."""
    for wrong, right in ((" ,", ","), ("is,", ","), (",,", ","), (", ,", ",")):
        caption = " ".join(caption.split()).replace(wrong, right)
    words = caption.strip(" ,").split(" ")
    for position, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            words[position] = "an" if words[position + 1][0] in "aeio" else "a"
    return " ".join(words)
