"""How many steps of fine-tuning a second: with cached image features, and with the image tower run in every step.

    python benchmarks/finetune.py [--model miniclip-b-8] [--batch 256] [--steps 10] [--rounds 3] [--json]

The target is that of the design: the cache makes a step at least 3 times faster. Without it, the pictures of the batch
are prepared and encoded by the frozen image tower in every step, as the released codes do; both steps are otherwise the
same, and so is their loss. A line is the best of several rounds, which take turns, after a round that is not counted:
per second of processor time, so that other work on the machine counts less, and per second of the clock. The last line
says what a training of 20,000 captions for 3 epochs takes by the clock on one core.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from miniworld import grammar, scenes
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel
from negutil.train.examples import Examples
from negutil.train.finetune import Trainer
from negutil.train.loop import fast_kernels
from negutil.train.settings import settings

TARGET = 3.0
CAPTIONS = 60_000
Step = Callable[[], float | None]


def world(count: int) -> tuple[np.ndarray, list[str]]:
    """Pictures uint8 [count, 64, 64, 3] of scenes, and a caption of each."""
    sampled = [scenes.sample(random.Random(f"benchmark/{index}")) for index in range(count)]
    captions = [grammar.full_caption(scene, rng=random.Random(f"caption/{i}")) for i, scene in enumerate(sampled)]
    return np.stack([scenes.draw(scene) for scene in sampled]), captions


def steps(model: LoadedModel, pictures: np.ndarray, captions: list[str], batch: int) -> dict[str, Step]:
    """The step of a fine-tuning by InfoNCE with and without cached image features, each of a trainer of its own."""
    features = encode.images(model, pictures, cached=False)
    examples = Examples(features, np.arange(len(pictures)), captions)
    config = settings("infonce", batch=batch, epochs=1000, validation_share=0.0, keep="last")
    cached, fresh = (Trainer(model, examples, config) for _ in range(2))
    return {"cached features": cached.step, "no cache": lambda: step_with_images(fresh, model, pictures)}


def step_with_images(trainer: Trainer, model: LoadedModel, pictures: np.ndarray) -> None:
    """The next step of ``trainer`` after the image tower of ``model`` has encoded the pictures of the batch again."""
    rows, _ = trainer.batch(trainer.done)
    trainer.data.images[rows] = torch.from_numpy(encode.images(model, pictures[rows], cached=False))
    trainer.step()


def rates(work: dict[str, Step], count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Steps per second of processor time and of the clock: the best of ``rounds`` of ``count`` steps, in turns."""
    best = {name: {"per_cpu_second": 0.0, "per_second": 0.0} for name in work}
    for number in range(rounds + 1):
        for name, step in work.items():
            cpu, clock = time.process_time(), time.perf_counter()
            for _ in range(count):
                step()
            spent = {"per_cpu_second": time.process_time() - cpu, "per_second": time.perf_counter() - clock}
            if number:
                best[name] = {key: max(best[name][key], count / seconds) for key, seconds in spent.items()}
    return best


def measure(name: str, batch: int, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Rates of both steps, and how many times faster the cached one is."""
    model = loader.load(name)
    work = steps(model, *world(3 * batch), batch)
    config = settings("infonce")
    with fast_kernels(config.threads, config.matmul_precision, config.device):
        found = rates(work, count, rounds)
    cached, fresh = found["cached features"], found["no cache"]
    return found | {"times faster": {key: cached[key] / fresh[key] for key in cached}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="miniclip-b-8")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10, help="steps per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    os.environ["NEGUTIL_NO_PROGRESS"] = "1"
    found = measure(chosen.model, chosen.batch, chosen.steps, chosen.rounds)
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{'steps of fine-tuning':24}{'per CPU second':>16}{'per second':>12}{'target':>8}")
    for name, row in found.items():
        target = f"{TARGET:g}" if name == "times faster" else ""
        print(f"{name:24}{row['per_cpu_second']:>16.2f}{row['per_second']:>12.2f}{target:>8}")
    whole = CAPTIONS / chosen.batch / found["cached features"]["per_second"]
    print(f"{CAPTIONS:,} captions take {whole:.1f} seconds (target: 15)")


if __name__ == "__main__":
    main()
