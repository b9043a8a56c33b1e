"""Notes as people play them: one tempo curve for all, late and early, long and short, loud and soft, with a pedal.

What the ear is trained on (:mod:`cadenza.corpus.synthesis`) and what a notator is trained on
(:mod:`cadenza.corpus.hearing`) are played alike. Columns are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LOWEST_PITCH, HIGHEST_PITCH = 21, 108

#: What the ear tells apart; a program is one of them.
FAMILIES = ("piano", "mallet", "organ", "plucked", "bass", "bowed", "voice", "wind")


def family_of_program(program: int) -> int:
    """The number in :data:`FAMILIES` of a General MIDI program."""
    if program in (46, 45) or 104 <= program <= 107:
        return 3
    if program in (52, 53, 54, 85):
        return 6
    if program == 47 or program in (108, 114):
        return 1
    if program in (48, 49, 50, 51, 110):
        return 5
    for first, family in ((56, 7), (40, 5), (32, 4), (24, 3), (16, 2), (8, 1), (0, 0)):
        if program >= first:
            return family
    raise ValueError(program)


@dataclass
class Part:
    """Notes to play on one instrument: columns onset, end, pitch, velocity; curves by row."""

    onset: NDArray[np.float64]
    end: NDArray[np.float64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]
    program: int
    curves: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    gain: int = 100  # controller 7
    is_drums: bool = False

    def keep(self, mask: NDArray[np.bool_]) -> Part:
        rows = np.flatnonzero(mask)
        where = {int(old): new for new, old in enumerate(rows)}
        curves = {where[row]: curve for row, curve in self.curves.items() if row in where}
        return Part(
            self.onset[rows], self.end[rows], self.pitch[rows], self.velocity[rows], self.program, curves, self.gain,
            self.is_drums,
        )  # fmt: skip


def rubato(rng: np.random.Generator, parts: list[Part], seconds: float) -> None:
    """The same tempo curve for all parts: a random walk of a few per cent a second."""
    knots = np.arange(0, 3 * seconds)
    log_tempo = np.cumsum(rng.normal(0, 0.05, len(knots)))
    log_tempo = np.clip(log_tempo - log_tempo.mean(), -0.25, 0.25)
    at = np.concatenate([[0], np.cumsum(np.exp(log_tempo))])[: len(knots)]
    for part in parts:
        part.onset, part.end = np.interp(part.onset, knots, at), np.interp(part.end, knots, at)


def humanised(rng: np.random.Generator, part: Part, mode: str, jitter: float, legato: float, seconds: float) -> Part:
    """Timing, lengths and loudness as nobody writes them; what begins beyond ``seconds`` or the ear is left out."""
    n = len(part.onset)
    onset = part.onset + 0.05 + rng.normal(0, jitter, n)
    if part.is_drums:
        inside = (onset > 0.03) & (onset < seconds - 0.15)
        return Part(onset, onset + 0.1, part.pitch, part.velocity, 0, is_drums=True).keep(inside)
    base, sway, period = rng.uniform(40, 98), rng.uniform(0, 6), rng.uniform(3, 9)
    velocity = base + 10 * np.sin(onset / period * 2 * np.pi + sway) + rng.normal(0, rng.uniform(4, 14), n)
    struck = np.clip(velocity + 0.12 * (part.pitch - 60), 12, 125).astype(np.int64)
    length = (part.end - part.onset) * legato * rng.uniform(0.9, 1.05, n)
    if family_of_program(part.program) == 3 and rng.random() < 0.5:
        length = np.maximum(length, rng.uniform(0.2, 1.5))  # strings that are left to ring
    end = np.minimum(onset + np.maximum(length, 0.05), seconds)
    low, high = LOWEST_PITCH, HIGHEST_PITCH
    inside = (onset > 0.03) & (onset < seconds - 0.15) & (part.pitch >= low) & (part.pitch <= high)
    gain = 100 if mode in ("piano", "plucked", "random", "solo") else int(rng.integers(64, 122))
    return Part(onset, end, part.pitch, struck, part.program, part.curves, gain).keep(inside)


def pedal(rng: np.random.Generator, parts: Sequence[Part], seconds: float) -> None:
    """Notes that end while a pedal is down last until it rises."""
    t, down, up = 0.0, [], []
    while t < seconds:
        held = rng.uniform(0.5, 2.6)
        down.append(t)
        up.append(t + held)
        t += held + (rng.uniform(0.05, 0.3) if rng.random() < 0.7 else rng.uniform(0.3, 1.5))
    starts, stops = np.array(down), np.minimum(np.array(up), seconds)
    for part in parts:
        if part.is_drums or part.program >= 8 or not len(part.end):
            continue
        span = np.searchsorted(starts, part.end, side="right") - 1
        held_rows = (span >= 0) & (part.end <= stops[span])
        part.end = np.where(held_rows, np.maximum(part.end, stops[span]), part.end)


def one_sounding_note_a_pitch(parts: list[Part]) -> list[Part]:
    """A key struck again ends what it sounded; struck twice at once it is one note. Over all ``parts`` together."""
    pitched = [part for part in parts if not part.is_drums]
    if not pitched:
        return parts
    onset = np.concatenate([part.onset for part in pitched])
    end = np.concatenate([part.end for part in pitched])
    pitch = np.concatenate([part.pitch for part in pitched])
    keep = np.ones(len(onset), bool)
    last: dict[int, int] = {}
    for row in np.argsort(onset, kind="stable"):
        before = last.get(int(pitch[row]))
        if before is not None:
            if onset[row] - onset[before] < 0.045:
                keep[row] = False
                continue
            end[before] = min(end[before], onset[row] - 0.004)
        last[int(pitch[row])] = int(row)
    out, at = [], 0
    for part in parts:
        if part.is_drums:
            out.append(part)
            continue
        n = len(part.onset)
        part.end = end[at : at + n]
        out.append(part.keep(keep[at : at + n]))
        at += n
    return out
