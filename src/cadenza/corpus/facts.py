"""Facts of a score: what it is, in numbers and names, for selection, statistics and the record of a corpus.

Every fact follows from the score alone, so a recipe's predicates can be checked without reading a file again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cadenza.corpus.family import contradictions, families_of, guesses
from cadenza.score.model import Score, Technique, Track
from cadenza.score.time import bar_table, ticks_to_seconds

AUDIBLE_BEND_CENTS = 20  # a fifth of a semitone; smaller ones are intonation
SOLO_MIN_NOTES = 16
SOLO_MAX_POLYPHONY = 1.2


@dataclass(frozen=True)
class Facts:
    """What selection and statistics know of a piece.

    Args:
        families: instrument family of each track with notes, in order (see :mod:`cadenza.score.instruments`); where
            program and name say none, what the notes say (:mod:`cadenza.corpus.family`).
        n_families_inferred: tracks whose family the notes had to tell.
        n_families_doubtful: tracks whose notes clearly sound like another family than the one that they say.
        notes_per_second: over the time from the first onset to the last offset.
        polyphony: mean number of notes that sound at once, over the time in which any does; drums aside.
        max_polyphony: most notes at once, drums aside.
        bend_share: share of the pitched notes whose curve moves at least :data:`AUDIBLE_BEND_CENTS` from its start
            or from the pitch.
        technique_share: share of the pitched notes that have a playing technique (harmonics … tapping).
        n_velocities: distinct velocities.
        solo_share: share of the bars in which a guitar plays alone in its register: one line, dense, high.
        key: "C major" … as written, empty where the source says none; ``n_keys`` counts changes of signature.
        metre: of the most bars.
        tempo: quarter notes a minute, mean over time.
    """

    title: str
    artist: str
    families: tuple[str, ...]
    n_families_inferred: int
    n_families_doubtful: int
    n_tracks: int
    n_notes: int
    n_bars: int
    duration_seconds: float
    notes_per_second: float
    polyphony: float
    max_polyphony: int
    low_pitch: int
    high_pitch: int
    bend_share: float
    technique_share: float
    n_velocities: int
    solo_share: float
    key: str
    n_keys: int
    metre: str
    n_metres: int
    tempo: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and Parquet."""
        return asdict(self) | {"families": list(self.families)}


NAMES = tuple(Facts.__dataclass_fields__)
_MAJOR = ("C♭", "G♭", "D♭", "A♭", "E♭", "B♭", "F", "C", "G", "D", "A", "E", "B", "F♯", "C♯")
_MINOR = ("a♭", "e♭", "b♭", "f", "c", "g", "d", "a", "e", "b", "f♯", "c♯", "g♯", "d♯", "a♯")


def facts_of(score: Score) -> Facts:
    """The facts of ``score``; a score without notes has zeros."""
    sounding = [track for track in score.tracks if len(track)]
    pitched = [track for track in sounding if not track.is_drums]
    table = bar_table(score)
    seconds = _span_seconds(score, sounding)
    mean, most = polyphony(pitched)
    n_pitched = sum(len(track) for track in pitched)
    metres = [f"{m.numerator}/{m.denominator}" for m in table.metres]
    pitches = np.concatenate([t.notes["pitch"] for t in pitched]) if pitched else np.zeros(0, np.int64)
    velocities = [track.notes["velocity"] for track in sounding]
    quarters = score.length_ticks / score.ticks_per_quarter
    total = float(ticks_to_seconds(score, score.length_ticks))
    found = guesses(score.with_tracks(sounding))
    families, n_inferred = families_of(score, found)
    return Facts(
        title=score.title,
        artist=score.composer,
        families=tuple(families),
        n_families_inferred=n_inferred,
        n_families_doubtful=len(contradictions(score, found)),
        n_tracks=len(sounding),
        n_notes=score.n_notes,
        n_bars=len(table),
        duration_seconds=round(total, 3),
        notes_per_second=round(score.n_notes / seconds, 3) if seconds else 0.0,
        polyphony=round(mean, 3),
        max_polyphony=most,
        low_pitch=int(pitches.min(initial=127)),
        high_pitch=int(pitches.max(initial=0)),
        bend_share=round(sum(int(bent(t).sum()) for t in pitched) / n_pitched, 4) if n_pitched else 0.0,
        technique_share=_technique_share(pitched, n_pitched),
        n_velocities=len(np.unique(np.concatenate(velocities))) if velocities else 0,
        solo_share=round(_solo_share(score, [t for t, f in zip(sounding, families, strict=True) if f == "guitar"]), 4),
        key=_key_name(score),
        n_keys=len({(k.fifths, k.mode) for k in score.keys}),
        metre=max(dict.fromkeys(metres), key=metres.count),
        n_metres=len(set(metres)),
        tempo=round(60 * quarters / total, 3) if total else 0.0,
    )


