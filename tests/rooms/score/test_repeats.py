"""Repeats, endings, jumps: the order of bars, and writing it out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.base.errors import RangeError
from cadenza.score import repeats
from cadenza.score.model import BarMark, Note, Score, Track
from cadenza.score.time import bar_table
from tests.strategies import scores

Q, BAR = 480, 1920
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def bars(n: int, **marks: BarMark) -> Score:
    """n bars of 4/4, each with one note of its own pitch; marks by bar: b0=BarMark(0, …)."""
    placed = tuple(replace(mark, onset_ticks=int(name[1:]) * BAR) for name, mark in marks.items())
    return Score((Track.of([Note(i * BAR, Q, 60 + i) for i in range(n)]),), bars=placed, length_ticks=n * BAR)


def mark(open: bool = False, close: int = 0, *endings: int) -> BarMark:
    return BarMark(0, open, close, endings)


REPEATS = {
    "plain": (bars(3), [0, 1, 2]),
    "from the start": (bars(3, b1=mark(False, 2)), [0, 1, 0, 1, 2]),
    "one bar three times": (bars(2, b1=mark(True, 3)), [0, 1, 1, 1]),
    "no opening mark after a repeat": (bars(4, b1=mark(False, 2), b3=mark(False, 2)), [0, 1, 0, 1, 2, 3, 2, 3]),
    "two endings": (bars(4, b0=mark(True), b1=mark(False, 2, 1), b2=mark(False, 0, 2)), [0, 1, 0, 2, 3]),
    "first ending twice": (bars(3, b1=mark(False, 3, 1, 2), b2=mark(False, 0, 3)), [0, 1, 0, 1, 0, 2]),
    "three endings": (
        bars(4, b1=mark(False, 2, 1), b2=mark(False, 3, 2), b3=mark(False, 0, 3)),
        [0, 1, 0, 2, 0, 3],
    ),
    "three endings, each sign a plain one": (
        bars(4, b1=mark(False, 2, 1), b2=mark(False, 2, 2), b3=mark(False, 0, 3)),
        [0, 1, 0, 2, 0, 3],
    ),
    "the last ending closes too": (bars(3, b1=mark(False, 2, 1), b2=mark(False, 2, 2)), [0, 1, 0, 2]),
    "a repeat without opening mark after endings": (
        bars(5, b1=mark(False, 2, 1), b2=mark(False, 0, 2), b4=mark(False, 2)),
        [0, 1, 0, 2, 3, 4, 3, 4],
    ),
    "endings without opening mark after endings": (
        bars(6, b1=mark(False, 2, 1), b2=mark(False, 0, 2), b4=mark(False, 2, 1), b5=mark(False, 0, 2)),
        [0, 1, 0, 2, 3, 4, 3, 5],
    ),
    "an ending inside": (bars(4, b1=mark(False, 0, 1), b2=mark(False, 2)), [0, 1, 2, 0, 2, 3]),
    "only a first ending": (bars(3, b1=mark(False, 2, 1)), [0, 1, 0, 2]),
}


@pytest.mark.parametrize("name", REPEATS)
def test_repeats_sound_in_order(name):
    score, expected = REPEATS[name]
    assert repeats.play_order(score) == expected
    out = repeats.unfold()(score)
    assert [n.pitch - 60 for n in out.tracks[0]] == expected
    assert [n.onset_ticks for n in out.tracks[0]] == [i * BAR for i in range(len(expected))]
    assert out.length_ticks == len(expected) * BAR
    assert not any(m.repeat_open or m.repeat_close or m.endings for m in out.bars)


def test_endings_whose_pass_never_comes_do_not_silence_a_piece():
    score = bars(1, b0=mark(False, 0, 2))
    assert repeats.play_order(score) == []
    out = repeats.unfold()(score)
    assert (out.length_ticks, len(out.tracks[0])) == (BAR, 1)


def test_unfolding_has_a_bound():
    for score in (bars(2, b1=mark(False, 10**9)), bars(2, b0=mark(False, 0, 5), b1=mark(False, 10**9, 5))):
        with pytest.raises(RangeError, match="after unfolding"):
            repeats.play_order(score, max_bars=100)


@FEW
@given(scores(max_tracks=2))
def test_unfolding_twice_changes_nothing_more(score):
    try:
        out = repeats.unfold()(score)
    except RangeError:
        return
    assert repeats.unfold()(out) == out
    lengths = bar_table(score).ends_ticks - bar_table(score).starts_ticks
    if any(m.repeat_close or m.endings for m in score.bars):
        # Where endings silence every bar, each sounds once, as written.
        order = repeats.play_order(score) or range(len(lengths))
        assert out.length_ticks == sum(int(lengths[i]) for i in order)


def to(*directions: str, open: bool = False, close: int = 0, endings: tuple[int, ...] = ()) -> BarMark:
    return BarMark(0, open, close, endings, directions)


JUMPS = {
    "da capo": (bars(3, b1=to("da-capo")), [0, 1, 0, 1, 2]),
    "da capo al fine": (bars(3, b0=to("fine"), b2=to("da-capo-al-fine")), [0, 1, 2, 0]),
    "fine says nothing before": (bars(3, b0=to("fine")), [0, 1, 2]),
    "dal segno": (bars(4, b1=to("segno"), b2=to("da-segno")), [0, 1, 2, 1, 2, 3]),
    "dal segno al coda": (
        bars(6, b1=to("segno"), b2=to("da-coda"), b4=to("da-segno-al-coda"), b5=to("coda")),
        [0, 1, 2, 3, 4, 1, 2, 5],
    ),
    "both codas": (
        bars(7, b1=to("da-coda"), b2=to("da-capo-al-coda"), b3=to("coda", "da-double-coda"),
             b4=to("da-capo-al-double-coda"), b6=to("double-coda")),
        [0, 1, 2, 0, 1, 3, 4, 0, 1, 2, 3, 6],
    ),
    "no repeats on the way back": (
        bars(3, b0=to(open=True), b1=to(close=2), b2=to("da-capo")), [0, 1, 0, 1, 2, 0, 1, 2]
    ),
    "the last ending on the way back": (
        bars(4, b1=to(close=2, endings=(1,)), b2=to(endings=(2,)), b3=to("da-capo")), [0, 1, 0, 2, 3, 0, 2, 3]
    ),
    "repeats of the coda": (
        bars(4, b0=to("da-coda"), b1=to("da-capo-al-coda"), b2=to("coda", open=True), b3=to(close=2)),
        [0, 1, 0, 2, 3, 2, 3],
    ),
    "the jump waits for the repeat": (bars(2, b1=to("da-capo", close=2)), [0, 1, 0, 1, 0, 1]),
    "to a place that is not there": (bars(2, b1=to("da-segno")), [0, 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", JUMPS)
def test_jumps_sound_in_order(name):
    score, expected = JUMPS[name]
    assert repeats.play_order(score) == expected
    assert [n.pitch - 60 for n in repeats.unfold()(score).tracks[0]] == expected


def test_endings_whose_pass_never_comes_leave_the_bars_as_written():
    notes = (Note(0, 480, 60), Note(1920, 480, 62))
    marks = (BarMark(0, endings=(2,)), BarMark(1920, repeat_close=1, endings=(2,)))
    score = Score((Track.of(notes),), bars=marks)
    assert repeats.play_order(score) == []
    sounding = repeats.unfold().apply(score)
    assert sounding.tracks[0].notes["pitch"].tolist() == [60, 62]
    assert sounding.tracks[0].notes["onset_ticks"].tolist() == [0, 1920]
