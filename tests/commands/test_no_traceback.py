"""Every command, called wrongly: no traceback, status 2, and one line that names the file or the argument."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import model_files
import pytest
import typer
from data_files import picture, write_json, write_text
from huggingface_hub import constants
from PIL import Image
from typer.testing import CliRunner, Result

from negutil import paths
from negutil.commands import cli
from negutil.models import hub

MODEL = model_files.ARCHITECTURE
BENCH = f"bench {MODEL} --pretrained random --device cpu --out {{new}}"


def encode(what: Path | str) -> str:
    """The command line that encodes ``what``."""
    return f"encode {what} --model {MODEL} --pretrained random --out {{new}}"


PICTURES = encode("{pictures}")

CASES = (
    ("bench nothing --pairs {mine}", "'nothing'"),
    ("bench miniclip-s-8+nothing/seed0 --pairs {mine}", "'miniclip-s-8+nothing/seed0'"),
    ("bench ViT-B-32 --pretrained nothing --pairs {mine}", "'nothing'"),
    ("bench coca_ViT-B-32 --pretrained random --pairs {mine}", "coca_ViT-B-32 has a third tower"),
    ("bench local-dir:{missing} --pairs {mine}", "{missing}"),
    ("bench local-dir: --pairs {mine}", "local-dir:"),
    (f"bench {MODEL} --pretrained {{missing}}.pt --pairs {{mine}}", "{missing}.pt"),
    (f"{BENCH}", "--negbench"),
    (f"{BENCH} --profile quick --only nothing", "'nothing'"),
    (f"{BENCH} --pairs {{mine}} --profile nothing", "'nothing'"),
    (f"{BENCH} --pairs {{mine}} --device nothing", "--device"),
    (f"{BENCH} --pairs {{mine}} --device meta", "--device"),
    (f"{BENCH} --pairs {{mine}} --dtype nothing", "'nothing'"),
    (f"{BENCH} --pairs {{mine}} --activation nothing", "'nothing'"),
    (f"{BENCH} --pairs {{mine}} --images {{missing}}", "{missing}"),
    (f"{BENCH} --pairs {{mine}} --images {{mine}}", "{mine}"),
    (f"{BENCH} --pairs {{mine}} --against {{missing}}", "{missing}"),
    (f"{BENCH} --pairs {{mine}} --clip-benchmark {{mine}}", "{mine}"),
    (f"{BENCH} --pairs {{mine}} --out {{mine}}", "{mine}"),
    (f"{BENCH} --pairs {{mine}} --out {{mine}}/under", "{mine}/under"),
    (f"{BENCH} --pairs {{mine}} --pairs {{mine}}", "'mine'"),
    (f"{BENCH} --pairs {{damaged_pictures}}/mine.csv", "{damaged_pictures}/0.png"),
    (f"{BENCH} --pairs {{large_picture}}/mine.csv", "{large_picture}/0.png"),
    (f"{BENCH} --pairs {{long}}", "{long}"),
    ("NEGUTIL_CACHE={long} cache clear", "{long}"),
    ("NEGUTIL_CACHE={long} cache info", "{long}"),
    ("NEGUTIL_CACHE={damaged_cache} cache info", "{damaged_cache}"),
    ("data check nothing", "'nothing'"),
    ("data get nothing", "'nothing'"),
    ("data get coco2017 --folder {mine}", "{mine}"),
    ("data list nothing", "'nothing'"),
    ("data list --folder {long}", "{long}"),
    ("encode {pictures} --model nothing --out {new}", "'nothing'"),
    (encode("{missing}"), "{missing}"),
    ("push {empty_folder} somebody/model", "{empty_folder}"),
    ("push {missing} somebody/model", "{missing}"),
    ("table 05", "05/table-2"),
    ("table 05/nothing", "'nothing'"),
    ("table 05/table-2 --profile nothing", "'nothing'"),
    ("run --profile quick --only 00 --out {mine}", "{mine}"),
    ("verify {missing}", "{missing}"),
    ("verify --profile nothing", "'nothing'"),
    (encode("{mixed}"), "{mixed}"),
    (encode("{empty_folder}"), "{empty_folder}"),
    (encode("{damaged_pictures}") + " --kind images", "{damaged_pictures}/0.png"),
    (encode("{large_picture}") + " --kind images", "{large_picture}/0.png"),
    (encode("{mine}") + " --column nothing", "'nothing'"),
    (encode("{mine}") + " --column 9", "column 9"),
    (f"{PICTURES} --out {{mine}}", "{mine}"),
    (f"{PICTURES} --out {{mine}}/under", "{mine}/under"),
    (f"{PICTURES} --out {{pictures}}", "{pictures}"),
    (f"{PICTURES} --out {{damaged_plan}}", "{damaged_plan}"),
    (f"{PICTURES} --device nothing", "--device"),
    (f"{PICTURES} --dtype nothing", "'nothing'"),
    (f"{PICTURES} --kind nothing", "'nothing'"),
    (f"{PICTURES} --format nothing", "'nothing'"),
    (f"{PICTURES} --store nothing", "'nothing'"),
    (f"{PICTURES} --engine nothing", "'nothing'"),
    (f"{PICTURES} --workers 2", "--workers"),
    (f"explore {{pictures}} --model {MODEL}", "--pretrained"),
    (f"explore {{missing}} --model {MODEL}=random", "{missing}"),
    (f"explore {{empty_folder}} --model {MODEL}=random", "{empty_folder}"),
    (f"explore {{damaged_pictures}} --model {MODEL}=random", "{damaged_pictures}/0.png"),
    (f"explore {{pictures}} --model {MODEL}=random --method subtraction=-1", "-1"),
    ("explore {pictures} --model nothing", "'nothing'"),
    ("finetune nothing", "'nothing'"),
    ("finetune nothing+negationclip/seed0 --profile quick", "'nothing'"),
    ("finetune miniclip-s-8+nothing/seed0 --profile quick", "'nothing'"),
    ("finetune miniclip-s-8+negationclip/seed0 --profile nothing", "'nothing'"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {missing}", "{missing}"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {mine}", "'caption'"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {captions} --images {missing}", "{missing}"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {captions} --annotator {missing}", "{missing}"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {captions} --annotator {mine}", "{mine}"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --annotator world", "--captions"),
    ("NEGUTIL_CONFIGS={missing} models list", "{missing}"),
    ("NEGUTIL_CONFIGS={damaged_configs} models list", "{damaged_configs}"),
    ("negbench ask {mine}", "{mine}"),
    ("negbench ask {mine} --profile nothing", "'nothing'"),
    ("negbench ask {retrieval} --images {missing}", "{missing}"),
    ("negbench ask {retrieval} --images {pictures}", "retrieval"),
    ("negbench ask {retrieval} --images {pictures} --out {mine}/under.csv", "{mine}"),
    ("negbench build {instances} {mine}", "{mine}"),
    ("negbench build {instances} {new} --absent nothing", "'nothing'"),
    ("negbench build {instances} {new} --captions {missing}", "{missing}"),
    ("negbench check {retrieval}", "{retrieval}"),
    ("negbench check {mine} --save", "{mine}"),
    ("pretrain nothing", "'nothing'"),
    ("pretrain miniclip-s-8 --device nothing", "--device"),
    ("pretrain miniclip-s-8 --out {mine}", "{mine}"),
    ("pretrain miniclip-s-8 --weights {mine}/under", "{mine}/under"),
    ("pretrain miniclip-s-8 --pool {mine}", "{mine}"),
    ("pretrain miniclip-s-8 --pool {empty_folder}", "{empty_folder}"),
    ("readme --profile nothing", "'nothing'"),
    ("NEGUTIL_RESULTS={damaged_results} readme --check", "{damaged_results}"),
    ("report --profile nothing", "'nothing'"),
    ("NEGUTIL_RESULTS={damaged_results} report", "{damaged_results}"),
    ("run --profile nothing --only 00", "'nothing'"),
    ("run --only 98", "98"),
    ("run --only 00 --parameter nothing", "'nothing'"),
    ("run --only 00 --parameter nothing=1", "'nothing'"),
    ("run --only 00 --parameter seed=x", "'x'"),
    ("seeds --profile nothing", "'nothing'"),
    ("seeds --seeds x", "--seeds x"),
    ("seeds --seeds 1,1", "--seeds 1,1"),
    ("NEGUTIL_RESULTS={damaged_results} seeds --judge", "{damaged_results}"),
    ("stats captions {missing}", "{missing}"),
    ("stats captions {empty_folder}", "{empty_folder}"),
    ("stats captions {mine} --column nothing", "'nothing'"),
    ("stats captions {mine} --column true --terms nothing", "nothing"),
    ("stats captions {mine} --column true --engine nothing", "'nothing'"),
    ("NEGUTIL_CACHE={mine} stats captions {mine} --column true", "{mine}"),
    ("world build --profile nothing", "'nothing'"),
    ("world build --profile quick --only nothing", "'nothing'"),
    ("NEGUTIL_CACHE={mine} world build --profile quick --only celeba", "{mine}"),
    ("NEGUTIL_CACHE={empty_folder} world build --profile quick --only celeba --check", "{empty_folder}"),
    ("world look --part nothing", "'nothing'"),
    ("world look --profile nothing", "'nothing'"),
    ("world look --out {mine}", "{mine}"),
    ("world look --part faces --out {mine}/under.png", "{mine}/under.png"),
)
"""Wrong lines, settings of the environment first, and what the sentence names; {these} are ``wrong_files``."""

READERS = (
    (f"{BENCH} --negbench {{file}}", ".csv"),
    (f"{BENCH} --pairs {{file}}", ".csv"),
    (f"{BENCH} --valse {{file}}", ".json"),
    (f"{BENCH} --negrefcocog {{file}}", ".json"),
    (f"{BENCH} --ccneg {{file}}", ".pt"),
    (f"bench {MODEL} --pairs {{mine}} --out {{new}} --pretrained {{file}}", ".pt"),
    (f"bench {MODEL} --pairs {{mine}} --out {{new}} --pretrained {{file}}", ".safetensors"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {file}", ".csv"),
    ("finetune miniclip-s-8+p1/seed0 --profile quick --captions {captions} --annotator {file}", ".toml"),
    ("negbench ask {file}", ".csv"),
    ("negbench check {file}", ".csv"),
    ("negbench build {file} {new}", ".json"),
    ("negbench build {instances} {new} --captions {file}", ".json"),
    ("stats captions {file}", ".csv"),
    ("stats captions {file}", ".parquet"),
    ("stats captions {mine} --column true --terms {file}", ".toml"),
    (encode("{file}"), ".csv"),
    (encode("{file}"), ".parquet"),
)
"""Commands that read a file of the user's, and the ending of its name."""

