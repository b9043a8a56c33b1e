"""Edits: a sentence and a pure function Score → Score.

Augmentations, and what a notation or a format loses, are the same thing: values that can be listed, composed,
tested and read to the user (``says`` completes the sentence "this …").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd, lcm
from typing import Any, Literal

import numpy as np

from cadenza.base.errors import InexactError, RangeError
from cadenza.score.model import (
    BEND_DTYPE,
    CONTROL_DTYPE,
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    Key,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.time import bar_table, key_at, metre_at, rescaled, tempo_at
from cadenza.score.written import NO_BEATS


@dataclass(frozen=True)
class Edit:
    """``says`` in the third person ("drops velocity"), ``apply`` pure."""

    says: str
    apply: Callable[[Score], Score]

    def __call__(self, score: Score) -> Score:
        return self.apply(score)


def project(score: Score, edits: Iterable[Edit]) -> Score:
    """``score`` after all ``edits``, in order."""
    for edit in edits:
        score = edit.apply(score)
    return score


def _each_track(says: str, function: Callable[[Track], Track]) -> Edit:
    return Edit(says, lambda score: score.map_tracks(function))


# ── pitch ────────────────────────────────────────────────────────────────────────────────────────────────


def transpose(semitones: int, out_of_range: Literal["refuse", "drop"] = "refuse") -> Edit:
    """Move every pitched note; never clamps.

    On a fretted track the frets move and the strings stay; a note whose fret would leave 0–24 loses its
    string and fret (a later fingering finds new ones), and so does a natural harmonic, which sounds at its own
    place only. Drums stay.

    Raises (on apply):
        RangeError: a note would leave 0–127 and ``out_of_range`` is "refuse".
    """

    def move(track: Track) -> Track:
        if track.is_drums or not semitones:
            return track
        moved = track.notes["pitch"].astype(np.int64) + semitones
        fits = (moved >= 0) & (moved <= 127)
        if not fits.all():
            if out_of_range == "refuse":
                raise RangeError(
                    "pitches of 0–127 after transposing",
                    str(int(moved[~fits][0])),
                    where=f"track {track.name!r}",
                    hint="Transpose by less, or drop the notes that fall out.",
                )
            track, moved = track.keep(fits), moved[fits]
        notes = track.notes.copy()
        notes["pitch"] = moved
        fretted = notes["fret"] != NO_FRET
        fret = notes["fret"].astype(np.int64) + semitones
        natural = (notes["techniques"] & np.uint64(int(Technique.HARMONIC_NATURAL))) != 0
        lost = fretted & ((fret < 0) | (fret > 24) | natural)
        notes["fret"] = np.where(fretted & ~lost, fret, np.where(lost, NO_FRET, notes["fret"]))
        notes["string"] = np.where(lost, NO_STRING, notes["string"])
        notes["spelling"] = np.where(
            notes["spelling"] == NO_SPELLING, NO_SPELLING, NO_SPELLING if semitones % 12 else notes["spelling"]
        )
        return track.with_notes(notes)

    def apply(score: Score) -> Score:
        keys = tuple(_transposed_key(key, semitones) for key in score.keys)
        return replace(score.map_tracks(move), keys=keys)

    return Edit(f"transposes by {semitones:+d} semitones", apply)


def _transposed_key(key: Key, semitones: int) -> Key:
    fifths = key.fifths + 7 * semitones
    fifths = (fifths + 5) % 12 - 5 if semitones % 12 else key.fifths
    return replace(key, fifths=fifths)


def drop_bends() -> Edit:
    """Every note stays on its pitch."""
    return _each_track(
        "drops pitch bends", lambda t: t.with_notes(t.notes, np.zeros(0, BEND_DTYPE)) if len(t.bends) else t
    )


def simplify_bends(tolerance_cents: float) -> Edit:
    """Fewer bend points, no curve further than ``tolerance_cents`` from the old one (Ramer–Douglas–Peucker)."""

    def thin(track: Track) -> Track:
        if not len(track.bends):
            return track
        keep = np.zeros(len(track.bends), bool)
        bounds = np.flatnonzero(np.diff(track.bends["note"], prepend=-1, append=-1))
        for low, high in pairwise(bounds):
            keep[low:high] = _simplified(
                track.bends["offset_ticks"][low:high].astype(np.float64),
                track.bends["cents"][low:high].astype(np.float64),
                tolerance_cents,
            )
        return track.with_notes(track.notes, track.bends[keep])

    return _each_track(f"thins bend curves to within {tolerance_cents:g} cents", thin)


def _simplified(x: np.ndarray, y: np.ndarray, tolerance: float) -> np.ndarray:
    keep = np.zeros(len(x), bool)
    keep[[0, -1]] = True
    stack = [(0, len(x) - 1)]
    while stack:
        low, high = stack.pop()
        if high - low < 2:
            continue
        line = y[low] + (x[low + 1 : high] - x[low]) * (y[high] - y[low]) / (x[high] - x[low])
        error = np.abs(y[low + 1 : high] - line)
        worst = int(np.argmax(error))
        if error[worst] > tolerance:
            middle = low + 1 + worst
            keep[middle] = True
            stack += [(low, middle), (middle, high)]
    return keep


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


def stretch_tempo(factor: float) -> Edit:
    """Play ``factor`` times as fast; ticks stay."""

    def apply(score: Score) -> Score:
        tempos = (
            score.tempos if score.tempos and score.tempos[0].onset_ticks == 0 else (tempo_at(score, 0), *score.tempos)
        )
        return replace(score, tempos=tuple(Tempo(t.onset_ticks, t.quarters_per_minute * factor) for t in tempos))

    return Edit(f"plays {factor:g} times as fast", apply)


def rescale(ticks_per_quarter: int, exact: bool = True) -> Edit:
    """Another resolution.

    Raises (on apply):
        InexactError: a tick would be rounded and ``exact`` is true.
    """

    def apply(score: Score) -> Score:
        old, new = score.ticks_per_quarter, ticks_per_quarter
        if old == new:
            return score
        divisor = old // gcd(old, new)
        offsets = [track.bends["offset_ticks"] for track in score.tracks]
        if exact and any((column % divisor).any() for column in offsets):
            raise InexactError(
                f"bend points that {new} ticks a quarter can hold",
                f"finer ones at {old} a quarter",
                hint="Ask for rounding or use a finer resolution.",
            )

        def at(tick: int) -> int:
            if exact and tick % divisor:
                raise InexactError(
                    f"a time that {new} ticks a quarter can hold",
                    f"tick {tick} of {old} a quarter",
                    hint="Ask for rounding or use a finer resolution.",
                )
            return rescaled(int(tick), old, new)

        return retimed(score, new, at, None if exact else lambda ticks: _rescaled_all(ticks, old, new))

    return Edit(f"re-times to {ticks_per_quarter} ticks a quarter" + ("" if exact else ", rounding"), apply)


def _rescaled_all(ticks: np.ndarray, old: int, new: int) -> np.ndarray:
    """:func:`~cadenza.score.time.rescaled` of each of ``ticks``, which are no less than 0."""
    if len(ticks) and int(ticks.max()) > 1 << 44:  # twice a tick at the finest resolution would not fit
        return np.array([rescaled(int(tick), old, new) for tick in ticks], np.int64)
    return (2 * ticks * new + old) // (2 * old)


def retimed(
    score: Score,
    ticks_per_quarter: int,
    at: Callable[[int], int],
    of_all: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Score:
    """``score`` with every time (bend points too) moved by the rising function ``at``, at another resolution.

    ``of_all`` is the same function for a column of ticks, where there is one: faster.
    """

    def columns(values: np.ndarray) -> np.ndarray:
        if of_all is not None:
            return of_all(values.astype(np.int64))
        unique, inverse = np.unique(values, return_inverse=True)
        return np.array([at(int(v)) for v in unique], np.int64)[inverse] if len(values) else values

    def move(track: Track) -> Track:
        notes, bends, controls = track.notes.copy(), track.bends.copy(), track.controls.copy()
        notes["onset_ticks"] = columns(track.notes["onset_ticks"])
        ends = columns(track.notes["onset_ticks"] + track.notes["duration_ticks"])
        # A sounding note never rounds away to nothing.
        notes["duration_ticks"] = np.maximum(ends - notes["onset_ticks"], track.notes["duration_ticks"] > 0)
        controls["onset_ticks"] = columns(track.controls["onset_ticks"])
        if len(bends):
            note = bends["note"]
            offset = columns(track.notes["onset_ticks"][note] + bends["offset_ticks"]) - notes["onset_ticks"][note]
            bends["offset_ticks"] = np.minimum(offset, notes["duration_ticks"][note])
            last = np.append((np.diff(bends["note"]) != 0) | (np.diff(bends["offset_ticks"]) != 0), True)
            bends = bends[last]
        beats = track.beats.copy()
        beats["onset_ticks"] = columns(track.beats["onset_ticks"])
        beats["duration_ticks"] = columns(track.beats["onset_ticks"] + track.beats["duration_ticks"])
        beats["duration_ticks"] -= beats["onset_ticks"]
        beats = beats[beats["duration_ticks"] > 0]
        return replace(track, notes=notes, bends=bends, controls=controls, beats=beats, marks=entries(track.marks))

    def entries(items):  # type: ignore[no-untyped-def]
        return tuple(replace(item, onset_ticks=at(item.onset_ticks)) for item in items)

    return replace(
        score,
        tracks=tuple(move(track) for track in score.tracks),
        ticks_per_quarter=ticks_per_quarter,
        tempos=entries(score.tempos),
        metres=entries(score.metres),
        keys=entries(score.keys),
        bars=entries(score.bars),
        markers=entries(score.markers),
        length_ticks=at(score.length_ticks),
    )


def relabel_resolution(ticks_per_quarter: int) -> Edit:
    """The same ticks, said to be ``ticks_per_quarter`` to a quarter (for texts that do not name theirs)."""
    return Edit(
        f"takes ticks as {ticks_per_quarter} to a quarter",
        lambda score: replace(score, ticks_per_quarter=ticks_per_quarter),
    )


def grid(ticks_per_quarter: int) -> Edit:
    """Move every time to the nearest of ``ticks_per_quarter`` points a quarter, keeping the resolution where it
    can hold the grid, else taking the least resolution that can."""

    def apply(score: Score) -> Score:
        old = score.ticks_per_quarter
        new = old if old % ticks_per_quarter == 0 else lcm(old, ticks_per_quarter)
        new = new if new <= 65_535 else ticks_per_quarter
        step = new // ticks_per_quarter
        return retimed(
            score,
            new,
            lambda tick: step * rescaled(tick, old, ticks_per_quarter),
            lambda ticks: step * _rescaled_all(ticks, old, ticks_per_quarter),
        )

    return Edit(f"moves times to a grid of {ticks_per_quarter} a quarter", apply)


# ── velocity, techniques, fields ─────────────────────────────────────────────────────────────────────────


def map_column(says: str, column: str, function: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """Replace one column of every track's notes by ``function(column)``."""

    def change(track: Track) -> Track:
        values = function(track.notes[column].copy())
        if np.array_equal(values, track.notes[column]):
            return track
        notes = track.notes.copy()
        notes[column] = values
        return track.with_notes(notes)

    return _each_track(says, change)


