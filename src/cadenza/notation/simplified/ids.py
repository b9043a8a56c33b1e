"""Scores straight to token ids: what a vocabulary makes of the text, without the text.

:class:`FieldIds` takes the fields of a vocabulary as strings with their ids. Notes pass as columns: what the Edits of
the projection do to notes is done to all tracks at once, each field is looked up in a table by its number, and rows of
fields become one sequence by a mask. A field that is no token is handed to the vocabulary as text. Where a score holds
what columns do not cover (bends that the notation keeps, split streams, velocities settled by the score itself, more
than 64 tracks, times beyond 2^44 ticks), all of it is.

That both ways agree is a property test; the projection and :meth:`SimplifiedMidi.encode` say what is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadenza.notation.simplified import bends as bend_codes
from cadenza.notation.simplified import projection as losses
from cadenza.notation.simplified import telling
from cadenza.notation.simplified.frame import Frame
from cadenza.score import edit
from cadenza.score.model import NOTE_DTYPE, Metre, Score
from cadenza.score.time import (
    DEFAULT_METRE,
    DEFAULT_QUARTERS_PER_MINUTE,
    bar_table,
    bar_ticks,
    rescaled,
    ticks_to_seconds,
)

if TYPE_CHECKING:
    from cadenza.notation.simplified.notation import SimplifiedMidi

MAX_TICK, MAX_TRACKS = 1 << 44, 64  # so that a place in a text fits 63 bits
MAX_REMEMBERED = 1 << 14  # spellings and headers
_FIELD = re.compile(r"(:?[a-z])(\d+)")
#: The fields of a note, in order.
_KINDS = ("|", "t", "i", "p", ":v", ":d", ":t", ":b")
_BAR, _REST, _TRACK, _PITCH, _VELOCITY, _DURATION, _STEP, _BEND = range(len(_KINDS))


class _Columns(NamedTuple):
    """The notes of a score after the projection, in telling order; shape (n,) each.

    Args:
        frame: of the score after the projection.
        last_ticks: where the last note ends.
        edges: shape (lines + 1,), the first note of each line.
        track: index among the tracks that the text tells.
    """

    frame: Frame
    last_ticks: int
    edges: NDArray[np.int64]
    track: NDArray[np.int64]
    onset: NDArray[np.int64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]
    duration: NDArray[np.int64]


class FieldIds:
    """Scores → ids of ``notation``'s fields.

    Args:
        notation: with its options.
        known: field ("p60", ":t24", "|", line break …) → id.
        tokenize: text → ids, by the same vocabulary.
    """

    def __init__(
        self, notation: SimplifiedMidi, known: Mapping[str, int], tokenize: Callable[[str], list[int]]
    ) -> None:
        self.notation, self._tokenize = notation, tokenize
        numbers: dict[str, dict[int, int]] = {}
        for text, number in known.items():
            match = _FIELD.fullmatch(text)
            if match and str(int(match[2])) == match[2]:
                numbers.setdefault(match[1], {})[int(match[2])] = number
        self._tables = [_table(numbers.get(kind, {})) for kind in _KINDS]
        self._tables[_BAR] = np.array([known.get("|", -1), -1])
        self._sizes = np.array([len(table) for table in self._tables])
        self._square = np.full((len(self._tables), int(self._sizes.max())), -1)
        for row, table in zip(self._square, self._tables, strict=True):
            row[: len(table)] = table
        self._spellings: dict[tuple[int, int, int], list[int]] = {}
        self._headers: dict[str, NDArray[np.int64]] = {}
        self._line = np.array(tokenize("\n"), np.int64)
        self._velocity, self._bins = losses.option(notation.velocity, "velocity", ("keep", "drop", "bins", "auto"))
        self._velocities = np.arange(128)  # what is told of each
        if self._velocity == "bins":
            self._velocities = edit.velocity_bin(self._velocities, self._bins)
        self._time, self._ticks = losses.option(notation.resolution, "resolution", ("file", "grid", "flat"))

    def __call__(self, score: Score) -> NDArray[np.int64]:
        """``tokenize(notation.encode(score))``, shape (n,)."""
        options = self.notation
        beyond = self._velocity == "auto" or (options.bars and self._tables[_BAR][0] < 0)
        beyond |= options.streams == "split"
        beyond |= options.bend != "none" and any(len(track.bends) for track in score.tracks)
        told = None if beyond else self._columns(score)
        if told is None:
            return np.array(self._tokenize(options.encode(score)), np.int64)
        lines = self._told(told)
        if options.profile == "cadenza":
            header = options.header_line(told.frame, score.tracks, told.last_ticks)
            lines.insert(0, self._header(header))
        parts = [part for line in lines for part in (self._line, line)][1:]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    # ── the projection, in columns ───────────────────────────────────────────────────────────────────────

    def _columns(self, score: Score) -> _Columns | None:
        """The notes after the projection, in telling order; None where numbers are too large."""
        options = self.notation
        by_track, published = options.layout == "by_track", options.profile == "published"
        tracks = [track.notes for track in score.tracks if len(track) or not published]
        n_tracks = len(tracks)
        if score.length_ticks > MAX_TICK or n_tracks > MAX_TRACKS:
            return None
        edges = np.array(list(accumulate(map(len, tracks), initial=0)))
        every = tracks[0] if n_tracks == 1 else _joined(tracks, edges)
        place = self._arranged if self._time != "flat" else self._placed
        last, last_told, columns = place(score, every, edges)
        frame = self._frame(score, last)
        frame = frame._replace(length_ticks=max(frame.length_ticks, last_told))  # durations are rounded after it
        if frame.length_ticks > MAX_TICK:
            return None
        if options.bars and not (n_tracks if by_track else frame.length_ticks or len(every)):
            frame = frame._replace(bars=(), length_ticks=0)  # with no line there is no bar
        return _Columns(frame, last_told, edges if by_track else edges[[0, -1]], *columns)

    def _arranged(
        self, score: Score, every: NDArray[np.void], edges: NDArray[np.int64]
    ) -> tuple[int, int, Sequence[NDArray[np.int64]]]:
        """See :meth:`_placed`; by the compiled loop where there is one."""
        arrange, options = telling.ARRANGE.after(len(every)), self.notation
        if arrange is None:
            return self._placed(score, every, edges)
        by_track = options.layout == "by_track"
        how = (
            telling.BY_TRACK * by_track + telling.MERGED * (options.profile == "published" and not by_track)
            + telling.TABLE * (options.durations == "table")
        )  # fmt: skip
        old = score.ticks_per_quarter
        new = self._ticks if self._time == "grid" else old
        done, last, last_told, columns = arrange(how, every, edges, old, new, losses.NEAREST, self._velocities)
        return (last, last_told, columns) if done else self._placed(score, every, edges)

    def _placed(
        self, score: Score, every: NDArray[np.void], edges: NDArray[np.int64]
    ) -> tuple[int, int, Sequence[NDArray[np.int64]]]:
        """Where the last note ends on the notation's grid, and where with the durations told; then the columns track,
        onset, pitch, velocity and duration in telling order.

        Args:
            every: the notes of all tracks, one track after another.
            edges: shape (tracks + 1,), the first note of each.
        """
        options = self.notation
        onset, duration = self._timed(score, every["onset_ticks"], every["duration_ticks"])
        last = int((onset + duration).max(initial=0))
        if options.durations == "table":
            duration = losses.nearest_durations(duration)
        velocity = self._velocities[every["velocity"]]
        pitch = every["pitch"].astype(np.int64)
        track = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        # Line after line, within one by onset, then track, then pitch from above; then by duration and velocity.
        if options.layout == "by_track":
            place = (track << 44) + onset
        elif options.profile == "published":
            place, track = onset, np.zeros(len(onset), np.int64)
        else:
            place = onset * MAX_TRACKS + track
        place = (place << 7) - pitch
        order = np.argsort(place, kind="stable")
        placed = place[order]
        if (placed[1:] == placed[:-1]).any():
            order = np.lexsort([velocity, duration, place])
        last_told = int((onset + duration).max(initial=0))
        return last, last_told, [column[order] for column in (track, onset, pitch, velocity, duration)]

    def _timed(
        self, score: Score, onset: NDArray[np.int64], duration: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Onsets and durations on the notation's grid."""
        old, new = score.ticks_per_quarter, self._ticks
        if self._time == "file" or (self._time == "grid" and old == new):
            return onset, duration
        end = onset + duration
        if self._time == "grid":
            onset, end = (2 * onset * new + old) // (2 * old), (2 * end * new + old) // (2 * old)
        else:
            onset, end = (np.rint(ticks_to_seconds(score, at) * 2 * new).astype(np.int64) for at in (onset, end))
        return onset, np.maximum(end - onset, duration > 0)  # a sounding note never rounds away to nothing

    def _frame(self, score: Score, last_ticks: int) -> Frame:
        """What the header says; ``last_ticks``: where the last note ends on the notation's grid."""
        old, new = score.ticks_per_quarter, self._ticks
        time = self._time if self._time != "grid" or old != new else "file"
        if time != "flat" and self.notation.header == "first":
            return _first_of_each(score, new if time == "grid" else old, last_ticks)
        frame = replace(score, tracks=())
        if time == "grid":
            frame = edit.rescale(new, exact=False).apply(frame)
        elif time == "flat":
            frame = losses.flatten_tempo(new).apply(frame)
        frame = replace(frame, length_ticks=max(frame.length_ticks, last_ticks))
        for one in losses.frame_edits(self.notation):
            frame = one.apply(frame)
        maps = (frame.tempos, frame.metres, frame.keys, frame.bars)
        return Frame(frame.ticks_per_quarter, frame.length_ticks, *maps)

    def _header(self, text: str) -> NDArray[np.int64]:
        """Its ids; many pieces share one."""
        if text not in self._headers:
            if len(self._headers) >= MAX_REMEMBERED:
                self._headers.clear()
            self._headers[text] = np.array(self._tokenize(text), np.int64)
        return self._headers[text]

    # ── the text, in ids ─────────────────────────────────────────────────────────────────────────────────

    def _told(self, told: _Columns) -> list[NDArray[np.int64]]:
        """The ids of each line of notes, by the compiled loop where there is one."""
        tell, options = telling.TELL.after(len(told.onset)), self.notation
        if tell is None:
            return self._lines(told)
        starts = ends = told.track[:0]
        if options.bars:
            starts, ends = _bars(told.frame, int(told.onset.max(initial=-1)))
        bent = options.profile == "published" and options.bend == "published"
        says = (
            telling.BARS * options.bars + telling.RESTS * (options.profile == "cadenza" and not options.bars)
            + telling.TRACKS * options.has_track_words + telling.VELOCITIES * options.has_velocity
            + telling.COMPACT * options.compact + telling.BENDS * bent
        )  # fmt: skip
        flat, stops, unknown = tell(
            says, told.edges, told.track, told.onset, told.pitch, told.velocity, told.duration, starts, ends,
            self._square, self._sizes, bend_codes.NO_BEND_CODE,
        )  # fmt: skip
        if len(unknown):
            spelled = [self._spelling(*row) for row in unknown.tolist()]
            places = np.flatnonzero(flat < 0)
            copies = np.ones(len(flat), np.int64)
            copies[places] = [len(text) for text in spelled]
            grown = np.concatenate([[0], np.cumsum(copies)])
            flat, stops = np.repeat(flat, copies), grown[stops]
            flat[flat < 0] = [token for text in spelled for token in text]
        return np.split(flat, stops[:-1]) if len(stops) > 1 else [flat] * len(stops)

    def _spelling(self, kind: int, number: int, spaced: int) -> list[int]:
        """What the vocabulary makes of a field that is no token."""
        key = kind, number, spaced
        if key not in self._spellings:
            if len(self._spellings) >= MAX_REMEMBERED:
                self._spellings.clear()
            self._spellings[key] = self._tokenize(f"{' ' * spaced}{_KINDS[kind]}{number}")
        return self._spellings[key]

    def _lines(self, told: _Columns) -> list[NDArray[np.int64]]:
        """The ids of each line of notes; what :mod:`.telling` does note by note, column by column."""
        options, n = self.notation, len(told.onset)
        onset, track, edges = told.onset, told.track, told.edges
        opens_line = np.zeros(n, bool)
        opens_line[edges[:-1][edges[:-1] < edges[1:]]] = True
        opens = opens_line  # a line or bar
        bar = np.zeros(n, np.int64)
        starts = ends = bar[:0]
        if options.bars:
            starts, ends = _bars(told.frame, int(onset.max(initial=-1)))
            bar = np.searchsorted(starts, onset, side="right") - 1
            opens = opens_line.copy()
            opens[1:] |= bar[1:] != bar[:-1]
        first = np.flatnonzero(opens)
        last = np.append(first[1:], n)[: len(first)] - 1
        step = np.diff(onset, append=0)
        step[last] = ends[bar[last]] - onset[last] if options.bars else 0

        bar_lines = np.ones(n, np.int64)  # before each note
        rest = np.zeros(n, np.int64)
        fields: list[tuple[int, NDArray[np.int64] | int, NDArray[np.bool_] | bool]] = []  # kind, numbers, where said
        if options.bars:
            bar_lines[first] = np.where(opens_line[first], bar[first] + 1, np.diff(bar[first], prepend=0))
            fields.append((_BAR, 0, opens))
            rest[first] = onset[first] - starts[bar[first]]
        elif options.profile == "cadenza":
            rest[first] = onset[first]
        if rest.any():
            fields.append((_REST, rest, rest > 0))
        if options.has_track_words:
            fields.append((_TRACK, track, opens | ~_same(track)))
        fields.append((_PITCH, told.pitch, True))
        new_velocity, new_duration, new_step = self._news(told, bar, step)
        if options.has_velocity:
            fields.append((_VELOCITY, told.velocity, new_velocity))
        fields += [(_DURATION, told.duration, new_duration), (_STEP, step, new_step)]
        if options.profile == "published" and options.bend == "published":
            fields.append((_BEND, bend_codes.NO_BEND_CODE, True))
        return self._flattened(fields, edges, bar_lines, bar, len(starts))

    def _news(self, told: _Columns, bar: NDArray[np.int64], step: NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """Where velocity, duration and step are said: always, or in the compact form where they are news."""
        if not self.notation.compact:
            return True, True, True
        order = np.argsort(told.track, kind="stable")
        again = _same(told.track[order])
        velocity, duration = np.empty(len(order), bool), np.empty(len(order), bool)
        velocity[order] = ~(again & _same(told.velocity[order]))
        duration[order] = ~(again & _same(told.duration[order]) & _same(bar[order]))
        return velocity, duration, step != 0

    def _flattened(
        self,
        fields: list[tuple[int, Any, Any]],
        edges: NDArray[np.int64],
        bar_lines: NDArray[np.int64],
        bar: NDArray[np.int64],
        n_bars: int,
    ) -> list[NDArray[np.int64]]:
        """Rows of fields as one sequence a line, with bar lines as often as needed before and after the notes.

        Args:
            fields: (place in _KINDS, numbers, where said).
            edges: shape (lines + 1,), the first note of each line.
            bar_lines: of each note that has one before it, how many.
        """  # fmt: skip
        n, width = len(bar), len(fields)
        ids, says = np.empty((n, width), np.int64), np.empty((n, width), bool)
        for place, (kind, numbers, said) in enumerate(fields):
            table = self._tables[kind]
            ids[:, place], says[:, place] = table[np.minimum(numbers, len(table) - 1)], said
        flat = ids[says]
        ends = np.concatenate([[0], np.cumsum(says.sum(axis=1))])[edges]  # of the lines, in fields
        many, unknown = bar_lines.max(initial=1) > 1, np.flatnonzero(flat < 0)
        if many or len(unknown):
            copies = np.ones(len(flat), np.int64)
            if many:
                copies[(np.cumsum(says.sum(axis=1)) - says.sum(axis=1))[bar_lines > 1]] = bar_lines[bar_lines > 1]
            spelled = self._spelled(fields, says, unknown, ends[:-1])
            copies[unknown] = [len(text) for text in spelled]
            stops = np.concatenate([[0], np.cumsum(copies)])
            flat, ends = np.repeat(flat, copies), stops[ends]
            for at, text in zip(stops[unknown].tolist(), spelled, strict=True):
                flat[at : at + len(text)] = text
        if len(edges) == 2 and not n_bars:
            return [flat]
        lines = []
        for low, high, start, stop in zip(edges[:-1], edges[1:], ends[:-1], ends[1:], strict=True):
            after = n_bars - 1 - int(bar[high - 1]) if high > low else n_bars
            line = flat[start:stop]
            lines.append(np.append(line, np.full(after, self._tables[_BAR][0])) if after > 0 else line)
        return lines

    def _spelled(
        self,
        fields: list[tuple[int, Any, Any]],
        says: NDArray[np.bool_],
        unknown: NDArray[np.int64],
        line_starts: NDArray[np.int64],
    ) -> list[list[int]]:
        """What the vocabulary makes of the fields at the places ``unknown`` of all that are said."""  # fmt: skip
        if not len(unknown):
            return []
        row, column = np.nonzero(says)
        begins = set(line_starts.tolist())
        out = []
        for at in unknown.tolist():
            kind, numbers, _ = fields[column[at]]
            number = numbers if isinstance(numbers, int) else numbers[row[at]]
            space = "" if _KINDS[kind].startswith(":") or at in begins else " "
            out.append(self._tokenize(f"{space}{_KINDS[kind]}{number}"))
        return out


def _joined(tracks: list[NDArray[np.void]], edges: NDArray[np.int64]) -> NDArray[np.void]:
    """All rows, read-only as a Track's are; ``np.concatenate`` looks at every field of the type anew."""
    every = np.empty(edges[-1], NOTE_DTYPE)
    for notes, start, stop in zip(tracks, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        every[start:stop] = notes
    every.setflags(write=False)
    return every


def _table(numbers: Mapping[int, int]) -> NDArray[np.int64]:
    """The id of each number, −1 where there is none; the last place stands for all that are larger."""
    table = np.full(max(numbers, default=-1) + 2, -1, np.int64)
    table[list(numbers)] = list(numbers.values())
    return table


def _first_of_each(score: Score, ticks_per_quarter: int, last_ticks: int) -> Frame:
    """What ``header="first"`` keeps, at another resolution; ``last_ticks``: where the last note ends there."""

    def held(entries: tuple[Any, ...]) -> Any:
        found = None
        for entry in entries:
            if entry.onset_ticks and rescaled(entry.onset_ticks, score.ticks_per_quarter, ticks_per_quarter) > 0:
                break
            found = entry
        return found

    tempo, metre = held(score.tempos), held(score.metres)
    tempo = losses.nearest_tempo(tempo.quarters_per_minute if tempo else DEFAULT_QUARTERS_PER_MINUTE)
    metre = Metre(0, metre.numerator, metre.denominator) if metre else Metre(0, *DEFAULT_METRE)
    length = max(rescaled(score.length_ticks, score.ticks_per_quarter, ticks_per_quarter), last_ticks)
    return Frame(ticks_per_quarter, length, (tempo,), (metre,), (), ())


def _same(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Each value is that before it."""
    same = np.zeros(len(values), bool)
    same[1:] = values[1:] == values[:-1]
    return same


def _bars(frame: Frame, last_onset: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First ticks of the bars that the text tells, and of those that follow each."""
    if not frame.length_ticks and last_onset < 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    until = max(frame.length_ticks, last_onset + 1)
    if not frame.bars and len(frame.metres) == 1 and not frame.metres[0].onset_ticks:
        length = bar_ticks(frame.metres[0], frame.ticks_per_quarter)
        starts = np.arange(0, until, length)
        return starts, starts + length
    score = Score((), frame.ticks_per_quarter, metres=frame.metres, bars=frame.bars, length_ticks=frame.length_ticks)
    table = bar_table(score, until)
    return table.starts_ticks, table.ends_ticks
