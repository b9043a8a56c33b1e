"""Which work is for training, which for validation, which for the test.

A split is by work: versions of one work stay together, and so do works that share their music (a hymn tune in two
collections, a song in two keys). Sharing is measured on n-grams of melodic intervals and duration ratios of every
part's top line, which transposition, tempo and note values do not change. The split follows from a hash of the
group's name, so it never changes when music is added elsewhere.

:func:`split_of` is everybody's. The rest (:func:`fingerprints`, :func:`groups`, :func:`assign`) is the older and
narrower index by which the data of the first shipped model was split. Only :mod:`cadenza.corpus.build` needs it, and
changing it would move pieces between that model's training and test; corpora are built with
:mod:`cadenza.corpus.likeness`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cadenza.corpus.store import Piece
from cadenza.score.model import Score

NGRAM = 10
MIN_DISTINCT_INTERVALS = 4  # scales and repeated notes are common property
MAX_WORKS_PER_NGRAM = 12  # so are figures that everybody uses
MIN_SHARED = 8
MIN_CONTAINED = 0.35
SHARES = (("train", 0.90), ("validation", 0.05), ("test", 0.05))


def split_of(name: str) -> str:
    """The split of a work (or group) from a hash of its name: 90 % train, 5 % validation, 5 % test."""
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    for split, share in SHARES:
        if draw < share:
            return split
        draw -= share
    return SHARES[-1][0]


def fingerprints(score: Score) -> list[set[int]]:
    """Hashes of the n-grams of each part's top line, one set per pitched part that has any."""
    rng = np.random.default_rng(20)  # fixed multipliers of a linear hash
    weights = rng.integers(1, 2**61, size=2 * NGRAM, dtype=np.uint64) | np.uint64(1)
    found = []
    for track in score.tracks:
        if track.is_drums or len(track) < NGRAM + 2:
            continue
        onset, pitch = _top_line(track.notes)
        if len(onset) < NGRAM + 2:
            continue
        interval = np.diff(pitch)[1:]
        gap = np.diff(onset).astype(np.float64)
        ratio = np.rint(2 * np.log2(gap[1:] / gap[:-1])).astype(np.int64)
        steps = np.lib.stride_tricks.sliding_window_view(np.stack([interval, ratio]), NGRAM, axis=1)
        steps = steps.transpose(1, 0, 2).reshape(-1, 2 * NGRAM)
        ordered = np.sort(steps[:, :NGRAM], axis=1)
        distinct = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
        steps = steps[distinct >= MIN_DISTINCT_INTERVALS]
        hashes = ((steps + 1000).astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
        if len(hashes):
            found.append(set(hashes.tolist()))
    return found


def _top_line(notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Onsets and highest pitches, one per onset."""
    order = np.lexsort([-notes["pitch"].astype(np.int64), notes["onset_ticks"]])
    onset = notes["onset_ticks"][order]
    first = np.flatnonzero(np.diff(onset, prepend=-1) > 0)
    return onset[first], notes["pitch"][order][first].astype(np.int64)


def groups(pieces: Sequence[Piece]) -> dict[str, str]:
    """work_id → name of its group: the first (in sorting order) of the works that share its music."""
    lines: list[tuple[str, set[int]]] = []
    works = sorted({piece.work_id for piece in pieces})
    for piece in pieces:
        lines += [(piece.work_id, grams) for grams in fingerprints(piece.score)]
    holders: dict[int, list[int]] = defaultdict(list)
    for number, (_, grams) in enumerate(lines):
        for gram in grams:
            holders[gram].append(number)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        if len({lines[number][0] for number in numbers}) > MAX_WORKS_PER_NGRAM:
            continue
        for i, one in enumerate(numbers):
            for other in numbers[i + 1 :]:
                if lines[one][0] != lines[other][0]:
                    shared[one, other] += 1
    parent = {work: work for work in works}

    def head(work: str) -> str:
        while parent[work] != work:
            parent[work] = parent[parent[work]]
            work = parent[work]
        return work

    for (one, other), count in shared.items():
        if count >= MIN_SHARED and count >= MIN_CONTAINED * min(len(lines[one][1]), len(lines[other][1])):
            first, second = sorted((head(lines[one][0]), head(lines[other][0])))
            parent[second] = first
    return {work: head(work) for work in works}


def assign(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with their splits; one that a source has fixed (Groove's official one) stays."""
    group = groups([piece for piece in pieces if not piece.split])
    return [piece if piece.split else piece.with_split(split_of(group[piece.work_id])) for piece in pieces]
