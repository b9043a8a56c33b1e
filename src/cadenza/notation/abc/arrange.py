"""Notes → voices of bars that can be written: the heart of what ABC loses.

A voice is a row of chords and rests. Notes that begin and end together are a chord; notes of one voice that overlap
otherwise go to another voice of the track where one is free, else they stay and are tied from chord to chord. Times
are those that plain note values (down to 128ths) and tuplets can meet; in a bar of a voice where they cannot, they move
to the nearest of 24, 16 or 20 places a quarter. :func:`settle` does all this again until nothing changes any more, so
that what was written and read is written the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.notation.abc.assembling import grace_places
from cadenza.score.model import BEND_DTYPE, NO_FRET, NO_STRING, NOTE_DTYPE, Technique, Track

MAX_FREE_VOICES = 4  # that overlapping notes may open
MAX_VOICES = 8
MAX_ROUNDS = 40
ROUNDS_OF_CHOICE = 6  # after them everything goes to one grid
UNITS_PER_QUARTER = 32  # the shortest plain note is a 128th
GRID = (24, 16, 20)
TUPLETS = ((3, 2), (5, 4), (7, 4), (9, 8), (11, 8), (13, 8), (15, 8))
GRACE, STACCATO = int(Technique.GRACE), int(Technique.STACCATO)
Grace = tuple[int, int]  # pitch, spelling


@dataclass(slots=True, eq=False)
class Item:
    """A note on its way to the page."""

    onset: int
    end: int
    pitch: int
    velocity: int
    techniques: int
    voice: int
    spelling: int
    graces: list[Grace] = field(default_factory=list)

    def key(self) -> tuple[int, ...]:
        """What a change is seen by."""
        return (self.onset, self.end, self.pitch, self.velocity, self.techniques, self.voice)


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring stretches (start, end) in a tuplet of ``enters`` in the time of ``times``; 1 in 1: plain."""

    enters: int
    times: int
    stretches: list[tuple[int, int]]


def runs(points: Sequence[int], start: int, stop: int, ticks_per_quarter: int) -> list[Run] | None:
    """Stretches that fill the bar and meet all ``points`` (sorted, within it); None where note values cannot."""
    unit = ticks_per_quarter // UNITS_PER_QUARTER
    edges = [start, *points, stop]
    out: list[Run] = []
    low = 0
    while low + 1 < len(edges):
        if (edges[low + 1] - start) % unit == 0:
            _plain(out, edges[low], edges[low + 1])
            low += 1
            continue
        high = low + 1
        while (edges[high] - start) % unit:
            high += 1
        tuplet = _tuplet(edges[low : high + 1], unit)
        if tuplet is not None:
            out.append(tuplet)
            low = high
            continue
        # Change the tuplet on quarters of the bar, tying what sounds over them.
        first = start + (edges[low] - start) // ticks_per_quarter * ticks_per_quarter + ticks_per_quarter
        added = [q for q in range(first, edges[high], ticks_per_quarter) if q not in edges[low:high]]
        if not added:
            return None
        edges[low + 1 : high] = sorted([*edges[low + 1 : high], *added])
        # No part of it needs further quarters: each lies within one.
    return out


def _plain(out: list[Run], start: int, stop: int) -> None:
    if out and out[-1].enters == 1:
        out[-1].stretches.append((start, stop))
    else:
        out.append(Run(1, 1, [(start, stop)]))


def _tuplet(edges: Sequence[int], unit: int) -> Run | None:
    lengths = [stop - start for start, stop in pairwise(edges)]
    for enters, times in TUPLETS:
        if all(length * enters % (times * unit) == 0 for length in lengths):
            return Run(enters, times, list(pairwise(edges)))
    return None


