"""What the fields M:, L:, Q: and the letters of a note's length say."""

from __future__ import annotations

import re
from fractions import Fraction

_METRE = re.compile(r"\(?\s*(\d{1,3}(?:\s*\+\s*\d{1,3})*)\s*\)?\s*/\s*(\d{1,4})")
_FRACTION = re.compile(r"(\d{1,4})\s*/\s*(\d{1,4})")
_LENGTH = re.compile(r"(\d{0,6})(/*)(\d{0,6})")
_RATE = re.compile(r"=\s*(\d{1,7}(?:\.\d{1,6})?)")
DEFAULT_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # notes: in the time of; 5, 7, 9 depend on the metre


def parse_metre(text: str) -> tuple[int, int] | None:
    """(numerator, denominator); None for ``none``.

    Raises:
        ValueError: no metre.
    """
    text = text.strip()
    if text in ("none", ""):
        return None
    if text == "C":
        return 4, 4
    if text == "C|":
        return 2, 2
    match = _METRE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    numerator, denominator = sum(int(part) for part in match[1].split("+")), int(match[2])
    if not 1 <= numerator <= 999 or denominator < 1 or denominator & (denominator - 1) or denominator > 1024:
        raise ValueError(text)
    return numerator, denominator


def parse_unit(text: str) -> Fraction:
    """The unit note length, as a part of a whole note.

    Raises:
        ValueError: none.
    """
    match = _FRACTION.fullmatch(text.strip())
    if match is None and text.strip() == "1":
        return Fraction(1)
    if match is None or not int(match[1]) or int(match[2]) not in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        raise ValueError(text)
    return Fraction(int(match[1]), int(match[2]))


def default_unit(metre: tuple[int, int] | None) -> Fraction:
    """The unit note length where no L: says it: a sixteenth below three quarters a bar, else an eighth."""
    return Fraction(1, 16) if metre and Fraction(*metre) < Fraction(3, 4) else Fraction(1, 8)


def parse_tempo(text: str, unit: Fraction) -> tuple[float | None, str]:
    """(quarter notes a minute or None, words) of Q:.

    ``1/4=120``, ``1/4 3/8=40`` (together), ``"Allegro" 1/4=120``, ``"Andante"``, and the old ``120`` and ``C3=40``,
    which count unit note lengths.

    Raises:
        ValueError: none of these.
    """
    words = " ".join(re.findall(r'"([^"]*)"', text)).strip()
    text = re.sub(r'"[^"]*"?', " ", text).strip()
    if not text:
        return None, words
    if re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text):
        rate, beat = float(text), unit
    else:
        match = _RATE.search(text)
        if match is None:
            raise ValueError(text)
        rate, left = float(match[1]), text[: match.start()]
        old = re.fullmatch(r"\s*C\s*(\d{0,3})(?:/(\d{1,3}))?\s*", left)
        if old:
            beat = unit * int(old[1] or 1) / int(old[2] or 1) if old[2] != "0" else Fraction(0)
        else:
            beat = Fraction(0)
            for numerator, denominator in _FRACTION.findall(left):
                beat += Fraction(int(numerator), max(int(denominator), 1))
            if not beat and left.strip().isdecimal() and len(left.strip()) < 4:
                beat = Fraction(int(left))
    quarters = rate * float(beat) * 4
    if not 0 < quarters < 1e7:
        raise ValueError(text)
    return round(quarters, 6), words


def parse_length(text: str) -> tuple[int, int]:
    """(numerator, denominator) of a note's length: ``3``, ``/``, ``//``, ``3/2``.

    Raises:
        ValueError: a zero, or further signs.
    """
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ValueError(text)
    top, slashes, bottom = match.groups()
    numerator = int(top) if top else 1
    if bottom and len(slashes) != 1:
        raise ValueError(text)
    denominator = int(bottom) if bottom else 2 ** min(len(slashes), 12)
    if not numerator or not denominator or len(slashes) > 12:
        raise ValueError(text)
    return numerator, denominator
