"""A folder like NEGUTIL_DATA with a tiny file of every published format, as the tests of negutil.data write them."""

from __future__ import annotations

from pathlib import Path

import test_data_ccneg as ccneg
import test_data_celeba as celeba
import test_data_chexpert as chexpert
import test_data_coco as coco
import test_data_flickr8k as flickr8k
import test_data_msrvtt as msrvtt
import test_data_negbench as negbench
import test_data_negrefcocog as negrefcocog
import test_data_phrasecut as phrasecut
import test_data_refcocog as refcocog
import test_data_t2i_prompts as prompts
import test_data_valse as valse
import test_data_voc as voc
import test_data_vqa as vqa
import test_tifa as tifa
from data_files import ALT_TEXTS, picture, shard, write_json, write_text

COUNTS = {
    "laion/*.parquet": {"files": 1, "captions": 4},
    "celeba/list_attr_celeba.txt": {"faces": 3, "attributes": 3},
    "celeba/list_eval_partition.txt": {"faces": 3, "faces for testing": 2},
    "celeba/img_align_celeba/": {"files": 3},
    "coco/annotations/captions_val2017.json": {"images": 2, "captions": 2},
    "coco/annotations/instances_val2017.json": {"images": 2, "objects": 2, "categories": 2},
    "coco/val2017/": {"files": 2},
    "coco/annotations/captions_train2014.json": {"images": 2, "captions": 2},
    "coco/train2014/": {"files": 4},
    "voc/VOCdevkit/VOC2007/ImageSets/Main/test.txt": {"images": 2},
    "voc/VOCdevkit/VOC2007/Annotations/": {"files": 2},
    "voc/VOCdevkit/VOC2007/JPEGImages/": {"files": 2},
    "msrvtt/videos/all/": {"files": 2},
    "msrvtt/MSRVTT_data.json": {"clips": 2, "captions": 3},
    "chexpert/CheXpert-v1.0-small/valid.csv": {"radiographs": 2},
    "negbench/COCO_val_mcq_llama3.1_rephrased.csv": {"rows": 2, "positive": 1, "negative": 0, "hybrid": 1},
    "negbench/COCO_val_retrieval.csv": {"rows": 1, "captions": 2},
    "valse/existence.json": {"items": 2, "valid items": 1, "items with the cue in the caption": 1},
    "valse/images/": {"files": 2},
    "ccneg/ccneg_preprocessed.pt": {"items": 3},
    "ccneg/distractor_image_mapping.pt": {"entries": 2},
    "negrefcocog/NegRefCOCOg.json": {"phrases": 2, "images": 1, "different phrases": 2},
    "refcocog/refs(umd).*": {"sentences": 3, "objects": 2, "images": 1},
    "refcocog/instances.json": {"images": 1, "objects": 2, "categories": 1},
    "phrasecut/refer_test.json": {"phrases": 2, "images": 2},
    "phrasecut/image_data_split3000.json": {"entries": 2},
    "phrasecut/images/": {"files": 2},
    "vqa/v2_OpenEnded_mscoco_train2014_questions.json": {"questions": 2, "images": 1},
    "vqa/v2_mscoco_train2014_annotations.json": {"answered": 2, "answered with no": 1},
    "imagenet/val/": {"images": 2, "classes": 2},
    "caltech101/101_ObjectCategories/": {"images": 2, "classes": 2},
    "tifa/tifa_v1.0_text_inputs.json": {"captions": 1},
    "tifa/tifa_v1.0_question_answers.json": {"questions": 1, "captions": 1},
    "t2i_prompts/prompts_with_questions.json": {"prompts": 1},
    "flickr8k/Flickr8k.token.txt": {"photographs": 4, "captions": 6},
    "flickr8k/Flickr_8k.trainImages.txt": {"photographs": 1},
    "flickr8k/Flickr_8k.devImages.txt": {"photographs": 1},
    "flickr8k/Flickr_8k.testImages.txt": {"photographs": 1},
    "flickr8k/Flicker8k_Dataset/": {"files": 4},
}
"""What is in each part that `write` writes."""


