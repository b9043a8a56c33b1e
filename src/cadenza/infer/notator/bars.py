"""What tells 2/4, 4/4 and 2/2 of the same beats apart: note values, ties over bar lines, harmony, bars, texture.

:mod:`cadenza.infer.notator.metre` describes a reading by its tempo and by how much heavier its downbeats are. That
settles the beats, but not how many of them a writer puts between two bar lines. Here stands what does: which note
values a reading would write, how many of its notes would be tied over a bar line or over the middle of a bar, whether
harmony changes there, whether every other bar is heavier (then bars are twice as long), how alike bars are two, four
and eight apart, and what kind of music it is, with each metre (hymns are in 4/4, dances for a melody in 2/4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator.events import Events, Floats

#: borders between note values in quarters: 32nds, triplets of 16ths, 16ths, triplets, eighths … whole notes
_VALUES = np.array([0.145, 0.205, 0.29, 0.41, 0.58, 0.86, 1.22, 1.7, 2.4, 3.4])
_N_LAGS = 100
_COLUMNS = (0, 1, 2, 3, 4, 6, 7)  # of the accents: all but loudness, which players and ears give as they like
_VOICES = (52, 53, 54)
NEAR = 1e-3


@dataclass(frozen=True)
class Texture:
    """What kind of music it is, as far as that says how it is written; shape (t,)."""

    values: Floats


def texture_of(notes: NDArray[np.void], events: Events) -> Texture:
    """How many notes sound at once, and how many parts there are."""
    n = events.n_notes
    tracks = notes["track"][~notes["is_drums"]]
    return Texture(
        np.array([
            np.log2(len(notes) / len(events)), float((n == 1).mean()), float((n >= 4).mean()),
            float(len(np.unique(tracks)) == 1), float(len(np.unique(tracks)) >= 3),
        ])
    )  # fmt: skip


@dataclass(frozen=True)
class Spans:
    """What all readings of a pulse share.

    Args:
        note_beats: onset and end of each note in beats, the onset on a grid; shape (n, 2).
        gaps: beats from each event to the next; shape (e − 1,).
        accents: shape (b, 7), z-scores.
        chroma: sums of the beats' chroma up to each beat; shape (b + 1, 12).
        alike, heavy: how alike beats so far apart are, and their accents; shape (lags,).
        known: what was worked out of bars and note values, since many readings share it.
    """

    note_beats: Floats
    gaps: Floats
    accents: Floats
    chroma: Floats
    alike: Floats
    heavy: Floats
    known: dict[tuple[float, ...], Floats] = field(default_factory=dict)


def spans(note_beats: Floats, place: Floats, accents: Floats, chroma: Floats, rhythm: Floats) -> Spans:
    """The description of a pulse, from what :class:`cadenza.infer.notator.metre.Beats` holds."""
    accents = np.clip(accents[:, _COLUMNS], -3, 3)
    rows = np.concatenate([rhythm, 0.7 * chroma], axis=1)
    summed = np.concatenate([np.zeros((1, chroma.shape[1])), np.cumsum(chroma, axis=0)])
    return Spans(note_beats, np.diff(place), accents, summed, _alike(rows), _together(accents))


def _alike(rows: Floats) -> Floats:
    """Mean cosine of rows so far apart, less what any two rows have; shape (lags,), 0 where nothing is so far apart."""
    norm = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(norm > 1e-9, norm, 1.0)[:, None]
    anyhow = float(np.square(unit.mean(axis=0)).sum())
    out = np.zeros(_N_LAGS)
    for lag in range(1, min(_N_LAGS, len(rows) - 4)):
        out[lag] = (unit[lag:] * unit[:-lag]).sum(axis=1).mean() - anyhow
    return out


def _together(accents: Floats) -> Floats:
    """Autocorrelation of the beats' weight; shape (lags,)."""
    weight = accents.mean(axis=1)
    weight = weight - weight.mean()
    out = np.zeros(_N_LAGS)
    power = float((weight**2).mean()) + 1e-6
    for lag in range(1, min(_N_LAGS, len(weight) - 4)):
        out[lag] = (weight[lag:] * weight[:-lag]).mean() / power
    return out


def _at(values: Floats, lag: int) -> float:
    return float(values[lag]) if 0 < lag < len(values) else 0.0


