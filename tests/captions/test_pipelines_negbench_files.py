"""The files of the 18 variations: built whole, once, read by the loader, and true of the world in every row."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from miniworld import build, clips, truth
from miniworld.benchmarks import negbench as maker
from miniworld.benchmarks.negbench import Sizes
from miniworld.writers import _shared, voc
from negutil import config
from negutil.captions import english, negbench_files, phrasing, statements
from negutil.captions.negbench_files import PLAIN, VARIATIONS, Variation
from negutil.captions.statements import Statement
from negutil.config import Profile, Splits
from negutil.data import chexpert, negbench, report
from negutil.errors import NegutilError

CLIPS = Splits(train=0, val=0, test=10)
SIZES = Sizes(captions=3, questions=2, pairs=12)


def _profile() -> Profile:
    quick = config.load("quick")
    world = dataclasses.replace(
        quick.world,
        scenes=Splits(train=0, val=0, test=60),
        voc=Splits(train=0, val=0, test=50),
        clips=CLIPS,
        radiographs=Splits(train=0, val=160, test=0),
    )
    return dataclasses.replace(quick, world=world)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("negbench")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, private_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(cache))


@pytest.fixture
def folder(own_cache: None) -> Path:
    return maker.build(_profile(), SIZES)


def _load(variation: Variation, folder: Path) -> Dataset:
    settings = _profile()
    path = negbench_files.path(variation, folder)
    assert path is not None
    return negbench.load(path, negbench_files.pictures(settings, variation, folder))


def _by(dataset: str, task: str, wording: str) -> Variation:
    (found,) = [
        each for each in (*VARIATIONS, *PLAIN) if (each.dataset, each.task, each.wording) == (dataset, task, wording)
    ]
    return found


# --- what is said is true --------------------------------------------------------------------------------------------


def _clip_nouns() -> dict[str, frozenset[str]]:
    """What may be said of each clip: the clips are drawn again as the world draws them."""
    items = _shared.draw_all("msrvtt", CLIPS, _profile().world.seed, clips.sample, clips.draw)
    return {f"video{number}.mp4": truth.sayable(clip.nouns) for number, (_, _, clip, _) in enumerate(items)}


def _known(dataset: str, folder: Path) -> Mapping[str, frozenset[str]]:
    """By the name of the file: all that may truly be said to be in it."""
    data = _profile().built
    if dataset == "MSR-VTT":
        return _clip_nouns()
    if dataset == "CheXpert":
        labels = chexpert.load(data / "chexpert" / "CheXpert-v1.0-small" / "valid.csv").to_pandas()
        rows = labels.set_index("file_name")[list(chexpert.FINDINGS)].eq(chexpert.PRESENT)
        return {path: frozenset(rows.columns[row]) for path, row in zip(rows.index, rows.to_numpy(), strict=True)}
    if dataset == "HardNeg-Syn":
        return {known.file_name: truth.sayable(known.scene.nouns) for known in truth.read(folder)}
    part = {"COCO": "coco", "VOC2007": "voc"}[dataset]
    seen = {known.file_name: known.scene for known in truth.read(data / part)}
    if dataset == "VOC2007":
        return {name: frozenset(voc.classes(scene)) for name, scene in seen.items()}
    return {name: truth.sayable(scene.nouns) for name, scene in seen.items()}


def _of(known: Mapping[str, frozenset[str]], path: str) -> frozenset[str]:
    (found,) = [nouns for name, nouns in known.items() if path.endswith(name)]
    return found


def _holds(said: Statement, there: frozenset[str]) -> bool:
    return set(said.present) <= there and not set(said.absent) & there


def _read(sentence: str) -> Statement:
    found = statements.read(sentence)
    assert found is not None, sentence
    return found


TEMPLATED = [each for each in VARIATIONS if each.wording in ("templated", "affirmation", "negation")]
FREE = [each for each in VARIATIONS if each.wording == "paraphrased"]


@pytest.mark.parametrize("variation", [each for each in TEMPLATED if each.task != "retrieval"], ids=lambda v: v.title)
def test_exactly_the_correct_option_is_true(variation: Variation, folder: Path) -> None:
    known = _known(variation.dataset, folder)
    for row in _load(variation, folder).remove_columns(_media(variation)):
        there = _of(known, row["file_name"])
        truths = [_holds(_read(option), there) for option in row["options"]]
        assert truths == [number == row["correct"] for number in range(len(truths))], row


@pytest.mark.parametrize("variation", [each for each in TEMPLATED if each.task == "retrieval"], ids=lambda v: v.title)
def test_what_captions_deny_is_absent_and_the_rest_is_the_plain_caption(variation: Variation, folder: Path) -> None:
    known, plain = _known(variation.dataset, folder), _plain_captions(variation.dataset, folder)
    orders = Counter[bool]()
    for row in _load(variation, folder).remove_columns(_media(variation)):
        there = _of(known, row["file_name"])
        for number, text in enumerate(row["captions"]):
            said = statements.read(text)
            if said is None:  # the positive pictures of HardNeg-Syn
                assert set(english.mentions(text)) <= there and "/positive/" in row["file_name"]
                continue
            assert _holds(said, there) and set(english.mentions(said.caption)) <= there
            assert variation.dataset == "HardNeg-Syn" or said.caption == plain[row["file_name"]][number]
            orders[said.negation_first] += 1
    assert min(orders[True], orders[False]) >= 0.2 * orders.total()


def _media(variation: Variation) -> list[str]:
    return ["video" if variation.dataset == "MSR-VTT" else "image"]


def _plain_captions(dataset: str, folder: Path) -> dict[str, list[str]]:
    found = _load(_by(dataset, "retrieval", "plain"), folder)
    return dict(zip(found["file_name"], found["captions"], strict=True))


def _texts(dataset: Dataset) -> list[str]:
    return [
        text for texts in dataset["captions" if "captions" in dataset.column_names else "options"] for text in texts
    ]


@pytest.mark.parametrize("variation", FREE, ids=lambda v: v.title)
def test_paraphrases_name_the_same_things_and_deny_as_often(variation: Variation, folder: Path) -> None:
    """Sentence by sentence: the same nouns as the template, and a cue exactly where the template has one."""
    template = _load(_by(variation.dataset, variation.task, "templated"), folder)
    free = _load(variation, folder)
    assert template["file_name"] == free["file_name"]
    changed = 0
    for said, again in zip(_texts(template), _texts(free), strict=True):
        assert english.mentions(said).keys() == english.mentions(again).keys(), (said, again)
        assert (phrasing.of(said).position == "none") == (phrasing.of(again).position == "none"), again
        changed += said != again
    assert changed >= 0.4 * len(_texts(free))


# --- files -----------------------------------------------------------------------------------------------------------


def test_there_are_eighteen_variations_under_the_paper_s_names() -> None:
    assert len(VARIATIONS) == 18 and len({each.title for each in VARIATIONS}) == 18
    tasks = Counter(f"{each.dataset} {each.task}" for each in VARIATIONS)
    assert tasks == {
        "COCO retrieval": 2,
        "COCO MCQ": 2,
        "VOC2007 MCQ": 2,
        "MSR-VTT retrieval": 2,
        "MSR-VTT MCQ": 2,
        "CheXpert 4-choice": 2,
        "CheXpert binary": 2,
        "HardNeg-Syn retrieval": 2,
        "HardNeg-Syn MCQ": 2,
    }


@pytest.mark.parametrize("variation", (*VARIATIONS, *PLAIN), ids=lambda v: v.title)
def test_the_loader_reads_every_file_with_its_pictures(variation: Variation, folder: Path) -> None:
    dataset = _load(variation, folder)
    told = report(dataset)
    assert not told.left_out and not told.missing_pictures
    assert told.counts.get("odd_options", 0) == told.counts.get("odd_captions", 0) == 0
    rows = {"COCO": 60, "VOC2007": 50, "MSR-VTT": 10, "HardNeg-Syn": 24}.get(variation.dataset)
    questions = SIZES.questions if variation.task == "MCQ" and variation.dataset != "HardNeg-Syn" else 1
    if rows and variation.file != "hardneg_retrieval_v1.csv":
        assert len(dataset) == rows * questions


@pytest.mark.parametrize("variation", [each for each in VARIATIONS if each.task == "MCQ"], ids=lambda v: v.title)
def test_types_are_balanced_as_far_as_the_labels_allow(variation: Variation, folder: Path) -> None:
    """Many pictures of VOC have one label, as in the published file, where 14 % of the questions are positive."""
    kinds = Counter(_load(variation, folder)["template"])
    if variation.dataset == "HardNeg-Syn":
        assert kinds == {"positive": SIZES.pairs, "hybrid": SIZES.pairs}
        return
    assert abs(kinds["negative"] - kinds["hybrid"]) <= 1
    assert kinds["positive"] <= kinds["negative"] + 1
    assert kinds["positive"] >= {"COCO": 0.3, "VOC2007": 0.05, "MSR-VTT": 0.2}[variation.dataset] * kinds.total()


def test_a_second_build_changes_nothing_and_other_sizes_build_again(folder: Path) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    before, first = stamps(), build.manifest(folder)
    assert maker.build(_profile(), SIZES) == folder and stamps() == before
    maker.build(_profile(), dataclasses.replace(SIZES, pairs=3))
    assert stamps() != before
    maker.build(_profile(), SIZES)
    assert build.manifest(folder) == first


def test_random_absent_objects_lie_beside(folder: Path) -> None:
    other = maker.build(_profile(), dataclasses.replace(SIZES, absent="random", pairs=2))
    assert other == folder.parent / "negbench-random" and folder.is_dir()
    one, two = (_load(_by("COCO", "retrieval", "templated"), each) for each in (folder, other))
    assert one["file_name"] == two["file_name"] and one["negative_objects"] != two["negative_objects"]


def test_an_interrupted_build_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.manifest(folder)

    def interrupt(*arguments: Any, **options: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(maker.hardneg, "pairs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        maker.build(_profile(), dataclasses.replace(SIZES, captions=1))
    assert build.manifest(folder) == before
    assert not list(folder.parent.glob(".negbench.*.part"))


def test_sizes_follow_the_profile() -> None:
    assert maker.sizes_of(config.load("mini")) == Sizes(5, 1, 500, "plausible")
    assert maker.sizes_of(config.load("quick")).pairs == 75


# --- the published files ---------------------------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "data"))
    return config.load("paper")


def test_published_files_are_only_looked_for(paper: Profile, tmp_path: Path) -> None:
    expected = tmp_path / "data" / "negbench"
    with pytest.raises(NegutilError, match=r"no published data.*datasets\.md"):
        negbench_files.folder(paper)
    assert not expected.exists()
    expected.mkdir(parents=True)
    with pytest.raises(NegutilError, match=r"none of NegBench's files \(COCO_val_negated_retrieval_template.csv, .*"):
        negbench_files.folder(paper)
    (expected / "VOC2007_mcq.csv").write_text("x")
    assert negbench_files.folder(paper) == expected
    assert [path.name for path in expected.iterdir()] == ["VOC2007_mcq.csv"]


def test_published_names_are_used_for_published_data(paper: Profile, tmp_path: Path) -> None:
    variation, unknown = _by("VOC2007", "MCQ", "templated"), _by("CheXpert", "binary", "negation")
    (tmp_path / "VOC2007_mcq.csv").write_text("x")
    assert negbench_files.path(variation, tmp_path) == tmp_path / "VOC2007_mcq.csv"
    assert negbench_files.path(unknown, tmp_path) is None
    assert negbench_files.pictures(paper, variation, tmp_path) == tmp_path / "data" / "voc"
    assert negbench_files.pictures(paper, _by("HardNeg-Syn", "MCQ", "templated"), tmp_path) == tmp_path


def test_published_files_that_are_here_are_named_right(shared_data: Path) -> None:
    names = {path.name for path in (shared_data / "negbench").glob("*.csv")}
    assert names <= {each.published for each in (*VARIATIONS, *PLAIN)}
