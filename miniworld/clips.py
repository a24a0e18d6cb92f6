"""Short clips: a scene of 8 to 16 frames whose things stay, move, come and go; they replace MSR-VTT.

Every noun occurs once in a clip, so that "the dog leaves" has one meaning, and every thing is largely visible in each
frame that it is part of.

See docs/protocols.md#video.
"""

import random
from dataclasses import dataclass, replace

import numpy as np

from miniworld import grammar, scenes
from miniworld.scenes import SIZE, Scene, Thing
from negutil.captions import english
from negutil.captions.english import PLACES

LENGTHS: tuple[int, ...] = (8, 12, 16)
EVENTS: tuple[str, ...] = ("stays", "moves left", "moves right", "comes", "goes")
SHORTEST_WAY = 16
MAX_COVERED = 0.4


@dataclass(frozen=True, slots=True)
class Event:
    """What one thing of a clip does; ``thing`` is as it looks in the first frame that shows it.

    ``kind`` is one of EVENTS. ``first`` and ``last`` are the frames (both included) that show the thing; ``way`` is
    the distance that it moves from the first frame to the last, in pixels to the right.
    """

    thing: Thing
    kind: str
    first: int
    last: int
    way: int


@dataclass(frozen=True, slots=True)
class Clip:
    """A place, the number of frames, and what each thing does; the truth about the clip follows from these."""

    place: str
    variant: int
    length: int
    events: tuple[Event, ...]

    @property
    def frames(self) -> tuple[Scene, ...]:
        """The scene of each frame."""
        return tuple(self.frame(index) for index in range(self.length))

    def frame(self, index: int) -> Scene:
        """The scene of frame ``index``."""
        shown, done = (e for e in self.events if e.first <= index <= e.last), index / (self.length - 1)
        return Scene(self.place, self.variant, tuple(_moved(event.thing, round(event.way * done)) for event in shown))

    @property
    def nouns(self) -> frozenset[str]:
        """Every noun that can be seen in any frame, things worn and held included."""
        return frozenset().union(*(frame.nouns for frame in self.frames))

    @property
    def kinds(self) -> dict[str, str]:
        """What the thing of each noun does (one of EVENTS); worn and held things are not listed."""
        return {event.thing.noun: event.kind for event in self.events}


def _moved(thing: Thing, right: int) -> Thing:
    """``thing`` with what it wears and holds, ``right`` pixels further to the right."""
    x, y, width, height = thing.box
    extras = tuple(replace(e, box=(e.box[0] + right, *e.box[1:])) for e in thing.extras)
    return replace(thing, box=(x + right, y, width, height), extras=extras)


def _event(rng: random.Random, thing: Thing, length: int) -> Event:
    """A random event for ``thing``; one that is too wide to move stays."""
    kind = rng.choices(EVENTS, (4, 4, 4, 3, 3))[0]
    turn = rng.randint(length // 4, length - 1 - length // 4)
    if kind == "comes":
        return Event(thing, kind, turn, length - 1, 0)
    if kind == "goes":
        return Event(thing, kind, 0, turn, 0)
    # How far it can move before its outline leaves the image.
    left, right = min(box[0] for box in thing.boxes), SIZE - max(box[0] + box[2] for box in thing.boxes)
    if kind == "stays" or left + right < SHORTEST_WAY:
        return Event(thing, "stays", 0, length - 1, 0)
    way = rng.randint(SHORTEST_WAY, left + right)
    start = rng.randint(-left, right - way)
    if kind == "moves right":
        return Event(_moved(thing, start), kind, 0, length - 1, way)
    return Event(_moved(thing, start + way), kind, 0, length - 1, -way)


def _all_visible(clip: Clip) -> bool:
    """Whether in each frame the things in front cover at most MAX_COVERED of the box of every thing."""
    for frame in clip.frames:
        for index, thing in enumerate(frame.things):
            front = (box for other in frame.things[index + 1 :] for box in other.boxes)
            if sum(scenes.shared_area(thing.box, box) / (thing.box[2] * thing.box[3]) for box in front) > MAX_COVERED:
                return False
    return True


def sample(rng: random.Random, length: int | None = None) -> Clip:
    """A random clip of ``length`` frames (by default one of LENGTHS) and one to four things.

    No two of its things have, wear or hold the same noun.
    """
    length = length or rng.choice(LENGTHS)
    scene = scenes.sample(rng, rng.choices((1, 2, 3, 4), (2, 4, 3, 1))[0])
    clip = Clip(scene.place, scene.variant, length, ())
    taken: set[str] = set()
    for thing in scene.things:
        nouns = [thing.noun, *(extra.noun for extra in thing.extras)]
        if len(set(nouns)) < len(nouns) or taken.intersection(nouns):
            continue
        taken.update(nouns)
        for _ in range(8):
            longer = replace(clip, events=(*clip.events, _event(rng, thing, length)))
            if _all_visible(longer):
                clip = longer
                break
    return clip if clip.events else sample(rng, length)


def draw(clip: Clip) -> np.ndarray:
    """The clip as uint8 [T, 64, 64, 3]."""
    return np.stack([scenes.draw(frame) for frame in clip.frames])


_VERBS: dict[str, tuple[str, ...]] = {
    "stays": ("staying still", "resting in place", "staying where it is", "that stays"),
    "moves left": ("moving to the left", "moving left", "heading left", "that goes to the left"),
    "moves right": ("moving to the right", "moving right", "heading right", "that goes to the right"),
    "comes": ("appearing", "that shows up", "that comes into view", "coming into the picture"),
    "goes": ("disappearing", "that goes away", "leaving the picture", "that vanishes"),
}
_FORMS: tuple[str, ...] = (
    *("a video of {things} {place}", "{things} {place}", "a clip of {things} {place}"),
    *("a short film: {things} {place}", "we see {things} {place}", "{place}, {things}"),
    *("an animation with {things} {place}", "a cartoon about {things} {place}"),
    *("in this video there is {things} {place}", "footage of {things} {place}"),
    *("watch {things} {place}", "this clip shows {things} {place}"),
)


def describe(clip: Clip, rng: random.Random) -> str:
    """An affirmative caption about some or all of the things, what they do and, at times, the place."""
    count = len(clip.events) if rng.random() < 0.6 else rng.randint(1, len(clip.events))
    phrases = []
    for event in rng.sample(clip.events, count):
        phrase = grammar.noun_phrase(event.thing, rng, detail=0.8)
        phrases.append(f"{phrase} {rng.choice(_VERBS[event.kind])}" if rng.random() < 0.8 else phrase)
    place = PLACES[clip.place].phrase if rng.random() < 0.7 else ""
    caption = rng.choice(_FORMS).format(things=english.enumerate_phrases(phrases), place=place)
    return " ".join(caption.split()).strip(" ,")