def drop_velocity(value: int = 95) -> Edit:
    """Every note at velocity ``value``."""
    return map_column("drops velocity", "velocity", lambda v: np.full_like(v, value))


def velocity_bin(velocity: np.ndarray, bins: int) -> np.ndarray:
    """Centre of the bin (of ``bins`` equal ones over 1–127) in which each velocity lies; idempotent."""
    index = (velocity.astype(np.int64) - 1) * bins // 127
    return 1 + (index * 127 + 63) // bins if bins < 127 else velocity


def bin_velocity(bins: int) -> Edit:
    """Velocities at the centres of ``bins`` equal bins over 1–127."""
    return map_column(f"keeps {bins} velocity levels", "velocity", lambda v: velocity_bin(v, bins))


def drop_techniques(kept: Technique = Technique.NONE) -> Edit:
    """Only the techniques in ``kept`` stay."""
    says = "drops playing techniques" if not kept else "keeps only some playing techniques"
    return map_column(says, "techniques", lambda t: t & np.uint64(int(kept)))


def drop_frets() -> Edit:
    """Strings and frets of notes go; the track keeps its tuning."""

    def change(track: Track) -> Track:
        if (track.notes["string"] == NO_STRING).all() and (track.notes["fret"] == NO_FRET).all():
            return track
        notes = track.notes.copy()
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        return track.with_notes(notes)

    return _each_track("drops strings and frets of notes", change)


