"""`negutil data get flickr8k` and `data check` against a server of archives made from a few real photographs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Act, FileServer, serve, zipped
from typer.testing import CliRunner

from negutil import paths
from negutil.commands.cli import app
from negutil.data import flickr8k
from negutil.data.download import Settings
from negutil.errors import NegutilError
from negutil.fetch import catalogue, get

RELEASE = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
OF_EACH_SPLIT = 4
PATIENT = Settings(connect=2.0, stall=0.5, attempts=1, first_wait=0.01, longest_wait=0.1, reserve=0)


@pytest.fixture
def server(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Both archives of the release with the first photographs of each split, and a catalogue that leads to them."""
    real = shared_data / "flickr8k"
    names = {split: flickr8k.read_split(flickr8k.split_file(real, split))[:OF_EACH_SPLIT] for split in flickr8k.SPLITS}
    kept = [name for own in names.values() for name in own]
    lines = (real / flickr8k.CAPTIONS).read_text(encoding="utf-8").splitlines(keepends=True)
    captions = [line for line in lines if line.partition("#")[0] in kept]
    texts = {flickr8k.CAPTIONS: "".join([*captions, "2258277193_586949ec62.jpg.1#0\tA rider .\n"])}
    texts |= {flickr8k.split_file(real, split).name: "\n".join(own) for split, own in names.items()}
    photographs = {f"{flickr8k.PHOTOGRAPHS}/{name}": (real / flickr8k.PHOTOGRAPHS / name).read_bytes() for name in kept}
    file = tmp_path / "datasets.toml"
    monkeypatch.setattr(catalogue, "FILE", file)
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    with serve() as served:
        served.files["/Flickr8k_text.zip"] = zipped({name: text.encode() for name, text in texts.items()})
        # What macOS adds to an archive, as it did to the published one.
        served.files["/Flickr8k_Dataset.zip"] = zipped({**photographs, "__MACOSX/._1.jpg": b"x"})
        served.tags["/Flickr8k_Dataset.zip"] = '"one"'
        published = (paths.CONFIGS / "datasets.toml").read_text(encoding="utf-8")
        assert published.count(RELEASE) == 2
        file.write_text(published.replace(RELEASE, served.url), encoding="utf-8")
        yield served


def test_what_was_cut_off_resumes_and_is_read(server: FileServer, tmp_path: Path) -> None:
    server.acts["/Flickr8k_Dataset.zip"] = [Act(cut=50_000), Act(status=503)]
    with pytest.raises(
        NegutilError, match=r"Flickr8k_Dataset\.zip could not be downloaded .*the finished part is kept"
    ):
        list(get.get("flickr8k", settings=PATIENT))
    photographs = 3 * OF_EACH_SPLIT
    done = [(one.what, one.status, one.files) for one in get.get("flickr8k", settings=PATIENT)]
    assert done == [
        ("flickr8k/Flickr8k_text.zip", "there already", 1),
        ("flickr8k/Flickr8k_Dataset.zip", "unpacked", photographs + 1),
    ]
    assert server.ranges("/Flickr8k_Dataset.zip") == [None, "bytes=50000-", "bytes=50000-"]
    rows = flickr8k.load(tmp_path / "data" / "flickr8k")
    assert len(rows) == photographs
    assert rows[0]["image"].size == (224, 224)


def test_the_commands_get_and_check(server: FileServer, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["data", "get", "flickr8k"])
    assert told.exit_code == 0
    assert "the photographs belong to their photographers" in told.stdout
    checked = CliRunner().invoke(app, ["data", "check", "flickr8k"])
    assert checked.exit_code == 0
    assert "part, flickr8k/Flickr8k.token.txt: 12 of 8,091 photographs, 60 of 40,455 captions: a part" in checked.stdout
    assert "1 left out, the first is line 61: '2258277193_586949ec62.jpg.1' is not the name" in checked.stdout
    photograph = next((tmp_path / "data" / "flickr8k" / flickr8k.PHOTOGRAPHS).glob("*.jpg"))
    photograph.write_bytes(b"damaged")
    checked = CliRunner().invoke(app, ["data", "check", "flickr8k"])
    assert checked.exit_code == 1
    assert f"the first is {photograph.name}: delete and download them again" in checked.stdout
