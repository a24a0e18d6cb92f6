"""``negutil data``: what published data there are, whether they are whole, and how to get them."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negutil.commands.options import AsJson

if TYPE_CHECKING:
    from negutil.fetch.check import Finding

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Names of `negutil data list`; default: all.")]
Folder = Annotated[
    Path | None,
    typer.Option(help="Look here, instead of in NEGUTIL_DATA: a folder of datasets, or the dataset's own."),
]

commands = typer.Typer(
    help="The published datasets and checkpoints: list, check, get.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.command("list")
def data_list(
    names: Names = None,
    *,
    folder: Folder = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/data.md, the page about all data.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the datasets and what of them is here.

    With what each is for, its licence, and where it comes from.
    """
    from negutil.fetch import listing

    if markdown:
        typer.echo(listing.markdown(), nl=False)
        return
    listed = listing.rows(names or (), folder)
    if as_json:
        typer.echo(json.dumps(listed, indent=1))
        return
    typer.echo("\n".join(map(listing.details, listed)) if names else listing.table(listed))


@commands.command("check")
def data_check(
    names: Names = None,
    *,
    folder: Folder = None,
    deep: Annotated[bool, typer.Option("--deep", help="Open every picture and clip, not twenty of a folder.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Less than what is published is wrong too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check what is here: counts, checksums, readability.

    Says what is wrong and how to fix it.

    The exit status is 1 where something is wrong, or was asked for by name and is missing.
    """
    from negutil.fetch import catalogue, check

    found: list[Finding] = []
    for name in names or catalogue.entries():
        for finding in check.check(name, folder, deep):
            found.append(finding)
            if not as_json:
                optional = "" if finding.needed or finding.status != check.MISSING else " (optional)"
                typer.echo(f"{finding.name}: {finding.status}, {finding.part}: {finding.message}{optional}")
    bad = [finding for finding in found if check.failed(finding, bool(names), whole)]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in found], indent=1))
    elif bad:
        typer.echo(f"{len(bad)} of {len(found)} are wrong or missing.", err=True)
    if bad:
        raise typer.Exit(1)


@commands.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A name of `negutil data list`.")],
    *,
    folder: Annotated[Path | None, typer.Option(help="Put it below this folder, instead of in NEGUTIL_DATA.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="What notebooks do not need, too.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep archives after unpacking.")] = False,
) -> None:
    """Download and unpack what is free to download.

    Resumes where it stopped. Prints the steps for what a program cannot download.
    """
    from negutil.fetch import catalogue, get

    entry = catalogue.find(name)
    if entry.kind == "dataset":
        typer.echo(f"{entry.title} goes to {get.place(entry, folder).root}; licence: {entry.licence}.")
    for done in get.get(name, folder, everything, keep):
        typer.echo(f"{done.what}: {done.status}{f', {done.files} files' if done.files > 1 else ''}")
    steps = get.steps(entry)
    if steps:
        typer.echo(f"{'Besides' if entry.downloadable else 'This is not to be downloaded by a program'}, by hand:")
    for number, step in enumerate(steps, 1):
        typer.echo(f"{number}. {step}")
    if steps:
        typer.echo(f"Then: negutil data check {name}")
