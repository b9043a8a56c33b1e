"""What is written at beats and notes: marks found, checked, and completed.

:func:`find` hangs the marks of a track on the beats and links at their places. :func:`settle` then makes every beat say
what a tablature program can hold, the same for a file that was read and for a score that is to be written: marks that
do not agree with the notes are left out, and what techniques and bends say without a mark gets one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, product

from cadenza.score.model import HARMONICS, Technique, Track
from cadenza.score.tab import harmonics
from cadenza.score.tab.page import ANY_SLAP, SLAPS, Beat, Item, Link
from cadenza.score.written import Mark

Values = tuple[int, ...]

BEND_POSITIONS = 60  # places for a bend point over a note
CENTS_PER_BEND_UNIT = 50
MAX_BEND_UNITS = 12_000 // CENTS_PER_BEND_UNIT
MAX_BEND_POINTS = 1_000
MAX_CHOICES = 64  # ways to choose among the bends at a note's links
GRACE_BEND = 2  # the transition of a grace note that is bent up to its note
BEND_TYPES, PLAIN_BEND = 12, 1
STROKE_SPEEDS, DEFAULT_STROKE = (4, 8, 16, 32, 64, 128), 32
TRILL_SPEEDS, TREMOLO_SPEEDS = (16, 32, 64), (8, 16, 32)
DEFAULT_TRILL, DEFAULT_TREMOLO = (2, 16), (16,)
MAX_FRET = 99
# Where a tied note's technique is written if no mark says otherwise: at the end of the chain, on every link, or
# (others) at its start.
AT_THE_END = (
    Technique.HAMMER
    | Technique.SLIDE_SHIFT
    | Technique.SLIDE_LEGATO
    | Technique.SLIDE_OUT_DOWN
    | Technique.SLIDE_OUT_UP
)
THROUGHOUT = Technique.LET_RING | Technique.VIBRATO | Technique.PALM_MUTE
#: Techniques that only the first link of a chain can have.
OF_THE_FIRST = HARMONICS | ANY_SLAP | Technique.DEAD | Technique.GRACE


_ANY_SLAP, _HARMONICS = int(ANY_SLAP), int(HARMONICS)
_TRILL, _TREMOLO_PICKING = int(Technique.TRILL), int(Technique.TREMOLO_PICKING)


# ── values that can be held ──────────────────────────────────────────────────────────────────────────────


def curve_values(values: Values) -> Values | None:
    """Values of a bend or of the tremolo bar; None where they cannot be held."""
    points = values[2:]
    if len(values) < 5 or len(points) % 3 or len(points) > 3 * MAX_BEND_POINTS or not 0 <= values[0] < BEND_TYPES:
        return None
    if not all(0 <= position <= BEND_POSITIONS for position in points[::3]):
        return None
    if not all(abs(height) <= MAX_BEND_UNITS for height in (values[1], *points[1::3])):
        return None
    return values if set(points[2::3]) <= {0, 1} else None


def _stroke(values: Values) -> Values | None:
    direction, speed = (*values, 0, 0)[:2]
    return (direction, speed if speed in STROKE_SPEEDS else DEFAULT_STROKE) if direction in (1, 2) else None


def _one_of(*options: int) -> Callable[[Values], Values | None]:
    return lambda values: values[:1] if values and values[0] in options else None


def _nothing(values: Values) -> Values | None:
    return ()


def _tempo(values: Values) -> Values | None:
    return values[:1] if values and 1 <= values[0] <= 1_000_000 else None


#: Kinds of marks at a beat that tablature programs hold, and what becomes of their values.
BEAT_KINDS: Mapping[str, Callable[[Values], Values | None]] = {
    "stroke": _stroke,
    "pick_stroke": _one_of(1, 2),
    "tremolo_bar": curve_values,
    "wide_vibrato": _nothing,
    "fade": _one_of(1),
    "rasgueado": _nothing,
    "ottava": _one_of(-2, -1, 1, 2),
    "slap_effect": _one_of(1, 2, 3),
    "tempo": _tempo,
    "text": _nothing,
    "chord": _nothing,
}
TEXT_KINDS = ("text", "chord")
#: Kinds of marks at a note that tablature programs hold.
NOTE_KINDS = ("bend", "grace", "trill", "tremolo_picking", "harmonic", "tied", "fingering", "tie", "row")


def trill(values: Values | None, fret: int) -> Values:
    """(semitones, speed) of a trill from ``fret``; a whole tone where it says nothing that can be held."""
    if values is None or len(values) != 2 or values[1] not in TRILL_SPEEDS or not 0 <= fret + values[0] <= MAX_FRET:
        return DEFAULT_TRILL
    return values


def tremolo(values: Values | None) -> Values:
    """(speed,) of tremolo picking; sixteenths where it says nothing that can be held."""
    return values if values is not None and len(values) == 1 and values[0] in TREMOLO_SPEEDS else DEFAULT_TREMOLO


def fingering(values: Values | None) -> Values | None:
    """(left, right), one of them a finger at least; the other may be unsaid (−2)."""
    if values is None or len(values) != 2 or max(values) > 4 or max(values) < 0:
        return None
    return tuple(finger if finger >= 0 else -2 for finger in values)


# ── curves ───────────────────────────────────────────────────────────────────────────────────────────────


def bend_points(parts: Iterable[tuple[int, Values]], onset: int, end: int) -> tuple[tuple[int, int], ...]:
    """What a note's bends sound: (ticks after ``onset``, cents), of several at one tick the last.

    Args:
        parts: (first tick, values) of each bend; one lasts until the next begins, the last until ``end``.
    """
    parts = list(parts)
    if not parts:
        return ()
    points: dict[int, int] = {}
    ends = [start for start, _ in parts[1:]] + [end]
    duration = max(end - onset, 1)
    for (start, values), stop in zip(parts, ends, strict=True):
        first, span = start - onset, stop - start
        for position, height in zip(values[2::3], values[3::3], strict=True):
            offset = first + (2 * position * span + BEND_POSITIONS) // (2 * BEND_POSITIONS)
            points[min(max(offset, 0), duration)] = height * CENTS_PER_BEND_UNIT
    return tuple(sorted(points.items()))


def bend_units(cents: int) -> int:
    """The nearest quarter-tone, halves away from zero, at most 120 semitones."""
    units = min((2 * abs(cents) + CENTS_PER_BEND_UNIT) // (2 * CENTS_PER_BEND_UNIT), MAX_BEND_UNITS)
    return units if cents >= 0 else -units


def _plain_bend(item: Item) -> Values:
    """The item's curve as one bend over all of it, points at sixtieths, in quarter-tones."""
    span = max(item.end - item.onset, 1)  # a grace note on the beat may leave it no time
    heights: dict[int, int] = {}
    for offset, cents in item.bends:
        position = (2 * min(offset, span) * BEND_POSITIONS + span) // (2 * span)
        heights[position] = bend_units(cents)
    points = [value for position in sorted(heights) for value in (position, heights[position], 0)]
    return (PLAIN_BEND, max(heights.values()), *points)


