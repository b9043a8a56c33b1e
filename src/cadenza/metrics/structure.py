"""Structure over bars: how pitch content, groove and chords go on, and whether passages come back.

**Whose definitions.** Wu & Yang, "The Jazz Transformer on the Front Line", ISMIR 2020 (their code: MusDr).

- ``pitch_class_entropy_1``, ``_4`` (H1, H4): entropy of the pitch classes of notes in each bar (each four bars, one
  further at a time), averaged over those with notes.
- ``groove_similarity`` (GS): 1 − the share of places at which the onset patterns of two bars differ, averaged over all
  pairs of bars (``groove_consistency`` in :mod:`cadenza.metrics.rhythm` is that of neighbours).
- ``unique_chord_trigrams`` (CPI): different chord trigrams / all chord trigrams.
- ``structure_short``, ``_mid``, ``_long`` (SI): the largest fitness (Müller, Jiang & Grosche 2013) of a segment of up
  to 1 bar, of 2–4 bars, of 8–16 bars, in a self-similarity matrix.

**How ours differs.**

- MusDr's bar has 16 (or 64) places; ours 24 a quarter, and pairs of bars of different length are not compared. More
  places, of which most are empty in both, raise GS.
- MusDr reads chords from its model's own chord tokens. Ours are found in the notes: for each half of a bar the major or
  minor triad whose three classes hold most of the sounding time (silence continues the chord before; of equals the one
  before, then the lowest). Chords held over successive halves count once. Chord finding errs, alike for all systems.
- MusDr renders audio and takes its chroma at 2 Hz, lengths in seconds. Ours needs no audio: a frame is half a bar, and
  two frames are as like as the cosine of their notes as pitch × place (all pitched tracks, 12 places a frame), which a
  transposition changes. Likeness below 0.5 counts as −1, above it is stretched to 0–1 (MusDr: the best fifth of each
  matrix is kept, the rest −2), so an unlike piece stays unlike. Longer pieces are cut into stretches of 32 bars whose
  figures are averaged. Values do not compare with MusDr's; their order by damage does (docs/damage.md).
- A segment's fitness leaves out the segment's own path and coverage, as Müller's does: music that never comes back
  has 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.rhythm import onset_patterns
from cadenza.metrics.view import Notes, entropy_bits, notes_of, sounding_bars
from cadenza.score.model import Score
from cadenza.score.time import BarTable

PLACES = 12  # of a half bar
STRETCH_BARS = 32
LIKE = 0.5
PENALTY = -1.0
#: Segment lengths in half bars.
LENGTHS = {"short": (1, 2), "mid": (4, 6, 8), "long": (16, 24, 32)}
_TRIADS = np.array([np.roll([1, 0, 0, int(not m), int(m), 0, 0, 1, 0, 0, 0, 0], r) for m in (1, 0) for r in range(12)])


def compute(*, est: Score) -> dict[str, float]:
    """The columns of one piece; see the module's prose."""
    notes = notes_of(est)
    if not len(notes):
        return {}
    bars = sounding_bars(est)
    pitched = notes.pitched
    values: dict[str, float | None] = {
        "groove_similarity": groove_similarity(est, bars),
        "unique_chord_trigrams": unique_trigrams(chords(pitched, half_bars(bars, est.ticks_per_quarter))),
    }
    per_bar = pitch_classes(pitched, bars.starts_ticks / est.ticks_per_quarter)
    for n in (1, 4):
        values[f"pitch_class_entropy_{n}"] = windowed_entropy(per_bar, n)
    if len(pitched):
        values |= structureness(frames(pitched, half_bars(bars, est.ticks_per_quarter)))
    return defined(values)


def half_bars(bars: BarTable, ticks_per_quarter: int) -> NDArray[np.float64]:
    """Where each half of each bar begins, and where the last ends; quarters, shape (2 n + 1,)."""
    middle = (bars.starts_ticks + bars.ends_ticks) / 2
    edges = np.append(np.stack([bars.starts_ticks, middle], 1).ravel(), bars.ends_ticks[-1])
    return edges / ticks_per_quarter


