"""Strings and frets for notes that have none: what a hand can play, and where it moves least.

One note a string at a time; frets within the instrument; the fretted notes that sound together lie within
``span_frets`` of each other (highest minus lowest fret), open strings are free. Over the onsets of a track the
assignment is found by dynamic programming: the hand covers four frets from its position up and pays for moving,
for stretching and a little for height. Notes whose string and fret are set stay there
(harmonics too, which sound higher); a harmonic without a place gets that of a plain note of its pitch.

A note that still sounds keeps its string (and its fret counts for the span) as long as the new notes can be
played beside it; where they cannot, it is cut at their onset.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from cadenza.base.errors import RangeError, UnplayableError
from cadenza.score.model import NO_FRET, NO_STRING, NoteArray, Track

MAX_FRET = 24
SPAN_FRETS = 5
HAND_FRETS = 4  # frets under the fingers of a hand that does not move
BEAM = 24  # hand positions kept per onset
MAX_SHAPES = 64  # fingerings kept per chord

CUT_COST = 1_000.0  # a ringing note is cut only where nothing else can be done
SHIFT_COST = 2.0  # leaving a position at all, plus 1 a fret
STRETCH_COST = 2.0  # each fret beyond the hand
HEIGHT_COST = 0.05  # each fret up the neck

Shape = tuple[tuple[int, int], ...]  # (string, fret) of each pitch, strings counted from 1 = highest


def playable(
    pitches: tuple[int, ...],
    tuning: tuple[int, ...],
    capo_fret: int = 0,
    max_fret: int = MAX_FRET,
    span_frets: int = SPAN_FRETS,
) -> bool:
    """Whether ``pitches``, sounding together, can be fingered. Cached: a mask asks the same chords again.

    Args:
        pitches: MIDI note numbers, in any order; a unison needs two strings.
        tuning: open-string pitches, highest string first.
        capo_fret: fret of the capo; frets are counted from it, the instrument ends at ``max_fret`` from the nut.
        span_frets: largest difference between fretted (not open) frets.
    """
    return _playable(tuple(sorted(pitches)), tuning, capo_fret, max_fret, span_frets)


@lru_cache(maxsize=1 << 16)
def _playable(pitches: tuple[int, ...], tuning: tuple[int, ...], capo: int, max_fret: int, span: int) -> bool:
    return next(_shapes(pitches, tuning, capo, max_fret, span), None) is not None


def _shapes(pitches: tuple[int, ...], tuning: tuple[int, ...], capo: int, max_fret: int, span: int) -> Iterator[Shape]:
    """Every way to play ``pitches`` (in their order) together."""
    if len(pitches) > len(tuning):
        return
    places = [
        [(string, pitch - opened - capo) for string, opened in enumerate(tuning, 1) if pitch - opened - capo >= 0]
        for pitch in pitches
    ]
    places = [[(string, fret) for string, fret in options if fret + capo <= max_fret] for options in places]
    order = sorted(range(len(pitches)), key=lambda i: len(places[i]))
    chosen: list[tuple[int, int]] = [(0, 0)] * len(pitches)

    def place(depth: int, used: int, low: int, high: int) -> Iterator[Shape]:
        if depth == len(order):
            yield tuple(chosen)
            return
        index = order[depth]
        for string, fret in places[index]:
            if used >> string & 1:
                continue
            new_low, new_high = (min(low, fret), max(high, fret)) if fret else (low, high)
            if new_high - new_low <= span:
                chosen[index] = (string, fret)
                yield from place(depth + 1, used | 1 << string, new_low, new_high)

    yield from place(0, 0, 1_000, 0)


@lru_cache(maxsize=1 << 14)
def _best_shapes(
    pitches: tuple[int, ...], tuning: tuple[int, ...], capo: int, max_fret: int, span: int
) -> tuple[Shape, ...]:
    """The ``MAX_SHAPES`` easiest shapes, easiest first."""
    return tuple(sorted(_shapes(pitches, tuning, capo, max_fret, span), key=_ease)[:MAX_SHAPES])


def _ease(shape: Shape) -> float:
    frets = [fret for _, fret in shape if fret]
    if not frets:
        return 0.0
    return STRETCH_COST * max(0, max(frets) - min(frets) - HAND_FRETS + 1) + HEIGHT_COST * sum(frets)


class _Held(NamedTuple):
    string: int
    fret: int
    end_ticks: int
    row: int


class _State(NamedTuple):
    """Where the hand is, and what still sounds."""

    position: int
    held: tuple[_Held, ...]


class _Step(NamedTuple):
    cost: float
    parent: int
    shape: Shape
    cut: tuple[int, ...]  # rows of notes that end here


def finger(
    track: Track,
    max_fret: int = MAX_FRET,
    span_frets: int = SPAN_FRETS,
    unplayable: Literal["refuse", "drop"] = "refuse",
) -> Track:
    """``track`` with a string and a fret for every note.

    Args:
        track: with a tuning; drums are returned as they are.
        unplayable: "refuse" a chord that no hand can play, or "drop" as few of its notes as need be, the
            highest and the lowest last.

    Raises:
        RangeError: the track has no tuning.
        UnplayableError: a chord cannot be played and ``unplayable`` is "refuse".
    """
    if unplayable not in ("refuse", "drop"):
        raise RangeError('unplayable of "refuse" or "drop"', repr(unplayable))
    notes = track.notes
    unset = (notes["string"] == NO_STRING) | (notes["fret"] == NO_FRET)
    if track.is_drums or not unset.any():
        return track
    if not track.tuning:
        raise RangeError("a tuning", "none", where=f"track {track.name!r}", hint="Give the track one first.")
    instrument = (track.tuning, track.capo_fret, max_fret, span_frets)
    dropped = np.zeros(len(notes), bool)
    steps: list[tuple[list[int], list[_Step]]] = []
    beam: list[tuple[_State, float]] = [(_State(1, ()), 0.0)]
    for rows in _onset_groups(notes):
        set_rows = [row for row in rows if not unset[row]]
        free = [row for row in rows if unset[row]]
        shapes = _group_shapes(notes, set_rows, free, instrument)
        if not shapes:
            if unplayable == "refuse":
                raise _unplayable_error(track, notes, rows)
            free = _thinned(notes, set_rows, free, instrument)
            dropped[[row for row in rows if unset[row] and row not in free]] = True
            shapes = _group_shapes(notes, set_rows, free, instrument)
        fixed = tuple((int(notes["string"][row]), int(notes["fret"][row])) for row in set_rows)
        taken = set_rows + free
        beam, found = _advance(beam, notes, taken, [fixed + shape for shape in shapes], span_frets)
        steps.append((taken, found))
    return _fingered(track, steps, beam, dropped)


def with_playable_places(track: Track) -> Track:
    """``track`` without the strings and frets of notes that start together where no hand can hold them: two on a
    string, frets too far apart or beyond the neck, or one without a place."""
    notes = track.notes.copy()
    for rows in _onset_groups(notes):
        strings, frets = notes["string"][rows].tolist(), notes["fret"][rows].tolist()
        on_neck = all(0 <= fret <= MAX_FRET - track.capo_fret for fret in frets)
        named = all(1 <= string <= len(track.tuning) for string in strings) and len(set(strings)) == len(strings)
        if rows and not (on_neck and named and _span(frets) <= SPAN_FRETS):
            notes["string"][rows], notes["fret"][rows] = NO_STRING, NO_FRET
    return track.with_notes(notes, track.bends)


def _onset_groups(notes: NoteArray) -> list[list[int]]:
    """Rows by onset."""
    bounds = [0, *(np.flatnonzero(np.diff(notes["onset_ticks"])) + 1).tolist(), len(notes)]
    return [list(range(low, high)) for low, high in pairwise(bounds)]


Instrument = tuple[tuple[int, ...], int, int, int]  # tuning, capo, last fret, span


def _group_shapes(notes: NoteArray, set_rows: list[int], free: list[int], instrument: Instrument) -> tuple[Shape, ...]:
    """Shapes for the free notes beside the set ones (whose own shape is not ours to judge)."""
    tuning, capo, max_fret, span = instrument
    pitches = tuple(int(p) for p in notes["pitch"][free])
    if not set_rows:
        return _best_shapes(pitches, tuning, capo, max_fret, span)
    used = {int(s) for s in notes["string"][set_rows]}
    pressed = [int(f) for f in notes["fret"][set_rows] if f]
    within = [
        shape
        for shape in _shapes(pitches, tuning, capo, max_fret, span)
        if not any(string in used for string, _ in shape)
    ]
    if max(pressed, default=0) - min(pressed, default=0) <= span:
        within = [shape for shape in within if _span([*pressed, *(fret for _, fret in shape)]) <= span]
    return tuple(sorted(within, key=_ease)[:MAX_SHAPES])


def _span(frets: list[int]) -> int:
    pressed = [fret for fret in frets if fret]
    return max(pressed) - min(pressed) if pressed else 0


def _thinned(notes: NoteArray, set_rows: list[int], free: list[int], instrument: Instrument) -> list[int]:
    """The free rows that are left when as many as possible stay, taken outermost first."""
    by_pitch = sorted(free, key=lambda row: int(notes["pitch"][row]))
    order = [by_pitch[-1], *by_pitch[:1], *reversed(by_pitch[1:-1])] if len(by_pitch) > 1 else by_pitch
    kept: list[int] = []
    for row in order:
        if _group_shapes(notes, set_rows, [*kept, row], instrument):
            kept.append(row)
    return sorted(kept)


def _advance(
    beam: list[tuple[_State, float]], notes: NoteArray, rows: list[int], shapes: list[Shape], span: int
) -> tuple[list[tuple[_State, float]], list[_Step]]:
    """One onset further: the cheapest way into each reachable state, at most ``BEAM`` of them."""
    if not rows:
        return beam, [_Step(cost, index, (), ()) for index, (_, cost) in enumerate(beam)]
    onset = int(notes["onset_ticks"][rows[0]])
    ends = [onset + int(notes["duration_ticks"][row]) for row in rows]
    hands = []
    for shape in shapes:
        frets = [fret for _, fret in shape if fret]
        held = tuple(_Held(s, f, end, row) for (s, f), end, row in zip(shape, ends, rows, strict=True) if end > onset)
        hands.append((shape, frets, {string for string, _ in shape}, HEIGHT_COST * sum(frets), held))
    reached: dict[_State, _Step] = {}
    worst = float("inf")
    for parent, (state, cost) in enumerate(beam):
        if cost >= worst:
            break  # the beam is in order of cost: nothing cheap follows
        ringing = [held for held in state.held if held.end_ticks > onset]
        for shape, frets, strings, height, held in hands:
            position, effort = _moved(state.position, frets)
            total = cost + effort + height
            if total >= worst:
                continue
            sounding: tuple[_Held, ...] = held
            cut: tuple[int, ...] = ()
            if ringing:
                kept, cut = _kept_beside(ringing, strings, frets, span)
                sounding, total = tuple(sorted([*kept, *held])), total + CUT_COST * len(cut)
            new = _State(position, sounding)
            if new not in reached or total < reached[new].cost:
                reached[new] = _Step(total, parent, shape, cut)
        if len(reached) > 4 * BEAM:
            best = sorted(reached.items(), key=lambda item: item[1].cost)[:BEAM]
            reached, worst = dict(best), best[-1][1].cost
    best = sorted(reached.items(), key=lambda item: item[1].cost)[:BEAM]
    return [(state, step.cost) for state, step in best], [step for _, step in best]


def _kept_beside(
    ringing: list[_Held], strings: set[int], frets: list[int], span: int
) -> tuple[list[_Held], tuple[int, ...]]:
    """Which ringing notes go on beside new ones, and the rows of those that do not."""
    if not ringing:
        return [], ()
    low, high = min(frets, default=1_000), max(frets, default=0)
    kept, cut = [], []
    for held in sorted(ringing, key=lambda h: -h.end_ticks):
        new_low, new_high = (min(low, held.fret), max(high, held.fret)) if held.fret else (low, high)
        if held.string in strings or new_high - new_low > span:
            cut.append(held.row)
        else:
            low, high = new_low, new_high
            kept.append(held)
    return kept, tuple(cut)


def _moved(position: int, frets: list[int]) -> tuple[int, float]:
    """The hand's new position and what getting there and stretching costs."""
    if not frets:
        return position, 0.0
    low, high = min(frets), max(frets)
    stretch = STRETCH_COST * (high - low - HAND_FRETS + 1) if high - low >= HAND_FRETS else 0.0
    if low >= position and high < position + HAND_FRETS:
        return position, stretch
    new = low if low < position else min(low, high - HAND_FRETS + 1)
    return new, stretch + SHIFT_COST + abs(new - position)


