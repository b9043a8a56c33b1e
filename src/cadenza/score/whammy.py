"""The tremolo bar as it sounds: its curves, written at beats, become bends of the notes that they move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadenza.score.edit import Edit
from cadenza.score.model import BEND_DTYPE, Track
from cadenza.score.written import Mark

POSITIONS = 60  # places for a point over a beat
CENTS_PER_QUARTER_TONE = 50
MAX_CENTS = 12_000
_POINT = 3  # position, height, vibrato


def play_tremolo_bar() -> Edit:
    """Bends take in the curves of the tremolo bar, and its marks go.

    The bar moves all strings: every note of the track that sounds during the beat follows, whatever its voice. A note
    that sounds on keeps the curve's last height until its end or the next dive.
    """

    def change(track: Track) -> Track:
        dives = [mark for mark in track.marks if mark.kind == "tremolo_bar"]
        if not dives:
            return track
        out = replace(track, marks=tuple(mark for mark in track.marks if mark.kind != "tremolo_bar"))
        curves = [] if track.is_drums else _curve(track, dives)
        return out.with_notes(track.notes, _added(track, curves)) if curves else out

    return Edit("plays the tremolo bar as bends", lambda score: score.map_tracks(change))


def _curve(track: Track, dives: list[Mark]) -> list[NDArray[np.int64]]:
    """For each dive, in order, its points: shape (n, 2), ticks and cents, the first at its start."""
    lengths = {(int(b["onset_ticks"]), int(b["voice"])): int(b["duration_ticks"]) for b in track.beats}
    out: list[NDArray[np.int64]] = []
    for dive in sorted(dives, key=lambda mark: (mark.onset_ticks, mark.voice)):
        start = dive.onset_ticks
        if out and out[-1][0, 0] == start:
            continue  # two voices tell one bar
        length = lengths.get((start, dive.voice)) or _sounding(track, start)
        points: dict[int, int] = {start: 0}
        numbers, last = dive.values[2:], start
        for place in range(0, len(numbers) - _POINT + 1, _POINT):
            position, height = min(max(numbers[place], 0), POSITIONS), numbers[place + 1]
            last = max(last, start + position * length // POSITIONS)
            points[last] = max(-MAX_CENTS, min(MAX_CENTS, height * CENTS_PER_QUARTER_TONE))
        if any(points.values()):
            out.append(np.array(sorted(points.items()), np.int64))
    return out


def _sounding(track: Track, tick: int) -> int:
    """Length of the longest note that begins at ``tick``."""
    begun = track.notes[track.notes["onset_ticks"] == tick]
    return int(begun["duration_ticks"].max(initial=0))


def _added(track: Track, dives: list[NDArray[np.int64]]) -> NDArray[np.void]:
    """The track's bends with the heights of the dives added where a note meets one."""
    starts = np.array([dive[0, 0] for dive in dives])
    ends = np.maximum.accumulate([dive[-1, 0] for dive in dives])
    rows: list[tuple[int, int, int]] = []
    for index, note in enumerate(track):
        onset, end = note.onset_ticks, note.offset_ticks
        # Those that begin while it sounds, or are under way when it begins.
        low = int(min(np.searchsorted(ends, onset, side="right"), np.searchsorted(starts, onset, side="left")))
        met = dives[low : int(np.searchsorted(starts, end, side="left"))]
        if not met:
            rows += [(index, b.offset_ticks, b.cents) for b in note.bends]
            continue
        lead = [(met[0][0, 0] - 1, 0)] if met[0][0, 0] > onset and met[0][0, 1] else []
        bar = np.array(lead + [tuple(point) for dive in met for point in dive], np.int64) - (onset, 0)
        bar = bar[np.append(np.diff(bar[:, 0]) > 0, True)]
        bar = bar[np.concatenate([[True], np.diff(np.maximum.accumulate(bar[:, 0])) > 0])]
        own = np.array([(b.offset_ticks, b.cents) for b in note.bends] or [(0, 0)], np.int64)
        places = np.unique(np.clip(np.concatenate([[0], bar[:, 0], own[:, 0]]), 0, end - onset))
        total = np.interp(places, bar[:, 0], bar[:, 1]) + np.interp(places, own[:, 0], own[:, 1])
        cents = np.clip(np.rint(total), -MAX_CENTS, MAX_CENTS)
        rows += [(index, int(place), int(height)) for place, height in zip(places, cents, strict=True)]
    return np.array(rows, BEND_DTYPE)
