"""What towers say of sounds, kept and found again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cadenza import formats
from cadenza.app.cli.main import app
from cadenza.base.errors import ConfigError, FormatError, MissingExtraError, ModelError
from cadenza.corpus.clips import SAMPLE_RATE, ClipRecipe, ClipStore, build
from cadenza.formats.wav import synthesize
from cadenza.infer.heard_notes import HeardNote
from cadenza.score.model import Note, Score, Track
from cadenza.train.listening import towers
from cadenza.train.listening.towers import jukebox, notes, shards

EXAMPLES = Path(__file__).parents[3] / "examples"


class Counting:
    """Says how loud each second is; counts how often it was asked."""

    width, frames_per_second = 4, 345.0

    def __init__(self, stops_after: int = 10**9) -> None:
        self.asked, self._stops_after = 0, stops_after

    def __call__(self, samples):
        if self.asked == self._stops_after:
            raise KeyboardInterrupt
        self.asked += 1
        seconds = [np.abs(part).mean() for part in np.array_split(samples.astype(np.float32), 3)]
        return np.repeat(seconds, 345)[:, None].repeat(4, 1).astype(np.float32)

    def fingerprint(self) -> str:
        return "counting"


def sounds(n: int) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(-100, 100, 3 * SAMPLE_RATE, np.int16) for i in range(n)]


def test_they_are_found_by_their_sound_and_pooled(tmp_path):
    made = sounds(3)
    tower = Counting()
    assert shards.write_shards(tmp_path, made, tower) == 3
    found = towers.open_tower("shards", str(tmp_path))
    assert (found.width, found.frames_per_second) == (4, 10)
    for sound in made:
        assert found(sound).shape == (30, 4)
        assert found(sound)[::10] == pytest.approx(tower(sound)[::345], rel=1e-3)
    with pytest.raises(ModelError, match="embedding of every clip"):
        found(made[0][1:])


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "KEEP_EVERY", 2)
    made = sounds(7)
    shards.write_shards(tmp_path / "whole", made, Counting())
    with pytest.raises(KeyboardInterrupt):
        shards.write_shards(tmp_path / "stopped", made, Counting(stops_after=5))
    on = Counting()
    shards.write_shards(tmp_path / "stopped", made, on)
    assert on.asked == 3  # the fifth was computed and not yet told of
    for name in (shards.FRAMES, shards.INDEX):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_tower_is_refused(tmp_path):
    shards.write_shards(tmp_path, sounds(1), Counting())
    with pytest.raises(FormatError, match="same tower and rate"):
        shards.write_shards(tmp_path, sounds(1), Counting(), to_per_second=5)
    (tmp_path / shards.INDEX).write_text("{")
    with pytest.raises(FormatError, match="embeddings"):
        shards.write_shards(tmp_path, sounds(1), Counting())
    with pytest.raises(FormatError, match="embeddings"):
        towers.open_tower("shards", str(tmp_path / "nothing"))


@given(st.integers(1, 900), st.sampled_from([345.0, 344.53, 50.0, 25.0]), st.sampled_from([10.0, 7.5, 25.0]))
def test_pooling_keeps_the_range_and_the_time(n, rate, to_rate):
    ramp = np.arange(n, dtype=np.float32)[:, None].repeat(2, 1)
    few = shards._to_rate(ramp, rate, to_rate)
    assert abs(len(few) - n / rate * to_rate) <= 1
    assert (np.diff(few[:, 0]) >= 0).all()
    assert 0 <= few.min() <= few.max() <= n - 1


def test_pooling():
    frames = np.arange(345 * 2, dtype=np.float32)[:, None].repeat(3, 1)
    few = shards._to_rate(frames, 345.0, 10.0)
    assert few.shape == (20, 3)
    assert few.mean() == pytest.approx(frames.mean(), rel=1e-2)
    assert shards._to_rate(np.zeros((0, 3), np.float32), 345.0, 10.0).tolist() == [[0, 0, 0]]
    assert towers.pooled(frames[:5], 2).tolist()[2] == [4, 4, 4]
    assert towers.pooled(frames[:5], 2, "max").tolist()[0] == [1, 1, 1]


def test_jukebox_is_asked_for_layer_36_in_windows(monkeypatch):
    """jukemirlib itself needs weights and an accelerator: what it is given, and what is made of its answer."""
    asked = []

    def extract(audio, layers):
        asked.append((len(audio), float(np.abs(audio).max()), layers))
        return {36: np.full((len(audio) // 128, 4800), len(asked), np.float32)}

    def resample(sound, orig_sr, target_sr):
        assert (orig_sr, target_sr) == (16_000, 44_100)
        return np.interp(np.arange(len(sound) * 441 // 160) * 160 / 441, np.arange(len(sound)), sound)

    monkeypatch.setitem(sys.modules, "jukemirlib", SimpleNamespace(extract=extract))
    monkeypatch.setitem(sys.modules, "librosa", SimpleNamespace(resample=resample))
    tower = towers.open_tower("jukebox")
    found = tower(np.random.default_rng(0).integers(-900, 900, 30 * SAMPLE_RATE, np.int16))
    assert found.shape == (30 * 44_100 // 128, 4800)
    assert [n for n, _, _ in asked] == [8192 * 128, 30 * 44_100 - 8192 * 128]
    assert asked[0][2] == [36]
    assert max(loudest for _, loudest, _ in asked) == pytest.approx(1)
    assert sorted(set(found[:, 0])) == [1, 2]
    n = len(asked)
    assert tower(np.zeros(SAMPLE_RATE, np.int16)).shape == (44_100 // 128, 4800)
    assert len(asked) == n
    assert tower.frames_per_second == pytest.approx(344.53, abs=0.01)


def test_without_jukebox(monkeypatch):
    monkeypatch.setitem(sys.modules, "jukemirlib", None)
    with pytest.raises(MissingExtraError, match="jukemirlib"):
        jukebox.JukeboxTower()


def test_embed_from_the_command_line(tmp_path):
    pytest.importorskip("onnxruntime", reason="the ear needs onnxruntime")
    pieces = [(name, name, formats.read(EXAMPLES / name)) for name in ("waltz.mid", "chorale.mid")]
    recipe = ClipRecipe(seconds=3, bars=[1, 1], least_notes=3)
    for split in ("train", "validation"):
        build(pieces, 2, split, tmp_path / "clips" / split, recipe)
    command = ["corpus", "embed", str(tmp_path / "clips"), "-o", str(tmp_path / "shards"), "--tower", "ear"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    assert "4 sounds" in ran.output
    tower = towers.open_tower("shards", str(tmp_path / "shards"))
    clip = ClipStore(tmp_path / "clips" / "train")[0]
    assert len(tower(clip.samples)) == pytest.approx(10 * len(clip.samples) / SAMPLE_RATE, abs=1)
    assert json.loads((tmp_path / "shards" / shards.INDEX).read_text())["tower"]
    ran = CliRunner().invoke(app, ["corpus", "embed", str(tmp_path), "-o", str(tmp_path / "x"), "--tower", "nothing"])
    assert ran.exit_code != 0


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────


def heard_note(onset: float, end: float, pitch: int, velocity: int = 64) -> HeardNote:
    families = np.array([0, 3.0, 1, 0, 0, 0, 0, 0])
    return HeardNote(onset, end, pitch, velocity, 0.75, families, np.zeros(0, np.float32))


def test_what_begins_together_is_one_event():
    pytest.importorskip("onnxruntime", reason="the ear needs onnxruntime")
    tower = towers.open_tower("notes")
    played = [heard_note(0.5, 1.0, 60), heard_note(0.52, 0.75, 64), heard_note(1.0, 3.0, 62)]
    events = tower.of_notes(played, [(1.01, 2, 0.6)], 4.0)
    assert events.shape == (2, tower.width)
    onset, velocity, length = (events[:, 88 * n : 88 * (n + 1)] for n in range(3))
    assert [np.flatnonzero(row).tolist() for row in onset] == [[39, 43], [41]]
    assert onset[0, 39] == 0.75
    assert velocity[1, 41] == pytest.approx(64 / 127)
    assert length[0, 39] - length[0, 43] == pytest.approx(notes.STEPS * np.log2(0.5 / 0.23) / (notes.N_TIMES - 1))
    kinds = events[:, 3 * 88 : -3 * notes.N_TIMES]
    assert kinds[0, :8].tolist() == [0, 0.75, 0.25, 0, 0, 0, 0, 0]
    assert kinds[1, 8:].tolist() == pytest.approx([0, 0, 0.6, 0, 0])
    scales = events[:, -3 * notes.N_TIMES :].reshape(2, 3, notes.N_TIMES)
    assert scales.sum(2) == pytest.approx(np.ones((2, 3)))
    steps = (scales * np.arange(notes.N_TIMES)).sum(2)
    wanted = [[0.5, 0.5, 0.5], [3.0, 0.5, 2.0]]  # to the next event or the end, since the last, of the longest note
    assert steps == pytest.approx(np.array([[notes.place(s) for s in row] for row in wanted]), abs=1e-4)
    assert tower.of_notes([], [], 1.0).shape == (0, tower.width)


@pytest.mark.parametrize("semitones", [-5, 3, 12])
def test_events_of_transposed_notes_are_transposed_events(semitones):
    pytest.importorskip("onnxruntime", reason="the ear needs onnxruntime")
    tower = towers.open_tower("notes")
    played = [(0.5, 1.0, 60, 64), (0.52, 0.75, 64, 90), (1.0, 3.0, 62, 33)]
    here = tower.of_notes([heard_note(*note) for note in played], [(1.01, 2, 0.6)], 4.0)
    moved = [heard_note(onset, end, pitch + semitones, velocity) for onset, end, pitch, velocity in played]
    assert np.array_equal(tower.transposed(here, semitones), tower.of_notes(moved, [(1.01, 2, 0.6)], 4.0))
    assert isinstance(tower, towers.Transposing)
    assert not isinstance(towers.open_tower("deaf"), towers.Transposing)


@given(st.integers(-20, 20))
def test_shifting_back_leaves_what_stayed_within_the_range(semitones):
    features = np.arange(2 * 14, dtype=np.float32).reshape(2, 14) + 1
    there = towers.shifted(towers.shifted(features, 2, 6, semitones), 2, 6, -semitones)
    same = there == features
    assert (same | (there == 0)).all()
    assert same[:, :12].sum() == 2 * 2 * max(0, 6 - abs(semitones))
    assert same[:, 12:].all()


@given(st.floats(1 / 32, 8))
def test_times_lie_on_a_scale_of_octaves(seconds):
    shares = notes.on_scale(seconds)
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert shares @ np.arange(notes.N_TIMES) == pytest.approx(notes.place(seconds), abs=1e-3)
    if seconds <= 4:
        assert notes.place(2 * seconds) - notes.place(seconds) == pytest.approx(notes.STEPS)


def test_events_of_a_sound_are_its_notes(tmp_path):
    pytest.importorskip("onnxruntime", reason="the ear needs onnxruntime")
    tower = towers.open_tower("notes")
    rows = [(0, 480, 60), (480, 480, 64), (480, 480, 67), (960, 960, 72)]
    score = Score((Track.of([Note(*row) for row in rows], program=0),), 480)
    played, _ = synthesize(score, soundfont="built-in", sample_rate=SAMPLE_RATE)
    sound = np.rint(played.samples.mean(0) / np.abs(played.samples).max() * 20_000).astype(np.int16)
    events = tower(sound)
    assert [np.flatnonzero(row[:88] > 0.4).tolist() for row in events] == [[39], [43, 46], [51]]
    with pytest.raises(ConfigError, match="have a rate"):
        shards.write_shards(tmp_path, [sound], tower)
