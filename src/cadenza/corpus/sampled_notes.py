"""Recorded notes (one sound file each, named by its pitch: ``A4.mp3``, ``Cs3.wav``) → a soundfont.

Each note is cut to where it begins, measured against the pitch that its name says and corrected by that, and serves the
keys nearer to it than to its neighbours. Nothing loops: a note that is held for longer than it was recorded ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.corpus.soundfonts import (
    INSTRUMENT,
    KEY_RANGE,
    RELEASE,
    SAMPLE_ID,
    Font,
    Instrument,
    Preset,
    Sample,
    Zone,
    key_range,
    timecents,
)
from cadenza.formats.audio_file import SUFFIXES, open_audio

RATE = 32_000
MAX_SECONDS, FADE_SECONDS = 9.0, 0.3
BEFORE_SECONDS = 0.005  # of what leads to a note's beginning
BEGINS = 0.03  # of the largest sample: where a note is there
MAX_CENTS = 60.0  # how far a note may be from its name to be corrected
RELEASE_SECONDS = 0.2
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

Floats = NDArray[np.float32]


def pitch_of(name: str) -> int | None:
    """The MIDI note of a file's name (``As3``, ``A#3``, ``Bb3``, ``C4`` = 60); None where it says none."""
    said = re.fullmatch(r"([A-G])([s#b]?)(-?\d)", name)
    if said is None:
        return None
    pitch = 12 * (int(said[3]) + 1) + _STEPS[said[1]] + {"s": 1, "#": 1, "b": -1, "": 0}[said[2]]
    return pitch if 0 <= pitch <= 127 else None


def cents_off(sound: Floats, pitch: int) -> float:
    """How many cents a note lies above ``pitch``, by its first five partials; 0 where none is near."""
    part = sound[RATE // 4 : RATE // 4 + RATE]
    if len(part) < RATE // 4:
        return 0.0
    length = 2 * RATE
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), length))
    found, weights = [], []
    for partial in range(1, 6):
        hertz = partial * 440 * 2 ** ((pitch - 69) / 12)
        low, high = (round(hertz * 2 ** (c / 1200) * length / RATE) for c in (-MAX_CENTS, MAX_CENTS))
        if low < 1 or high >= len(spectrum) - 1 or high <= low:
            continue
        at = low + int(spectrum[low : high + 1].argmax())
        before, peak, after = np.log(np.maximum(spectrum[at - 1 : at + 2], 1e-12))
        bent = before - 2 * peak + after
        place = at + (0.5 * (before - after) / bent if bent < 0 else 0.0)
        cents = 1200 * np.log2(place * RATE / length / hertz)
        if abs(cents) < MAX_CENTS - 5 and bent < 0:
            found.append(cents)
            weights.append(spectrum[at])
    if not found or max(weights) < 1e-3 * spectrum.max():
        return 0.0
    return float(np.average(found, weights=np.sqrt(weights)))


def trimmed(sound: Floats) -> Floats:
    """From where it begins, not longer than :data:`MAX_SECONDS`, at an even level, faded out at its end."""
    peak = float(np.abs(sound).max())
    if not peak:
        return sound[:0]
    start = max(0, int((np.abs(sound) > BEGINS * peak).argmax()) - round(BEFORE_SECONDS * RATE))
    out = sound[start : start + round(MAX_SECONDS * RATE)] * np.float32(0.7 / peak)
    fade = min(len(out), round(FADE_SECONDS * RATE))
    out[len(out) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return out


def notes_font(folders: Mapping[int, Path], name: str, comment: str) -> Font:
    """A font of recorded instruments.

    Args:
        folders: General MIDI program → a folder of its notes.
        comment: whose sounds they are and under which licence.

    Raises:
        FormatError: a folder holds no notes, or one that is no sound.
    """
    presets: list[Preset] = []
    instruments: list[Instrument] = []
    samples: list[Sample] = []
    for program, folder in sorted(folders.items()):
        files = {pitch_of(path.stem): path for path in sorted(folder.glob("*")) if path.suffix.lower()[1:] in SUFFIXES}
        pitches = sorted(pitch for pitch in files if pitch is not None)
        if not pitches:
            raise FormatError("sound files named by their pitch (A4.mp3)", "none", where=str(folder))
        edges = [0, *(-(-(a + b) // 2) for a, b in pairwise(pitches)), 128]
        zones = []
        for pitch, (low, high) in zip(pitches, pairwise(edges), strict=True):
            sound = np.concatenate(list(open_audio(files[pitch]).mono(RATE)))
            sound = trimmed(sound)
            data = np.rint(32767 * sound).astype("<i2").tobytes()
            correction = -round(cents_off(sound, pitch))
            zones.append(
                Zone((
                    (KEY_RANGE, key_range(low, high - 1)), (RELEASE, timecents(RELEASE_SECONDS)),
                    (SAMPLE_ID, len(samples)),
                ))
            )  # fmt: skip
            samples.append(Sample(f"{program}-{pitch}", data, 0, len(sound), RATE, pitch, correction))
        presets.append(Preset(folder.name[:20], 0, program, (Zone(((INSTRUMENT, len(instruments)),)),)))
        instruments.append(Instrument(folder.name[:20], tuple(zones)))
    return Font(name, comment, tuple(presets), tuple(instruments), tuple(samples))
