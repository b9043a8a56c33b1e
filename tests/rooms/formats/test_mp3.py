"""Compressed sound: another library reads it, and where none can write it that is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cadenza import formats
from cadenza.base.errors import MissingExtraError, RangeError
from cadenza.formats import mp3
from cadenza.score.model import Note, Score, Track

SCORE = Score((Track.of([Note(0, 480, 60), Note(480, 480, 64)]),))  # a second


def test_what_is_written_is_read(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    formats.write(SCORE, tmp_path / "a.mp3", soundfont="built-in", sample_rate=22_050)
    samples, rate = soundfile.read(tmp_path / "a.mp3")
    assert rate == 22_050
    assert samples.shape[1] == 2
    assert 1 <= len(samples) / rate < 8
    assert 0.05 < abs(samples).max() <= 1.05
    small, large = tmp_path / "small.mp3", tmp_path / "large.mp3"
    for path, quality in ((small, 0.0), (large, 1.0)):
        mp3.write(SCORE, path, soundfont="built-in", quality=quality)
    assert small.stat().st_size < large.stat().st_size


@pytest.mark.parametrize("options", [{"sample_rate": 44_000}, {"quality": 1.5}])
def test_what_the_format_does_not_have(options, tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    with pytest.raises(RangeError):
        mp3.write(SCORE, tmp_path / "a.mp3", **options)
    assert not (tmp_path / "a.mp3").exists()


def test_without_an_encoder_it_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match="soundfile"):
        formats.module_for(tmp_path / "a.mp3", "write")
