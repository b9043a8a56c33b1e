"""PyGuitarPro's parsers, made safe for strangers' files.

PyGuitarPro trusts counts and lengths. Here a read beyond the end fails at once, a negative length too, and
bars, tracks and beats are counted against the limits. Every bar is handed to a collector as soon as it is
parsed and then forgotten, so that memory does not grow with PyGuitarPro's objects. Two look-ups that are
quadratic in the file's length (the beat at a time, the fret of a tied note) become constant.

Texts are Windows-1252, as PyGuitarPro takes them; bytes that it leaves undefined become U+FFFD.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from guitarpro import models as gp
from guitarpro.gp3 import GP3File
from guitarpro.gp4 import GP4File
from guitarpro.gp5 import GP5File
from guitarpro.io import getVersionAndGPFile

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.limits import Limits

ENCODING = "cp1252"
BEND_POSITIONS = 60  # places for a bend point over a note, in the file
BEND_UNITS_PER_QUARTER_TONE = 25  # bend heights in the file
MAX_BEND_POINTS = 1_000
MAX_MEASURES = 400_000  # bars × tracks
MAX_BEATS_PER_NOTE_LIMIT = 2  # beats (rests too) may be this many times ``Limits.notes``


class _Truncated(struct.error):
    """The file ends early, or a length in it is nonsense. PyGuitarPro knows how to default on struct.error."""


class _Bytes:
    """A read-only stream that raises instead of returning less than asked for."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._size = bytearray(data), 0, len(data)

    @property
    def left(self) -> int:
        return self._size - self._at

    def read(self, count: int) -> bytes:
        at = self._at
        if not 0 <= count <= self._size - at:
            raise _Truncated(f"{count} bytes are due at byte {at}, {self.left} are left")
        self._at = at + count
        return bytes(self._data[at : at + count])

    def byte(self) -> int:
        at = self._at
        if at >= self._size:
            raise _Truncated(f"a byte is due at byte {at}, the end")
        self._at = at + 1
        return self._data[at]

    def peek(self, offset: int) -> int:
        """The byte ``offset`` places ahead, 0 beyond the end."""
        return self._data[self._at + offset] if self._at + offset < len(self._data) else 0

    def bring_forward(self, offset: int) -> None:
        """Move the byte ``offset`` places ahead to the front of what is left."""
        if offset < self.left:
            self._data.insert(self._at, self._data.pop(self._at + offset))


class _Duration(gp.Duration):
    """A duration that works its ticks out once."""

    @cached_property
    def time(self) -> Any:
        return gp.Duration.time.fget(self)


Collect = Callable[[gp.Song, int, gp.Measure], None]


