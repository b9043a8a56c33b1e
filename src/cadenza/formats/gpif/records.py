"""What a GPIF document lists: bars, voices, beats, notes, rhythms, tracks. Each is one record, built once.

GPIF is relational: a bar names its voices by id, a voice its beats, a beat its notes and its rhythm, and several may
name the same one. The parser hands over one element at a time (:mod:`cadenza.formats.gpif.document`); here it becomes
a record, and :mod:`cadenza.formats.gpif.reading` follows the ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from xml.etree.ElementTree import Element

from cadenza.base.errors import FormatError
from cadenza.formats.gpif import tables
from cadenza.formats.gpif.percussion import Kit
from cadenza.score.model import NO_SPELLING, Technique
from cadenza.score.rhythm import WHOLE

MAX_TICKS_OF_A_BEAT = 64 * WHOLE
MAX_NUMBER = 1_000_000_000
MAX_TUPLET = 128
VERSES = 5
NO_IDS: tuple[str, ...] = ()
Said = tuple[str, tuple[int, ...], str]  # kind, values and text of a mark
Curve = tuple[tuple[float, float], ...]  # (offset in hundredths of the length, value in hundredths of a whole tone)


def number(text: str | None, what: str, default: int | None = None) -> int:
    """A whole number as the file writes it (one with a fraction loses it); ``default`` where it says nothing."""
    if text is None or not text.strip():
        if default is None:
            raise FormatError(f"a whole number as {what}", "nothing")
        return default
    try:
        value = int(float(text) if "." in text else text) if len(text) < 20 else MAX_NUMBER + 1
    except (ValueError, OverflowError):
        raise FormatError(f"a whole number as {what}", repr(text[:40])) from None
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise FormatError(f"a whole number up to {MAX_NUMBER:,} as {what}", text[:40])
    return value


def decimal(text: str | None, what: str, default: float = 0.0) -> float:
    """A decimal number as the file writes it."""
    if text is None or not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        raise FormatError(f"a number as {what}", repr(text[:40])) from None
    if not -MAX_NUMBER <= value <= MAX_NUMBER:  # nan compares false
        raise FormatError(f"a number as {what}", repr(text[:40]))
    return value


def ids(element: Element) -> tuple[str, ...]:
    """The ids in an element's text."""
    return tuple((element.text or "").split())


def properties(element: Element) -> dict[str, Element]:
    """The ``Property`` elements of an element's ``Properties`` by name."""
    held = element.find("Properties")
    return {} if held is None else {child.get("name", ""): child for child in held if child.tag == "Property"}


def x_property(element: Element, name: str) -> int | None:
    """The whole number of an ``XProperty``."""
    held = element.find("XProperties")
    for child in () if held is None else held:
        if child.get("id") == name and child.findtext("Int") is not None:
            return number(child.findtext("Int"), f"XProperty {name}", 0)
    return None


@dataclass(slots=True)
class NoteRecord:
    """A note. ``pitch`` is what the file itself says sounds; −1 where it does not."""

    string: int = -1  # from the lowest, 0
    fret: int = 0
    pitch: int = -1
    spelling: int = NO_SPELLING
    techniques: Technique = Technique.NONE
    tied: bool = False
    bend: Curve = ()
    touched: float = -1.0  # fret of a harmonic's node
    trill: tuple[int, int] | None = None  # other pitch, note value of its speed
    articulation: int = -1
    element: tuple[int, int] | None = None  # Guitar Pro 6: a drum and the way it is struck
    marks: tuple[Said, ...] = ()


@dataclass(slots=True)
class BeatRecord:
    """A beat. ``grace``: 0 = none, 1 = on the beat, 2 = before it."""

    notes: tuple[str, ...] = NO_IDS
    rhythm: str = ""
    velocity: int = 95
    grace: int = 0
    techniques: Technique = Technique.NONE
    tremolo: int = 0
    whammy: Curve = ()
    chord: str = ""
    marks: tuple[Said, ...] = ()


@dataclass(slots=True)
class RhythmRecord:
    """A note value; ``value`` 0 for those longer than a whole."""

    ticks: Fraction
    value: int
    dots: int
    enters: int
    times: int


@dataclass(slots=True)
class MasterBarRecord:
    """What a bar is for all tracks."""

    bars: tuple[str, ...] = NO_IDS
    numerator: int = 4
    denominator: int = 4
    fifths: int = 0
    minor: bool = False
    repeat_open: bool = False
    repeat_close: int = 0
    endings: tuple[int, ...] = ()
    directions: tuple[str, ...] = ()
    section: str | None = None
    fermatas: tuple[Fraction, ...] = ()  # quarters after the bar's start


