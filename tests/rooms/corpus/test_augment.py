"""What each augmentation preserves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cadenza.corpus import augment
from cadenza.score.key_finding import find_key, modulates, signature_of
from cadenza.score.model import HARMONICS, NO_FRET, STANDARD_TUNINGS, Key, Metre, Note, Score, Track
from cadenza.score.time import bar_table
from tests.strategies import examples, scores

FEW = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
BAR = 1920
SCALE = (0, 2, 4, 5, 7, 9, 11)


def melody(bars: int = 24, tonic: int = 60, seed: int = 1) -> list[Note]:
    """Quarter notes in a major key that end on their bars."""
    rng = np.random.default_rng(seed)
    return [Note(480 * i, 480, tonic + SCALE[int(rng.integers(7))]) for i in range(4 * bars)]


def tune(bars: int = 24, **fields) -> Score:
    return Score((Track.of(melody(bars)),), metres=(Metre(0, 4, 4),), length_ticks=bars * BAR, **fields)


@FEW
@given(scores(max_tracks=3), st.integers(0, 1 << 30))
def test_a_modulation_moves_its_bars_and_nothing_else(score, seed):
    rng = np.random.default_rng(seed)
    passage = augment.draw_passage(score, rng)
    assume(passage is not None)
    first, stop = passage
    table = bar_table(score)
    assert first % augment.PHRASE_BARS == 0
    assert stop % augment.PHRASE_BARS == 0 or stop == len(table)
    low, high = int(table.starts_ticks[first]), int(table.ends_ticks[min(stop, len(table)) - 1])
    out = augment.modulate(first, stop, 3)(score)
    for old, new in zip(score.tracks, out.tracks, strict=True):
        assert len(old) == len(new)
        rows = {(n.onset_ticks, n.duration_ticks, n.velocity): 0 for n in old}
        assert rows.keys() == {(n.onset_ticks, n.duration_ticks, n.velocity) for n in new}
        outside = [n for n in old if not low <= n.onset_ticks < high or old.is_drums]
        assert outside == [n for n in new if not low <= n.onset_ticks < high or new.is_drums]
        if not old.is_drums:
            inside = sorted((n.onset_ticks, (n.pitch + 3) % 12) for n in old if low <= n.onset_ticks < high)
            assert inside == sorted((n.onset_ticks, n.pitch % 12) for n in new if low <= n.onset_ticks < high)
    assert out.metres == score.metres
    assert out.bars == score.bars


def test_a_modulation_starts_and_ends_on_bar_lines_and_changes_the_key():
    score = tune(keys=(Key(0, 0),))
    out = augment.modulate(4, 8, 2)(score)
    assert out.keys == (Key(0, 0), Key(4 * BAR, 2), Key(8 * BAR, 0))
    moved = [b.pitch - a.pitch for a, b in zip(score.tracks[0], out.tracks[0], strict=True)]
    assert moved == [0] * 16 + [2] * 16 + [0] * 64


def test_pieces_that_modulate_are_left_alone():
    rng = np.random.default_rng(0)
    assert augment.draw_passage(tune(), rng) is not None
    assert augment.draw_passage(tune(keys=(Key(0, 0), Key(8 * BAR, 2))), rng) is None
    parts = melody(12) + [replace(n, onset_ticks=n.onset_ticks + 12 * BAR) for n in melody(12, tonic=66, seed=2)]
    unsaid = replace(tune(), tracks=(Track.of(parts),))
    assert modulates(unsaid)
    assert augment.draw_passage(unsaid, rng) is None


def test_boundaries_over_which_nothing_sounds_come_first():
    notes = [n for n in melody() if n.onset_ticks != 8 * BAR - 480] + [Note(8 * BAR - 480, 960, 60)]
    score = replace(tune(), tracks=(Track.of(notes),))
    for seed in range(60):
        passage = augment.draw_passage(score, np.random.default_rng(seed))
        assert passage is not None
        assert 8 not in passage


@pytest.mark.parametrize("tonic", range(12))
def test_the_key_of_a_scale_is_found(tonic):
    score = Score((Track.of([Note(480 * i, 480 if step else 960, 60 + tonic + step) for i, step in enumerate(SCALE)]),))
    found = find_key(score)
    assert found == tonic
    assert signature_of(found) == (7 * tonic + 5) % 12 - 5
    assert find_key(Score()) is None


@FEW
@given(scores(max_tracks=3), st.integers(0, 1 << 30))
def test_velocity_shapes_keep_the_order_of_dynamics(score, seed):
    out = augment.shape_velocity(seed)(score)
    for old, new in zip(score.tracks, out.tracks, strict=True):
        assert (old.notes["onset_ticks"] == new.notes["onset_ticks"]).all()
        if len(old) and (old.notes["velocity"] != old.notes["velocity"][0]).any():
            by_key = {}
            for a, b in zip(sorted(old, key=_place), sorted(new, key=_place), strict=True):
                by_key.setdefault(a.velocity, set()).add(b.velocity)
            levels = [max(by_key[v]) for v in sorted(by_key)]
            assert levels == sorted(levels)
        else:
            for tick in set(new.notes["onset_ticks"].tolist()):
                assert len(set(new.notes["velocity"][new.notes["onset_ticks"] == tick].tolist())) == 1


def _place(n: Note):
    return (n.onset_ticks, n.pitch, n.duration_ticks, n.string, n.fret, n.voice, n.techniques, n.spelling, n.velocity)


def test_a_constant_track_gets_a_smooth_curve():
    out = augment.shape_velocity(5)(tune())
    velocity = out.tracks[0].notes["velocity"].astype(int)
    assert len(set(velocity.tolist())) > 3
    assert np.abs(np.diff(velocity)).max() <= 6


@FEW
@given(scores(max_tracks=2, resolutions=(480, 960)), st.integers(0, 1 << 30))
def test_rubato_keeps_order_and_simultaneity(score, seed):
    out = augment.stretch_time(seed)(score)
    for old, new in zip(score.tracks, out.tracks, strict=True):
        assert old.notes["pitch"].tolist() == new.notes["pitch"].tolist() or len(set(new.notes["onset_ticks"])) < len(
            set(old.notes["onset_ticks"])
        )
        ticks = np.unique(old.notes["onset_ticks"])
        moved = np.array(sorted(new.notes["onset_ticks"].tolist()))
        assert (np.diff(moved) >= 0).all()
        assert len(np.unique(moved)) <= len(ticks)
        if len(ticks):
            span = max(score.length_ticks, 1)
            assert abs(int(moved[-1]) - int(old.notes["onset_ticks"].max())) <= 0.08 * span + 1


@FEW
@given(scores(max_tracks=5), st.integers(0, 1 << 30))
def test_dropout_keeps_whole_tracks(score, seed):
    rng = np.random.default_rng(seed)
    kept = augment.draw_tracks(score, rng)
    out = augment.reorder_tracks(kept)(score)
    assert out.tracks == tuple(score.tracks[i] for i in kept)
    if score.n_notes:
        assert out.n_notes


@FEW
@given(scores(max_tracks=2, max_notes=8), st.sampled_from(sorted(augment.RETUNINGS)))
def test_retuning_keeps_what_sounds(score, name):
    out = augment.retune(name)(score)
    for old, new in zip(score.tracks, out.tracks, strict=True):
        assert old.notes["pitch"].tolist() == new.notes["pitch"].tolist()
        if new.tuning != old.tuning:
            placed = new.notes[new.notes["fret"] != NO_FRET]
            assert (
                np.array(new.tuning)[placed["string"] - 1] + new.capo_fret + placed["fret"] == placed["pitch"]
            ).all()


def test_a_riff_is_retuned():
    riff = Track.of([Note(480 * i, 480, 45 + i % 5) for i in range(8)], tuning=STANDARD_TUNINGS["guitar"])
    out = augment.retune("half-step-down")(Score((riff,))).tracks[0]
    assert out.tuning == (63, 58, 54, 49, 44, 39)
    assert (out.notes["fret"] >= 0).all()


@FEW
@given(scores(max_tracks=3), st.integers(0, 1 << 30))
def test_a_draw_is_recorded_and_repeats(score, seed):
    options = augment.Augmentation(
        copies=1, modulate=0.5, velocity=0.5, stretch=0.5, dropout=0.5, shuffle_tracks=0.5, retune=0.5
    )
    one = augment.draw_for(score, options, np.random.default_rng(seed))
    two = augment.draw_for(score, options, np.random.default_rng(seed))
    assert one.record == two.record
    assert one(score) == two(score)
    assert len(one.edits) >= len(one.record) > 0 or not one.edits
    before = {t.name for t in score.tracks}
    assert {t.name for t in one(score).tracks} <= before
    for track in one(score).tracks:
        pitch = track.notes["pitch"].astype(int)
        assert ((pitch >= 0) & (pitch <= 127)).all()
        if track.tuning and not track.is_drums:
            placed = track.notes[(track.notes["fret"] != NO_FRET) & (track.notes["techniques"] & int(HARMONICS) == 0)]
            assert (placed["fret"] >= 0).all()


def test_what_one_option_says_does_not_change_what_the_others_draw():
    some = augment.draw_for(tune(), augment.Augmentation(modulate=0.0, velocity=1.0), np.random.default_rng(3))
    more = augment.draw_for(tune(), augment.Augmentation(modulate=1.0, velocity=1.0), np.random.default_rng(3))
    assert "modulation" in more.record
    assert {k: v for k, v in more.record.items() if k != "modulation"} == some.record