# ── marks at their places ────────────────────────────────────────────────────────────────────────────────


class Marks:
    """The marks of a track by place."""

    def __init__(self, track: Track) -> None:
        self.drums = track.is_drums
        self._at: dict[tuple[int, int], list[Mark]] = defaultdict(list)
        for mark in track.marks:
            self._at[mark.voice, mark.onset_ticks].append(mark)

    def at(self, voice: int, onset: int) -> list[Mark]:
        """All marks at a beat and its notes."""
        return self._at.get((voice, onset), [])

    def of_note(self, item: Item, onset: int) -> dict[str, Values]:
        """What marks say of the item at the beat at ``onset``; of several of one kind the first."""
        return {kind: said[0] for kind, said in self.all_of_note(item, onset).items()}

    def all_of_note(self, item: Item, onset: int) -> dict[str, list[Values]]:
        """All that marks say of the item at the beat at ``onset``, and of others of its key among drum notes."""
        out: dict[str, list[Values]] = defaultdict(list)
        for mark in self.at(item.voice, onset):
            if mark.string and not self.drums:
                fits = mark.string == item.string
            else:
                fits = mark.pitch >= 0 and mark.pitch == item.pitch
            if fits:
                out[mark.kind].append(mark.values)
        return out


def find(row: list[Beat], voice: int, marks: Marks) -> None:
    """Hang the marks of a voice on its beats and links."""
    for beat in row:
        said = marks.at(voice, beat.start)
        if not said:
            continue
        for mark in said:
            if mark.string == 0 and mark.pitch < 0 and mark.kind in BEAT_KINDS and mark.kind not in beat.marks:
                values = BEAT_KINDS[mark.kind](mark.values)
                is_text = mark.kind in TEXT_KINDS
                if values is not None and bool(mark.text) >= is_text:
                    beat.marks[mark.kind] = (values, mark.text if is_text else "")
        keys = Counter(link.item.pitch for link in beat.links) if marks.drums else {}
        for link in beat.links:
            every = marks.all_of_note(link.item, beat.start)
            link.marks = {kind: values[0] for kind, values in every.items()}
            link.bends = tuple(filter(None, map(curve_values, every.get("bend", ()))))
            if keys.get(link.item.pitch, 0) > 1:
                _of_twins(link, every)


def _of_twins(link: Link, every: Mapping[str, list[Values]]) -> None:
    """Marks do not tell drum notes of one key apart: what may be of the other is as good as unsaid."""
    link.marks.pop("tied", None)
    link.bends = (*link.bends, ())
    bent = next((said for said in every.get("grace", ()) if said[2:3] == (GRACE_BEND,)), None)
    if bent is not None:
        link.marks["grace"] = bent


