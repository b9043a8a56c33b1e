"""Played music as one would write it down: just enough of a notator that a performance can be read.

Onsets go to a grid of each beat: sixteenths, or triplets where they fit clearly better, finer where a string is struck
twice. A note lasts to the next onset of its track where it nearly does or would overlap it; pitch curves that only
waver, or bend a note of a chord, are left out. Of a piece on a grid whose note values nobody wrote down (a MIDI file),
only the small rests go that make its notes detached. The score itself is untouched; a real transcription is not a
picture's business.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadenza.score import edit
from cadenza.score.model import BEND_DTYPE, Score, Track
from cadenza.score.written import NO_BEATS

TICKS = 24  # a quarter, of the grid on which everything comes to lie
GRIDS = (4, 3, 6, 8)  # points a beat, in order of preference
FINE_GRIDS = (48, 20, 28, 36, 44, 52)  # points a quarter that written pieces keep to, tuplets of 5 … 13 included
_OFF_GRID = 0.1  # more than so many notes off them: the piece was played
_DETACHED = 0.25  # a rest of at most so much of the whole is how a note is played, not how it is written
_TRIPLET_GAIN = 0.6  # triplets must be so much nearer
_SHORTEST_REST = 0.5  # quarters
_LEAST_BEND_CENTS = 75


def is_played(score: Score) -> bool:
    """Whether onsets lie where no note value puts them and none is written."""
    ticks, off, n = score.ticks_per_quarter, 0, 0
    for track in score.tracks:
        onsets = track.notes["onset_ticks"]
        fits = np.isin(onsets, track.beats["onset_ticks"])
        for points in FINE_GRIDS:
            fits |= onsets * points % ticks == 0
        off, n = off + int((~fits).sum()), n + len(onsets)
    return off > _OFF_GRID * n


def as_written(score: Score) -> Score:
    """A played score on a grid; a written one as it is."""
    if not is_played(score):
        return score.map_tracks(lambda track: track if len(track.beats) else _sustained(track))
    grid = _grids(score)
    even = edit.grid(TICKS).apply(score)
    unit = even.ticks_per_quarter // TICKS
    tracks = [_written(track, score.ticks_per_quarter, grid, unit, even) for track in score.tracks]
    return even.with_tracks(tracks)


def _sustained(track: Track) -> Track:
    """A track without written note values, its notes without the little gaps that make playing articulate."""
    notes = track.notes.copy()
    onset, length = notes["onset_ticks"], notes["duration_ticks"]
    every = np.unique(onset)
    after = np.append(every, 1 << 40)[np.searchsorted(every, onset, side="right")]
    room = after - onset
    gap = room - length
    notes["duration_ticks"] = np.where((gap > 0) & (gap <= _DETACHED * room), room, length)
    return track.with_notes(notes)


def _grids(score: Score) -> dict[int, int]:
    """For each beat with onsets, how many points it has."""
    beats: dict[int, list[tuple[float, int, int]]] = {}
    for index, track in enumerate(score.tracks):
        at = track.notes["onset_ticks"] / score.ticks_per_quarter
        for place, string in zip(at.tolist(), track.notes["string"].tolist(), strict=True):
            beats.setdefault(int(place), []).append((place % 1, index, string))
    return {beat: _grid(onsets) for beat, onsets in beats.items()}


def _grid(onsets: list[tuple[float, int, int]]) -> int:
    def error(points: int) -> float:
        return sum(abs(at - round(at * points) / points) for at, _, _ in onsets)

    def collides(points: int) -> bool:
        taken = [(round(at * points), track, string) for at, track, string in onsets if string]
        return len(set(taken)) < len(taken)

    best = 3 if error(3) < _TRIPLET_GAIN * error(4) else 4
    free = [points for points in (best, *GRIDS) if not collides(points)]
    return free[0] if free else best


def _written(track: Track, ticks_per_quarter: int, grid: dict[int, int], unit: int, even: Score) -> Track:
    notes, bends = track.notes.copy(), track.bends.copy()
    starts = notes["onset_ticks"] / ticks_per_quarter
    stops = starts + notes["duration_ticks"] / ticks_per_quarter
    onset = np.array([_nearest(at, grid) for at in starts.tolist()], np.int64)
    every = np.unique(onset)
    after = np.append(every, 1 << 40)[np.searchsorted(every, onset, side="right")]
    stop = np.maximum(onset + TICKS // 4, np.round(stops * 2).astype(np.int64) * (TICKS // 2))
    stop = np.where(after - stop < _SHORTEST_REST * TICKS, after, np.minimum(stop, after))
    old = notes["duration_ticks"].copy()
    notes["onset_ticks"], notes["duration_ticks"] = onset * unit, (stop - onset) * unit
    if track.is_drums:
        notes["duration_ticks"] = unit
    alone = np.bincount(np.searchsorted(every, onset))[np.searchsorted(every, onset)] == 1 if len(onset) else onset == 0
    bends = _clear_bends(bends[alone[bends["note"]]], notes["duration_ticks"], old)
    marks = tuple(mark for mark in track.marks if mark.kind in ("transposition", "staves"))  # those of no beat
    even_track = replace(track, notes=notes, bends=bends, beats=NO_BEATS, marks=marks)
    return edit.drop_doubled().apply(even.with_tracks([even_track])).tracks[0]


def _nearest(at: float, grid: dict[int, int]) -> int:
    beat = int(at)
    points = grid[beat]
    return beat * TICKS + round((at - beat) * points) * (TICKS // points)


def _clear_bends(bends: NDArray[np.void], duration: NDArray[np.int64], old: NDArray[np.int64]) -> NDArray[np.void]:
    """Curves that rise like a bend, their times stretched with the note."""
    out: list[tuple[int, int, int]] = []
    for row in np.unique(bends["note"]).tolist():
        mine = bends[bends["note"] == row]
        cents = mine["cents"]
        if cents.max() < _LEAST_BEND_CENTS or -cents.min() > cents.max():
            continue
        at = mine["offset_ticks"] * int(duration[row]) // max(1, int(old[row]))
        seen = dict(zip(at.tolist(), np.maximum(cents, 0).tolist(), strict=True))
        out += [(row, tick, cent) for tick, cent in seen.items()]
    return np.array(out, BEND_DTYPE)
