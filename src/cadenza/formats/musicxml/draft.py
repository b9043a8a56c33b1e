"""One part on the common time line: its voices, notes, curves, note values and marks → tracks."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.base.limits import Limits
from cadenza.formats.musicxml import layout, marks
from cadenza.formats.musicxml.part import GRACE, GRACE_PER_QUARTER, Part
from cadenza.formats.musicxml.projection import clean
from cadenza.formats.musicxml.signs import BendSign
from cadenza.formats.musicxml.values import (
    CENTS,
    DRUM,
    END,
    FRET,
    JOINED,
    KIND,
    MEASURE,
    PITCH,
    PITCHED,
    SOUND,
    SPELLING,
    STRING,
    TECHNIQUES,
    VELOCITY,
    VOICE,
    integer,
)
from cadenza.score.model import BEND_DTYPE, NO_FRET, NO_SPELLING, NO_STRING, NOTE_DTYPE, Track
from cadenza.score.written import BEAT_DTYPE, NO_BEATS, Mark


@dataclass
class Info:
    """What part-list says of one part."""

    name: str = ""
    program: int = 0
    is_drums: bool = False
    drum_keys: dict[str, int] = field(default_factory=dict)  # instrument id → percussion key


class TimeLine:
    """Units of the common resolution ↔ ticks."""

    def __init__(self, starts: list[int], resolution: int) -> None:
        self.starts, self.resolution, self.ticks = starts, resolution, resolution

    def at(self, unit: int) -> int:
        return max(unit, 0) * self.ticks // self.resolution

    def columns(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ticks of units (shape (n,)); of starts far out, exactly."""
        shared = gcd(self.ticks, self.resolution)
        top, bottom = self.ticks // shared, self.resolution // shared
        if len(units) and int(units.max()) > (1 << 62) // top:
            return np.array([int(unit) * top // bottom for unit in units.tolist()], np.int64)
        out: NDArray[np.int64] = units * top // bottom
        return out


class Draft:
    """A part with its places on the time line, in units."""

    def __init__(self, info: Info, part: Part, line: TimeLine, limits: Limits) -> None:
        self.info, self.part, self.line, self.limits = info, part, line, limits
        self.voices = self._voices()
        factor = line.resolution // part.resolution
        starts = np.array(line.starts, np.int64)
        self.notes = [note for note in part.notes if note[KIND] != JOINED]
        rows = np.array([n[MEASURE : END + 1] for n in self.notes], np.int64).reshape(-1, 3)
        base = starts[rows[:, 0]]
        self.onset, self.end = base + rows[:, 1] * factor, base + rows[:, 2] * factor
        self._first_graces()
        row_of = {id(note): row for row, note in enumerate(self.notes)}
        # row → (unit, cents): where the note's pitch moves
        self.curves: dict[int, list[tuple[int, int]]] = {}
        for note, signs in part.bends:
            row = row_of.get(id(note))
            if row is not None:
                onset, length = int(self.onset[row]), int(self.end[row] - self.onset[row])
                self.curves[row] = [(onset + offset, cents) for offset, cents in curve(signs, max(length, 0))]
        beats = np.array(part.beats, np.int64).reshape(-1, 8)
        base = starts[beats[:, 0]]
        self.beats = beats
        self.beat_onset, self.beat_end = base + beats[:, 1] * factor, base + beats[:, 2] * factor
        self.mark_at = []
        for measure, unit, _, _, note, _, _ in part.marks:
            if note is not None and note[TECHNIQUES] & GRACE and id(note) in row_of:
                self.mark_at.append(int(self.onset[row_of[id(note)]]))
            else:
                self.mark_at.append(max(int(starts[measure]) + unit * factor, 0))

    def _first_graces(self) -> None:
        """Grace notes for which the piece's start leaves no room follow each other from there."""
        early = np.flatnonzero(self.onset < 0)
        if not len(early):
            return
        for voice in {self.notes[row][VOICE] for row in early.tolist()}:
            first = min(int(self.onset[row]) for row in early.tolist() if self.notes[row][VOICE] == voice)
            chain = [first]
            slot = self.line.resolution // GRACE_PER_QUARTER
            rows = [row for row, note in enumerate(self.notes) if note[VOICE] == voice and note[TECHNIQUES] & GRACE]
            onsets = {int(self.onset[row]) for row in rows if self.notes[row][MEASURE] == 0}
            while chain[-1] + slot in onsets and chain[-1] < 0:
                chain.append(chain[-1] + slot)
            for row in rows:
                if int(self.onset[row]) in chain and self.notes[row][MEASURE] == 0:
                    self.onset[row] -= first
                    self.end[row] -= first

    def times(self) -> NDArray[np.int64]:
        """Every time that the resolution must hold."""
        points = [unit for line in self.curves.values() for unit, _ in line]
        listed = np.array([*points, *self.mark_at], np.int64)
        return np.concatenate([self.onset, self.end, self.beat_onset, self.beat_end, listed])

    def _voices(self) -> dict[tuple[str, str], int]:
        """(staff, voice) → voice of the Score: four a staff.

        A file's own number n stands where it leads to the same staff (n − 1). A voice that visits another staff keeps
        its number there too; other names get the free numbers of their staff.
        """
        part = self.part
        keys = list(part.voices)
        self.n_staves = max([part.staves, *(min(max(integer(s, 1), 1), 16) for s, _ in keys)])
        out: dict[tuple[str, str], int] = {}

        def own(voice: str) -> int:
            number = integer(voice, 0) - 1
            return number if 0 <= number <= 127 else -1

        for staff, voice in keys:
            number = own(voice)
            if number >= 0 and layout.staff_of(number, self.n_staves) == min(max(integer(staff, 1), 1), 16):
                out[staff, voice] = number
        for staff, voice in keys:
            number = own(voice)
            if (staff, voice) in out or number < 0 or voice in part.crossed:
                continue
            home = str(layout.staff_of(number, self.n_staves))
            if (home, voice) in out:
                out[staff, voice] = number
        used = set(out.values())
        for staff, voice in keys:
            if (staff, voice) in out:
                continue
            first = (min(max(integer(staff, 1), 1), 16) - 1) * layout.VOICES_PER_STAFF
            places = [*range(first, first + layout.VOICES_PER_STAFF), *range(layout.VOICES_PER_STAFF * 16, 128)]
            number = next((place for place in places if place not in used), first + layout.VOICES_PER_STAFF - 1)
            used.add(number)
            out[staff, voice] = number
        return out

    def _voice_of(self, place: Any) -> int:
        """The voice of a mark: that of its note, or the (staff, voice) of a direction."""
        if isinstance(place, int):
            return self.by_place[place]
        staff, voice = place
        if (staff, voice) in self.voices:
            return self.voices[staff, voice]
        number = integer(voice, 0) - 1
        staff_number = min(max(integer(staff, 1), 1), self.n_staves)
        if 0 <= number <= 127 and layout.staff_of(number, self.n_staves) == staff_number:
            return number
        return (staff_number - 1) * layout.VOICES_PER_STAFF

    def tracks(self) -> list[Track]:
        """The part's tracks: what is pitched, and what is percussion where there is any."""
        part, info, line = self.part, self.info, self.line
        self.by_place = {place: self.voices[key] for key, place in part.voices.items()}
        onset, end = line.columns(np.maximum(self.onset, 0)), line.columns(np.maximum(self.end, 0))
        kinds = np.array([note[KIND] for note in self.notes], np.int64)
        keep = self._keys_of_drums()
        drums = (kinds == DRUM).any() or (info.is_drums and not (kinds == PITCHED).any())
        wanted = [kind for kind in (PITCHED, DRUM) if (kinds == kind).any()] or [DRUM if drums else PITCHED]
        out = []
        for kind in wanted:
            rows = np.flatnonzero((kinds == kind) & keep)
            mine = [self.notes[row] for row in rows.tolist()]
            is_first = kind == wanted[0]
            out.append(self._track(kind, mine, rows, onset[rows], end[rows], is_first, len(wanted)))
        return out

    def _keys_of_drums(self) -> NDArray[np.bool_]:
        """Give drum notes their keys; which notes can be kept."""
        keys = self.info.drum_keys
        keep = np.ones(len(self.notes), bool)
        for row, note in enumerate(self.notes):
            if note[KIND] != DRUM:
                if not 0 <= note[PITCH] <= 127:
                    where = f"part {self.info.name!r}, measure {note[MEASURE] + 1}"
                    raise FormatError("sounding pitches of 0–127", str(note[PITCH]), where=where)
                continue
            instrument, step, octave, head = note[SOUND]
            key = keys.get(instrument)
            if key is None and len(keys) == 1:
                key = next(iter(keys.values()))
            if key is None:
                key = layout.drum_at(step or "", integer(octave, -1), head or "")
            if key is None:
                what = "percussion notes whose instrument the file does not name"
                self.part.left_out[what] = self.part.left_out.get(what, 0) + 1
                keep[row] = False
            else:
                note[PITCH] = key
        return keep

    def _track(
        self,
        kind: int,
        mine: list[list[Any]],
        rows: NDArray[np.int64],
        onset: NDArray[np.int64],
        end: NDArray[np.int64],
        is_first: bool,
        n_tracks: int,
    ) -> Track:
        part, info, line = self.part, self.info, self.line
        tuning = part.tuning if kind == PITCHED else ()
        listed = self._marks(mine, is_first)
        notes = np.zeros(len(mine), NOTE_DTYPE)
        if mine:
            table = np.array([note[PITCH : FRET + 1] for note in mine], np.int64)
            table = table[:, [PITCH - PITCH, VELOCITY - PITCH, TECHNIQUES - PITCH, VOICE - PITCH, SPELLING - PITCH,
                              STRING - PITCH, FRET - PITCH]]  # fmt: skip
            notes["onset_ticks"] = onset
            notes["duration_ticks"] = np.maximum(end - onset, 1)
            places = np.zeros(len(self.part.voices), np.int64)
            for place, voice in self.by_place.items():
                places[place] = voice
            notes["pitch"], notes["velocity"], notes["techniques"] = table[:, 0], table[:, 1], table[:, 2]
            notes["voice"], notes["spelling"] = places[table[:, 3]], table[:, 4]
            strung = (table[:, 5] <= len(tuning)) & bool(tuning)
            strung &= (table[:, 5] != NO_STRING) & (table[:, 6] != NO_FRET)
            notes["string"] = np.where(strung, table[:, 5], NO_STRING)
            notes["fret"] = np.where(strung, table[:, 6], NO_FRET)
            if kind == DRUM:
                notes["spelling"] = NO_SPELLING
            unsaid = notes["velocity"] == 0
            if unsaid.any():
                notes["velocity"][unsaid] = marks.loudness(self.all_marks, notes["onset_ticks"][unsaid])
        bends = [(row, 0, note[CENTS]) for row, note in enumerate(mine) if note[CENTS]]
        for row, source in enumerate(rows.tolist() if self.curves else ()):
            points = {}
            for unit, cents in self.curves.get(source, ()):
                points[min(line.at(unit) - int(onset[row]), int(notes["duration_ticks"][row]))] = cents
            if points:
                bends = [bend for bend in bends if bend[0] != row] if mine[row][CENTS] else bends
                bends += [(row, offset, cents) for offset, cents in points.items()]
        self.limits.check("bend_points", len(bends))
        track = Track(
            name=info.name,
            program=info.program,
            is_drums=kind == DRUM,
            tuning=tuning,
            capo_fret=part.capo_fret if tuning else 0,
            notes=notes,
            bends=np.array(bends, BEND_DTYPE),
            beats=self._beats(kind, mine, n_tracks),
            marks=tuple(listed),
        )
        return self._merged_tab(track)

    def _beats(self, kind: int, mine: list[list[Any]], n_tracks: int) -> NDArray[np.void]:
        """The written note values; of a part that becomes two tracks those of voices that the track has."""
        if not len(self.beats):
            return NO_BEATS
        rows = np.zeros(len(self.beats), BEAT_DTYPE)
        places = np.zeros(len(self.part.voices), np.int64)
        for place, voice in self.by_place.items():
            places[place] = voice
        onset, end = self.line.columns(self.beat_onset), self.line.columns(self.beat_end)
        rows["onset_ticks"], rows["duration_ticks"] = onset, end - onset
        rows["voice"] = places[self.beats[:, 3]]
        for column, name in enumerate(("value", "dots", "enters", "times"), 4):
            rows[name] = self.beats[:, column]
        keep = end > onset
        if n_tracks > 1:
            voices = {self.by_place[note[VOICE]] for note in mine}
            keep &= np.isin(rows["voice"], list(voices))
        return rows[keep]

    def _marks(self, mine: list[list[Any]], is_first: bool) -> list[Mark]:
        part, line = self.part, self.line
        all_marks: list[Mark] = []
        own: list[Mark] = []
        present = {id(note) for note in mine}
        for (_, _, kind, place, note, values, text), unit in zip(part.marks, self.mark_at, strict=True):
            string, pitch = 0, -1
            if note is not None:
                string = note[STRING] if part.tuning and note[STRING] <= len(part.tuning) else 0
                pitch = -1 if string else note[PITCH]
            mark = Mark(line.at(unit), kind, self._voice_of(place), string, pitch, values, clean(text) if text else "")
            if is_first or (note is not None and id(note) in present):
                own.append(mark)
            all_marks.append(mark)
        self.all_marks = all_marks
        if is_first and part.transposition:
            own.append(Mark(0, "transposition", values=(part.transposition,)))
        if is_first and not part.tab_staves:
            own.append(Mark(0, "staves", values=(self.n_staves,)))
            own += self._staff_marks(mine)
        return own

    def _staff_marks(self, mine: list[list[Any]]) -> list[Mark]:
        """Notes that do not stand on the staff of their voice."""
        strangers = {
            place: integer(key[0], 1)
            for key, place in self.part.voices.items()
            if str(layout.staff_of(self.voices[key], self.n_staves)) != key[0]
        }
        out: list[Mark] = []
        if self.n_staves == 1 or not strangers:
            return out
        onset_of = {id(note): row for row, note in enumerate(self.notes)}
        for note in mine:
            staff = min(max(strangers.get(note[VOICE], 0), 0), 16)
            voice = self.by_place[note[VOICE]]
            if staff and layout.staff_of(voice, self.n_staves) != staff:
                at = self.line.at(int(self.onset[onset_of[id(note)]]))
                out.append(Mark(at, "staff", voice, pitch=note[PITCH], values=(staff,)))
        return out

    def _merged_tab(self, track: Track) -> Track:
        """One note where a tab staff repeats what stands on another."""
        tabs = self.part.tab_staves
        if not tabs or not len(track) or self.n_staves < 2:
            return track
        return marks.without_tab_doubles(track, {integer(staff, 1) for staff in tabs}, self.n_staves)


def curve(signs: list[BendSign], duration: int) -> list[tuple[int, int]]:
    """(offset in ticks, cents) of bend elements. Where positions are unsaid, the bends share the note evenly, each
    moving in the first half of its share."""
    out: dict[int, int] = {}
    level, share = 0, 100 / len(signs)
    for index, sign in enumerate(signs):
        first = sign.first if sign.first >= 0 else index * share
        last = sign.last if sign.last >= 0 else first if sign.is_pre else index * share + share / 2
        start, stop = (min(max(round(place * duration / 100), 0), duration) for place in (first, last))
        if sign.is_pre:
            level = sign.cents
        else:
            if not out or start > max(out):
                out[start] = level
            level += sign.cents
        level = min(max(level, -30_000), 30_000)
        if not out or stop >= max(out):
            out[stop] = level
    return sorted(out.items())
