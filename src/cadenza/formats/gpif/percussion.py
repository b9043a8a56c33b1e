"""Percussion articulations → General MIDI keys.

Guitar Pro 7 and 8 list a track's drums and the ways to strike them (``InstrumentSet``): a note names one by its place
in that list, and the list says the General MIDI key (``OutputMidiNumber``). Where a place is not in the list it is the
articulation's own number, which is the General MIDI key below 91 (a few aside) and Guitar Pro's own from there on.
Guitar Pro 6 names an element and a variation instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from cadenza.base.errors import FormatError

#: Guitar Pro's numbers that are not the General MIDI key that sounds.
OWN_NUMBERS = {
    29: 59, 30: 49, 31: 40, 33: 37, 34: 38, 83: 53, 84: 53,
    91: 38, 92: 46, 93: 51, 94: 51, 95: 55, 96: 52, 97: 49, 98: 57, 99: 56, 100: 56, 101: 56, 102: 56, 103: 56,
    104: 60, 105: 60, 106: 61, 107: 61, 108: 64, 109: 64, 110: 63, 111: 54, 112: 54, 113: 54, 114: 43, 115: 49,
    116: 49, 117: 69, 118: 70, 119: 70, 120: 70, 122: 82, 123: 53, 124: 62, 125: 62, 126: 59, 127: 59,
}  # fmt: skip
#: Guitar Pro 6: element → the articulations of its variations.
ELEMENTS = (
    (35, 35, 35), (38, 91, 37), (99, 100, 99), (56, 100, 56), (102, 103, 102), (43, 43, 43), (45, 45, 45),
    (47, 47, 47), (48, 48, 48), (50, 50, 50), (42, 92, 46), (44, 44, 44), (57, 98, 57), (49, 97, 49), (55, 95, 55),
    (51, 93, 127), (52, 96, 52),
)  # fmt: skip
SNARE = 38
MAX_ARTICULATIONS = 1_000


def key_of_number(number: int) -> int:
    """The General MIDI key of an articulation's own number."""
    return OWN_NUMBERS.get(number, number)


@dataclass(slots=True)
class Kit:
    """The articulations of a track's instrument in the file's order, as General MIDI keys."""

    keys: list[int] = field(default_factory=list)

    def key(self, articulation: int, element: tuple[int, int] | None) -> int:
        """The General MIDI key of a note.

        Raises:
            FormatError: it names no articulation.
        """
        if element is not None and min(element) >= 0:
            kind, variation = element
            variations = ELEMENTS[kind] if kind < len(ELEMENTS) else (SNARE,)
            return key_of_number(variations[variation if variation < len(variations) else 0])
        if 0 <= articulation < len(self.keys):
            return self.keys[articulation]
        if 0 <= articulation <= 127:
            return key_of_number(articulation)
        raise FormatError("a percussion articulation", str(articulation))


def kit(instrument_set: Element) -> Kit:
    """The kit of an ``InstrumentSet`` element."""
    out = Kit()
    for articulation in instrument_set.iter("Articulation"):
        if len(out.keys) == MAX_ARTICULATIONS:
            raise FormatError(f"at most {MAX_ARTICULATIONS:,} articulations", "more")
        words = [articulation.findtext(name) or "" for name in ("OutputMidiNumber", "InputMidiNumbers")]
        output, own = (int(word.split()[0]) if word.split() and word.split()[0].isdecimal() else -1 for word in words)
        key = output if 0 <= output <= 127 else key_of_number(own)
        out.keys.append(key if 0 <= key <= 127 else SNARE)
    return out
