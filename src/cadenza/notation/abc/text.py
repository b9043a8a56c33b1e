"""ABC as characters: encodings, escapes, comments, and where the tunes of a book begin and end.

The standard's text strings know ``\\'e`` (accents), ``&eacute;`` (entities) and ``\\u00e9``; ``\\\\``, ``\\%`` and
``\\&`` stand for themselves. :func:`unescape` reads them all, :func:`escape` writes the last three.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_ACCENTS = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", ",": "\u0327", "v": "\u030c",
            "u": "\u0306", "c": "\u0327", "=": "\u0304", ";": "\u0328", ".": "\u0307"}  # fmt: skip
_LETTERS = {"aa": "å", "AA": "Å", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "ss": "ß", "/o": "ø", "/O": "Ø",
            "/d": "đ", "/D": "Đ", "/l": "ł", "/L": "Ł", "DH": "Ð", "dh": "ð", "TH": "Þ", "th": "þ", "HO": "Ő",
            "Ho": "ő", "HU": "Ű", "Hu": "ű"}  # fmt: skip
_ESCAPE = re.compile(
    r"""\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(aa|AA|ae|AE|oe|OE|ss|/[oOdDlL]|DH|dh|TH|th|H[OoUu])|"""
    r"""([`'^~",=;.vuc])([A-Za-z])|([\\%&"]))|&(\#?\w{1,12};)"""
)
_CHARSET = re.compile(rb"^(?:%%|I:)\s*abc-charset\s+([\w.-]{1,30})", re.MULTILINE)


def decode_bytes(data: bytes) -> str:
    """The text of a file: UTF-8, else what ``abc-charset`` names, else Latin-1 (which every file is)."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    named = _CHARSET.search(data[:4096])
    try:
        return data.decode(named[1].decode("ascii") if named else "latin-1")
    except (LookupError, UnicodeDecodeError):
        return data.decode("latin-1")


def unescape(text: str) -> str:
    """A text string as it is meant, without white space around it."""
    if "\\" in text or "&" in text:
        text = _ESCAPE.sub(_meant, text)
    return text.strip()


def _meant(match: re.Match[str]) -> str:
    short, long, letters, accent, base, itself, entity = match.groups()
    if short or long:
        code = int(short or long, 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]
    if letters:
        return _LETTERS[letters]
    if accent:
        return unicodedata.normalize("NFC", base + _ACCENTS[accent])
    if entity:
        return html.unescape(match[0])
    return itself


def plain(text: str) -> str:
    """``text`` as one line of visible characters, single spaces between its words."""
    return " ".join("".join(c for c in " ".join(text.split()) if unicodedata.category(c) != "Cc").split())


def escape(text: str, quoted: bool = False) -> str:
    """A text string that :func:`unescape` reads as ``text`` (one that is :func:`plain`)."""
    text = text.replace("\\", "\\\\").replace("&", "\\&").replace("%", "\\%")
    return text.replace('"', "&quot;") if quoted else text


def without_comment(line: str) -> str:
    """``line`` up to an unescaped ``%``."""
    at = line.find("%")
    while at > 0 and line[at - 1] == "\\":
        at = line.find("%", at + 1)
    return line if at < 0 else line[:at]


@dataclass(frozen=True)
class TuneText:
    """The lines of one tune; ``first_line`` is the number (from 1) of the first in its file."""

    number: int
    first_line: int
    lines: list[str]


_BLOCK_ENDS = {"%%begintext": "%%endtext", "%%beginps": "%%endps", "%%beginsvg": "%%endsvg", "%%beginml": "%%endml"}
_REFERENCE = re.compile(r"X:\s*(\d{1,9})")


def split_tunes(text: str) -> tuple[list[str], Iterator[TuneText]]:
    """The file header's lines, and the tunes: each from its ``X:`` to an empty line, the next ``X:`` or the end.

    A text without any ``X:`` is one tune of number 1.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [i for i, line in enumerate(lines) if line.startswith("X:")]
    if not starts:
        return [], iter([TuneText(1, 1, lines)])
    header: list[str] = []
    for line in lines[: starts[0]]:
        if not line.strip():
            break
        if line.startswith("%%") or line[1:2] == ":":
            header.append(line)
    return header, _tunes(lines, starts)


def _tunes(lines: list[str], starts: list[int]) -> Iterator[TuneText]:
    for place, start in enumerate(starts):
        stop = starts[place + 1] if place + 1 < len(starts) else len(lines)
        match = _REFERENCE.match(lines[start])
        own: list[str] = []
        until = ""
        for line in lines[start:stop]:
            if until:
                until = "" if line.startswith(until) else until
                own.append("%")
                continue
            if not line.strip():
                break
            if line.startswith("%%begin"):
                until = _BLOCK_ENDS.get(line.split(maxsplit=1)[0], "")
                line = "%" if until else line
            own.append(line)
        yield TuneText(int(match[1]) if match else 0, start + 1, own)
