from __future__ import annotations

from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from PIL import Image
from sklearn.metrics import accuracy_score

from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encode, loader, scorer
from negutil.tasks import Report, mcq, pairwise
from negutil.tasks.pairwise import Pairs

PAIRS = [("There is a cat.", "There is no cat."), ("There are no dogs.", "There are dogs."), ("a", "a")]


class Given(Pairs):
    """Pairs as they stand in the columns true and false."""

    title = "given"

    def read(self, settings: Profile) -> Dataset:
        raise NotImplementedError

    def pairs(self, rows: Dataset) -> list[tuple[str, str]]:
        return list(zip(rows["true"][:], rows["false"][:], strict=True))


def rules(pairs: list[tuple[str, str]], pictures: list[str]) -> dict[str, pd.DataFrame]:
    true, false = map(list, zip(*pairs, strict=True))
    rows = Dataset.from_dict({"true": true, "false": false, "file_name": pictures})
    return {name: frames["given"] for name, frames in Given().rules(rows).items()}


def test_scores_are_cosines_of_each_pair_with_its_own_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    model = loader.load_entry(model_files.write(tmp_path))
    pictures = model_files.pictures()
    images = encode.images(model, [Image.fromarray(picture) for picture in pictures])
    found = mcq.scores_by(scorer.of(model), PAIRS, images)
    for row, pair in enumerate(PAIRS):
        assert found[row] == pytest.approx(
            encode.texts(model, pair).astype(float) @ images[row].astype(float), abs=1e-6
        )
    assert found[2, 0] == found[2, 1], "the same caption twice ties exactly"
    with pytest.raises(NegutilError, match="3 images for 2 questions"):
        mcq.scores_by(scorer.of(model), PAIRS[:2], images)


def test_a_tie_is_no_win_and_the_margin_is_signed() -> None:
    values = np.array([[0.3, 0.2], [0.2, 0.3], [0.2, 0.2]])
    found = pairwise.answers(values, ["x", "y", "y"])
    assert found["right"].tolist() == [True, False, False]
    assert found["tie"].tolist() == [False, False, True]
    assert found["margin"].tolist() == pytest.approx([0.1, -0.1, 0.0])
    assert pairwise.answers(np.zeros((50, 2)), ["x"] * 50)["right"].sum() == 0
    assert set(pairwise.answers(np.zeros((50, 2)), ["x"] * 50)["shown_at"]) == {0, 1}
    with pytest.raises(NegutilError, match="Question 1 has a score that is not finite"):
        pairwise.answers(np.array([[0.3, 0.2], [np.nan, 0.3]]), ["x", "y"])


def test_rules_read_the_texts_alone() -> None:
    found = rules(PAIRS, ["1", "2", "3"])
    assert found[pairwise.ALWAYS_AFFIRMATIVE]["right"].tolist() == [True, False, False]
    assert found["always negated"]["right"].tolist() == [False, True, False]
    assert found["shorter"]["right"].tolist() == [True, False, False]
    assert found["longer"]["right"].tolist() == [False, True, False]
    assert pairwise.BAG_OF_WORDS in found
    assert pairwise.BAG_OF_WORDS not in rules(PAIRS, ["1", "1", "1"])


def test_a_bag_of_words_learns_that_the_affirmative_caption_is_true() -> None:
    pairs = [(f"There is a {noun}.", f"There is no {noun}.") for noun in ("cat", "dog", "car", "bus", "cow", "hat")]
    found = rules(pairs, list("abcdef"))
    assert found[pairwise.BAG_OF_WORDS]["right"].all()


def test_shares_agree_with_scikit_learn_and_name_their_types() -> None:
    rng = np.random.default_rng(0)
    table = pairwise.answers(rng.normal(size=(200, 2)), ["x", "y"] * 100).assign(cluster=np.arange(200) // 2)
    found = Report("e", "m", resamples=200).shares(table, "t", "accuracy", ["x", "y", "z"])
    assert [record.metric for record in found] == ["accuracy", "accuracy, x", "accuracy, y"]
    assert found[0].value == pytest.approx(accuracy_score(np.ones(200, bool), table["right"]))
    assert found[1].value == pytest.approx(table["right"][::2].mean())
    assert (found[0].n, found[1].n, found[0].ci_over) == (200, 100, "clusters")
    assert found[0].ci_low is not None
    assert found[0].ci_low < found[0].value
