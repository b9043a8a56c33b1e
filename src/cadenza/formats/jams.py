"""JAMS with a hexaphonic guitar (GuitarSet) → Score. Reading only.

GuitarSet (Xi, Bittner, Pauwels, Ye, Bello: GuitarSet, ISMIR 2018) annotates each string by itself: ``note_midi``
(time, duration, a fractional pitch) and ``pitch_contour`` (a frequency every 5.8 ms), with data source 0 the lowest
string. Here they become one guitar track in standard tuning:

- pitch = the nearest semitone; string and fret follow from it (string 1 is the highest).
- seconds → ticks at the annotated tempo, 480 ticks a quarter, so that annotated beats lie on quarters. Notes keep
  their timing as played; quantising is an Edit (``grid``).
- A contour becomes bend points only where the pitch leaves the note by more than 30 cents for at least 60 ms, after
  the recording's own tuning (the median deviation of its notes) is taken off. Curves are then thinned to 10 cents.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.score.edit import simplify_bends
from cadenza.score.model import (
    BEND_DTYPE,
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    NOTE_DTYPE,
    STANDARD_TUNINGS,
    Key,
    Metre,
    Score,
    Tempo,
    Track,
)

TICKS_PER_QUARTER = 480
AUDIBLE_CENTS = 30.0
AUDIBLE_SECONDS = 0.06
TOLERANCE_CENTS = 10.0
MAX_CENTS = 1_200.0  # a contour further off is a tracking error, not a bend
HIGHEST_FRET = 24
MAX_OVERLAP = 4
# A parsed JSON takes up to thirty times its text: what these bound fits the memory that a reader may use.
MAX_JSON_BYTES = 12 << 20
MAX_JSON_CONTAINERS = 500_000
STEEL_GUITAR = 25
FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a GuitarSet .jams file.

    Raises:
        FormatError: not JAMS, or without notes of single strings.
        LimitError: it passes ``limits``.
    """
    data = read_bytes(path, limits)
    try:
        return _parse(data, Path(path).stem, limits)
    except FormatError as error:
        raise error.at(str(path)) from error


def _parse(data: bytes, stem: str, limits: Limits) -> Score:
    n_containers = data.count(b"{") + data.count(b"[")
    if len(data) > MAX_JSON_BYTES:
        raise LimitError(f"at most {MAX_JSON_BYTES:,} bytes", f"{len(data):,}")
    if n_containers > MAX_JSON_CONTAINERS:
        raise LimitError(f"at most {MAX_JSON_CONTAINERS:,} lists and objects", f"{n_containers:,}")
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        # bad JSON, bad UTF-8 (both ValueError), or brackets nested beyond the parser's stack
        raise FormatError("JAMS (JSON)", f"broken JSON: {error}"[:200]) from None
    annotations = tree.get("annotations") if isinstance(tree, dict) else None
    if not isinstance(annotations, list):
        raise FormatError("JAMS with a list of annotations", "none")
    try:
        return _score(annotations, tree, stem, limits)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        # a stranger's JSON may have any shape below this point
        raise FormatError("annotations as JAMS defines them", f"{type(error).__name__}: {error}"[:200]) from None


def _score(annotations: list[Any], tree: dict[str, Any], stem: str, limits: Limits) -> Score:
    tempo = _tempo(annotations, stem)
    per_second = tempo / 60 * TICKS_PER_QUARTER
    strings: dict[int, Any] = {}
    contours: dict[int, Any] = {}
    for annotation in annotations:
        source = str((annotation.get("annotation_metadata") or {}).get("data_source", ""))
        if source in {"0", "1", "2", "3", "4", "5"}:
            if annotation["namespace"] == "note_midi":
                strings[int(source)] = annotation["data"]
            elif annotation["namespace"] == "pitch_contour":
                contours[int(source)] = annotation["data"]
    if not strings:
        raise FormatError("note_midi annotations of single strings", "none", hint="Only GuitarSet's JAMS can be read.")
    limits.check("notes", sum(len(data) for data in strings.values()))
    tuning = STANDARD_TUNINGS["guitar"]
    values = [float(note["value"]) for data in strings.values() for note in data]
    offset_cents = 100 * float(np.median([v - round(v) for v in values])) if values else 0.0
    rows: list[tuple[int, ...]] = []
    bends: list[tuple[int, int, int]] = []
    for number in sorted(strings):
        string = 6 - number
        times, frequencies = _contour(contours.get(number))
        starts = np.array([float(note["time"]) for note in strings[number]])
        stops = starts + np.array([float(note["duration"]) for note in strings[number]])
        # A string sounds one note at a time; each point of its contour is looked at for few notes.
        if (np.searchsorted(times, stops) - np.searchsorted(times, starts)).sum() > MAX_OVERLAP * len(times):
            raise FormatError("notes one after another on a string", "many at once", where=f"string {string}")
        for note in strings[number]:
            start, length, pitch = float(note["time"]), float(note["duration"]), round(float(note["value"]))
            if not (start >= 0 and length >= 0 and math.isfinite(start + length) and 0 <= pitch <= 127):
                raise FormatError("notes with a time, a duration and a pitch", f"{start}, {length}, {pitch}")
            limits.check("quarters", int((start + length) * tempo / 60))
            onset = round(start * per_second)
            duration = max(round((start + length) * per_second) - onset, 1)
            fret = pitch - tuning[string - 1]
            known = 0 <= fret <= HIGHEST_FRET
            for offset, cents in _bend(times, frequencies, start, length, pitch, offset_cents, per_second, duration):
                bends.append((len(rows), offset, cents))
            place = (string, fret) if known else (NO_STRING, NO_FRET)
            rows.append((onset, duration, pitch, 95, *place, 0, 0, NO_SPELLING))
    track = Track(
        name="Guitar",
        program=STEEL_GUITAR,
        tuning=tuning,
        notes=np.array(rows, NOTE_DTYPE),
        bends=np.array(bends, BEND_DTYPE),
    )
    length = float((tree.get("file_metadata") or {}).get("duration") or 0)
    if not 0 <= length < math.inf:
        raise FormatError("a duration in seconds", str(length))
    limits.check("quarters", int(length * tempo / 60))
    score = Score(
        tracks=(track,),
        ticks_per_quarter=TICKS_PER_QUARTER,
        tempos=(Tempo(0, tempo),),
        metres=(Metre(0, _beats_a_bar(annotations), 4),),
        keys=_keys(annotations),
        title=str((tree.get("file_metadata") or {}).get("title") or "")[:500],
        length_ticks=round(length * per_second),
    )
    return simplify_bends(TOLERANCE_CENTS)(score)


