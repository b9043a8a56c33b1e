"""Grace notes take their time from a neighbour: from the beat before them, or from their own.

In a Score a grace note is a note of its own that ends where its main note begins. On the page it has no beat: the note
before it keeps its written length, or its own beat begins with it.
"""

from __future__ import annotations

from collections import defaultdict
from math import gcd

from cadenza.score.model import Technique
from cadenza.score.rhythm import WHOLE
from cadenza.score.tab.effects import CENTS_PER_BEND_UNIT, GRACE_BEND, Marks, Values
from cadenza.score.tab.page import Beat, Item, Link

GRACE_TICKS = 120
GRACE_TECHNIQUES = Technique.GRACE | Technique.DEAD | Technique.SLIDE_LEGATO | Technique.HAMMER
VALUES, DEFAULT_VALUE = (1, 2, 4, 8, 16, 32, 64, 128), 32
NO_TRANSITION, SLIDE, BEND, HAMMER = 0, 1, GRACE_BEND, 3


def attach(items: list[Item], marks: Marks) -> list[Item]:
    """Items without the grace notes, which hang on the notes that they lead to.

    A grace note that leads to no note on its string is an ordinary note. Whether it stands before the beat or on it
    says the mark of the note that follows, else which of the two is on the stronger place of the bar.
    """
    drums = marks.drums
    mains = [item for item in items if not item.techniques & Technique.GRACE]
    at: dict[tuple[int, ...], list[Item]] = defaultdict(list)
    for item in mains:
        at[(item.voice, item.onset) if drums else (item.voice, item.onset, item.string)].append(item)
    plain = []
    for item in items:
        if not item.techniques & Technique.GRACE:
            continue
        key = (item.voice, item.end) if drums else (item.voice, item.end, item.string)
        free = [main for main in at.get(key, ()) if main.grace is None]
        if len(free) > 1:  # of drum notes at one time those that are marked to have one
            free = [main for main in free if _is_marked(main, item, marks)] or free
        if free:
            free[0].grace = item
        else:
            item.techniques &= ~Technique.GRACE
            plain.append(item)
    by_end: dict[tuple[int, int], list[Item]] = defaultdict(list)
    by_onset: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in mains + plain:
        by_end[item.voice, item.end].append(item)
        by_onset[item.voice, item.onset].append(item)
    for main in mains:
        grace = main.grace
        if grace is None or main.onset <= grace.onset:
            continue
        if _is_on_beat(main, grace, marks):
            for item in by_onset[main.voice, main.onset]:
                item.on_beat = True
                item.onset = grace.onset
        else:
            for item in by_end[main.voice, grace.onset]:
                item.end = max(item.end, main.onset)
    return mains + plain


def _is_marked(main: Item, grace: Item, marks: Marks) -> bool:
    return any("grace" in marks.of_note(main, onset) for onset in (grace.onset, main.onset))


def _is_on_beat(main: Item, grace: Item, marks: Marks) -> bool:
    if "grace" in marks.of_note(main, grace.onset):
        return True
    if "grace" in marks.of_note(main, main.onset):
        return False
    return gcd(grace.onset, WHOLE) > gcd(main.onset, WHOLE)


def place(beats: list[Beat], drums: bool = False) -> None:
    """Give grace notes their time as a reader does (half of the lender's beat, 1/32 at most) and write them down."""
    previous: Beat | None = None
    for beat in beats:
        graced = [link for link in beat.links if link.is_first and link.item.grace is not None]
        if graced:
            if drums:
                _pair_anew(graced)
            before = previous.start if previous else 0
            no_room = beat.start - before < 2
            on_beat = any(link.item.on_beat for link in graced) or no_room
            room = (beat.end - beat.start) // 2 if on_beat else (beat.start - before) // 2
            length = min(GRACE_TICKS, max(room, 1))
            first = beat.start if on_beat else beat.start - length
            if on_beat:
                for item in beat.begun:
                    item.onset = beat.start + length
            elif previous:
                for link in previous.links:
                    if link.item.end == beat.start:
                        link.item.end = first
            flags = [on_beat and bool(sum(link.marks.get("grace", (0, 1))[1:2])) for link in graced]
            if on_beat and not no_room and not any(flags):
                flags = [True] * len(flags)
            for link, flag in zip(graced, flags, strict=True):
                item, grace = link.item, link.item.grace
                assert grace is not None
                item.on_beat = on_beat
                grace.onset, grace.string, grace.voice = first, item.string, item.voice  # the main note may have moved
                grace.end = beat.start + length if on_beat else beat.start
                _plain(grace, item)
                link.marks["grace"] = written(grace, item.fret, link.marks.get("grace", ()), flag)
        previous = beat


def _pair_anew(graced: list[Link]) -> None:
    """The grace notes of one drum beat, from below, to its notes from below: strings do not say which leads where."""
    links = sorted(graced, key=lambda link: _height(link.item))
    found = sorted((link.item.grace for link in graced if link.item.grace is not None), key=_height)
    for link, grace in zip(links, found, strict=True):
        link.item.grace = grace


def _height(item: Item) -> tuple[int, ...]:
    return (item.pitch, item.velocity, int(item.techniques))


def _plain(grace: Item, main: Item) -> None:
    """Leave what a grace note can say: dead or not, and one way of reaching the main note."""
    rise = 2 * (main.fret - grace.fret)
    grace.techniques &= GRACE_TECHNIQUES
    if grace.techniques & Technique.SLIDE_LEGATO:
        grace.techniques &= ~Technique.HAMMER
    bent = bool(grace.bends) and rise and not grace.techniques & (Technique.SLIDE_LEGATO | Technique.HAMMER)
    span = grace.end - grace.onset
    grace.bends = ((0, 0), (span, rise * CENTS_PER_BEND_UNIT)) if bent else ()


def written(grace: Item, fret: int, said: Values, on_beat: bool) -> Values:
    """The ``grace`` mark of a note at ``fret``."""
    value = said[0] if said and said[0] in VALUES else DEFAULT_VALUE
    transition = NO_TRANSITION
    if grace.techniques & Technique.SLIDE_LEGATO:
        transition = SLIDE
    elif grace.techniques & Technique.HAMMER:
        transition = HAMMER
    elif grace.bends or (said[2:3] == (BEND,) and grace.fret == fret):
        transition = BEND
    return (value, int(on_beat), transition, int(bool(grace.techniques & Technique.DEAD)))
