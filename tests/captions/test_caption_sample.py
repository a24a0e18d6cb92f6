"""The labelled captions and what they say about the term lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from negutil.captions import negation_terms, web_captions
from negutil.errors import NegutilError

LISTS = negation_terms.load()


def test_sample_is_large_and_covers_the_hard_cases() -> None:
    sample = web_captions.load_sample()
    captions = sample["caption"].tolist()
    assert len(sample) >= 200 and len(set(captions)) == len(captions)
    assert sample["kind"].value_counts().min() >= 15
    assert sample["about_picture"].notna().equals(sample["cue"])
    for case in ("No. 5", "Non-stick", "Norway", "Can't wait", "Can’t wait", "NO RESERVE", "knot", "Dr. No", "sin "):
        assert any(case in caption for caption in captions), case


def test_precision_and_recall_are_fixed() -> None:
    judged = {each.name: each for each in web_captions.judge_sample(LISTS)}
    shares = {name: (each.precision, each.recall, each.about_picture) for name, each in judged.items()}
    counts = {name: [(round(s.value * s.n), s.n) for s in each] for name, each in shares.items()}
    assert counts == {
        "strict": [(77, 95), (77, 171), (27, 95)],
        "standard": [(111, 129), (111, 171), (36, 129)],
        "wide": [(137, 158), (137, 171), (46, 158)],
    }
    assert all(share.low < share.value < share.high for each in shares.values() for share in each)


def test_wider_lists_find_more_and_plain_captions_stay_plain() -> None:
    by_kind = web_captions.found_by_kind(LISTS).set_index("kind")
    flagged = {str(kind): row.tolist() for kind, row in by_kind.iterrows()}
    assert all(strict <= standard <= wide <= n for n, strict, standard, wide in flagged.values())
    assert flagged["plain"] == [27, 0, 0, 0]
    # One contraction comes with a plain "no": "Ain't no mountain high enough".  Two lack their apostrophe.
    assert flagged["contraction"] == [21, 1, 19, 19]
    assert by_kind["n"].sum() == len(web_captions.load_sample())


def test_mistakes_are_the_difference() -> None:
    sample = web_captions.load_sample()
    strict = web_captions.mistakes(LISTS[0])
    hit = web_captions.flags(sample["caption"].tolist(), LISTS[:1])["strict"].to_numpy()
    assert len(strict) == (hit != sample["cue"].to_numpy()).sum()
    assert set(strict["mistake"]) == {"false alarm", "missed"}
    assert "look-alike" in set(strict.loc[strict["mistake"] == "false alarm", "kind"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("caption,cue\na,1\n", "has the columns"),
        ("caption,cue,kind,about_picture,note\na,1,word,,\n", "line 2 contradict"),
        ("caption,cue,kind,about_picture,note\na,0,plain,,\nb,2,plain,,\n", "line 3 contradict"),
        ("caption,cue,kind,about_picture,note\na,0,word,,\n", "line 2 contradict"),
    ],
)
def test_wrong_labels_are_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(content)
    with pytest.raises(NegutilError, match=says):
        web_captions.load_sample(file)
    with pytest.raises(NegutilError, match="cannot be read"):
        web_captions.load_sample(tmp_path / "gone.csv")


def test_a_list_that_flags_nothing_cannot_be_judged() -> None:
    with pytest.raises(NegutilError, match="cannot be judged"):
        web_captions.judge_sample([negation_terms.TermList("odd", "", ("zyzzyva",))])
