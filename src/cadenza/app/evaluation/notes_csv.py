"""Lists of notes as CSV → Score: how annotations of recordings are often published. Reading only.

With a header line, columns by name: ``onset_seconds`` (or onset, start), ``offset_seconds`` (offset, end) or
``duration_seconds`` (duration), and ``pitch`` (MIDI number) or ``hz`` (frequency, f0). Without a header, three columns
as vocadito has them (Bittner et al. 2021): start in seconds, frequency in Hz, duration in seconds.

A frequency becomes the nearest semitone, fractions of a MIDI number too. Onsets are kept to half a millisecond.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from cadenza.base.errors import FormatError, did_you_mean
from cadenza.base.limits import DEFAULT_LIMITS, read_bytes
from cadenza.score.model import Note, Score, Tempo, Track

TICKS_PER_QUARTER, TEMPO = 960, 125.0
TICKS_PER_SECOND = 2000  # 960 · 125 / 60
NAMES: Mapping[str, Sequence[str]] = {
    "onset": ("onset_seconds", "onset", "start"),
    "offset": ("offset_seconds", "offset", "end"),
    "duration": ("duration_seconds", "duration"),
    "pitch": ("pitch", "midi", "note"),
    "hz": ("hz", "frequency", "f0"),
}
HEADLESS = ("onset", "hz", "duration")


def read(path: Path) -> Score:
    """The notes as one track, time in ticks of half a millisecond.

    Raises:
        FormatError: it is missing, a column is missing, or a value is no number.
        LimitError: it is too large.
    """
    text = read_bytes(path, DEFAULT_LIMITS).decode("utf-8-sig", "replace")
    lines = [(n, row) for n, row in enumerate(csv.reader(io.StringIO(text)), 1) if any(cell.strip() for cell in row)]
    if not lines:
        return Score((Track(),), TICKS_PER_QUARTER, (Tempo(0, TEMPO),))
    places = _places([cell.strip().lower() for cell in lines[0][1]], path)
    if places is None:
        places = {name: index for index, name in enumerate(HEADLESS)}
    else:
        lines = lines[1:]
    return Score((Track.of([_note(row, places, f"{path}, line {n}") for n, row in lines]),), TICKS_PER_QUARTER,
                 (Tempo(0, TEMPO),))  # fmt: skip


def _places(head: Sequence[str], path: Path) -> dict[str, int] | None:
    """Column → place, or None where the first line is no header."""
    if all(_is_number(cell) for cell in head):
        return None
    known = {word: name for name, words in NAMES.items() for word in words}
    places = {known[word]: index for index, word in enumerate(head) if word in known}
    wanted = (("onset",), ("offset", "duration"), ("pitch", "hz"))
    for some in wanted:
        if not any(name in places for name in some):
            words = [word for name in some for word in NAMES[name]]
            raise FormatError(
                f"a column {' or '.join(words)}", ", ".join(head), where=str(path),
                hint=did_you_mean(head[0], words) if len(head) == 1 else "",
            )  # fmt: skip
    return places


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _note(row: Sequence[str], places: Mapping[str, int], where: str) -> Note:
    def value(name: str) -> float:
        try:
            found = float(row[places[name]])
        except (IndexError, ValueError):
            raise FormatError(f"a number for {name}", repr(row), where=where) from None
        if not math.isfinite(found) or abs(found) > 1e6:
            raise FormatError(f"a finite {name} of at most a million", str(found), where=where)
        return found

    onset = value("onset")
    end = value("offset") if "offset" in places else onset + value("duration")
    if onset < 0 or end < onset:
        raise FormatError("0 ≤ onset ≤ offset", f"{onset} and {end}", where=where)
    if "pitch" in places:
        pitch = value("pitch")
    else:
        hz = value("hz")
        if hz <= 0:
            raise FormatError("a frequency above 0 Hz", str(hz), where=where)
        pitch = 69 + 12 * math.log2(hz / 440)
    if not -0.5 <= pitch < 127.5:
        raise FormatError("a pitch of 0–127", f"{pitch:.1f}", where=where)
    start = round(onset * TICKS_PER_SECOND)
    return Note(start, max(1, round(end * TICKS_PER_SECOND) - start), math.floor(pitch + 0.5))