def _span_seconds(score: Score, tracks: list[Track]) -> float:
    if not tracks:
        return 0.0
    first = min(int(track.notes["onset_ticks"][0]) for track in tracks)
    last = max(track.end_ticks for track in tracks)
    return float(ticks_to_seconds(score, last) - ticks_to_seconds(score, first))


def polyphony(tracks: list[Track]) -> tuple[float, int]:
    """Mean and greatest number of notes that sound at once; the mean over the time in which any sounds."""
    if not tracks:
        return 0.0, 0
    onset = np.concatenate([track.notes["onset_ticks"] for track in tracks])
    end = onset + np.concatenate([track.notes["duration_ticks"] for track in tracks])
    ticks = np.concatenate([onset, end])
    step = np.concatenate([np.ones(len(onset), np.int64), -np.ones(len(end), np.int64)])
    order = np.lexsort([step, ticks])  # what ends makes room for what begins
    count, length = np.cumsum(step[order])[:-1], np.diff(ticks[order])
    busy = int(length[count > 0].sum())
    return (float((count * length).sum()) / busy if busy else 0.0), int(count[length > 0].max(initial=0))


def bent(track: Track) -> np.ndarray:
    """Which notes have an audible bend; shape (n,), bool."""
    return bend_cents(track) >= AUDIBLE_BEND_CENTS


def bend_cents(track: Track) -> np.ndarray:
    """How far each note is bent from its pitch at most, up or down, in cents; shape (n,), 0 where it is not."""
    out = np.zeros(len(track), np.int64)
    if len(track.bends):
        note, cents = track.bends["note"], track.bends["cents"].astype(np.int64)
        first = np.flatnonzero(np.diff(note, prepend=-1))
        out[note[first]] = np.maximum.reduceat(np.abs(cents), first)
    return out


def _technique_share(tracks: list[Track], n_notes: int) -> float:
    if not n_notes:
        return 0.0
    return round(sum(int((t.notes["techniques"] != int(Technique.NONE)).sum()) for t in tracks) / n_notes, 4)


def _solo_share(score: Score, tracks: list[Track]) -> float:
    """See :class:`Facts`: bars in which one of ``tracks`` (guitars) plays one dense line above its middle strings."""
    table = bar_table(score)
    solo = np.zeros(len(table), bool)
    for track in tracks:
        notes = track.notes
        bar = table.index_of(notes["onset_ticks"])
        count = np.bincount(bar, minlength=len(table))
        onsets = np.bincount(table.index_of(np.unique(notes["onset_ticks"])), minlength=len(table))
        pitch = np.bincount(bar, notes["pitch"].astype(np.float64), len(table)) / np.maximum(count, 1)
        length = (table.ends_ticks - table.starts_ticks) / score.ticks_per_quarter
        dense = count >= 1.5 * length
        solo |= dense & (count <= SOLO_MAX_POLYPHONY * np.maximum(onsets, 1)) & (pitch >= 60)
    return float(solo.mean()) if len(solo) else 0.0


def _key_name(score: Score) -> str:
    if not score.keys:
        return ""
    key = score.keys[0]
    return f"{(_MAJOR if key.mode == 'major' else _MINOR)[key.fifths + 7]} {key.mode}"
