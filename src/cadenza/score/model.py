"""The noun: Score, Track, Note, Bend, Technique. Immutable, integer ticks, notes as columns.

A :class:`Track` holds its notes as one read-only NumPy structured array (:data:`NOTE_DTYPE`), sorted
canonically, so that a million notes pass through without a million objects; :class:`Note` is a view of one
row. Bends belong to notes: each is a polyline of points in ticks after the note's onset and cents against
its pitch, held in a second array (:data:`BEND_DTYPE`).

Time is in integer ticks, ``ticks_per_quarter`` of them to a quarter note; seconds and bars are
computed in :mod:`cadenza.score.time` and nowhere else.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import RangeError
from cadenza.score.written import DIRECTIONS, NO_BEATS, Mark, sealed_beats, sorted_marks


class Technique(IntFlag):
    """How a note is played. A bit set; the order of the bits is part of the saved form."""

    NONE = 0
    PALM_MUTE = 1 << 0
    DEAD = 1 << 1
    HAMMER = 1 << 2  # hammer-on or pull-off from this note to the next on its string
    SLIDE_SHIFT = 1 << 3  # slide to the next note, which is picked
    SLIDE_LEGATO = 1 << 4  # slide to the next note, which is not picked
    SLIDE_IN_BELOW = 1 << 5
    SLIDE_IN_ABOVE = 1 << 6
    SLIDE_OUT_DOWN = 1 << 7
    SLIDE_OUT_UP = 1 << 8
    LET_RING = 1 << 9
    VIBRATO = 1 << 10
    HARMONIC_NATURAL = 1 << 11
    HARMONIC_ARTIFICIAL = 1 << 12
    HARMONIC_TAPPED = 1 << 13
    HARMONIC_PINCH = 1 << 14
    HARMONIC_SEMI = 1 << 15
    GHOST = 1 << 16
    ACCENT = 1 << 17
    HEAVY_ACCENT = 1 << 18
    STACCATO = 1 << 19
    TRILL = 1 << 20
    TREMOLO_PICKING = 1 << 21
    GRACE = 1 << 22
    TAP = 1 << 23
    SLAP = 1 << 24
    POP = 1 << 25


_EVERY_TECHNIQUE = (int(max(Technique)) << 1) - 1  # the bits leave no gap
HARMONICS = (
    Technique.HARMONIC_NATURAL
    | Technique.HARMONIC_ARTIFICIAL
    | Technique.HARMONIC_TAPPED
    | Technique.HARMONIC_PINCH
    | Technique.HARMONIC_SEMI
)
NO_FRET = -1
NO_STRING = 0
NO_SPELLING = -128

NOTE_DTYPE = np.dtype(
    [
        ("onset_ticks", "i8"),
        ("duration_ticks", "i8"),
        # MIDI note number as it sounds, 60 = middle C. Where string and fret are given it is open string + capo +
        # fret, and for a harmonic so much higher as the harmonic sounds above (its hand stays at string and fret).
        ("pitch", "i2"),
        ("velocity", "i2"),  # 1–127
        ("string", "i1"),  # 1 = highest string; NO_STRING where unknown
        ("fret", "i1"),  # counted from the capo; NO_FRET where unknown
        ("techniques", "u8"),  # Technique bits
        ("voice", "i1"),  # 0 = first voice of the staff
        ("spelling", "i1"),  # place on the line of fifths, C = 0, G = 1, F = -1; NO_SPELLING where unknown
    ]
)
BEND_DTYPE = np.dtype(
    [
        ("note", "i8"),  # row of the note in the track's note array
        ("offset_ticks", "i8"),  # after the note's onset
        ("cents", "i2"),  # against the note's pitch
    ]
)
CONTROL_DTYPE = np.dtype(
    [
        ("onset_ticks", "i8"),
        ("controller", "i2"),  # MIDI controller number, 0–127
        ("value", "i2"),  # 0–127
    ]
)

NoteArray = NDArray[np.void]
NO_BENDS = np.zeros(0, BEND_DTYPE)
NO_CONTROLS = np.zeros(0, CONTROL_DTYPE)
for _empty in (NO_BENDS, NO_CONTROLS):
    _empty.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Bend:
    """One point of a note's pitch curve. Between points the pitch moves linearly; before the first and after the
    last it has theirs."""

    offset_ticks: int
    cents: int


@dataclass(frozen=True, slots=True)
class Note:
    """One note, a view of one row of a track (or the row to be, for building a track by hand)."""

    onset_ticks: int
    duration_ticks: int
    pitch: int
    velocity: int = 95
    bends: tuple[Bend, ...] = ()
    string: int = NO_STRING
    fret: int = NO_FRET
    techniques: Technique = Technique.NONE
    voice: int = 0
    spelling: int = NO_SPELLING

    @property
    def offset_ticks(self) -> int:
        """The tick at which the note ends."""
        return self.onset_ticks + self.duration_ticks


def _sealed(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A read-only array of ``dtype`` that nobody else can write to."""
    out = np.array(array, dtype=dtype, copy=True)
    out.setflags(write=False)
    return out