@dataclass(slots=True)
class Automation:
    """A change at a place of a bar (0 … 1)."""

    kind: str
    bar: int
    position: float
    value: float
    unit: int


@dataclass(slots=True)
class StaffRecord:
    """Strings from the lowest, as the file lists them."""

    tuning: tuple[int, ...] = ()
    capo: int = 0
    chords: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class TrackRecord:
    """One instrument."""

    name: str = ""
    program: int = 0
    drums: bool = False
    transposition: int = 0
    staves: list[StaffRecord] = field(default_factory=list)
    kit: Kit = field(default_factory=Kit)
    automations: list[Automation] = field(default_factory=list)
    lyrics: list[tuple[int, str]] = field(default_factory=list)  # first bar, text


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────


def note(element: Element) -> NoteRecord:
    """A ``Note`` element."""
    out = NoteRecord()
    found = Technique.NONE
    marks: list[Said] = []
    held = properties(element)
    for name, said in held.items():
        technique = tables.NOTE_PROPERTIES.get(name)
        if technique is not None and said.find("Enable") is not None:
            found |= technique
    if "String" in held:
        out.string = number(held["String"].findtext("String"), "string")
    if "Fret" in held:
        out.fret = number(held["Fret"].findtext("Fret"), "fret")
    if "Midi" in held:
        out.pitch = number(held["Midi"].findtext("Number"), "Midi")
    elif "Tone" in held or "Octave" in held:
        octave = number(held["Octave"].findtext("Number"), "octave", 0) if "Octave" in held else 0
        tone = number(held["Tone"].findtext("Step"), "tone", 0) if "Tone" in held else 0
        out.pitch = 12 * octave + tone
    if "Slide" in held:
        flags = number(held["Slide"].findtext("Flags"), "slide", 0)
        for bit, technique in tables.SLIDES.items():
            if flags & bit:
                found |= technique
        for bit, direction in tables.PICK_SLIDES.items():
            if flags & bit:
                marks.append(("pick_slide", (direction,), ""))
    harmonic = held["HarmonicType"].findtext("HType") if "HarmonicType" in held else None
    technique = tables.HARMONICS.get((harmonic or "").lower())
    if technique is not None:
        found |= technique
        fret = held["HarmonicFret"].findtext("HFret") if "HarmonicFret" in held else None
        out.touched = decimal(fret, "HarmonicFret", -1.0)
    if "Bended" in held:
        out.bend = _curve(held, "Bend")
    if "Element" in held and "Variation" in held:
        out.element = (
            number(held["Element"].findtext("Element"), "element", 0),
            number(held["Variation"].findtext("Variation"), "variation", 0),
        )
    if "LeftHandTapped" in held:
        marks.append(("left_hand_tap", (), ""))
    if "ConcertPitch" in held:
        out.spelling = _spelling(held["ConcertPitch"])
    fingers = [-2, -2]
    for child in element:
        tag, text = child.tag, child.text or ""
        if tag == "Tie":
            out.tied = child.get("destination", "").lower() == "true"
        elif tag == "LetRing":
            found |= Technique.LET_RING
        elif tag == "AntiAccent":
            found |= Technique.GHOST if text.lower() == "normal" else Technique.NONE
        elif tag == "Vibrato":
            found |= Technique.VIBRATO
            if text == "Wide":
                marks.append(("strong_vibrato", (), ""))
        elif tag == "Accent":
            flags = number(text, "accent", 0)
            for bit, technique in tables.ACCENTS.items():
                if flags & bit:
                    found |= technique
            if flags & tables.TENUTO:
                marks.append(("articulation", (), "tenuto"))
        elif tag == "Trill":
            found |= Technique.TRILL
            speed = x_property(element, tables.TRILL_SPEED)
            out.trill = (number(text, "trill"), tables.note_value(speed or tables.TICKS_OF_A_SIXTEENTH))
        elif tag == "InstrumentArticulation":
            out.articulation = number(text, "articulation", -1)
        elif tag == "Ornament" and text in tables.ORNAMENTS:
            marks.append(("ornament", (), tables.ORNAMENTS[text]))
        elif tag in ("LeftFingering", "RightFingering") and text in tables.FINGERS:
            fingers[tag == "RightFingering"] = tables.FINGERS[text]
    if fingers != [-2, -2]:
        marks.append(("fingering", tuple(fingers), ""))
    out.techniques, out.marks = found, tuple(marks)
    return out


