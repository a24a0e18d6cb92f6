"""``negutil encode``: features of pictures or captions, as shards of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from negutil.commands.options import MOST, MOST_THREADS, Address, AsJson, EngineName, Workers


def encode(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="A folder of pictures, or files, folders or patterns of captions."),
    ],
    *,
    model: Annotated[
        str, typer.Option(help="A name of `negutil models list`, a fine-tuned model, or an architecture of open_clip.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the features; made where it does not exist.")],
    pretrained: Annotated[str, typer.Option(help="Weights for an architecture: a tag of open_clip or a file.")] = "",
    activation: Annotated[
        str, typer.Option(help="quick_gelu or gelu: what the weights of a file were trained with.")
    ] = "",
    kind: Annotated[str, typer.Option(help="images or captions (default: what the paths hold).")] = "",
    column: Annotated[str | None, typer.Option(help="Column with the captions.")] = None,
    format_name: Annotated[str, typer.Option("--format", help="safetensors or parquet.")] = "safetensors",
    store: Annotated[str, typer.Option(help="Numbers in the files: float32 or float16.")] = "float32",
    shard_size: Annotated[int, typer.Option(help="Pictures or captions in a file.", min=1, max=MOST)] = 10_000,
    batch: Annotated[int, typer.Option(help="Pictures or captions at a time.", min=1, max=MOST)] = 256,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="What the model computes with: float32, bfloat16 or float16.")] = "float32",
    threads: Annotated[int, typer.Option(help="Threads of each process on the CPU.", min=1, max=MOST_THREADS)] = 1,
    engine: EngineName = "local",
    address: Address = "",
    workers: Workers = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier run left, and begin anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Encode pictures or captions with a model into sharded files with a manifest; a stopped run goes on."""
    from negutil.bench import encoding
    from negutil.data.engines import Engine

    settings = encoding.Settings(
        model, pretrained, activation, device, dtype, batch, threads, format=format_name, store=store
    )
    chosen = Engine(engine, address, workers)
    made = encoding.run(
        paths, out, settings, kind=kind, column=column, shard_size=shard_size, fresh=fresh, engine=chosen
    )
    if as_json:
        typer.echo(json.dumps(made, indent=1, sort_keys=True))
        return
    kept = f" ({made['kept']} of them were there already)" if made["kept"] else ""
    what = f"{made['rows']:,} {made['inputs']['kind']} of {made['width']} numbers"
    typer.echo(f"{out}: {what} in {len(made['shards'])} shards{kept}")
