"""Edits that make a Score fit a tablature program, and beats of what fits.

Every bar as long as its metre, every note on a string that a hand can reach, whole tempos, eight dynamics, one kind of
harmonic a note. What is then arranged as beats (:func:`arranged`) says exactly one Score (:func:`settled`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.score.fingering import finger, tuning_for
from cadenza.score.model import (
    HARMONICS,
    NO_FRET,
    NO_STRING,
    BarMark,
    Key,
    Marker,
    Metre,
    NoteArray,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.tab.arrange import GUITAR_PRO_5, arrange
from cadenza.score.tab.harmonics import nearest
from cadenza.score.tab.page import Arranged, Beat, Page
from cadenza.score.time import BarTable, bar_table, key_at, tempo_at
from cadenza.score.written import JUMPS, TARGETS

TICKS_PER_QUARTER = 960
MAX_STRINGS = 7
MAX_FRET = 99
MAX_CAPO = 24
MAX_DRUM_KEY = 99
MAX_ENDING = 8
MAX_REPEATS = 127
MAX_NUMERATOR = 127
MAX_DENOMINATOR = 64
GRID_TICKS = 60  # bar lines stand on 64th notes
MIN_VELOCITY, VELOCITY_STEP = 15, 16
ONE_HARMONIC = (
    Technique.HARMONIC_NATURAL,
    Technique.HARMONIC_ARTIFICIAL,
    Technique.HARMONIC_TAPPED,
    Technique.HARMONIC_PINCH,
    Technique.HARMONIC_SEMI,
)


def bars_on_64ths(score: Score) -> Score:
    """Every bar as long as its metre: bar lines on 64ths, short bars with a metre of their own.

    Raises:
        FormatError: a metre has more than 127 beats, or beats shorter than a 64th.
    """

    def place(tick: int) -> int:
        return (2 * tick + GRID_TICKS) // (2 * GRID_TICKS) * GRID_TICKS

    for metre in score.metres:
        if metre.numerator > MAX_NUMERATOR or metre.denominator > MAX_DENOMINATOR:
            raise FormatError(
                f"metres up to {MAX_NUMERATOR}/{MAX_DENOMINATOR}",
                f"{metre.numerator}/{metre.denominator}",
                where=f"tick {metre.onset_ticks}",
                hint="Guitar Pro 5 cannot hold it.",
            )
    last = max((int(track.notes["onset_ticks"][-1]) for track in score.tracks if len(track)), default=0)
    table = bar_table(
        replace(
            score,
            metres=tuple(replace(m, onset_ticks=place(m.onset_ticks)) for m in score.metres),
            bars=tuple(replace(m, onset_ticks=place(m.onset_ticks)) for m in score.bars),
        ),
        max(score.length_ticks, last + 1),  # a note without length at the very end still wants a bar
    )
    metres: list[Metre] = []
    bars: list[BarMark] = []
    directed: set[str] = set()
    starts = table.starts_ticks.tolist()
    for start, stop, metre, mark in zip(starts, table.ends_ticks.tolist(), table.metres, table.marks, strict=True):
        for at, numerator, denominator in signatures(start, stop, metre):
            held = metres[-1] if metres else None
            if held is None or (held.numerator, held.denominator) != (numerator, denominator):
                metres.append(Metre(at, numerator, denominator))
        if mark is not None:
            endings = tuple(sorted({e for e in mark.endings if e <= MAX_ENDING}))
            close = min(mark.repeat_close, MAX_REPEATS) if mark.repeat_close > 1 else 0
            directions = _directions(mark, directed)
            if mark.repeat_open or close or endings or directions:
                bars.append(BarMark(start, mark.repeat_open, close, endings, directions))
    end = int(table.ends_ticks[-1])
    out = replace(score, metres=tuple(metres), bars=tuple(bars), length_ticks=end)
    return entries(out, bar_table(out, end))


def _directions(mark: BarMark, directed: set[str]) -> tuple[str, ...]:
    """At most one place and one jump of a bar, each only where it stands first."""
    out = []
    for family in (TARGETS, JUMPS):
        new = [direction for direction in mark.directions if direction in family and direction not in directed]
        directed.update(new[:1])
        out += new[:1]
    return tuple(out)


def signatures(start: int, stop: int, metre: Metre) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator) of the bars that hold start … stop: one, or more where it is odd and long."""
    length = stop - start
    if length * metre.denominator == 4 * TICKS_PER_QUARTER * metre.numerator:
        return [(start, metre.numerator, metre.denominator)]
    units = length // GRID_TICKS
    shared = gcd(units, MAX_DENOMINATOR)
    if units // shared <= MAX_NUMERATOR:
        return [(start, units // shared, MAX_DENOMINATOR // shared)]
    whole = 4 * TICKS_PER_QUARTER
    return [(start, 4, 4), *signatures(start + whole, stop, metre)]


def entries(score: Score, table: BarTable, text: Callable[[str], str] = str) -> Score:
    """Keys and section names at the starts of bars, each said once; C major is what holds unsaid.

    Args:
        text: what a program leaves of a name.
    """
    keys: list[Key] = []
    held = Key(0, 0)
    for start, stop in zip(table.starts_ticks.tolist(), table.ends_ticks.tolist(), strict=True):
        key = key_at(score, stop - 1)
        if key is not None and (key.fifths, key.mode) != (held.fifths, held.mode):
            held = replace(key, onset_ticks=start)
            keys.append(held)
    names: dict[int, list[str]] = {}
    for marker in score.markers:
        if marker.onset_ticks < table.ends_ticks[-1]:
            bar = int(table.index_of(marker.onset_ticks))
            names.setdefault(int(table.starts_ticks[bar]), []).append(marker.text)
    markers = tuple(Marker(at, text(" / ".join(texts))) for at, texts in names.items())
    return replace(score, keys=tuple(keys), markers=markers)


def whole_tempos(score: Score) -> Score:
    """Whole numbers, the first at 0, each said once."""
    out: list[Tempo] = []
    for tempo in (
        score.tempos if score.tempos and score.tempos[0].onset_ticks == 0 else (Tempo(0, 120.0), *score.tempos)
    ):
        value = float(min(max(round(tempo.quarters_per_minute), 1), 1_000_000))
        if tempo.onset_ticks < score.length_ticks and (not out or out[-1].quarters_per_minute != value):
            out.append(Tempo(tempo.onset_ticks, value))
    return replace(score, tempos=tuple(out))


def eight_dynamics(velocity: np.ndarray) -> np.ndarray:
    level = (velocity.astype(np.int64) - MIN_VELOCITY + VELOCITY_STEP // 2) // VELOCITY_STEP
    return MIN_VELOCITY + VELOCITY_STEP * np.clip(level, 0, 7)


def one_harmonic(bits: np.ndarray) -> np.ndarray:
    every = np.uint64(int(HARMONICS))
    out = bits & ~every
    for harmonic in reversed(ONE_HARMONIC):
        bit = np.uint64(int(harmonic))
        out = np.where(bits & bit != 0, (out & ~every) | bit, out)
    return out


def _instrument(track: Track) -> Track:
    """Drums without strings; everything else with a tuning of 1–7 strings and every note fingered."""
    if track.is_drums:
        notes = track.notes.copy()
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        out = replace(track, notes=notes, tuning=(), capo_fret=0, program=0)
        return out.keep(notes["pitch"] <= MAX_DRUM_KEY)
    capo = track.capo_fret if 0 <= track.capo_fret <= MAX_CAPO else 0
    tuning = track.tuning if 1 <= len(track.tuning) <= MAX_STRINGS else ()
    notes = track.notes.copy()
    if not tuning or not all(0 <= pitch <= 127 for pitch in tuning):
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        tuning, capo = tuning_for(track), 0
    string, fret = notes["string"].astype(np.int64), notes["fret"].astype(np.int64)
    fretted = np.array(tuning, np.int64)[np.maximum(string, 1) - 1] + capo + fret
    placed = (string != NO_STRING) & (fret != NO_FRET) & (fret <= MAX_FRET) & (fretted <= 127)
    harmonic = _harmonics(notes, placed, fretted)
    loose = ~(placed & (harmonic | (fretted == notes["pitch"])))
    notes["string"][loose], notes["fret"][loose] = NO_STRING, NO_FRET
    return finger(replace(track, notes=notes, tuning=tuning, capo_fret=capo), unplayable="drop")


def _harmonics(notes: NoteArray, placed: NDArray[np.bool_], fretted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which notes are harmonics that the file can hold; changes their pitches, and the others' techniques."""
    every = np.uint64(int(HARMONICS))
    grace = notes["techniques"] & np.uint64(int(Technique.GRACE)) != 0
    held = (notes["techniques"] & every != 0) & placed & ~grace
    for row in np.flatnonzero(held):
        kind, fret, low = Technique(int(notes["techniques"][row])), int(notes["fret"][row]), int(fretted[row])
        above = nearest(kind, fret, low, int(notes["pitch"][row]))
        if above is None:
            held[row] = False
        else:
            notes["pitch"][row] = low + above
    notes["techniques"][~held] &= ~every
    return held


def playable(score: Score) -> Score:
    return score.with_tracks([_instrument(track) for track in score.tracks or (Track(),)])


# ── as beats ─────────────────────────────────────────────────────────────────────────────────────────────


def arranged(score: Score, page: Page = GUITAR_PRO_5) -> list[Arranged]:
    """The tracks of a score that fits, as beats."""
    table = bar_table(score)
    parts = [arrange(track, table, (), page) for track in score.tracks[1:]]
    changes = {tempo.onset_ticks: int(tempo.quarters_per_minute) for tempo in score.tempos[1:]}
    for part in parts:  # a tempo that another track's beat says need not be said by the first
        for _, beat in tempo_beats(part):
            if changes.get(beat.start) == beat.marks["tempo"][0][0]:
                del changes[beat.start]
    return [arrange(score.tracks[0], table, tuple(changes), page), *parts]


def tempo_beats(part: Arranged) -> list[tuple[int, Beat]]:
    """(0, beat) for the beats of the first voice that say a tempo."""
    return [(voice, beat) for voice, beat in part.rows() if voice == 0 and "tempo" in beat.marks]


def settled(score: Score, parts: list[Arranged]) -> Score:
    """The score that the beats say. Decides which beats say a tempo (:attr:`Beat.tempo`)."""
    moved = parts[0].moved
    tempos = tuple(
        replace(tempo, onset_ticks=moved.get(tempo.onset_ticks, tempo.onset_ticks)) for tempo in score.tempos
    )
    out = whole_tempos(replace(score, tempos=tempos))
    changes = {tempo.onset_ticks: int(tempo.quarters_per_minute) for tempo in out.tempos[1:]}
    said: dict[int, list[tuple[int, Beat]]] = {}
    for index, part in enumerate(parts):
        for voice, beat in part.rows():
            tempo = beat.marks.get("tempo")
            if tempo is None:
                continue
            if voice == 0 and tempo[0][0] == int(tempo_at(out, beat.start).quarters_per_minute):
                beat.tempo = tempo[0][0]
                said.setdefault(beat.start, []).append((index, beat))
            else:
                del beat.marks["tempo"]
    for voice, beat in parts[0].rows():
        if voice == 0 and beat.start in changes and beat.start not in said:
            beat.tempo = changes[beat.start]
    for tick, places in said.items():  # a change needs no mark at its usual place
        if tick in changes and len(places) == 1 and places[0][0] == 0:
            del places[0][1].marks["tempo"]
    return replace(out, tracks=tuple(part.to_track() for part in parts))
