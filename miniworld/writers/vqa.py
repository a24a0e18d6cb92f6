"""VQA v2: questions and annotations about the images of the part ``coco`` (train2014 and val).

Four questions an image: is there something that is (yes), and that is not (no); one more yes/no question about a
colour, an action or something worn, "no" half the time; and one about a number or a colour. Answers follow from the
scene, so all ten annotators agree. What is asked after and absent is mostly plausible there. In train no absent thing
or colour is one that negation training must not meet (``english.HELD_OUT_NOUNS``, ``HELD_OUT_COLOURS``).

The images of the val questions are those of coco/val2017: give ``negutil.data.vqa`` the file name pattern
"{image_id:012d}.jpg" for them.

See docs/protocols.md#negationclip-captions.
"""

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miniworld import alttext, grammar, truth
from miniworld.scenes import Scene, Thing
from miniworld.writers import _shared, coco
from negutil.captions import english
from negutil.captions.english import ACTIONS, COLOURS, HELD_OUT_COLOURS, HELD_OUT_NOUNS, PLURAL_ONLY, WEARABLE
from negutil.config import Splits

SUBTYPES = {"train": "train2014", "val": "val2014"}
#: Official question types, of which the longest that a question starts with counts.
TYPES = ("is there a", "is there", "is the", "is the person", "is the woman", "how many", "what color is the")
PLAUSIBLE = 0.7


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its one true answer and VQA's kind of answer: "yes/no", "number" or "other"."""

    text: str
    answer: str
    kind: str = "yes/no"


def _yes_no(text: str, truth_value: bool) -> Question:
    return Question(text, "yes" if truth_value else "no")


def _single(scene: Scene) -> list[Thing]:
    """Things that "the <noun>" can only mean one of, worn and held things counted too."""
    seen = Counter(noun for noun, _ in scene.named())
    alone = [thing for thing in scene.things if seen[thing.noun] == 1 and thing.noun not in PLURAL_ONLY]
    return [thing for thing in alone if thing.noun != "person" or not seen["woman"] + seen["baby"]]


def _about(scene: Scene, rng: random.Random, yes: bool, split: str) -> Question | None:
    """A yes/no question about what a thing is like; None if nothing can be asked without doubt."""
    avoid = HELD_OUT_COLOURS if split == "train" else frozenset()
    options: list[Question] = []
    for thing in _single(scene):
        others = [colour for colour in COLOURS if colour != thing.colour and colour not in avoid]
        options.append(_yes_no(f"Is the {thing.noun} {thing.colour if yes else rng.choice(others)}?", yes))
        if thing.action:
            others = [action for action in ACTIONS if action != thing.action]
            options += [_yes_no(f"Is the {thing.noun} {thing.action if yes else rng.choice(others)}?", yes)] * 2
        worn = [extra.noun for extra in thing.extras if extra.relation == "wearing"]
        gear = worn if yes else [noun for noun in WEARABLE if noun not in worn]
        if gear and (thing.extras or thing.noun in ("person", "woman")):
            options += [_yes_no(f"Is the {thing.noun} wearing {english.with_article(rng.choice(gear))}?", yes)] * 3
    return rng.choice(options) if options else None


def _open(scene: Scene, rng: random.Random) -> Question:
    """A question after a number or, where a colour can be asked after, half the time that."""
    single = _single(scene)
    if single and rng.random() < 0.5:
        thing = rng.choice(single)
        return Question(f"What color is the {thing.noun}?", thing.colour, "other")
    seen = Counter(noun for noun, _ in scene.named() if noun not in PLURAL_ONLY)
    if truth.people(scene):
        seen.pop("person", None)
        seen["people"] = sum(truth.is_a(thing.noun, "person") for thing in scene.things)
    noun = rng.choice(list(seen)) if seen else "people"
    plural = "people" if noun == "people" else english.plural(noun)
    return Question(f"How many {plural} are there?", str(seen[noun]), "number")


def questions(scene: Scene, rng: random.Random, split: str, yes: bool) -> list[Question]:
    """The questions about one image; ``yes`` is the answer to the third."""
    allowed = [noun for noun in truth.absent(scene) if split != "train" or noun not in HELD_OUT_NOUNS]
    present = grammar.name(rng.choice(sorted(scene.nouns)), rng)
    first = _yes_no(f"Is there {english.with_article(present)}?", True)
    # Surely not there, and mostly one that goes with what is.
    plausible = alttext.plausible_absent(scene, rng)
    absent = plausible if plausible in allowed and rng.random() < PLAUSIBLE else rng.choice(allowed)
    second = _yes_no(f"Is there {english.with_article(grammar.name(absent, rng))}?", False)
    about = _about(scene, rng, yes, split)
    return [first, second, *([about] if about else []), _open(scene, rng)]


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest."""
    drawn = _shared.by_split(coco.pictures(sizes, seed))
    counts: dict[str, dict[str, int]] = {}
    for split, subtype in SUBTYPES.items():
        rows: list[tuple[int, int, Question]] = []
        yes = True
        for entry in drawn.get(split, []):
            rng = random.Random(f"vqa/{split}/{seed}/{entry.image_id}")
            asked = questions(entry.scene, rng, split, yes)
            # Turn about only where the third question was asked, so that "yes" and "no" stay balanced.
            yes = yes if len(asked) < 4 else not yes
            rows += [(entry.image_id, entry.image_id * 1000 + n, question) for n, question in enumerate(asked)]
        if not rows:
            continue
        license = {key: coco.LICENSES[0][key] for key in ("url", "name")}
        head = {"info": coco.info("Questions"), "license": license, "data_subtype": subtype, "data_type": "mscoco"}
        texts = [{"image_id": image, "question": q.text, "question_id": number} for image, number, q in rows]
        name = f"v2_OpenEnded_mscoco_{subtype}_questions.json"
        _shared.write_json(folder / name, {**head, "task_type": "Open-Ended", "questions": texts})
        answers = [
            {
                "question_type": max((start for start in TYPES if q.text.lower().startswith(f"{start} ")), key=len),
                "multiple_choice_answer": q.answer,
                "answers": [{"answer": q.answer, "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)],
                "image_id": image,
                "answer_type": q.kind,
                "question_id": number,
            }
            for image, number, q in rows
        ]
        _shared.write_json(folder / f"v2_mscoco_{subtype}_annotations.json", {**head, "annotations": answers})
        counts[subtype] = {"questions": len(rows), **Counter(q.answer for *_, q in rows if q.kind == "yes/no")}
    about = {"pictures": "coco/train2014 and coco/val2017", "held_out_of_train": "absent nouns, colours"}
    return {"counts": counts, **about}
