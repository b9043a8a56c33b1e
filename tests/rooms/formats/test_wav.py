"""Rendering to sound: pitch, loudness, timing and limits, measured on the samples."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from cadenza.base.errors import FormatError, LimitError, MissingExtraError, RangeError
from cadenza.formats import _soundfont, _synth, wav
from cadenza.formats._performance import perform
from cadenza.formats._tones import PATCHES, frequency_of
from cadenza.score.audio import Audio
from cadenza.score.model import CONTROL_DTYPE, BarMark, Bend, Note, Score, Technique, Tempo, Track

Q = 480
RATE = 44_100


def play(score: Score, **options) -> Audio:
    # Dry: a room holds on to the pitches and levels of before.
    return wav.synthesize(score, soundfont="built-in", **{"reverb": 0.0, **options})[0]


def solo(*notes: Note, program: int = 0, tempo: float = 120.0, **fields) -> Score:
    return Score((Track.of(notes, program=program, **fields),), tempos=(Tempo(0, tempo),))


def rms(audio: Audio, start_seconds: float, stop_seconds: float) -> float:
    piece = audio.samples[:, int(start_seconds * audio.sample_rate) : int(stop_seconds * audio.sample_rate)]
    return float(np.sqrt(np.mean(piece.astype(np.float64) ** 2)))


def pitch_cents(audio: Audio, start_seconds: float, stop_seconds: float, near_pitch: float) -> float:
    """Cents against ``near_pitch`` (MIDI number) of the strongest component within ±350 cents of it.

    The peak of a zero-padded spectrum under a Hann window, refined by a parabola through three bins.
    """
    samples = audio.mono()[int(start_seconds * RATE) : int(stop_seconds * RATE)].astype(np.float64)
    size = 1 << 19
    level = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size)) + 1e-12)
    centre = 440.0 * 2 ** ((near_pitch - 69) / 12)
    low, high = (int(centre * 2 ** (cents / 1200) * size / RATE) for cents in (-350, 350))
    peak = low + int(np.argmax(level[low:high]))
    before, here, after = level[peak - 1 : peak + 2]
    place = peak + 0.5 * (before - after) / (before - 2 * here + after)
    return float(1200 * np.log2(place * RATE / size / centre))


def test_audio_states_its_shape_and_is_read_only():
    audio = Audio(np.zeros((2, 100), np.float32), 50)
    assert (audio.n_channels, audio.n_samples, audio.duration_seconds) == (2, 100, 2.0)
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0, 0] = 1
    with pytest.raises(RangeError, match="channels"):
        Audio(np.zeros(100, np.float32), 50)


@pytest.mark.parametrize("program", sorted(set(PATCHES) - {47, 112, 115, 116, 119}))
def test_fundamental_of_each_patch(program: int):
    # The copies of an ensemble are detuned around the pitch, and a tone that dies at once has no sharp one.
    patch = PATCHES[program]
    tolerance = 13.0 if len(patch.detune) > 1 else 5.0 if patch.decay[0] > 4 and not patch.sustained else 1.5
    audio = play(solo(Note(0, 4 * Q, 57, 100), program=program))
    assert abs(pitch_cents(audio, 0.05, 1.2, 57)) < tolerance


@pytest.mark.parametrize("program", [0, 27, 30, 40, 73, 80])
def test_bent_note_follows_its_curve(program: int):
    # Up a whole tone during the second beat, held to the end; a beat is a second.
    curve = (Bend(0, 0), Bend(Q, 0), Bend(2 * Q, 200))
    audio = play(solo(Note(0, 4 * Q, 62, 100, bends=curve), program=program, tempo=60))
    assert pitch_cents(audio, 0.2, 0.95, 62) == pytest.approx(0, abs=4)
    assert pitch_cents(audio, 1.46, 1.54, 63) == pytest.approx(0, abs=8)
    assert pitch_cents(audio, 2.2, 3.2, 64) == pytest.approx(0, abs=4)


def test_prebend_and_release():
    audio = play(solo(Note(0, 4 * Q, 62, 100, bends=(Bend(0, 100), Bend(Q, 100), Bend(2 * Q, -50))), tempo=60))
    assert pitch_cents(audio, 0.1, 0.9, 63) == pytest.approx(0, abs=4)
    assert pitch_cents(audio, 2.2, 3.2, 61.5) == pytest.approx(0, abs=4)


def test_vibrato_moves_the_pitch_around_the_note():
    part = perform(solo(Note(0, 4 * Q, 62, techniques=Technique.VIBRATO), program=27)).parts[0]
    seconds, cents = part.curves[0]
    late = cents[seconds > 0.5]
    assert 20 < late.max() < 35
    assert -35 < late.min() < -20
    assert abs(late.mean()) < 3


def test_a_harmonic_sounds_at_its_pitch():
    kinds = [Technique.HARMONIC_NATURAL, Technique.HARMONIC_PINCH, Technique.HARMONIC_ARTIFICIAL]
    notes = [Note(Q * i, Q, 76, 95, (), 3, 5, kind) for i, kind in enumerate(kinds)]
    (part,) = perform(solo(*notes, tuning=(64, 59, 55))).parts
    assert part.notes["pitch"].tolist() == [76, 76, 76]


def test_slide_arrives_at_the_next_note():
    notes = [
        Note(0, Q, 62, techniques=Technique.SLIDE_LEGATO, string=2, fret=3),
        Note(Q, Q, 67, string=2, fret=8),
        Note(Q, Q, 40, string=6, fret=0),
    ]
    part = perform(solo(*notes, program=27, tuning=(64, 59, 55, 50, 45, 40))).parts[0]
    row = int(np.argmax(part.notes["pitch"] == 62))
    assert part.curves[part.notes["curve"][row]][1][-1] == 500
    assert part.notes["soft"][part.notes["pitch"] == 67].all()
    assert not part.notes["soft"][part.notes["pitch"] == 40].any()


@pytest.mark.parametrize("program", [0, 16, 25, 30, 33, 48, 52, 71])
def test_harder_is_louder(program: int):
    audio = play(solo(Note(0, Q, 50, 50), Note(4 * Q, Q, 50, 110), program=program))
    assert rms(audio, 2.0, 2.5) > 1.15 * rms(audio, 0.0, 0.5)


@pytest.mark.parametrize("key", [35, 38, 42, 45, 46, 49, 51])
def test_drums_sound_and_harder_is_louder(key: int):
    audio = play(solo(Note(0, Q, key, 50), Note(8 * Q, Q, key, 110), is_drums=True))
    assert rms(audio, 4.0, 4.2) > 2 * rms(audio, 0.0, 0.2) > 0


def test_closing_the_hat_stops_the_open_one():
    rings = play(solo(Note(0, Q, 46), Note(4 * Q, Q, 36, 120), is_drums=True))
    choked = play(solo(Note(0, Q, 46), Note(Q // 4, Q, 44, 1), Note(4 * Q, Q, 36, 120), is_drums=True))
    assert rms(choked, 0.3, 0.5) < 0.3 * rms(rings, 0.3, 0.5)


def test_palm_mute_dies_sooner_and_dead_note_has_no_pitch_left():
    audio = play(
        solo(
            Note(0, 2 * Q, 45, 100),
            Note(4 * Q, 2 * Q, 45, 100, techniques=Technique.PALM_MUTE),
            Note(8 * Q, 2 * Q, 45, 100, techniques=Technique.DEAD),
            program=27,
        )
    )
    open_, mute, dead = (rms(audio, at + 0.3, at + 0.5) for at in (0, 2, 4))
    assert dead < mute < 0.5 * open_


def test_volume_and_expression():
    loud = Note(0, Q, 60, 100), Note(4 * Q, Q, 60, 100), Note(8 * Q, Q, 60, 100)
    controls = np.array([(4 * Q, 7, 50), (8 * Q, 7, 100), (8 * Q, 11, 64)], CONTROL_DTYPE)
    # Before the master, whose limiter bends the loudest peaks.
    blocks = list(_synth.stream(perform(solo(*loud, controls=controls)), RATE, reverb=0.0))
    audio = Audio(np.concatenate(blocks, axis=1), RATE)
    first, second, third = (rms(audio, at, at + 0.5) for at in (0, 2, 4))
    assert second / first == pytest.approx(0.25, rel=0.02)
    assert third / first == pytest.approx((64 / 127) ** 2, rel=0.02)


def test_pedal_holds_until_it_rises():
    down_up = np.array([(0, 64, 127), (4 * Q, 64, 0)], CONTROL_DTYPE)
    dry = perform(solo(Note(0, Q, 60), Note(6 * Q, Q, 60))).parts[0].notes
    wet = perform(solo(Note(0, Q, 60), Note(6 * Q, Q, 60), controls=down_up)).parts[0].notes
    assert dry["end_seconds"].tolist() == [0.5, 3.5]
    assert wet["end_seconds"].tolist() == [2.0, 3.5]
    again = perform(solo(Note(0, Q, 60), Note(2 * Q, Q, 60), controls=down_up)).parts[0].notes
    assert again["end_seconds"].tolist() == [1.0, 2.0]


def test_tempo_map_and_repeats():
    score = Score(
        (Track.of([Note(4 * Q, Q, 60)]),),
        tempos=(Tempo(0, 120), Tempo(2 * Q, 60)),
        bars=(BarMark(4 * Q, repeat_open=True, repeat_close=3),),
        length_ticks=8 * Q,
    )
    performance = perform(score)
    assert performance.parts[0].notes["onset_seconds"].tolist() == [3.0, 7.0, 11.0]
    assert performance.duration_seconds == 15.0
    audio = play(score)
    assert rms(audio, 2.5, 2.98) == 0 < rms(audio, 3.0, 3.2)


def test_empty_score_is_silence(tmp_path: Path):
    assert play(Score()).n_samples == 0
    audio = play(Score((Track(program=30), Track(is_drums=True)), length_ticks=4 * Q))
    assert audio.duration_seconds == 2.0
    assert not audio.samples.any()
    wav.write(Score(length_ticks=4 * Q), tmp_path / "silence.wav", soundfont="built-in")
    with wave.open(str(tmp_path / "silence.wav")) as sound:
        assert sound.getnframes() == 2 * RATE
        assert not any(sound.readframes(sound.getnframes()))


def test_file_holds_what_synthesize_returns(tmp_path: Path):
    score = solo(*(Note(i * Q, Q, 40 + i, 100) for i in range(24)), program=30)
    used = wav.write(score, tmp_path / "a.wav", soundfont="built-in", sample_rate=22_050)
    assert used == wav.BUILT_IN
    with wave.open(str(tmp_path / "a.wav")) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, 22_050)
        stored = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, 2).T / 32_767
    audio = play(score, sample_rate=22_050, reverb=1.0)
    assert stored.shape == audio.samples.shape
    assert np.abs(stored - audio.samples).max() < 2e-4
    assert 0.5 < np.abs(audio.samples).max() < 1.0
    wav.write(score, tmp_path / "b.wav", soundfont="built-in", sample_rate=22_050)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_long_notes_of_sustained_instruments_do_not_click_at_the_loop():
    audio = play(solo(Note(0, 60 * Q, 69, 100), program=16)).mono()
    body = audio[2 * RATE : 29 * RATE]
    # A join that did not fit would show as a second difference far above the tone's own.
    bends = np.abs(np.diff(body, 2))
    assert bends.max() < 1.2 * np.abs(np.diff(body[: 3 * RATE], 2)).max()
    assert pitch_cents(Audio(audio[None], RATE), 20, 22, 69) == pytest.approx(0, abs=1)


def test_limits(tmp_path: Path):
    late = solo(Note(0, Q, 60), Note(200_000 * Q, Q, 60))
    with pytest.raises(LimitError, match="7,200 seconds"):
        wav.write(late, tmp_path / "late.wav", soundfont="built-in")
    assert not list(tmp_path.iterdir())
    with pytest.raises(RangeError, match="sample rate"):
        play(solo(Note(0, Q, 60)), sample_rate=10)


def test_a_thousand_notes_at_once_are_bounded():
    notes = [Note(i, 4 * Q, 30 + i % 60, 100) for i in range(1000)]
    voices = _synth._voices(perform(solo(*notes, program=48)), RATE)
    assert 100 <= len(voices) <= 5 * _synth.MAX_ONSETS
    for at in range(0, 3 * RATE, 100):
        assert sum(v.start <= at < v.start + v.total for v in voices) <= _synth.MAX_VOICES
    audio = play(solo(*notes[::10], program=48), sample_rate=8_000)
    assert 0.3 < np.abs(audio.samples).max() < 1.0


def test_tremolo_picking_is_many_strokes():
    part = perform(solo(Note(0, Q, 60, techniques=Technique.TREMOLO_PICKING), program=27)).parts[0]
    assert len(part.notes) == 8


def test_wrong_soundfont(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_soundfont, "installed", lambda: False)
    with pytest.raises(MissingExtraError, match="tinysoundfont"):
        wav.synthesize(solo(Note(0, Q, 60)), soundfont=tmp_path / "none.sf2")


def test_soundfont_player_bends_and_falls_silent(tmp_path: Path):
    pytest.importorskip("tinysoundfont", reason="tinysoundfont is not installed")
    with pytest.raises(FormatError, match="soundfont"):
        wav.synthesize(solo(Note(0, Q, 60)), soundfont=tmp_path / "none.sf2")
    (tmp_path / "bad.sf2").write_bytes(b"not a soundfont")
    with pytest.raises(FormatError, match="soundfont"):
        wav.synthesize(solo(Note(0, Q, 60)), soundfont=tmp_path / "bad.sf2")


def test_soundfont_player_on_a_real_font():
    pretty_midi = pytest.importorskip("pretty_midi", reason="its soundfont is only used to test the player")
    pytest.importorskip("tinysoundfont", reason="tinysoundfont is not installed")
    font = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    if not font.is_file():
        pytest.skip("this pretty_midi brings no soundfont")
    curve = (Bend(0, 0), Bend(Q, 0), Bend(2 * Q, 200))
    notes = Note(0, 4 * Q, 62, 100, bends=curve), Note(0, 4 * Q, 50, 60)
    audio, used = wav.synthesize(solo(*notes, program=80, tempo=60), soundfont=font)
    assert used == "tinysoundfont with TimGM6mb.sf2"
    assert pitch_cents(audio, 0.2, 0.95, 62) == pytest.approx(0, abs=5)
    assert pitch_cents(audio, 2.2, 3.5, 64) == pytest.approx(0, abs=5)
    assert abs(pitch_cents(audio, 2.2, 3.5, 50)) < 8  # the font's own tuning
    assert np.abs(audio.samples).max() < 1.0
    # A synthesizer that has played another piece plays this one as a new one does.
    wav.synthesize(solo(Note(0, 4 * Q, 40, 127), program=24), soundfont=font)
    assert np.array_equal(wav.synthesize(solo(*notes, program=80, tempo=60), soundfont=font)[0].samples, audio.samples)
    assert len(_soundfont._IDLE) == 1


def test_frequency_of_a4():
    assert frequency_of(69) == 440.0
