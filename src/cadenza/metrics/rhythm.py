"""When notes begin and how long they last: features of one piece.

**Whose definitions.** ``empty_beat_rate``, ``empty_bar_rate``, ``groove_consistency`` and ``drum_pattern_consistency``
are MusPy's (Dong, Chen, McAuley & Berg-Kirkpatrick, ISMIR 2020; groove after Wu & Yang 2020). A beat is a quarter note.

**How ours differs from MusPy 0.5.0.**

- ``groove_consistency`` counts one bar too many there where the music ends on a bar line, and compares the last bar
  with that empty one: two equal bars with onsets at a quarter of their steps score 0.875. Here two equal bars score 1.
  It knows one metre there; here neighbours of different length are not compared. Its value depends on the time steps
  of a bar (at 480 a quarter everything is near 1); here onsets are always taken at 24 places a quarter, MusPy's own
  default resolution. Of a piece of one metre at that resolution that ends within a bar, both say the same.
- ``empty_beat_rate`` and ``empty_bar_rate`` fill there the beat that begins where a note ends, too, and count one beat
  more where the music ends on a beat, never empty for the same reason. Here a note fills the beats in which it sounds:
  ours is at least as high.
- ``drum_pattern_consistency`` is the same: the larger of the shares of drum hits on a grid of four and of three a beat.
  There a grid that the resolution cannot hold shrinks to the beat itself; here 24 places hold both. MusPy compares
  exact steps, so at 480 a quarter a hit one tick late misses; here hits are taken at the nearest of 24 places.

**Ours.** ``note_density`` is onsets a quarter note; ``interval_entropy`` the entropy of the times between successive
onsets of a track (an even rhythm has 0), ``duration_entropy`` that of note lengths, both at 24 places a quarter;
``off_grid_rate`` the share of onsets that miss every 24th of a quarter by more than a 96th (as written music does in
quintuplets only, and a player all the time). The best value is that of human music of the same kind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.view import GRID_PER_QUARTER, Notes, entropy_bits, notes_of, on_grid, sounding_bars
from cadenza.score.model import Score
from cadenza.score.time import BarTable

OFF_GRID_QUARTERS = 1 / 96


def compute(*, est: Score) -> dict[str, float]:
    """The columns of one piece; see the module's prose."""
    notes = notes_of(est)
    if not len(notes):
        return {}
    bars = sounding_bars(est)
    end = float(notes.end.max())
    beats = np.arange(int(np.ceil(end)) + 1, dtype=float)
    gaps = line_gaps(notes)
    off = np.abs(notes.onset * GRID_PER_QUARTER - np.rint(notes.onset * GRID_PER_QUARTER)) / GRID_PER_QUARTER
    edges = np.append(bars.starts_ticks, bars.ends_ticks[-1]) / est.ticks_per_quarter
    return defined(
        {
            "empty_beat_rate": empty_rate(notes, beats) if end > 0 else None,
            "empty_bar_rate": empty_rate(notes, edges) if end > 0 else None,
            "groove_consistency": groove_consistency(est, bars),
            "drum_pattern_consistency": _drum_pattern(notes.drums),
            "note_density": len(notes) / end if end > 0 else None,
            "interval_entropy": entropy_bits(_counts(on_grid(gaps))) if len(gaps) else None,
            "duration_entropy": entropy_bits(_counts(on_grid(notes.pitched.duration))) if len(notes.pitched) else None,
            "off_grid_rate": float((off > OFF_GRID_QUARTERS).mean()),
        }
    )


def _counts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(values, return_counts=True)[1]


def empty_rate(notes: Notes, edges: NDArray[np.float64]) -> float:
    """Share of the stretches between ``edges`` (quarters, rising) in which nothing sounds; a hit fills its own."""
    first = np.searchsorted(edges, notes.onset, side="right") - 1
    stop = np.maximum(np.searchsorted(edges, notes.end, side="left"), first + 1)
    n = len(edges) - 1
    change = np.bincount(first.clip(max=n), minlength=n + 1) - np.bincount(stop.clip(max=n), minlength=n + 1)
    return float((np.cumsum(change)[:n] <= 0).mean())


def onset_patterns(score: Score, bars: BarTable) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether something begins at each place of each bar, and each bar's number of places.

    Returns:
        Shape (n_bars, most places), and shape (n_bars,).
    """
    quarter = score.ticks_per_quarter
    n_places = np.maximum(on_grid((bars.ends_ticks - bars.starts_ticks) / quarter), 1)
    pattern = np.zeros((len(bars), int(n_places.max())), bool)
    for track in score.tracks:
        onset = track.notes["onset_ticks"]
        bar = bars.index_of(onset)
        place = on_grid((onset - bars.starts_ticks[bar]) / quarter)
        # What rounds onto the next bar line belongs to the next bar, if there is one.
        late = place >= n_places[bar]
        bar, place = bar + late, np.where(late, 0, place)
        inside = bar < len(bars)
        pattern[bar[inside], place[inside]] = True
    return pattern, n_places


def groove_consistency(score: Score, bars: BarTable | None = None) -> float | None:
    """1 − the mean share of places at which a bar's onsets differ from the next bar's; None without such a pair.

    Wu & Yang 2020, MusPy. Neighbours of different length are not compared.
    """
    bars = sounding_bars(score) if bars is None else bars
    pattern, n_places = onset_patterns(score, bars)
    same = n_places[1:] == n_places[:-1]
    if not same.any():
        return None
    differ = (pattern[1:] != pattern[:-1]).sum(1)[same]
    return float(1 - (differ / n_places[1:][same]).mean())


def _drum_pattern(drums: Notes) -> float | None:
    if not len(drums):
        return None
    place = on_grid(drums.onset) % GRID_PER_QUARTER
    return float(max((place % (GRID_PER_QUARTER // n) == 0).mean() for n in (4, 3)))


def line_gaps(notes: Notes) -> NDArray[np.float64]:
    """Quarters between successive onsets of each track; all tracks, shape (k,)."""
    lines = notes.in_lines()
    gap = np.diff(lines.onset)
    return gap[(np.diff(lines.track) == 0) & (gap > 0)]


_NO_END = float("inf")
METRIC = Metric(
    name="rhythm",
    summary="Empty beats, groove, drum patterns, and how varied times and lengths are.",
    source="Dong, Chen, McAuley & Berg-Kirkpatrick, MusPy, ISMIR 2020; Wu & Yang 2020; the last four are ours",
    needs="est",
    compute=compute,
    columns=(
        Column("empty_beat_rate", 0, 1, "reference", "share", "Beats in which nothing sounds."),
        Column("empty_bar_rate", 0, 1, "reference", "share", "Bars in which nothing sounds."),
        Column("groove_consistency", 0, 1, "reference", "share", "Likeness of the onsets of neighbouring bars."),
        Column("drum_pattern_consistency", 0, 1, "reference", "share", "Drum hits on a grid of four or three a beat."),
        Column("note_density", 0, _NO_END, "reference", "notes a quarter", "Notes for each quarter note of time."),
        Column("interval_entropy", 0, _NO_END, "reference", "bits", "Entropy of times between onsets of a track."),
        Column("duration_entropy", 0, _NO_END, "reference", "bits", "Entropy of the lengths of pitched notes."),
        Column("off_grid_rate", 0, 1, "reference", "share", "Onsets that miss every 24th of a quarter."),
    ),
)
