"""The first screen of README.md: what was found, written from the tables in ``results/`` and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from negutil import claims, config, files, notebooks, paths, results
from negutil.errors import NegutilError
from negutil.evaluation import affirmative, binary_probe, negbench_published, probe, published_files, web_captions
from negutil.tables import with_interval

README = paths.ROOT / "README.md"
BEGIN, END = "<!-- found:begin (written by `negutil readme`; do not edit) -->", "<!-- found:end -->"
HEAD = ("notebook", "finding", "model", "mini world, 95 % interval", "n", "published", "verdict")
HOLDS, FAILS, DIFFERS, OPEN = ("holds", "does not hold", "differs between models", "inconclusive")
GLANCE = ("notebook", "findings tested", HOLDS, FAILS, DIFFERS, OPEN)
VERDICTS = {
    "reached": HOLDS,
    claims.REPLICATED: HOLDS,
    f"failure {claims.REPLICATED}": HOLDS,
    "not reached": FAILS,
    claims.NOT_REPLICATED: FAILS,
    f"failure {claims.NOT_REPLICATED}": FAILS,
}
"""What a verdict counts as; one that is not here and does not begin with "inconclusive" is no verdict on a claim."""

Row = tuple[str, str, str, str, str, str, str]


def found(profile: str) -> str:
    """The findings of a profile in Markdown: verdicts at a glance, then a table for each notebook that folds.

    Raises NegutilError where a notebook has not written its part.
    """
    everything = rows(profile)
    titles = {chapter.number: chapter.title for chapter in notebooks.find()}
    parts = [_markdown(GLANCE, [(titles[number], *counts) for number, *counts in glance(everything)])]
    for number in dict.fromkeys(row[0] for row in everything):
        own = _markdown(HEAD, [row for row in everything if row[0] == number])
        parts.append(f"<details><summary>{titles[number]}</summary>\n\n{own}\n\n</details>")
    return "\n\n".join(parts)


def rows(profile: str) -> list[Row]:
    """Every finding of a profile, notebook by notebook, with HEAD's columns."""
    return [*_affirmative(profile), *_captions(profile), *_probe(profile), *_published(), *_claims(profile)]


def glance(found: list[Row]) -> list[tuple[str, ...]]:
    """For each notebook how many findings were tested, and how many of them hold, with GLANCE's columns."""
    counted = pd.DataFrame({"notebook": [row[0] for row in found], "verdict": [_counts_as(row[6]) for row in found]})
    table = pd.crosstab(counted["notebook"], counted["verdict"]).reindex(columns=list(GLANCE[2:]), fill_value=0)
    return [
        (str(number), str(sum(own)), *(str(count) if count else "–" for count in own))
        for number, own in zip(table.index, table.to_numpy().tolist(), strict=True)
        if sum(own)
    ]


def _counts_as(verdict: str) -> str:
    """Under which column of GLANCE a verdict stands, or "" for what is none."""
    kinds = {OPEN if one.startswith(claims.INCONCLUSIVE) else VERDICTS.get(one, "") for one in verdict.split("<br>")}
    return kinds.pop() if len(kinds) == 1 else DIFFERS


def _markdown(head: tuple[str, ...], lines: list[Row] | list[tuple[str, ...]]) -> str:
    whole = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in whole)


