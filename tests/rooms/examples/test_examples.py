"""The example pieces: what their files hold, that hands can play them, that the voices are led correctly."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.formats import guitarpro, midi
from cadenza.score.edit import project
from cadenza.score.model import Score, Technique

FOLDER = Path(__file__).parents[3] / "examples"
_spec = importlib.util.spec_from_file_location("make_examples", FOLDER / "make_examples.py")
pieces = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pieces)
Q = pieces.Q
RANGES = {"Soprano": (60, 79), "Alto": (55, 74), "Tenor": (48, 67), "Bass": (40, 60)}


@pytest.mark.parametrize("name", sorted(pieces.PIECES))
def test_files_hold_the_scores(name: str):
    module = guitarpro if name.endswith("gp5") else midi
    assert formats.read(FOLDER / name) == project(pieces.PIECES[name](), module.PROJECTION)


def test_riff_is_playable_and_varied():
    score = pieces.riff()
    assert score.length_ticks == 8 * 4 * Q
    used = Technique.NONE
    for track in score.tracks[:3]:
        end: dict[int, int] = {}
        for note in track:
            used |= note.techniques
            assert note.pitch == track.tuning[note.string - 1] + note.fret
            assert 0 <= note.fret <= 17
            assert note.onset_ticks >= end.get(note.string, 0), "a string sounds one note at a time"
            end[note.string] = note.offset_ticks
        for onset in np.unique(track.notes["onset_ticks"]):
            frets = track.notes["fret"][track.notes["onset_ticks"] == onset]
            assert np.ptp(frets[frets > 0]) <= 4 if (frets > 0).any() else True
    wanted = Technique.PALM_MUTE | Technique.HAMMER | Technique.VIBRATO | Technique.SLIDE_SHIFT | Technique.DEAD
    assert used & wanted == wanted
    assert len(score.tracks[0].bends) > 10
    bars = [
        tuple((n.onset_ticks % (4 * Q), n.pitch) for n in score.tracks[1] if n.onset_ticks // (4 * Q) == bar)
        for bar in range(8)
    ]
    assert len(set(bars)) >= 6


def slices(score: Score) -> list[tuple[int, ...]]:
    """(bass, tenor, alto, soprano) at every eighth note."""
    out = []
    for tick in range(0, score.length_ticks, Q // 2):
        row = []
        for track in reversed(score.tracks):
            sounding = [n.pitch for n in track if n.onset_ticks <= tick < n.offset_ticks]
            assert len(sounding) == 1, (track.name, Fraction(tick, Q), sounding)
            row.append(sounding[0])
        out.append(tuple(row))
    return out


def parallels(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of voices that move from one fifth, octave or unison into another."""
    return [
        (low, high)
        for low, high in combinations(range(len(before)), 2)
        if before[low] != after[low]
        and before[high] != after[high]
        and (before[high] - before[low]) % 12 == (after[high] - after[low]) % 12
        and (after[high] - after[low]) % 12 in (0, 7)
    ]


def test_parallels_are_found():
    assert parallels((48, 55), (50, 57)) == [(0, 1)]
    assert parallels((48, 60), (47, 59)) == [(0, 1)]
    assert not parallels((48, 55), (50, 55))
    assert not parallels((48, 55), (50, 58))


def test_chorale_voices_are_led_correctly():
    score = pieces.chorale()
    rows = slices(score)
    quarters = rows[::2]
    for grid in (rows, quarters):  # on every eighth, and from beat to beat
        for place, (before, after) in enumerate(pairwise(grid)):
            assert not parallels(before, after), (place, before, after)
    for place, (bass, tenor, alto, soprano) in enumerate(rows):
        assert bass <= tenor <= alto <= soprano, place
        assert soprano - alto <= 12, place
        assert alto - tenor <= 12, place
    for track in score.tracks:
        low, high = RANGES[track.name]
        pitches = track.notes["pitch"].astype(int)
        assert low <= pitches.min(), track.name
        assert pitches.max() <= high, track.name
        leaps = np.abs(np.diff(pitches))
        assert set(leaps.tolist()) <= {0, 1, 2, 3, 4, 5, 7, 8, 12}, track.name  # no tritone, no seventh


def test_chorale_leading_tones_resolve_at_cadences():
    quarters = slices(pieces.chorale())[::2]
    for bar in (4, 8, 10):  # full closes in G: their F sharp before the last chord goes up to G
        last = 4 * (bar - 1) + 2
        before, after = quarters[last - 1], quarters[last]
        leading = [voice for voice in range(4) if before[voice] % 12 == 6]
        assert len(leading) == 1, (bar, before)
        if leading[0] in (0, 3):
            assert after[leading[0]] - before[leading[0]] == 1
        assert after[0] % 12 == 7


def test_waltz_has_pedal_dynamics_and_hands_that_reach():
    score = pieces.waltz()
    assert len(score.bars) == 0
    assert score.length_ticks == 16 * 3 * Q
    for track in score.tracks:
        assert (track.controls["controller"] == 64).sum() == 32
        assert np.ptp(track.notes["velocity"]) > 20
        for onset in np.unique(track.notes["onset_ticks"]):
            assert np.ptp(track.notes["pitch"][track.notes["onset_ticks"] == onset]) <= 12
