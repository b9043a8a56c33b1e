"""What a .gp file cannot hold of a Score, as Edits: ``read(write(s)) == project(s, PROJECTION)``.

The last edit turns the score into the records of a GPIF document and reads those: what they say is what a file says.
That a score which came from Guitar Pro comes through it unchanged is tested on real files.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.base.limits import Limits
from cadenza.formats.gpif import TICKS_PER_QUARTER, tables
from cadenza.formats.gpif.paging import SUSTAIN, document_of
from cadenza.formats.gpif.reading import score_of
from cadenza.score.edit import Edit, map_column, project, rescale
from cadenza.score.fingering import finger, tuning_for
from cadenza.score.model import (
    HARMONICS,
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    BarMark,
    Marker,
    Metre,
    NoteArray,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.tab.fit import GRID_TICKS, MAX_DENOMINATOR, MAX_NUMERATOR, entries, one_harmonic, signatures
from cadenza.score.time import bar_table
from cadenza.score.written import Mark

MAX_STRINGS = 10
MAX_FRET = 99
MAX_CAPO = 24
MAX_ENDING = 32
MAX_REPEATS = 99
WHOLE_TICKS = 4 * TICKS_PER_QUARTER
SLOWEST, FASTEST = 1.0, 1_000_000.0
TEXT_CHARACTERS = 10_000
EVERYTHING = Limits(**dict.fromkeys(("notes", "events", "bend_points", "tracks", "bars", "quarters"), 1 << 62))
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PARTIALS = tuple(sorted(set(tables.NODES.values())))


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────


def text(said: str) -> str:
    """``said`` as XML gives it back: without control characters and the white space around it."""
    said = _NOT_XML.sub("", said.replace("\r\n", "\n").replace("\r", "\n")[:TEXT_CHARACTERS])
    return said.strip()


def _line(said: str) -> str:
    """A text in an attribute or a list of syllables: one line."""
    return " ".join(text(said).split())


def _texts(score: Score) -> Score:
    def mark(said: Mark) -> Mark:
        return replace(said, text=_line(said.text) if said.kind == "chord" else text(said.text))

    return replace(
        score,
        title=text(score.title),
        composer=text(score.composer),
        markers=tuple(Marker(m.onset_ticks, text(m.text)) for m in score.markers),
        tracks=tuple(replace(t, name=text(t.name), marks=tuple(map(mark, t.marks))) for t in score.tracks),
    )


# ── bars ─────────────────────────────────────────────────────────────────────────────────────────────────


def _bars(score: Score) -> Score:
    """Every bar as long as its metre, an upbeat aside: bar lines on 64ths, short bars with a metre of their own."""

    def place(tick: int) -> int:
        return (2 * tick + GRID_TICKS) // (2 * GRID_TICKS) * GRID_TICKS

    for metre in score.metres:
        if metre.numerator > MAX_NUMERATOR or metre.denominator > MAX_DENOMINATOR:
            raise FormatError(
                f"metres up to {MAX_NUMERATOR}/{MAX_DENOMINATOR}",
                f"{metre.numerator}/{metre.denominator}",
                where=f"tick {metre.onset_ticks}",
                hint="Guitar Pro cannot hold it.",
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
    rows = list(zip(table.starts_ticks.tolist(), table.ends_ticks.tolist(), table.metres, table.marks, strict=True))
    upbeat = len(rows) > 1 and rows[0][1] < WHOLE_TICKS * rows[0][2].numerator // rows[0][2].denominator
    for number, (start, stop, metre, mark) in enumerate(rows):
        parts = [(start, metre.numerator, metre.denominator)] if upbeat and not number else None
        for at, numerator, denominator in parts or signatures(start, stop, metre):
            held = metres[-1] if metres else None
            if held is None or (held.numerator, held.denominator) != (numerator, denominator):
                metres.append(Metre(at, numerator, denominator))
        if mark is not None or (upbeat and number == 1):
            mark = mark or BarMark(start)
            endings = tuple(sorted({e for e in mark.endings if e <= MAX_ENDING}))
            close = min(mark.repeat_close, MAX_REPEATS) if mark.repeat_close > 1 else 0
            if mark.repeat_open or close or endings or mark.directions or (upbeat and number == 1):
                bars.append(BarMark(start, mark.repeat_open, close, endings, mark.directions))
    end = int(table.ends_ticks[-1])
    out = replace(score, metres=tuple(metres), bars=tuple(bars), length_ticks=end)
    return entries(out, bar_table(out, end), text)


def _tempos(score: Score) -> Score:
    """The first at 0, each said once."""
    out: list[Tempo] = []
    first = () if score.tempos and score.tempos[0].onset_ticks == 0 else (Tempo(0, 120.0),)
    for tempo in (*first, *score.tempos):
        value = min(max(float(tempo.quarters_per_minute), SLOWEST), FASTEST)
        if tempo.onset_ticks < score.length_ticks and (not out or out[-1].quarters_per_minute != value):
            out.append(Tempo(tempo.onset_ticks, value))
    return replace(score, tempos=tuple(out))


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────


def _dynamics(velocity: NDArray[np.int16]) -> NDArray[np.int64]:
    levels = np.array(sorted(tables.DYNAMICS.values()))
    step = int(levels[1] - levels[0])
    level = (velocity.astype(np.int64) - int(levels[0]) + step // 2) // step
    return np.asarray(levels[np.clip(level, 0, len(levels) - 1)])


def _pedal(score: Score) -> Score:
    def change(track: Track) -> Track:
        controls = track.controls
        kept = (controls["controller"] == SUSTAIN) & (controls["onset_ticks"] <= score.length_ticks)
        controls = controls[kept].copy()
        controls["value"] = np.where(controls["value"] >= 64, 127, 0)
        return replace(track, controls=controls)

    return score.map_tracks(change)


def _instrument(track: Track) -> Track:
    """Drums without strings; everything else with a tuning of 1–10 strings and every note fingered."""
    notes = track.notes.copy()
    if track.is_drums:
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        notes["spelling"] = NO_SPELLING
        notes["techniques"] &= ~np.uint64(int(HARMONICS))
        return replace(track, notes=notes, tuning=(), capo_fret=0, program=0)
    capo = track.capo_fret if 0 <= track.capo_fret <= MAX_CAPO else 0
    tuning = track.tuning if 1 <= len(track.tuning) <= MAX_STRINGS else ()
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
    held = (notes["techniques"] & np.uint64(int(HARMONICS)) != 0) & placed
    for row in np.flatnonzero(held):
        low, pitch = int(fretted[row]), int(notes["pitch"][row])
        if int(notes["techniques"][row]) & Technique.HARMONIC_NATURAL:
            low -= int(notes["fret"][row])
        options = [low + partial for partial in PARTIALS if low + partial <= 127]
        if not options or pitch <= low:
            held[row] = False
        else:
            notes["pitch"][row] = min(options, key=lambda option: abs(option - pitch))
    notes["techniques"][~held] &= ~np.uint64(int(HARMONICS))
    return held


def _tracks(score: Score) -> Score:
    return score.with_tracks([_instrument(track) for track in score.tracks or (Track(),)])


BEFORE_RECORDS: tuple[Edit, ...] = (
    Edit("re-times to 960 ticks a quarter, rounding", rescale(TICKS_PER_QUARTER, exact=False).apply),
    Edit("drops control characters and the white space around texts", _texts),
    Edit(
        "moves bar lines to 64ths, gives short bars but an upbeat a metre of their own, fills the last bar, moves keys "
        "and section names to starts of bars, keeps endings 1–32 and up to 99 repeats, leaves C major unsaid at the "
        "start",
        _bars,
    ),
    Edit("says the first tempo at the start and each once, from 1 to a million quarter notes a minute", _tempos),
    map_column("keeps eight dynamics (velocities 15, 31 … 127)", "velocity", _dynamics),
    map_column("keeps one kind of harmonic a note", "techniques", one_harmonic),
    Edit("keeps of the controllers the sustain pedal, down or up", _pedal),
    Edit(
        "plays every track but drums on up to ten strings: notes without a place get a playable one, and what no hand "
        "can play is left out. Harmonics sound the nearest partial (19, 24, 28 … semitones above the string or its "
        "fretted note); notes without a place and those that sound no higher are none",
        _tracks,
    ),
)


def _as_records(score: Score) -> Score:
    return score_of(document_of(score), EVERYTHING)


PROJECTION: tuple[Edit, ...] = (
    *BEFORE_RECORDS,
    Edit(
        "writes notes as beats (the written ones of a bar where they fit it): keeps eight voices a track, four a "
        "staff, and one note a string in each (the longer of two, the earlier up to the later), moves times that no "
        "duration can meet to the nearest of 24, 16 or 20 a quarter and those of 7-, 9-, 11- and 13-tuplets to "
        "durations without fractions; gives all notes of a beat the loudest's dynamic and its slap, pop and tremolo "
        "picking; gives grace notes a 32nd (two a 64th each, more a 128th) before their note or of it; keeps bends "
        "and dives of up to four points, the two in the middle of one height; keeps spellings of the pitch; keeps "
        "marks that stand at a beat or note of theirs and agree with it (strokes, whammy bar, trills, tremolo speeds, "
        "ottavas, fades, texts, five verses of lyrics, chord names, fermatas, fingering, ornaments …), and says by "
        "marks what is written without one; hammer-ons and slides that lead to no note within three bars are none",
        _as_records,
    ),
)


def prepared(score: Score) -> Score:
    """The score after all edits but the last."""
    return project(score, BEFORE_RECORDS)
