"""Which note values a track is written in: what its beats say where they fit the notes, else spelled anew.

A voice's bar keeps its written beats if each is as long as its note value says, none crosses the bar line or another,
and every note begins and ends (or is tied) at their edges. Any other bar that has notes or beats is spelled by
:mod:`cadenza.score.notevalues`, filled with rests; what no note value can say (performed times) has no beat.
Grace notes take no time and no part in this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Technique, Track
from cadenza.score.notevalues import Bar, spell
from cadenza.score.time import BarTable
from cadenza.score.written import BEAT_DTYPE, sealed_beats

Rows = NDArray[np.void]


def exact(beats: Rows, ticks_per_quarter: int) -> NDArray[np.bool_]:
    """Which beats last exactly as long as their note value says; shape (n,)."""
    dots = beats["dots"].astype(np.int64)
    top = 4 * ticks_per_quarter * ((2 << dots) - 1) * beats["times"].astype(np.int64)
    bottom = beats["value"].astype(np.int64) * (1 << dots) * beats["enters"]
    out: NDArray[np.bool_] = top == beats["duration_ticks"] * bottom
    return out


def settled(track: Track, graces: NDArray[np.bool_], table: BarTable, ticks_per_quarter: int) -> Rows:
    """The beats in which ``track`` is written, :data:`BEAT_DTYPE`; ``graces`` (shape (n,)): its grace notes."""
    notes = track.notes[~graces]
    given = track.beats[exact(track.beats, ticks_per_quarter)] if len(track.beats) else track.beats
    starts, ends = table.starts_ticks, table.ends_ticks
    out: list[Rows] = []
    fresh: list[tuple[int, int, int, int, int, int, int]] = []
    for voice in np.unique(np.concatenate([notes["voice"], given["voice"]])).tolist():
        mine, rows = notes[notes["voice"] == voice], given[given["voice"] == voice]
        kept, respelled = _sorted_out(mine, rows, starts, ends)
        out.append(rows[kept])
        if not len(respelled):
            continue
        edges = np.unique(np.concatenate([mine["onset_ticks"], mine["onset_ticks"] + mine["duration_ticks"]]))
        low = np.searchsorted(edges, starts[respelled], side="right")
        high = np.searchsorted(edges, ends[respelled], side="left")
        for bar, first, last in zip(respelled.tolist(), low.tolist(), high.tolist(), strict=True):
            metre = table.metres[bar]
            measure = Bar(metre.numerator, metre.denominator, ticks_per_quarter)
            points = edges[first:last].tolist()
            for value in spell(points, int(starts[bar]), int(ends[bar]), measure):
                if value.value:
                    length = value.stop_ticks - value.start_ticks
                    row = (value.start_ticks, length, voice, value.value, value.dots, value.enters, value.times)
                    fresh.append(row)
    out.append(np.array(fresh, BEAT_DTYPE))
    return sealed_beats(np.concatenate(out))


def _sorted_out(
    notes: Rows, rows: Rows, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which beats of one voice stay, and the bars that are to be spelled anew."""
    n_bars = len(starts)
    bad = np.zeros(n_bars, bool)
    used = np.zeros(n_bars, bool)
    onset, end = notes["onset_ticks"], notes["onset_ticks"] + notes["duration_ticks"]
    first = np.searchsorted(starts, onset, side="right") - 1
    last = np.minimum(np.searchsorted(starts, end, side="left") - 1, n_bars - 1)
    reach = np.zeros(n_bars + 1, np.int64)
    np.add.at(reach, first, 1)
    np.add.at(reach, last + 1, -1)
    used |= np.cumsum(reach[:-1]) > 0
    if not len(rows):
        return np.zeros(0, bool), np.flatnonzero(used)
    low, high = rows["onset_ticks"], rows["onset_ticks"] + rows["duration_ticks"]
    bar = np.searchsorted(starts, low, side="right") - 1
    outside = high > ends[bar]
    outside[1:] |= (low[1:] < high[:-1]) & (bar[1:] == bar[:-1])
    bad[bar[outside]] = True
    whole = ~bad[bar]
    low, high = low[whole], high[whole]
    covered = np.concatenate([[0], np.cumsum(high - low)])

    def between(start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ticks of beats within stretches."""
        sums = []
        for ticks in (start, stop):
            index = np.searchsorted(low, ticks, side="left")
            over = np.where(index > 0, high[index - 1] - ticks, 0) if len(high) else 0
            sums.append(covered[index] - np.maximum(over, 0))
        out: NDArray[np.int64] = sums[1] - sums[0]
        return out

    # Every edge of a note must be an edge of beats or a bar line, and whatever sounds must be covered.
    edges = np.unique(np.concatenate([low, high, starts, ends]))
    for place, which in ((onset, first), (end, last)):
        found = np.minimum(np.searchsorted(edges, place), len(edges) - 1)
        bad[which[edges[found] != place]] = True
    for start, stop, which in (
        (onset, np.minimum(end, ends[first]), first),
        (np.maximum(onset, starts[last]), end, last),
    ):
        bad[which[between(start, stop) != stop - start]] = True
    inner = np.zeros(n_bars + 1, np.int64)
    np.add.at(inner, np.minimum(first + 1, last), 1)
    np.add.at(inner, last, -1)
    bad |= (np.cumsum(inner[:-1]) > 0) & (between(starts, ends) != ends - starts)
    stays = ~bad[bar]
    return stays, np.flatnonzero(bad)


def is_grace(track: Track, table: BarTable, ticks_per_quarter: int) -> NDArray[np.bool_]:
    """Which notes are written as grace notes: shape (n,); see :func:`grace_groups`."""
    out = np.zeros(len(track), bool)
    for rows in grace_groups(track, table, ticks_per_quarter).values():
        for slot in rows:
            out[slot] = True
    return out


def grace_groups(track: Track, table: BarTable, ticks_per_quarter: int) -> dict[tuple[int, int], list[list[int]]]:
    """(voice, tick before which they stand) → slots of note rows, in the order of playing.

    A note with ``Technique.GRACE`` is a grace note where it lasts a 32nd and a chain of such leads to the onset or
    the end of a note of its voice, or to a bar line. (A chain for which the piece's start leaves no room begins
    there together.) Other such notes are written as notes of their own length in small print.
    """
    grace = np.flatnonzero(track.notes["techniques"] & np.uint64(int(Technique.GRACE)))
    if not len(grace) or ticks_per_quarter % 8:
        return {}
    slot_ticks = ticks_per_quarter // 8
    notes = track.notes
    plain = np.ones(len(notes), bool)
    plain[grace] = False
    by_end: dict[tuple[int, int], list[int]] = {}
    for row in grace.tolist():
        note = notes[row]
        if note["duration_ticks"] == slot_ticks:
            by_end.setdefault((int(note["voice"]), int(note["onset_ticks"]) + slot_ticks), []).append(row)
    lines = {*table.starts_ticks.tolist(), int(table.ends_ticks[-1])}
    targets: dict[int, set[int]] = {}
    for voice in np.unique(notes["voice"][grace]).tolist():
        mine = notes[plain & (notes["voice"] == voice)]
        targets[voice] = lines | set(mine["onset_ticks"].tolist())
        targets[voice] |= set((mine["onset_ticks"] + mine["duration_ticks"]).tolist())
    out: dict[tuple[int, int], list[list[int]]] = {}
    taken: set[tuple[int, int]] = set()
    for voice, end in sorted(by_end, key=lambda place: -place[1]):
        if (voice, end) in taken or end not in targets[voice]:
            continue
        slots: list[list[int]] = []
        at = end
        while (voice, at) in by_end and (voice, at) not in taken:
            taken.add((voice, at))
            slots.append(by_end[voice, at])
            at -= slot_ticks
        out[voice, end] = slots[::-1]
    for voice in targets:  # at the piece's start there is no room before the beat
        slots = []
        at = slot_ticks
        while (voice, at) in by_end and (voice, at) not in taken:
            slots.append(by_end[voice, at])
            at += slot_ticks
        if slots:
            out[voice, 0] = slots
    return out
