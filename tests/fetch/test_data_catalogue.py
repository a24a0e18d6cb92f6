"""The catalogue is whole and consistent, and docs/data.md says what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from negutil import paths
from negutil.captions import negbench_files
from negutil.commands.cli import app
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.fetch import catalogue, check, get, listing
from negutil.models import architectures, registry

ENTRIES = list(catalogue.entries().values())
NOTEBOOKS = {"01", "02", "03", "04", "05", "06", "07", "08"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_is_consistent(entry: catalogue.Entry) -> None:
    assert set(entry.notebooks) <= NOTEBOOKS
    assert entry.source.startswith("http")
    assert set(entry.unconfirmed) <= {"size", "licence", "access", "source"}
    assert all((entry.size, entry.licence, entry.used_for, entry.without))
    assert {part.read for part in entry.parts} <= check.KNOWN
    paths_of_parts = {part.path for part in entry.parts}
    for one in entry.fetch:
        assert set(one.gives) <= paths_of_parts
        assert re.fullmatch(r"[0-9a-f]{64}|", one.sha256)
        assert re.fullmatch(r"[0-9a-f]{32}|", one.md5)
        assert bool(one.sha256 or one.md5) == bool(one.checksum)
    for part in entry.parts:
        assert not part.counts or part.counted or part.read == "weights"
        assert bool(part.sha256 or part.md5) == bool(part.checksum)
    assert get.steps(entry) or entry.downloadable


def test_models_are_those_of_the_registry() -> None:
    settings_of = architectures.open_clip().get_pretrained_cfg
    for part in [part for entry in ENTRIES for part in entry.parts if part.model]:
        model = registry.find(part.model)
        if part.hub:
            assert settings_of(model.architecture, model.tag)["hf_hub"].rstrip("/") == part.hub
        else:
            assert model.path == part.path


def test_all_that_was_asked_for_is_there() -> None:
    names = set(catalogue.entries())
    assert {"laion", "celeba", "coco2014", "coco2017", "voc2007", "msrvtt", "chexpert", "negbench", "valse"} < names
    assert {"ccneg", "negrefcocog", "refcocog", "phrasecut", "vqa", "imagenet", "caltech101", "tifa"} < names
    assert {"t2i_prompts", "openai-clip", "laion-clip", "negclip", "con-clip", "negationclip"} < names
    assert {"negbench-models", "clipseg", "sd-1.4", "sdxl"} < names


def test_every_public_file_of_negbench_is_in_the_catalogue() -> None:
    wanted = {each.published for each in (*negbench_files.VARIATIONS, *negbench_files.PLAIN) if each.published}
    assert wanted <= {Path(part.path).name for part in catalogue.find("negbench").parts}


def test_what_a_notebook_cannot_do_without_is_in_the_catalogue() -> None:
    for number, folders in skipped.NEEDS.items():
        for folder in folders:
            of_it = [one for one in ENTRIES if any(part.path.startswith(f"{folder}/") for part in one.parts)]
            assert any(number in one.notebooks and "skipped" in one.without for one in of_it), (number, folder)
            assert skipped.GET.get(folder, folder) in {one.name for one in of_it}


def test_the_page_is_what_the_catalogue_says() -> None:
    told = f"docs/data.md is stale: {listing.COMMAND}"
    assert listing.PAGE.read_text(encoding="utf-8") == listing.markdown(), told


def test_the_page_links_to_its_own_headings() -> None:
    text = listing.markdown()
    headings = {line[4:].replace(".", "") for line in text.splitlines() if line.startswith("### ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) == headings
    assert len(headings) == len(ENTRIES)


def test_the_list_is_printed_and_given_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    own = tmp_path / "negrefcocog"
    own.mkdir()
    (own / "NegRefCOCOg.json").write_text("[]")
    done = CliRunner().invoke(app, ["data", "list"])
    assert done.exit_code == 0
    states = dict(re.findall(r"^(\S+)\s+(?:dataset|checkpoint)\s+(here|partial|missing)\b", done.stdout, re.MULTILINE))
    assert set(states) == set(catalogue.entries())
    assert states["negrefcocog"] == "here"
    assert states["celeba"] == "missing"
    rows = json.loads(CliRunner().invoke(app, ["data", "list", "--json"]).stdout)
    assert {row["name"]: row["state"] for row in rows} == states
    assert rows[1]["missing"] == [
        "celeba/list_attr_celeba.txt",
        "celeba/list_eval_partition.txt",
        "celeba/img_align_celeba/",
    ]
    alone = CliRunner().invoke(app, ["data", "list", "negrefcocog"]).stdout
    assert "negrefcocog/NegRefCOCOg.json (here)" in alone


def test_empty_folders_and_links_to_nowhere_are_not_data(tmp_path: Path) -> None:
    (tmp_path / "imagenet" / "val").mkdir(parents=True)
    assert catalogue.state("imagenet", tmp_path) == "missing"
    (tmp_path / "tifa").mkdir()
    (tmp_path / "tifa" / "tifa_v1.0_text_inputs.json").symlink_to(tmp_path / "nowhere")
    assert catalogue.state("tifa", tmp_path) == "missing"


GOOD = (paths.CONFIGS / "datasets.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('kind = "dataset"', 'kind = "data"', "kind is 'data': it should be 'dataset' or 'checkpoint'"),
        ('access = "by hand"', 'access = "maybe"', "it should be 'free', 'registration', 'request' or 'by hand'"),
        ('licence = "', 'license = "', "'license' is unknown: correct or remove it .*licence"),
        ('notebooks = ["01"]', "notebooks = [1]", "notebooks.*is 1: it should be a valid string"),
        ('path = "laion/*.parquet"\n', "", "exactly one of path and hub"),
        ("[laion]", "[laion", "cannot be read as TOML"),
    ],
)
def test_a_damaged_catalogue_is_told(before: str, after: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "datasets.toml"
    file.write_text(GOOD.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(NegutilError, match=told):
        catalogue.entries(file)


def test_an_unknown_name_is_told_with_those_that_exist() -> None:
    with pytest.raises(
        NegutilError, match=r"no dataset or checkpoint 'coco' \(did you mean 'coco2017'\?\); there are laion, celeba"
    ):
        catalogue.find("coco")
