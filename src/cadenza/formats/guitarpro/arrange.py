"""Notes → beats: what Guitar Pro can hold of a track, and the beats that hold it.

A voice is a row of beats; a note that outlasts its beat is tied into the next, so notes of one voice may
overlap freely, one a string. Two voices are kept; notes of higher ones join the second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np

from cadenza.score.model import BEND_DTYPE, NO_FRET, NO_SPELLING, NO_STRING, NOTE_DTYPE, Technique, Track
from cadenza.score.rhythm import (
    QUARTER,
    SIXTY_FOURTH,
    WHOLE,
    Length,
    Snapped,
    clock,
    snap,
    spell,
    truncated,
)
from cadenza.score.time import BarTable

N_VOICES = 2
DRUM_STRINGS = 7
GRACE_TICKS = 120
BEND_POSITIONS = 60
CENTS_PER_BEND_UNIT = 50
SLAPS = (Technique.TAP, Technique.SLAP, Technique.POP)
GRACE_TECHNIQUES = Technique.GRACE | Technique.DEAD | Technique.SLIDE_LEGATO | Technique.HAMMER


@dataclass(slots=True, eq=False)
class Item:
    """A note on its way to the page. ``fret`` is the key of a drum note."""

    onset: int
    end: int
    pitch: int
    string: int
    fret: int
    velocity: int
    techniques: Technique
    voice: int
    bends: tuple[tuple[int, int], ...]  # (offset_ticks, cents)
    grace: Item | None = None
    on_beat: bool = False  # its grace note


@dataclass(slots=True)
class Beat:
    """A duration at its place, the notes that begin on it and those that are tied into it."""

    start: int
    end: int
    length: Length
    begun: list[Item] = field(default_factory=list)
    tied: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Arranged:
    """A track as beats: ``beats[bar, voice]`` (absent where the voice is silent), and its notes."""

    track: Track
    items: list[Item]
    beats: dict[tuple[int, int], list[Beat]]
    moved: dict[int, int]  # extra ticks → where they went

    def to_track(self) -> Track:
        """The track that a reader finds in these beats."""
        items = self.items + [item.grace for item in self.items if item.grace is not None]
        notes = np.zeros(len(items), NOTE_DTYPE)
        bends: list[tuple[int, int, int]] = []
        drums = self.track.is_drums
        for row, item in enumerate(items):
            string, fret = (NO_STRING, NO_FRET) if drums else (item.string, item.fret)
            notes[row] = (
                item.onset, item.end - item.onset, item.pitch, item.velocity, string, fret,
                int(item.techniques), item.voice, NO_SPELLING,
            )  # fmt: skip
            bends += [(row, offset, cents) for offset, cents in item.bends]
        return self.track.with_notes(notes, np.array(bends, BEND_DTYPE))


def arrange(track: Track, table: BarTable, extra: tuple[int, ...] = ()) -> Arranged:
    """The track's notes as beats of the bars in ``table``, each of which is as long as its metre says.

    Args:
        track: fretted throughout, or drums.
        extra: ticks at which a beat of the first voice must begin (tempo changes).
    """
    items = _items(track)
    mains = _attach_graces(items, track.is_drums)
    if track.is_drums:
        mains = _drum_strings(mains)
    mains = _one_a_string(mains, to_other_voice=True)
    kept: list[Item] = []
    beats: dict[tuple[int, int], list[Beat]] = {}
    moved: dict[int, int] = {}
    for voice in range(N_VOICES):
        own = [item for item in mains if item.voice == voice]
        ticks = list(extra) if voice == 0 else []
        if own or ticks or voice == 0:
            kept += _lay_out(own, voice, table, ticks, beats, moved)
    return Arranged(track, kept, beats, moved)


def _items(track: Track) -> list[Item]:
    out = []
    for n in track:
        bends = tuple((b.offset_ticks, b.cents) for b in n.bends)
        fret = n.pitch if track.is_drums else n.fret
        voice = min(n.voice, N_VOICES - 1)
        end = n.onset_ticks + max(n.duration_ticks, 1)
        out.append(Item(n.onset_ticks, end, n.pitch, n.string, fret, n.velocity, n.techniques, voice, bends))
    return out


# ── grace notes ──────────────────────────────────────────────────────────────────────────────────────────


def _attach_graces(items: list[Item], drums: bool) -> list[Item]:
    """Items without the grace notes, which hang on the notes that they lead to.

    A grace note that leads to no note on its string is an ordinary note.
    """
    mains = [item for item in items if not item.techniques & Technique.GRACE]
    at: dict[tuple[int, ...], list[Item]] = defaultdict(list)
    for item in mains:
        at[(item.voice, item.onset) if drums else (item.voice, item.onset, item.string)].append(item)
    plain = []
    for item in items:
        if not item.techniques & Technique.GRACE:
            continue
        key = (item.voice, item.end) if drums else (item.voice, item.end, item.string)
        free = [main for main in at.get(key, ()) if main.grace is None]
        if free:
            free[0].grace = item
        else:
            item.techniques &= ~Technique.GRACE
            plain.append(item)
    by_end: dict[tuple[int, int], list[Item]] = defaultdict(list)
    by_onset: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in mains + plain:
        by_end[item.voice, item.end].append(item)
        by_onset[item.voice, item.onset].append(item)
    for main in mains:
        grace = main.grace
        if grace is None or main.onset <= grace.onset:
            continue
        # Which of the two stands on the stronger place of the bar?
        if gcd(grace.onset, WHOLE) > gcd(main.onset, WHOLE):
            for item in by_onset[main.voice, main.onset]:
                item.on_beat = True
                item.onset = grace.onset
        else:
            for item in by_end[main.voice, grace.onset]:
                item.end = max(item.end, main.onset)
    return sorted(mains + plain, key=_order)


def _order(item: Item) -> tuple[int, ...]:
    return (item.onset, item.pitch, item.end, item.velocity, item.string, item.voice, int(item.techniques))


def _time_graces(beats: list[Beat]) -> None:
    """Give grace notes their time as the reader does: half of the lender's beat, 1/32 at most."""
    previous: Beat | None = None
    for beat in beats:
        graced = [item for item in beat.begun if item.grace is not None]
        if graced:
            before = previous.start if previous else 0
            on_beat = any(item.on_beat for item in graced) or beat.start - before < 2
            room = (beat.end - beat.start) // 2 if on_beat else (beat.start - before) // 2
            length = min(GRACE_TICKS, max(room, 1))
            first = beat.start if on_beat else beat.start - length
            if on_beat:
                for item in beat.begun:
                    item.onset = beat.start + length
            elif previous:
                for item in previous.begun + previous.tied:
                    if item.end == beat.start:
                        item.end = first
            for item in graced:
                item.on_beat = on_beat
                grace = item.grace
                assert grace is not None
                grace.onset, grace.string = first, item.string
                grace.end = beat.start + length if on_beat else beat.start
                _plain_grace(grace, item)
        previous = beat


