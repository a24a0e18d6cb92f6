"""VQA v2: questions and annotations JSON, plain or gzip-compressed (docs/protocols.md#negationclip-captions)."""

from pathlib import Path

from datasets import Dataset

from negutil.data import _reading

FEATURES = _reading.features(
    "question_id: int, image_id: int, file_name, question, answer, answers: [str], answer_type, question_type"
)
_QUESTION = {"question_id": int, "image_id": int, "question": str}
_ANNOTATION = {
    "question_id": int,
    "image_id": int,
    "multiple_choice_answer": str,
    "answers": list,
    "answer_type": str,
    "question_type": str,
}


def load(
    questions: Path | str,
    annotations: Path | str | None = None,
    pictures: Path | str | None = None,
    file_name: str | None = None,
) -> Dataset:
    """Questions in the order of their file, joined to their annotations by question_id.

    Columns: image (only with `pictures`), question_id, image_id, file_name, question; with `annotations`: answer (the
    multiple_choice_answer), answers (of the annotators), answer_type ("yes/no", "number", "other"), question_type.
    `file_name` is a pattern such as "COCO_train2014_{image_id:012d}.jpg"; by default it follows the data_subtype that
    the official files state, and without either there is no file_name column. Raises NegutilError if a question
    has no annotation, an annotation no question, or the two disagree about the image.
    """
    content = _reading.read_json(questions)
    columns = _reading.json_columns(questions, _QUESTION, key="questions", different="question_id", content=content)
    if annotations is not None:
        where = f'{annotations}, "annotations"'
        read = _reading.json_columns(annotations, _ANNOTATION, key="annotations", different="question_id")
        _reading.known(read["question_id"], columns["question_id"], "question_id", where)
        name = "question_id (it has no annotation)"
        _reading.known(columns["question_id"], read["question_id"], name, f'{questions}, "questions"')
        row_of = {question: row for row, question in enumerate(read["question_id"])}
        rows = [row_of[question] for question in columns["question_id"]]
        for row, image in zip(rows, columns["image_id"], strict=True):
            if read["image_id"][row] != image:
                problem = f"entry {row} is about image {read['image_id'][row]}, its question about image {image}"
                _reading.fail(where, problem, "use questions and annotations of the same release")
            try:
                read["answers"][row] = [given["answer"] for given in read["answers"][row]]
            except (KeyError, TypeError) as error:
                problem = f'entry {row} has "answers" without an "answer" in each'
                _reading.fail(where, problem, "fix that entry", error)
        read["answer"] = read["multiple_choice_answer"]
        joined = {name: read[name] for name in ("answer", "answers", "answer_type", "question_type")}
        columns |= _reading.take(joined, rows)
    subtype = content.get("data_subtype")
    pattern = file_name or (f"COCO_{subtype}_{{image_id:012d}}.jpg" if isinstance(subtype, str) else None)
    if pattern is not None:
        try:
            columns["file_name"] = [pattern.format(image_id=image_id) for image_id in columns["image_id"]]
        except (KeyError, IndexError, ValueError) as error:
            fix = 'use a pattern such as "COCO_train2014_{image_id:012d}.jpg"'
            _reading.fail(f"file_name {pattern!r}", f"it cannot be filled in ({error!r})", fix, error)
    elif pictures is not None:
        fix = 'pass file_name, for instance "COCO_train2014_{image_id:012d}.jpg"'
        _reading.fail(questions, "the file does not say how the images are named (no data_subtype)", fix)
    return _reading.build(questions, FEATURES, columns, pictures=pictures)
