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

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
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
_MIXER = np.uint64(0x9E3779B97F4A7C15)
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


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────

_ROW_DTYPE = np.dtype([("hash", "u8"), ("owner", "u4")])  # owner: a work for runs, a line for figures
_LONGEST_BUCKET = 1 << 20  # rows that are sorted at once


class Index:
    """The fingerprints of all pieces, on disk, and which works they join into groups.

    Rows are dealt out to files by their hash, so that each file holds all there is of its hashes, and joined file by
    file. Memory holds one file and a few numbers a work and line.

    Args:
        folder: for files that only live until :meth:`groups` is done.
        n_runs, n_figures: how many there will be at most; settles the number of files.
    """

    def __init__(self, folder: Path, n_runs: int, n_figures: int) -> None:
        self._runs = Buckets(folder / "runs", _ROW_DTYPE, n_runs)
        self._figures = Buckets(folder / "figures", _ROW_DTYPE, n_figures)
        self._pairs = folder / "pairs"
        self._number: dict[str, int] = {}
        self._parent: list[int] = []
        self._line_sizes, self._line_works = array("q"), array("q")

    def add(self, work: str, runs: NDArray[np.uint64], figures: Sequence[NDArray[np.uint64]]) -> None:
        """One piece's :func:`fingerprint`; versions of one work share its name."""
        number = self._number.setdefault(work, len(self._number))
        if number == len(self._parent):
            self._parent.append(number)
        self._runs.add(_rows(runs, number))
        for line in figures:
            self._figures.add(_rows(line, len(self._line_sizes)))
            self._line_sizes.append(len(line))
            self._line_works.append(number)

    def groups(self) -> dict[str, str]:
        """work → name of its group: the first (in sorting order) of the works that share music with it."""
        for rows in self._runs:
            self._join(_linked_by_runs(rows["hash"], rows["owner"].astype(np.int64)))
        sizes, works = np.array(self._line_sizes), np.array(self._line_works)
        pairs = Buckets(self._pairs, np.dtype("i8"), len(self._figures))  # no more files than there were
        for rows in self._figures:
            for found in _pairs_of_lines(rows["hash"], rows["owner"].astype(np.int64), works):
                pairs.add(found)
        for found in pairs:
            self._join(_linked_by_figures(found, sizes, works))
        first: dict[int, str] = {}
        for name, number in self._number.items():
            head = self._head(number)
            first[head] = min(first.get(head, name), name)
        return {name: first[self._head(number)] for name, number in self._number.items()}

    def _head(self, work: int) -> int:
        parent = self._parent
        while parent[work] != work:
            parent[work] = parent[parent[work]]
            work = parent[work]
        return work

    def _join(self, pairs: NDArray[np.int64]) -> None:
        for one, other in pairs.tolist():
            self._parent[self._head(other)] = self._head(one)


def groups(
    works: Sequence[str],
    runs: Sequence[NDArray[np.uint64]],
    figures: Sequence[Sequence[NDArray[np.uint64]]],
) -> dict[str, str]:
    """:meth:`Index.groups` of pieces whose fingerprints are at hand.

    Args:
        works: the work of each piece; versions of one work share it.
        runs, figures: each piece's :func:`fingerprint`.
    """
    with tempfile.TemporaryDirectory() as folder:
        n_figures = sum(len(line) for piece in figures for line in piece)
        index = Index(Path(folder), sum(map(len, runs)), n_figures)
        for work, own_runs, own_figures in zip(works, runs, figures, strict=True):
            index.add(work, own_runs, own_figures)
        return index.groups()


