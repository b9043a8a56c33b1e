"""What the measures of one part mean: notes, note values and marks in ticks from the start of their measure.

Times are counted in units of the part's own resolution; where a file changes its divisions, the resolution grows
to the least common multiple and what was collected is scaled up, so that nothing is ever rounded. Measures get
their place only in :mod:`.assembly`, when the longest part of each is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm
from typing import Any
from xml.etree.ElementTree import Element

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats.musicxml import signs
from cadenza.formats.musicxml.layout import NATURAL_SEMITONES, STEPS
from cadenza.formats.musicxml.values import (
    DRUM,
    END,
    JOINED,
    KIND,
    ONSET,
    PITCH,
    PITCHED,
    TECHNIQUES,
    VALUES,
    VOICE,
    integer,
    metre_of,
    metronome,
    number,
    transposition,
    velocity_of,
)
from cadenza.score.model import NO_FRET, NO_SPELLING, NO_STRING, Technique

MAX_COMMON_RESOLUTION = 1 << 40
GRACE_PER_QUARTER = 8
MAX_OPEN_TIES = 16  # of one pitch; more are not music
_DECIMAL = re.compile(r"[-+]?\d{1,18}(\.\d{0,18})?")  # no exponent: 1e9999999 is a short text and a long number
_WHOLE = re.compile(r"\d{1,9}")

GRACE = int(Technique.GRACE)


@dataclass
class Part:
    """What was read of a part. Places are (measure, unit)."""

    resolution: int = 1  # units a quarter
    lengths: list[int] = field(default_factory=list)  # content of each measure
    notes: list[list[Any]] = field(default_factory=list)
    bends: list[tuple[list[Any], list[signs.BendSign]]] = field(default_factory=list)
    # measure, onset, end, voice, value, dots, enters, times
    beats: list[list[int]] = field(default_factory=list)
    # measure, unit, kind, place in ``voices`` (or, negative, −staff), note or None, values, text
    marks: list[list[Any]] = field(default_factory=list)
    voices: dict[tuple[str, str], int] = field(default_factory=dict)  # (staff, voice) → place
    crossed: set[str] = field(default_factory=set)  # voices that overlap themselves (on several staves)
    tempos: list[tuple[int, int, bool, float]] = field(default_factory=list)  # …, is from sound, quarters a minute
    metres: list[tuple[int, int, tuple[int, int]]] = field(default_factory=list)
    keys: list[tuple[int, int, int, int, str]] = field(default_factory=list)
    markers: list[tuple[int, int, str]] = field(default_factory=list)
    bars: dict[int, dict[str, Any]] = field(default_factory=dict)
    transposition: int = 0
    staves: int = 1
    tab_staves: set[str] = field(default_factory=set)
    tuning: tuple[int, ...] = ()
    capo_fret: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


class PartReader:
    """Reads the measures of one part, one after the other, into :attr:`part`."""

    def __init__(self, limits: Limits, is_first: bool) -> None:
        self.limits = limits
        self.is_first = is_first
        self.part = Part()
        self.index = -1
        self.divisions = 1
        self.factor = 1  # units a division
        self.shift = (0, 0)  # semitones, places on the line of fifths
        self.has_transposition = False
        self.open_ties: dict[tuple[int, int], list[list[Any]]] = {}  # (pitch, kind) → [note, measure, end of it]
        self.open_ending: tuple[int, ...] = ()
        self.ending_stops = False
        self.lengths_of: dict[str | None, int] = {}
        self.pitches: dict[tuple[str | None, ...], tuple[int, int, int]] = {}
        self.sounds: dict[tuple[str | None, ...], int] = {}
        self.graces: list[tuple[list[Any], int]] = []
        self.cursor = self.reach = self.previous = 0

    def measure(self, element: Element) -> None:
        """One measure."""
        self.index += 1
        self.limits.check("bars", self.index + 1)
        self.part.lengths.append(0)
        self.cursor = self.reach = self.previous = 0
        self.graces = []
        self.loose_ends: list[list[Any]] = []  # notes that end a tie whose start is not read yet
        self.ends_of: dict[str, int] = {}  # voice → where it has got to
        for child in element:
            tag = child.tag
            if tag == "note":
                self._note(child)
            else:
                handler = _HANDLERS.get(tag)
                if handler:
                    handler(self, child)
            if self.cursor > self.reach:
                self.reach = self.cursor
        if self.graces:
            self._place_graces(self.cursor)
        if self.loose_ends:
            self._join_loose_ends()
        self.part.lengths[self.index] = self.reach
        self.limits.check("notes", len(self.part.notes))
        self.limits.check("quarters", self.reach // self.part.resolution, self._where())
        if self.open_ending:
            self._bar(endings=self.open_ending)
        if self.ending_stops:
            self.open_ending, self.ending_stops = (), False

    def _where(self) -> str:
        return f"measure {self.index + 1}"

    def _bar(self, **fields: Any) -> None:
        mark = self.part.bars.setdefault(self.index, {})
        for name, value in fields.items():
            mark[name] = value or mark.get(name, value)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────

    def _units(self, text: str | None, what: str = "duration") -> int:
        """A count of divisions as units; may make the resolution finer."""
        found = self.lengths_of.get(text)
        if found is not None:
            return found
        if text and _WHOLE.fullmatch(text) and int(text) <= self.limits.quarters * self.divisions:
            found = self.lengths_of[text] = int(text) * self.factor
            return found
        text = (text or "").strip()
        if not _DECIMAL.fullmatch(text):
            raise FormatError(f"a number as {what}", repr(text[:40]), where=self._where())
        count = Fraction(text)
        if count.denominator != 1:
            count = count.limit_denominator(10_000)
        if abs(count) > self.limits.quarters * self.divisions:
            raise LimitError(f"at most {self.limits.quarters:,} quarters", f"{what} {text}")
        units = count * self.factor
        if units.denominator != 1:
            self._refine(units.denominator)
            units *= units.denominator
        return int(units)

    def _refine(self, factor: int) -> None:
        """Scale all that is collected so that a quarter has ``factor`` times as many units."""
        part = self.part
        part.resolution *= factor
        self.factor = part.resolution // self.divisions
        if part.resolution > MAX_COMMON_RESOLUTION:
            raise LimitError("divisions with a small common multiple", f"a multiple of {part.resolution:,}")
        for note in part.notes:
            note[ONSET] *= factor
            note[END] *= factor
        for beat in part.beats:
            beat[1] *= factor
            beat[2] *= factor
        for mark in part.marks:
            mark[1] *= factor
        part.lengths = [length * factor for length in part.lengths]
        part.tempos = [(m, t * factor, *rest) for m, t, *rest in part.tempos]  # type: ignore[misc]
        part.metres = [(m, t * factor, metre) for m, t, metre in part.metres]
        part.keys = [(m, t * factor, *rest) for m, t, *rest in part.keys]  # type: ignore[misc]
        part.markers = [(m, t * factor, text) for m, t, text in part.markers]
        for open_ties in self.open_ties.values():
            for held in open_ties:
                held[2] *= factor
        self.ends_of = {voice: end * factor for voice, end in self.ends_of.items()}
        self.lengths_of.clear()
        self.cursor *= factor
        self.reach *= factor
        self.previous *= factor

    def _attributes(self, element: Element) -> None:
        transpose = element.find("transpose")
        if transpose is not None:
            self._transpose(transpose)  # it stands behind the key, which it moves
        for child in element:
            handler = _ATTRIBUTES.get(child.tag)
            if handler:
                handler(self, child)

    def _divisions(self, element: Element) -> None:
        value = integer(element.text, 0)
        if value < 1:
            raise FormatError("positive divisions", repr(element.text), where=self._where())
        self.divisions = value
        self.lengths_of.clear()
        if self.part.resolution % value:
            self._refine(lcm(self.part.resolution, value) // self.part.resolution)
        self.factor = self.part.resolution // value

    def _transpose(self, element: Element) -> None:
        self.shift = transposition(element)
        self.pitches.clear()
        if not self.has_transposition:
            self.has_transposition = True
            self.part.transposition = self.shift[0] if self.index == 0 else 0

    def _key(self, element: Element) -> None:
        if element.find("fifths") is not None:
            fifths = integer(element.findtext("fifths"), 0)
            mode = "minor" if (element.findtext("mode") or "").strip() == "minor" else "major"
            self.part.keys.append((self.index, self.cursor, fifths, self.shift[1], mode))

    def _time(self, element: Element) -> None:
        metre = metre_of(element)
        if metre:
            self.part.metres.append((self.index, self.cursor, metre))

    def _staves(self, element: Element) -> None:
        self.part.staves = max(self.part.staves, min(integer(element.text, 1), 16))

    def _clef(self, element: Element) -> None:
        if (element.findtext("sign") or "").strip() == "TAB":
            self.part.tab_staves.add(element.get("number") or "1")

    def _staff_details(self, element: Element) -> None:
        strings: dict[int, int] = {}
        for string in element.iterfind("staff-tuning"):
            step, octave = string.findtext("tuning-step", ""), string.findtext("tuning-octave", "")
            alter = round(number(string.findtext("tuning-alter"), 0.0))
            if step in NATURAL_SEMITONES and re.fullmatch(r"-?\d{1,2}", octave):
                pitch = 12 * (int(octave) + 1) + NATURAL_SEMITONES[step] + alter
                strings[integer(string.get("line"), 0)] = pitch
        tuning = tuple(strings[line] for line in sorted(strings, reverse=True))
        if tuning and len(tuning) <= 100 and all(0 <= pitch <= 127 for pitch in tuning) and not self.part.tuning:
            self.part.tuning = tuning
            self.part.capo_fret = min(max(integer(element.findtext("capo"), 0), 0), 100)

    def _backup(self, element: Element) -> None:
        if self.graces:
            self._place_graces(self.cursor)
        self.cursor = max(self.cursor - self._units(element.findtext("duration")), 0)

    def _forward(self, element: Element) -> None:
        if self.graces:
            self._place_graces(self.cursor)
        self.cursor += max(self._units(element.findtext("duration")), 0)

    # ── notes ────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, element: Element) -> None:
        parts = {child.tag: child for child in element}
        in_chord = "chord" in parts
        voice = self._voice(parts)
        if "grace" in parts:
            note = self._sounding(element, parts, voice, 0)
            if note:
                # a chord's later notes share the slot of its first
                slot = self.graces[-1][1] if in_chord and self.graces else len({slot for _, slot in self.graces})
                note[TECHNIQUES] |= GRACE
                self.graces.append((note, slot))
            return
        if self.graces and not in_chord:
            self._place_graces(self.cursor)  # before lengths are read: it may refine the units
        length = max(self._units(parts["duration"].text if "duration" in parts else "0"), 0)
        if not in_chord:
            onset = self.previous = self.cursor
            self.cursor += length
            if self.part.staves > 1:
                name = (parts["voice"].text if "voice" in parts else "1") or "1"
                if onset < self.ends_of.get(name, 0):
                    self.part.crossed.add(name)
                self.ends_of[name] = self.cursor
            if "type" in parts and length:
                self._beat(element, parts, voice, onset, length)
        onset = self.previous
        if "rest" in parts:
            if "notations" in parts:
                signs.read_rest(self, element, onset, voice)
            return
        if "cue" in parts:
            self._leave_out("cue notes, which are silent")
            return
        note = self._sounding(element, parts, voice, onset)
        if note is None:
            return
        if onset + length > self.reach:
            self.reach = onset + length
        note[END] = onset + length
        if "tie" in parts or "notations" in parts:
            ties = {child.get("type") for child in element if child.tag == "tie"} if "tie" in parts else set()
            if not ties and "notations" in parts:
                ties = {
                    sign.get("type") for child in element if child.tag == "notations" for sign in child.iter("tied")
                }
            if ties and self._tied(element, note, ties):
                return
        self.part.notes.append(note)

    def _voice(self, parts: dict[str, Element]) -> int:
        staff = parts["staff"].text if "staff" in parts else "1"
        voice = parts["voice"].text if "voice" in parts else "1"
        key = (staff or "1", voice or "1")
        found = self.part.voices.get(key)
        if found is None:
            found = self.part.voices[key] = len(self.part.voices)
            self.limits.check("tracks", found)
        return found

    def _beat(self, element: Element, parts: dict[str, Element], voice: int, onset: int, length: int) -> None:
        value = VALUES.get(parts["type"].text or "", 0)
        if not value or element.get("print-object") == "no":
            return
        if "rest" in parts and parts["rest"].get("measure") == "yes":
            return
        dots = sum(child.tag == "dot" for child in element) if "dot" in parts else 0
        enters = times = 1
        if "time-modification" in parts:
            enters = integer(parts["time-modification"].findtext("actual-notes"), 1)
            times = integer(parts["time-modification"].findtext("normal-notes"), 1)
        if dots <= 4 and 1 <= enters <= 1_000 and 1 <= times <= 1_000:
            self.part.beats.append([self.index, onset, onset + length, voice, value, dots, enters, times])

    def _tied(self, element: Element, note: list[Any], ties: set[str | None]) -> bool:
        """Join a tied note to what it goes on from; whether it is no note of its own."""
        key = (note[PITCH], note[KIND])
        if "stop" in ties:
            if self._tie(key, note, "start" in ties):
                return True
            self.loose_ends.append(note)
        if "start" in ties:
            held = self.open_ties.setdefault(key, [])
            held.append([note, self.index, note[END]])
            del held[:-MAX_OPEN_TIES]
        return False

    def _tie(self, key: tuple[int, int], note: list[Any], goes_on: bool) -> bool:
        """Lengthen the open note that ends where ``note`` begins (best of its own voice); False where none does."""
        fitting = []
        for held in self.open_ties.get(key, []):
            _, measure, end = held  # the note, and where its last piece ends
            same = measure == self.index and end == note[ONSET]
            across = measure == self.index - 1 and note[ONSET] == 0 and end >= self.part.lengths[measure]
            if same or across:
                fitting.append(held)
        if not fitting:
            return False
        held = min(fitting, key=lambda h: h[0][VOICE] != note[VOICE])
        held[0][END] += note[END] - note[ONSET]
        self.open_ties[key].remove(held)
        if goes_on:
            held[1:] = [self.index, note[END]]
            self.open_ties[key].append(held)
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
            elif own:
                held.append(own)

    def _sounding(self, element: Element, parts: dict[str, Element], voice: int, onset: int) -> list[Any] | None:
        """The collected form of a pitched or unpitched note; None where its sound is not known."""
        loudness = element.get("dynamics")
        velocity = velocity_of(loudness) if loudness else 0
        staff = parts["staff"].text if "staff" in parts else "1"
        if "pitch" in parts:
            said = tuple([child.text for child in parts["pitch"]])
            found = self.pitches.get(said)
            if found is None:
                found = self.pitches[said] = self._pitch(parts["pitch"])
            note: list[Any] = [
                self.index, onset, onset, found[0], velocity, 0, voice, found[1], found[2], PITCHED,
                NO_STRING, NO_FRET, None, staff,
            ]  # fmt: skip
        elif "unpitched" in parts:
            instrument = parts["instrument"].get("id", "") if "instrument" in parts else ""
            head = (parts["notehead"].text or "").strip() if "notehead" in parts else ""
            place = parts["unpitched"]
            sound = (instrument, place.findtext("display-step"), place.findtext("display-octave"), head)
            note = [
                self.index, onset, onset, 0, velocity, 0, voice, NO_SPELLING, 0, DRUM, NO_STRING, NO_FRET, sound, staff,
            ]  # fmt: skip
            key: tuple[str | None, ...] = (instrument,) if instrument else (*sound[1:3], head.replace("normal", ""))
            # until the part ends, drums are told apart by what is written
            note[PITCH] = self.sounds.setdefault(key, len(self.sounds))
        else:
            self._leave_out("notes without a pitch")
            return None
        if "type" in parts and parts["type"].get("size") == "grace-cue":
            note[TECHNIQUES] |= GRACE
        if "notations" in parts or "notehead" in parts or "lyric" in parts or "play" in parts:
            signs.read_note(self, element, parts, note)
        return note

    def _pitch(self, element: Element) -> tuple[int, int, int]:
        """(sounding pitch, its spelling, cents) of a pitch element."""
        step, octave = element.findtext("step", ""), element.findtext("octave", "")
        if step not in NATURAL_SEMITONES or not re.fullmatch(r"-?\d{1,2}", octave):
            raise FormatError("a pitch with step A–G and an octave", "another", where=self._where())
        alter = number(element.findtext("alter"), 0.0)
        whole = round(alter)
        pitch = 12 * (int(octave) + 1) + NATURAL_SEMITONES[step] + whole + self.shift[0]
        spelling = STEPS.index(step) - 1 + 7 * whole + self.shift[1]
        if not -100 <= spelling <= 100:
            spelling = NO_SPELLING
        return min(max(pitch, -1_000), 1_000), spelling, round(100 * (alter - whole))

    def _leave_out(self, what: str) -> None:
        self.part.left_out[what] = self.part.left_out.get(what, 0) + 1

    def _place_graces(self, at: int) -> None:
        """Waiting grace notes take a 32nd each and end at ``at``."""
        if self.part.resolution % GRACE_PER_QUARTER:
            factor = GRACE_PER_QUARTER // gcd(GRACE_PER_QUARTER, self.part.resolution)
            self._refine(factor)
            at *= factor
        length = self.part.resolution // GRACE_PER_QUARTER
        slots = len({slot for _, slot in self.graces})
        for note, slot in self.graces:
            # measured from this measure's start; may be negative, which reaches into the measure before
            note[ONSET] = at - (slots - slot) * length
            note[END] = note[ONSET] + length
            self.part.notes.append(note)
        self.limits.check("notes", len(self.part.notes))
        self.graces = []

    # ── directions ───────────────────────────────────────────────────────────────────────────────────────

    def _direction(self, element: Element) -> None:
        offset = element.find("offset")
        shift = self._units(offset.text, "offset") if offset is not None and offset.get("sound") == "yes" else 0
        at = max(self.cursor + shift, 0)
        signs.read_direction(self, element, at)
        for mark in element.iterfind("direction-type/metronome"):
            tempo = metronome(mark)
            if tempo:
                self.part.tempos.append((self.index, at, False, tempo))
        sound = element.find("sound")
        if sound is not None:
            self._sound(sound, at)

    def _harmony(self, element: Element) -> None:
        offset = element.find("offset")
        shift = self._units(offset.text, "offset") if offset is not None and offset.get("sound") == "yes" else 0
        signs.read_harmony(self, element, max(self.cursor + shift, 0))

    def _sound(self, element: Element, at: int | None = None) -> None:
        tempo = number(element.get("tempo"), 0.0)
        if 0 < tempo <= 10_000:
            self.part.tempos.append((self.index, self.cursor if at is None else at, True, tempo))
        if self.is_first:
            signs.read_jumps(self, element)

    def _barline(self, element: Element) -> None:
        if not self.is_first:
            return
        ending = element.find("ending")
        if ending is not None:
            numbers = tuple(int(n) for n in re.findall(r"\d{1,3}", ending.get("number", "")) if int(n) > 0)
            if ending.get("type") == "start":
                self.open_ending = numbers
            else:
                self.ending_stops = True
        repeat = element.find("repeat")
        if repeat is not None:
            if repeat.get("direction") == "forward":
                self._bar(repeat_open=True)
            else:
                times = repeat.get("times")
                self._bar(repeat_close=min(max(integer(times, 2), 2), 100), is_said=times is not None)
        for sign in element:
            if sign.tag in ("segno", "coda"):
                signs.jump(self, sign.tag)


_HANDLERS: dict[str, Any] = {
    "attributes": PartReader._attributes,
    "backup": PartReader._backup,
    "forward": PartReader._forward,
    "direction": PartReader._direction,
    "harmony": PartReader._harmony,
    "sound": PartReader._sound,
    "barline": PartReader._barline,
}
_ATTRIBUTES: dict[str, Any] = {
    "divisions": PartReader._divisions,
    "key": PartReader._key,
    "time": PartReader._time,
    "staves": PartReader._staves,
    "clef": PartReader._clef,
    "staff-details": PartReader._staff_details,
}
