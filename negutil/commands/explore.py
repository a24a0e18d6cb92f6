"""``negutil explore``: a page on this machine for looking through a folder of images by words."""

from pathlib import Path
from typing import Annotated

import typer

from negutil.commands.options import Activation, Device, Method


def explore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The images; subfolders are searched too.")],
    *,
    model: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[=WEIGHTS]",
            help="A name of `negutil models list`, a fine-tuned model, or an architecture of open_clip with a tag or "
            "file of weights, such as ViT-B-32-quickgelu=openai; may be repeated.",
        ),
    ],
    method: Method = "subtraction",
    port: Annotated[int, typer.Option(help="Port on this machine (0: a free one).", min=0, max=65_535)] = 0,
    activation: Activation = None,
    device: Device = "auto",
) -> None:
    """Search a folder of images with and without negation.

    Opens a page on this machine; Ctrl-C ends it.
    """
    from negutil.bench import explore_page
    from negutil.bench import model as bench_model

    named = (name.partition("=") for name in dict.fromkeys(model))
    loaded = [bench_model.load(name, weights, activation=activation or "", device=device) for name, _, weights in named]
    explorer = explore_page.FolderExplorer(folder, loaded, method)
    for name, reason in explorer.left_out.items():
        typer.echo(f"Left out: {name} ({reason})", err=True)
    with explore_page.Server(explorer, port) as server:
        typer.echo(f"{len(explorer.names)} images: open {server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("Stopped.")
