"""How rare negation is in what CLIP reads, and what it is about: notebook 01 (NegationCLIP Table 1 and Fig. 2).

The counting is in ``caption_statistics`` (docs/protocols.md#web-captions). How well the term lists find negation is
judged against captions that were labelled by hand: ``labelled_captions.csv`` beside this module holds captions in the
manner of web alt texts, written and labelled by the authors of this project (one labeller). They were chosen for being
hard, not drawn at random, so precision, recall and shares compare the lists with each other; they do not estimate how
often anything occurs on the web.

    cue            1 where some word or affix negates, in any language, also in titles and in shop language ("NO
                   RESERVE"); 0 for look-alikes ("No. 5", "Dr. No", "Norway") and plain captions
    kind           word (no, never, ...), contraction (can't), lexical (lacks, sugar-free), affix (non-stick,
                   sleeveless), other language; or look-alike and plain, which are no cues
    about_picture  for cues: 1 where the negation says what is not to be seen in the image, else 0
    note           why, where that is not plain
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from negutil import files, results
from negutil.captions import caption_files, caption_statistics, negation_terms
from negutil.captions.caption_statistics import Counts
from negutil.captions.negation_terms import TermList
from negutil.config import Profile
from negutil.data import source
from negutil.data.source import Example
from negutil.errors import NegutilError
from negutil.models.pictures import read_rgb
from negutil.results import Record
from negutil.statistics import Interval, wilson
from negutil.tables import with_interval

EXPERIMENT = "01_web_captions"
READ_FOR_EXAMPLES = 200_000
NUMBERS = ("No. 5: {text}", "{text} - no 12 of our series")
KINDS = {
    "about": "about the picture",
    "aside": "an aside of the web",
    "number": "a number (“No. 5”)",
    "language": "another language",
}
PHOTO_KINDS = {
    "about the picture": "about the picture",
    "quoted": "a sign, or a saying",
    "aside": "nothing that the picture lacks (“not far behind”)",
    "look-alike": "no cue (“a lack dog”)",
}
PHOTO_LABELS = Path(__file__).with_name("labelled_photo_captions.csv")
"""Labels by hand (one labeller) of all of Flickr8k's captions that the widest list flags, by photograph and number."""

SAMPLE = Path(__file__).with_name("labelled_captions.csv")
SAMPLE_COLUMNS = ("caption", "cue", "kind", "about_picture", "note")
CUE_KINDS = ("word", "contraction", "lexical", "affix", "other language")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One term list on labelled captions; the intervals are Wilson's over captions.

    ``precision``: captions with a cue, of those that the list flags; ``recall``: captions that it flags, of those with
    a cue; ``about_picture``: captions whose cue is about the image, of those that it flags.
    """

    name: str
    precision: Interval
    recall: Interval
    about_picture: Interval


def load_sample(path: Path = SAMPLE) -> pd.DataFrame:
    """The labelled captions [N] with SAMPLE_COLUMNS; cue is bool, about_picture a nullable one (missing without a cue).

    Raises NegutilError if a column is missing or a label is not one of those allowed.
    """
    frame = files.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != SAMPLE_COLUMNS:
        given, wanted = list(frame.columns), list(SAMPLE_COLUMNS)
        raise NegutilError(f"{path} has the columns {given}, not {wanted}: fix its first line.")
    cue, about = frame["cue"].eq("1"), frame["about_picture"]
    wrong = ~frame["cue"].isin(["0", "1"]) | (cue != about.isin(["0", "1"])) | (cue != frame["kind"].isin(CUE_KINDS))
    if wrong.any():
        line = int(wrong.to_numpy().argmax()) + 2
        raise NegutilError(f"{path}: the labels in line {line} contradict each other: fix cue, kind or about_picture.")
    return frame.assign(cue=cue, about_picture=about.map({"1": True, "0": False}).astype("boolean"))


def flags(captions: Sequence[str], lists: Sequence[TermList]) -> pd.DataFrame:
    """Whether each caption [N] holds a cue of each list: bool, one column per list."""
    texts = pl.Series(list(captions), dtype=pl.String).str.to_lowercase()
    return pd.DataFrame({terms.name: texts.str.contains(terms.pattern).to_numpy() for terms in lists})


def judge_sample(lists: Sequence[TermList]) -> list[Judgement]:
    """Precision, recall and share about the image of every list; raises NegutilError if a list flags nothing."""
    labelled = load_sample()
    flagged = flags(labelled["caption"].tolist(), lists)
    cue = labelled["cue"].to_numpy(dtype=bool)
    about = labelled["about_picture"].fillna(False).to_numpy(dtype=bool)
    judgements = []
    for name, hit in ((str(name), column.to_numpy(dtype=bool)) for name, column in flagged.items()):
        if not hit.any() or not cue.any():
            raise NegutilError(f"The term list {name} cannot be judged: no labelled caption has a cue or is flagged.")
        right, wanted = int((hit & cue).sum()), int((hit & about).sum())
        shares = wilson(right, int(hit.sum())), wilson(right, int(cue.sum())), wilson(wanted, int(hit.sum()))
        judgements.append(Judgement(name, *shares))
    return judgements


def judgement_table(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """One row per list, with 95 % intervals and the number of captions behind each column."""

    def text(share: Interval) -> str:
        return with_interval(share.value, share.low, share.high, 2)

    rows = [
        {
            "terms": judged.name,
            "flagged": judged.precision.n,
            "precision": text(judged.precision),
            "captions with a cue": judged.recall.n,
            "recall": text(judged.recall),
            "about the picture, of the flagged": text(judged.about_picture),
        }
        for judged in judgements
    ]
    return pd.DataFrame(rows)


def found_by_kind(lists: Sequence[TermList]) -> pd.DataFrame:
    """Per kind of caption: how many there are (n), and how many each list flags."""
    labelled = load_sample()
    flagged = flags(labelled["caption"].tolist(), lists).groupby(labelled["kind"], sort=False).sum()
    return pd.concat([labelled.groupby("kind", sort=False).size().rename("n"), flagged], axis=1).reset_index()


def mistakes(terms: TermList) -> pd.DataFrame:
    """The captions that the list flags without a cue ("false alarm") or passes over in spite of one ("missed")."""
    labelled = load_sample()
    hit = flags(labelled["caption"].tolist(), [terms])[terms.name].to_numpy(dtype=bool)
    wrong = hit != labelled["cue"].to_numpy(dtype=bool)
    kinds = pd.Series(hit, labelled.index).map({True: "false alarm", False: "missed"})
    return labelled.assign(mistake=kinds)[wrong][["mistake", "caption", "kind", "note"]].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook: the counts of all lists, and each list judged on the labelled sample."""

    counts: Counts
    judgements: list[Judgement]


