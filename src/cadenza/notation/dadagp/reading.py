"""A told piece → Score.

An instrument's beat lasts until its next, or to the end of the bar. A tied note goes on from the instrument's last
beat; one that finds no note there begins. Beats that are one note value long become written beats.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from cadenza.notation.dadagp import effects
from cadenza.notation.dadagp.piece import Said, SaidBar, SaidPiece
from cadenza.notation.dadagp.tables import QUARTER_TICKS, WHOLE_TICKS, program_of, title_of
from cadenza.notation.dadagp.tunings import Tuning, strings_of
from cadenza.score.model import HARMONICS, BarMark, Metre, Score, Technique, Tempo, Track
from cadenza.score.rhythm import Length, whole_ticks
from cadenza.score.tab import graces
from cadenza.score.tab.effects import bend_points, settle
from cadenza.score.tab.fit import MAX_NUMERATOR, settled
from cadenza.score.tab.page import TUPLETS, UNWRITTEN, Arranged, Beat, Item, Link
from cadenza.score.written import DIRECTIONS

DEFAULT_VELOCITY = 95
HIGHEST_PITCH = 127
SMALLEST_DENOMINATOR = 4
TOKEN_OF_DIRECTION = {
    direction: "".join("al" if word == "al" else word.capitalize() for word in direction.split("-"))
    for direction in DIRECTIONS
}
DIRECTION_OF_TOKEN = {token: direction for direction, token in TOKEN_OF_DIRECTION.items()}


def score_of(piece: SaidPiece) -> Score:
    """The score that a piece tells."""
    parts = []
    changes: dict[int, int] = {}
    for name, tuning in piece.instruments.items():
        parts.append(_part(piece, name, tuning))
        for _, beat in parts[-1].rows():
            if "tempo" in beat.marks:
                changes.setdefault(beat.start, beat.marks["tempo"][0][0])
    metres, marks = _bars(piece.bars)
    score = Score(
        tracks=(),
        ticks_per_quarter=QUARTER_TICKS,
        tempos=tuple(Tempo(tick, float(tempo)) for tick, tempo in sorted({0: piece.tempo, **changes}.items())),
        metres=metres,
        bars=marks,
        composer="" if piece.artist == "unknown" else piece.artist,
        length_ticks=piece.bars[-1].end if piece.bars else 0,
    )
    return settled(score, parts) if parts else score


def _bars(bars: list[SaidBar]) -> tuple[tuple[Metre, ...], tuple[BarMark, ...]]:
    metres: list[Metre] = []
    marks = []
    for bar in bars:
        ticks = bar.end - bar.start
        if not metres or ticks * metres[-1].denominator != WHOLE_TICKS * metres[-1].numerator:
            share = Fraction(ticks, WHOLE_TICKS)
            times = max(1, SMALLEST_DENOMINATOR // share.denominator)
            while times > 1 and share.numerator * times > MAX_NUMERATOR:
                times //= 2  # 109/2, which a file can say, and not 218/4
            metres.append(Metre(bar.start, share.numerator * times, share.denominator * times))
        mark = BarMark(bar.start)
        for token in bar.marks:
            _, kind, *values = token.split(":")
            if kind == "repeat_open":
                mark = replace(mark, repeat_open=True)
            elif kind == "repeat_close":
                mark = replace(mark, repeat_close=int(values[0]) + 1)
            elif kind == "repeat_alternative":
                bits = int(values[0])
                mark = replace(mark, endings=tuple(n + 1 for n in range(8) if bits >> n & 1))
            elif kind in ("direction", "from_direction"):
                mark = replace(mark, directions=(*mark.directions, DIRECTION_OF_TOKEN[values[0]]))
        if bar.marks:
            marks.append(mark)
    return tuple(metres), tuple(marks)


def _part(piece: SaidPiece, name: str, tuning: Tuning | None) -> Arranged:
    """An instrument's beats and notes."""
    said = [note for bar in piece.bars for beat in bar.beats.get(name, ()) for note in beat.notes]
    strings: tuple[int, ...] = ()
    first = 0
    if tuning is not None:
        strings, first = strings_of(tuning, {note.string for note in said}, any(note.fret < 0 for note in said))
    track = Track(name=title_of(name), program=program_of(name), is_drums=tuning is None, tuning=strings)
    out = Arranged(track, [], {}, {})
    row: list[Beat] = []
    for index, bar in enumerate(piece.bars):
        told = bar.beats.get(name)
        if not told:
            continue
        starts = [beat.start for beat in told]
        lead = [bar.start] if starts[0] > bar.start else []
        edges = [*lead, *starts, told[-1].end]
        lengths, end = note_values(tuple(edge - bar.start for edge in edges))
        edges[-1] = bar.start + end
        made = [Beat(low, high, length) for low, high, length in zip(edges, edges[1:], lengths, strict=False)]
        for beat, spoken in zip(made[len(lead) :], told, strict=True):
            beat.marks, slap = effects.read_beat(spoken.effects)
            previous = row[-1] if row and row[-1].end == beat.start else None
            for note in spoken.notes:
                _add(out, beat, previous, note, tuning, first, slap)
            row.append(beat)
        if lead:
            row.insert(len(row) - len(told), made[0])
        out.beats[index, 0] = made
    graces.place(row)
    for item in out.items:
        bends = [
            (item.onset if link.is_first else link.beat.start, link.marks["bend"])
            for link in item.links
            if "bend" in link.marks
        ]
        item.bends = bend_points(bends, item.onset, item.end)
        for link in item.links:
            link.bends = (link.marks["bend"],) if "bend" in link.marks else ()
    settle(row, track)
    return out


