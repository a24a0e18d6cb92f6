"""Methods on benchmarks over seeds: levels, paired differences, every seed, and the published numbers beside them.

An experiment says which methods there are (``Method``: the columns of its per-item values, one for each seed, and what
it is compared with), into which groups its items fall (``Group``) and what is printed (``Experiment``). ``columns`` and
``table`` make all numbers of it, and ``Findings`` saves them and shows them as tables for a notebook.

Every number is a mean over items of a difference of models' values, so all numbers of a group are resampled at once:
images (or what else is a cluster) with all their items. Intervals cover seeds as well where the profile says so
(``Profile.intervals``); the seeds' own numbers are listed either way.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import results, statistics, tables
from negutil.config import Bootstrap, Profile
from negutil.data import skipped
from negutil.results import Record
from negutil.statistics import Floats, Interval

Flags = NDArray[np.bool_]
Number = tuple[float, str]
"""A published number as a fraction (or in the unit of ours), and where it is printed."""

Printed = Mapping[tuple[str, str], Number]
"""Published numbers by what ``Experiment.cell`` makes of a number (its title, as a rule) and method."""

LEVEL, OVER_CLIP = "", "gain over CLIP"
"""Kinds of number: LEVEL is no difference."""

FEWEST = 10
"""A part of a benchmark with fewer items is left out."""

COLUMNS = ("base", "method", "seed", "title", "metric", "kind", "value", "low", "high", "n", "over")
INTERVAL = COLUMNS[-5:]
CLIP = ""
"""The method that changes nothing."""


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the tables.

    Attributes:
        label: what claims and results call it.
        values: the columns of its per-item values, one for each of ``seeds``; a single one without any seed.
        seeds: those it is trained from; each has a number of its own beside the mean.
        over: the labels of other methods and what the difference from each is called.
    """

    label: str
    values: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One number for each group: the mean of the values ``plus`` minus that of ``minus`` (a LEVEL without any)."""

    base: str
    method: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    kind: str = LEVEL
    seed: int | None = None

    @property
    def about(self) -> dict[str, Any]:
        """The base, method, seed and kind of the number."""
        return {"base": self.base, "method": self.method, "seed": self.seed, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Group:
    """Some items of a benchmark: the ``title`` of their mean, its ``metric``, and which ``rows`` they are."""

    title: str
    metric: str
    rows: Flags


def columns(base: str, methods: Sequence[Method], hidden: Sequence[Method] = ()) -> list[Column]:
    """Every seed, every mean over seeds and every difference of ``methods`` on ``base``.

    Where both methods of a difference have seeds, it is of those that both have. ``hidden`` are only compared with.
    Differences from methods that are missing are left out.
    """
    known = {method.label: method for method in (*methods, *hidden)}
    found = []
    for method in methods:
        values = dict(zip(method.seeds, method.values, strict=True)) if method.seeds else {}
        found += [Column(base, method.label, (value,), seed=seed) for seed, value in values.items()]
        found.append(Column(base, method.label, method.values))
        for label, kind in ((label, kind) for label, kind in method.over if label in known):
            other, sides = known[label], (method.values, known[label].values)
            if method.seeds and other.seeds:
                others = dict(zip(other.seeds, other.values, strict=True))
                both = [(values[seed], others[seed]) for seed in values if seed in others]
                sides = (tuple(one for one, _ in both), tuple(two for _, two in both))
            found += [Column(base, method.label, *sides, kind)] if all(sides) else []
    return found


def table(
    items: pd.DataFrame,
    wanted: Sequence[Column],
    groups: Sequence[Group],
    bootstrap: Bootstrap,
    *,
    zeros: bool = False,
    seeds_first: bool = False,
    over_seeds: bool = False,
    seed_of: Mapping[str, NDArray[Any]] | None = None,
) -> pd.DataFrame:
    """The number of every column in every group: COLUMNS.

    ``items`` have a column ``cluster`` and those that ``wanted`` names. A column's number is of the rows where none of
    its values is missing; without such rows there is none. ``zeros``: see ``means``. ``seeds_first`` averages over
    seeds before it subtracts, instead of one weighted sum: the last bits differ, and each experiment keeps those of its
    saved tables. With ``over_seeds`` intervals cover the seeds of a column as well as items. ``seed_of`` has the seed
    of each item [N] by the name of a value whose models share the items among them, in place of one name a seed.
    """
    names = sorted({name for column in wanted for name in (*column.plus, *column.minus)})
    weights, rows = mixing(wanted, names), []

    def mean(part: pd.DataFrame, values: Sequence[str]) -> Floats:
        return part[list(values)].to_numpy(float).mean(axis=1) if values else np.zeros(len(part))

    for group in groups:
        part = items.loc[group.rows]
        values, clusters = part[names].to_numpy(float), part["cluster"].to_numpy()
        missing = (np.isnan(values).astype(float) @ (weights != 0)) > 0  # [items, columns]
        if seeds_first:
            sums = np.stack([mean(part, column.plus) - mean(part, column.minus) for column in wanted], axis=1)
        else:
            sums = np.nan_to_num(values) @ weights
        patterns, pattern_of = np.unique(missing, axis=1, return_inverse=True)
        intervals: dict[int, Interval] = {}
        for number, known in enumerate(~patterns.T):
            places = np.flatnonzero(pattern_of.ravel() == number).tolist()
            if known.any():
                shares = np.array([zeros and not wanted[place].minus for place in places])
                of_name = dict(zip(names, values[known].mean(axis=0), strict=True))
                own: list[Floats] = []
                if over_seeds and seed_of:
                    seeds = {name: of_item[group.rows][known] for name, of_item in seed_of.items()}
                    own = [dealt_means(sums[known][:, place], wanted[place], seeds) for place in places]
                elif over_seeds:
                    own = [seed_means(of_name, wanted[place]) for place in places]
                drawn = means(sums[known][:, places], clusters[known], bootstrap, shares, own)
                intervals |= dict(zip(places, drawn, strict=True))
        about = {"title": group.title, "metric": group.metric}
        rows += [wanted[place].about | about | dataclasses.asdict(intervals[place]) for place in sorted(intervals)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": "Int64"})


def mixing(wanted: Sequence[Column], names: Sequence[str]) -> Floats:
    """Weights [names, columns] that make the values of each column from those of ``names``."""
    place = {name: row for row, name in enumerate(names)}
    weights = np.zeros((len(names), len(wanted)))
    for number, column in enumerate(wanted):
        for side, sign in ((column.plus, 1.0), (column.minus, -1.0)):
            for name in side:
                weights[place[name], number] += sign / len(side)
    return weights


def seed_means(of_name: Mapping[str, float], column: Column) -> Floats:
    """The number [S] of a column from each seed's model alone, of the means by name.

    A side with a single model, such as CLIP, has that one for every seed of the other. One model several times is
    compared with as many different ones, which are not seeds: their mean is a single number.
    """
    plus, minus = (np.array([of_name[name] for name in side]) for side in (column.plus, column.minus or ()))
    own = plus - minus if column.minus else plus
    return own if len(set(column.plus)) == len(column.plus) else own.mean(keepdims=True)


def dealt_means(values: Floats, column: Column, seed_of: Mapping[str, NDArray[Any]]) -> Floats:
    """The number [S] of a column over the items of each seed alone, from its values [N]; [1] without any seed.

    For models that share the items, so that a difference from another model is one on the same items.
    """
    seeds = next((seed_of[name] for name in (*column.plus, *column.minus) if name in seed_of), np.zeros(len(values)))
    return np.array([values[seeds == seed].mean() for seed in np.unique(seeds)])


def means(
    values: Floats,
    clusters: NDArray[Any],
    bootstrap: Bootstrap,
    zeros: Flags | None = None,
    by_seed: Sequence[Floats] = (),
) -> list[Interval]:
    """Mean of each column of ``values`` [N, K] with its interval; clusters [N] are drawn whole.

    Where all values are 1 the interval is Wilson's, that of `statistics.bootstrap_share`; where all are 0 only in the
    columns that ``zeros`` [K] marks as shares, as a difference may well be 0. ``by_seed`` has for each column its
    means with each seed's model alone (``seed_means``); intervals then cover seeds, too.
    """
    named, codes = np.unique(clusters.astype(str), return_inverse=True)
    sizes = np.bincount(codes).astype(float)
    sums = np.stack([np.bincount(codes, column, len(named)) for column in values.T], axis=1)

    def ratio(sums: Floats, sizes: Floats, weights: Floats) -> Floats:
        return (weights @ sums) / (weights @ sizes)[:, None]

    arguments = dataclasses.asdict(bootstrap)
    over = "clusters" if len(named) < len(values) else "items"
    found = statistics.bootstrap_many(ratio, sums, sizes, by_seed=by_seed, **arguments)
    for number, column in enumerate(values.T):
        if (column == 1).all() or (zeros is not None and zeros[number] and not column.any()):
            found[number] = statistics.bootstrap_share(column == 1, clusters.astype(str), **arguments)
    covered = [statistics.SEEDS if each.over.startswith(statistics.SEEDS) else "" for each in found]
    return [
        dataclasses.replace(each, n=len(values), over=more + over) for each, more in zip(found, covered, strict=True)
    ]


def published(
    name: str, work: str, titles: Mapping[str, str], methods: Mapping[str, str]
) -> dict[tuple[str, str], Number]:
    """(title, method): the numbers of a file that are printed in percent, as fractions.

    ``titles`` and ``methods`` say what we call its columns and rows; others are left out.
    """
    return {
        (titles[row["column"]], methods[row["row"]]): (round(row["value"] / 100, 4), source(work, row))
        for row in results.published_rows(name)
        if row["column"] in titles and row["row"] in methods
    }


def source(work: str, row: Mapping[str, Any]) -> str:
    """Where the number of a row is printed."""
    return f"{work}, {row['table']}: {row['row'].partition(' (')[0]}"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Printed numbers to compare with those of an experiment.

    Attributes:
        name: its folder in results/.
        title_of: what tables call a method.
        printed: published numbers by what tables give as their architecture; records have those of the first.
        cell: the key of a number in ``Printed`` and ``difference`` the metric of a difference in results, made of
            title, metric and kind.
    """

    name: str
    title_of: Callable[[str], str]
    printed: Mapping[str, Printed]
    cell: str = "{title}"
    difference: str = "{kind}"

    def record(self, row: Mapping[Any, Any]) -> Record:
        """A row of ``table`` with the published number beside a mean over seeds."""
        is_mean = row["kind"] == LEVEL and pd.isna(row["seed"])
        known = next(iter(self.printed.values())).get((self.cell.format_map(row), row["method"])) if is_mean else None
        return Record.of(
            Interval(*(row[name] for name in INTERVAL)),
            experiment=self.name,
            task=f"{row['title']}/{row['method'] or 'CLIP'}",
            model=row["base"],
            metric=row["metric"] if row["kind"] == LEVEL else self.difference.format_map(row),
            seed=None if pd.isna(row["seed"]) else int(row["seed"]),
            paper_value=known[0] if known else None,
            paper_source=known[1] if known else "",
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run leaves for its notebook.

    Attributes:
        experiment: what it is a run of.
        table: every number (COLUMNS): seed is missing for means over seeds, kind is LEVEL or such as "gain over CLIP".
        items: a row per item of every benchmark.
    """

    experiment: Experiment
    table: pd.DataFrame
    items: pd.DataFrame

    def save(self, settings: Profile, aside: Mapping[str, Flags] | None = None, **details: Any) -> None:
        """Write the tables ``levels``, ``seeds`` and ``gains``, and the rows ``aside`` (by table) without them.

        A table without rows is not written; ``details`` go into the provenance.
        """
        rows, aside = self.table, aside or {}
        of_seed, is_level = rows["seed"].notna().to_numpy(), (rows["kind"] == LEVEL).to_numpy()
        parts = {"levels": is_level & ~of_seed, "seeds": of_seed, "gains": ~is_level}
        apart = np.logical_or.reduce([np.zeros(len(rows), bool), *aside.values()])
        for name, chosen in {**{name: own & ~apart for name, own in parts.items()}, **aside}.items():
            records = [self.experiment.record(row) for row in rows[chosen].to_dict("records")]
            if records:
                results.save(records, settings.name, self.experiment.name, name, **details)

    def means(self, kind: str = LEVEL) -> pd.DataFrame:
        """The means over seeds, or their differences of one kind."""
        return self.table[(self.table["kind"] == kind) & self.table["seed"].isna()]

    def levels(
        self, titles: Sequence[str], methods: Sequence[str] | None = None, *, published: bool = True
    ) -> pd.DataFrame:
        """Means over seeds with intervals: a row per architecture and method, a column per title; then the printed.

        A benchmark of which only a part of the data is here says so.
        """
        shown, below = self._wide(self.means(), titles, methods), []
        for architecture, known in self.experiment.printed.items() if published else ():
            for method in dict.fromkeys(self.table["method"]) if methods is None else methods:
                cells = {title: f"{known[title, method][0]:.3f}" for title in titles if (title, method) in known}
                about = {"architecture": architecture, "model": self.experiment.title_of(method)}
                below += [about | cells] if cells else []
        both = pd.concat([shown, pd.DataFrame(below)], ignore_index=True).fillna("")
        return both.rename(columns={title: skipped.with_share(title) for title in titles})

    def gains(self, titles: Sequence[str], methods: Sequence[str] | None = None, kind: str = OVER_CLIP) -> pd.DataFrame:
        """Differences of one kind with paired intervals, in the shape of ``levels``."""
        return self._wide(self.means(kind), titles, methods).fillna("")

    def differences(
        self, titles: Sequence[str], kinds: Sequence[str], methods: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Paired differences of the given kinds: a row per architecture, method and kind, a column per title."""
        parts = [self.gains(titles, methods, kind).assign(difference=kind) for kind in kinds if len(self.means(kind))]
        first = ["architecture", "model", "difference"]
        if not parts:  # of controls that this profile does not train
            return pd.DataFrame(columns=[*first, *titles])
        found = pd.concat(parts, ignore_index=True).fillna("")
        return found[[*first, *found.columns.drop(first)]]

    def seeds(self, titles: Sequence[str], methods: Sequence[str] | None = None) -> pd.DataFrame:
        """Every seed's number: a row per architecture and method, a column per title with the seeds side by side."""
        rows = self.table[self.table["seed"].notna()].sort_values("seed", kind="stable")
        cells = rows.assign(cell=rows["value"].map("{:.3f}".format))
        joined = cells.groupby(["base", "method", "title"], sort=False)["cell"].agg(" · ".join).reset_index()
        return self._shaped(joined, titles, list(dict.fromkeys(self.table["method"])) if methods is None else methods)

    def _wide(self, rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str] | None) -> pd.DataFrame:
        cells = [tables.with_interval(*row) for row in rows[["value", "low", "high"]].itertuples(index=False)]
        chosen = list(dict.fromkeys(rows["method"])) if methods is None else methods
        return self._shaped(rows.assign(cell=cells), titles, chosen)

    def _shaped(self, rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
        """The column ``cell`` by architecture and method (rows) and title (columns), in the given orders."""
        chosen = rows[rows["title"].isin(titles) & rows["method"].isin(methods)]
        wide = chosen.pivot(index=["base", "method"], columns="title", values="cell").reset_index()
        order = {name: place for place, name in enumerate((*dict.fromkeys(rows["base"]), *methods))}
        wide = wide.sort_values(["base", "method"], key=lambda column: column.map(order), kind="stable")
        wide["method"] = wide["method"].map(self.experiment.title_of)
        wide = wide.rename(columns={"base": "architecture", "method": "model"}).rename_axis(columns=None)
        return wide[["architecture", "model", *(title for title in titles if title in wide)]].reset_index(drop=True)


def save_items(items: pd.DataFrame, settings: Profile, experiment: str, name: str = "items") -> None:
    """Write per-item scores in small types: texts as categories, numbers as float32."""
    texts = items.select_dtypes(include=["object", "string"]).columns
    numbers = items.select_dtypes("float64").columns
    small = items.astype(dict.fromkeys(texts, "category") | dict.fromkeys(numbers, "float32"))
    results.save_items(small, settings.name, experiment, name)


def records(rows: pd.DataFrame, experiment: str) -> list[Record]:
    """A record for each row with model, task, metric, value, low, high, n and over, which is empty without interval."""
    found = []
    for row in rows.to_dict("records"):
        bounds = {"ci_low": row["low"], "ci_high": row["high"], "ci_over": row["over"]} if row["over"] else {}
        about = {name: row[name] for name in ("task", "model", "metric")}
        found.append(Record(experiment, **about, value=float(row["value"]), n=int(row["n"]), **bounds))
    return found


def save_numbers(rows: pd.DataFrame, settings: Profile, experiment: str, name: str, **details: Any) -> None:
    """Write the ``records`` of a table; without rows nothing is written."""
    if len(rows):
        results.save(records(rows, experiment), settings.name, experiment, name, **details)