def drop_voices() -> Edit:
    """All notes of a track in its first voice."""
    return map_column("drops voice numbers", "voice", np.zeros_like)


def drop_spelling() -> Edit:
    """Pitches lose their spelling (F sharp or G flat)."""
    return map_column("drops pitch spelling", "spelling", lambda s: np.full_like(s, NO_SPELLING))


def drop_controls() -> Edit:
    """Pedal, volume and other controllers go."""
    return _each_track(
        "drops controllers (pedal, volume, pan)",
        lambda t: replace(t, controls=np.zeros(0, CONTROL_DTYPE)) if len(t.controls) else t,
    )


def drop_written() -> Edit:
    """The written layer goes: note values, and marks at beats and notes (:mod:`cadenza.score.written`)."""
    return _each_track(
        "drops how it is written: note values, strokes, whammy bar, texts and lyrics",
        lambda t: replace(t, beats=NO_BEATS, marks=()) if len(t.beats) or t.marks else t,
    )


def drop_marks(kinds: Iterable[str]) -> Edit:
    """Marks of these kinds go (:data:`cadenza.score.written.MARK_KINDS`)."""
    gone = frozenset(kinds)

    def change(track: Track) -> Track:
        kept = tuple(mark for mark in track.marks if mark.kind not in gone)
        return track if len(kept) == len(track.marks) else replace(track, marks=kept)

    return _each_track(f"drops {', '.join(kind.replace('_', ' ') for kind in sorted(gone))} marks", change)


