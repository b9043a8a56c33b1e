"""What the pulse is: metre, note value of the beat, and where bars begin; by scoring every possible answer.

A :class:`Reading` says which pulse (even or triple) is meant, how many quarter notes a beat lasts, the metre and the
beat that begins a bar. Every reading is described by the same features: its tempo, how many notes fall on a quarter,
how much heavier its downbeats are than other beats (chords, bass, length, loudness, changes of harmony), how alike
bars are, where the music begins and ends. Two scorers choose among them: weights set by hand (:func:`by_rules`) and a
small network trained on works played with errors (:class:`Scorer`, ``benchmarks/notator_train.py``), which is the
default because it is right more often (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator import bars, profile
from cadenza.infer.notator.beats import EVEN, TRIPLE, Pulse
from cadenza.infer.notator.events import Events, Floats, bass_share
from cadenza.infer.notator.weights import tensor

#: (division, quarters a beat) → metres that such a beat is looked for in.
_METRES: dict[tuple[int, float], tuple[tuple[int, int], ...]] = {
    (EVEN, 1.0): ((2, 4), (3, 4), (4, 4), (2, 2), (3, 2)),
    (EVEN, 2.0): ((2, 2), (4, 4), (3, 2)),
    (EVEN, 0.5): ((2, 4), (3, 4), (4, 4), (3, 8), (6, 8), (9, 8), (12, 8)),
    (TRIPLE, 1.5): ((6, 8), (9, 8), (12, 8), (3, 8)),
    (TRIPLE, 3.0): ((3, 4), (6, 4), (6, 8)),
    (TRIPLE, 1.0): ((2, 4), (3, 4), (4, 4)),
}
METRES = ((2, 4), (3, 4), (4, 4), (2, 2), (3, 2), (3, 8), (6, 8), (9, 8), (12, 8), (6, 4))
SLOWEST, FASTEST = 25.0, 280.0  # quarter notes a minute that a reading may say
FLAGS_FROM = 20  # the feature with which the metres begin
NEAR_TEMPO = 0.08  # a tempo that is given is met within this


@dataclass(frozen=True)
class Reading:
    """One answer.

    Args:
        pulse: which of the pulses.
        beat_quarters: quarter notes a beat of it lasts.
        first_downbeat: number (0 …) of the first beat that begins a bar.
    """

    pulse: int
    beat_quarters: float
    metre: tuple[int, int]
    first_downbeat: int

    @property
    def beats_a_bar(self) -> int:
        return round(4 * self.metre[0] / self.metre[1] / self.beat_quarters)


def readings(
    pulses: Sequence[Pulse], tempo: float | None = None, metre: tuple[int, int] | None = None
) -> list[Reading]:
    """All readings, those alone that meet what is given."""
    out = []
    for number, pulse in enumerate(pulses):
        beats_a_minute = 60 * (len(pulse.seconds) - 1) / (pulse.seconds[-1] - pulse.seconds[0])
        for (division, quarters), metres in _METRES.items():
            speed = beats_a_minute * quarters
            if division != pulse.division or not (tempo or SLOWEST <= speed <= FASTEST):
                continue
            if tempo and abs(speed / tempo - 1) > NEAR_TEMPO:
                continue
            for one in metres if metre is None else (metre,):
                n = 4 * one[0] / one[1] / quarters
                if n >= 1 and n == int(n):
                    out += [Reading(number, quarters, one, phase) for phase in range(int(n))]
    return out


@dataclass(frozen=True)
class Beats:
    """What each beat of a pulse is like; columns of ``accents`` are z-scores over the piece."""

    accents: Floats  # (b, 8)
    chroma: Floats  # (b, 12)
    rhythm: Floats  # (b, 12): onsets by twelfth of the beat
    place: Floats  # (e,): the events in beats, on a grid of twelfths
    spans: bars.Spans
    moments: profile.Moments


def described(pulse: Pulse, notes: NDArray[np.void], events: Events, bass: Floats) -> Beats:
    """The beats of a pulse as features; ``bass``: :func:`~cadenza.infer.notator.events.bass_share` of the notes."""
    n = len(pulse.seconds)
    position = pulse.position(events.seconds)
    steps = 4 if pulse.division == EVEN else 6
    place = np.rint(position * steps) / steps
    on_beat = np.abs(place - np.rint(place)) < 1e-6
    beat = np.clip(np.rint(place).astype(int), 0, n - 1)
    accents = np.zeros((n, 8))
    gap = np.diff(np.append(position, position[-1] + 2))
    rows = np.flatnonzero(on_beat)
    np.maximum.at(accents[:, 0], beat[rows], events.strength[rows])
    np.add.at(accents[:, 1], beat[rows], np.log1p(events.n_notes[rows]))
    np.maximum.at(accents[:, 4], beat[rows], np.minimum(gap[rows], 4.0))
    note_place = place[events.of_note]
    note_beat = np.clip(np.rint(note_place).astype(int), 0, n - 1)
    note_on = np.abs(note_place - np.rint(note_place)) < 1e-6
    length = pulse.position(notes["end_seconds"]) - pulse.position(notes["onset_seconds"])
    np.maximum.at(accents[:, 2], note_beat[note_on], bass[note_on])
    np.maximum.at(accents[:, 3], note_beat[note_on], np.minimum(length[note_on], 6.0))
    np.maximum.at(accents[:, 5], note_beat[note_on], notes["velocity"][note_on].astype(float))
    chroma, low = _sounding(notes, note_place, note_place + np.minimum(length, 16), n)
    accents[1:, 6] = 1 - _cosines(chroma[1:], chroma[:-1])
    wide = chroma.copy()
    wide[:-1] += chroma[1:]
    accents[2:, 7] = 1 - _cosines(wide[2:], wide[:-2])
    accents[1:, 6] += 0.5 * (low[1:] != low[:-1])
    spread = accents.std(axis=0)
    accents = (accents - accents.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    rhythm = np.zeros((n, 12))
    floor = np.clip(np.floor(place + 1e-6).astype(int), 0, n - 1)
    np.add.at(rhythm, (floor, np.clip(np.rint(12 * (place - floor)).astype(int), 0, 11)), events.strength)
    note_beats = np.stack([note_place, note_place + length], axis=1)
    return Beats(
        accents, chroma, rhythm, place, bars.spans(note_beats, place, accents, chroma, rhythm),
        profile.moments(notes, events, place, length, bass),
    )  # fmt: skip


def _sounding(notes: NDArray[np.void], begin: Floats, end: Floats, n: int) -> tuple[Floats, Floats]:
    """How long each pitch class sounds in each of ``n`` beats, shape (n, 12), and the lowest pitch there or 128."""
    first = np.maximum(np.floor(begin + 1e-6).astype(int), 0)
    count = np.where(notes["is_drums"], 0, np.maximum(np.minimum(np.floor(end).astype(int) + 1, n) - first, 0))
    which = np.repeat(np.arange(len(notes)), count)
    beat = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    held = np.minimum(end[which], beat + 1) - np.maximum(begin[which], beat)
    chroma, low = np.zeros((n, 12)), np.full(n, 128.0)
    np.add.at(chroma, (beat, notes["pitch"][which] % 12), np.maximum(held, 0.1))
    np.minimum.at(low, beat, notes["pitch"][which])
    return chroma, low


def _cosines(a: Floats, b: Floats) -> Floats:
    norm = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.where(norm > 1e-9, norm, 1.0))


def features(
    reading: Reading,
    pulses: Sequence[Pulse],
    beats: Sequence[Beats],
    events: Events,
    lags: Sequence[Floats],
    texture: bars.Texture,
) -> Floats:
    """Shape (f,); the names are in the order of the code."""
    pulse, mine = pulses[reading.pulse], beats[reading.pulse]
    n, phase, quarters = reading.beats_a_bar, reading.first_downbeat, reading.beat_quarters
    span = pulse.seconds[-1] - pulse.seconds[0]
    speed = 60 * (len(pulse.seconds) - 1) * quarters / span
    x = np.log2(speed / 95)
    a_quarter = np.log2(len(events) / (len(pulse.seconds) - 1) / quarters / 1.6)
    bar_seconds = np.log2(span / (len(pulse.seconds) - 1) * n / 2.2)
    from_bar = ((mine.place - phase) * quarters) % (n * quarters)  # quarters after the bar line
    on = [float((from_bar % step <= 1e-3).mean()) for step in (1.0, 0.5, 0.25)]
    on_downbeat = (from_bar <= 1e-3) | (np.abs(from_bar - n * quarters) <= 1e-3)
    accents = mine.accents
    rows = (np.arange(len(accents)) - phase) % n
    down = accents[rows == 0].mean(axis=0) if (rows == 0).any() else np.zeros(8)
    middle = np.zeros(8)
    if n % 2 == 0 and n > 2 and (rows == n // 2).any():
        middle = accents[rows == n // 2].mean(axis=0)
    elif n % 3 == 0 and n > 3 and (thirds := (rows % (n // 3) == 0) & (rows > 0)).any():
        middle = accents[thirds].mean(axis=0)
    one_hot = [float(reading.metre == metre) for metre in METRES]
    like = [lags[reading.pulse][min(lag, len(lags[reading.pulse]) - 1)] if lag else 0.0 for lag in
            (n, n // 2 if n % 2 == 0 else 0, n // 3 if n % 3 == 0 else 0, 2 * n)]  # fmt: skip
    first, last = from_bar[0] / (n * quarters), from_bar[-1] / (n * quarters)
    other = max((one.score for one in pulses if one.division != pulse.division), default=pulse.score)
    same = max(one.score for one in pulses if one.division == pulse.division)
    value = [float(quarters == one) for one in (0.5, 1.0, 1.5, 2.0, 3.0)]
    triple = float(pulse.division == TRIPLE)
    plain = np.array([
        x, x * x, a_quarter, a_quarter**2, x * a_quarter, bar_seconds, bar_seconds**2, *on,
        float(on_downbeat.mean()), pulse.score - other, triple, triple * (pulse.score - other), *value,
        pulse.score - same,
        *one_hot, *(x * flag for flag in one_hot), *(a_quarter * flag for flag in one_hot),
        *down, *middle, *(down * (n > 1)), *like, first, float(first < 1e-3), float(0 < 1 - first < 0.3),
        last, float(last < 1e-3), np.log2(n), float(n == 1),
    ])  # fmt: skip
    return np.concatenate([
        plain, bars.features(mine.spans, texture, n, phase, quarters, x, one_hot),
        profile.features(mine.moments, n, phase),
    ])  # fmt: skip


def lags_of(beats: Beats, n_lags: int = 25) -> Floats:
    """How alike beats so far apart are (rhythm, harmony, accents), less the mean of it; shape (n_lags,)."""
    out = np.zeros(n_lags)
    rows = np.concatenate([beats.rhythm, 0.7 * beats.chroma, 0.3 * np.clip(beats.accents, -2, 2)], axis=1)
    for lag in range(1, min(n_lags, len(rows))):
        out[lag] = _cosines(rows[lag:], rows[:-lag]).mean()
    out[1:] -= out[1:].mean()
    return out


def table(found: Sequence[Reading], pulses: Sequence[Pulse], notes: NDArray[np.void], events: Events) -> Floats:
    """The features of each reading; shape (r, f)."""
    bass = bass_share(notes)
    beats = [described(pulse, notes, events, bass) for pulse in pulses]
    lags = [lags_of(one) for one in beats]
    texture = bars.texture_of(notes, events)
    return np.stack([features(reading, pulses, beats, events, lags, texture) for reading in found])


def by_rules(rows: Floats) -> Floats:
    """Scores of readings by weights that nobody trained: a usual tempo, two events a quarter, heavy downbeats."""
    n_flags = len(METRES)
    usual = np.array([0.2, 0.1, 0.4, -0.4, -0.9, -0.6, 0.0, -0.7, -0.8, -0.9])  # of METRES
    accents = FLAGS_FROM + 3 * n_flags
    down, middle = rows[:, accents : accents + 8], rows[:, accents + 8 : accents + 16]
    like = rows[:, accents + 24]
    flags = rows[:, FLAGS_FROM : FLAGS_FROM + n_flags]
    begins, ends = rows[:, accents + 29], rows[:, accents + 32]
    return np.asarray(
        -1.2 * rows[:, 1] - 0.25 * rows[:, 3] - 0.3 * rows[:, 6] + 3.0 * rows[:, 11] + flags @ usual
        + 0.6 * down.sum(axis=1) / 8**0.5 + 0.2 * middle.sum(axis=1) / 8**0.5 + 3.0 * like + 0.4 * begins + 0.6 * ends
    )  # fmt: skip


@dataclass(frozen=True)
class Scorer:
    """A network of one hidden layer over the features of a reading."""

    mean: Floats
    spread: Floats
    weights: tuple[Floats, ...]  # (f, h), (h,), (h,)

    def __call__(self, rows: Floats) -> Floats:
        hidden_in, bias, out = self.weights
        x = np.clip((rows - self.mean) / self.spread, -5, 5)
        return np.asarray(np.maximum(x @ hidden_in + bias, 0) @ out)


def shipped() -> Scorer:
    """The scorer that comes with the package.

    Raises:
        ModelError: its file is missing or of another shape.
    """
    return Scorer(tensor("mean"), tensor("spread"), (tensor("w1"), tensor("b1"), tensor("w2")))
