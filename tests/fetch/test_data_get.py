"""`negutil data get` against a real server, with a catalogue of its own: downloads, archives, steps, Ctrl-C."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Act, FileServer, serve, zipped
from huggingface_hub import constants
from typer.testing import CliRunner

from negutil import config, paths
from negutil.captions.negbench_files import VARIATIONS
from negutil.commands.cli import app
from negutil.data import download, skipped
from negutil.data.download import Settings
from negutil.errors import NegutilError
from negutil.fetch import catalogue as data_catalogue
from negutil.fetch import get
from negutil.models import hub
from negutil.tasks import negbench, suite

FAST = Settings(connect=2.0, stall=0.5, attempts=2, first_wait=0.01, longest_wait=1.0, reserve=0)
CATALOGUE = """
[sets]
title = "Some sets"
kind = "dataset"
notebooks = ["03"]
used_for = "tests"
without = "nothing is lost"
size = "small"
licence = "MIT"
access = "free"
source = "https://example.org/sets"
[[sets.parts]]
path = "sets/pictures/"
read = "files"
counts = { files = 2 }
[[sets.parts]]
path = "sets/prompts.json"
read = "prompts"
counts = { prompts = 1 }
[[sets.fetch]]
url = "URL/pictures.zip"
to = "sets/pictures.zip"
into = "sets"
gives = ["sets/pictures/"]
[[sets.fetch]]
url = "URL/prompts.json"
to = "sets/prompts.json"
gives = ["sets/prompts.json"]

[asked]
title = "To be asked for"
kind = "dataset"
notebooks = ["03"]
used_for = "tests"
without = "nothing is lost"
size = "unknown"
licence = "unknown"
access = "request"
source = "https://example.org/asked"
steps = ["write a letter", "wait"]
[[asked.parts]]
path = "asked/answer.txt"
read = "json"

[hubbed]
title = "On a hub"
kind = "checkpoint"
notebooks = ["08"]
used_for = "tests"
without = "nothing is lost"
size = "unknown"
licence = "unknown"
access = "free"
source = "https://example.org/hubbed"
[[hubbed.parts]]
hub = "CIDAS/clipseg-rd64-refined"
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    with serve() as served:
        served.files["/pictures.zip"] = zipped({"pictures/1.jpg": b"1" * 1000, "pictures/2.jpg": b"2" * 1000})
        served.files["/prompts.json"] = b'[{"Prompt": "a", "Question1": "b", "Question2": "c"}]'
        catalogue = tmp_path / "datasets.toml"
        catalogue.write_text(CATALOGUE.replace("URL", served.url))
        monkeypatch.setattr(data_catalogue, "FILE", catalogue)
        monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
        yield served


def statuses(**options: object) -> list[tuple[str, str, int]]:
    found = get.get("sets", settings=FAST, **options)  # type: ignore[arg-type]
    return [(done.what, done.status, done.files) for done in found]


def test_archives_are_unpacked_and_nothing_is_fetched_twice(server: FileServer, tmp_path: Path) -> None:
    assert data_catalogue.state("sets") == "missing"
    assert statuses() == [("sets/pictures.zip", "unpacked", 2), ("sets/prompts.json", "downloaded", 1)]
    assert {path.name for path in (tmp_path / "data" / "sets").iterdir()} == {"pictures", "prompts.json"}
    assert data_catalogue.state("sets") == "here"
    assert [status for _, status, _ in statuses()] == ["there already"] * 2
    assert len(server.requests) == 2


def test_archives_can_be_kept_and_put_elsewhere(server: FileServer, tmp_path: Path) -> None:
    statuses(folder=tmp_path / "else", keep=True)
    assert (tmp_path / "else" / "sets" / "pictures.zip").is_file()
    assert data_catalogue.state("sets") == "missing"
    assert data_catalogue.state("sets", tmp_path / "else") == "here"
    assert data_catalogue.state("sets", tmp_path / "else" / "sets") == "here"


def test_an_archive_that_is_there_is_not_fetched(server: FileServer, tmp_path: Path) -> None:
    own = tmp_path / "data" / "sets"
    own.mkdir(parents=True)
    (own / "pictures.zip").write_bytes(server.files["/pictures.zip"])
    statuses()
    assert [path for path, _ in server.requests] == ["/prompts.json"]


def test_another_archive_than_expected_is_told(server: FileServer) -> None:
    server.files["/pictures.zip"] = zipped({"other/1.jpg": b"1"})
    with pytest.raises(NegutilError, match=r"has no sets/pictures/: delete this archive"):
        statuses()


