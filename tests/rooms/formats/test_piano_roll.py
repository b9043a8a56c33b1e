"""Piano rolls: bounded size, and what must be seen is there (measured on the pixels)."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cadenza.base.errors import RangeError
from cadenza.formats import piano_roll
from cadenza.formats.coloured import Coloured
from cadenza.score.model import Bend, Note, Score, Technique, Track

Q = 480


def pixels(score: Score, **options) -> np.ndarray:
    return np.asarray(piano_roll.draw(score, **options)).astype(int)


def like(image: np.ndarray, colour: tuple[int, int, int], tolerance: int = 24) -> np.ndarray:
    return (np.abs(image - np.array(colour)).max(axis=2) <= tolerance)[60:, 60:]


def two_bars() -> Score:
    melody = [Note(i * Q, Q, 60 + i, 110) for i in range(8)]
    drums = [Note(i * Q, Q, 36, 110) for i in range(8)]
    return Score((Track.of(melody, name="Tune"), Track.of(drums, is_drums=True)), title="Two bars")


def test_writes_a_png_of_the_asked_width(tmp_path: Path):
    piano_roll.write(two_bars(), tmp_path / "roll.png", highlight=Coloured(4 * Q), width=900)
    with Image.open(tmp_path / "roll.png") as image:
        assert (image.format, image.mode, image.width) == ("PNG", "RGB", 900)
    with pytest.raises(RangeError, match="width"):
        piano_roll.write(two_bars(), tmp_path / "no.png", width=10**6)
    assert not (tmp_path / "no.png").exists()


def test_seed_is_muted_and_continuation_saturated():
    colour = piano_roll._PALETTE[0]
    plain = like(pixels(two_bars()), colour)
    split = like(pixels(two_bars(), highlight=Coloured(4 * Q)), colour)
    middle = plain.shape[1] // 2
    assert plain[:, :middle].sum() > 1000
    assert split[:, : middle - 12].sum() == 0
    assert split[:, middle + 12 :].sum() > 1000
    tinted = pixels(two_bars(), highlight=Coloured(4 * Q))[200]
    assert tinted[-100, 2] < tinted[-100, 0]
    assert tinted[100, 2] >= tinted[100, 0]


def test_higher_pitch_is_higher_and_a_bend_climbs():
    bent = Note(0, 4 * Q, 60, 110, bends=(Bend(0, 0), Bend(2 * Q, 0), Bend(3 * Q, 200)))
    score = Score((Track.of([bent]),), length_ticks=4 * Q)
    mask = like(pixels(score), piano_roll._PALETTE[0])
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.arange(len(mask))[:, None]
    centre = (mask * rows).sum(axis=0)[columns] / mask.sum(axis=0)[columns]
    early, late = centre[: len(columns) // 3].mean(), centre[-len(columns) // 6 :].mean()
    # Two rows up; a row is the picture's own.
    straight = Score((Track.of([Note(0, 4 * Q, 60, 110), Note(0, 4 * Q, 62, 110)]),))
    row_height = piano_roll._layout(straight, None, 1600).row_height
    bent_height = piano_roll._layout(score, None, 1600).row_height
    assert row_height == bent_height
    assert early - late == pytest.approx(2 * row_height, abs=1.0)


def test_vibrato_is_a_wave():
    still = Score((Track.of([Note(0, 4 * Q, 60, 110)]),))
    waved = Score((Track.of([Note(0, 4 * Q, 60, 110, techniques=Technique.VIBRATO)]),))
    assert (pixels(still) != pixels(waved)).any()


@pytest.mark.parametrize(
    "score",
    [
        Score(),
        Score((Track(), Track(is_drums=True))),
        Score((Track.of([Note(0, 0, 0, 1)]),), ticks_per_quarter=1),
        Score((Track.of([Note(0, Q, 127, bends=(Bend(0, 2400),))]),)),
        Score((Track.of([Note(0, Q, p) for p in range(128)], is_drums=True),)),
        Score((Track.of([Note(0, Q, 60), Note(200_000 * Q, Q, 61)]),)),  # one late note
        Score(tuple(Track.of([Note(i, Q, i % 128)], name="x" * 500) for i in range(512)), title="y\n" * 5000),
    ],
    ids=["empty", "tracks", "zero", "top", "kit", "late", "many"],
)
def test_size_is_bounded_whatever_comes(score: Score):
    piano_roll.draw(Score())
    tracemalloc.start()
    image = piano_roll.draw(score, highlight=Coloured(10**9))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert image.width == 1600
    assert image.height <= 1000
    assert peak < 64 << 20


def test_very_many_notes_are_drawn_as_pixels():
    n = 60_000
    random = np.random.default_rng(0)
    notes = np.zeros(n, Track().notes.dtype)
    notes["onset_ticks"], notes["duration_ticks"] = random.integers(0, 400 * Q, n), Q
    notes["pitch"], notes["velocity"], notes["fret"] = random.integers(40, 90, n), 100, -1
    score = Score((Track(notes=notes),))
    assert like(pixels(score), piano_roll._PALETTE[0], 60).mean() > 0.3


def test_only_what_is_new_stands_out() -> None:
    new = Coloured(4 * Q, 8 * Q, frozenset({0}))
    assert [new.holds(0, tick) for tick in (0, 4 * Q, 8 * Q)] == [False, True, False]
    assert not new.holds(1, 4 * Q)
    assert new.scaled(2) == Coloured(8 * Q, 16 * Q, frozenset({0}))
    assert Coloured.of(None, None) is None
    assert Coloured.of(None, 3) == Coloured(3)
    other = pixels(two_bars(), highlight=Coloured(4 * Q, None, frozenset({1})))  # a track that is not there
    assert not np.array_equal(other, pixels(two_bars(), highlight=Coloured(4 * Q)))
