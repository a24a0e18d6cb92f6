"""Journals, plausible objects, P1, P2, NegCap, CC-Neg triplets and word order, on captions written here."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniworld import grammar, scenes, truth
from miniworld.annotator import ErrorRates, World, WorldAnnotator
from negutil.captions import baseline_sets, english, p1, p2, phrasing
from negutil.captions.english import COMPANIONS, HELD_OUT_NOUNS, NOUNS
from negutil.captions.negbench import OPTIONS, write_csv
from negutil.captions.p1 import Source
from negutil.captions.p2 import Asked, Denial
from negutil.data import ccneg, negationclip, negbench, vqa
from negutil.errors import NegutilError

SCENES = [scenes.sample(random.Random(f"captions/{number}")) for number in range(60)]
SOURCES = [
    Source(
        number * 10, number, f"{number}.jpg", grammar.full_caption(scene, random.Random(number)), Path(f"{number}.jpg")
    )
    for number, scene in enumerate(SCENES)
]
THINGS = {f"{number}.jpg": truth.sayable(scene.nouns) for number, scene in enumerate(SCENES)}
ALLOWED = tuple(noun for noun in NOUNS if noun not in HELD_OUT_NOUNS)


def annotator(plausible_objects: bool = True, **errors: float) -> WorldAnnotator:
    world = World(errors=ErrorRates(**errors), held_out_share=0.0, nouns=ALLOWED, plausible=plausible_objects)
    return WorldAnnotator(THINGS, world)


# Journal


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    items = {number: f"caption {number}" for number in range(10)}
    asked: list[str] = []

    def work(batch: Sequence[str]) -> list[p1.Outcome]:
        if len(asked) >= 6:
            raise KeyboardInterrupt
        asked.extend(batch)
        return [{"text": item.upper()} for item in batch]

    with pytest.raises(KeyboardInterrupt):
        p1.outcomes(items, work, tmp_path / "a.jsonl", {"model": "x"}, batch=3)
    done = asked.copy()
    asked.clear()
    outcomes = p1.outcomes(items, work, tmp_path / "a.jsonl", {"model": "x"}, batch=4)
    assert done == [f"caption {number}" for number in range(6)]
    assert asked == [f"caption {number}" for number in range(6, 10)]
    assert outcomes == {number: {"text": f"CAPTION {number}"} for number in range(10)}


def test_a_journal_is_not_believed_about_other_items_or_annotators(tmp_path: Path) -> None:
    calls: list[str] = []

    def work(batch: Sequence[str]) -> list[p1.Outcome]:
        calls.extend(batch)
        return [{"text": item} for item in batch]

    path = tmp_path / "a.jsonl"
    p1.outcomes({1: "a", 2: "b"}, work, path, {"seed": 0})
    assert p1.outcomes({1: "a", 2: "changed"}, work, path, {"seed": 0})[2] == {"text": "changed"}
    assert calls == ["a", "b", "changed"]
    p1.outcomes({1: "a"}, work, path, {"seed": 1})
    assert calls == ["a", "b", "changed", "a"]


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def work(batch: Sequence[str]) -> list[p1.Outcome]:
        return [{"text": item} for item in batch]

    first = p1.outcomes({1: "a", 2: "b"}, work, path)
    path.write_bytes(path.read_bytes()[:-5])
    assert p1.outcomes({1: "a", 2: "b"}, work, path) == first
    assert len(path.read_text().splitlines()) == 3


def test_a_damaged_journal_and_a_lost_item_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\nnot json\n")
    with pytest.raises(NegutilError, match="damaged"):
        p1.outcomes({1: "a"}, lambda batch: [{} for _ in batch], path)
    with pytest.raises(NegutilError, match="2 items came back as 0"):
        p1.outcomes({1: "a", 2: "b"}, lambda batch: [])


# Plausible objects and P1


def test_objects_in_the_picture_and_held_out_ones_are_dropped() -> None:
    class Fixed:
        name = "fixed"

        def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
            return [["sofa", "dog", "cat", "tree"][:count] for _ in captions]

        def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
            return [{"dog": True, "cat": None, "tree": False}[noun] for noun in nouns]

    fixed = Fixed()
    asked = ([Source(1, 1, "a.jpg", "a car", Path("a.jpg"))], fixed, fixed)
    chosen = p1.choose(*asked, proposals=4, wanted=2, held_out={"couch"})[0]  # type: ignore[arg-type]
    assert chosen.absent == ("cat", "tree")
    assert chosen.dropped == (("sofa", p1.HELD_OUT), ("dog", p1.SHOWN))
    none = p1.choose(*asked, proposals=2, held_out={"couch"})[0]  # type: ignore[arg-type]
    assert none.absent == ()
    assert (none.reason, none.noun) == (p1.SHOWN, "dog")


def test_p1_adds_what_is_absent_and_says_so() -> None:
    who = annotator()
    made = p1.make(SOURCES, who, who, held_out=HELD_OUT_NOUNS)
    assert tuple(made.columns) == p1.COLUMNS
    for row in made.itertuples():
        shown = THINGS[str(row.file_name)]
        assert (row.dropped == p1.SHOWN) == (row.absent in shown)
        if row.dropped:
            assert row.updated_caption == ""
            continue
        said = str(row.updated_caption)
        assert phrasing.of(said).cue and not said.endswith(".")
        assert english.mentions(said) - english.mentions(str(row.caption)) == Counter([row.absent])
        assert row.absent not in HELD_OUT_NOUNS


def test_p1_without_verification_keeps_every_proposal() -> None:
    made = p1.make(SOURCES, annotator(), None)
    assert (made["dropped"] == "").all()


def test_random_objects_are_less_plausible_than_proposed_ones() -> None:
    pools = [{noun for group in COMPANIONS if group & scene.nouns for noun in group} for scene in SCENES]

    def near(plausible_objects: bool) -> float:
        made = p1.make(SOURCES, annotator(plausible_objects), None)
        return float(np.mean([noun in pool for noun, pool in zip(made["absent"], pools, strict=True)]))

    assert near(True) > near(False) + 0.3


def test_p1_does_not_depend_on_batches_or_on_an_interruption(tmp_path: Path) -> None:
    who = annotator(negate=0.3, shows=0.3)
    whole = p1.make(SOURCES, who, who)
    p1.make(SOURCES[:7], who, who, kept_in=tmp_path / "p1.jsonl")
    resumed = p1.make(SOURCES, who, who, kept_in=tmp_path / "p1.jsonl")
    pd.testing.assert_frame_equal(whole, resumed)


# The caption file


def test_captions_are_written_in_the_published_format(tmp_path: Path) -> None:
    who = annotator()
    made = p1.make(SOURCES, who, who)
    path = p1.write(made, tmp_path / "p1.json")
    kept = made[made["dropped"] == ""]
    read = negationclip.load(path).to_pandas()
    assert read["updated_caption"].tolist() == kept["updated_caption"].tolist()
    assert read["caption_id"].tolist() == kept["caption_id"].tolist()
    assert [row["absent"] for row in json.loads(path.read_text())["annotations"]] == kept["absent"].tolist()
    assert set(json.loads(path.read_text())["annotations"][0]) >= {"image_id", "id", "caption", "updated_caption"}
    with pytest.raises(NegutilError, match="none of"):
        p1.write(made[made["dropped"] != ""], path)


# P2


@pytest.mark.parametrize(
    ("question", "denial"),
    [
        ("Is there a dog?", Denial("presence", "dog")),
        ("Are there any people in the picture?", Denial("presence", "people")),
        ("does the image contain a circle?", Denial("presence", "circle")),
        ("is a teal shape present?", Denial("presence", "teal shape")),
        ("Is the ice cream brown?", Denial("colour", "brown", "ice cream")),
        ("Is the person wearing a hat?", Denial("worn", "wearing a hat", "person")),
        ("Is the woman skiing?", Denial("action", "skiing", "woman")),
        ("Are the floors clean?", Denial("attribute", "clean", "floors", plural=True)),
        ("is there not a red shape in the image?", p2.NOTHING),
        ("is no circle present?", p2.NOTHING),
        ("Isn't the dog sleeping?", p2.NOTHING),
        ("Is this a classroom?", p2.NOTHING),
        ("What colour is it?", p2.NOTHING),
    ],
)
def test_what_a_question_denies(question: str, denial: Denial) -> None:
    assert p2.read(question) == denial


def test_the_naive_reading_falls_for_negated_questions() -> None:
    assert p2.read("is there not a red shape in the image?", naive=True) == Denial("presence", "red shape")
    assert p2.read("is no circle present?", naive=True) == Denial("presence", "circle")
    assert p2.read("does the image not contain a circle?", naive=True) == Denial("presence", "circle")


@given(st.sampled_from(["colour", "worn", "action", "attribute"]), st.booleans(), st.integers(0, 50))
def test_every_joined_denial_keeps_the_caption_and_has_a_cue(kind: str, plural: bool, seed: int) -> None:
    value = {"colour": "red", "worn": "wearing a hat", "action": "running", "attribute": "clean"}[kind]
    text = p2.weave("a cat on a sofa.", Denial(kind, value, "dog", plural), random.Random(seed))
    assert "a cat on a sofa" in text
    assert phrasing.of(text).cue != ""
    assert "dog" in text


def asked(question: str, answer: str = "no", number: int = 1) -> Asked:
    return Asked(Source(number, 1, "0.jpg", "a cat on a couch", Path("0.jpg")), question, answer)


def test_p2_takes_the_questions_answered_with_no() -> None:
    questions = [
        asked("Is there a dog?", number=1),
        asked("Is there a cat?", "yes", 2),
        asked("Is the cat red?", number=3),
        asked("Is there not a cat?", number=4),
        asked("Is this a classroom?", number=5),
        asked("Is there a sofa?", number=6),
    ]
    made = p2.make(questions, annotator(), p2.Rules(held_out=frozenset({"couch"}))).set_index("caption_id")
    assert made.index.tolist() == [1, 3, 4, 5, 6]
    reasons = {4: p2.NEGATED, 5: p2.NOT_READ, 6: p1.HELD_OUT}
    assert made.loc[list(reasons), "dropped"].to_dict() == reasons
    assert "dog" in str(made.loc[1, "updated_caption"])
    assert [made.loc[3, name] for name in ("kind", "absent", "about")] == ["colour", "red", "cat"]


def test_p2_asks_a_language_model_to_word_what_is_no_object() -> None:
    class Echo:
        name = "echo"

        def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
            return [f"{caption}, no {noun}" for caption, noun in zip(captions, absent, strict=True)]

        def paraphrase(self, captions: Sequence[str]) -> list[str]:
            return [f"<{caption}>" for caption in captions]

    questions = [asked("Is there a dog?", number=1), asked("Is this a classroom?", number=2)]
    made = p2.make(questions, Echo(), p2.Rules(reword=True))  # type: ignore[arg-type]
    assert made["updated_caption"].tolist() == [
        "a cat on a couch, no dog",
        "<a cat on a couch. Is this a classroom? No.>",
    ]


def test_real_questions_are_read_where_they_are_simple(shared_data: Path) -> None:
    folder = shared_data / "vqav2"
    rows = vqa.load(folder / "vqa_questions_valid.gzip", folder / "vqa_annotatons_valid.gzip").to_pandas()
    questions = rows.loc[(rows["answer_type"] == "yes/no") & (rows["answer"] == "no"), "question"].tolist()
    read = [p2.read(question) for question in questions]
    assert len(questions) == 1469
    assert sum(denial != p2.NOTHING for denial in read) > 400
    kinds = Counter(denial.kind for denial in read)
    assert min(kinds[kind] for kind in ("presence", "worn", "action", "attribute")) > 10
    assert sum(map(p2.is_negated, questions)) == 3


# NegCap and NegMCQ


def found() -> pd.DataFrame:
    who = annotator()
    return baseline_sets.negcap_labels(SOURCES, who, who, held_out=HELD_OUT_NOUNS)


def test_negcap_has_one_caption_for_every_absent_object() -> None:
    rows = found()
    made = baseline_sets.negcap(rows, annotator())
    assert made.groupby("image_id").size().tolist() == rows["absent"].str.len().tolist() == [3] * len(SOURCES)
    for row in made.itertuples():
        assert row.absent not in THINGS[str(row.file_name)]
        assert (phrasing.of(str(row.updated_caption)).position == "first") == row.negation_first
    assert abs(made["negation_first"].mean() - 0.5) < 0.1


def test_negmcq_has_one_right_option_at_a_random_place(tmp_path: Path) -> None:
    made = baseline_sets.negmcq(found(), annotator(), held_out=HELD_OUT_NOUNS)
    write_csv(tmp_path / "mcq.csv", made)
    rows = negbench.load(tmp_path / "mcq.csv")
    assert set(rows["template"]) == {"positive", "negative", "hybrid"}
    assert set(rows["correct"]) == {0, 1, 2, 3}
    for row in rows:
        shown = THINGS[row["file_name"]]
        true = [says(option, shown) for option in row["options"]]
        assert true == [place == row["correct"] for place in range(4)]


def says(option: str, shown: frozenset[str]) -> bool:
    """Whether an option is true, read off its wording: the negated clause, and the rest."""
    said = phrasing.of(option)
    named = list(english.mentions(option))
    if said.cue == "":
        return set(named) <= shown
    if said.position == "only":
        return not set(named) & shown
    denied = named[0] if said.position == "first" else named[-1]
    return denied not in shown and set(named) - {denied} <= shown


def test_negmcq_denies_nothing_that_is_held_out() -> None:
    rows = pd.DataFrame(
        {
            "caption_id": [1, 2],
            "file_name": ["a", "b"],
            "present": [["otter"], ["otter", "dog"]],
            "absent": [["cat"]] * 2,
        }
    )
    made = baseline_sets.negmcq(rows, annotator(), held_out=HELD_OUT_NOUNS)
    assert made["image_path"].tolist() == ["b"]
    assert not any("otter" in text for text in made[list(OPTIONS)].iloc[0] if phrasing.of(text).cue)


# CC-Neg triplets and word order


def test_ccneg_triplets_deny_what_is_there_and_find_pictures_without_it(tmp_path: Path) -> None:
    made = baseline_sets.ccneg_triplets(SOURCES, annotator(), held_out=HELD_OUT_NOUNS)
    baseline_sets.write_triplets(made, tmp_path)
    rows = ccneg.load(
        tmp_path / baseline_sets.TRIPLETS, distractors=tmp_path / baseline_sets.DISTRACTORS, n_evaluation=1
    )
    named = [set(english.mentions(caption)) for caption in rows["caption"]]
    for row, own in zip(rows, named, strict=True):
        assert row["negated_object"] in own - HELD_OUT_NOUNS
        assert phrasing.of(row["negated_caption"]).cue
        assert row["negated_object"] not in named[row["distractor"]]


def test_the_nearest_captions_name_the_most_of_the_same() -> None:
    named = [["cat", "dog"], ["cat", "dog"], ["dog", "cat"], ["dog"], ["cat"], ["bus"]]
    alike = baseline_sets.nearest(named, [0, 0, 2, 3, 4, 5], count=2)
    assert alike[0] == [2, 3]
    denied = baseline_sets.nearest(named, [0, 1, 2, 3, 4, 5], ["dog", "dog", "cat", "dog", "cat", "bus"], count=1)
    assert denied[0] == [4]
    assert denied[2] == [3]


def test_neighbours_are_those_of_exact_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_sets, "CHUNK", 100)  # several, the last one not full
    generator = random.Random(0)
    named = [generator.sample("abcdefgh", generator.randint(1, 6)) for _ in range(250)]
    pictures = [row // 2 for row in range(250)]
    denied = [generator.choice(nouns) for nouns in named]

    def closeness(row: int, other: int) -> tuple[bool, Fraction, int]:
        common = len({*named[row]} & {*named[other]})
        return denied[row] not in named[other], Fraction(common**2, len(named[row]) * len(named[other])), -other

    for row, others in baseline_sets.nearest(named, pictures, denied).items():
        rows = [other for other in range(250) if pictures[other] != pictures[row]]
        assert others == sorted(rows, key=lambda other: closeness(row, other), reverse=True)[: len(others)]


@pytest.mark.parametrize(
    ("caption", "nouns", "expected"),
    [
        ("a red car and a blue bus", [], {"a blue car and a red bus"}),
        ("an orange car and a blue bus", [], {"a blue car and an orange bus"}),
        ("a cat above a dog", ["cat", "dog"], {"a dog above a cat"}),
        ("there is a cat and a dog on the beach", ["cat", "dog"], {None}),
        ("a red car", ["car"], {None}),
        ("a red car and a red bus", ["car", "bus"], {None}),
    ],
)
def test_words_of_one_kind_change_places(caption: str, nouns: list[str], expected: set[str | None]) -> None:
    assert {baseline_sets.swap(caption, nouns, random.Random(seed)) for seed in range(8)} == expected


def test_word_order_negatives_have_the_same_words(tmp_path: Path) -> None:
    made = baseline_sets.word_order(SOURCES, annotator())
    assert len(made) > 20
    for before, after in zip(made["caption"], made["negative"], strict=True):
        assert before != after
        assert Counter(_bare(before)) == Counter(_bare(after))
    table = pd.read_csv(baseline_sets.write_word_order(made, tmp_path / "a.tsv"), sep="\t")
    assert tuple(table.columns) == baseline_sets.WORD_ORDER_COLUMNS
    assert all(len(json.loads(rows)) == 3 for rows in table["neg_image"])
    assert len(set(itertools.chain(*made["alike"]))) > 3


def _bare(caption: str) -> list[str]:
    return [word.strip(",") for word in caption.split() if word not in ("a", "an")]
