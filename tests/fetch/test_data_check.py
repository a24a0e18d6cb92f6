"""`negutil data check` on tiny files of every format, good and damaged, and on the real sample files."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import model_files
import published_files
import pytest
import torch
from data_files import truncate
from huggingface_hub import constants
from typer.testing import CliRunner

from negutil import paths
from negutil.commands.cli import app
from negutil.fetch import catalogue, get
from negutil.fetch import check as data_check
from negutil.fetch.catalogue import Part
from negutil.fetch.check import MISSING, OK, PART, WRONG, Finding


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_files.write(tmp_path_factory.mktemp("published") / "data")


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "data"))


def check(name: str, folder: Path, deep: bool = False) -> dict[str, Finding]:
    return {finding.part: finding for finding in data_check.check(name, folder, deep)}


def every(folder: Path) -> dict[str, Finding]:
    names = [name for name, entry in catalogue.entries().items() if entry.kind == "dataset"]
    return {part: finding for name in names for part, finding in check(name, folder).items()}


def test_every_format_is_read_and_counted(published: Path) -> None:
    found = every(published)
    assert {part: dict(one.counts) for part, one in found.items() if one.status != MISSING} == published_files.COUNTS
    assert {one.status for one in found.values()} == {OK, PART, MISSING}
    parts = [part for entry in catalogue.entries().values() for part in entry.parts if entry.kind == "dataset"]
    asked = {part.read for part in parts if found[part.name].status != MISSING}
    assert asked == data_check.KNOWN - {"", "pipeline", "weights"}


def test_less_than_everything_is_a_part_and_told_so(published: Path) -> None:
    found = check("celeba", published)
    assert found["celeba/img_align_celeba/"].message == "3 of 202,599 files: a part"
    assert found["celeba/list_attr_celeba.txt"].status == PART
    assert not any(data_check.failed(one, named=True) for one in found.values())
    assert all(data_check.failed(one, named=False, whole=True) for one in found.values())


DAMAGED = [
    part
    for part in published_files.COUNTS
    if part.endswith((".json", ".pt"))
    or part in ("laion/*.parquet", "refcocog/refs(umd).*", "celeba/list_attr_celeba.txt")
]


@pytest.mark.parametrize("part", DAMAGED)
def test_a_file_that_was_cut_is_named(part: str, copied: Path) -> None:
    (file,) = copied.glob(part)
    truncate(file)
    entry = next(one for one in catalogue.entries().values() if part in {own.path for own in one.parts})
    finding = check(entry.name, copied)[part]
    assert finding.status == WRONG
    assert file.name in finding.message
    assert data_check.failed(finding, named=False)


@pytest.mark.parametrize(
    "part", ["celeba/img_align_celeba/", "coco/val2017/", "msrvtt/videos/all/", "valse/images/", "phrasecut/images/"]
)
def test_a_damaged_picture_or_clip_is_found(part: str, copied: Path) -> None:
    file = truncate(min((copied / part).iterdir()))
    entry = next(one for one in catalogue.entries().values() if part in {own.path for own in one.parts})
    finding = check(entry.name, copied)[part]
    assert finding.status == WRONG
    assert f"the first is {file.name}: delete and download them again" in finding.message


def test_a_class_without_pictures_is_found(copied: Path) -> None:
    (copied / "imagenet" / "val" / "cat" / "1.jpg").unlink()
    assert check("imagenet", copied)["imagenet/val/"].status == WRONG


def test_pictures_that_a_file_names_are_looked_for(copied: Path) -> None:
    (copied / "valse" / "images" / "v7w_2.jpg").unlink()
    assert "1 of its 2 images are in images: a part" in check("valse", copied)["valse/existence.json"].message
    shutil.rmtree(copied / "valse" / "images")
    found = check("valse", copied)
    assert "is missing" in found["valse/existence.json"].message
    assert found["valse/images/"].status == MISSING
    assert data_check.failed(found["valse/images/"], named=True)
    assert not data_check.failed(found["valse/images/"], named=False)


def test_a_set_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (finding,) = data_check.check("negbench", tmp_path)
    assert finding.status == MISSING
    assert finding.message == "missing: negutil data get negbench"


def test_counts_are_compared_with_every_known_release() -> None:
    known: dict[str, int | list[int]] = {"rows": [5000, 4998], "captions": 10}
    assert data_check.compare({"rows": 4998, "captions": 10}, known) == ([], [])
    assert data_check.compare({"rows": 1000, "captions": 11}, known) == (["1,000 of 5,000 rows"], ["11 of 10 captions"])
    assert data_check.compare({}, {"rows": 5}) == (["0 of 5 rows"], [])


def whole_part(file: Path, **changes: object) -> Part:
    facts: dict[str, object] = {"path": file.name, "read": "prompts", "counts": {"prompts": 1}, "counted": "us"}
    return Part(**{**facts, **changes})  # type: ignore[arg-type]


def judge(part: Part, file: Path) -> tuple[str, str]:
    return data_check.judge(part, [file], data_check.read(part, [file]))


def test_more_than_is_known_and_other_bytes_are_wrong(published: Path) -> None:
    file = published / "t2i_prompts" / "prompts_with_questions.json"
    assert judge(whole_part(file), file) == (OK, "1 prompts")
    status, told = judge(whole_part(file, counts={"prompts": 0}), file)
    assert status == WRONG
    assert "more than expected (us)" in told
    status, told = judge(whole_part(file, sha256="0" * 64, checksum="the publisher"), file)
    assert status == WRONG
    assert f"instead of {'0' * 64} (the publisher)" in told
    # The checksum is that of the first release that is listed; another has other bytes.
    assert judge(whole_part(file, sha256="0" * 64, counts={"prompts": [2, 1]}), file)[0] == OK


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    torch.save(model_files.state(), tmp_path / "weights" / "negclip.pth")
    return tmp_path


def test_weights_are_read_and_their_sha256_told(weights: Path) -> None:
    (finding,) = data_check.check("negclip", weights)
    assert finding.status == OK
    assert finding.counts["tensors"] == len(model_files.state())
    assert "copy it into configs/models.toml, [negclip-vit-b-32]" in finding.message
    truncate(weights / "weights" / "negclip.pth")
    (finding,) = data_check.check("negclip", weights)
    assert finding.status == WRONG


def test_con_clip_is_read_as_its_authors_save_it(weights: Path) -> None:
    saved = {"model": model_files.state(), "optimizer": {}, "logs": {"epoch_1": {"avg_loss": 1.0}}}
    torch.save(saved, weights / "weights" / "conclip_b32.pt")
    finding = check("con-clip", weights)["weights/conclip_b32.pt"]
    assert (finding.status, finding.counts["tensors"]) == (OK, len(model_files.state()))
    assert not [step for step in get.steps(catalogue.find("con-clip")) if "torch.load" in step]


def test_weights_that_hold_code_are_not_run(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("harm was done",)

    torch.save({"state_dict": Harm()}, weights / "weights" / "negclip.pth")
    (finding,) = data_check.check("negclip", weights)
    assert finding.status == WRONG
    assert "harm" not in "".join(capfd.readouterr())


def test_cut_files_of_a_hub_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--CIDAS--clipseg-rd64-refined" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    model_files.write(snapshot)
    (finding,) = data_check.check("clipseg")
    assert finding.status == OK
    truncate(snapshot / "weights.safetensors")
    (finding,) = data_check.check("clipseg")
    assert finding.status == WRONG
    assert "weights.safetensors is damaged" in finding.message


def test_the_command_says_what_it_found(published: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("NEGUTIL_DATA", str(published))
    done = CliRunner().invoke(app, ["data", "check", "t2i_prompts", "valse"])
    assert done.exit_code == 0
    assert "t2i_prompts: part, t2i_prompts/prompts_with_questions.json: 1 of 107 prompts: a part" in done.stdout
    told = CliRunner().invoke(app, ["data", "check", "--json", "--folder", str(published / "valse"), "valse"]).stdout
    assert [row["status"] for row in json.loads(told)] == [PART, OK]
    assert CliRunner().invoke(app, ["data", "check", "--whole", "valse"]).exit_code == 1


REAL = {
    "coco/annotations/captions_val2017.json": {"images": 79},
    "negbench/COCO_val_mcq_llama3.1_rephrased.csv": {"rows": 5914, "positive": 2032, "negative": 1870, "hybrid": 2012},
    "negbench/COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv": {"rows": 5000, "captions": 25014},
    "negbench/COCO_val_retrieval.csv": {"rows": 5000, "captions": 25014},
    "valse/existence.json": {"items": 534, "valid items": 505},
    "negrefcocog/NegRefCOCOg.json": {"phrases": 440, "images": 402, "different phrases": 437},
    "t2i_prompts/prompts_with_questions.json": {"prompts": 107},
}


def test_the_real_sample_files_have_the_known_counts_and_checksums(shared_data: Path) -> None:
    found = every(shared_data)
    for part, counts in REAL.items():
        assert counts.items() <= found[part].counts.items()
        assert found[part].status in (OK, PART)
    assert not [one for one in found.values() if one.status == WRONG]
    assert found["t2i_prompts/prompts_with_questions.json"].status == OK
    captions = check("coco2017", shared_data)["coco/annotations/captions_val2017.json"]
    assert captions.message.startswith("79 of 5,000 images, 395 of 25,014 captions: a part")


def test_a_real_file_with_a_changed_letter_is_found(shared_data: Path, tmp_path: Path) -> None:
    text = (shared_data / "valse" / "existence.json").read_text(encoding="utf-8")
    (tmp_path / "valse").mkdir()
    (tmp_path / "valse" / "existence.json").write_text(text.replace("There are", "There were", 1), encoding="utf-8")
    assert "(the copy that we counted): it was changed" in check("valse", tmp_path)["valse/existence.json"].message


def test_a_real_file_with_fewer_rows_is_a_part(shared_data: Path, tmp_path: Path) -> None:
    name = "COCO_val_mcq_llama3.1_rephrased.csv"
    lines = (shared_data / "negbench" / name).read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "negbench").mkdir()
    (tmp_path / "negbench" / name).write_text("".join(lines[:1001]), encoding="utf-8")
    finding = check("negbench", tmp_path)[f"negbench/{name}"]
    assert finding.status == PART
    assert finding.message.startswith("1,000 of 5,914 rows")


def test_real_alt_texts_are_captions_of_any_parquet(shared_data: Path) -> None:
    (finding,) = data_check.check("laion", shared_data / "web_alttext")
    assert (finding.status, finding.counts["captions"]) == (PART, 1000)
    assert finding.message.startswith("1,000 of at least 400,000,000 captions: a part")


def test_findings_are_plain_data() -> None:
    finding = Finding("a", "b", OK, "c")
    assert json.loads(json.dumps(dataclasses.asdict(finding)))["needed"] is True
    assert catalogue.place(catalogue.find("negclip")).root == paths.ROOT