def _refuse(mask: NDArray[np.bool_], values: NDArray[Any], what: str, expected: str) -> None:
    if mask.any():
        row = int(np.argmax(mask))
        raise RangeError(f"{what} {expected}", str(int(values[row])), where=f"note {row}")


@dataclass(frozen=True, eq=False)
class Track:
    """One instrument's part.

    Args:
        notes: shape (n,), :data:`NOTE_DTYPE`; sorted canonically on construction.
        bends: shape (m,), :data:`BEND_DTYPE`, ``note`` counting rows of ``notes`` as passed in.
        program: General MIDI program, 0–127 (ignored for drums).
        is_drums: pitches are General MIDI percussion keys.
        tuning: open-string pitches, highest string first; empty for an instrument without strings.
        capo_fret: fret of the capo; frets are counted from it.
        controls: shape (k,), :data:`CONTROL_DTYPE`, sorted by onset (pedal, volume, pan, …).
        beats: shape (b,), :data:`~cadenza.score.written.BEAT_DTYPE`: the written note values, where they are known.
        marks: what is written at beats and notes, sorted; see :mod:`cadenza.score.written`.

    Raises:
        RangeError: a value lies outside its unit's range.
    """

    name: str = ""
    program: int = 0
    is_drums: bool = False
    tuning: tuple[int, ...] = ()
    capo_fret: int = 0
    notes: NoteArray = field(default_factory=lambda: np.zeros(0, NOTE_DTYPE))
    bends: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, BEND_DTYPE))
    controls: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, CONTROL_DTYPE))
    beats: NDArray[np.void] = field(default_factory=lambda: NO_BEATS)
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        notes, bends = np.asarray(self.notes, NOTE_DTYPE), np.asarray(self.bends, BEND_DTYPE)
        controls = np.asarray(self.controls, CONTROL_DTYPE)
        if not 0 <= self.program <= 127:
            raise RangeError("a program of 0–127", str(self.program), where=f"track {self.name!r}")
        for array, name, low, high in (
            (notes, "onset_ticks", 0, 1 << 60),
            (notes, "duration_ticks", 0, 1 << 60),
            (notes, "pitch", 0, 127),
            (notes, "velocity", 1, 127),
            (notes, "fret", NO_FRET, 127),
            (notes, "voice", 0, 127),
            (controls, "onset_ticks", 0, 1 << 60),
            (controls, "controller", 0, 127),
            (controls, "value", 0, 127),
            (bends, "note", 0, len(notes) - 1),
        ):
            column = array[name]
            if len(column) and (column.min() < low or column.max() > high):
                _refuse((column < low) | (column > high), column, name, f"of {low}–{high}")
        techniques = notes["techniques"]
        if len(techniques) and techniques.max() > _EVERY_TECHNIQUE:
            _refuse(techniques > _EVERY_TECHNIQUE, techniques, "techniques", "that are bits of Technique")
        strings = notes["string"]
        if len(strings) and (strings.min() < 0 or strings.max() > len(self.tuning)):
            _refuse((strings < 0) | (strings > len(self.tuning)), strings, "string", f"of 0–{len(self.tuning)}")
        notes, bends = _canonical(notes, bends)
        if len(bends):
            same = np.diff(bends["note"]) == 0
            step = np.diff(bends["offset_ticks"])
            _refuse(same & (step <= 0), bends["offset_ticks"][1:], "bend offset_ticks", "rising within a note")
            over = (bends["offset_ticks"] < 0) | (bends["offset_ticks"] > notes["duration_ticks"][bends["note"]])
            _refuse(over, bends["offset_ticks"], "bend offset_ticks", "within the note")
        if len(controls):
            controls = controls[np.argsort(controls["onset_ticks"], kind="stable")]
        object.__setattr__(self, "tuning", tuple(int(pitch) for pitch in self.tuning))
        object.__setattr__(self, "notes", _sealed(notes, NOTE_DTYPE))
        object.__setattr__(self, "bends", _sealed(bends, BEND_DTYPE))
        object.__setattr__(self, "controls", _sealed(controls, CONTROL_DTYPE))
        object.__setattr__(self, "beats", sealed_beats(self.beats))
        object.__setattr__(self, "marks", sorted_marks(self.marks))

    @classmethod
    def known(
        cls,
        notes: NoteArray,
        controls: NDArray[np.void] | None = None,
        name: str = "",
        program: int = 0,
        is_drums: bool = False,
        in_order: bool = False,
    ) -> Track:
        """A track of columns known to be sound and held by nobody else: nothing is checked or copied, rows are sorted
        (they are already where ``in_order``).

        For readers of thousands of files, which have looked at every value already; a note has no string and no bends.
        """  # fmt: skip
        track = object.__new__(cls)
        if not in_order:
            notes, _ = _canonical(notes, NO_BENDS)
        if controls is None or not len(controls):
            controls = NO_CONTROLS
        elif not in_order and not (np.diff(at := np.ascontiguousarray(controls["onset_ticks"])) >= 0).all():
            controls = controls[np.argsort(at, kind="stable")]
        for column in (notes, controls):
            column.setflags(write=False)
        vars(track).update(
            name=name, program=program, is_drums=is_drums, tuning=(), capo_fret=0, notes=notes, bends=NO_BENDS,
            controls=controls, beats=NO_BEATS, marks=(),
        )  # fmt: skip
        return track

    @classmethod
    def of(cls, notes: Iterable[Note], **fields: Any) -> Track:
        """A track from :class:`Note` objects; ``fields`` are the track's other fields."""
        listed = list(notes)
        rows = np.array(
            [
                (
                    n.onset_ticks,
                    n.duration_ticks,
                    n.pitch,
                    n.velocity,
                    n.string,
                    n.fret,
                    int(n.techniques),
                    n.voice,
                    n.spelling,
                )
                for n in listed
            ],
            NOTE_DTYPE,
        )
        bends = np.array(
            [(row, b.offset_ticks, b.cents) for row, n in enumerate(listed) for b in n.bends],
            BEND_DTYPE,
        )
        return cls(notes=rows, bends=bends, **fields)

    def __len__(self) -> int:
        return len(self.notes)

    def __iter__(self) -> Iterator[Note]:
        return (self[row] for row in range(len(self.notes)))

    def __getitem__(self, row: int) -> Note:
        r = self.notes[row]
        return Note(
            int(r["onset_ticks"]),
            int(r["duration_ticks"]),
            int(r["pitch"]),
            int(r["velocity"]),
            self.bends_of(row),
            int(r["string"]),
            int(r["fret"]),
            Technique(int(r["techniques"])),
            int(r["voice"]),
            int(r["spelling"]),
        )

    def bends_of(self, row: int) -> tuple[Bend, ...]:
        """The bend points of the note in ``row``, in order; empty for a note that stays on its pitch."""
        row = row % len(self.notes) if row < 0 else row
        low, high = np.searchsorted(self.bends["note"], [row, row + 1])
        return tuple(Bend(int(b["offset_ticks"]), int(b["cents"])) for b in self.bends[low:high])

    def with_notes(self, notes: NoteArray, bends: NDArray[np.void] | None = None, **fields: Any) -> Track:
        """This track with other notes. Without ``bends`` the present ones are kept, row by row."""
        return replace(self, notes=notes, bends=self.bends if bends is None else bends, **fields)

    def keep(self, mask: NDArray[np.bool_]) -> Track:
        """Only the notes where ``mask`` (shape (n,)) is true, with their bends."""
        new_row = np.cumsum(mask) - 1
        bends = self.bends[mask[self.bends["note"]]].copy()
        bends["note"] = new_row[bends["note"]]
        return replace(self, notes=self.notes[mask], bends=bends)

    @property
    def end_ticks(self) -> int:
        """Offset of the last-sounding note; 0 when there is none."""
        return int((self.notes["onset_ticks"] + self.notes["duration_ticks"]).max(initial=0))

    def _key(self) -> tuple[Any, ...]:
        arrays = (self.notes.tobytes(), self.bends.tobytes(), self.controls.tobytes(), self.beats.tobytes())
        return (self.name, self.program, self.is_drums, self.tuning, self.capo_fret, self.marks, *arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Track) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        kind = "drums" if self.is_drums else f"program={self.program}"
        return f"Track({self.name!r}, {kind}, {len(self.notes)} notes)"