def text_with(table: str, path: Path = README) -> str:
    """The text of README with ``table`` between its markers; raises NegutilError where a marker is missing."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise NegutilError(f"{path} must have the lines '{BEGIN}' and '{END}' once each: put them back.")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}"


def update(profile: str, path: Path = README) -> bool:
    """Write the findings of ``profile`` into README; returns whether that changed it."""
    text = text_with(found(profile), path)
    changed = text != path.read_text(encoding="utf-8")
    if changed:
        files.write_text(path, text)
    return changed


def is_current(profile: str, path: Path = README) -> bool:
    """Whether README says what the tables of ``profile`` say."""
    return text_with(found(profile), path) == path.read_text(encoding="utf-8")


def _row(notebook: str, finding: str, record: pd.Series, verdict: str) -> Row:
    digits = 3 if record["value"] >= 0.1 else 4
    value = with_interval(record["value"], record["ci_low"], record["ci_high"], digits)
    paper = "–" if pd.isna(record["paper_value"]) else f"{record['paper_value']:g}"
    return notebook, finding, str(record["model"]) or "–", value, f"{record['n']:,}", paper, verdict


def _affirmative(profile: str) -> list[Row]:
    """The three floors, and of the sentences of absence the one that does best, for each model."""
    floors = results.load(profile, affirmative.EXPERIMENT, "floors")
    absence = results.load(profile, affirmative.EXPERIMENT, "absence")
    verdicts = affirmative.verdicts(floors, absence)
    rows = []
    for (_, record), verdict in zip(floors.iterrows(), verdicts["verdict"], strict=False):
        floor = affirmative.FLOORS[record["task"]]
        rows.append(_row("00", f"affirmative language: {record['task']} (floor {floor:.2f})", record, verdict))
    decided = dict(zip(verdicts["model"][len(floors) :], verdicts["verdict"][len(floors) :], strict=True))
    for model, part in absence.groupby("model"):
        best = part.sort_values("value").iloc[-1]
        said = f"AUC of the pictures without X, best of {len(part)} sentences (“{best['task']}”); chance 0.5"
        rows.append(_row("00", said, best, f"failure {decided[model]}"))
    return rows


def _captions(profile: str) -> list[Row]:
    """The caption ratio of the strict list, and its precision, recall and relevance on the labelled sample."""
    ratios = results.load(profile, web_captions.EXPERIMENT, "statistics")
    sample = results.load(profile, web_captions.EXPERIMENT, "sample")
    strict = ratios[(ratios["task"] == "strict") & (ratios["metric"] == "caption_ratio")].iloc[0]
    rows = [_row("01", "captions with no / not / without", strict, "not tested: we set the rate")]
    for metric in ("precision", "recall", "about_picture"):
        record = sample[(sample["task"] == "strict") & (sample["metric"] == f"sample_{metric}")].iloc[0]
        said = f"strict list on captions labelled by hand: {metric.replace('_', ' the ')}"
        rows.append(_row("01", said, record, "illustration"))
    return rows


def _probe(profile: str) -> list[Row]:
    """The mean balanced accuracy for "not" of each model, and the smallest gain of the antonym over a negation."""
    records = results.load(profile, binary_probe.EXPERIMENT, "probe")
    names = records["task"].str.split("/", n=1, expand=True).set_axis(["attribute", "phrasing"], axis=1)
    table = pd.concat([records, names], axis=1).rename(columns={"ci_low": "low", "ci_high": "high"})
    verdicts = binary_probe.verdicts(table).groupby("model", sort=False)["verdict"].agg(list)
    rows = []
    for model, (near_chance, antonym) in verdicts.items():
        own = records[(records["model"] == model) & (records["metric"] == "balanced_accuracy")]
        plain = own[own["task"] == f"{probe.MEAN}/not"].iloc[0]
        gains = own[own["task"].str.startswith(f"{probe.MEAN_WITH_ANTONYM}/{probe.ANTONYM} minus")]
        rows.append(_row("02", "mean balanced accuracy, “not”; chance 0.5", plain, f"failure {near_chance}"))
        least = gains.sort_values("value").iloc[0]
        rows.append(_row("02", "gain of an antonym over a negation, the least of three", least, antonym))
    return rows


def _published() -> list[Row]:
    """What the best scorer that never sees a picture gets on the published questions."""
    rows = published_files.kept()
    best = rows[(rows["metric"] == "accuracy") & rows["ci_low"].notna()].sort_values("value").iloc[-1]
    clip = negbench_published.of("COCO MCQ, paraphrased", "accuracy")
    said = f"the published file `{best['task']}` without its pictures, accuracy; chance 0.25"
    verdict = "real data: the sentences give the answer away; published is CLIP with the pictures"
    return [_row("03", said, best.fillna({"paper_value": clip[0] if clip else None}), verdict)]


def _claims(profile: str) -> list[Row]:
    """Every claim of configs/claims.toml that a notebook here tests: a row each, models below each other."""
    chapters = {chapter.number for chapter in notebooks.find()}
    stated, models = [claim for claim in claims.read() if claim.notebook in chapters], config.load(profile).models
    rows = []
    for claim in stated:
        found = claims.judge([claim], profile, models)
        values = [with_interval(one.value, one.ci_low, one.ci_high) for one in found]
        verdicts = list(dict.fromkeys(one.verdict for one in found))
        names = "<br>".join(one.model for one in found)
        decided = "<br>".join(dict.fromkeys(one.decided_by for one in found))
        said = f"{claim.statement} *{decided}*"
        counts = "<br>".join(dict.fromkeys(f"{one.n:,}" for one in found))
        together = verdicts[0] if len(verdicts) == 1 else "<br>".join(one.verdict for one in found)
        rows.append((claim.notebook, said, names, "<br>".join(values), counts, claim.published or "–", together))
    return rows