def pitch_classes(notes: Notes, starts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Notes of each pitch class that begin in each bar, shape (n_bars, 12)."""
    bar = np.searchsorted(starts, notes.onset, side="right") - 1
    return np.bincount(bar * 12 + notes.pitch % 12, minlength=12 * len(starts)).reshape(-1, 12)


def windowed_entropy(per_bar: NDArray[np.int64], n: int) -> float | None:
    """Mean entropy (bits) over windows of ``n`` bars that have notes; None without one."""
    if len(per_bar) < n:
        return None
    sums = np.cumsum(np.concatenate([np.zeros((1, 12), np.int64), per_bar]), axis=0)
    windows = sums[n:] - sums[:-n]
    found = [entropy_bits(window) for window in windows if window.any()]
    return float(np.mean(found)) if found else None


def groove_similarity(score: Score, bars: BarTable) -> float | None:
    """1 − mean share of places that differ, over all pairs of bars of equal length; None without a pair."""
    pattern, n_places = onset_patterns(score, bars)
    total, n_pairs = 0.0, 0
    for length in np.unique(n_places):
        rows = pattern[n_places == length, : int(length)]
        n = len(rows)
        on = rows.sum(0, dtype=np.int64)
        total += float((on * (n - on)).sum()) / int(length)  # pairs that differ, place by place
        n_pairs += n * (n - 1) // 2
    return 1 - total / n_pairs if n_pairs else None


def chords(notes: Notes, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The triad of each stretch: 0–11 major on C …, 12–23 minor; −1 before anything sounds. Shape (len(edges) − 1,)."""
    weights = sounding_classes(notes, edges) @ _TRIADS.T
    out = np.full(len(weights), -1, np.int64)
    before = -1
    for i, row in enumerate(weights):
        top = row.max(initial=0.0)
        if top > 0 and (before < 0 or row[before] < top - 1e-9):
            before = int(np.argmax(row >= top - 1e-9))
        out[i] = before
    return out


def sounding_classes(notes: Notes, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quarters for which each pitch class sounds in each stretch, summed over notes; shape (len(edges) − 1, 12)."""
    n = len(edges) - 1
    out = np.zeros((n, 12))
    first = np.searchsorted(edges, notes.onset, side="right") - 1
    stop = np.searchsorted(edges, notes.end, side="left")
    at, rows = first.copy(), np.arange(len(notes))
    while len(rows):  # one round for each further stretch that some note reaches
        rows = rows[(at[rows] < stop[rows]) & (at[rows] < n)]
        i = at[rows]
        span = np.minimum(notes.end[rows], edges[i + 1]) - np.maximum(notes.onset[rows], edges[i])
        np.add.at(out, (i, notes.pitch[rows] % 12), span)
        at[rows] += 1
    return out


def unique_trigrams(chord: NDArray[np.int64]) -> float | None:
    """Different trigrams / trigrams of successive different chords; None where there is none."""
    chord = chord[chord >= 0]
    changes = chord[np.append(True, np.diff(chord) != 0)] if len(chord) else chord
    if len(changes) < 3:
        return None
    codes = changes[:-2] * 576 + changes[1:-1] * 24 + changes[2:]
    return len(np.unique(codes)) / len(codes)


def frames(notes: Notes, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """What begins in each stretch, pitch × place, unit length; shape (n, 128 · PLACES). Rows without notes are 0."""
    n = len(edges) - 1
    frame = np.minimum(np.searchsorted(edges, notes.onset, side="right") - 1, n - 1)
    within = (notes.onset - edges[frame]) / (edges[frame + 1] - edges[frame])
    place = np.minimum((within * PLACES + 0.5).astype(np.int64), PLACES - 1)
    out = np.zeros((n, 128 * PLACES), np.float32)
    out[frame, notes.pitch * PLACES + place] = 1
    norm = np.linalg.norm(out, axis=1, keepdims=True)
    return out / np.where(norm > 0, norm, 1)  # type: ignore[no-any-return]


def self_similarity(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Likeness of frames, stretched: 1 = equal, 0 = just alike, PENALTY = unlike; shape (n, n), diagonal 1."""
    likeness = rows @ rows.T
    empty = ~rows.any(1)
    likeness[np.ix_(empty, empty)] = 1  # silence is like silence
    out = np.where(likeness >= LIKE, (likeness - LIKE) / (1 - LIKE), PENALTY)
    np.fill_diagonal(out, 1.0)
    return np.minimum(out, 1.0)


def structureness(rows: NDArray[np.float64]) -> dict[str, float | None]:
    """The largest fitness of short, middle and long segments, averaged over stretches that are long enough."""
    found: dict[str, list[float]] = {name: [] for name in LENGTHS}
    size = 2 * STRETCH_BARS
    n_stretches = max(1, -(-len(rows) // size))
    for part in np.array_split(rows, n_stretches):
        matrix = self_similarity(part)
        for name, lengths in LENGTHS.items():
            values = [float(fitness(matrix, m).max()) for m in lengths if 2 * m <= len(matrix)]
            if values:
                found[name].append(max(values))
    return {f"structure_{name}": float(np.mean(values)) if values else None for name, values in found.items()}


def fitness(matrix: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The fitness of every segment of ``length`` frames, shape (n − length + 1,).

    Müller, Jiang & Grosche, "A Robust Fitness Measure for Capturing Repetitions in Music Recordings with Applications
    to Audio Thumbnailing", IEEE TASLP 2013: for a segment, the family of paths of largest score over all rows is found
    by dynamic programming with steps (1,1), (2,1), (1,2); its score and its coverage, each without what the segment
    explains of itself, are normalised, and their harmonic mean is the fitness.
    """
    n, m = len(matrix), length
    n_starts = n - m + 1
    columns = np.arange(n_starts)[:, None] + np.arange(m)
    # Of the best path family up to a row, by its last cell: score, cells of paths, rows covered. Column 0 of ``idle``
    # is Müller's extra column: between paths. Three rows back are held; shape (n_starts, m).
    bad = np.full((n_starts, m), -np.inf)
    score = [bad, bad]
    cells, covered = [np.zeros((n_starts, m))] * 2, [np.zeros((n_starts, m))] * 2
    idle = np.zeros(n_starts)
    idle_cells, idle_covered = np.zeros(n_starts), np.zeros(n_starts)
    for row in range(n):
        here = matrix[row][columns]
        new, new_cells, new_covered = bad.copy(), np.zeros((n_starts, m)), np.zeros((n_starts, m))
        # A path begins in its first column, after idling.
        new[:, 0] = idle + here[:, 0]
        new_cells[:, 0], new_covered[:, 0] = idle_cells + 1, idle_covered + 1
        for back, side in ((1, 1), (2, 1), (1, 2)):
            if m <= side:
                continue
            old = score[-back][:, :-side] + here[:, side:]
            better = old > new[:, side:]
            new[:, side:] = np.where(better, old, new[:, side:])
            new_cells[:, side:] = np.where(better, cells[-back][:, :-side] + 1, new_cells[:, side:])
            new_covered[:, side:] = np.where(better, covered[-back][:, :-side] + back, new_covered[:, side:])
        ended = new[:, -1] > idle
        idle = np.where(ended, new[:, -1], idle)
        idle_cells = np.where(ended, new_cells[:, -1], idle_cells)
        idle_covered = np.where(ended, new_covered[:, -1], idle_covered)
        score, cells, covered = [score[1], new], [cells[1], new_cells], [covered[1], new_covered]
    with np.errstate(divide="ignore", invalid="ignore"):
        normal_score = np.where(idle_cells > 0, (idle - m) / idle_cells, 0.0).clip(min=0.0)
        normal_coverage = ((idle_covered - m) / n).clip(min=0.0)
        total = normal_score + normal_coverage
        return np.where(total > 0, 2 * normal_score * normal_coverage / total, 0.0)


_BITS = float(np.log2(12))
METRIC = Metric(
    name="structure",
    summary="Pitch content, groove and chords over bars, and passages that come back.",
    source="Wu & Yang, The Jazz Transformer on the Front Line, ISMIR 2020; Müller, Jiang & Grosche 2013",
    needs="est",
    compute=compute,
    columns=(
        Column("pitch_class_entropy_1", 0, _BITS, "reference", "bits", "Entropy of pitch classes within a bar (H1)."),
        Column("pitch_class_entropy_4", 0, _BITS, "reference", "bits", "The same within four bars (H4)."),
        Column("groove_similarity", 0, 1, "reference", "share", "Likeness of the onsets of any two bars (GS)."),
        Column("unique_chord_trigrams", 0, 1, "reference", "share", "Chord trigrams that are different (CPI)."),
        Column("structure_short", 0, 1, "reference", "", "Fitness of the fittest segment of up to a bar (SI)."),
        Column("structure_mid", 0, 1, "reference", "", "The same of 2–4 bars."),
        Column("structure_long", 0, 1, "reference", "", "The same of 8–16 bars."),
    ),
)