_NO_ROWS = np.zeros(0, np.int64)


def _canonical(notes: NoteArray, bends: NDArray[np.void]) -> tuple[NoteArray, NDArray[np.void]]:
    """Rows in canonical order (all fields, onset first; equal rows by their bends), bends re-indexed.

    Two tracks with the same notes are then equal arrays, whatever order they were built in.
    """
    if not len(bends):
        order = _order_by_onset_and_pitch(notes)
        if order is not None:
            return notes[order] if len(order) else notes, bends
    names = ("onset_ticks", "pitch", "duration_ticks", "velocity", "string", "fret", "voice", "techniques", "spelling")
    order = np.lexsort([notes[name] for name in reversed(names)])
    bends = bends[np.lexsort([bends["offset_ticks"], bends["note"]])]
    sorted_notes = notes[order]
    if len(bends) and len(notes) > 1:
        twin = sorted_notes[1:] == sorted_notes[:-1]
        if twin.any():
            _order_twins(order, twin, bends)
    if len(bends):
        new_row = np.empty(len(notes), np.int64)
        new_row[order] = np.arange(len(notes))
        bends = bends.copy()
        bends["note"] = new_row[bends["note"]]
        bends = bends[np.lexsort([bends["offset_ticks"], bends["note"]])]
    return notes[order], bends


