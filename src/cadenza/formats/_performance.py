"""A Score as it sounds: seconds instead of ticks, techniques as lengths, loudness and pitch curves.

Both synthesizers play from this, so that a slide or a pedal means the same in each. A pitch curve is a polyline
of seconds after the onset and cents against the note's pitch: the note's own bend points where it has some, else
what its techniques (slides, vibrato, trill) stand for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import LimitError
from cadenza.score.model import Score, Technique, Track
from cadenza.score.repeats import unfold
from cadenza.score.time import ticks_to_seconds
from cadenza.score.whammy import play_tremolo_bar

MAX_SECONDS = 2 * 3600.0

PLAYED_DTYPE = np.dtype(
    [
        ("onset_seconds", "f8"),
        ("end_seconds", "f8"),  # the key, finger or pedal lets go; what rings on after it is the instrument's
        ("pitch", "i2"),
        ("velocity", "i2"),
        ("techniques", "u8"),
        ("soft", "?"),  # begun by a hammer-on, pull-off or legato slide, not picked
        ("curve", "i8"),  # index into Part.curves, −1 for a note that stays on its pitch
    ]
)

_CURVED = (
    Technique.VIBRATO
    | Technique.TRILL
    | Technique.SLIDE_SHIFT
    | Technique.SLIDE_LEGATO
    | Technique.SLIDE_IN_BELOW
    | Technique.SLIDE_IN_ABOVE
    | Technique.SLIDE_OUT_DOWN
    | Technique.SLIDE_OUT_UP
)
VIBRATO_HERTZ, VIBRATO_CENTS = 5.6, 28.0
_LET_RING_SECONDS = 4.0
_MAX_STROKES = 200_000
_JOIN_SECONDS = 0.03  # a slide or hammer-on reaches a note that starts within this of its end

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Part:
    """One track in seconds.

    Args:
        notes: shape (n,), :data:`PLAYED_DTYPE`, by onset.
        curves: (seconds after the onset, cents), one pair of arrays a curve.
        gain: (seconds, factor), the step curve of volume and expression; empty arrays mean 1 throughout.
        pan: −1 (left) … 1 (right), or None where the track says nothing.
    """

    name: str
    program: int
    is_drums: bool
    notes: NDArray[np.void]
    curves: list[Curve] = field(default_factory=list)
    gain: Curve = (np.zeros(0), np.zeros(0))
    pan: float | None = None


@dataclass(frozen=True)
class Performance:
    """All parts of a piece and its length."""

    parts: tuple[Part, ...]
    duration_seconds: float


def perform(score: Score, max_seconds: float = MAX_SECONDS) -> Performance:
    """The score in seconds, its repeats written out.

    Raises:
        LimitError: it lasts longer than ``max_seconds``.
    """
    # Repeats only lengthen: a piece that is too long as written need not be unfolded to know it.
    _check_length(score, max_seconds)
    score = play_tremolo_bar().apply(unfold().apply(score))
    duration = _check_length(score, max_seconds)
    return Performance(tuple(_part(score, track) for track in score.tracks), duration)


def _check_length(score: Score, max_seconds: float) -> float:
    duration = float(ticks_to_seconds(score, score.length_ticks))
    if duration > max_seconds:
        raise LimitError(
            f"a piece of at most {max_seconds:,.0f} seconds",
            f"{duration:,.0f} seconds",
            hint="Render a part of it, or raise max_seconds.",
        )
    return duration


def _part(score: Score, track: Track) -> Part:
    n = len(track)
    source = track.notes
    out = np.zeros(n, PLAYED_DTYPE)
    out["onset_seconds"] = ticks_to_seconds(score, source["onset_ticks"])
    out["end_seconds"] = ticks_to_seconds(score, source["onset_ticks"] + source["duration_ticks"])
    out["pitch"], out["techniques"], out["curve"] = source["pitch"], source["techniques"], -1
    out["velocity"] = _loudness(source)
    if n and not track.is_drums:
        curves = _articulate(score, track, out)
        _hold_pedal(score, track, out)
    else:
        curves = []
    if (source["techniques"] & np.uint64(Technique.TREMOLO_PICKING)).any():
        out = _tremolo(score, track, out)
    return Part(track.name, track.program, track.is_drums, out, curves, *_controls(score, track))


def _has(techniques: NDArray[np.uint64], technique: Technique) -> NDArray[np.bool_]:
    return (techniques & np.uint64(int(technique))) != 0


def _loudness(notes: NDArray[np.void]) -> NDArray[np.int64]:
    velocity = notes["velocity"].astype(np.float64)
    velocity += 12 * _has(notes["techniques"], Technique.ACCENT) + 22 * _has(
        notes["techniques"], Technique.HEAVY_ACCENT
    )
    velocity *= np.where(_has(notes["techniques"], Technique.GHOST), 0.6, 1.0)
    return np.clip(np.rint(velocity), 1, 127).astype(np.int64)


def _articulate(score: Score, track: Track, out: NDArray[np.void]) -> list[Curve]:
    """Lengths and pitch curves from techniques; changes ``out`` in place."""
    notes, n = track.notes, len(track)
    techniques = notes["techniques"]
    onset, end = out["onset_seconds"], out["end_seconds"]
    # The next note on the same string (of the same voice where no strings are known); n = none.
    lane = np.where(notes["string"] > 0, notes["string"].astype(np.int64), 1000 + notes["voice"].astype(np.int64))
    order = np.lexsort([notes["onset_ticks"], lane])
    follows = (np.diff(lane[order]) == 0) & (np.diff(notes["onset_ticks"][order]) > 0)
    following = np.full(n, n)
    following[order[:-1][follows]] = order[1:][follows]
    next_onset = np.append(onset, np.inf)[following]

    ringing = _has(techniques, Technique.LET_RING)
    end[ringing] = np.maximum(end[ringing], np.minimum(next_onset, onset + _LET_RING_SECONDS)[ringing])
    end[_has(techniques, Technique.STACCATO)] -= ((end - onset) / 2)[_has(techniques, Technique.STACCATO)]
    dead = _has(techniques, Technique.DEAD)
    end[dead] = np.minimum(end, onset + 0.09)[dead]

    joined = _has(techniques, Technique.HAMMER | Technique.SLIDE_LEGATO) & (next_onset <= end + _JOIN_SECONDS)
    out["soft"][following[joined]] = True

    curves: list[Curve] = []
    first = np.searchsorted(track.bends["note"], np.arange(n + 1))
    bent = track.bends["note"]
    bend_seconds = ticks_to_seconds(score, notes["onset_ticks"][bent] + track.bends["offset_ticks"]) - onset[bent]
    for row in np.flatnonzero(_has(techniques, _CURVED) | (np.diff(first) > 0)):
        points = track.bends[first[row] : first[row + 1]]
        if len(points):
            at = bend_seconds[first[row] : first[row + 1]]
            cents = points["cents"].astype(np.float64)
        else:
            at, cents = np.zeros(1), np.zeros(1)
        length = float(end[row] - onset[row])
        other = following[row]
        reaches = other < n and onset[other] <= end[row] + _JOIN_SECONDS
        interval = 100.0 * (int(notes["pitch"][other]) - int(notes["pitch"][row])) if reaches else 0.0
        at, cents = _technique_curve(int(techniques[row]), at, cents, length, interval)
        if len(at) > 1 or cents[0]:
            out["curve"][row] = len(curves)
            curves.append((at, cents))
    return curves


def _technique_curve(
    techniques: int, at: NDArray[np.float64], cents: NDArray[np.float64], length: float, interval: float
) -> Curve:
    """The curve of one note; ``interval`` is the way to the next note on the string, in cents."""
    glide = min(0.08, length / 3)
    points: list[tuple[float, float]] = []
    if techniques & Technique.SLIDE_IN_BELOW:
        points += [(0.0, -300.0), (glide, 0.0)]
    elif techniques & Technique.SLIDE_IN_ABOVE:
        points += [(0.0, 300.0), (glide, 0.0)]
    if interval and techniques & (Technique.SLIDE_SHIFT | Technique.SLIDE_LEGATO):
        points += [(length - glide, 0.0), (length, interval)]
    elif techniques & (Technique.SLIDE_OUT_DOWN | Technique.SLIDE_OUT_UP):
        way = -700.0 if techniques & Technique.SLIDE_OUT_DOWN else 500.0
        points += [(length - 2 * glide, 0.0), (length, way)]
    wave = bool(techniques & (Technique.VIBRATO | Technique.TRILL)) and length > 0.12
    if not points and not wave:
        return at, cents
    grid = np.arange(0.0, length, 0.008) if wave else np.zeros(1)
    slide = np.array(points) if points else np.zeros((1, 2))
    where = np.unique(np.concatenate([at, slide[:, 0], grid]))
    value = np.interp(where, at, cents) + np.interp(where, slide[:, 0], slide[:, 1])
    if wave and techniques & Technique.TRILL:
        value += 200.0 * ((where * 12).astype(int) % 2)
    elif wave:
        # A hand starts to shake once the bend, if any, has arrived.
        start = min(float(at[-1]) if len(at) > 1 else 0.1, length / 2)
        depth = VIBRATO_CENTS * np.clip((where - start) / 0.2, 0, 1)
        value += depth * np.sin(2 * np.pi * VIBRATO_HERTZ * (where - start))
    return where, value


def _hold_pedal(score: Score, track: Track, out: NDArray[np.void]) -> None:
    """Notes that end while the sustain pedal is down sound until it rises or their key is struck again."""
    pedal = track.controls[track.controls["controller"] == 64]
    if not len(pedal):
        return
    at = ticks_to_seconds(score, pedal["onset_ticks"])
    down = pedal["value"] >= 64
    state = np.searchsorted(at, out["end_seconds"], side="right") - 1
    held = (state >= 0) & down[state]
    # The first release at or after each event; without one the pedal stays down to the end.
    release = np.full(len(pedal) + 1, float(ticks_to_seconds(score, score.length_ticks)))
    for row in range(len(pedal) - 1, -1, -1):
        release[row] = release[row + 1] if down[row] else at[row]
    order = np.lexsort([out["onset_seconds"], out["pitch"]])
    again = np.full(len(out), np.inf)
    same = np.diff(out["pitch"][order]) == 0
    again[order[:-1][same]] = out["onset_seconds"][order[1:]][same]
    longer = np.minimum(release[state], np.maximum(again, out["end_seconds"]))
    out["end_seconds"] = np.where(held, np.maximum(out["end_seconds"], longer), out["end_seconds"])


def _tremolo(score: Score, track: Track, out: NDArray[np.void]) -> NDArray[np.void]:
    """Tremolo-picked notes as the thirty-second notes that they stand for."""
    step = max(1, score.ticks_per_quarter // 8)
    picked = _has(track.notes["techniques"], Technique.TREMOLO_PICKING)
    if int((track.notes["duration_ticks"][picked] // step).sum()) > _MAX_STROKES:
        return out  # nobody picks that much; drawing each stroke would only cost memory
    rows: list[NDArray[np.void]] = []
    for row in range(len(out)):
        note = track.notes[row]
        count = int(note["duration_ticks"]) // step
        if not picked[row] or count < 2:
            rows.append(out[row : row + 1])
            continue
        strokes = np.repeat(out[row : row + 1], count)
        edges = ticks_to_seconds(score, note["onset_ticks"] + step * np.arange(count + 1))
        strokes["onset_seconds"], strokes["end_seconds"] = edges[:-1], edges[1:]
        strokes["curve"] = -1
        rows.append(strokes)
    whole = np.concatenate(rows)
    return whole[np.argsort(whole["onset_seconds"], kind="stable")]


def _controls(score: Score, track: Track) -> tuple[Curve, float | None]:
    """The (gain curve, pan) of volume, expression and pan controllers; gain 1 is volume 100, expression 127."""
    events = track.controls[np.isin(track.controls["controller"], (7, 11))]
    times, factors = [], []
    volume, expression = 100, 127
    for event in events:
        if event["controller"] == 7:
            volume = int(event["value"])
        else:
            expression = int(event["value"])
        times.append(int(event["onset_ticks"]))
        factors.append((volume / 100) ** 2 * (expression / 127) ** 2)
    pans = track.controls[track.controls["controller"] == 10]
    pan = float(np.clip((int(pans["value"][0]) - 64) / 63, -1, 1)) if len(pans) else None
    return (ticks_to_seconds(score, np.array(times, np.int64)), np.array(factors)), pan
