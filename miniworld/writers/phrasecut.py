"""PhraseCut: refer_<split>.json, image_data_split3000.json and images/<id>.jpg (docs/protocols.md#segmentation).

As in PhraseCut, phrases are affirmative and short (a name, a colour and a name, a name and what it wears or holds), and
a phrase means everything in the image that it fits. No two phrases of an image mean the same regions.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miniworld import referring, scenes, truth
from miniworld.scenes import SIZE, Scene
from miniworld.truth import Instance, Known
from miniworld.writers import _shared, coco
from negutil.config import Splits

_PATTERN = "images/{}.jpg"
NAMES = {"train": (4_000_001, _PATTERN), "val": (4_300_001, _PATTERN), "test": (4_600_001, _PATTERN)}
PHRASES = 3
REPEATED = 0.5


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is asked for: a name with a colour or with something worn or held, or neither."""

    name: str
    colour: str = ""
    relation: str = ""
    extra: str = ""

    @property
    def text(self) -> str:
        """The phrase in words."""
        words = (self.colour, self.name, self.relation, self.extra)
        return " ".join(word for word in words if word)

    def fits(self, instance: Instance) -> bool:
        """Whether the phrase is true of an instance."""
        named = truth.is_a(instance.noun, self.name) and self.colour in ("", instance.colour)
        return named and (not self.extra or self.extra in instance.extras)


def phrases(scene: Scene, rng: random.Random) -> list[tuple[Phrase, tuple[int, ...]]]:
    """Up to three phrases about a scene with the instances that each fits; no two fit the same."""
    instances = truth.instances(scene)
    every = []
    for index, one in enumerate(instances):
        every += [Phrase(one.noun), Phrase(one.noun, colour=one.colour)]
        if not one.relation:
            worn = (other for other in instances[index + 1 :] if other.relation and other.thing == one.thing)
            every += [Phrase(one.noun, relation=other.relation, extra=other.noun) for other in worn]
    options = list(dict.fromkeys(every))
    chosen: dict[tuple[int, ...], Phrase] = {}
    for phrase in rng.sample(options, len(options)):
        region = tuple(index for index, one in enumerate(instances) if phrase.fits(one))
        chosen.setdefault(region, phrase)
    return [(phrase, region) for region, phrase in list(chosen.items())[:PHRASES]]


def _tasks(entry: Known, seed: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"phrasecut/phrases/{entry.split}/{seed}/{entry.image_id}")
    masks = truth.masks(entry.scene)
    for phrase, region in phrases(entry.scene, rng):
        ids = [coco.annotation_id(entry.image_id, index) for index in region]
        yield {
            "task_id": "__".join([str(entry.image_id), *map(str, ids)]),
            "image_id": entry.image_id,
            "ann_ids": ids,
            "instance_boxes": [list(truth.tight_box(masks[index])) for index in region],
            "Polygons": [[[list(point) for point in loop] for loop in truth.polygons(masks[i])] for i in region],
            "phrase": phrase.text,
            "phrase_structure": {
                "name": phrase.name,
                "attributes": [phrase.colour] if phrase.colour else [],
                "relation_ids": [ids[0]] if phrase.relation else [],
                "relation_descriptions": [[phrase.relation, phrase.extra]] if phrase.relation else [],
                "type": "attribute" if phrase.colour else "relation" if phrase.relation else "name",
            },
        }


def sample(rng: random.Random) -> Scene:
    """A scene; half of them have several things of one kind."""
    return referring.sample(rng) if rng.random() < REPEATED else scenes.sample(rng)


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest."""
    drawn = _shared.entries("phrasecut", sizes, seed, sample, NAMES)
    _shared.write_pictures(folder, drawn)
    fixed = {"coco_id": None, "flickr_id": None, "url": ""}
    images = [{"image_id": e.image_id, "width": SIZE, "height": SIZE, "split": e.split, **fixed} for e in drawn]
    _shared.write_json(folder / "image_data_split3000.json", images)
    counts: dict[str, dict[str, int]] = {}
    for split, chosen in _shared.by_split(drawn).items():
        tasks = [task for entry in chosen for task in _tasks(entry, seed)]
        _shared.write_json(folder / f"refer_{split}.json", tasks)
        kinds = Counter(task["phrase_structure"]["type"] for task in tasks)
        counts[split] = {"pictures": len(chosen), "phrases": len(tasks), **dict(sorted(kinds.items()))}
    return {"counts": counts}
