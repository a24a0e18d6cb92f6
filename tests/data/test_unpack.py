"""Archives that are good, damaged, and made to do harm."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from negutil.data import unpack as unpacking
from negutil.data.unpack import unpack
from negutil.errors import NegutilError

FILES = {"a.txt": b"one", "pictures/1.jpg": b"two", "pictures/deep/2.jpg": b"three" * 1000}


def make_zip(path: Path, files: dict[str, bytes] | None = None, link: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in (FILES if files is None else files).items():
            opened.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo("link")
            entry.external_attr = 0o120777 << 16
            opened.writestr(entry, link)
    return path


def make_tar(path: Path, files: dict[str, bytes] | None = None, **member: object) -> Path:
    """A tar with ``files``, and one more member with the attributes of ``member``."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as opened:
        for name, content in (FILES if files is None else files).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
        if member:
            info = tarfile.TarInfo("extra")
            for key, value in member.items():
                setattr(info, key, value)
            opened.addfile(info)
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["data.any", "data.gz"])
def test_archives_come_out_whole(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / name)
    assert unpack(archive, tmp_path / "out") == 3
    assert content_of(tmp_path / "out") == FILES


def test_folders_that_are_there_are_filled_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "pictures").mkdir(parents=True)
    (out / "pictures" / "mine.jpg").write_bytes(b"mine")
    (out / "a.txt").write_bytes(b"old")
    unpack(make_zip(tmp_path / "data.zip"), out)
    assert content_of(out) == {**FILES, "pictures/mine.jpg": b"mine"}


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    inner = make_tar(tmp_path / "inner.tar.gz").read_bytes()
    archive = make_zip(tmp_path / "outer.zip", {"box/inner.tar.gz": inner, "box/other.txt": b"no"})
    assert unpack(archive, tmp_path / "out", "box/inner.tar.gz") == 3
    assert content_of(tmp_path / "out") == FILES
    with pytest.raises(NegutilError, match=r"has no box/lost\.tar in it"):
        unpack(archive, tmp_path / "other", "box/lost.tar")


NAMES = ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil", "\\\\host\\share\\evil"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_gets_outside(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / "bad.archive", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(NegutilError, match="is outside its folder"):
        unpack(archive, tmp_path / "out" / "deep")
    assert content_of(tmp_path / "out") == {}
    assert not list(tmp_path.rglob("*evil*"))


def test_links_in_zips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="has the link 'link'"):
        unpack(make_zip(tmp_path / "bad.zip", link="/etc/passwd"), tmp_path / "out")
    assert content_of(tmp_path / "out") == {}


@pytest.mark.parametrize(
    "member",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.SYMTYPE, "linkname": "../../outside"},
        {"type": tarfile.LNKTYPE, "linkname": "../../outside"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        {"type": tarfile.FIFOTYPE},
    ],
)
def test_links_out_and_devices_in_tars_are_refused(member: dict, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="not allowed"):
        unpack(make_tar(tmp_path / "bad.tar", **member), tmp_path / "out")
    assert content_of(tmp_path / "out") == {}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bombs_are_refused(make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SMALL", 1000)
    monkeypatch.setattr(unpacking, "FILES", 2)
    archive = make(tmp_path / "bomb.gz", {"zeros": bytes(5_000_000)})
    with pytest.raises(NegutilError, match="would unpack to more than"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(NegutilError, match="more than 2 entries"):
        unpack(make(tmp_path / "many.gz"), tmp_path / "out")
    assert content_of(tmp_path / "out") == {}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_damage_is_told_and_leaves_nothing(make: Callable[..., Path], harm: str, tmp_path: Path) -> None:
    files = {f"{index}.bin": bytes([index]) * 50_000 + str(index).encode() * 100 for index in range(8)}
    archive = make(tmp_path / "data.gz", files)
    content = bytearray(archive.read_bytes())
    middle = len(content) // 2
    if harm == "cut":
        archive.write_bytes(content[:middle])
    else:
        content[middle : middle + 40] = bytes(40)
        archive.write_bytes(content)
    with pytest.raises(NegutilError, match=r"is damaged|neither a zip nor a tar"):
        unpack(archive, tmp_path / "out")
    assert content_of(tmp_path / "out") == {}
    assert not list((tmp_path / "out").iterdir())


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>quota</html>")
    with pytest.raises(NegutilError, match="neither a zip nor a tar archive"):
        unpack(tmp_path / "page.zip", tmp_path / "out")


def test_what_an_interrupted_call_left_is_cleared(tmp_path: Path) -> None:
    rest = tmp_path / "out" / ".data.zip.unpacking"
    rest.mkdir(parents=True)
    (rest / "half.txt").write_bytes(b"half")
    unpack(make_zip(tmp_path / "data.zip"), tmp_path / "out")
    assert content_of(tmp_path / "out") == FILES