def _fingered(
    track: Track, steps: list[tuple[list[int], list[_Step]]], beam: list[tuple[_State, float]], dropped: np.ndarray
) -> Track:
    """Walk back from the cheapest end."""
    notes, bends = track.notes.copy(), track.bends
    index = min(range(len(beam)), key=lambda i: beam[i][1])
    for rows, found in reversed(steps):
        step = found[index]
        for row, (string, fret) in zip(rows, step.shape, strict=True):
            notes["string"][row], notes["fret"][row] = string, fret
        for row in step.cut:
            notes["duration_ticks"][row] = notes["onset_ticks"][rows[0]] - notes["onset_ticks"][row]
        index = step.parent
    if len(bends):
        bends = bends[bends["offset_ticks"] <= notes["duration_ticks"][bends["note"]]]
    kept = ~dropped
    if len(bends):
        bends = bends[kept[bends["note"]]].copy()
        bends["note"] = (np.cumsum(kept) - 1)[bends["note"]]
    return track.with_notes(notes[kept], bends)


def _unplayable_error(track: Track, notes: NoteArray, rows: list[int]) -> UnplayableError:
    pitches = sorted(int(p) for p in notes["pitch"][rows])
    return UnplayableError(
        f"notes that a hand can play on strings tuned to {', '.join(map(str, track.tuning))}"
        + (f" with a capo at {track.capo_fret}" if track.capo_fret else ""),
        f"pitches {', '.join(map(str, pitches))} together",
        where=f"track {track.name!r}, tick {int(notes['onset_ticks'][rows[0]])}",
        hint='Choose another tuning, transpose, or ask to "drop" what cannot be played.',
    )


