"""Hours and dollars of the large runs, from measured rates and stated assumptions, into docs/scale.md.

    python benchmarks/sizing.py [--check]

Reads results/benchmarks/engines.csv (benchmarks/engines.py --save) and configs/sizing.toml. ``--check`` only says
whether the page is current (exit status 1 where it is not).
"""

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from negutil import files, paths

PAGE = paths.ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- sizing:begin (written by benchmarks/sizing.py; do not edit) -->", "<!-- sizing:end -->"
HEAD = ("run", "on", "hours", "dollars", "computed from")
Row = tuple[str, str, float, float, str]


def rates() -> dict[tuple[str, str], float]:
    """Measured items for a second of one core, by task and engine; from the committed table."""
    table = _measured()
    keys = zip(table["task"].astype(str), table["engine"].astype(str), strict=True)
    return dict(zip(keys, table["per_core_second"].astype(float), strict=True))


def _measured() -> pd.DataFrame:
    return pd.read_csv(paths.ROOT / "results" / "benchmarks" / "engines.csv")


def assumptions() -> dict[str, Any]:
    """The content of configs/sizing.toml."""
    return tomllib.loads((paths.ROOT / "configs" / "sizing.toml").read_text(encoding="utf-8"))


def rows(measured: Mapping[tuple[str, str], float], given: Mapping[str, Any]) -> list[Row]:
    """Every run with its hours of one core or GPU and its dollars."""
    return [*_statistics(measured, given), *_captions(given), *_benchmarks(given)]


def _statistics(measured: Mapping[tuple[str, str], float], given: Mapping[str, Any]) -> Iterator[Row]:
    rate, price = measured["count captions", "local"], given["prices"]["core"]
    for name, title in (("laion400m_captions", "LAION-400M"), ("laion2b_captions", "LAION-2B")):
        hours = given["counts"][name] / rate / 3600
        how = f"{given['counts'][name]:.4g} captions at {rate:,.0f} a second (measured)"
        yield f"statistics of {title}", "one core", hours, hours * price, how


def _captions(given: Mapping[str, Any]) -> Iterator[Row]:
    counts = given["counts"]
    sets = {
        "229k captions of NegationCLIP, Llama-3-8B": _tokens(
            given, {"p1": counts["negationclip_p1"], "p2": counts["negationclip_p2"]}
        ),
        "CC12M NegFull, Llama-3-8B": _tokens(
            given,
            {
                "cc12m_objects": counts["cc12m_pictures"],
                "cc12m_caption": counts["cc12m_captions"],
                "cc12m_options": counts["cc12m_questions"],
            },
        ),
    }
    for title, tokens in sets.items():
        for gpu, rate in given["language_model"]["tokens_per_second"].items():
            hours = tokens / rate / 3600
            how = f"{tokens:.3g} tokens of replies at {rate:,.0f} a second (published)"
            yield title, f"one {gpu.upper()}", hours, hours * given["prices"][gpu], how


def _tokens(given: Mapping[str, Any], items: Mapping[str, float]) -> float:
    """Output tokens of all replies for so many items of each kind."""
    replies = given["replies"]
    return sum(count * replies[kind]["questions"] * replies[kind]["tokens"] for kind, count in items.items())


def _benchmarks(given: Mapping[str, Any]) -> Iterator[Row]:
    """All models over all benchmarks: the pictures and texts of each are encoded once."""
    plan, gflop, encoding = given["benchmarks"], given["gflop"], given["encoding"]
    speed = encoding["pairs_per_second"] * sum(gflop[encoding["model"]])
    work = sum(plan["pictures"] * gflop[name][0] + plan["texts"] * gflop[name][1] for name in plan["models"])
    hours = work / speed / 3600
    how = f"{work / 1e6:.3g} PFLOP at {speed / 1e3:.3g} TFLOP/s (published)"
    title = f"{len(plan['models'])} models x all benchmarks, encoding"
    yield title, f"one {encoding['price'].upper()}", hours, hours * given["prices"][encoding["price"]], how


def text() -> str:
    """The table in Markdown."""
    lines = [HEAD, tuple("---" for _ in HEAD)]
    for run, where, hours, dollars, how in rows(rates(), assumptions()):
        lines.append((run, where, _number(hours), _number(dollars), how))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{_start()}"


def _start() -> str:
    """Ray's overhead in processor time, over the tasks of the benchmark."""
    seconds = _measured().pivot(index="task", columns="engine", values="processor_seconds")
    extra = seconds["ray"] - seconds["local"]
    return (
        f"Ray took {extra.min():.0f} to {extra.max():.0f} more core-seconds than the local engine for the same work\n"
        f"(measured on {len(extra)} tasks), to start and to load package and model in every worker, once per run.\n"
        "It pays off when the work takes many minutes."
    )


def _number(value: float) -> str:
    """Two digits, the precision of such an estimate."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def page() -> str:
    """docs/scale.md with the table between its markers."""
    whole = PAGE.read_text(encoding="utf-8")
    before, rest = whole.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text()}\n\n{END}{rest.split(END)[1]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page is current")
    chosen = parser.parse_args(arguments)
    made = page()
    if chosen.check and made != PAGE.read_text(encoding="utf-8"):
        sys.exit(f"{PAGE} is stale: run python benchmarks/sizing.py.")
    if not chosen.check:
        files.write_text(PAGE, made)


if __name__ == "__main__":
    main()
