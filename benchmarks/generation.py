"""Quality of MiniSD's pictures against the time that they take: samplers, steps and guidance.

    python benchmarks/generation.py [--count 40] [--steps 4 6 8 12 20] [--guidance 2 4 6] [--save] [--json]

Quality is how often the judge of the mini world finds all that an affirmative prompt asks for (one thing, two things, a
face), the mean over the three kinds. Prompts and noise are the same throughout, and are not those of notebook 07; none
negates. Time is of one core. First every sampler is run with every number of steps at the first guidance; then the best
sampler with every guidance. ``--save`` writes a table and a figure to results/benchmarks and figures/benchmarks. The
sampler of ``minisd``, ``generation.STEPS`` and ``generation.GUIDANCE`` were chosen from it.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from negutil import files, paths
from negutil.compare import text_to_image
from negutil.models import generation, hub, minisd
from negutil.plots import figures
from negutil.tasks import picture_judge

SAMPLERS = {
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "DDIM": "DDIMScheduler",
}
SEED = 7  # of the prompts; the notebook's are of seed 0


def sampler(name: str, old: Any) -> Any:
    """The sampler called ``name`` over the schedule of the scheduler ``old``."""
    changes = {"clip_sample": False, "set_alpha_to_one": True} if name == "DDIM" else {}
    return getattr(hub.library("diffusers"), SAMPLERS[name]).from_config(old.config, **changes)


def measure(pipeline: Any, count: int, steps: int, guidance: float, batch: int) -> dict[str, float]:
    """Shares of fulfilled prompts by kind and their mean, and seconds for each picture."""
    asked = text_to_image.floor_prompts(count, SEED)
    prompts, noise = [one.prompt for one in asked], list(range(len(asked)))
    started = time.process_time()
    pictures = generation.generate(pipeline, prompts, noise, steps=steps, guidance=guidance, batch=batch, cached=False)
    seconds = (time.process_time() - started) / len(asked)
    found = text_to_image.judge_floor(picture_judge.WorldJudge(), asked, pictures, None)
    shares = {str(kind): float(share) for kind, share in found.groupby("kind")[text_to_image.SHOWN].mean().items()}
    mean = sum(shares.values()) / len(shares)
    return {"steps": steps, "guidance": guidance, "seconds": seconds, "shown": mean, "n": len(asked)} | shares


def table(file: Path | None, count: int, steps: Sequence[int], guidance: Sequence[float], batch: int) -> pd.DataFrame:
    """All rows: samplers by steps at the first guidance, then the best sampler by guidance."""
    torch.set_num_threads(1)
    pipeline = minisd.load(file=file)
    schedule = pipeline.scheduler
    rows = []
    for name in SAMPLERS:
        for number in steps:
            pipeline.scheduler = sampler(name, schedule)
            rows.append({"sampler": name} | measure(pipeline, count, number, guidance[0], batch))
    best = str(pd.DataFrame(rows).groupby("sampler")["shown"].mean().idxmax())
    for number in steps:
        for scale in guidance[1:]:
            pipeline.scheduler = sampler(best, schedule)
            rows.append({"sampler": best} | measure(pipeline, count, number, scale, batch))
    return pd.DataFrame(rows)


def save(found: pd.DataFrame) -> None:
    """Write the table, and a figure of quality against time."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    files.write_text(paths.results("benchmarks") / "generation.csv", found.to_csv(index=False, float_format="%.4g"))
    with mpl.rc_context(figures.RC):
        figure, axis = plt.subplots(figsize=(6, 4))
        for (name, scale), rows in found.groupby(["sampler", "guidance"], sort=False):
            axis.plot(1000 * rows["seconds"], rows["shown"], marker="o", label=f"{name}, guidance {scale:g}")
        axis.set(xlabel="milliseconds of one core for a picture", ylabel="prompts fulfilled, by the judge")
        axis.set_title(f"MiniSD: steps {', '.join(str(number) for number in sorted(found['steps'].unique()))}")
        axis.legend()
        figures.save(figure, "benchmarks", "generation", "quality")
        plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and save where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="prompts of each kind")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 6, 8, 12, 20])
    parser.add_argument("--guidance", type=float, nargs="+", default=[4.0, 2.0, 6.0])
    parser.add_argument("--batch", type=int, default=generation.BATCH)
    parser.add_argument("--weights", type=Path, help="weights other than the shipped ones")
    parser.add_argument("--save", action="store_true", help="write results/benchmarks and figures/benchmarks")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    found = table(chosen.weights, chosen.count, chosen.steps, chosen.guidance, chosen.batch)
    if chosen.save:
        save(found)
    print(found.to_json(orient="records", indent=1) if chosen.json else found.to_string(index=False))


if __name__ == "__main__":
    main()
