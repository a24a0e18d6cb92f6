"""The command line: ``negutil`` or ``python -m negutil``.

Commands are thin: they parse, call one function of the package, and print.  Slow imports (torch) are inside the command
that needs them, so that ``--help`` is quick.  Every command that reports numbers has ``--json``.  An error is one
sentence on stderr, with exit status 2 if the user can fix it and 130 for Ctrl-C.
"""

import dataclasses
import errno
import importlib.metadata
import io
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from negutil import paths
from negutil.commands import data
from negutil.commands.bench import Images, Partial, bench
from negutil.commands.explore import explore
from negutil.commands.models import encode, finetune, models_list, push
from negutil.commands.options import MOST, MOST_THREADS, Address, AsJson, Device, EngineName, ProfileName, Workers
from negutil.commands.report import report, seeds, table, verify
from negutil.errors import NegutilError, of_system
from negutil.report import chapters


class Commands(TyperGroup):
    """A group of commands that turns the exceptions of the package into a sentence and an exit status.

    Exceptions that are programming errors (anything but NegutilError and OSError) keep their traceback.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; raises typer.Exit with status 2 for an argument that is not UTF-8.

        Tables, JSON and pages are UTF-8, so writing such a name would fail later.
        """
        settings = [value for name, value in os.environ.items() if name.startswith("NEGUTIL_")]
        for word in (*args, *settings):
            if word != word.encode(errors="ignore").decode():  # a byte that is not text
                raise _exit(f"{word!r} is not UTF-8: rename the file or folder, or correct the argument.", 2)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; raises typer.Exit with status 2 or 130 if it could not finish."""
        try:
            return super().invoke(ctx)
        except NegutilError as problem:
            raise _exit(str(problem), 2) from problem
        except KeyboardInterrupt as problem:
            raise _exit("Interrupted: finished work is kept, so start again with the same command.", 130) from problem
        except OSError as problem:
            if problem.errno == errno.EPIPE:  # `| head` has read enough: typer leaves quietly
                raise
            raise _exit(of_system(problem), 2) from problem


app = typer.Typer(
    cls=Commands,
    help='Does CLIP understand "no"? Tools for replicating four papers on negation in vision-language models.',
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"negutil {importlib.metadata.version('negutil')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None: ...


def _group(name: str, text: str) -> typer.Typer:
    """Add an empty group of commands to the app, with ``text`` as its help."""
    group = typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name=name)
    return group


cache_commands = _group("cache", "The cache of features and other expensive steps.")
stats_commands = _group("stats", "Statistics of your own data.")
world_commands = _group("world", "The mini world: generated datasets in the published formats.")
negbench_commands = _group(
    "negbench",
    "NegBench: build its files, check them, test a generative model.",
)
_group("models", "The models of the registry, configs/models.toml.").command("list")(models_list)
app.add_typer(data.commands, name="data")
for command in (encode, explore, finetune, push, seeds, report, table, verify, bench):
    app.command()(command)


@app.command()
def run(
    *,
    profile: ProfileName = "",
    only: Annotated[str | None, typer.Option(help="Numbers of the notebooks to run, such as 01,03-05.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Use this seed instead of the notebooks' own; writes to results/seed-N.", min=0, max=MOST),
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Another notebook parameter.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Use an empty cache for this run; yours is not changed.")
    ] = False,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Replace the committed results even if numbers changed only within tolerance."),
    ] = False,
    timeout: Annotated[int | None, typer.Option(help="Seconds that a single cell may take.", min=1, max=MOST)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write everything below DIR; the clone stays as it is.")
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="List the notebooks and stop.")] = False,
) -> None:
    """Run the notebooks in order; write results and figures.

    The executed notebooks are written too.
    """
    from negutil import config
    from negutil.report import generated
    from negutil.run import notebooks

    found_chapters = chapters.choose(chapters.find(), only)
    if only_list:
        for chapter in found_chapters:
            typer.echo(f"{chapter.path.stem}: {chapter.title}")
        return
    name = config.resolve(profile)
    parameters = notebooks.parse_parameters(parameter or [])
    if seed is not None:
        parameters["seed"] = seed
    # Exit cleanly on SIGTERM too, to shut down the kernel and release the lock.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    done = notebooks.run(found_chapters, name, parameters, fresh=fresh, renew=renew, timeout=timeout, out=out)
    for path in done.written:
        typer.echo(path)
    typer.echo(f"Tables are in {done.results}, figures in {done.figures}.")
    if not done.written:  # no notebook has its data
        raise typer.Exit(1)
    if done.comparison is None:
        return
    # Update the generated pages if the checkout's results changed, not those in NEGUTIL_RESULTS.
    is_of_checkout = done.results == paths.ROOT / "results" / name
    changed = generated.update(name) if done.comparison.written and is_of_checkout else {}
    updated = [f"{name} was updated." for name, is_new in changed.items() if is_new]
    typer.echo("\n".join([*updated, *done.comparison.details, done.comparison.summary]))


@app.command()
def readme(
    *,
    profile: Annotated[str, typer.Option(help="Profile whose results the pages report (default: mini).")] = "mini",
    check: Annotated[bool, typer.Option("--check", help="Only check whether the pages are up to date.")] = False,
) -> None:
    """Update the generated pages: README.md, docs/index.md, and more."""
    from negutil import config
    from negutil.report import generated

    profile = config.resolve(profile)
    if check:
        generated.check(profile)
    changed = {} if check else generated.update(profile)
    for name in generated.PAGES:
        typer.echo(f"{name} was updated." if changed.get(name) else f"{name} is up to date.")


@cache_commands.command("info")
def cache_info(as_json: AsJson = False) -> None:
    """Show where the cache is, and its size by kind."""
    from negutil.cache import Cache

    cache = Cache()
    kinds: dict[str, dict[str, int]] = {}
    for entry in cache.entries():
        kind = kinds.setdefault(str(entry["fields"]["kind"]), {"entries": 0, "bytes": 0})
        kind["entries"] += 1
        kind["bytes"] += int(entry["bytes"])
    if as_json:
        typer.echo(json.dumps({"root": str(cache.root), "kinds": kinds}, indent=1, sort_keys=True))
        return
    typer.echo(f"{cache.root}")
    for name, kind in sorted(kinds.items()):
        typer.echo(f"{name}: {kind['entries']} entries, {kind['bytes'] / 1e6:.1f} MB")
    if not kinds:
        typer.echo("The cache is empty.")


@cache_commands.command("clear")
def cache_clear() -> None:
    """Delete everything in the cache; it is recomputed when needed."""
    from negutil.cache import Cache

    typer.echo(f"Freed {Cache().clear() / 1e6:.1f} MB in {Cache().root}.")


@world_commands.command("build")
def world_build(
    *,
    profile: Annotated[str, typer.Option(help="Sizes: mini or quick (default: NEGUTIL_PROFILE, or mini).")] = "",
    only: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Parts to write, such as coco,voc; may be repeated.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the files with their manifest, byte by byte.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write its datasets that are missing or out of date."""
    from negutil.data import source

    outcomes = source.world().build_all(profile, only or (), check)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes], indent=1))
        return
    for outcome in outcomes:
        size = f"{outcome.files} files, {outcome.bytes / 1e6:.1f} MB"
        typer.echo(f"{outcome.part}: {outcome.status}, {size} in {outcome.seconds:.1f} s, {outcome.folder}")


