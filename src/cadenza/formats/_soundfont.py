"""Playing through tinysoundfont where it and a soundfont are there.

A track has one channel, and one more for each bent note that sounds while another does, so that a bend moves
its own note only.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import FormatError, MissingExtraError
from cadenza.formats._performance import Part, Performance
from cadenza.formats._tones import Samples

_FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/opt/homebrew/share/soundfonts",
    "~/.local/share/soundfonts",
    "~/Library/Audio/Sounds/Banks",
)
_NAMES = (
    "FluidR3_GM",
    "FluidR3_GM2-2",
    "MuseScore_General",
    "GeneralUser-GS",
    "GeneralUser GS",
    "default-GM",
    "default",
)
_SUFFIXES = (".sf2", ".sf3")
_STEP_SECONDS = 0.005  # how finely pitch and volume curves are followed
_TAIL_SECONDS = 3.0
_BLOCK_SECONDS = 8.0
_CHANNELS = 256
_WHEEL_SEMITONES = 24.0
_RESET_CONTROLLERS = 121
#: Synthesizers with their soundfont, ready for the next piece: to open one takes seconds (file, time, rate → both).
_IDLE: dict[tuple[str, int, int], tuple[Any, int]] = {}
_MOST_IDLE = 3


def installed() -> bool:
    """Whether tinysoundfont can be imported."""
    return importlib.util.find_spec("tinysoundfont") is not None


def find_soundfont() -> Path | None:
    """A General MIDI soundfont in one of the usual places, or None."""
    for folder in _FOLDERS:
        for name in _NAMES:
            for suffix in _SUFFIXES:
                path = Path(os.path.expanduser(folder)) / f"{name}{suffix}"
                if path.is_file():
                    return path
    return None


def stream(performance: Performance, soundfont: Path, sample_rate: int) -> Iterator[Samples]:
    """Blocks of the mix, shape (2, n).

    Raises:
        MissingExtraError: tinysoundfont is not installed.
        FormatError: the soundfont cannot be loaded.
    """
    if not installed():
        raise MissingExtraError(
            "tinysoundfont", "no such package", hint="pip install --no-deps tinysoundfont, or leave soundfont out."
        )
    import tinysoundfont

    if not soundfont.is_file():
        raise FormatError("a soundfont (.sf2, .sf3)", "nothing there", where=str(soundfont), hint="Check the path.")
    key = (str(soundfont.resolve()), soundfont.stat().st_mtime_ns, sample_rate)
    opened = _IDLE.pop(key, None)  # whoever plays has it alone
    if opened is None:
        synth = tinysoundfont.Synth(gain=-9, samplerate=sample_rate)
        try:
            opened = synth, synth.sfload(str(soundfont))
        except Exception as error:  # the binding's own exception class differs between its releases
            raise FormatError(
                "a soundfont (.sf2, .sf3)", str(error) or "another kind of file", where=str(soundfont)
            ) from error
    return _played(opened, key, performance)


def _played(opened: tuple[Any, int], key: tuple[str, int, int], performance: Performance) -> Iterator[Samples]:
    synth, font = opened
    yield from _blocks(synth, font, performance, key[2])
    for channel in synth.channel:  # those that were used
        synth.sounds_off(channel)
        synth.control_change(channel, _RESET_CONTROLLERS, 0)
        synth.pitchbend(channel, 8192)
    while len(_IDLE) >= _MOST_IDLE:
        _IDLE.pop(next(iter(_IDLE)))
    _IDLE[key] = opened


def _blocks(synth, font: int, performance: Performance, sample_rate: int) -> Iterator[Samples]:  # type: ignore[no-untyped-def]
    events = sorted(_events(synth, font, performance), key=lambda event: event[:2])
    last = max((event[0] for event in events), default=0.0)
    end = int(performance.duration_seconds * sample_rate)
    if events:
        end = max(end, int((last + _TAIL_SECONDS) * sample_rate))
    block = int(_BLOCK_SECONDS * sample_rate)
    at = following = 0
    while at < end:
        out = np.zeros((2, min(block, end - at)), np.float32)
        filled = 0
        while filled < out.shape[1]:
            while following < len(events) and round(events[following][0] * sample_rate) <= at + filled:
                _, _, call, arguments = events[following]
                call(*arguments)
                following += 1
            stop = out.shape[1]
            if following < len(events):
                stop = min(stop, round(events[following][0] * sample_rate) - at)
            sound = np.frombuffer(synth.generate(stop - filled), np.float32).reshape(-1, 2)
            out[:, filled:stop] = sound.T
            filled = stop
        at += out.shape[1]
        yield out


def _events(synth, font: int, performance: Performance):  # type: ignore[no-untyped-def]
    """(seconds, rank, call, arguments): note-offs before channel settings before note-ons at one instant."""
    channel = 0
    for part in performance.parts:
        lanes = _lanes(part)
        used = int(lanes.max(initial=0)) + 1
        for lane in range(used):
            number = (channel + lane) % _CHANNELS
            _select(synth, font, number, part)
            synth.pitchbend_range(number, _WHEEL_SEMITONES)
            for seconds, factor in zip(*part.gain, strict=True):
                volume = int(np.clip(round(100 * float(factor) ** 0.5), 0, 127))
                yield float(seconds), 1, synth.control_change, (number, 7, volume)
            if part.pan is not None:
                yield 0.0, 1, synth.control_change, (number, 10, int(64 + 63 * part.pan))
        for note, lane in zip(part.notes, lanes, strict=True):
            number = (channel + int(lane)) % _CHANNELS
            onset, end = float(note["onset_seconds"]), float(note["end_seconds"])
            pitch = int(note["pitch"])
            if part.is_drums:
                end = max(end, onset + 0.05)
            yield onset, 2, synth.noteon, (number, pitch, int(note["velocity"]))
            yield max(end, onset + 0.02), 0, synth.noteoff, (number, pitch)
            if note["curve"] >= 0:
                yield from _wheel(synth, number, onset, max(end, onset + 0.02), part.curves[int(note["curve"])])
            elif lane:
                yield onset, 1, synth.pitchbend, (number, 8192)
        channel += used


def _wheel(synth, number: int, onset: float, end: float, curve):  # type: ignore[no-untyped-def]
    previous = None
    for t in np.arange(0.0, min(end - onset, 600.0), _STEP_SECONDS):
        cents = float(np.interp(t, *curve))
        value = int(np.clip(round(8192 + 8192 * cents / (100 * _WHEEL_SEMITONES)), 0, 16383))
        if value != previous:
            yield onset + float(t), 1, synth.pitchbend, (number, value)
        previous = value


def _lanes(part: Part) -> np.ndarray:
    """For each note the channel (counted within the part) that plays it; 0 is for the notes without a curve."""
    lanes = np.zeros(len(part.notes), np.int64)
    free_at: list[float] = []
    for row in np.flatnonzero(part.notes["curve"] >= 0):
        onset, end = float(part.notes["onset_seconds"][row]), float(part.notes["end_seconds"][row])
        lane = next((i for i, free in enumerate(free_at) if free <= onset), len(free_at))
        if lane == len(free_at):
            free_at.append(0.0)
        free_at[lane] = end + 0.1  # its release must not hear the next bend
        lanes[row] = 1 + lane
    return lanes


def _select(synth, font: int, number: int, part: Part) -> None:  # type: ignore[no-untyped-def]
    bank, preset = (128, 0) if part.is_drums else (0, part.program)
    try:
        synth.program_select(number, font, bank, preset, part.is_drums)
    except RuntimeError:
        # A small soundfont lacks presets; its first one still sounds.
        synth.program_select(number, font, 0, 0, False)
