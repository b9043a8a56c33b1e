"""What ABC loses of a Score, as Edits: ``decode(encode(s)) == project(s, projection)``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.notation.abc.arrange import UNITS_PER_QUARTER, Part, part_of, settle
from cadenza.notation.abc.assembling import TICKS_PER_QUARTER
from cadenza.notation.abc.pitches import HIGHEST_SPELLING, LOWEST_SPELLING, spelled
from cadenza.notation.abc.text import plain
from cadenza.score import edit
from cadenza.score.edit import Edit, retimed
from cadenza.score.model import NO_SPELLING, BarMark, Key, Metre, Score, Technique, Tempo, Track
from cadenza.score.repeats import play_order, unfold
from cadenza.score.time import BarTable, bar_table, bar_ticks, rescaled

if TYPE_CHECKING:
    from cadenza.notation.abc.notation import Abc

KEPT = Technique.STACCATO | Technique.ACCENT | Technique.TRILL | Technique.GRACE
LARGEST_ODD_PART = 63
MAX_DENOMINATOR = 64
MAX_ENDING = 99
BAR_LINES_PER_QUARTER = 16
DEFAULT_VELOCITY = 95
LOUDNESS = (15, 16)  # the softest of eight dynamics, and the step between them


def of(notation: Abc) -> tuple[Edit, ...]:
    """The Edits that encoding in ``notation`` applies, in order."""
    loudness = (
        Edit("drops velocity", edit.drop_velocity(DEFAULT_VELOCITY).apply)
        if notation.velocity == "drop"
        else edit.map_column("keeps eight dynamics (velocities 15, 31 … 127)", "velocity", _dynamics)
    )
    return (
        Edit(
            "drops bends, strings, frets, tunings, controllers, marks, section names and directions; keeps titles and "
            "names as one line",
            _plain,
        ),
        Edit(
            "keeps staccato, accents (of one strength), trills and grace notes of the playing techniques", _techniques
        ),
        loudness,
        Edit("re-times to 960 ticks a quarter, or an exact multiple for odd tuplets, rounding", _retime),
        Edit("moves bar lines to 64ths", _bar_lines),
        Edit(
            "writes repeats out where a passage is played more than twice without endings or endings stand oddly, "
            "drops repeat signs that never go back",
            _twice,
        ),
        Edit(
            "gives short bars but an upbeat that is not repeated a metre of their own, "
            "fills the last bar, says 4/4 where no metre is said, moves keys to starts of bars, says where every "
            "repeat begins and drops openings that nothing closes",
            _bars,
        ),
        Edit("rounds tempos to thousandths of a quarter note a minute", _tempos),
        Edit("spells every pitch that does not say how, by its key; drums have no spelling", _spelling),
        Edit(
            "writes notes as bars of voices: overlapping notes of one voice go to another, equal pitches of a voice "
            "are cut where the next begins, notes that begin together are as loud as the loudest and share their "
            "techniques, tied ones are not staccato, grace notes last a 32nd; moves times that note values down to "
            "128ths and tuplets cannot meet to the nearest of 24, 16 or 20 a quarter",
            lambda score: arranged(score).score,
        ),
    )


# ── what ABC has no place for ────────────────────────────────────────────────────────────────────────────


def _plain(score: Score) -> Score:
    def track(old: Track) -> Track:
        notes = old.notes.copy()
        notes["string"], notes["fret"] = 0, -1
        return Track(plain(old.name), 0 if old.is_drums else old.program, old.is_drums, notes=notes)

    bars = tuple(replace(mark, directions=()) for mark in score.bars)
    return replace(
        score,
        tracks=tuple(track(t) for t in score.tracks) or (Track(),),
        bars=bars,
        markers=(),
        title=plain(score.title),
        composer=plain(score.composer),
    )


def _techniques(score: Score) -> Score:
    heavy, accent = np.uint64(int(Technique.HEAVY_ACCENT)), np.uint64(int(Technique.ACCENT))

    def track(old: Track) -> Track:
        bits = old.notes["techniques"]
        bits = np.where(bits & heavy != 0, bits | accent, bits) & np.uint64(int(KEPT))
        return old.with_notes(_with(old.notes, "techniques", bits))

    return score.map_tracks(track)


def _with(notes: Any, column: str, values: Any) -> Any:
    notes = notes.copy()
    notes[column] = values
    return notes


def _dynamics(velocity: np.ndarray) -> np.ndarray:
    low, step = LOUDNESS
    return low + step * np.clip((velocity.astype(np.int64) - low + step // 2) // step, 0, 7)


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


def _needed(score: Score, graces: bool) -> int:
    """The least resolution at which every time is whole (those of grace notes aside, if asked for)."""
    shared = score.ticks_per_quarter
    times = [score.length_ticks]
    for name in ("tempos", "metres", "keys", "bars"):
        times += [entry.onset_ticks for entry in getattr(score, name)]
    for time in times:
        shared = gcd(shared, time)
    for track in score.tracks:
        notes = track.notes
        if not graces:
            notes = notes[notes["techniques"] & np.uint64(int(Technique.GRACE)) == 0]
        if len(notes):
            shared = gcd(shared, int(np.gcd.reduce(notes["onset_ticks"])), int(np.gcd.reduce(notes["duration_ticks"])))
    return score.ticks_per_quarter // shared


def _retime(score: Score) -> Score:
    """At 960 times the odd part that tuplets of 7, 9, 11 or 13 need, if anything does; no note without duration."""
    needed = _needed(score, graces=False)
    odd = needed // gcd(needed, TICKS_PER_QUARTER)
    while odd % 2 == 0:
        odd //= 2
    ticks = TICKS_PER_QUARTER * (odd if odd <= LARGEST_ODD_PART else 1)
    old = score.ticks_per_quarter
    score = retimed(score, ticks, lambda tick: rescaled(int(tick), old, ticks))
    least = ticks // UNITS_PER_QUARTER

    def track(old_track: Track) -> Track:
        durations = old_track.notes["duration_ticks"]
        if (durations > 0).all():
            return old_track
        return old_track.with_notes(_with(old_track.notes, "duration_ticks", np.where(durations > 0, durations, least)))

    return score.map_tracks(track)


def _bar_lines(score: Score) -> Score:
    """Bar lines on 64ths: before the repeats are looked at, since two may meet and one may come to the piece."""
    grid = score.ticks_per_quarter // BAR_LINES_PER_QUARTER

    def place(tick: int) -> int:
        return (2 * tick + grid) // (2 * grid) * grid

    for metre in score.metres:
        if metre.denominator > MAX_DENOMINATOR:
            raise RangeError(
                f"metres over 1 … {MAX_DENOMINATOR}", f"{metre.numerator}/{metre.denominator}",
                where=f"tick {metre.onset_ticks}", hint="ABC is not written with it; change the metre first.",
            )  # fmt: skip
    return replace(
        score,
        metres=tuple(replace(m, onset_ticks=place(m.onset_ticks)) for m in score.metres),
        bars=tuple(replace(m, onset_ticks=place(m.onset_ticks)) for m in score.bars),
    )


def _twice(score: Score) -> Score:
    """No passage is played more than twice but by endings, and every closing sign goes back: readers agree on that.

    Endings too stand as everywhere: one for the first pass, closed, and at once those for the others. Else all is
    written out as it sounds.
    """
    if not any(mark.repeat_close > 1 or mark.endings for mark in score.bars):
        return score
    if not any(mark.repeat_close > 1 for mark in score.bars) or not play_order(score):
        return replace(score, bars=tuple(replace(m, repeat_open=False, repeat_close=0, endings=()) for m in score.bars))
    if not _usual(bar_table(score).marks):
        return unfold().apply(score)
    fewer = replace(
        score,
        bars=tuple(
            replace(m, repeat_close=min(m.repeat_close, 2) if m.endings else m.repeat_close) for m in score.bars
        ),
    )
    order = play_order(score)
    if any(mark.repeat_close > 2 for mark in fewer.bars) or play_order(fewer) != order:
        return unfold().apply(score)
    back = {bar for bar, following in pairwise(order) if following <= bar}
    marks = bar_table(fewer).marks
    idle = {mark.onset_ticks for bar, mark in enumerate(marks) if mark and mark.repeat_close and bar not in back}
    out = replace(fewer, bars=tuple(replace(m, repeat_close=0) if m.onset_ticks in idle else m for m in fewer.bars))
    # A first ending that is left without its sign stands oddly itself.
    return out if _usual(bar_table(out).marks) and play_order(out) == order else unfold().apply(score)


def _usual(marks: Sequence[BarMark | None]) -> bool:
    """Whether endings stand as readers expect them."""
    signs = [_sign(mark) for mark in marks]
    for bar, (opens, _, endings) in enumerate(signs):
        _, closed_before, before = signs[bar - 1] if bar else NO_SIGN
        _, _, after = signs[bar + 1] if bar + 1 < len(signs) else NO_SIGN
        if not endings:
            continue
        begins = endings != before or closed_before
        if (
            not bar
            or opens
            or (begins and (1 in endings) == bool(before))
            or (begins and before and not closed_before)
            or (1 in endings and after != endings and not (signs[bar][1] and after))
            or (1 in endings and after == endings and signs[bar][1])
        ):
            return False
    return True


Sign = tuple[bool, int, tuple[int, ...]]  # repeat opens, repeat closes, endings
NO_SIGN: Sign = (False, 0, ())


def _sign(mark: BarMark | None) -> Sign:
    if mark is None:
        return NO_SIGN
    endings = tuple(sorted({ending for ending in mark.endings if ending <= MAX_ENDING}))
    return mark.repeat_open, 2 if mark.repeat_close > 1 else 0, endings


def _explicit(signs: list[Sign]) -> list[Sign]:
    """The signs with an opening one where each repeat goes back to, as ``play_order`` has it, and nowhere else."""
    out = [(False, *sign[1:]) for sign in signs]
    start, is_over = 0, False
    for bar, (opens, closes, endings) in enumerate(signs):
        if opens or (is_over and not endings):
            start, is_over = bar, False
        if closes:
            is_over = True
            if start or signs[0][0]:
                out[start] = (True, *out[start][1:])
    return out


def _returns_to_start(signs: list[Sign]) -> bool:
    """Whether a repeat goes back to the first bar; a short one then says its own metre, not to surprise readers."""
    for bar, (opens, closes, _) in enumerate(signs):
        if closes:
            return True
        if bar and opens:
            return False
    return False


def _bars(score: Score) -> Score:
    """Bars that are as long as their metre, an upbeat aside."""
    ticks, table = score.ticks_per_quarter, bar_table(score)
    starts, ends = table.starts_ticks.tolist(), table.ends_ticks.tolist()
    signs = _explicit([_sign(mark) for mark in table.marks])
    has_upbeat = len(starts) > 1 and not _returns_to_start(signs)
    metres: list[Metre] = []
    bars: list[BarMark] = []
    anchor = 0
    for index, (start, stop, sign) in enumerate(zip(starts, ends, signs, strict=True)):
        metre = table.metres[index]
        numerator, denominator = metre.numerator, metre.denominator
        if stop - start != bar_ticks(metre, ticks) and (index or not has_upbeat):
            own = Fraction(stop - start, 4 * ticks)
            denominator = max(own.denominator, 4)
            numerator = int(own * denominator)
        held = metres[-1] if metres else None
        if held is None or (held.numerator, held.denominator) != (numerator, denominator):
            metres.append(Metre(start, numerator, denominator))
            anchor = start
        implied = (start - anchor) % bar_ticks(metres[-1], ticks) == 0
        if not implied:
            anchor = start
        if not implied or sign != NO_SIGN:
            bars.append(BarMark(start, *sign))
    end = ends[-1]
    out = replace(score, metres=tuple(metres), bars=tuple(bars), length_ticks=end)
    keys: dict[int, Key] = {}
    for key in out.keys:
        if key.onset_ticks < end:
            start = starts[bisect_right(starts, key.onset_ticks) - 1]
            keys[start] = replace(key, onset_ticks=start)
    tempos = tuple(tempo for tempo in out.tempos if tempo.onset_ticks < end)
    return replace(out, keys=tuple(keys.values()), tempos=tempos)


def _tempos(score: Score) -> Score:
    return replace(
        score,
        tempos=tuple(
            Tempo(t.onset_ticks, min(max(round(t.quarters_per_minute, 3), 0.001), 999_999.0)) for t in score.tempos
        ),
    )


# ── pitch ────────────────────────────────────────────────────────────────────────────────────────────────


def _spelling(score: Score) -> Score:
    starts = [key.onset_ticks for key in score.keys]
    fifths = [0, *(key.fifths for key in score.keys)]

    def track(old: Track) -> Track:
        if not len(old.notes):
            return old
        if old.is_drums:
            return old.with_notes(_with(old.notes, "spelling", NO_SPELLING))
        said = old.notes["spelling"].astype(np.int64)
        pitches = old.notes["pitch"].astype(np.int64)
        fits = (said >= LOWEST_SPELLING) & (said <= HIGHEST_SPELLING) & (7 * said % 12 == pitches % 12)
        rows = np.searchsorted(starts, old.notes["onset_ticks"], side="right")
        table = np.array([[spelled(pitch, key) for pitch in range(12)] for key in fifths])
        chosen = np.where(fits, said, table[rows, pitches % 12])
        return old.with_notes(_with(old.notes, "spelling", chosen))

    return score.map_tracks(track)


# ── bars of voices ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Arranged:
    """A score as it will be read, and the parts that say so."""

    score: Score
    parts: list[Part]
    table: BarTable


def arranged(score: Score) -> Arranged:
    """The score, to which all other edits were applied, with its notes in voices that can be written."""
    ticks = score.ticks_per_quarter
    table = bar_table(score)
    starts, ends = table.starts_ticks.tolist(), table.ends_ticks.tolist()
    changes = [tempo.onset_ticks for tempo in score.tempos]
    parts = [
        settle(part_of(track, ticks), starts, ends, ticks, changes if index == 0 else [])
        for index, track in enumerate(score.tracks)
    ]
    moved = parts[0].moved
    tempos = tuple(
        replace(t, onset_ticks=moved[t.onset_ticks]) for t in score.tempos if moved[t.onset_ticks] < score.length_ticks
    )
    out = replace(score, tempos=tempos)
    bare = out.with_tracks(replace(p, items=[replace_graces(i) for i in p.items]).to_track(ticks) for p in parts)
    coarser = lcm(TICKS_PER_QUARTER, _needed(bare, graces=True))
    if coarser == ticks:
        return Arranged(out.with_tracks(part.to_track(ticks) for part in parts), parts, table)
    factor = Fraction(coarser, ticks)
    out = retimed(bare, coarser, lambda tick: int(tick * factor))
    for part in parts:
        for item in part.items:
            item.onset, item.end = int(item.onset * factor), int(item.end * factor)
        part.moved = {}
    return Arranged(out.with_tracks(part.to_track(coarser) for part in parts), parts, bar_table(out))


def replace_graces(item: Any) -> Any:
    """The item without its grace notes."""
    return replace(item, graces=[]) if item.graces else item
