"""Which note of one track is which note of another.

Two versions of a part share most of their notes; what is left over was moved, re-pitched, added or removed. Pairs are
made in steps, the surest first, each among what the steps before left:

1. notes that are equal in everything;
2. same pitch at the same time, on the same string and in the same voice, then on any;
3. same time on the same string (fretted), then the nearest pitch within an octave: the pitch was changed;
4. same pitch within a quarter note: the note was moved.

Every step is symmetric in the two tracks: pairing b with a gives the same pairs the other way round. Times are integers
of one unit for both tracks; ``tolerance`` is in the same unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Columns of the matrix of a track's notes.
ONSET, DURATION, PITCH, VELOCITY, STRING, FRET, TECHNIQUES, VOICE, SPELLING, CURVE = range(10)
NEAR_PITCHES = 12
MANY = 64  # notes at one onset beyond which the nearest pitch is not looked for

Pairs = list[tuple[int, int]]
Rows = Iterable[int]


def pair_by_time(
    a: Rows, b: Rows, key_a: Callable[[int], Hashable], key_b: Callable[[int], Hashable],
    times_a: Sequence[int], times_b: Sequence[int], tolerance: int = 0,
) -> Pairs:  # fmt: skip
    """Pairs of equal key whose times are at most ``tolerance`` apart: as many as can be, in order of time."""
    groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for row in a:
        groups[key_a(row)][0].append(row)
    for row in b:
        found = groups.get(key_b(row))
        if found is not None:
            found[1].append(row)
    out: Pairs = []
    for left, right in groups.values():
        if not right:
            continue
        left.sort(key=times_a.__getitem__)
        right.sort(key=times_b.__getitem__)
        i = j = 0
        while i < len(left) and j < len(right):
            apart = times_a[left[i]] - times_b[right[j]]
            if abs(apart) <= tolerance:
                out.append((left[i], right[j]))
                i += 1
                j += 1
            elif apart < 0:
                i += 1
            else:
                j += 1
    return out


def pair_notes(a: NDArray[np.int64], b: NDArray[np.int64], tolerance: int, near: int) -> NDArray[np.int64]:
    """Rows of ``a`` and of ``b`` that are the same note, shape (n, 2), by the steps above.

    Args:
        a, b: shapes (n_a, 10) and (n_b, 10), columns as above, rows by onset, then pitch.
        tolerance: times so near are the same time.
        near: a note may have been moved so far (a quarter note).
    """
    sure = _in_place(a, b)
    free_a, free_b = np.ones(len(a), bool), np.ones(len(b), bool)
    free_a[sure], free_b[sure] = False, False
    pairs = [np.stack([sure, sure], 1)]
    left, right = np.flatnonzero(free_a).tolist(), np.flatnonzero(free_b).tolist()
    for step in (_equal, _same_place, _same_pitch, _same_string, _nearest_pitch, _moved):
        if not left or not right:
            break
        found = step(a, b, left, right, near if step is _moved else tolerance)
        if found:
            pairs.append(np.array(found, np.int64))
            gone_a, gone_b = {row for row, _ in found}, {row for _, row in found}
            left = [row for row in left if row not in gone_a]
            right = [row for row in right if row not in gone_b]
    whole = np.concatenate(pairs)
    return whole[np.lexsort([whole[:, 1], whole[:, 0]])]


def _in_place(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that hold the same onset and pitch in both, and no other note has them: the quick way for like tracks."""
    if len(a) != len(b):
        return np.zeros(0, np.int64)
    place = [ONSET, PITCH]
    same = (a[:, place] == b[:, place]).all(1)
    for rows in (a, b):
        twin = (np.diff(rows[:, place], axis=0) == 0).all(1)
        same[1:] &= ~twin
        same[:-1] &= ~twin
    return np.flatnonzero(same)


def _equal(a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], tolerance: int) -> Pairs:
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for row in reversed(left):
        waiting[a[row].tobytes()].append(row)
    out: Pairs = []
    for row in right:
        rows = waiting.get(b[row].tobytes())
        if rows:
            out.append((rows.pop(), row))
    return out


def _by(
    columns: list[int], a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], tolerance: int
) -> Pairs:
    """Pairs of equal ``columns``, near in time."""
    keys_a = dict(zip(left, map(tuple, a[left][:, columns].tolist()), strict=True))
    keys_b = dict(zip(right, map(tuple, b[right][:, columns].tolist()), strict=True))
    times_a = dict(zip(left, a[left, ONSET].tolist(), strict=True))
    times_b = dict(zip(right, b[right, ONSET].tolist(), strict=True))
    return pair_by_time(left, right, keys_a.__getitem__, keys_b.__getitem__, times_a, times_b, tolerance)  # type: ignore[arg-type]


def _same_place(a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], tolerance: int) -> Pairs:
    return _by([PITCH, STRING, VOICE], a, b, left, right, tolerance)


def _same_pitch(a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], tolerance: int) -> Pairs:
    return _by([PITCH], a, b, left, right, tolerance)


def _same_string(
    a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], tolerance: int
) -> Pairs:
    left, right = [row for row in left if a[row, STRING]], [row for row in right if b[row, STRING]]
    return _by([STRING, VOICE], a, b, left, right, tolerance) if left and right else []


def _nearest_pitch(
    a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], tolerance: int
) -> Pairs:
    """At each onset that both have, the notes nearest in pitch, the nearest first; equally near ones by pitch."""
    at: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for row in left:
        at[int(a[row, ONSET])][0].append(row)
    for row in right:
        at[int(b[row, ONSET])][1].append(row)
    out: Pairs = []
    for rows_a, rows_b in at.values():
        if not rows_a or not rows_b:
            continue
        if max(len(rows_a), len(rows_b)) > MANY:
            out += zip(rows_a, rows_b, strict=False)
            continue
        options = []
        for i in rows_a:
            for j in rows_b:
                low, high = sorted((int(a[i, PITCH]), int(b[j, PITCH])))
                if high - low <= NEAR_PITCHES:
                    other = int(a[i, VOICE] != b[j, VOICE]) + int(a[i, DURATION] != b[j, DURATION])
                    options.append((high - low, other, low, abs(i - j), i + j, i, j))
        gone_a: set[int] = set()
        gone_b: set[int] = set()
        for *_, i, j in sorted(options):
            if i not in gone_a and j not in gone_b:
                gone_a.add(i)
                gone_b.add(j)
                out.append((i, j))
    return out


def _moved(a: NDArray[np.int64], b: NDArray[np.int64], left: list[int], right: list[int], near: int) -> Pairs:
    return _by([PITCH], a, b, left, right, near)
