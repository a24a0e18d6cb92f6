"""Which annotators there are, and building one from settings. What is slow to import is imported when it is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from negutil.captions import prompts
from negutil.captions.annotators import Annotator, Prompted
from negutil.data import source
from negutil.errors import NegutilError

KINDS = ("world", "transformers", "endpoint")


def build(settings: Mapping[str, Any], things: Mapping[str, Collection[str]] | None = None) -> Annotator:
    """An annotator, of language and vision both, from a small mapping of settings.

    ``kind`` is "world" (then: seed, errors, held_out_share, nouns, plausible; ``things`` as in the mini world's
    ``annotator.WorldAnnotator``), "transformers" or "endpoint" (then: prompts, a name in ``prompts.SETS``, and
    the fields of ``transformers_annotator.Local`` or ``endpoint_annotator.Endpoint``).
    Raises NegutilError that names the setting that is missing, unknown or wrong.
    """
    options = dict(settings)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise NegutilError(f"An annotator's kind is {kind!r}: choose one of {', '.join(KINDS)}.")
    if kind == "world":
        found: Annotator = source.world().annotator(options, things)
        return found
    wording = prompts.named(options.pop("prompts", "negbench"))
    if kind == "transformers":
        from negutil.captions import transformers_annotator

        return Prompted(transformers_annotator.from_settings(options), wording)
    from negutil.captions import endpoint_annotator

    return Prompted(endpoint_annotator.from_settings(options), wording)
