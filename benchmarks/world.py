"""How fast the mini world is made up, drawn and described, on one core.

    python benchmarks/world.py [--count 1000] [--rounds 3] [--json]

The targets are those of the design: at least 2,000 scenes and 300 faces drawn a second. A line is the best of several
rounds over the same items, after a round that fills the caches of sprites and layers. Rates are per second of processor
time, so that other work on the machine counts less, and per second of the clock.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from miniworld import alttext, faces, grammar, referring, scenes, truth
from miniworld.writers import _shared

TARGETS = {"draw a scene": 2000, "draw a face": 300}


def rate(work: Callable[[], Any], count: int, rounds: int) -> dict[str, float]:
    """Items per second of processor time and of the clock: the best of ``rounds`` runs of ``work``."""
    best = {"per_cpu_second": 0.0, "per_second": 0.0}
    work()
    for _ in range(rounds):
        cpu, clock = time.process_time(), time.perf_counter()
        work()
        spent = {"per_cpu_second": time.process_time() - cpu, "per_second": time.perf_counter() - clock}
        best = {name: max(best[name], count / seconds) for name, seconds in spent.items()}
    return best


def tasks(count: int) -> dict[str, Callable[[], Any]]:
    """What is measured, by name; each handles ``count`` items."""
    seeds = [f"benchmark/{index}" for index in range(count)]
    sampled = [scenes.sample(random.Random(seed)) for seed in seeds]
    portraits = [faces.sample(random.Random(seed)) for seed in seeds]
    pictures = [scenes.draw(scene) for scene in sampled]
    rng = random.Random(0)

    def each(function: Callable[[Any], Any], items: list[Any]) -> Callable[[], Any]:
        return lambda: [function(item) for item in items]

    return {
        "make up a scene": each(lambda seed: scenes.sample(random.Random(seed)), seeds),
        "make up a referring scene": each(lambda seed: referring.sample(random.Random(seed)), seeds),
        "draw a scene": each(scenes.draw, sampled),
        "outline a scene": each(lambda scene: [truth.polygons(mask) for mask in truth.masks(scene)], sampled),
        "write a picture": each(partial(_shared.write_picture, Path(os.devnull)), pictures),
        "caption a scene": each(partial(grammar.full_caption, rng=rng), sampled),
        "write an alt text": each(partial(alttext.web_text, rng=rng), sampled),
        "make up a face": each(lambda seed: faces.sample(random.Random(seed)), seeds),
        "draw a face": each(faces.draw, portraits),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="items per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args()
    rows = []
    for name, work in tasks(chosen.count).items():
        found = {key: round(value) for key, value in rate(work, chosen.count, chosen.rounds).items()}
        rows.append({"task": name, **found, "target": TARGETS.get(name)})
    if chosen.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'task':28}{'per CPU second':>16}{'per second':>12}{'target':>8}")
    for row in rows:
        print(f"{row['task']:28}{row['per_cpu_second']:>16,}{row['per_second']:>12,}{row['target'] or '':>8}")


if __name__ == "__main__":
    main()