def run(settings: Profile) -> Findings:
    """Count all lists over all shards, judge them on the labelled sample, and save both with the per-item flags.

    Raises NegutilError if the shards cannot be read.
    """
    lists = negation_terms.load()
    counts = caption_statistics.count_files([source.folder(settings, "laion")], lists)
    judgements = judge_sample(lists)
    results.save(caption_statistics.records(counts, EXPERIMENT), settings.name, EXPERIMENT, "statistics")
    # The term list is the task, there is no model and no published number.
    records = [
        Record.of(getattr(each, name), experiment=EXPERIMENT, task=each.name, model="", metric=f"sample_{name}")
        for each in judgements
        for name in ("precision", "recall", "about_picture")
    ]
    results.save(records, settings.name, EXPERIMENT, "sample")
    sample = load_sample()
    flagged = flags(sample["caption"].tolist(), lists)
    results.save_items(pd.concat([sample, flagged], axis=1), settings.name, EXPERIMENT, "sample")
    return Findings(counts, judgements)


def shards(settings: Profile) -> pd.DataFrame:
    """The files that are counted: name, rows, megabytes."""
    paths = caption_files.find([source.folder(settings, "laion")])
    rows = [caption_files.scan(path).select(pl.len()).collect().item() for path in paths]
    sizes = [path.stat().st_size / 1e6 for path in paths]
    return pd.DataFrame({"file": [path.name for path in paths], "rows": rows, "MB": sizes})


def examples(settings: Profile, terms: TermList, seed: int, count: int = 12) -> list[Example]:
    """``count`` captions with a cue, each with its image: as many kinds as there are, one about the image if any.

    Only rows whose URL is a file of the folder have an image: of the published shards none has, so there is no example.
    """
    folder = source.folder(settings, "laion")
    rows = list(_flagged(folder, terms).sample(fraction=1, shuffle=True, seed=seed).iter_rows())
    found = [(file, text) for url, text in rows if (file := _file(folder, url))]
    world, turns = source.world(), Counter[str]()
    ordered = []
    for place, (file, text) in enumerate(found):
        kind = world.kind_of_cue(text)
        ordered.append((turns[kind], kind != world.KIND_ABOUT, place, file, text))
        turns[kind] += 1
    chosen = sorted(sorted(ordered)[:count], key=lambda row: row[2])
    return [Example(np.asarray(read_rgb(file)), text) for *_, file, text in chosen]


def _file(folder: Path, url: str | None) -> Path | None:
    """The image of a row whose URL is a file of the folder."""
    try:
        return folder / url if url and (folder / url).is_file() else None
    except OSError:  # a URL that is longer than a name of a file can be
        return None