def _snapped(
    points: Sequence[int], start: int, stop: int, ticks_per_quarter: int, coarse: bool
) -> tuple[dict[int, int], dict[int, int]]:
    """Point → nearest place of its quarter's best grid, and start of the quarter → step of the grid."""
    places: dict[int, int] = {}
    steps: dict[int, int] = {}
    for low in range(start, stop, ticks_per_quarter):
        high = min(low + ticks_per_quarter, stop)
        inside = points[bisect_left(points, low) : bisect_left(points, high)]
        best: tuple[int, int, int, dict[int, int]] | None = None
        for rank, parts in enumerate(GRID[:1] if coarse else GRID):
            step = ticks_per_quarter // parts
            if (high - low) % step and not coarse:
                continue
            moved = {p: min(low + (2 * (p - low) + step) // (2 * step) * step, high) for p in inside}
            option = (sum(abs(p - q) for p, q in moved.items()), rank, step, moved)
            if best is None or option[:2] < best[:2]:
                best = option
        assert best is not None  # sixteenths of a quarter divide every bar
        steps[low] = best[2]
        places.update(best[3])
    return places, steps


# ── one track ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Part:
    """A track whose notes have found their voices."""

    track: Track
    items: list[Item]
    moved: dict[int, int]  # extra points → where they went

    def to_track(self, ticks_per_quarter: int) -> Track:
        """The track that a reader finds."""
        rows = [
            (i.onset, i.end - i.onset, i.pitch, i.velocity, NO_STRING, NO_FRET, i.techniques, i.voice, i.spelling)
            for i in self.items
        ]
        groups = self.grace_groups()
        shortest: dict[tuple[int, int], int] = {}
        for item in self.items if groups else ():
            key = (item.voice, item.onset)
            shortest[key] = min(shortest.get(key, item.end - item.onset), item.end - item.onset)
        for (voice, onset), (before, velocity, group) in groups.items():
            places = grace_places(before, onset, len(group), ticks_per_quarter, shortest[voice, onset])
            for (at, length), (pitch, spelling) in zip(places, group, strict=True):
                rows.append((at, length, pitch, velocity, NO_STRING, NO_FRET, GRACE, voice, spelling))
        return replace(self.track, notes=np.array(rows, NOTE_DTYPE), bends=np.zeros(0, BEND_DTYPE))

    def grace_groups(self) -> dict[tuple[int, int], tuple[int, int, list[Grace]]]:
        """(voice, onset) → (the voice's onset before it, velocity, its grace notes in order)."""
        led = [i for i in self.items if i.graces]
        if not led:
            return {}
        onsets: dict[int, list[int]] = {}
        for voice in {i.voice for i in led}:
            onsets[voice] = sorted({i.onset for i in self.items if i.voice == voice})
        out: dict[tuple[int, int], tuple[int, int, list[Grace]]] = {}
        for item in sorted(led, key=lambda i: (i.onset, i.voice, i.pitch)):
            row = bisect_left(onsets[item.voice], item.onset)
            before = onsets[item.voice][row - 1] if row else 0
            group = out.setdefault((item.voice, item.onset), (before, item.velocity, []))[2]
            group += item.graces
            if item.onset - before <= len(group):  # no room: they begin together
                group.sort()
        return out


def part_of(track: Track, ticks_per_quarter: int) -> Part:
    """The track's notes as items, grace notes hung on those that they lead to; those that lead nowhere are notes."""
    least = ticks_per_quarter // UNITS_PER_QUARTER
    columns = [track.notes[name].tolist() for name in ("onset_ticks", "duration_ticks", "pitch", "velocity")]
    columns += [track.notes[name].tolist() for name in ("techniques", "voice", "spelling")]
    items = [Item(o, o + (d or least), p, v, t, w, s) for o, d, p, v, t, w, s in zip(*columns, strict=True)]
    mains = [item for item in items if not item.techniques & GRACE]
    if len(mains) < len(items):
        mains += _hang(mains, [item for item in items if item.techniques & GRACE])
    return Part(track, mains, {})


def _hang(mains: list[Item], graces: list[Item]) -> list[Item]:
    """The grace notes that lead nowhere, as ordinary notes; the others go to their notes."""
    targets: dict[tuple[int, int], Item] = {}
    for item in mains:
        targets.setdefault((item.voice, item.onset), item)
    chain: dict[tuple[int, int], Item] = {}
    groups: dict[int, tuple[Item, list[Item]]] = {}
    rest = []
    for grace in sorted(graces, key=lambda g: (-g.end, -g.onset, -g.pitch)):
        target = targets.get((grace.voice, grace.onset))
        if target is None:
            target = targets.get((grace.voice, grace.end)) or chain.get((grace.voice, grace.end))
            if target is not None:
                chain.setdefault((grace.voice, grace.onset), target)
        if target is None:
            grace.techniques &= ~GRACE
            rest.append(grace)
        else:
            groups.setdefault(id(target), (target, []))[1].append(grace)
    for target, group in groups.values():
        target.graces = [(g.pitch, g.spelling) for g in sorted(group, key=lambda g: (g.onset, g.pitch, g.spelling))]
    return rest


def settle(part: Part, starts: list[int], ends: list[int], ticks_per_quarter: int, extra: Sequence[int]) -> Part:
    """The part with voices and times that can be written; see the module.

    Args:
        starts, ends: of the bars.
        extra: ticks at which something of the first voice must begin (tempo changes).

    Raises:
        RangeError: it does not come to rest (which no music is known to do).
    """
    moved = {tick: tick for tick in extra}
    items = part.items
    for turn in range(MAX_ROUNDS):
        before = sorted(item.key() for item in items)
        points = set(moved.values())
        changed = _meet(items, starts, ends, ticks_per_quarter, moved, turn >= ROUNDS_OF_CHOICE)
        items = _cut(items)
        _assign(items)
        _level(items)
        if not changed and points == set(moved.values()) and before == sorted(item.key() for item in items):
            _without_tied_staccato(items, starts, ends, ticks_per_quarter, moved)
            items.sort(key=lambda i: (i.onset, i.voice, i.pitch, i.end))
            return Part(part.track, items, moved)
    raise RangeError(
        "notes that come to rest in voices", f"{len(items)} that do not", where=f"track {part.track.name!r}"
    )


def points_by_bar(items: list[Item], starts: list[int], extra: Sequence[int]) -> dict[int, dict[int, list[int]]]:
    """Voice → bar → the sorted ticks within it at which something begins or ends."""
    out: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    at_start = set(starts)
    for item in items:
        bars = out[item.voice]
        for tick in (item.onset, item.end):
            if tick not in at_start:
                bars[bisect_right(starts, tick) - 1].add(tick)
    for tick in extra:
        if tick not in at_start:
            out[0][bisect_right(starts, tick) - 1].add(tick)
    return {voice: {bar: sorted(ticks) for bar, ticks in bars.items()} for voice, bars in out.items()}


def _meet(
    items: list[Item], starts: list[int], ends: list[int], ticks_per_quarter: int, moved: dict[int, int], coarse: bool
) -> bool:
    """Move times where note values cannot meet them; whether any moved."""
    last = ends[-1]
    places: dict[int, dict[int, int]] = {}
    steps: dict[int, dict[int, int]] = {}
    for voice, bars in points_by_bar(items, starts, list(moved.values())).items():
        for bar, ticks in bars.items():
            ticks = [tick for tick in ticks if tick < last]
            if not coarse and runs(ticks, starts[bar], ends[bar], ticks_per_quarter) is not None:
                continue
            found, grid = _snapped(ticks, starts[bar], ends[bar], ticks_per_quarter, coarse)
            if coarse and all(p == q for p, q in found.items()):
                continue
            places.setdefault(voice, {}).update(found)
            steps.setdefault(voice, {}).update(grid)
    if not places:
        return False
    changed = False
    for item in items:
        where = places.get(item.voice)
        if where is None:
            continue
        onset, end = where.get(item.onset, item.onset), where.get(item.end, item.end)
        if end <= onset:
            bar = max(0, bisect_right(starts, onset) - 1)
            quarter = starts[bar] + (onset - starts[bar]) // ticks_per_quarter * ticks_per_quarter
            step = steps[item.voice].get(quarter, ticks_per_quarter // 16)
            end = onset + step
            if end > last:
                onset, end = onset - step, onset
        changed |= (onset, end) != (item.onset, item.end)
        item.onset, item.end = onset, end
    where = places.get(0, {})
    for tick, place in moved.items():
        to = where.get(place, place)
        changed |= to != place
        moved[tick] = to
    return changed


def _cut(items: list[Item]) -> list[Item]:
    """Of notes of one voice and pitch that overlap, the earlier up to the later; of two together the longer."""
    held: dict[tuple[int, int], Item] = {}
    out = []
    for item in sorted(items, key=lambda i: (i.onset, -i.end, -i.velocity, i.techniques, i.spelling)):
        before = held.get((item.voice, item.pitch))
        if before is not None and before.end > item.onset:
            if before.onset == item.onset:
                before.velocity = max(before.velocity, item.velocity)
                before.techniques |= item.techniques
                before.graces += item.graces
                continue
            before.end = item.onset
        held[(item.voice, item.pitch)] = item
        out.append(item)
    return out


def _assign(items: list[Item]) -> None:
    """Chords that overlap others of their voice go to a free one."""
    present = sorted({item.voice for item in items})
    number = {voice: min(place, MAX_VOICES - 1) for place, voice in enumerate(present)}
    at: dict[int, dict[tuple[int, int], list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        item.voice = number[item.voice]
        at[item.onset][(item.voice, -item.end)].append(item)
    busy = [0] * MAX_VOICES
    for onset in sorted(at):
        waiting = []
        for (voice, end), chord in sorted(at[onset].items(), key=lambda pair: pair[0]):
            if busy[voice] <= onset:
                busy[voice] = -end
            else:
                waiting.append((voice, -end, chord))
        for voice, end, chord in waiting:
            free = next((v for v in range(MAX_FREE_VOICES) if busy[v] <= onset), voice)
            busy[free] = max(busy[free], end)
            for item in chord:
                item.voice = free


def _level(items: list[Item]) -> None:
    """Notes that begin together in one voice are as loud as the loudest, and have all their techniques."""
    groups: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in items:
        groups[(item.voice, item.onset)].append(item)
    for group in groups.values():
        if len(group) > 1:
            loudest, every = max(i.velocity for i in group), 0
            for item in group:
                every |= item.techniques
            for item in group:
                item.velocity, item.techniques = loudest, every


def _without_tied_staccato(
    items: list[Item], starts: list[int], ends: list[int], ticks_per_quarter: int, moved: dict[int, int]
) -> None:
    """Notes that begin where one of them is tied lose their staccato: readers refuse that, and nobody can play it."""
    groups: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in items:
        if item.techniques & STACCATO:
            groups[(item.voice, item.onset)].append(item)
    if not groups:
        return
    points = points_by_bar(items, starts, list(moved.values()))
    ends_of: dict[tuple[int, int], dict[int, int]] = {}  # voice, bar → start of a stretch → its end
    for (voice, onset), group in groups.items():
        bar = bisect_right(starts, onset) - 1
        if (voice, bar) not in ends_of:
            inside = [tick for tick in points[voice].get(bar, ()) if tick < ends[bar]]
            found = runs(inside, starts[bar], ends[bar], ticks_per_quarter) or []
            ends_of[(voice, bar)] = {low: high for run in found for low, high in run.stretches}
        if any(item.end > ends_of[(voice, bar)].get(onset, onset) for item in group):
            for item in group:
                item.techniques &= ~STACCATO
