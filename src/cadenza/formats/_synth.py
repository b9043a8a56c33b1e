"""The built-in synthesizer: a performance becomes blocks of stereo sound, in NumPy alone.

Each track's voices are summed over one block, pass its amplifier and its volume curve, and go to the mix and
to a common room. Nothing longer than a block is held, except the tones in their cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from cadenza.formats._drums import KIT, Kit, drum_of
from cadenza.formats._mixing import REVERB_SECONDS, Amplifier, Convolver, pan_gains, room
from cadenza.formats._performance import Curve, Part, Performance
from cadenza.formats._tones import MAX_TONE_SECONDS, Damping, Patch, Samples, ToneCache, loop_of, patch_of
from cadenza.score.model import Technique

BLOCK_SECONDS = 8.0
MAX_VOICES = 128
MAX_ONSETS = 100  # in each quarter of a second
_LEVEL, _DRUM_LEVEL = 0.12, 0.3
_LEAST_SECONDS = 0.04
_VIBRATO_HERTZ = 5.2


@dataclass
class _Voice:
    """One note being played; ``done`` and ``position`` say how far it has got."""

    part: int
    start: int
    hold: int  # samples until it is let go
    total: int  # samples until it is silent
    gain: float
    pitch: int
    velocity: int
    damping: Damping = "open"
    soft: bool = False
    curve: Curve | None = None
    done: int = 0
    position: float = 0.0


def _voices(performance: Performance, sample_rate: int) -> list[_Voice]:
    """All notes as voices by onset, at most :data:`MAX_VOICES` at once: the longest-sounding one yields."""
    voices: list[_Voice] = []
    for index, part in enumerate(performance.parts):
        make = _drum_voices if part.is_drums else _pitched_voices
        voices += make(index, part, sample_rate)
    voices = _thinned(voices, sample_rate // 4)
    voices.sort(key=lambda v: (v.start, v.part, v.pitch))
    ends: list[tuple[int, int]] = []
    oldest: deque[int] = deque()
    active: set[int] = set()
    for row, voice in enumerate(voices):
        while ends and ends[0][0] <= voice.start:
            active.discard(heappop(ends)[1])
        while len(active) >= MAX_VOICES:
            victim = oldest.popleft()
            if victim in active:
                active.discard(victim)
                _cut(voices[victim], voice.start, sample_rate)
        heappush(ends, (voice.start + voice.total, row))
        oldest.append(row)
        active.add(row)
    return [voice for voice in voices if voice.total > 0]


def _thinned(voices: list[_Voice], window_samples: int) -> list[_Voice]:
    """The loudest :data:`MAX_ONSETS` of each window: no ear hears more, and a stranger's file may hold a million."""
    window = np.array([v.start for v in voices], np.int64) // window_samples
    order = np.lexsort([-np.array([v.gain for v in voices]), window])
    held = window[order]
    rank = np.arange(len(order)) - np.searchsorted(held, held)
    return [voices[i] for i in order[rank < MAX_ONSETS]]


def _cut(voice: _Voice, at: int, sample_rate: int) -> None:
    """End a voice at sample ``at`` with a short fade; one that has just begun is left out."""
    fade = int(0.01 * sample_rate)
    if at - voice.start < fade:
        voice.total = 0
    elif at - voice.start < voice.total:
        voice.hold, voice.total = at - voice.start - fade, at - voice.start


def _pitched_voices(index: int, part: Part, sample_rate: int) -> list[_Voice]:
    patch = patch_of(part.program)
    voices = []
    release = int(patch.release_seconds * sample_rate)
    for note in part.notes:
        techniques = int(note["techniques"])
        damping: Damping = "open"
        if techniques & Technique.DEAD:
            damping = "dead"
        elif techniques & Technique.PALM_MUTE and not patch.sustained:
            damping = "mute"
        length = max(float(note["end_seconds"] - note["onset_seconds"]), _LEAST_SECONDS)
        hold = int(length * sample_rate)
        velocity = int(note["velocity"])
        curve = part.curves[int(note["curve"])] if note["curve"] >= 0 else None
        total = hold + release
        if not patch.sustained:
            total = min(total, int(MAX_TONE_SECONDS * sample_rate))
            hold = min(hold, max(1, total - release))
        if curve is None and patch.vibrato_cents and length > 0.35:
            curve = _natural_vibrato(patch, length + patch.release_seconds, int(note["pitch"]))
        gain = _LEVEL * (1.0 if patch.drive else patch.gain) * (velocity / 127) ** 1.6
        start = round(float(note["onset_seconds"]) * sample_rate)
        voices.append(
            _Voice(index, start, hold, total, gain, int(note["pitch"]), velocity, damping, bool(note["soft"]), curve)
        )
    return voices


