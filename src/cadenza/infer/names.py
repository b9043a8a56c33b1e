"""What a musician says, as values: instruments, keys, metres, tunings, bars, pitches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from cadenza.base.errors import ConfigError, did_you_mean
from cadenza.score.instruments import family_of
from cadenza.score.model import STANDARD_TUNINGS, Key, Metre, Score, Track

_GUITAR, _BASS = STANDARD_TUNINGS["guitar"], STANDARD_TUNINGS["bass"]
#: name → (General MIDI program, open strings, highest first); drums apart.
INSTRUMENTS: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "guitar": (29, _GUITAR), "distorted-guitar": (30, _GUITAR), "clean-guitar": (27, _GUITAR),
    "acoustic-guitar": (25, _GUITAR), "nylon-guitar": (24, _GUITAR), "muted-guitar": (28, _GUITAR),
    "bass": (33, _BASS), "picked-bass": (34, _BASS), "fretless-bass": (35, _BASS), "slap-bass": (36, _BASS),
    "piano": (0, ()), "electric-piano": (4, ()), "harpsichord": (6, ()), "clavinet": (7, ()), "keys": (4, ()),
    "vibraphone": (11, ()), "organ": (18, ()), "church-organ": (19, ()), "accordion": (21, ()),
    "violin": (40, ()), "viola": (41, ()), "cello": (42, ()), "double-bass": (43, ()), "harp": (46, ()),
    "strings": (48, ()), "choir": (52, ()), "voice": (53, ()), "trumpet": (56, ()), "trombone": (57, ()),
    "tuba": (58, ()), "horn": (60, ()), "brass": (61, ()), "sax": (65, ()), "tenor-sax": (66, ()), "oboe": (68, ()),
    "bassoon": (70, ()), "clarinet": (71, ()), "flute": (73, ()), "recorder": (74, ()), "lead": (81, ()),
    "pad": (89, ()), "banjo": (105, ()),
}  # fmt: skip
#: name → (a guitar's strings, a bass's), highest first.
TUNINGS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "standard": (_GUITAR, _BASS),
    "half-step-down": (tuple(p - 1 for p in _GUITAR), tuple(p - 1 for p in _BASS)),
    "whole-step-down": (tuple(p - 2 for p in _GUITAR), tuple(p - 2 for p in _BASS)),
    "drop-d": ((64, 59, 55, 50, 45, 38), (43, 38, 33, 26)),
    "drop-c": ((62, 57, 53, 48, 43, 36), (41, 36, 31, 24)),
    "dadgad": ((62, 57, 55, 50, 45, 38), _BASS),
    "open-g": ((62, 59, 55, 50, 43, 38), _BASS),
    "seven-string": ((64, 59, 55, 50, 45, 40, 35), (43, 38, 33, 28, 23)),
}
_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_FIFTHS = {"f": -1, "c": 0, "g": 1, "d": 2, "a": 3, "e": 4, "b": 5}
MAJOR = frozenset({0, 2, 4, 5, 7, 9, 11})
MINOR = frozenset({0, 2, 3, 5, 7, 8, 10, 11})  # with the leading tone beside the natural seventh


def instrument(text: str) -> Track:
    """A track without notes, of a name of :data:`INSTRUMENTS`, "drums", or a program number.

    Raises:
        ConfigError: neither.
    """
    word = text.strip().lower().replace(" ", "-").replace("_", "-")
    if word == "drums":
        return Track("Drums", is_drums=True)
    if word.isdecimal():
        program = int(word)
        if program > 127:
            raise ConfigError("a program of 0–127", text)
        tuning = _GUITAR if 24 <= program <= 31 else _BASS if 32 <= program <= 37 else ()
        return Track(f"Program {program}", program, tuning=tuning)
    if word not in INSTRUMENTS:
        raise ConfigError("an instrument or a program number", repr(text), hint=did_you_mean(word, INSTRUMENTS))
    program, tuning = INSTRUMENTS[word]
    return Track(word.replace("-", " ").capitalize(), program, tuning=tuning)


def instruments(text: str) -> list[Track]:
    """Of names with commas between them; those of one name are numbered.

    Raises:
        ConfigError: none, or one that is not known.
    """
    found = [instrument(word) for word in text.split(",") if word.strip()]
    if not found:
        raise ConfigError("instruments, as in guitar,bass,drums", repr(text))
    return found


def key(text: str) -> Key:
    """``Em``, ``F#``, ``Bb minor`` → the key.

    Raises:
        ConfigError: none of this form, or beyond seven accidentals.
    """
    match = re.fullmatch(r"\s*([A-Ga-g])([#♯b♭]?)\s*(m|min|minor|maj|major|)\s*", text)
    if match is None:
        raise ConfigError("a key such as C, F#, Em or Bbm", repr(text))
    letter, sign = match[1].lower(), match[2]
    mode: Literal["major", "minor"] = "minor" if match[3] in ("m", "min", "minor") else "major"
    fifths = _FIFTHS[letter] + {"": 0, "#": 7, "♯": 7, "b": -7, "♭": -7}[sign] - (3 if mode == "minor" else 0)
    if not -7 <= fifths <= 7:
        raise ConfigError("a key of at most seven accidentals", repr(text))
    return Key(0, fifths, mode)


def tonic_of(key: Key) -> int:
    """Pitch class of the key's first note."""
    return (7 * key.fifths + (9 if key.mode == "minor" else 0)) % 12


