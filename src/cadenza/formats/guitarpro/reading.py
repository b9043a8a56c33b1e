"""PyGuitarPro's beats → notes.

Ties become one long note. A grace note takes its time from the beat before (before the beat) or from its own
beat (on the beat, or where there is no time before tick 0). A bend spreads over its note and the notes tied to
it, up to a tied note with a bend of its own. A harmonic has the pitch that sounds.

What is written beyond the notes (:mod:`cadenza.formats.guitarpro.marking`) goes along as beats and marks.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from guitarpro import models as gp

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.limits import Limits, read_bytes
from cadenza.formats.guitarpro import TICKS_PER_QUARTER, marking
from cadenza.formats.guitarpro import techniques as effects
from cadenza.formats.guitarpro.parse import parse
from cadenza.score.leading import mark_dangling
from cadenza.score.model import (
    BEND_DTYPE,
    HARMONICS,
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    NOTE_DTYPE,
    BarMark,
    Key,
    Marker,
    Metre,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.rhythm import whole_ticks
from cadenza.score.tab import harmonics
from cadenza.score.tab.effects import BEND_POSITIONS, CENTS_PER_BEND_UNIT, MAX_BEND_UNITS, Values, bend_points
from cadenza.score.tab.page import note_marks
from cadenza.score.written import Mark

# The file gives each grace note a duration, but players take 1/32 whatever it says (so does alphaTab).
GRACE_TICKS = TICKS_PER_QUARTER // 8
MAX_CAPO = 36


@dataclass(slots=True)
class _Row:
    onset: int
    end: int
    string: int
    fret: int
    velocity: int
    techniques: Technique
    voice: int
    bends: list[tuple[int, Values]] = field(default_factory=list)  # (start tick, values of a mark)
    harmonic: gp.HarmonicEffect | None = None
    beat: int = 0  # start of its first beat
    links: list[tuple[int, Technique]] | None = None  # (start of the beat, techniques), of a chain of tied notes


@dataclass(slots=True)
class _Part:
    rows: list[_Row] = field(default_factory=list)
    held: dict[tuple[int, int], _Row] = field(default_factory=dict)  # (voice, string) → its last note
    previous: dict[int, tuple[int, list[_Row]]] = field(default_factory=dict)  # voice → its last beat
    beats: array[int] = field(default_factory=lambda: array("q"))  # onset, duration and the rest, packed
    marks: list[Mark] = field(default_factory=list)


class _Collector:
    """Gathers rows and tempos bar by bar."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts: dict[int, _Part] = defaultdict(_Part)
        self.tempos: dict[int, int] = {}
        self.tempo_places: dict[int, dict[int, int]] = defaultdict(dict)  # tick → track → tempo, in first voices
        self.n_notes = 0

    def __call__(self, song: gp.Song, index: int, measure: gp.Measure) -> None:
        part = self.parts[index]
        self._index, self._drums = index, bool(measure.track.isPercussionTrack)
        is_last = measure.header is song.measureHeaders[-1]
        bar_end = measure.header.start - TICKS_PER_QUARTER + measure.header.length
        for voice_index, voice in enumerate(measure.voices):
            at = 0
            for beat in voice.beats:
                exact = beat.start - TICKS_PER_QUARTER
                start = whole_ticks(exact, at)
                at = start + int(beat.duration.time)
                end = whole_ticks(exact + beat.duration.time, at)
                if is_last and start >= bar_end and beat.status is not gp.BeatStatus.empty:
                    part.marks.append(Mark(start, "overfull", voice_index))
                self._beat(part, voice_index, beat, start, end)

    def _beat(self, part: _Part, voice: int, beat: gp.Beat, start: int, end: int) -> None:
        change = beat.effect.mixTableChange
        if change is not None and change.tempo is not None and change.tempo.value > 0:
            self.tempos[start] = change.tempo.value
            if voice == 0:
                self.tempo_places[start][self._index] = change.tempo.value
        said = marking.of_beat(beat)
        if beat.status is gp.BeatStatus.empty and not said and change is None:
            return
        marking.keep_beat(part.beats, beat.duration, voice, start, end)
        sounding = (
            [n for n in beat.notes if n.type is not gp.NoteType.rest] if beat.status is gp.BeatStatus.normal else []
        )
        onset = self._graces(part, voice, sounding, start, end)
        rows: list[_Row] = []
        shared = effects.of_beat(beat.effect)
        begins = False
        for note in sounding:
            found = effects.of_note(note) | shared
            row = part.held.get((voice, note.string)) if note.type is gp.NoteType.tie else None
            if row is not None:
                row.end = max(row.end, end)
                # A slap or a harmonic is for what begins.
                found = effects.of_note(note) & ~HARMONICS
                if row.links is None:
                    row.links = [(row.beat, row.techniques)]
                row.links.append((start, found))
                row.techniques |= found
                begin = start
            else:
                row = self._new(part, onset, end, note.string, note.value, note.velocity, found, voice)
                if note.type is gp.NoteType.tie and not self._drums:
                    part.marks.append(Mark(start, "tie", voice, note.string))
                row.harmonic, row.beat = note.effect.harmonic, start
                part.held[voice, note.string] = row
                begin, begins = onset, True
            if note.effect.bend is not None:
                row.bends.append((begin, marking.curve(note.effect.bend)))
            written = marking.of_note(note)
            if written:
                part.marks += note_marks(start, voice, *self._place(note.string, note.value), written)
            rows.append(row)
        if self._drums and len(rows) > 1:
            self._rows(part, voice, start, [row for row in rows if row.beat == start])
        for kind, values, text in said:
            if kind != "slap_effect" or not begins:
                part.marks.append(Mark(start, kind, voice, 0, -1, values, text))
        part.previous[voice] = (start, rows)

    def _rows(self, part: _Part, voice: int, start: int, begun: list[_Row]) -> None:
        """Mark the order of drum notes where it is not that of their keys."""
        keys = [row.fret for row in sorted(begun, key=lambda row: row.string)]
        if keys != sorted(keys):
            for rank, key in enumerate(keys, 1):
                part.marks += note_marks(start, voice, *self._place(0, key), {"row": (rank,)})

    def _place(self, string: int, fret: int) -> tuple[int, int]:
        """String and pitch of the marks of a note."""
        return (NO_STRING, min(max(fret, 0), 127)) if self._drums else (string, -1)

    def _graces(self, part: _Part, voice: int, notes: list[gp.Note], start: int, end: int) -> int:
        """Add the beat's grace notes; the tick at which its own notes begin."""
        graced = [n for n in notes if n.effect.grace is not None]
        if not graced:
            return start
        before, previous = part.previous.get(voice, (0, []))
        # Whoever lends the time keeps half of his own.
        on_beat = any(n.effect.grace.isOnBeat for n in graced) or start - before < 2
        room = (end - start) // 2 if on_beat else (start - before) // 2
        length = min(GRACE_TICKS, max(room, 1))
        first = start if on_beat else start - length
        for row in previous:
            if not on_beat and row.end > first:
                row.end = first
        for note in graced:
            grace = note.effect.grace
            found = Technique.GRACE | (Technique.DEAD if grace.isDead else Technique.NONE)
            if grace.transition == gp.GraceEffectTransition.slide:
                found |= Technique.SLIDE_LEGATO
            elif grace.transition == gp.GraceEffectTransition.hammer:
                found |= Technique.HAMMER
            fret = max(0, grace.fret)
            row = self._new(part, first, first + length, note.string, fret, grace.velocity, found, voice)
            rise = 2 * (note.value - fret)
            if grace.transition == gp.GraceEffectTransition.bend and rise:
                row.bends.append((first, (0, 0, 0, 0, 0, BEND_POSITIONS, rise, 0)))
        return first + length

    def _new(self, part: _Part, *fields: Any) -> _Row:
        row = _Row(*fields)
        part.rows.append(row)
        self.n_notes += 1
        self.limits.check("notes", self.n_notes)
        return row


