"""Notes → beats: what a page can hold of a track, and the beats that hold it.

A voice is a row of beats; a note that outlasts its beat is tied into the next, so notes of one voice may
overlap freely, one a string. A page has so many voices; notes of higher ones join the last.

Where the track says how it is written (:attr:`~cadenza.score.model.Track.beats`), its beats are kept, bar by bar, if
they fit the notes; a bar may then end early. Elsewhere the rhythm is worked out. A bar in which nothing sounds and
nothing is written stays empty.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Track
from cadenza.score.rhythm import (
    QUARTER,
    SIXTY_FOURTH,
    Length,
    Piece,
    Snapped,
    clock,
    snap,
    spell,
    truncated,
    whole_ticks,
)
from cadenza.score.tab import effects, graces
from cadenza.score.tab.page import Arranged, Beat, Item, Link, Page
from cadenza.score.time import BarTable

GUITAR_PRO_5 = Page()


def arrange(track: Track, table: BarTable, extra: tuple[int, ...] = (), page: Page = GUITAR_PRO_5) -> Arranged:
    """The track's notes as beats of the bars in ``table``, each of which is as long as its metre says.

    Args:
        track: fretted throughout, or drums; 960 ticks a quarter.
        extra: ticks at which a beat of the first voice must begin (tempo changes).
    """
    marks = effects.Marks(track)
    mains = sorted(graces.attach(_items(track, page), marks), key=_order)
    if track.is_drums:
        mains = _drum_strings(_by_rows(mains, marks), page)
    mains = _one_a_string(mains, page.voices)
    out = Arranged(track, [], {}, {})
    for voice in range(page.voices):
        own = [item for item in mains if item.voice == voice]
        written = track.beats[track.beats["voice"] == voice]
        ticks = list(extra) if voice == 0 else []
        if not own and not ticks and not len(written):
            continue
        items, row = _lay_out(own, voice, table, ticks, written, out, page)
        effects.find(row, voice, marks)
        graces.place(row, track.is_drums)
        effects.settle(row, track)
        out.items += items
    return out


def _by_rows(items: list[Item], marks: effects.Marks) -> list[Item]:
    """Drum notes that begin together from above, as marks say; those of one key take their rows one after another."""
    left: dict[tuple[int, int, int], list[int]] = {}
    rows: dict[Item, int] = {}
    for item in items:
        place = (item.voice, item.onset, item.pitch)
        if place not in left:
            left[place] = sorted(sum(said[:1]) for said in marks.all_of_note(item, item.onset).get("row", ()))
        free = left[place]
        rows[item] = free.pop(0) if len(free) > 1 else sum(free)
    return sorted(items, key=lambda item: (item.onset, rows[item]))


def _items(track: Track, page: Page) -> list[Item]:
    out = []
    for n in track:
        bends = tuple((b.offset_ticks, b.cents) for b in n.bends)
        fret = n.pitch if track.is_drums else n.fret
        voice = min(n.voice, page.voices - 1)
        end = n.onset_ticks + max(n.duration_ticks, 1)
        out.append(Item(n.onset_ticks, end, n.pitch, n.string, fret, n.velocity, n.techniques, voice, bends))
    return out


def _order(item: Item) -> tuple[int, ...]:
    return (item.onset, item.pitch, item.end, item.velocity, item.string, item.voice, int(item.techniques))


# ── strings ──────────────────────────────────────────────────────────────────────────────────────────────


def _drum_strings(items: list[Item], page: Page) -> list[Item]:
    """Drum notes on the strings of the page: the first that is free, then other voices'; else left out."""
    busy = {voice: [0] * (page.drum_strings + 1) for voice in range(page.voices)}
    out = []
    for item in items:
        for voice in (item.voice, *(voice for voice in range(page.voices) if voice != item.voice)):
            free = [s for s in range(1, page.drum_strings + 1) if busy[voice][s] <= item.onset]
            if free:
                item.voice, item.string = voice, free[0]
                busy[voice][free[0]] = item.end
                out.append(item)
                break
    return out


def _one_a_string(items: list[Item], voices: int = 1) -> list[Item]:
    """A note ends where the next on its string and voice begins; of two at once the longer stays.

    With more than one voice the other goes to the second where the string is free there.
    """
    lanes: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in items:
        lanes[item.voice, item.string].append(item)
    homeless: list[Item] = []
    for lane in lanes.values():
        first_at: dict[int, Item] = {}
        for item in sorted(lane, key=_order):
            rival = first_at.get(item.onset)
            if rival is None or item.end > rival.end:
                first_at[item.onset] = item
                if rival is not None:
                    homeless.append(rival)
            else:
                homeless.append(item)
        lane[:] = [first_at[onset] for onset in sorted(first_at)]
        for item, following in pairwise(lane):
            item.end = min(item.end, following.onset)
    if voices > 1:
        for item in sorted(homeless, key=_order):
            lane = lanes[1, item.string]
            if item.voice == 0 and not any(o.onset < item.end and item.onset < o.end for o in lane):
                item.voice = 1
                lane.append(item)
    return sorted((item for lane in lanes.values() for item in lane), key=_order)


