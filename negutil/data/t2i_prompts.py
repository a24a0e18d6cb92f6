"""The 107 prompts of NegationCLIP's Neg Score: prompts_with_questions.json (docs/protocols.md#neg-score)."""

from pathlib import Path

from datasets import Dataset

from negutil.data import _reading

FEATURES = _reading.features("prompt_id: int, prompt, subject_question, negation_question")


def load(file: Path | str) -> Dataset:
    """Negated prompts with two yes/no questions about the image that is made from them.

    Columns: prompt_id (position in the file, from 0), prompt, subject_question (Question1, should be answered yes),
    negation_question (Question2, should be answered no). Raises NegutilError for damaged JSON and missing keys.
    """
    read = _reading.json_columns(file, {"Prompt": str, "Question1": str, "Question2": str})
    columns = {
        "prompt_id": list(range(len(read["Prompt"]))),
        "prompt": read["Prompt"],
        "subject_question": read["Question1"],
        "negation_question": read["Question2"],
    }
    return _reading.build(file, FEATURES, columns)
