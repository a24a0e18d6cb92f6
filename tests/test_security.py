"""Nothing that is read can run code, write elsewhere or change unseen, and no secret reaches a file of the repository.

The first part reads the package's own source, the second feeds it files that were made to do harm.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from miniworld.pretrain import pool
from negutil import code, config, paths
from negutil.captions import caption_statistics, negation_terms
from negutil.data import coco, negbench, refcocog
from negutil.data.unpack import unpack
from negutil.errors import NegutilError
from negutil.models import checkpoints, hub, registry
from negutil.models.pictures import PictureFiles

SOURCES = sorted([*paths.PACKAGE.rglob("*.py"), *(paths.ROOT / "benchmarks").glob("*.py")])
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.eval", "pd.read_pickle"}
DANGEROUS_MODULES = {"dill", "joblib", "shelve", "marshal", "cloudpickle", "yaml", "jsonpickle"}
# What may be done with pickle, and where: name its error, and read a published pickle with plain data only.
PICKLE = {"ccneg.py": {"UnpicklingError"}, "refcocog.py": {"UnpicklingError", "Unpickler"}}
UNPACKING = {"extractall", "unpack_archive"}
ARCHIVES = {"tarfile", "zipfile"}  # to be opened by negutil.data.unpack alone
FROM_HUB = {"from_pretrained", "hf_hub_download", "snapshot_download", "DiffusionPipeline.download"}
COMMIT = re.compile(r"[0-9a-f]{40}")
# Its commit is not known here; the sha256 of the first download pins it.
UNPINNED = {"laion400m-vit-b-32"}
SECRETS = re.compile(
    rb"hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{30,}|gh[opsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|AKIA[0-9A-Z]{16}\b"
    rb"|xox[abp]-[0-9A-Za-z-]{20,}|Bearer [A-Za-z0-9._-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
READABLE = ("ipynb", "json", "csv", "md", "html", "toml", "txt", "svg", "py", "sh", "yml", "parquet")


def faults(text: str, name: str) -> Iterator[str]:
    """What is dangerous in a source file called ``name``."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _import_faults(node, name)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            if node.attr not in PICKLE.get(name, ()):
                yield f"pickle.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from _call_faults(node, name)


def _import_faults(node: ast.Import | ast.ImportFrom, name: str) -> Iterator[str]:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for module in modules:
        top = module.partition(".")[0]
        if top in ARCHIVES and name != "unpack.py":
            yield f"import {module}"
        if top in DANGEROUS_MODULES or (top == "pickle" and (name not in PICKLE or isinstance(node, ast.ImportFrom))):
            yield f"import {module}"


def _call_faults(node: ast.Call, name: str) -> Iterator[str]:
    called, last = ast.unparse(node.func), ast.unparse(node.func).rpartition(".")[2]
    given = {each.arg: ast.unparse(each.value) for each in node.keywords}
    if called in RUNS_TEXT or (last in ("eval", "query") and "." in called and _computed(node)):
        yield called
    if called == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if given.get("allow_pickle", "False") != "False" or given.get("trust_remote_code", "False") != "False":
        yield f"{called} with allow_pickle or trust_remote_code"
    if last in UNPACKING and name != "unpack.py":
        yield called
    if given.get("shell", "False") != "False" or given.get("verify", "True") == "False":
        yield f"{called} with shell=True or verify=False"
    if _is_from_hub(called) and "revision" not in given:
        yield f"{called} without a revision"
    if called == "torch.hub.load" or last == "mktemp":
        yield called


def _computed(node: ast.Call) -> bool:
    """Whether the call has arguments, not all of which are written out (a model's ``eval()`` has none)."""
    return any(not isinstance(each, ast.Constant) for each in [*node.args, *(key.value for key in node.keywords)])


def _is_from_hub(called: str) -> bool:
    return not called.endswith("Embedding.from_pretrained") and any(called.endswith(name) for name in FROM_HUB)


def test_the_source_holds_nothing_dangerous() -> None:
    assert len(SOURCES) > 150
    found = {str(file): list(faults(file.read_text(encoding="utf-8"), file.name)) for file in SOURCES}
    assert {file: said for file, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)", "exec(text)", "frame.eval(text)", "frame.query(text)", "pd.read_pickle(path)", "import dill",
        "import pickle", "from pickle import loads", "pickle.loads(data)", "import joblib", "import yaml",
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)",
        "archive.extractall(folder)", "import zipfile", "from tarfile import open",
        "shutil.unpack_archive(path)", "subprocess.run(line, shell=True)",
        "os.system(line)", "Model.from_pretrained(name)", "hf_hub_download(repo, file)", "torch.hub.load(repo, name)",
        "Model.from_pretrained(name, revision=pin, trust_remote_code=True)", "httpx.get(url, verify=False)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert list(faults(line, "some.py"))


def test_the_search_knows_what_is_harmless() -> None:
    text = "model.eval()\nframe.query('a > 1')\nembedding = torch.nn.Embedding.from_pretrained(rows)\nre.compile('a')"
    assert list(faults(text, "some.py")) == []
    assert list(faults("import pickle\npickle.load(stream)", "refcocog.py")) == ["pickle.load"]


