"""A performance in seconds: its notes, and its onsets as events (what begins together is one)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score
from cadenza.score.time import ticks_to_seconds

Floats = NDArray[np.float64]

TOGETHER_SECONDS = 0.035  # onsets within this of the one before are one event: a chord is never struck quite at once
BASS_SEMITONES = 5  # a note so near to the lowest of its surroundings counts as bass
BASS_SECONDS = 3.0

PLAYED_NOTE = np.dtype(
    [
        ("onset_seconds", "f8"),
        ("end_seconds", "f8"),
        ("pitch", "i2"),
        ("velocity", "i2"),
        ("track", "i4"),
        ("row", "i8"),  # of the track's notes
        ("is_drums", "?"),
    ]
)


def played_notes(performance: Score) -> NDArray[np.void]:
    """All notes in seconds, shape (n,), :data:`PLAYED_NOTE`, by onset and pitch."""
    out = np.zeros(performance.n_notes, PLAYED_NOTE)
    at = 0
    for number, track in enumerate(performance.tracks):
        part = out[at : at + len(track)]
        at += len(track)
        onset = track.notes["onset_ticks"]
        part["onset_seconds"] = ticks_to_seconds(performance, onset)
        part["end_seconds"] = ticks_to_seconds(performance, onset + track.notes["duration_ticks"])
        part["pitch"], part["velocity"] = track.notes["pitch"], track.notes["velocity"]
        part["track"], part["row"], part["is_drums"] = number, np.arange(len(track)), track.is_drums
    return out[np.lexsort([out["pitch"], out["onset_seconds"]])]


@dataclass(frozen=True)
class Events:
    """Onsets, those of a chord as one.

    Args:
        seconds: shape (e,), rising: the mean onset of the event's notes.
        strength: shape (e,), 0–1: how much of an accent it is (chord, bass, loudness, how long until it ends).
        n_notes: shape (e,).
        of_note: shape (n,): the event of each note.
    """

    seconds: Floats
    strength: Floats
    n_notes: NDArray[np.int64]
    of_note: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seconds)


def events_of(notes: NDArray[np.void]) -> Events:
    """The events of notes that are sorted by onset."""
    onset = notes["onset_seconds"]
    if not len(notes):
        return Events(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
    of_note = np.cumsum(np.diff(onset, prepend=onset[0]) > TOGETHER_SECONDS, dtype=np.int64)
    n_events = int(of_note[-1]) + 1
    count = np.bincount(of_note, minlength=n_events)
    seconds = np.bincount(of_note, onset, n_events) / count
    loud = np.bincount(of_note, notes["velocity"].astype(float), n_events) / count
    longest = np.zeros(n_events)
    np.maximum.at(longest, of_note, notes["end_seconds"] - onset)
    bass = np.zeros(n_events)
    np.maximum.at(bass, of_note, bass_share(notes))
    ranks = [_rank(np.log1p(count)), _rank(loud), _rank(np.minimum(longest, 2.0)), bass]
    weights = (0.3, 0.15, 0.3, 0.25)
    strength = sum(weight * rank for weight, rank in zip(weights, ranks, strict=True))
    return Events(seconds, np.asarray(strength), count, of_note)


def bass_share(notes: NDArray[np.void]) -> Floats:
    """1 for notes at the bottom of what sounds around them, falling to 0 an octave above; shape (n,)."""
    out = np.zeros(len(notes))
    pitched = np.flatnonzero(~notes["is_drums"])
    onset, pitch = notes["onset_seconds"][pitched], notes["pitch"][pitched].astype(float)
    low = np.searchsorted(onset, onset - BASS_SECONDS)
    high = np.searchsorted(onset, onset + BASS_SECONDS)
    for place, (first, stop) in enumerate(zip(low, high, strict=True)):
        above = pitch[place] - pitch[first:stop].min()
        out[pitched[place]] = np.clip(1 - (above - BASS_SEMITONES) / 12, 0, 1) if above > BASS_SEMITONES else 1.0
    return out


def _rank(values: Floats) -> Floats:
    """Ranks as 0–1; equal values get their mean rank, 0.5 for all equal."""
    order = np.sort(values)
    low, high = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    return (low + high) / (2 * len(values))