_GUITAR, _BASS = (64, 59, 55, 50, 45, 40), (43, 38, 33, 28)
_TUNINGS: tuple[tuple[int, ...], ...] = (
    _GUITAR,
    _BASS,
    (*_GUITAR, 35),
    (43, 38, 33, 28, 23),
    (76, 71, 67, 62, 57, 52, 47),
    (88, 83, 78, 73, 68, 63, 58),
    *(tuple(low + 7 * i for i in reversed(range(7))) for low in (24, 31, 38, 45)),
    *(tuple(low + 10 * i for i in reversed(range(7))) for low in (21, 28)),
)
_BASS_PROGRAMS = range(32, 40)


def tuning_for(track: Track) -> tuple[int, ...]:
    """A tuning in which most of the track's chords can be played.

    The guitar's is taken unless another (a bass's, seven strings, a wide tuning in fifths for keyboards) holds
    more notes; a bass program tries the bass first.
    """
    tunings = _TUNINGS
    if track.program in _BASS_PROGRAMS:
        tunings = (_BASS, (43, 38, 33, 28, 23), *_TUNINGS)
    chords: dict[tuple[int, ...], int] = {}
    for rows in _onset_groups(track.notes):
        if rows:
            chord = tuple(sorted(int(p) for p in track.notes["pitch"][rows]))
            chords[chord] = chords.get(chord, 0) + len(rows)
    return max(tunings, key=lambda t: sum(n for chord, n in chords.items() if playable(chord, t)))