def features(
    mine: Spans, texture: Texture, n: int, phase: int, quarters: float, log_tempo: float, flags: Sequence[float]
) -> Floats:
    """Shape (f,).

    Args:
        n: beats a bar.
        phase: the first beat that begins one.
        quarters: a beat lasts.
        log_tempo: octaves of the tempo above a usual one.
        flags: 1 at the reading's metre.
    """
    if (quarters,) not in mine.known:
        mine.known[(quarters,)] = _note_values(mine, quarters)
    if (n, phase) not in mine.known:
        mine.known[(n, phase)] = np.concatenate(
            [_ties(mine, n, phase), _weights(mine, n, phase), _harmony(mine, n, phase), _likeness(mine, n)]
        )
    return np.concatenate([
        mine.known[(quarters,)], mine.known[(n, phase)], _length(mine, n, phase, quarters),
        np.outer([log_tempo * log_tempo, *texture.values], flags).ravel(),
    ])  # fmt: skip


def _note_values(mine: Spans, quarters: float) -> Floats:
    """Shares of the steps from onset to onset by the note value that they would be written as."""
    found = np.bincount(np.searchsorted(_VALUES, mine.gaps * quarters), minlength=len(_VALUES) + 1)
    return np.asarray(found / max(1, len(mine.gaps)))


def _ties(mine: Spans, n: int, phase: int) -> Floats:
    """Shares of notes: held over a bar line, over the middle, as long as a bar, beginning a bar."""
    onset, end = ((column - phase) / n for column in mine.note_beats.T)
    within = onset - np.floor(onset + NEAR)
    over = within + (end - onset)
    begins = within < NEAR
    out = [((over > 1.12) & ~begins).mean(), (end - onset > 0.8).mean(), begins.mean()]
    half = (within > NEAR) & (within < 0.5 - NEAR) & (over > 0.62)
    out += [half.mean(), (np.abs(within - 0.5) < NEAR).mean()] if n % 2 == 0 or n == 1 else [0.0, 0.0]
    return np.array(out)


def _weights(mine: Spans, n: int, phase: int) -> Floats:
    """How surely downbeats are heavier than the middle (or the other beats), and every other bar than the rest."""
    rows = (np.arange(len(mine.accents)) - phase) % (2 * n)
    down = mine.accents[rows % n == 0]
    if n % 2 == 0:
        rest = mine.accents[rows % n == n // 2]
    else:
        rest = mine.accents[rows % n != 0]
    bars = _surely(mine.accents[rows == 0], mine.accents[rows == n])
    return np.concatenate([_surely(down, rest), [np.abs(bars).mean(), abs(bars.mean())]])


def _surely(some: Floats, others: Floats) -> Floats:
    """Welch's t of each column, squeezed; 0 where there are too few."""
    if len(some) < 3 or len(others) < 3:
        return np.zeros(some.shape[1])
    error = np.sqrt(some.var(axis=0) / len(some) + others.var(axis=0) / len(others) + 0.01)
    return np.asarray(np.arcsinh((some.mean(axis=0) - others.mean(axis=0)) / error))


def _harmony(mine: Spans, n: int, phase: int) -> Floats:
    """How alike neighbouring halves (or beats) sound inside bars and over bar lines, and neighbouring bars."""
    steps = n // 2 if n % 2 == 0 else 1
    last = len(mine.chroma) - 1
    edges = np.arange(phase, last + 1, steps)
    if len(edges) < 6 or n == 1:
        return np.zeros(4)
    parts = np.diff(mine.chroma[edges], axis=0)
    alike = _cosines(parts[1:], parts[:-1])
    a_bar = n // steps
    over = (np.arange(len(alike)) + 1) % a_bar == 0
    inside, across = float(alike[~over].mean()), float(alike[over].mean()) if over.any() else 0.0
    bars = np.diff(mine.chroma[np.arange(phase, last + 1, n)], axis=0)
    next_bar = float(_cosines(bars[1:], bars[:-1]).mean()) if len(bars) > 1 else 0.0
    return np.array([inside, across, inside - across, next_bar])


def _cosines(a: Floats, b: Floats) -> Floats:
    norm = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.where(norm > 1e-9, norm, 1.0))


def _likeness(mine: Spans, n: int) -> Floats:
    """How alike bars are so many bars apart, by what sounds and by weight."""
    half = n // 2 if n % 2 == 0 else 0
    lags = (half, n, 2 * n, 3 * n, 4 * n, 8 * n)
    return np.array([_at(values, lag) for values in (mine.alike, mine.heavy) for lag in lags])


def _length(mine: Spans, n: int, phase: int, quarters: float) -> Floats:
    """How many bars there are, whether that is a usual number, and how long the upbeat is."""
    onset = mine.note_beats[:, 0]
    bars = int(np.floor((onset.max() - phase) / n + NEAR)) + 1
    upbeat = (phase - onset.min()) % n
    return np.array([
        np.log2(max(1, bars)), float(bars % 2 == 0), float(bars % 4 == 0), float(bars % 8 == 0),
        quarters * upbeat, float(abs(quarters * upbeat - 1) < 0.05), float(abs(quarters * upbeat - 0.5) < 0.05),
    ])  # fmt: skip
