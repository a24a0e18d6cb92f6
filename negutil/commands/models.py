"""``negutil models list``, ``encode`` (sharded features) and ``finetune`` (one training of notebook 05)."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from negutil.commands.options import (
    MOST,
    MOST_THREADS,
    Activation,
    Address,
    AsJson,
    Device,
    Dtype,
    EngineName,
    ProfileName,
    Workers,
)
from negutil.errors import NegutilError

Kind = Annotated[
    Literal["images", "captions"] | None, typer.Option(help="What to encode (default: what the paths contain).")
]
OnError = Annotated[Literal["stop", "skip"], typer.Option(help="What to do with an image that cannot be read.")]
Tuned = Annotated[str, typer.Argument(metavar="MODEL", help="BASE+RECIPE/seedN: miniclip-b-8+negationclip/seed0.")]
ModelOut = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Also write the model here, for open_clip's local-dir:FOLDER.")
]
Transformers = Annotated[bool, typer.Option("--transformers", help="With --out: also as a transformers CLIPModel.")]
BenchCard = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="With --out: a report card of negutil bench, for the model card."),
]
Captions = Annotated[
    Path | None, typer.Option(metavar="FILE.csv", help="Your own captions: a CSV with the columns image and caption.")
]
Images = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="With --captions: where the images are (default: the file's folder)."),
]
Partial = Annotated[bool, typer.Option("--partial", help="With --captions: leave out rows whose images are missing.")]
AnnotatorName = Annotated[
    str, typer.Option(metavar="NAME|FILE.toml", help="With --captions, who adds negations: rules, world, or a file.")
]
Questions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="With --captions: questions for p2 and negationclip, a CSV with the columns image, question and answer.",
    ),
]
Epochs = Annotated[int | None, typer.Option(help="With --captions: passes over all of them.", min=1, max=MOST)]
Batch = Annotated[int | None, typer.Option(help="With --captions: examples at a time.", min=1, max=MOST)]


def encode(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="A folder of images, or files, folders or patterns of captions."),
    ],
    *,
    model: Annotated[
        str, typer.Option(help="A name from `negutil models list`, a fine-tuned model, or an open_clip architecture.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the features; created if missing.")],
    pretrained: Annotated[str, typer.Option(help="Weights for an architecture: an open_clip tag or a file.")] = "",
    activation: Activation = None,
    kind: Kind = None,
    column: Annotated[str | None, typer.Option(help="Column with the captions.")] = None,
    format_name: Annotated[
        Literal["safetensors", "parquet"], typer.Option("--format", help="Format of the files.")
    ] = "safetensors",
    store: Annotated[Literal["float32", "float16"], typer.Option(help="Number type in the files.")] = "float32",
    shard_size: Annotated[int, typer.Option(help="Images or captions per file.", min=1, max=MOST)] = 10_000,
    batch: Annotated[int, typer.Option(help="Images or captions per batch.", min=1, max=MOST)] = 256,
    device: Device = "auto",
    dtype: Dtype = "float32",
    threads: Annotated[int, typer.Option(help="CPU threads per process.", min=1, max=MOST_THREADS)] = 1,
    on_error: OnError = "stop",
    engine: EngineName = "local",
    address: Address = "",
    workers: Workers = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the output of an earlier run and start again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Encode images or captions into sharded files with a manifest.

    Resumes where it stopped.
    """
    from negutil.bench import encoding
    from negutil.data.engines import Engine
    from negutil.models import precision

    settings = encoding.Settings(
        *(model, pretrained, activation or "", precision.usable(device), dtype, batch, threads),
        format=format_name,
        store=store,
        on_error=on_error,
    )
    chosen = Engine(engine, address, workers)
    made = encoding.run(
        paths, out, settings, kind=kind or "", column=column, shard_size=shard_size, fresh=fresh, engine=chosen
    )
    if as_json:
        typer.echo(json.dumps(made, indent=1, sort_keys=True))
        return
    kept = f" ({made['kept']} of them already existed)" if made["kept"] else ""
    what = f"{made['rows']:,} {made['inputs']['kind']} of {made['width']} numbers"
    typer.echo(f"{out}: {what} in {len(made['shards'])} shards{kept}")
    for reason in made["left_out"].values():
        typer.echo(f"Left out: {reason}", err=True)
    if made["left_out"]:
        typer.echo(f"Images left out: {len(made['left_out'])}; {out / encoding.MANIFEST} lists them.", err=True)


def finetune(
    model: Tuned,
    *,
    profile: ProfileName = "",
    out: ModelOut = None,
    transformers: Transformers = False,
    card: BenchCard = None,
    captions: Captions = None,
    images: Images = None,
    partial: Partial = False,
    annotator: AnnotatorName = "rules",
    questions: Questions = None,
    epochs: Epochs = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a text tower, also on your own captions.

    Resumes where it stopped. torchrun splits the batch among processes.
    """
    from negutil import config
    from negutil.models import loader, registry
    from negutil.train import distributed, own, recipes
    from negutil.train.finetune import finetune as train

    parts = re.fullmatch(r"(?P<base>[^+/]+)\+(?P<recipe>[^+/]+)/seed(?P<seed>\d+)", model)
    if parts is None:
        raise NegutilError(f"'{model}' is not the name of a fine-tuned model: write it as BASE+RECIPE/seedN.")
    if captions is None and (images or partial or questions or epochs or batch or annotator != "rules"):
        raise NegutilError(
            "--images, --partial, --annotator, --questions, --epochs and --batch go with --captions; add that file."
        )
    recipe, settings, seed = recipes.find(parts["recipe"]), config.load(profile), int(parts["seed"])
    with distributed.processes() as members:
        if captions is None:
            job = recipes.single(settings, parts["base"], recipe, seed)
        else:
            given = own.Own(captions, images, annotator, partial, questions)
            base = loader.load(parts["base"])
            planned = own.single(settings, base, recipe, seed, given, epochs=epochs, batch=batch)
            job = planned.job
            if members.writes:
                typer.echo(planned.summary, err=True)
        base = loader.load_entry(registry.find(job.base))
        found = train(base, job.examples, job.config, job.out, replace=job.replace)
        if members.writes:
            if out:
                from negutil.bench import export

                export.write(loader.load_tuned(found), out, found, card, transformers=transformers)
            facts = {"model": model, "folder": str(found.folder), "sha256": found.sha256, "processes": members.size}
            typer.echo(json.dumps(facts, indent=1) if as_json else f"{model}: {found.folder}")


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that `negutil finetune --out` wrote.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; created if missing.")],
) -> None:
    """Upload a model to the Hugging Face hub.

    The token comes from HF_TOKEN or `hf auth login`.
    """
    from negutil.bench import export

    typer.echo(export.push(folder, repository))


def models_list(as_json: AsJson = False) -> None:
    """List the models of the registry, and whether their weights are here."""
    from negutil.models import registry

    listed = []
    for entry in registry.entries().values():
        here = entry.file.exists() if entry.file else None
        listed.append({**dataclasses.asdict(entry), "weights_here": here})
    if as_json:
        typer.echo(json.dumps(listed, indent=1))
        return
    for model in listed:
        state = {True: "here", False: "missing", None: "downloaded on first use"}[model["weights_here"]]
        typer.echo(f"{model['name']}: {model['architecture']}, {model['activation']}, weights {state}")