def _add(
    part: Arranged, beat: Beat, previous: Beat | None, note: Said, tuning: Tuning | None, first: int, slap: Technique
) -> None:
    """One told note: a new item, or a link of one that goes on."""
    track = part.track
    string = note.string - first
    if tuning is None:
        string = len(beat.links) + 1
        fret = fretted = pitch = note.fret
    else:
        fretted = tuning.open_pitch(note.string) + note.fret
        fret = fretted - track.tuning[string - 1]
        pitch = fretted
    if note.effects:
        said = effects.read_note(note.effects, note.fret, fretted, track.is_drums)
    else:
        said = effects.NoteEffects()
    marks, bits = said.marks, said.bits
    held = None
    if note.is_tied:
        marks["tie"] = ()
    if note.is_tied and previous is not None:
        drums = track.is_drums
        same = [link.item for link in previous.links if link.item.fret == fret or not drums]
        held = next((item for item in same if drums or item.string == string), None)
    if held is None:
        if pitch + said.above <= HIGHEST_PITCH:
            pitch += said.above
        else:
            bits &= ~HARMONICS
        techniques = bits | slap if slap else bits
        held = Item(beat.start, beat.end, pitch, string, fret, DEFAULT_VELOCITY, techniques, 0, ())
        part.items.append(held)
        if said.grace_fret is not None:
            _add_grace(held, said, 0 if tuning is None else track.tuning[string - 1], fret - note.fret)
    link = Link(held, beat, bits, marks)
    held.links.append(link)
    beat.links.append(link)
    held.end = beat.end
    if len(held.links) > 1:
        held.techniques |= bits
        for each in (held.links[0], link):
            each.marks["tied"] = (int(each.bits),)


def _add_grace(item: Item, said: effects.NoteEffects, open_pitch: int, shift: int) -> None:
    assert said.grace_fret is not None
    _, on_beat, transition, dead = said.marks["grace"]
    techniques = Technique.GRACE | (Technique.DEAD if dead else Technique.NONE)
    if transition == graces.SLIDE:
        techniques |= Technique.SLIDE_LEGATO
    elif transition == graces.HAMMER:
        techniques |= Technique.HAMMER
    fret = max(0, said.grace_fret + shift)
    pitch = open_pitch + fret
    bends = ((0, 0), (1, 1)) if transition == graces.BEND else ()
    item.grace = Item(item.onset, item.end, pitch, item.string, fret, DEFAULT_VELOCITY, techniques, 0, bends)
    item.on_beat = bool(on_beat)


def _ticks(length: Length) -> Fraction:
    return length.ticks


def _by_ticks() -> dict[int, list[Length]]:
    """Ticks → the note values that can take them, simplest first."""
    values = (1, 2, 4, 8, 16, 32, 64)
    every = [Length(value, dotted, *tuplet) for tuplet in TUPLETS for dotted in (False, True) for value in values]
    out: dict[int, list[Length]] = {}
    for length in sorted(every, key=lambda length: (length.enters, length.dotted, length.value)):
        whole = int(length.ticks)
        out.setdefault(whole, []).append(length)
        if length.ticks.denominator > 1:  # the last of a tuplet takes what is left
            for more in range(1, length.enters):
                out.setdefault(whole + more, []).append(length)
    return out


_BY_TICKS = _by_ticks()
_PLAIN = sorted(
    (Length(value, dotted) for value in (1, 2, 4, 8, 16, 32, 64) for dotted in (False, True)), key=_ticks, reverse=True
)


@lru_cache(maxsize=1 << 12)
def note_values(edges: tuple[int, ...]) -> tuple[tuple[Length, ...], int]:
    """The note values between ``edges`` (ticks from the bar's start), as a reader counts them, and where the last ends.

    The last edge may be beyond what one note value can say: then the longest that fits, and the bar ends early. Where
    another place has none, all are :data:`UNWRITTEN`.
    """
    out = []
    exact, at = Fraction(0), 0
    for stop in edges[1:]:
        for length in _BY_TICKS.get(stop - at, ()):
            end = exact + length.ticks
            if whole_ticks(end, at + int(length.ticks)) == stop:
                out.append(length)
                exact, at = end, stop
                break
        else:
            fitting = [length for length in _BY_TICKS.get(stop - at, ()) if int(length.ticks) == stop - at]
            longest = next(iter([*fitting, *(length for length in _PLAIN if length.ticks <= stop - at)]), None)
            if len(out) < len(edges) - 2 or longest is None:
                return (UNWRITTEN,) * (len(edges) - 1), edges[-1]
            at = whole_ticks(exact + longest.ticks, at + int(longest.ticks))
            out.append(longest)
    return tuple(out), at
