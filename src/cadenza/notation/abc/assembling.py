"""Voices that were read → a Score: one resolution, tracks, and the maps that the first voice draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd, lcm
from typing import Any

import numpy as np

from cadenza.notation.abc.voices import UNITS, BarLine, Voice
from cadenza.score.model import (
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    NOTE_DTYPE,
    BarMark,
    Key,
    Marker,
    Metre,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.time import DEFAULT_METRE, bar_ticks
from cadenza.score.written import Mark

TICKS_PER_QUARTER = 960
GRACES_PER_QUARTER = 8
MAX_RESOLUTION = 65_535
COARSEST_OF_ALL = 60_480  # ticks a quarter where none is exact
DRUM_CHANNEL = 10
HIGHEST_VOICE = 127


@dataclass(frozen=True)
class Frame:
    """What a tune says outside its notes; times in units from its start."""

    title: str
    composer: str
    tempos: dict[int, float]
    metres: dict[int, tuple[int, int]]
    keys: dict[int, tuple[int, str]]
    markers: list[tuple[int, str]]
    directions: list[tuple[int, str]]


def assemble(voices: list[Voice], frame: Frame) -> tuple[Score, int]:
    """(the score, 0), or with the fraction of a quarter that it would have needed where its times are rounded."""
    end = max(voice.time for voice in voices)
    bars = _bar_starts(voices[0], end)
    columns = [np.array(voice.notes, np.int64).reshape(-1, 7) for voice in voices]
    times = [*(voice.time for voice in voices), *frame.tempos, *frame.metres, *frame.keys, *(bar[0] for bar in bars)]
    ticks, inexact = _resolution(columns, times)

    def at(time: int) -> int:
        return (2 * time * ticks + UNITS) // (2 * UNITS)

    metres = _changes([Metre(at(t), *m) for t, m in sorted(frame.metres.items())])
    marks = [(at(start), opens, close, endings) for start, opens, close, endings in bars]
    score = Score(
        tracks=_tracks(voices, columns, ticks, at),
        ticks_per_quarter=ticks,
        tempos=tuple(Tempo(at(t), quarters) for t, quarters in frame.tempos.items()),
        metres=metres,
        keys=tuple(Key(at(t), fifths, mode) for t, (fifths, mode) in frame.keys.items()),  # type: ignore[arg-type]
        bars=_bar_marks(marks, metres, ticks, _directions(frame, bars, at)),
        markers=tuple(Marker(at(t), text) for t, text in frame.markers),
        title=frame.title,
        composer=frame.composer,
        length_ticks=at(end),
    )
    return score, inexact


def _tracks(voices: list[Voice], columns: list[np.ndarray], ticks: int, at: Callable[[int], int]) -> tuple[Track, ...]:
    """A track for each voice, but for those that merge with the one before."""
    parts: list[tuple[Voice, list[np.ndarray], list[Mark]]] = []
    first = 0  # number of the next voice's first overlay in its track
    for voice, rows in zip(voices, columns, strict=True):
        notes = _to_ticks(rows, voice, ticks, at)
        if not (voice.merges and parts):
            parts.append((voice, [], []))
            first = 0
        _, arrays, marks = parts[-1]
        n_overlays = 1 + int(notes["voice"].max(initial=0))
        notes["voice"] = np.minimum(notes["voice"].astype(np.int64) + first, HIGHEST_VOICE)
        arrays.append(notes)
        for time, kind, values, text, overlay in voice.marks:
            marks.append(Mark(at(time), kind, min(overlay + first, HIGHEST_VOICE), 0, -1, values, text))
        first += n_overlays
    out = []
    for voice, arrays, marks in parts:
        notes = np.concatenate(arrays)
        is_drums = voice.channel == DRUM_CHANNEL
        if is_drums:
            notes["spelling"] = NO_SPELLING
        program = 0 if is_drums else voice.program or 0
        out.append(Track(voice.title, program, is_drums, notes=notes, marks=tuple(marks)))
    return tuple(out)


def _directions(frame: Frame, bars: list[Any], at: Callable[[int], int]) -> dict[int, set[str]]:
    """Tick of a bar's start → the directions said in it."""
    out: dict[int, set[str]] = {}
    starts = np.array([bar[0] for bar in bars], np.int64)
    for time, name in frame.directions:
        bar = int(np.searchsorted(starts, time, side="right")) - 1
        out.setdefault(at(int(starts[max(bar, 0)])), set()).add(name)
    return out


def _resolution(columns: list[np.ndarray], times: list[int]) -> tuple[int, int]:
    """(960 ticks a quarter or the least multiple of it at which every time is whole, 0)."""
    shared = UNITS
    for time in times:
        shared = gcd(shared, time)
    for rows in columns:
        if len(rows):
            shared = gcd(shared, int(np.gcd.reduce(rows[:, :2], axis=None)))
    needed = UNITS // shared
    for base in (TICKS_PER_QUARTER, GRACES_PER_QUARTER):
        if lcm(base, needed) <= MAX_RESOLUTION:
            return lcm(base, needed), 0
    return COARSEST_OF_ALL, needed