DAMAGE: dict[str, bytes] = {
    "empty": b"",
    "garbage": bytes(range(255, -1, -1)) * 8,
    "utf16": "caption,image,true,false\nno cat,a,b,c\n".encode("utf-16"),
    "cut": b'{"images": [{"id": 1, "file_na',
    "list": b"[]",
    "number": b"3",
    "numbers": b"[1, 2]",
    "not_a_number": b"[NaN]",
    "many_digits": b'{"images": [{"id": ' + b"9" * 5000 + b"}]}",
    "deep": b"[" * 100_000,
    "other_columns": b"a,b\n1,2\n",
    "header": b"image,true,false\n",
    "cut_gzip": gzip.compress(b"image,true,false\n" * 999)[:40],
}
"""Contents that are wrong in every format; besides, a folder in place of the file, and nothing at all."""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The commands below ``command`` by the words that call them, without the groups."""
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from leaves(child, (*path, name))
    if not children:
        yield " ".join(path), command


COMMANDS = dict(leaves(typer.main.get_command(cli.app)))


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths by name: sound ones (mine, pictures, instances, retrieval, mixed), and those with something wrong."""
    root = tmp_path_factory.mktemp("wrong")
    for folder in ("pictures", "mixed", "damaged_pictures", "large_picture"):
        picture(root / folder / "0.png")
    for folder in ("mixed", "damaged_pictures", "large_picture"):
        write_text(root / folder / "mine.csv", "image,true,false", "0.png,no red cat,a red cat", "0.png,a dog,no dog")
    (root / "damaged_pictures" / "0.png").write_bytes((root / "pictures" / "0.png").read_bytes()[:40])
    Image.new("1", (20_000, 20_000)).save(root / "large_picture" / "0.png")
    (root / "empty_folder").mkdir()
    boxes = [{"id": i, "image_id": i, "category_id": i, "bbox": [0, 0, 1, 1]} for i in (1, 2)]
    images = [{"id": i, "file_name": f"{i}.png", "width": 9, "height": 9} for i in (1, 2)]
    kinds = [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "bird"), 1)]
    write_json(root / "instances.json", {"images": images, "annotations": boxes, "categories": kinds})
    write_text(root / "captions.csv", "image,caption", "mixed/0.png,a dog with a ball")
    write_text(root / "retrieval.csv", "filepath,captions", "0.png,\"['no cat', 'a dog']\"")
    write_text(root / "damaged_cache" / "arrays" / "ab" / "ab12.json", "{")
    write_text(root / "damaged_coco" / "coco" / "annotations" / "captions_val2017.json", "[1]")
    write_text(root / "damaged_configs" / "models.toml", "[mine")
    (root / "damaged_plan").mkdir()
    (root / "damaged_plan" / "plan.json").write_bytes(b"\xff")
    for name in ("evaluation_seeds", "03_negbench/tasks"):
        write_text(root / "damaged_results" / "mini" / f"{name}.csv")
    found = {path.stem: str(path) for path in root.iterdir()}
    return found | {"mine": f"{root}/mixed/mine.csv", "missing": f"{root}/missing", "long": f"{root}/{'x' * 300}"}