def kinds_of_cues(settings: Profile, terms: TermList) -> pd.DataFrame:
    """What the flagged captions say: kind, captions, share.

    Of the mini world's by the truth of its generator, of Flickr8k's by hand (PHOTO_LABELS). Empty for shards that were
    not made here, where it is unknown.
    """
    folder = source.folder(settings, "laion")
    if settings.photographs:
        return _shares(_labelled_by_hand(folder, terms), PHOTO_KINDS)
    if not source.is_drawn(folder):
        return pd.DataFrame({"kind": [], "captions": [], "share": []})
    world, counts = source.world(), Counter[str]()
    foreign = frozenset(world.foreign_texts())
    for text in _flagged(folder, terms, None)["TEXT"]:
        kind = world.kind_of_cue(text)
        other = "about" if kind == world.KIND_ABOUT else "number" if kind in NUMBERS else "aside"
        counts["language" if text in foreign else other] += 1
    return _shares(counts, KINDS)


def _labelled_by_hand(folder: Path, terms: TermList) -> Counter[str]:
    """How many captions that the list flags have each label; raises NegutilError if one has none."""
    labels = files.read_csv(PHOTO_LABELS)
    label_of = {(row.photograph, row.number): row.kind for row in labels.itertuples()}
    captions = pl.read_parquet(folder / "captions.parquet")
    flagged = captions.filter(pl.col("TEXT").str.to_lowercase().str.contains(terms.pattern))
    counts: Counter[str] = Counter()
    for number, url in flagged.select("SAMPLE_ID", "URL").iter_rows():
        key = (Path(url).name, number % 10)
        label = label_of.get(key)
        if label not in PHOTO_KINDS:
            raise NegutilError(f"{PHOTO_LABELS} has no label of caption {key[1]} of {key[0]}: add it.")
        counts[str(label)] += 1
    return counts


def _shares(counts: Counter[str], kinds: Mapping[str, str]) -> pd.DataFrame:
    rows: list[tuple[str, int, str]] = []
    for kind, label in kinds.items() if counts else ():
        share = wilson(counts[kind], counts.total())
        rows.append((label, counts[kind], with_interval(share.value, share.low, share.high)))
    return pd.DataFrame(rows, columns=["kind", "captions", "share"])


def beside_the_paper(counts: Counts) -> pd.DataFrame:
    """Every list and the paper's row: captions, both ratios in percent with intervals, and what follows from them."""
    paper = caption_statistics.published()
    rows = caption_statistics.table(counts)
    rows["words per caption"] = counts.words / counts.captions
    rows["cue words per caption with a cue"] = rows["cue words"] / rows["with a cue"]
    last = {
        "terms": "NegationCLIP (list not published)",
        "captions": int(paper["captions"]),
        "with a cue": int(paper["captions_with_cue"]),
        "caption ratio %": f"{100 * paper['caption_ratio']:.2f}",
        "words": int(paper["words"]),
        "cue words": int(paper["cue_words"]),
        "word ratio %": f"{100 * paper['word_ratio']:.2f}",
        "words per caption": paper["words"] / paper["captions"],
        "cue words per caption with a cue": paper["cue_words"] / paper["captions_with_cue"],
    }
    return pd.concat([rows, pd.DataFrame([last])], ignore_index=True)


def _with_url(path: Path) -> pl.LazyFrame:
    """The captions of a file as TEXT, with their URL where the file has one (null elsewhere)."""
    captions = caption_files.scan(path)
    (text,) = captions.collect_schema().names()
    if caption_files.kind_of(path) == ".parquet":
        whole = pl.scan_parquet(path, glob=False)
        names = {name.lower(): name for name in whole.collect_schema().names()}
        if "url" in names and whole.collect_schema()[text] != pl.List(pl.String):
            return whole.select(
                pl.col(names["url"]).cast(pl.String).alias("URL"), pl.col(text).cast(pl.String).alias("TEXT")
            )
    return captions.select(pl.lit(None, pl.String).alias("URL"), pl.col(text).alias("TEXT"))


def _flagged(folder: Path, terms: TermList, most: int | None = READ_FOR_EXAMPLES) -> pl.DataFrame:
    """Rows (URL, TEXT) with a cue of the list, among the first ``most`` rows of all shards (None: among all).

    The columns may have other names, and URLs may be missing.
    """
    frame = pl.concat([_with_url(path) for path in caption_files.find([folder])])
    frame = frame if most is None else frame.head(most)
    cue = pl.col("TEXT").str.to_lowercase().str.contains(terms.pattern)
    return frame.filter(cue).select("URL", "TEXT").collect(engine="streaming")
