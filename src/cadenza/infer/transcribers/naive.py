"""Spectral peaks: every key whose pitch is a peak of the spectrum sounds for as long as it is one.

What a converter does that knows nothing of instruments: no harmonics are taken away and no attack is looked for, so
partials become notes and a wavering level splits them. It stands here to be beaten, and to show what is gained. The
quarter of a second that the spectrum looks at is allowed for: a note begins when half of its level is there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cadenza.formats.audio_file import AudioFile
from cadenza.infer.transcribers import Sounded
from cadenza.model import ear_features as front
from cadenza.model.ear import WINDOW_FRAMES, Sound

LOUD_DECIBELS = 30.0  # below the loudest key of the recording until here a peak counts
SHORTEST_FRAMES = 3
ATTACK_FRAMES = 13  # of a note's first frames the level that it rises to is taken: the length of the window
HALF_DECIBELS = 6.0
DECIBELS = 40.0  # of one unit of the features: log10(level) / 2

Floats = NDArray[np.float32]


def listen(audio: AudioFile) -> Iterator[tuple[float, list[Sounded]]]:
    """Notes of a recording; what sounds is compared with the loudest of the whole, so it is read twice."""
    loudest = max((float(keys.max()) for _, keys in _levels(audio)), default=0.0)
    threshold = loudest - LOUD_DECIBELS / DECIBELS
    open_notes: dict[int, tuple[int, list[float]]] = {}  # key → first frame, levels of its first frames
    at = 0
    for first, keys in _levels(audio):
        out: list[Sounded] = []
        sounds = _peaks(keys) & (keys > threshold)
        for row, on in enumerate(sounds, first):
            for key in [key for key in open_notes if not on[key]]:
                out += _note(key, *open_notes.pop(key), row, threshold)
            for key in np.flatnonzero(on).tolist():
                _, levels = open_notes.setdefault(key, (row, []))
                if len(levels) < ATTACK_FRAMES:
                    levels.append(float(keys[row - first, key]))
        at = first + len(keys)
        yield at / front.FRAMES_PER_SECOND, out
    left = [note for key, opened in open_notes.items() for note in _note(key, *opened, at, threshold)]
    yield at / front.FRAMES_PER_SECOND, left


def _note(key: int, start: int, levels: list[float], end: int, threshold: float) -> list[Sounded]:
    """The note at ``key`` whose peak is there from ``start`` until ``end``, if it lasts long enough."""
    level = max(levels)
    begun = start + next(n for n, one in enumerate(levels) if one >= level - HALF_DECIBELS / DECIBELS)
    if end - begun < SHORTEST_FRAMES:
        return []
    share = min(1.0, DECIBELS * (level - threshold) / LOUD_DECIBELS)
    onset, stop = begun / front.FRAMES_PER_SECOND, end / front.FRAMES_PER_SECOND
    return [Sounded(onset, stop, front.LOWEST_PITCH + key, round(20 + 100 * share), share)]


def _levels(audio: AudioFile) -> Iterator[tuple[int, Floats]]:
    """(first frame, loudest of the three bins of the long window around each key), window after window."""
    sound, first = Sound(audio.mono(front.SAMPLE_RATE)), 0
    low = int((front.LOWEST_PITCH - front.LOWEST_AXIS) * front.BINS_A_SEMITONE) - 1
    high = low + front.BINS_A_SEMITONE * front.N_PITCHES
    while (stop := sound.frames_up_to(first + WINDOW_FRAMES)) > first:
        bins = sound.magnitudes(first, stop, 0.0)[1, :, low:high]
        yield first, bins.reshape(len(bins), front.N_PITCHES, front.BINS_A_SEMITONE).max(axis=2)
        first = stop


def _peaks(keys: Floats) -> NDArray[np.bool_]:
    padded = np.pad(keys, ((0, 0), (1, 1)))
    return np.asarray((keys > padded[:, :-2]) & (keys >= padded[:, 2:]))
