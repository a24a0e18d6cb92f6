"""Options that several commands have: the engine that does the work."""

from __future__ import annotations

from typing import Annotated

import typer

EngineName = Annotated[str, typer.Option("--engine", help="Who does the work: local (this process) or ray.")]
Address = Annotated[
    str, typer.Option(help="Address of a running Ray cluster, such as auto (default: Ray is started on this machine).")
]
Workers = Annotated[int, typer.Option(help="Processes of Ray (default: one for each processor or GPU).", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
