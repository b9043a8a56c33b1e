"""The note element."""

from __future__ import annotations

from dataclasses import dataclass

from cadenza.formats.musicxml import layout
from cadenza.formats.musicxml.xml import decimal
from cadenza.score.model import NO_FRET, NO_STRING, Note, Technique

TYPES = {
    1: "whole", 2: "half", 4: "quarter", 8: "eighth", 16: "16th", 32: "32nd", 64: "64th", 128: "128th", 256: "256th",
}  # fmt: skip
DEFAULT_VELOCITY = 80
T = Technique


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a note element stands: its voice, staff (0: the only one), duration (0: a grace note), note value (value,
    dots, enters, times; None: unsaid), beams and tuplet bracket ("", start, stop, both)."""

    voice: int
    staff: int
    ticks: int
    beat: tuple[int, int, int, int] | None
    beams: list[str]
    tuplet: str


def rest_xml(place: Piece, is_whole_bar: bool) -> str:
    """A rest."""
    rest = '<rest measure="yes"/>' if is_whole_bar else "<rest/>"
    kind = "" if is_whole_bar else _kind(place, None)
    bracket = _notations(_brackets(place.tuplet))
    staff = f"<staff>{place.staff}</staff>" if place.staff else ""
    return (
        f"<note>{rest}<duration>{place.ticks}</duration><voice>{place.voice + 1}</voice>{kind}{staff}{bracket}</note>\n"
    )


def note_xml(
    place: Piece,
    note: Note,
    pitch: str,
    in_chord: bool,
    *,
    stops: bool = False,
    goes_on: bool = False,
    accidental: int | None = None,
    ticks_per_quarter: int,
    shows_tab: bool,
) -> str:
    """One note; ``stops``, ``goes_on``: tied from before, to what follows."""
    pitch, _, instrument = pitch.partition("\n")
    how = note.techniques
    loud = decimal(round(note.velocity * 100 / 90, 2)) if note.velocity != DEFAULT_VELOCITY else ""
    out = [f'<note dynamics="{loud}">' if loud else "<note>"]
    if not place.ticks:
        out.append("<grace/>")
    out.append("<chord/>" if in_chord else "")
    out.append(pitch)
    if place.ticks:
        out.append(f"<duration>{place.ticks}</duration>")
        out.append('<tie type="stop"/>' if stops else "")
        out.append('<tie type="start"/>' if goes_on else "")
    out.append(f'<instrument id="{instrument}"/>' if instrument else "")
    out.append(f"<voice>{place.voice + 1}</voice>")
    out.append(_kind(place, ticks_per_quarter, "grace-cue" if place.ticks and how & T.GRACE else ""))
    if accidental is not None and accidental in layout.ACCIDENTALS:
        out.append(f"<accidental>{layout.ACCIDENTALS[accidental]}</accidental>")
    out.append(_modification(place))
    head = layout.drum_place(note.pitch)[2] if instrument else "x" if how & T.DEAD else ""
    if head or how & T.GHOST:
        brackets = ' parentheses="yes"' if how & T.GHOST else ""
        out.append(f"<notehead{brackets}>{head or 'normal'}</notehead>")
    out.append(f"<staff>{place.staff}</staff>" if place.staff else "")
    if not in_chord:
        out += [f'<beam number="{level}">{said}</beam>' for level, said in enumerate(place.beams, 1) if level <= 8]
    out.append(_note_notations(place, note, stops, goes_on, in_chord, shows_tab))
    out.append("</note>\n")
    return "".join(out)


def _kind(place: Piece, ticks_per_quarter: int | None, size: str = "") -> str:
    """The type element and dots; for a rest (``ticks_per_quarter`` None) with its tuplet."""
    value, dots = place.beat[:2] if place.beat else (0, 0)
    if not value:
        if ticks_per_quarter is None:
            return ""
        value = _nearest(place.ticks, ticks_per_quarter)
    sized = f' size="{size}"' if size else ""
    kind = f"<type{sized}>{TYPES[value]}</type>" + "<dot/>" * dots
    return kind + (_modification(place) if ticks_per_quarter is None else "")


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


def _notations(parts: list[str]) -> str:
    return f"<notations>{''.join(parts)}</notations>" if parts else ""


def _note_notations(place: Piece, note: Note, stops: bool, goes_on: bool, in_chord: bool, shows_tab: bool) -> str:
    out: list[str] = []
    out += ['<tied type="stop"/>'] * stops + ['<tied type="start"/>'] * goes_on
    if not in_chord:
        out += _brackets(place.tuplet)
    technical = []
    if shows_tab and note.string != NO_STRING:
        technical.append(f"<string>{note.string}</string>")
    if shows_tab and note.fret != NO_FRET:
        technical.append(f"<fret>{note.fret}</fret>")
    if technical:
        out.append(f"<technical>{''.join(technical)}</technical>")
    if not stops:
        bits = note.techniques
        signs = [f"<{name}/>" for bit, name in ARTICULATIONS if bits & bit]
        if signs:
            out.append(f"<articulations>{''.join(signs)}</articulations>")
        if bits & T.TRILL:
            out.append("<ornaments><trill-mark/></ornaments>")
    return _notations(out)


ARTICULATIONS = ((T.ACCENT, "accent"), (T.HEAVY_ACCENT, "strong-accent"), (T.STACCATO, "staccato"))
