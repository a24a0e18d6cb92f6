"""``negutil data``: list the published data, check them, and get them."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negutil.commands.options import AsJson

if TYPE_CHECKING:
    from negutil.fetch.check import Finding

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Names from `negutil data list`; default: all.")
]
Folder = Annotated[
    Path | None,
    typer.Option(help="Look here instead of in NEGUTIL_DATA: a folder of datasets, or one dataset's own folder."),
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
    """List the datasets, and which of them are here.

    Shows what each is for, its licence, and its source.
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
    deep: Annotated[
        bool, typer.Option("--deep", help="Open every image and clip, not just twenty per folder.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Treat incomplete data as an error too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the data that are here: counts, checksums, readability.

    Says what is wrong and how to fix it.

    The exit status is 1 if something is wrong, or if data that you named are missing.
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
        typer.echo(f"{len(bad)} of {len(found)} parts are wrong or missing.", err=True)
    if bad:
        raise typer.Exit(1)


@commands.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A name from `negutil data list`.")],
    *,
    folder: Annotated[Path | None, typer.Option(help="Put it into this folder instead of NEGUTIL_DATA.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also download what notebooks do not need.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep archives after unpacking.")] = False,
) -> None:
    """Download and unpack what is free to download.

    Resumes where it stopped. Prints the steps for data that cannot be downloaded automatically.
    """
    from negutil.fetch import catalogue, get

    entry = catalogue.find(name)
    if entry.kind == "dataset":
        typer.echo(f"{entry.title} goes to {get.place(entry, folder).root}; licence: {entry.licence}.")
    for done in get.get(name, folder, everything, keep):
        typer.echo(f"{done.what}: {done.status}{f', {done.files} files' if done.files > 1 else ''}")
    steps = get.steps(entry)
    if steps:
        typer.echo("In addition, by hand:" if entry.downloadable else "Cannot be downloaded automatically. By hand:")
    for number, step in enumerate(steps, 1):
        typer.echo(f"{number}. {step}")
    if steps:
        typer.echo(f"Then: negutil data check {name}")
