"""TIFA's files: captions for text to image, and questions with choices about the images (docs/protocols.md#tifa).

``tifa_v1.0_text_inputs.json`` is a list of captions with their ids, ``tifa_v1.0_question_answers.json`` a list of
questions: id (of the caption), caption, question, choices, answer, element_type, element.
"""

from pathlib import Path

from datasets import Dataset

from negutil.data import _reading

TEXTS, QUESTIONS = "tifa_v1.0_text_inputs.json", "tifa_v1.0_question_answers.json"
FEATURES = _reading.features("id, caption, question, choices: [str], answer, element_type, element")
"""Columns of ``load``; ids are texts ("coco_301091")."""


def captions(file: Path | str) -> Dataset:
    """The captions, a row each: id and caption. Raises NegutilError for a damaged file, missing keys and double ids."""
    read = _reading.json_columns(file, {"id": str, "caption": str}, different="id")
    return _reading.build(file, {name: FEATURES[name] for name in ("id", "caption")}, read)


def load(file: Path | str) -> Dataset:
    """The questions, a row each, with the columns of FEATURES.

    Raises NegutilError for a damaged file, missing keys, and an answer that is not among its question's choices.
    """
    read = _reading.json_columns(file, {name: list if name == "choices" else str for name in FEATURES})
    for row, (answer, choices) in enumerate(zip(read["answer"], read["choices"], strict=True)):
        if answer not in choices:
            _reading.fail(file, f"entry {row} has the answer {answer!r}, which is none of its choices", "correct it")
    return _reading.build(file, FEATURES, read)