def _natural_vibrato(patch: Patch, length: float, pitch: int) -> Curve:
    """The slow swing of a bow, a breath or a voice; each pitch swings a little differently."""
    length = min(length, 600.0)
    t = np.arange(0.0, length, 0.012)
    hertz = _VIBRATO_HERTZ + 0.11 * (pitch % 5 - 2)
    return t, patch.vibrato_cents * np.clip((t - 0.2) / 0.5, 0, 1) * np.sin(2 * np.pi * hertz * t)


def _drum_voices(index: int, part: Part, sample_rate: int) -> list[_Voice]:
    voices: list[_Voice] = []
    ringing: dict[int, _Voice] = {}
    for note in part.notes:
        key = drum_of(int(note["pitch"]))
        start = round(float(note["onset_seconds"]) * sample_rate)
        for other in [k for k in ringing if key in KIT[k].choked_by]:
            _cut(ringing.pop(other), start + int(0.01 * sample_rate), sample_rate)
        total = int(KIT[key].seconds * sample_rate)
        gain = _DRUM_LEVEL * KIT[key].gain * (int(note["velocity"]) / 127) ** 1.6
        voice = _Voice(index, start, total, total, gain, key, int(note["velocity"]))
        if KIT[key].choked_by:
            ringing[key] = voice
        voices.append(voice)
    return voices


def _interpolated(tone: Samples, position: NDArray[np.float64]) -> Samples:
    """The tone at fractional sample positions (Catmull–Rom, 4 points)."""
    last = len(tone) - 3
    position = np.clip(position, 0, last)
    whole = position.astype(np.int64)
    x = (position - whole).astype(np.float32)
    before, here = tone[np.maximum(whole - 1, 0)], tone[whole]
    after, later = tone[whole + 1], tone[whole + 2]
    a = np.float32(0.5) * (later - before) + np.float32(1.5) * (here - after)
    b = before - np.float32(2.5) * here + 2 * after - np.float32(0.5) * later
    c = np.float32(0.5) * (after - before)
    return ((a * x + b) * x + c) * x + here