def drop_directions() -> Edit:
    """Segno, coda, fine and the jumps to them go; a bar that has nothing else special keeps its line."""
    return Edit(
        "drops directions (segno, coda, da capo)",
        lambda score: (
            replace(score, bars=tuple(replace(mark, directions=()) for mark in score.bars))
            if any(mark.directions for mark in score.bars)
            else score
        ),
    )


def drop_field(says: str, **fields: object) -> Edit:
    """Set fields of the Score to fixed values."""
    return Edit(says, lambda score: replace(score, **fields))  # type: ignore[arg-type]


def drop_track_field(says: str, **fields: object) -> Edit:
    """Set fields of every Track to fixed values."""

    def change(track: Track) -> Track:
        same = all(getattr(track, name) == value for name, value in fields.items())
        return track if same else replace(track, **fields)  # type: ignore[arg-type]

    return _each_track(says, change)


def even_drums(step_ticks: int, duration_ticks: int) -> Edit:
    """Drum hits at multiples of ``step_ticks``, all ``duration_ticks`` long."""

    def change(track: Track) -> Track:
        if not track.is_drums:
            return track
        notes = track.notes.copy()
        notes["onset_ticks"] = (notes["onset_ticks"] + step_ticks // 2) // step_ticks * step_ticks
        notes["duration_ticks"] = duration_ticks
        return track.with_notes(notes, np.zeros(0, BEND_DTYPE))

    return _each_track(f"moves drum hits to every {step_ticks} ticks and gives them one length", change)


def drop_doubled() -> Edit:
    """Of notes of one track with the same onset and pitch only the longest (then loudest) stays."""

    def change(track: Track) -> Track:
        notes = track.notes
        order = np.lexsort([-notes["velocity"], -notes["duration_ticks"], notes["pitch"], notes["onset_ticks"]])
        sorted_notes = notes[order]
        first = np.ones(len(notes), bool)
        first[1:] = (np.diff(sorted_notes["onset_ticks"]) != 0) | (np.diff(sorted_notes["pitch"]) != 0)
        mask = np.zeros(len(notes), bool)
        mask[order[first]] = True
        return track.keep(mask)

    return _each_track("drops notes that double another of the same track", change)


# ── selection ────────────────────────────────────────────────────────────────────────────────────────────


def select_tracks(indices: Sequence[int]) -> Edit:
    """Only these tracks, in this order."""

    def apply(score: Score) -> Score:
        for index in indices:
            if not 0 <= index < len(score.tracks):
                raise RangeError(f"track indices of 0–{len(score.tracks) - 1}", str(index))
        return score.with_tracks(score.tracks[index] for index in indices)

    return Edit(f"keeps tracks {', '.join(map(str, indices))}", apply)


def select_ticks(start_ticks: int, stop_ticks: int) -> Edit:
    """Only the notes that start within [start, stop), moved to time 0; notes that reach over the end are cut.

    The maps that hold at ``start_ticks`` are carried along.
    """

    def cut(track: Track) -> Track:
        onset = track.notes["onset_ticks"]
        kept = (onset >= start_ticks) & (onset < stop_ticks)
        notes = track.notes[kept]
        room = stop_ticks - notes["onset_ticks"]
        notes["duration_ticks"] = np.minimum(notes["duration_ticks"], room)
        bends = track.bends
        if len(bends):
            bends = bends[kept[bends["note"]]]
            bends["note"] = (np.cumsum(kept) - 1)[bends["note"]]
            bends = bends[bends["offset_ticks"] <= notes["duration_ticks"][bends["note"]]]
        notes["onset_ticks"] -= start_ticks
        at = track.controls["onset_ticks"]
        controls = track.controls[(at >= start_ticks) & (at < stop_ticks)].copy()
        controls["onset_ticks"] -= start_ticks
        at, end = track.beats["onset_ticks"], track.beats["onset_ticks"] + track.beats["duration_ticks"]
        beats = track.beats[(at >= start_ticks) & (end <= stop_ticks)].copy()
        beats["onset_ticks"] -= start_ticks
        marks = entries(track.marks)
        return replace(track, notes=notes, bends=bends, controls=controls, beats=beats, marks=marks)

    def entries(items, held=None):  # type: ignore[no-untyped-def]
        inside = [
            replace(i, onset_ticks=i.onset_ticks - start_ticks)
            for i in items
            if start_ticks <= i.onset_ticks < stop_ticks
        ]
        if held is not None and not any(i.onset_ticks == 0 for i in inside):
            inside.insert(0, replace(held, onset_ticks=0))
        return tuple(inside)

    def apply(score: Score) -> Score:
        return replace(
            score,
            tracks=tuple(cut(track) for track in score.tracks),
            tempos=entries(score.tempos, tempo_at(score, start_ticks)),
            metres=entries(score.metres, metre_at(score, start_ticks)),
            keys=entries(score.keys, key_at(score, start_ticks)),
            bars=entries(score.bars),
            markers=entries(score.markers),
            length_ticks=stop_ticks - start_ticks,
        )

    return Edit(f"keeps ticks {start_ticks} to {stop_ticks}", apply)


def select_bars(first: int, stop: int) -> Edit:
    """Only bars ``first`` … ``stop`` − 1 (counted from 0)."""

    def apply(score: Score) -> Score:
        table = bar_table(score)
        if not 0 <= first < stop <= len(table):
            raise RangeError(f"bars within 0–{len(table)}", f"{first} to {stop}")
        return select_ticks(int(table.starts_ticks[first]), int(table.ends_ticks[stop - 1])).apply(score)

    return Edit(f"keeps bars {first + 1} to {stop}", apply)


def merge_tracks(name: str = "", program: int = 0) -> Edit:
    """All notes in one track."""

    def apply(score: Score) -> Score:
        if not score.tracks:
            return score
        bends, first = [], 0
        for track in score.tracks:
            shifted = track.bends.copy()
            shifted["note"] += first
            bends.append(shifted)
            first += len(track)
        notes = np.concatenate([t.notes for t in score.tracks])
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        controls = np.concatenate([t.controls for t in score.tracks])
        merged = Track(name=name, program=program, notes=notes, bends=np.concatenate(bends), controls=controls)
        return score.with_tracks([merged])

    return Edit("merges all tracks into one", apply)


# ── joining ──────────────────────────────────────────────────────────────────────────────────────────────


def joined(scores: Sequence[Score]) -> Score:
    """The scores one after another: same tracks, same resolution; map entries that change nothing are left out."""
    first = scores[0]
    tracks: list[list[Track]] = [[] for _ in first.tracks]
    fields: dict[str, list[Any]] = {name: [] for name in ("tempos", "metres", "keys", "bars", "markers")}
    at = 0
    for score in scores:
        if score.ticks_per_quarter != first.ticks_per_quarter or len(score.tracks) != len(first.tracks):
            raise RangeError("scores of one resolution with the same tracks", repr(score))
        for place, track in zip(tracks, score.tracks, strict=True):
            notes, controls, beats = track.notes.copy(), track.controls.copy(), track.beats.copy()
            for rows in (notes, controls, beats):
                rows["onset_ticks"] += at
            marks = tuple(replace(mark, onset_ticks=mark.onset_ticks + at) for mark in track.marks)
            place.append(replace(track, notes=notes, controls=controls, beats=beats, marks=marks))
        for name, items in fields.items():
            for item in getattr(score, name):
                moved = replace(item, onset_ticks=item.onset_ticks + at)
                held = items[-1] if items else None
                if (
                    name in ("tempos", "keys")
                    and held
                    and replace(held, onset_ticks=0) == replace(moved, onset_ticks=0)
                ):
                    continue
                items.append(moved)
        at += score.length_ticks
    whole = []
    for parts in tracks:
        bends, row = [], 0
        for part in parts:
            shifted = part.bends.copy()
            shifted["note"] += row
            bends.append(shifted)
            row += len(part)
        whole.append(
            replace(
                parts[0],
                notes=np.concatenate([p.notes for p in parts]),
                bends=np.concatenate(bends),
                controls=np.concatenate([p.controls for p in parts]),
                beats=np.concatenate([p.beats for p in parts]),
                marks=tuple(mark for p in parts for mark in p.marks),
            )
        )
    maps: dict[str, Any] = {name: tuple(items) for name, items in fields.items()}
    return replace(first, tracks=tuple(whole), length_ticks=at, **maps)