def _order_by_onset_and_pitch(notes: NoteArray) -> NDArray[np.int64] | None:
    """The canonical order where onset and pitch alone settle it, empty where it is that of the rows; None elsewhere."""
    onset = notes["onset_ticks"]
    if len(onset) and onset.max() >= 1 << 55:
        return None
    key = (onset << 7) + notes["pitch"]
    if (key[1:] > key[:-1]).all():  # what most edits leave as it was
        return _NO_ROWS
    order = np.argsort(key, kind="stable")
    key = key[order]
    return order if (key[1:] > key[:-1]).all() else None


def _order_twins(order: NDArray[np.int64], twin: NDArray[np.bool_], bends: NDArray[np.void]) -> None:
    """Sort runs of equal notes in ``order`` by their bends, in place; ``twin[i]``: place i + 1 equals place i."""
    edges = np.diff(np.concatenate([[False], twin, [False]]).astype(np.int8))
    low = np.searchsorted(bends["note"], order, side="left")
    high = np.searchsorted(bends["note"], order, side="right")
    offsets, cents = np.ascontiguousarray(bends["offset_ticks"]), np.ascontiguousarray(bends["cents"])
    for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) + 1, strict=True):
        curves = [(offsets[low[i] : high[i]].tobytes(), cents[low[i] : high[i]].tobytes()) for i in range(start, stop)]
        order[start:stop] = order[start:stop][sorted(range(stop - start), key=curves.__getitem__)]


@dataclass(frozen=True, slots=True, order=True)
class Tempo:
    """From ``onset_ticks`` on, ``quarters_per_minute`` quarter notes a minute."""

    onset_ticks: int
    quarters_per_minute: float

    def __post_init__(self) -> None:
        if not 0 < self.quarters_per_minute < float("inf") or self.onset_ticks < 0:
            raise RangeError("a positive tempo at a tick ≥ 0", f"{self.quarters_per_minute} at {self.onset_ticks}")


@dataclass(frozen=True, slots=True, order=True)
class Metre:
    """From ``onset_ticks`` on, ``numerator``/``denominator`` time; a new bar starts there."""

    onset_ticks: int
    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        power_of_two = self.denominator > 0 and self.denominator & (self.denominator - 1) == 0
        if self.numerator < 1 or not power_of_two or self.onset_ticks < 0:
            actual = f"{self.numerator}/{self.denominator} at {self.onset_ticks}"
            raise RangeError("a metre n/2^k at a tick ≥ 0", actual)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """From ``onset_ticks`` on, a signature of ``fifths`` sharps (negative: flats), major or minor."""

    onset_ticks: int
    fifths: int
    mode: Literal["major", "minor"] = "major"

    def __post_init__(self) -> None:
        if not -7 <= self.fifths <= 7 or self.mode not in ("major", "minor") or self.onset_ticks < 0:
            actual = f"{self.fifths} {self.mode} at {self.onset_ticks}"
            raise RangeError("a key of −7…7 fifths, major or minor, at a tick ≥ 0", actual)


