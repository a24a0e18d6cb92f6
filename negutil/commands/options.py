"""Options that several commands have: profile, engine, device, and the choices of each."""

from typing import Annotated, Literal

import typer

MOST = 2**31 - 1
"""The largest seed or count that every library takes."""

MOST_THREADS = 1024
ProfileName = Annotated[str, typer.Option(help="Settings: mini, quick or paper (default: NEGUTIL_PROFILE, or mini).")]
EngineName = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Who does the work: this process, or Ray.")
]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, or auto, the GPU where there is one.")]
Dtype = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="What the model computes with.")]
Activation = Annotated[
    Literal["quick_gelu", "gelu"] | None,
    typer.Option(help="What a file of weights was trained with, where it does not say."),
]
Address = Annotated[
    str, typer.Option(help="Address of a running Ray cluster, such as auto (default: Ray is started on this machine).")
]
Workers = Annotated[
    int, typer.Option(help="Processes of Ray (default: one for each processor or GPU).", min=0, max=MOST)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
