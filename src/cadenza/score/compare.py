"""What is musically different between two scores.

:func:`compare` takes two scores of any resolution and lists their differences: of the maps and bars, of the tracks,
of each note by what changed in it, of the written layer. Times are compared in quarters, exactly (or within a
tolerance). Two ways of saying one thing are no difference: a tempo, metre or key said again, 120 a minute and 4/4 said
at the start, tempos equal in whole microseconds a quarter (the finest that MIDI files tell apart), a point on the
straight line of a bend, the resolution itself.

Differences mirror: ``compare(b, a)`` is ``compare(a, b)`` with the sides exchanged. Which note is which is the matter
of :mod:`cadenza.score.matching`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, RangeError, did_you_mean
from cadenza.score import matching
from cadenza.score.model import Score, Technique, Track
from cadenza.score.time import DEFAULT_METRE, DEFAULT_QUARTERS_PER_MINUTE, bar_table

#: Marks that say again, or for one format only, what other aspects compare.
SAID_ELSEWHERE = ("bend", "source", "overfull")
#: What can differ → the group that it belongs to.
ASPECTS: Mapping[str, str] = {
    **dict.fromkeys(("title", "composer", "tempo", "metre", "key", "bars", "repeats", "endings"), "header"),
    **dict.fromkeys(("directions", "markers", "length"), "header"),
    **dict.fromkeys(("tracks", "order", "name", "program", "drums", "tuning", "capo", "controls"), "tracks"),
    **dict.fromkeys(("notes", "onset", "pitch", "duration", "velocity", "string", "fret"), "notes"),
    **dict.fromkeys(("techniques", "bends", "voice", "spelling"), "notes"),
    **dict.fromkeys(("beats", "marks"), "written"),
}
MAX_TRACKS_WEIGHED = 64  # beyond, tracks are matched by place
LEAST_LIKENESS = 0.3
SAFE_TICKS = 1 << 62


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Args:
        aspect: one of :data:`ASPECTS`.
        a, b: the values; None where the side has none. Both are JSON values or tuples of them.
        tracks: number of the track in each score, counted from 0; None where it is no track's, or not there.
        at_ticks: where, in each score's own ticks; None where it is at no place, or not there.
        subject: what has it, where there is more than one at the place (a note's pitch, a mark's kind).
    """

    aspect: str
    a: Any = None
    b: Any = None
    tracks: tuple[int | None, int | None] = (None, None)
    at_ticks: tuple[int | None, int | None] = (None, None)
    subject: tuple[Any, Any] = (None, None)

    def mirrored(self) -> Difference:
        """The same with the sides exchanged."""
        return Difference(self.aspect, self.b, self.a, self.tracks[::-1], self.at_ticks[::-1], self.subject[::-1])


@dataclass(frozen=True, slots=True)
class Comparison:
    """What :func:`compare` found; false where there is no difference.

    Args:
        differences: header first, then track by track in the order of time.
        n_notes: notes of each score.
        n_paired: notes of one that are (changed or not) also in the other.
        tracks: which track is which; (number, None) and (None, number) where one has no counterpart.
    """

    differences: tuple[Difference, ...]
    n_notes: tuple[int, int]
    n_paired: int
    tracks: tuple[tuple[int | None, int | None], ...]

    def __bool__(self) -> bool:
        return bool(self.differences)

    def counts(self) -> dict[str, int]:
        """Aspect → number of differences, in the order of :data:`ASPECTS`."""
        found = Counter(difference.aspect for difference in self.differences)
        return {aspect: found[aspect] for aspect in ASPECTS if found[aspect]}


def aspects(names: Collection[str]) -> frozenset[str]:
    """The aspects that ``names`` (aspects or groups) name.

    Raises:
        ConfigError: a name is neither.
    """
    out: set[str] = set()
    for name in names:
        of_group = {aspect for aspect, group in ASPECTS.items() if group == name}
        # "notes" is both: the group of what notes have, and their being there.
        if not of_group and name not in ASPECTS:
            known = [*ASPECTS, *ASPECTS.values()]
            raise ConfigError("an aspect or a group of aspects", repr(name), hint=did_you_mean(name, set(known)))
        out |= of_group or {name}
    return frozenset(out)