@world_commands.command("look")
def world_look(
    *,
    part: Annotated[
        str, typer.Option(help="scenes, faces, clips, radiographs, shapes, alttexts, or all of them.")
    ] = "all",
    seed: Annotated[int, typer.Option(help="Seed of the images.", min=0, max=MOST)] = 0,
    profile: Annotated[str, typer.Option(help="Profile whose figures folder to write to, without --out.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="The file to write.")] = None,
) -> None:
    """Draw a contact sheet of each part of the mini world.

    It shows images with their captions.
    """
    from negutil.data import source

    typer.echo(str(source.world().save_sheet(part, seed, profile, out)))


@negbench_commands.command("build")
def negbench_build(
    instances: Annotated[
        Path,
        typer.Argument(help="COCO-style instances JSON (the objects in each image), or the Flickr8k folder."),
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the CSV files; created if missing.")],
    *,
    captions: Annotated[
        Path | None, typer.Option(help="COCO-style captions JSON, to build retrieval files too.")
    ] = None,
    absent: Annotated[Literal["plausible", "random"], typer.Option(help="How to choose absent objects.")] = "plausible",
    questions: Annotated[int, typer.Option(help="Multiple-choice questions per image.", min=1, max=MOST)] = 1,
    paraphrase: Annotated[bool, typer.Option("--paraphrase", help="Write paraphrased files as well.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0, max=MOST)] = 0,
) -> None:
    """Build NegBench's files from COCO-style annotations.

    They have negated captions for retrieval, and multiple-choice questions.
    """
    from negutil.captions import negbench
    from negutil.captions.statements import Grammar

    annotator = Grammar(seed) if paraphrase else None
    written = negbench.write(
        instances, captions, output, seed=seed, absent=absent, per_picture=questions, annotator=annotator
    )
    for path in written:
        typer.echo(path)


@negbench_commands.command("check")
def negbench_check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE.csv", help="Multiple-choice files in NegBench's format.")
    ],
    *,
    save: Annotated[bool, typer.Option("--save", help="Keep the numbers in results/published/.")] = False,
    as_json: AsJson = False,
) -> None:
    """Report how well scorers do that never see an image."""
    from negutil import results
    from negutil.compare import negbench
    from negutil.files import sha256 as file_digest

    records = negbench.file_records(files)
    if save:
        where = negbench.FILE_COUNTS
        results.save(records, *where, data={path.name: file_digest(path) for path in files})
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(record) for record in records], indent=1))
        return
    for record in records:
        interval = "" if record.ci_low is None else f" [{record.ci_low:.3f}, {record.ci_high:.3f}]"
        typer.echo(f"{record.task}  {record.model}  {record.metric}: {record.value:.3f}{interval}, n = {record.n}")


