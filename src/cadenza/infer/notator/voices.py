"""Hands and voices: which staff a keyboard's notes stand on, and which notes follow each other.

Hands: every chord is cut in two; the cut moves as little as it can from chord to chord, and a hand spans an octave or
so: dynamic programming over the cuts. Voices: within a staff what begins together is a chord of one voice, unless its
top or bottom note lasts much longer than what goes on below or above it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator.events import Floats

SPAN = 14  # semitones that a hand reaches
SECOND_STAFF = 4  # the first voice of the second staff
_CENTRES = np.arange(40, 81, 2)  # where the cut may lie
HOLD = 1.9  # a note that outlasts its chord so often, and the next onset, is another voice's
MIN_VOICE = 6  # notes that a second voice has at least


def hands(onset: NDArray[np.int64], pitch: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each note is the left hand's; notes in any order, onsets quantised."""
    left = np.zeros(len(onset), bool)
    if not len(onset):
        return left
    times, group = np.unique(onset, return_inverse=True)
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(len(times) + 1))
    n_cuts = len(_CENTRES)
    costs = np.zeros((len(times), n_cuts))
    for row in range(len(times)):
        own = np.sort(pitch[order[bounds[row] : bounds[row + 1]]])
        for column, cut in enumerate(_CENTRES.tolist()):
            low, high = own[own < cut], own[own >= cut]
            for part in (low, high):
                if len(part) > 1:
                    costs[row, column] += 0.5 * max(0, int(part[-1] - part[0]) - SPAN)
                costs[row, column] += 1.5 * max(0, len(part) - 5)
            # A cut through the widest gap of a chord, and near the middle of the keyboard.
            if len(low) and len(high):
                costs[row, column] -= 0.10 * min(int(high[0] - low[-1]), 12)
            nearest = np.abs(own - (cut - 0.5)).min()
            costs[row, column] += 0.25 * (nearest < 2) + 0.03 * abs(cut - 60)
    move = 0.14 * np.abs(_CENTRES[:, None] - _CENTRES[None, :])
    total, came = costs[0], np.zeros((len(times), n_cuts), int)
    for row in range(1, len(times)):
        arrived = total[:, None] + move
        came[row] = arrived.argmin(axis=0)
        total = arrived.min(axis=0) + costs[row]
    column = int(total.argmin())
    for row in range(len(times) - 1, -1, -1):
        rows = order[bounds[row] : bounds[row + 1]]
        left[rows] = pitch[rows] < _CENTRES[column]
        column = int(came[row][column])
    return left


def wide(pitch: NDArray[np.int64]) -> bool:
    """Whether a keyboard's notes ask for two staves."""
    return bool(len(pitch) and np.percentile(pitch, 8) < 57 and np.percentile(pitch, 92) > 62)


def separated(onset: NDArray[np.int64], length: Floats, pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 for notes of the first voice, 1 for those of a second one (held against moving ones); shape (n,).

    Args:
        onset: quantised, in ticks.
        length: as played, in ticks.
    """
    voice = np.zeros(len(onset), np.int64)
    times, group = np.unique(onset, return_inverse=True)
    if len(times) < 3:
        return voice
    following = np.append(times[1:], times[-1] + 10**6)
    lasting = length / np.maximum(following[group] - onset, 1)
    shortest = np.full(len(times), np.inf)
    np.minimum.at(shortest, group, lasting)
    top = np.full(len(times), -1)
    np.maximum.at(top, group, pitch)
    bottom = np.full(len(times), 128)
    np.minimum.at(bottom, group, pitch)
    held = (lasting > HOLD) & (lasting > 1.6 * shortest[group]) & (shortest[group] < 1.4)
    edge = (pitch == top[group]) | (pitch == bottom[group])
    voice[held & edge] = 1
    # Held notes above moving ones are the first voice, and the moving ones the second.
    upper = held & edge & (pitch == top[group])
    lower = held & edge & (pitch == bottom[group]) & ~upper
    if upper.sum() > lower.sum():
        voice[lower] = 0
        chords = np.isin(group, group[upper])
        voice[chords] = np.where(upper[chords], 0, 1)
    else:
        voice[upper] = 0
    return voice if min(np.bincount(voice, minlength=2)) >= MIN_VOICE else np.zeros_like(voice)
