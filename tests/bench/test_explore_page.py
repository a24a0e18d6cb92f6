"""``negutil explore``: the page, its answers, and that nothing but the folder's images can be read through it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pytest
from data_files import complaint, picture
from PIL import Image

from negutil import paths
from negutil.bench import explore_page
from negutil.bench import model as bench_model
from negutil.bench.explore_page import FolderExplorer, Server
from negutil.captions.splitting import Split
from negutil.models import encode, queries
from negutil.models.loader import LoadedModel


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return bench_model.load(model_files.ARCHITECTURE, "random")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images, one of them below another folder; a damaged one; a file and a link that are none of its images."""
    root = tmp_path_factory.mktemp("explored")
    for number, pixels in enumerate(model_files.pictures(7)):
        file = root / "images" / ("deep/last.png" if number == 6 else f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((640, 480)).save(file)
    (root / "images" / "damaged.png").write_bytes(b"no image")
    (root / "images" / "secret.txt").write_text("secret")
    (root / "images" / "link.png").symlink_to(picture(root / "outside.png"))
    return root / "images"


@pytest.fixture(scope="module")
def explorer(folder: Path, model: LoadedModel) -> FolderExplorer:
    return FolderExplorer(
        folder, [model, bench_model.load(model_files.ARCHITECTURE, "random", seed=1)], "subtraction=0.4"
    )


@pytest.fixture(scope="module")
def address(explorer: FolderExplorer) -> Iterator[str]:
    with Server(explorer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


def fetch(address: str) -> tuple[int, str, bytes]:
    """Status, type and content."""
    try:
        with urllib.request.urlopen(address, timeout=30) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers["Content-Type"], refused.read()


def search(address: str, words: str) -> Any:
    return json.loads(fetch(f"{address}search?{words}")[2])


def test_the_page_needs_nothing_from_elsewhere(address: str) -> None:
    status, kind, content = fetch(address)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"<form" in content and b"http" not in content


def test_what_was_left_out_is_said(address: str, folder: Path) -> None:
    about = json.loads(fetch(f"{address}about")[2])
    assert (about["images"], about["folder"], len(about["models"])) == (7, str(folder), 2)
    assert set(about["left_out"]) == {"damaged.png", "link.png"}
    assert "0.png" not in about["left_out"] and "damaged.png cannot be read" in about["left_out"]["damaged.png"]


def test_a_query_is_asked_in_three_ways_side_by_side(
    address: str, explorer: FolderExplorer, model: LoadedModel, folder: Path
) -> None:
    found = search(address, "query=a+street+with+no+dog&count=7")
    texts = ["a street with no dog", "a street with a dog", "a street − a dog"]
    assert [column["text"] for column in found["columns"]] == texts
    assert len(found["models"]) == 2 and found["models"][0]["lists"] != found["models"][1]["lists"]
    own = found["models"][0]
    files = [folder / each["name"] for each in sorted(own["lists"][0], key=lambda each: each["image"])]
    images = encode.images(model, [Image.open(file) for file in files], cached=False)
    street, dog = encode.texts(model, ["a street", "a photo of a dog"], cached=False)
    vectors = [*encode.texts(model, texts[:2], cached=False), queries.subtracted(street[None], dog[None], 0.4)[0]]
    for shown, vector in zip(own["lists"], vectors, strict=True):
        scores = {each["image"]: each["score"] for each in shown}
        np.testing.assert_allclose([scores[row] for row in range(7)], images @ vector, atol=2e-4)
        assert [each["score"] for each in shown] == sorted(scores.values(), reverse=True)
    assert own["same"] == 7
    assert [each["unknown"] for each in found["models"]] == [[], []], "only the world's models are told its words"


def test_a_query_without_a_negation_has_one_column(address: str) -> None:
    found = search(address, "query=a+dog")
    assert [column["title"] for column in found["columns"]] == ["as typed"]
    assert (found["models"][0]["same"], len(found["models"][0]["lists"][0])) == (None, explore_page.SHOWN)
    only = search(address, "query=no+dog&count=1")
    assert [column["text"] for column in only["columns"]] == ["no dog", "a dog", "a photo − a dog"]
    assert explore_page.without_negation(Split("a street with cars", "a dog")) == "a street with cars and a dog"


@pytest.mark.parametrize(
    ("method", "text"),
    [("affirmed part", "a street"), ("caps=0.5", "a street − a dog"), ("steering=0.2", "a street with no dog")],
)
def test_every_method_without_training_has_its_column(method: str, text: str, folder: Path, model: LoadedModel) -> None:
    asking = FolderExplorer(folder, [model], method)
    found = asking.search("a street with no dog", 7)
    assert found["columns"][2] == {"title": f"by {method.partition('=')[0]}", "text": text}
    wanted = bench_model.with_method(model, method).matrix(["a street with no dog"], asking.models[model.name].images)[
        0
    ]
    scores = {each["image"]: each["score"] for each in found["models"][0]["lists"][2]}
    np.testing.assert_allclose([scores[row] for row in range(7)], wanted, atol=1e-4)


def test_an_empty_query_is_refused_in_words(address: str) -> None:
    for words in ("query=", "query=+", "", f"query={'x' * 501}"):
        status, _, content = fetch(f"{address}search?{words}")
        assert (status, "characters" in json.loads(content)["problem"]) == (400, True)


def test_images_are_small_copies(address: str) -> None:
    status, kind, content = fetch(f"{address}image/6")
    assert (status, kind) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(content)).size == (320, 240)


@pytest.mark.parametrize(
    "path",
    [
        *("image/7", "image/-1", "image/x", "image/", "image/1/..", "image/%D9%A3", "images/0.png", "secret.txt"),
        *("../outside.png", "image/../../outside.png", "image/%2e%2e/%2e%2e/outside.png", "//etc/passwd", "etc/passwd"),
        *("..%2foutside.png", "image/0%00", "search/", "about/x", "0.png"),
    ],
)
def test_nothing_else_can_be_read(path: str, address: str) -> None:
    host, port = address.removeprefix("http://").strip("/").split(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("GET", f"/{path}", skip_host=True)  # as it is: nothing is tidied
    connection.putheader("Host", f"{host}:{port}")
    connection.endheaders()
    assert connection.getresponse().status == 404


def test_a_page_elsewhere_cannot_ask(address: str) -> None:
    request = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request, timeout=30)


def test_it_listens_on_this_machine_alone(explorer: FolderExplorer) -> None:
    with Server(explorer) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert "give another --port" in complaint(Server, explorer, server.server_port)


def test_what_cannot_be_explored(tmp_path: Path, model: LoadedModel) -> None:
    assert "has no images" in complaint(FolderExplorer, tmp_path, [model])
    assert "is not a folder" in complaint(FolderExplorer, tmp_path / "gone", [model])
    assert "no method 'magic'" in complaint(FolderExplorer, tmp_path, [model], "magic")
    (tmp_path / "0.png").write_bytes(b"no image")
    assert "0.png" in complaint(FolderExplorer, tmp_path, [model])


def test_the_command_serves_until_it_is_stopped(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "negutil", "explore", str(folder), "--model", "miniclip-s-8", "--method", "caps"]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("7 images: open http://127.0.0.1:"), line
        address = line.split("open ")[1].split()[0]
        assert fetch(address)[0] == 200
        found = search(address, "query=a+zebra+and+no+dog")
        assert found["models"][0]["unknown"] == ["zebra"]
        assert [column["title"] for column in found["columns"]] == ["as typed", "without the negation", "by caps"]
        shown = found["models"][0]["lists"][0][0]["image"]
        assert fetch(f"{address}image/{shown}")[1] == "image/jpeg"
        assert fetch(f"{address}../outside.png")[0] == 404
    finally:
        process.send_signal(signal.SIGINT)
        rest, problems = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "Stopped.\n")
    assert problems.count("\n") == 2 and problems.count("Left out: ") == 2
