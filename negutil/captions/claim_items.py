"""Claims about images, true or false, affirmative or negated, for scenes, faces and radiographs.

Related benchmarks (contextual negation, MedNega-CXR, SimpleNeg COCO, N-COCO) ask whether a claim about an image is
true. Here every sentence is a claim about two images: of one it is true, of the other, which shows what usually goes
with the thing, it is false. So each of the four combinations of affirmative or negated with true or false is exactly a
quarter of a set, and no rule that reads only the sentence gets more than half of the claims right. No image has two
claims.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil.captions import probe_prompts, sentence_forms, statements
from negutil.captions.english import COLOURS, FINDING_PHRASES, NOUNS, PLURAL_ONLY, Form
from negutil.errors import NegutilError

OBJECTS, ATTRIBUTES, FACES, RADIOGRAPHS = "objects", "attributes", "faces", "radiographs"
COLUMNS = ("pair", "picture", "text", "subject", "negated", "true", "form", "cue", "held_out")
NO_CLAIM = ("No Finding", "Pleural Other")
"""Columns of CheXpert about which nothing is claimed: the first is a negation itself, the second is undefined."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of N images: for each of K subjects whether it is surely there, and whether it surely is not.

    ``present`` and ``absent`` are bool [N, K] and never both true; where neither is, nothing is known.
    """

    subjects: tuple[str, ...]
    present: Flags
    absent: Flags


@dataclass(frozen=True, slots=True)
class ClaimSet:
    """The claims about one set of images.

    ``claims`` has a row per claim with COLUMNS: ``pair`` numbers the two claims of one sentence, ``picture`` is a row
    of the images, ``subject`` one of ``known.subjects``, ``form`` the wording in short.
    """

    domain: str
    claims: pd.DataFrame
    known: Known


@dataclass(frozen=True, slots=True)
class Saying:
    """A sentence about a subject: its wording in short, the word that negates, and whether it is kept for testing."""

    text: str
    form: str
    cue: str = ""
    held_out: bool = False


Sayings = Mapping[str, Sequence[Saying]]
"""All sentences about each subject; those with a cue deny it."""

COLOUR_FORMS: tuple[Form, ...] = (
    Form("{coloured}"),
    Form("a photo of {coloured}"),
    Form("the {noun} is {colour}"),
    Form("{thing} that is {colour}"),
    Form("this image shows {coloured}"),
    Form("{thing} of {colour} colour", held_out=True),
    Form("there is no {bare}", "no"),
    Form("{thing} that is not {colour}", "not"),
    Form("the {noun} is not {colour}", "not"),
    Form("the {noun} isn't {colour}", "n't"),
    Form("this image does not show {coloured}", "does not"),
    Form("a picture without {coloured}", "without"),
    Form("{thing} that is anything but {colour}", "anything but", held_out=True),
    Form("the {noun} is by no means {colour}", "by no means", held_out=True),
)
FRAMES: tuple[tuple[str, bool], ...] = (
    *(("a photo of {}", False), ("this is {}", False), ("the picture shows {}", False), ("we see {}", False)),
    ("a portrait of {}", True),
)
"""What may stand before "a person ...", and whether it is kept for testing."""

FINDING_FORMS: tuple[Form, ...] = (
    Form("chest x-ray showing {finding}"),
    Form("{finding} on this chest x-ray"),
    Form("this radiograph shows {finding}"),
    Form("evidence of {finding}"),
    Form("the patient has {finding}"),
    Form("chest film positive for {finding}", held_out=True),
    Form("chest x-ray showing no {bare}", "no"),
    Form("no {bare} on this chest x-ray", "no"),
    Form("chest x-ray without {finding}", "without"),
    Form("this radiograph does not show {finding}", "does not"),
    Form("no evidence of {finding}", "no"),
    Form("the patient does not have {finding}", "does not"),
    Form("chest film negative for {finding}", "negative for", held_out=True),
    Form("chest x-ray free of {finding}", "free of", held_out=True),
)


def objects(
    there: Mapping[str, Flags],
    perhaps: Mapping[str, Flags] | None = None,
    *,
    most: int = 0,
    held_out: bool = True,
    seed: int = 0,
) -> ClaimSet:
    """Claims that a thing is in the image or is not, from which images show each noun (bool [N] per noun).

    ``perhaps`` says which may show it (None: those of ``there`` alone): what is not among them is absent. A noun shown
    by all images or none has no claim. For ``most``, ``held_out`` and ``seed`` see ``claims``.
    """
    shown = np.stack(list(there.values()), axis=1)
    absent = ~np.stack([(perhaps or there)[noun] for noun in there], axis=1)
    sayings: dict[str, list[Saying]] = {noun: [] for noun in there}
    for form in (*sentence_forms.AFFIRMATIVE, *sentence_forms.NEGATED_ALONE):
        short = sentence_forms.name(form, missing="X")
        for noun in there:
            text = sentence_forms.fill(form, statements.with_article(noun), noun)
            sayings[noun].append(Saying(text, short, form.cue, form.held_out))
    known = Known(tuple(there), shown, absent)
    return claims(OBJECTS, known, sayings, most=most, held_out=held_out, seed=seed)


def attributes(
    coloured: Sequence[Sequence[tuple[str, str]]], *, most: int = 0, held_out: bool = True, seed: int = 0
) -> ClaimSet:
    """Claims about the colour of a thing, such as "the car is not red"; ``coloured`` has a (noun, colour) for
    everything in each image.

    Only an image with exactly one such thing can have the claim, so the false one differs in colour alone.
    """
    subjects = [(noun, colour) for noun in NOUNS if noun not in PLURAL_ONLY for colour in COLOURS]
    names = tuple(f"{colour} {noun}" for noun, colour in subjects)
    row_of = {name: row for row, name in enumerate(names)}
    present = np.zeros((len(coloured), len(names)), dtype=bool)
    single = np.zeros_like(present)
    for picture, named in enumerate(coloured):
        nouns = [noun for noun, _ in named]
        for noun, colour in named:
            if nouns.count(noun) == 1 and noun not in PLURAL_ONLY:
                single[picture, [row_of[f"{other} {noun}"] for other in COLOURS]] = True
                present[picture, row_of[f"{colour} {noun}"]] = True
    known = Known(names, present, single & ~present)
    sayings = {}
    short = {"noun": "X", "colour": "red", "bare": "red X", "thing": "an X", "coloured": "a red X"}
    for name, (noun, colour) in zip(names, subjects, strict=True):
        articles = {"thing": statements.with_article(noun), "coloured": statements.with_article(name)}
        sayings[name] = _sayings(COLOUR_FORMS, {"noun": noun, "colour": colour, "bare": name, **articles}, short)
    return claims(ATTRIBUTES, known, sayings, plausible=False, most=most, held_out=held_out, seed=seed)


def faces(labels: pd.DataFrame, *, most: int = 0, held_out: bool = True, seed: int = 0) -> ClaimSet:
    """Claims about faces in the words of the binary probe's prompts; ``labels`` has a bool column per attribute."""
    pairs, _ = probe_prompts.usable([pair for pair in probe_prompts.read_prompts() if pair.other], labels)
    pairs = [pair for pair in pairs if pair.phrasing != probe_prompts.ANTONYM]
    sayings: dict[str, list[Saying]] = {}
    for pair in pairs:
        texts = sayings.setdefault(pair.attribute, _framed(pair.affirmative, ""))
        texts += _framed(pair.other, pair.phrasing)
    inverted = {pair.attribute for pair in pairs if pair.inverted}
    columns = [labels[name].to_numpy(dtype=bool) != (name in inverted) for name in sayings]
    present = np.stack(columns, axis=1)
    known = Known(tuple(sayings), present, ~present)
    return claims(FACES, known, sayings, most=most, held_out=held_out, seed=seed)


