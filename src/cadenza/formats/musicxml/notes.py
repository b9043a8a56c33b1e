"""The note element, in the order that the schema wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cadenza.formats.musicxml import layout, signs
from cadenza.formats.musicxml.xml import attribute, decimal, escape
from cadenza.score.model import NO_FRET, NO_STRING, Note, Technique
from cadenza.score.written import Mark

TYPES = {
    1: "whole", 2: "half", 4: "quarter", 8: "eighth", 16: "16th", 32: "32nd", 64: "64th", 128: "128th", 256: "256th",
}  # fmt: skip
MAX_BEAMS = 8
T = Technique


@dataclass(slots=True)
class Piece:
    """Where a note element stands, and what it is told.

    Args:
        voice, staff: counted from 0 and from 1 (0: the only staff).
        ticks: the duration; 0: a grace note.
        beat: note value (value, dots, enters, times); None: unsaid.
        tuplet: bracket: "", start, stop or both.
        marks: what stands at the beat.
        in_chord: a further note of a chord.
        stops, goes_on: tied from before, to what follows.
        velocity: what a note without ``dynamics`` has here.
    """

    voice: int
    staff: int
    ticks: int
    beat: tuple[int, int, int, int] | None
    beams: Sequence[str] = ()
    tuplet: str = ""
    marks: Sequence[Mark] = ()
    in_chord: bool = False
    stops: bool = False
    goes_on: bool = False
    velocity: int = 80


@dataclass(slots=True)
class Head:
    """What is particular to one note of a chord.

    Args:
        pitch: its element.
        instrument: of percussion, an id.
        ends: connections from a note before that end here: hammer, shift, legato.
        falls: whether the note that it leads to is lower.
        curve: (offset in ticks, cents) of bends that the pitch does not say.
    """

    pitch: str
    instrument: str = ""
    accidental: int | None = None
    marks: Sequence[Mark] = ()
    ends: Sequence[str] = ()
    falls: bool = False
    shows_fret: bool = False
    tremolo: int = signs.DEFAULT_TREMOLO
    curve: Sequence[tuple[int, int]] = ()


def rest_xml(place: Piece, is_whole_bar: bool) -> str:
    """A rest."""
    rest = '<rest measure="yes"/>' if is_whole_bar else "<rest/>"
    kind = "" if is_whole_bar else _kind(place, 0) + _modification(place)
    staff = f"<staff>{place.staff}</staff>" if place.staff else ""
    signs_here = _brackets(place.tuplet) + ["<fermata/>" for mark in place.marks if mark.kind == "fermata"]
    return (
        f"<note>{rest}<duration>{place.ticks}</duration><voice>{place.voice + 1}</voice>{kind}{staff}"
        f"{_wrapped('notations', signs_here)}</note>\n"
    )


def note_xml(place: Piece, note: Note, head: Head, ticks_per_quarter: int) -> str:
    """One note."""
    how = note.techniques if not place.stops else T.NONE
    loud = decimal(round(note.velocity * 100 / 90, 2)) if note.velocity != place.velocity and not place.stops else ""
    out = [f'<note dynamics="{loud}">' if loud else "<note>"]
    if not place.ticks:
        out.append('<grace slash="yes"/>')
    out.append("<chord/>" if place.in_chord else "")
    out.append(head.pitch)
    if place.ticks:
        out.append(f"<duration>{place.ticks}</duration>")
        out.append('<tie type="stop"/>' * place.stops + '<tie type="start"/>' * place.goes_on)
    out.append(f"<instrument{attribute('id', head.instrument)}/>" if head.instrument else "")
    out.append(f"<voice>{place.voice + 1}</voice>")
    out.append(_kind(place, ticks_per_quarter, "grace-cue" if place.ticks and how & T.GRACE else ""))
    if head.accidental is not None and head.accidental in layout.ACCIDENTALS:
        out.append(f"<accidental>{layout.ACCIDENTALS[head.accidental]}</accidental>")
    out.append(_modification(place))
    shape = layout.drum_place(note.pitch)[2] if head.instrument else "x" if note.techniques & T.DEAD else ""
    if shape or how & T.GHOST:
        brackets = ' parentheses="yes"' if how & T.GHOST else ""
        out.append(f"<notehead{brackets}>{shape or 'normal'}</notehead>")
    out.append(f"<staff>{place.staff}</staff>" if place.staff else "")
    if not place.in_chord:
        out += [f'<beam number="{n}">{said}</beam>' for n, said in enumerate(place.beams, 1) if n <= MAX_BEAMS]
    out.append(_wrapped("notations", _notations(place, note, how, head)))
    if not place.in_chord:
        out += [_lyric(mark) for mark in place.marks if mark.kind == "lyric"]
    if how & T.PALM_MUTE:
        out.append("<play><mute>palm</mute></play>")
    out.append("</note>\n")
    return "".join(out)


def _kind(place: Piece, ticks_per_quarter: int, size: str = "") -> str:
    """The type element and dots. A time that no value says looks like the nearest; as a rest like none."""
    value, dots = place.beat[:2] if place.beat else (0, 0)
    if not value and not ticks_per_quarter:
        return ""
    value = value or _nearest(place.ticks, ticks_per_quarter)
    sized = f' size="{size}"' if size else ""
    return f"<type{sized}>{TYPES[value]}</type>" + "<dot/>" * dots


def _nearest(ticks: int, ticks_per_quarter: int) -> int:
    """The plain note value nearest to a length that no value says exactly."""
    value = 1
    while value < 256 and 3 * ticks * value < 8 * ticks_per_quarter:
        value *= 2
    return value


def _modification(place: Piece) -> str:
    if place.beat is None or place.beat[2] == place.beat[3]:
        return ""
    enters, times = place.beat[2:]
    return (
        f"<time-modification><actual-notes>{enters}</actual-notes><normal-notes>{times}</normal-notes>"
        "</time-modification>"
    )


def _brackets(tuplet: str) -> list[str]:
    begin, end = '<tuplet type="start" bracket="yes"/>', '<tuplet type="stop"/>'
    return {"start": [begin], "stop": [end], "both": [begin, end]}.get(tuplet, [])


def _wrapped(name: str, parts: Sequence[str]) -> str:
    return f"<{name}>{''.join(parts)}</{name}>" if parts else ""


def _notations(place: Piece, note: Note, how: Technique, head: Head) -> list[str]:
    out = ['<tied type="stop"/>'] * place.stops + ['<tied type="start"/>'] * place.goes_on
    if how & T.LET_RING:
        out.append('<tied type="let-ring"/>')
    for mark in head.marks:
        if mark.kind == "slur":
            out.append(f'<slur type="{"start" if mark.values[1] else "stop"}" number="{mark.values[0]}"/>')
    if not place.in_chord:
        out += _brackets(place.tuplet)
    for kind, bit, text in (("shift", T.SLIDE_SHIFT, ""), ("legato", T.SLIDE_LEGATO, signs.LEGATO_SLIDE)):
        number = 1 if kind == "shift" else 2
        if kind in head.ends and not place.stops:
            out.append(f'<slide type="stop" number="{number}"/>')
        if how & bit:
            out.append(f'<slide type="start" number="{number}">{text}</slide>')
    names = [mark.text for mark in head.marks if mark.kind == "ornament"]
    out.append(_wrapped("ornaments", _ornaments(how, head) + _named(names, "ornaments")))
    out.append(_wrapped("technical", _technical(place, note, how, head) + _named(names, "technical")))
    articulations = [f"<{name}/>" for name, bit in ARTICULATIONS.items() if how & bit]
    out.append(_wrapped("articulations", articulations + _named(names, "articulations")))
    for mark in place.marks:
        if mark.kind == "fermata" and not place.in_chord:
            out.append("<fermata/>")
        elif mark.kind == "arpeggio":
            way = {1: ' direction="up"', 2: ' direction="down"'}.get(mark.values[0], "")
            if not place.in_chord:
                out.append(f"<arpeggiate{way}/>")
    return [text for text in out if text]


ARTICULATIONS = {name: bit for name, bit in signs.ARTICULATIONS.items() if name != "staccatissimo"}


def _named(names: Sequence[str], group: str) -> list[str]:
    return [f"<{name}/>" for name in names if signs.ORNAMENTS[name] == group]


def _ornaments(how: Technique, head: Head) -> list[str]:
    out = []
    if how & T.TRILL:
        out.append("<trill-mark/>")
    elif how & T.VIBRATO:
        out += ['<wavy-line type="start"/>', '<wavy-line type="stop"/>']
    if how & T.TREMOLO_PICKING:
        out.append(f'<tremolo type="single">{signs.TREMOLO_STROKES[head.tremolo]}</tremolo>')
    return out


def _technical(place: Piece, note: Note, how: Technique, head: Head) -> list[str]:
    out = []
    if head.shows_fret and note.string != NO_STRING and note.fret != NO_FRET:
        out += [f"<string>{note.string}</string>", f"<fret>{note.fret}</fret>"]
    for mark in head.marks:
        if mark.kind == "fingering":
            left, right = mark.values
            out += [f"<fingering>{signs.FINGERS[left]}</fingering>"] if left in signs.FINGERS else []
            out += [f"<pluck>{signs.PLUCKS[right]}</pluck>"] if right in signs.PLUCKS else []
    if "hammer" in head.ends and not place.stops:
        out.append('<hammer-on type="stop"/>')
    if how & T.HAMMER:
        name, sign = ("pull-off", "P") if head.falls else ("hammer-on", "H")
        out.append(f'<{name} type="start">{sign}</{name}>')
    if how & T.HARMONIC_NATURAL:
        out.append("<harmonic><natural/></harmonic>")
    if how & T.HARMONIC_ARTIFICIAL:
        out.append("<harmonic><artificial/></harmonic>")
    out += ["<tap/>"] * bool(how & T.TAP)
    for name, bit in signs.OTHER_TECHNICAL.items():
        if not how & bit or (bit == T.VIBRATO and not how & T.TRILL) or (bit == T.DEAD and not head.instrument):
            continue
        out.append(f"<other-technical>{name}</other-technical>")
    if not place.stops:
        out += _bends(head.curve, note.duration_ticks)
    return out


def _bends(curve: Sequence[tuple[int, int]], duration: int) -> list[str]:
    """Bend elements whose positions, in percent of the note, say the curve's points exactly."""
    if not curve:
        return []

    def bend(start: int, stop: int, cents: int, kind: str = "") -> str:
        where = attribute("first-beat", decimal(100 * start / duration))
        where += attribute("last-beat", decimal(100 * stop / duration))
        return f"<bend{where}><bend-alter>{decimal(cents / 100)}</bend-alter>{kind}</bend>"

    (at, level), *rest = curve
    out = [] if level == 0 and rest else [bend(at, at, level, "<pre-bend/>")]
    for offset, cents in rest:
        out.append(bend(at, offset, cents - level, "<release/>" if cents < level else ""))
        at, level = offset, cents
    return out


def _lyric(mark: Mark) -> str:
    """A syllable; one that ends in a hyphen is followed by another of its word."""
    text, syllabic = mark.text, "single"
    if text.endswith("-"):
        text, syllabic = text[:-1], "begin"
    return f'<lyric number="{mark.values[0]}"><syllabic>{syllabic}</syllabic><text>{escape(text)}</text></lyric>'