def _plain_grace(grace: Item, main: Item) -> None:
    """Leave what a grace note can say: dead or not, and one way of reaching the main note."""
    rise = 2 * (main.fret - grace.fret)
    grace.techniques &= GRACE_TECHNIQUES
    if grace.techniques & Technique.SLIDE_LEGATO:
        grace.techniques &= ~Technique.HAMMER
    bent = bool(grace.bends) and rise and not grace.techniques & (Technique.SLIDE_LEGATO | Technique.HAMMER)
    span = grace.end - grace.onset
    grace.bends = ((0, 0), (span, rise * CENTS_PER_BEND_UNIT)) if bent else ()


# ── strings ──────────────────────────────────────────────────────────────────────────────────────────────


def _drum_strings(items: list[Item]) -> list[Item]:
    """Drum notes on the strings of the page: the first that is free, then the other voice's; else left out."""
    busy = {voice: [0] * (DRUM_STRINGS + 1) for voice in range(N_VOICES)}
    out = []
    for item in items:
        for voice in (item.voice, 1 - item.voice):
            free = [s for s in range(1, DRUM_STRINGS + 1) if busy[voice][s] <= item.onset]
            if free:
                item.voice, item.string = voice, free[0]
                busy[voice][free[0]] = item.end
                out.append(item)
                break
    return out


def _one_a_string(items: list[Item], to_other_voice: bool) -> list[Item]:
    """A note ends where the next on its string and voice begins; of two at once the longer stays.

    The other goes to the second voice where the string is free there.
    """
    lanes: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in items:
        lanes[item.voice, item.string].append(item)
    homeless: list[Item] = []
    for lane in lanes.values():
        first_at: dict[int, Item] = {}
        for item in sorted(lane, key=_order):
            rival = first_at.get(item.onset)
            if rival is None or item.end > rival.end:
                first_at[item.onset] = item
                if rival is not None:
                    homeless.append(rival)
            else:
                homeless.append(item)
        lane[:] = [first_at[onset] for onset in sorted(first_at)]
        for item, following in pairwise(lane):
            item.end = min(item.end, following.onset)
    if to_other_voice:
        for item in sorted(homeless, key=_order):
            lane = lanes[1, item.string]
            if item.voice == 0 and not any(o.onset < item.end and item.onset < o.end for o in lane):
                item.voice = 1
                lane.append(item)
    return sorted((item for lane in lanes.values() for item in lane), key=_order)


# ── beats ────────────────────────────────────────────────────────────────────────────────────────────────