def _spelling(element: Element) -> int:
    pitch = element.find("Pitch")
    step = (pitch.findtext("Step") or "") if pitch is not None else ""
    if step not in tables.STEPS or pitch is None:
        return NO_SPELLING
    return tables.STEPS[step] + 7 * tables.ACCIDENTALS.get(pitch.findtext("Accidental") or "", 0)


def _curve(held: dict[str, Element], what: str) -> Curve:
    """Origin, up to two points of one height in the middle, destination."""

    def said(name: str) -> float | None:
        element = held.get(what + name)
        return None if element is None else decimal(element.findtext("Float"), what + name)

    origin, destination = said("OriginValue"), said("DestinationValue")
    first, last = said("OriginOffset"), said("DestinationOffset")
    out = [(first or 0.0, origin or 0.0)]
    middle, one, two = said("MiddleValue"), said("MiddleOffset1"), said("MiddleOffset2")
    if middle is not None:
        offsets = [offset for offset in (one, two) if offset is not None] or [50.0]
        out += [(offset, middle) for offset in offsets]
    out.append((100.0 if last is None else last, destination or 0.0))
    return distinct(out)


def distinct(points: list[tuple[float, float]]) -> Curve:
    """The points of a curve without those that say the one before again."""
    return tuple(point for index, point in enumerate(points) if index == 0 or point != points[index - 1])


# ── beats ────────────────────────────────────────────────────────────────────────────────────────────────


def beat(element: Element) -> BeatRecord:
    """A ``Beat`` element."""
    out = BeatRecord()
    marks: list[Said] = []
    for child in element:
        tag, text = child.tag, child.text or ""
        if tag == "Notes":
            out.notes = ids(child)
        elif tag == "Rhythm":
            out.rhythm = child.get("ref", "")
        elif tag == "Dynamic":
            out.velocity = tables.DYNAMICS.get(text, out.velocity)
        elif tag == "GraceNotes":
            out.grace = tables.GRACES.get(text, 0)
        elif tag == "Tremolo":
            out.tremolo = tables.TREMOLOS.get(text, 0)
        elif tag == "Chord":
            out.chord = text
        elif tag == "FreeText":
            marks.append(("text", (), text))
        elif tag == "Lyrics":
            lines = [line.text or "" for line in child if line.tag == "Line"]
            marks += [("lyric", (verse,), line) for verse, line in enumerate(lines[:VERSES], 1) if line]
        elif tag == "Whammy":
            get = child.get
            places = (("origin", ""), ("middle", "1"), ("middle", "2"), ("destination", ""))
            out.whammy = distinct(
                [
                    (decimal(get(f"{place}Offset{n}"), "offset"), decimal(get(f"{place}Value"), "height"))
                    for place, n in places
                ]
            )
        elif tag == "Legato":
            if child.get("origin") == "true":
                marks.append(("legato", (), ""))
        elif tag in tables.BEAT_MARKS and text in tables.BEAT_MARKS[tag]:
            kind, values = tables.BEAT_MARKS[tag][text]
            marks.append((kind, values, ""))
        elif tag == "DeadSlapped":
            marks.append(("dead_slap", (), ""))
    _beat_properties(out, element, marks)
    out.marks = tuple(marks)
    return out


def _beat_properties(out: BeatRecord, element: Element, marks: list[Said]) -> None:
    held = properties(element)
    if "Brush" in held:
        direction = 1 if held["Brush"].findtext("Direction") == "Up" else 2
        ticks = x_property(element, tables.BRUSH_SPEED)
        marks.append(("stroke", (direction, tables.note_value(ticks) if ticks else 0), ""))
    if "PickStroke" in held:
        marks.append(("pick_stroke", (1 if held["PickStroke"].findtext("Direction") == "Up" else 2,), ""))
    for name, technique in (("Slapped", Technique.SLAP), ("Popped", Technique.POP)):
        if name in held and held[name].find("Enable") is not None:
            out.techniques |= technique
    if "VibratoWTremBar" in held:
        marks.append(("wide_vibrato", (), ""))
    if "WhammyBar" in held and not out.whammy:
        out.whammy = _curve(held, "WhammyBar")
    if "Rasgueado" in held:
        marks.append(("rasgueado", (), held["Rasgueado"].findtext("Rasgueado") or ""))
    if "BarreFret" in held:
        half = "BarreString" in held and held["BarreString"].findtext("String") == "1"
        marks.append(("barre", (number(held["BarreFret"].findtext("Fret"), "barre", 0), int(half)), ""))


