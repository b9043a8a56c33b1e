"""The built-in instruments: one short table of patches, and tones made of decaying sine waves.

Every pitched sound is a sum of partials a·exp(−d·t)·sin(2πft + φ). Splitting t into coarse and fine steps turns
the whole sum into one small matrix product, so that a tone of thirty partials costs about a millisecond a second.
Tones are made once per (patch, pitch, brightness, damping) and kept; a note is a slice of its tone, and a bent
note reads the tone at a moving speed, as a sampler does.

A struck or plucked tone dies away; a blown or bowed one is periodic and is looped where a note outlasts it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Damping = Literal["open", "mute", "dead"]

LOOP_SECONDS = 6.0
MAX_TONE_SECONDS = 12.0
_CACHE_BYTES = 64 << 20
_BRIGHTNESS = (0.5, 0.68, 0.85, 1.0)  # by velocity: a harder stroke has more overtones


@dataclass(frozen=True)
class Patch:
    """One instrument.

    Args:
        spectrum: (partial numbers from 1, their frequencies in Hz, brightness 0–1) → amplitudes.
        sustained: looped while the key is held; otherwise the tone dies away by itself.
        decay: (rate of every partial, extra rate of a partial at 1 kHz), 1/seconds; the extra grows with f^1.6.
        ratios: frequencies of the partials over the fundamental where they are not whole numbers.
        stiffness: inharmonicity B of a stiff string, f_k = k·f·√(1 + B·k²).
        detune: cents of the copies that make an ensemble.
        bloom_seconds: rise time of the upper partials (brass opens up).
        drive: gain into a distorting amplifier, after which ``gain`` applies; 0 = clean.
        noise: level of the stroke's or breath's noise.
    """

    spectrum: Callable[[NDArray[np.float64], NDArray[np.float64], float], NDArray[np.float64]]
    sustained: bool = False
    decay: tuple[float, float] = (1.0, 1.0)
    ratios: tuple[float, ...] = ()
    stiffness: float = 0.0
    detune: tuple[float, ...] = (0.0,)
    attack_seconds: float = 0.002
    bloom_seconds: float = 0.0
    release_seconds: float = 0.08
    vibrato_cents: float = 0.0
    drive: float = 0.0
    noise: float = 0.0
    gain: float = 1.0


# ── spectra ──────────────────────────────────────────────────────────────────────────────────────────────


def _plucked(place: float, slope: float = 1.0, softness_hertz: float = 4500.0):
    """A string plucked at ``place`` (fraction of its length): sin(πkp)/k, darker with less brightness."""

    def spectrum(k, f, bright):
        return np.sin(np.pi * k * place) / k**slope * np.exp(-f / (softness_hertz * bright))

    return spectrum


def _saw(slope: float, cutoff_hertz: float):
    def spectrum(k, f, bright):
        return k**-slope / (1 + (f / (cutoff_hertz * bright)) ** 4)

    return spectrum


def _odd(slope: float, cutoff_hertz: float, even: float):
    def spectrum(k, f, bright):
        return np.where(k % 2 == 1, 1.0, even) * k**-slope / (1 + (f / (cutoff_hertz * bright)) ** 4)

    return spectrum


def _formants(*peaks: tuple[float, float, float], slope: float = 1.0):
    """Harmonics under resonances (centre Hz, width Hz, level)."""

    def spectrum(k, f, bright):
        shape = sum(level * np.exp(-(((f - centre) / width) ** 2)) for centre, width, level in peaks)
        # The fundamental never vanishes: the ear (and a tuner) should hear the written pitch.
        return k**-slope * bright ** (0.15 * (k - 1)) * (shape + 0.06 + 0.5 * (k == 1))

    return spectrum


def _list(*levels: float):
    def spectrum(k, f, bright):
        out = np.zeros(len(k))
        out[: len(levels)] = levels[: len(k)]
        return out * bright ** (0.5 * (k - 1))

    return spectrum


def _hammered(k, f, bright):
    """A piano string struck at an eighth of its length by a felt hammer."""
    return (0.15 + np.abs(np.sin(np.pi * k / 8.2))) / k**0.9 * np.exp(-f / (2600.0 * bright**1.5))


# ── patches ──────────────────────────────────────────────────────────────────────────────────────────────

_PIANO = Patch(_hammered, decay=(0.55, 0.5), stiffness=3.5e-4, release_seconds=0.18, noise=0.05, gain=1.0)
_VOICE = _formants((650, 180, 1.0), (1080, 200, 0.55), (2650, 350, 0.16), (3400, 500, 0.08), slope=0.75)
_STRING = _saw(1.0, 3600)

# First program of each range → patch; a range runs to the next entry.
PATCHES: dict[int, Patch] = {
    0: _PIANO,
    4: Patch(_list(1, 0.32, 0.12, 0.1, 0.03, 0.04), decay=(0.8, 2.0), release_seconds=0.15, noise=0.02),  # electric
    6: Patch(_plucked(0.13, 0.6, 5000), decay=(1.2, 0.6), release_seconds=0.08, noise=0.05, gain=0.8),  # harpsichord
    8: Patch(_list(1, 0.35, 0.2), decay=(1.6, 0.9), ratios=(1, 4.0, 10.0), release_seconds=0.6, noise=0.04),
    11: Patch(_list(1, 0.3, 0.06), decay=(0.7, 1.0), ratios=(1, 4.0, 9.9), release_seconds=0.3),  # vibraphone
    12: Patch(_list(1, 0.4, 0.12), decay=(6.0, 4.0), ratios=(1, 3.93, 9.6), release_seconds=0.3, noise=0.1),
    14: Patch(_list(1, 0.7, 0.6, 0.4, 0.3), decay=(0.6, 0.4), ratios=(1, 2.0, 2.76, 4.1, 5.43), release_seconds=1.0),
    15: Patch(_plucked(0.18, 0.8), decay=(1.6, 1.0), detune=(-5, 5), release_seconds=0.3),  # dulcimer
    16: Patch(_list(1, 0.75, 0.55, 0.4, 0, 0.25, 0, 0.2), True, attack_seconds=0.008, release_seconds=0.05, gain=0.8),
    19: Patch(
        _list(1, 0.8, 0.5, 0.6, 0.2, 0.3, 0.1, 0.3),
        True,
        detune=(-2.5, 2.5),
        attack_seconds=0.05,
        release_seconds=0.25,
        gain=0.8,
    ),
    20: Patch(_saw(0.8, 2500), True, detune=(-6, 6), attack_seconds=0.03, release_seconds=0.07, gain=0.7),  # reeds
    24: Patch(_plucked(0.28, 1.2, 2200), decay=(1.3, 1.4), release_seconds=0.12, noise=0.04),  # nylon
    25: Patch(_plucked(0.2, 1.0, 4200), decay=(0.9, 0.9), release_seconds=0.12, noise=0.06),  # steel
    26: Patch(_plucked(0.33, 1.1, 2200), decay=(1.0, 1.2), release_seconds=0.08, noise=0.02),  # jazz
    27: Patch(_plucked(0.22, 1.0, 3800), decay=(0.8, 0.8), release_seconds=0.08, noise=0.03),  # clean
    28: Patch(_plucked(0.16, 1.0, 3000), decay=(11.0, 5.0), release_seconds=0.05, noise=0.08),  # muted
    29: Patch(
        _plucked(0.14, 0.9, 4500), decay=(0.5, 0.5), release_seconds=0.05, drive=5.0, noise=0.05, gain=1.15
    ),  # overdriven
    30: Patch(_plucked(0.12, 0.9, 5200), decay=(0.45, 0.4), release_seconds=0.04, drive=16.0, noise=0.06, gain=0.95),
    31: Patch(_list(1, 0.2, 0.05), decay=(1.0, 1.0), release_seconds=0.3),  # harmonics
    32: Patch(_plucked(0.3, 1.25, 1300), decay=(1.5, 3.0), release_seconds=0.08, noise=0.05, gain=1.25),  # upright
    33: Patch(_plucked(0.22, 1.0, 1900), decay=(0.8, 1.8), release_seconds=0.07, noise=0.03, gain=1.2),  # fingered
    34: Patch(_plucked(0.15, 0.9, 3200), decay=(0.7, 1.3), release_seconds=0.06, noise=0.09, gain=1.1),  # picked
    35: Patch(_plucked(0.3, 1.0, 1500), decay=(0.9, 2.0), release_seconds=0.09, gain=1.2),  # fretless
    36: Patch(_plucked(0.1, 0.8, 4200), decay=(1.5, 1.8), release_seconds=0.05, noise=0.12, gain=1.1),  # slap
    38: Patch(_saw(0.9, 900), decay=(1.2, 4.0), detune=(-4, 4), release_seconds=0.06, gain=1.1),  # synth bass
    40: Patch(
        _STRING, True, attack_seconds=0.07, bloom_seconds=0.12, release_seconds=0.14, vibrato_cents=12, noise=0.02
    ),
    42: Patch(
        _saw(1.05, 2600),
        True,
        attack_seconds=0.08,
        bloom_seconds=0.12,
        release_seconds=0.16,
        vibrato_cents=10,
        noise=0.02,
    ),
    44: Patch(_STRING, True, detune=(-8, 0, 8), attack_seconds=0.06, release_seconds=0.2),  # tremolo
    45: Patch(_plucked(0.3, 1.1, 2400), decay=(5.0, 4.0), release_seconds=0.12, noise=0.06),  # pizzicato
    46: Patch(_plucked(0.3, 1.2, 3000), decay=(1.1, 1.2), release_seconds=0.6, noise=0.02),  # harp
    47: Patch(_list(1, 0.6, 0.4, 0.25), decay=(2.5, 8.0), ratios=(1, 1.5, 1.98, 2.44), release_seconds=0.5, noise=0.1),
    48: Patch(
        _STRING, True, detune=(-9, -3, 4, 10), attack_seconds=0.11, bloom_seconds=0.2, release_seconds=0.3, gain=0.9
    ),
    52: Patch(
        _VOICE, True, detune=(-8, -2, 3, 9), attack_seconds=0.1, release_seconds=0.28, vibrato_cents=7, noise=0.03
    ),
    55: Patch(_saw(0.8, 4000), decay=(3.0, 2.0), detune=(-9, 0, 9), release_seconds=0.3, noise=0.1),  # orchestra hit
    56: Patch(
        _formants((1300, 900, 1.0), (2600, 900, 0.4), slope=0.55),
        True,
        attack_seconds=0.03,
        bloom_seconds=0.07,
        release_seconds=0.09,
        vibrato_cents=5,
        gain=0.8,
    ),
    57: Patch(
        _formants((520, 500, 1.0), (1400, 700, 0.4), slope=0.7),
        True,
        attack_seconds=0.045,
        bloom_seconds=0.09,
        release_seconds=0.1,
        gain=0.9,
    ),
    61: Patch(
        _formants((900, 800, 1.0), (2200, 900, 0.4), slope=0.6),
        True,
        detune=(-7, 1, 8),
        attack_seconds=0.04,
        bloom_seconds=0.08,
        release_seconds=0.12,
        gain=0.8,
    ),
    64: Patch(
        _formants((700, 450, 1.0), (1700, 800, 0.5), slope=0.7),
        True,
        attack_seconds=0.03,
        release_seconds=0.08,
        vibrato_cents=11,
        noise=0.04,
        gain=0.8,
    ),
    68: Patch(
        _formants((1150, 450, 1.0), (2900, 700, 0.35), slope=0.6),
        True,
        attack_seconds=0.03,
        release_seconds=0.07,
        vibrato_cents=8,
        gain=0.75,
    ),
    70: Patch(_formants((480, 300, 1.0), (1150, 400, 0.4), slope=0.8), True, attack_seconds=0.03, release_seconds=0.08),
    71: Patch(_odd(0.95, 2600, 0.12), True, attack_seconds=0.035, release_seconds=0.08, gain=0.85),  # clarinet
    72: Patch(
        _list(1, 0.3, 0.14, 0.05, 0.02),
        True,
        attack_seconds=0.05,
        release_seconds=0.1,
        vibrato_cents=9,
        noise=0.09,
        gain=0.9,
    ),
    80: Patch(_odd(1.0, 5000, 0.0), True, attack_seconds=0.004, release_seconds=0.06, gain=0.6),  # square
    81: Patch(_saw(1.0, 5000), True, detune=(-6, 6), attack_seconds=0.004, release_seconds=0.08, gain=0.6),
    88: Patch(_saw(1.2, 1800), True, detune=(-10, -3, 4, 11), attack_seconds=0.3, release_seconds=0.8, gain=0.7),
    96: Patch(_saw(1.3, 1500), True, detune=(-12, 0, 12), attack_seconds=0.2, release_seconds=0.9, gain=0.6),
    104: Patch(_plucked(0.08, 0.7, 4000), decay=(1.5, 0.8), release_seconds=0.3, noise=0.05, gain=0.8),  # sitar …
    105: Patch(_plucked(0.12, 0.8, 4500), decay=(3.5, 1.5), release_seconds=0.1, noise=0.08, gain=0.9),
    108: Patch(_list(1, 0.4, 0.2), decay=(4.0, 3.0), ratios=(1, 2.8, 5.4), release_seconds=0.3, noise=0.06),
    109: Patch(_odd(0.6, 3200, 0.7), True, attack_seconds=0.03, release_seconds=0.06, gain=0.7),
    110: Patch(_STRING, True, attack_seconds=0.05, release_seconds=0.1, vibrato_cents=12),
    111: Patch(_formants((1150, 450, 1.0), (2900, 700, 0.4), slope=0.6), True, attack_seconds=0.03, gain=0.75),
    112: Patch(_list(1, 0.6, 0.4), decay=(3.0, 1.0), ratios=(1, 2.76, 5.4), release_seconds=0.5),
    114: Patch(_list(1, 0.7, 0.35, 0.15), decay=(2.2, 1.6), ratios=(1, 2.0, 3.0, 4.1), release_seconds=0.2),
    115: Patch(_list(1, 0.4), decay=(22.0, 8.0), ratios=(1, 2.9), release_seconds=0.2, noise=0.2),
    116: Patch(_list(1, 0.5, 0.3), decay=(5.0, 14.0), ratios=(1, 1.59, 2.14), release_seconds=0.4, noise=0.15),
    119: Patch(_saw(1.0, 3000), True, attack_seconds=0.6, release_seconds=0.1, noise=0.6, gain=0.4),
}
_STARTS = np.array(sorted(PATCHES))


def patch_of(program: int) -> Patch:
    """The patch of a General MIDI program (0–127)."""
    return PATCHES[int(_STARTS[np.searchsorted(_STARTS, program, side="right") - 1])]


# ── tones ────────────────────────────────────────────────────────────────────────────────────────────────


def partials(
    frequencies: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    decays: NDArray[np.float64],
    phases: NDArray[np.float64],
    n_samples: int,
    sample_rate: int,
) -> Samples:
    """Σ a·exp(−d·t)·sin(2πft + φ), shape (n_samples,); the four arrays are shape (K,).

    With t = coarse + fine each exponential is a product, so the sum over K is a matrix product of
    (coarse steps, 2K) by (2K, fine steps).
    """
    fine_n = max(1, int(np.sqrt(n_samples)))
    coarse_n = -(-n_samples // fine_n)
    rate = (-decays + 2j * np.pi * frequencies) / sample_rate
    coarse = np.exp(np.outer(np.arange(coarse_n) * fine_n, rate)) * (amplitudes * np.exp(1j * phases))
    fine = np.exp(np.outer(rate, np.arange(fine_n)))
    left = np.concatenate([coarse.imag, coarse.real], axis=1).astype(np.float32)
    right = np.concatenate([fine.real, fine.imag]).astype(np.float32)
    return np.asarray((left @ right).reshape(-1)[:n_samples], np.float32)


@lru_cache(maxsize=64)
def shaped_noise(
    n_samples: int, sample_rate: int, low_hertz: float, high_hertz: float, seed: int, slope: float = 0.0
) -> Samples:
    """Noise of unit RMS between two frequencies, shape (n_samples,), read-only, kept for the next time.

    ``slope`` tilts it by f^slope. With a power of two of samples it is periodic.
    """
    size = max(64, 1 << int(np.ceil(np.log2(max(n_samples, 2)))))
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    f = np.fft.rfftfreq(size, 1 / sample_rate)
    low = (f / max(low_hertz, 1.0)) ** 4
    spectrum *= low / (1 + low) / (1 + (f / high_hertz) ** 6) * np.maximum(f / 1000, 0.02) ** slope
    noise = np.fft.irfft(spectrum, size)
    out: Samples = (noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9))[:n_samples].astype(np.float32)
    out.setflags(write=False)
    return out


def frequency_of(pitch: int) -> float:
    """Hz of a MIDI note number in equal temperament, A4 = 440 Hz."""
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


def loop_of(pitch: int) -> float:
    """Seconds after which a sustained tone of ``pitch`` repeats: whole periods, at most :data:`LOOP_SECONDS`."""
    frequency = frequency_of(pitch)
    return max(1, int(LOOP_SECONDS * frequency)) / frequency


def brightness_layer(velocity: int) -> int:
    """Which of the four brightness layers a velocity plays."""
    return min(len(_BRIGHTNESS) - 1, velocity * len(_BRIGHTNESS) // 128)


def make_tone(patch: Patch, pitch: int, layer: int, damping: Damping, n_samples: int, sample_rate: int) -> Samples:
    """One tone, shape (n_samples,), about unit RMS at its loudest."""
    fundamental, bright = frequency_of(pitch), _BRIGHTNESS[layer]
    ceiling = min(0.45 * sample_rate, 14_000.0)
    most = 10 if damping == "mute" and not patch.drive else 48
    k = np.arange(1.0, min(most, max(1.0, ceiling // fundamental)) + 1)
    if patch.ratios:
        k = np.arange(1.0, len(patch.ratios) + 1)
        frequency = fundamental * np.array(patch.ratios)
    else:
        frequency = fundamental * k * np.sqrt(1 + patch.stiffness * k**2)
        frequency *= fundamental / frequency[0]  # the written pitch is that of the first partial
    amplitude = patch.spectrum(k, frequency, bright) * (frequency < ceiling)
    # The first partial carries the pitch even above the ceiling of the others.
    amplitude[0] = amplitude[0] or 1.0
    amplitude /= np.sqrt(np.sum(amplitude**2) / 2)
    if patch.sustained:
        tone = _sustained(patch, pitch, frequency, amplitude, n_samples, sample_rate)
    else:
        tone = _dying(patch, fundamental, frequency, amplitude, damping, n_samples, sample_rate)
    rise = min(n_samples, max(2, int(patch.attack_seconds * sample_rate)))
    tone[:rise] *= np.sin(np.linspace(0, np.pi / 2, rise, dtype=np.float32)) ** 2
    return tone


def _scattered(n: int) -> NDArray[np.float64]:
    """Phases that never line up: steps of the golden section."""
    return 2 * np.pi * ((np.arange(n, dtype=np.float64) * 0.618034) % 1)


def _dying(patch, fundamental, frequency, amplitude, damping, n_samples, sample_rate):  # type: ignore[no-untyped-def]
    # High strings die sooner: the loss of a string grows with its frequency.
    decay = patch.decay[0] * (fundamental / 130.0) ** 0.6 + patch.decay[1] * (frequency / 1000.0) ** 1.6
    if damping == "mute":
        decay = decay + 7.0 + 22.0 * (frequency / 1000.0)
        amplitude = amplitude * np.exp(-frequency / 1600.0) * 1.25
    elif damping == "dead":
        decay = decay + 45.0
        amplitude = amplitude * np.exp(-frequency / 900.0)
    rows = [(frequency, amplitude, decay)]
    if patch is _PIANO:
        # Two-stage decay: the hammer's vertical motion dies fast, the horizontal one lingers.
        rows = [(frequency, 0.72 * amplitude, 3.2 * decay), (frequency * 1.0004, 0.34 * amplitude, 0.7 * decay)]
    elif len(patch.detune) > 1:
        share = 1 / np.sqrt(len(patch.detune))
        rows = [(frequency * 2 ** (cents / 1200), amplitude * share, decay) for cents in patch.detune]
    f, a, d = (np.concatenate(column) for column in zip(*rows, strict=True))
    # A hammer sets all partials off at once, but a soundboard scatters their phases.
    phases = _scattered(len(f)) if patch is _PIANO else np.zeros(len(f))
    tone = partials(f, a, d, phases, n_samples, sample_rate)
    if patch.noise or damping == "dead":
        n = min(n_samples, int(0.06 * sample_rate))
        level = patch.noise * (1.2 if damping == "mute" else 1.0) + (0.5 if damping == "dead" else 0.0)
        high = 2500.0 if damping == "dead" else 5000.0
        fade = np.exp(-np.arange(n, dtype=np.float32) / (0.008 * sample_rate))
        tone[:n] += level * fade * shaped_noise(n, sample_rate, 250.0, high, seed=11)
    return tone


def _sustained(
    patch: Patch,
    pitch: int,
    frequency: NDArray[np.float64],
    amplitude: NDArray[np.float64],
    n_samples: int,
    sample_rate: int,
) -> Samples:
    loop = loop_of(pitch)
    phases = _scattered(len(frequency))
    tone = np.zeros(n_samples, np.float32)
    zero = np.zeros(len(frequency))
    share = 1 / np.sqrt(len(patch.detune))
    groups = [(slice(None), 0.0)]
    if patch.bloom_seconds:
        groups = [(slice(0, 3), 0.0), (slice(3, None), patch.bloom_seconds)]
    for rows, rise_seconds in groups:
        part = np.zeros(n_samples, np.float32)
        for copy, cents in enumerate(patch.detune):
            # Whole periods in the loop, so that it joins without a click.
            f = np.rint(frequency[rows] * 2 ** (cents / 1200) * loop) / loop
            part += partials(f, amplitude[rows] * share, zero[rows], phases[rows] + 1.7 * copy, n_samples, sample_rate)
        rise = min(n_samples, int(rise_seconds * sample_rate))
        if rise:
            part[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
        tone += part
    if patch.noise:
        # Breath: periodic in itself, so that it never clicks.
        breath = shaped_noise(1 << 17, sample_rate, 400.0, 5000.0, seed=12)
        tone += np.float32(patch.noise * 0.6) * np.resize(breath, n_samples)
    return tone


class ToneCache:
    """Tones made so far, least recently used out first."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._tones: OrderedDict[tuple[int, int, int, Damping], Samples] = OrderedDict()
        self._bytes = 0

    def tone(self, program: int, pitch: int, velocity: int, damping: Damping, n_samples: int) -> Samples:
        """A tone of at least ``n_samples`` (or of the greatest length that is made), shape (n,)."""
        longest = int(MAX_TONE_SECONDS * self.sample_rate)
        key = (
            int(_STARTS[np.searchsorted(_STARTS, program, side="right") - 1]),
            pitch,
            brightness_layer(velocity),
            damping,
        )
        held = self._tones.pop(key, None)
        if held is None or len(held) < min(n_samples, longest):
            if held is not None:
                self._bytes -= held.nbytes
            length = int(0.75 * self.sample_rate)
            while length < n_samples and length < longest:
                length *= 2
            held = make_tone(PATCHES[key[0]], pitch, key[2], damping, min(length, longest), self.sample_rate)
            self._bytes += held.nbytes
        self._tones[key] = held
        while self._bytes > _CACHE_BYTES and len(self._tones) > 1:
            self._bytes -= self._tones.popitem(last=False)[1].nbytes
        return held
