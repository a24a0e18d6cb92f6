"""``negutil report`` (every claim with its verdict), ``table``, ``verify`` (a run and the committed) and ``seeds``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from negutil.commands.options import AsJson, ProfileName
from negutil.errors import NegutilError


def report(*, profile: ProfileName = "", as_json: AsJson = False) -> None:
    """Write the report: every claim, its verdict and its numbers.

    It goes to report.html and report.md in results/<profile>.

    Only tables in results/ are read; the report names missing ones and the notebooks that make them. With --json the
    verdicts are printed too, a record for each claim and model.
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


def table(
    place: Annotated[str, typer.Argument(metavar="NOTEBOOK/NAME", help="Which table: 05/table-2.")],
    *,
    profile: ProfileName = "",
    latex: Annotated[bool, typer.Option("--latex", help="As a LaTeX table (booktabs).")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown, which is the default.")] = False,
) -> None:
    """Print a table of a notebook as LaTeX, Markdown or CSV."""
    from negutil import config
    from negutil.report import table

    if latex + csv + as_markdown > 1:
        raise NegutilError("Choose one of --latex, --csv and --markdown.")
    caption, frame = table.read(place, config.resolve(profile))
    if csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    elif latex:
        shown = frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
        typer.echo(shown.to_latex(hrules=True, caption=caption, label=f"tab:{place}"), nl=False)
    else:
        typer.echo(table.markdown(frame))


def verify(
    run: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of ./run_all.sh --out DIR (default: the clone).")
    ] = None,
    *,
    profile: Annotated[str, typer.Option(help="Whose tables (default: mini).")] = "mini",
    as_json: AsJson = False,
) -> None:
    """Compare a run with the committed results, table by table.

    Counts for each table the numbers that are equal, within tolerance (configs/tolerances.toml) and beyond it, and
    names those beyond it and the verdicts that changed. The committed results are those of the clone's last commit.

    The exit status is 1 if a number is beyond tolerance or a verdict changed.
    """
    from negutil import config, paths
    from negutil.run import verify

    made = run.expanduser().resolve() / "results" if run else paths.results("")
    found = verify.of_run(config.resolve(profile), made)
    if not found.tables:
        raise NegutilError(f"{made / profile} has no tables to compare: run ./run_all.sh first.")
    if as_json:
        tables = {name: counts._asdict() | {"moved": found.beyond[name]} for name, counts in found.tables.items()}
        facts = {name: getattr(found, name) for name in ("absent", "verdicts", "changed", "summary")}
        typer.echo(json.dumps({"tables": tables, **facts}, indent=1))
    else:
        typer.echo(found.report)
    if not found.is_same:
        raise typer.Exit(1)


def seeds(
    *,
    profile: Annotated[str, typer.Option(help="Settings: mini or quick (default: NEGUTIL_PROFILE, or mini).")] = "",
    chosen: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="1,2", help="Base seeds of the evaluation sets, in addition to the profile's own."
        ),
    ] = "1,2",
    judge: Annotated[
        bool,
        typer.Option(
            "--judge", help="Evaluate nothing; judge the saved results again, for example after editing claims."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Repeat the evaluation on other samples of images and questions.

    Evaluates the models that notebooks 05 and 06 trained, and compares the verdicts.

    Run the notebooks first, with the same cache: this command trains nothing. It saves the tables of every seed in
    results/<profile>/evaluation_seeds/, and the verdicts side by side in results/<profile>/evaluation_seeds.csv.
    """
    from negutil import config
    from negutil.compare import claims, evaluation_seeds, verdicts

    settings = config.load(profile)
    try:
        wanted = tuple(int(word) for word in chosen.split(","))
    except ValueError as problem:
        raise NegutilError(
            f"--seeds {chosen} is not a list of whole numbers: write for example --seeds 1,2."
        ) from problem
    if len(set(wanted)) < len(wanted):
        raise NegutilError(f"--seeds {chosen} repeats a seed: write each once.")
    if not judge:
        for seed in wanted:
            for experiment, seconds in evaluation_seeds.evaluate(settings, seed):
                typer.echo(f"seed {seed}, {experiment}: {seconds:.0f} s", err=True)
    written = evaluation_seeds.write(settings.name, wanted)
    found = evaluation_seeds.read(settings.name)
    if as_json:
        typer.echo(json.dumps(json.loads(found.to_json(orient="records")), indent=1))
        return
    for row in evaluation_seeds.disagreements(found).to_dict("records"):
        interval = f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        draw = row["seed"] if row["seed"] == evaluation_seeds.POOLED else f"seed {row['seed']}"
        typer.echo(f"{row['claim']}, {row['model']}, {draw}: {row['verdict']}, {interval}")
    cases = found[found["seed"] == evaluation_seeds.POOLED]
    is_ours = cases["claim"].isin([claim.id for claim in claims.read() if claim.work == claims.OURS])
    for title, names, own in (
        ("papers", {}, cases[~is_ours]),
        (verdicts.OUR_FINDINGS, claims.FINDINGS, cases[is_ours]),
    ):
        for verdict, count in own["verdict"].replace(names).value_counts().items():
            typer.echo(f"{title}, {verdict}: {count} of {len(own)} claim-model pairs")
    typer.echo(written)
