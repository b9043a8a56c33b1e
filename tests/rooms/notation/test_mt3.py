"""MT3 events: the published order, ties across borders, windows cut anywhere, and walks through the automaton."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ConfigError, NotationError, RangeError
from cadenza.notation.grammar import END, NEWLINE, Field
from cadenza.notation.mt3 import Mt3
from cadenza.score.edit import project
from cadenza.score.model import Note, Score, Tempo, Track
from tests.strategies import examples, scores

ONE_SECOND = 960  # ticks at 120 quarter notes a minute and 480 ticks a quarter


def _score() -> Score:
    guitar = Track.of([Note(0, 3 * ONE_SECOND, 57), Note(ONE_SECOND, ONE_SECOND, 64)], program=29)
    bass = Track.of([Note(480, 2400, 33)], program=33)
    drums = Track.of([Note(0, 10, 36), Note(2 * ONE_SECOND, 10, 38)], is_drums=True)
    return Score((guitar, bass, drums), 480)


def test_text_of_a_small_piece():
    assert Mt3().encode(_score()).split("\n") == [
        "t g29 v1 p57 d36 s50 g33 p33 s100 g29 p64 s200 v0 p64 v1 d38",
        "g29 p57 g33 p33 t s95 g29 v0 p57 g33 p33",
    ]


def test_at_one_time_ends_come_first_then_by_program_and_pitch_drums_last():
    low = Track.of([Note(0, 480, 60), Note(480, 480, 62), Note(480, 480, 55)], program=10)
    high = Track.of([Note(0, 480, 70), Note(480, 480, 50)], program=5)
    drums = Track.of([Note(480, 1, 35)], is_drums=True)
    text = Mt3(segment_seconds=0).encode(Score((low, high, drums), 480))
    assert text == "t g5 v1 p70 g10 p60 s50 g5 v0 p70 g10 p60 g5 v1 p50 g10 p55 p62 d35 s100 g5 v0 p50 g10 p55 p62"


def test_a_note_that_ends_at_a_border_is_not_tied():
    score = Score((Track.of([Note(0, ONE_SECOND, 60), Note(ONE_SECOND, ONE_SECOND, 62)]),), 480)
    notation = Mt3(segment_seconds=1.0)
    assert notation.encode(score) == "t g0 v1 p60\nt g0 v1 p62"
    assert notation.decode(notation.encode(score)) == project(score, notation.projection)


def test_notes_tied_over_several_borders_survive():
    score = Score((Track.of([Note(480, 10 * ONE_SECOND, 60)]),), 480)
    notation = Mt3(segment_seconds=1.0)
    lines = notation.encode(score).split("\n")
    assert lines[1:10] == ["g0 p60 t"] * 9
    (note,) = notation.decode("\n".join(lines)).tracks[0]
    assert (note.onset_ticks, note.duration_ticks) == (50, 1000)


def test_a_segment_of_its_own_has_its_tie_prelude():
    assert Mt3().encode_segment(_score(), 1.5, 2.5) == "g29 p57 p64 g33 p33 t s50 g29 v0 p64 v1 d38"
    assert Mt3.tie_section([(33, 33), (29, 64), (29, 57)]) == "g29 p57 p64 g33 p33 t"
    # Read alone, what it ties begins with it and what goes on ends with it.
    score = Mt3().decode_windows([Mt3().encode_segment(_score(), 1.5, 2.5)], [1.5, 2.5])
    assert [(n.onset_ticks, n.offset_ticks, n.pitch) for n in score.tracks[0]] == [(150, 250, 57), (150, 200, 64)]


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    score=scores(max_ticks=2_000, resolutions=(96, 480)),
    cuts=st.lists(st.floats(0.011, 20.0), min_size=1, max_size=6),
    bins=st.sampled_from([1, 8]),
)
def test_windows_cut_anywhere_join_to_the_whole(score, cuts, bins):
    notation = Mt3(segment_seconds=0, velocity_bins=bins)
    whole = project(score, notation.projection)
    steps = sorted({0, whole.length_ticks + 1, *(round(100 * cut) for cut in cuts)})
    borders = [step / 100 + random.Random(step).uniform(-0.004, 0.004) * (step > 0) for step in steps]
    lines = [notation.encode_segment(score, start, stop) for start, stop in pairwise(borders)]
    assert notation.decode_windows(lines, borders) == whole


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 10**9), options=st.sampled_from(Mt3.variants))
def test_whatever_the_automaton_allows_reads(seed, options):
    notation, draw = Mt3(**options), random.Random(seed)
    state, words = notation.grammar().begin(), []
    for _ in range(60):
        spans = [span for span in state.allowed() if span.kind != END]
        assert spans, f"nothing may follow {' '.join(words)!r}"
        span = draw.choice(spans)
        value = "" if span.kind in (NEWLINE, "t") else str(draw.randint(span.low, min(span.high, span.low + 300)))
        state.feed(Field(span.kind, value))
        words.append(span.kind + value)
    while END not in {span.kind for span in state.allowed()}:
        span = next(span for span in state.allowed() if span.kind in "tpvd")
        value = "" if span.kind == "t" else str(span.low)
        state.feed(Field(span.kind, value))
        words.append(span.kind + value)
    read = notation.decode(" ".join(words).replace(" \n ", "\n").replace(" \n", "\n"))
    assert notation.decode(notation.encode(read)) == project(read, notation.projection)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1"),
        ("p60 t", "line 1, word 1"),
        ("t g0 v0 p60", "line 1, word 3"),  # nothing sounds that could end
        ("t g0 v1 p60\ng0 p61 t", "line 2, word 2"),
        ("t g0 v1 p60 s10 s20", "line 1, word 6"),
        ("t g0 v1 p60 s205 v0 p60", "line 1, word 5"),  # beyond the segment
        ("t g0 v1 p60 s10", "line 1"),  # a trailing shift
        ("t g0 v1 p64 p60", "line 1, word 5"),  # not by pitch
        ("t g0 g1 v1 p1", "line 1, word 3"),
        ("t g0 v2 p1", "line 1, word 3"),
        ("t g128 v1 p1", "line 1, word 2"),
        ("t g0 v1 p" + "9" * 5000, "line 1, word 4"),
        ("t g0 v1 p060", "line 1, word 4"),
        ("t g0 v1:p1", "line 1, word 4"),
        ("hello", "line 1, word 1"),
    ],
)
def test_errors_say_where(text, where):
    with pytest.raises(NotationError) as caught:
        Mt3().decode(text)
    assert where in caught.value.where


def test_times_are_ten_milliseconds_of_real_time():
    score = Score((Track.of([Note(480, 480, 60)]),), 480, tempos=(Tempo(0, 60.0), Tempo(480, 240.0)))
    assert Mt3(segment_seconds=0).encode(score) == "t s100 g0 v1 p60 s125 v0 p60"


def test_vocabulary_holds_every_token_of_a_text():
    for options in Mt3.variants:
        notation = Mt3(**options)
        known = set(notation.vocabulary())
        assert {str(field) for field in notation.fields(notation.encode(_score()))} <= known
        assert len(known) == len(notation.vocabulary())
    assert max(int(word[1:]) for word in Mt3().vocabulary() if word[0] == "s") == 204


def test_options_out_of_range_are_refused():
    for options in ({"steps_per_second": 25}, {"velocity_bins": 0}, {"segment_seconds": 0.001}):
        with pytest.raises(ConfigError):
            Mt3(**options)
    with pytest.raises(RangeError):
        Mt3().encode_segment(_score(), 2.0, 1.0)
    with pytest.raises(RangeError):
        Mt3().decode_windows(["t"], [0.0])