class _Guarded:
    """Overrides for all three parsers; ``guard`` arms one."""

    limits: Limits
    collect: Collect
    n_beats: int
    tied: dict[tuple[int, int, int], int]
    data: _Bytes
    _currentTrack: gp.Track | None
    _currentMeasureNumber: int | None
    _currentBeatNumber: int | None

    def guard(self, limits: Limits, collect: Collect) -> None:
        self.limits, self.collect = limits, collect
        self.n_beats, self.tied, self._voice = 0, {}, 0
        self.durations: dict[tuple[Any, ...], _Duration] = {}

    # Nearly all of a file is single bytes: reading them without struct halves the time.

    def readU8(self, default: int | None = None) -> int:
        try:
            return self.data.byte()
        except _Truncated:
            if default is None:
                raise
            return default

    def readI8(self, default: int | None = None) -> int:
        byte = self.readU8(default)
        return byte - 256 if byte > 127 else byte

    def readDuration(self, flags: int) -> gp.Duration:
        made = super().readDuration(flags)  # type: ignore[misc]
        tuplet = made.tuplet
        key = (made.value, made.isDotted, tuplet.enters, tuplet.times)
        if key not in self.durations:
            self.durations[key] = _Duration(made.value, made.isDotted, tuplet)
        return self.durations[key]

    def readNotes(self, track: gp.Track, beat: gp.Beat, duration: gp.Duration, noteEffect: gp.NoteEffect) -> None:
        flags = self.readU8()
        beat.duration = duration
        for string in track.strings:
            if flags >> (7 - string.number) & 1:
                # Only these two can be given to a whole beat (in Guitar Pro 3).
                effect = gp.NoteEffect(harmonic=noteEffect.harmonic, vibrato=noteEffect.vibrato)
                note = gp.Note(beat, effect=effect)
                beat.notes.append(note)
                self.readNote(note, string, track)

    def readByteSizeString(self, count: int) -> str:
        size = self.readU8()
        return self.data.read(count)[:size].decode(ENCODING, "replace")

    def readIntSizeString(self) -> str:
        return self.data.read(self.readI32()).decode(ENCODING, "replace")  # type: ignore[attr-defined]

    def readMeasureHeaders(self, song: gp.Song, measureCount: int, *rest: Any) -> None:
        self.limits.check("bars", measureCount)
        if measureCount < 1:
            raise FormatError("at least one bar", str(measureCount))
        super().readMeasureHeaders(song, measureCount, *rest)  # type: ignore[misc]

    def readTracks(self, song: gp.Song, trackCount: int, channels: list[gp.MidiChannel]) -> None:
        self.limits.check("tracks", trackCount)
        if trackCount < 1:
            raise FormatError("at least one track", str(trackCount))
        if trackCount * len(song.measureHeaders) > MAX_MEASURES:
            raise FormatError(f"at most {MAX_MEASURES:,} bars in all tracks together", f"{trackCount} tracks")
        super().readTracks(song, trackCount, channels)  # type: ignore[misc]

    def readMeasures(self, song: gp.Song) -> None:
        start: Any = gp.Duration.quarterTime
        for header in song.measureHeaders:
            header.start = start
            self._currentMeasureNumber = header.number
            for index, track in enumerate(song.tracks):
                self._currentTrack = track
                measure = gp.Measure(track, header)
                self._track = index
                self.readMeasure(measure)  # type: ignore[attr-defined]
                self.collect(song, index, measure)
            start += header.length
        self._currentTrack, self._currentMeasureNumber = None, None

    def readVoice(self, start: int, voice: gp.Voice) -> None:
        self._voice = 0 if voice is voice.measure.voices[0] else 1
        count: int = self.readI32()  # type: ignore[attr-defined]
        # A beat takes three bytes at least: flags, duration, strings.
        if not 0 <= count <= self.data.left // 3:
            raise _Truncated(f"{count} beats are due, {self.data.left} bytes are left")
        self.n_beats += count
        if self.n_beats > MAX_BEATS_PER_NOTE_LIMIT * self.limits.notes:
            self.limits.check("notes", self.n_beats)
        for number in range(count):
            self._currentBeatNumber = number + 1
            start += self.readBeat(start, voice)  # type: ignore[attr-defined]
        self._currentBeatNumber = None

    def getBeat(self, voice: gp.Voice, start: int) -> gp.Beat:
        # Starts never fall, so only the last beat can share one.
        if voice.beats and voice.beats[-1].start == start:
            return voice.beats[-1]
        beat = gp.Beat(voice)
        beat.start = start
        voice.beats.append(beat)
        return beat

    def readNote(self, note: gp.Note, guitarString: gp.GuitarString, track: gp.Track) -> gp.Note:
        out = super().readNote(note, guitarString, track)  # type: ignore[misc]
        if note.type is not gp.NoteType.rest:
            self.tied[self._track, self._voice, note.string] = note.value
        return out

    def getTiedNoteValue(self, note: gp.Note) -> int:
        return self.tied.get((self._track, self._voice, note.string), -1)

    def readBend(self) -> gp.BendEffect | None:
        """As PyGuitarPro's, but points keep the file's own finer position (0–60)."""
        bend = gp.BendEffect()
        bend.type = gp.BendType(self.readI8())
        bend.value = self.readI32()  # type: ignore[attr-defined]
        count = self.readI32()  # type: ignore[attr-defined]
        if not 0 <= count <= min(MAX_BEND_POINTS, self.data.left // 9):
            raise FormatError(f"0–{MAX_BEND_POINTS} bend points", str(count))
        for _ in range(count):
            position, height = self.readI32(), self.readI32()  # type: ignore[attr-defined]
            vibrato = self.readBool()  # type: ignore[attr-defined]
            bend.points.append(gp.BendPoint(position, round(height / BEND_UNITS_PER_QUARTER_TONE), vibrato))
        return bend if count else None


def _read_grace(reader: Any) -> gp.GraceEffect:
    """A grace note of Guitar Pro 3 and 4: fret, velocity, transition, duration.

    PyGuitarPro takes the last two in the other order; alphaTab reads them as here, and only so are files
    that Guitar Pro saved in three versions alike.
    """
    grace = gp.GraceEffect()
    grace.fret = reader.readI8()
    grace.velocity = reader.unpackVelocity(reader.readU8())
    grace.transition = gp.GraceEffectTransition(reader.readU8())
    duration = reader.readU8()  # players take 1/32 whatever it says
    grace.duration = 1 << (7 - duration) if duration <= 7 else gp.Duration.thirtySecond
    grace.isDead = grace.fret == -1
    return grace


def _read_endings(reader: Any, headers: list[gp.MeasureHeader]) -> int:
    """The endings of a bar in Guitar Pro 3 and 4, as bits: all up to a number that no bar before has.

    As alphaTab looks back: to the start of the repeat or the end of the one before.
    """
    taken = 0
    for header in reversed(headers):
        if header.isRepeatOpen or (header.repeatClose > 0 and header is not headers[-1]):
            break
        taken |= header.repeatAlternative
    return ((1 << min(reader.readU8(), 8)) - 1) & ~taken


class _Safe3(_Guarded, GP3File):
    def readTremoloBar(self) -> gp.BendEffect:
        """As PyGuitarPro's, but points at the positions of later files (0–60)."""
        bar = super().readTremoloBar()
        for point in bar.points:
            point.position *= BEND_POSITIONS // gp.BendEffect.maxPosition
        return bar

    readGrace = _read_grace
    readRepeatAlternative = _read_endings


def _read_harmonic(reader: Any, note: gp.Note) -> gp.HarmonicEffect:
    """A harmonic of Guitar Pro 4, said as in 5: the touched place 5, 7 or 12 frets up as the note that it sounds.

    PyGuitarPro exchanges the first two.
    """
    code = reader.readI8()
    if code in _ARTIFICIAL:
        step, octave = _ARTIFICIAL[code]
        return gp.ArtificialHarmonic(gp.PitchClass((note.realValue + step) % 12), octave)
    if code not in _HARMONICS:
        raise FormatError("a harmonic 1, 3, 4, 5, 15, 17 or 22", str(code))
    return _HARMONICS[code]()


_ARTIFICIAL = {15: (0, gp.Octave.quindicesima), 17: (7, gp.Octave.ottava), 22: (0, gp.Octave.ottava)}
_HARMONICS = {1: gp.NaturalHarmonic, 3: gp.TappedHarmonic, 4: gp.PinchHarmonic, 5: gp.SemiHarmonic}


class _Safe4(_Guarded, GP4File):
    readHarmonic = _read_harmonic
    readGrace = _read_grace
    readRepeatAlternative = _read_endings


class _Safe5(_Guarded, GP5File):
    def readMeasureHeader(self, number: int, song: gp.Song, previous: gp.MeasureHeader | None = None) -> Any:
        # The endings of a bar stand behind its four beam groups; PyGuitarPro looks for them before.
        flags = self.data.peek(0 if previous is None else 1)
        self._beams_first = bool(flags & 0x03)
        return super().readMeasureHeader(number, song, previous)

    def readRepeatAlternative(self, measureHeaders: list[gp.MeasureHeader]) -> int:
        if self._beams_first:
            self.data.bring_forward(4)
        return self.readU8()


_SAFE: dict[type, Any] = {GP3File: _Safe3, GP4File: _Safe4, GP5File: _Safe5}


def parse(data: bytes, path: Path, limits: Limits, collect: Collect) -> gp.Song:
    """Parse a whole file; ``collect(song, track_index, measure)`` sees every bar of every track, in bar order.

    The returned song has headers and tracks, but no bars.

    Raises:
        FormatError: the bytes are not a well-formed Guitar Pro 3–5 file.
        LimitError: they pass ``limits``.
    """
    if not data[1:31].startswith((b"FICHIER GUITAR PRO", b"CLIPBOARD")):
        actual = "a zip archive (Guitar Pro 7 or 8)" if data.startswith(b"PK") else f"{data[:8]!r} at the start"
        if data.startswith((b"BCFZ", b"BCFS")):
            actual = "a Guitar Pro 6 file"
        raise FormatError("a Guitar Pro 3, 4 or 5 file", actual, where=str(path), hint="Save it as .gp5 there.")
    stream = _Bytes(data)
    try:
        version = GP3File(stream, ENCODING).readVersion()
        version_tuple, parser = getVersionAndGPFile(version)
        reader = _SAFE[parser](stream, ENCODING, version=version, versionTuple=version_tuple)
        reader.guard(limits, collect)
        return reader.readSong()
    except Exception as error:  # a third-party parser: on broken bytes it raises whatever Python raises
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, CadenzaError):
            cause = cause.__cause__
        place = str(error).partition(", got ")[0].removeprefix("reading ") if isinstance(error, gp.GPException) else ""
        where = f"{path}, {place}" if place and ", got " in str(error) else str(path)
        if isinstance(cause, FormatError):
            raise cause.at(where) from None
        if isinstance(cause, CadenzaError):
            raise FormatError(cause.expected, cause.actual, where=where, hint=cause.hint) from error
        reason = str(error).partition(", got ")[2] or f"{type(error).__name__}: {error}"
        raise FormatError(
            "a well-formed Guitar Pro file",
            f"a broken one ({reason[:200]})",
            where=where,
            hint="If Guitar Pro opens it, save it anew there.",
        ) from error
