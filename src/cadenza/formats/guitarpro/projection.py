"""What a .gp5 file cannot hold of a Score, as Edits: ``read(write(s)) == project(s, PROJECTION)``.

Nothing of a score that came from a Guitar Pro file is touched, except where the file itself overlaps two notes
on one string of one voice.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.formats.guitarpro.arrange import Arranged, arrange
from cadenza.formats.guitarpro.harmonics import nearest
from cadenza.score.edit import (
    Edit,
    drop_controls,
    drop_directions,
    drop_spelling,
    drop_written,
    map_column,
    project,
    rescale,
)
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
from cadenza.score.time import BarTable, bar_table, key_at

TICKS_PER_QUARTER = 960
ENCODING = "cp1252"
MAX_STRINGS = 7
MAX_FRET = 99
MAX_CAPO = 24
MAX_DRUM_KEY = 99
MAX_ENDING = 8
MAX_REPEATS = 127
MAX_NUMERATOR = 127
MAX_DENOMINATOR = 64
GRID_TICKS = 60  # bar lines stand on 64th notes
NAME_BYTES, TEXT_BYTES = 40, 255
MIN_VELOCITY, VELOCITY_STEP = 15, 16
ONE_HARMONIC = (
    Technique.HARMONIC_NATURAL,
    Technique.HARMONIC_ARTIFICIAL,
    Technique.HARMONIC_TAPPED,
    Technique.HARMONIC_PINCH,
    Technique.HARMONIC_SEMI,
)


def _text(text: str, n_bytes: int) -> str:
    return text.encode(ENCODING, "replace")[:n_bytes].decode(ENCODING)


def _texts(score: Score) -> Score:
    return replace(
        score,
        title=_text(score.title, TEXT_BYTES),
        composer=_text(score.composer, TEXT_BYTES),
        markers=tuple(Marker(m.onset_ticks, _text(m.text, TEXT_BYTES)) for m in score.markers),
        tracks=tuple(replace(t, name=_text(t.name, NAME_BYTES)) for t in score.tracks),
    )


def _bars(score: Score) -> Score:
    """Every bar as long as its metre: bar lines on 64ths, short bars with a metre of their own."""

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
    table = bar_table(
        replace(
            score,
            metres=tuple(replace(m, onset_ticks=place(m.onset_ticks)) for m in score.metres),
            bars=tuple(replace(m, onset_ticks=place(m.onset_ticks)) for m in score.bars),
        )
    )
    metres: list[Metre] = []
    bars: list[BarMark] = []
    starts = table.starts_ticks.tolist()
    for start, stop, metre, mark in zip(starts, table.ends_ticks.tolist(), table.metres, table.marks, strict=True):
        for at, numerator, denominator in _signatures(start, stop, metre):
            held = metres[-1] if metres else None
            if held is None or (held.numerator, held.denominator) != (numerator, denominator):
                metres.append(Metre(at, numerator, denominator))
        if mark is not None:
            endings = tuple(sorted({e for e in mark.endings if e <= MAX_ENDING}))
            close = min(mark.repeat_close, MAX_REPEATS) if mark.repeat_close > 1 else 0
            if mark.repeat_open or close or endings:
                bars.append(BarMark(start, mark.repeat_open, close, endings))
    end = int(table.ends_ticks[-1])
    out = replace(score, metres=tuple(metres), bars=tuple(bars), length_ticks=end)
    return _entries(out, bar_table(out, end))


def _signatures(start: int, stop: int, metre: Metre) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator) of the bars that hold start … stop: one, or more where it is odd and long."""
    length = stop - start
    if length * metre.denominator == 4 * TICKS_PER_QUARTER * metre.numerator:
        return [(start, metre.numerator, metre.denominator)]
    units = length // GRID_TICKS
    shared = gcd(units, MAX_DENOMINATOR)
    if units // shared <= MAX_NUMERATOR:
        return [(start, units // shared, MAX_DENOMINATOR // shared)]
    whole = 4 * TICKS_PER_QUARTER
    return [(start, 4, 4), *_signatures(start + whole, stop, metre)]


def _entries(score: Score, table: BarTable) -> Score:
    """Keys and section names at the starts of bars, each said once; C major is what holds unsaid."""
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
    markers = tuple(Marker(at, _text(" / ".join(texts), TEXT_BYTES)) for at, texts in names.items())
    return replace(score, keys=tuple(keys), markers=markers)


def _tempos(score: Score) -> Score:
    """Whole numbers, the first at 0, each said once."""
    out: list[Tempo] = []
    for tempo in (
        score.tempos if score.tempos and score.tempos[0].onset_ticks == 0 else (Tempo(0, 120.0), *score.tempos)
    ):
        value = float(min(max(round(tempo.quarters_per_minute), 1), 1_000_000))
        if tempo.onset_ticks < score.length_ticks and (not out or out[-1].quarters_per_minute != value):
            out.append(Tempo(tempo.onset_ticks, value))
    return replace(score, tempos=tuple(out))


def _dynamics(velocity: np.ndarray) -> np.ndarray:
    level = (velocity.astype(np.int64) - MIN_VELOCITY + VELOCITY_STEP // 2) // VELOCITY_STEP
    return MIN_VELOCITY + VELOCITY_STEP * np.clip(level, 0, 7)


def _one_harmonic(bits: np.ndarray) -> np.ndarray:
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


def _tracks(score: Score) -> Score:
    return score.with_tracks([_instrument(track) for track in score.tracks or (Track(),)])


def arranged(score: Score) -> list[Arranged]:
    """The tracks of a score to which all other edits of the projection were applied, as beats."""
    table = bar_table(score)
    changes = tuple(tempo.onset_ticks for tempo in score.tempos[1:])
    return [arrange(track, table, changes if index == 0 else ()) for index, track in enumerate(score.tracks)]


def settled(score: Score, parts: list[Arranged]) -> Score:
    """The score that the beats say."""
    moved = parts[0].moved
    tempos = tuple(
        replace(tempo, onset_ticks=moved.get(tempo.onset_ticks, tempo.onset_ticks)) for tempo in score.tempos
    )
    out = replace(score, tracks=tuple(part.to_track() for part in parts), tempos=tempos)
    return _tempos(out)


BEFORE_BEATS: tuple[Edit, ...] = (
    Edit("re-times to 960 ticks a quarter, rounding", rescale(TICKS_PER_QUARTER, exact=False).apply),
    Edit("keeps texts in Windows-1252, names to 40 bytes and others to 255", _texts),
    Edit(
        "moves bar lines to 64ths, gives short bars a metre of their own, fills the last bar, moves keys and section "
        "names to starts of bars, keeps endings 1–8 and up to 127 repeats, leaves C major unsaid at the start",
        _bars,
    ),
    Edit("rounds tempos to whole quarter notes a minute", _tempos),
    map_column("keeps eight dynamics (velocities 15, 31 … 127)", "velocity", _dynamics),
    map_column("keeps one kind of harmonic a note", "techniques", _one_harmonic),
    drop_spelling(),
    drop_controls(),
    drop_written(),
    drop_directions(),
    Edit(
        "plays every track but drums on up to seven strings: notes without a place get a playable one, and what no "
        "hand can play is left out; drum keys above 99 too. Harmonics sound the interval that the file can say for "
        "their place and kind (the nearest); grace notes, notes without a place and those that sound no higher than "
        "their fret (some natural ones aside) are none",
        _tracks,
    ),
)
PROJECTION: tuple[Edit, ...] = (
    *BEFORE_BEATS,
    Edit(
        "writes notes as beats: keeps two voices a track and one note a string in each (the longer of two, the "
        "earlier up to the later), moves times that no duration can meet to the nearest of 24, 16 or 20 a quarter and "
        "those of 7-, 9-, 11- and 13-tuplets to durations without fractions, "
        "gives grace notes up to 1/32 before their note, bend points to sixtieths of their note and quarter-tones, "
        "a tap, slap or pop to all notes of its beat",
        lambda score: settled(score, arranged(score)),
    ),
)


def prepared(score: Score) -> Score:
    """The score after all edits but the last."""
    return project(score, BEFORE_BEATS)
