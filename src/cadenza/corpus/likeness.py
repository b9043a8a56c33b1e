"""Which works share music: n-grams of melodic intervals, invariant to transposition and tempo.

Two kinds of evidence link two works:

* a **run**: :data:`RUN_NOTES` notes in a row whose :data:`RUN_INTERVALS` intervals agree, whatever their rhythm;
* **figures**: many n-grams of intervals *and* duration ratios in common, a good share of the shorter line's.

Lines are the top line of every pitched track, and the highest and lowest line of all of them together, so that a tune
is found when its voices are dealt out anew. Figures that many works use, and runs with hardly any different intervals
(scales, trills, arpeggios over one chord), are common property and prove nothing: :data:`MAX_WORKS`,
:data:`MIN_DISTINCT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score

RUN_NOTES = 24
RUN_INTERVALS = RUN_NOTES - 1
FIGURE_INTERVALS = 10
MIN_DISTINCT = {RUN_INTERVALS: 6, FIGURE_INTERVALS: 4}  # different intervals in an n-gram that proves something
MAX_WORKS = 12  # an n-gram in more works is common property
MIN_SHARED = 8  # figures
MIN_CONTAINED = 0.35

_WEIGHTS = np.random.default_rng(20).integers(1, 2**61, size=2 * RUN_INTERVALS, dtype=np.uint64) | np.uint64(1)
_SEED = {RUN_INTERVALS: np.uint64(0x9E3779B97F4A7C15), FIGURE_INTERVALS: np.uint64(0)}


def lines_of(score: Score) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(onsets, pitches) of the lines that are compared; each one note an onset."""
    pitched = [track.notes for track in score.tracks if not track.is_drums and len(track)]
    lines = [_outer(notes, 1) for notes in pitched]
    if len(pitched) > 1:
        together = np.concatenate(pitched)
        lines += [_outer(together, 1), _outer(together, -1)]
    return lines


def _outer(notes: NDArray[np.void], side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The highest (``side`` 1) or lowest (−1) note of each onset."""
    pitch = notes["pitch"].astype(np.int64)
    order = np.lexsort([-side * pitch, notes["onset_ticks"]])
    onset = notes["onset_ticks"][order]
    first = np.flatnonzero(np.diff(onset, prepend=-1) > 0)
    return onset[first], pitch[order][first]


def fingerprint(score: Score) -> tuple[NDArray[np.uint64], list[NDArray[np.uint64]]]:
    """Hashes of the piece's runs (sorted, once each), and of the figures of each line."""
    runs, figures = [np.zeros(0, np.uint64)], []
    for onset, pitch in lines_of(score):
        interval = np.diff(pitch)
        runs.append(_grams(interval, None, RUN_INTERVALS))
        gap = np.diff(onset).astype(np.float64)
        if len(gap) > 1:
            ratio = np.rint(2 * np.log2(gap[1:] / gap[:-1])).astype(np.int64)
            found = np.unique(_grams(interval[1:], ratio, FIGURE_INTERVALS))
            if len(found):
                figures.append(found)
    return np.unique(np.concatenate(runs)), figures


def _grams(interval: NDArray[np.int64], ratio: NDArray[np.int64] | None, n: int) -> NDArray[np.uint64]:
    if len(interval) < n:
        return np.zeros(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(interval, n)
    ordered = np.sort(windows, axis=1)
    telling = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1) >= MIN_DISTINCT[n]
    hashes = ((windows + 1000).astype(np.uint64) * _WEIGHTS[:n]).sum(axis=1, dtype=np.uint64)
    if ratio is not None:
        rhythm = np.lib.stride_tricks.sliding_window_view(ratio, n)
        hashes += ((rhythm + 1000).astype(np.uint64) * _WEIGHTS[n : 2 * n]).sum(axis=1, dtype=np.uint64)
    return (hashes ^ _SEED[n])[telling]


def groups(
    works: Sequence[str],
    runs: Sequence[NDArray[np.uint64]],
    figures: Sequence[Sequence[NDArray[np.uint64]]],
) -> dict[str, str]:
    """work → name of its group: the first (in sorting order) of the works that share music with it.

    Args:
        works: the work of each piece; versions of one work share it.
        runs, figures: each piece's :func:`fingerprint`.
    """
    names = sorted(set(works))
    number = {name: index for index, name in enumerate(names)}
    of_piece = np.array([number[work] for work in works], np.int64)
    parent = np.arange(len(names))

    def head(work: int) -> int:
        while parent[work] != work:
            parent[work] = parent[parent[work]]
            work = int(parent[work])
        return work

    def join(pairs: Iterable[tuple[int, int]]) -> None:
        for one, other in pairs:
            first, second = sorted((head(one), head(other)))
            parent[second] = first

    join(_linked_by_runs(runs, of_piece))
    join(_linked_by_figures(figures, of_piece))
    return {name: names[head(index)] for name, index in number.items()}


def _runs_of_equal(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last + 1 place of each value that stands more than once in sorted ``hashes``."""
    edges = np.flatnonzero(np.diff(hashes)) + 1
    starts = np.concatenate([[0], edges]).astype(np.int64)
    stops = np.concatenate([edges, [len(hashes)]]).astype(np.int64)
    many = stops - starts > 1
    return starts[many], stops[many]


def _linked_by_runs(runs: Sequence[NDArray[np.uint64]], of_piece: NDArray[np.int64]) -> set[tuple[int, int]]:
    if not len(runs) or not sum(map(len, runs)):
        return set()
    hashes = np.concatenate(runs)
    work = np.repeat(of_piece, [len(one) for one in runs])
    order = np.lexsort([work, hashes])
    hashes, work = hashes[order], work[order]
    out: set[tuple[int, int]] = set()
    for start, stop in zip(*_runs_of_equal(hashes), strict=True):
        holders = np.unique(work[start:stop])
        if 1 < len(holders) <= MAX_WORKS:
            out.update((int(holders[0]), int(other)) for other in holders[1:])
    return out


def _linked_by_figures(
    figures: Sequence[Sequence[NDArray[np.uint64]]], of_piece: NDArray[np.int64]
) -> set[tuple[int, int]]:
    lines = [(int(work), line) for work, piece in zip(of_piece, figures, strict=True) for line in piece]
    if not lines:
        return set()
    hashes = np.concatenate([line for _, line in lines])
    line_of = np.repeat(np.arange(len(lines)), [len(line) for _, line in lines])
    work_of = np.array([work for work, _ in lines])
    order = np.lexsort([line_of, hashes])
    hashes, line_of = hashes[order], line_of[order]
    shared: dict[tuple[int, int], int] = {}
    for start, stop in zip(*_runs_of_equal(hashes), strict=True):
        holders = line_of[start:stop].tolist()
        if not 1 < len(np.unique(work_of[holders])) <= MAX_WORKS:
            continue
        for place, one in enumerate(holders):
            for other in holders[place + 1 :]:
                if work_of[one] != work_of[other]:
                    shared[one, other] = shared.get((one, other), 0) + 1
    sizes = [len(line) for _, line in lines]
    return {
        (int(work_of[one]), int(work_of[other]))
        for (one, other), count in shared.items()
        if count >= MIN_SHARED and count >= MIN_CONTAINED * min(sizes[one], sizes[other])
    }
