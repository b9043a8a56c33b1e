"""The loops of :class:`~cadenza.notation.simplified.ids.FieldIds`: notes → telling order → ids; compiled by numba.

Their twins in NumPy are ``FieldIds._placed`` and ``FieldIds._lines``, which serve without numba and are the oracles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cadenza.base.compiled import Loop

BARS, RESTS, TRACKS, VELOCITIES, COMPACT, BENDS = (1 << n for n in range(6))
BY_TRACK, MERGED, TABLE = (1 << n for n in range(3))


def _arrange(how: Any, every: Any, edges: Any, old: Any, new: Any, nearest: Any, velocities: Any) -> Any:
    """(whether it was done, last offset before durations are changed, and after, notes in telling order).

    Args:
        how: bits: line after line BY_TRACK, else by onset, then track unless MERGED; durations by TABLE.
        every: the notes of all tracks, one track after another, each in a Track's order.
        edges: (tracks + 1,) the first note of each.
        old, new: ticks per quarter; onsets and offsets are rounded where these differ.
        nearest: duration → that of the table. velocities: (128,) what is told of each.

    The notes are (5, n): track, onset, pitch, velocity, duration. Thousands of notes of one place are not done.
    """
    n, n_tracks = len(every), len(edges) - 1
    told = np.empty((5, n), np.int64)
    heads, at = np.empty(n_tracks, np.int64), edges[:-1].copy()
    for part in range(n_tracks):
        if at[part] < edges[part + 1]:
            heads[part] = every[at[part]].onset_ticks
            if old != new:
                heads[part] = (2 * heads[part] * new + old) // (2 * old)
    last = np.int64(0)
    last_told = np.int64(0)
    moves_left = 64 * n
    now = 0
    for row in range(n):
        if how & 1:
            while at[now] == edges[now + 1]:
                now += 1
        else:
            now = -1
            for part in range(n_tracks):
                if at[part] < edges[part + 1] and (now < 0 or heads[part] < heads[now]):
                    now = part
        note = every[at[now]]
        onset, duration = heads[now], note.duration_ticks
        if old != new:
            end = (2 * (note.onset_ticks + duration) * new + old) // (2 * old)
            duration = max(end - onset, np.int64(duration > 0))  # a sounding note never rounds away to nothing
        last = max(last, onset + duration)
        if how & 4:
            duration = nearest[min(duration, len(nearest) - 1)]
        last_told = max(last_told, onset + duration)
        at[now] += 1
        if at[now] < edges[now + 1]:
            heads[now] = every[at[now]].onset_ticks
            if old != new:
                heads[now] = (2 * heads[now] * new + old) // (2 * old)
        track = 0 if how & 2 else now
        pitch, velocity = np.int64(note.pitch), velocities[note.velocity]
        # Within one place: pitch from above, then duration, then velocity.
        low = row
        while low > 0 and told[1, low - 1] == onset and told[0, low - 1] == track and moves_left > 0:
            above, longer = told[2, low - 1] - pitch, told[4, low - 1] - duration
            if above > 0 or (above == 0 and (longer < 0 or (longer == 0 and told[3, low - 1] <= velocity))):
                break
            for field in range(2, 5):
                told[field, low] = told[field, low - 1]
            low -= 1
            moves_left -= 1
        told[0, row], told[1, row] = track, onset
        told[2, low], told[3, low], told[4, low] = pitch, velocity, duration
    return moves_left > 0 or n == 0, last, last_told, told


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


#: By columns, 600,000 notes take about as long as loading numba and what it kept (``benchmarks/compiled_midi.py``).
ARRANGE = Loop(_arrange, plain_work=600_000)
TELL = Loop(_tell, plain_work=600_000)
