"""Folders of open_clip models with other text towers than CLIP's: one of transformers, and one like SigLIP's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_files import write_json, write_text

from negutil.bench import model as bench_model
from negutil.models.loader import LoadedModel

WORDS = ["a", "photo", "of", "no", "but", "number", "cat", "dog", "car", "tree", "hat", "cup", "boat", "bird", "there"]
WORDS += ["is", "and", "without", "red", "two", "cars", "with", "in", "street", "at", "night", "that", "wears", ","]
BERT = {
    "model_type": "bert",
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
VISION = {"image_size": 64, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
SIGLIP = {"width": 16, "heads": 2, "layers": 1, "vocab_size": 64, "no_causal_mask": True, "pool_type": "last"}


def bert(folder: Path) -> LoadedModel:
    """A CLIP whose text tower is a BERT with mean pooling, as PhotoCLIP's, with random weights."""
    text = {"hf_model_name": str(folder), "hf_proj_type": "linear", "hf_pooler_type": "mean_pooler"}
    return _load(folder, text)


def siglip(folder: Path) -> LoadedModel:
    """A CLIP whose text tower is not causal and pools at the last place, padding or not, with random weights."""
    return _load(folder, SIGLIP)


def _load(folder: Path, text: dict[str, Any]) -> LoadedModel:
    write_text(folder / "vocab.txt", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
    write_json(folder / "config.json", BERT)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    text = text | {"hf_tokenizer_name": str(folder), "context_length": 24}
    model = {"embed_dim": 16, "custom_text": True, "vision_cfg": VISION, "text_cfg": text}
    write_json(folder / "open_clip_config.json", {"model_cfg": model})
    return bench_model.load(f"local-dir:{folder}", "random")
