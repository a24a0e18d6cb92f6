"""RefCOCOg: refs(umd).json and instances.json in REFER's layout (docs/protocols.md#segmentation), images named as in
train2014.

In every image two or three things share their name, and each sentence fits exactly one of them; about half of the
sentences are negated. In val and test a quarter of the sentences have forms that are not in train, where nothing is
negated that negation training must not meet. ``sentences.json`` has the clue behind every sentence.
"""

import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miniworld import referring, truth
from miniworld.referring import Clue
from miniworld.writers import _shared, coco
from negutil.captions.english import HELD_OUT_COLOURS, HELD_OUT_NOUNS
from negutil.config import Splits

_PATTERN = "train2014/COCO_train2014_{:012d}.jpg"
NAMES = {"train": (3_000_001, _PATTERN), "val": (3_300_001, _PATTERN), "test": (3_600_001, _PATTERN)}
SENTENCES = 3
HELD_OUT_SHARE = 0.25


def _chosen(clues: list[Clue], rng: random.Random) -> list[Clue]:
    """Up to three clues in random order: an affirmative one and a negated one where there are, and any other."""
    shuffled = rng.sample(clues, len(clues))
    first = [next((clue for clue in shuffled if clue.negated == negated), None) for negated in (True, False)]
    chosen = [clue for clue in first if clue]
    chosen += [clue for clue in shuffled if clue not in chosen][: SENTENCES - len(chosen)]
    return rng.sample(chosen, len(chosen))


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest."""
    drawn = _shared.entries("refcocog", sizes, seed, referring.sample, NAMES)
    _shared.write_pictures(folder, drawn)
    refs: list[dict[str, Any]] = []
    sentences: list[dict[str, Any]] = []
    for entry in drawn:
        rng = random.Random(f"refcocog/phrases/{entry.split}/{seed}/{entry.image_id}")
        by_target: dict[int, list[Clue]] = {}
        for clue in referring.clues(entry.scene):
            # Training never negates what is held out.
            if entry.split != "train" or not (clue.negated and clue.value in HELD_OUT_NOUNS | HELD_OUT_COLOURS):
                by_target.setdefault(clue.target, []).append(clue)
        for target, clues in by_target.items():
            ann_id, records = coco.annotation_id(entry.image_id, target), []
            for clue in _chosen(clues, rng):
                unseen = entry.split != "train" and rng.random() < HELD_OUT_SHARE
                form = rng.choice(referring.forms(clue, held_out=unseen))
                text, sent_id = referring.say(clue, form), len(sentences)
                raw = f"{text[0].upper()}{text[1:]}."
                records.append({"tokens": text.split(), "raw": raw, "sent_id": sent_id, "sent": text})
                facts = {"sent_id": sent_id, "split": entry.split, "form": form.text, "held_out": form.held_out}
                sentences.append({**facts, **asdict(clue)})
            ref = {
                "image_id": entry.image_id,
                "split": entry.split,
                "sentences": records,
                # File names in refs end in the annotation id; the image itself has the name in instances.json.
                "file_name": f"{Path(entry.file_name).stem}_{ann_id}.jpg",
                "category_id": coco.CATEGORY_ID[truth.instances(entry.scene)[target].noun],
                "ann_id": ann_id,
                "sent_ids": [record["sent_id"] for record in records],
                "ref_id": len(refs),
            }
            refs.append(ref)
    _shared.write_json(folder / "refs(umd).json", refs)
    _shared.write_json(folder / "instances.json", coco.instances(drawn))
    _shared.write_json(folder / "sentences.json", sentences)
    return {
        "counts": {"pictures": len(drawn), "refs": len(refs), "sentences": len(sentences)},
        "negated": dict(sorted(Counter(row["split"] for row in sentences if row["negated"]).items())),
        "held_out_forms": [form.text for form in referring.FORMS if form.held_out],
        "held_out_share": {"train": 0.0, "val": HELD_OUT_SHARE, "test": HELD_OUT_SHARE},
    }
