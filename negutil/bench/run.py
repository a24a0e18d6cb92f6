"""``negutil bench``: the report card of one model on negation, kept task by task in a folder.

The folder has ``model.json`` (which model and weights it is about), ``tasks/`` (the answers of every finished task, so
that a run resumes where it stopped), ``bench.csv`` with its provenance (records as ``negutil.results`` keeps them),
``bench.json`` (everything in one file) and ``card.html``.
"""

import dataclasses
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from negutil import code, files, progress, results
from negutil.bench.sources import CODE_VERSION, Unit
from negutil.errors import NegutilError
from negutil.models import architectures, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.tasks import BLIND, CHANCE, Frames, Report, checked
from negutil.tasks.negbench import Media, encode_media
from negutil.tasks.pairwise import Pairs

EXPERIMENT = "bench"
FORMAT = "negutil bench 1"
MODEL, NUMBERS, TASKS = "model.json", "bench.json", "tasks"
TABLE = ("task", "metric", "value", "low", "high", "n", "chance", "blind", "blind_rule", "main")


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that is known about one model: ``records`` of its own, of ``baselines`` and of ``references``.

    ``model`` says which model it is, ``tasks`` has title, world, digest, notes and seconds of every unit, ``main``
    their main (task, metric) pairs. ``differences`` are those from other models on the same items.
    """

    model: dict[str, Any]
    tasks: list[dict[str, Any]]
    main: tuple[tuple[str, str], ...]
    records: list[Record]
    baselines: list[Record]
    references: list[Record]
    provenance: dict[str, Any]
    differences: list[Record] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished unit: the answers by title, the baselines, and how long it took."""

    frames: Frames
    baselines: list[Record]
    seconds: float


def default_folder(model: str) -> Path:
    """The default folder of a model's card: in the working directory, named after the model."""
    return Path(f"negutil-bench-{re.sub(r'[^A-Za-z0-9.+-]+', '-', model).strip('-')}")


def run(model: LoadedModel, units: Sequence[Unit], out: Path, batch: int, who: Scorer | None = None) -> Card:
    """Evaluate ``model`` on the units that are not finished in ``out`` yet; returns the card with all of ``units``.

    ``who`` scores instead of the model's cosines (``model.with_method``) and then names the card. Raises NegutilError
    if ``out`` belongs to another model or other weights, if there is nothing to evaluate, if an image is damaged, and
    if a score is not finite. Finished units are kept when the run is interrupted.
    """
    if not units:
        raise NegutilError(
            "Nothing to evaluate: pass files with --negbench, --valse, --ccneg, --negrefcocog or --pairs, "
            "or choose the mini world with --profile mini or quick."
        )
    who = who or scorer.of(model, batch)
    claim(out, model, who.name)
    pending = [unit for unit in units if load(out, unit) is None]
    images = Media({}, np.zeros((0, 0), np.float32))
    if any(unit.task.shares_pictures for unit in pending):
        # Encode the images of all units, not only pending ones, so that a resumed run has the same digits.
        groups = [group for unit in units if unit.task.shares_pictures for group in unit.task.pictures(unit.rows)]
        images = encode_media(model, (Path(path) for group in groups for path in group.paths), batch)
    with progress.bar("tasks", total=len(units), initial=len(units) - len(pending)) as bar:
        for unit in pending:
            bar.set_postfix_str(unit.title)
            started = time.monotonic()
            if unit.task.shares_pictures:
                features = [images.of(map(Path, group.paths)) for group in unit.task.pictures(unit.rows)]
                frames = checked(unit.task.score(who, unit.rows, *features))
            else:
                frames = unit.task.evaluate(who, unit.rows, batch)
            baselines = unit.task.baselines(unit.rows, EXPERIMENT, **dataclasses.asdict(unit.bootstrap))
            keep(out, unit, Kept(frames, baselines, round(time.monotonic() - started, 1)))
            bar.update()
    return _card(model, units, out, who.name)


