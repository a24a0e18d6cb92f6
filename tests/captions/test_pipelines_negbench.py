"""NegBench's tables from labels: published columns, true and false sentences in their places, read by the loader."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from negutil.captions import negbench as builder
from negutil.captions import statements
from negutil.captions.negbench import Labelled
from negutil.captions.statements import Grammar, Statement
from negutil.data import chexpert, coco, negbench, report
from negutil.errors import NegutilError

ITEMS = [
    Labelled(f"{number}.jpg", str(number), nouns, (f"caption {number}", f"another of {number}", f"third of {number}"))
    for number, nouns in enumerate(
        [
            ("dog", "cat"),
            ("dog", "hat", "bus"),
            ("car",),
            ("bus", "car"),
            ("cat", "hat"),
            ("dog",),
            (),
            ("bus", "dog"),
            ("key", "egg", "bed", "mug"),
        ]
        * 6
    )
]


def retrieval(items: Sequence[Labelled], *, medium: str = "image", annotator: Any = None, **how: Any) -> pd.DataFrame:
    return builder.retrieval_table(builder.queries(items, medium=medium, **how), medium, annotator)


def mcq(items: Sequence[Labelled], *, medium: str = "image", annotator: Any = None, **how: Any) -> pd.DataFrame:
    return builder.mcq_table(builder.questions(items, medium=medium, **how), medium, annotator)


def _holds(said: Statement, there: set[str]) -> bool:
    return set(said.present) <= there and not set(said.absent) & there


def _said(sentence: str) -> Statement:
    found = statements.read(sentence)
    assert found is not None, sentence
    return found


def _lists(column: pd.Series) -> list[list[str]]:
    return [json.loads(text.replace("'", '"')) for text in column]


# --- columns ---------------------------------------------------------------------------------------------------------


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream))


@pytest.mark.parametrize(
    ("published", "make"),
    [
        ("COCO_val_retrieval.csv", lambda: builder.retrieval_table(builder.queries(ITEMS), negated=False)),
        ("COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv", lambda: retrieval(ITEMS)),
        ("COCO_val_mcq_llama3.1_rephrased.csv", lambda: mcq(ITEMS)),
    ],
)
def test_columns_are_the_published_ones(shared_data: Path, published: str, make: Callable[[], pd.DataFrame]) -> None:
    assert list(make().columns) == _header(shared_data / "negbench" / published)


def test_columns_of_clips_are_those_of_the_published_files() -> None:
    """As in msr_vtt_retrieval.csv, msr_vtt_retrieval_rephrased_llama.csv and msr_vtt_mcq_rephrased_llama.csv."""
    rows = builder.queries(ITEMS, medium="video")
    plain = ["image_id", "captions", "filepath", "all_captions"]
    concepts = ["positive_concept1", "positive_concept2", "negative_concept"]
    options = [f"caption_{number}" for number in range(4)]
    assert list(builder.retrieval_table(rows, "video", negated=False).columns) == plain
    assert list(builder.retrieval_table(rows, "video").columns) == plain + concepts
    columns = ["correct_answer", *options, "correct_answer_template", "image_path"]
    assert list(mcq(ITEMS, medium="video").columns) == columns


# --- retrieval -------------------------------------------------------------------------------------------------------


def test_each_caption_is_told_with_one_absent_object_of_its_row() -> None:
    table = retrieval(ITEMS, captions=2)
    assert len(table) == len(ITEMS)
    for item, absent, texts in zip(ITEMS, _lists(table.negative_objects), _lists(table.captions), strict=True):
        assert len(absent) == len(set(absent)) == 3 and not set(absent) & set(item.objects)
        said = [_said(text) for text in texts]
        assert [each.caption for each in said] == list(item.captions[:2])
        assert all(len(each.absent) == 1 and each.absent[0] in absent for each in said)


def test_half_of_the_negations_come_first() -> None:
    table = retrieval([Labelled(str(n), str(n), ("dog",), ("a", "b")) for n in range(300)] + ITEMS, captions=2)
    first = [_said(text).negation_first for texts in _lists(table.captions) for text in texts]
    assert 0.42 < sum(first) / len(first) < 0.58


def test_plain_templated_and_paraphrased_tables_speak_of_the_same() -> None:
    rows = builder.queries(ITEMS, seed=3)
    tables = [
        builder.retrieval_table(rows, negated=False),
        builder.retrieval_table(rows),
        builder.retrieval_table(rows, annotator=Grammar()),
    ]
    for name in ("filepath", "image_id", "positive_objects", "negative_objects"):
        assert tables[0][name].equals(tables[1][name]) and tables[0][name].equals(tables[2][name])
    for item, (plain, templated, free) in zip(ITEMS, zip(*(t.captions for t in tables), strict=True), strict=True):
        assert plain == str(list(item.captions)) and len({plain, templated, free}) == 3
        for text in item.captions:
            assert free.lower().count(text) == 1


def test_pictures_without_captions_are_left_out_of_retrieval() -> None:
    table = retrieval([*ITEMS, Labelled("bare.jpg", "bare", ("dog",))])
    assert "bare.jpg" not in set(table.filepath) and len(table) == len(ITEMS)


# --- multiple choice -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", ["plausible", "random"])
@pytest.mark.parametrize("medium", ["image", "video"])
def test_only_option_0_is_true(absent: str, medium: str) -> None:
    table = mcq(ITEMS, per_picture=3, absent=absent, medium=medium, seed=1)
    there = {item.file_name: set(item.objects) for item in ITEMS}
    assert len(table) == 3 * sum(bool(item.objects) for item in ITEMS)
    for row in table.to_dict("records"):
        said = [_said(row[f"caption_{number}"]) for number in range(4)]
        truth = [_holds(each, there[row["image_path"]]) for each in said]
        assert truth == [True, False, False, False] and row["correct_answer"] == 0


def test_options_are_laid_out_as_published() -> None:
    """The layout of every row of the published templates: N denies A; N; no A; and the right one by its type."""
    seen = Counter[str]()
    for row in mcq(ITEMS, per_picture=2).to_dict("records"):
        right, hybrid, affirmation, negation = (_said(row[f"caption_{number}"]) for number in range(4))
        (first,), (noun,) = hybrid.absent, hybrid.present
        assert affirmation == Statement((noun,)) and negation == Statement((), (first,))
        expected = {
            "positive": (2, ()),
            "negative": (0, (noun,)),
            "hybrid": (1, (noun,)),
        }[row["correct_answer_template"]]
        assert (len(right.present), right.absent) == expected
        assert not right.present or right.present[0] == first
        seen[row["correct_answer_template"]] += 1
    assert max(seen.values()) - min(seen.values()) <= 2


def test_a_picture_with_one_object_gets_no_positive_question() -> None:
    single = [Labelled(f"{n}.jpg", str(n), (noun,)) for n, noun in enumerate(["dog", "cat", "bus"] * 10)]
    kinds = Counter(mcq(single, per_picture=2).correct_answer_template)
    assert kinds == {"negative": 30, "hybrid": 30}


def test_questions_about_one_picture_differ() -> None:
    table = mcq(ITEMS, per_picture=3)
    assert not table.duplicated(["image_path", "caption_0"]).any()


def test_implied_names_are_never_absent() -> None:
    items = [Labelled("w.jpg", "w", ("woman", "dog"), ("a",), ("person",)), Labelled("p.jpg", "p", ("person", "hat"))]
    for seed in range(40):
        for row in mcq(items, per_picture=1, seed=seed, absent="random").to_dict("records"):
            if row["image_path"] == "w.jpg":
                assert "person" not in " ".join(row[f"caption_{number}"] for number in range(4))


def test_fewer_absent_objects_than_wanted_are_all_used() -> None:
    items = [Labelled("a.jpg", "a", ("dog", "cat"), ("text",)), Labelled("b.jpg", "b", ("hat",), ("text",))]
    assert _lists(retrieval(items).negative_objects)[0] == ["hat"]
    assert Counter(mcq(items, per_picture=3).image_path) == {"a.jpg": 1, "b.jpg": 2}
    with pytest.raises(NegutilError, match="1 absent objects are wanted and 0 are left"):
        mcq([Labelled("a.jpg", "a", ("dog",))])


def test_other_seeds_give_other_questions_and_the_same_seed_the_same() -> None:
    assert mcq(ITEMS).equals(mcq(ITEMS))
    assert not mcq(ITEMS).equals(mcq(ITEMS, seed=1))


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(NegutilError, match="cannot be chosen 'likely'"):
        mcq(ITEMS, absent="likely")
    with pytest.raises(NegutilError, match="name no object"):
        mcq([Labelled("a.jpg", "a", ())])
    with pytest.raises(NegutilError, match="no question"):
        builder.table([], builder.MCQ)


def test_an_annotator_that_loses_sentences_is_an_error() -> None:
    class Lazy:
        def paraphrase(self, captions: Any) -> list[str]:
            return list(captions)[1:]

    with pytest.raises(NegutilError, match="paraphrases of"):
        mcq(ITEMS, annotator=Lazy())


# --- radiographs -----------------------------------------------------------------------------------------------------

STATES = {"Lung Opacity": "1100 1100", "Atelectasis": "1010 1010", "Edema": "0010 0001", "Fracture": "0001-000"}


@pytest.fixture
def radiographs(tmp_path: Path) -> Any:
    """Eight radiographs: every state of the two findings twice; others absent, present or uncertain ("-")."""
    lines = []
    for number in range(8):
        marks = {name: states.replace(" ", "")[number] for name, states in STATES.items()}
        labels = ["-1.0" if marks.get(name) == "-" else f"{marks.get(name, '0')}.0" for name in chexpert.FINDINGS]
        lines.append([f"CheXpert/{number}.jpg", "Male", "40", "Frontal", "AP", *labels])
    path = tmp_path / "valid.csv"
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *chexpert.FINDINGS]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return chexpert.load(path)


def _labels(dataset: Any, value: int) -> dict[str, set[str]]:
    rows = dataset.to_pandas().set_index("file_name")[list(chexpert.FINDINGS)]
    return {path: {name for name, label in row.items() if label == value} for path, row in rows.iterrows()}


@pytest.mark.parametrize("make", [builder.binary, builder.four_choice])
@pytest.mark.parametrize("negated", [False, True])
def test_exactly_the_right_option_is_true_of_a_radiograph(radiographs: Any, make: Any, negated: bool) -> None:
    present, absent = _labels(radiographs, 1), _labels(radiographs, 0)
    table = make(radiographs, negated=negated)
    for row in table.to_dict("records"):
        options = [_said(row[name]) for name in table.columns if name.startswith("caption_")]
        path = row["image_path"]
        assert [_holds(said, present[path]) for said in options].index(True) == row["correct_answer"]
        assert sum(_holds(said, present[path]) for said in options) == 1
        # What is uncertain or unsaid is never spoken of.
        spoken = {noun for said in options for noun in (*said.present, *said.absent)}
        assert spoken <= present[path] | absent[path]


def test_the_medical_columns(radiographs: Any) -> None:
    assert list(builder.binary(radiographs, negated=True).columns) == [
        *("image_path", "caption_0", "caption_1", "correct_answer")
    ]
    four = builder.four_choice(radiographs, negated=False)
    assert list(four.columns) == ["image_path", *builder.OPTIONS, "correct_answer"]


def test_the_four_states_are_equally_often_right(radiographs: Any) -> None:
    table = builder.four_choice(radiographs, negated=True)
    assert Counter(table.correct_answer) == {0: 2, 1: 2, 2: 2, 3: 2}


def test_affirmation_and_negation_are_about_the_same_radiographs(radiographs: Any) -> None:
    both = [builder.binary(radiographs, negated=negated, folder="x") for negated in (False, True)]
    assert both[0].image_path.equals(both[1].image_path) and both[0].image_path[0].startswith("x/CheXpert/")


def test_a_finding_that_nobody_has_is_an_error(radiographs: Any) -> None:
    with pytest.raises(NegutilError, match="No radiograph is known to have Pneumothorax"):
        builder.binary(radiographs, negated=False, pair=("Lung Opacity", "Pneumothorax"))


# --- from COCO files to NegBench files -------------------------------------------------------------------------------


def _coco_files(folder: Path) -> tuple[Path, Path]:
    names = {1: ("person", "person"), 2: ("woman", "person"), 17: ("cat", "animal"), 62: ("chair", "furniture")}
    shown = {100: [2, 17], 101: [1, 62, 62], 102: [17], 103: [62, 17], 104: [2, 62]}
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 9, "height": 9} for number in shown]
    owners = [(image, category) for image, categories in shown.items() for category in categories]
    boxes = [
        {"id": number, "image_id": image, "category_id": category, "bbox": [0, 0, 4, 4], "iscrowd": 0}
        for number, (image, category) in enumerate(owners)
    ]
    categories = [{"id": number, "name": name, "supercategory": above} for number, (name, above) in names.items()]
    said = [
        {"id": 10 * image + number, "image_id": image, "caption": f"Caption {number} of {image}."}
        for image in shown
        for number in range(5)
    ]
    instances, captions = folder / "instances.json", folder / "captions.json"
    instances.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    captions.write_text(json.dumps({"images": images, "annotations": said}))
    return instances, captions


def test_write_makes_files_that_the_loader_reads(tmp_path: Path) -> None:
    instances, captions = _coco_files(tmp_path)
    paths = builder.write(instances, captions, tmp_path / "out", per_picture=1, absent="random", annotator=Grammar())
    assert sorted(path.stem for path in paths) == [
        *("mcq_paraphrased", "mcq_template", "retrieval"),
        *("retrieval_negated_paraphrased", "retrieval_negated_template"),
    ]
    for path in paths:
        dataset = negbench.load(path)
        assert len(dataset) == 5 and not report(dataset).left_out
        if path.stem.startswith("retrieval"):
            assert dataset["image_id"] == ["100", "101", "102", "103", "104"]
            assert all(len(texts) == 5 for texts in dataset["captions"])
            assert dataset["positive_objects"][1] == ["person", "chair"]
            assert all("person" not in nouns for nouns in dataset["negative_objects"][:2])


def test_write_without_captions_or_annotator_makes_the_templated_questions(tmp_path: Path) -> None:
    instances, _ = _coco_files(tmp_path)
    (path,) = builder.write(instances, None, tmp_path / "out", folder="val2017")
    assert path.name == "mcq_template.csv" and negbench.load(path)["file_name"][0] == "val2017/100.jpg"


def test_real_annotations_can_be_used(shared_data: Path, tmp_path: Path) -> None:
    """Real COCO files: the positive objects that we write for a picture are the published ones."""
    instances = shared_data / "coco" / "annotations" / "instances_val2017.json"
    published = negbench.load(shared_data / "negbench" / "COCO_val_retrieval.csv")
    known = dict(zip(published["image_id"], published["positive_objects"], strict=True))
    items = builder.from_coco(coco.load(instances=instances))
    compared = [set(item.objects) == set(known[item.image_id]) for item in items if item.image_id in known]
    assert len(compared) > 50 and all(compared)
    (path,) = builder.write(instances, None, tmp_path)
    assert len(negbench.load(path)) == sum(bool(item.objects) for item in items)


def test_what_a_caption_names_is_not_denied() -> None:
    said = ("a red stop sign beside a parked car", "two cars and some buses")
    pictures = [builder.Labelled(f"{n}.jpg", str(n), ("stop sign",), said) for n in range(30)]
    pictures += [
        builder.Labelled(f"{n}.jpg", str(n), ("car", "bus", "dog", "cat"), ("a street",)) for n in range(30, 60)
    ]
    for choice in builder.CHOICES:
        made = builder.queries(pictures, absent=choice)
        denied = {noun for row in made[:30] for noun in row.absent}
        assert denied == {"dog", "cat"}
