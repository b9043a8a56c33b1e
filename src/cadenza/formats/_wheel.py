"""Note bends ↔ channel wheels: curves as jumps in whole cents, and which notes can share a channel.

A note's curve is a polyline; the wheel of a channel is one value for all its notes, and it jumps. Written, a
curve becomes its value at every tick, rounded to whole cents, so it is never more than half a cent off; read
back, each jump is two points one tick apart. Before its first point a curve has that point's value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.formats._smf import WHEEL_STEPS, cents_of
from cadenza.score.model import BEND_DTYPE, Track

# A range of 81 semitones is the last whose wheel positions lie closer than a cent. Wider curves use all that a
# file can say (127 semitones and 99 cents) and come back within a cent.
EXACT_CENTS = 8_000
WIDEST_CENTS = 12_799


def stepped_points(note: NDArray[np.int64], offset: NDArray[np.int64], cents: NDArray[np.int64]) -> NDArray[np.void]:
    """Bend points of a curve that jumps to ``cents`` at ``offset`` and holds; every note has an entry at 0.

    All shapes (n,), sorted by note, then offset; of several entries at one offset the last counts.
    """
    last = np.append((np.diff(note) != 0) | (np.diff(offset) != 0), True)[: len(note)]
    note, offset, cents = note[last], offset[last], cents[last]
    head = np.diff(note, prepend=-1) != 0
    changed = head | (np.diff(cents, prepend=0) != 0)
    note, offset, cents, head = note[changed], offset[changed], cents[changed], head[changed]
    points = np.zeros((len(note), 2), BEND_DTYPE)  # (t−1, the cents before), (t, the cents from then on)
    points["note"] = note[:, None]
    points["offset_ticks"][:, 0], points["offset_ticks"][:, 1] = offset - 1, offset
    points["cents"][1:, 0], points["cents"][:, 1] = cents[:-1], cents
    keep = np.ones((len(note), 2), bool)
    keep[head, 0] = False
    keep[head, 1] = cents[head] != 0
    keep[1:, 0] &= ~((offset[1:] - 1 == offset[:-1]) & keep[:-1, 1] & ~head[1:])
    return points[keep]


@dataclass(frozen=True, slots=True)
class Curve:
    """The jumps of one note: ``start`` cents at the onset, then ``cents[i]`` from ``offsets[i]`` ticks on."""

    start: int = 0
    offsets: Sequence[int] = ()
    cents: Sequence[int] = ()

    @property
    def peak(self) -> int:
        """The largest distance from the note's pitch, in cents."""
        return max(abs(self.start), max(map(abs, self.cents), default=0))


LEVEL = Curve()


