"""``negutil bench``: the report card of a model on negation."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negutil.commands.options import MOST, Activation, AsJson, Device, Dtype, Method

if TYPE_CHECKING:
    from negutil.bench.examples import Examples
    from negutil.bench.run import Card

Model = Annotated[
    str,
    typer.Argument(
        help="A name of `negutil models list`, a fine-tuned model such as miniclip-b-8+negationclip/seed0, or an "
        "open_clip architecture such as ViT-B-32-quickgelu."
    ),
]
Pretrained = Annotated[
    str,
    typer.Option(
        metavar="TAG_OR_FILE",
        help="Weights: a .safetensors or .pt file, the folder of a fine-tuned model, an open_clip tag, or random.",
    ),
]
NegBench = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE.csv", help="NegBench's retrieval or multiple-choice CSV; may be repeated."),
]
Valse = Annotated[Path | None, typer.Option(metavar="FILE.json", help="VALSE's existence.json.")]
CcNeg = Annotated[Path | None, typer.Option(metavar="FILE.pt", help="CC-Neg's ccneg_preprocessed.pt.")]
NegRefCocog = Annotated[Path | None, typer.Option(metavar="FILE.json", help="NegRefCOCOg.json.")]
Pairs = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE.csv",
        help="Your own images: a CSV with the columns image, true and false (a true and a false caption for each); "
        "may be repeated.",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the images (default: the folder of each file); may be repeated, the first match counts.",
    ),
]
Partial = Annotated[bool, typer.Option("--partial", help="Leave out rows whose images are missing, and count them.")]
World = Annotated[
    str,
    typer.Option(
        help="Evaluate on the mini world in this size, mini or quick (default for a MiniCLIP without files: mini)."
    ),
]
Only = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Only mini-world tasks with this text in their name.")
]
Against = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER", help="The card of another model on the same data, to compare with; may be repeated."
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Folder of the card (default: ./negutil-bench-<model>).")
]
ClipBenchmark = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write the numbers here as well, a file per task for `clip_benchmark build`."),
]
Seed = Annotated[int, typer.Option(help="Seed of random weights.", min=0, max=MOST)]
Batch = Annotated[int, typer.Option(help="Images or texts per batch (0: 256).", min=0, max=MOST)]
Every = Annotated[bool, typer.Option("--all", help="Print every number, not only the main ones of each task.")]


def bench(
    model: Model,
    *,
    pretrained: Pretrained = "",
    activation: Activation = None,
    method: Method = "",
    negbench: NegBench = None,
    valse: Valse = None,
    ccneg: CcNeg = None,
    negrefcocog: NegRefCocog = None,
    pairs: Pairs = None,
    images: Images = None,
    partial: Partial = False,
    profile: World = "",
    only: Only = None,
    against: Against = None,
    out: Out = None,
    clip_benchmark: ClipBenchmark = None,
    seed: Seed = 0,
    batch: Batch = 0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate any open_clip model on negation: a report card.

    A MiniCLIP is evaluated on the mini world, any model on the files that you give: in the formats of NegBench, VALSE,
    CC-Neg and NegRefCOCOg, or as caption pairs for your own images. The card's folder keeps finished tasks, so the
    same command resumes where it stopped.
    """
    from negutil.bench import clip_benchmark_files, examples, references, sources
    from negutil.bench import model as bench_model
    from negutil.bench import run as cards

    single = {"valse": valse, "ccneg": ccneg, "negrefcocog": negrefcocog}
    lists = {"negbench": negbench, "pairs": pairs, "images": images}
    lists |= {name: [path] if path else None for name, path in single.items()}
    if clip_benchmark:  # before hours of work, not after
        clip_benchmark.mkdir(parents=True, exist_ok=True)
    files = sources.Files(**{name: tuple(paths or ()) for name, paths in lists.items()}, partial=partial)
    loaded = bench_model.load(
        model, pretrained, activation=activation or "", seed=seed, device=device, dtype=dtype, profile=profile
    )
    # Use the mini world if it is requested, or if a MiniCLIP has nothing else to be evaluated on.
    asks_world = bool(profile or only) or (not files.any and bench_model.is_miniclip(loaded))
    settings = sources.settings(profile if asks_world else "mini", batch)
    units = [*(sources.world(settings, only or []) if asks_world else []), *sources.of_files(files, settings)]
    who = bench_model.with_method(loaded, method, settings.encode.batch)
    folder = out or cards.default_folder(who.name)
    card = cards.run(loaded, units, folder, settings.encode.batch, who)
    card = references.added(card, units, folder, against or [], profile=settings.name, model=loaded.name)
    if clip_benchmark:
        used = ", ".join(filter(None, (pretrained or loaded.name, method)))
        clip_benchmark_files.write(card, clip_benchmark, used)
    _write(card, folder, examples.of(units, folder), every, as_json)


def _write(card: "Card", folder: Path, shown_pairs: "list[Examples]", every: bool, as_json: bool) -> None:
    """Write the card's files and print its numbers."""
    import pandas as pd

    from negutil.bench import card as bench_card
    from negutil.bench import run as cards

    table, numbers = cards.save(card, folder)
    page = bench_card.save(card, folder, shown_pairs)
    if as_json:
        typer.echo(json.dumps(cards.as_json(card), indent=1))
        return
    rows = cards.table(card)
    names = {"value": "value", "interval": "95 % interval", "n": "n", "chance": "guessing", "blind": "best blind rule"}
    shown = pd.DataFrame(bench_card.texts(rows if every else rows[rows["main"]]))
    shown = shown[["task", "metric", *names]].rename(columns=names)
    for column in ("task", "metric"):
        shown[column] = shown[column].str.ljust(shown[column].str.len().max())
    typer.echo(f"{card.model['name']}: {card.model['architecture']}, {card.model['dtype']}")
    typer.echo(shown.to_string(index=False))
    for task in card.tasks:
        for note in task["notes"]:
            typer.echo(f"{task['title']}: {note}")
    for sentence in bench_card.summary(card):
        typer.echo(sentence)
    typer.echo(f"All {len(rows)} numbers, the figure and other models' results: {page} ({numbers.name}, {table.name}).")
