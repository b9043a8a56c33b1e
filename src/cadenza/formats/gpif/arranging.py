"""Notes → beats: the rhythm of every voice of a track, bar by bar, and the notes that begin in it or are tied into it.

Where a track says how it is written (:attr:`~cadenza.score.model.Track.beats`) and its notes fit, the beats of a bar
are the written ones; elsewhere the rhythm is worked out (:mod:`cadenza.score.rhythm`). Grace notes leave the time line
first: they hang on the note that they lead to, whose neighbours get back the time that the grace notes took.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.formats.gpif.records import MAX_TUPLET, RhythmRecord
from cadenza.score.model import Note, Technique, Track
from cadenza.score.rhythm import (
    QUARTER,
    SIXTY_FOURTH,
    WHOLE,
    Piece,
    Snapped,
    clock,
    snap,
    spell,
    truncated,
    whole_ticks,
)
from cadenza.score.time import BarTable
from cadenza.score.written import Mark

VOICES_OF_A_STAFF, STAVES = 4, 2
N_VOICES = VOICES_OF_A_STAFF * STAVES
LONGEST_GRACE_TICKS = 120
NO_STRING_PLACE = 1000  # plus the pitch: the lane of a note without a string


@dataclass(slots=True, eq=False)
class Item:
    """A note on its way to the page: ``start`` and ``end`` as written, without what grace notes took."""

    note: Note
    start: int
    end: int
    voice: int
    place: int  # string, or 1,000 + key
    graces: GraceGroup | None = None
    from_grace: bool = False  # it is tied to a grace note of its own

    @property
    def key(self) -> tuple[int, ...]:
        """For sorting."""
        return (self.start, self.note.pitch, self.end, self.note.velocity, self.place, int(self.note.techniques))


@dataclass(slots=True, eq=False)
class GraceGroup:
    """Grace notes that lead to one place, in order; those of one entry begin together."""

    chords: list[list[Note]]
    on_beat: bool


@dataclass(slots=True, eq=False)
class PlannedBeat:
    """A duration at its place: the notes that begin there and those that are tied into it."""

    start: int
    end: int
    rhythm: RhythmRecord
    begun: list[Item] = field(default_factory=list)
    tied: list[Item] = field(default_factory=list)


Plan = dict[tuple[int, int], list[PlannedBeat]]  # by bar and voice; absent where nothing is written


def arranged(track: Track, table: BarTable) -> Plan:
    """The beats of a track at 960 ticks a quarter, fretted throughout or drums, whose bars begin on 64ths."""
    said: dict[tuple[int, int], set[str]] = defaultdict(set)
    for mark in track.marks:
        said[mark.voice, mark.onset_ticks].add(mark.kind)
    items: list[Item] = []
    by_voice: dict[int, list[Note]] = defaultdict(list)
    for note in track:
        by_voice[min(note.voice, N_VOICES - 1)].append(note)
    written = {voice: track.beats[track.beats["voice"] == voice] for voice in range(N_VOICES)}
    for voice, notes in by_voice.items():
        onsets = set(written[voice]["onset_ticks"].tolist())
        items += _without_graces(notes, voice, onsets, said, track.is_drums)
    items = _one_a_place(items, spread=True)
    plan: Plan = {}
    for voice in range(N_VOICES):
        own = [item for item in items if item.voice == voice]
        if own or len(written[voice]) or voice == 0:
            _lay_out(own, voice, table, written[voice], plan)
    return plan


# ── grace notes ──────────────────────────────────────────────────────────────────────────────────────────


def _without_graces(
    notes: list[Note], voice: int, written: set[int], said: dict[tuple[int, int], set[str]], drums: bool
) -> list[Item]:
    """Items for the notes of a voice; grace notes that lead to none are ordinary notes."""

    def item(note: Note) -> Item:
        place = NO_STRING_PLACE + note.pitch if drums else note.string
        return Item(note, note.onset_ticks, note.onset_ticks + max(note.duration_ticks, 1), voice, place)

    graces: dict[int, list[Note]] = defaultdict(list)
    items = []
    for note in notes:
        if note.techniques & Technique.GRACE:
            graces[note.onset_ticks].append(note)
        else:
            items.append(item(note))
    if not graces:
        return items
    mains = {one.start for one in items}
    leads: dict[int, int] = {}  # onset of grace notes → where they lead
    for onset in sorted(graces, reverse=True):
        end = min(note.offset_ticks for note in graces[onset])
        later = [at for at in (*written, *mains) if onset < at <= min(onset + LONGEST_GRACE_TICKS, end)]
        if end in mains and end - onset <= LONGEST_GRACE_TICKS:
            leads[onset] = end
        elif end in leads:
            leads[onset] = leads[end]
        elif later and onset not in written:
            leads[onset] = min(later)
        elif onset in written and "grace" in said[voice, onset]:
            leads[onset] = onset  # on the beat, and tied into it
        elif end in mains:
            leads[onset] = end
    groups: dict[int, list[int]] = defaultdict(list)
    for onset, target in leads.items():
        groups[target].insert(0, onset)
    for onset in graces:
        if onset not in leads:
            items += [item(note) for note in graces[onset]]
    for target, onsets in groups.items():
        items += _attached(items, target, [graces[onset] for onset in onsets], item, voice, written, said)
    return items


def _attached(
    items: list[Item],
    target: int,
    chords: list[list[Note]],
    item: Any,
    voice: int,
    written: set[int],
    said: dict[tuple[int, int], set[str]],
) -> list[Item]:
    """Hang grace notes on the notes at ``target``; the items of grace notes that are tied into it."""
    first = chords[0][0].onset_ticks
    tied = []
    for note in chords[-1]:
        if note.offset_ticks > target:
            one = item(note)
            one.start, one.from_grace = target, True
            tied.append(one)
    if first == target or (first in written and target not in written):
        on_beat = True
    elif target in written or "grace" in said[voice, target]:
        on_beat = False
    else:
        on_beat = "grace" in said[voice, first] or gcd(first, WHOLE) > gcd(target, WHOLE)
    group = GraceGroup(chords, on_beat)
    for one in [*items, *tied]:
        if one.start == target:
            one.graces = group
            if on_beat:
                one.start = first
        elif not on_beat and first <= one.end < target and one.start < first:
            one.end = target
    return tied


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────


def _one_a_place(items: list[Item], spread: bool) -> list[Item]:
    """A note ends where the next on its string and voice begins; of two at once the longer stays.

    With ``spread`` the other goes to another voice of its staff where the string is free there.
    """
    lanes: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in items:
        lanes[item.voice, item.place].append(item)
    homeless: list[Item] = []
    for lane in list(lanes.values()):
        first_at: dict[int, Item] = {}
        for item in sorted(lane, key=lambda item: item.key):
            rival = first_at.get(item.start)
            if rival is None or item.end > rival.end:
                first_at[item.start] = item
                if rival is not None:
                    homeless.append(rival)
            else:
                homeless.append(item)
        lane[:] = [first_at[start] for start in sorted(first_at)]
        for item, following in pairwise(lane):
            item.end = min(item.end, following.start)
    for item in sorted(homeless, key=lambda item: item.key) if spread else ():
        staff = item.voice // VOICES_OF_A_STAFF * VOICES_OF_A_STAFF
        for voice in range(staff, staff + VOICES_OF_A_STAFF):
            lane = lanes[voice, item.place]
            if not any(other.start < item.end and item.start < other.end for other in lane):
                item.voice, item.graces = voice, None
                lane.append(item)
                break
    return sorted((item for lane in lanes.values() for item in lane), key=lambda item: item.key)


# ── beats ────────────────────────────────────────────────────────────────────────────────────────────────


def _rhythm(value: int, dots: int, enters: int, times: int) -> RhythmRecord:
    exact = Fraction(WHOLE * ((2 << dots) - 1) * times, value * (enters << dots))
    return RhythmRecord(exact, value, dots, enters, times)


def _lay_out(items: list[Item], voice: int, table: BarTable, written: NDArray[np.void], plan: Plan) -> None:
    """Fill ``plan`` bar by bar, moving what no duration can meet."""
    by_bar: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_bar[int(table.index_of(item.start))].append(item)
    sounding: list[Item] = []  # items that reach into the bar
    n_bars = len(table)
    for bar, (start, stop) in enumerate(zip(table.starts_ticks.tolist(), table.ends_ticks.tolist(), strict=True)):
        # An upbeat is as long as its beats: no rest fills it as a whole, and none may be missing.
        upbeat = stop - start < WHOLE * table.metres[bar].numerator // table.metres[bar].denominator
        own = by_bar.pop(bar, [])
        low, high = np.searchsorted(written["onset_ticks"], [start, stop])
        if not own and not sounding:
            beats = _as_written(written[low:high], set(), start, stop, upbeat)
            if beats is None and voice == 0 and upbeat:
                beats = _of_pieces(spell([], start, stop) or [])
            if beats is not None:
                plan[bar, voice] = beats
            continue
        for item in own:
            if item.end <= item.start:  # it came from the bar before, where its place was the bar line
                item.end = item.start + SIXTY_FOURTH
        own = _one_a_place(sounding + own, spread=False)
        points = _points(own)
        beats = _as_written(written[low:high], {p for p in points if start < p < stop}, start, stop, upbeat, True)
        if beats is not None and any(item.end > beats[-1].end for item in own) and beats[-1].end < stop:
            beats = None
        if beats is None:
            pieces = spell(points, start, stop)
            if pieces is None:
                inside = [p for p in points if start < p < stop]
                tuplets = spell(points, start, stop, rounded=True)
                snapped = snap(inside, start, stop) if tuplets is None else truncated(tuplets, inside)
                for item in own:
                    _move(item, snapped, start, stop, bar == n_bars - 1)
                by_bar[bar + 1] += [item for item in own if item.start >= stop]
                own = _one_a_place([item for item in own if item.start < stop], spread=False)
                pieces = tuplets or spell(_points(own), start, stop)
                assert pieces is not None, "the grid is chosen so that durations can meet it"
            beats = _of_pieces(pieces)
        _fill(beats, own)
        plan[bar, voice] = beats
        sounding = [item for item in own if item.end > stop]


def _of_pieces(pieces: list[Piece]) -> list[PlannedBeat]:
    out = []
    for (start, end), piece in zip(clock(pieces), pieces, strict=True):
        length = piece.length
        out.append(PlannedBeat(start, end, _rhythm(length.value, int(length.dotted), length.enters, length.times)))
    return out


def _as_written(
    rows: NDArray[np.void], points: set[int], start: int, stop: int, upbeat: bool, sounds: bool = False
) -> list[PlannedBeat] | None:
    """The written beats of a bar, which may end early; None where they do not fit the bar, its notes or each other."""
    exact, counted = Fraction(start), start
    out = []
    for onset, duration, _, value, dots, enters, times in rows.tolist():
        if max(enters, times) > MAX_TUPLET:
            return None
        rhythm = _rhythm(value, dots, enters, times)
        if len(rows) == 1 and value == 1 and not sounds and duration == stop - start and not upbeat:
            return [PlannedBeat(start, stop, rhythm)] if onset == start else None  # a whole rest fills any bar
        at = whole_ticks(exact, counted)
        counted = at + int(rhythm.ticks)
        exact += rhythm.ticks
        end = whole_ticks(exact, counted)
        if (onset, onset + duration) != (at, end) or rhythm.ticks < 1:
            return None
        out.append(PlannedBeat(at, end, rhythm))
    if upbeat and out and out[-1].end < stop:
        return None
    fits = out and out[-1].end <= stop and points <= {beat.start for beat in out} | {out[-1].end}
    return out if fits else None


def _points(items: Iterable[Item]) -> list[int]:
    return sorted({edge for item in items for edge in (item.start, item.end)})


def _move(item: Item, snapped: Snapped, start: int, stop: int, last_bar: bool) -> None:
    """Move an item's edges to their places; it keeps one step of the grid at least."""
    end = snapped.places.get(item.end, item.end)
    onset = snapped.places.get(item.start, item.start)
    if onset >= stop and last_bar:
        onset = stop - snapped.steps[max(snapped.steps)]
    if start <= onset < stop and end <= onset:
        end = onset + snapped.steps[start + (onset - start) // QUARTER * QUARTER]
    item.start, item.end = onset, max(end, onset)


def _fill(beats: list[PlannedBeat], items: list[Item]) -> None:
    starts = [beat.start for beat in beats]
    for item in items:
        low = bisect_left(starts, item.start)
        for index in range(low, bisect_left(starts, item.end)):
            begins = starts[index] == item.start and not item.from_grace
            (beats[index].begun if begins else beats[index].tied).append(item)


def marks_by_beat(marks: Iterable[Mark]) -> dict[tuple[int, int], list[Mark]]:
    """Marks by voice and tick."""
    out: dict[tuple[int, int], list[Mark]] = defaultdict(list)
    for mark in marks:
        out[mark.voice, mark.onset_ticks].append(mark)
    return out
