"""The pulse: beats through the onsets, by dynamic programming over periods that may drift.

A path is a row of beats; from one to the next is a period out of :data:`PERIODS_FRAMES`. Between two beats every onset
is as likely as the division of the beat says: a mixture of narrow normal distributions at the beat, its half and
quarters (``EVEN``) or at the beat, its thirds and sixths (``TRIPLE``), and something everywhere, for what is misheard;
accented onsets sit on the beat more often. A change of period costs by the size of the change; a prior on periods
settles the octave of the tempo for want of anything better. Both divisions are decoded; which of them is true, and
what the pulse is in note values, is decided with the metre (:mod:`cadenza.infer.notator.metre`).

After Whiteley, Cemgil & Godsill, "Bayesian modelling of temporal structure in musical audio", ISMIR 2006 (tempo and
phase in one state), and Ellis, "Beat tracking by dynamic programming", JNMR 2007; here on onsets in seconds. The beats
are then smoothed: places that let the quantised onsets lie nearest, at the price of bends of the tempo curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator.events import Events, Floats

FRAMES_PER_SECOND = 60
PERIODS_FRAMES = np.arange(17, 79)  # 0.28–1.3 s
SPREAD_SECONDS = 0.024  # of onsets around their place
ANYWHERE = 0.06  # share of onsets that lie anywhere
PRIORS = ((0.42, 0.5), (0.62, 1.0), (0.95, 0.5))  # (seconds, octaves): usual beats, and by how much they vary
GIVEN_OCTAVES = 0.05
DRIFT = 0.02  # mean absolute change of the logarithm of the period from beat to beat
EVEN, TRIPLE = 0, 1
#: places of a beat (in beats) and shares of onsets there; weak onsets, then accented ones.
_PLACES = (
    ((0.0, (0.42, 0.66)), (0.5, (0.30, 0.20)), (0.25, (0.11, 0.04)), (0.75, (0.11, 0.04))),
    ((0.0, (0.36, 0.66)), (1 / 3, (0.24, 0.11)), (2 / 3, (0.24, 0.13)),
     (1 / 6, (0.033, 0.01)), (0.5, (0.033, 0.01)), (5 / 6, (0.033, 0.01))),
)  # fmt: skip
SMOOTH_BEND = 6.0  # what a bend of the tempo curve costs against onsets that lie off
CONSTANT_SECONDS = 0.045  # beats that stay so near to a steady pulse are one (root mean square)


@dataclass(frozen=True)
class Pulse:
    """Beats.

    Args:
        seconds: shape (b,), rising; the first lies at or before the first onset, the last after the last one.
        division: :data:`EVEN` or :data:`TRIPLE`.
        score: mean log-likelihood ratio of an onset against onsets anywhere.
    """

    seconds: Floats
    division: int
    score: float

    def position(self, seconds: Floats) -> Floats:
        """Beats since the first one at ``seconds``; goes on evenly beyond both ends."""
        return extended_interp(seconds, self.seconds, np.arange(len(self.seconds), dtype=float))


def extended_interp(x: Floats, xs: Floats, ys: Floats) -> Floats:
    """Linear interpolation that goes on with the slope of the ends; two points at least."""
    row = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    slope = (ys[row + 1] - ys[row]) / np.maximum(xs[row + 1] - xs[row], 1e-9)
    return np.asarray(ys[row] + (x - xs[row]) * slope)


def track(events: Events, period_seconds: float | None = None) -> list[Pulse]:
    """Pulses with even and with triple division, quicker and slower ones; none twice.

    Args:
        period_seconds: the beat's length where it is known; the beats then keep near it.
    """
    periods = PERIODS_FRAMES
    if period_seconds is not None:
        wanted = period_seconds * FRAMES_PER_SECOND
        periods = np.unique(np.clip(np.rint(wanted * np.linspace(0.88, 1.12, 13)), 4, None)).astype(int)
    priors = PRIORS if period_seconds is None else ((period_seconds, GIVEN_OCTAVES),)
    out: list[Pulse] = []
    for division, seconds, score in _decoded(events, periods, priors):
        for _ in range(2):
            seconds = _smoothed(events, seconds, division)
        pulse = Pulse(seconds, division, score)
        if not any(_same(pulse, other) for other in out):
            out.append(pulse)
    return out


def _same(one: Pulse, other: Pulse) -> bool:
    """Whether two pulses of one division are the same beats."""
    if one.division != other.division or len(one.seconds) != len(other.seconds):
        return False
    return bool(np.abs(one.seconds - other.seconds).max() < 0.05)


def _kernel(period: int, division: int, accented: int) -> Floats:
    """Log-likelihood ratio of an onset at each frame of a beat of ``period`` frames; shape (period,)."""
    phase = np.arange(period) / period
    likely = np.full(period, ANYWHERE)
    spread = SPREAD_SECONDS * FRAMES_PER_SECOND / period
    for place, shares in _PLACES[division]:
        away = (phase - place + 0.5) % 1 - 0.5
        likely += (1 - ANYWHERE) * shares[accented] * np.exp(-0.5 * (away / spread) ** 2) / (spread * 2.5066)
    return np.log(likely)


def _decoded(
    events: Events, periods: NDArray[np.int64], priors: tuple[tuple[float, float], ...]
) -> list[tuple[int, Floats, float]]:
    """(division, beats in seconds, mean log-likelihood ratio) for each division and prior."""
    longest = int(periods.max())
    start = events.seconds[0]
    frames = np.rint((events.seconds - start) * FRAMES_PER_SECOND).astype(int) + longest
    n = int(frames[-1]) + longest + 2
    accent = events.strength > np.quantile(events.strength, 0.6)
    kinds = [(division, *prior) for division in (EVEN, TRIPLE) for prior in priors]
    heard = np.zeros((n, 2, len(periods)), np.float32)  # of a beat at a frame and the period after it
    for division in (EVEN, TRIPLE):
        for column, period in enumerate(periods.tolist()):
            for accented in (0, 1):
                own = np.bincount(frames[accent == bool(accented)], minlength=n).astype(float)
                # The gain of a beat at t is what the kernel says of the onsets from t on.
                heard[:, division, column] += np.correlate(
                    np.append(own, np.zeros(period - 1)), _kernel(period, division, accented), "valid"
                )
    which = [division for division, *_ in kinds]
    # The prior is paid by the second, so that neither long nor short pieces change what it means.
    centres, octaves = (np.array(column)[:, None] for column in list(zip(*kinds, strict=True))[1:])
    price = 0.5 * (np.log2(periods / FRAMES_PER_SECOND / centres) / octaves) ** 2 * periods / FRAMES_PER_SECOND
    # Changing period costs |log ratio| / DRIFT: the best way into each one is a running maximum from either side.
    logs = np.log(periods) / DRIFT
    first_end, last = int(frames[0]) + 1, int(frames[-1])
    columns = np.arange(len(periods))
    # The best way through the period that begins at a beat; a path may begin anywhere before the first onset. An hour
    # of music takes 0.4 GB.
    through = np.empty((n, len(kinds), len(periods)), np.float32)
    through[:first_end] = heard[:first_end, which] - price
    end = np.full((len(kinds), 2), -np.inf)  # best value at a beat after the last onset, and its frame
    block = int(periods.min())  # no beat within one follows another
    for first in range(first_end, n, block):
        at = np.arange(first, min(first + block, n))
        own = through[at[:, None] - periods, :, columns].swapaxes(1, 2).astype(np.float64)
        up = np.maximum.accumulate(own + logs, axis=2) - logs
        down = np.maximum.accumulate((own - logs)[..., ::-1], axis=2)[..., ::-1] + logs
        best = np.maximum(up, down)
        through[at] = best + heard[at][:, which] - price
        if at[-1] > last:
            late = best[at > last].max(axis=2)
            better = late.max(axis=0) > end[:, 0]
            end[better, 0] = late.max(axis=0)[better]
            end[better, 1] = at[at > last][late.argmax(axis=0)[better]]
    out = []
    for number, division in enumerate(which):
        t, score = int(end[number, 1]), 0.0
        column = int(through[t - periods, number, columns].argmax())
        beats = [t]
        while t >= first_end:
            own = through[t - periods, number, columns]
            column = int((own - np.abs(logs - logs[column])).argmax())
            t -= int(periods[column])
            score += float(heard[t, division, column])
            beats.append(t)
        out.append((division, (np.array(beats[::-1]) - longest) / FRAMES_PER_SECOND + start, score / len(events)))
    return out


def _smoothed(events: Events, beats: Floats, division: int) -> Floats:
    """Beats at which onsets lie nearest to their places, against bends of the tempo curve; shape as ``beats``."""
    n = len(beats)
    if n < 4:
        return beats
    position = extended_interp(events.seconds, beats, np.arange(n, dtype=float))
    steps = 4 if division == EVEN else 6
    place = np.rint(position * steps) / steps
    row = np.clip(np.floor(place).astype(int), 0, n - 2)
    part = place - row
    error = events.seconds - extended_interp(place, np.arange(n, dtype=float), beats)
    weight = 1 / (1 + (error / SPREAD_SECONDS) ** 2)  # what lies far off is no witness
    # Normal equations of Σ w (t − (1 − part) b[row] − part b[row + 1])² + bend Σ (second difference of b)²: five bands.
    bands = np.zeros((3, n))
    right = np.zeros(n)
    np.add.at(bands[0], row, weight * (1 - part) ** 2)
    np.add.at(bands[0], row + 1, weight * part**2)
    np.add.at(bands[1], row, weight * part * (1 - part))
    np.add.at(right, row, weight * (1 - part) * events.seconds)
    np.add.at(right, row + 1, weight * part * events.seconds)
    inner = np.arange(n - 2)
    for first, a in enumerate((1, -2, 1)):
        for second, b in enumerate((1, -2, 1)):
            if second >= first:
                np.add.at(bands[second - first], inner + first, SMOOTH_BEND * a * b)
    solved = _solve_bands(bands, right)
    return solved if (np.diff(solved) > 0.02).all() else beats


def _solve_bands(bands: Floats, right: Floats) -> Floats:
    """x of a symmetric positive system with two bands above its diagonal (``bands[k, i]`` = A[i, i + k])."""
    n = bands.shape[1]
    diagonal, one, two = (band.tolist() for band in bands)
    x = right.tolist()
    diagonal = [value + 1e-9 for value in diagonal]
    for i in range(n):
        for step, value in ((1, one[i]), (2, two[i])):
            if i + step >= n or value == 0:
                continue
            factor = value / diagonal[i]
            diagonal[i + step] -= factor * value
            if step == 1 and i + 2 < n:
                one[i + 1] -= factor * two[i]
            x[i + step] -= factor * x[i]
    for i in range(n - 1, -1, -1):
        if i + 1 < n:
            x[i] -= one[i] * x[i + 1]
        if i + 2 < n:
            x[i] -= two[i] * x[i + 2]
        x[i] /= diagonal[i]
    return np.array(x)