class _Player:
    """Reads voices from tones."""

    def __init__(self, performance: Performance, sample_rate: int) -> None:
        self.parts, self.rate = performance.parts, sample_rate
        self.tones, self.kit = ToneCache(sample_rate), Kit(sample_rate)

    def next(self, voice: _Voice, n_samples: int) -> Samples:
        """The next ``n_samples`` (or what is left) of a pitched voice."""
        stop = min(voice.total, voice.done + n_samples)
        part = self.parts[voice.part]
        patch = patch_of(part.program)
        loop = loop_of(voice.pitch) * self.rate
        if voice.curve is None and (not patch.sustained or voice.total < MAX_TONE_SECONDS * self.rate):
            tone = self.tones.tone(part.program, voice.pitch, voice.velocity, voice.damping, voice.total)
            out = tone[voice.done : stop] * np.float32(voice.gain)
        else:
            at = np.arange(voice.done, stop) / self.rate
            if voice.curve is None:
                speed = np.ones(len(at))
            else:
                speed = np.exp2(np.interp(at, *voice.curve) / 1200)
            # Trapezoids: the phase is the integral of the speed, exact for slow curves.
            position = voice.position + np.cumsum(speed) - speed
            voice.position = float(position[-1] + speed[-1]) if len(position) else voice.position
            if patch.sustained:
                # Past the first loop (which holds the attack) the tone repeats.
                first = loop - 8  # the interpolation looks a little past the place where it reads
                position = np.where(position > first + loop, first + (position - first) % loop, position)
                need = int(position.max(initial=0)) + 8
            else:
                need = int(min(position.max(initial=0) + 16, MAX_TONE_SECONDS * self.rate))
            tone = self.tones.tone(part.program, voice.pitch, voice.velocity, voice.damping, need)
            out = _interpolated(tone, position) * np.float32(voice.gain)
        if voice.soft and voice.done == 0:
            rise = min(len(out), int(0.012 * self.rate))
            out[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
        if stop > voice.hold:
            first = max(voice.hold, voice.done)
            left = 1 - (np.arange(first, stop, dtype=np.float32) - voice.hold) / max(1, voice.total - voice.hold)
            out[first - voice.done :] *= left * left
        voice.done = stop
        return out


def _automatic_pans(parts: tuple[Part, ...]) -> list[float]:
    """Basses and drums in the middle, the others spread alternately; a lone instrument in the middle."""
    spread = [i for i, p in enumerate(parts) if not p.is_drums and not 32 <= p.program <= 39]
    pans = [0.0] * len(parts)
    for place, index in enumerate(spread):
        if len(spread) > 1:
            pans[index] = -0.55 + 1.1 * place / (len(spread) - 1)
    return [pan if part.pan is None else part.pan for pan, part in zip(pans, parts, strict=True)]


def _gain_curve(part: Part, start: int, n_samples: int, sample_rate: int) -> NDArray[np.float32] | None:
    times, factors = part.gain
    if not len(times):
        return None
    # Each step takes 8 ms, or it would click, and is over when the note that it is meant for begins.
    x = np.stack([times - 0.008, times], axis=1).reshape(-1)
    before = np.append(1.0 if times[0] > 0 else factors[0], factors[:-1])
    y = np.stack([before, factors], axis=1).reshape(-1)
    at = (start + np.arange(n_samples)) / sample_rate
    order = np.argsort(x, kind="stable")
    return np.interp(at, x[order], y[order]).astype(np.float32)


def stream(performance: Performance, sample_rate: int, reverb: float = 1.0) -> Iterator[Samples]:
    """Blocks of the mix, shape (2, n); their levels are for the master to set. ``reverb`` 0 is dry, 1 usual.

    The stream ends when the last voice and the room have died away, not before the piece's own end.
    """
    voices = _voices(performance, sample_rate)
    last = max((v.start + v.total for v in voices), default=0)
    end = int(performance.duration_seconds * sample_rate)
    if voices:
        end = max(end, last + int(REVERB_SECONDS * sample_rate) if reverb else last)
    block = max(1, min(int(BLOCK_SECONDS * sample_rate), end))
    player, hall = _Player(performance, sample_rate), Convolver(room(sample_rate), block)
    pans = _automatic_pans(performance.parts)
    amplifiers = {
        i: Amplifier(patch_of(p.program).drive, sample_rate, block)
        for i, p in enumerate(performance.parts)
        if not p.is_drums and patch_of(p.program).drive
    }
    sounding: list[_Voice] = []
    entered = 0
    for start in range(0, end, block):
        n = min(block, end - start)
        while entered < len(voices) and voices[entered].start < start + n:
            sounding.append(voices[entered])
            entered += 1
        mix, send = np.zeros((2, n), np.float32), np.zeros(n, np.float32)
        for index, part in enumerate(performance.parts):
            mine = [v for v in sounding if v.part == index]
            if part.is_drums:
                stereo = _drum_block(player, mine, start, n)
                wet = 0.1
            else:
                mono = np.zeros(n, np.float32)
                for voice in mine:
                    at = voice.start + voice.done - start
                    sound = player.next(voice, n - at)
                    mono[at : at + len(sound)] += sound
                if index in amplifiers:
                    level = np.float32(_LEVEL * patch_of(part.program).gain)
                    mono = amplifiers[index](mono / np.float32(_LEVEL)) * level
                stereo = mono * np.array(pan_gains(pans[index]), np.float32)[:, None]
                wet = 0.04 if 32 <= part.program <= 39 else 0.09 if index in amplifiers else 0.2
            curve = _gain_curve(part, start, n, sample_rate)
            if curve is not None:
                stereo = stereo * curve
            mix += stereo
            send += np.float32(reverb * wet) * stereo.sum(axis=0)
        sounding = [v for v in sounding if v.done < v.total]
        yield mix + hall(send)


def _drum_block(player: _Player, voices: list[_Voice], start: int, n_samples: int) -> Samples:
    out = np.zeros((2, n_samples), np.float32)
    for voice in voices:
        drum, sound = player.kit.sound(voice.pitch, voice.velocity)
        at = voice.start + voice.done - start
        stop = min(voice.total, voice.done + n_samples - at, len(sound))
        piece = sound[voice.done : stop] * np.float32(voice.gain)
        if stop > voice.hold:
            first = max(voice.hold, voice.done)
            piece[first - voice.done :] *= 1 - (np.arange(first, stop) - voice.hold) / (voice.total - voice.hold)
        out[:, at : at + len(piece)] += piece * np.array(pan_gains(drum.pan), np.float32)[:, None]
        voice.done = voice.total if stop == len(sound) else stop
    return out
