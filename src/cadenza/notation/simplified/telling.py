"""The loop of :class:`~cadenza.notation.simplified.ids.FieldIds`: notes in telling order → ids; compiled by numba.

Its twin in NumPy is ``FieldIds._lines``, which serves without numba and is the oracle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cadenza.base.compiled import lazily

BARS, RESTS, TRACKS, VELOCITIES, COMPACT, BENDS = (1 << n for n in range(6))


def _tell(
    says: Any, edges: Any, track: Any, onset: Any, pitch: Any, velocity: Any, duration: Any, starts: Any, ends: Any,
    tables: Any, sizes: Any, no_bend: Any,
) -> Any:  # fmt: skip
    """(ids, where each line stops, fields that are no tokens).

    Args:
        says: bits of what is told: BARS, RESTS before the first note of a line, TRACKS, VELOCITIES, COMPACT, BENDS.
        edges: (lines + 1,) the first note of each line.
        starts, ends: of the bars, in ticks.
        tables: (8, m) id of each number of each kind, as in ``ids._KINDS``; −1 for none. sizes: (8,) of each.
        no_bend: the code of a note that is not bent.

    An id below 0 is a field that is no token: row −1 − id of the third, (kind, number, whether a blank stands before).
    """
    n = len(onset)
    with_bars = says & 1 != 0
    most = 8 * n + 8 + (len(starts) + 2) * len(edges)
    ids = np.empty(most, np.int64)
    unknown = np.empty((8 * n + 1, 3), np.int64)
    stops = np.empty(len(edges) - 1, np.int64)
    n_tracks = 1
    for row in range(n):
        n_tracks = max(n_tracks, track[row] + 1)
    last_velocity, last_duration = np.full(n_tracks, -1, np.int64), np.full(n_tracks, -1, np.int64)
    last_bar = np.full(n_tracks, -1, np.int64)
    at = n_unknown = 0
    kinds, numbers = np.empty(8, np.int64), np.empty(8, np.int64)
    for line in range(len(edges) - 1):
        low, high = edges[line], edges[line + 1]
        begin = at
        bar = -1
        for row in range(low, high):
            here, part = onset[row], track[row]
            opens = row == low
            rest = np.int64(0)
            if with_bars:
                now = max(bar, 0)
                while now + 1 < len(starts) and starts[now + 1] <= here:
                    now += 1
                if now != bar:
                    opens = True
                    for _ in range(now - bar):
                        ids[at] = tables[0, 0]
                        at += 1
                    bar = now
                    rest = here - starts[bar]
            elif opens and says & 2:
                rest = here
            following = row + 1 < high and (not with_bars or bar + 1 >= len(starts) or onset[row + 1] < starts[bar + 1])
            step = np.int64(0)
            if following:
                step = onset[row + 1] - here
            elif with_bars:
                step = ends[bar] - here
            count = 0
            if rest > 0:
                kinds[count], numbers[count] = 1, rest
                count += 1
            if says & 4 and (opens or row == 0 or track[row - 1] != part):
                kinds[count], numbers[count] = 2, part
                count += 1
            kinds[count], numbers[count] = 3, pitch[row]
            count += 1
            compact = says & 16 != 0
            if says & 8 and not (compact and last_velocity[part] == velocity[row]):
                kinds[count], numbers[count] = 4, velocity[row]
                count += 1
            if not (compact and last_duration[part] == duration[row] and last_bar[part] == bar):
                kinds[count], numbers[count] = 5, duration[row]
                count += 1
            if not compact or step:
                kinds[count], numbers[count] = 6, step
                count += 1
            if says & 32:
                kinds[count], numbers[count] = 7, no_bend
                count += 1
            last_velocity[part], last_duration[part], last_bar[part] = velocity[row], duration[row], bar
            for place in range(count):
                kind, number = kinds[place], numbers[place]
                found = tables[kind, min(number, sizes[kind] - 1)]
                if found < 0:
                    unknown[n_unknown, 0], unknown[n_unknown, 1] = kind, number
                    unknown[n_unknown, 2] = kind < 4 and at > begin
                    n_unknown += 1
                    found = -n_unknown
                ids[at] = found
                at += 1
        if with_bars:
            for _ in range(len(starts) - 1 - bar if high > low else len(starts)):
                ids[at] = tables[0, 0]
                at += 1
        stops[line] = at
    return ids[:at].copy(), stops, unknown[:n_unknown].copy()


#: The compiled loop, or None without numba.
tell = lazily(_tell)
