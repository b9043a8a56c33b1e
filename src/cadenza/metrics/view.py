"""What most metrics look at: the notes of a score as columns, and its bars as things that are equal or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score
from cadenza.score.time import BarTable, bar_table

#: Places in a quarter note at which onsets of different pieces are compared: 32nds and their triplets meet them.
GRID_PER_QUARTER = 24


@dataclass(frozen=True)
class Notes:
    """Notes of all tracks, by onset, then track, then pitch; every column of shape (n,).

    Args:
        onset, duration: quarter notes.
        pitch: MIDI number; of a drum, its key.
        track: index of the track.
        is_drums: whether it is a drum hit.
    """

    onset: NDArray[np.float64]
    duration: NDArray[np.float64]
    pitch: NDArray[np.int64]
    track: NDArray[np.int64]
    is_drums: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.onset)

    def where(self, mask: NDArray[np.bool_]) -> Notes:
        """Only the notes at which ``mask`` (shape (n,)) is true."""
        return Notes(self.onset[mask], self.duration[mask], self.pitch[mask], self.track[mask], self.is_drums[mask])

    @property
    def pitched(self) -> Notes:
        """Without drums."""
        return self if not self.is_drums.any() else self.where(~self.is_drums)

    @property
    def drums(self) -> Notes:
        """Drums only."""
        return self.where(self.is_drums)

    @property
    def end(self) -> NDArray[np.float64]:
        """Where each note ends, quarter notes."""
        return self.onset + self.duration

    def in_lines(self) -> Notes:
        """The same notes track by track (then by onset, then pitch): neighbours of one track are neighbours here."""
        order = np.lexsort([self.pitch, self.onset, self.track])
        columns = (self.onset, self.duration, self.pitch, self.track, self.is_drums)
        return Notes(*(column[order] for column in columns))  # type: ignore[arg-type]


def notes_of(score: Score) -> Notes:
    """The notes of a score."""
    sizes = [len(track) for track in score.tracks]

    def column(name: str) -> NDArray[np.int64]:
        parts = [track.notes[name] for track in score.tracks]
        return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)

    onset, duration, pitch = column("onset_ticks"), column("duration_ticks"), column("pitch")
    track = np.repeat(np.arange(len(sizes)), sizes)
    drums = np.repeat(np.array([t.is_drums for t in score.tracks], bool), sizes)
    order = np.lexsort([pitch, track, onset])
    quarter = score.ticks_per_quarter
    return Notes(onset[order] / quarter, duration[order] / quarter, pitch[order], track[order], drums[order])


def on_grid(quarters: NDArray[np.float64], per_quarter: int = GRID_PER_QUARTER) -> NDArray[np.int64]:
    """The nearest place on a grid of so many a quarter; halves upwards."""
    return np.floor(quarters * per_quarter + 0.5).astype(np.int64)


def sounding_bars(score: Score) -> BarTable:
    """The bars up to the end of the last note; at least one."""
    return bar_table(score, max((track.end_ticks for track in score.tracks), default=0))


def bar_keys(score: Score, bars: BarTable | None = None) -> list[bytes]:
    """One value for each bar, equal where the bars hold the same notes.

    Notes are counted to the bar in which they begin. Two notes are the same if track, place in the bar, length and
    pitch are; velocity, bends and playing techniques do not count. Bars without notes are equal if they are equally
    long.

    Args:
        bars: the bars (default: :func:`sounding_bars`); notes after the last one are left out.
    """
    bars = sounding_bars(score) if bars is None else bars
    rows = []
    for number, track in enumerate(score.tracks):
        notes = track.notes
        part = np.empty((len(notes), 5), np.int64)
        part[:, 0] = bars.index_of(notes["onset_ticks"])
        part[:, 1] = notes["onset_ticks"] - bars.starts_ticks[part[:, 0]]
        part[:, 2], part[:, 3], part[:, 4] = number, notes["pitch"], notes["duration_ticks"]
        rows.append(part)
    whole = np.concatenate([np.zeros((0, 5), np.int64), *rows])
    whole = whole[np.lexsort(whole.T[::-1])]
    edges = np.searchsorted(whole[:, 0], np.arange(len(bars) + 1))
    body = np.ascontiguousarray(whole[:, 1:])
    lengths = bars.ends_ticks - bars.starts_ticks
    return [lengths[i].tobytes() + body[edges[i] : edges[i + 1]].tobytes() for i in range(len(bars))]


def entropy_bits(counts: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """Shannon entropy of counts (or weights) in bits; 0 for none."""
    total = counts.sum()
    if total <= 0:
        return 0.0
    p = counts[counts > 0] / total
    return float(-(p * np.log2(p)).sum()) + 0.0  # + 0: no negative zero