def _card(model: LoadedModel, units: Sequence[Unit], out: Path, name: str) -> Card:
    kept = {unit.title: found for unit in units if (found := load(out, unit)) is not None}
    # All answers together: the drop from plain captions needs the answers to those, too.
    frames = {title: frame for found in kept.values() for title, frame in found.frames.items()}
    records: list[Record] = []
    for unit in units:
        records += unit.task.records(frames, Report(EXPERIMENT, name, **dataclasses.asdict(unit.bootstrap)))
    return Card(
        model=identity(model, name) | {"parameters": sum(weights.numel() for weights in model.model.parameters())},
        tasks=[
            _about(unit) | {"seconds": kept[unit.title].seconds, "notes": [*unit.notes, *cut_texts(model, unit)]}
            for unit in units
        ],
        main=tuple(pair for unit in units for pair in unit.task.main(unit.rows)),
        records=records,
        baselines=[record for found in kept.values() for record in found.baselines],
        references=[],
        provenance=code.provenance(device=model.device, dtype=model.fingerprint["dtype"]),
    )


def cut_texts(model: LoadedModel, unit: Unit) -> list[str]:
    """Return what is to be said of texts that are longer than the model reads, and of pairs that this makes equal."""
    texts = list(dict.fromkeys(unit.task.texts(unit.rows)))
    tokens = architectures.tokenize(model.tokenizer, texts)
    encode, length = getattr(model.tokenizer, "encode", None), tokens.shape[1]
    full = [row for row, last in enumerate(tokens[:, -1].tolist()) if last != 0]
    cut = sum(len(encode(texts[row])) + 2 > length for row in full) if encode else 0
    if not cut:
        return []
    notes = [f"{cut} of {len(texts)} texts are longer than the {length} tokens that the model reads, and were cut."]
    if isinstance(unit.task, Pairs):
        read = {text: tuple(row) for text, row in zip(texts, tokens.tolist(), strict=True)}
        pairs = unit.task.pairs(unit.rows)
        equal = sum(read[true] == read[false] for true, false in pairs)
        notes += (
            [f"{equal} of {len(pairs)} pairs are the same for the model after that, and count as wrong."]
            if equal
            else []
        )
    return notes


def _about(unit: Unit) -> dict[str, Any]:
    return {"title": unit.title, "world": unit.world, "data_sha256": unit.digest, "notes": list(unit.notes)}


def identity(model: LoadedModel, name: str = "") -> dict[str, Any]:
    """What makes the model and its numbers: name, source, and the fingerprint that features depend on.

    ``name`` is that of the scorer that asks it, if not its own.
    """
    return {"name": name or model.name, "source": model.entry.source, **model.fingerprint}


def claim(out: Path, model: LoadedModel, name: str = "") -> None:
    """Note in the folder ``out``, made where it is missing, which model it is about.

    Raises NegutilError if that is another one, or the same name with other weights, or ``out`` is a file.
    """
    note, own = out / MODEL, json.loads(json.dumps(identity(model, name)))
    if out.exists() and not out.is_dir():
        raise NegutilError(f"{out} is a file: choose a folder with --out.")
    was = _read(note) if note.exists() else own
    if was != own:
        changed = next(key for key in own if was.get(key) != own[key])
        # The beginning of their sha256 distinguishes weights.
        before, now = (text[:12] if len(text) == 64 else text for text in (str(was.get(changed)), str(own[changed])))
        raise NegutilError(
            f"{out} has the card of '{was.get('name')}', which differs from '{own['name']}' in its {changed} "
            f"({before}, not {now}): choose another --out, or delete that folder."
        )
    files.write_text(note, json.dumps(own, indent=1) + "\n")


def keep(out: Path, unit: Unit, kept: Kept) -> None:
    """Write a finished unit to ``out``, the note that it is finished last."""
    table, note = _paths(out, unit)
    note.unlink(missing_ok=True)
    table.parent.mkdir(parents=True, exist_ok=True)
    items = pd.concat([frame.assign(task=title) for title, frame in kept.frames.items()], ignore_index=True)
    files.write_bytes(table, items.to_parquet(index=False, compression="zstd"))
    about = _about(unit) | {"code_version": CODE_VERSION, "items_sha256": files.sha256(table)}
    about |= {"seconds": kept.seconds, "baselines": [dataclasses.asdict(record) for record in kept.baselines]}
    files.write_text(note, json.dumps(about, indent=1) + "\n")