def settle(row: list[Beat], track: Track) -> None:
    """Make a voice's beats say all that is written and nothing that does not fit; items become what they say."""
    items: list[Item] = []
    for beat in row:
        for link in beat.links:
            if link.is_first:
                items.append(link.item)
        _share_slap(beat)
    struck: set[int] = set()  # strings on which a note was
    for item in items:
        bends = _bends(item)
        is_tie = "tie" in item.links[0].marks and _may_be_tied(item, track, struck)
        struck.add(item.string)
        for link, bits in zip(item.links, _bits(item), strict=True):
            link.bits = bits
            link.marks = _of_link(link, track)
        for link, values in bends:
            link.marks["bend"] = values
        if is_tie:
            item.links[0].marks["tie"] = ()
        item.bends = bend_points(
            [(item.onset if link.is_first else link.beat.start, values) for link, values in bends], item.onset, item.end
        )
        link_tied(item.techniques, item.links)
    if track.is_drums:
        for beat in row:
            _mark_rows(beat)


def _may_be_tied(item: Item, track: Track, struck: set[int]) -> bool:
    """Whether a note can be written as tied though none is before it: an open string that was not heard yet."""
    return not (
        track.is_drums
        or item.fret
        or item.grace is not None
        or item.string in struck
        or item.techniques & Technique.DEAD
    )


def _mark_rows(beat: Beat) -> None:
    """Say the order of drum notes where it is not that of their keys."""
    begun = sorted((link for link in beat.links if link.is_first), key=lambda link: link.item.string)
    keys = [link.item.fret for link in begun]
    if keys != sorted(keys):
        for rank, link in enumerate(begun, 1):
            link.marks["row"] = (rank,)


def _share_slap(beat: Beat) -> None:
    """Tapping, slapping and popping belong to a beat: one of them, for all notes that begin on it."""
    begun = beat.begun
    if not begun:
        return
    beat.marks.pop("slap_effect", None)
    if not any(int(item.techniques) & _ANY_SLAP for item in begun):
        return
    found = next((slap for slap in SLAPS if any(item.techniques & slap for item in begun)), Technique.NONE)
    for item in begun:
        item.techniques = item.techniques & ~ANY_SLAP | found


def usual_bits(techniques: Technique, is_first: bool, is_last: bool) -> Technique:
    """The techniques that are written at a link of a chain where no mark says otherwise."""
    written = techniques & THROUGHOUT
    if is_first:
        written |= techniques & ~AT_THE_END
    if is_last:
        written |= techniques & AT_THE_END
    return written


def _bits(item: Item) -> list[Technique]:
    links = item.links
    if len(links) == 1:
        return [item.techniques]
    last = len(links) - 1
    usual = [usual_bits(item.techniques, n == 0, n == last) for n in range(len(links))]
    if any("tied" in link.marks for link in links):
        shared = item.techniques & ~OF_THE_FIRST
        said = [
            Technique(sum(link.marks["tied"][:1]) & int(shared)) if "tied" in link.marks else bits & shared
            for link, bits in zip(links, usual, strict=True)
        ]
        missing = shared
        for bits in said:
            missing &= ~bits
        usual = [bits | own & missing for bits, own in zip(said, usual, strict=True)]
        usual[0] |= item.techniques & OF_THE_FIRST
    return usual


def link_tied(techniques: Technique, links: list[Link]) -> None:
    """Say where the links of a chain differ from the usual."""
    last = len(links) - 1
    for n, link in enumerate(links):
        if last and link.bits != usual_bits(techniques, n == 0, n == last):
            link.marks["tied"] = (int(link.bits & ~OF_THE_FIRST),)


def _bends(item: Item) -> list[tuple[Link, Values]]:
    """The bends that are written at links: those that marks say, if they are the note's; else one over all of it."""
    if not item.bends:
        return []
    plain = _plain_bend(item)
    # The curve itself, else the nearest that can be written: a mark may say it in its own way.
    rounded = bend_points([(item.onset, plain)], item.onset, item.end)
    said = [link for link in item.links if link.bends]
    for curve in dict.fromkeys((item.bends, rounded)):
        for chosen in islice(product(*(link.bends for link in said)), MAX_CHOICES):
            held = [(link, values) for link, values in zip(said, chosen, strict=True) if values]
            parts = [(item.onset if link.is_first else link.beat.start, values) for link, values in held]
            if bend_points(parts, item.onset, item.end) == curve:
                return held
    return [(item.links[0], plain)]


def _of_link(link: Link, track: Track) -> dict[str, Values]:
    said, item, bits = link.marks, link.item, int(link.bits)  # enumerations are slow
    out: dict[str, Values] = {}
    if bits & _TRILL:
        out["trill"] = trill(said.get("trill"), item.fret)
    if bits & _TREMOLO_PICKING:
        out["tremolo_picking"] = tremolo(said.get("tremolo_picking"))
    if not said:
        return out
    fingers = fingering(said.get("fingering"))
    if fingers is not None:
        out["fingering"] = fingers
    if link.is_first:
        if "grace" in said and item.grace is not None:
            out["grace"] = said["grace"]
        if bits & _HARMONICS and "harmonic" in said and not track.is_drums:
            above = item.pitch - track.tuning[item.string - 1] - track.capo_fret - item.fret
            place = harmonics.named(link.bits & HARMONICS, said["harmonic"], item.fret, above)
            if place is not None:
                out["harmonic"] = place
    return out
