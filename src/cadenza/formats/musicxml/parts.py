"""What MusicXML's measures mean in ticks: the half of the reader that knows music, not XML.

Times are counted per measure in units of one resolution that all parts share; where a file changes its
divisions, the resolution grows to the least common multiple and what was collected is scaled up, so that nothing
is ever rounded. Measures get their place only at the end, when the longest part of each is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import gcd, lcm
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats.musicxml.values import integer, metre_of, metronome, number, transposition, velocity_of
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
    Technique,
    Tempo,
    Track,
)

BASE_RESOLUTION = 480
MAX_RESOLUTION = 65_535
ROUNDED_RESOLUTION = 40_320  # 2⁷ · 3² · 5 · 7: the last resort where no exact resolution fits 16 bits
MAX_COMMON_RESOLUTION = 1 << 40
GRACE_PER_QUARTER = 8
_DECIMAL = re.compile(r"[-+]?\d{1,18}(\.\d{0,18})?")  # no exponent: 1e9999999 is a short text and a long number
MAX_OPEN_TIES = 16  # of one pitch; more are not music
DEFAULT_VELOCITY = 80

VELOCITY = {
    "pppppp": 4, "ppppp": 6, "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80,
    "f": 96, "ff": 112, "fff": 126, "ffff": 127, "fffff": 127, "ffffff": 127,
}  # fmt: skip
STEP = {"C": (0, 0), "D": (2, 2), "E": (4, 4), "F": (5, -1), "G": (7, 1), "A": (9, 3), "B": (11, 5)}  # semitone, fifths
TECHNIQUE = {
    "accent": Technique.ACCENT,
    "strong-accent": Technique.HEAVY_ACCENT,
    "staccato": Technique.STACCATO,
    "staccatissimo": Technique.STACCATO,
    "trill-mark": Technique.TRILL,
}
# columns of a collected note
MEASURE, ONSET, END, PITCH, VELOCITY_COLUMN, TECHNIQUES, VOICE, SPELLING, CENTS, KIND = range(10)
PITCHED, DRUM, JOINED = 0, 1, 2


@dataclass
class PartInfo:
    """What part-list says of one part."""

    name: str = ""
    program: int = 0
    drum_keys: dict[str, int] = field(default_factory=dict)  # instrument id → percussion key


class PartList:
    """The parts that the header announces, by id."""

    def __init__(self) -> None:
        self.infos: dict[str, PartInfo] = {}

    def add(self, element: Element) -> None:
        """Take one score-part element."""
        info = PartInfo(name=element.findtext("part-name", "") or "")
        programs = []
        for instrument in element.iter("midi-instrument"):
            program = integer(instrument.findtext("midi-program"), 1)
            programs.append(min(max(program - 1, 0), 127))
            key = instrument.findtext("midi-unpitched")
            if key:
                info.drum_keys[instrument.get("id", "")] = min(max(integer(key, 1) - 1, 0), 127)
        info.program = programs[0] if programs else 0
        self.infos[element.get("id", "")] = info

    def get(self, name: str) -> PartInfo:
        """The announced part, or a nameless one."""
        return self.infos.get(name) or PartInfo(name=name)


@dataclass
class _Part:
    info: PartInfo
    notes: list[list[Any]] = field(default_factory=list)


class Parts:
    """Collects the parts' measures; :meth:`score` puts them together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.resolution = 1  # units a quarter
        self.parts: list[_Part] = []
        self.lengths: list[int] = []  # longest content of each measure, in units
        self.tempos: dict[tuple[int, int], tuple[bool, float]] = {}  # (measure, unit) → (from sound?, tempo)
        self.metres: dict[tuple[int, int], tuple[int, int]] = {}
        self.keys: dict[tuple[int, int], tuple[int, str]] = {}
        self.markers: list[list[Any]] = []
        self.marks: dict[int, dict[str, Any]] = {}
        self.n_notes = 0
        self.left_out: dict[str, int] = {}

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, info: PartInfo) -> None:
        """A part starts."""
        self.parts.append(_Part(info))
        self.index = -1
        self.divisions = 1
        self.velocity = DEFAULT_VELOCITY
        self.shift = (0, 0)  # semitones, places on the line of fifths
        self.open_ties: dict[tuple[int, int], list[list[Any]]] = {}  # (pitch, kind) → notes that go on
        self.voices: dict[tuple[int, str], int] = {}
        self.voice_counts: dict[int, int] = {}
        self.open_ending: tuple[int, ...] = ()
        self.ending_stops = False

    def measure(self, element: Element) -> None:
        """One measure of the present part."""
        if not self.parts:
            raise FormatError("a measure inside a part", "one outside")
        self.index += 1
        self.limits.check("bars", self.index + 1)
        if self.index == len(self.lengths):
            self.lengths.append(0)
        self.cursor = self.reach = self.previous = 0
        self.graces: list[list[Any]] = []
        self.loose_ends: list[list[Any]] = []  # notes that end a tie whose start is not read yet
        for child in element:
            handler = _HANDLERS.get(child.tag)
            if handler:
                handler(self, child)
            if self.cursor > self.reach:
                self.reach = self.cursor
        self._place_graces(self.cursor)
        self._join_loose_ends()
        self.lengths[self.index] = max(self.lengths[self.index], self.reach)
        self.limits.check("notes", self.n_notes)
        self.limits.check("quarters", self.reach // self.resolution, f"measure {self.index + 1}")
        if self.open_ending:
            self._mark(endings=self.open_ending)
        if self.ending_stops:
            self.open_ending, self.ending_stops = (), False

    def _mark(self, **fields: Any) -> None:
        mark = self.marks.setdefault(self.index, {})
        for name, value in fields.items():
            mark[name] = value or mark.get(name, value)

    def _units(self, text: str | None, what: str) -> int:
        """A count of divisions as units; may make the resolution finer."""
        if not _DECIMAL.fullmatch(text or ""):
            raise FormatError(f"a number as {what}", repr((text or "")[:40]), where=f"measure {self.index + 1}")
        count = Fraction(text or "")
        if count.denominator != 1:
            count = count.limit_denominator(10_000)
        if abs(count) > self.limits.quarters * self.divisions:
            raise LimitError(f"at most {self.limits.quarters:,} quarters", f"{what} {text}")
        units = count * self.resolution / self.divisions
        if units.denominator != 1:
            self._refine(units.denominator)
            units *= units.denominator
        return int(units)

    def _refine(self, factor: int) -> None:
        """Scale all that is collected so that a quarter has ``factor`` times as many units."""
        self.resolution *= factor
        if self.resolution > MAX_COMMON_RESOLUTION:
            raise LimitError("divisions with a small common multiple", f"a multiple of {self.resolution:,}")
        for part in self.parts:
            for note in part.notes:
                note[ONSET] *= factor
                note[END] *= factor
        self.lengths = [length * factor for length in self.lengths]
        self.tempos = {(m, t * factor): v for (m, t), v in self.tempos.items()}
        self.metres = {(m, t * factor): v for (m, t), v in self.metres.items()}
        self.keys = {(m, t * factor): v for (m, t), v in self.keys.items()}
        for marker in self.markers:
            marker[1] *= factor
        for open_ties in self.open_ties.values():
            for held in open_ties:
                held[2] *= factor
        self.cursor *= factor
        self.reach *= factor
        self.previous *= factor

    def _attributes(self, element: Element) -> None:
        divisions = element.findtext("divisions")
        if divisions is not None:
            value = integer(divisions, 0)
            if value < 1:
                raise FormatError("positive divisions", repr(divisions), where=f"measure {self.index + 1}")
            self.divisions = value
            if self.resolution % value:
                self._refine(lcm(self.resolution, value) // self.resolution)
        transpose = element.find("transpose")
        if transpose is not None:
            self.shift = transposition(transpose)
        place = (self.index, self.cursor)
        key = element.find("key")
        if key is not None and key.find("fifths") is not None:
            fifths = integer(key.findtext("fifths"), 0) + self.shift[1]
            fifths = fifths if -7 <= fifths <= 7 else (fifths + 5) % 12 - 5
            if place not in self.keys:
                self.keys[place] = (fifths, "minor" if key.findtext("mode") == "minor" else "major")
        time = element.find("time")
        if time is not None and place not in self.metres:
            metre = metre_of(time)
            if metre:
                self.metres[place] = metre

    def _backup(self, element: Element) -> None:
        self._place_graces(self.cursor)
        back = self._units(element.findtext("duration"), "duration")
        self.cursor = max(self.cursor - back, 0)

    def _forward(self, element: Element) -> None:
        self._place_graces(self.cursor)
        self.cursor += max(self._units(element.findtext("duration"), "duration"), 0)

    def _note(self, element: Element) -> None:
        is_chord = element.find("chord") is not None
        if element.find("grace") is not None:
            note = self._sounding(element, 0)
            if note:
                # a chord's later notes share the slot of its first
                slot = self.graces[-1][1] if is_chord and self.graces else len({g[1] for g in self.graces})
                note[TECHNIQUES] |= int(Technique.GRACE)
                self.graces.append([note, slot])
            return
        if not is_chord:
            self._place_graces(self.cursor)  # before lengths are read: it may refine the units
        length = max(self._units(element.findtext("duration", "0"), "duration"), 0)
        if not is_chord:
            self.previous = self.cursor
            self.cursor += length
        if element.find("rest") is not None:
            return
        if element.find("cue") is not None:
            self._leave_out("cue notes, which are silent")
            return
        onset = self.previous
        note = self._sounding(element, onset)
        if note is None:
            return
        self.reach = max(self.reach, onset + length)
        note[END] = onset + length
        ties = {tie.get("type") for tie in element.findall("tie")}
        ties = ties or {tied.get("type") for tied in element.iterfind("notations/tied")}
        key = (note[PITCH], note[KIND])
        if "stop" in ties and self._tie(key, note, "start" in ties):
            return
        if "stop" in ties:
            self.loose_ends.append(note)
        self.parts[-1].notes.append(note)
        self.n_notes += 1
        if "start" in ties:
            held = self.open_ties.setdefault(key, [])
            held.append([note, self.index, note[END]])
            del held[:-MAX_OPEN_TIES]

    def _tie(self, key: tuple[int, int], note: list[Any], goes_on: bool) -> bool:
        """Lengthen the open note that ends where ``note`` begins (best of its own voice); False where none does."""
        fitting = []
        for held in self.open_ties.get(key, []):
            _, measure, end = held  # the note, and where its last piece ends: (measure, unit)
            same = measure == self.index and end == note[ONSET]
            across = measure == self.index - 1 and note[ONSET] == 0 and end >= self.lengths[measure]
            if same or across:
                fitting.append(held)
        if not fitting:
            return False
        held = min(fitting, key=lambda h: h[0][VOICE] != note[VOICE])
        held[0][END] += note[END] - note[ONSET]
        if goes_on:
            held[1:] = [self.index, note[END]]
        else:
            self.open_ties[key].remove(held)
        return True

    def _join_loose_ends(self) -> None:
        """Ties between voices: the note that goes on may be written after the one in which it ends."""
        for note in self.loose_ends:
            held = self.open_ties.get((note[PITCH], note[KIND]), [])
            own = next((h for h in held if h[0] is note), None)
            if own:
                held.remove(own)
            if self._tie((note[PITCH], note[KIND]), note, own is not None):
                note[KIND] = JOINED
                self.n_notes -= 1
            elif own:
                held.append(own)

    def _sounding(self, element: Element, onset: int) -> list[Any] | None:
        """The collected form of a pitched or unpitched note; None where its sound is not known."""
        techniques = 0
        for notation in element.iterfind("notations/*/*"):
            techniques |= TECHNIQUE.get(notation.tag, 0)
        loudness = element.get("dynamics")
        velocity = velocity_of(loudness) if loudness else self.velocity
        note = [self.index, onset, onset, 0, velocity, techniques, self._voice(element), NO_SPELLING, 0, PITCHED]
        pitch = element.find("pitch")
        if pitch is not None:
            step = STEP.get(pitch.findtext("step", ""))
            octave = pitch.findtext("octave", "")
            if step is None or not re.fullmatch(r"-?\d{1,2}", octave):
                raise FormatError("a pitch with step A–G and an octave", "another", where=f"measure {self.index + 1}")
            alter = number(pitch.findtext("alter"), 0.0)
            whole = round(alter)
            note[PITCH] = 12 * (int(octave) + 1) + step[0] + whole + self.shift[0]
            note[SPELLING] = step[1] + 7 * whole + self.shift[1]
            note[CENTS] = round(100 * (alter - whole))
            return note
        if element.find("unpitched") is not None:
            instrument = element.find("instrument")
            keys = self.parts[-1].info.drum_keys
            key = keys.get(instrument.get("id", "")) if instrument is not None else None
            if key is None and len(keys) == 1:
                key = next(iter(keys.values()))
            if key is None:
                self._leave_out("percussion notes whose instrument the file does not name")
                return None
            note[PITCH], note[KIND] = key, DRUM
            return note
        self._leave_out("notes without a pitch")
        return None

    def _voice(self, element: Element) -> int:
        staff = min(max(integer(element.findtext("staff"), 1), 1), 31)
        place = (staff, element.findtext("voice", "1") or "1")
        if place not in self.voices:
            count = self.voice_counts.get(staff, 0)
            self.voices[place] = (staff - 1) * 4 + min(count, 3)
            self.voice_counts[staff] = count + 1
        return self.voices[place]

    def _leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def _place_graces(self, at: int) -> None:
        """Waiting grace notes take a 32nd each and end at ``at``."""
        if not self.graces:
            return
        if self.resolution % GRACE_PER_QUARTER:
            factor = GRACE_PER_QUARTER // gcd(GRACE_PER_QUARTER, self.resolution)
            self._refine(factor)
            at *= factor
        length = self.resolution // GRACE_PER_QUARTER
        slots = len({slot for _, slot in self.graces})
        for note, slot in self.graces:
            # measured from this measure's start; may be negative, which reaches into the measure before
            note[ONSET] = at - (slots - slot) * length
            note[END] = note[ONSET] + length
            self.parts[-1].notes.append(note)
            self.n_notes += 1
        self.graces = []

    def _direction(self, element: Element) -> None:
        offset = element.find("offset")
        shift = self._units(offset.text, "offset") if offset is not None and offset.get("sound") == "yes" else 0
        at = max(self.cursor + shift, 0)
        place = (self.index, at)
        for kind in element.iterfind("direction-type/*"):
            if kind.tag == "metronome":
                tempo = metronome(kind)
                if tempo and place not in self.tempos:
                    self.tempos[place] = (False, tempo)
            elif kind.tag == "dynamics":
                for mark in kind:
                    self.velocity = VELOCITY.get(mark.tag, self.velocity)
            elif kind.tag == "rehearsal" and kind.text and len(self.parts) == 1:
                self.markers.append([self.index, at, kind.text])
        sound = element.find("sound")
        if sound is not None:
            self._sound(sound, place)

    def _sound(self, element: Element, place: tuple[int, int] | None = None) -> None:
        place = place or (self.index, self.cursor)
        tempo = number(element.get("tempo"), 0.0)
        if 0 < tempo <= 10_000 and not self.tempos.get(place, (False, 0))[0]:
            self.tempos[place] = (True, tempo)

    def _barline(self, element: Element) -> None:
        ending = element.find("ending")
        if ending is not None and len(self.parts) == 1:
            numbers = tuple(int(n) for n in re.findall(r"\d{1,3}", ending.get("number", "")) if int(n) > 0)
            if ending.get("type") == "start":
                self.open_ending = numbers
            else:
                self.ending_stops = True
        repeat = element.find("repeat")
        if repeat is not None and len(self.parts) == 1:
            if repeat.get("direction") == "forward":
                self._mark(repeat_open=True)
            else:
                self._mark(repeat_close=min(max(integer(repeat.get("times"), 2), 2), 100))

    # ── putting together ─────────────────────────────────────────────────────────────────────────────────

    def score(self, title: str, composer: str) -> tuple[Score, tuple[str, ...]]:
        """The whole score, and what it leaves out."""
        starts, marks = self._bars()
        ticks = self._resolution(starts)
        total = int(starts[-1])
        self.limits.check("quarters", total // self.resolution)

        def at(place: tuple[int, int]) -> int:
            return int(starts[place[0]] + place[1]) * ticks // self.resolution

        tracks = [track for part in self.parts for track in self._tracks(part, starts, ticks)]
        self.limits.check("tracks", len(tracks))
        score = Score(
            tracks=tuple(tracks),
            ticks_per_quarter=ticks,
            tempos=_changes(Tempo(at(place), tempo) for place, (_, tempo) in self.tempos.items()),
            metres=_changes(Metre(at(place), *metre) for place, metre in self.metres.items()),
            keys=_changes(Key(at(place), fifths, mode) for place, (fifths, mode) in self.keys.items()),  # type: ignore[arg-type]
            bars=tuple(replace(mark, onset_ticks=mark.onset_ticks * ticks // self.resolution) for mark in marks),
            markers=tuple(Marker(at((m, t)), text) for m, t, text in self.markers),
            title=title,
            composer=composer,
            length_ticks=total * ticks // self.resolution,
        )
        report = tuple(f"{count} {what}" for what, count in sorted(self.left_out.items()))
        return score, report

    def _bars(self) -> tuple[np.ndarray, list[BarMark]]:
        """First unit of each measure (and the end), and the marks of measures that are special."""
        starts, marks = [0], []
        by_measure: dict[int, list[tuple[int, tuple[int, int]]]] = {}
        for (measure, unit), metre in self.metres.items():
            by_measure.setdefault(measure, []).append((unit, metre))
        metre, expected = (4, 4), 0
        for index, length in enumerate(self.lengths):
            start = starts[-1]
            changes = sorted(by_measure.get(index, []))
            if changes and changes[0][0] == 0:
                metre = changes[0][1]
            nominal = max(self.resolution * 4 * metre[0] // metre[1], 1)
            fields = dict(self.marks.get(index, {}))
            endings, close = fields.get("endings", ()), fields.get("repeat_close", 0)
            if close and endings:
                later = self.marks.get(index + 1, {}).get("endings", ())
                fields["repeat_close"] = max(close, max(endings) + 1) if later else max(endings)
            if start != expected or fields:
                marks.append(BarMark(start, **fields))
            # A bar that outlasts its metre takes further bars of the metre's grid.
            length = length or nominal
            expected = start + -(-length // nominal) * nominal
            if len(changes) > (changes[:1] != [] and changes[0][0] == 0):
                expected = -1  # the metre changes within the bar: whatever follows gets a mark
                metre = changes[-1][1]
            starts.append(start + length)
        return np.array(starts, object), marks

    def _resolution(self, starts: np.ndarray) -> int:
        """Ticks a quarter: what the file needs, made a multiple of 480 where that fits."""
        needed = self.resolution
        divisor = needed
        for start in starts:
            divisor = gcd(divisor, int(start))
        for part in self.parts:
            for note in part.notes:
                divisor = gcd(divisor, note[ONSET], note[END])
        for place in (*self.tempos, *self.metres, *self.keys, *((m, t) for m, t, _ in self.markers)):
            divisor = gcd(divisor, place[1])
        needed //= divisor
        common = lcm(needed, BASE_RESOLUTION)
        if common <= MAX_RESOLUTION:
            return common
        return needed if needed <= MAX_RESOLUTION else ROUNDED_RESOLUTION

    def _tracks(self, part: _Part, starts: np.ndarray, ticks: int) -> list[Track]:
        tracks = []
        for kind in (PITCHED, DRUM):
            rows = [note for note in part.notes if note[KIND] == kind]
            if not rows and (kind == DRUM or any(note[KIND] == DRUM for note in part.notes)):
                continue
            notes = np.zeros(len(rows), NOTE_DTYPE)
            bends = []
            for row, note in enumerate(rows):
                if not 0 <= note[PITCH] <= 127:
                    where = f"part {part.info.name!r}, measure {note[MEASURE] + 1}"
                    raise FormatError("sounding pitches of 0–127", str(note[PITCH]), where=where)
                start = int(starts[note[MEASURE]])
                onset = max(start + note[ONSET], 0) * ticks // self.resolution
                end = max(start + note[END], 0) * ticks // self.resolution
                if note[TECHNIQUES] & int(Technique.GRACE):
                    end = max(end, onset + max(ticks // GRACE_PER_QUARTER, 1))
                spelling = note[SPELLING] if -100 <= note[SPELLING] <= 100 else NO_SPELLING
                notes[row] = (
                    onset, end - onset, note[PITCH], note[VELOCITY_COLUMN], NO_STRING, NO_FRET,
                    note[TECHNIQUES], note[VOICE], spelling,
                )  # fmt: skip
                if note[CENTS]:
                    bends.append((row, 0, note[CENTS]))
            tracks.append(
                Track(
                    name=part.info.name,
                    program=part.info.program,
                    is_drums=kind == DRUM,
                    notes=notes,
                    bends=np.array(bends, BEND_DTYPE),
                )
            )
        return tracks


_HANDLERS: dict[str, Any] = {
    "note": Parts._note,
    "attributes": Parts._attributes,
    "backup": Parts._backup,
    "forward": Parts._forward,
    "direction": Parts._direction,
    "sound": Parts._sound,
    "barline": Parts._barline,
}


def _changes(entries: Any) -> tuple[Any, ...]:
    """Map entries by onset, without those that repeat what holds already."""
    kept: list[Any] = []
    for entry in sorted(entries):
        if not kept or replace(entry, onset_ticks=kept[-1].onset_ticks) != kept[-1]:
            kept.append(entry)
    return tuple(kept)
