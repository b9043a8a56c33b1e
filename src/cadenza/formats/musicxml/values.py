"""Small values in MusicXML: numbers, transpositions, metres, metronome marks. Bad text never raises here."""

from __future__ import annotations

import re
from fractions import Fraction
from xml.etree.ElementTree import Element

# columns of a collected note; its instrument (an id) only until the part ends
MEASURE, ONSET, END, PITCH, VELOCITY, TECHNIQUES, VOICE, SPELLING, CENTS, KIND, STRING, FRET, SOUND, STAFF = range(14)
PITCHED, DRUM, JOINED = 0, 1, 2

VELOCITY_AT_100_PERCENT = 90  # MusicXML: dynamics are percentages of a MIDI velocity of 90

UNIT_QUARTERS = {
    "maxima": 32, "long": 16, "breve": 8, "whole": 4, "half": 2, "quarter": 1, "eighth": 1 / 2, "16th": 1 / 4,
    "32nd": 1 / 8, "64th": 1 / 16, "128th": 1 / 32, "256th": 1 / 64,
}  # fmt: skip


VALUES = {
    "whole": 1, "half": 2, "quarter": 4, "eighth": 8, "16th": 16, "32nd": 32, "64th": 64, "128th": 128, "256th": 256,
}  # fmt: skip


def integer(text: str | None, default: int) -> int:
    """``text`` as a whole number, ``default`` where it is none."""
    if text is None:
        return default
    if text.isdecimal() and text.isascii() and len(text) < 10:
        return int(text)
    return int(text) if re.fullmatch(r"\s*[-+]?\d{1,9}\s*", text) else default


def number(text: str | None, default: float) -> float:
    """``text`` as a decimal number, ``default`` where it is none."""
    return float(text) if text and re.fullmatch(r"\s*[-+]?\d{0,9}\.?\d{1,20}\s*", text) else default


def velocity_of(percent: str) -> int:
    """MIDI velocity of MusicXML's ``dynamics`` percentage."""
    return min(max(round(number(percent, 100.0) * VELOCITY_AT_100_PERCENT / 100), 1), 127)


def transposition(element: Element) -> tuple[int, int]:
    """Semitones from written to sounding, and the same as places on the line of fifths."""
    octaves = integer(element.findtext("octave-change"), 0)
    chromatic = round(number(element.findtext("chromatic"), 0.0))
    diatonic = element.findtext("diatonic")
    fifths = 7 * chromatic - 12 * integer(diatonic, 0) if diatonic else (7 * chromatic + 5) % 12 - 5
    if abs(fifths) > 24:  # diatonic and chromatic do not belong together
        fifths = (7 * chromatic + 5) % 12 - 5
    return chromatic + 12 * octaves, fifths


def metre_of(element: Element) -> tuple[int, int] | None:
    """Sum of all beats/beat-type pairs; None for senza misura or a denominator that is no power of two."""
    total = Fraction(0)
    bottom = 1
    for beats, unit in zip(element.findall("beats"), element.findall("beat-type"), strict=False):
        counts = [int(n) for n in re.findall(r"\d{1,4}", beats.text or "")]
        denominator = integer(unit.text, 0)
        if not counts or not 0 < denominator <= 1024 or denominator & (denominator - 1):
            return None
        total += Fraction(sum(counts), denominator)
        bottom = max(bottom, denominator)
    numerator = total * bottom
    return (int(numerator), bottom) if 0 < numerator <= 255 else None


def metronome(element: Element) -> float:
    """Quarter notes a minute, 0 where the mark gives no number."""
    unit = UNIT_QUARTERS.get(element.findtext("beat-unit", ""), 0)
    number = re.search(r"\d{1,4}(\.\d{1,4})?", element.findtext("per-minute", "") or "")
    if not unit or not number:
        return 0.0
    dots = len(element.findall("beat-unit-dot"))
    return float(number.group()) * unit * (2 - 0.5 ** min(dots, 4))
