"""Parts that were read → Score: one time line, voices, velocities, and what the projection would change anyway."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd, lcm
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats.musicxml import layout, marks
from cadenza.formats.musicxml.part import (
    CENTS,
    DRUM,
    END,
    FRET,
    GRACE,
    GRACE_PER_QUARTER,
    JOINED,
    KIND,
    MAX_COMMON_RESOLUTION,
    MEASURE,
    PITCH,
    PITCHED,
    SOUND,
    SPELLING,
    STRING,
    TECHNIQUES,
    VELOCITY,
    VOICE,
    Part,
    PartReader,
)
from cadenza.formats.musicxml.projection import BASE_RESOLUTION, MAX_RESOLUTION, clean, settle
from cadenza.formats.musicxml.signs import BendSign
from cadenza.formats.musicxml.values import integer
from cadenza.score.model import (
    BEND_DTYPE,
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    NOTE_DTYPE,
    BarMark,
    Key,
    Marker,
    Metre,
    Score,
    Tempo,
    Track,
)
from cadenza.score.written import BEAT_DTYPE, NO_BEATS, Mark

ROUNDED_RESOLUTION = 40_320  # 2⁷ · 3² · 5 · 7: the last resort where no exact resolution fits 16 bits
DRUM_CHANNEL = 10


@dataclass
class Info:
    """What part-list says of one part."""

    name: str = ""
    program: int = 0
    is_drums: bool = False
    drum_keys: dict[str, int] = field(default_factory=dict)  # instrument id → percussion key


class Assembly:
    """Collects the header and the parts; :meth:`score` puts them together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.infos: dict[str, Info] = {}
        self.parts: list[tuple[Info, Part]] = []
        self.reader: PartReader | None = None
        self.n_notes = 0
        self.titles: dict[str, str] = {}
        self.composer = ""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────

    def header(self, element: Element) -> None:
        """Take a score-part, title or creator element."""
        text = clean("".join(element.itertext()) if element.tag != "score-part" else "")
        if element.tag == "score-part":
            self._announce(element)
        elif element.tag == "creator":
            if element.get("type", "composer") == "composer" and not self.composer:
                self.composer = text
        else:
            self.titles.setdefault(element.tag, text)

    def _announce(self, element: Element) -> None:
        info = Info(clean(element.findtext("part-name") or ""))
        programs, channels = [], []
        for instrument in element.iter("midi-instrument"):
            programs.append(min(max(integer(instrument.findtext("midi-program"), 1) - 1, 0), 127))
            channels.append(integer(instrument.findtext("midi-channel"), 0))
            key = instrument.findtext("midi-unpitched")
            if key:
                info.drum_keys[instrument.get("id", "")] = min(max(integer(key, 1) - 1, 0), 127)
        info.program = programs[0] if programs else 0
        info.is_drums = bool(info.drum_keys) or (bool(channels) and channels[0] == DRUM_CHANNEL)
        self.limits.check("tracks", len(self.infos))
        self.infos[element.get("id", "")] = info

    def measure(self, element: Element) -> None:
        """Take a measure of the present part."""
        if self.reader is None:
            self.limits.check("tracks", len(self.parts) + 1)
            self.reader = PartReader(self.limits, not self.parts)
        self.reader.measure(element)

    def part(self, name: str) -> None:
        """The present part ends; it is the one called ``name``."""
        self.limits.check("tracks", len(self.parts) + 1)
        reader = self.reader or PartReader(self.limits, not self.parts)
        self.reader = None
        self.parts.append((self.infos.get(name) or Info(name), reader.part))
        self.n_notes += len(reader.part.notes)
        self.limits.check("notes", self.n_notes)

    # ── putting together ─────────────────────────────────────────────────────────────────────────────────

    def score(self) -> tuple[Score, tuple[str, ...]]:
        """The whole score, and what it leaves out."""
        if self.reader is not None:
            self.part("")
        resolution = 1
        for _, part in self.parts:
            resolution = lcm(resolution, part.resolution)
            if resolution > MAX_COMMON_RESOLUTION:
                raise LimitError("divisions with a small common multiple", f"a multiple of {resolution:,}")
        starts, metres = self._bars(resolution)
        self.limits.check("quarters", starts[-1] // resolution)
        line = _TimeLine(starts, resolution)
        drafts = [_Draft(info, part, line, self.limits) for info, part in self.parts]
        tempos, keys, markers = self._maps(line)
        ticks = _resolution(
            line, [*(d.times() for d in drafts), *([t for t, *_ in m] for m in (tempos, keys, markers))]
        )
        line.ticks = ticks
        tracks = [track for draft in drafts for track in draft.tracks()]
        self.limits.check("tracks", len(tracks))
        at = line.at
        raw = Score(
            tracks=tuple(tracks),
            ticks_per_quarter=ticks,
            tempos=tuple(Tempo(at(unit), tempo) for unit, tempo in tempos),
            metres=tuple(Metre(at(unit), *metre) for unit, metre in metres),
            keys=tuple(Key(at(unit), fifths, mode) for unit, fifths, mode in keys),  # type: ignore[arg-type]
            bars=self._bar_marks(line),
            markers=tuple(Marker(at(unit), clean(text)) for unit, text in markers if clean(text)),
            title=self._title(),
            composer=self.composer,
            length_ticks=at(starts[-1]),
        )
        left_out: dict[str, int] = {}
        for _, part in self.parts:
            for what, count in part.left_out.items():
                left_out[what] = left_out.get(what, 0) + count
        report = tuple(f"{count} {what}" for what, count in sorted(left_out.items()))
        return settle(raw, self.limits), report

    def _title(self) -> str:
        work, movement = self.titles.get("work-title", ""), self.titles.get("movement-title", "")
        return clean(work if not movement or movement == work else movement if not work else f"{work}: {movement}")

    def _bars(self, resolution: int) -> tuple[list[int], list[tuple[int, tuple[int, int]]]]:
        """First unit of each measure (and the end), and the metres."""
        n_bars = max((len(part.lengths) for _, part in self.parts), default=0)
        lengths = [0] * n_bars
        metres: dict[tuple[int, int], tuple[int, int]] = {}
        for _, part in self.parts:
            factor = resolution // part.resolution
            for index, length in enumerate(part.lengths):
                lengths[index] = max(lengths[index], length * factor)
            for measure, unit, metre in part.metres:
                metres.setdefault((measure, unit * factor), metre)
        by_measure: dict[int, list[tuple[int, tuple[int, int]]]] = {}
        for (measure, unit), metre in metres.items():
            by_measure.setdefault(measure, []).append((unit, metre))
        starts, metre = [0], (4, 4)
        for index, length in enumerate(lengths):
            changes = sorted(by_measure.get(index, []))
            if changes and changes[0][0] == 0:
                metre = changes[0][1]
            starts.append(starts[-1] + (length or max(resolution * 4 * metre[0] // metre[1], 1)))
            if changes:
                metre = changes[-1][1]
        return starts, [(starts[measure] + unit, metre) for (measure, unit), metre in metres.items()]

    def _maps(self, line: _TimeLine) -> tuple[list[Any], list[Any], list[Any]]:
        """Tempos, keys and section names, each at its unit; of several at one place the first part's tempo (a sound
        before a metronome mark), the key of the first part that does not transpose."""
        tempos: dict[int, tuple[bool, float]] = {}
        keys: dict[int, tuple[bool, int, str]] = {}
        markers = []
        for _, part in self.parts:
            factor = line.resolution // part.resolution
            for measure, unit, is_sound, tempo in part.tempos:
                place = line.starts[measure] + unit * factor
                if place not in tempos or (is_sound and not tempos[place][0]):
                    tempos[place] = (is_sound, tempo)
            for measure, unit, fifths, shift, mode in part.keys:
                place = line.starts[measure] + unit * factor
                sounding = fifths + shift
                plain = shift == 0
                if place not in keys or (plain and not keys[place][0]):
                    keys[place] = (plain, sounding if -7 <= sounding <= 7 else (sounding + 5) % 12 - 5, mode)
            markers += [(line.starts[m] + unit * factor, text) for m, unit, text in part.markers]
        found = [(place, tempo) for place, (_, tempo) in tempos.items()]
        return found, [(place, fifths, mode) for place, (_, fifths, mode) in keys.items()], markers

    def _bar_marks(self, line: _TimeLine) -> tuple[BarMark, ...]:
        bars = self.parts[0][1].bars if self.parts else {}
        out = []
        for index, start in enumerate(line.starts[:-1]):
            fields = dict(bars.get(index, {}))
            endings, close = fields.get("endings", ()), fields.get("repeat_close", 0)
            if close and endings and not fields.get("is_said"):
                later = bars.get(index + 1, {}).get("endings", ())
                fields["repeat_close"] = max(close, max(endings) + 1) if later else max(endings)
            fields.pop("is_said", None)
            out.append(BarMark(line.at(start), **fields))
        return (*out, BarMark(line.at(line.starts[-1])))  # the last bar may be short


class _TimeLine:
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


def _resolution(line: _TimeLine, times: list[Any]) -> int:
    """Ticks a quarter: what the file needs, made a multiple of 480 where that fits."""
    divisor = gcd(line.resolution, *line.starts)
    for column in times:
        if len(column):
            divisor = gcd(divisor, int(np.gcd.reduce(np.asarray(column, np.int64))))
    needed = line.resolution // divisor
    common = lcm(needed, BASE_RESOLUTION)
    if common <= MAX_RESOLUTION:
        return common
    return needed if needed <= MAX_RESOLUTION else ROUNDED_RESOLUTION


class _Draft:
    """A part with its places on the time line, in units."""

    def __init__(self, info: Info, part: Part, line: _TimeLine, limits: Limits) -> None:
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
