"""The files of NegBench's 18 task variations for a profile, and the plain files beside them.

`pictures` says where the loader of `negutil.data.negbench` finds the images and clips that a file names.
See docs/protocols.md#negbench.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from negutil import paths
from negutil.config import Profile
from negutil.data import source
from negutil.errors import NegutilError

FOLDER = "negbench"
OWN = "NegBench's own"
"""Before the dataset of published rows, where a profile has rows of its own about other photographs."""


@dataclass(frozen=True, slots=True)
class Variation:
    """One task variation: "retrieval", "MCQ", "4-choice" or "binary".

    ``wording`` is "templated" or "paraphrased"; "affirmation" or "negation" (CheXpert); "plain" (captions as they are).
    ``file`` is its file in the mini world, ``published`` the published one ("" where none is known to be public),
    ``part`` the folder of the images, beside that of the files.
    """

    dataset: str
    task: str
    wording: str
    file: str
    part: str
    published: str = ""

    @property
    def title(self) -> str:
        """Such as "COCO MCQ, paraphrased"."""
        return f"{self.dataset} {self.task}, {self.wording}"


_COCO = "COCO_val_negated_retrieval"
VARIATIONS: tuple[Variation, ...] = tuple(
    Variation(*row)
    for row in (
        ("COCO", "retrieval", "templated", "coco_retrieval_template.csv", "coco", f"{_COCO}_template.csv"),
        (
            *("COCO", "retrieval", "paraphrased", "coco_retrieval_paraphrased.csv", "coco"),
            f"{_COCO}_llama3.1_rephrased_affneg_true.csv",
        ),
        ("COCO", "MCQ", "templated", "coco_mcq_template.csv", "coco"),
        ("COCO", "MCQ", "paraphrased", "coco_mcq_paraphrased.csv", "coco", "COCO_val_mcq_llama3.1_rephrased.csv"),
        ("VOC2007", "MCQ", "templated", "voc_mcq_template.csv", "voc", "VOC2007_mcq.csv"),
        ("VOC2007", "MCQ", "paraphrased", "voc_mcq_paraphrased.csv", "voc", "VOC2007_mcq_llama3.1_rephrased.csv"),
        ("MSR-VTT", "retrieval", "templated", "msrvtt_retrieval_template.csv", "msrvtt"),
        (
            *("MSR-VTT", "retrieval", "paraphrased", "msrvtt_retrieval_paraphrased.csv", "msrvtt"),
            "msr_vtt_retrieval_rephrased_llama.csv",
        ),
        ("MSR-VTT", "MCQ", "templated", "msrvtt_mcq_template.csv", "msrvtt", "msr_vtt_mcq_templated.csv"),
        ("MSR-VTT", "MCQ", "paraphrased", "msrvtt_mcq_paraphrased.csv", "msrvtt", "msr_vtt_mcq_rephrased_llama.csv"),
        ("CheXpert", "4-choice", "affirmation", "chexpert_4_choice_affirmation.csv", "chexpert"),
        ("CheXpert", "4-choice", "negation", "chexpert_4_choice_negation.csv", "chexpert"),
        ("CheXpert", "binary", "affirmation", "chexpert_binary_affirmation.csv", "chexpert"),
        ("CheXpert", "binary", "negation", "chexpert_binary_negation.csv", "chexpert"),
        ("HardNeg-Syn", "retrieval", "templated", "hardneg_retrieval_v2_template.csv", FOLDER),
        (
            *("HardNeg-Syn", "retrieval", "paraphrased", "hardneg_retrieval_v2_paraphrased.csv", FOLDER),
            "synthetic_retrieval_v2.csv",
        ),
        ("HardNeg-Syn", "MCQ", "templated", "hardneg_mcq_template.csv", FOLDER),
        (
            *("HardNeg-Syn", "MCQ", "paraphrased", "hardneg_mcq_paraphrased.csv", FOLDER),
            "synthetic_mcq_llama3.1_rephrased.csv",
        ),
    )
)
"""The 18 variations, in the order of the paper's table of them."""

PLAIN: tuple[Variation, ...] = (
    Variation("COCO", "retrieval", "plain", "coco_retrieval.csv", "coco", "COCO_val_retrieval.csv"),
    Variation("MSR-VTT", "retrieval", "plain", "msrvtt_retrieval.csv", "msrvtt", "msr_vtt_retrieval.csv"),
    Variation("HardNeg-Syn", "retrieval", "plain", "hardneg_retrieval_v1.csv", FOLDER, "synthetic_retrieval_v1.csv"),
)
"""Retrieval with the captions as they are: what the drop is measured from."""

NEGBENCHS_OWN: tuple[Variation, ...] = tuple(
    replace(variation, dataset=f"{OWN} {variation.dataset}", file=variation.published)
    for variation in (*PLAIN, *VARIATIONS)
    if variation.dataset == "COCO" and variation.published
)
"""The published rows about COCO, for a profile in which other photographs replace COCO."""


def chosen(settings: Profile) -> tuple[Variation, ...]:
    """The variations that a profile asks: all of them, or those about its photographs and NEGBENCHS_OWN."""
    if not settings.photographs:
        return (*PLAIN, *VARIATIONS)
    return (*(each for each in (*PLAIN, *VARIATIONS) if each.dataset == "COCO"), *NEGBENCHS_OWN)


def folder(settings: Profile) -> Path:
    """The folder with the files of the variations; raises NegutilError if it has none at all."""
    there = source.folder(settings, FOLDER)
    names = [name for variation in (*VARIATIONS, *PLAIN) if (name := variation.published)]
    if not any((there / each.file).is_file() for each in VARIATIONS) and not any((there / n).is_file() for n in names):
        get = "fetch them by the links in NegBench's datasets.md"
        raise NegutilError(f"{there} has none of NegBench's files ({', '.join(names)}): {get}, or set NEGUTIL_DATA.")
    return there


def place(variation: Variation, folder: Path) -> Path:
    """Where a variation's file is or would be: the folder that ``folder`` gave, or that of the published files."""
    return paths.published() / FOLDER if variation in NEGBENCHS_OWN else folder


def path(variation: Variation, folder: Path) -> Path | None:
    """The file of a variation, by the folder that ``folder`` gave; None for one that is missing."""
    folder = place(variation, folder)
    names = [variation.file, *filter(None, [variation.published])]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def pictures(settings: Profile, variation: Variation, folder: Path) -> Path:
    """The folder to give to `negutil.data.negbench.load` for the images or clips of a variation."""
    if variation in NEGBENCHS_OWN:
        return paths.published() / variation.part
    return folder if variation.part == FOLDER else settings.data / variation.part
