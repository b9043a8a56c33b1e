"""Onsets and ends on a grid, beat by beat.

Each quarter takes the one division that costs least: how far its onsets lie from it, in units of what people and ears
are off by, plus what the division costs to read. Neighbouring quarters that differ in kind cost a little, too. Chords
move as one. Then notes end where a musician would write it: at the next note of the voice if what is missing is little,
else at a place of the quarter's grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.notator.events import Floats

TICKS_PER_QUARTER = 480
OFF_SECONDS = 0.028  # how far an onset lies from its place, usually
#: places a quarter → what choosing it costs (in the unit of squared errors, halved).
DIVISIONS = {1: 0.0, 2: 0.9, 3: 2.6, 4: 2.2, 6: 6.0, 8: 6.5}
CHANGE = 0.7  # from duple to triple or back
VALUES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # lengths in units of the end's grid
SHORTENED = 1.12  # notes are held shorter than they are written
LEGATO = 0.45  # a note that sounds for so much of the way to the next is written up to it


def divisions_of(quantize: int | None) -> tuple[int, ...]:
    """The divisions of a quarter that a grid of ``quantize`` places a whole note allows; all where None."""
    if quantize is None:
        return tuple(DIVISIONS)
    places = quantize // 4
    return tuple(n for n in range(1, places + 1) if places % n == 0) if places else (1,)


def snapped(quarters: Floats, seconds_a_quarter: Floats, divisions: Sequence[int]) -> NDArray[np.int64]:
    """Ticks (480 a quarter) of events at ``quarters`` (rising, ≥ 0); shape as given.

    Args:
        seconds_a_quarter: at each event.
    """
    if not len(quarters):
        return np.zeros(0, np.int64)
    # An event shortly before a quarter belongs to it: cells reach from a twelfth before to a twelfth before the next.
    cell = np.floor(quarters + 1 / 12).astype(int)
    cells, first = np.unique(cell, return_index=True)
    bounds = np.append(first, len(quarters))
    costs = np.zeros((len(cells), len(divisions)))
    places = []
    for row, number in enumerate(cells.tolist()):
        inside = slice(bounds[row], bounds[row + 1])
        within = quarters[inside] - number
        own = []
        for column, division in enumerate(divisions):
            place = np.rint(within * division) / division
            off = (within - place) * seconds_a_quarter[inside] / OFF_SECONDS
            doubled = np.count_nonzero(
                np.diff(place) == 0
            )  # two onsets that become one say that the grid is too coarse
            costs[row, column] = 0.5 * np.minimum(off**2, 9.0).sum() + 1.5 * doubled + _cost(division)
            own.append(place + number)
        places.append(own)
    triple = np.array([division % 3 == 0 for division in divisions])
    apart = CHANGE * (triple[:, None] != triple[None, :])
    total, came = costs[0], []
    for row in range(1, len(cells)):
        step = apart if cells[row] - cells[row - 1] <= 1 else np.zeros_like(apart)
        arrived = total[:, None] + step
        came.append(arrived.argmin(axis=0))
        total = arrived.min(axis=0) + costs[row]
    column = int(total.argmin())
    out = np.zeros(len(quarters))
    for row in range(len(cells) - 1, -1, -1):
        out[bounds[row] : bounds[row + 1]] = places[row][column]
        if row:
            column = int(came[row - 1][column])
    return np.maximum(np.rint(np.maximum.accumulate(out) * TICKS_PER_QUARTER), 0).astype(np.int64)


def _cost(division: int) -> float:
    return DIVISIONS.get(division, 8.0)


def together(onset: NDArray[np.int64], voice: NDArray[np.int64], length: Floats) -> Floats:
    """How long each note sounds if those of a chord (one voice, one onset) end together: the median; shapes (n,).

    One note that is let go early, or heard for too short a time, would tie all the others of its chord.
    """
    _, chord, counts = np.unique(onset * (voice.max(initial=0) + 1) + voice, return_inverse=True, return_counts=True)
    ordered = length[np.lexsort([length, chord])]
    first = np.cumsum(counts) - counts
    medians = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) / 2
    return np.asarray(medians[chord])


def ends(
    onset: NDArray[np.int64], played_end: Floats, chain: NDArray[np.int64], least: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Ticks at which notes end.

    Args:
        onset: their quantised onsets in ticks.
        played_end: their ends as played, in ticks.
        chain: the next onset of the note's voice in ticks; −1 for the last.
        least: ticks that each note lasts at least, and the grid of its end.
    """
    sounding = np.maximum(played_end - onset, 1)
    way = np.where(chain > onset, chain - onset, np.iinfo(np.int32).max)
    legato = sounding >= LEGATO * way
    values = np.array(VALUES)[None, :] * least[:, None]
    written = np.clip(sounding * SHORTENED, values[:, 0], values[:, -1])
    row = np.arange(len(onset))
    nearest = values[row, np.abs(np.log(written[:, None] / values)).argmin(axis=1)]
    length = np.where(legato, way, np.minimum(nearest, way))
    return onset + np.maximum(length, 1)
