"""Time of CLIPGlasses against the number of pairs: closed form, attention on every pair, and plain CLIP.

    python benchmarks/glasses.py [--width 512] [--seconds 0.2] [--most 5000 25000] [--naive 131072] [--save] [--json]

"closed form" makes lambda of all pairs as the package does, "glasses" whole scores with it (Lens, Frame, mask), "naive"
runs torch's attention modules on every pair, in blocks, and is left out above ``--naive`` pairs; "CLIP" is the matrix
product of features alone. All start from features, on one core, by processor time, so that other work on the machine
counts less: the best of as many runs as fit into ``--seconds``, one at least. The largest size is run once, in a
process of its own, whose peak of memory so far is a column; it is to stay within 2 GB. ``--save`` writes a table and a
figure to results/benchmarks and figures/benchmarks.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pandas as pd
import torch

from negutil import files, paths
from negutil.models import glasses_settings
from negutil.models.glasses import Frame, Glasses, lambdas
from negutil.plots import figures

SIZES = ((16, 16), (32, 64), (64, 128), (128, 256), (256, 500), (512, 2000), (1000, 5000))
SCALE = 100.0
LIMIT = 2 << 30
Work = Callable[[], Any]


def naive(frame: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """lambda [T, M] by the attention modules on every pair, one text with all images at a time."""
    rows = [frame(*(one.expand_as(images) for one in pair), images) for pair in zip(texts, negated, strict=True)]
    return torch.stack(rows)


def features(texts: int, images: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Texts, levels and images of random features."""
    generator = torch.Generator().manual_seed(0)
    shapes = (texts, width), (texts, 3, width), (images, width)
    first, second, third = (torch.randn(shape, generator=generator) for shape in shapes)
    return first, second, third


def ways(width: int, texts: int, images: int, most_naive: int) -> dict[str, Work]:
    """What is measured, by name, for ``texts`` x ``images`` pairs."""
    torch.manual_seed(0)
    glasses = Glasses(glasses_settings.paper(width, mask="always"), SCALE).eval()
    said, levels, seen = features(texts, images, width)
    negated = glasses.absent(said, levels)
    work: dict[str, Work] = {
        "CLIP": lambda: SCALE * (said @ seen.T),
        "closed form": lambda: lambdas(glasses.frame, said, negated, seen),
        "glasses": lambda: glasses(said, levels, seen),
    }
    if texts * images <= most_naive:
        work["naive"] = lambda: naive(glasses.frame, said, negated, seen)
    return work


def seconds(work: Work, budget: float = 0.0) -> float:
    """The least processor time of a run of ``work``, which is run until ``budget`` seconds are spent, once at least."""
    best, spent = float("inf"), 0.0
    while True:
        started = time.process_time()
        work()
        needed = time.process_time() - started
        best, spent = min(best, needed), spent + needed
        if spent >= budget:
            return best


def measure(width: int, texts: int, images: int, budget: float, most_naive: int) -> list[dict[str, Any]]:
    """A row for each way with its processor time."""
    row = {"width": width, "texts": texts, "images": images, "pairs": texts * images}
    with torch.inference_mode():
        work = ways(width, texts, images, most_naive)
        return [{"way": name} | row | {"cpu_seconds": seconds(one, budget)} for name, one in work.items()]


def largest(width: int, texts: int, images: int) -> list[dict[str, Any]]:
    """Rows for the largest size, once, with the peak of this process's memory in bytes so far."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for name, work in ways(width, texts, images, 0).items():
            spent = seconds(work)
            row = {"way": name, "width": width, "texts": texts, "images": images, "pairs": texts * images}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            rows.append(row | {"cpu_seconds": spent, "peak_bytes": peak})
    return rows


def table(width: int, most: tuple[int, int], budget: float, most_naive: int) -> pd.DataFrame:
    """All rows, and how many times the processor time of plain CLIP each takes."""
    torch.set_num_threads(1)
    rows = [row for size in SIZES for row in measure(width, *size, budget, most_naive)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows += pool.submit(largest, width, *most).result()
    found = pd.DataFrame(rows)
    plain = found[found["way"] == "CLIP"].set_index("pairs")["cpu_seconds"]
    found["times_clip"] = found["cpu_seconds"] / found["pairs"].map(plain)
    return found


def save(found: pd.DataFrame) -> None:
    """Write the table and a figure of processor time against pairs."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    numbers = found.round({"times_clip": 1}).astype({"peak_bytes": "Int64"})
    files.write_text(paths.results("benchmarks") / "glasses.csv", numbers.to_csv(index=False, float_format="%.4g"))
    with mpl.rc_context(figures.RC):
        figure, axis = plt.subplots(figsize=(6, 4))
        for way in ("naive", "glasses", "closed form", "CLIP"):
            rows = found[found["way"] == way].sort_values("pairs")
            axis.loglog(rows["pairs"], rows["cpu_seconds"], label=way)
        axis.set(xlabel="pairs of a text and an image", ylabel="seconds of one core")
        axis.set_title(f"Lambda for every pair, D = {found['width'].iloc[0]}")
        axis.legend()
        figures.save(figure, "benchmarks", "glasses", "pairs")
        plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and save where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=0.2, help="processor time for each way and size, at least")
    parser.add_argument("--most", type=int, nargs=2, default=(5000, 25_000), metavar=("TEXTS", "IMAGES"))
    parser.add_argument("--naive", type=int, default=131_072, help="pairs up to which the naive way is run")
    parser.add_argument("--save", action="store_true", help="write results/benchmarks and figures/benchmarks")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    found = table(chosen.width, tuple(chosen.most), chosen.seconds, chosen.naive)
    if chosen.save:
        save(found)
    if chosen.json:
        print(found.to_json(orient="records", indent=1))
        return
    peak = found["peak_bytes"].max()
    print(found.to_string(index=False))
    print(f"peak of memory: {peak / (1 << 30):.2f} GiB, {'within' if peak <= LIMIT else 'above'} 2 GiB")


if __name__ == "__main__":
    main()
