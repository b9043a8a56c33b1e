"""Where in a bar things happen: what the bars of a reading look like on the average.

:mod:`cadenza.infer.notator.metre` compares downbeats with the other beats, :mod:`~cadenza.infer.notator.bars` one bar
with the next. Here a bar is cut into sixteen parts and, for metres in three, into twelve; for each part stands how
often something begins there, how weighty it is, how often a bass note, and how long the melody's note is. Beside them
stand the shares of bars with some patterns: nothing at the middle, one note alone, a sarabande's second beat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator.events import Events, Floats

PARTS = (16, 12)
N_PATTERNS = 11
N_FEATURES = 4 * sum(PARTS) + N_PATTERNS
LONGEST_BARS = 1.5
NEAR = 1e-6


@dataclass(frozen=True)
class Moments:
    """What all readings of a pulse share; times are in its beats, onsets on a grid.

    Args:
        place, strength: of the events; shape (e,).
        note_place: of the notes; shape (n,).
        bass: how much each note is one, squared; shape (n,).
        melody: how long the highest note of its event is, 0 for the others; shape (n,).
        known: what was worked out, by (beats a bar, first downbeat).
    """

    place: Floats
    strength: Floats
    note_place: Floats
    bass: Floats
    melody: Floats
    known: dict[tuple[int, int], Floats] = field(default_factory=dict)


def moments(notes: NDArray[np.void], events: Events, place: Floats, length: Floats, bass: Floats) -> Moments:
    """The description of a pulse.

    Args:
        place: of the events, in beats; shape (e,).
        length: of the notes, in beats; shape (n,).
        bass: :func:`~cadenza.infer.notator.events.bass_share`.
    """
    pitch = notes["pitch"].astype(np.int64)
    highest = np.full(len(events), -1)
    np.maximum.at(highest, events.of_note, pitch)
    melody = np.where(pitch == highest[events.of_note], length, 0.0)
    return Moments(place, events.strength, place[events.of_note], bass**2, melody)


def features(mine: Moments, n: int, phase: int) -> Floats:
    """Shape (:data:`N_FEATURES`,).

    Args:
        n: beats a bar.
        phase: the first beat that begins one.
    """
    if (n, phase) not in mine.known:
        mine.known[(n, phase)] = _worked_out(mine, n, phase)
    return mine.known[(n, phase)]


def _worked_out(mine: Moments, n: int, phase: int) -> Floats:
    n_bars = max(1.0, (mine.place[-1] - mine.place[0]) / n)
    from_bar, note_from_bar = (((places - phase) / n) % 1 for places in (mine.place, mine.note_place))
    melody = np.minimum(mine.melody / n, LONGEST_BARS)
    out = []
    for parts in PARTS:
        part, note_part = (np.rint(x * parts).astype(int) % parts for x in (from_bar, note_from_bar))
        out += [
            np.bincount(part, minlength=parts), np.bincount(note_part, mine.bass, parts),
            np.bincount(note_part, melody, parts), np.bincount(part, mine.strength, parts),
        ]  # fmt: skip
    return np.concatenate([np.concatenate(out) / n_bars, _patterns(mine.place, from_bar, n, phase)])


def _patterns(place: Floats, from_bar: Floats, n: int, phase: int) -> Floats:
    """Shares of bars with some patterns, and how unlike bars are in how much begins; shape (:data:`N_PATTERNS`,)."""
    bar = np.floor((place - phase) / n + NEAR).astype(int)
    bar -= bar.min()
    begun = []
    for parts in PARTS:
        rows = np.zeros((bar.max() + 1, parts), bool)
        rows[bar, np.rint(from_bar * parts).astype(int) % parts] = True
        begun.append(rows)
    even, triple = begun
    how_many = even.sum(axis=1)
    patterns = (
        ~even[:, 8], ~even[:, 8] & (even[:, 4] | even[:, 12]),
        how_many <= 1, how_many <= 2, how_many >= 6, how_many >= 8,
        triple[:, 4] & triple[:, 8], ~triple[:, 4] & triple[:, 8], ~triple[:, 6],
        (triple[:, 2] | triple[:, 4]) & ~triple[:, 6],
    )  # fmt: skip
    return np.array([*(pattern.mean() for pattern in patterns), how_many.std()])