def test_a_later_download_has_to_be_the_file_of_the_first(server: FileServer, tmp_path: Path) -> None:
    statuses()
    (tmp_path / "data" / "sets" / "prompts.json").unlink()
    server.files["/prompts.json"] = b"[]"
    with pytest.raises(NegutilError, match=r"has sha256 \w+ instead of .*delete .*prompts\.json\.\w+\.sha256"):
        statuses()
    (note,) = (tmp_path / "cache" / "downloads").glob("prompts.json.*")
    note.unlink()
    assert statuses()[-1] == ("sets/prompts.json", "downloaded", 1)


def test_the_mini_world_is_not_mixed_with_published_data(server: FileServer, tmp_path: Path) -> None:
    own = tmp_path / "data" / "sets"
    (own / "pictures").mkdir(parents=True)
    (own / "pictures" / "1.jpg").write_bytes(b"drawn")
    (own / "manifest.json").write_text("{}")
    assert data_catalogue.state("sets") == "missing"
    with pytest.raises(NegutilError, match="made by the mini world: set NEGUTIL_DATA"):
        statuses()


def test_what_is_on_a_hub_that_is_not_reached_is_one_sentence(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def fail(*args: object, **options: object) -> None:
        raise OSError("401 for hf_token_of_a_test")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(hub, "is_reachable", lambda: True)
    monkeypatch.setenv("HF_TOKEN", "hf_token_of_a_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(
        NegutilError, match=r"CIDAS/clipseg-rd64-refined could not be fetched .*401 for <HF_TOKEN>\): go online"
    ):
        list(get.get("hubbed"))


def test_a_hub_file_that_is_there_is_found(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert data_catalogue.state("hubbed") == "missing"
    snapshot = tmp_path / "hub" / "models--CIDAS--clipseg-rd64-refined" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x")
    assert data_catalogue.state("hubbed") == "here"
    assert [done.status for done in get.get("hubbed")] == ["there already"]


def test_the_command_tells_steps_for_what_is_not_free(server: FileServer) -> None:
    done = CliRunner().invoke(app, ["data", "get", "asked"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-3:] == ["1. write a letter", "2. wait", "Then: negutil data check asked"]
    assert not server.requests


def test_the_command_gets_and_checks(server: FileServer, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "get", "sets"])
    assert done.exit_code == 0
    assert "sets/pictures.zip: unpacked, 2 files" in done.stdout
    assert CliRunner().invoke(app, ["data", "check", "sets"]).exit_code == 0
    (tmp_path / "data" / "sets" / "prompts.json").write_text("[")
    checked = CliRunner().invoke(app, ["data", "check", "sets"])
    assert checked.exit_code == 1
    assert "the JSON breaks off or is damaged" in checked.stdout
    assert CliRunner().invoke(app, ["data", "check", "hubbed"]).exit_code == 1
    assert CliRunner().invoke(app, ["data", "check"]).exit_code == 1
    assert CliRunner().invoke(app, ["data", "get", "nothing"]).exit_code == 2


COMMAND = """
import sys
from pathlib import Path
from negutil.commands import cli
from negutil.fetch import catalogue
catalogue.FILE = Path(sys.argv.pop(1))
cli.main()
"""


def run(catalogue: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, str(catalogue), "data", "get", "sets"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_ctrl_c_keeps_the_part_and_the_next_call_goes_on(server: FileServer, tmp_path: Path) -> None:
    whole = zipped({"pictures/1.jpg": os.urandom(500_000), "pictures/2.jpg": b"2"})
    server.files["/pictures.zip"], server.tags["/pictures.zip"] = whole, '"one"'
    server.acts["/pictures.zip"] = [Act(cut=300_000, stall=20.0)]
    part = tmp_path / "data" / "sets" / "pictures.zip.part"
    with run(tmp_path / "datasets.toml") as stopped:
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size >= 200_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        stopped.send_signal(signal.SIGINT)
        _, told = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "Interrupted" in told
    assert "Traceback" not in told
    have = part.stat().st_size
    assert 0 < have <= 300_000
    assert statuses()[0] == ("sets/pictures.zip", "unpacked", 2)
    assert server.ranges("/pictures.zip") == [None, f"bytes={have}-"]
    assert (tmp_path / "data" / "sets" / "pictures" / "1.jpg").stat().st_size == 500_000


FEW, ARCHIVE = 6, "/annotations/annotations_trainval2017.zip"
MCQ, REFERRING = "COCO_val_mcq_llama3.1_rephrased.csv", "NegRefCOCOg.json"


@pytest.fixture
def starter(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """The real files of the starter set under the paths that they have on their own servers, and a few images."""
    with serve() as served:
        text = (paths.CONFIGS / "datasets.toml").read_text(encoding="utf-8")
        for url in re.findall(r'^url = "https://raw.githubusercontent.com([^"]+)"', text, re.MULTILINE):
            for file in shared_data.glob(f"neg*/{url.rpartition('/')[2]}"):
                served.files[url] = file.read_bytes()
        for host in ("http://images.cocodataset.org", "https://raw.githubusercontent.com"):
            text = text.replace(host, served.url)
        text = text.replace("most = 500", f"most = {FEW}").replace(
            f'names = "negrefcocog/{REFERRING}"', f'names = "negrefcocog/{REFERRING}"\nmost = {FEW}'
        )
        kept = [  # without the files of NegBench of which there is no real sample
            block
            for block in re.split(r"(?m)^(?=\[)", text)
            if not (block.startswith("[[negbench.fetch]]") and not any(path in block for path in served.files))
        ]
        catalogue = tmp_path / "datasets.toml"
        catalogue.write_text("".join(kept), encoding="utf-8")
        annotations = (shared_data / "coco" / "annotations").iterdir()
        inside = {f"annotations/{file.name}": file.read_bytes() for file in annotations}
        served.files[ARCHIVE] = zipped({"annotations/captions_train2017.json": bytes(3 * download.BLOCK)} | inside)
        # Photographs of val2017 stand for those that are not among the samples.
        photographs = itertools.cycle(sorted((shared_data / "coco" / "val2017").iterdir()))
        for release, names in (("val2017", asked(shared_data)), ("train2014", referred_to(shared_data))):
            for name, file in zip(names, photographs, strict=False):
                served.files[f"/{release}/{name}"] = file.read_bytes()
        monkeypatch.setattr(data_catalogue, "FILE", catalogue)
        monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(skipped, "_noted", {})
        yield served


def asked(shared: Path) -> list[str]:
    """The first images that the real questions are about."""
    with (shared / "negbench" / MCQ).open(newline="", encoding="utf-8") as stream:
        return list(dict.fromkeys(Path(row["image_path"]).name for row in csv.DictReader(stream)))[:FEW]


def referred_to(shared: Path) -> list[str]:
    """The first images of the real file of referring phrases."""
    rows = json.loads((shared / "negrefcocog" / REFERRING).read_text(encoding="utf-8"))
    return list(dict.fromkeys(row["image"] for row in rows))[:FEW]


def test_the_starter_set_is_fetched_image_by_image_and_can_be_asked(
    starter: FileServer, shared_data: Path, tmp_path: Path
) -> None:
    names = asked(shared_data)
    done = {each.what: (each.status, each.files) for each in get.get("starter", settings=FAST)}
    assert done["coco/"] == ("downloaded", 2)
    assert done["coco/val2017/"] == done["coco/train2014/"] == ("downloaded", FEW)
    coco = tmp_path / "data" / "coco"
    assert sorted(path.name for path in (coco / "val2017").iterdir()) == sorted(names)
    for name in ("captions_val2017.json", "instances_val2017.json"):
        real = shared_data / "coco" / "annotations" / name
        assert (coco / "annotations" / name).read_bytes() == real.read_bytes()
    assert None not in starter.ranges(ARCHIVE)  # the archive was never downloaded whole
    before = len(starter.requests)
    assert {each.status for each in get.get("starter", settings=FAST)} == {"there already"}
    assert len(starter.requests) == before
    (coco / "val2017" / names[2]).unlink()
    assert [each.files for each in get.get("starter", settings=FAST) if each.what == "coco/val2017/"] == [1]
    with (shared_data / "negbench" / MCQ).open(newline="", encoding="utf-8") as stream:
        answerable = sum(Path(row["image_path"]).name in names for row in csv.DictReader(stream))
    paper = config.load("paper")
    (questions,) = negbench.load_all(paper, [each for each in VARIATIONS if each.published == MCQ])
    assert len(questions.rows) == answerable
    data = suite.prepare(paper, [suite.REFERRING])
    assert len(data[suite.REFERRING]) >= FEW


def test_an_image_that_is_not_on_the_server_is_named(starter: FileServer, shared_data: Path) -> None:
    name = asked(shared_data)[1]
    del starter.files[f"/val2017/{name}"]
    with pytest.raises(NegutilError, match=f"val2017/{name} answers 404"):
        list(get.get("starter", settings=FAST))


def test_a_server_that_gives_no_parts_of_an_archive_is_named(starter: FileServer) -> None:
    starter.acts[ARCHIVE] = [Act(ranges=False)]
    with pytest.raises(NegutilError, match=r"trainval2017\.zip does not give .* to a request for part of the file"):
        list(get.get("starter", settings=FAST))
