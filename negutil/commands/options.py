"""Options shared by several commands: profile, engine, device, and their choices."""

from typing import Annotated, Literal

import typer

MOST = 2**31 - 1
"""The largest seed or count that every library accepts."""

MOST_THREADS = 1024
ProfileName = Annotated[str, typer.Option(help="mini, quick, photo or paper (default: NEGUTIL_PROFILE, or mini).")]
EngineName = Annotated[Literal["local", "ray"], typer.Option("--engine", help="Run in this process, or on Ray.")]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, or auto (the GPU if there is one).")]
Dtype = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Number type of the computation.")]
Activation = Annotated[
    Literal["quick_gelu", "gelu"] | None,
    typer.Option(help="The activation that the weights were trained with, if their file does not say."),
]
Method = Annotated[
    str,
    typer.Option(
        metavar="NAME[=NUMBER]",
        help="Use a method without training: 'affirmed part', subtraction, caps or steering; such as caps=0.9.",
    ),
]
Address = Annotated[
    str, typer.Option(help="Address of a running Ray cluster, such as auto (default: start Ray on this machine).")
]
Workers = Annotated[int, typer.Option(help="Ray processes (default: one per processor or GPU).", min=0, max=MOST)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
