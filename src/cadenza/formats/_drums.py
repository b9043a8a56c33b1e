"""The built-in drum kit: General MIDI percussion keys as swept sines, modes and shaped noise.

One record a sound; keys that the table lacks play the nearest relative. Sounds are mono, placed by ``pan`` as
the audience sees the kit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cadenza.formats._tones import Samples, partials, shaped_noise


@dataclass(frozen=True)
class Drum:
    """One sound of the kit; ``choked_by`` lists the keys that stop it (a closing hi-hat)."""

    make: Callable[[int, float], Samples]  # (sample rate, hardness 0–1) → about unit peak
    seconds: float
    pan: float = 0.0
    gain: float = 1.0
    choked_by: tuple[int, ...] = ()


def _times(seconds: float, sample_rate: int) -> Samples:
    return np.arange(int(seconds * sample_rate), dtype=np.float32) / np.float32(sample_rate)


def _swept(t: Samples, start_hertz: float, stop_hertz: float, fall_seconds: float) -> Samples:
    """A sine whose frequency falls exponentially; the phase is the integral in closed form."""
    x = t.astype(np.float64)
    phase = stop_hertz * x + (start_hertz - stop_hertz) * fall_seconds * (1 - np.exp(-x / fall_seconds))
    return np.sin(2 * np.pi * phase).astype(np.float32)


def _kick(rate: int, hard: float) -> Samples:
    t = _times(0.45, rate)
    body = _swept(t, 170, 47, 0.032) * np.exp(-t / 0.13)
    knock = _swept(t, 900, 120, 0.006) * np.exp(-t / 0.012)
    beater = shaped_noise(len(t), rate, 1800, 6500, seed=1) * np.exp(-t / 0.0045)
    return np.tanh(1.6 * (body + 0.35 * hard * knock + 0.16 * hard * beater)).astype(np.float32)


def _snare(rate: int, hard: float) -> Samples:
    t = _times(0.32, rate)
    shell = _swept(t, 260, 186, 0.02) * np.exp(-t / 0.075) + 0.45 * np.sin(2 * np.pi * 332 * t) * np.exp(-t / 0.045)
    wires = shaped_noise(len(t), rate, 900, 9500, seed=2) * (0.75 * np.exp(-t / 0.075) + 0.25 * np.exp(-t / 0.02))
    stick = shaped_noise(len(t), rate, 2500, 9000, seed=3) * np.exp(-t / 0.003)
    return np.tanh(0.95 * shell + 0.42 * wires + 0.3 * hard * stick).astype(np.float32)


def _rim(rate: int, hard: float) -> Samples:
    t = _times(0.09, rate)
    wood = np.sin(2 * np.pi * 1720 * t) * np.exp(-t / 0.009) + 0.7 * np.sin(2 * np.pi * 560 * t) * np.exp(-t / 0.014)
    return (0.7 * wood + 0.15 * shaped_noise(len(t), rate, 2000, 9000, seed=4) * np.exp(-t / 0.004)).astype(np.float32)


def _clap(rate: int, hard: float) -> Samples:
    t = _times(0.3, rate)
    hands = sum(np.where(t >= d, np.exp(-(t - d) / w), 0) for d, w in ((0, 0.006), (0.011, 0.006), (0.022, 0.07)))
    return (0.32 * shaped_noise(len(t), rate, 700, 5000, seed=5) * hands).astype(np.float32)


def _tom(hertz: float) -> Callable[[int, float], Samples]:
    def make(rate: int, hard: float) -> Samples:
        t = _times(0.7, rate)
        fall = 0.24 * (100 / hertz) ** 0.4
        body = _swept(t, 1.55 * hertz, hertz, 0.04) * np.exp(-t / fall)
        over = 0.3 * _swept(t, 2.6 * hertz, 1.59 * hertz, 0.03) * np.exp(-t / (0.4 * fall))
        skin = shaped_noise(len(t), rate, 600, 5000, seed=6) * np.exp(-t / 0.006)
        return np.tanh(1.2 * (body + over + 0.12 * hard * skin)).astype(np.float32)

    return make


def _metal(
    seconds: float, fall: float, low: float, high: float, seed: int, ring: float = 0.5, wash: float = 0.5
) -> Callable[[int, float], Samples]:
    """A cymbal: many modes spread over ``low``–``high`` Hz, the high ones dying first, and a wash of noise."""

    def make(rate: int, hard: float) -> Samples:
        t = _times(seconds, rate)
        random = np.random.default_rng(seed)
        f = low * (min(high, 0.45 * rate) / low) ** random.random(90)
        decay = (1 / fall) * (0.35 + (f / 6000) ** 0.9)
        level = random.random(90) * (f / low) ** -0.15
        modes = partials(f, level, decay, 2 * np.pi * random.random(90), len(t), rate)
        modes /= max(float(np.sqrt(np.mean(modes[: rate // 20] ** 2))), 1e-9)
        bright = shaped_noise(len(t), rate, max(low, 3500), min(high, 14000), seed=seed + 1)
        # The wash swells for some milliseconds before it falls, as a struck plate does.
        hiss = bright * (np.exp(-t / (0.55 * fall)) - 0.6 * np.exp(-t / 0.012))
        stick = bright * np.exp(-t / 0.0025)
        out = 0.3 * (ring * modes + wash * hiss + 0.5 * hard * stick)
        edge = min(len(out), rate // 50)
        out[-edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
        return out.astype(np.float32)

    return make


def _modes(frequencies: tuple[float, ...], fall: float, noise: float = 0.0) -> Callable[[int, float], Samples]:
    def make(rate: int, hard: float) -> Samples:
        t = _times(min(1.5, 6 * fall), rate)
        f = np.array(frequencies)
        tone = partials(f, 0.6 / np.arange(1, len(f) + 1), np.full(len(f), 1 / fall), np.zeros(len(f)), len(t), rate)
        return tone + noise * shaped_noise(len(t), rate, 1500, 8000, seed=7) * np.exp(-t / 0.01).astype(np.float32)

    return make


def _shaker(fall: float, low: float) -> Callable[[int, float], Samples]:
    def make(rate: int, hard: float) -> Samples:
        t = _times(8 * fall, rate)
        shake = np.exp(-t / fall) - np.exp(-t / (0.15 * fall))
        return (0.35 * shaped_noise(len(t), rate, low, 12000, seed=8) * shake).astype(np.float32)

    return make


_HAT = (7000, 13000)
KIT: dict[int, Drum] = {
    35: Drum(_kick, 0.45, 0.0, 1.0),
    36: Drum(_kick, 0.45, 0.0, 1.0),
    37: Drum(_rim, 0.09, -0.05, 0.6),
    38: Drum(_snare, 0.32, -0.05, 0.85),
    39: Drum(_clap, 0.3, 0.1, 0.8),
    40: Drum(_snare, 0.32, -0.05, 0.9),
    41: Drum(_tom(72), 0.7, -0.5, 0.8),
    42: Drum(_metal(0.12, 0.028, 5200, 13500, 21, 0.45, 0.75), 0.12, 0.35, 0.5),
    43: Drum(_tom(86), 0.7, -0.4, 0.8),
    44: Drum(_metal(0.1, 0.02, 4800, 12500, 23, 0.4, 0.6), 0.1, 0.35, 0.36),
    45: Drum(_tom(104), 0.7, -0.2, 0.75),
    46: Drum(_metal(0.9, 0.24, 4600, 13500, 25, 0.45, 0.7), 0.9, 0.35, 0.5, (42, 44)),
    47: Drum(_tom(124), 0.7, 0.0, 0.75),
    48: Drum(_tom(148), 0.7, 0.15, 0.7),
    49: Drum(_metal(2.6, 0.85, 900, 13500, 27, 0.5, 0.8), 2.6, -0.45, 0.62),
    50: Drum(_tom(176), 0.7, 0.3, 0.7),
    51: Drum(_metal(1.8, 0.6, 2400, 11000, 29, 0.55, 0.22), 1.8, -0.35, 0.42),
    52: Drum(_metal(2.0, 0.5, 600, 12000, 31, 0.7, 0.9), 2.0, -0.5, 0.6),
    53: Drum(_modes((3150, 4730, 6320, 8010), 0.3, 0.1), 1.5, -0.35, 0.3),
    54: Drum(_metal(0.3, 0.09, 6000, 13000, 33, 0.6, 0.4), 0.3, 0.2, 0.45),
    55: Drum(_metal(1.1, 0.3, 1800, 13500, 35, 0.5, 0.8), 1.1, -0.15, 0.55),
    56: Drum(_modes((562, 845, 1690), 0.07), 0.42, 0.2, 0.5),
    57: Drum(_metal(2.4, 0.75, 1050, 13500, 37, 0.5, 0.8), 2.4, 0.5, 0.62),
    59: Drum(_metal(1.8, 0.55, 2600, 11500, 39, 0.55, 0.25), 1.8, 0.4, 0.42),
    60: Drum(_tom(330), 0.7, 0.3, 0.5),
    61: Drum(_tom(220), 0.7, 0.3, 0.55),
    62: Drum(_modes((340, 610), 0.03, 0.15), 0.18, -0.3, 0.6),
    63: Drum(_tom(240), 0.7, -0.3, 0.55),
    64: Drum(_tom(165), 0.7, -0.3, 0.6),
    65: Drum(_modes((480, 760, 1130), 0.1, 0.15), 0.6, 0.4, 0.5),
    66: Drum(_modes((320, 505, 760), 0.12, 0.15), 0.72, 0.4, 0.5),
    67: Drum(_modes((935, 1410, 2820), 0.12), 0.72, -0.4, 0.4),
    68: Drum(_modes((670, 1010, 2020), 0.13), 0.78, -0.4, 0.4),
    69: Drum(_shaker(0.03, 4500), 0.24, 0.4, 0.6),
    70: Drum(_shaker(0.02, 6000), 0.16, -0.4, 0.6),
    75: Drum(_modes((2480, 5020), 0.025), 0.15, 0.2, 0.6),
    76: Drum(_modes((1180, 2900), 0.03), 0.18, 0.25, 0.6),
    77: Drum(_modes((850, 2100), 0.035), 0.21, 0.25, 0.6),
    80: Drum(_modes((5120, 7800), 0.03), 0.18, 0.3, 0.4),
    81: Drum(_modes((5120, 7800), 0.5), 1.5, 0.3, 0.35, (80,)),
}
_KEYS = np.array(sorted(KIT))


def drum_of(pitch: int) -> int:
    """The key of the kit that plays ``pitch``: itself, else the nearest one."""
    return pitch if pitch in KIT else int(_KEYS[np.argmin(np.abs(_KEYS - pitch))])


class Kit:
    """The kit's sounds at one sample rate, made as they are needed."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._sounds: dict[tuple[int, int], Samples] = {}

    def sound(self, pitch: int, velocity: int) -> tuple[Drum, Samples]:
        """The record and the samples (shape (n,)) of a key struck with ``velocity``."""
        key, layer = drum_of(pitch), min(3, velocity // 32)
        if (key, layer) not in self._sounds:
            self._sounds[key, layer] = KIT[key].make(self.sample_rate, (layer + 1) / 4)
        return KIT[key], self._sounds[key, layer]
