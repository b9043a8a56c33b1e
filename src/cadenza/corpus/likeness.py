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
_PAIRS_AT_ONCE = 1 << 20
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
    """Hashes of the telling n-grams, in order: a weighted sum, taken place by place without a table of windows."""
    m = len(interval) - n + 1
    if m < 1:
        return np.zeros(0, np.uint64)
    telling = distinct(interval, n) >= MIN_DISTINCT[n]
    columns = [interval] if ratio is None else [interval, ratio]
    hashes = np.zeros(m, np.uint64)
    for column, weights in zip(columns, (_WEIGHTS[:n], _WEIGHTS[n : 2 * n]), strict=False):
        values = (column + 1000).astype(np.uint64)
        for place in range(n):
            hashes += values[place : place + m] * weights[place]
    return (hashes ^ _SEED[n])[telling]


def distinct(values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Different values in each window of ``n``, shape (len − n + 1,): those whose last standing lies before it."""
    order = np.argsort(values, kind="stable")
    last = np.full(len(values), -1, np.int64)
    same = values[order][1:] == values[order][:-1]
    last[order[1:][same]] = order[:-1][same]
    m = len(values) - n + 1
    starts = np.arange(m)
    found = np.zeros(m, np.int64)
    for place in range(n):
        found += last[place : place + m] < starts
    return found


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

    def join(pairs: Iterable[Sequence[int]]) -> None:
        for one, other in pairs:
            first, second = sorted((head(one), head(other)))
            parent[second] = first

    join(_linked_by_runs(runs, of_piece).tolist())
    join(_linked_by_figures(figures, of_piece).tolist())
    return {name: names[head(index)] for name, index in number.items()}


def _linked_by_runs(runs: Sequence[NDArray[np.uint64]], of_piece: NDArray[np.int64]) -> NDArray[np.int64]:
    """(first work, other work) of every run that several works share, shape (pairs, 2)."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *runs])
    work = np.repeat(of_piece, [len(one) for one in runs])
    order = np.lexsort([work, hashes])
    hashes, work = hashes[order], work[order]
    once = np.append(True, (hashes[1:] != hashes[:-1]) | (work[1:] != work[:-1]))[: len(hashes)]
    hashes, work = hashes[once], work[once]
    start, count = _blocks(hashes)
    few = (count > 1) & (count <= MAX_WORKS)
    first = np.repeat(work[start[few]], count[few])
    others = work[np.repeat(few, count)]
    return np.unique(np.stack([first, others], axis=1)[first != others], axis=0)


def _linked_by_figures(
    figures: Sequence[Sequence[NDArray[np.uint64]]], of_piece: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(work, other work) of every pair of lines with enough figures in common, shape (pairs, 2)."""
    lines = [line for piece in figures for line in piece]
    sizes = np.array([len(line) for line in lines], np.int64)
    work_of = np.repeat(of_piece, [len(piece) for piece in figures])
    hashes = np.concatenate([np.zeros(0, np.uint64), *lines])
    line_of = np.repeat(np.arange(len(lines)), sizes)
    order = np.lexsort([line_of, hashes])
    line_of = line_of[order]
    start, count = _blocks(hashes[order])
    found: list[NDArray[np.int64]] = []
    for size in np.unique(count[count > 1]).tolist():
        block = line_of[start[count == size][:, None] + np.arange(size)]  # (blocks, size): the lines that hold a figure
        works = work_of[block]
        n_works = 1 + (np.diff(np.sort(works, axis=1), axis=1) != 0).sum(axis=1)
        few = (n_works > 1) & (n_works <= MAX_WORKS)
        one, other = np.triu_indices(size, 1)
        for at in range(0, int(few.sum()), step := max(1, _PAIRS_AT_ONCE // len(one))):
            part, owners = block[few][at : at + step], works[few][at : at + step]
            apart = owners[:, one] != owners[:, other]
            found.append(part[:, one][apart] * len(lines) + part[:, other][apart])
    pairs, shared = np.unique(np.concatenate([np.zeros(0, np.int64), *found]), return_counts=True)
    first, second = pairs // max(len(lines), 1), pairs % max(len(lines), 1)
    enough = (shared >= MIN_SHARED) & (shared >= MIN_CONTAINED * np.minimum(sizes[first], sizes[second]))
    return np.unique(np.stack([work_of[first], work_of[second]], axis=1)[enough], axis=0)


def _blocks(values: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first place, length) of each stretch of equal values in sorted ``values``."""
    start = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    return start, np.diff(np.append(start, len(values)))