def radiographs(findings: pd.DataFrame, *, most: int = 0, held_out: bool = True, seed: int = 0) -> ClaimSet:
    """Claims about radiographs; ``findings`` has a column per finding: 1 present, 0 absent, anything else not known.

    The columns are those of ``negutil.data.chexpert.load``; nothing is claimed of NO_CLAIM.
    """
    names = [str(name) for name in findings if name not in NO_CLAIM]
    values = findings[names].to_numpy(dtype=float)
    sayings = {}
    for name in names:
        finding = FINDING_PHRASES.get(name, name.lower())
        words = {"finding": finding, "bare": finding.removeprefix("a ")}
        sayings[name] = _sayings(FINDING_FORMS, words, {"finding": "X", "bare": "X"})
    known = Known(tuple(names), values == 1, values == 0)
    return claims(RADIOGRAPHS, known, sayings, most=most, held_out=held_out, seed=seed)


def _sayings(forms: Sequence[Form], words: Mapping[str, str], short: Mapping[str, str]) -> list[Saying]:
    """Every form filled with ``words``, and in short."""
    return [Saying(form.text.format(**words), form.text.format(**short), form.cue, form.held_out) for form in forms]


def claims(
    domain: str,
    known: Known,
    sayings: Sayings,
    *,
    plausible: bool = True,
    most: int = 0,
    held_out: bool = True,
    seed: int = 0,
) -> ClaimSet:
    """A balanced set of claims: half of the sentences are affirmative, and each is true of one image, false of one.

    ``plausible``: the image without the subject is one in which it would not surprise; otherwise any. ``most``: at
    most so many claims, 0 for as many as there are images for. ``held_out``: whether wordings that are kept for
    testing are used too; not for choosing a threshold. Raises NegutilError if the images do not yield four claims.
    """
    matches = match(known, np.random.default_rng(seed), plausible=plausible)
    matches = matches[: most // 4 * 2 if most else len(matches) // 2 * 2]
    if not matches:
        raise NegutilError(f"The {len(known.present)} images of {domain} give no four claims: use more images.")
    words = random.Random(f"claims/{domain}/{seed}")
    rows = []
    for pair, (having, lacking, subject) in enumerate(matches):
        name, negated = known.subjects[subject], pair % 2 == 1
        saying = words.choice([s for s in sayings[name] if bool(s.cue) == negated and (held_out or not s.held_out)])
        for picture, true in ((having, not negated), (lacking, negated)):
            rows.append((pair, picture, saying.text, name, negated, true, saying.form, saying.cue, saying.held_out))
    return ClaimSet(domain, pd.DataFrame(rows, columns=list(COLUMNS)), known)


def match(known: Known, rng: np.random.Generator, *, plausible: bool = True) -> list[tuple[int, int, int]]:
    """Pairs of images that differ in a subject: (image with it, image without, subject), no image twice.

    The images are gone through in random order; each is matched, as the one without, with a random image that has
    a subject drawn with the weights of ``plausibility`` (or evenly).
    """
    weights = plausibility(known) if plausible else known.absent.astype(float)
    free, left = np.ones(len(known.present), dtype=bool), known.present.sum(axis=0)
    pairs = []
    for lacking in rng.permutation(len(free)):
        chances = weights[lacking] * (left > 0)
        if not free[lacking] or chances.sum() == 0:
            continue
        subject = int(rng.choice(len(chances), p=chances / chances.sum()))
        having = int(rng.choice(np.flatnonzero(known.present[:, subject] & free)))
        free[[lacking, having]] = False
        left -= known.present[[lacking, having]].sum(axis=0)
        pairs.append((having, int(lacking), subject))
    return pairs


def plausibility(known: Known) -> NDArray[np.float64]:
    """How little each absent subject would surprise [N, K]: the mean, over what an image shows, of the share of
    images with that which also have the subject, squared so that the likely ones prevail; 0 where it is not absent.
    """
    shown = known.present.astype(float)
    together = shown.T @ shown
    shares = together / np.maximum(1.0, np.diag(together))[:, None]
    mean = shown @ shares / np.maximum(1.0, shown.sum(axis=1, keepdims=True))
    # An image that shows nothing takes each subject by how frequent it is.
    mean[shown.sum(axis=1) == 0] = shown.mean(axis=0)
    return mean**2 * known.absent


def _framed(prompt: str, cue: str) -> list[Saying]:
    """A prompt of the binary probe ("a photo of a person ...") in every frame."""
    person = prompt.removeprefix("a photo of ")
    what = f"X, {cue}" if cue else "X"
    return [Saying(frame.format(person), frame.format(what), cue, unseen) for frame, unseen in FRAMES]