def curve(offsets: Sequence[int], cents: Sequence[int]) -> Curve:
    """The jumps of the polyline through the points, rounded to whole cents (halves up) at each tick.

    Raises:
        FormatError: it leaves what a wheel can reach.
    """
    at: list[int] = []
    to: list[int] = []
    for x, y, next_x, next_y in zip(offsets, cents, offsets[1:], cents[1:], strict=False):
        width, rise = next_x - x, next_y - y
        if width == 1 and rise:
            at.append(next_x)
            to.append(next_y)
        elif 0 < width <= abs(rise):
            at += range(x + 1, next_x + 1)
            to += [(2 * (y * width + rise * k) + width) // (2 * width) for k in range(1, width + 1)]
        elif rise > 0:
            at += [x - (-(2 * k - 1) * width // (2 * rise)) for k in range(1, rise + 1)]
            to += range(y + 1, next_y + 1)
        elif rise < 0:
            at += [x + (2 * k - 1) * width // (-2 * rise) + 1 for k in range(1, -rise + 1)]
            to += range(y - 1, next_y - 1, -1)
    whole = Curve(cents[0], at, to)
    peak = whole.peak
    if peak <= EXACT_CENTS:
        return whole
    if peak > WIDEST_CENTS:
        raise FormatError(f"bends within {WIDEST_CENTS:,} cents", f"{peak:,}", hint="A MIDI wheel reaches no further.")
    return Curve(_coarse(cents[0]), at, [_coarse(c) for c in to])


def _coarse(cents: int) -> int:
    return cents_of(position_of(cents, WIDEST_CENTS), WIDEST_CENTS)


def position_of(cents: int, range_cents: int) -> int:
    """Nearest wheel position (−8192 … 8191)."""
    return max(-WHEEL_STEPS, min(WHEEL_STEPS - 1, (2 * cents * WHEEL_STEPS + range_cents) // (2 * range_cents)))


def curves(track: Track) -> dict[int, Curve]:
    """The curves of all bent notes of ``track``, by row."""
    edges = np.flatnonzero(np.diff(track.bends["note"], prepend=-1, append=-1))
    rows = track.bends["note"][edges[:-1]].tolist()
    offsets, cents, bounds = track.bends["offset_ticks"].tolist(), track.bends["cents"].tolist(), edges.tolist()
    return {
        row: curve(offsets[low:high], cents[low:high]) for row, low, high in zip(rows, bounds, bounds[1:], strict=False)
    }


def with_stepped_bends(track: Track) -> Track:
    """``track`` with bends as a file's wheel would bring them back."""
    if not len(track.bends):
        return track
    note: list[int] = []
    offset: list[int] = []
    cents: list[int] = []
    for row, bent in curves(track).items():
        note += [row] * (1 + len(bent.offsets))
        offset += [0, *bent.offsets]
        cents += [bent.start, *bent.cents]
    return track.with_notes(track.notes, stepped_points(np.array(note), np.array(offset), np.array(cents)))


@dataclass(slots=True)
class Lane:
    """The notes of one channel.

    Args:
        rows: of the notes.
        ticks, cents: the wheel from each tick on, where notes need it; rising, for all notes alike.
        until: the first tick at which nothing is needed yet.
        finals: tick at which notes end → the cents that they all end on.
        ends: pitch → when its last note ends; first-in-first-out pairing needs these to rise.
        peak: largest distance of the wheel from its centre, in cents.
    """

    rows: list[int] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    cents: list[int] = field(default_factory=list)
    until: int = 0
    finals: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    peak: int = 0

    def take(self, row: int, pitch: int, onset: int, end: int, bent: Curve) -> bool:
        """Add the note if it can share this channel; notes come in the order of their onsets."""
        if self.ends.get(pitch, -1) > end:
            return False
        peak = bent.peak
        if self.rows and (peak > EXACT_CENTS) != (self.peak > EXACT_CENTS):
            return False
        # The jump at the very end sounds (and is written) before the note-off, so it binds only equal ends.
        stop = end if end > onset else onset + 1
        last = bent.cents[-1] if len(bent.cents) else bent.start
        if end > onset and self.finals.get(end, last) != last:
            return False
        ticks = [onset + offset for offset in bent.offsets if onset + offset < stop]
        cents = list(bent.cents[: len(ticks)])
        agreed = 0
        if onset < self.until:
            here = bisect_right(self.ticks, onset)
            there = bisect_left(self.ticks, min(stop, self.until), lo=here)
            agreed = bisect_left(ticks, self.until)
            same_start = self.cents[here - 1] == bent.start
            if not same_start or agreed != there - here or self.ticks[here:there] != ticks[:agreed]:
                return False
            if self.cents[here:there] != cents[:agreed]:
                return False
        else:
            self.ticks.append(onset)
            self.cents.append(bent.start)
        self.ticks += ticks[agreed:]
        self.cents += cents[agreed:]
        self.until = max(self.until, stop)
        self.rows.append(row)
        self.ends[pitch] = end
        self.peak = max(self.peak, peak)
        if end > onset:
            self.finals[end] = last
        return True

    def value_at(self, tick: int) -> int:
        """The cents that sounding notes need from ``tick`` on."""
        return self.cents[bisect_right(self.ticks, tick) - 1]


def lanes(track: Track, most: int) -> list[Lane]:
    """The notes of ``track`` on as few channels as a first fit finds, at least one.

    Raises:
        FormatError: they need more than ``most``.
    """
    notes = track.notes
    onsets = notes["onset_ticks"]
    ends = onsets + notes["duration_ticks"]
    by_pitch = np.argsort(notes["pitch"], kind="stable")
    nested = (np.diff(notes["pitch"][by_pitch]) == 0) & (np.diff(ends[by_pitch]) < 0)
    if not len(track.bends) and not nested.any():
        return [Lane(rows=list(range(len(notes))))]
    bent = curves(track)
    found: list[Lane] = [Lane()]
    columns = zip(notes["pitch"].tolist(), onsets.tolist(), ends.tolist(), strict=True)
    for row, (pitch, onset, end) in enumerate(columns):
        note_curve = bent.get(row, LEVEL)
        if not any(lane.take(row, pitch, onset, end, note_curve) for lane in found):
            if len(found) == most:
                raise FormatError(
                    f"notes whose bends and nested equal pitches fit {most} channels",
                    "more of them at once",
                    where=f"track {track.name!r}, tick {onset}",
                    hint="Split the track or drop bends.",
                )
            found.append(Lane())
            found[-1].take(row, pitch, onset, end, note_curve)
    return found
