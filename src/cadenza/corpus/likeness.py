"""Which works share music: n-grams of melodic intervals, invariant to transposition and tempo.

Two kinds of evidence link two works:

* a **run**: :data:`RUN_NOTES` notes in a row whose :data:`RUN_INTERVALS` intervals agree, whatever their rhythm;
* **figures**: many n-grams of intervals *and* duration ratios in common, a good share of the shorter line's.

Runs are looked for in every line: of each pitched track, of each of its voices, and of all of them together, the
highest note of each onset, the lowest, the second highest, and all notes in the order of onset and pitch, so that a
tune is found when its voices are dealt out anew. Figures are those of the tracks' highest lines and of the outer lines
of all together.

**Commonplace**, and so no proof, is a run with fewer than :data:`MIN_DISTINCT` different intervals (scales, trills,
broken chords), with fewer than :data:`MIN_TRIPLES` different triples of intervals in a row (a figure again and again,
with or without breaks), or over fewer than :data:`MIN_ONSETS` onsets (some chords spelled out). A figure is commonplace
where it has too few different intervals or stands in more than :data:`MAX_WORKS` works. What this finds, and what is
left over the split, is measured without it in ``benchmarks/leakage.py``.

This is the index of ``cadenza corpus build``. :mod:`cadenza.corpus.split` is the older and narrower one (figures of
tracks' highest lines only) by which the shipped model's data was split; it stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score

RUN_NOTES = 24
RUN_INTERVALS = RUN_NOTES - 1
FIGURE_INTERVALS = 10
MIN_DISTINCT = {RUN_INTERVALS: 6, FIGURE_INTERVALS: 4}  # different intervals in an n-gram that proves something
MIN_TRIPLES = 12  # different triples of a run's 21
MIN_ONSETS = 12
MAX_WORKS = 32  # a figure in more works is common property
MIN_SHARED = 8  # figures
MIN_CONTAINED = 0.35

_WEIGHTS = np.random.default_rng(20).integers(1, 2**61, size=2 * RUN_INTERVALS, dtype=np.uint64) | np.uint64(1)
_PAIRS_AT_ONCE = 1 << 20
_SEED = {RUN_INTERVALS: np.uint64(0x9E3779B97F4A7C15), FIGURE_INTERVALS: np.uint64(0)}


@dataclass(frozen=True)
class Line:
    """One note after the other: ``pitch`` and ``onset`` (ticks) of shape (n,); ``rhythm``: its figures count too."""

    onset: NDArray[np.int64]
    pitch: NDArray[np.int64]
    rhythm: bool


def lines_of(score: Score) -> list[Line]:
    """The lines that are compared."""
    pitched = [track.notes for track in score.tracks if not track.is_drums and len(track)]
    lines: list[Line] = []
    for notes in pitched:
        lines += _lines(notes, highest=True)
        if notes["voice"].min() != notes["voice"].max():
            for voice in np.unique(notes["voice"]):
                lines += _lines(notes[notes["voice"] == voice])
    if len(pitched) > 1:
        lines += _lines(np.concatenate(pitched), highest=True, lowest=True)
    return lines


def _lines(notes: NDArray[np.void], highest: bool = False, lowest: bool = False) -> list[Line]:
    """The four lines of some notes; the figures of the highest and lowest count where it is said."""
    pitch, onset = notes["pitch"].astype(np.int64), notes["onset_ticks"]
    order = np.lexsort([pitch, onset])
    pitch, onset = pitch[order], onset[order]
    last = np.append(onset[1:] != onset[:-1], True)
    if last.all():  # one note at a time: all four lines are this one
        return [Line(onset, pitch, highest or lowest)]
    first = np.append(True, last[:-1])
    second = np.flatnonzero(last & ~first) - 1
    picked = ((last, highest), (first, lowest), (second, False))
    return [*(Line(onset[where], pitch[where], rhythm) for where, rhythm in picked), Line(onset, pitch, False)]


def fingerprint(score: Score) -> tuple[NDArray[np.uint64], list[NDArray[np.uint64]]]:
    """Hashes of the piece's runs (sorted, once each), and of the figures of each line."""
    runs, figures = [np.zeros(0, np.uint64)], []
    for line in lines_of(score):
        interval = np.diff(line.pitch)
        telling = _telling(interval, line.onset)
        runs.append(_sums([interval], RUN_INTERVALS)[telling])
        gap = np.diff(line.onset).astype(np.float64)
        if line.rhythm and len(gap) > 1:
            ratio = np.rint(2 * np.log2(gap[1:] / gap[:-1])).astype(np.int64)
            telling = distinct(interval[1:], FIGURE_INTERVALS) >= MIN_DISTINCT[FIGURE_INTERVALS]
            found = np.unique(_sums([interval[1:], ratio], FIGURE_INTERVALS)[telling])
            if len(found):
                figures.append(found)
    return np.unique(np.concatenate(runs)), figures


def _sums(columns: Sequence[NDArray[np.int64]], n: int) -> NDArray[np.uint64]:
    """Hashes of the n-grams, in order: a weighted sum, taken place by place without a table of windows."""
    m = max(len(columns[0]) - n + 1, 0)
    hashes = np.zeros(m, np.uint64)
    for number, column in enumerate(columns):
        values = (column + 1000).astype(np.uint64)
        for place in range(n if m else 0):
            hashes += values[place : place + m] * _WEIGHTS[number * n + place]
    return hashes ^ _SEED[n]


def _telling(interval: NDArray[np.int64], onset: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which runs are not commonplace, in order."""
    if len(interval) < RUN_INTERVALS:
        return np.zeros(0, np.bool_)
    triple = (interval[2:] << 20) + (interval[1:-1] << 10) + interval[:-2]
    begun = np.cumsum(np.diff(onset, prepend=-1) > 0)
    n_onsets = begun[RUN_INTERVALS:] - begun[: len(begun) - RUN_INTERVALS] + 1
    various = distinct(interval, RUN_INTERVALS) >= MIN_DISTINCT[RUN_INTERVALS]
    return various & (distinct(triple, RUN_INTERVALS - 2) >= MIN_TRIPLES) & (n_onsets >= MIN_ONSETS)


def distinct(values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Different values in each window of ``n``, shape (len − n + 1,): those whose last standing lies before it."""
    order = np.argsort(values, kind="stable").astype(np.int32)
    last = np.full(len(values), -1, np.int32)
    same = values[order][1:] == values[order][:-1]
    last[order[1:][same]] = order[:-1][same]
    m = max(len(values) - n + 1, 0)
    starts = np.arange(m, dtype=np.int32)
    found = np.zeros(m, np.uint8)  # n is small: bytes are a fourth of the traffic
    for place in range(n if m else 0):
        found += last[place : place + m] < starts
    return found.astype(np.int64)


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
    many = count > 1
    first = np.repeat(work[start[many]], count[many])
    others = work[np.repeat(many, count)]
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