def _changes(metres: list[Metre]) -> tuple[Metre, ...]:
    """Without those that repeat what holds; where such a one is no bar line by itself, the bar's mark says so."""
    out: list[Metre] = []
    for metre in metres:
        if not out or (out[-1].numerator, out[-1].denominator) != (metre.numerator, metre.denominator):
            out.append(metre)
    return tuple(out)


def _to_ticks(rows: np.ndarray, voice: Voice, ticks: int, at: Any) -> np.ndarray:
    """The voice's rows as notes, its grace notes before the notes that they lead to."""
    own = np.zeros(len(rows), NOTE_DTYPE)
    if len(rows):
        if UNITS % ticks == 0:
            exact = UNITS // ticks
            onsets, ends = rows[:, 0] // exact, (rows[:, 0] + rows[:, 1]) // exact
        else:
            onsets = np.array([at(int(t)) for t in rows[:, 0]], np.int64)
            ends = np.array([at(int(t)) for t in rows[:, 0] + rows[:, 1]], np.int64)
        own["onset_ticks"], own["duration_ticks"] = onsets, np.maximum(ends - onsets, 1)
        own["pitch"], own["velocity"], own["techniques"] = rows[:, 2], rows[:, 3], rows[:, 4]
        own["voice"], own["spelling"] = rows[:, 5], rows[:, 6]
    graces: list[tuple[int, ...]] = []
    sorted_of: dict[int, np.ndarray] = {}
    for overlay in {overlay for _, _, overlay, _ in voice.graces}:
        sorted_of[overlay] = np.sort(own[own["voice"] == overlay], order=["onset_ticks", "duration_ticks"])
    for group, time, overlay, velocity in voice.graces:
        place = at(time)
        notes = sorted_of[overlay]
        row = int(np.searchsorted(notes["onset_ticks"], place))
        before = int(notes["onset_ticks"][row - 1]) if row else 0
        # What is read may have them before nothing.
        leads = row < len(notes) and notes["onset_ticks"][row] == place
        shortest = int(notes["duration_ticks"][row]) if leads else ticks
        for (onset, length), (pitch, spelling) in zip(
            grace_places(before, place, len(group), ticks, shortest), group, strict=True
        ):
            graces.append((onset, length, pitch, velocity, NO_STRING, NO_FRET, int(Technique.GRACE), overlay, spelling))
    own["string"], own["fret"] = NO_STRING, NO_FRET
    return np.concatenate([own, np.array(graces, NOTE_DTYPE)])


def grace_places(
    before: int, place: int, count: int, ticks_per_quarter: int, shortest_ticks: int
) -> list[tuple[int, int]]:
    """(onset, duration) of ``count`` grace notes: a 32nd each, up to ``place``, where a note begins.

    They are shorter where they would reach back to ``before``, the last onset before it in their voice; where there is
    no room at all they begin together with the note, and end no later than the shortest that begins there
    (``shortest_ticks``), so that they never make the piece longer.
    """
    longest = ticks_per_quarter // GRACES_PER_QUARTER
    length = min(longest, (place - before) // (count + 1))
    if length < 1:
        return [(place, min(longest, shortest_ticks))] * count
    return [(place - (count - i) * length, length) for i in range(count)]


def _bar_starts(voice: Voice, end: int) -> list[tuple[int, bool, int, tuple[int, ...]]]:
    """(start, repeat opens, repeat closes, endings) of each bar."""
    out: list[list[Any]] = []
    volta: tuple[int, ...] = ()
    lines = voice.bar_lines
    if not lines or lines[0].at != 0:
        lines = [BarLine(0), *lines]
    for line in lines:
        if line.close and out:
            out[-1][2] = line.close
        if line.ends_volta or line.volta:
            volta = line.volta
        if line.at < end or not out:
            out.append([line.at, line.opens, 0, volta])
    return [tuple(bar) for bar in out]  # type: ignore[misc]


def _bar_marks(
    bars: list[tuple[int, bool, int, tuple[int, ...]]],
    metres: tuple[Metre, ...],
    ticks_per_quarter: int,
    directions: dict[int, set[str]],
) -> tuple[BarMark, ...]:
    """Marks of the bars that are special or that do not follow from the metres."""
    changes = {metre.onset_ticks: metre for metre in metres}
    rest = sorted(changes)
    out = []
    anchor, metre, following = 0, changes.get(0, Metre(0, *DEFAULT_METRE)), 0
    for start, opens, close, endings in bars:
        while following < len(rest) and rest[following] <= start:
            anchor, metre = rest[following], changes[rest[following]]
            following += 1
        implied = start == anchor or (start - anchor) % bar_ticks(metre, ticks_per_quarter) == 0
        said = tuple(directions.get(start, ()))
        if opens or close or endings or said or not implied:
            out.append(BarMark(start, opens, close, endings, said))
        if not implied:
            anchor = start
    return tuple(out)
