"""Web-like alt texts as LAION-400M metadata: snappy parquet shards (docs/protocols.md#web-captions).

Stands for LAION-400M in the statistics of negation (NegationCLIP Table 1 and Fig. 2). Besides the alt texts of scenes
and faces there are texts that say nothing, texts that are missing, and texts in other languages, in which "no" means
"in the" or belongs to the shop. The images of a few hundred rows are drawn too, most of them rows with a negation
cue; their URL is the name of the file within the part's folder.
"""

import random
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from miniworld import alttext, faces, scenes
from miniworld.faces import Face
from miniworld.scenes import Scene
from miniworld.writers import _shared
from negutil import progress
from negutil.config import Splits

Shown = Scene | Face

SHARDS = 4
TEXTS_PER_PICTURE = 20
"""Texts per image, so that drawing images takes little of the time."""

FACE_SHARE = 0.1
EMPTY, MISSING, FOREIGN = 0.002, 0.001, 0.006
PICTURED_PER_CUE, PICTURED_PLAIN = 12, 60
"""Rows whose image is drawn: up to so many of each kind of cue, and without a cue."""

_CUE = r"(?i)\b(no|not|without|never|neither|nowhere|lacks?|absent|free of|devoid of)\b|n't\b"
_LANGUAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "es": (
        ("gato", "perro", "coche", "barco", "caballo", "árbol", "guitarra", "reloj"),
        ("foto de archivo: {x}", "{x} en la playa", "dibujo de {x} para colorear", "No te lo pierdas: {x}"),
    ),
    "pt": (
        ("gato", "cachorro", "carro", "barco", "cavalo", "bolo", "chapéu", "relógio"),
        ("{x} no campo", "imagem de {x}", "{x} em promoção", "quadro {x} para sala"),
    ),
    "de": (
        ("Katze", "Hund", "Auto", "Schiff", "Pferd", "Baum", "Gitarre", "Uhr"),
        ("{x} am Strand", "Poster: {x}", "{x} - kein Mindestbestellwert", "{x} ohne Rahmen kaufen"),
    ),
    "fr": (
        ("chat", "chien", "voiture", "bateau", "cheval", "arbre", "guitare", "horloge"),
        ("un {x} sur la plage", "affiche {x}", "{x} sans cadre", "ne manquez pas ce {x}"),
    ),
    "ja": (("猫", "犬", "車", "船", "馬", "木", "ギター", "時計"), ("{x}の写真", "{x} イラスト 無料", "かわいい{x}")),
}
_WIDTHS = (200, 225, 236, 300, 320, 400, 450, 500, 600, 640, 800, 1024)


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with four shards of ``sizes.train`` rows in all and ``pictures/``; returns how many there are."""
    count = sizes.train + sizes.val + sizes.test
    texts, shown = captions(count, seed)
    order = np.random.default_rng(seed).permutation(count)
    texts = [texts[row] for row in order]
    pictured = _pictured(texts, seed)
    frame = _table(texts, pictured, seed)
    for row in pictured:
        _shared.write_picture(folder / frame["URL"][row], draw(shown[order[row] // TEXTS_PER_PICTURE]))
    for shard, part in enumerate(np.array_split(np.arange(count), SHARDS)):
        name = f"part-{shard:05d}-{uuid.uuid5(uuid.NAMESPACE_DNS, f'negutil {seed}')}-c000.snappy.parquet"
        frame[part[0] : part[-1] + 1].write_parquet(folder / name, compression="snappy")
    return {"captions": count, "shards": SHARDS, "pictures": len(pictured)}


def captions(count: int, seed: int) -> tuple[list[str | None], list[Shown]]:
    """``count`` texts, TEXTS_PER_PICTURE in a row from each of the images returned beside them."""
    texts: list[str | None] = []
    shown: list[Shown] = []
    for index in progress.bar("writing captions of images", range(-(-count // TEXTS_PER_PICTURE)), leave=False):
        rng = random.Random(f"laion/{seed}/{index}")
        item: Shown = faces.sample(rng) if rng.random() < FACE_SHARE else scenes.sample(rng)
        shown.append(item)
        texts.extend(_text(item, rng) for _ in range(min(TEXTS_PER_PICTURE, count - len(texts))))
    return texts, shown


def _text(item: Shown, rng: random.Random) -> str | None:
    """One text of an image; now and then none, an empty one, or one in another language."""
    kind = rng.random()
    if kind < MISSING:
        return None
    if kind < MISSING + EMPTY:
        return ""
    if kind < MISSING + EMPTY + FOREIGN:
        things, forms = _LANGUAGES[rng.choice(tuple(_LANGUAGES))]
        return rng.choice(forms).format(x=rng.choice(things))
    if isinstance(item, Scene):
        return alttext.web_text(item, rng)
    return alttext.plain_text(faces.describe(item, rng), rng, alttext.CUE_RATE, chatter=alttext.FACE_CHATTER)


def _pictured(texts: Sequence[str | None], seed: int) -> list[int]:
    """Rows whose image is drawn, some of each kind of cue."""
    column = pl.Series(texts, dtype=pl.String)
    english = (column.str.len_chars() > 0) & ~column.is_in(foreign_texts())
    has_cue = column.str.contains(_CUE)
    rows = {"none": (english & ~has_cue).arg_true().to_list()}
    for row in (english & has_cue).arg_true().to_list():
        rows.setdefault(alttext.kind_of_cue(column[row]), []).append(row)
    rng, chosen = random.Random(f"laion/{seed}/pictured"), []
    for kind in sorted(rows):
        most = PICTURED_PLAIN if kind == "none" else PICTURED_PER_CUE
        chosen += rng.sample(rows[kind], min(most, len(rows[kind])))
    return sorted(chosen)


def foreign_texts() -> list[str]:
    """Every text in another language that the shards can hold."""
    return [form.format(x=thing) for things, forms in _LANGUAGES.values() for form in forms for thing in things]


def draw(item: Shown) -> np.ndarray:
    """The image of a scene or a face; uint8 [64, 64, 3]."""
    return scenes.draw(item) if isinstance(item, Scene) else faces.draw(item)


def _table(texts: Sequence[str | None], pictured: Sequence[int], seed: int) -> pl.DataFrame:
    """All rows with the columns of the release; similarity lies above 0.3, the limit by which LAION kept a pair."""
    rng, count = np.random.default_rng([seed, 1]), len(texts)

    def choose(values: Sequence[str], weights: Sequence[int]) -> pl.Series:
        shares = np.array(weights) / sum(weights)
        return pl.Series(np.array(values)[rng.choice(len(values), count, p=shares)].tolist(), dtype=pl.String)

    sample_ids = rng.permutation(np.arange(count, dtype=np.int64) * 1009 + rng.integers(0, 1009, count))
    drawn = np.isin(np.arange(count), pictured)
    hosts = np.where(drawn, "pictures", "https://pictures.example")
    return pl.DataFrame(
        {
            "SAMPLE_ID": sample_ids,
            "URL": [f"{host}/{number}.jpg" for host, number in zip(hosts, sample_ids.tolist(), strict=True)],
            "TEXT": pl.Series(texts, dtype=pl.String),
            "HEIGHT": np.where(drawn, scenes.SIZE, rng.choice(_WIDTHS, count)).astype(np.int32),
            "WIDTH": np.where(drawn, scenes.SIZE, rng.choice(_WIDTHS, count)).astype(np.int32),
            "LICENSE": choose(("?", "cc-by-nc-nd", "cc-by", "publicdomain"), (97, 1, 1, 1)),
            "NSFW": choose(("UNLIKELY", "UNSURE", "NSFW", "NULL"), (945, 50, 3, 2)),
            "similarity": np.round(0.3 + rng.gamma(1.4, 0.022, count), 6),
        }
    )
