"""A performance → a Score on a page: :func:`notate`.

    beats and what they are (beats, metre) → places (quantise) → hands and voices (voices) → lengths → key, spelling,
    strings and frets

Tempo: where the beats stay near to a steady pulse, one tempo is written; else one for each stretch of bars that keeps
its own. With ``quantize="none"`` nothing is moved: notes sound as they were played, and tempo and bars are laid under
them. An upbeat becomes a short first bar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import UnplayableError
from cadenza.formats.musicxml.layout import KEYBOARDS, spell
from cadenza.infer.notator import beats, keys, metre, quantise, voices
from cadenza.infer.notator.beats import Pulse, extended_interp
from cadenza.infer.notator.events import Events, Floats, events_of, played_notes
from cadenza.infer.notator.options import Given, given
from cadenza.score.fingering import finger
from cadenza.score.instruments import implied_tuning
from cadenza.score.model import BEND_DTYPE, BarMark, Key, Metre, Score, Tempo, Track

TICKS_PER_QUARTER = quantise.TICKS_PER_QUARTER
FEW_EVENTS, SHORT_SECONDS = 4, 1.0
PLAIN_TEMPO, PLAIN_METRE = 120.0, (4, 4)
TEMPO_CHANGE = 0.05  # a stretch of bars with its own tempo costs as much as one bar this many times its spread off
CHORDAL = frozenset((*range(0, 40), 46))  # programs that play several notes at once
MAX_UNPLAYABLE = 0.03  # share of a guitar's notes that may be left out as misheard
NEARLY_WHOLE = 0.75  # of a bar: an upbeat so long is a bar that begins with a rest


@dataclass(frozen=True)
class Line:
    """The time line: where quarters lie in seconds.

    Args:
        seconds, quarters: shape (k,), both rising.
        tempo: quarter notes a minute over all.
    """

    seconds: Floats
    quarters: Floats
    tempo: float
    metre: tuple[int, int]
    first_bar_quarters: float = 0.0  # where the first bar line after 0 lies, if not at a bar's length

    @property
    def bar_quarters(self) -> float:
        return 4 * self.metre[0] / self.metre[1]

    def at(self, seconds: Floats) -> Floats:
        """Quarters at ``seconds``."""
        return extended_interp(seconds, self.seconds, self.quarters)


@dataclass(frozen=True)
class Notated:
    """A page, and where it lies in the performance.

    Args:
        seconds, ticks: places in both, shape (k,), rising; empty where nothing is written.
    """

    score: Score
    seconds: Floats
    ticks: Floats

    def seconds_at(self, ticks: Floats) -> Floats:
        """When the performance reaches these ticks of the page; goes on evenly beyond both ends."""
        return extended_interp(ticks, self.ticks, self.seconds)


def notate(
    performance: Score,
    *,
    tempo: float | None = None,
    metre: str | tuple[int, int] | None = None,
    key: str | Key | None = None,
    quantize: int | str | None = None,
) -> Score:
    """The page that a performance is played from.

    Args:
        performance: notes in their own timing (what the ear hears, or a recorded MIDI file); what it says of tempo,
            bars and keys only tells where its ticks lie in seconds.
        tempo: quarter notes a minute; found where None, as the others.
        metre: "3/4" or (3, 4).
        key: "G", "F#m", or a Key.
        quantize: places a whole note (8, 16, 24 …), "none" to keep the timing, None to choose beat by beat.

    Returns:
        a Score of the same tracks, 480 ticks a quarter. Two notes of one pitch at one place become one; of a guitar,
        a few notes that no hand can play with the others are left out as misheard.

    Raises:
        ConfigError: an option says nothing that can be.
    """
    return notated(performance, tempo=tempo, metre=metre, key=key, quantize=quantize).score


def notated(
    performance: Score,
    *,
    tempo: float | None = None,
    metre: str | tuple[int, int] | None = None,
    key: str | Key | None = None,
    quantize: int | str | None = None,
) -> Notated:
    """As :func:`notate`, together with where the page lies in the performance."""
    said = given(tempo, metre, key, quantize)
    notes = played_notes(performance)
    if not len(notes):
        metres = (Metre(0, *(said.metre or PLAIN_METRE)),)
        found = () if said.key is None else (replace(said.key, onset_ticks=0),)
        empty = replace(
            performance, tracks=tuple(_empty(track) for track in performance.tracks), bars=(), markers=(),
            ticks_per_quarter=TICKS_PER_QUARTER, tempos=(Tempo(0, said.tempo or PLAIN_TEMPO),), metres=metres,
            keys=found, length_ticks=0,
        )  # fmt: skip
        return Notated(empty, np.zeros(0), np.zeros(0))
    events = events_of(notes)
    line = time_line(notes, events, said)
    score_key = said.key or _found_key(notes)
    if said.grid == 0:
        onset = None
        line = _from_the_beginning(straightened(line) if is_steady(line) else line)
    else:
        slope = _seconds_a_quarter(line, events.seconds)
        onset = quantise.snapped(
            np.maximum(line.at(events.seconds), 0), slope, quantise.divisions_of(said.grid)
        )[events.of_note]  # fmt: skip
        line = _shifted(line, onset)
        onset = onset - _spare_bars(onset, line) * round(line.bar_quarters * TICKS_PER_QUARTER)
    tracks = []
    for number, track in enumerate(performance.tracks):
        mine = notes["track"] == number
        tracks.append(_track(track, notes[mine], line, None if onset is None else onset[mine], score_key, said))
    score, cut = _finished(performance, tracks, line, score_key, said)
    return Notated(score, line.seconds, line.quarters * TICKS_PER_QUARTER - cut)


def _empty(track: Track) -> Track:
    return replace(track, controls=track.controls[:0], beats=track.beats[:0], marks=())


# ── the time line ────────────────────────────────────────────────────────────────────────────────────────


def time_line(notes: NDArray[np.void], events: Events, said: Given) -> Line:
    """Where the quarters of a performance lie, the first bar line that sounds at or after quarter 0."""
    span = float(events.seconds[-1] - events.seconds[0])
    if len(events) < FEW_EVENTS or span < SHORT_SECONDS:
        quarter = 60 / (said.tempo or PLAIN_TEMPO)
        seconds = events.seconds[0] + quarter * np.arange(2)
        return Line(seconds, np.arange(2.0), 60 / quarter, said.metre or PLAIN_METRE)
    pulses = tracked(events, said)
    found = metre.readings(pulses, said.tempo, said.metre)
    if found:
        rows = metre.table(found, pulses, notes, events)
        best = found[int(metre.shipped()(rows).argmax())]
    else:
        even = next((i for i, one in enumerate(pulses) if one.division == beats.EVEN), 0)
        best = metre.Reading(even, 1.0, said.metre or PLAIN_METRE, 0)
    pulse = pulses[best.pulse]
    n = len(pulse.seconds)
    quarters = (np.arange(n) - best.first_downbeat) * best.beat_quarters
    bar = 4 * best.metre[0] / best.metre[1]
    quarters = quarters + bar * np.ceil(max(0.0, -float(quarters[0])) / bar)
    speed = 60 * (n - 1) * best.beat_quarters / float(pulse.seconds[-1] - pulse.seconds[0])
    return Line(pulse.seconds, quarters, speed, best.metre)


def tracked(events: Events, said: Given) -> list[Pulse]:
    """The pulses, at the tempo that is given."""
    if said.tempo is None:
        return beats.track(events)
    quarter = 60 / said.tempo
    odd = said.metre is not None and (8 * said.metre[0] // said.metre[1]) % 2 == 1  # 5/8, 7/8: eighths are counted
    out = []
    for quarters in (0.5,) if odd else (1.0, 1.5):
        out += beats.track(events, quarter * quarters)
    return out


def is_steady(line: Line) -> bool:
    """Whether one tempo is all there is to say."""
    return _off_line(line) < beats.CONSTANT_SECONDS


def _off_line(line: Line) -> float:
    slope, start = np.polyfit(line.quarters, line.seconds, 1)
    return float(np.sqrt(np.mean((line.seconds - start - slope * line.quarters) ** 2)))


def straightened(line: Line) -> Line:
    """The line of a steady tempo nearest to it."""
    slope, start = np.polyfit(line.quarters, line.seconds, 1)
    return replace(line, seconds=start + slope * line.quarters, tempo=60 / float(slope))


def _from_the_beginning(line: Line) -> Line:
    """The line with quarter 0 at second 0; the first bar is as short as that makes it."""
    start = float(line.at(np.zeros(1))[0])
    return replace(line, quarters=line.quarters - start, first_bar_quarters=-start % line.bar_quarters)


def _seconds_a_quarter(line: Line, seconds: Floats) -> Floats:
    slope = np.diff(line.seconds) / np.diff(line.quarters)
    row = np.clip(np.searchsorted(line.seconds, seconds, side="right") - 1, 0, len(slope) - 1)
    return np.asarray(slope[row])


def _shifted(line: Line, onset: NDArray[np.int64]) -> Line:
    spare = _spare_bars(onset, line)
    return replace(line, quarters=line.quarters - spare * line.bar_quarters)


def _spare_bars(onset: NDArray[np.int64], line: Line) -> int:
    """Whole bars before the first note."""
    return int(onset.min() // round(line.bar_quarters * TICKS_PER_QUARTER))


def tempo_map(line: Line, said: Given) -> tuple[Tempo, ...]:
    """One tempo where it is steady, else one for each stretch of bars with its own."""
    if said.tempo is not None and said.grid != 0:
        return (Tempo(0, said.tempo),)
    if said.grid == 0:
        if is_steady(line):
            return (Tempo(0, line.tempo),)
        speed = 60 * np.diff(line.quarters) / np.diff(line.seconds)
        ticks = np.maximum(np.rint(line.quarters[:-1] * TICKS_PER_QUARTER), 0).astype(int)
        ticks[0] = 0
        return tuple(Tempo(int(at), float(value)) for at, value in zip(ticks, speed, strict=True))
    if is_steady(line):
        return (Tempo(0, _readable(line.tempo)),)
    edges = np.arange(max(0.0, np.floor(line.quarters[0])), line.quarters[-1], line.bar_quarters)
    edges = np.append(edges, line.quarters[-1]) if len(edges) < 2 or edges[-1] < line.quarters[-1] else edges
    seconds = extended_interp(edges, line.quarters, line.seconds)
    logs = np.log(60 * np.diff(edges) / np.maximum(np.diff(seconds), 1e-3))
    starts = _stretches(logs, np.diff(edges))
    out: list[Tempo] = []
    for first, stop in zip(starts, [*starts[1:], len(logs)], strict=True):
        value = 60 * (edges[stop] - edges[first]) / max(seconds[stop] - seconds[first], 1e-3)
        out.append(Tempo(round(edges[first] * TICKS_PER_QUARTER) if out else 0, _readable(float(value))))
    kept = [
        tempo for i, tempo in enumerate(out) if not i or tempo.quarters_per_minute != out[i - 1].quarters_per_minute
    ]
    return tuple(kept)


def _readable(tempo: float) -> float:
    return float(max(1, round(tempo))) if tempo >= 40 else max(round(tempo, 1), 1.0)


def _stretches(logs: Floats, weights: Floats) -> list[int]:
    """First bars of stretches of one tempo: least squares with a price for each stretch; O(n²) in bars, capped."""
    n = len(logs)
    price = 4 * TEMPO_CHANGE**2 * float(weights.mean())
    total, square, weight = (np.concatenate([[0.0], np.cumsum(x)]) for x in
                             (weights * logs, weights * logs**2, weights))  # fmt: skip
    best, came = np.zeros(n + 1), np.zeros(n + 1, int)
    for stop in range(1, n + 1):
        first = np.arange(max(0, stop - 400), stop)
        mass = weight[stop] - weight[first]
        error = square[stop] - square[first] - (total[stop] - total[first]) ** 2 / mass
        cost = best[first] + error + price
        came[stop] = first[int(cost.argmin())]
        best[stop] = cost.min()
    out, at = [], n
    while at > 0:
        at = int(came[at])
        out.append(at)
    return out[::-1]


# ── tracks ───────────────────────────────────────────────────────────────────────────────────────────────


def _found_key(notes: NDArray[np.void]) -> Key | None:
    found = keys.find(notes, keys.shipped())
    return None if found is None else Key(0, found[0], "minor" if found[1] else "major")


def _track(
    track: Track, notes: NDArray[np.void], line: Line, onset: NDArray[np.int64] | None, key: Key | None, said: Given
) -> Track:
    """One instrument's part on the page; ``notes``: its notes in seconds, ``onset``: their ticks where quantised."""
    if not len(notes):
        return _empty(track)
    rows = track.notes[notes["row"]].copy()
    old_length = np.maximum(rows["duration_ticks"], 1)
    played_end = line.at(notes["end_seconds"]) * TICKS_PER_QUARTER
    played_onset = line.at(notes["onset_seconds"]) * TICKS_PER_QUARTER
    free = onset is None
    begin = np.maximum(np.rint(played_onset), 0).astype(np.int64) if onset is None else onset
    pitch = rows["pitch"].astype(np.int64)
    rows["onset_ticks"] = begin
    least = _least(begin, said)
    if track.is_drums:
        rows["duration_ticks"] = np.maximum(np.rint(played_end - begin), 1) if free else least
        rows["voice"] = 0
    else:
        rows["voice"] = _voices(track, begin, played_end - played_onset, pitch)
        if free:
            rows["duration_ticks"] = np.maximum(np.rint(played_end) - begin, 1)
        else:
            voice = rows["voice"].astype(np.int64)
            length = quantise.together(begin, voice, played_end - played_onset)
            rows["duration_ticks"] = quantise.ends(begin, begin + length, _chain(begin, voice), least) - begin
        fifths = key.fifths if key is not None else 0
        rows["spelling"] = [spell(int(p), fifths) for p in pitch]
    bends = _bends(track, notes["row"], rows, old_length)
    if not free:
        kept = _undoubled(rows)
        bends = bends[kept[bends["note"]]]
        bends["note"] = (np.cumsum(kept) - 1)[bends["note"]]
        rows = rows[kept]
    controls = _controls(track, line, notes)
    out = replace(track, notes=rows, bends=bends, controls=controls, beats=track.beats[:0], marks=())
    return out if track.is_drums else _fretted(out)


