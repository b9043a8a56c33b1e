"""Edits: what they say they do, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import InexactError, RangeError
from cadenza.score import edit
from cadenza.score.model import (
    CONTROL_DTYPE,
    NO_FRET,
    NO_STRING,
    STANDARD_TUNINGS,
    BarMark,
    Bend,
    Key,
    Marker,
    Metre,
    Note,
    Score,
    Tempo,
    Track,
)
from tests.strategies import scores

Q = 480
BAR = 4 * Q
GUITAR = STANDARD_TUNINGS["guitar"]
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def one(*notes: Note, **fields) -> Score:
    return Score((Track.of(notes, **fields),), ticks_per_quarter=Q)


# ── pitch ──


@FEW
@given(scores(max_tracks=3), st.integers(-130, 130))
def test_transposing_refuses_or_drops_and_never_clamps(score, semitones):
    fits = [[0 <= n.pitch + semitones <= 127 or t.is_drums for n in t] for t in score.tracks]
    if not all(map(all, fits)):
        with pytest.raises(RangeError):
            edit.transpose(semitones)(score)
    out = edit.transpose(semitones, "drop")(score)
    for old, new, kept in zip(score.tracks, out.tracks, fits, strict=True):
        if old.is_drums:
            assert new == old
            continue
        expected = Counter((n.onset_ticks, n.pitch + semitones, n.bends) for n, k in zip(old, kept, strict=True) if k)
        assert Counter((n.onset_ticks, n.pitch, n.bends) for n in new) == expected
        for note in new:
            assert note.fret == NO_FRET or 0 <= note.fret <= 24


@FEW
@given(scores(max_tracks=2, tunings=False, spelling=False), st.integers(1, 20))
def test_transposing_there_and_back(score, semitones):
    assume(all(t.is_drums or t.notes["pitch"].max(initial=0) + semitones <= 127 for t in score.tracks))
    plain = replace(score, keys=())  # six sharps come back as six flats
    assert edit.transpose(-semitones)(edit.transpose(semitones)(plain)) == plain


def test_transposing_moves_frets_and_keys():
    score = replace(
        one(Note(0, Q, 64, string=1, fret=0), Note(Q, Q, 88, string=1, fret=24), tuning=GUITAR), keys=(Key(0, 0),)
    )
    up = edit.transpose(2)(score)
    assert [(n.pitch, n.string, n.fret) for n in up.tracks[0]] == [(66, 1, 2), (90, NO_STRING, NO_FRET)]
    assert up.keys == (Key(0, 2),)
    assert edit.transpose(12)(score).keys == (Key(0, 0),)
    assert edit.transpose(-1)(score).tracks[0][0].string == NO_STRING


@FEW
@given(scores(max_tracks=2, max_bend_cents=1200), st.integers(0, 50))
def test_thinned_bends_stay_within_the_tolerance(score, tolerance):
    out = edit.simplify_bends(tolerance)(score)
    for old, new in zip(score.tracks, out.tracks, strict=True):
        assert len(new.bends) <= len(old.bends)
        # Twins may change places, for they are ordered by their bends.
        rest = list(new)
        for note in old:
            match = next(
                n for n in rest if replace(n, bends=()) == replace(note, bends=()) and _near(note, n, tolerance)
            )
            rest.remove(match)


def _near(ref: Note, est: Note, tolerance: float) -> bool:
    if not ref.bends or not est.bends:
        return bool(ref.bends) == bool(est.bends)
    x = np.array([b.offset_ticks for b in ref.bends])
    y = np.interp(x, [b.offset_ticks for b in est.bends], [b.cents for b in est.bends])
    return bool(np.abs(y - [b.cents for b in ref.bends]).max() <= tolerance + 1e-6)


# ── time ──


@FEW
@given(scores(max_tracks=3, resolutions=(1, 24, 96, 480)), st.integers(1, 8))
def test_a_finer_resolution_is_exact_and_comes_back(score, factor):
    fine = edit.rescale(score.ticks_per_quarter * factor)(score)
    assert fine.ticks_per_quarter == score.ticks_per_quarter * factor
    assert fine.length_ticks == score.length_ticks * factor
    assert edit.rescale(score.ticks_per_quarter)(fine) == score


@pytest.mark.parametrize(
    "score",
    [
        one(Note(1, Q, 60)),
        one(Note(0, Q + 1, 60)),
        one(Note(0, Q, 60, bends=(Bend(1, 50),))),
        Score(length_ticks=1),
        Score(tempos=(Tempo(7, 100),)),
        Score(metres=(Metre(7, 3, 4),)),
        Score(keys=(Key(7, 1),)),
        Score(bars=(BarMark(7),)),
        Score(markers=(Marker(7, "A"),)),
        Score((Track(controls=np.array([(7, 64, 0)], CONTROL_DTYPE)),)),
    ],
)
def test_a_coarser_resolution_refuses_to_round_unless_told(score):
    with pytest.raises(InexactError):
        edit.rescale(24)(score)
    assert edit.rescale(24, exact=False)(score).ticks_per_quarter == 24


def test_rounding_keeps_short_notes_alive():
    out = edit.rescale(4, exact=False)(one(Note(0, 1, 60), Note(0, 0, 62)))
    assert [n.duration_ticks for n in out.tracks[0]] == [1, 0]


@FEW
@given(scores(max_tracks=2), st.sampled_from([1, 3, 4, 12, 24]))
def test_the_grid_holds_every_time_and_is_idempotent(score, points):
    out = edit.grid(points)(score)
    step = out.ticks_per_quarter // points
    assert out.ticks_per_quarter % points == 0
    for old, new in zip(score.tracks, out.tracks, strict=True):
        assert (new.notes["onset_ticks"] % step == 0).all()
        error = np.sort(new.notes["onset_ticks"]) / out.ticks_per_quarter
        error -= np.sort(old.notes["onset_ticks"]) / score.ticks_per_quarter
        assert np.abs(error).max(initial=0) <= 0.5 / points + 1e-9
    assert edit.grid(points)(out).ticks_per_quarter == out.ticks_per_quarter


def test_stretching_names_the_tempo_that_was_silent():
    assert edit.stretch_tempo(1.5)(Score()).tempos == (Tempo(0, 180.0),)
    later = edit.stretch_tempo(2)(Score(tempos=(Tempo(Q, 100.0),)))
    assert later.tempos == (Tempo(0, 240.0), Tempo(Q, 200.0))


def test_even_drums_leaves_other_tracks():
    drums = Track.of([Note(0, 5, 36), Note(59, 7, 38), Note(60, 7, 40)], is_drums=True)
    guitar = Track.of([Note(59, 7, 60)])
    out = edit.even_drums(120, 30)(Score((drums, guitar)))
    assert [(n.onset_ticks, n.duration_ticks, n.pitch) for n in out.tracks[0]] == [
        (0, 30, 36),
        (0, 30, 38),
        (120, 30, 40),
    ]
    assert out.tracks[1] == guitar


@FEW
@given(scores(max_tracks=2))
def test_doubled_notes_leave_the_longest(score):
    out = edit.drop_doubled()(score)
    for old, new in zip(score.tracks, out.tracks, strict=True):
        best: dict[tuple[int, int], tuple[int, int]] = {}
        for n in old:
            place = (n.onset_ticks, n.pitch)
            best[place] = max(best.get(place, (-1, -1)), (n.duration_ticks, n.velocity))
        assert {(n.onset_ticks, n.pitch): (n.duration_ticks, n.velocity) for n in new} == best
        assert len(new) == len(best)
        assert set(new) <= set(old)
    assert edit.drop_doubled()(out) == out


# ── selection ──


@FEW
@given(scores(max_tracks=3, bar_marks=False, markers=False, controls=False, bends=False), st.integers(0, 4_000))
def test_cut_and_joined_is_the_same_but_for_notes_over_the_cut(score, at):
    assume(0 < at < score.length_ticks)
    halves = [edit.select_ticks(0, at)(score), edit.select_ticks(at, score.length_ticks)(score)]
    whole = edit.joined(halves)
    assert whole.length_ticks == score.length_ticks
    for old, new in zip(score.tracks, whole.tracks, strict=True):
        expected = [
            replace(n, duration_ticks=min(n.duration_ticks, at - n.onset_ticks)) if n.onset_ticks < at else n
            for n in old
            if n.onset_ticks < score.length_ticks
        ]
        end = old.beats["onset_ticks"] + old.beats["duration_ticks"]
        over_the_cut = (old.beats["onset_ticks"] < at) & (end > at)
        written = {
            "beats": old.beats[~over_the_cut & (end <= score.length_ticks)],
            "marks": tuple(mark for mark in old.marks if mark.onset_ticks < score.length_ticks),
        }
        assert new == Track.of(expected, **{f: getattr(old, f) for f in _FIELDS}, **written)


_FIELDS = ("name", "program", "is_drums", "tuning", "capo_fret")


def test_a_cut_carries_what_holds():
    score = Score(
        (Track.of([Note(0, 2 * BAR, 60, bends=(Bend(0, 0), Bend(BAR + Q, 100))), Note(BAR, Q, 62)]),),
        tempos=(Tempo(0, 90), Tempo(BAR, 100)),
        metres=(Metre(0, 4, 4),),
        keys=(Key(0, 3),),
        length_ticks=3 * BAR,
    )
    late = edit.select_ticks(BAR + Q // 2, 2 * BAR)(score)
    assert late.tempos == (Tempo(0, 100),)
    assert late.keys == (Key(0, 3),)
    assert late.n_notes == 0
    early = edit.select_ticks(0, BAR)(score)
    assert early.tracks[0][0] == Note(0, BAR, 60, bends=(Bend(0, 0),))


def test_selecting_what_is_not_there():
    with pytest.raises(RangeError):
        edit.select_tracks([1])(one(Note(0, Q, 60)))
    for first, stop in ((0, 2), (1, 1), (-1, 1)):
        with pytest.raises(RangeError):
            edit.select_bars(first, stop)(one(Note(0, Q, 60)))
    with pytest.raises(RangeError):
        edit.joined([Score(), Score(ticks_per_quarter=96)])