def load(out: Path, unit: Unit) -> Kept | None:
    """The unit as ``keep`` wrote it, or None if it is not finished or its data have changed since."""
    table, note = _paths(out, unit)
    if not note.exists() or not table.exists():
        return None
    about = _read(note)
    if about.get("data_sha256") != unit.digest or about.get("items_sha256") != files.sha256(table):
        return None
    items = files.read_parquet(table, "delete it")
    frames = {str(title): frame for title, frame in items.groupby("task", sort=False)}
    return Kept(frames, [Record(**record) for record in about["baselines"]], about["seconds"])


def _paths(out: Path, unit: Unit) -> tuple[Path, Path]:
    """The file of a unit's answers and that of its note; the digest keeps like names apart."""
    words = re.sub(r"[^a-z0-9]+", "-", unit.title.lower()).strip("-")[:60]
    stem = f"{words}-{files.text_sha256(unit.title)[:8]}"
    return out / TASKS / f"{stem}.parquet", out / TASKS / f"{stem}.json"


def _read(path: Path) -> dict[str, Any]:
    found = files.read_json(path, "delete it, or choose another --out")
    return found if isinstance(found, dict) else {}


def save(card: Card, out: Path) -> list[Path]:
    """Write ``bench.csv`` (with its provenance) and ``bench.json`` to ``out``; returns their paths."""
    about = {"model": card.model, "tasks": card.tasks, "device": card.provenance["device"]}
    every = [*card.records, *card.baselines, *card.references, *card.differences]
    table = results.write(every, out / "bench.csv", **about)
    files.write_text(out / NUMBERS, json.dumps(as_json(card), indent=1) + "\n")
    return [table, out / NUMBERS]


def as_json(card: Card) -> dict[str, Any]:
    """``card`` as plain values; a number that is not known (NaN) is null."""
    lists = {name: getattr(card, name) for name in ("records", "baselines", "references", "differences")}
    rows = {
        name: [
            {key: None if pd.isna(value) else value for key, value in dataclasses.asdict(record).items()}
            for record in own
        ]
        for name, own in lists.items()
    }
    about = {"model": card.model, "tasks": card.tasks, "main": [list(pair) for pair in card.main]}
    return {"format": FORMAT, **about, **rows, "provenance": card.provenance}


def table(card: Card) -> pd.DataFrame:
    """Every number of the model with the columns TABLE: its interval, chance, and the best rule that sees no image.

    That rule is the one that is best over all items of a task, for parts of them too. ``main`` marks the main numbers
    of a task.
    """
    chance = [record for record in card.baselines if record.model == CHANCE]
    rules = [record for record in card.baselines if record.model.startswith(BLIND)]
    best_rules: dict[str, str] = {}
    for task in dict.fromkeys(rule.task for rule in rules):
        of_task = [rule for rule in rules if rule.task == task]
        whole = min((rule.metric for rule in of_task), key=len)  # the metric over all items has the shortest name
        best_rules[task] = max((rule for rule in of_task if rule.metric == whole), key=lambda rule: rule.value).model
    rows = []
    for record in card.records:
        same = (record.task, record.metric, best_rules.get(record.task))
        best = next((rule for rule in rules if (rule.task, rule.metric, rule.model) == same), None)
        own = {name: getattr(record, name) for name in ("task", "metric", "value", "n")}
        own |= {"low": record.ci_low, "high": record.ci_high, "chance": _chance_of(record, chance)}
        own |= {"blind": best.value if best else None, "blind_rule": best.model.removeprefix(BLIND) if best else ""}
        rows.append(own | {"main": (record.task, record.metric) in card.main})
    return pd.DataFrame(rows, columns=list(TABLE))


def _chance_of(record: Record, chance: Sequence[Record]) -> float | None:
    """What guessing gets: that of the same task and metric, or of those of which ``record`` is about a part."""
    fitting = [
        guess
        for guess in chance
        if (record.task == guess.task or record.task.startswith(f"{guess.task}, "))
        and (record.metric == guess.metric or record.metric.startswith((f"{guess.metric} on ", f"{guess.metric}, ")))
    ]
    # The longest name is nearest: "CC-Neg, both images" is no part of "CC-Neg".
    return max(fitting, key=lambda guess: len(guess.task)).value if fitting else None
