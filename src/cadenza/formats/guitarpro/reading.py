"""PyGuitarPro's beats → notes.

Ties become one long note. A grace note takes its time from the beat before (before the beat) or from its own
beat (on the beat, or where there is no time before tick 0). A bend spreads over its note and the notes tied to
it, up to a tied note with a bend of its own. A harmonic has the pitch that sounds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from guitarpro import models as gp

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.limits import Limits, read_bytes
from cadenza.formats.guitarpro import TICKS_PER_QUARTER
from cadenza.formats.guitarpro import techniques as effects
from cadenza.formats.guitarpro.harmonics import HIGHEST_PITCH
from cadenza.formats.guitarpro.parse import BEND_POSITIONS, parse
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

CENTS_PER_BEND_UNIT = 50
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
    bends: list[tuple[int, list[gp.BendPoint]]] = field(default_factory=list)  # (start tick, points)
    harmonic: gp.HarmonicEffect | None = None


@dataclass(slots=True)
class _Part:
    rows: list[_Row] = field(default_factory=list)
    held: dict[tuple[int, int], _Row] = field(default_factory=dict)  # (voice, string) → its last note
    previous: dict[int, tuple[int, list[_Row]]] = field(default_factory=dict)  # voice → its last beat


class _Collector:
    """Gathers rows and tempos bar by bar."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts: dict[int, _Part] = defaultdict(_Part)
        self.tempos: dict[int, int] = {}
        self.n_notes = 0

    def __call__(self, song: gp.Song, index: int, measure: gp.Measure) -> None:
        part = self.parts[index]
        for voice_index, voice in enumerate(measure.voices):
            at = 0
            for beat in voice.beats:
                exact = beat.start - TICKS_PER_QUARTER
                start = whole_ticks(exact, at)
                at = start + int(beat.duration.time)
                end = whole_ticks(exact + beat.duration.time, at)
                self._beat(part, voice_index, beat, start, end)

    def _beat(self, part: _Part, voice: int, beat: gp.Beat, start: int, end: int) -> None:
        change = beat.effect.mixTableChange
        if change is not None and change.tempo is not None and change.tempo.value > 0:
            self.tempos[start] = change.tempo.value
        if beat.status is gp.BeatStatus.empty:
            return
        sounding = (
            [n for n in beat.notes if n.type is not gp.NoteType.rest] if beat.status is gp.BeatStatus.normal else []
        )
        onset = self._graces(part, voice, sounding, start, end)
        rows: list[_Row] = []
        shared = effects.of_beat(beat.effect)
        for note in sounding:
            found = effects.of_note(note) | shared
            row = part.held.get((voice, note.string)) if note.type is gp.NoteType.tie else None
            if row is not None:
                row.end = max(row.end, end)
                # A slap or a harmonic is for what begins.
                row.techniques |= effects.of_note(note) & ~HARMONICS | shared & Technique.VIBRATO
                begin = start
            else:
                row = self._new(part, onset, end, note.string, note.value, note.velocity, found, voice)
                row.harmonic = note.effect.harmonic
                part.held[voice, note.string] = row
                begin = onset
            if note.effect.bend is not None:
                row.bends.append((begin, note.effect.bend.points))
            rows.append(row)
        part.previous[voice] = (start, rows)

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
                row.bends.append((first, [gp.BendPoint(0, 0), gp.BendPoint(BEND_POSITIONS, rise)]))
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
        return _score(song, collector)
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
        if header.isRepeatOpen or times or endings:
            bars.append(BarMark(at, bool(header.isRepeatOpen), times, endings))
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
    return Score(
        tracks=tuple(_track(track, collector.parts[index]) for index, track in enumerate(song.tracks)),
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


def _key(at: int, fifths: int, mode: int) -> Key:
    # The file's range is −8…8; the two ends are spelled enharmonically.
    fifths = fifths + 12 if fifths < -7 else fifths - 12 if fifths > 7 else fifths
    return Key(at, fifths, "minor" if mode else "major")


def _track(track: gp.Track, part: _Part) -> Track:
    drums = bool(track.isPercussionTrack)
    tuning = () if drums else tuple(string.value for string in track.strings)
    if not all(0 <= pitch <= 127 for pitch in tuning):
        raise FormatError("strings tuned to 0–127", str(tuning), where=f"track {track.number}")
    if not drums and not 0 <= track.offset <= MAX_CAPO:
        raise FormatError(f"a capo at fret 0–{MAX_CAPO}", str(track.offset), where=f"track {track.number}")
    capo = 0 if drums else track.offset
    notes = np.zeros(len(part.rows), NOTE_DTYPE)
    bends: list[tuple[int, int, int]] = []
    for index, row in enumerate(part.rows):
        onset, duration = row.onset, max(row.end - row.onset, 1)
        pitch = row.fret if drums else tuning[row.string - 1] + capo + row.fret
        if pitch > 127:
            raise FormatError("pitches of 0–127", str(pitch), where=f"track {track.number}, fret {row.fret}")
        if row.harmonic is not None and not drums:
            above = effects.interval(row.harmonic, row.fret, pitch - capo)
            if pitch + above <= HIGHEST_PITCH:
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
    )


def _curve(row: _Row, onset: int, duration: int) -> list[tuple[int, int]]:
    """The note's bend points as (ticks after the onset, cents), the last of several at one tick."""
    points: dict[int, int] = {}
    ends = [start for start, _ in row.bends[1:]] + [row.end]
    for (start, curve), end in zip(row.bends, ends, strict=True):
        first, span = start - onset, end - start
        for point in curve:
            offset = first + (2 * point.position * span + BEND_POSITIONS) // (2 * BEND_POSITIONS)
            cents = point.value * CENTS_PER_BEND_UNIT
            if not -12_000 <= cents <= 12_000:
                raise FormatError("bends of at most 120 semitones", f"{cents} cents")
            points[min(max(offset, 0), duration)] = cents
    return sorted(points.items())
