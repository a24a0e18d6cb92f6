"""Unpack zip and tar archives safely: nothing outside the folder, no links out, no devices, no bombs, all or nothing.

An archive is unpacked into a hidden folder beside its place and moved there when all of it is out.
"""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from negutil import files, progress
from negutil.data.download import part_of, require_space
from negutil.errors import FULL_DISK, NegutilError

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
"""What the readers of archives raise for a damaged one."""


FILES, BYTES = 5_000_000, 500 * 10**9
"""Files and folders that may come out of an archive, and bytes of all files together."""

RATIO, SMALL = 100.0, 10**8
"""Largest ratio of unpacked bytes to bytes of the archive, where its content is more than SMALL bytes."""


def members(url: str, names: Sequence[str], folder: Path) -> None:
    """Take the files ``names`` out of the zip archive at ``url`` into ``folder``, without downloading the rest of it.

    Raises NegutilError if the server does not give parts of files, or the archive is damaged or has no such file.
    """
    try:
        with part_of(url) as remote, zipfile.ZipFile(remote) as archive:
            for name in names:
                files.write_bytes(folder / name, archive.read(name))
    except (OSError, KeyError, *_DAMAGED) as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise NegutilError(f"{url} does not give {', '.join(names)} ({reason:.200}): try again later.") from problem


def unpack(archive: Path, folder: Path, nested: str = "") -> int:
    """Unpack ``archive`` into ``folder`` and return the number of files; those of the same names are replaced.

    With ``nested`` only what is in that archive inside it is kept. Raises NegutilError for what is no archive, is
    damaged, too large for the disk or the limits, or has an entry that would lie or lead outside the folder; then
    nothing of it is left.
    """
    hidden = folder / f".{archive.name}.unpacking"
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        hidden.mkdir(parents=True)
        if zipfile.is_zipfile(archive):
            count = _unzip(archive, hidden)
        elif tarfile.is_tarfile(archive):
            count = _untar(archive, hidden)
        else:
            raise _refused(archive, "is neither a zip nor a tar archive")
        if nested:
            inner = hidden / nested
            if not inner.is_file() or inner.is_symlink():
                raise _refused(archive, f"has no {nested} in it")
            return unpack(inner, folder)
        _move(hidden, folder)
    except _DAMAGED as problem:
        raise _refused(archive, f"is damaged ({str(problem).rstrip('.')})") from problem
    except OSError as problem:
        if problem.errno not in FULL_DISK:
            raise _refused(archive, f"cannot be unpacked ({problem})", "fix the folder or the archive") from problem
        raise _refused(archive, "the disk is full", "free some space and start again") from problem
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return count


def _unzip(archive: Path, hidden: Path) -> int:
    """zipfile reads no more of an entry than the size that it declares, so declared sizes can be trusted as limits."""
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
        _check_amount(archive, len(entries), sum(one.file_size for one in entries))
        require_space(hidden, sum(one.file_size for one in entries), f"Unpacking {archive.name}")
        for entry in entries:
            _check_name(archive, entry.filename)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise _refused(archive, f"has the link {entry.filename!r}")
        for entry in progress.bar(f"unpacking {archive.name}", entries, unit=" files"):
            opened.extract(entry, hidden)
    return sum(not entry.is_dir() for entry in entries)


def _untar(archive: Path, hidden: Path) -> int:
    """Read member by member: a tar has no list of its entries, and what was declared is what is written."""
    if not hasattr(tarfile, "data_filter"):
        raise _refused(archive, "cannot be unpacked safely by this Python", "update it to 3.11.4 or later")
    count, files, total = 0, 0, 0
    with tarfile.open(archive) as opened:
        for member in progress.bar(f"unpacking {archive.name}", opened, unit=" files"):
            count, files, total = count + 1, files + member.isfile(), total + member.size
            _check_amount(archive, count, total)
            _check_name(archive, member.name)
            try:
                opened.extract(member, hidden, set_attrs=False, filter="data")
            except tarfile.FilterError as problem:
                raise _refused(archive, f"has an entry that is not allowed ({problem})") from problem
        # tarfile takes a damaged header for the end of the archive. Reading on makes gzip compare its checksum.
        if (stream := opened.fileobj) is not None:
            stream.seek(opened.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise _refused(archive, "is damaged (its entries break off)")
            while stream.read(2**20):
                pass
    return files


def _check_amount(archive: Path, count: int, total: int) -> None:
    most = min(BYTES, max(SMALL, RATIO * archive.stat().st_size))
    if count > FILES:
        raise _refused(archive, f"has more than {FILES} entries")
    if total > most:
        raise _refused(archive, f"would unpack to more than {most / 1e9:.2f} GB")


def _check_name(archive: Path, name: str) -> None:
    """Raise NegutilError for a name that is absolute, has "..", a drive or a NUL, on any system."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    outside = name.startswith(("/", "\\")) or ".." in parts or PureWindowsPath(name).drive or "\0" in name
    if outside or not name:
        raise _refused(archive, f"has the entry {name!r}, which is outside its folder")


def _move(source: Path, target: Path) -> None:
    """Move all that is in ``source`` into ``target``; folders that are there already are filled up."""
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and not path.is_symlink() and place.is_dir():
            _move(path, place)
        else:
            path.replace(place)


def _refused(archive: Path, problem: str, fix: str = "download it again from its publisher") -> NegutilError:
    return NegutilError(f"{archive} {problem}: {fix}.")


def zip_names(file: Path) -> list[str]:
    """The names in a zip archive; none where the file is no such archive."""
    if not zipfile.is_zipfile(file):
        return []
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


def tar_members(file: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a tar archive whose name has one of ``endings``; nothing is written to disk.

    Raises NegutilError if the archive is damaged.
    """
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(endings) and (opened := archive.extractfile(member)):
                    yield member.name, opened.read()
    except _DAMAGED as problem:
        raise NegutilError(f"{file} is damaged ({problem}): download it again.") from problem
