"""``negutil finetune``: one fine-tuning of notebook 05, by one process or by all that torchrun starts."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from negutil.commands.options import AsJson
from negutil.errors import NegutilError

NAME = re.compile(r"(?P<base>[^+/]+)\+(?P<recipe>[^+/]+)/seed(?P<seed>\d+)")


def finetune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="BASE+RECIPE/seedN: miniclip-b-8+negationclip/seed0.")],
    *,
    profile: Annotated[
        str, typer.Option(help="Settings and data: mini, quick or paper (default: NEGUTIL_PROFILE, or mini).")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fine-tune a text tower as notebook 05 does, or resume where it stopped; torchrun shares the batch out."""
    from negutil import config
    from negutil.models import loader, registry
    from negutil.train import distributed, recipes
    from negutil.train.finetune import finetune as train

    parts = NAME.fullmatch(model)
    if parts is None:
        raise NegutilError(f"'{model}' is no name of a fine-tuned model: write it as BASE+RECIPE/seedN.")
    recipe, settings = recipes.find(parts["recipe"]), config.load(profile)
    with distributed.processes() as members:
        job = recipes.single(settings, parts["base"], recipe, int(parts["seed"]))
        base = loader.load_entry(registry.find(job.base))
        found = train(base, job.examples, job.config, job.out, replace=job.replace)
        if members.writes:
            told = {"model": model, "folder": str(found.folder), "sha256": found.sha256, "processes": members.size}
            typer.echo(json.dumps(told, indent=1) if as_json else f"{model}: {found.folder}")
