"""The key of notes in seconds: profiles, and what the bass, the beginning and the end say.

A key's features are its correlation with the profiles of Krumhansl & Kessler (:mod:`cadenza.score.key_finding`), the
share of sounding time inside its scale, and whether last and first bass note and the last chord are its tonic's.
They are weighed by a conditional logit (``benchmarks/notator_train.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator.events import Floats
from cadenza.infer.notator.weights import tensor
from cadenza.score.key_finding import key_correlations, signature_of

_SCALES = np.zeros((24, 12))
for _tonic in range(12):
    _SCALES[_tonic, [(_tonic + step) % 12 for step in (0, 2, 4, 5, 7, 9, 11)]] = 1
    _SCALES[12 + _tonic, [(_tonic + step) % 12 for step in (0, 2, 3, 5, 7, 8, 10)]] = 1
LAST_SECONDS = 0.6
LONGEST_SECONDS = 2.0  # what lasts longer, a pedal holds


def signature(key: int) -> int:
    """Sharps (negative: flats) of key 0–23, −5…6."""
    return signature_of(key)


def features(notes: NDArray[np.void]) -> Floats:
    """Features of the 24 keys (12 major ones from C, then minor ones); shape (24, f). Drums say nothing."""
    notes = notes[~notes["is_drums"]]
    if not len(notes):
        return np.zeros((24, 9))
    pitch = notes["pitch"].astype(int) % 12
    length = np.clip(notes["end_seconds"] - notes["onset_seconds"], 0.02, LONGEST_SECONDS)
    weights = np.bincount(pitch, length, 12).astype(np.float64)
    counts = np.bincount(pitch, minlength=12).astype(np.float64)
    share, count_share = weights / weights.sum(), counts / counts.sum()
    at_end = notes["onset_seconds"] >= notes["onset_seconds"].max() - LAST_SECONDS
    at_start = notes["onset_seconds"] <= notes["onset_seconds"].min() + LAST_SECONDS
    last_bass = int(notes["pitch"][at_end].min()) % 12
    first_bass = int(notes["pitch"][at_start].min()) % 12
    last = np.bincount(pitch[at_end], minlength=12) > 0
    out = np.zeros((24, 9))
    out[:, 0] = key_correlations(np.asarray(weights, np.float64))
    out[:, 1] = key_correlations(np.asarray(counts, np.float64))
    out[:, 2], out[:, 3] = _SCALES @ share, _SCALES @ count_share
    for key in range(24):
        tonic, minor = key % 12, key >= 12
        third = (tonic + (3 if minor else 4)) % 12
        out[key, 4] = last_bass == tonic
        out[key, 5] = first_bass == tonic
        out[key, 6] = last[tonic] and last[third]
        out[key, 7] = minor * share[(tonic + 11) % 12]
        out[key, 8] = abs(signature(key)) / 6
    return out


def find(notes: NDArray[np.void], weights: Floats) -> tuple[int, bool] | None:
    """(signature in fifths, is minor); None where nothing is pitched."""
    if notes["is_drums"].all():
        return None
    key = int((features(notes) @ weights).argmax())
    return signature(key), key >= 12


def shipped() -> Floats:
    """The weights that come with the package."""
    return tensor("key")
