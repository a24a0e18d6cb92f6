"""A model as an ordinary one: a folder for open_clip (``local-dir:FOLDER``) and, on request, for transformers.

The folder has ``open_clip_config.json`` and ``open_clip_model.safetensors``, the files of a CLIPModel beside them where
they are wanted, and ``README.md``: a model card with Hugging Face's metadata and the numbers of the report card.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError

from negutil import files
from negutil.bench.run import NUMBERS
from negutil.errors import NegutilError
from negutil.models import architectures, encoder_swap, hub, transformers_names
from negutil.models.loader import LoadedModel
from negutil.models.trained import Trained

WEIGHTS = "open_clip_model.safetensors"
CARD = "README.md"
BENCH = "negutil bench local-dir:FOLDER"

LIMITS = """\
Fine-tuned for a replication study, on one kind of data and with a frozen image tower. A rise on benchmarks of negation
does not show that negation was learned: compare with a model that was trained on the same captions without negation.
"""

LICENCE = """\
That of the model it was fine-tuned from, and the terms of the images and captions that it was trained on. Give their
names in the metadata above, in place of "other", before you publish the model.
"""


def write(
    model: LoadedModel, out: Path, tuned: Trained | None = None, card: Path | None = None, *, transformers: bool = False
) -> list[Path]:
    """Write ``model`` into the folder ``out``; returns the files.

    ``tuned`` is the fine-tuning that it comes from; the model card gets the numbers of ``card``, a folder of ``negutil
    bench``. Raises NegutilError if ``card`` holds none, or where transformers has no such model.
    """
    results = _results(card) if card else []  # before anything is written
    settings = transformers_names.config(model.entry.architecture) if transformers else {}
    out.mkdir(parents=True, exist_ok=True)
    prepared = {"mean": model.entry.mean, "std": model.entry.std, "interpolation": model.entry.interpolation}
    config = {
        "model_cfg": architectures.config(model.entry.architecture),
        "preprocess_cfg": prepared | {"resize_mode": model.entry.resize_mode},
    }
    state = {name: tensor.contiguous() for name, tensor in model.model.state_dict().items()}
    files.write_text(out / architectures.CONFIG, json.dumps(config, indent=2) + "\n")
    files.write_bytes(out / WEIGHTS, safetensors.torch.save(state, metadata={"format": "pt"}))
    if transformers:
        _write_transformers(model, state, settings, out)
    files.write_text(out / CARD, str(_card(model, tuned, results, out.name)))
    return sorted(path for path in out.iterdir() if path.is_file())


def push(folder: Path, repository: str) -> str:
    """Upload ``folder`` to ``repository`` (owner/name) on the hub, and return its address.

    The token is that of HF_TOKEN or of `hf auth login`. Raises NegutilError if the folder is none of ``write``, and
    where the hub refuses.
    """
    if not (folder / architectures.CONFIG).exists():
        raise NegutilError(f"{folder} has no {architectures.CONFIG}: write it with `negutil finetune --out {folder}`.")
    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Add model").commit_url)
    except (HfHubHTTPError, ValueError, OSError) as problem:
        reason = str(problem).strip().splitlines()[0].rstrip(".")
        fix = "set HF_TOKEN to a token that may write there, and check the name"
        raise NegutilError(f"{folder} could not be pushed to '{repository}' ({reason}): {fix}.") from problem


def _write_transformers(
    model: LoadedModel, state: dict[str, torch.Tensor], settings: dict[str, Any], out: Path
) -> None:
    library, entry = hub.library("transformers"), model.entry
    tokenizer = encoder_swap.tokenizer(model.model)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = library.CLIPConfig(**settings | {"text_config": settings["text_config"] | ends})
    theirs = library.CLIPModel(config)
    theirs.load_state_dict(transformers_names.to_transformers(state))
    theirs.save_pretrained(out)
    tokenizer.save_pretrained(out)
    size, kinds = entry.size, {"bilinear": 2, "bicubic": 3}
    library.CLIPImageProcessor(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=list(entry.mean),
        image_std=list(entry.std),
        resample=kinds[entry.interpolation],
    ).save_pretrained(out)


def _results(card: Path) -> list[EvalResult]:
    """The main numbers of a report card, for the metadata of the model card."""
    content = files.read_json(card / NUMBERS, f"make it with `{BENCH} --out {card}`")
    main = {tuple(pair) for pair in content.get("main", [])}
    found = [
        EvalResult(
            task_type="zero-shot-image-classification",
            dataset_type=row["task"],
            dataset_name=row["task"],
            metric_type=row["metric"],
            metric_value=round(row["value"], 4),
        )
        for row in content.get("records", [])
        if (row["task"], row["metric"]) in main
    ]
    if not found:
        raise NegutilError(f"{card / NUMBERS} has no numbers: make it with `{BENCH} --out {card}`.")
    return found


def _card(model: LoadedModel, tuned: Trained | None, results: list[EvalResult], name: str) -> ModelCard:
    base = tuned.base if tuned else model.entry.name
    data = ModelCardData(
        model_name=name,
        license="other",
        license_name="licence-of-the-base-model",
        library_name="open_clip",
        pipeline_tag="zero-shot-image-classification",
        tags=["clip", "negation"],
        eval_results=results or None,
    )
    lines = [
        f"# {name}",
        "",
        f"`{model.entry.name}`, a CLIP of architecture {model.entry.architecture}. {model.entry.source}.",
    ]
    if tuned:
        identity, steps = tuned.identity, tuned.about.get("steps", "unknown")
        recipe = {key: value for key, value in identity["config"].items() if value not in ("", None)}
        lines += [
            "",
            "## Training",
            "",
            f"The text tower of `{base}`, fine-tuned for {steps} steps; the image tower is unchanged.",
        ]
        lines += ["", f"- data: sha256 {identity['data_sha256']}", f"- base weights: sha256 {identity['base_sha256']}"]
        lines += [f"- {key}: {value}" for key, value in recipe.items()]
    lines += ["", "## Negation", ""]
    lines += [f"- {each.dataset_name}, {each.metric_type}: {each.metric_value}" for each in results]
    lines += [] if results else [f"Not measured: `{BENCH}` writes a report card."]
    lines += ["", "## Limits", "", LIMITS, "## Licence", "", LICENCE, "## Use", "", "```python", "import open_clip", ""]
    lines += ['model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")', "```", ""]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines))
