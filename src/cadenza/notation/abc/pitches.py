"""Letters, accidentals and keys on the line of fifths (C = 0, G = 1, F = −1; seven more for each sharp)."""

from __future__ import annotations

import re
from dataclasses import dataclass

LETTERS = "CDEFGAB"
SEMITONES = (0, 2, 4, 5, 7, 9, 11)  # of each letter above C
FIFTHS = (0, 2, 4, -1, 1, 3, 5)  # of each letter
LETTER_OF_FIFTHS = {fifths: letter for letter, fifths in enumerate(FIFTHS)}
ACCIDENTALS = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}
ACCIDENTAL_TEXT = {value: text for text, value in ACCIDENTALS.items()}
LOWEST_SPELLING, HIGHEST_SPELLING = -15, 19  # F double flat … B double sharp
_SHARPS, _FLATS = "FCGDAEB", "BEADGCF"
_MODES = {
    "maj": 0,
    "ion": 0,
    "": 0,
    "mix": -1,
    "dor": -2,
    "min": -3,
    "aeo": -3,
    "m": -3,
    "phr": -4,
    "loc": -5,
    "lyd": 1,
}
_MINOR = {"dor", "min", "aeo", "m", "phr", "loc"}
_TONICS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_KEY = re.compile(r"([A-G])([#b]?)\s*([A-Za-z]*)")
_EXPLICIT = re.compile(r"(\^\^|\^|__|_|=)([A-Ga-g])\s*")
MAJOR_NAMES = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
MINOR_NAMES = ("Abm", "Ebm", "Bbm", "Fm", "Cm", "Gm", "Dm", "Am", "Em", "Bm", "F#m", "C#m", "G#m", "D#m", "A#m")
BAGPIPES = ("HP", "Hp")


@dataclass(frozen=True)
class KeySignature:
    """A key: its accidentals by letter (index into :data:`LETTERS`), and what a Score keeps of it.

    Args:
        alterations: semitones for each of the seven letters.
        fifths, mode: None and "" where the text says ``none``.
    """

    alterations: tuple[int, ...] = (0,) * 7
    fifths: int | None = None
    mode: str = ""


def of_fifths(fifths: int) -> tuple[int, ...]:
    """Semitones for each letter under a signature of so many sharps (negative: flats)."""
    names = _SHARPS[:fifths] if fifths > 0 else _FLATS[: -fifths if fifths else 0]
    return tuple((1 if fifths > 0 else -1) if letter in names else 0 for letter in LETTERS)


def key_name(fifths: int, mode: str) -> str:
    """What ``K:`` says: ``Eb``, ``F#m``."""
    return (MINOR_NAMES if mode == "minor" else MAJOR_NAMES)[fifths + 7]


def parse_key(text: str) -> tuple[KeySignature | None, str]:
    """The key that begins ``text``, and the rest (clef and the like). None where the text begins with no key.

    Raises:
        ValueError: it begins like a key, but there is no such.
    """
    text = text.strip()
    if text.startswith(BAGPIPES):
        fifths = 2 if text[1] == "p" else 0
        return KeySignature(of_fifths(fifths), fifths, "major"), text[2:]
    if re.match(r"none\b", text, re.IGNORECASE):
        return _explicit(KeySignature(), text[4:])
    match = _KEY.match(text)
    if match is None:
        return None, text
    mode = match[3].lower()
    mode = mode if mode == "m" else mode[:3]
    end = match.end()
    if mode not in _MODES or text[end : end + 1] == "=":
        if match.start(3) == match.end(2):  # K:Cxyz
            raise ValueError(text)
        mode, end = "", match.end(2)  # a clef, say, or clef=bass
    fifths = _TONICS[match[1]] + {"#": 7, "b": -7, "": 0}[match[2]] + _MODES[mode]
    if not -7 <= fifths <= 7:
        raise ValueError(text)
    signature = KeySignature(of_fifths(fifths), fifths, "minor" if mode in _MINOR else "major")
    return _explicit(signature, text[end:])


def _explicit(signature: KeySignature, rest: str) -> tuple[KeySignature, str]:
    """The accidentals that follow a key's name."""
    rest = rest.strip()
    alterations = list(signature.alterations)
    if rest[:3].lower() == "exp":
        alterations, rest = [0] * 7, rest[3:].strip()
    at = 0
    while match := _EXPLICIT.match(rest, at):
        alterations[LETTERS.index(match[2].upper())] = ACCIDENTALS[match[1]]
        at = match.end()
    return KeySignature(tuple(alterations), signature.fifths, signature.mode), rest[at:].strip()


def spelled(pitch: int, key_fifths: int) -> int:
    """A place on the line of fifths for ``pitch``, as pieces in that key mostly spell it (C: E flat … G sharp)."""
    low = max(LOWEST_SPELLING, key_fifths - 3)
    return low + (7 * pitch - low) % 12


def pitch_class(spelling: int) -> int:
    """0–11 of a place on the line of fifths."""
    return 7 * spelling % 12


def letter_and_alteration(spelling: int) -> tuple[int, int]:
    """(index into :data:`LETTERS`, semitones) of a place on the line of fifths."""
    alteration = (spelling + 1) // 7
    return LETTER_OF_FIFTHS[spelling - 7 * alteration], alteration


def may_stand_plain(natural: int) -> bool:
    """Whether a letter of that natural pitch may stand without an accidental: whatever the key or the bar so far makes
    of it, it stays a MIDI pitch. At the ends of the range accidentals are always written."""
    return 2 <= natural <= 125


def letter_text(pitch: int, letter: int, alteration: int) -> str:
    """The letter with its octave marks, without the accidental: ``C,``, ``b'``."""
    octave = (pitch - alteration - SEMITONES[letter]) // 12 - 5  # 0 = from middle C
    if octave >= 1:
        return LETTERS[letter].lower() + "'" * (octave - 1)
    return LETTERS[letter] + "," * -octave
