"""Simplified MIDI text (.smidi).

The file says itself what it is: a first line that begins with ``q`` and a number is the cadenza profile's header;
anything else is the published form (with bends where its words carry ``:b``, without velocity where they lack ``:v``).
Text from elsewhere may spread over lines: in the published form each line is a track.

Writing uses the cadenza profile, interleaved, as exact as it can be; pass another notation to change that.
"""

from __future__ import annotations

import re
from pathlib import Path

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.edit import Edit
from cadenza.score.model import Score

NOTATION = SimplifiedMidi()
PROJECTION: tuple[Edit, ...] = NOTATION.projection
# Per word, what the automaton and its objects may take; bounds memory before parsing begins.
_SPACES = [character for character in map(chr, range(0x3001)) if character.isspace()]
MAX_TEXT_BYTES = 16 << 20
BAR_WORDS_PER_BAR = 3  # a text that goes track by track tells its bars again and again
# A note word without its step, its duration (or its velocity): only the compact form has such.
_LEAVES_OUT = re.compile(r"(?<!\S)p\d++(?!\S*?:t)|(?<!\S)p\d++(?!\S*?:d)")
_LEAVES_OUT_VELOCITY = re.compile(_LEAVES_OUT.pattern + r"|(?<!\S)p\d++(?!:v)")


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a .smidi file.

    Raises:
        FormatError: not UTF-8.
        NotationError: the text does not follow the grammar.
        LimitError: it passes ``limits``.
    """
    data = read_bytes(path, limits)
    if len(data) > MAX_TEXT_BYTES:
        limits.check("file_bytes", max(len(data), limits.file_bytes + 1), str(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            "UTF-8 text", f"byte {error.object[error.start]:#x} at {error.start}", where=str(path)
        ) from None
    return decode(text, limits, str(path))


def decode(text: str, limits: Limits = DEFAULT_LIMITS, where: str = "") -> Score:
    """The score that the text of a file says; see the module."""
    # The automaton takes some microseconds a word, more in a header; so many keep its promise of a second a megabyte.
    header, _, body = text.partition("\n")
    in_header = _n_words(header)
    limits.check("header_words", in_header if header.lstrip().startswith("q") else 0, where)
    limits.check("words", in_header + _n_words(body) + body.count(":o"), where)  # a bend point costs as much as a word
    limits.check("notes", text.count("p"), where)
    if text.count("|") > BAR_WORDS_PER_BAR * limits.bars:
        limits.check("bars", text.count("|"), where)
    score = notation_of(text).decode(text)
    limits.check("notes", score.n_notes, where)
    limits.check("tracks", len(score.tracks), where)
    limits.check("quarters", score.length_ticks // score.ticks_per_quarter, where)
    return score


def _n_words(text: str) -> int:
    """At least as many as there are, without taking them apart."""
    return 1 + sum(map(text.count, _SPACES))


def notation_of(text: str) -> SimplifiedMidi:
    """The notation that a text is written in, by its first words."""
    text = text.lstrip("\ufeff\n ")
    first_line, _, rest = text.partition("\n")
    if re.match(r"q\d+(\s|$)", first_line):
        body = rest[:4000]
        has_velocity = ":v" in body or "p" not in body
        return SimplifiedMidi(
            layout="by_track" if "\n" in rest.strip("\n") or _looks_by_track(first_line, rest) else "interleaved",
            bars=bool(re.search(r"(^|\s)\|", body)),
            compact=bool((_LEAVES_OUT_VELOCITY if has_velocity else _LEAVES_OUT).search(rest)),
            velocity="keep" if has_velocity else "drop",
        )
    word = text.split(maxsplit=1)[0] if text.split() else ""
    return SimplifiedMidi.published(
        layout="by_track" if "\n" in text.strip("\n") else "interleaved",
        bend="published" if ":b" in word else "none",
        velocity="keep" if ":v" in word or not word else "drop",
    )


def _looks_by_track(header: str, rest: str) -> bool:
    """Whether a single body line tells its one track without naming it."""
    return bool(re.search(r"(^|\s)p\d", rest)) and not re.search(r"(^|\s)i\d", rest)


def write(score: Score, path: Path | str, notation: SimplifiedMidi = NOTATION) -> None:
    """Write the score's text, with a line break at the end."""
    write_atomically(path, (notation.encode(score) + "\n").encode("utf-8"))
