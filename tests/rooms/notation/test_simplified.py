"""Simplified MIDI: the published text, the bend codes, the grammar's errors, hostile text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import CadenzaError, ConfigError, NotationError
from cadenza.formats.notation_file import decode as decode_file
from cadenza.formats.notation_file import notation_of
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.bends import cents_to_code, code_changes, code_to_cents, code_to_wheel, wheel_to_code
from cadenza.score.model import Bend, Note, Score, Track

PUBLISHED = "p57:v95:d960:t0 p52:v95:d960:t0 p45:v95:d960:t960 p57:v95:d480:t0"


def test_published_sample_reads_as_the_paper_says():
    score = SimplifiedMidi.published().decode(PUBLISHED)
    (track,) = score.tracks
    assert track.notes["pitch"].tolist() == [45, 52, 57, 57]
    assert track.notes["onset_ticks"].tolist() == [0, 0, 0, 960]
    assert track.notes["duration_ticks"].tolist() == [960, 960, 960, 480]
    assert SimplifiedMidi.published().encode(score) == PUBLISHED


def test_ties_are_told_by_falling_pitch():
    notes = [Note(0, 10, 60), Note(0, 10, 64), Note(0, 10, 62)]
    text = SimplifiedMidi.published(velocity="drop").encode(Score((Track.of(notes),)))
    assert text == "p64:d10:t0 p62:d10:t0 p60:d10:t0"


def test_equal_pitches_that_overlap_come_back():
    # The published converter paired note-offs last-in-first-out over all tracks and merged these.
    notes = [Note(0, 960, 60), Note(240, 120, 60), Note(480, 960, 60)]
    score = Score((Track.of(notes), Track.of([Note(240, 480, 60)], program=33)))
    notation = SimplifiedMidi()
    assert notation.decode(notation.encode(score)).tracks[0] == score.tracks[0]
    assert notation.decode(notation.encode(score)).tracks[1] == score.tracks[1]


@pytest.mark.parametrize(
    ("wheel", "code"),
    [
        *((0, 0), (511, 0), (512, 1), (7679, 14), (7680, 15), (8191, 22), (8192, 23)),
        *((8255, 23), (8256, 24), (8703, 30), (8704, 31), (16383, 45)),
    ],
)
def test_published_bend_code(wheel, code):
    assert wheel_to_code(wheel) == code
    assert code_to_wheel(code) <= wheel


@pytest.mark.parametrize("code", range(46))
def test_published_code_is_idempotent(code):
    assert wheel_to_code(code_to_wheel(code)) == code
    assert cents_to_code(code_to_cents(code)) == code


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(-300, 300)), min_size=1, max_size=6, unique_by=lambda p: p[0]),
    st.integers(1, 300),
)
@settings(max_examples=100, deadline=None)
def test_code_changes_are_those_of_every_tick(points, end):
    import numpy as np

    points = sorted(points)
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    slow = [(t, cents_to_code(float(np.interp(t, x, y)))) for t in range(end)]
    expected = [slow[0], *(b for a, b in pairwise(slow) if a[1] != b[1])]
    assert code_changes(x, y, end) == expected


def test_semitone_code_beats_the_published_one_on_a_real_bend():
    from benchmarks.bend_codes import errors, whole_tone

    worst = {name: max(float(one.max()) for one in found) for (name, _), found in errors(whole_tone()).items()}
    assert worst["published, points"] > 10
    assert max(worst["semitone, 1 cents"], worst["semitone, 5 cents"]) <= 5


def test_a_bend_stays_inside_its_word():
    bent = Note(0, 960, 60, bends=(Bend(0, 0), Bend(480, 200)))
    text = SimplifiedMidi().encode(Score((Track.of([bent]),)))
    assert text.splitlines()[1] == "i0 p60:v95:d960:t0:o0:b0:o480:b200"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p57:v95:d960", "word 1"),
        ("p57:v95:d960:t0 p200:v95:d1:t0", "word 2"),
        ("p57:d960:t0", ":v1…127"),
        ("p57:v0:d960:t0", ":v1…127"),
        ("hello there", "word 1"),
        ("p57:v95:d960:t0:q1", "word 1"),
        ("P57:v95:d960:t0", "fields such as p57"),
        ("p57:v95:d960:t99999999999", "number"),
    ],
)
def test_errors_name_the_place(text, said):
    with pytest.raises(NotationError, match=said):
        SimplifiedMidi.published().decode(text)


def test_bars_must_add_up():
    notation = SimplifiedMidi(bars=True)
    assert notation.decode("q4 m4/4 i0:g0\n| i0 p60:v9:d4:t16 | i0 p60:v9:d4:t16").length_ticks == 32
    with pytest.raises(NotationError, match="t0…16"):
        notation.decode("q4 m4/4 i0:g0\n| i0 p60:v9:d4:t17")
    with pytest.raises(NotationError):
        notation.decode("q4 m4/4 i0:g0\n| i0 p60:v9:d4:t15 |")


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "published", "bars": True, "bend": "none"},
        {"profile": "published"},
        {"velocity": "bins"},
        {"velocity": "bins:0"},
        {"resolution": "grid"},
        {"layout": "zigzag"},
        {"bend_step_cents": 0},
    ],
)
def test_options_that_do_not_go_together(options):
    with pytest.raises(ConfigError):
        SimplifiedMidi(**options)


def test_real_time_stretches_bends_with_their_notes():
    from cadenza.score.edit import project
    from cadenza.score.model import Tempo

    bent = Note(480, 480, 60, bends=(Bend(0, 0), Bend(240, 200)))
    score = Score((Track.of([bent]),), 480, tempos=(Tempo(0, 60.0),))
    flat = project(score, SimplifiedMidi(resolution="flat:500").projection)
    assert flat.tracks[0][0] == Note(1000, 1000, 60, bends=(Bend(0, 0), Bend(500, 200)))


def test_auto_velocity_is_settled_by_the_corpus():
    flat = Score((Track.of([Note(0, 1, 60), Note(1, 1, 61)]),))
    loud = Score((Track.of([Note(0, 1, 60, 10), Note(1, 1, 61, 90)]),))
    assert SimplifiedMidi(velocity="auto:1").resolve([flat, flat]).velocity == "drop"
    assert SimplifiedMidi(velocity="auto:1").resolve([flat, loud]).velocity == "keep"


FORMS = [
    SimplifiedMidi(),
    SimplifiedMidi(layout="by_track"),
    SimplifiedMidi(bars=True),
    SimplifiedMidi(bars=True, compact=True),
    SimplifiedMidi(velocity="drop"),
    SimplifiedMidi.published(),
    SimplifiedMidi.published(bend="published"),
    SimplifiedMidi.published(velocity="drop"),
]


@pytest.mark.parametrize(
    "notation", FORMS, ids=lambda n: f"{n.profile}-{n.layout}-{n.bars}-{n.compact}-{n.bend}-{n.velocity}"
)
def test_a_file_says_what_it_is(notation):
    notes = [Note(0, 480, 60, bends=(Bend(0, 0), Bend(240, 100))), Note(480, 480, 62), Note(480, 480, 65)]
    score = Score((Track.of(notes), Track.of([Note(960, 960, 40, 80)], program=33)))
    text = notation.encode(score)
    assert decode_file(text + "\n") == notation.decode(text)
    assert notation_of(text).profile == notation.profile


@given(st.text(alphabet="pvdtoibqwmkl|:0123456789- \n\u00e9", max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_text_gives_a_score_or_one_typed_error(text):
    try:
        assert isinstance(decode_file(text), Score)
    except CadenzaError as error:
        if not (error.expected and error.actual):
            pytest.fail(f"an error that does not say what was expected and found: {error!r}")


@pytest.mark.parametrize("space", [" ", "\t", "\u2003", " \r "])
def test_too_many_words_are_a_limit(space):
    from cadenza.base.errors import LimitError

    with pytest.raises(LimitError, match="words"):
        decode_file("q480 i0:g0\ni0 p60:v9:d1:t1" + (space + "p60:v9:d1:t1") * 100_001)
    with pytest.raises(LimitError, match="header_words"):
        decode_file("q480" + space + (space + "w100") * 10_001)