class Buckets:
    """Rows dealt out to files by their value (field "hash", where they have fields); iterating gives file by file.

    Args:
        n_rows: how many there will be at most.

    Raises (on add and iteration):
        FormatError: the disk refuses.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], n_rows: int) -> None:
        self._folder, self._dtype, self._n_rows = folder, dtype, n_rows
        self._bits = max(0, (n_rows // _LONGEST_BUCKET).bit_length())
        self._waiting: list[NDArray[Any]] = []
        self._n_waiting = 0

    def __len__(self) -> int:
        return self._n_rows

    def add(self, rows: NDArray[Any]) -> None:
        """Take ``rows``; they are written when enough are together."""
        self._waiting.append(rows)
        self._n_waiting += len(rows)
        if self._n_waiting > _LONGEST_BUCKET:
            self._write()

    def _write(self) -> None:
        rows = np.concatenate(self._waiting)
        self._waiting, self._n_waiting = [], 0
        values = rows["hash"] if self._dtype.names else rows.astype(np.uint64)
        # Multiplied, since neighbouring values shall not lie in one file.
        place = (values * _MIXER) >> np.uint64(64 - self._bits) if self._bits else np.zeros(len(rows), np.uint64)
        order = np.argsort(place, kind="stable")
        rows, place = rows[order], place[order]
        starts, counts = _blocks(place)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
                with (self._folder / f"{int(place[start]):x}").open("ab") as file:
                    rows[start : start + count].tofile(file)
        except OSError as error:
            said = error.strerror or str(error)
            raise FormatError("a writable place with room", said, where=str(self._folder)) from error

    def __iter__(self) -> Iterator[NDArray[Any]]:
        if not self._folder.exists():  # never enough to be written
            yield np.concatenate([np.zeros(0, self._dtype), *self._waiting])
            return
        if self._waiting:
            self._write()
        for path in sorted(self._folder.glob("*")):
            yield np.fromfile(path, self._dtype)
            path.unlink()


def _rows(hashes: NDArray[np.uint64], owner: int) -> NDArray[np.void]:
    rows = np.empty(len(hashes), _ROW_DTYPE)
    rows["hash"], rows["owner"] = hashes, owner
    return rows


def _linked_by_runs(hashes: NDArray[np.uint64], work: NDArray[np.int64]) -> NDArray[np.int64]:
    """(first work, other work) of every run that several works share, shape (pairs, 2)."""
    order = np.lexsort([work, hashes])
    hashes, work = hashes[order], work[order]
    once = np.append(True, (hashes[1:] != hashes[:-1]) | (work[1:] != work[:-1]))[: len(hashes)]
    hashes, work = hashes[once], work[once]
    start, count = _blocks(hashes)
    many = count > 1
    first = np.repeat(work[start[many]], count[many])
    others = work[np.repeat(many, count)]
    return np.unique(np.stack([first, others], axis=1)[first != others], axis=0)


def _pairs_of_lines(
    hashes: NDArray[np.uint64], line: NDArray[np.int64], work_of: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """``line · 2^32 + other line`` for every figure that two lines of different works share and few works have."""
    order = np.lexsort([line, hashes])
    line = line[order]
    start, count = _blocks(hashes[order])
    for size in np.unique(count[count > 1]).tolist():
        block = line[start[count == size][:, None] + np.arange(size)]  # (blocks, size): the lines that hold a figure
        works = work_of[block]
        n_works = 1 + (np.diff(np.sort(works, axis=1), axis=1) != 0).sum(axis=1)
        few = (n_works > 1) & (n_works <= MAX_WORKS)
        one, other = np.triu_indices(size, 1)
        for at in range(0, int(few.sum()), step := max(1, _PAIRS_AT_ONCE // len(one))):
            part, owners = block[few][at : at + step], works[few][at : at + step]
            apart = owners[:, one] != owners[:, other]
            yield (part[:, one][apart] << 32) + part[:, other][apart]


def _linked_by_figures(
    pairs: NDArray[np.int64], sizes: NDArray[np.int64], work_of: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(work, other work) of every pair of lines with enough figures in common, shape (pairs, 2)."""
    pairs, shared = np.unique(pairs, return_counts=True)
    first, second = pairs >> 32, pairs & 0xFFFFFFFF
    enough = (shared >= MIN_SHARED) & (shared >= MIN_CONTAINED * np.minimum(sizes[first], sizes[second]))
    return np.unique(np.stack([work_of[first], work_of[second]], axis=1)[enough], axis=0)


def _blocks(values: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first place, length) of each stretch of equal values in sorted ``values``."""
    start = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    return start, np.diff(np.append(start, len(values)))
