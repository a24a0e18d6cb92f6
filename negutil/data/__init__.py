"""One module per published on-disk format: read it, check it, say clearly what is wrong with it.

Every module has `load(...) -> datasets.Dataset`, with pictures as lazily decoded `datasets.Image` paths and columns
described in its docstring. `FORMATS` is the list of rooms. What a loader left out or counted is in
`negutil.data.report(dataset)`.

To add a format, write one file here:

1. read with `_reading.read_json`, `read_csv` or a library, never with eval or pickle;
2. take columns with `_reading.fields(records, {"key": type}, source)`, then `unique` for ids, `known` for references;
3. find pictures with `_reading.picture_column` (column "file_name" has the name as the files write it);
4. return `_reading.build(source, FEATURES, columns)`, where FEATURES maps column names to `datasets` types;
5. whatever can be wrong ends in `_reading.fail(source, problem, mend)`: one sentence with the file and the mend;
6. add a line to `FORMATS` and a tests/test_data_<name>.py with a tiny file in the format and its bad versions.
"""

from __future__ import annotations

from negutil.data._reading import Missing, Report, report

__all__ = ["FORMATS", "Missing", "Report", "report"]

FORMATS: dict[str, tuple[str, str]] = {
    "COCO captions and instances": ("coco", "captions_*.json, instances_*.json, a folder of pictures"),
    "PASCAL VOC 2007": ("voc", "Annotations/*.xml, ImageSets/Main/<split>.txt, JPEGImages/"),
    "CelebA": ("celeba", "list_attr_celeba.txt, list_eval_partition.txt, img_align_celeba/"),
    "VQA v2": ("vqa", "questions and annotations JSON, plain or gzip"),
    "RefCOCOg": ("refcocog", "refs(umd).json or .p, instances.json"),
    "PhraseCut": ("phrasecut", "refer_<split>.json, image_data_split3000.json"),
    "MSR-VTT": ("msrvtt", "MSRVTT_data.json, a folder of clips"),
    "CheXpert": ("chexpert", "train.csv or valid.csv, a folder of radiographs"),
    "CC-Neg": ("ccneg", "ccneg_preprocessed.pt, distractor_image_mapping.pt"),
    "LAION-400M metadata": ("laion", "parquet shards with a caption column"),
    "ImageNet and Caltech101": ("folders", "one folder of pictures per class"),
    "NegBench": ("negbench", "retrieval, multiple choice and binary CSV, pictures or clips"),
    "VALSE existence": ("valse", "existence.json"),
    "Pairs of captions (your own)": ("pairs", "CSV with the columns image, true, false"),
    "NegRefCOCOg": ("negrefcocog", "NegRefCOCOg.json"),
    "NegationCLIP captions": ("negationclip", "COCO-style JSON with updated_caption"),
    "Text-to-image prompts": ("t2i_prompts", "prompts_with_questions.json"),
    "TIFA": ("tifa", "tifa_v1.0_text_inputs.json, tifa_v1.0_question_answers.json"),
}
"""Format -> (module of this package, the files that its `load` reads)."""