def call(line: str) -> Result:
    """What the command line says to ``line``, which may begin with NAME=VALUE settings."""
    words = line.split()
    settings = dict(word.split("=", 1) for word in words if word.startswith("NEGUTIL_"))
    return CliRunner().invoke(cli.app, words[len(settings) :], env=settings)


def complaint(done: Result) -> str:
    """The one line on stderr beside click's usage; a traceback, or success, fails the test."""
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(("Usage: ", "Try '"))]
    assert len(lines) == 1, lines
    return lines[0]


# --------------------------------------------------------------------------------------------------------------------
# Arguments


def test_every_command_has_cases() -> None:
    lines = [" ".join(word for word in line.split() if not word.startswith("NEGUTIL_")) for line, _ in CASES]
    assert [name for name in COMMANDS if not any(f"{line} ".startswith(f"{name} ") for line in lines)] == []


@pytest.mark.parametrize(("line", "named"), CASES)
def test_a_wrong_argument_is_one_sentence(
    line: str, named: str, wrong_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = line.format(**wrong_files, new=tmp_path / "new")
    setting, _, folder = chosen.split()[0].partition("=")
    if setting == "NEGUTIL_CONFIGS":  # read when the package is imported
        monkeypatch.setattr(paths, "CONFIGS", Path(folder))
    assert named.format(**wrong_files) in complaint(call(chosen))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_option_is_named(name: str) -> None:
    assert "--nothing" in complaint(call(f"{name} --nothing"))
    for parameter in COMMANDS[name].params:
        option = parameter.opts[0]
        if parameter.required and not option.startswith("-"):
            assert "Missing argument" in complaint(call(name))
        for value in ("many", "1.5", "-1", str(10**30)) if parameter.min is not None else ():
            assert option in complaint(call(f"{name} {option} {value}"))


def test_sound_files_are_accepted(wrong_files: dict[str, str], tmp_path: Path) -> None:
    lines = (PICTURES, f"{BENCH} --pairs {{mine}} --out {{new}}2", "negbench build {instances} {new}3")
    for line in (*lines, "stats captions {mine} --column true"):
        done = call(line.format(**wrong_files, new=tmp_path / "new"))
        assert done.exit_code == 0, done.output


# --------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize("damage", [*DAMAGE, "folder", "missing"])
@pytest.mark.parametrize(("line", "ending"), READERS)
def test_a_damaged_file_is_named(
    line: str, ending: str, damage: str, wrong_files: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / f"{damage}{ending}"
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(DAMAGE[damage])
    assert str(file) in complaint(call(line.format(**wrong_files, new=tmp_path / "new", file=file)))


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (f"{BENCH} --against {{folder}}", "bench.json"),
        (f"{BENCH} --out {{folder}}", "model.json"),
        (f"bench {MODEL} --out {{new}} --pretrained {{folder}}", "trained.json"),
    ],
)
@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "deep", "other", "folder"])
def test_a_damaged_note_of_an_earlier_run_is_named(
    line: str, note: str, damage: str, wrong_files: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "earlier"
    if damage == "folder":
        (folder / note).mkdir(parents=True)
    else:
        folder.mkdir()
        (folder / note).write_bytes(DAMAGE.get(damage, b'{"identity": 1, "sha256": ""}'))
    told = complaint(call(f"{line} --pairs {{mine}}".format(**wrong_files, new=tmp_path / "new", folder=folder)))
    assert str(folder) in told


def test_data_check_reports_every_damaged_part(wrong_files: dict[str, str]) -> None:
    done = call(f"data check coco2017 --folder {wrong_files['damaged_coco']}")
    assert (done.exit_code, "Traceback" in done.output) == (1, False)
    assert f"wrong, coco/annotations/captions_val2017.json: {wrong_files['damaged_coco']}" in done.stdout


def test_data_check_reports_pictures_too_large_for_pillow(wrong_files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "val2017").symlink_to(wrong_files["large_picture"])
    done = call(f"data check coco2017 --folder {tmp_path}")
    assert (done.exit_code, "Traceback" in done.output) == (1, False)
    assert "damaged, the first is 0.png" in done.stdout


def test_known_awkward_files_do_not_end_in_a_traceback(
    shared_data: Path, wrong_files: dict[str, str], tmp_path: Path
) -> None:
    folder = shared_data / "bad_input"
    if not folder.is_dir():
        pytest.skip(f"the awkward files are not at {folder}")
    readers = {ending: [line for line, own in READERS if own == ending] for _, ending in READERS}
    readers[".txt"] = readers[".parquet"]
    for number, file in enumerate(sorted(folder.iterdir())):
        lines = readers.get(file.suffix, [encode(tmp_path / f"{number}")])
        if file.suffix not in readers:
            (tmp_path / f"{number}").mkdir()
            (tmp_path / f"{number}" / file.name).write_bytes(file.read_bytes())
        for each, line in enumerate(lines):
            done = call(line.format(**wrong_files, new=tmp_path / f"{number}-{each}", file=file))
            assert done.exception is None or isinstance(done.exception, SystemExit), (file, line, done.exception)
            assert "Traceback" not in done.output
    assert "is a retrieval file" in complaint(call(f"negbench check {folder / 'retrieval_for_check.csv'}"))


def test_every_known_awkward_file_has_a_test_of_its_own(shared_data: Path) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (paths.ROOT / "tests").rglob("*.py"))
    lines = (shared_data / "bad_input" / "INDEX.tsv").read_text(encoding="utf-8").splitlines()[1:]
    named = [name for line in lines for name in line.split("\t")[0].split(", ")]
    assert [name for name in named if name not in tests and name.partition(".parquet")[0] not in tests] == []
    assert {path.name for path in (shared_data / "bad_input").iterdir()} <= {*named, "INDEX.tsv"}


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read and write everything, so it becomes another user for a while."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs Unix permissions")
def test_what_may_not_be_read_or_written_is_named(wrong_files: dict[str, str], tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    lines = [line.format(**wrong_files, new=locked / "new", file=locked / f"a{ending}") for line, ending in READERS]
    lines += [f"data list --folder {locked}/a", f"world look --part faces --out {locked}/a.png"]
    for line in lines:
        call(line)  # so that all that is needed is imported: another user may not read this Python's files
    with without_privileges():
        told = [complaint(call(line)) for line in lines]
    assert [line for line in told if "Permission denied" not in line] == []


# --------------------------------------------------------------------------------------------------------------------
# Names and terminals that are not UTF-8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_are_not_utf8_are_named(wrong_files: dict[str, str], tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    told = repr(name).strip("'")
    for line in (f"stats captions {name}.csv", f"world look --out {name}.png", f"NEGUTIL_CACHE={name} models list"):
        assert told in complaint(call(line))
    picture(tmp_path / "pictures" / f"{name}.png")
    write_text(tmp_path / "captions" / f"{name}.csv", "caption", "no cat")
    assert told in complaint(call(encode(tmp_path / "pictures").format(new=tmp_path / "new")))
    assert told in complaint(call(f"stats captions {tmp_path}/captions"))


def test_a_line_break_in_a_name_stays_in_one_line() -> None:
    done = CliRunner().invoke(cli.app, ["stats", "captions", "two\nlines.csv"])
    assert "two\\nlines.csv" in complaint(done)


def run(*words: str, **settings: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT)} | settings
    command = [sys.executable, "-m", "negutil", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_terminal_that_lacks_a_letter_gets_its_code(tmp_path: Path) -> None:
    captions = write_text(tmp_path / "captions.csv", "caption", "no cat")
    terms = write_text(tmp_path / "terms.toml", '["否"]', 'words = ["no"]')
    process = run("stats", "captions", str(captions), "--terms", str(terms), PYTHONIOENCODING="latin-1")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "\\u5426" in out


def test_a_pipe_that_is_closed_early_ends_quietly() -> None:
    process = run("data", "list", "--markdown")
    assert process.stdout is not None
    process.stdout.close()  # as `| head` does, long before Python has started
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert err == ""


# --------------------------------------------------------------------------------------------------------------------
# Without a network


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No huggingface.co, and nothing in its client's cache."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.is_reachable.cache_clear()
    yield
    hub.is_reachable.cache_clear()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("bench hf-hub:timm/ViT-B-16-SigLIP --pairs {mine}", "hf-hub:timm/ViT-B-16-SigLIP"),
        ("bench ViT-B-16-SigLIP --pretrained random --pairs {mine}", "timm/ViT-B-16-SigLIP, the tokenizer of"),
        ("bench roberta-ViT-B-32 --pretrained random --pairs {mine}", "roberta-base, the tokenizer of"),
        ("bench ViT-B-32 --pretrained laion2b_s34b_b79k --pairs {mine}", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        (PICTURES.replace(MODEL, "hf-hub:timm/ViT-B-16-SigLIP"), "hf-hub:timm/ViT-B-16-SigLIP"),
    ],
)
def test_without_a_network_the_hub_is_given_up_at_once(
    line: str, named: str, wrong_files: dict[str, str], tmp_path: Path, no_network: None
) -> None:
    chosen = line.format(**wrong_files, new=tmp_path / "new")
    told = complaint(call(chosen))
    assert named in told
    assert "could not be fetched from huggingface.co (it cannot be reached from here): connect to the network" in told
    started = time.monotonic()
    complaint(call(chosen))  # everything is imported by now
    assert time.monotonic() - started < 15  # its own client tries for 24 s or more


def test_bench_says_that_an_architecture_has_no_weights(wrong_files: dict[str, str], no_network: None) -> None:
    told = complaint(call(f"bench ViT-B-16-SigLIP --pairs {wrong_files['mine']}"))
    assert "add --pretrained with a tag, a file or random" in told
