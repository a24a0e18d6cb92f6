"""The catalogue of data as text: the list that the command line prints, and docs/data.md."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from negutil import paths
from negutil.fetch import catalogue, get
from negutil.fetch.catalogue import Entry

PAGE = paths.ROOT / "docs" / "data.md"
COMMAND = "negutil data list --markdown > docs/data.md"
_INTRODUCTION = f"""# The published data, one by one

<!-- Written by `{COMMAND}` from configs/datasets.toml: change that file, not this page. -->

The `mini` and `quick` profiles need none of this. The `paper` profile runs the same notebooks on the published
datasets and weights. It skips what is missing and says so in one line, so you can begin with one dataset. Missing
images are left out and counted (`missing = "drop"` in configs/paper.toml): the number is then marked as covering part
of the data, and no claim about a printed number is judged on it. Only `negutil data get` writes to the datasets'
folder; everything computed from them goes to the cache.

```bash
export NEGUTIL_DATA=/data/negation    # the folder of all datasets; checkpoints are in weights/ in the repository's root
negutil data list                     # the datasets, and which of them are on this machine
negutil data get starter              # enough for first numbers in notebooks 03 and 05: NegBench's files, 900 images
negutil data get negbench             # downloads what is free to download, and prints the steps for the rest
negutil data get coco2017
negutil data check                    # reads the data that you have, counts it and compares checksums
./run_all.sh --profile paper --only 03
```

`get` resumes where it stopped, compares the checksum if one is known, and checks for free disk space first. `check`
reports incomplete data as “part”: notebooks run on it, but its numbers are not those of the benchmark. Tokens
(`HF_TOKEN`) are read only from the environment. "Unknown" means that we found no statement; "not confirmed" means that
we remembered or inferred it. Read the licence yourself before you use the data.
"""


def rows(names: Iterable[str] = (), folder: Path | None = None) -> list[dict[str, Any]]:
    """The rows of the list for all entries, or those called ``names``: facts, and what is on this machine."""
    facts = ("name", "title", "kind", "notebooks", "used_for", "without", "size", "licence", "access", "source", "note")
    listed = []
    for entry in [catalogue.find(name) for name in names] or list(catalogue.entries().values()):
        where = catalogue.place(entry, folder)
        gone = [part for part in entry.parts if not where.located(part)]
        row = {name: getattr(entry, name) for name in (*facts, "unconfirmed")} | {
            "state": catalogue.state(entry.name, folder),
            "folder": str(where.root),
            "layout": [part.name for part in entry.parts],
            "missing": [part.name for part in gone if part.needed],
            "missing_but_not_needed": [part.name for part in gone if not part.needed],
            "downloadable": entry.downloadable,
            "steps": get.steps(entry),
        }
        listed.append(row)
    return listed


def table(listed: Iterable[Mapping[str, Any]]) -> str:
    """The rows as text: name, kind, state, access and size; then title and use, licence, and source."""
    lines = []
    for row in listed:
        lines.append(f"{row['name']:16} {row['kind']:10} {row['state']:8} {row['access']:13} {row['size']}")
        for text in (f"{row['title']}: {row['used_for']}", f"licence: {row['licence']}", row["source"]):
            lines.append(f"{'':17}{text}")
    return "\n".join(lines)


def details(row: Mapping[str, Any]) -> str:
    """Everything known about one entry, with the layout that the loaders expect."""
    gone = {*row["missing"], *row["missing_but_not_needed"]}
    lines = [table([row]), f"{'':17}without it: {row['without']}", f"{'':17}expected in {row['folder']}:"]
    for name in row["layout"]:
        needed = "" if name not in row["missing_but_not_needed"] else ", optional"
        lines.append(f"{'':19}{name} ({'missing' if name in gone else 'here'}{needed})")
    lines += [f"{'':17}{row['note']}"] if row["note"] else []
    lines += [f"{'':17}not confirmed: {', '.join(row['unconfirmed'])}"] if row["unconfirmed"] else []
    return "\n".join(lines)


def markdown() -> str:
    """The page docs/data.md."""
    head = ["| name | what it is | notebooks | size | licence | access |", "|---|---|---|---|---|---|"]
    parts = [_INTRODUCTION]
    for kind, title in (("dataset", "## Datasets"), ("checkpoint", "## Checkpoints")):
        chosen = [entry for entry in catalogue.entries().values() if entry.kind == kind]
        lines = [
            f"| [{entry.name}](#{entry.name.replace('.', '')}) | {entry.title} | {', '.join(entry.notebooks)} "
            f"| {entry.size} | {entry.licence} | {entry.access} |"
            for entry in chosen
        ]
        parts += ["\n".join([title, "", *head, *lines]), *map(_section, chosen)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(entry: Entry) -> str:
    root = "$NEGUTIL_DATA" if entry.kind == "dataset" else "the repository's root"
    files = [part for part in entry.parts if part.path]
    # References to docs/protocols.md become links from the page beside it.
    note = re.sub(r"docs/(protocols\.md#[\w-]+)", r"[\1](\1)", entry.note)
    lines = [
        f"### {entry.name}",
        "",
        f"{entry.title}, for {entry.used_for}. Without it {entry.without}.",
        "",
        f"- Source: <{entry.source}>",
        f"- Size: {entry.size}. Licence: {entry.licence}. Access: {entry.access}.",
    ]
    lines += [f"- Not confirmed: {', '.join(entry.unconfirmed)}."] if entry.unconfirmed else []
    lines += [f"- {note}"] if note else []
    layout = []
    for part in files:
        known = {what: count if isinstance(count, list) else [count] for what, count in part.counts.items()}
        counts = [f"{' or '.join(f'{one:,}' for one in several)} {what}" for what, several in known.items()]
        counts += [f"at least {count:,} {what}" for what, count in part.least.items()]
        told = [*([", ".join(counts)] if counts else []), *([] if part.needed else ["optional"])]
        layout.append(f"{part.path:48} {'; '.join(told)}".rstrip())
    lines += ["", f"Layout, below {root}:", "", "```", *layout, "```"] if files else []
    hubs = [f"`{part.hub}`" for part in entry.parts if part.hub]
    lines += ["", f"Downloaded from huggingface.co to that client's own cache: {', '.join(hubs)}."] if hubs else []
    by_hand = [f"{number}. {step}" for number, step in enumerate(get.steps(entry), 1)]
    lines += ["", f"`negutil data get {entry.name}` downloads it."] if entry.downloadable else []
    heading = "In addition, by hand:" if entry.downloadable else "By hand:"
    return "\n".join([*lines, *(["", heading, "", *by_hand] if by_hand else [])])
