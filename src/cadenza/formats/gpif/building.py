"""Rows of notes → Track: columns, bend curves in ticks and cents, controls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cadenza.base.errors import FormatError
from cadenza.formats.gpif.records import Curve, TrackRecord
from cadenza.score.model import BEND_DTYPE, CONTROL_DTYPE, NO_SPELLING, NOTE_DTYPE, Technique, Track
from cadenza.score.written import BEAT_DTYPE, Mark

CENTS_PER_VALUE = 2  # values are hundredths of a whole tone
FULL = 100  # offsets are hundredths of the length
MAX_CENTS = 12_000
SUSTAIN = 64
SPELLINGS = range(-15, 20)


@dataclass(slots=True, eq=False)
class Row:
    """A note on its way; ``place`` is its string, or 1,000 + pitch where it has none."""

    onset: int
    end: int
    pitch: int
    string: int
    fret: int
    velocity: int
    techniques: Technique
    voice: int
    spelling: int
    place: int
    bends: list[tuple[int, Curve]] = field(default_factory=list)  # (start tick, curve)
    leads: Technique = Technique.NONE  # its hammer-on and slides that do lead to a note
    links: list[tuple[int, Technique]] = field(default_factory=list)  # start and techniques of each tied note


def built(
    record: TrackRecord,
    rows: list[Row],
    beats: list[tuple[int, ...]],
    marks: list[Mark],
    pedal: list[tuple[int, int]],
) -> Track:
    """The track of all that was read of it."""
    notes = np.zeros(len(rows), NOTE_DTYPE)
    bends: list[tuple[int, int, int]] = []
    for index, row in enumerate(rows):
        duration = max(row.end - row.onset, 1)
        spelling = row.spelling
        # A spelling is for the pitch that sounds (the file's may be a harmonic's, or the fretted note's).
        if record.drums or spelling not in SPELLINGS or 7 * spelling % 12 != row.pitch % 12:
            spelling = NO_SPELLING
        notes[index] = (
            row.onset, duration, row.pitch, row.velocity, row.string, row.fret, int(row.techniques), row.voice,
            spelling,
        )  # fmt: skip
        if row.bends:
            bends += [(index, offset, cents) for offset, cents in _curve(row, duration)]
    if record.transposition:
        marks = [*marks, Mark(0, "transposition", values=(record.transposition,))]
    staff = record.staves[0]
    fretted = not record.drums
    return Track(
        name=record.name,
        program=0 if record.drums else min(max(record.program, 0), 127),
        is_drums=record.drums,
        tuning=staff.tuning[::-1] if fretted else (),
        capo_fret=staff.capo if fretted and staff.tuning else 0,
        notes=notes,
        bends=np.array(bends, BEND_DTYPE),
        controls=np.array([(tick, SUSTAIN, value) for tick, value in pedal], CONTROL_DTYPE),
        beats=np.array(beats, BEAT_DTYPE),
        marks=tuple(marks),
    )


def _curve(row: Row, duration: int) -> list[tuple[int, int]]:
    """The note's bend points as (ticks after the onset, cents), the last of several at one tick."""
    points: dict[int, int] = {}
    held = 0  # the height that the curve before keeps
    ends = [start for start, _ in row.bends[1:]] + [row.end]
    for (start, curve), end in zip(row.bends, ends, strict=True):
        first, span = start - row.onset, end - start
        if points and first > 0 and held != round(curve[0][1] * CENTS_PER_VALUE):
            points.setdefault(first - 1, held)  # … until this one begins
        latest = -1
        for offset, value in curve:
            cents = round(value * CENTS_PER_VALUE)
            if not -MAX_CENTS <= cents <= MAX_CENTS:
                raise FormatError("bends of at most 120 semitones", f"{cents} cents")
            at = first + round(min(max(offset, 0.0), FULL) * span / FULL)
            points[min(max(at, 0), duration)] = cents
            if at >= latest:
                latest, held = at, cents
    return sorted(points.items())


def fold_key(fifths: int) -> int:
    """A signature of −7 … 7 fifths; beyond them spelled enharmonically."""
    return fifths if -7 <= fifths <= 7 else (fifths + 5) % 12 - 5
