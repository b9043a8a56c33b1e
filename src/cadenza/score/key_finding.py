"""The key of notes, by correlation with key profiles, and whether a piece leaves it.

Profiles: Krumhansl & Kessler 1982, as printed in Krumhansl, *Cognitive Foundations of Musical Pitch* (1990), p. 30.
Pitch classes are weighed by duration.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score
from cadenza.score.time import bar_table

MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
WINDOW_BARS = 8
MARGIN = 0.1  # correlation by which a window must prefer another key
_PROFILES = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
_CENTRED = _PROFILES - _PROFILES.mean(axis=1, keepdims=True)
_UNIT = _CENTRED / np.linalg.norm(_CENTRED, axis=1, keepdims=True)


def pitch_class_weights(score: Score, start_ticks: int = 0, stop_ticks: int | None = None) -> NDArray[np.float64]:
    """Ticks of each pitch class that sound within [start, stop), drums aside; shape (12,)."""
    stop = score.length_ticks if stop_ticks is None else stop_ticks
    out = np.zeros(12)
    for track in score.tracks:
        if track.is_drums:
            continue
        notes = track.notes
        end = np.minimum(notes["onset_ticks"] + notes["duration_ticks"], stop)
        inside = np.maximum(end - np.maximum(notes["onset_ticks"], start_ticks), 0)
        out += np.bincount(notes["pitch"] % 12, inside, 12)
    return out


def key_correlations(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation with each key: 12 major ones from C upwards, then 12 minor ones; zeros for even weights."""
    centred = weights - weights.mean()
    norm = float(np.linalg.norm(centred))
    return _UNIT @ centred / norm if norm > 0 else np.zeros(24)


def signature_of(key: int) -> int:
    """Sharps (negative: flats) of key 0–23 as :func:`key_correlations` counts; −5…6."""
    tonic = key % 12 if key < 12 else (key + 3) % 12  # the relative major's
    return (7 * tonic + 5) % 12 - 5


def find_key(score: Score) -> int | None:
    """The best key of the whole score, 0–23; None where nothing pitched sounds."""
    weights = pitch_class_weights(score)
    return int(np.argmax(key_correlations(weights))) if weights.any() else None


def modulates(score: Score) -> bool:
    """Whether the score changes its key: by its signatures, or some window of eight bars is clearly in another key,
    with a signature that differs by more than one accidental from the whole's."""
    if len({key.fifths for key in score.keys}) > 1:
        return True
    home = find_key(score)
    if home is None:
        return False
    table = bar_table(score)
    for first in range(0, len(table), WINDOW_BARS // 2):
        last = min(first + WINDOW_BARS, len(table)) - 1
        weights = pitch_class_weights(score, int(table.starts_ticks[first]), int(table.ends_ticks[last]))
        found = key_correlations(weights)
        best = int(np.argmax(found))
        apart = abs(signature_of(best) - signature_of(home))
        if found[best] >= found[home] + MARGIN and min(apart, 12 - apart) > 1:
            return True
    return False
