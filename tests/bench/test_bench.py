"""The report card: what is asked of files and of the mini world, what is kept, and what the folder then holds."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pandas as pd
import pytest
import torch
from clip_benchmark.cli import main_build
from data_files import complaint, picture, write_json, write_text
from PIL import Image

from negutil import config, results, statistics
from negutil.bench import card as bench_card
from negutil.bench import clip_benchmark_files, examples, references, run, sources
from negutil.bench import model as bench_model
from negutil.bench.run import Card
from negutil.bench.sources import Files, OwnPairs, Unit
from negutil.config import Profile, Splits
from negutil.models.loader import LoadedModel
from negutil.results import Record
from negutil.tasks import Frames, pairwise, suite

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
PAIRS = ["image,true,false", "0.png,a red square,no red square", "1.png,no red thing,a red thing", "2.png,blue,red"]
MCQ = ["image_path,correct_answer,caption_0,caption_1,caption_2,caption_3,correct_answer_template"] + [
    f"data/{i}.png,0,There is a cat {i},There is no cat {i},no dog but a cat {i},a dog and no cat {i},{kind}"
    for i, kind in ((0, "positive"), (1, "negative"), (2, "hybrid"))
]
PLAIN = ["filepath,captions", *(f"{i}.png,\"['a cat {i}', 'one cat {i}']\"" for i in range(3))]
NEGATED = ["filepath,captions", *(f"{i}.png,\"['a cat {i}, no dog', 'no car, cat {i}']\"" for i in range(3))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, colour in enumerate(COLOURS):
        picture(tmp_path / f"{number}.png", colour)
    write_text(tmp_path / "mine.csv", *PAIRS)
    write_text(tmp_path / "questions.csv", *MCQ)
    return tmp_path


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return bench_model.load(model_files.ARCHITECTURE, "random")


@pytest.fixture(scope="module")
def settings() -> Profile:
    """Settings of the mini world with a very small one, and few resamples."""
    quick = config.load("quick")
    sizes: dict[str, Any] = {"scenes": Splits(0, 20, 40), "voc": Splits(0, 0, 20), "clips": Splits(0, 0, 4)}
    sizes |= {"radiographs": Splits(60, 60, 0)}
    bootstrap = dataclasses.replace(quick.bootstrap, resamples=50)
    world = dataclasses.replace(quick.world, **sizes)
    return dataclasses.replace(quick, name="bench", world=world, bootstrap=bootstrap)


def units(folder: Path, settings: Profile, **more: Any) -> list[Unit]:
    """The units of the two files in ``folder``, and of more."""
    files = Files(negbench=(folder / "questions.csv",), pairs=(folder / "mine.csv",))
    return sources.of_files(dataclasses.replace(files, **more), settings)


@pytest.mark.parametrize("method", ["affirmed part", "subtraction=0.4", "caps=0.5", "steering"])
def test_a_method_without_training_has_a_card_of_its_own(
    folder: Path, settings: Profile, model: LoadedModel, method: str
) -> None:
    own = units(folder, settings)
    who = bench_model.with_method(model, method, 8)
    card = run.run(model, own, folder / "card", 8, who)
    assert card.model["name"] == who.name and who.name.startswith(f"{model.name}, {method.partition('=')[0]}")
    assert {record.model for record in card.records} == {who.name}
    run.run(model, own, folder / "plain", 8)
    kept = [run.load(folder / place, own[0]) for place in ("card", "plain")]
    margins = [next(iter(each.frames.values()))["margin"].tolist() for each in kept if each]
    assert len(margins) == 2 and margins[0] != margins[1]
    assert f"has the card of '{who.name}'" in complaint(run.run, model, own, folder / "card", 8)


@pytest.mark.parametrize(
    ("method", "said"),
    [("magic", "no method 'magic'"), ("caps=high", "write for example caps=0.9"), ("caps=2", "between 0")],
)
def test_a_wrong_method_is_refused(model: LoadedModel, method: str, said: str) -> None:
    assert said in complaint(bench_model.with_method, model, method)


def test_files_make_records_with_baselines(folder: Path, settings: Profile, model: LoadedModel) -> None:
    card = run.run(model, units(folder, settings), folder / "card", 8)
    table = run.table(card).set_index(["task", "metric"])
    main = table[table["main"]]
    assert list(main.index) == [("questions MCQ, own file", "accuracy"), ("mine", pairwise.METRIC)]
    assert main["n"].tolist() == [3, 3]
    assert main["chance"].tolist() == [0.25, 0.5]
    assert table.xs("questions MCQ, own file")["chance"].dropna().eq(0.25).all()
    assert {f"{pairwise.METRIC}, {kind}" for kind in ("negation true", "negation false", "none negated")} < set(
        table.loc["mine"].index
    )
    items = pd.concat([pd.read_parquet(path) for path in (folder / "card" / "tasks").glob("mine*.parquet")])
    assert main["value"].iloc[1] == pytest.approx(items["right"].mean())
    assert items["item"].tolist() == [2, 3, 4], "items of pairs are lines of the file"


def test_the_rule_beside_a_part_is_that_of_the_whole(folder: Path, settings: Profile, model: LoadedModel) -> None:
    write_text(
        folder / "mine.csv", PAIRS[0], *(f"{i % 3}.png,no red {i},red {i}" for i in range(5)), "0.png,red,no red"
    )
    card = run.run(model, units(folder, settings, negbench=()), folder / "card", 8)
    table = run.table(card).set_index("metric")
    assert set(table["blind_rule"]) == {"always negated"}
    assert table["blind"].tolist() == [pytest.approx(5 / 6), 1.0, 0.0]


def test_finished_tasks_are_not_asked_again(
    folder: Path, settings: Profile, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    plain = OwnPairs.score

    def counted(self: OwnPairs, *rest: Any) -> Frames:
        asked.append(self.title)
        return plain(self, *rest)

    monkeypatch.setattr(OwnPairs, "score", counted)
    first = run.run(model, units(folder, settings), folder / "card", 8)
    again = run.run(model, units(folder, settings), folder / "card", 8)
    assert asked == ["mine"]
    assert (first.records, first.baselines) == (again.records, again.baselines)
    write_text(folder / "mine.csv", *PAIRS[:3])
    run.run(model, units(folder, settings), folder / "card", 8)
    assert asked == ["mine", "mine"], "changed data are asked again"
    picture(folder / "0.png", (1, 2, 3), (20, 20))
    run.run(model, units(folder, settings), folder / "card", 8)
    assert len(asked) == 3, "so are changed pictures"


def test_an_interruption_keeps_what_is_finished(folder: Path, settings: Profile, model: LoadedModel) -> None:
    def interrupted(*_: Any) -> Frames:
        raise KeyboardInterrupt

    first, second = units(folder, settings)
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(OwnPairs, "score", interrupted)
        run.run(model, [first, second], folder / "card", 8)
    assert run.load(folder / "card", first) is not None
    assert run.load(folder / "card", second) is None
    resumed = run.run(model, [first, second], folder / "card", 8)
    whole = run.run(model, [first, second], folder / "other", 8)
    assert resumed.records == whole.records


def test_a_folder_is_about_one_model(folder: Path, settings: Profile, model: LoadedModel) -> None:
    own = units(folder, settings, negbench=())
    run.run(model, own, folder / "card", 8)
    other = bench_model.load(model_files.ARCHITECTURE, "random", seed=1)
    assert "has the card of 'Tiny-Test (random, seed 0)'" in complaint(run.run, other, own, folder / "card", 8)
    renamed = dataclasses.replace(model, fingerprint=other.fingerprint)
    assert "in its weights_sha256" in complaint(run.run, renamed, own, folder / "card", 8)
    assert "is a file" in complaint(run.run, model, own, folder / "mine.csv", 8)
    assert "Nothing to evaluate" in complaint(run.run, model, [], folder / "card", 8)


def test_what_is_wrong_with_data_or_model_is_told(folder: Path, settings: Profile, model: LoadedModel) -> None:
    lost = write_text(folder / "lost.csv", MCQ[0], MCQ[1].replace("0.png", "gone.png"), MCQ[2])
    told = complaint(sources.of_files, Files(negbench=(lost,)), settings)
    assert "gone.png" in told
    assert "--partial" in told
    (unit,) = sources.of_files(Files(negbench=(lost,), partial=True), settings)
    assert unit.notes == ("1 rows were left out because their images are missing.",)
    twice = Files(pairs=(folder / "mine.csv", folder / "mine.csv"))
    assert "Two files have the same name 'mine'" in complaint(sources.of_files, twice, settings)
    (folder / "1.png").write_bytes(b"no picture")
    own = units(folder, settings, negbench=())
    assert "1.png cannot be read as an image" in complaint(run.run, model, own, folder / "card", 8)
    picture(folder / "1.png")
    broken = bench_model.load(model_files.ARCHITECTURE, "random")
    with torch.no_grad():
        broken.model.text_projection.fill_(float("nan"))
    broken = dataclasses.replace(broken, fingerprint=broken.fingerprint | {"weights_sha256": "broken"})
    own = units(folder, settings, negbench=())
    assert "not finite" in complaint(run.run, broken, own, folder / "nan", 8)


def test_pictures_may_be_in_several_folders(folder: Path, settings: Profile) -> None:
    lists = write_text(folder / "lists" / "mine.csv", *PAIRS)
    assert "is not in" in complaint(sources.of_files, Files(pairs=(lists,)), settings)
    (unit,) = sources.of_files(Files(pairs=(lists,), images=(folder / "lists", folder)), settings)
    assert unit.title == "mine"


def test_the_drop_is_between_two_files(folder: Path, settings: Profile, model: LoadedModel) -> None:
    names = ("COCO_val_retrieval.csv", "COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv")
    files = tuple(write_text(folder / name, *lines) for name, lines in zip(names, (PLAIN, NEGATED), strict=True))
    card = run.run(model, sources.of_files(Files(negbench=files), settings), folder / "card", 8)
    value = {(record.task, record.metric): record.value for record in card.records}
    plain, negated = (value[f"COCO retrieval, {wording}", "recall@1"] for wording in ("plain", "paraphrased"))
    assert value["COCO retrieval, paraphrased", "drop of recall@1"] == pytest.approx(plain - negated)
    assert references.published(card) == [], "six captions are not the published file"


def test_the_other_formats(folder: Path, settings: Profile, model: LoadedModel) -> None:
    item = {"image_file": "0.png", "caption": "There are no dogs.", "foil": "There are dogs.", "classes": 0}
    votes = {"mturk": {"caption": 3, "foil": 0, "other": 0}}
    valse = write_json(folder / "existence.json", {"a": item | votes})
    boxes = [[0, 0, 4, 4], [4, 4, 6, 4]]
    phrase = {"image": "1.png", "phrase": "the square without a hat", "ref_bbox": boxes[0], "bbox_list": boxes}
    referring = write_json(folder / "NegRefCOCOg.json", [phrase])
    said = {"json": {"caption": "a cat"}, "sop_data": {"negative-prompt": "a cat, but not a hat"}}
    ccneg = folder / "ccneg.pt"
    torch.save({"image_paths": ["0.png", "1.png"], "annotations": [said, said]}, ccneg)
    files = Files(valse=(valse,), negrefcocog=(referring,), ccneg=(ccneg,))
    card = run.run(model, sources.of_files(files, settings), folder / "card", 8)
    table = run.table(card)
    main = table[table["main"]].set_index("task")
    assert list(main.index) == ["VALSE existence, all items", suite.REFERRING, suite.AFFIRMED, suite.BARE, suite.CCNEG]
    assert main["n"].tolist() == [1, 1, 1, 1, 2]
    assert main["chance"].eq(0.5).all()
    assert main.loc[suite.CCNEG, "blind"] == 1.0


def test_the_mini_world(settings: Profile, tmp_path: Path) -> None:
    own = sources.world(settings, ["VALSE", "COCO MCQ, templated"])
    assert [unit.title for unit in own] == [suite.VALSE, "COCO MCQ, templated"]
    card = run.run(bench_model.load("miniclip-s-8"), own, tmp_path / "card", 64)
    main = run.table(card).query("main")
    assert main["n"].tolist()[1] == 40
    assert main["value"].between(0.1, 1).all()
    assert all(task["world"] for task in card.tasks)
    assert "mini world" in bench_card.html(card)
    assert "No mini-world task has 'Flickr'" in complaint(sources.world, settings, ["Flickr"])
    assert "has no mini world" in complaint(sources.settings, "paper", 0)
    assert sources.settings("mini", 7).encode.batch == 7


def test_what_the_folder_holds(folder: Path, settings: Profile, model: LoadedModel) -> None:
    out = folder / "card"
    card = run.run(model, units(folder, settings), out, 8)
    run.save(card, out)
    content = json.loads((out / "bench.json").read_text())
    parts = {"records", "baselines", "references", "differences"}
    assert set(content) == {"format", "model", "tasks", "main", "provenance", *parts}
    assert content["format"] == run.FORMAT
    assert content["model"]["weights_sha256"] == model.fingerprint["weights_sha256"]
    assert {"commit", "packages", "device", "dtype", "started"} <= set(content["provenance"])
    assert [Record(**row) for row in content["records"]] == card.records
    frame = pd.read_csv(out / "bench.csv")
    assert tuple(frame.columns) == results.COLUMNS
    assert len(frame) == len(card.records) + len(card.baselines)
    facts = json.loads((out / "bench.provenance.json").read_text())
    assert [task["title"] for task in facts["tasks"]] == ["questions MCQ, own file", "mine"]
    first = (out / "bench.csv").read_bytes()
    run.save(run.run(model, units(folder, settings), folder / "again", 8), folder / "again")
    assert (folder / "again" / "bench.csv").read_bytes() == first


def test_the_page_needs_nothing_but_itself(folder: Path, settings: Profile, model: LoadedModel) -> None:
    write_text(folder / "mine.csv", PAIRS[0], "0.png,<b>red</b>,no red")
    (folder / "mine.csv").rename(folder / "<mine>.csv")
    own = units(folder, settings, pairs=(folder / "<mine>.csv",))
    card = run.run(model, own, folder / "card", 8)
    shown = examples.of(own, folder / "card")
    page = bench_card.save(card, folder / "card", shown).read_text()
    assert "http" not in page
    assert page.count("src=") == 2
    assert page.count('src="data:image/svg+xml;base64,') == page.count('src="data:image/jpeg;base64,') == 1
    assert "<link" not in page
    assert "<script" not in page
    assert "&lt;mine&gt;" in page
    assert "<mine>" not in page
    assert "&lt;b&gt;red&lt;/b&gt;" in page and "<b>red</b>" not in page
    assert bench_card.html(card, shown) == page


CUT = """[...document.querySelectorAll("*")]
    .filter(one => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
    .map(one => one.tagName + " " + one.className)"""
"""What is wider than its place, or has to be scrolled sideways."""


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_the_page_is_whole_at_every_width(
    width: int, browser: Any, folder: Path, settings: Profile, model: LoadedModel
) -> None:
    other, own = bench_model.load(model_files.ARCHITECTURE, "random", seed=1), units(folder, settings)
    cards = [run.run(each, own, folder / str(number), 8) for number, each in enumerate((model, other))]
    run.save(cards[1], folder / "1")
    card = references.added(cards[0], own, folder / "0", [folder / "1"], profile=settings.name, model=model.name)
    assert card.differences and card.references
    bench_card.save(card, folder / "0", examples.of(own, folder / "0"))
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto((folder / "0" / bench_card.PAGE).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate(CUT) == []
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    figure = page.locator("img.figure").bounding_box()
    assert figure["x"] >= 0 and figure["x"] + figure["width"] <= width
    shown = page.evaluate("document.querySelector('img.figure').currentSrc")
    drawn = base64.b64decode(shown.partition(",")[2]).decode()
    inches = float(drawn.partition('width="')[2].partition("pt")[0]) / 72
    assert figure["width"] / inches > 70, "its text can be read"
    page.close()


def test_the_worst_pairs_come_first_with_their_images(folder: Path, settings: Profile, model: LoadedModel) -> None:
    own = units(folder, settings)
    run.run(model, own, folder / "card", 8)
    (found,) = examples.of(own, folder / "card")
    items = pd.concat([pd.read_parquet(path) for path in (folder / "card" / "tasks").glob("mine*.parquet")])
    assert (found.title, found.n, found.wrong) == ("mine", 3, int((items["true"] <= items["false"]).sum()))
    worst = items.sort_values("margin")
    assert [pair.line for pair in found.shown] == worst["item"].tolist()
    assert [pair.margin for pair in found.shown] == pytest.approx((worst["true"] - worst["false"]).tolist())
    assert [pair.right for pair in found.shown] == worst["right"].tolist()
    for pair in found.shown:
        assert PAIRS[pair.line - 1] == f"{pair.file_name},{pair.true},{pair.false}"
        image = Image.open(io.BytesIO(base64.b64decode(pair.image.partition(",")[2]))).convert("RGB")
        wanted = COLOURS[int(pair.file_name[0])]
        assert np.abs(np.asarray(image, int)[4, 6] - wanted).max() < 12


def test_large_images_become_small_ones_and_only_the_lowest_are_shown(
    folder: Path, settings: Profile, model: LoadedModel
) -> None:
    picture(folder / "0.png", size=(2000, 1000))
    lines = [f"0.png,a red square {number},no red square {number}" for number in range(examples.MOST + 5)]
    write_text(folder / "mine.csv", PAIRS[0], *lines)
    own = units(folder, settings, negbench=())
    card = run.run(model, own, folder / "card", 8)
    (found,) = examples.of(own, folder / "card")
    assert (len(found.shown), found.n) == (examples.MOST, examples.MOST + 5)
    image = Image.open(io.BytesIO(base64.b64decode(found.shown[0].image.partition(",")[2])))
    assert image.size == (examples.SIDE, examples.SIDE // 2)
    assert f"Here are the {examples.MOST} with" in bench_card.html(card, [found])


def test_differences_from_another_card_are_paired(folder: Path, settings: Profile, model: LoadedModel) -> None:
    other, own = bench_model.load(model_files.ARCHITECTURE, "random", seed=1), units(folder, settings)
    cards = [run.run(each, own, folder / str(number), 8) for number, each in enumerate((model, other))]
    run.save(cards[1], folder / "1")
    found = references.differences(cards[0], own, folder / "0", [folder / "1"])
    assert [record.task for record in found] == ["questions MCQ, own file", "mine"]
    for record, unit in zip(found, own, strict=True):
        both = [run.load(folder / str(number), unit) for number in (0, 1)]
        first, second = (kept.frames[unit.title]["right"].astype(float) for kept in both if kept)
        gain = statistics.paired_bootstrap(first, second, resamples=50)
        assert (record.value, record.ci_low, record.ci_high) == (gain.value, gain.low, gain.high)
        assert record.model == f"{model.name} minus {other.name}"
    page = bench_card.html(dataclasses.replace(cards[0], differences=found))
    assert f"{model.name} minus {other.name}" in page


def test_the_summary_counts_tests() -> None:
    """Of three tests one lies above both bars, one above guessing alone, and one has no bar to compare with."""
    row = Record("bench", "", "x", "accuracy", 0.8, 100, ci_low=0.7, ci_high=0.9)
    records = [dataclasses.replace(row, task=task) for task in ("a", "b", "c")]
    bars = [("a", 0.5, 0.6), ("b", 0.5, 0.75)]
    baselines = [
        dataclasses.replace(row, task=task, model=name, value=value)
        for task, *values in bars
        for name, value in zip(("chance", "blind: longest"), values, strict=True)
    ]
    main = tuple((record.task, record.metric) for record in records)
    gains = [
        dataclasses.replace(row, task=task, model="x minus y", ci_low=low, ci_high=low + 0.1)
        for task, low in (("a", 0.02), ("b", -0.05), ("c", -0.3))
    ]
    card = Card({"name": "x"}, [], main, records, baselines, [], {}, gains)
    assert bench_card.summary(card) == [
        "Above guessing and blind rules on 1 of 2 tests.",
        "Better than y on 1 of 3 tests on the same items, worse on 1.",
    ]


def test_clip_benchmark_merges_the_files(folder: Path, settings: Profile, model: LoadedModel) -> None:
    retrieval = write_text(folder / "COCO_val_retrieval.csv", *PLAIN)
    own = units(folder, settings, negbench=(folder / "questions.csv", retrieval))
    card = run.run(model, own, folder / "card", 8)
    written = clip_benchmark_files.write(card, folder / "theirs", "random")
    assert [path.name for path in written] == [
        "questions-MCQ-own-file_random_Tiny-Test_en_image_caption_selection.json",
        "COCO-retrieval-plain_random_Tiny-Test_en_zeroshot_retrieval.json",
        "mine_random_Tiny-Test_en_image_caption_selection.json",
    ]
    main_build(argparse.Namespace(files=[str(folder / "theirs")], output=str(folder / "all.csv")))
    table = pd.read_csv(folder / "all.csv").set_index("dataset")
    assert set(table["model_fullname"]) == {"Tiny-Test random"}
    value = {(record.task, record.metric): record.value for record in card.records}
    assert table.loc["mine", "acc"] == pytest.approx(value["mine", pairwise.METRIC])
    assert table.loc["questions MCQ, own file", "acc"] == pytest.approx(value["questions MCQ, own file", "accuracy"])
    found = table.loc["COCO retrieval, plain"]
    assert found["image_retrieval_recall@5"] == pytest.approx(value["COCO retrieval, plain", "recall@5"])
    assert (found["task"], found["language"]) == ("zeroshot_retrieval", "en")


def test_another_card_stands_beside(folder: Path, settings: Profile, model: LoadedModel) -> None:
    other = bench_model.load(model_files.ARCHITECTURE, "random", seed=1)
    both = [run.run(own, units(folder, settings), folder / str(n), 8) for n, own in enumerate((model, other))]
    run.save(both[1], folder / "1")
    found = references.of_cards(both[0], [folder / "1"])
    assert [(record.task, record.value) for record in found] == [(r.task, r.value) for r in both[1].records]
    card = dataclasses.replace(both[0], references=references.shown(both[0], found))
    assert f"{other.name} (other card)" in bench_card.html(card)
    assert "give the folder of a card" in complaint(references.of_cards, both[0], [folder])
    write_text(folder / "mine.csv", *PAIRS[:2])
    changed = run.run(model, units(folder, settings, negbench=()), folder / "2", 8)
    assert "no task on the same data" in complaint(references.of_cards, changed, [folder / "1"])


def test_committed_results_are_those_of_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEGUTIL_RESULTS")
    found = references.of_world("mini", "miniclip-s-8")
    assert {record.model for record in found} == {
        *("miniclip-s-8", "miniclip-b-8"),
        *(f"miniclip-s-8+{method}, mean of its seeds" for method in references.METHODS),
    }
    assert len({(record.model, record.task, record.metric) for record in found}) == len(found)
    assert not any(record.paper_source for record in found)
    assert references.of_world("quick", "miniclip-s-8") == []


def test_published_numbers_need_the_whole_file() -> None:
    def card(n: int, architecture: str) -> Card:
        record = Record("bench", suite.REFERRING, "x", "accuracy", 0.5, n)
        tasks = [{"title": suite.REFERRING, "world": False}]
        main = ((suite.REFERRING, "accuracy"),)
        return Card({"architecture": architecture, "name": "x"}, tasks, main, [record], [], [], {})

    found = {record.model: record for record in references.published(card(440, "ViT-L-14-quickgelu"))}
    assert found["CLIP (ViT-L/14)"].value == pytest.approx(0.5727)
    assert "NegationCLIP, Table 2" in found["CLIP (ViT-L/14)"].paper_source
    assert "CLIP (ViT-B/32)" in {record.model for record in references.published(card(440, "RN50"))}
    assert references.published(card(439, "ViT-L-14")) == []


def test_the_real_sample_with_its_photographs(shared_data: Path, tmp_path: Path, model: LoadedModel) -> None:
    sample = shared_data / "negbench_simple30"
    with Image.open(next((sample / "images").glob("*.jpg"))) as photograph:
        assert min(photograph.size) > 100
    chosen = sources.settings("mini", 8)
    (unit,) = sources.of_files(Files(negbench=(sample / "mcq_simple.csv",)), chosen)
    card = run.run(model, [unit], tmp_path / "card", 8)
    accuracy = next(record for record in card.records if record.metric == "accuracy")
    assert (accuracy.task, accuracy.n) == ("mcq_simple MCQ, own file", 30)
    assert accuracy.ci_low is not None
    assert accuracy.ci_high is not None
    assert accuracy.ci_low <= accuracy.value <= accuracy.ci_high < 1


def test_texts_that_are_cut_are_counted(folder: Path, settings: Profile, model: LoadedModel) -> None:
    long = "very " * 90
    write_text(folder / "long.csv", "image,true,false", f"0.png,{long}red ball,{long}ball", "1.png,a ball,no ball")
    card = run.run(model, sources.of_files(Files(pairs=(folder / "long.csv",)), settings), folder / "card", 8)
    (task,) = card.tasks
    cut, equal = task["notes"][-2:]
    assert cut == "2 of 4 texts are longer than the 77 tokens that the model reads, and were cut."
    assert equal == "1 of 2 pairs are the same for the model after that, and count as wrong."
    assert run.cut_texts(model, *units(folder, settings)[:1]) == []


def test_a_real_pair_that_differs_beyond_the_77th_token_is_said_to_be_equal(
    shared_data: Path, folder: Path, settings: Profile, model: LoadedModel
) -> None:
    file = shared_data / "bad_input" / "differ_beyond_77.csv"
    picture(folder / "p0.png")
    (unit,) = sources.of_files(Files(pairs=(file,), images=(folder,)), settings)
    assert run.cut_texts(model, unit)[-1] == "1 of 1 pairs are the same for the model after that, and count as wrong."


def test_lists_as_numpy_prints_them_are_refused(folder: Path, settings: Profile) -> None:
    write_text(folder / "numpy.csv", "filepath,captions", *(f"{i}.png,['a cat {i}' 'a dog {i}']" for i in range(3)))
    said = complaint(sources.of_files, Files(negbench=(folder / "numpy.csv",)), settings)
    assert "numpy.csv" in said and "captions" in said


def test_rows_that_an_open_quotation_swallows_are_left_out(folder: Path, settings: Profile) -> None:
    write_text(
        folder / "open.csv",
        MCQ[0],
        '0.png,0,"a cat,b,c,d,positive',
        *(row.replace("a cat", '"a cat"') for row in MCQ[1:]),
    )
    (unit,) = sources.of_files(Files(negbench=(folder / "open.csv",)), settings)
    assert any("2 malformed rows" in note for note in unit.notes), unit.notes
