"""Makes everything that negutil keeps, from tiny real inputs; run by test_cache_keys in processes of their own.

What is kept goes to the cache; the keys and digests of what is kept elsewhere, or takes long to make, are printed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chat_server
import finetune_files
import glasses_files
import minisd_files
import tiny_world

from miniworld.pretrain import miniclipseg as pretrain_miniclipseg
from negutil import cache, paths
from negutil.bench import encoding
from negutil.bench import sources as bench_sources
from negutil.bench.encoding import Settings
from negutil.captions import caption_sets, caption_statistics, negation_terms, p1, p2
from negutil.captions.endpoint_annotator import Endpoint, EndpointModel
from negutil.captions.prompts import Chat, Sampling
from negutil.compare import binary_probe, evaluation, segmentation_items
from negutil.compare.evaluation import Evaluation
from negutil.config import Profile
from negutil.data import _reading
from negutil.models import encode, generation, hub, loader, miniclipseg, minisd, text_layers
from negutil.models.pictures import PictureFiles
from negutil.train import glasses, sets
from negutil.train.finetune import finetune

MODEL = "miniclip-s-8"
TEXTS = ["a dog", "there is no dog", "a dog without a hat"]


def features(settings: Profile) -> None:
    """Features of pictures, clips and texts."""
    model, files = loader.load(MODEL), sorted((settings.built / "voc").rglob("*.jpg"))
    encode.images(model, PictureFiles(files))
    encode.images(model, PictureFiles(files[:2], [(0, 0, 20, 30), (8.5, 8, 16, 16)]))
    encode.images(model, [PictureFiles(files)[0]])
    encode.texts(model, TEXTS)
    encode.texts(model, TEXTS, share=True)
    text_layers.features(model, TEXTS)
    encode.clips(model, sorted((settings.built / "msrvtt").rglob("*.mp4"))[:1])
    sets.lengths(model, settings)


def training() -> None:
    """A fine-tuned text tower, and a pair of glasses with the stages that it shares with others."""
    model = loader.load(MODEL)
    width = encode.texts(model, TEXTS).shape[1]
    finetune(model, finetune_files.examples(dimensions=width), finetune_files.CONFIG, paths.cache() / "finetuned")
    glasses.train(glasses_files.job("tiny+clipglasses/seed0"))


def captions(settings: Profile) -> None:
    """Counts of cues, journals of the pipelines, and the replies of a language model."""
    caption_statistics.count_files([settings.built / "laion"], negation_terms.load())
    who, journals = caption_sets.annotators_of(settings), paths.cache() / "journals"
    sources, asked = caption_sets.sources(settings)[:5], caption_sets.asked(settings)[:5]
    p1.make(sources, who.language, None, held_out=who.held_out, kept_in=journals / "p1.jsonl", facts=who.facts)
    p2.make(asked, who.language, p2.Rules(who.held_out), kept_in=journals / "p2.jsonl", facts=who.facts)
    picture = next((settings.built / "coco").rglob("*.jpg"))
    chats = [Chat((("user", "Is there a dog?"),)), Chat((("user", "And here?"),), picture)]
    with chat_server.serve() as server:
        own = Endpoint(server.url, "tiny", resume=paths.cache() / "replies.jsonl", extra={"b": 1, "a": 2})
        EndpointModel(own).replies(chats, Sampling(tokens=4))


def pictures(settings: Profile) -> None:
    """Generated images, the answers of a segmenter, and a table that is too large for memory."""
    generation.generate(minisd.load(), TEXTS[:1], [0], steps=1)
    segmenter = miniclipseg.load()
    phrases = segmentation_items.load(settings, segmenter.size)[segmentation_items.PHRASECUT]
    own = {"original": ("original", lambda: segmentation_items.steering(segmenter, None, phrases.texts))}
    segmentation_items.answers(segmenter, phrases, own, 8)
    _reading.IN_MEMORY_BYTES = 0
    binary_probe.load_faces(settings)


def keys(settings: Profile) -> Iterator[tuple[str, Any]]:
    """What is kept outside the cache, or not made here, by name."""
    data = evaluation.data_fingerprint(settings)
    fields = evaluation.cache_fields(Evaluation(MODEL), settings, data, evaluation.load)
    yield fields["kind"], cache.Cache().key(**fields)
    for unit in bench_sources.world(settings):
        yield f"report card: {unit.title}", unit.digest
    folder = settings.built / "voc" / "VOCdevkit" / "VOC2007" / "JPEGImages"
    manifest = encoding.run([folder], paths.cache() / "encoded", Settings(MODEL))
    yield "shards of features", [shard["key"] for shard in manifest["shards"]]
    processor = hub.library("transformers").ViTImageProcessor(size={"width": 4, "height": 4})
    yield "a published segmenter", cache.settings_sha256(processor.to_dict())
    with tempfile.TemporaryDirectory() as place:
        yield "a pool for MiniSD", minisd_files.pool(Path(place) / "pool").fingerprint
    yield "a pool for MiniCLIPSeg", pretrain_miniclipseg.build_pool(2).fingerprint


def main() -> None:
    """Make it all."""
    settings = tiny_world.settings()
    tiny_world.build(settings)
    features(settings)
    training()
    captions(settings)
    pictures(settings)
    print(json.dumps(dict(keys(settings))))


if __name__ == "__main__":
    main()
