"""From performances to pages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ConfigError
from cadenza.formats import musicxml
from cadenza.infer.notator import bars, beats, metre, notate, profile, quantise, voices
from cadenza.infer.notator.events import bass_share, events_of, played_notes
from cadenza.notation.abc import Abc
from cadenza.score.model import Key, Note, Score, Tempo, Track
from cadenza.score.time import bar_table, ticks_to_seconds


def performed(rows, program=0, seed=0, jitter=0.0, **fields) -> Score:
    """(seconds, length, pitch[, velocity]) as a performance of a millisecond a tick."""
    rng = np.random.default_rng(seed)
    notes = [
        Note(
            max(0, round(1000 * (row[0] + rng.normal(0, jitter)))), max(1, round(1000 * row[1])), row[2],
            row[3] if len(row) > 3 else 80,
        )
        for row in rows
    ]  # fmt: skip
    return Score((Track.of(notes, program=program, **fields),), 500, tempos=(Tempo(0, 120.0),))


def waltz(bars=16, quarter=0.5, at=0.3):
    """Bass and two chords a bar, a melody in quarters and eighths, I–IV–V–I in G."""
    out = []
    roots = (43, 48, 50, 43)
    for bar in range(bars):
        start, root = at + 3 * quarter * bar, roots[bar % 4]
        out.append((start, 0.9 * quarter, root, 90))
        for beat in (1, 2):
            out += [(start + beat * quarter, 0.8 * quarter, root + step, 65) for step in (16, 19)]
        out.append((start, 1.9 * quarter, root + 31, 95))
        out += [
            (start + 2 * quarter, 0.45 * quarter, root + 28, 80),
            (start + 2.5 * quarter, 0.45 * quarter, root + 24, 80),
        ]
    return out


def test_a_waltz_is_written_as_one():
    page = notate(performed(waltz(), jitter=0.01))
    assert (page.metres[0].numerator, page.metres[0].denominator) == (3, 4)
    assert len(page.tempos) == 1
    assert page.tempos[0].quarters_per_minute == pytest.approx(120, rel=0.02)
    assert page.keys[0].fifths == 1
    onsets = page.tracks[0].notes["onset_ticks"]
    assert set((onsets % 240).tolist()) == {0}
    low = page.tracks[0].notes["pitch"] < 55
    assert set((onsets[low] % 1440).tolist()) == {0}
    # The left hand stands on the second staff.
    assert set(page.tracks[0].notes["voice"][low].tolist()) == {voices.SECOND_STAFF}


def test_what_is_given_is_obeyed():
    page = notate(performed(waltz()), tempo=60, metre="6/8", key="Em", quantize=16)
    assert [tempo.quarters_per_minute for tempo in page.tempos] == [60]
    assert (page.metres[0].numerator, page.metres[0].denominator) == (6, 8)
    assert page.keys == (Key(0, 1, "minor"),)
    assert not (page.tracks[0].notes["onset_ticks"] % 120).any()


def test_without_a_grid_it_sounds_as_it_was_played():
    played = performed(waltz(), jitter=0.012)
    page = notate(played, quantize="none")
    before = ticks_to_seconds(played, played.tracks[0].notes["onset_ticks"])
    after = ticks_to_seconds(page, page.tracks[0].notes["onset_ticks"])
    assert np.sort(after) == pytest.approx(np.sort(before), abs=0.004)
    assert len(page.tracks[0]) == len(played.tracks[0])


def test_a_swaying_tempo_is_followed_and_written():
    quarters = np.arange(0, 96)
    seconds = np.cumsum(np.concatenate([np.full(40, 0.5), np.linspace(0.5, 0.66, 16), np.full(40, 0.66)]))
    rows = [(at, 0.4, 60 + int(q) % 4, 95 if q % 4 == 0 else 70) for at, q in zip(seconds, quarters, strict=True)]
    rows += [(at, 1.5, 36 + 5 * (int(q) // 4 % 2), 90) for at, q in zip(seconds, quarters, strict=True) if q % 4 == 0]
    page = notate(performed(rows))
    assert len(page.tempos) > 1
    speeds = [tempo.quarters_per_minute for tempo in page.tempos]
    assert speeds[0] / speeds[-1] == pytest.approx(0.66 / 0.5, rel=0.05)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 4]), st.integers(1, 900)), max_size=40),
)
def test_the_notes_of_a_chord_end_together(rows):
    onset, voice, length = (
        (np.array(column, np.int64) for column in zip(*rows, strict=True)) if rows else [np.zeros(0, int)] * 3
    )
    found = quantise.together(120 * onset, voice, length.astype(float))
    for place, part, said in zip(onset.tolist(), voice.tolist(), found.tolist(), strict=True):
        assert said == np.median(length[(onset == place) & (voice == part)])


def test_a_note_let_go_early_does_not_tie_its_chord():
    played = [Note(1000 * beat, 980, pitch) for beat in range(8) for pitch in (60, 64, 67)]
    played[4] = Note(1000, 130, 64)
    page = notate(Score((Track.of(played, program=24),), 500, tempos=(Tempo(0, 120.0),)))
    lengths = page.tracks[0].notes["duration_ticks"]
    assert len(set(lengths.tolist())) == 1


def test_triplets_where_they_are_and_nowhere_else():
    quarters = np.array([0, 0.5, 1, 1.34, 1.66, 2, 2.5, 3.02])
    found = quantise.snapped(quarters, np.full(8, 0.5), quantise.divisions_of(None))
    assert found.tolist() == [0, 240, 480, 640, 800, 960, 1200, 1440]
    found = quantise.snapped(quarters, np.full(8, 0.5), quantise.divisions_of(8))
    assert not (found % 240).any()


def test_guitars_get_strings_and_frets():
    rows = [(0.5 * i, 0.45, pitch) for i, pitch in enumerate([40, 47, 52, 56, 59, 64, 59, 56] * 4)]
    page = notate(performed(rows, program=25))
    notes = page.tracks[0].notes
    tuning = np.array(page.tracks[0].tuning)
    assert (notes["string"] > 0).all()
    assert (tuning[notes["string"] - 1] + notes["fret"] == notes["pitch"]).all()


def test_drums_stay_drums():
    rows = [(0.25 * i, 0.1, 36 if i % 4 == 0 else 42) for i in range(64)]
    page = notate(performed(rows, is_drums=True))
    assert page.tracks[0].is_drums
    assert len(page.tracks[0]) == 64
    assert not page.keys


@pytest.mark.parametrize(
    "wrong",
    [{"tempo": 0}, {"tempo": float("nan")}, {"metre": "3"}, {"metre": "0/4"}, {"metre": (3, 5)}, {"key": "H"},
     {"key": "G#"}, {"quantize": "7"}, {"quantize": 5}, {"quantize": "auto"}],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(wrong):
    with pytest.raises(ConfigError):
        notate(performed(waltz()), **wrong)


@pytest.mark.parametrize("metre", ["5/4", "7/8", "2/2", "9/8", "3/16", "11/16", "1/1"])
def test_any_metre_may_be_given(metre):
    page = notate(performed(waltz()), metre=metre)
    assert f"{page.metres[0].numerator}/{page.metres[0].denominator}" == metre


NOTES = st.tuples(
    st.integers(0, 30_000), st.integers(1, 6000), st.integers(0, 127), st.integers(1, 127), st.integers(0, 2)
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(NOTES, max_size=60), st.sampled_from([None, "none", 8, 24]), st.sampled_from([None, 40.0, 133.0, 900.0]),
    st.sampled_from([None, "3/4", "6/8", "5/8"]),
)  # fmt: skip
def test_any_performance_becomes_a_page(rows, quantize, tempo, metre):
    tracks = []
    for number, (program, drums) in enumerate(((0, False), (25, False), (0, True))):
        own = [Note(at, length, pitch, velocity) for at, length, pitch, velocity, which in rows if which == number]
        tracks.append(Track.of(own, program=program, is_drums=drums))
    page = notate(Score(tuple(tracks), 500, tempos=(Tempo(0, 120.0),)), quantize=quantize, tempo=tempo, metre=metre)
    assert [track.program for track in page.tracks] == [0, 25, 0]
    assert len(bar_table(page)) >= 1
    assert page.n_notes <= len(rows)
    if quantize == "none" and not tracks[1].notes.size:
        assert page.n_notes == len(rows)
    if quantize is None:
        for track in page.tracks:
            if not track.is_drums:
                # A voice is a row of chords: nothing sounds into the next one.
                for voice in np.unique(track.notes["voice"]):
                    own = track.notes[track.notes["voice"] == voice]
                    starts = np.unique(own["onset_ticks"])
                    following = np.append(starts[1:], 1 << 60)[np.searchsorted(starts, own["onset_ticks"])]
                    assert (own["onset_ticks"] + own["duration_ticks"] <= following).all()
        Abc().encode(page)


def test_a_page_goes_into_musicxml_and_back(tmp_path):
    page = notate(performed(waltz(), jitter=0.01))
    musicxml.write(page, tmp_path / "page.musicxml")
    again = musicxml.read(tmp_path / "page.musicxml")
    assert again.n_notes == page.n_notes
    assert len(bar_table(again)) == len(bar_table(page))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.35, 1.0), st.integers(0, 5))
def test_a_steady_pulse_is_found_at_any_speed(period, seed):
    rng = np.random.default_rng(seed)
    rows = [(period * i / 2 + rng.normal(0, 0.008) + 1, 0.2, 60 + i % 5, 90 if i % 2 == 0 else 60) for i in range(80)]
    notes = played_notes(performed(rows))
    pulses = beats.track(events_of(notes))
    found = [np.median(np.diff(pulse.seconds)) for pulse in pulses if pulse.division == beats.EVEN]
    assert any(abs(length / period / factor - 1) < 0.03 for length in found for factor in (0.5, 1, 2))


# ── what tells bars apart ────────────────────────────────────────────────────────────────────────────────


def spans_of(rows, n_beats, accents=None):
    """Bars' description of (onset, length) in beats on a pulse of ``n_beats``, all of one chord a bar of four."""
    note_beats = np.array([(at, at + length) for at, length in rows], float)
    place = np.unique(note_beats[:, 0])
    chroma = np.zeros((n_beats, 12))
    chroma[np.arange(n_beats), np.arange(n_beats) // 4 % 3 * 5 % 12] = 1.0
    rhythm = np.zeros((n_beats, 12))
    for at in place:
        rhythm[int(at), round(12 * (at % 1))] += 1
    weights = np.zeros((n_beats, 8)) if accents is None else np.repeat(np.array(accents, float)[:, None], 8, 1)
    return bars.spans(note_beats, place, weights, chroma, rhythm)


def test_note_values_are_counted_as_they_would_be_written():
    mine = spans_of([(0.5 * i, 0.4) for i in range(33)], 18)
    as_quarters, as_eighths = bars._note_values(mine, 1.0), bars._note_values(mine, 0.5)
    assert as_quarters.sum() == as_eighths.sum() == pytest.approx(1)
    assert as_quarters.argmax() == as_eighths.argmax() + 2  # eighths; sixteenths, two borders (triplets) lower


def test_notes_over_bar_lines_speak_against_short_bars():
    mine = spans_of([(4 * bar + at, length) for bar in range(8) for at, length in ((0, 1), (1, 2), (3, 1))], 33)
    over = {n: bars._ties(mine, n, 0)[0] for n in (2, 4)}
    assert over[4] == 0
    assert over[2] == pytest.approx(1 / 3)
    assert bars._ties(mine, 4, 0)[3] == pytest.approx(1 / 3)  # over the middle


def test_every_other_bar_heavier_means_that_bars_are_longer():
    heavy = [3.0 if beat % 4 == 0 else 1.0 if beat % 2 == 0 else 0.0 for beat in range(64)]
    mine = spans_of([(beat, 0.9) for beat in range(63)], 64, heavy)
    two, four = bars._weights(mine, 2, 0), bars._weights(mine, 4, 0)
    assert two[-1] > 1  # bars of two are heavy and light in turn,
    assert four[-1] < 0.1  # bars of four are all alike,
    assert (four[:7] > 1).all()  # and their downbeats heavier than their middles
    inside, across, difference, _ = bars._harmony(mine, 4, 0)
    assert inside > across
    assert difference == pytest.approx(inside - across)
    likeness = bars._likeness(mine, 4)
    assert likeness[2 + 6] > likeness[0 + 6]  # by weight: two bars apart more than half a bar


def test_a_profile_says_where_in_a_bar_things_begin():
    """A waltz: a bass note, two chords; the melody holds a dotted half."""
    rows = [(0.5 * (3 * bar + beat), 1.4 if pitch == 76 else 0.4, pitch) for bar in range(8) for beat, pitch in
            ((0, 40), (0, 76), (1, 60), (1, 64), (2, 60), (2, 64))]  # fmt: skip
    notes = played_notes(performed(rows))
    events = events_of(notes)
    place = events.seconds / 0.5
    length = (notes["end_seconds"] - notes["onset_seconds"]) / 0.5
    mine = profile.moments(notes, events, place - place[0], length, bass_share(notes))
    found = profile.features(mine, 3, 0)
    twelfths = found[4 * 16 : 4 * 28].reshape(4, 12)
    n_bars = 23 / 3  # from the first onset to the last
    begins, bass, melody, _ = twelfths * n_bars
    assert np.flatnonzero(begins).tolist() == [0, 4, 8]
    assert begins[[0, 4, 8]] == pytest.approx(8)
    assert bass.argmax() == melody.argmax() == 0
    assert melody[0] == pytest.approx(8 * 2.8 / 3)
    patterns = found[4 * 28 :]
    assert patterns[:3].tolist() == [1, 0, 0]  # nothing at the middle; the first sixteen-part grid has no thirds
    assert patterns[6:9].tolist() == [1, 0, 1]  # both light beats; the third alone; nothing at the middle
    assert patterns[10] == 0  # all bars alike
    moved = profile.features(mine, 3, 1)
    assert np.flatnonzero(moved[4 * 16 : 4 * 16 + 12]).tolist() == [0, 4, 8]
    assert moved[4 * 16 + 12 : 4 * 16 + 24].argmax() == 8
    assert len(found) == len(moved) == profile.N_FEATURES


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0.02, 3), st.integers(30, 90)), min_size=4, max_size=40))
def test_readings_are_described_for_any_performance(rows):
    notes = played_notes(performed(rows))
    events = events_of(notes)
    if len(events) < 4 or events.seconds[-1] - events.seconds[0] < 1:
        return
    pulses = beats.track(events)
    found = metre.readings(pulses)
    if found:
        described = metre.table(found, pulses, notes, events)
        assert described.shape == (len(found), len(metre.shipped().mean))
        assert np.isfinite(described).all()
