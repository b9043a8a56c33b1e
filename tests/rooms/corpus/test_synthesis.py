"""Soundfonts as values, packed scores, and clips whose labels are what sounds."""

from __future__ import annotations

import numpy as np
import pytest

from cadenza.base.errors import ConfigError, FormatError
from cadenza.corpus import soundfonts
from cadenza.corpus.humanise import FAMILIES, family_of_program
from cadenza.corpus.score_pack import ScorePack, pack
from cadenza.corpus.store import Piece
from cadenza.corpus.synthesis import (
    CLIP_SECONDS,
    MODES,
    SAMPLE_RATE,
    Instruments,
    Synthesizer,
)
from cadenza.score.model import Bend, Note, Score, Tempo, Track


@pytest.fixture(scope="module")
def font() -> soundfonts.Font:
    return soundfonts.random_font(3, n_presets=4)


def piece(number: int, split: str, drums: bool = False) -> Piece:
    rng = np.random.default_rng(number)
    pitches = rng.integers(35, 50, 80) if drums else rng.integers(48, 80, 80)
    notes = [
        Note(240 * n, 220, int(pitch), 90, bends=(Bend(0, 0), Bend(100, 200)) if n == 40 else ())
        for n, pitch in enumerate(pitches)
    ]
    score = Score((Track.of(notes, program=25, is_drums=drums),), tempos=(Tempo(0, 120.0),))
    return Piece(f"work/{number}", "made", "CC0-1.0", "", score, split)


@pytest.fixture(scope="module")
def packed() -> ScorePack:
    return pack([*(piece(n, "train") for n in range(3)), piece(5, "test"), piece(9, "train", drums=True)])


def test_a_font_is_read_as_it_was_written(font, tmp_path):
    path = tmp_path / "made.sf2"
    soundfonts.write_font(font, path)
    back = soundfonts.read_font(path)
    assert [(p.bank, p.number, p.zones) for p in back.presets] == [(p.bank, p.number, p.zones) for p in font.presets]
    assert [i.zones for i in back.instruments] == [i.zones for i in font.instruments]
    assert back.samples == font.samples
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FormatError, match="soundfont"):
        soundfonts.read_font(path)
    (tmp_path / "no.sf2").write_bytes(b"nothing of the kind")
    with pytest.raises(FormatError, match="RIFF"):
        soundfonts.read_font(tmp_path / "no.sf2")


def test_a_cut_font_holds_what_its_presets_need_and_no_more(font, tmp_path):
    less = soundfonts.cut(font, [(0, 1), (0, 99)])
    assert [preset.number for preset in less.presets] == [1]
    assert len(less.instruments) == 1
    mine = {s.name for s in less.samples}
    assert mine == {s.name for s in font.samples if s.name.startswith("r1-")}
    path = tmp_path / "less.sf2"
    soundfonts.write_font(less, path)
    assert soundfonts.read_font(path).samples == less.samples


def test_computed_timbres_are_in_tune(font):
    tinysoundfont = pytest.importorskip("tinysoundfont")
    synth = tinysoundfont.Synth(samplerate=32_000)
    number = synth.sfload(soundfonts.font_bytes(font))
    for preset in range(4):
        for pitch in (45, 60, 70):
            synth.program_select(0, number, 0, preset)
            synth.noteon(0, pitch, 100)
            sound = np.frombuffer(synth.generate(32_000), np.float32).reshape(-1, 2).mean(axis=1)[1000:]
            synth.sounds_off()
            synth.generate(3200)
            spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            # Some partial of the right pitch is the strongest line there is.
            strongest = np.argmax(spectrum) * 32_000 / (1 << 18)
            ratio = strongest / hertz
            assert abs(1200 * np.log2(ratio / max(1, round(ratio)))) < 40, (preset, pitch, ratio)


def test_a_pack_keeps_notes_tracks_and_curves(packed, tmp_path):
    assert packed.numbers("train").tolist() == [0, 1, 2, 4]
    assert packed.numbers("test").tolist() == [3]
    notes = packed.notes_of(0)
    assert len(notes) == 80
    assert notes["onset_seconds"][4] == pytest.approx(1.0, abs=1e-3)
    bent = np.flatnonzero(notes["curve"] >= 0)
    assert len(bent) == 1
    seconds, cents = packed.curve(int(notes["curve"][bent[0]]))
    assert seconds[-1] == pytest.approx(100 / 480 / 2, abs=1e-3)
    assert cents.tolist() == [0, 200]
    packed.save(tmp_path / "pack.npz")
    back = ScorePack.load(tmp_path / "pack.npz")
    for name in ("pieces", "tracks", "curve_first", "curve_points"):
        assert np.array_equal(getattr(back, name), getattr(packed, name))
    for name in ("onset_seconds", "end_seconds"):
        assert np.abs(back.notes[name] - packed.notes[name]).max() < 2e-3
    assert np.array_equal(back.notes["pitch"], packed.notes["pitch"])
    with pytest.raises(FormatError, match="score pack"):
        ScorePack.load(tmp_path / "none.npz")