def _lay_out(
    items: list[Item],
    voice: int,
    table: BarTable,
    extra: list[int],
    beats: dict[tuple[int, int], list[Beat]],
    moved: dict[int, int],
) -> list[Item]:
    """Fill ``beats`` bar by bar, moving what no duration can meet; the items that stay."""
    starts = table.starts_ticks.tolist()
    by_bar: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_bar[int(table.index_of(item.onset))].append(item)
    sounding: list[Item] = []  # items that reach into the bar
    row: list[Beat] = []
    out: list[Item] = []
    for bar, (start, stop) in enumerate(zip(starts, table.ends_ticks.tolist(), strict=True)):
        own = by_bar.pop(bar, [])
        ticks = [tick for tick in extra if start <= moved.get(tick, tick) < stop]
        if not own and not sounding and not ticks and voice:
            continue
        for item in own:
            if item.end <= item.onset:  # it came from the bar before, where its place was the bar line
                item.end = item.onset + SIXTY_FOURTH
        own = _one_a_string(sounding + own, to_other_voice=False)
        points = _points(own, ticks, moved)
        pieces = spell(points, start, stop)
        if pieces is None:
            inside = [p for p in points if start < p < stop]
            tuplets = spell(points, start, stop, rounded=True)
            snapped = snap(inside, start, stop) if tuplets is None else truncated(tuplets, inside)
            last = stop == int(table.ends_ticks[-1])
            for item in own:
                _move(item, snapped, start, stop, last)
            for tick in ticks:
                moved[tick] = snapped.places.get(moved.get(tick, tick), moved.get(tick, tick))
            late = [item for item in own if item.onset >= stop]
            by_bar[bar + 1] += late
            own = _one_a_string([item for item in own if item.onset < stop], to_other_voice=False)
            pieces = tuplets or spell(_points(own, ticks, moved), start, stop)
            assert pieces is not None, "the grid is chosen so that durations can meet it"
        made = [Beat(*ticks, piece.length) for ticks, piece in zip(clock(pieces), pieces, strict=True)]
        _fill(made, own)
        if own or ticks or voice == 0:
            beats[bar, voice] = made
            row += made
        out += [item for item in own if item.end <= stop]
        sounding = [item for item in own if item.end > stop]
    out += sounding
    _time_graces(row)
    for item in out:
        _quantise_bends(item)
    for beat in row:
        _share_slap(beat)
    return out


def _points(items: list[Item], ticks: list[int], moved: dict[int, int]) -> list[int]:
    edges = {edge for item in items for edge in (item.onset, item.end)}
    return sorted(edges | {moved.get(tick, tick) for tick in ticks})


def _move(item: Item, snapped: Snapped, start: int, stop: int, last_bar: bool) -> None:
    """Move an item's edges to their places; it keeps one step of the grid at least."""
    end = snapped.places.get(item.end, item.end)
    onset = snapped.places.get(item.onset, item.onset)
    if onset >= stop and last_bar:
        onset = stop - snapped.steps[max(snapped.steps)]
    if start <= onset < stop and end <= onset:
        end = onset + snapped.steps[start + (onset - start) // QUARTER * QUARTER]
    item.onset, item.end = onset, max(end, onset)


def _fill(beats: list[Beat], items: list[Item]) -> None:
    starts = [beat.start for beat in beats]
    for item in items:
        low = bisect_left(starts, item.onset)
        for index in range(low, bisect_left(starts, item.end)):
            beat = beats[index]
            (beat.begun if starts[index] == item.onset else beat.tied).append(item)


def _quantise_bends(item: Item) -> None:
    """Bend points at sixtieths of the note, in quarter-tones."""
    if not item.bends:
        return
    span = item.end - item.onset
    out: dict[int, int] = {}
    for offset, cents in item.bends:
        position = bend_position(min(offset, span), span)
        out[(2 * position * span + BEND_POSITIONS) // (2 * BEND_POSITIONS)] = bend_units(cents) * CENTS_PER_BEND_UNIT
    item.bends = tuple(sorted(out.items()))


def bend_position(offset_ticks: int, span_ticks: int) -> int:
    """The nearest of the places 0–60 over a note."""
    return (2 * offset_ticks * BEND_POSITIONS + span_ticks) // (2 * span_ticks)


def bend_units(cents: int) -> int:
    """The nearest quarter-tone, halves away from zero, at most 120 semitones."""
    units = (2 * abs(cents) + CENTS_PER_BEND_UNIT) // (2 * CENTS_PER_BEND_UNIT)
    units = min(units, 12_000 // CENTS_PER_BEND_UNIT)
    return units if cents >= 0 else -units


def _share_slap(beat: Beat) -> None:
    """Tapping, slapping and popping belong to a beat: one of them, for all notes that begin on it."""
    found: Any = next((slap for slap in SLAPS if any(item.techniques & slap for item in beat.begun)), Technique.NONE)
    for item in beat.begun:
        item.techniques = item.techniques & ~(SLAPS[0] | SLAPS[1] | SLAPS[2]) | found