@dataclass(frozen=True, slots=True, order=True)
class BarMark:
    """What is special about the bar that starts at ``onset_ticks``; a new bar starts there in any case.

    Plain bars need no mark: they follow from the metre map. A mark in mid-bar makes the bar before it short
    (an upbeat, for example).

    Args:
        repeat_open: a repeat starts with this bar.
        repeat_close: how often the passage that ends with this bar is played in all; 0 = no repeat ends here.
        endings: numbers (1, 2, …) of the repeat passes in which this bar is played; empty = in all.
        directions: places (segno, coda, fine: at the bar's start) and jumps (da capo …: at its end), sorted, out of
            :data:`~cadenza.score.written.DIRECTIONS`.
    """

    onset_ticks: int
    repeat_open: bool = False
    repeat_close: int = 0
    endings: tuple[int, ...] = ()
    directions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not set(self.directions) <= set(DIRECTIONS):
            raise RangeError("directions out of score.written.DIRECTIONS", repr(self.directions))
        object.__setattr__(self, "directions", tuple(sorted(set(self.directions))))
        if self.onset_ticks < 0 or self.repeat_close < 0 or any(e < 1 for e in self.endings):
            raise RangeError("a bar mark at a tick ≥ 0 with counts ≥ 0", repr(self))


@dataclass(frozen=True, slots=True, order=True)
class Marker:
    """A text at a place in time (a section's name, say)."""

    onset_ticks: int
    text: str


def _map(items: Iterable[Any]) -> tuple[Any, ...]:
    """Sorted by onset, the last of several at one tick."""
    items = tuple(items)
    if len(items) < 2:
        return items
    latest = {item.onset_ticks: item for item in items}
    return tuple(latest[onset] for onset in sorted(latest))


@dataclass(frozen=True)
class Score:
    """A piece: tracks over one time line.

    Args:
        ticks_per_quarter: resolution, 1–65,535.
        tempos, metres, keys: maps over time, sorted; before the first entry 120, 4/4 and no key hold.
        bars: marks of special bars (repeats, endings, short bars), sorted.
        length_ticks: total length; raised to the last note's offset where it is smaller.

    Raises:
        RangeError: a value lies outside its unit's range.
    """

    tracks: tuple[Track, ...] = ()
    ticks_per_quarter: int = 480
    tempos: tuple[Tempo, ...] = ()
    metres: tuple[Metre, ...] = ()
    keys: tuple[Key, ...] = ()
    bars: tuple[BarMark, ...] = ()
    markers: tuple[Marker, ...] = ()
    title: str = ""
    composer: str = ""
    length_ticks: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.ticks_per_quarter <= 65_535:
            raise RangeError("1–65,535 ticks per quarter", str(self.ticks_per_quarter))
        object.__setattr__(self, "tracks", tuple(self.tracks))
        for name in ("tempos", "metres", "keys", "bars"):
            object.__setattr__(self, name, _map(getattr(self, name)))
        markers = tuple(sorted(self.markers, key=lambda marker: (marker.onset_ticks, marker.text)))
        object.__setattr__(self, "markers", markers)
        last = max((track.end_ticks for track in self.tracks), default=0)
        object.__setattr__(self, "length_ticks", max(int(self.length_ticks), last))

    @property
    def n_notes(self) -> int:
        """Notes in all tracks."""
        return sum(len(track) for track in self.tracks)

    def with_tracks(self, tracks: Iterable[Track], **fields: Any) -> Score:
        """This score with other tracks (and other ``fields``); its length stays at least what it was."""
        made = tuple(tracks)
        if not fields and len(made) == len(self.tracks) and all(map(operator.is_, made, self.tracks)):
            return self
        return replace(self, tracks=made, **fields)

    def map_tracks(self, function: Any) -> Score:
        """This score with ``function(track)`` in place of each track."""
        return self.with_tracks(function(track) for track in self.tracks)

    def __repr__(self) -> str:
        return f"Score({len(self.tracks)} tracks, {self.n_notes} notes, {self.ticks_per_quarter} ticks a quarter)"


STANDARD_TUNINGS: Mapping[str, tuple[int, ...]] = {
    "guitar": (64, 59, 55, 50, 45, 40),
    "bass": (43, 38, 33, 28),
}
