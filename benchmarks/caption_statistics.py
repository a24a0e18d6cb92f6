"""Speed and memory of `negutil stats captions`, beside `rg -c` and `wc -w` over the same text as a plain file.

    python benchmarks/caption_statistics.py [--captions 2000000] [--rounds 3] [--json]

Captions are made up: words of the labelled sample, 9.4 a caption as in LAION-400M, with a cue in 0.7 % of them. Rounds
alternate between the tools, so that a busy machine slows all of them; the ratio is that of the median times. Ours reads
parquet and counts words, captions with cues, cue words and the table of cues in one go; `rg -c -i -w` counts lines with
a cue and `wc -w` words, so their times are added. Memory is the peak of a fresh process, for 1 and 4 times the rows.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from negutil.captions import caption_statistics, negation_terms, web_captions

LAION = 414_000_000
CHUNK = 250_000
CUES = ("no", "not", "without", "NO", "Not")


def vocabulary() -> np.ndarray:
    """Words of the labelled captions that no list takes for cues, with their capitals and punctuation."""
    words = sorted({word for caption in web_captions.load_sample()["caption"] for word in caption.split()})
    cue = web_captions.flags(words, negation_terms.load()).any(axis=1).to_numpy()
    return np.array(words, dtype=object)[~cue]


def captions(count: int, rng: np.random.Generator, words: np.ndarray) -> list[str]:
    """``count`` captions: frequent words are far more frequent, as in real text."""
    lengths = rng.poisson(8.4, count) + 1
    weights = 1 / np.arange(1, len(words) + 1)
    drawn = iter(rng.choice(rng.permutation(words), lengths.sum(), p=weights / weights.sum()).tolist())
    texts = [[next(drawn) for _ in range(length)] for length in lengths.tolist()]
    for index in np.flatnonzero(rng.random(count) < 0.007).tolist():
        texts[index][int(rng.integers(len(texts[index])))] = CUES[int(rng.integers(len(CUES)))]
    return [" ".join(text) for text in texts]


def write(folder: Path, name: str, count: int) -> tuple[Path, Path]:
    """The same captions as parquet (with a URL column, snappy) and as lines of a plain file."""
    parquet, plain = folder / f"{name}.parquet", folder / f"{name}.txt"
    rng, words = np.random.default_rng(0), vocabulary()
    schema = pa.schema([("URL", pa.string()), ("TEXT", pa.string())])
    with pq.ParquetWriter(parquet, schema, compression="snappy") as writer, plain.open("w", encoding="utf-8") as lines:
        for start in range(0, count, CHUNK):
            texts = captions(min(CHUNK, count - start), rng, words)
            urls = [f"https://example.org/pictures/{start + i}.jpg" for i in range(len(texts))]
            writer.write_table(pa.table({"URL": urls, "TEXT": texts}, schema=schema))
            lines.writelines(text + "\n" for text in texts)
    return parquet, plain


def ours(path: Path, terms: str | None) -> tuple[float, int, int]:
    """Seconds, captions with a strict cue, and words, counted afresh in this process."""
    lists = negation_terms.load(terms)
    started = time.perf_counter()
    counts = caption_statistics.count_files([path], lists, fresh=True)
    return time.perf_counter() - started, counts.lists["strict"].captions, counts.words


def theirs(path: Path) -> tuple[float, int, int]:
    """Seconds of both commands, lines that match, and words."""
    started = time.perf_counter()
    matched = subprocess.run(
        ["rg", "-c", "-i", "-w", "no|not|without", path], capture_output=True, check=True, text=True
    )
    counted = subprocess.run(["wc", "-w", path], capture_output=True, check=True, text=True)
    return time.perf_counter() - started, int(matched.stdout), int(counted.stdout.split()[0])


def peak(path: Path) -> tuple[float, float]:
    """Peak memory of this process in MB before and after counting ``path``."""
    before = peak_so_far()
    ours(path, None)
    return before, peak_so_far()


def peak_so_far() -> float:
    """Peak resident memory in MB; from /proc where there is one, since rusage remembers the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def in_fresh_process(path: Path) -> tuple[float, float]:
    """``peak`` in a process of its own, whose memory nothing else has touched."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak, path).result()


def race(parquet: Path, plain: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of every tool in every round; raises where they disagree on what they counted."""
    runs = {
        "negutil, strict": lambda: ours(parquet, "strict"),
        "negutil, all three lists": lambda: ours(parquet, None),
        "negutil, strict, plain file": lambda: ours(plain, "strict"),
    }
    if shutil.which("rg"):
        runs["rg -c + wc -w"] = lambda: theirs(plain)
    outcomes: dict[str, list[tuple[float, int, int]]] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            outcomes.setdefault(name, []).append(run())
    answers = {outcome[1:] for each in outcomes.values() for outcome in each}
    if len(answers) != 1:
        sys.exit(f"The tools disagree on (captions with a cue, words): {outcomes}")
    return {name: [outcome[0] for outcome in each] for name, each in outcomes.items()}


def measure(count: int, rounds: int, folder: Path) -> dict[str, object]:
    """Everything that the benchmark reports."""
    parquet, plain = write(folder, "once", count)
    seconds = race(parquet, plain, rounds)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    found: dict[str, object] = {
        "captions": count,
        "plain_bytes": plain.stat().st_size,
        "processors": os.cpu_count(),
        "threads": pl.thread_pool_size(),
        "seconds": seconds,
        "captions_per_second": {name: round(count / median) for name, median in medians.items()},
        "minutes_for_414_million": {name: round(LAION / count * median / 60, 2) for name, median in medians.items()},
    }
    if "rg -c + wc -w" in medians:
        found["throughput_over_rg_and_wc"] = {
            name: round(medians["rg -c + wc -w"] / median, 3) for name, median in medians.items()
        }
    four, _ = write(folder, "four", 4 * count)
    found["memory_mb_start_and_peak"] = {"1x": in_fresh_process(parquet), "4x": in_fresh_process(four)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    chosen = parser.parse_args()
    if not shutil.which("rg"):
        print("ripgrep (rg) is not installed: nothing to compare with; install it to see the ratio.", file=sys.stderr)
    os.environ["NEGUTIL_NO_PROGRESS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        found = measure(chosen.captions, chosen.rounds, Path(folder))
    print(json.dumps(found, indent=None if chosen.json else 1))


if __name__ == "__main__":
    main()