def _least(onset: NDArray[np.int64], said: Given) -> NDArray[np.int64]:
    """The grid of each note's end: a sixteenth, a triplet eighth, or what was asked for."""
    plain = TICKS_PER_QUARTER // 4
    if said.grid:
        return np.full(len(onset), max(4 * TICKS_PER_QUARTER // said.grid, 1))
    triple = (onset % plain != 0) & (onset % (TICKS_PER_QUARTER // 3) == 0)
    fine = (onset % plain != 0) & ~triple
    return np.where(triple, TICKS_PER_QUARTER // 3, np.where(fine, plain // 2, plain))


def _voices(track: Track, onset: NDArray[np.int64], length: Floats, pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    if track.program not in CHORDAL:
        return np.zeros(len(onset), np.int64)
    if track.program not in KEYBOARDS or not voices.wide(pitch):
        return np.zeros(len(onset), np.int64)
    left = voices.hands(onset, pitch)
    voice = np.where(left, voices.SECOND_STAFF, 0)
    for hand in (False, True):
        own = left == hand
        voice[own] += voices.separated(onset[own], length[own], pitch[own])
    return voice


def _chain(onset: NDArray[np.int64], voice: NDArray[np.int64]) -> NDArray[np.int64]:
    """The next onset of each note's voice; −1 for the last."""
    out = np.full(len(onset), -1, np.int64)
    for number in np.unique(voice):
        own = np.flatnonzero(voice == number)
        times = np.unique(onset[own])
        place = np.searchsorted(times, onset[own], side="right")
        following = np.append(times, -1)
        out[own] = following[place]
    return out


def _undoubled(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """False for a note that another of its pitch at its place outlasts."""
    order = np.lexsort([-rows["duration_ticks"], rows["pitch"], rows["onset_ticks"]])
    again = np.zeros(len(rows), bool)
    ordered = rows[order]
    again[1:] = (np.diff(ordered["onset_ticks"]) == 0) & (np.diff(ordered["pitch"].astype(int)) == 0)
    out = np.ones(len(rows), bool)
    out[order] = ~again
    return out


def _bends(
    track: Track, source: NDArray[np.int64], rows: NDArray[np.void], old_length: NDArray[np.int64]
) -> NDArray[np.void]:
    """The pitch curves, stretched with their notes."""
    if not len(track.bends):
        return track.bends.copy()
    new_row = np.zeros(len(track), np.int64)
    new_row[source] = np.arange(len(source))
    out = track.bends.copy()
    out["note"] = new_row[track.bends["note"]]
    factor = rows["duration_ticks"][out["note"]] / old_length[out["note"]]
    out["offset_ticks"] = np.minimum(np.rint(out["offset_ticks"] * factor), rows["duration_ticks"][out["note"]])
    out = out[np.lexsort([out["offset_ticks"], out["note"]])]
    same = (np.diff(out["note"], prepend=-1) == 0) & (np.diff(out["offset_ticks"], prepend=-1) <= 0)
    return np.asarray(out[~same], BEND_DTYPE)


def _controls(track: Track, line: Line, notes: NDArray[np.void]) -> NDArray[np.void]:
    """Pedals and the like, at their places on the new time line."""
    if not len(track.controls):
        return track.controls
    out = track.controls.copy()
    old = track.notes["onset_ticks"][notes["row"]].astype(float)
    times, first = np.unique(old, return_index=True)
    seconds = notes["onset_seconds"][first]
    if len(times) < 2:
        return track.controls[:0]
    at = line.at(extended_interp(out["onset_ticks"].astype(float), times, seconds))
    out["onset_ticks"] = np.maximum(np.rint(at * TICKS_PER_QUARTER), 0)
    return out


def _fretted(track: Track) -> Track:
    """Strings and frets for guitars and basses, where hands can play nearly all of it."""
    tuning = implied_tuning(track)
    if not tuning or not len(track):
        return track
    wanted = replace(track, tuning=tuning)
    try:
        out = finger(wanted, unplayable="drop")
    except UnplayableError:
        return track
    return out if len(out) >= (1 - MAX_UNPLAYABLE) * len(track) else track


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────


def _finished(performance: Score, tracks: list[Track], line: Line, key: Key | None, said: Given) -> tuple[Score, int]:
    """The page, and by how many ticks its upbeat is short."""
    top, bottom = line.metre
    bar = round(line.bar_quarters * TICKS_PER_QUARTER)
    first = min(int(track.notes["onset_ticks"].min()) for track in tracks if len(track))
    tempos = tempo_map(line, said)
    # An upbeat: the first bar begins with its first note. More than most of a bar is a bar that begins with a rest.
    short = first % bar if said.grid != 0 else 0
    cut = short if short and bar - short <= NEARLY_WHOLE * bar else 0
    if cut:
        tracks = [_earlier(track, cut) for track in tracks]
        tempos = tuple(replace(tempo, onset_ticks=max(0, tempo.onset_ticks - cut)) for tempo in tempos)
    first_line = bar - cut if cut else round(line.first_bar_quarters * TICKS_PER_QUARTER)
    bars = (BarMark(first_line),) if 0 < first_line < bar else ()
    found = () if key is None else (replace(key, onset_ticks=0),)
    out = Score(
        tuple(tracks), TICKS_PER_QUARTER, tempos, (Metre(0, top, bottom),), found, bars,
        title=performance.title, composer=performance.composer,
    )  # fmt: skip
    end = out.length_ticks
    return replace(out, length_ticks=-(-(end + cut) // bar) * bar - cut if said.grid != 0 else end), cut


def _earlier(track: Track, ticks: int) -> Track:
    notes, controls = track.notes.copy(), track.controls.copy()
    notes["onset_ticks"] -= ticks
    controls["onset_ticks"] = np.maximum(controls["onset_ticks"] - ticks, 0)
    return replace(track, notes=notes, controls=controls)