@negbench_commands.command("ask")
def negbench_ask(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A multiple-choice file in NegBench's format.")],
    *,
    images: Images = None,
    partial: Partial = False,
    profile: Annotated[
        str, typer.Option(help="Profile whose vision model to use; configs/annotators.toml names it.")
    ] = "paper",
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Present every option on its own, to be answered by yes or no.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the order of the options.", min=0, max=MOST)] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Save every question with its reply.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a generative model on a file of questions.

    Prints its accuracy.
    """
    from negutil import config, tables
    from negutil.bench import sources
    from negutil.captions import caption_sets
    from negutil.tasks import exam

    who = caption_sets.annotators_of(config.load(profile)).vision
    files = sources.Files(negbench=(file,), images=tuple(images or ()), partial=partial)
    (unit,) = sources.of_files(files, sources.settings("mini", 0))
    if out:  # before hours of work, not after
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()
    items = exam.ask(who, unit.rows, one_by_one=one_by_one, order_seed=seed)
    if out:
        items.to_csv(out, index=False)
    shares = exam.accuracy(items, items["picture"])
    if as_json:
        typer.echo(json.dumps({name: dataclasses.asdict(share) for name, share in shares.items()}, indent=1))
        return
    typer.echo(f"{unit.title}, {who.name}: {len(items)} questions")
    for name, share in shares.items():
        typer.echo(f"{name}: {tables.with_interval(share.value, share.low, share.high)}")


@app.command()
def pretrain(
    name: Annotated[
        str, typer.Argument(help="miniclip-s-8, miniclip-b-8, minisd, miniclipseg, judge, dose-5, ..., photoclip")
    ],
    *,
    pool: Annotated[Path | None, typer.Option(help="Folder of the corpus; created if missing.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint and the learning curve.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder for the finished weights (default: where they are loaded from).")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps instead of the recipe's.", min=1, max=MOST)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the recipe's.", min=0, max=MOST)] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1, max=MOST_THREADS)] = 2,
    device: Device = "auto",
) -> None:
    """Pretrain MiniCLIP and its companions, or PhotoCLIP.

    Mini-world models learn from web-like captions, PhotoCLIP from Flickr8k. Resumes where it stopped.
    """
    from negutil.data import source

    recipes = source.world("pretrain.recipes")  # first: it sets how idle threads wait before torch is loaded
    from negutil.models import precision
    from negutil.train import photoclip

    device = precision.usable(device)
    for folder in filter(None, (out, weights)):  # before hours of work, not after
        folder.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {"steps": steps, "seed": seed, "threads": threads, "device": device}
    if name not in photoclip.RECIPES:
        file = recipes.run(name, pool=pool, out=out, weights=weights or paths.NEW_WEIGHTS, **given)
    elif pool is None:
        file = photoclip.run(name, out=out, weights=weights, **given)
    else:
        raise NegutilError(f"{name} learns from Flickr8k in NEGUTIL_DATA: leave out --pool.")
    if file:
        typer.echo(f"Weights are in {file}.")


@stats_commands.command("captions")
def stats_captions(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files (.parquet, .csv, .tsv, .txt, .jsonl, .json, .tar), folders, quoted patterns, or - for standard "
            "input, one caption per line.",
        ),
    ],
    *,
    column: Annotated[
        str | None, typer.Option(help="Column with the captions; a number for CSV or TSV without a header line.")
    ] = None,
    terms: Annotated[
        str | None, typer.Option(help="Term list: strict, standard, wide, or a TOML file; default: all three.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore cached counts.")] = False,
    engine: EngineName = "local",
    address: Address = "",
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Count captions with negation, and cues among their words.

    This follows NegationCLIP's Table 1.
    """
    from negutil.captions import caption_statistics, negation_terms
    from negutil.data.engines import Engine

    chosen = Engine(engine, address, workers)
    with tempfile.TemporaryDirectory() as folder:
        if "-" in files:
            copied = Path(folder) / "standard_input.txt"
            with copied.open("wb") as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy)
            files = [str(copied) if path == "-" else path for path in files]
        counts = caption_statistics.count_files(files, negation_terms.load(terms), column, fresh, chosen)
    found = caption_statistics.summary(counts)
    typer.echo(json.dumps(found, indent=1) if as_json else caption_statistics.report(counts))


def main() -> None:
    """Entry point of the command line; the command as it was typed goes into the provenance of what it makes."""
    os.environ.setdefault("NEGUTIL_COMMAND", shlex.join(["negutil", *sys.argv[1:]]))
    for stream in (sys.stdout, sys.stderr):
        # An ASCII-only terminal gets "\\xe9" instead of a traceback.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="negutil")


def _exit(sentence: str, status: int) -> typer.Exit:
    typer.echo("\\n".join(sentence.splitlines()), err=True)
    return typer.Exit(status)