def _tempo(annotations: list[Any], stem: str) -> float:
    """Quarter notes a minute: as annotated, else from a name like 00_BN1-129-Eb_comp."""
    for annotation in annotations:
        if annotation.get("namespace") == "tempo" and annotation["data"]:
            tempo = float(annotation["data"][0]["value"])
            if 10 <= tempo <= 1000:
                return tempo
    match = re.search(r"-(\d{2,3})-", stem)
    if match and 10 <= int(match[1]) <= 1000:
        return float(match[1])
    raise FormatError("a tempo annotation of 10–1000", "none", hint="Or a file name like 00_BN1-129-Eb_comp.jams.")


def _beats_a_bar(annotations: list[Any]) -> int:
    for annotation in annotations:
        if annotation.get("namespace") == "beat_position" and annotation["data"]:
            beats = int(annotation["data"][0]["value"]["num_beats"])
            return beats if 1 <= beats <= 32 else 4
    return 4


def _keys(annotations: list[Any]) -> tuple[Key, ...]:
    for annotation in annotations:
        if annotation.get("namespace") == "key_mode" and annotation["data"]:
            match = re.fullmatch(r"([A-G])([#b]*):(major|minor)", str(annotation["data"][0]["value"]))
            if match:
                mode: Literal["major", "minor"] = "minor" if match[3] == "minor" else "major"
                fifths = FIFTHS[match[1]] + 7 * (match[2].count("#") - match[2].count("b")) - 3 * (mode == "minor")
                return (Key(0, fifths if -7 <= fifths <= 7 else (fifths + 5) % 12 - 5, mode),)
    return ()


def _contour(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and frequencies in Hz of the voiced points, rising in time; both shape (n,)."""
    if not data:
        return np.zeros(0), np.zeros(0)
    times = np.asarray(data["time"], np.float64)
    hertz = np.array([v["frequency"] if v["voiced"] else 0.0 for v in data["value"]], np.float64)
    times, hertz = times[hertz > 0], hertz[hertz > 0]
    order = np.argsort(times, kind="stable")
    return times[order], hertz[order]


def _bend(
    times: np.ndarray,
    hertz: np.ndarray,
    start: float,
    length: float,
    pitch: int,
    offset_cents: float,
    per_second: float,
    duration: int,
) -> list[tuple[int, int]]:
    """Bend points (ticks after the onset, cents) of one note; empty where it audibly stays on its pitch."""
    low, high = np.searchsorted(times, [start, start + length])
    if high - low < 4:
        return []
    cents = 1200 * np.log2(hertz[low:high] / 440) + 6900 - 100 * pitch - offset_cents
    cents = np.clip(_median_of_five(cents), -MAX_CENTS, MAX_CENTS)
    off = np.abs(cents) > AUDIBLE_CENTS
    step = float(np.median(np.diff(times[low:high])))
    if _longest_run(off) * step < AUDIBLE_SECONDS:
        return []
    ticks = np.clip(np.rint((times[low:high] - start) * per_second).astype(np.int64), 0, duration)
    ticks[0] = 0  # the curve holds from the onset on
    first = np.flatnonzero(np.diff(ticks, prepend=-1) > 0)
    return [(int(ticks[i]), round(float(cents[i]))) for i in first]


def _median_of_five(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)


def _longest_run(mask: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
