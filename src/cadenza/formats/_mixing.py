"""Filters, amplifier, room and master of the built-in synthesizer; everything works block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cadenza.formats._tones import Samples, shaped_noise

REVERB_SECONDS = 1.3
_BIAS = np.float32(0.12)  # moves the clipper off its centre, which adds even overtones


def pan_gains(pan: float) -> tuple[float, float]:
    """(left, right) factors of equal power for a place from −1 to 1."""
    angle = (pan + 1) * np.pi / 4
    return float(np.cos(angle)), float(np.sin(angle))


def minimum_phase(gains: NDArray[np.float64], n_taps: int) -> NDArray[np.float64]:
    """The causal filter, shape (n_taps,), with these gains at the bins of a real FFT (folded cepstrum)."""
    size = 2 * (len(gains) - 1)
    cepstrum = np.fft.irfft(np.log(np.maximum(gains, 1e-5)), size)
    fold = np.zeros(size)
    fold[0], fold[1 : size // 2], fold[size // 2] = 1, 2, 1
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum * fold)), size)[:n_taps]
    taps[-n_taps // 4 :] *= np.linspace(1, 0, len(taps[-n_taps // 4 :]))
    return taps


def equaliser(points: Sequence[tuple[float, float]], sample_rate: int, n_taps: int = 1024) -> NDArray[np.float64]:
    """A filter through (Hz, decibel) points, interpolated over the logarithm of frequency."""
    f = np.fft.rfftfreq(4 * n_taps, 1 / sample_rate)
    hertz, decibels = zip(*points, strict=True)
    return minimum_phase(10 ** (np.interp(np.log(np.maximum(f, 1)), np.log(hertz), decibels) / 20), n_taps)


class Convolver:
    """Convolution of a running signal with fixed responses, shape (channels, length), by overlap and add."""

    def __init__(self, responses: NDArray[np.float64], block_samples: int) -> None:
        self._length = responses.shape[1]
        self._size = 1 << int(np.ceil(np.log2(block_samples + self._length)))
        self._spectra = np.fft.rfft(responses.astype(np.float32), self._size)
        self._tail = np.zeros((len(responses), self._length), np.float32)

    def __call__(self, block: Samples) -> Samples:
        """The next stretch, shape (channels, n), for the next (n,) samples of the signal."""
        n = len(block)
        full = np.fft.irfft(np.fft.rfft(block, self._size) * self._spectra, self._size).astype(np.float32)
        full[:, : self._length] += self._tail
        self._tail = full[:, n : n + self._length].copy()
        return full[:, :n]


class Amplifier:
    """A distorting guitar amplifier: tight bass, soft clipping, loudspeaker.

    The clipper is x/√(1+x²). Averaging it exactly between neighbouring samples (antiderivative antialiasing,
    Parker et al., DAFx 2016) keeps the clipping's overtones from folding back; for this curve the average is
    (x₀ + x₁)/(√(1+x₀²) + √(1+x₁²)), free of divisions by small numbers.
    """

    def __init__(self, drive: float, sample_rate: int, block_samples: int) -> None:
        self._drive = drive
        pre = equaliser(
            [(20, -30), (60, -14), (110, -4), (200, 0), (700, 3), (1500, 3), (6000, 0), (20000, -12)], sample_rate
        )
        cabinet = equaliser(
            [
                (20, -40),
                (60, -14),
                (85, 0),
                (120, 3),
                (200, 0.5),
                (400, -3),
                (800, -1),
                (1800, 2),
                (2800, 4.5),
                (4000, 1),
                (5200, -9),
                (7000, -26),
                (10000, -44),
                (20000, -70),
            ],
            sample_rate,
        )
        self._pre = Convolver(pre[None], block_samples)
        self._cabinet = Convolver(cabinet[None], block_samples)
        self._last = np.full(1, _BIAS, np.float32)

    def __call__(self, block: Samples) -> Samples:
        """Shape (n,) → (n,)."""
        x = self._pre(block)[0] * np.float32(self._drive) + _BIAS
        x = np.concatenate([self._last, x])
        self._last = x[-1:].copy()
        root = np.sqrt(1 + x * x)
        clipped = (x[1:] + x[:-1]) / (root[1:] + root[:-1])
        return self._cabinet(clipped - _BIAS / np.sqrt(1 + _BIAS * _BIAS))[0]


def room(sample_rate: int) -> NDArray[np.float64]:
    """The impulse responses of a small hall, shape (2, n), unit energy: decaying noise, darker as it fades."""
    n = int(REVERB_SECONDS * sample_rate)
    t = np.arange(n) / sample_rate
    out = np.zeros((2, n))
    for side in range(2):
        for low, high, fall in ((120, 900, 0.3), (900, 3000, 0.24), (3000, 9000, 0.14)):
            out[side] += shaped_noise(n, sample_rate, low, high, seed=100 + side + int(low)) * np.exp(-t / fall)
    delay = int(0.012 * sample_rate)
    out[:, delay:] = out[:, :-delay].copy()
    out[:, :delay] = 0
    out[:, -n // 8 :] *= np.linspace(1, 0, n // 8 + (n % 8 > 0))[-len(out[0, -n // 8 :]) :]
    return out / np.sqrt((out**2).sum(axis=1, keepdims=True))


def master_gain(peak: float, mean_square: float) -> float:
    """The factor that brings a mix to a common loudness: −16 dB RMS, peaks at most 3 dB into the limiter."""
    if peak <= 1e-6:
        return 0.0
    return min(0.16 / max(np.sqrt(mean_square), 1e-9), 1.25 / peak)


def limited(block: Samples) -> Samples:
    """A soft limiter: unchanged to ±0.7, then bending towards ±0.98, which it never passes."""
    size = np.abs(block)
    over = np.maximum(size - np.float32(0.7), 0)
    bent = np.float32(0.7) + over / (1 + over / np.float32(0.28))
    return np.where(size > 0.7, np.copysign(bent, block), block).astype(np.float32)