def rhythm(element: Element) -> RhythmRecord:
    """A ``Rhythm`` element."""
    name = element.findtext("NoteValue") or ""
    if name not in tables.NOTE_VALUES:
        raise FormatError("a note value", repr(name[:20]))
    ticks = tables.NOTE_VALUES[name]
    dots = element.find("AugmentationDot")
    n_dots = 0 if dots is None else number(dots.get("count"), "dots", 0)
    tuplet = element.find("PrimaryTuplet")
    enters = times = 1
    if tuplet is not None:
        enters, times = number(tuplet.get("num"), "tuplet", 1), number(tuplet.get("den"), "tuplet", 1)
    if not 0 <= n_dots <= 4 or not 1 <= enters <= MAX_TUPLET or not 1 <= times <= MAX_TUPLET:
        raise FormatError(f"up to 4 dots and a tuplet of numbers up to {MAX_TUPLET}", f"{n_dots}, {enters} in {times}")
    exact = Fraction(ticks * ((2 << n_dots) - 1) * times, enters << n_dots)
    if not 1 <= exact <= MAX_TICKS_OF_A_BEAT:
        raise FormatError("a note value of at least a tick and at most 64 wholes", f"{float(exact):g} ticks")
    return RhythmRecord(exact, WHOLE // ticks if ticks <= WHOLE else 0, n_dots, enters, times)


# ── bars ─────────────────────────────────────────────────────────────────────────────────────────────────


def master_bar(element: Element) -> MasterBarRecord:
    """A ``MasterBar`` element."""
    out = MasterBarRecord()
    for child in element:
        tag, text = child.tag, child.text or ""
        if tag == "Bars":
            out.bars = ids(child)
        elif tag == "Time":
            top, _, bottom = text.partition("/")
            out.numerator, out.denominator = number(top, "metre"), number(bottom, "metre")
            power_of_two = out.denominator > 0 and out.denominator & (out.denominator - 1) == 0
            if not power_of_two or out.denominator > WHOLE // 15 or not 1 <= out.numerator <= 10_000:
                raise FormatError("a metre", repr(text[:20]))
        elif tag == "Key":
            out.fifths = number(child.findtext("AccidentalCount"), "key", 0)
            out.minor = (child.findtext("Mode") or "").lower() == "minor"
        elif tag == "Repeat":
            out.repeat_open = child.get("start", "").lower() == "true"
            if child.get("end", "").lower() == "true":
                out.repeat_close = max(number(child.get("count"), "repeat", 2), 0)
        elif tag == "AlternateEndings":
            out.endings = tuple(sorted({n for n in (number(word, "ending") for word in text.split()) if n > 0}))
        elif tag == "Directions":
            names = [tables.DIRECTION_NAMES.get(item.text or "") for item in child]
            out.directions = tuple(name for name in names if name)
        elif tag == "Section":
            words = ((child.findtext("Letter") or "").strip(), (child.findtext("Text") or "").strip())
            out.section = " ".join(word for word in words if word)
        elif tag == "Fermatas":
            out.fermatas = tuple(_place(item.findtext("Offset") or "") for item in child if item.tag == "Fermata")
    return out


def _place(text: str) -> Fraction:
    top, _, bottom = text.partition("/")
    return Fraction(number(top, "fermata", 0), max(number(bottom, "fermata", 1), 1))


def automation(element: Element) -> Automation | None:
    """An ``Automation`` element; None for kinds that a Score does not hold."""
    kind = element.findtext("Type") or ""
    if kind not in ("Tempo", "SustainPedal"):
        return None
    words = (element.findtext("Value") or "").split()
    value = decimal(words[0] if words else None, kind)
    unit = number(words[1], "unit", 0) if len(words) > 1 else 0
    position = min(max(decimal(element.findtext("Position"), "position"), 0.0), 1.0)
    return Automation(kind, number(element.findtext("Bar"), "bar", 0), position, value, unit)


def automations(element: Element) -> list[Automation]:
    """The automations of a track."""
    out: list[Any] = [automation(child) for child in element if child.tag == "Automation"]
    return [item for item in out if item is not None]
