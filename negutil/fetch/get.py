"""Get published data: download and unpack what is free to download, and list the steps for the rest."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from negutil import files, paths, progress
from negutil.data import download, unpack
from negutil.data.download import Settings, Wanted
from negutil.errors import NegutilError
from negutil.fetch import catalogue
from negutil.fetch.catalogue import Entry, Fetch, Part, Place

UNPACKED = 1.1
"""Room for unpacking, in sizes of the archive: photographs and clips hardly compress."""

AT_ONCE = 8
"""Number of parallel downloads of single images."""

_WEIGHTS = ["*.json", "*.txt", "model.safetensors", "pytorch_model.bin"]
_NOT_ONLINE = "go online, check whether it requires an account (then set HF_TOKEN), and try again"


@dataclass(frozen=True, slots=True)
class Done:
    """One download: ``status`` is "there already", "downloaded" or "unpacked"; ``files`` is their number."""

    what: str
    status: str
    files: int = 1


def get(
    name: str,
    folder: Path | None = None,
    everything: bool = False,
    keep: bool = False,
    settings: Settings | None = None,
) -> Iterator[Done]:
    """Download and unpack, one after the other, the downloadable files of ``name`` that are missing.

    They go to ``folder``, or to where notebooks look. ``everything`` adds what notebooks do not need; ``keep`` keeps
    unpacked archives. Raises NegutilError if a download fails; finished files are kept, and the same call resumes.
    """
    entry = catalogue.find(name)
    where = place(entry, folder)
    for included in entry.includes:
        yield from get(included, folder, everything, keep, settings)
    for one in entry.fetch:
        if not one.needed and not everything:
            continue
        if one.names:
            yield _images(one, where, settings)
            continue
        if all(where.find(path) for path in one.gives):
            yield Done(one.to, "there already")
            continue
        target, top = where.path(one.to), where.root / one.to.partition("/")[0]
        if not where.own and (top / catalogue.WORLD).is_file():
            fix = "set NEGUTIL_DATA to a folder for the published data"
            raise NegutilError(f"{top} was made by the mini world: {fix}.")
        if one.members:
            unpack.members(one.url, one.members, target)
            yield Done(one.to, "downloaded", len(one.members))
            continue
        if not target.is_file():
            _download(one, entry, target, settings)
        if not one.into:
            yield Done(one.to, "downloaded")
            continue
        count = unpack.unpack(target, where.path(one.into) if one.into != "." else where.root, one.nested)
        if lost := [path for path in one.gives if not where.find(path)]:
            raise NegutilError(
                f"{target} was unpacked but has no {lost[0]}: delete this archive, it is a different one."
            )
        if not keep:
            target.unlink()
        yield Done(one.to, "unpacked", count)
    for part in entry.parts:
        if part.hub and (part.needed or everything):
            yield _from_hub(part)


def _download(one: Fetch, entry: Entry, target: Path, settings: Settings | None) -> None:
    """Download a file. Without a published checksum, record that of the first download and compare later ones."""
    sha256, fix = one.sha256, f"get it by hand from {entry.source}"
    note = paths.cache() / "downloads" / f"{target.name}.{hashlib.sha256(one.url.encode()).hexdigest()[:16]}.sha256"
    if not one.sha256 and not one.md5 and note.exists():
        sha256 = note.read_text(encoding="utf-8").strip()
        fix = f"delete {note} if its publisher changed it"
    wanted = Wanted(one.url, one.bytes, sha256, one.md5, help=fix)
    download.fetch(wanted, target, settings, room=UNPACKED if one.into else 0.0)
    if not sha256 and not one.md5:
        files.write_text(note, files.sha256(target) + "\n")


def place(entry: Entry, folder: Path | None = None) -> Place:
    """Where ``get`` puts an entry: in a folder for each dataset, also if ``folder`` is empty."""
    return Place(folder.expanduser().resolve()) if folder else catalogue.place(entry)


def steps(entry: Entry) -> list[str]:
    """The steps to do by hand, in order; none if ``get`` can download everything that notebooks need."""
    if entry.downloadable and not entry.steps:
        return []
    return entry.steps or [f"see {entry.source}"]


def _images(one: Fetch, where: Place, settings: Settings | None) -> Done:
    """Download the missing images that a part names, in parallel."""
    from negutil.fetch import check

    (part,) = [part for entry in catalogue.entries().values() for part in entry.parts if part.path == one.names][:1]
    names = dict.fromkeys(Path(name).name for name in check.read(part, where.find(one.names)).names)
    folder = where.path(one.to)
    lacking = [name for name in list(names)[: one.most or None] if not (folder / name).is_file()]

    def fetch(name: str) -> None:
        with progress.quiet():
            download.fetch(Wanted(f"{one.url}/{name}"), folder / name, settings)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in progress.bar(f"downloading images to {one.to}", pool.map(fetch, lacking), total=len(lacking)):
            pass
    return Done(one.to, "downloaded" if lacking else "there already", len(lacking))


def _from_hub(part: Part) -> Done:
    """Let the client of huggingface.co download a repository into its own cache; it resumes and checks by itself."""
    if catalogue.hub_files(part.hub):
        return Done(part.hub, "there already")
    import huggingface_hub

    from negutil.models import hub, loader, registry

    with hub.fetching(part.hub, _NOT_ONLINE):
        if part.model:
            loader.locate(registry.find(part.model))
        elif part.read == "pipeline":
            pipeline, revision = hub.library("diffusers").DiffusionPipeline, hub.revision(part.hub)
            pipeline.download(part.hub, revision=revision, use_safetensors=True)
        else:
            huggingface_hub.snapshot_download(part.hub, revision=hub.revision(part.hub), allow_patterns=_WEIGHTS)
    return Done(part.hub, "downloaded", len(catalogue.hub_files(part.hub)))
