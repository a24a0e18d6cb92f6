"""Compare what a run of the quick profile wrote with key values of its tables, kept in tests/quick/.

``python scripts/quick_values.py RESULTS/quick`` exits with 1 where a value lies beyond the tolerance that
configs/tolerances.toml declares for its table, or is not there. With ``--write`` it
replaces the kept values by those of that folder, for a maintainer who has changed what is computed.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from negutil import results
from negutil.run import verify
from negutil.run.verify import Tally

KEPT = Path(__file__).resolve().parent.parent / "tests" / "quick"
COLUMNS = ["table", "task", "model", "metric", "n", "value", "ci_low", "ci_high", "paper_source"]
ACCURACY = ("accuracy", "recall@5")
IOU = ("IoU_BIN@best", "mIoU@best")
TABLES: dict[str, tuple[str, ...]] = {
    "00_mini_world/absence": (),
    "00_mini_world/floors": (),
    "01_web_captions/sample": (),
    "01_web_captions/statistics": (),
    "02_binary_probe/probe": ("balanced_accuracy",),
    "03_negbench/bias": (),
    "03_negbench/tasks": ACCURACY,
    "04_captions/quality": (),
    "05_negationclip/gains": ("gain over P1", "gain over P2", "gain over NegCap"),
    "05_negationclip/levels": ("accuracy",),
    "06_clipglasses/gains": ("gain over CoN-CLIP", "gain over NegationCLIP"),
    "06_clipglasses/levels": ("accuracy",),
    "07_text_to_image/levels": (),
    "08_referring_segmentation/levels": IOU,
    "09_root_cause/levels": ("AUC",),
    "10_without_training/levels": ("AUC", "share"),
    "10_without_training/splits": ("wrong splits",),
}
"""The tables that are compared, and the metrics of each (all of them where none is named)."""


def chosen(folder: Path, table: str) -> pd.DataFrame:
    """The key values of ``<experiment>/<name>`` in the results ``folder``; without rows where it is missing."""
    path = folder / f"{table}.csv"
    if not path.exists():
        return pd.DataFrame(columns=[*results.COLUMNS, "table"])
    rows = results.read(path)
    kept = rows["seed"].isna() & (rows["metric"].isin(TABLES[table]) | (not TABLES[table]))
    return rows[kept].assign(table=path.stem)


def write(folder: Path, kept: Path = KEPT) -> None:
    """Keep the key values of the results ``folder``, a file for each experiment."""
    kept.mkdir(exist_ok=True)
    for experiment in sorted({table.partition("/")[0] for table in TABLES}):
        rows = pd.concat([chosen(folder, table) for table in TABLES if table.startswith(f"{experiment}/")])
        text = rows[COLUMNS].to_csv(index=False, float_format="%.6g", lineterminator="\n")
        (kept / f"{experiment}.csv").write_text(text, encoding="utf-8")


def compare(folder: Path, kept: Path = KEPT) -> dict[str, Tally]:
    """How the results ``folder`` agrees with the values that are kept, by table."""
    tallies = {}
    for table in TABLES:
        experiment, _, name = table.partition("/")
        rows = pd.read_csv(kept / f"{experiment}.csv", keep_default_na=False, na_values={"ci_low": "", "ci_high": ""})
        rows = rows[rows["table"] == name]
        rows = rows.assign(experiment=experiment, seed=pd.array([pd.NA] * len(rows), "Int64"))
        tallies[table] = verify.tally(verify.differences(rows, chosen(folder, table), verify.tolerance(table)))
    return tallies


def main(words: list[str]) -> int:
    """Compare, or write; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RESULTS/quick")
    parser.add_argument("--write", action="store_true", help="replace the kept values by those of the folder")
    given = parser.parse_args(words)
    if given.write:
        if missing := [table for table in TABLES if chosen(given.folder, table).empty]:
            parser.error(f"{given.folder} has no numbers of {', '.join(missing)}: run those notebooks first.")
        write(given.folder)
        return 0
    tallies = compare(given.folder)
    for table, tally in tallies.items():
        if tally.beyond:
            print(f"{table}: {tally.beyond} of {sum(tally)} values are beyond tolerance, new or missing.")
    total = verify.total(tallies.values())
    print(
        f"{sum(total):,} values of quick compared: {total.equal:,} equal, {total.within:,} within tolerance, "
        f"{total.beyond:,} beyond."
    )
    return int(total.beyond > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