def read_score(path: Path, limits: Limits) -> Score:
    """The score in the file; see :func:`cadenza.formats.guitarpro.read`."""
    collector = _Collector(limits)
    song = parse(read_bytes(path, limits), path, limits, collector)
    try:
        return mark_dangling().apply(_score(song, collector))
    except FormatError as error:
        raise error.at(str(path)) from None
    except CadenzaError as error:
        raise FormatError(error.expected, error.actual, where=f"{path}, {error.where}", hint=error.hint) from error


def _score(song: gp.Song, collector: _Collector) -> Score:
    headers = song.measureHeaders
    metres: list[Metre] = []
    keys, bars, markers = [], [], []
    key = None
    at = 0
    for number, header in enumerate(headers):
        signature = (header.timeSignature.numerator, header.timeSignature.denominator.value)
        if not metres or signature != (metres[-1].numerator, metres[-1].denominator):
            metres.append(Metre(at, *signature))
        if number == 0 or header.keySignature != key:
            key = header.keySignature
            # Guitar Pro 3 and 4 may give the first key for the whole song only.
            value = song.key.value if number == 0 and key.value == (0, 0) else key.value
            if number or value != (0, 0):
                keys.append(_key(at, *value))
        endings = tuple(i + 1 for i in range(8) if header.repeatAlternative >> i & 1)
        times = header.repeatClose + 1 if header.repeatClose > 0 else 0
        directions = marking.directions(header)
        if header.isRepeatOpen or times or endings or directions:
            bars.append(BarMark(at, bool(header.isRepeatOpen), times, endings, directions))
        if header.marker is not None:
            markers.append(Marker(at, header.marker.title))
        at += header.length
    collector.limits.check("quarters", at // TICKS_PER_QUARTER)
    tempos = {0: song.tempo if song.tempo > 0 else 120, **collector.tempos}
    held = 0
    changes = []
    for tick, tempo in sorted(tempos.items()):
        if tempo != held:
            changes.append(Tempo(tick, float(tempo)))
        held = tempo
    _tempo_marks(collector, {tempo.onset_ticks for tempo in changes[1:]})
    return Score(
        tracks=tuple(
            _track(track, collector.parts[index], song.versionTuple[0]) for index, track in enumerate(song.tracks)
        ),
        ticks_per_quarter=TICKS_PER_QUARTER,
        tempos=tuple(changes),
        metres=tuple(metres),
        keys=tuple(keys),
        bars=tuple(bars),
        markers=tuple(markers),
        title=song.title,
        composer=song.artist,
        length_ticks=at,
    )


def _tempo_marks(collector: _Collector, changes: set[int]) -> None:
    """Marks of tempos that are repeated, or stand elsewhere than a change of tempo is expected."""
    for tick, places in collector.tempo_places.items():
        agreeing = [index for index, value in places.items() if value == collector.tempos[tick]]
        if agreeing != [0] or tick not in changes:
            for index in agreeing:
                collector.parts[index].marks.append(Mark(tick, "tempo", values=(collector.tempos[tick],)))


def _key(at: int, fifths: int, mode: int) -> Key:
    # The file's range is −8…8; the two ends are spelled enharmonically.
    fifths = fifths + 12 if fifths < -7 else fifths - 12 if fifths > 7 else fifths
    return Key(at, fifths, "minor" if mode else "major")


def _track(track: gp.Track, part: _Part, version: int) -> Track:
    drums = bool(track.isPercussionTrack)
    tuning = () if drums else tuple(string.value for string in track.strings)
    if not all(0 <= pitch <= 127 for pitch in tuning):
        raise FormatError("strings tuned to 0–127", str(tuning), where=f"track {track.number}")
    if not drums and not 0 <= track.offset <= MAX_CAPO:
        raise FormatError(f"a capo at fret 0–{MAX_CAPO}", str(track.offset), where=f"track {track.number}")
    capo = 0 if drums else track.offset
    notes = np.zeros(len(part.rows), NOTE_DTYPE)
    bends: list[tuple[int, int, int]] = []
    places: list[tuple[_Row, Values | None]] = []
    for index, row in enumerate(part.rows):
        onset, duration = row.onset, max(row.end - row.onset, 1)
        pitch = row.fret if drums else tuning[row.string - 1] + capo + row.fret
        if pitch > 127:
            raise FormatError("pitches of 0–127", str(pitch), where=f"track {track.number}, fret {row.fret}")
        if row.harmonic is not None and not drums:
            above = effects.interval(row.harmonic, row.fret, pitch - capo)
            if pitch + above <= harmonics.HIGHEST_PITCH:
                said = effects.said_place(row.harmonic, pitch - capo)
                kind = row.techniques & HARMONICS
                places.append((row, harmonics.named(kind, said, row.fret, above) if said else None))
                pitch += above
            else:  # MIDI has no number for it: the note as it is fretted
                row.techniques &= ~HARMONICS
        velocity = min(max(row.velocity, 1), 127)
        string, fret = (NO_STRING, NO_FRET) if drums else (row.string, row.fret)
        notes[index] = (onset, duration, pitch, velocity, string, fret, int(row.techniques), row.voice, NO_SPELLING)
        if row.bends:
            bends += [(index, offset, cents) for offset, cents in _curve(row, onset, duration)]
    instrument = track.channel.instrument
    return Track(
        name=track.name,
        program=0 if drums else min(max(instrument, 0), 127),
        is_drums=drums,
        tuning=tuning,
        capo_fret=capo,
        notes=notes,
        bends=np.array(bends, BEND_DTYPE),
        beats=marking.beats(part.beats),
        marks=(*_written(part, drums, places), *_source(version)),
    )


def _curve(row: _Row, onset: int, duration: int) -> tuple[tuple[int, int], ...]:
    """The note's bend points as (ticks after the onset, cents), the last of several at one tick."""
    for _, values in row.bends:
        highest = max(abs(height) for height in values[3::3])
        if highest > MAX_BEND_UNITS:
            raise FormatError("bends of at most 120 semitones", f"{highest * CENTS_PER_BEND_UNIT} cents")
    return bend_points(row.bends, onset, onset + duration)


def _source(version: int) -> tuple[Mark, ...]:
    return () if version >= 5 else (Mark(0, "source", text=f"gp{version}"),)


def _written(part: _Part, drums: bool, places: list[tuple[_Row, Values | None]]) -> tuple[Mark, ...]:
    """All marks of a track; ``places``: rows with what the file says of their harmonics, if it is unusual."""
    marks = part.marks
    for row in part.rows:
        if row.links is not None:
            string, pitch = (NO_STRING, row.fret) if drums else (row.string, -1)
            for start, bits in marking.unusual(row.techniques, row.links):
                marks += note_marks(start, row.voice, string, pitch, {"tied": (int(bits),)})
    for row, values in places:
        if values is not None:
            marks += note_marks(row.beat, row.voice, row.string, -1, {"harmonic": values})
    return tuple(marks)
