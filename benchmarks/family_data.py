"""Parts with known families from the clean collections, and how they are varied for training.

Labels come from what sources say and only where it is plain: Mutopia's index names the instruments of a piece, and
where it names one family, every part is of it (programs there are often 0 for guitars, singers and trumpets); where it
names several, a part counts only if its program is one of them. Hymns count as sung where a part is one line.
Koto, harp and tuned percussion are left out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.made_bands import band
from cadenza.corpus.band import arrange, drum_kit
from cadenza.corpus.likeness import fingerprint, groups
from cadenza.corpus.store import Piece
from cadenza.corpus.voice_features import Part, parts_of
from cadenza.score.instruments import family_of, family_of_name
from cadenza.score.model import Track

FAMILIES = ("guitar", "bass", "drums", "keys", "bowed", "voice_wind")
MIN_NOTES = 8
N_FOLDS = 5
NEVER_JUDGED, AMBIGUOUS = -1, -2  # folds of what only trains, and of what does neither
ARRANGED_SHARE = 0.4  # of the pieces
_WORDS = (
    ("keys", r"piano|harpsichord|clavi|klavier|cembalo|organ|celesta|continuo"),
    ("guitar", r"guitar|\blute|vihuela|mandol|banjo|ukulele|oud"),
    ("bowed", r"violin|viola|cello|string|double bass|viol\b|fiddle|bass$"),
    ("voice_wind", r"voice|choir|chorus|satb|ttbb|sopran|\balt[oi]\b|tenor|bass[io]\b|bariton|baryton|mezzo|flute|"
                   r"recorder|oboe|clarinet|bassoon|horn|trumpet|trombone|tuba|sax|cornet|brass|wind|ocarina|bagpipe"),
    ("drums", r"percussion|drum|timpani"),
    ("other", r"harp\b|harpa|koto|shamisen|bells|glockenspiel|orchestra|ensemble$|xylophone"),
)  # fmt: skip

_OPEN_SCORES = r"BWV1080|BWV1087"  # Bach named no instruments for the Art of Fugue and the canons; nor can a guess


@dataclass(frozen=True)
class Labelled:
    """A piece's parts with their families ("" = not known, company only).

    Args:
        folds: (by work, by composer), each 0–4, or NEVER_JUDGED.
        company: what was mixed in for training: its source and folds.
    """

    parts: list[Part]
    families: list[str]
    source: str
    path: str
    folds: tuple[int, int]
    company: tuple[tuple[str, tuple[int, int]], ...] = ()


def label(track: Track, piece: Piece) -> str:
    """The family of a track as its source says it, or empty."""
    if piece.source == "groove" or track.is_drums:
        return "drums"
    if piece.source == "guitarset":
        return "guitar"
    if piece.source == "openscore_quartets":
        return "bowed"
    if piece.source == "openhymnal":
        return "voice_wind" if _is_line(track) else ""
    if piece.source == "openscore_lieder":
        said = family_of_name(re.sub("flute", "oboe", track.name.lower()))
        if track.program == 0:
            return said if said in FAMILIES else ""
        # "Bass" among singers is one
        found = family_of(track)
        return (
            found if found in FAMILIES and (said in ("", found) or (said == "bass" and found == "voice_wind")) else ""
        )
    if re.search(_OPEN_SCORES, piece.path):
        return ""
    text = piece.style.lower().replace("string ensemble", "violin")
    said_families = {family for family, pattern in _WORDS if re.search(pattern, text)}
    if said_families and said_families <= {"keys", "guitar", "bowed", "voice_wind"} and len(said_families) == 1:
        found = next(iter(said_families))
        return found if found != "voice_wind" or _is_line(track) else ""
    found = family_of(track)
    if track.program == 0 or found in ("bass", "other") or track.program in (106, 107):
        return ""
    return found if found in said_families or not said_families else ""


def _is_line(track: Track) -> bool:
    """Whether hardly any of the notes begins with another."""
    return len(np.unique(track.notes["onset_ticks"])) >= 0.9 * len(track)


def pieces_with_families(pieces: Sequence[Piece]) -> tuple[list[Labelled], list[tuple[int, int]]]:
    """Labelled pieces, and the folds of every one of ``pieces``."""
    families = [[label(track, piece) for track in piece.score.tracks if len(track)] for piece in pieces]
    folds = folds_of(pieces, families)
    out = []
    for piece, own, fold in zip(pieces, families, folds, strict=True):
        if any(own):
            tracks = [track for track in piece.score.tracks if len(track)]
            out.append(Labelled(parts_of(piece.score.with_tracks(tracks)), own, piece.source, piece.path, fold))
    return out, folds


def folds_of(pieces: Sequence[Piece], families: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """(by work, by composer) for every piece; balanced by source and family.

    By work: versions of a work, and works that share music, have one fold. By composer: composers (drummers' sessions)
    have one; a piece that shares music with one of another fold is not judged, and trains nothing.
    """
    names = groups([piece.work_id for piece in pieces], *zip(*[fingerprint(p.score) for p in pieces], strict=True))
    works = [names[piece.work_id] for piece in pieces]
    by_work = _folds(pieces, families, works)
    by_composer = _folds(pieces, families, [_owner(piece) for piece in pieces])
    holders: dict[str, int] = {}
    for work, fold in zip(works, by_composer, strict=True):
        if fold >= 0:
            holders[work] = min(fold, holders.get(work, fold))
    return [
        (one, other if holders.get(work, other) == other else AMBIGUOUS)
        for one, other, work in zip(by_work, by_composer, works, strict=True)
    ]


def _folds(pieces: Sequence[Piece], families: Sequence[Sequence[str]], owners: Sequence[str]) -> list[int]:
    from sklearn.model_selection import StratifiedGroupKFold

    used = [index for index, own in enumerate(families) if any(own)]
    kinds = [f"{pieces[index].source} {next(one for one in families[index] if one)}" for index in used]
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    folds = [AMBIGUOUS] * len(pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds with fewer pieces than folds
        for fold, (_, held) in enumerate(splitter.split(used, kinds, [owners[index] for index in used])):
            for place in held:
                folds[used[int(place)]] = fold
    return folds


def _owner(piece: Piece) -> str:
    """The composer by surname, over all collections; a work without one is for itself."""
    if piece.source == "openscore_lieder" or piece.source == "openscore_quartets":
        return _surname(piece.path.split("/")[1].split(",")[0], piece)
    if piece.source == "mutopia":
        return _surname(re.sub(r"(?<=[a-z])[A-Z-].*$", "", piece.score.composer), piece)
    if piece.source == "groove":
        return "/".join(piece.path.split("/")[:3])  # drummer and session
    return piece.work_id


def _surname(name: str, piece: Piece) -> str:
    plain = re.sub(r"[^a-z]", "", name.lower())
    return piece.work_id if plain in ("", "anonymous", "traditional", "anon", "folk") else f"composer/{plain}"


def arranged(pieces: Sequence[Piece], folds: Sequence[tuple[int, int]], rng: np.random.Generator) -> list[Labelled]:
    """Band arrangements (see :mod:`cadenza.corpus.band`) of pieces, each with drums of both its folds."""
    out: list[Labelled] = []
    for pair in sorted({fold for fold in folds if min(fold) >= 0}):
        own = [piece for piece, fold in zip(pieces, folds, strict=True) if fold == pair]
        kit = drum_kit([piece for piece in own if piece.source == "groove"])
        for piece in own:
            if not kit or piece.source in ("groove", "guitarset") or rng.random() > ARRANGED_SHARE:
                continue
            made = arrange(piece.score, kit, rng)
            if made is not None:
                tracks = [track for track in made[1].tracks if len(track)]
                parts = parts_of(made[1].with_tracks(tracks))
                out.append(Labelled(parts, [family_of(track) for track in tracks], "arranged", piece.path, pair))
    return out


def made(n: int, rng: np.random.Generator) -> list[Labelled]:
    """``n`` pieces by rule, for training."""
    never = (NEVER_JUDGED, NEVER_JUDGED)
    found = [band(rng) for _ in range(n)]
    return [
        Labelled([part for part, _ in one], [family for _, family in one], "made", str(number), never)
        for number, one in enumerate(found)
        if one
    ]


# ── variation ────────────────────────────────────────────────────────────────────────────────────────────


def varied(piece: Labelled, pool: Sequence[Labelled], rng: np.random.Generator) -> Labelled:
    """One training copy: fewer tracks, an excerpt, other company, another key and tempo, hands that are not exact."""
    parts, families = list(piece.parts), list(piece.families)
    company: tuple[tuple[str, tuple[int, int]], ...] = ()
    keys = [i for i, family in enumerate(families) if family == "keys"]
    if len(keys) == 2 and rng.random() < 0.4:  # two hands as one part
        parts.append(_joined([parts[i] for i in keys]))
        families.append("keys")
        parts, families = _without(parts, keys), _without(families, keys)
    if rng.random() < 0.35 or piece.source == "groove":
        other = pool[int(rng.integers(len(pool)))]
        parts, families = parts + other.parts, families + other.families
        company = ((other.source, other.folds),)
    if rng.random() < 0.5:
        keep = rng.random(len(parts)) < rng.uniform(0.2, 1.0)
        keep[int(rng.integers(len(parts)))] = True
        parts = [part for part, kept in zip(parts, keep, strict=True) if kept]
        families = [family for family, kept in zip(families, keep, strict=True) if kept]
    end = max(float(part.onset[-1]) for part in parts)
    length = float(np.exp(rng.uniform(np.log(6), np.log(90)))) if rng.random() < 0.6 else np.inf
    start = float(rng.uniform(0, max(end - length, 0)))
    semitones = int(rng.integers(-3, 4)) if rng.random() < 0.5 else 0
    stretch = float(np.exp(rng.normal(0, 0.15)))
    performed = rng.random() < 0.5
    out: list[Part] = []
    for part, family in zip(parts, families, strict=True):
        moved = _excerpt(part, start, start + length)
        if family != "drums":
            moved = replace(moved, pitch=np.clip(moved.pitch + semitones, 0, 127))
        out.append(_played(moved, stretch, performed, rng))
    kept = [(part, family) for part, family in zip(out, families, strict=True) if len(part)]
    return replace(piece, parts=[part for part, _ in kept], families=[family for _, family in kept], company=company)


def _without(values: list, places: list[int]) -> list:
    return [value for i, value in enumerate(values) if i not in places]


def _joined(parts: list[Part]) -> Part:
    columns = [
        np.concatenate([getattr(part, name) for part in parts]) for name in ("onset", "duration", "pitch", "velocity")
    ]
    order = np.argsort(columns[0], kind="stable")
    return Part(*(column[order] for column in columns))


def _excerpt(part: Part, start: float, stop: float) -> Part:
    inside = (part.onset >= start) & (part.onset < stop)
    return Part(
        part.onset[inside] - start if start else part.onset[inside],
        part.duration[inside],
        part.pitch[inside],
        part.velocity[inside],
    )


def _played(part: Part, stretch: float, performed: bool, rng: np.random.Generator) -> Part:
    n = len(part)
    onset, duration = part.onset * stretch, part.duration * stretch
    if performed:
        onset = np.maximum(onset + rng.normal(0, rng.uniform(0.002, 0.015), n), 0)
        duration = duration * np.exp(rng.normal(0, rng.uniform(0.02, 0.3), n))
    if rng.random() < 0.5:  # articulation: staccato … slightly over the next note
        duration = duration * rng.uniform(0.5, 1.08)
    kind = rng.random()
    if kind < 0.4:
        velocity = np.full(n, int(rng.integers(60, 110)))
    elif kind < 0.8:
        velocity = np.clip(rng.normal(rng.uniform(60, 100), rng.uniform(2, 20), n).round(), 1, 127).astype(np.int64)
    else:
        velocity = part.velocity
    order = np.argsort(onset, kind="stable")
    return Part(onset[order], np.maximum(duration, 1e-3)[order], part.pitch[order], velocity[order])
