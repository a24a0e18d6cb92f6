"""NEGUTIL_DATA is for published data alone: the mini world never goes there, and nobody but `data get` writes there."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import chat_server
import published_files
import pytest
from data_files import listing, write_json
from typer.testing import CliRunner

from miniworld import build
from negutil import config, paths
from negutil.captions import caption_sets, web_captions
from negutil.commands import cli
from negutil.compare import binary_probe
from negutil.config import Profile, Splits
from negutil.data import skipped
from negutil.tasks import suite
from negutil.train import sets

WATCHED = """
import json, os, sys
folder, touched = sys.argv[1], set()
def watch(event, arguments):
    if event.startswith(("open", "os.", "shutil.", "tempfile.")):
        named = [os.fsdecode(one) for one in arguments if isinstance(one, str | bytes | os.PathLike)]
        touched.update(f"{event} {one}" for one in named if one.startswith(folder))
sys.addaudithook(watch)
import tiny_world
from negutil.compare import binary_probe
settings = tiny_world.settings()
folders = [str(folder) for folder in tiny_world.build(settings)]
faces = len(binary_probe.load_faces(settings))
told = sorted(touched)
os.listdir(folder)
print(json.dumps({"touched": told, "listed": len(touched) - len(told), "folders": folders, "faces": faces}))
"""
SHOWN = {9: "COCO_train2014_000000000009.jpg", 7: "000000000007.png", 3: "000000000003.png", 1: "COCO_train2014_1.jpg"}
"""Training pictures that the published files have, of which they ask a question about the first."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a small file of every published format that may not be written to; NEGUTIL_DATA names it."""
    written = published_files.write(tmp_path / "data")
    images = [{"id": number, "file_name": name, "width": 12, "height": 8} for number, name in SHOWN.items()]
    said = [{"id": number, "image_id": number, "caption": f"a dog and {number} cats"} for number in SHOWN]
    captions = written / "coco" / "annotations" / "captions_train2014.json"
    write_json(captions, {"images": images, "annotations": said})
    everything = [written, *written.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    monkeypatch.setenv("NEGUTIL_DATA", str(written))
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    yield written
    for path in everything:
        path.chmod(path.stat().st_mode | 0o200)


def test_the_mini_world_neither_reads_nor_writes_there(folder: Path, tmp_path: Path) -> None:
    before = listing(folder)
    run = [sys.executable, "-c", WATCHED, str(folder)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(paths.ROOT), str(Path(__file__).parent / "support")]),
    }
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["listed"] == 1  # what is touched is seen
    assert told["touched"] == []
    assert len(told["folders"]) > len(build.PARTS)
    assert all(Path(one).is_relative_to(tmp_path / "cache" / "data" / "quick") for one in told["folders"])
    assert told["faces"] == 20  # the three of the user's folder are others
    assert listing(folder) == before


def annotate(asked: str, _: int) -> chat_server.Act:
    """What a language model (and, of pictures, a vision model that sees none of it) would say."""
    if asked.startswith("Is there"):
        reply = "no"
    elif "Not there: " in asked:
        caption, absent = asked.removeprefix("Caption: ").split("\nNot there: ")
        reply = f"{caption} without a {absent}"
    else:
        reply = json.dumps(["zebra", "kite", "spoon", "clock", "tie"] if "How many" in asked else ["dog"])
    return chat_server.Act(body=chat_server.completion(reply))


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profile]:
    """The paper profile with few items of CC-Neg and shapes, annotated by a server."""
    found = config.load("paper")
    few = dataclasses.replace(found.world, ccneg=Splits(1, 0, 2), shapes=Splits(20, 10, 10))
    with chat_server.serve(annotate) as server:
        endpoint = f'{{ kind = "endpoint", url = "{server.url}", model = "m" }}'
        lines = [f"{name} = {endpoint}" for name in ("language", "random_language", "vision")]
        (tmp_path / "annotators.toml").write_text("\n".join(["[paper]", *lines]))
        monkeypatch.setattr(caption_sets, "SETTINGS", tmp_path / "annotators.toml")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield dataclasses.replace(found, world=few)


def test_the_paper_profile_reads_it_and_leaves_it_as_it_is(folder: Path, paper: Profile, tmp_path: Path) -> None:
    before = listing(folder)
    skipped.forget()
    assert CliRunner().invoke(cli.app, ["data", "check"]).exit_code == 0
    assert len(binary_probe.load_faces(paper)) == 2
    assert web_captions.run(paper).counts.rows == 4
    data = suite.prepare(paper)
    assert {suite.IMAGENET, suite.VALSE, suite.CCNEG} <= set(data)
    made = caption_sets.build(paper)
    assert made == sets.folder(paper) == tmp_path / "cache" / "data" / "paper" / "captions"
    assert {path.name for path in made.iterdir()} >= {caption_sets.P1, caption_sets.P2}
    assert listing(folder) == before


def test_published_data_without_the_variable_lie_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path))
    assert paths.published() == config.load("paper").data == tmp_path / "published"
    assert config.load("mini").data == tmp_path / "data" / "mini"
