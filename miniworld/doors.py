"""What the mini world offers to ``negutil``, which comes in by ``negutil.data.source.world`` and through no other."""

from miniworld.alttext import CUE_RATE, KIND_ABOUT, kind_of_cue
from miniworld.annotator import annotator, things
from miniworld.build import build, build_all
from miniworld.caption_truth import are_true, shapes_by_id
from miniworld.judge_pictures import held_out as judge_pictures
from miniworld.look import save as save_sheet
from miniworld.shapes import describe as describe_shape
from miniworld.splitting import split
from miniworld.truth import read as truth
from miniworld.truth import sayable
from miniworld.writers.laion import foreign_texts

__all__ = [
    "CUE_RATE", "KIND_ABOUT", "annotator", "are_true", "build", "build_all", "describe_shape", "foreign_texts",
    "judge_pictures", "kind_of_cue", "save_sheet", "sayable", "shapes_by_id", "split", "things", "truth",
]  # fmt: skip
