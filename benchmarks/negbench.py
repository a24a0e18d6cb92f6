"""Speed of encoding in notebook 03: everything once, beside a bare forward pass and beside encoding task by task.

    python benchmarks/negbench.py [--profile quick] [--model miniclip-s-8] [--rounds 3] [--json]

"once" is what the notebook does for all 18 variations: find the different pictures, clips and texts, read them, encode
each once, and put the features where they are used. "bare" is only the two towers on ready tensors of those items,
in the same batches. "per task" encodes the pictures and texts of every variation on their own, as the released
evaluator does. No cache is used. Rounds alternate, so that a busy machine slows all three; ratios are of median times.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from PIL import Image

from negutil import config
from negutil.data import msrvtt
from negutil.data.negbench import CLIPS
from negutil.models import architectures, encode, loader
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.tasks.negbench import Items, encode_media, load_all


def once(model: LoadedModel, tasks: Sequence[Items], batch: int) -> None:
    """Encode as the notebook does, without the cache and with nothing remembered of an earlier round."""
    encode.forget()
    encode_media(model, (path for task in tasks for path in task.media), batch, cached=False)
    encode.texts(model, list(dict.fromkeys(text for task in tasks for text in task.texts)), batch=batch, cached=False)


def per_task(model: LoadedModel, tasks: Sequence[Items], batch: int) -> None:
    """Encode every variation on its own."""
    for task in tasks:
        once(model, [task], batch)


def ready(model: LoadedModel, tasks: Sequence[Items]) -> tuple[torch.Tensor, torch.Tensor]:
    """All different pictures and frames [N, 3, H, W] and texts [T, L] as tensors, texts by their length."""
    paths = list(dict.fromkeys(path for task in tasks for path in task.media))
    pictures = PictureFiles([path for path in paths if path.suffix not in CLIPS])
    frames = [frame for path in paths if path.suffix in CLIPS for frame in msrvtt.frames(path)]
    inputs = [model.preprocess(pictures[row]) for row in range(len(pictures))]
    inputs += [model.preprocess(Image.fromarray(frame)) for frame in frames]
    tokens = model.tokenizer(list(dict.fromkeys(text for task in tasks for text in task.texts)))
    return torch.stack(inputs), tokens[tokens.argmax(dim=-1).argsort(stable=True)]


@torch.inference_mode()
def bare(model: LoadedModel, pictures: torch.Tensor, tokens: torch.Tensor, batch: int) -> None:
    """The two towers and nothing else."""
    for start in range(0, len(pictures), batch):
        model.model.encode_image(pictures[start : start + batch], normalize=True)
    for start in range(0, len(tokens), batch):
        architectures.encode_text(model.model, tokens[start : start + batch])


def seconds(work: Callable[[], None]) -> float:
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(profile: str, name: str, rounds: int) -> dict[str, float]:
    """Median seconds of the three ways, and the two ratios."""
    settings, model = config.load(profile), loader.load(name)
    tasks, batch = load_all(settings), settings.encode.batch
    pictures, tokens = ready(model, tasks)
    ways: dict[str, Callable[[], None]] = {
        "bare": lambda: bare(model, pictures, tokens, batch),
        "once": lambda: once(model, tasks, batch),
        "per task": lambda: per_task(model, tasks, batch),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            times[way].append(seconds(work))
    found = {f"seconds, {way}": statistics.median(measured) for way, measured in times.items()}
    ratios = {
        "once / bare": found["seconds, once"] / found["seconds, bare"],
        "per task / once": found["seconds, per task"] / found["seconds, once"],
    }
    return {"pictures and frames": len(pictures), "texts": len(tokens), **found, **ratios}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--model", default="miniclip-s-8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", dest="as_json")
    chosen = parser.parse_args()
    found = measure(chosen.profile, chosen.model, chosen.rounds)
    print(json.dumps(found, indent=1) if chosen.as_json else "\n".join(f"{k}: {v:,.2f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
