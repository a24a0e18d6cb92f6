"""Statements: the template is read back exactly, and every paraphrase says the same as its statement."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.captions import english, statements
from negutil.captions.english import NOUNS
from negutil.captions.statements import FORMS, MEDIA, Grammar, Statement
from negutil.errors import NegutilError

COCO_NOUNS = ("dining table", "wine glass", "knife", "skis", "broccoli", "traffic light", "sheep", "toothbrush")
nouns = st.sampled_from([*NOUNS, *COCO_NOUNS])
media = st.sampled_from(MEDIA)


@st.composite
def any_statement(draw: st.DrawFn) -> Statement:
    kind = draw(st.sampled_from(statements.KINDS))
    one, two, medium, first = draw(nouns), draw(nouns), draw(media), draw(st.booleans())
    caption = draw(st.sampled_from(("a dog on the beach", "A man. ", " two cats, but no hat", "Look: it's 5 o'clock!")))
    return {
        "affirmation": Statement((one, two) if first else (one,), medium=medium),
        "negation": Statement((), (one,), medium=medium),
        "hybrid": Statement((one, two) if draw(st.booleans()) else (one,), (two,), "", first, medium),
        "neither": Statement((), (one, two), medium=medium),
        "retrieval": Statement((), (one,), caption, first, medium),
    }[kind]


@settings(deadline=None)
@given(any_statement())
def test_a_template_is_read_back_exactly(statement: Statement) -> None:
    assert statements.read(statements.template(statement)) == statement


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (Statement(("horse", "person")), "This image includes horse and person"),
        (Statement((), ("person",)), "This image does not include person"),
        (Statement(("bicycle",), ("person",)), "This image includes bicycle but not person"),
        (Statement((), ("chair",), "A man cooks."), "A man cooks. There is no chair in the image."),
        (
            Statement((), ("fork",), "A baker is working.", negation_first=True),
            "There is no fork in the image. A baker is working.",
        ),
        (Statement(("talking", "fire"), medium="video"), "This video features talking and fire"),
        (Statement(("talking",), ("fire",), medium="video"), "This video features talking, but not fire"),
        (Statement((), ("pokemon",), medium="video"), "This video does not feature pokemon"),
    ],
)
def test_templates_are_the_published_ones(statement: Statement, sentence: str) -> None:
    assert statements.template(statement) == sentence


@pytest.mark.parametrize("sentence", ["", "a dog", "This image shows a dog.", "There is no cat in the image", "no cat"])
def test_another_sentence_is_not_read(sentence: str) -> None:
    assert statements.read(sentence) is None


def test_published_templates_are_read() -> None:
    """The wording of msr_vtt_mcq_templated.csv and COCO_val_negated_retrieval_template.csv, blanks and all."""
    found = statements.read("This video features adding toppings, but not baking")
    assert found == Statement(("adding toppings",), ("baking",), medium="video")
    found = statements.read("a person with a shopping cart on a city street  There is no car in the image.")
    assert found == Statement((), ("car",), "a person with a shopping cart on a city street ")


@pytest.mark.parametrize(
    "statement",
    [Statement(), Statement((), ("a", "b", "c")), Statement(("a",), ("b",), "text"), Statement(("a",), medium="radio")],
)
def test_what_the_benchmark_does_not_say_is_refused(statement: Statement) -> None:
    with pytest.raises(NegutilError, match="none of NegBench's"):
        statements.template(statement)


def test_there_are_many_forms_and_a_quarter_is_held_out() -> None:
    kinds = {name.split()[0] for name in FORMS}
    assert kinds == set(statements.KINDS)
    for kind in kinds:
        pool = [form for name, forms in FORMS.items() if name.split()[0] == kind for form in forms]
        assert len(pool) >= 20 and len({form.text for form in pool}) == len(pool)
        assert 0.2 <= sum(form.held_out for form in pool) / len(pool) <= 0.32


EXAMPLES = {
    "affirmation": Statement(("otter", "umbrella")),
    "negation": Statement((), ("otter",)),
    "hybrid": Statement(("otter",), ("umbrella",)),
    "neither": Statement((), ("otter", "umbrella")),
    "retrieval": Statement((), ("umbrella",), "an otter in the snow"),
}


@pytest.mark.parametrize("kind", statements.KINDS)
@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_paraphrases_name_the_nouns_in_order_and_negate_where_wanted(kind: str, held_out: bool, first: bool) -> None:
    base = EXAMPLES[kind]
    wanted = Statement(base.present, base.absent, base.caption, first, "image")
    for seed in range(150):
        form = statements.form_of(wanted, random.Random(seed), held_out)
        said = statements.paraphrase(wanted, random.Random(seed), held_out)
        assert set(english.mentions(said)) == {"otter", "umbrella"} - ({"umbrella"} if kind == "negation" else set())
        assert form.held_out == held_out and bool(form.cue) == bool(wanted.absent)
        assert said[0].isupper() and said.endswith(".") and "{" not in said and "  " not in said
        if kind in ("hybrid", "retrieval"):
            assert form.order == ("first" if first else "last")
            assert (said.lower().index("umbrella") < said.lower().index("otter")) == first


@pytest.mark.parametrize("medium", ["video", "radiograph"])
def test_clips_and_radiographs_are_not_called_pictures(medium: str) -> None:
    still = ("photo", "picture", "image", "snapshot", "lens")
    for base in EXAMPLES.values():
        for seed in range(80):
            wanted = Statement(base.present, base.absent, base.caption, seed % 2 == 0, medium)
            said = statements.paraphrase(wanted, random.Random(seed), seed % 3 == 0).lower()
            assert not any(word in said for word in still), said


def test_findings_have_no_article() -> None:
    wanted = Statement(("Pleural Effusion",), ("Edema",), medium="radiograph")
    said = {statements.paraphrase(wanted, random.Random(seed)) for seed in range(60)}
    assert all("pleural effusion" in text.lower() and "edema" in text.lower() for text in said)
    assert not any(wrong in text.lower() for text in said for wrong in ("a pleural", "an edema", "edemas"))


def test_captions_are_woven_in() -> None:
    wanted = Statement((), ("chair",), "A man in a kitchen is making pizzas.", negation_first=True)
    said = {statements.paraphrase(wanted, random.Random(seed)) for seed in range(100)}
    assert "With no chair in sight, a man in a kitchen is making pizzas." in said
    kept = Statement((), ("chair",), "TV on a table", negation_first=True)
    assert "With no chair in sight, TV on a table." in {
        statements.paraphrase(kept, random.Random(seed)) for seed in range(100)
    }


@pytest.mark.parametrize(
    ("noun", "phrase", "plural"),
    [
        ("knife", "a knife", "knives"),
        ("wine glass", "a wine glass", "wine glasses"),
        ("skis", "skis", "skis"),
        ("scissors", "a pair of scissors", "scissors"),
        ("traffic light", "a traffic light", "traffic lights"),
        ("elephant", "an elephant", "elephants"),
        ("computer mouse", "a computer mouse", "computer mice"),
    ],
)
def test_nouns_of_published_datasets_have_articles_and_plurals(noun: str, phrase: str, plural: str) -> None:
    assert (statements.with_article(noun), statements.plural(noun)) == (phrase, plural)


def test_the_paraphraser_depends_on_its_seed_alone() -> None:
    sentences = [statements.template(statement) for statement in EXAMPLES.values()] * 5
    first = Grammar(0).paraphrase(sentences)
    assert first == Grammar(0).paraphrase(sentences)
    assert first[:7] == Grammar(0).paraphrase(sentences[:7])
    assert first != Grammar(1).paraphrase(sentences)
    with pytest.raises(NegutilError, match=r"Sentence 1 .*no template"):
        Grammar().paraphrase([sentences[0], "a dog"])


def test_the_share_of_held_out_forms_is_kept() -> None:
    sentences = [statements.template(EXAMPLES["negation"])] * 400
    held_out = ("absent", "lacks", "free of", "devoid", "nowhere")
    shares = [
        sum(any(cue in text.lower() for cue in held_out) for text in Grammar(0, share).paraphrase(sentences)) / 400
        for share in (0.0, 0.25, 1.0)
    ]
    assert shares[0] == 0.0 and shares[2] == 1.0 and 0.18 < shares[1] < 0.32
