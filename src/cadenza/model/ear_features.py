"""What the ear sees of a sound: log magnitudes on a pitch axis, at two time resolutions.

16 kHz mono, one frame every 20 ms; for each frame the magnitudes of a short window (1,024 samples: when) and a long one
(4,096: which pitch), gathered on an axis of three bins a semitone from MIDI 8 to 120. :func:`gather_index` then says,
for each of 88 pitches, where its harmonics ½, 1–8 lie on that axis, three bins around each; the network looks at the
same 54 numbers for every pitch, so what it learns about one key holds for all.

The same numbers come from NumPy here, when a recording is transcribed, and from torch in
:mod:`cadenza.train.ear_network`, when the network is trained; tests/test_ear.py holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
HOP = 320
FRAMES_PER_SECOND = SAMPLE_RATE // HOP
WINDOWS = (1024, 4096)
TRANSFORMS = (2048, 4096)  # lengths of the Fourier transforms; the short window is padded
LOWEST_AXIS, HIGHEST_AXIS, BINS_A_SEMITONE = 8.0, 120.0, 3
N_BINS = int((HIGHEST_AXIS - LOWEST_AXIS) * BINS_A_SEMITONE) + 1
LOWEST_PITCH, N_PITCHES = 21, 88
HARMONICS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
FLOOR = 1e-5  # of a magnitude: −100 dB
LEVEL = 0.056  # root mean square that a recording is brought to

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FrontEnd:
    """The fixed arrays of the transform.

    Args:
        windows: a Hann window of each of :data:`WINDOWS`, shapes (w,).
        filters: for each a matrix (bins of its transform, :data:`N_BINS`), columns summing to 1.
        bands: the same, without their zeros.
    """

    windows: tuple[Floats, Floats]
    filters: tuple[Floats, Floats]
    bands: tuple[Bands, Bands]


_FRAMES = 32


@dataclass(frozen=True)
class Bands:
    """A filter bank whose filters are narrow.

    A product with the whole matrix would be BLAS's, whose threads wait for work by turning: on a busy machine they took
    five times the time of all the rest.

    Args:
        bins: of the transform, one filter's after another's, shape (n,).
        weights: of these.
        starts: where in ``bins`` each filter begins.
    """

    bins: NDArray[np.int64]
    weights: Floats
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, filters: Floats) -> Bands:
        """The bands of a matrix."""
        kept = filters.T != 0
        kept[~kept.any(axis=1), 0] = True  # beyond what is sampled: nothing, of one bin
        rows, bins = np.nonzero(kept)
        return cls(bins, filters.T[rows, bins], np.searchsorted(rows, np.arange(filters.shape[1])))

    def __call__(self, magnitudes: Floats) -> Floats:
        """Magnitudes (T, bins) → (T, filters)."""
        found = np.empty((len(self.starts), len(magnitudes)), np.float32)
        for at in range(0, len(magnitudes), _FRAMES):  # what is gathered stays in the cache
            part = np.ascontiguousarray(magnitudes[at : at + _FRAMES].T)[self.bins]
            part *= self.weights[:, None]
            np.add.reduceat(part, self.starts, axis=0, out=found[:, at : at + _FRAMES])
        return found.T


@lru_cache(maxsize=8)
def front_end(tuning_cents: float = 0.0) -> FrontEnd:
    """The transform for a recording whose tuning is so many cents above 440 Hz: its axis is moved along."""
    note = LOWEST_AXIS + np.arange(N_BINS) / BINS_A_SEMITONE + tuning_cents / 100
    centre = 440 * 2 ** ((note - 69) / 12)
    windows, filters = [], []
    for window, length in zip(WINDOWS, TRANSFORMS, strict=True):
        hertz = np.arange(length // 2 + 1) * SAMPLE_RATE / length
        width = np.maximum(centre * (2 ** (1 / 36) - 2 ** (-1 / 36)), SAMPLE_RATE / length)
        bank = np.maximum(0, 1 - np.abs(hertz[:, None] - centre) / width)
        filters.append((bank / (bank.sum(axis=0) + 1e-9)).astype(np.float32))
        phase = 2 * np.pi * np.arange(window) / window
        windows.append((0.5 - 0.5 * np.cos(phase)).astype(np.float32))
    bands = (Bands.of(filters[0]), Bands.of(filters[1]))
    return FrontEnd((windows[0], windows[1]), (filters[0], filters[1]), bands)


def gather_index() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Bins of the axis for each harmonic's three sub-bins and pitch, and 1 where they lie on it: shapes (27, 88)."""
    pitch = LOWEST_PITCH + np.arange(N_PITCHES)
    rows = []
    for harmonic in HARMONICS:
        place = np.round((pitch + 12 * np.log2(harmonic) - LOWEST_AXIS) * BINS_A_SEMITONE).astype(np.int64)
        rows += [place - 1, place, place + 1]
    index = np.stack(rows)
    inside = (index >= 0) & (index < N_BINS)
    return np.clip(index, 0, N_BINS - 1), inside.astype(np.float32)


def features(samples: Floats, first_frame: int, n_frames: int, tuning_cents: float = 0.0) -> Floats:
    """Log magnitudes of frames ``first_frame`` … + ``n_frames``, shape (2, n_frames, :data:`N_BINS`).

    Args:
        samples: shape (n,), mono at :data:`SAMPLE_RATE`; silence is assumed before and after.
    """
    fixed = front_end(round(tuning_cents, 1))
    out = np.empty((2, n_frames, N_BINS), np.float32)
    for row, (window, bands, length) in enumerate(zip(fixed.windows, fixed.bands, TRANSFORMS, strict=True)):
        size = len(window)
        start = first_frame * HOP - size // 2
        stop = start + (n_frames - 1) * HOP + size
        inside = samples[max(start, 0) : max(stop, 0)]
        padded = np.pad(inside, (max(-start, 0), max(0, stop - max(start, 0) - len(inside))))
        framed = np.lib.stride_tricks.sliding_window_view(padded, size)[::HOP]
        scale = np.float32(4 / size)
        for at in range(0, n_frames, 256):  # a few megabytes at a time stay in the cache
            part = np.abs(np.fft.rfft(framed[at : at + 256] * window, length)).astype(np.float32)
            level = np.maximum(bands(part) * scale, FLOOR)
            out[row, at : at + 256] = np.log10(level) / 2 + 1.5
    return out