def classes_of(key: Key) -> frozenset[int]:
    """Pitch classes of the key; of a minor one both sevenths."""
    tonic = tonic_of(key)
    return frozenset((tonic + step) % 12 for step in (MINOR if key.mode == "minor" else MAJOR))


def metre(text: str) -> Metre:
    """``7/8`` → the metre.

    Raises:
        ConfigError: none.
    """
    match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text)
    if match is None or int(match[2]) not in (1, 2, 4, 8, 16, 32, 64) or not 1 <= int(match[1]) <= 64:
        raise ConfigError("a metre such as 4/4 or 7/8", repr(text))
    return Metre(0, int(match[1]), int(match[2]))


def pitch(text: str) -> int:
    """``E2``, ``F#4`` or a MIDI number → the MIDI number (C4 = 60).

    Raises:
        ConfigError: none.
    """
    match = re.fullmatch(r"\s*([A-Ga-g])([#♯b♭]?)(-?\d)\s*", text)
    if match is not None:
        sign = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[match[2]]
        number = _LETTERS[match[1].lower()] + sign + 12 * (int(match[3]) + 1)
    elif text.strip().isdecimal():
        number = int(text)
    else:
        raise ConfigError("a pitch such as E2, F#4 or 64", repr(text))
    if not 0 <= number <= 127:
        raise ConfigError("a pitch of 0–127", repr(text))
    return number


def tuned(track: Track, text: str) -> Track:
    """A fretted track in a tuning: of :data:`TUNINGS`, or its strings from the lowest up (``D2 A2 D3 G3 B3 E4``).
    Others stay as they are.

    Raises:
        ConfigError: no such tuning.
    """
    if not track.tuning:
        return track
    word = text.strip().lower().replace(" ", "-")
    strings: tuple[int, ...]
    if word in TUNINGS:
        strings = TUNINGS[word][family_of(track) == "bass"]
    else:
        parts = re.split(r"[\s,]+", text.strip())
        if not 1 <= len(parts) <= 12:
            raise ConfigError("a tuning of 1 to 12 strings", repr(text), hint=did_you_mean(word, TUNINGS))
        try:
            strings = tuple(pitch(part) for part in reversed(parts))
        except ConfigError:
            hint = did_you_mean(word, TUNINGS)
            raise ConfigError("a tuning by name or by its strings from the lowest up", repr(text), hint=hint) from None
    return Track(track.name, track.program, tuning=strings)


def bars(text: str) -> tuple[int, int]:
    """``5-8`` or ``5`` (counted from 1) → (first, stop), counted from 0.

    Raises:
        ConfigError: no such form.
    """
    match = re.fullmatch(r"\s*(\d{1,6})(?:\s*[-–]\s*(\d{1,6}))?\s*", text)
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not 1 <= first <= last:
        raise ConfigError("bars such as 5 or 5-8", repr(text))
    return first - 1, last


def tracks_of(score: Score, text: str) -> tuple[int, ...]:
    """Tracks of a piece by number (from 1), name or family, with commas between them.

    Raises:
        ConfigError: one that the piece does not have.
    """
    out: dict[int, None] = {}
    for word in (part.strip() for part in text.split(",")):
        if not word:
            continue
        if word.isdecimal():
            found = [int(word) - 1] if 1 <= int(word) <= len(score.tracks) else []
        else:
            named = [i for i, track in enumerate(score.tracks) if track.name.lower() == word.lower()]
            found = named or [i for i, track in enumerate(score.tracks) if family_of(track) == word.lower()]
        if not found:
            known = ", ".join(f"{i + 1} {t.name or family_of(t)}" for i, t in enumerate(score.tracks))
            raise ConfigError(f"tracks of the piece ({known})", repr(word))
        out |= dict.fromkeys(found)
    if not out:
        raise ConfigError("tracks by number, name or family", repr(text))
    return tuple(sorted(out))
