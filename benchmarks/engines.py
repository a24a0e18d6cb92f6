"""Throughput of the local engine and of Ray for `negutil stats captions` and `negutil encode`.

    python benchmarks/engines.py [--captions 400000] [--pictures 2000] [--workers 2] [--save] [--json]

Both engines get the same shards, and have to give the same result, else the run stops. Captions are those of
benchmarks/caption_statistics.py, pictures and captions to encode those of the mini world, the model is miniclip-b-8.
"processor" is the time of all processes that take part, Ray's own included, so that other work on the machine counts
less: items per second of one core. "clock" is what a user waits for, the start of Ray and of its workers included;
"load" is the machine's before the run (above the number of cores: the clock times are too long). ``--save`` writes a
table and a figure to results/benchmarks and figures/benchmarks; the sizing table (docs/scale.md) is made from it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import caption_statistics as captions_benchmark
import numpy as np
import pandas as pd
import polars as pl
import psutil
import torch

from miniworld import build
from negutil import config, files, paths
from negutil.bench import encoding
from negutil.captions import caption_statistics, negation_terms
from negutil.data import engines
from negutil.data.engines import LOCAL, Engine
from negutil.plots import figures

SHARDS = 8
MODEL = "miniclip-b-8"
Task = Callable[[Engine, Path], str]


def write_captions(folder: Path, count: int) -> Path:
    """``count`` captions in SHARDS parquet files."""
    texts = captions_benchmark.captions(count, np.random.default_rng(0), captions_benchmark.vocabulary())
    (folder / "captions").mkdir()
    for number, part in enumerate(np.array_split(np.array(texts, dtype=object), SHARDS)):
        pl.DataFrame({"TEXT": list(part)}).write_parquet(folder / "captions" / f"{number}.parquet")
    return folder / "captions"


def link_pictures(folder: Path, count: int) -> Path:
    """A folder with links to ``count`` pictures of the mini world's COCO."""
    there = sorted((build.folder("coco", config.load("quick")) / "train2014").glob("*"))
    (folder / "pictures").mkdir()
    for number in range(count):
        source = there[number % len(there)]
        (folder / "pictures" / f"{number:06d}{source.suffix}").symlink_to(source)
    return folder / "pictures"


def count_task(given: Path) -> Task:
    """Count the captions of a folder; the result is all the numbers."""
    lists = negation_terms.load()

    def run(engine: Engine, _: Path) -> str:
        return str(caption_statistics.summary(caption_statistics.count_files([given], lists, None, True, engine)))

    return run


def encode_task(given: Path, count: int) -> Task:
    """Encode what is in a folder; the result is the sha256 of every shard."""

    def run(engine: Engine, out: Path) -> str:
        settings = encoding.Settings(MODEL)
        made = encoding.run([given], out, settings, shard_size=-(-count // SHARDS), engine=engine)
        return " ".join(shard["sha256"] for shard in made["shards"])

    return run


def processor_seconds() -> float:
    """Seconds of processor time of this process and of all below it that are alive, with their finished children."""
    everyone = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(_times(each)) for each in everyone)


def _times(process: psutil.Process) -> tuple[float, ...]:
    try:
        return tuple(process.cpu_times()[:4])
    except psutil.Error:
        return (0.0,)


def measure(name: str, task: Task, count: int, workers: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each engine; raises SystemExit where their results differ."""
    rows, results = [], []
    for engine in (LOCAL, Engine("ray", workers=workers)):
        load, before, started = os.getloadavg()[0], processor_seconds(), time.perf_counter()
        with _around(engine):
            results.append(task(engine, folder / f"{name}-{engine.name}"))
            spent = processor_seconds() - before
        clock = time.perf_counter() - started
        row = {"task": name, "engine": engine.name, "workers": max(1, engine.workers), "items": count}
        rows.append(row | {"clock_seconds": clock, "processor_seconds": spent, "load": load})
    if results[0] != results[1]:
        raise SystemExit(f"{name}: the engines disagree.")
    return rows


def _around(engine: Engine) -> Any:
    """Ray for one measurement, still alive when its processor time is read; nothing for the local engine."""
    from contextlib import nullcontext

    return engines.connected(engine) if engine.name == "ray" else nullcontext()


def table(captions: int, pictures: int, workers: int) -> pd.DataFrame:
    """Both engines on the three tasks: counting captions, encoding captions, encoding pictures."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, seen = write_captions(folder, captions), link_pictures(folder, pictures)
        few = folder / "few.parquet"
        pl.read_parquet(texts / "0.parquet").head(pictures).write_parquet(few)
        rows += measure("count captions", count_task(texts), captions, workers, folder)
        rows += measure("encode captions", encode_task(few, pictures), pictures, workers, folder)
        rows += measure("encode pictures", encode_task(seen, pictures), pictures, workers, folder)
    found = pd.DataFrame(rows)
    found["per_core_second"] = found["items"] / found["processor_seconds"]
    found["per_clock_second"] = found["items"] / found["clock_seconds"]
    return found


def save(found: pd.DataFrame) -> None:
    """Write the table and a figure of the throughput of a core."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    files.write_text(paths.results("benchmarks") / "engines.csv", found.to_csv(index=False, float_format="%.4g"))
    with mpl.rc_context(figures.RC):
        figure, axis = plt.subplots(figsize=(6, 3.2))
        for engine, marker in (("local", "o"), ("ray", "D")):
            rows = found[found["engine"] == engine]
            axis.plot(rows["per_core_second"], rows["task"], marker, label=engine)
        axis.set(xscale="log", xlabel="items for a second of one core, start of the engine included")
        axis.margins(y=0.3)
        axis.legend(title="engine", loc="upper right")
        figures.save(figure, "benchmarks", "engines", "throughput")
        plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and save where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=400_000)
    parser.add_argument("--pictures", type=int, default=2_000, help="pictures, and captions to encode")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--save", action="store_true", help="write results/benchmarks and figures/benchmarks")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    found = table(chosen.captions, chosen.pictures, chosen.workers)
    if chosen.save:
        save(found)
    print(found.to_json(orient="records", indent=1) if chosen.json else found.to_string(index=False))


if __name__ == "__main__":
    main()
