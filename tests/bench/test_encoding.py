"""negutil encode: the features of the encoder, in shards that say what they are, resumed where they are whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from PIL import Image
from typer.testing import CliRunner

from negutil.bench import encoding
from negutil.bench.encoding import Settings
from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.models import encode, loader

MODEL = "miniclip-s-8"
TEXTS = ["a dog", None, "no dog", "a dog", "", "two cats and a dog"]


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    file = tmp_path / "captions.parquet"
    pl.DataFrame({"id": range(6), "TEXT": TEXTS}).write_parquet(file)
    return file


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "b").mkdir(parents=True)
    for number, name in enumerate(("z.png", "b/a.JPG", "b/c.png")):
        Image.new("RGB", (70, 64), (80 * number, 9, 200)).save(folder / name, "PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    outcome = CliRunner().invoke(cli.app, ["encode", *map(str, arguments)])
    return outcome.exit_code, outcome.stdout, outcome.stderr


def features(out: Path) -> np.ndarray:
    return np.concatenate([safetensors.numpy.load_file(file)["features"] for file in sorted(out.glob("*.safetensors"))])


def test_captions_become_the_features_of_the_encoder(captions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = encoding.run([captions], out, Settings(MODEL), shard_size=4)
    expected = encode.texts(loader.load(MODEL, "cpu"), [text or "" for text in TEXTS], cached=False)
    np.testing.assert_allclose(features(out), expected, atol=1e-6)
    assert [shard["rows"] for shard in made["shards"]] == [4, 2]
    assert [shard["inputs"]["null"] for shard in made["shards"]] == [1, 0]
    assert made["model"]["weights_sha256"] == loader.load(MODEL, "cpu").fingerprint["weights_sha256"]
    told = json.loads((out / encoding.MANIFEST).read_text())
    assert told == {name: value for name, value in made.items() if name not in ("kept", "left_out")}


def test_pictures_in_parquet_have_their_names(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = Settings(MODEL, format="parquet", store="float16")
    encoding.run([pictures], out, settings)
    table = pq.read_table(out / "00000.parquet")
    assert table["key"].to_pylist() == ["b/a.JPG", "b/c.png", "z.png"]
    found = np.array(table["features"].to_pylist())
    opened = [Image.open(pictures / name).convert("RGB") for name in table["key"].to_pylist()]
    expected = encode.images(loader.load(MODEL, "cpu"), opened, cached=False)
    assert table.schema.field("features").type.value_type == "halffloat"
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert json.loads((out / "00000.json").read_text())["names"] == ["b/a.JPG", "b/c.png", "z.png"]


def test_a_stopped_run_goes_on_and_what_is_damaged_is_made_again(captions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def content() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in out.iterdir()}

    encoding.run([captions], out, Settings(MODEL), shard_size=2)
    whole = content()
    (out / "00001.json").unlink()
    (out / "00002.safetensors").write_bytes(b"half")
    (out / encoding.MANIFEST).unlink()
    assert encoding.run([captions], out, Settings(MODEL), shard_size=2)["kept"] == 1
    assert content() == whole
    assert encoding.run([captions], out, Settings(MODEL), shard_size=2)["kept"] == 3
    pl.DataFrame({"id": range(6), "TEXT": [*TEXTS[:5], "changed"]}).write_parquet(captions)
    assert encoding.run([captions], out, Settings(MODEL), shard_size=2)["kept"] == 2
    assert encoding.run([captions], out, Settings(MODEL), shard_size=2, fresh=True)["kept"] == 0


def test_a_folder_of_other_features_or_of_somebody_else_is_left_alone(captions: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    encoding.run([captions], out, Settings(MODEL))
    with pytest.raises(NegutilError, match="contains features of other inputs or settings"):
        encoding.run([captions], out, Settings(MODEL, batch=2))
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(NegutilError, match="nor a folder of features"):
            encoding.run([captions], other, Settings(MODEL), fresh=fresh)
    assert [file.name for file in other.iterdir()] == ["mine.txt"]


def test_command(captions: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said, _ = run(captions, "--model", MODEL, "--out", out, "--json")
    assert status == 0
    assert (json.loads(said)["rows"], json.loads(said)["width"]) == (6, 128)
    status, said, _ = run(captions, "--model", MODEL, "--out", out)
    assert status == 0 and "6 captions of 128 numbers in 1 shards (1 of them already existed)" in said
    problems: dict[str, tuple[object, ...]] = {
        "pass --column": (_unusual(tmp_path), "--model", MODEL),
        "There is no model 'nonsense'": (captions, "--model", "nonsense"),
        "is not a folder": (captions, "--model", MODEL, "--kind", "images"),
        "has no images": (_empty(tmp_path), "--model", MODEL, "--kind", "images"),
        "choose with --kind": (_both(pictures), "--model", MODEL),
        "are for the engine ray": (captions, "--model", MODEL, "--workers", 2),
    }
    for number, (says, arguments) in enumerate(problems.items()):
        status, said, error = run(*arguments, "--out", tmp_path / f"out{number}")
        assert (status, said, error.count("\n")) == (2, "", 1), error
        assert says in error
    for option, wrong in {"--format": "npz", "--store": "int8", "--kind": "clips", "--on-error": "ignore"}.items():
        status, _, error = run(captions, "--model", MODEL, option, wrong, "--out", tmp_path / "none")
        assert status == 2 and f"Invalid value for '{option}'" in error and f"'{wrong}' is not one of" in error
    with pytest.raises(NegutilError, match="no format 'npz': choose one of safetensors, parquet"):
        Settings(MODEL, format="npz")


def test_a_broken_picture_is_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "b" / "c.png").write_bytes(b"no picture")
    with pytest.raises(NegutilError, match=r"c\.png cannot be read as an image"):
        encoding.run([pictures], tmp_path / "out", Settings(MODEL), shard_size=1)
    assert not (tmp_path / "out" / encoding.MANIFEST).exists()
    assert (tmp_path / "out" / "00000.json").exists()


def test_pictures_that_cannot_be_read_can_be_left_out(pictures: Path, tmp_path: Path) -> None:
    (pictures / "b" / "c.png").write_bytes(b"no picture at all")
    (pictures / "._z.png").write_bytes(b"what macOS keeps beside a picture")
    code, said, told = run(pictures, "--model", MODEL, "--out", tmp_path / "out", "--on-error", "skip")
    assert code == 0 and "2 images" in said
    assert "c.png cannot be read as an image" in told and "Images left out: 1" in told
    kept = json.loads((tmp_path / "out" / "00000.json").read_text())
    assert kept["names"] == ["b/a.JPG", "z.png"] and list(kept["left_out"]) == ["b/c.png"]
    opened = [Image.open(pictures / name).convert("RGB") for name in kept["names"]]
    expected = encode.images(loader.load(MODEL, "cpu"), opened, cached=False)
    np.testing.assert_allclose(features(tmp_path / "out"), expected, atol=1e-6)


def test_real_awkward_pictures_are_read_or_left_out_with_a_reason(shared_data: Path, tmp_path: Path) -> None:
    folder, kinds = tmp_path / "pictures", (".png", ".tif", ".tiff", ".gif", ".jpg")
    folder.mkdir()
    for file in (file for file in (shared_data / "bad_input").iterdir() if file.suffix in kinds):
        shutil.copy(file, folder)
    (folder / "._a.jpg").write_bytes(b"what macOS keeps beside an image")
    with Image.open(folder / "gray16.png") as opened:  # the same picture with eight bits
        Image.fromarray(np.rint(np.asarray(opened, dtype=float) / 257).astype(np.uint8)).save(folder / "gray8.png")
    code, _, told = run(folder, "--model", MODEL, "--out", tmp_path / "out", "--on-error", "skip")
    kept = json.loads((tmp_path / "out" / "00000.json").read_text())
    assert (code, list(kept["left_out"])) == (0, ["jpeg_without_end.jpg"])
    assert "jpeg_without_end.jpg cannot be read as an image (" in told
    assert kept["names"] == ["exif6.jpg", "gray16.png", "gray16.tif", "gray8.png", "only.gif", "only.tiff"]
    found = dict(zip(kept["names"], features(tmp_path / "out"), strict=True))
    for name in ("gray16.png", "gray16.tif"):
        np.testing.assert_allclose(found[name], found["gray8.png"], atol=1e-6)


def test_parts_cover_every_row_once(tmp_path: Path) -> None:
    for number, count in enumerate((5, 0, 7)):
        pl.DataFrame({"text": [f"{number} {row}" for row in range(count)]}).write_parquet(
            tmp_path / f"{number}.parquet"
        )
    parts = encoding.plan([tmp_path], "", None, 3)
    texts = [text for part in parts for text in part.captions]
    assert texts == [f"0 {row}" for row in range(5)] + [f"2 {row}" for row in range(7)]
    assert [part.number for part in parts] == list(range(5))


def _unusual(folder: Path) -> Path:
    file = folder / "unusual.parquet"
    pl.DataFrame({"a": ["x"], "b": ["y"]}).write_parquet(file)
    return file


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _both(pictures: Path) -> Path:
    (pictures / "captions.csv").write_text("caption\na dog\n")
    return pictures