# ── beats ────────────────────────────────────────────────────────────────────────────────────────────────


def _lay_out(
    items: list[Item],
    voice: int,
    table: BarTable,
    extra: list[int],
    written: NDArray[np.void],
    out: Arranged,
    page: Page,
) -> tuple[list[Item], list[Beat]]:
    """Fill ``out.beats`` bar by bar, moving what no duration can meet; the items that stay, and the voice's beats."""
    starts, moved = table.starts_ticks.tolist(), out.moved
    by_bar: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_bar[int(table.index_of(item.onset))].append(item)
    sounding: list[Item] = []  # items that reach into the bar
    row: list[Beat] = []
    kept: list[Item] = []
    for bar, (start, stop) in enumerate(zip(starts, table.ends_ticks.tolist(), strict=True)):
        own = by_bar.pop(bar, [])
        ticks = [tick for tick in extra if start <= moved.get(tick, tick) < stop]
        low, high = np.searchsorted(written["onset_ticks"], [start, stop])
        if not own and not sounding and not ticks and low == high:
            continue
        for item in own:
            if item.end <= item.onset:  # it came from the bar before, where its place was the bar line
                item.end = item.onset + SIXTY_FOURTH
        own = _one_a_string(sounding + own)
        points = _points(own, ticks, moved)
        pieces = _as_written(written[low:high], points, start, stop, page) if low < high else None
        if pieces is None and not own and not ticks:
            continue
        pieces = pieces or spell(points, start, stop)
        if pieces is None:
            inside = [p for p in points if start < p < stop]
            tuplets = spell(points, start, stop, rounded=True)
            snapped = snap(inside, start, stop) if tuplets is None else truncated(tuplets, inside)
            last = stop == int(table.ends_ticks[-1])
            for item in own:
                _move(item, snapped, start, stop, last)
            for tick in ticks:
                moved[tick] = snapped.places.get(moved.get(tick, tick), moved.get(tick, tick))
            late = [item for item in own if item.onset >= stop]
            by_bar[bar + 1] += late
            own = _one_a_string([item for item in own if item.onset < stop])
            pieces = tuplets or spell(_points(own, ticks, moved), start, stop)
            assert pieces is not None, "the grid is chosen so that durations can meet it"
        made = [Beat(*ticks, piece.length) for ticks, piece in zip(clock(pieces), pieces, strict=True)]
        _fill(made, own)
        out.beats[bar, voice] = made
        row += made
        kept += [item for item in own if item.end <= stop]
        sounding = [item for item in own if item.end > stop]
    return kept + sounding, row


def _as_written(rows: NDArray[np.void], points: Sequence[int], start: int, stop: int, page: Page) -> list[Piece] | None:
    """The written beats of a bar, which may end early; None where they do not fit its notes, or the page."""
    out: list[Piece] = []
    exact, at = Fraction(start), start
    edges = {start}
    for onset, duration, _, value, dots, enters, times in rows.tolist():
        if onset != at or value > page.shortest or dots > 1 or (enters, times) not in page.tuplets:
            return None
        piece = Piece(exact, Length(value, bool(dots), enters, times))
        exact = piece.end
        at = whole_ticks(exact, at + int(piece.length.ticks))
        if at != onset + duration:
            return None
        edges.add(at)
        out.append(piece)
    met = at <= stop and all(point in edges for point in points if start < point < stop)
    if at < stop and points and points[-1] > at:  # something sounds in what is left
        met = False
    return out if met else None


def _points(items: list[Item], ticks: list[int], moved: dict[int, int]) -> list[int]:
    edges = {edge for item in items for edge in (item.onset, item.end)}
    return sorted(edges | {moved.get(tick, tick) for tick in ticks})


def _move(item: Item, snapped: Snapped, start: int, stop: int, last_bar: bool) -> None:
    """Move an item's edges to their places; it keeps one step of the grid at least."""
    end = snapped.places.get(item.end, item.end)
    onset = snapped.places.get(item.onset, item.onset)
    if onset >= stop and last_bar:
        onset = stop - snapped.steps[max(snapped.steps)]
    if start <= onset < stop and end <= onset:
        end = onset + snapped.steps[start + (onset - start) // QUARTER * QUARTER]
    item.onset, item.end = onset, max(end, onset)


def _fill(beats: list[Beat], items: list[Item]) -> None:
    starts = [beat.start for beat in beats]
    for item in items:
        low = bisect_left(starts, item.onset)
        for index in range(low, bisect_left(starts, item.end)):
            link = Link(item, beats[index])
            item.links.append(link)
            beats[index].links.append(link)