def write(root: Path) -> Path:
    """Write all of it into `root`, with the pictures that the files name."""
    _scenes(root)
    _questions(root)
    flickr8k.write(root / "flickr8k")
    shard(root / "laion" / "part-00000.parquet", ALT_TEXTS)
    write_text(root / "celeba" / "list_attr_celeba.txt", "3", "Eyeglasses Male No_Beard ", *celeba.ROWS)
    write_text(root / "celeba" / "list_eval_partition.txt", "000001.jpg 0", "000002.jpg 2", "000003.jpg 2")
    for number in (1, 2, 3):
        picture(root / "celeba" / "img_align_celeba" / f"00000{number}.jpg")
    for patient in (1, 2):
        picture(root / "chexpert" / chexpert.PATIENT.format(patient))
    lines = (chexpert.HEADER, chexpert.line(1), chexpert.line(2))
    write_text(root / "chexpert" / "CheXpert-v1.0-small" / "valid.csv", *lines)
    for folder in (root / "imagenet" / "val", root / "caltech101" / "101_ObjectCategories"):
        for name in ("cat", "dog"):
            picture(folder / name / "1.jpg")
    return root


def _scenes(root: Path) -> None:
    for release in ("val2017", "train2014"):
        write_json(root / "coco" / "annotations" / f"captions_{release}.json", coco.CAPTIONS)
        for image in coco.IMAGES:
            picture(root / "coco" / release / str(image["file_name"]))
    picture(root / "coco" / "train2014" / "COCO_train2014_000000000009.jpg")
    picture(root / "coco" / "train2014" / "COCO_train2014_1.jpg")
    write_json(root / "coco" / "annotations" / "instances_val2017.json", coco.INSTANCES)
    own = root / "voc" / "VOCdevkit" / "VOC2007"
    write_text(own / "ImageSets" / "Main" / "test.txt", "000001", "000004")
    for name in ("000001", "000004"):
        write_text(own / "Annotations" / f"{name}.xml", voc.annotation(name, voc.DOG))
        picture(own / "JPEGImages" / f"{name}.jpg")
    for name in ("video0", "video1"):
        msrvtt.clip(root / "msrvtt" / "videos" / "all" / f"{name}.mp4")
    write_json(root / "msrvtt" / "MSRVTT_data.json", msrvtt.CONTENT)
    write_json(root / "refcocog" / "instances.json", refcocog.INSTANCES)
    write_json(root / "refcocog" / "refs(umd).json", refcocog.REFS)
    write_json(root / "phrasecut" / "refer_test.json", phrasecut.TASKS)
    sizes = [{"image_id": number, "width": 12, "height": 8, "split": "test"} for number in (61, 62)]
    write_json(root / "phrasecut" / "image_data_split3000.json", sizes)
    for number in (61, 62):
        picture(root / "phrasecut" / "images" / f"{number}.jpg")


def _questions(root: Path) -> None:
    (root / "negbench").mkdir(parents=True)
    rows = [[f"val2017/{coco.IMAGES[0]['file_name']}", 0, *negbench.OPTIONS, kind] for kind in ("positive", "hybrid")]
    negbench.write_csv(root / "negbench" / "COCO_val_mcq_llama3.1_rephrased.csv", negbench.MCQ, *rows)
    row = ["['dog']", "['cat']", f"val2017/{coco.IMAGES[0]['file_name']}", 7, "['A dog, no cat.', 'No cat.']"]
    negbench.write_csv(root / "negbench" / "COCO_val_retrieval.csv", negbench.RETRIEVAL, row)
    write_json(root / "valse" / "existence.json", valse.ITEMS)
    for number in (1, 2):
        picture(root / "valse" / "images" / f"v7w_{number}.jpg")
    (root / "ccneg").mkdir()
    ccneg.save(root / "ccneg" / "ccneg_preprocessed.pt", {"image_paths": ccneg.NAMES, "annotations": ccneg.ITEMS})
    ccneg.save(root / "ccneg" / "distractor_image_mapping.pt", {0: [118_000, 4, 5], 2: [7, 8, 9]})
    for name in ccneg.NAMES:
        picture(root / "ccneg" / name)
    write_json(root / "negrefcocog" / "NegRefCOCOg.json", negrefcocog.ROWS)
    write_json(root / "vqa" / "v2_OpenEnded_mscoco_train2014_questions.json", vqa.QUESTIONS)
    write_json(root / "vqa" / "v2_mscoco_train2014_annotations.json", vqa.ANNOTATIONS)
    write_json(root / "tifa" / "tifa_v1.0_text_inputs.json", [{"id": "a", "caption": "a red dog"}])
    write_json(root / "tifa" / "tifa_v1.0_question_answers.json", [tifa.ROW])
    write_json(root / "t2i_prompts" / "prompts_with_questions.json", prompts.ROWS)