def test_models_of_a_hub_are_pinned() -> None:
    tags = {entry.name: entry.revision for entry in registry.entries().values() if entry.tag}
    assert {name for name, revision in tags.items() if not COMMIT.fullmatch(revision)} == UNPINNED
    assert len(tags) > 5
    pinned = hub.pinned()
    assert all(COMMIT.fullmatch(commit) for commit in pinned.values())
    annotators = tomllib.loads((paths.CONFIGS / "annotators.toml").read_text())["paper"]
    segmenters = tomllib.loads((paths.CONFIGS / "segmenters.toml").read_text())
    wanted = {one["model"] for one in annotators.values() if one["kind"] == "transformers"}
    wanted |= {one["hub"] for one in segmenters.values() if "hub" in one}
    wanted.add(config.load("paper").generation.pipeline)
    assert wanted <= set(pinned)


def test_a_repository_that_is_not_pinned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"'someone/model' is no folder, and configs/revisions\.toml does not"):
        hub.revision("someone/model")
    assert hub.revision("someone/model", "0" * 40) == "0" * 40
    assert hub.revision(str(tmp_path)) == hub.LOCAL


def test_no_file_holds_a_secret() -> None:
    folders = [paths.ROOT / name for name in ("notebooks", "results", "figures", "docs", "configs", "negutil", "tests")]
    files = [file for folder in folders for kind in READABLE for file in folder.rglob(f"*.{kind}")]
    files += [file for kind in READABLE for file in paths.ROOT.glob(f"*.{kind}")]
    assert len(files) > 300
    found = {str(file): SECRETS.findall(file.read_bytes()) for file in files}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}
    assert SECRETS.search(b"token = hf_" + b"a1B2" * 9)


def test_tokens_of_the_environment_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("HF_TOKEN", "OPENAI_API_KEY", "HUGGING_FACE_HUB_TOKEN", "KAGGLE_KEY")
    for name in names:
        monkeypatch.setenv(name, f"secret-of-{name}")
    assert "secret-of-" not in json.dumps(code.provenance(profile="quick"), default=str)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A file that must not be there after the test: what harmful files try to make."""
    file = tmp_path / "was-run"
    yield file
    assert not file.exists()


def says(problem: Exception, name: str) -> None:
    """Check that what was said is one sentence that names the file."""
    text = str(problem)
    assert name in text and "\n" not in text and text.endswith(".")


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.safetensors"])
def test_weights_with_code_are_refused(name: str, target: Path, tmp_path: Path) -> None:
    file = tmp_path / name
    torch.save({"state_dict": Payload(target)}, file)
    with pytest.raises(NegutilError) as caught:
        checkpoints.read(file)
    says(caught.value, name)


def test_arrays_with_code_are_refused(target: Path, tmp_path: Path) -> None:
    harmful = np.array([Payload(target)], dtype=object)
    for name in ("pictures.npy", "tokens.npy"):
        np.save(tmp_path / name, harmful, allow_pickle=True)
    np.savez(tmp_path / "arrays.npz", harmful)
    (tmp_path / "pool.json").write_text("{}")
    with pytest.raises(NegutilError) as caught:
        pool.open_pool(tmp_path)
    says(caught.value, str(tmp_path))
    with pytest.raises(NegutilError, match=r"arrays\.npz is damaged"):
        checkpoints.read(tmp_path / "arrays.npz")


def test_a_pickle_of_annotations_with_code_is_refused(target: Path, tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text('{"images": [], "annotations": []}')
    (tmp_path / "refs(umd).p").write_bytes(pickle.dumps([Payload(target)]))
    with pytest.raises(NegutilError, match="was not loaded") as caught:
        refcocog.load(tmp_path)
    says(caught.value, "refs(umd).p")


def test_cells_are_text_and_nothing_else(target: Path, tmp_path: Path) -> None:
    code = f"__import__('pathlib').Path({str(target)!r}).touch()"
    file = tmp_path / "retrieval.csv"
    pl.DataFrame({"filepath": ["a.jpg", "b.jpg"], "captions": [f"[{code}]", code]}).write_csv(file)
    with pytest.raises(NegutilError) as caught:
        negbench.load(file)
    says(caught.value, file.name)
    cells = tmp_path / "cells.csv"
    pl.DataFrame({"caption": ["=cmd|' /C calc'!A0", "=1+1 no", f"{{{{{code}}}}}", f"$({code})"]}).write_csv(cells)
    counts = caption_statistics.count_files([cells], negation_terms.load("strict"))
    assert (counts.captions, counts.lists["strict"].words) == (4, 1)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"images": ' * 100_000, '{"images": [1e999]', "\x00\x01", "NaN"])
def test_json_that_is_made_to_break_the_reader_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "captions_val2017.json"
    file.write_text(text)
    with pytest.raises(NegutilError) as caught:
        coco.load(file)
    says(caught.value, file.name)


@pytest.mark.parametrize("name", ["../was-run", "/tmp/../{}/was-run", "a/../../was-run", "link/was-run"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_write_nowhere_else(kind: str, name: str, target: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / f"data.{kind}", tmp_path / "out"
    name = name.format(tmp_path)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            link = zipfile.ZipInfo("link")
            link.external_attr = 0o120777 << 16
            opened.writestr(link, str(tmp_path))
            opened.writestr(name, "harm")
    else:
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path)
            tar.addfile(member)
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"harm"))
    with pytest.raises(NegutilError) as caught:
        unpack(archive, out)
    says(caught.value, archive.name)
    assert not list(out.rglob("*"))


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(file)
    assert file.stat().st_size < 100_000
    with pytest.raises(NegutilError, match=r"bomb\.png has more than 178 million pixels"):
        PictureFiles([file])[0]
