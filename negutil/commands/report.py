"""``negutil report``: every claim with its verdict, as one HTML page and as Markdown."""

from __future__ import annotations

import json

import typer

from negutil.commands.options import AsJson, ProfileName


def report(
    *,
    profile: ProfileName = "",
    as_json: AsJson = False,
) -> None:
    """Write report.html and report.md into results/<profile>/: every claim, its verdict, and the numbers that decided.

    Only tables in results/ are read; what is missing is said, with the notebook that makes it. With --json the verdicts
    are printed too, a record for each claim and model.
    """
    from negutil import config
    from negutil.compare import verdicts
    from negutil.report import pages

    name = config.resolve(profile)
    written = pages.write(name)
    if as_json:
        typer.echo(json.dumps(verdicts.records(verdicts.of(name)), indent=1))
        return
    for path in written:
        typer.echo(path)