def compare(
    a: Score,
    b: Score,
    only: Collection[str] = (),
    ignore: Collection[str] = (),
    tolerance_quarters: float | Fraction = 0,
    tolerance_cents: float = 0,
) -> Comparison:
    """The differences between two scores.

    Args:
        only, ignore: aspects or groups of :data:`ASPECTS` to look at, or not to.
        tolerance_quarters: times and durations so near are the same.
        tolerance_cents: bend curves that stay so near are the same.

    Raises:
        ConfigError: an unknown aspect.
        RangeError: times too late to be compared at these resolutions.
        LimitError: more bars than :data:`~cadenza.score.time.MAX_BARS`.
    """
    unit = lcm(a.ticks_per_quarter, b.ticks_per_quarter)
    sides = (_Side(a, unit // a.ticks_per_quarter), _Side(b, unit // b.ticks_per_quarter))
    for side in sides:
        if side.score.length_ticks * side.scale > SAFE_TICKS:
            raise RangeError("times that both resolutions can tell", f"{side.score.length_ticks} ticks")
    seen = (aspects(only) or frozenset(ASPECTS)) - aspects(ignore)
    look = _Look(*sides, unit, int(Fraction(tolerance_quarters) * unit), tolerance_cents, seen)
    return look.compared()


@dataclass(frozen=True)
class _Side:
    score: Score
    scale: int  # units a tick

    def value_at(self, entries: Any, value: Callable[[Any], Any], default: Any) -> list[tuple[int, Any]]:
        """(units, value) of a map from 0 on, what says nothing new left out."""
        out = [(0, default)]
        for entry in entries:
            at, new = entry.onset_ticks * self.scale, value(entry)
            if at == 0:
                out = [(0, new)]
            elif new != out[-1][1]:
                out.append((at, new))
        return out

    def ticks(self, units: int | None) -> int | None:
        return None if units is None else units // self.scale


class _Look:
    """One comparison as it goes."""

    def __init__(self, a: _Side, b: _Side, unit: int, tolerance: int, cents: float, seen: frozenset[str]) -> None:
        self.a, self.b, self.unit, self.tolerance, self.cents, self.seen = a, b, unit, tolerance, cents, seen
        self.found: list[Difference] = []
        self.n_paired = 0

    def say(
        self,
        aspect: str,
        a: Any,
        b: Any,
        units: Any = (None, None),
        tracks: Any = (None, None),
        subject: Any = (None, None),
    ) -> None:
        if aspect in self.seen:
            at = (self.a.ticks(units[0]), self.b.ticks(units[1]))
            self.found.append(Difference(aspect, a, b, tracks, at, subject))

    def compared(self) -> Comparison:
        a, b = self.a.score, self.b.score
        self.header(a, b)
        found = _paired_tracks(self.a, self.b)
        both = [(i, j) for i, j in found if i is not None and j is not None]
        in_order_of_a, in_order_of_b = sorted(both), sorted(both, key=lambda pair: pair[1])
        if in_order_of_a != in_order_of_b:  # each side's tracks, in the order of the other
            self.say("order", tuple(i for i, _ in in_order_of_b), tuple(j for _, j in in_order_of_a))
        for i, j in found:
            if i is None or j is None:
                track = b.tracks[j] if j is not None else a.tracks[i]  # type: ignore[index]
                said = (track.name, len(track))
                self.say("tracks", said if j is None else None, said if i is None else None, tracks=(i, j))
            else:
                self.track(a.tracks[i], b.tracks[j], (i, j))
        return Comparison(tuple(self.found), (a.n_notes, b.n_notes), self.n_paired, tuple(found))

    # ── header ───────────────────────────────────────────────────────────────────────────────────────────

    def header(self, a: Score, b: Score) -> None:
        for name in ("title", "composer"):
            if getattr(a, name) != getattr(b, name):
                self.say(name, getattr(a, name), getattr(b, name))
        tempo = DEFAULT_QUARTERS_PER_MINUTE
        self.map("tempo", "tempos", lambda entry: entry.quarters_per_minute, tempo, _microseconds)
        self.map("metre", "metres", lambda entry: (entry.numerator, entry.denominator), DEFAULT_METRE)
        self.map("key", "keys", lambda entry: (entry.fifths, entry.mode), None)
        self.bars(a, b)
        for aspect, value in (
            ("repeats", lambda mark: (mark.repeat_open, mark.repeat_close)),
            ("endings", lambda mark: mark.endings),
            ("directions", lambda mark: mark.directions),
        ):
            found = [
                [(mark.onset_ticks * side.scale, value(mark)) for mark in side.score.bars if any(value(mark))]
                for side in (self.a, self.b)
            ]
            self.items(aspect, found)
        self.items("markers", [[(m.onset_ticks * s.scale, m.text) for m in s.score.markers] for s in (self.a, self.b)])
        lengths = a.length_ticks * self.a.scale, b.length_ticks * self.b.scale
        if abs(lengths[0] - lengths[1]) > self.tolerance:
            self.say("length", *(float(Fraction(units, self.unit)) for units in lengths))

    def map(
        self,
        aspect: str,
        field: str,
        value: Callable[[Any], Any],
        default: Any,
        same: Callable[[Any], Any] | None = None,
    ) -> None:
        """Differences of the values that hold, where either changes."""
        maps = [side.value_at(getattr(side.score, field), value, default) for side in (self.a, self.b)]
        places = sorted({(at, side) for side, entries in enumerate(maps) for at, _ in entries})
        rows = [dict(entries) for entries in maps]
        held: list[Any] = [default, default]
        last: Any = None
        index = 0
        while index < len(places):
            start = places[index][0]
            at: list[int | None] = [None, None]
            while index < len(places) and places[index][0] - start <= self.tolerance:
                units, side = places[index]
                held[side], at[side] = rows[side][units], units
                index += 1
            level = [same(v) if same else v for v in held]
            # A difference that goes on where only one side says so again is the same difference.
            if level[0] != level[1] and level != last:
                first = min(u for u in at if u is not None)
                self.say(aspect, held[0], held[1], [first if u is None else u for u in at])
            last = level

    def bars(self, a: Score, b: Score) -> None:
        starts = [bar_table(side.score).starts_ticks * side.scale for side in (self.a, self.b)]
        shared = min(len(column) for column in starts)
        off = np.abs(starts[0][:shared] - starts[1][:shared]) > self.tolerance
        if off.any() or len(starts[0]) != len(starts[1]):
            first = int(np.argmax(off)) if off.any() else shared
            at = tuple(int(column[first]) if first < len(column) else None for column in starts)
            self.say("bars", len(starts[0]), len(starts[1]), at)

    def items(
        self, aspect: str, sides: Sequence[list[tuple[int, Any]]],
        place: Callable[[Any], Any] = lambda value: None, subject: Callable[[Any], Any] = lambda value: None,
        tracks: tuple[int | None, int | None] = (None, None),
    ) -> None:  # fmt: skip
        """Differences of two lists of (units, value): equal ones near in time pair first, then those of one place."""
        a, b = sides
        if not a and not b:
            return
        times_a, times_b = [units for units, _ in a], [units for units, _ in b]
        left, right = list(range(len(a))), list(range(len(b)))
        for key in (_itself, place):
            keys_a, keys_b = [key(value) for _, value in a], [key(value) for _, value in b]
            pairs = matching.pair_by_time(
                left, right, keys_a.__getitem__, keys_b.__getitem__, times_a, times_b, self.tolerance
            )
            for i, j in pairs if key is place else ():
                at = (times_a[i], times_b[j])
                self.say(aspect, a[i][1], b[j][1], at, subject=(subject(a[i][1]), subject(b[j][1])), tracks=tracks)
            gone_a, gone_b = {i for i, _ in pairs}, {j for _, j in pairs}
            left, right = [i for i in left if i not in gone_a], [j for j in right if j not in gone_b]
        for i in left:
            self.say(aspect, a[i][1], None, (times_a[i], None), subject=(subject(a[i][1]), None), tracks=tracks)
        for j in right:
            self.say(aspect, None, b[j][1], (None, times_b[j]), subject=(None, subject(b[j][1])), tracks=tracks)

    # ── tracks ───────────────────────────────────────────────────────────────────────────────────────────

    def track(self, a: Track, b: Track, both: tuple[int, int]) -> None:
        drums = a.is_drums and b.is_drums
        for aspect, field in _TRACK_FIELDS.items():
            values = getattr(a, field), getattr(b, field)
            if values[0] != values[1] and not (aspect == "program" and drums):
                self.say(aspect, *values, tracks=both)
        if a is not b or self.a.scale != self.b.scale:
            self.notes(a, b, both)
        else:
            self.n_paired += len(a)
        two = ((self.a, a), (self.b, b))
        controls, beats, marks = ([of(*one) for one in two] for of in (_controls, self.beats, _marks))
        self.items("controls", controls, lambda value: value[0], lambda value: value[0], both)
        self.items("beats", beats, lambda value: value[0], lambda value: "voice", both)
        self.items("marks", marks, lambda value: value[:4], lambda value: value[0], both)

    def beats(self, side: _Side, track: Track) -> list[tuple[int, Any]]:
        """(units, (voice, value, dots, enters, times, duration in quarters))."""
        rows = track.beats
        names = ("onset_ticks", "voice", "value", "dots", "enters", "times", "duration_ticks")
        out = []
        for onset, *held, duration in zip(*(rows[name].tolist() for name in names), strict=True):
            out.append((onset * side.scale, (*held, duration * side.scale / self.unit)))
        return out

    def notes(self, a: Track, b: Track, both: tuple[int, int]) -> None:
        curves: dict[Any, int] = {(): 0}
        rows_a, rows_b = (_matrix(t, s.scale, curves) for t, s in ((a, self.a), (b, self.b)))
        pairs = matching.pair_notes(rows_a, rows_b, self.tolerance, self.unit)
        self.n_paired += len(pairs)
        left, right = rows_a[pairs[:, 0]], rows_b[pairs[:, 1]]
        found: dict[str, NDArray[np.bool_]] = {
            "onset": np.abs(left[:, 0] - right[:, 0]) > self.tolerance,
            "duration": np.abs(left[:, 1] - right[:, 1]) > self.tolerance,
        }
        for aspect, column in _COLUMNS.items():
            found[aspect] = left[:, column] != right[:, column]
        points = {number: curve for curve, number in curves.items()}
        found["bends"] = left[:, matching.CURVE] != right[:, matching.CURVE]
        for row in np.flatnonzero(found["bends"]).tolist():
            both_curves = points[int(left[row, matching.CURVE])], points[int(right[row, matching.CURVE])]
            found["bends"][row] = apart_cents(*both_curves) > self.cents
        said: dict[int, list[str]] = defaultdict(list)
        for aspect, mask in found.items():
            if aspect in self.seen:
                for row in np.flatnonzero(mask).tolist():
                    said[row].append(aspect)
        at_a, at_b = a.notes["onset_ticks"], b.notes["onset_ticks"]
        events: list[tuple[int, int, list[Difference]]] = []
        for row, names in said.items():
            i, j = int(pairs[row, 0]), int(pairs[row, 1])
            at, pitches = (int(at_a[i]), int(at_b[j])), (int(left[row, 2]), int(right[row, 2]))
            differences = []
            for name in names:
                values = self.value(self.a, name, left[row], a, i), self.value(self.b, name, right[row], b, j)
                differences.append(Difference(name, *values, both, at, pitches))
            events.append((min(int(left[row, 0]), int(right[row, 0])), min(pitches), differences))
        if "notes" in self.seen:
            for side, track, rows, turn in ((self.a, a, rows_a, 1), (self.b, b, rows_b, -1)):
                own = pairs[:, 0 if turn == 1 else 1]
                for row in np.setdiff1d(np.arange(len(track)), own, assume_unique=True).tolist():
                    pitch, tick = int(rows[row, matching.PITCH]), int(track.notes["onset_ticks"][row])
                    value = self.value(side, "notes", rows[row], track, row)
                    lone = Difference("notes", value, None, both, (tick, None), (pitch, None))
                    events.append(
                        (int(rows[row, 0]), pitch, [lone if turn == 1 else replace(lone.mirrored(), tracks=both)])
                    )
        events.sort(key=lambda event: event[:2])
        self.found += [difference for *_, differences in events for difference in differences]

    def value(self, side: _Side, aspect: str, row: NDArray[np.int64], track: Track, index: int) -> Any:
        """What is said about a note."""
        if aspect in ("onset", "duration"):
            return int(row[0 if aspect == "onset" else 1]) / self.unit
        if aspect == "techniques":
            return _names(int(row[matching.TECHNIQUES]))
        if aspect == "bends":
            return tuple((p.offset_ticks * side.scale / self.unit, p.cents) for p in track.bends_of(index))
        if aspect == "notes":
            return (int(row[matching.PITCH]), int(row[1]) / self.unit)
        return int(row[_COLUMNS[aspect]])


_TRACK_FIELDS = {"name": "name", "program": "program", "drums": "is_drums", "tuning": "tuning", "capo": "capo_fret"}
_COLUMNS = {
    "pitch": matching.PITCH,
    "velocity": matching.VELOCITY,
    "string": matching.STRING,
    "fret": matching.FRET,
    "techniques": matching.TECHNIQUES,
    "voice": matching.VOICE,
    "spelling": matching.SPELLING,
}


def _itself(value: Any) -> Any:
    return value


def _names(bits: int) -> tuple[str, ...]:
    return tuple(t.name.lower() for t in Technique if t and bits & int(t) and t.name)


def _microseconds(quarters_per_minute: float) -> int:
    return round(60_000_000 / quarters_per_minute)


def _controls(side: _Side, track: Track) -> list[tuple[int, Any]]:
    onsets = (track.controls["onset_ticks"] * side.scale).tolist()
    return list(
        zip(onsets, zip(*(track.controls[n].tolist() for n in ("controller", "value")), strict=True), strict=True)
    )


def _marks(side: _Side, track: Track) -> list[tuple[int, Any]]:
    return [
        (m.onset_ticks * side.scale, (m.kind, m.voice, m.string, m.pitch, m.values, m.text))
        for m in track.marks
        if m.kind not in SAID_ELSEWHERE
    ]


def _matrix(track: Track, scale: int, curves: dict[Any, int]) -> NDArray[np.int64]:
    """The notes as integers, columns as in :mod:`~cadenza.score.matching`; ``curves`` numbers the bend curves."""
    notes = track.notes
    out = np.zeros((len(notes), 10), np.int64)
    for column, name in enumerate(
        ("onset_ticks", "duration_ticks", "pitch", "velocity", "string", "fret", "techniques", "voice", "spelling")
    ):
        out[:, column] = notes[name]
    out[:, :2] *= scale
    if len(track.bends):
        rows = track.bends["note"]
        edges = np.flatnonzero(np.diff(rows, prepend=-1, append=-1))
        offsets, cents = (track.bends["offset_ticks"] * scale).tolist(), track.bends["cents"].tolist()
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            curve = tuple(zip(offsets[low:high], cents[low:high], strict=True))
            out[rows[low], matching.CURVE] = curves.setdefault(curve, len(curves))
    return out


def apart_cents(a: Sequence[tuple[float, int]], b: Sequence[tuple[float, int]]) -> float:
    """How far two bend curves, (offset, cents) in one unit, are apart at the most; no points are a straight line."""
    places = np.array(sorted({offset for offset, _ in (*a, *b)}), np.float64)
    heights = []
    for curve in (a, b):
        x, y = (np.array(column, np.float64) for column in zip(*curve, strict=True)) if curve else (places, 0 * places)
        heights.append(np.interp(places, x, y))
    return float(np.abs(heights[0] - heights[1]).max(initial=0))


def _paired_tracks(a: _Side, b: _Side) -> list[tuple[int | None, int | None]]:
    """Which track is which: the likest first, by content, name, program, kind and place."""
    tracks_a, tracks_b = a.score.tracks, b.score.tracks
    pairs: dict[int, int] = {}
    if max(len(tracks_a), len(tracks_b)) > MAX_TRACKS_WEIGHED:
        pairs = {i: i for i in range(min(len(tracks_a), len(tracks_b)))}
    else:
        places = [[_places(t, side.scale) for t in side.score.tracks] for side in (a, b)]
        options = []
        for i, left in enumerate(tracks_a):
            for j, right in enumerate(tracks_b):
                likeness = _likeness(left, right, places[0][i], places[1][j])
                if likeness >= LEAST_LIKENESS:
                    options.append((-likeness, abs(i - j), i + j, i, j))
        gone: set[int] = set()
        for *_, i, j in sorted(options):
            if i not in pairs and j not in gone:
                pairs[i] = j
                gone.add(j)
        rest = [i for i in range(len(tracks_a)) if i not in pairs], [j for j in range(len(tracks_b)) if j not in gone]
        if len(rest[0]) == len(rest[1]) == 1 and tracks_a[rest[0][0]].is_drums == tracks_b[rest[1][0]].is_drums:
            pairs[rest[0][0]] = rest[1][0]
    other = set(pairs.values())
    lone = [(None, j) for j in range(len(tracks_b)) if j not in other]
    return [*((i, pairs.get(i)) for i in range(len(tracks_a))), *lone]


def _places(track: Track, scale: int) -> NDArray[np.int64]:
    """Onset and pitch of the notes as one number each, sorted."""
    return np.sort(track.notes["onset_ticks"] * scale * 128 + track.notes["pitch"])


def _likeness(a: Track, b: Track, places_a: NDArray[np.int64], places_b: NDArray[np.int64]) -> float:
    content = 0.0
    if len(a) and len(b):
        content = 2 * len(np.intersect1d(places_a, places_b)) / (len(np.unique(places_a)) + len(np.unique(places_b)))
    same = 0.3 * (a.name == b.name) + 0.15 * (a.program == b.program) + 0.15 * (a.is_drums == b.is_drums)
    return content + same + 0.2 * (len(a) == len(b) == 0)
