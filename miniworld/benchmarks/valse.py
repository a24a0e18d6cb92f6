"""VALSE's existence items from scenes: existence.json in its published format, with images (docs/protocols.md#valse).

Half of the captions affirm a thing that is there, half deny one that is not; the foil says the opposite. Every sentence
that is true of one image is false of another, taken in the same kind of place where there is one: so each noun, and
each sentence, is affirmed as often as denied, and a rule that reads texts alone gets half of the items.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from miniworld import build as world
from miniworld import scenes, truth
from miniworld.truth import Known
from miniworld.writers import _shared
from negutil.captions import english
from negutil.captions.english import PLURAL_ONLY
from negutil.config import Profile, Splits
from negutil.errors import NegutilError

FOLDER, FILE = "valse", "existence.json"
COUNT = 534
"""Items of the published file."""

TAILS = ("", " in the picture", " in the photo", " in the image", " pictured", " shown", " visible", " pictured here")
ANNOTATORS = 3
ERROR = 0.08
"""How often an annotator votes wrongly; three like that agree on 78 % of the items (published: 410 of 534)."""


def build(settings: Profile, count: int | None = None) -> Path:
    """The folder ``settings.built/valse`` with ``count`` items.

    None means as many as published, or one for two images of COCO's test split if that is fewer.
    """
    number = min(COUNT, settings.world.scenes.test // 4 * 2) if count is None else count
    fill = partial(write, count=number, seed=settings.world.seed)
    return world.benchmark(settings, FOLDER, __name__, fill, sizes={"test": number})


def write(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Write ``count`` items, their images and the truth about these into ``folder``; return facts about them.

    Raises NegutilError if the number is odd or no two images fit together.
    """
    if count < 2 or count % 2:
        raise NegutilError(f"VALSE cannot have {count} items: ask for an even number above 0.")
    names = {"test": (1, "images/v7w_{}.jpg")}
    drawn = _shared.entries("valse", Splits(0, 0, count), seed, scenes.sample, names)
    _shared.write_pictures(folder, drawn)
    items = {}
    for affirmed, denied, count_seen, shown, bare in _pairs(drawn, seed):
        for entry, caption, foil, number in ((shown, affirmed, denied, count_seen), (bare, denied, affirmed, 0)):
            items[f"existence_visual7w_{entry.image_id}"] = _item(entry, caption, foil, number, seed)
    _shared.write_json(folder / FILE, dict(sorted(items.items())))
    return {"items": len(items), "annotators_error": ERROR}


def _pairs(drawn: Sequence[Known], seed: int) -> Iterator[tuple[str, str, int, Known, Known]]:
    """Every image once: a sentence about a noun, its denial, how many there are, an image with and one without it.

    The latter shows a like place where there is one.

    The noun is the one that was said least so far, so that rare nouns are said too. Raises NegutilError if no
    image left lacks any of the nouns to be seen in another.
    """
    rng = random.Random(f"valse/pairs/{seed}")
    left = rng.sample(drawn, len(drawn))
    uses: Counter[str] = Counter()
    while left:
        entry = left.pop()
        nouns = sorted(truth.sayable(entry.scene.nouns))
        for noun in sorted(rng.sample(nouns, len(nouns)), key=lambda name: uses[name]):
            without = [other for other in left if noun not in truth.sayable(other.scene.nouns)]
            if without:
                break
        else:
            raise NegutilError(f"VALSE: image {entry.file_name} has no partner; ask for more items.")
        alike = [other for other in without if other.scene.place == entry.scene.place]
        partner = rng.choice(alike or without)
        left.remove(partner)
        uses[noun] += 1
        # How many things of the scene may be called so, worn and held ones included.
        number = sum(truth.is_a(name, noun) for name, _ in entry.scene.named())
        tail, plural = rng.choice(TAILS), english.plural(noun)
        if number > 1 or noun in PLURAL_ONLY:
            yield f"There are {plural}{tail}.", f"There are no {plural}{tail}.", number, entry, partner
        else:
            affirmed = f"There is {english.with_article(noun)}{tail}."
            yield affirmed, f"There is no {noun}{tail}.", number, entry, partner


def _item(entry: Known, caption: str, foil: str, number: int, seed: int) -> dict[str, Any]:
    """The content of one item; ``number`` is how many things the true caption speaks of."""
    index = str(entry.image_id)
    # What three annotators choose, each of whom errs now and then.
    rng = random.Random(f"valse/votes/{seed}/{index}")
    wrong = Counter(rng.choice(("foil", "other")) for _ in range(ANNOTATORS) if rng.random() < ERROR)
    return {
        "dataset": "visual7w",
        "dataset_idx": index,
        "image_file": Path(entry.file_name).name,
        "linguistic_phenomena": "existence",
        "caption": caption,
        "answer": number,
        "classes": number,
        "split": "test",
        "original_split": "test",
        "classes_foil": [0] if number else [1, 2, 3],
        "declarative_statement": caption,
        "declarative_statement_foils": [foil],
        "provenance_of_foils": "something_to_zero" if number else "zero_to_something",
        "mturk": {"foil": wrong["foil"], "caption": ANNOTATORS - wrong.total(), "other": wrong["other"]},
        "foil": foil,
    }