@pytest.fixture(scope="module")
def synthesizer(packed, font, tmp_path_factory):
    pytest.importorskip("tinysoundfont")
    path = tmp_path_factory.mktemp("font") / "made.sf2"
    soundfonts.write_font(font, path)
    return Synthesizer(packed, Instruments([path], n_random=0), "train", seed=1, random_share=0.0)


@pytest.mark.parametrize("mode", MODES)
def test_a_clip_is_sound_with_its_notes(synthesizer, mode):
    clip = synthesizer.clip(2, mode)
    assert clip.mode == mode
    assert len(clip.samples) == CLIP_SECONDS * SAMPLE_RATE
    assert np.abs(clip.samples).max() > 25_000
    notes = clip.notes
    assert len(notes) >= 6
    assert (np.diff(notes["onset_seconds"]) >= 0).all()
    assert (notes["end_seconds"] > notes["onset_seconds"]).all()
    assert notes["end_seconds"].max() <= CLIP_SECONDS
    assert set(notes["family"].tolist()) <= set(range(len(FAMILIES)))
    # Before the first note there is silence; where it begins there is sound.
    level = np.abs(clip.samples.astype(np.float32))
    first = int(notes["onset_seconds"][0] * SAMPLE_RATE)
    if not len(clip.drums):
        assert level[: max(0, first - 400)].max(initial=0) < 600
    assert level[first : first + 8000].max() > 300


def test_a_clip_depends_on_its_number_alone(synthesizer):
    one = synthesizer.clip(11)
    synthesizer.clip(12)
    again = synthesizer.clip(11)
    assert np.array_equal(one.samples, again.samples)
    assert np.array_equal(one.notes, again.notes)
    assert np.array_equal(one.bends, again.bends)
    assert not np.array_equal(one.samples, synthesizer.clip(12).samples)


def test_kinds_of_clips_come_as_often_as_asked(synthesizer):
    wanted = [float(mode in ("solo", "band")) / 2 for mode in MODES]
    made = Synthesizer(synthesizer.pack, synthesizer.instruments, "train", seed=1, random_share=0.0, mode_shares=wanted)
    assert {made.clip(number).mode for number in range(8)} == {"solo", "band"}
    for wrong in ([0.5, 0.5], [0.5] * len(MODES), [2.0, -1.0] + [0.0] * (len(MODES) - 2)):
        with pytest.raises(ConfigError, match="add up to 1"):
            Synthesizer(synthesizer.pack, synthesizer.instruments, mode_shares=wrong)


def test_tuning_changes_the_sound_and_not_the_music(synthesizer):
    low, high = (synthesizer.clip(4, "piano", detune_cents=cents) for cents in (-40.0, 40.0))
    assert np.array_equal(low.notes, high.notes)
    assert (low.detune_cents, high.detune_cents) == (-40.0, 40.0)
    assert not np.array_equal(low.samples, high.samples)


def test_players_are_off_by_a_little_each_and_together_by_what_the_clip_says(synthesizer, monkeypatch):
    """A clip 45 cents sharp was up to 52 in all of its parts, beyond half a semitone: no sound says which key it is."""
    synth = synthesizer.instruments.synth
    tuned, played = {}, {}

    class Recorded:
        def __getattr__(self, name):
            return getattr(synth, name)

        def set_tuning(self, channel, semitones):
            tuned[channel] = 100 * semitones
            synth.set_tuning(channel, semitones)

        def noteon(self, channel, pitch, velocity):
            played[channel] = played.get(channel, 0) + 1
            synth.noteon(channel, pitch, velocity)

    monkeypatch.setattr(synthesizer.instruments, "synth", Recorded())
    spreads = []
    for number in range(6):
        tuned.clear()
        played.clear()
        synthesizer.clip(number, "band", detune_cents=45.0)
        own = {channel: n for channel, n in played.items() if channel in tuned}  # the drums have none
        assert sum(tuned[channel] * n for channel, n in own.items()) / sum(own.values()) == pytest.approx(45.0)
        spreads.append(max(tuned.values()) - min(tuned.values()))
    assert max(spreads) > 0.5


def test_every_program_has_a_family():
    assert {family_of_program(program) for program in range(128)} == set(range(len(FAMILIES)))
    named = {0: "piano", 11: "mallet", 19: "organ", 25: "plucked", 33: "bass", 42: "bowed", 52: "voice", 73: "wind"}
    assert {program: FAMILIES[family_of_program(program)] for program in named} == named
