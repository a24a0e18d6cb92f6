"""Options that several commands have: the engine that does the work."""

from typing import Annotated

import typer

MOST = 2**31 - 1
"""The largest seed or count that every library takes."""

MOST_THREADS = 1024
ProfileName = Annotated[str, typer.Option(help="Settings: mini, quick or paper (default: NEGUTIL_PROFILE, or mini).")]
EngineName = Annotated[str, typer.Option("--engine", help="Who does the work: local (this process) or ray.")]
Address = Annotated[
    str, typer.Option(help="Address of a running Ray cluster, such as auto (default: Ray is started on this machine).")
]
Workers = Annotated[
    int, typer.Option(help="Processes of Ray (default: one for each processor or GPU).", min=0, max=MOST)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
